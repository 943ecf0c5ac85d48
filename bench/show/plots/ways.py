"""One block at one shape in every way that it was run: how far the way of running it moves the answer."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.facts import FEWER_MACS
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import way_grids, way_order
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import device_words, way_labels
from bench.spec.format import times

MOST_WAYS = 18
LEAST_WAYS = 2
BAR = 3.0  # points
_SHADES = {"faster": "#E6F0F7", "slower": "#FBEBDD"}


def picture(run: Run) -> Figure | None:
    """A bar from 1x for each way to run the block at the shape that most ways have; None where fewer than LEAST_WAYS have one."""
    columns = [(g, g.column(g.fullest)) for g in way_grids(records_of(run.pairs))]
    grid, column = max(columns, key=lambda pair: len(pair[1]), default=(None, {}))
    known = {way: r for way, r in column.items() if panels.measured(r)}
    if grid is None or len(known) < LEAST_WAYS:
        return None
    shown = dict(sorted(known.items(), key=lambda pair: way_order(pair[0]))[:MOST_WAYS])
    rows = list(shown.values())
    labels, devices = way_labels(list(shown)), device_words(list(shown))
    figure, (axis,) = style.panels(1)
    always = [0.6, 1.0, *(r["mac_ratio"] for r in rows if r["mac_ratio"])]
    low, high = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), always)
    y, ticks = 0.0, {}
    for device, ways in grouped(shown, lambda w: str(w.device)).items():
        if len(devices) > 1:
            ticks[y] = devices[device]
            y += 1
        for way in ways:
            _bar(axis, shown[way], y)
            ticks[y] = labels[way].removeprefix(f"{devices[device]}, ") if len(devices) > 1 else labels[way]
            y += 1
        y += 0.4
    _dress(axis, rows, ticks, y, (low, high))
    figure.set_size_inches(7.0, 0.27 * y + 0.9)
    for label in axis.get_yticklabels():
        if label.get_text() in devices.values() and len(devices) > 1:
            label.set_fontweight("bold")
    first, (c_in, c_out) = grid.first, grid.fullest
    shape = f"{c_in if c_in == c_out else f'{c_in} to {c_out}'} channels, {grid.kernel} x {grid.kernel}, {first['height']} px"
    left = captions.not_drawn(len(known) - len(shown), "way")
    return panels.frame(figure, run, rows, titles.ways(rows), [], left, marks=f"one shape: {shape}")


def _bar(axis: Axes, row: Record, y: float) -> None:
    """A bar from 1x to the speedup, its interval, and the number at the right: blue faster, orange slower, grey neither."""
    colour = {"faster": style.FASTER, "slower": style.SLOWER}.get(str(row["verdict"]), style.FAINT)
    colour = style.VIOLET[1] if panels.predicted([row]) else colour
    axis.plot([1, row["speedup"]], [y, y], color=colour, lw=BAR, solid_capstyle="butt", zorder=2)
    if row["speedup_ci_low"] is not None:
        axis.plot([row["speedup_ci_low"], row["speedup_ci_high"]], [y, y], color=style.INK, lw=1.2, zorder=3)
    fill = "white" if panels.doubtful(row) else colour
    axis.plot([row["speedup"]], [y], marker="o", ms=6, color=colour, mfc=fill, mew=1.4, zorder=4)
    words, look = times(row["speedup"], row["precision"] or 0.05), {"fontsize": 9, "fontweight": "bold", "va": "center"}
    ink = style.WORDS.get(colour, style.INK)
    style.note(axis, words, (1, y), (4, 0), ink, xycoords=("axes fraction", "data"), annotation_clip=False, **look)


def _dress(axis: Axes, rows: Sequence[Record], ticks: dict[float, str], bottom: float, bounds: tuple[float, float]) -> None:  # fmt: skip
    """The two sides of 1x, what fewer MACs lead one to expect, and the names of the ways."""
    low, high = bounds
    axis.axvspan(low, 1, color=_SHADES["slower"], lw=0, zorder=0)
    axis.axvspan(1, high, color=_SHADES["faster"], lw=0, zorder=0)
    axis.axvline(1, color=style.INK, lw=1.2, zorder=1)
    style.ratio_axis(axis.xaxis, low, high)
    axis.set(ylim=(bottom - 0.8, -1.4), xlabel="speedup: time of standard / time of the block")
    axis.grid(False)
    axis.set_yticks(list(ticks), list(ticks.values()))
    axis.tick_params(axis="y", length=0)
    for word, x, side in (("slower", 0.97, "right"), ("faster", 1.03, "left")):
        colour = style.WORDS[style.SLOWER if word == "slower" else style.FASTER]
        axis.text(x, -0.95, word, ha=side, va="center", fontsize=9.5, fontweight="bold", color=colour)
    ratios = {round(r["mac_ratio"], 2): r["mac_ratio"] for r in rows if r["mac_ratio"] and r["mac_ratio"] > FEWER_MACS}
    for ratio in ratios.values():
        axis.axvline(ratio, color=style.INK, lw=1.2, ls=(0, (5, 3)), zorder=1)
        expected = f"expected by MACs: {times(ratio)}"
        axis.text(ratio / 1.03, -0.95, expected, ha="right", va="center", fontsize=8, color=style.INK)
