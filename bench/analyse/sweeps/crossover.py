"""Where ln of a ratio, measured at several numbers of channels, crosses a line: from how many channels on a claim holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.spec.interval import Interval

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
