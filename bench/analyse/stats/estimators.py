"""Speedups, times and differences with their intervals over processes, p-values, and corrections for multiple testing.

Processes are the independent units, so an interval is over one value per process (bench.spec.interval.process_interval):
the samples of one process say nothing about the next process. In a process a speedup is the ratio round by round
(bench.spec.interval.paired_log_ratio). Ratios are natural logarithms.

A p-value is read off a t-interval over processes, so a test and its interval never disagree. `holm` bounds the chance
of one false rejection among all tests: for the cells that a claim rests on. `benjamini_hochberg` bounds the share of
false rejections among all rejections: for maps of many cells, where one false one does no harm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from bench.spec.columns import PREDICTED
from bench.spec.interval import Interval, paired_log_ratio, process_interval, t_interval, t_quantile
from bench.spec.model.model_parameters import OBSERVATIONS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CONFIDENCE = 0.95
"""Of every interval, unless the config of a run asks for another."""

Estimator = Callable[[Floats], float]
LogRatio = Callable[[Floats, Floats], float]


def minimum(samples: Floats) -> float:
    """The fastest sample."""
    return float(np.min(samples))


def median(samples: Floats) -> float:
    """The middle sample; of an even number the mean of the two. It takes a tenth of the time of np.median for a few samples."""
    ordered, half = np.sort(samples), samples.size // 2
    return float(ordered[half] if samples.size % 2 else (ordered[half - 1] + ordered[half]) / 2)


def paired(baseline: Floats, other: Floats, flags: tuple[Ints, Ints] | None = None) -> float:
    """ln(speedup) round by round: the ratio that decides. Of the clean rounds alone where the arms' flags are given."""
    lists = ((), ()) if flags is None else (flags[0].tolist(), flags[1].tolist())
    return paired_log_ratio(baseline.tolist(), other.tolist(), lists)


def ratio_of(estimator: Estimator) -> LogRatio:
    """ln(speedup) as the ratio of two estimates, such as of the minima."""
    return lambda baseline, other: math.log(estimator(baseline)) - math.log(estimator(other))


def log_time(processes: Sequence[Floats], confidence: float = CONFIDENCE, estimator: Estimator = minimum) -> Interval:
    """ln(time in seconds) over processes: its exponential is a geometric mean."""
    return process_interval([math.log(estimator(samples)) for samples in processes], confidence)


def log_speedup(
    baseline: Sequence[Floats], other: Sequence[Floats], confidence: float = CONFIDENCE, reading: LogRatio = paired
) -> Interval:
    """ln(time of the baseline / time of the other) over processes, paired: both were measured in each of them."""
    return process_interval([reading(b, o) for b, o in zip(baseline, other, strict=True)], confidence)


