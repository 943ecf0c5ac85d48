"""From how many channels on separable is faster: predicted from the costs of a layer and a MAC, and measured.

The costs are those of bench.analyse.sweeps.costs: time = a x layers + b x MACs, by condition and block. A layer is a
convolution with the batch norm and ReLU that follow it, in a stack as in the channel sweep. With c channels in and out, P
output pixels of the whole batch and kernel k, standard has 1 layer and c^2 k^2 P MACs, and separable 2 layers and c
(k^2 + c) P, so that equal times mean (b_standard k^2 - b_separable) P c^2 - b_separable k^2 P c - (2 a_separable -
a_standard) = 0.

Limits: b is of the stacks' kernel, channels and maps and is used for all others, and the cost of a layer's activations is
part of a and b. The interval shows how well the times are known, not whether the model is right: the comparison with the
measured crossing shows that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.analyse.stats.estimators import Floats, log_interval
from bench.analyse.sweeps.costs import LayerMacCosts, both_blocks, fitted, single_blocks
from bench.analyse.sweeps.designed import Estimate, Sweep
from bench.spec.columns import SPEEDUP
from bench.spec.format import digits
from bench.spec.interval import Interval

FEWEST_CHANNELS = 3  # of a row; with fewer a crossing means nothing
Kind = Literal["crosses", "below", "above", "stops", "several"]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where measured speedups along one row of channels cross 1 (or another line), by straight lines through ln speedup over ln channels.

    crosses: separable is faster from `channels` on, which lies between the measured `before` and `after`. `low` and
    `high`: the range that the crossing lies in; None where an end does not lie within the row. below, above: it is faster in
    all of the row, or nowhere. stops: it is faster up to `channels`. several: it crosses at each of `crossings`.
    """

    kind: Kind
    least: int
    most: int
    crossings: tuple[float, ...] = ()
    before: int | None = None
    after: int | None = None
    low: float | None = None
    high: float | None = None

    @property
    def channels(self) -> float | None:
        """The one crossing; None where there are none or several."""
        return self.crossings[0] if len(self.crossings) == 1 else None


@dataclass(frozen=True, slots=True)
class Crossover:
    """One row of channels at one condition, size and kernel: the predicted and the measured crossing.

    `predicted` is inf where separable is never faster by the model.
    """

    condition: Condition
    experiment: str
    kernel: int
    height: int
    width: int
    predicted: Estimate
    measured: Crossing

    @property
    def agrees(self) -> bool | None:
        """Whether the predicted and the measured range overlap; None where either has no interval."""
        low, high = self.measured_range
        if self.predicted.low is None or self.predicted.high is None or self.measured.kind in ("several", "stops"):
            return None
        return self.predicted.low <= high and low <= self.predicted.high

    @property
    def off(self) -> float | None:
        """The factor, 1 or more, between the predicted and the measured crossing; None for kinds several and stops.

        1 where both lie beyond the same end of the row.
        """
        p, f = self.predicted.value, self.measured
        if f.kind in ("several", "stops"):
            return None
        if f.channels is not None:
            return max(p / f.channels, f.channels / p) if p > 0 else math.inf
        return max(1.0, p / f.least if f.kind == "below" else f.most / p if p else math.inf)

    @property
    def measured_range(self) -> tuple[float, float]:
        """The range of the measured crossing; 0 and inf stand for beyond the row."""
        f = self.measured
        if f.kind == "below":
            return 0.0, float(f.least) if f.high is None else f.high
        if f.kind == "above":
            return float(f.most) if f.low is None else f.low, math.inf
        return 0.0 if f.low is None else f.low, math.inf if f.high is None else f.high


def crossovers(sweeps: Iterable[Sweep], pairs: Iterable[Record]) -> tuple[Crossover, ...]:
    """Each row of channels whose condition has sweeps of layers of both blocks, with both crossings."""
    fits = fitted(sweeps)
    first = {key[0]: key for key in reversed(fits)}
    compared = []
    for (condition, experiment, kernel, height, width), rows in _rows(pairs).items():
        if condition in first:
            standard, separable = both_blocks(fits.get((condition, kernel)) or fits[first[condition]])
            predicted = _predicted(standard, separable, kernel, height * width * (condition.batch or 1))
            compared.append(Crossover(condition, experiment, kernel, height, width, predicted, measured_crossing(rows)))
    return tuple(compared)


def solved(layers_s: Floats, standard_s: Floats, separable_s: Floats, kernel: int, pixels: int) -> Floats:
    """The channels from which on separable takes less time; inf if it is never faster, 0 if it always is.

    From the seconds by which its layers cost more than standard's, and the seconds of each block's MAC.
    """
    squared = kernel**2
    lead = (standard_s * squared - separable_s) * pixels
    linear = separable_s * squared * pixels
    under = linear**2 + 4 * lead * layers_s
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.where(under < 0, 0.0, (linear + np.sqrt(under)) / (2 * lead))
    return np.where(lead > 0, root, math.inf)


def measured_crossing(rows: Sequence[Record]) -> Crossing:
    """Where the measured speedups of pairs with different channels cross 1."""
    return crossing([(int(r["c_in"]), log_interval(r, SPEEDUP)) for r in rows])


