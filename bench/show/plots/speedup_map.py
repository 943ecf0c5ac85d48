"""Maps of a run's speedups and of a device's predicted ones: colour is the side of 1x, hatching that it is not known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from bench.analyse.predict.crossover_map import CrossoverMap
from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text import crossover_map as words
from bench.show.text.ways import words_of
from bench.spec.columns import FAILED
from bench.spec.format import percent, times
from bench.spec.interval import EQUIVALENCE_MARGIN

EVEN = "#ffffff"
FULL = 3.0  # log2 of the speedup that has the full colour: 8x and 1/8x
HATCHES = {"undecided": "////", "same": "..", "failed": "xx"}
PREDICTED = "\\\\\\"  # over whatever a cell has else, in the colour of what is predicted
_MARKS = "speedup: time of the baseline / time of the block · heavy line: where the speedup crosses 1x"
_APART = "experiment block device threads layout dtype mode cudnn_benchmark pass allocator waiting batch size stride padding dilation depth".split()  # fmt: skip
_SIGNS = {"same": " =", "undecided": " ?"}
_DARK = 0.21  # luminance below which white letters are easier to read than ink

Cells = dict[tuple[int, int, int], Record]  # by channels in and out and kernel


@dataclass(frozen=True, slots=True)
class Square:
    """A cell of a map: its speedup, None where it failed, the words in it and its hatching."""

    speedup: float | None
    words: str
    hatch: str | None = None
    predicted: bool = False  # hatched in violet over that


def picture(run: Run) -> Figure | None:
    """A panel for each place: channels across, kernels upwards, the speedup written and coloured in each cell."""
    every = [r for r in sweep_of_shapes(records_of(run.pairs)) if panels.measured(r) or r["status"] in FAILED]
    places = _places(every)
    if not places:
        return None
    names = list(places)
    shown = names[: panels.MOST_GROUPS]
    rows = [r for name in shown for r in places[name].values()]
    channels = panels.Channels.of(rows)
    kernels = sorted({int(r["kernel"]) for r in rows})
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, axes = style.panels(len(shown))
        for axis, name in zip(axes, shown, strict=True):
            cells = places[name]
            at = {(list(channels.places).index((i, o)), kernels.index(k)): r for (i, o, k), r in cells.items()}
            squares = {where: _square(r) for where, r in at.items()}
            draw_squares(axis, squares, list(channels.labels.values()), [f"{k} x {k}" for k in kernels])
            axis.set_xlabel(channels.title)
            panels.mark(axis, list(cells.values()))
            style.name_panel(axis, name)
        panels.label_outer(axes, "kernel")
        down = max(axis.get_subplotspec().rowspan.stop for axis in axes)  # type: ignore[union-attr]
        figure.set_figheight(max(1.9, 0.9 + 0.42 * len(kernels)) * down + 0.2)
        drawn = [r for r in rows if panels.measured(r)]
        footer = captions.footer(run, drawn, "paired within rounds", bars="", marks=_MARKS)
        left = captions.not_drawn(len(names) - len(shown), "place"), captions.unswept(run)
        style.frame(figure, titles.speedup_map(drawn), footer, _handles(rows), *left)
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


def _square(row: Record) -> Square:
    """The row's square, with its verdict where it is not faster or slower; a row without interval is undecided."""
    state = "failed" if not panels.measured(row) else str(row["verdict"] or "undecided")
    if state == "failed":
        return Square(None, str(row["status"]), HATCHES["failed"])
    text = times(row["speedup"], row["precision"] or 0.05) + _SIGNS.get(state, "")
    noisy = " ~" if is_noisy(row) else ""
    return Square(row["speedup"], text + noisy, HATCHES.get(state), panels.predicted([row]))


def draw_squares(axis: Axes, squares: Mapping[tuple[int, int], Square], across: Sequence[str], upwards: Sequence[str]) -> None:  # fmt: skip
    """A square for each cell by its column and row, with a heavy line between neighbours on both sides of 1x; the words of columns and rows."""
    for (x, y), square in squares.items():
        _draw_square(axis, square, x, y)
    wins = {at: s.speedup > 1 for at, s in squares.items() if s.speedup is not None}
    for (x, y), win in wins.items():
        right, above = ((x + 0.5,) * 2, (y - 0.5, y + 0.5)), ((x - 0.5, x + 0.5), (y + 0.5,) * 2)
        for other, ends in (((x + 1, y), right), ((x, y + 1), above)):
            if wins.get(other, win) != win:
                axis.plot(*ends, color=style.INK, lw=2.6, zorder=5, solid_capstyle="round")
    axis.grid(False)
    axis.set(xlim=(-0.5, len(across) - 0.5), ylim=(-0.5, len(upwards) - 0.5))
    axis.set_xticks(range(len(across)), across)
    axis.set_yticks(range(len(upwards)), upwards)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)