def movement(baseline: Sequence[Floats], other: Sequence[Floats], confidence: float = 0.99) -> Interval:
    """ln(speedup) in the second half of a process's rounds less that in the first, over processes, paired.

    A trial that has settled moves by nothing. Processes with fewer than four rounds do not say; infinite if under two
    do.
    """
    moved = []
    for b, o in zip(baseline, other, strict=True):
        rounds = b.size // 2
        if rounds >= 4:
            half = 2 * (rounds // 2)
            moved.append(paired(b[-half:], o[-half:]) - paired(b[:half], o[:half]))
    return t_interval(moved, confidence)


def standard_error(interval: Interval, confidence: float = CONFIDENCE) -> float:
    """The standard error of the mean of a t-interval at this confidence; n is 2 or more."""
    return interval.half_width / t_quantile(0.5 + confidence / 2, interval.n - 1)


def mean_of(intervals: Sequence[Interval], confidence: float = CONFIDENCE) -> Interval:
    """The mean of cells of which no more is known than their intervals, for these very cells.

    Their errors may move together, so standard errors are averaged, which is right if they move as one and too wide
    otherwise; with the fewest degrees of freedom among them. See `joint_mean` for cells whose processes are known.
    """
    if not intervals:
        return Interval(math.nan, math.inf, 0)
    mean = math.fsum(i.mean for i in intervals) / len(intervals)
    fewest = min(i.n for i in intervals)
    if not _all_known(intervals):
        return Interval(mean, math.inf, fewest)
    error = math.fsum(standard_error(i, confidence) for i in intervals) / len(intervals)
    return Interval(mean, error * t_quantile(0.5 + confidence / 2, fewest - 1), fewest)


def joint_mean(
    cells: Sequence[Mapping[Hashable, float]], intervals: Sequence[Interval], confidence: float = CONFIDENCE
) -> Interval:
    """The mean of cells that the same processes measured, for these very cells.

    `cells`: each cell's value by process; `intervals`: theirs, of the same means. What a process adds to all of its
    cells is seen: deviations are summed within each process before they are squared (a cluster-robust variance, Liang
    and Zeger 1986, Biometrika 73:13). Where all cells have the same processes this is Student's interval of the
    processes' own means. Degrees of freedom: the fewest among the cells. `mean_of` where fewer than two processes
    measured all cells, or one has no interval.
    """
    shared = set.intersection(*(set(cell) for cell in cells)) if cells else set()
    if len(shared) < 2 or not _all_known(intervals):
        return mean_of(intervals, confidence)
    total: dict[Hashable, float] = {}
    for cell, interval in zip(cells, intervals, strict=True):
        n = len(cell)
        for process, value in cell.items():
            off = (value - interval.mean) / (n * len(cells)) * math.sqrt(n / (n - 1))
            total[process] = total.get(process, 0.0) + off
    fewest = min(len(cell) for cell in cells)
    error = math.sqrt(math.fsum(v * v for v in total.values()))
    mean = math.fsum(i.mean for i in intervals) / len(intervals)
    return Interval(mean, error * t_quantile(0.5 + confidence / 2, fewest - 1), fewest)


def widened(interval: Interval, sd: float, confidence: float = CONFIDENCE) -> Interval:
    """A t-interval at this confidence with a further standard error `sd`, independent of its own, added to it."""
    if sd == 0 or not _all_known([interval]):
        return interval
    t = t_quantile(0.5 + confidence / 2, interval.n - 1)
    return replace(interval, half_width=t * math.hypot(interval.half_width / t, sd))


def difference(a: Interval, b: Interval, confidence: float = CONFIDENCE) -> Interval:
    """Interval of b's mean - a's mean for two independent samples of unequal spread (Welch, Satterthwaite).

    `a` and `b` are t-intervals at this confidence; degrees of freedom are rounded down. Infinite where either has
    fewer than two values.
    """
    mean = b.mean - a.mean
    if not _all_known((a, b)):
        return Interval(mean, math.inf, min(a.n, b.n))
    variances = [standard_error(i, confidence) ** 2 for i in (a, b)]
    total = sum(variances)
    if total == 0:
        return Interval(mean, 0.0, min(a.n, b.n))
    freedom = total**2 / sum(v**2 / (i.n - 1) for v, i in zip(variances, (a, b), strict=True))
    df = max(1, math.floor(freedom + 1e-9))
    return Interval(mean, t_quantile(0.5 + confidence / 2, df) * math.sqrt(total), df + 1)


def slope(x: Floats, intervals: Sequence[Interval]) -> Interval:
    """Least-squares slope on x of means that were measured independently of each other, at CONFIDENCE.

    With the fewest degrees of freedom among them, so rather too wide. Infinite where one has fewer than two values.
    """
    weights = (x - x.mean()) / float(((x - x.mean()) ** 2).sum())
    mean = float(sum(w * i.mean for w, i in zip(weights, intervals, strict=True)))
    fewest = min(i.n for i in intervals)
    if not _all_known(intervals):
        return Interval(mean, math.inf, fewest)
    error = math.sqrt(sum((w * standard_error(i)) ** 2 for w, i in zip(weights, intervals, strict=True)))
    return Interval(mean, error * t_quantile(0.5 + CONFIDENCE / 2, fewest - 1), fewest)


def _all_known(intervals: Sequence[Interval]) -> bool:
    return all(i.n > 1 and math.isfinite(i.half_width) for i in intervals)


def log_interval(row: Mapping[str, Any], columns: tuple[str, str, str]) -> Interval:
    """ln of a row's value, with the interval whose ends the row has (columns SPEEDUP or TIME); infinite without ends.

    The tables' intervals are of ln over processes and symmetric, so the ends lie as far below the value as above it. Of a
    predicted row the interval is the model's error, which counts as known.
    """
    value, low, high = (row[name] for name in columns)
    width = math.inf if low is None or high is None else abs(math.log(high) - math.log(low)) / 2
    n = OBSERVATIONS if row["status"] == PREDICTED else int(row["processes"] or 1)
    return Interval(math.log(value), width, n)


def at_confidence(interval: Interval, given: float, wanted: float) -> Interval:
    """A t-interval at another confidence than the one that it was given at."""
    if given == wanted or interval.n < 2:
        return interval
    scale = t_quantile(0.5 + wanted / 2, interval.n - 1) / t_quantile(0.5 + given / 2, interval.n - 1)
    return replace(interval, half_width=interval.half_width * scale)


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
    order = np.argsort(p)[::-1]
    ranked = p[order] * len(p) / np.arange(len(p), 0, -1)
    return [float(v) for v in np.minimum.accumulate(ranked).clip(max=1)[np.argsort(order)]]


def _checked(p_values: Sequence[float]) -> Floats:
    p = np.array(p_values, dtype=np.float64)
    if not bool(np.all((p >= 0) & (p <= 1))):
        raise ValueError(f"p-values lie between 0 and 1: {list(p_values)}")
    return p
