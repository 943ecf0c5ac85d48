"""Estimators and intervals, as pure functions on arrays. All ratios are kept as natural logarithms until shown.

In a process, a speedup is read round by round (bench.spec.interval.paired_log_ratio), which decides; the ratios of
minima and of medians are the second and third opinion. Processes are the independent units, so an interval is
Student's over one value per process; the samples of one process say nothing about the next process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bench.analyse.records import Floats, Ints
from bench.spec.interval import Interval, paired_log_ratio, t_interval, t_quantile

LEAST_ROUNDS = 3  # rounds with undisturbed samples of both arms that a process needs before they may speak alone
DISTURBANCE = 0.05  # ln: most that the disturbed samples may move a speedup
DISAGREEMENT = 0.15  # ln: most that the ratios of minima and of medians may differ from what decides
CROWDED = 0.5  # share of samples that may be disturbed before a row is doubted
WIDEST = 3.0  # times the asked half-width

Estimator = Callable[[Floats], float]
Reading = Callable[[Floats, Floats], float]


def minimum(samples: Floats) -> float:
    """The fastest sample."""
    return float(np.min(samples))


def median(samples: Floats) -> float:
    """The middle sample."""
    return float(np.median(samples))


def paired(baseline: Floats, other: Floats) -> float:
    """ln(speedup) round by round: the reading that decides."""
    return paired_log_ratio(baseline.tolist(), other.tolist())


def ratio_of(estimator: Estimator) -> Reading:
    """ln(speedup) as the ratio of two estimates, such as of the minima."""
    return lambda baseline, other: math.log(estimator(baseline)) - math.log(estimator(other))


def undisturbed(baseline: tuple[Floats, Ints], other: tuple[Floats, Ints]) -> tuple[Floats, Floats] | None:
    """Both arms' samples with the flagged ones left out; None where fewer than LEAST_ROUNDS rounds keep both arms.

    Each arm comes as samples and their flags. A round keeps its fastest undisturbed sample of each arm, twice.
    """
    fastest = [np.where(flags == 0, samples, np.inf).reshape(-1, 2).min(axis=1) for samples, flags in (baseline, other)]
    kept = np.isfinite(fastest[0]) & np.isfinite(fastest[1])
    if kept.sum() < LEAST_ROUNDS:
        return None
    return np.repeat(fastest[0][kept], 2), np.repeat(fastest[1][kept], 2)


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


def geometric_mean(logs: Sequence[float], half_widths: Sequence[float]) -> Interval:
    """Mean of log values that each have an interval, with an interval for that mean over these very values.

    The same processes measured all of them, so their errors may move together: half-widths are averaged, which is
    right if they do and wider than need be if they do not. Infinite if one value has no interval.
    """
    if not len(logs):
        return Interval(math.nan, math.inf, 0)
    return Interval(float(np.mean(logs)), float(np.mean(half_widths)), len(logs))


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


def doubts(
    decided: Interval, opinions: Mapping[str, float], without_disturbed: float | None, target: float
) -> tuple[str, ...]:
    """Why a speedup is not to be relied on, in words; empty where nothing speaks against it.

    All of it in ln: the interval that decides, other estimators' speedups by name, the speedup without disturbed
    samples (None where too few remain) and the half-width asked for. One process has no interval: a lack, no doubt.
    """
    notes = []
    if without_disturbed is not None and abs(without_disturbed - decided.mean) > DISTURBANCE:
        notes.append(f"without the disturbed samples the speedup reads {_change(without_disturbed - decided.mean)}")
    for name, opinion in opinions.items():
        if abs(opinion - decided.mean) > DISAGREEMENT:
            notes.append(f"by {name} the speedup reads {_change(opinion - decided.mean)}")
    if math.isfinite(decided.half_width) and decided.half_width > WIDEST * target:
        wide, asked = decided.half_width * 100, target * 100
        notes.append(f"the interval is ±{wide:.0f} %, over {WIDEST:g} times the ±{asked:g} % asked for")
    return tuple(notes)


def crowded(flags: Ints, faults: int) -> tuple[str, ...]:
    """The doubt of a row most of whose samples were disturbed by others; page faults (bit `faults`) are its own."""
    share = float(np.mean(flags & ~faults != 0)) if flags.size else 0.0
    return (f"{share * 100:.0f} % of its samples were disturbed",) if share > CROWDED else ()


def _change(log_difference: float) -> str:
    """0.07 -> '7 % higher'."""
    return f"{abs(math.expm1(log_difference)) * 100:.0f} % {'higher' if log_difference > 0 else 'lower'}"