def _draw_square(axis: Axes, square: Square, x: int, y: int) -> None:
    colour = EVEN if square.speedup is None else colour_of(square.speedup)
    dark = luminance(colour) < _DARK

    def outline(**look: Any) -> None:
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **{"fill": False, "lw": 0, **look}))

    outline(fill=True, facecolor=colour, edgecolor="#ffffff" if dark else style.FAINT, hatch=square.hatch, zorder=2)
    if square.predicted:
        outline(edgecolor=style.VIOLET[1], hatch=PREDICTED, zorder=2.5)
    outline(edgecolor="#ffffff", lw=1.6, zorder=3)
    backed = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if square.hatch or square.predicted else None
    axis.text(x, y, square.words, ha="center", va="center", fontsize=8, color="#ffffff" if dark else style.INK, bbox=backed, zorder=4)  # fmt: skip


def colour_of(speedup: float) -> str:
    """White at 1x, blue above and vermillion below, by the logarithm; full from FULL on."""
    share = min(1.0, abs(math.log2(speedup)) / FULL) ** 0.75
    red, green, blue = (1 - share * (1 - c) for c in mpl.colors.to_rgb(style.FASTER if speedup > 1 else style.SLOWER))
    return str(mpl.colors.to_hex((red, green, blue)))


def luminance(colour: str) -> float:
    """Relative, by sRGB's weights: 0 black, 1 white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _handles(rows: Sequence[Record]) -> list[Artist]:
    hatches = {_square(r).hatch for r in rows}
    states = {
        "undecided": "?  undecided",
        "same": f"=  the same within {percent(EQUIVALENCE_MARGIN)} or the noise",
        "failed": "failed",
    }
    handles = _scale("slower", "faster")
    handles += [_hatched(s, label) for s, label in states.items() if HATCHES[s] in hatches]
    handles += [_mark("~  noisy")] if any(map(is_noisy, rows)) else []
    if panels.predicted(rows):
        handles.append(Patch(facecolor=EVEN, edgecolor=style.VIOLET[1], hatch=PREDICTED, lw=0, label="predicted, nothing was measured"))  # fmt: skip
    return handles


def _scale(below: str, above: str) -> list[Artist]:
    """The legend entries of the colours, with words for a speedup below 1x and one above."""
    shades = ((0.25, f"0.25x: {below}"), (1.0, "1x"), (4.0, f"4x: {above}"))
    return [Patch(facecolor=colour_of(v), edgecolor=style.FAINT, lw=0.6, label=label) for v, label in shades]


def _hatched(state: str, label: str) -> Patch:
    return Patch(facecolor=EVEN, edgecolor=style.FAINT, hatch=HATCHES[state], lw=0.6, label=label)


def _mark(label: str) -> Patch:
    """The legend entry of a letter or sign in a cell."""
    return Patch(facecolor="none", edgecolor="none", label=label)


def draw_predicted(crossovers: CrossoverMap, folder: Path) -> tuple[Path, ...]:
    """Write predicted-crossover-DEVICE.png and .svg into `folder`, a panel for each mode: channels across, batches upwards.

    DEVICE begins with its file's or run's name, and ends in a hash of its figures, where it is not of the table.
    """
    modes = crossovers.modes()
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, axes = style.panels(len(modes), min(2, len(modes)))
        for axis, mode in zip(axes, modes, strict=True):
            cells = crossovers.of(mode)
            batches, channels = sorted({b for b, _ in cells}), sorted({c for _, c in cells})
            squares = {
                (channels.index(c), batches.index(b)): Square(cell.speedup, words.word(cell), HATCHES.get(cell.state))
                for (b, c), cell in cells.items()
            }
            draw_squares(axis, squares, [str(c) for c in channels], [str(b) for b in batches])
            axis.set_xlabel("channels in and out")
            style.name_panel(axis, f"predicted, {mode}")
        axes[0].set_ylabel("batch")
        handles = [
            *_scale("would be slower", "would be faster"),
            _hatched("undecided", f"?  undecided: the model's error{words.or_host(crossovers)} could turn it"),
            *[_mark("h  the host would decide")] * words.of_host(crossovers),
        ]
        style.frame(figure, words.title(crossovers), words.footer(crossovers), handles)
        return style.save(figure, folder, f"predicted-crossover-{crossovers.device.slug}")
