"""Many intervals at once, as arrays: the same rules as for one in `estimators`, whose functions the tests hold these against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.analyse.stats.estimators import Floats, Ints
from bench.spec.interval import t_quantile

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Means of `n` values each with their intervals' half-widths (infinite where n are too few); a mean may be nan."""

    mean: Floats
    half_width: Floats
    n: Ints

    @property
    def known(self) -> Bools:
        """Which have an interval."""
        return np.asarray((self.n > 1) & np.isfinite(self.half_width), dtype=np.bool_)


def student(confidence: float, n: Ints) -> Floats:
    """Student's factor of `n` values; of fewer than two that of two."""
    different, at = np.unique(np.maximum(n, 2), return_inverse=True)
    return np.array([t_quantile(0.5 + confidence / 2, int(one) - 1) for one in different])[at]


def at_confidence(of: Intervals, given: float, wanted: float) -> Intervals:
    """At another confidence than the one that they were given at."""
    if given == wanted:
        return of
    scale = student(wanted, of.n) / student(given, of.n)
    return replace(of, half_width=np.where(of.n < 2, of.half_width, of.half_width * scale))


def differences(a: Intervals, b: Intervals, confidence: float) -> Intervals:
    """b's means less a's, of independent samples of unequal spread (Welch, Satterthwaite; whole degrees of freedom)."""
    known = a.known & b.known
    one, two = ((np.where(known, i.half_width, 1.0) / student(confidence, i.n)) ** 2 for i in (a, b))
    total, least = one + two, np.minimum(a.n, b.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = np.floor(total**2 / (one**2 / (a.n - 1) + two**2 / (b.n - 1)) + 1e-9)
    n = np.where(
        known & (total > 0), np.maximum(1, np.nan_to_num(freedom, nan=1, posinf=1)).astype(np.int64) + 1, least
    )
    half = np.where(known, student(confidence, n) * np.sqrt(total), np.inf)
    return Intervals(b.mean - a.mean, half, n.astype(np.int64))


def widened(of: Intervals, sd: float, confidence: float) -> Intervals:
    """With a further standard error `sd`, independent of their own."""
    t = student(confidence, of.n)
    return replace(of, half_width=np.where(of.known, t * np.hypot(of.half_width / t, sd), of.half_width)) if sd else of


def p_values(of: Intervals, confidence: float) -> Floats:
    """Two-sided p of each mean being 0; 1 without an interval."""
    error = np.where(of.known, of.half_width, 1.0) / student(confidence, of.n)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = 2 * special.stdtr(np.maximum(of.n - 1, 1), -np.abs(of.mean) / error)
    exact = np.where(of.mean == 0, 1.0, 0.0)  # values that all agree
    return np.where(of.known & np.isfinite(of.mean), np.where(error > 0, p, exact), 1.0)
