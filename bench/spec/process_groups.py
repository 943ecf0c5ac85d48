"""Do the processes of a trial fall into two groups, such as fast and slow memory placement? By their largest gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from bench.spec.format import change

LEAST_GAP = 0.03  # ln
LEAST_PROCESSES = 6  # fewer can't tell a group from a wide spread


@dataclass(frozen=True, slots=True)
class Groups:
    """Two groups of `n` processes: `few` of them, at most half, read `apart` (ln) above the others."""

    few: int
    n: int
    apart: float

    @property
    def note(self) -> str:
        """For quality_notes: `2 of 12 processes read 21 % lower, apart from the others`."""
        read = "reads" if self.few == 1 else "read"
        return f"{self.few} of {self.n} processes {read} {change(self.apart)}, apart from the others"


def two_groups(values: Sequence[float]) -> Groups | None:
    """The groups on both sides of the largest gap between one value per process (ln); None without a clear gap.

    A gap is clear above LEAST_GAP and above 36 / (n - 1.5) times the pooled standard deviation within the groups: of n
    values from one normal distribution, whatever its spread, under 2 % show such a gap (tests/test_process_groups.py).
    """
    n = len(values)
    if n < LEAST_PROCESSES:
        return None
    ordered = sorted(values)
    gap, cut = max((high - low, i) for i, (low, high) in enumerate(pairwise(ordered), 1))
    low, high = ordered[:cut], ordered[cut:]
    squares = math.fsum((v - fmean(group)) ** 2 for group in (low, high) for v in group)
    if gap <= max(LEAST_GAP, 36 / (n - 1.5) * math.sqrt(squares / (n - 2))):
        return None
    few, most = sorted((low, high), key=len)
    return Groups(len(few), n, fmean(few) - fmean(most))
