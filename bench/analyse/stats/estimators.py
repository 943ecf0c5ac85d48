"""Estimators and intervals, as pure functions on arrays. All ratios are kept as natural logarithms until shown.

In a process, a speedup is read round by round (bench.spec.interval.paired_log_ratio), which decides; the ratios of
minima and of medians are the second and third opinion. Processes are the independent units, so an interval is
Student's over one value per process; the samples of one process say nothing about the next process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analyse.stats.arrays import Floats, Ints
from bench.spec.columns import PREDICTED
from bench.spec.interval import LEAST_ROUNDS, Interval, paired_log_ratio, t_interval, t_quantile
from bench.spec.model.predictions import OBSERVATIONS

DISTURBANCE = 0.05  # ln: most that the spoiled samples may move a speedup
DISAGREEMENT = 0.15  # ln: most that the ratios of minima and of medians may differ from what decides
CROWDED = 0.25  # share of samples that may be disturbed before a row is doubted
WIDEST = 2.0  # times the asked half-width
MOVED = 0.05  # ln: most that a speedup may move from the first half of a process's rounds to the second

Estimator = Callable[[Floats], float]
Reading = Callable[[Floats, Floats], float]


def minimum(samples: Floats) -> float:
    """The fastest sample."""
    return float(np.min(samples))


def median(samples: Floats) -> float:
    """The middle sample."""
    return float(np.median(samples))


def paired(baseline: Floats, other: Floats, flags: tuple[Ints, Ints] | None = None) -> float:
    """ln(speedup) round by round, by the clean rounds where the arms' flags are given: the reading that decides."""
    told = ((), ()) if flags is None else (flags[0].tolist(), flags[1].tolist())
    return paired_log_ratio(baseline.tolist(), other.tolist(), told)


def ratio_of(estimator: Estimator) -> Reading:
    """ln(speedup) as the ratio of two estimates, such as of the minima."""
    return lambda baseline, other: math.log(estimator(baseline)) - math.log(estimator(other))


def log_times(processes: Sequence[Floats], estimator: Estimator = minimum) -> list[float]:
    """ln of each process's estimate in seconds."""
    return [math.log(estimator(samples)) for samples in processes]


def log_time(processes: Sequence[Floats], confidence: float = 0.95, estimator: Estimator = minimum) -> Interval:
    """ln(time in seconds) over processes: its exponential is a geometric mean."""
    return t_interval(log_times(processes, estimator), confidence)


def log_speedup(
    baseline: Sequence[Floats], other: Sequence[Floats], confidence: float = 0.95, reading: Reading = paired
) -> Interval:
    """ln(time of the baseline / time of the other) over processes, paired: both were measured in each of them."""
    return t_interval([reading(b, o) for b, o in zip(baseline, other, strict=True)], confidence)


