"""Is a row faster, slower, the same or undecided?"""

from __future__ import annotations

import math
from typing import Literal

from bench.spec.interval import EQUIVALENCE_MARGIN, Interval

RowVerdict = Literal["faster", "slower", "same", "undecided"]


def row_verdict(interval: Interval, band: float) -> RowVerdict | None:
    """The verdict on an interval of ln(speedup); None for one process, which gives no interval.

    same: the whole interval lies within ±EQUIVALENCE_MARGIN or, if that is wider, the noise band of `bench aa`. faster,
    slower: the interval excludes 0, and its mean lies beyond the band. undecided: none of them.
    """
    if not math.isfinite(interval.half_width):
        return None
    if interval.within(max(EQUIVALENCE_MARGIN, band)):
        return "same"
    if abs(interval.mean) <= max(interval.half_width, band):
        return "undecided"
    return "faster" if interval.mean > 0 else "slower"
