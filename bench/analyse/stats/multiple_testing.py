"""p-values from t-intervals, and corrections for multiple testing (Holm, Benjamini-Hochberg).

A p-value is read off a t-interval over processes, so a test and its interval never disagree. `holm` bounds the chance
of one false rejection among all tests: for the cells that a claim rests on. `benjamini_hochberg` bounds the share of
false rejections among all rejections: for maps of many cells, where one false one does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import special, stats

from bench.analyse.stats.estimators import CONFIDENCE, Floats, standard_error
from bench.spec.interval import Interval


def p_value(interval: Interval, confidence: float = CONFIDENCE) -> float:
    """Two-sided p of the mean being 0: below 1 - confidence just where the interval leaves 0 out.

    `interval` is Student's at this confidence. 1 where fewer than two values gave it.
    """
    if interval.n < 2 or not math.isfinite(interval.mean) or not math.isfinite(interval.half_width):
        return 1.0
    error = standard_error(interval, confidence)
    if error == 0:  # values that all agree
        return 0.0 if interval.mean else 1.0
    return float(2 * special.stdtr(interval.n - 1, -abs(interval.mean) / error))


def equivalent(interval: Interval, margin: float, confidence: float = CONFIDENCE) -> float:
    """p of the mean lying outside ±margin: below 1 - confidence just where the whole interval lies within.

    So the interval that is printed decides. It is twice the p of two one-sided tests (Schuirmann 1987, J. Pharmacokinet.
    Biopharm. 15:657). `margin`, above 0, has the interval's unit (here ln of a ratio). 1 where fewer than two values
    gave it. ValueError for a margin that is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin {margin} is not above 0")
    inside = margin - abs(interval.mean)
    return p_value(replace(interval, mean=inside), confidence) if inside > 0 else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down procedure, in the order given: each at most alpha is a rejection at alpha.

    Any dependence between the tests is allowed (Holm 1979, Scand. J. Statist. 6:65). ValueError for a number that is no
    p-value.
    """
    p = _checked(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for the false discovery rate, in the order given: each at most q is a discovery at rate q.

    For tests that are independent or move together (Benjamini & Hochberg 1995, J. R. Statist. Soc. B 57:289).
    ValueError for a number that is no p-value.
    """
    p = _checked(p_values)
    return [float(value) for value in stats.false_discovery_control(p)] if len(p) else []


def _checked(p_values: Sequence[float]) -> Floats:
    p = np.array(p_values, dtype=np.float64)
    if not bool(np.all((p >= 0) & (p <= 1))):
        raise ValueError(f"p-values lie between 0 and 1: {list(p_values)}")
    return p
