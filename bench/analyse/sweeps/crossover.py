"""Where ln of a ratio, measured at several numbers of channels, crosses a line: from how many channels on a claim holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.spec.interval import Interval


@dataclass(frozen=True, slots=True)
class Channels:
    """A number of channels with the range that it lies in; None for an end that was not measured."""

    value: float
    low: float | None
    high: float | None


def crossing(points: Iterable[tuple[int, Interval]], line: float = 0.0) -> Channels | None:
    """Where ln of a ratio at two or more numbers of channels crosses a line once, by straight lines through ln channels.

    None where it crosses nowhere or several times. The range from `low` to `high` holds where the ends of the intervals
    cross, and where the curve may cross between two points: see `_bend`. An end that does not lie within the row is None.
    """
    points = sorted(points, key=lambda point: point[0])
    x = [math.log(c) for c, _ in points]
    y, bottom, top = ([end - line for end in ends] for ends in zip(*((i.mean, i.low, i.high) for _, i in points), strict=True))  # fmt: skip
    every = _crossings(x, y)
    if len(every) != 1:
        return None
    at = math.exp(every[0])
    after = next(i for i, (c, _) in enumerate(points) if c >= at * (1 - 1e-9))
    bent = [math.exp(v) for v in _bend(x, y, after - 1, every[0])] if after else []
    known = all(math.isfinite(i.half_width) for _, i in points)
    crossed = [_crossings(x, end) if known else [] for end in ((top, bottom) if y[-1] > 0 else (bottom, top))]
    first, last = (math.exp(c[0]) if len(c) == 1 else None for c in crossed)
    low, high = (None if end is None else pick([end, *bent]) for end, pick in ((first, min), (last, max)))
    return Channels(at, low, high)


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
