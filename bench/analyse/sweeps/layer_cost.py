"""What one layer or one MAC costs in seconds, with its interval: the slope of a sweep's straight line (`Sweep.line`).

The interval comes from drawing each point's time again within its interval: Student's t with the processes' degrees of
freedom. It shows how well the points are known, not how straight the line is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

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

    @classmethod
    def of(cls, value: float, draws: Floats | None) -> Estimate:
        """The value, with the middle of the draws (some may be infinite)."""
        if draws is None:
            return cls(value, None, None)
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], method="nearest")  # no mean of a number and infinity
        return cls(value, float(low), float(high))


@dataclass(frozen=True, slots=True)
class UnitCost:
    """Seconds for each unit of the growing count, and seconds at a count of 0; with the draws behind both intervals."""

    each: Estimate
    constant: Estimate
    draws: tuple[Floats, Floats] | None


def unit_cost(sweep: Sweep, seed: int = SEED, resamples: int = RESAMPLES) -> UnitCost:
    """The costs by the sweep's line. The same sweep and seed give the same draws."""
    each, constant = sweep.line()
    times = drawn(sweep, seed, resamples)
    if times is None:
        return UnitCost(Estimate(each, None, None), Estimate(constant, None, None), None)
    draws = lines(sweep.counts(), times)
    return UnitCost(Estimate.of(each, draws[0]), Estimate.of(constant, draws[1]), draws)


def drawn(sweep: Sweep, seed: int, resamples: int) -> Floats | None:
    """Times of the points drawn anew, a row for each resample; None where a point has no interval."""
    known = [p.log_time for p in sweep.points]
    if any(i.n < 2 or not math.isfinite(i.half_width) for i in known):
        return None
    rng = np.random.default_rng(seed)
    errors = [standard_error(i) for i in known]
    ts = np.column_stack([rng.standard_t(i.n - 1, resamples) for i in known])
    return np.asarray(np.exp(np.array([i.mean for i in known]) + ts * np.array(errors)), dtype=np.float64)


def lines(counts: Floats, times: Floats) -> tuple[Floats, Floats]:
    """`Sweep.line` for each row of times: least squares of relative errors of each x count + constant, neither below 0."""
    x, w = counts / times, 1 / times
    xx, xw, ww = (x * x).sum(1), (x * w).sum(1), (w * w).sum(1)
    sx, sw = x.sum(1), w.sum(1)
    det = xx * ww - xw * xw
    plain = det > 1e-12 * xx * ww  # else one point, drawn far too fast, decides alone
    det = np.where(plain, det, 1.0)
    each, constant = np.where(plain, (sx * ww - sw * xw) / det, -1.0), (sw * xx - sx * xw) / det
    each = np.where(constant < 0, sx / xx, each)  # on the border the other one fits alone
    constant = np.where(each < 0, sw / ww, np.maximum(constant, 0))
    return np.maximum(each, 0), constant
