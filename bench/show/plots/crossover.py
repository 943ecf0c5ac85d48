"""Where separable starts to win on an axis of channels: predicted from what layers and MACs cost, and measured."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.crossover import Crossover, crossovers, measured_words, predicted_words
from bench.analyse.sweeps.designed import find
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import way_labels

_PREDICTED, _MEASURED = style.Look(style.VIOLET[0], "s", "-"), style.Look(style.INK, "o", "-")
_MARKS = (
    "predicted: time = a x layers + b x MACs, a and b of each block by relative least squares over its sweeps of stacks"
    " · its bar: 95 % interval over resamples of those times, not of the model"
    " · measured: speedup 1 by lines through ln speedup over ln channels · its bar: where the ends of the 95 % intervals cross"
)


def picture(run: Run) -> Figure | None:
    """A panel for each place, in it a pair of bars for each kernel: the predicted range above the measured one."""
    pairs = records_of(run.pairs)
    crossings = crossovers(find(records_of(run.measurements)), pairs)
    if not crossings:
        return None
    words = way_labels(list(dict.fromkeys(c.condition for c in crossings)))
    keys = list(dict.fromkeys(map(_key, crossings)))
    shown = keys[: panels.MOST_GROUPS]
    figure, axes = style.panels(len(shown), share_y="none")
    low, high = min(c.measured.least for c in crossings), max(c.measured.most for c in crossings)
    for axis, key in zip(axes, shown, strict=True):
        here = [c for c in crossings if _key(c) == key]
        _scale(axis, low, high, here)
        for i, c in enumerate(here):
            _pair(axis, c, len(here) - 1 - i)
        size = f"{key[2]} px" if len({(c.height, c.width) for c in crossings}) > 1 else ""
        style.name_panel(axis, ", ".join(filter(None, (words[key[0]], size))))
    panels.label_outer(axes, "kernel")
    left = captions.not_drawn(len(keys) - len(shown), "place")
    drawn = [c for c in crossings if _key(c) in shown]
    of = {(c.experiment, c.condition.device) for c in drawn}
    blocks = [r for r in pairs if (r["experiment"], r["device"]) in of and panels.measured(r)]
    title = titles.crossover(drawn)
    return panels.frame(figure, run, blocks, title, _handles(), left, hollow=False, bars="", marks=_MARKS)


def _key(c: Crossover) -> tuple[Condition, str, int, int]:
    return c.condition, c.experiment, c.height, c.width


def _scale(axis: Axes, low: int, high: int, here: Sequence[Crossover]) -> None:
    """Channels on a logarithmic axis a step wider than what was measured, which is shaded; kernels downwards."""
    ticks = [2.0**e for e in range(math.floor(math.log2(low)) - 1, math.ceil(math.log2(high)) + 2)]
    style.log_axis(axis.xaxis, low / 2.6, high * 2.6, ticks[:: math.ceil(len(ticks) / 10)], lambda v: f"{v:g}")
    axis.axvspan(here[0].measured.least, here[0].measured.most, color=style.GRID, alpha=0.5, lw=0, zorder=0)
    axis.set(ylim=(-0.6, len(here) - 0.3), yticks=range(len(here)))
    axis.set_yticklabels([f"{c.kernel} x {c.kernel}" for c in reversed(here)])
    axis.grid(False, axis="y")
    axis.set_xlabel("channels in and out from which separable wins")


def _pair(axis: Axes, c: Crossover, y: float) -> None:
    """The prediction above, what was measured below; an arrow where either lies beyond the axis or the row."""
    p, f = c.predicted, c.measured
    _bar(axis, p.value, p.low, p.high, y + 0.17, _PREDICTED)
    predicted = "never" if math.isinf(p.value) else predicted_words(p).removesuffix(" channels")
    _word(axis, predicted, p.value, y + 0.17, _PREDICTED)
    low, high = c.measured_range
    if f.kind in ("below", "above"):
        edge, beyond = (f.least, f.least / 1.5) if f.kind == "below" else (f.most, f.most * 1.5)
        axis.annotate("", (beyond, y - 0.17), (edge, y - 0.17), arrowprops={"arrowstyle": "->", "color": _MEASURED.colour, "lw": 1.4})  # fmt: skip
        _word(axis, f"{f.kind} {f.least if f.kind == 'below' else f.most}", edge, y - 0.17, _MEASURED)
        return
    for i, at in enumerate(f.crossings):
        sure = (f.low, f.high) != (None, None)  # an end that is open reaches the edge
        _bar(axis, at, low if sure else None, high if sure else None, y - 0.17, _MEASURED)
        if i == 0:
            _word(axis, measured_words(f).removeprefix("found ").partition(", between")[0], at, y - 0.17, _MEASURED)


def _bar(axis: Axes, at: float, low: float | None, high: float | None, y: float, seen: style.Look) -> None:
    """A marker (of a prediction hollow) with its interval, cut at the edges of the axis, where an arrow stands for a marker beyond."""
    left, right = axis.get_xlim()
    if low is not None and high is not None:
        axis.plot([max(low, left), min(high, right)], [y, y], color=seen.colour, lw=2.2, solid_capstyle="butt", zorder=2)  # fmt: skip
    marker = seen.marker if left < at < right else "<" if at <= left else ">"
    axis.plot([min(max(at, left * 1.06), right / 1.06)], [y], marker=marker, ms=6, color=seen.colour, mfc="white" if seen is _PREDICTED else seen.colour, mew=1.3, zorder=4)  # fmt: skip


def _word(axis: Axes, text: str, at: float, y: float, seen: style.Look) -> None:
    """A bar's words above it, on the side of the panel where there is room."""
    left, right = axis.get_xlim()
    share = math.log(min(max(at, left), right) / left) / math.log(right / left)
    side = "left" if share < 0.3 else "right" if share > 0.7 else "center"
    style.note(axis, text, (min(max(at, left), right), y), (0, 4), seen.colour, ha=side, va="bottom")


def _handles() -> list[Artist]:
    words = "predicted from the cost of layers and MACs"
    return [
        style.proxy(words, _PREDICTED.colour, _PREDICTED.marker, "-", hollow=True),
        style.proxy("measured", _MEASURED.colour, _MEASURED.marker, "-"),
        Patch(color=style.GRID, alpha=0.5, lw=0, label="channels that were measured"),
    ]
