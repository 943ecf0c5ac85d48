"""Is a row faster, slower, the same or undecided? The ±3 % that counts as the same stands here."""

from __future__ import annotations

import math
from typing import Literal

from bench.analyse.stats.estimators import CONFIDENCE
from bench.analyse.stats.multiple_testing import equivalent
from bench.spec.interval import Interval

EQUIVALENCE_MARGIN = 0.03
"""ln: a difference that does not matter, to a row and to a claim."""

RowVerdict = Literal["faster", "slower", "same", "undecided"]


def row_verdict(interval: Interval, band: float, confidence: float = CONFIDENCE) -> RowVerdict | None:
    """The verdict on an interval of ln(speedup); None for one process, which gives no interval.

    same: within ±EQUIVALENCE_MARGIN or, if that is wider, the noise band of `bench aa`, by two one-sided tests. faster,
    slower: the interval excludes 0, and its mean lies beyond the band. undecided: none of them.
    """
    if not math.isfinite(interval.half_width):
        return None
    if equivalent(interval, max(EQUIVALENCE_MARGIN, band), confidence) <= 1 - confidence:
        return "same"
    if abs(interval.mean) <= max(interval.half_width, band):
        return "undecided"
    return "faster" if interval.mean > 0 else "slower"
