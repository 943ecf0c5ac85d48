"""The crossover map: speedup over channels and kernels, coloured by which side of 1x it lies on, and hatched where that is not known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.row_verdict import EQUIVALENCE_MARGIN
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.plots.facets import MOST_GROUPS, Channels
from bench.show.text import titles
from bench.show.text.ways import words_of
from bench.spec.columns import FAILED
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import capital, percent, times

FASTER, SLOWER, EVEN = "#0072B2", "#D55E00", "#ffffff"
FULL = 3.0  # log2 of the speedup that has the full colour: 8x and 1/8x
HATCHES = {"undecided": "////", "same": "..", "failed": "xx"}
PREDICTED = "\\\\\\"  # over whatever a cell has else, in the colour of what is predicted
_APART = "experiment block device threads layout dtype mode cudnn_benchmark pass allocator waiting batch size stride padding dilation depth".split()  # fmt: skip
_MARKS = {"faster": "", "slower": "", "same": " =", "undecided": " ?"}

_DARK = 0.21  # luminance below which white letters are easier to read than ink

Cells = dict[tuple[int, int, int], Record]  # by channels in and out and kernel


def draw(run: Run, folder: Path) -> tuple[Path, ...]:
    """Write map.png and map.svg into `folder`; nothing where no place varies both channels and kernels."""
    figure = picture(run)
    return () if figure is None else style.save(figure, folder, "map")


def picture(run: Run) -> Figure | None:
    """A panel for each place: channels across, kernels upwards, the speedup written and coloured in each cell."""
    every = [r for r in sweep_of_shapes(records_of(run.pairs)) if panels.measured(r) or r["status"] in FAILED]
    places = _places(every)
    if not places:
        return None
    names = list(places)
    shown = names[:MOST_GROUPS]
    rows = [r for name in shown for r in places[name].values()]
    channels = Channels.of(rows)
    kernels = sorted({int(r["kernel"]) for r in rows})
    across = panels.columns([(name, 0) for name in shown])
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, axes = style.panels(len(shown), across)
        for axis, name in zip(axes, shown, strict=True):
            _panel(axis, places[name], channels, kernels)
            panels.mark(axis, list(places[name].values()))
            style.name_panel(axis, name)
        panels.label_outer(axes, across, "kernel")
        left = f"{len(names) - len(shown)} more places are not drawn; pairs.csv has them." if len(names) > len(shown) else ""  # fmt: skip
        tall = figure.get_size_inches()
        down = math.ceil(len(shown) / across)
        figure.set_size_inches(tall[0], max(1.9, 0.9 + 0.42 * len(kernels)) * down + 0.2)
        drawn = [r for r in rows if panels.measured(r)]
        how = "speedup: time of the baseline / time of the block, paired within rounds · heavy line: where the speedup crosses 1x"  # fmt: skip
        style.frame(figure, _title(drawn), panels.footer(run, drawn, how), _handles(rows), " ".join(filter(None, [left, panels.unswept(run)])))  # fmt: skip
    return figure


def _places(rows: Sequence[Record]) -> dict[str, Cells]:
    """The cells of each place in which channels and kernels both vary, each cell once."""
    groups: dict[tuple[object, ...], Cells] = {}
    for r in rows:
        where = tuple(r[f] for f in (*_APART, "baseline", "height", "width") if f != "size")
        groups.setdefault(where, {}).setdefault((int(r["c_in"]), int(r["c_out"]), int(r["kernel"])), r)
    kept = [c for c in groups.values() if len({k for *_, k in c}) > 1 and len({(i, o) for i, o, _ in c}) > 1]
    names = words_of([next(iter(cells.values())) for cells in kept], _APART)
    return dict(zip(names, kept, strict=True))


def _panel(axis: Axes, cells: Cells, channels: Channels, kernels: Sequence[int]) -> None:
    """One place: a square for each cell with its speedup, and a heavy line between faster and slower neighbours."""
    widths = list(channels.places)
    at = {(i, o, k): (widths.index((i, o)), kernels.index(k)) for i, o, k in cells}
    for key, (x, y) in at.items():
        _cell(axis, cells[key], x, y)
    sides = {at[key]: r["speedup"] > 1 for key, r in cells.items() if panels.measured(r)}
    for (x, y), wins in sides.items():
        for other, ends in (((x + 1, y), ((x + 0.5,) * 2, (y - 0.5, y + 0.5))), ((x, y + 1), ((x - 0.5, x + 0.5), (y + 0.5,) * 2))):  # fmt: skip
            if other in sides and sides[other] != wins:
                axis.plot(*ends, color=style.INK, lw=2.6, zorder=5, solid_capstyle="round")
    axis.grid(False)
    axis.set(xlim=(-0.5, len(widths) - 0.5), ylim=(-0.5, len(kernels) - 0.5), xlabel=channels.title)
    axis.set_xticks(range(len(widths)), [channels.labels[channels.places[w]] for w in widths])
    axis.set_yticks(range(len(kernels)), [f"{k} x {k}" for k in kernels])
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)


def _cell(axis: Axes, row: Record, x: int, y: int) -> None:
    state = _state(row)
    colour = EVEN if state == "failed" else colour_of(row["speedup"])
    dark = luminance(colour) < _DARK
    edge = style.GRID if state in ("faster", "slower") else "#ffffff" if dark else style.FAINT
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=edge, hatch=HATCHES.get(state), lw=0, zorder=2))  # fmt: skip
    if panels.predicted([row]):
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=style.VIOLET[1], hatch=PREDICTED, lw=0, zorder=2.5))  # fmt: skip
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="#ffffff", lw=1.6, zorder=3))
    words = str(row["status"]) if state == "failed" else times(row["speedup"], row["precision"] or 0.05)
    noisy = " ~" if is_noisy(row) else ""
    hatched = state in HATCHES or panels.predicted([row])
    backed = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if hatched else None
    axis.text(
        x, y, words + _MARKS.get(state, "") + noisy, ha="center", va="center", fontsize=8,
        color="#ffffff" if dark else style.INK, bbox=backed, zorder=4,
    )  # fmt: skip


def _state(row: Record) -> str:
    """faster, slower, same or undecided (so is a row without interval), or failed."""
    return "failed" if not panels.measured(row) else str(row["verdict"] or "undecided")


def colour_of(speedup: float) -> str:
    """White at 1x, blue above and vermillion below, by the logarithm; full from FULL on."""
    share = min(1.0, abs(math.log2(speedup)) / FULL) ** 0.75
    red, green, blue = (1 - share * (1 - c) for c in mpl.colors.to_rgb(FASTER if speedup > 1 else SLOWER))
    return str(mpl.colors.to_hex((red, green, blue)))


def luminance(colour: str) -> float:
    """Relative, by sRGB's weights: 0 black, 1 white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _handles(rows: Sequence[Record]) -> list[Artist]:
    found = {_state(r) for r in rows}
    handles: list[Artist] = [
        Patch(facecolor=colour_of(v), edgecolor=style.FAINT, lw=0.6, label=words)
        for v, words in ((0.25, "0.25x: slower"), (1.0, "1x"), (4.0, "4x: faster"))
    ]
    words = {
        "undecided": "?  undecided",
        "same": f"=  the same within {percent(EQUIVALENCE_MARGIN)} or the noise",
        "failed": "failed",
    }
    handles += [Patch(facecolor=EVEN, edgecolor=style.FAINT, hatch=HATCHES[s], lw=0.6, label=w) for s, w in words.items() if s in found]  # fmt: skip
    if any(map(is_noisy, rows)):
        handles.append(Patch(facecolor="none", edgecolor="none", label="~  noisy"))
    if panels.predicted(rows):
        handles.append(Patch(facecolor=EVEN, edgecolor=style.VIOLET[1], hatch=PREDICTED, lw=0, label="predicted, nothing was measured"))  # fmt: skip
    return handles