def crossing(points: Iterable[tuple[int, Interval]], line: float = 0.0) -> Crossing:
    """Where ln of a ratio, measured at different channels (two points at least), crosses a line, by straight lines through ln channels.

    The range from `low` to `high` holds where the ends of the intervals cross, and where the curve may cross between two
    points: see `_bend`.
    """
    points = sorted(points, key=lambda point: point[0])
    channels = [c for c, _ in points]
    x = [math.log(c) for c in channels]
    y, bottom, top = ([value - line for value in ends] for ends in zip(*((i.mean, i.low, i.high) for _, i in points), strict=True))  # fmt: skip
    every, least, most = _crossings(x, y), channels[0], channels[-1]
    known = all(math.isfinite(i.half_width) for _, i in points)
    crossed = [_crossings(x, end) if known else [] for end in (top, bottom)]
    ends = [math.exp(c[0]) if len(c) == 1 else None for c in crossed]  # none where there is no crossing or several
    if not every:
        return Crossing("below" if y[0] > 0 else "above", least, most, low=ends[0], high=ends[1])
    at = tuple(math.exp(c) for c in every)
    if len(at) > 1:
        return Crossing("several", least, most, at)
    after = next(c for c in channels if c >= at[0] * (1 - 1e-9))
    before = channels[max(0, channels.index(after) - 1)]
    rises = y[-1] > 0
    first, last = ends if rises else ends[::-1]
    bent = [math.exp(v) for v in _bend(x, y, channels.index(before), every[0])] if before < after else []
    low, high = (None if end is None else pick([end, *bent]) for end, pick in ((first, min), (last, max)))
    return Crossing("crosses" if rises else "stops", least, most, at, before, after, low, high)


def predicted_words(e: Estimate) -> str:
    """`21 [15, 30] channels`, or that separable never wins."""
    return "that separable never wins" if math.isinf(e.value) else f"{_ranged(e.value, e.low, e.high)} channels"


def measured_words(f: Crossing) -> str:
    """The measured crossing in words: `found 24 [22, 26], between 16 and 32`."""
    match f.kind:
        case "below":
            return f"found below {f.least}: separable wins in the whole row"
        case "above":
            return f"found above {f.most}: separable wins nowhere in the row"
        case "several":
            return f"several crossings found, at {', '.join(_whole(c) for c in f.crossings)}"
        case "stops":
            return f"but separable was found to win only up to {_ranged(f.crossings[0], f.low, f.high)}"
    return f"found {_ranged(f.crossings[0], f.low, f.high)}, between {f.before} and {f.after}"


def _ranged(channels: float, low: float | None, high: float | None) -> str:
    return _whole(channels) + ("" if low is None or high is None else f" [{_whole(low)}, {_whole(high)}]")


def _whole(channels: float) -> str:
    if math.isinf(channels):
        return "never"
    return digits(channels, 2) if channels < 1 else f"{channels:.0f}"


def _predicted(standard: LayerMacCosts, separable: LayerMacCosts, kernel: int, pixels: int) -> Estimate:
    """The channels of equal times by both blocks' costs."""

    def channels(a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
        return solved(2 * c - a, b, d, kernel, pixels)

    return Estimate.by(channels, standard.layer_s, standard.mac_s, separable.layer_s, separable.mac_s)


def _rows(pairs: Iterable[Record]) -> dict[tuple[Condition, str, int, int, int], list[Record]]:
    """Measured pairs of the two blocks that differ in their channels alone, one block deep."""
    rows = single_blocks(pairs)
    groups = grouped(rows, lambda r: (Condition.of(r, r["run_id"]), r["experiment"], r["kernel"], r["height"], r["width"]))  # fmt: skip
    return {k: rows for k, rows in groups.items() if len({r["c_in"] for r in rows}) == len(rows) >= FEWEST_CHANNELS}


def _crossings(x: Sequence[float], y: Sequence[float]) -> list[float]:
    """Where straight lines through the points change sign; a point at 0 itself belongs to the side before it."""
    signs = [v > 0 for v in y]
    return [x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1]) for i in range(len(x) - 1) if signs[i] != signs[i + 1]]


def _bend(x: Sequence[float], y: Sequence[float], i: int, chord: float) -> list[float]:
    """How far to each side of the `chord`'s crossing between points i and i + 1 a bending curve may cross 0.

    A convex or concave curve crosses between there and where the extensions of the neighbouring chords meet 0: the nearer
    of the two, as both bound it. Without a neighbour on either side it crosses anywhere between the points.
    """
    if not 0 < i < len(x) - 2:
        return [x[i], x[i + 1]]
    chords = [(j, (y[j + 1] - y[j]) / (x[j + 1] - x[j])) for j in (i - 1, i + 1)]
    meet = [min(max(x[j] - y[j] / slope, x[i]), x[i + 1]) if slope else x[i + 1] for j, slope in chords]
    return [
        max((at for at in meet if at <= chord), default=chord),
        min((at for at in meet if at > chord), default=chord),
    ]
