"""Where the time goes: each block's or network's time in its layers and in the gaps between, beside the time of its baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from matplotlib.artist import Artist
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import style
from bench.show.plots.facets import MOST_GROUPS, Channels, lay_out
from bench.show.plots.networks import APART
from bench.show.plots.panels import channel_axis, columns, footer, kernels, label_outer, left_out, panel_name
from bench.show.text.ways import words_of
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import in_words, is_cpu
from bench.spec.format import listed, share

PARTS = {
    "conv": ("k x k convolution", style.COLOURS[0]),
    "depthwise": ("depthwise", style.COLOURS[1]),
    "pointwise": ("pointwise", style.COLOURS[2]),
    "norm_act": ("norm and activation", style.COLOURS[3]),
    "other": ("other", style.COLOURS[5]),
    "gaps": ("gaps", "#D9D9D9"),
}
"""Each part's word and colour, in the order of the bars from below."""
MOST_PANELS = 12
_TOLD = 0.1  # of the time, below which a part is not in the title
_PALE = 0.4
_WIDTH = 0.8  # of the step from channels to channels, that the bars of a shape take together


def draw(run: Run, folder: Path) -> tuple[Path, ...]:
    """Write parts.png and .svg into `folder`, if blocks of the run were walked layer by layer, and network_parts if networks were; returns the paths."""
    made = {"parts": picture(run), "network_parts": of_networks(run)}
    return tuple(p for name, figure in made.items() if figure is not None for p in style.save(figure, folder, name))


def picture(run: Run) -> Figure | None:
    """Time over the baseline's against channels, stacked by part, a panel per kernel and way to run; None without walks."""
    rows = walked(run)
    if not rows:
        return None
    base = {r["trial_id"]: float(r["time_median_s"]) for r in rows if r["block"] == r["baseline"]}
    facets = lay_out(rows, ignore=("block",))
    alone = in_words(rows[0]["device"]) if run.members and "device" not in facets.apart else ""
    every = [
        (group, line, kernel)
        for group in facets.groups
        for line in facets.series
        for kernel in kernels([r for r in rows if facets.line(r) == line], group, facets)
    ]
    places = every[:MOST_PANELS]
    blocks = list(dict.fromkeys(str(r["block"]) for r in sorted(rows, key=lambda r: r["block"] != r["baseline"])))
    channels = Channels.of(rows)
    across = columns([(f"{group} {line}", kernel) for group, line, kernel in places])
    figure, axes = style.panels(len(places), across)
    for axis, (group, line, kernel) in zip(axes, places, strict=True):
        here = [r for r in rows if facets.group(r) == group and facets.line(r) == line and r["kernel"] == kernel]
        width = _WIDTH * channels.step / len(blocks)
        for i, block in enumerate(blocks):
            mine = [r for r in here if r["block"] == block]
            _stack(axis.bar, mine, [channels.at(r) + (i - (len(blocks) - 1) / 2) * width for r in mine], base, width)
        axis.axhline(1, color=style.FAINT, lw=1.0, zorder=1)
        channel_axis(axis, channels)
        axis.grid(visible=False, axis="x")
        style.name_panel(axis, panel_name(", ".join(filter(None, (alone, group, line))), kernel))
    label_outer(axes, across, f"time / time of {_baselines(rows)}")
    handles = _handles(rows, f"from left to right: {', '.join(blocks)}")
    more = " ".join(filter(None, [left_out(run, facets, rows), _unwalked(run, rows)]))
    if len(every) > len(places):
        more = f"{len(every) - len(places)} more panels are not drawn; measurements.csv has them. {more}".strip()
    style.frame(figure, title(rows), footer(run, rows, _how(rows)), handles, more)
    return figure


def of_networks(run: Run) -> Figure | None:
    """A bar for each network, its time over the baseline's, stacked by part; a panel per place, batch and size of image. None without walks."""
    rows = _with_baselines([r for r in records_of(run.measurements) if r["kernel"] is None])
    if not rows:
        return None
    base = {r["trial_id"]: float(r["time_median_s"]) for r in rows if r["block"] == r["baseline"]}
    words = words_of(rows, APART)
    groups = list(dict.fromkeys(words))
    shown = groups[:MOST_GROUPS]
    networks = list(dict.fromkeys(str(r["block"]) for r in sorted(rows, key=lambda r: r["block"] != r["baseline"])))
    across = columns([(group, 0) for group in shown])
    figure, axes = style.panels(len(shown), across)
    for axis, group in zip(axes, shown, strict=True):
        here = [r for r, w in zip(rows, words, strict=True) if w == group]
        _stack(axis.barh, here, [networks.index(r["block"]) for r in here], base, _WIDTH)
        axis.axvline(1, color=style.FAINT, lw=1.0, zorder=1)
        axis.grid(visible=False, axis="y")
        axis.set_yticks(range(len(networks)), networks)
        axis.set_ylim(len(networks) - 0.5, -0.5)
        axis.set_xlabel(f"time / time of {_baselines(rows)}")
        style.name_panel(axis, group)
    longest = max(axis.dataLim.x1 for axis in axes)
    for axis in axes:
        axis.set_xlim(0, 1.03 * longest)
    label_outer(axes, across, "")
    more = f"{len(groups) - len(shown)} more groups of panels are not drawn; measurements.csv has them." if len(groups) > len(shown) else ""  # fmt: skip
    style.frame(figure, title(rows), footer(run, rows, _how(rows)), _handles(rows), more)
    return figure


