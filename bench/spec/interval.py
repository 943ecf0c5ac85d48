"""The speedup of one process from its samples, the interval over processes, and whether they form two groups.

Not from scipy, as the worker and the runner must start quickly; tests compare it with scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist, fmean

from bench.spec.columns import SPOILED

Flags = tuple[Sequence[int], Sequence[int]]  # of both arms' samples
EQUIVALENCE_MARGIN = 0.03
"""ln: a difference that does not matter, to a row and to a claim."""
LEAST_ROUNDS = 3  # clean rounds from which on a process is read by them alone
LEAST_GAP = 0.03  # ln: between two groups of processes
LEAST_PROCESSES = 6  # fewer can't tell a group from a wide spread
LEAST_FOR_INTERVAL = 3  # processes: of two, Student's factor is 12.7, and the interval says nothing


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean of `n` independent values with a two-sided confidence interval; infinite where they are too few for one."""

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies within ±margin."""
        return abs(self.mean) + self.half_width < margin


def process_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval of the typical process, round the mean of one value per process (ln of a ratio or of a time).

    Student's, widened where the processes are lopsided: at 95 % it reaches both ends of the sign test's interval of the
    median at 70 %, and at another confidence it scales as Student's does. In symmetric worlds it holds the mean as well.
    docs/METHOD.md has its coverage. Infinite for fewer than LEAST_FOR_INTERVAL processes.
    """
    student = t_interval(values, confidence)
    n, rank = len(values), _sign_rank(len(values))
    if n < LEAST_FOR_INTERVAL:
        return replace(student, half_width=math.inf)
    if not rank:
        return student
    ordered = sorted(values)
    reach = max(student.mean - ordered[rank - 1], ordered[n - rank] - student.mean)
    reach *= t_quantile(0.5 + confidence / 2, n - 1) / t_quantile(0.975, n - 1)
    return replace(student, half_width=max(student.half_width, reach))


@lru_cache(maxsize=1024)
def _sign_rank(n: int) -> int:
    """The largest k for which the k-th smallest and the k-th largest of n values hold the median with 70 %; 0 if none."""
    rank, below = 0, 0
    while 20 * (below := below + math.comb(n, rank)) <= 3 * 2**n:
        rank += 1
    return rank


def t_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of independent, roughly normal values (logs of ratios, one per process)."""
    n = len(values)
    if n < 2:
        return Interval(values[0] if n else math.nan, math.inf, n)
    off = [v - values[0] for v in values]  # values that all agree have a spread of exactly 0
    middle = fmean(off)
    error = math.sqrt(math.fsum((v - middle) ** 2 for v in off) / (n - 1) / n)
    return Interval(fmean(values), t_quantile(0.5 + confidence / 2, n - 1) * error, n)


def fewest(half_width: float, n: int, asked: float, confidence: float, least: int, most: int | None = None) -> int:
    """The number of values for an interval within the half-width `asked`, from the half-width that `n` of them gave.

    At least `least` (2 or more), at most `most`. It assumes that all values have the same spread.
    """

    def width(count: int) -> float:
        return t_quantile(0.5 + confidence / 2, count - 1) / math.sqrt(count)

    count = least
    while (most is None or count < most) and half_width * width(count) > asked * width(n):
        count += 1
    return count if most is None else min(count, most)


def paired_log_ratio(baseline: Sequence[float], other: Sequence[float], flags: Flags = ((), ())) -> float:
    """ln(time of the baseline / time of the other) in one process, from samples 2i and 2i + 1 of round i.

    The midmean over rounds of round_log_ratios: it drops rounds that are outliers. docs/METHOD.md compares this rule
    with others. NaN without a whole round.
    """
    return midmean(round_log_ratios(baseline, other, flags))


def round_log_ratios(baseline: Sequence[float], other: Sequence[float], flags: Flags = ((), ())) -> list[float]:
    """ln(mean of the baseline's two samples / mean of the other's two), round by round.

    The ratio within a round cancels drift between rounds. The faster of two samples would favour the arm that jitters
    more. With both arms' flags, only clean rounds and unspoiled samples count if there are LEAST_ROUNDS clean ones.
    """
    rounds = range(min(len(baseline), len(other)) // 2)
    clean = clean_rounds(*flags)
    if len(clean) < LEAST_ROUNDS:
        return [math.log((baseline[2 * i] + baseline[2 * i + 1]) / (other[2 * i] + other[2 * i + 1])) for i in rounds]
    arms = list(zip((baseline, other), flags, strict=True))
    means = ([fmean(s[t] for t in (2 * i, 2 * i + 1) if not f[t] & SPOILED) for s, f in arms] for i in clean)
    return [math.log(b / o) for b, o in means]


def clean_rounds(baseline: Sequence[int], other: Sequence[int]) -> list[int]:
    """The rounds, from 0, in which both arms have a sample that is not spoiled, by their flags."""
    return [
        i
        for i, (b, c, o, p) in enumerate(zip(baseline[0::2], baseline[1::2], other[0::2], other[1::2], strict=False))
        if sound(b, c) and sound(o, p)
    ]


def sound(first: int, second: int) -> bool:
    """Whether one of an arm's two samples of a round is not spoiled, by their flags."""
    return not (first & SPOILED and second & SPOILED)


def midmean(values: Sequence[float]) -> float:
    """Mean of the middle half (the interquartile mean), without a quarter of the values at each end."""
    out = len(values) // 4
    return fmean(sorted(values)[out : len(values) - out]) if values else math.nan


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: int) -> float:
    """Quantile of Student's t, 0.5 <= p < 1, by Newton steps on its exact distribution function.

    For whole degrees of freedom the distribution function is a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    if df > 2000:  # the first Cornish-Fisher term (A. & S. 26.7.5) is then accurate to 1e-6
        z = NormalDist().inv_cdf(p)
        return z + (z**3 + z) / (4 * df)
    density = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    low, high = 0.0, 1.0
    while _t_cdf(high, df) < p:
        low, high = high, high * 2
    t = high
    for _ in range(200):
        excess = _t_cdf(t, df) - p
        low, high = (low, t) if excess > 0 else (t, high)
        step = excess / (density * (1 + t * t / df) ** (-(df + 1) / 2))
        new = t - step if low < t - step < high else (low + high) / 2
        if abs(new - t) <= 1e-13 * max(1.0, t):
            return new
        t = new
    return t


def _t_cdf(t: float, df: int) -> float:
    angle = math.atan(t / math.sqrt(df))
    cos2 = math.cos(angle) ** 2
    term = total = 1.0 if df % 2 == 0 else math.cos(angle)
    for k in range(1 if df % 2 == 0 else 2, df - 1, 2):
        term *= cos2 * k / (k + 1)
        total += term
    if df % 2 == 0:
        return 0.5 + math.sin(angle) * total / 2
    return 0.5 + (angle + (math.sin(angle) * total if df > 1 else 0.0)) / math.pi


@dataclass(frozen=True, slots=True)
class Groups:
    """Two groups of `n` processes: `few` of them, at most half, read `apart` (ln) above the others."""

    few: int
    n: int
    apart: float


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
