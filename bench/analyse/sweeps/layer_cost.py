"""What one layer or one MAC costs in seconds, with its interval: the slope of a sweep's straight line (`Sweep.line`).

The interval comes from drawing each point's time again within its interval: Student's t with the processes' degrees of
freedom. It shows how well the points are known, not how straight the line is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from bench.analyse.stats.arrays import Floats
from bench.analyse.stats.estimators import CONFIDENCE, standard_error
from bench.analyse.sweeps.designed import Sweep

RESAMPLES = 1000
SEED = 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its percentile interval over resamples; low and high are None where a point has no interval."""

    value: float
    low: float | None
    high: float | None

    draws: Floats | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, value: float, draws: Floats | None) -> Estimate:
        """The value, with the middle of the draws (some may be infinite)."""
        if draws is None:
            return cls(value, None, None)
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], method="nearest")  # no mean of a number and infinity
        return cls(value, float(low), float(high), draws)

    def per(self, count: float) -> Estimate:
        """The share of each of so many."""
        return Estimate.of(self.value / count, None if self.draws is None else self.draws / count)


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Seconds for each unit of the growing count, and seconds at a count of 0."""

    each: Estimate
    constant: Estimate


def unit_cost(sweep: Sweep, seed: int = SEED) -> UnitCost:
    """The costs by the sweep's line. The same sweep and seed give the same draws."""
    times = drawn(sweep, seed, RESAMPLES)
    draws = (None, None) if times is None else np.array([sweep.line(row) for row in times]).T
    each, constant = map(Estimate.of, sweep.line(), draws)
    return UnitCost(each, constant)


def drawn(sweep: Sweep, seed: int, resamples: int) -> Floats | None:
    """Times of the points drawn anew, a row for each resample; None where a point has no interval."""
    known = [p.log_time for p in sweep.points]
    if any(i.n < 2 or not math.isfinite(i.half_width) for i in known):
        return None
    rng = np.random.default_rng(seed)
    errors = [standard_error(i) for i in known]
    ts = np.column_stack([rng.standard_t(i.n - 1, resamples) for i in known])
    return np.asarray(np.exp(np.array([i.mean for i in known]) + ts * np.array(errors)), dtype=np.float64)