def show(run: Run) -> None:
    """Print what the title says, if blocks of the run were walked."""
    rows = walked(run)
    if rows:
        print(f"\n{title(rows)}")


def walked(run: Run) -> list[Record]:
    """The rows of a sweep of shapes whose blocks were walked, with their baselines."""
    return _with_baselines(sweep_of_shapes(records_of(run.measurements)))


def _with_baselines(every: Sequence[Record]) -> list[Record]:
    rows = [r for r in every if r["status"] in MEASURED and r["time_in_gaps_s"] is not None]
    known = {r["trial_id"] for r in rows if r["block"] == r["baseline"]}
    return [r for r in rows if r["trial_id"] in known]


def title(rows: Sequence[Record]) -> str:
    """Of the block that is compared, on each device, the parts that take a tenth of its time or more, medians over cells.

    Noisy cells have no say, unless all are.
    """
    noisy = {r["trial_id"] for r in rows if is_noisy(r)}
    calm, every = [r for r in rows if r["trial_id"] not in noisy], len({r["trial_id"] for r in rows})
    said_of = "medians of cells"
    if noisy:
        said_of += f", {len(noisy)} of {every} left out as noisy" if calm else ", all of them noisy"
    rows = calm or rows
    others = [r for r in rows if r["block"] != r["baseline"]] or list(rows)
    block = next((r["block"] for r in others if r["time_in_depthwise_s"] > 0), others[0]["block"])
    mine = [r for r in others if r["block"] == block]
    devices = list(dict.fromkeys(str(r["device"]) for r in mine))
    said = []
    for device in devices:
        cells = [r for r in mine if str(r["device"]) == device]
        shares = {p: median(r[f"time_in_{p}_s"] / r["time_median_s"] for r in cells) for p in PARTS}
        told = sorted((p for p in PARTS if shares[p] >= _TOLD), key=lambda p: -shares[p])
        where = f"on {in_words(device)} " if len(devices) > 1 else ""
        said.append(where + listed([f"{PARTS[p][0]} {share(shares[p])}" for p in told]))
    return f"Where the time of {block} goes ({said_of}): {'; '.join(said)}"


def _unwalked(run: Run, rows: Sequence[Record]) -> str:
    """Which of several runs have sweeps and no walks."""
    swept = {r["run_id"] for r in sweep_of_shapes(records_of(run.measurements)) if r["status"] in MEASURED} - {r["run_id"] for r in rows}  # fmt: skip
    letters = [letter for letter in run.members if letter in swept]
    return f"Not walked layer by layer: run{'s' if len(letters) > 1 else ''} {listed(letters)}." if letters else ""


def _stack(draw: Callable[..., BarContainer], rows: Sequence[Record], places: Sequence[float], base: dict[str, float], width: float) -> None:  # fmt: skip
    """A bar for each row, from 0 on in the order of PARTS, by an axis's `bar` or `barh`; pale where the row is noisy."""
    feet = [0.0] * len(rows)
    for part, (_, colour) in PARTS.items():
        heights = [max(0.0, r[f"time_in_{part}_s"]) / base[r["trial_id"]] for r in rows]
        bars = draw(places, heights, width, feet, color=colour, edgecolor="white", linewidth=0.5, zorder=2)
        for bar, r in zip(bars, rows, strict=True):
            bar.set_alpha(_PALE if is_noisy(r) else None)
        feet = [foot + height for foot, height in zip(feet, heights, strict=True)]


def _handles(rows: Sequence[Record], order: str = "") -> list[Artist]:
    used = [p for p in PARTS if any(r[f"time_in_{p}_s"] > 0 for r in rows)]
    handles: list[Artist] = [Patch(color=PARTS[p][1], label=PARTS[p][0]) for p in used]
    handles += [Patch(alpha=0, label=order)] if order else []
    return handles + ([Patch(color=style.FAINT, alpha=_PALE, label="pale: noisy")] if any(map(is_noisy, rows)) else [])


def _how(rows: Sequence[Record]) -> str:
    clock = "" if all(is_cpu(r["device"]) for r in rows) else ", a card's layers by its own clock"
    return f"the least of walks layer by layer and of calls beside them{clock}, medians over processes · gaps: the rest of the call (below 0 not drawn)"


def _baselines(rows: Sequence[Record]) -> str:
    names = list(dict.fromkeys(str(r["baseline"]) for r in rows))
    return names[0] if len(names) == 1 else "the baseline"