def movement(baseline: Sequence[Floats], other: Sequence[Floats], confidence: float = 0.99) -> Interval:
    """ln(speedup) in the second half of a process's rounds less that in the first, over processes, paired.

    A trial that has settled moves by nothing. Processes with fewer than four rounds do not say; infinite if under two do.
    """
    moved = []
    for b, o in zip(baseline, other, strict=True):
        rounds = b.size // 2
        if rounds >= 4:
            half = 2 * (rounds // 2)
            moved.append(paired(b[-half:], o[-half:]) - paired(b[:half], o[:half]))
    return t_interval(moved, confidence)


def geometric_mean(logs: Sequence[float], half_widths: Sequence[float]) -> Interval:
    """Mean of log values that each have an interval, with an interval for that mean over these very values.

    The same processes measured all of them, so their errors may move together: half-widths are averaged, which is
    right if they do and wider than need be if they do not. Infinite if one value has no interval.
    """
    if not len(logs):
        return Interval(math.nan, math.inf, 0)
    return Interval(float(np.mean(logs)), float(np.mean(half_widths)), len(logs))


def mean_of(intervals: Sequence[Interval], confidence: float = 0.95) -> Interval:
    """The mean of cells that the same processes measured, for these very cells.

    Their errors move together by an unknown degree, so standard errors are averaged, which is right if they move as one
    and too wide otherwise; with the fewest degrees of freedom among them.
    """
    if not intervals:
        return Interval(math.nan, math.inf, 0)
    mean = math.fsum(i.mean for i in intervals) / len(intervals)
    fewest = min(i.n for i in intervals)
    if fewest < 2 or not all(math.isfinite(i.half_width) for i in intervals):
        return Interval(mean, math.inf, fewest)
    level = 0.5 + confidence / 2
    error = math.fsum(i.half_width / t_quantile(level, i.n - 1) for i in intervals) / len(intervals)
    return Interval(mean, error * t_quantile(level, fewest - 1), fewest)


def difference(a: Interval, b: Interval, confidence: float = 0.95) -> Interval:
    """Interval of b's mean - a's mean for two independent samples of unequal spread (Welch, Satterthwaite).

    `a` and `b` are t-intervals at this confidence; degrees of freedom are rounded down. Infinite where either has
    fewer than two values.
    """
    mean = b.mean - a.mean
    if min(a.n, b.n) < 2 or not (math.isfinite(a.half_width) and math.isfinite(b.half_width)):
        return Interval(mean, math.inf, min(a.n, b.n))
    variances = [(i.half_width / t_quantile(0.5 + confidence / 2, i.n - 1)) ** 2 for i in (a, b)]
    total = sum(variances)
    if total == 0:
        return Interval(mean, 0.0, min(a.n, b.n))
    freedom = total**2 / sum(v**2 / (i.n - 1) for v, i in zip(variances, (a, b), strict=True))
    df = max(1, math.floor(freedom + 1e-9))
    return Interval(mean, t_quantile(0.5 + confidence / 2, df) * math.sqrt(total), df + 1)


def log_interval(row: Mapping[str, Any], columns: tuple[str, str, str]) -> Interval:
    """ln of a row's value, with the interval whose ends the row has (columns SPEEDUP or TIME); infinite without ends.

    The tables' intervals are Student's of ln over processes, so the ends lie as far below the value as above it. Of a
    predicted row the interval is the model's error, which counts as known.
    """
    value, low, high = (row[name] for name in columns)
    width = math.inf if low is None or high is None else abs(math.log(high) - math.log(low)) / 2
    n = OBSERVATIONS if row["status"] == PREDICTED else int(row["processes"] or 1)
    return Interval(math.log(value), width, n)


def at_confidence(interval: Interval, own: float, wanted: float) -> Interval:
    """A t-interval at another confidence than its own."""
    if own == wanted or interval.n < 2:
        return interval
    scale = t_quantile(0.5 + wanted / 2, interval.n - 1) / t_quantile(0.5 + own / 2, interval.n - 1)
    return replace(interval, half_width=interval.half_width * scale)


def doubts(
    decided: Interval, opinions: Mapping[str, float], with_spoiled: float, unclean: int, target: float
) -> tuple[str, ...]:
    """Why a speedup is not to be relied on, in words; empty where nothing speaks against it.

    All of it in ln: the interval that decides, other estimators' speedups by name, the speedup with the spoiled samples,
    and the half-width asked for; `unclean` of the processes had too few clean rounds to pass over the others. One process
    has no interval: a lack, no doubt.
    """
    notes = []
    if unclean:
        many = f"{unclean} of {decided.n} processes"
        notes.append(f"{many} had fewer than {LEAST_ROUNDS} rounds that nothing disturbed")
    if abs(with_spoiled - decided.mean) > DISTURBANCE:
        notes.append(f"with the disturbed samples the speedup reads {_change(with_spoiled - decided.mean)}")
    for name, opinion in opinions.items():
        if abs(opinion - decided.mean) > DISAGREEMENT:
            notes.append(f"by {name} the speedup reads {_change(opinion - decided.mean)}")
    if math.isfinite(decided.half_width) and decided.half_width > WIDEST * target:
        wide, asked = decided.half_width * 100, target * 100
        notes.append(f"the interval is ±{wide:.0f} %, over {WIDEST:g} times the ±{asked:g} % asked for")
    return tuple(notes)


def restless(moved: Interval) -> tuple[str, ...]:
    """The doubt of a row whose speedup still moves within its processes, so that the warm-up was too short for it."""
    if abs(moved.mean) <= max(MOVED, moved.half_width) or not math.isfinite(moved.half_width):
        return ()
    return (f"it never settles: within a process the speedup reads {_change(moved.mean)} in the second half",)


def crowded(flags: Ints, faults: int) -> tuple[str, ...]:
    """The doubt of a row most of whose samples were disturbed by others; page faults (bit `faults`) are its own."""
    share = float(np.mean(flags & ~faults != 0)) if flags.size else 0.0
    return (f"{share * 100:.0f} % of its samples were disturbed",) if share > CROWDED else ()


def _change(log_difference: float) -> str:
    """0.07 -> '7 % higher'."""
    return f"{abs(math.expm1(log_difference)) * 100:.0f} % {'higher' if log_difference > 0 else 'lower'}"