def _title(rows: Sequence[Record]) -> str:
    """From how many channels the first block is faster throughout, and up to how many it is slower; of several devices the counts."""
    block = rows[0]["block"] if rows else ""
    mine = [r for r in rows if r["block"] == block]
    devices = list(dict.fromkeys(str(r["device"]) for r in mine))
    on = {d: [r for r in mine if r["device"] == d] for d in devices}
    if len(devices) > 1:
        said = [f"on {in_words(d)} {_counted(some, '' if i else block)}" for i, (d, some) in enumerate(on.items())]
    else:
        said = [_found(some, block, f"on {in_words(d)} " if is_predicted(d) else "") for d, some in on.items()]
    return capital("; ".join(said)) if said else "No cell was measured"


def _found(rows: Sequence[Record], block: str, where: str) -> str:
    sides = _sides(rows)
    faster, slower = ([r for r, s in zip(rows, sides, strict=True) if s == side] for side in ("faster", "slower"))
    many = f"{len(rows)} cell{'s' if len(rows) != 1 else ''}"
    verb = titles.verb(rows)
    alone = titles.ALONE if verb == "reads" else ""
    if len(faster) == len(rows) or len(slower) == len(rows):
        return f"{where}{block} {verb} {'faster' if faster else 'slower'} in {'all ' if len(rows) > 1 else ''}{many}{alone}"
    throughout = _throughout(rows)
    last, widest = max(map(_wide, slower), default=0), max(map(_wide, rows))
    upto = f", {'even at' if last == widest else 'at up to'} {last} channels" if slower else ""
    if throughout:
        return f"{where}from {throughout} channels on {block} {verb} faster throughout; it {verb} slower in {len(slower) or 'none'} of {many}{upto}{alone}"  # fmt: skip
    return f"{where}{block} {verb} faster in {len(faster) or 'none'} of {many} and slower in {len(slower) or 'none'}{upto}{alone}"  # fmt: skip


def _counted(rows: Sequence[Record], block: str) -> str:
    """One device among several: in how many cells the block (`it`, where it was named before) is faster and slower."""
    faster, slower = (_sides(rows).count(side) for side in ("faster", "slower"))
    verb = titles.verb(rows)
    alone = titles.ALONE if verb == "reads" else ""
    cells = " cells" if block else ""
    whole = _throughout(rows) if 0 < faster < len(rows) else None
    every = f" (in all from {whole} channels on)" if whole else ""
    said = f"{block} {verb} faster" if block else f"it {verb}"
    return f"{said} in {faster} of {len(rows)}{cells}{every}, slower in {slower}{alone}"


def _throughout(rows: Sequence[Record]) -> int | None:
    """From how many channels on every cell is faster."""
    doubtful = [_wide(r) for r, side in zip(rows, _sides(rows), strict=True) if side != "faster"]
    return min((w for r in rows if (w := _wide(r)) > max(doubtful, default=0)), default=None)


def _sides(rows: Sequence[Record]) -> list[str]:
    """Each row's verdict, or the side of 1x that it reads on."""
    if titles.verb(rows) == "reads":
        return ["faster" if r["speedup"] > 1 else "slower" for r in rows]
    return [str(r["verdict"]) for r in rows]


def _wide(row: Record) -> int:
    """The smaller of a row's channels in and out."""
    return min(int(row["c_in"]), int(row["c_out"]))
