"""Why it is faster or slower: what one shape's layers and MACs cost each block, and beside it the measured speedup."""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps import costs
from bench.analyse.sweeps.costs import BASELINE, BLOCK, Way
from bench.analyse.sweeps.designed import Estimate, find
from bench.show.plots.shared import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import way_labels
from bench.spec.format import in_seconds, size_word, times

MOST_WAYS = 16
_TALL, _APART = 0.32, 0.36  # of a bar, and from one block's to the other's; 1 from one way to the next
_COLOURS = {"faster": style.FASTER, "slower": style.SLOWER}
_HOW = "time = a x layers + b x MACs, a and b of each way and block by relative least squares over its sweeps of stacks"
_MARKS = "thin lines: 95 % interval of a bar's parts over resamples of the sweeps' times, not of the model; without an end beyond the axis"


def picture(run: Run) -> Figure | None:
    """Two bars for each way to run the shape that was measured in most of them, relative to the standard block's time."""
    explained = costs.ways(find(records_of(run.measurements)), records_of(run.pairs))
    if explained is None:
        return None
    (channels, kernel, height, width), every = explained
    shown = every[:MOST_WAYS]
    ys = [0.0]
    for one, other in pairwise(w.condition for w in shown):
        ys.append(ys[-1] + (1 if (one.device, one.mode) == (other.device, other.mode) else 1.35))
    figure, (axis,) = style.panels(1)
    words = way_labels([w.condition for w in shown])
    figure.set_size_inches(7.8 + 0.075 * max(map(len, words.values())), 0.46 * (ys[-1] + 1) + 0.7)
    for y, way in zip(ys, shown, strict=True):
        style.note(axis, words[way.condition], (0, y + _APART / 2), (-168, 0), style.INK, ha="right", va="center", fontsize=9, fontweight="bold")  # fmt: skip
        _bar(axis, y, way.standard_layers, Estimate(1.0, None, None))
        _bar(axis, y + _APART, way.separable_layers, way.separable_time)
        _measured(axis, y + _APART, way)
    most = max(1.0, *(w.separable_time.value for w in shown), *(1 / w.measured["speedup"] for w in shown if w.measured))
    axis.set(xlim=(0, min(axis.get_xlim()[1], 2 * most)), ylim=(ys[-1] + 0.7, -0.3))
    named = [(y, BASELINE, w.standard) for y, w in zip(ys, shown, strict=True)]
    named += [(y + _APART, BLOCK, w.separable) for y, w in zip(ys, shown, strict=True)]
    axis.set_yticks([y for y, *_ in named], [f"{block}: {_seconds(cost.layer_s.value)} a layer, {_seconds(1e9 * cost.mac_s.value)} a GMAC" for _, block, cost in named], fontsize=7.5)  # fmt: skip
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")
    axis.axvline(1, color=style.INK, lw=1, zorder=4)
    axis.set_xlabel("time over that of the standard block: left of 1 separable is faster")
    style.name_panel(axis, f"One {kernel} x {kernel} convolution, {channels} channels, {size_word(height, width)}")
    rows = [r for r in records_of(run.measurements) if Condition.of(r, r["run_id"]) in words]
    off = [w.off for w in every if w.off]
    apart = f"speedups measured and by costs: {times(median(off), lines=(1.0,))} apart (median), {times(max(off), lines=(1.0,))} (most)"
    handles: list[Artist] = [
        Patch(color=style.LAYERS[0], label="cost of its layers"),
        Patch(color=style.MACS[0], label="cost of its MACs"),
        style.proxy("measured in another experiment, with its interval", style.INK, "D", "-", hollow=True),
    ]
    left = captions.not_drawn(len(every) - len(shown), "way", "measurements.csv")
    return panels.frame(figure, run, rows, titles.costs(shown), handles, left, hollow=False, how=_HOW, bars="", marks=f"{_MARKS} · {apart}")  # fmt: skip


def _seconds(cost: float) -> str:
    return in_seconds(cost, 2) if cost else "~0 s"


def _bar(axis: Axes, y: float, layers: Estimate, whole: Estimate) -> None:
    """A block's layers and MACs, with the intervals of where they end."""
    axis.barh(y, layers.value, _TALL, color=style.LAYERS[0])
    axis.barh(y, whole.value - layers.value, _TALL, left=layers.value, color=style.MACS[0])
    for end, lower in ((layers, -0.1), (whole, 0.1)):
        _interval(axis, end.low, end.high, y + lower, style.FAINT)


def _interval(axis: Axes, low: float | None, high: float | None, y: float, colour: str) -> None:
    """A line with caps, readable on a bar and beside it; nothing without ends."""
    if low is not None and high is not None:
        xs, ys = [low, low, low, high, high, high], [y - 0.055, y + 0.055, y, y, y - 0.055, y + 0.055]
        white = [withStroke(linewidth=2.2, foreground="white")]
        axis.plot(xs, ys, color=colour, lw=1, zorder=5, path_effects=white)


def _measured(axis: Axes, y: float, way: Way) -> None:
    """A diamond on the bar; at the right the measured speedup, its verdict, and the speedup by the costs."""
    row, by_costs = way.measured, f"costs say {times(1 / way.separable_time.value, lines=(1.0,))}"
    verdict = "shape not measured" if row is None else row["verdict"] or "no interval"
    colour = _COLOURS.get(verdict, style.FAINT)
    beside: dict[str, Any] = {"xycoords": axis.get_yaxis_transform(), "va": "center"}
    style.note(axis, f"{verdict}\n{by_costs}", (1, y - _APART / 2), (58, 0), colour, **beside)
    if row is not None:
        style.note(axis, times(row["speedup"], lines=(1.0,)), (1, y - _APART / 2), (8, 0), colour, fontsize=12, fontweight="bold", **beside)  # fmt: skip
        low, high = (row[name] and 1 / row[name] for name in ("speedup_ci_high", "speedup_ci_low"))
        _interval(axis, low, high, y, style.INK)
        axis.plot([1 / row["speedup"]], [y], marker="D", ms=5, color=style.INK, mfc="white", mew=1.3, zorder=6)
