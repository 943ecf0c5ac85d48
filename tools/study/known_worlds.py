"""Readings and intervals in worlds whose truth is known: `python -m tools.study.known_worlds [--write]`.

Prints two tables, and puts them into docs/METHOD.md where --write. `readings`: what rules for the samples of one process
make of two arms whose mean times are known. `intervals`: how often intervals over processes hold the typical process (the
population's median) and the mean over all processes, when the run's own rule says how many processes are measured.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import Floats
from bench.run.stopping import Progress
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.interval import Interval, process_interval, t_interval, two_groups
from bench.spec.plan import plan as planning
from tools.study.judge import publish

DRAWS = 1000
ROUNDS = 30
TIMING = Timing()
TRIAL = planning.make(
    check({"name": "c", "experiments": {"c": {"blocks": ["standard", "separable"], "axes": {"threads": 1}}}}, "c"), ["cpu"], 1
).trials[0]  # fmt: skip

Rng = np.random.Generator


# ---------------------------------------------------------------- the reading of one process


def _jitter(rng: Rng, share: float) -> Floats:
    return np.asarray(rng.normal(1, share, 2 * ROUNDS))


def _fast_mode(rng: Rng) -> Floats:
    return np.where(rng.random(2 * ROUNDS) < 0.3, 0.85, 1.0) * _jitter(rng, 0.01)


def _bursts(rng: Rng) -> Floats:
    return np.where(rng.random(2 * ROUNDS) < 0.05, 3.0, 1.0) * _jitter(rng, 0.01)


SAMPLES: dict[str, tuple[Callable[[Rng], tuple[Floats, Floats]], float]] = {
    "both arms jitter by 2 %": (lambda rng: (_jitter(rng, 0.02), _jitter(rng, 0.02)), 0.0),
    "20 % against 1 %": (lambda rng: (_jitter(rng, 0.01), _jitter(rng, 0.2)), 0.0),
    "30 % of one arm's samples 15 % faster": (lambda rng: (_jitter(rng, 0.01), _fast_mode(rng)), -math.log(1 - 0.3 * 0.15)),
    "5 % of samples take three times as long": (lambda rng: (_bursts(rng), _bursts(rng)), 0.0),
}  # fmt: skip
"""Samples of the baseline and of the other arm in one process, and the truth: ln of the ratio of their mean times."""


def _of_rounds(reduce: Callable[..., Floats]) -> estimators.LogRatio:
    def reading(base: Floats, other: Floats) -> float:
        a, b = (reduce(side.reshape(-1, 2), axis=1) for side in (base, other))
        return float(stats.trim_mean(np.log(a / b), 0.25))

    return reading


READINGS: dict[str, estimators.LogRatio] = {
    "minima": estimators.ratio_of(estimators.minimum),
    "medians": estimators.ratio_of(estimators.median),
    "midmean of the ratios of faster samples": _of_rounds(np.min),
    "midmean of the ratios of means (ours)": estimators.paired,
}


def readings(draws: int = DRAWS) -> dict[tuple[str, str], tuple[float, float]]:
    """Bias, and root mean square error of one process, by world and reading."""
    found = {}
    for world, (draw, truth) in SAMPLES.items():
        rng = np.random.default_rng(1)
        pairs = [draw(rng) for _ in range(draws)]
        for name, reading in READINGS.items():
            off = np.array([reading(a, b) for a, b in pairs]) - truth
            found[world, name] = float(off.mean()), float(np.sqrt((off**2).mean()))
    return found


def readings_table(found: dict[tuple[str, str], tuple[float, float]]) -> str:
    """Bias / error in ln(speedup)."""
    lines = [f"| reading | {' | '.join(SAMPLES)} |", "|---" * (len(SAMPLES) + 1) + "|"]
    for name in READINGS:
        cells = (f"{bias + 0.0:+.3f} / {error:.3f}" for bias, error in (found[world, name] for world in SAMPLES))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


# ---------------------------------------------------------------- the interval over processes

PROCESSES: dict[str, Callable[[Rng, int], Floats]] = {
    "calm, 2 %": lambda rng, n: rng.normal(0, 0.02, n),
    "calm, 2 %, near 1x": lambda rng, n: rng.normal(-FAR, 0.02, n),
    "calm, 8 %": lambda rng, n: rng.normal(0, 0.08, n),
    "heavy tails": lambda rng, n: 0.03 * rng.standard_t(4, n),
    "skewed": lambda rng, n: 0.06 * rng.exponential(1, n),
    "one in four 20 % slower": lambda rng, n: np.where(rng.random(n) < 0.25, math.log(0.8), 0) + rng.normal(0, 0.02, n),
    "one in twelve 40 % slower": lambda rng, n: np.where(rng.random(n) < 1 / 12, math.log(0.6), 0) + rng.normal(0, 0.02, n),
    "two equal groups, 10 % apart": lambda rng, n: rng.choice([-0.05, 0.05], n) + rng.normal(0, 0.015, n),
    "two equal groups, 20 % apart": lambda rng, n: rng.choice([-0.1, 0.1], n) + rng.normal(0, 0.02, n),
}  # fmt: skip
"""ln(speedup) of so many processes, less FAR."""
FAR = math.log(3)  # as a trial near 1x goes on to a narrower interval


def _hodges_lehmann(values: list[float]) -> tuple[float, float]:
    """The signed-rank test's interval (Lehmann 1963), by the normal approximation of its rank."""
    x, n = np.array(values), len(values)
    walsh = np.sort([(x[i] + x[j]) / 2 for i in range(n) for j in range(i, n)])
    rank = max(0, math.floor(n * (n + 1) / 4 - 1.96 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24)))
    return float(walsh[rank]), float(walsh[-1 - rank])


def _trimmed(values: list[float]) -> tuple[float, float]:
    """Student's interval of the mean without a fifth at each end (Tukey and McLaughlin 1963)."""
    x, n = np.sort(values), len(values)
    cut = n // 5
    winsorised = np.clip(x, x[cut], x[n - 1 - cut])
    error = winsorised.std(ddof=1) / ((1 - 2 * cut / n) * math.sqrt(n))
    mean, half = x[cut : n - cut].mean(), stats.t.ppf(0.975, n - 2 * cut - 1) * error
    return float(mean - half), float(mean + half)


def _bootstrap_t(values: list[float]) -> tuple[float, float]:
    """The studentised bootstrap (Efron 1982), 400 resamples."""
    x, n = np.array(values), len(values)
    drawn = np.random.default_rng(1).choice(x, (400, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (drawn.mean(axis=1) - x.mean()) / (drawn.std(axis=1, ddof=1) / math.sqrt(n))
    low, high = np.nanquantile(t[np.isfinite(t)], [0.025, 0.975]) * x.std(ddof=1) / math.sqrt(n)
    return float(x.mean() - high), float(x.mean() - low)


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


INTERVALS: dict[str, Callable[[list[float]], tuple[float, float]]] = {
    "Student's t": lambda values: _ends(t_interval(values)),
    "t of the trimmed mean": _trimmed,
    "Hodges-Lehmann": _hodges_lehmann,
    "bootstrap-t": _bootstrap_t,
    "ours": lambda values: _ends(process_interval(values)),
}


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of the draws: the interval holds the typical process, the mean; two groups were seen; one of first and third."""

    typical: float
    mean: float
    marked: float
    typical_or_marked: float
    width: float  # mean width / that of Student's t
    processes: float


def settled(rng: Rng, world: str) -> list[float]:
    """The values of one trial, process by process until the run's own rule ends it."""
    values = (FAR + PROCESSES[world](rng, TIMING.processes_max)).tolist()
    progress = Progress()
    measured = progress.values.setdefault(TRIAL.trial_id, {})
    while progress.why_settled(TRIAL, TIMING) is None:
        measured[len(measured)] = [values[len(measured)]]
    return values[: len(measured)]


def coverage(world: str, draws: int = DRAWS) -> dict[str, Coverage]:
    """Each interval's coverage in a world."""
    many = FAR + PROCESSES[world](np.random.default_rng(2), 1_000_000)
    typical, mean = float(np.median(many)), float(many.mean())
    rng = np.random.default_rng(3)
    found = [settled(rng, world) for _ in range(draws)]
    marked = np.array([two_groups(values) is not None for values in found])
    students = np.array([_ends(t_interval(values)) for values in found])
    usual = float((students[:, 1] - students[:, 0]).mean())
    by_name = {}
    for name, of in INTERVALS.items():
        low, high = np.array([of(values) for values in found]).T
        holds = (low <= typical) & (typical <= high)
        by_name[name] = Coverage(
            typical=float(holds.mean()), mean=float(((low <= mean) & (mean <= high)).mean()), marked=float(marked.mean()),
            typical_or_marked=float((holds | marked).mean()), width=float((high - low).mean()) / usual,
            processes=float(np.mean([len(values) for values in found])),
        )  # fmt: skip
    return by_name


def intervals_table(found: dict[str, dict[str, Coverage]]) -> str:
    """Coverage of the typical process / of the mean, in per cent; then of ours."""
    lines = [
        f"| processes | {' | '.join(INTERVALS)} | ours / t in width | marked | ours holds the typical one or is marked | measured |",
        "|---" * (len(INTERVALS) + 5) + "|",
    ]
    for world, by_name in found.items():
        cells = [f"{100 * c.typical:.0f} / {100 * c.mean:.0f}" for c in by_name.values()]
        ours = by_name["ours"]
        marks = f"{ours.width:.2f} | {100 * ours.marked:.0f} % | {100 * ours.typical_or_marked:.0f} % | {ours.processes:.1f}"
        lines.append(f"| {world} | {' | '.join(cells)} | {marks} |")
    return "\n".join(lines)


def main(write: bool) -> None:
    """Print both tables, and put them into the page where `write`."""
    tables = {
        "readings": readings_table(readings()),
        "intervals": intervals_table({world: coverage(world) for world in PROCESSES}),
    }
    publish("worlds", tables, write)


if __name__ == "__main__":
    main("--write" in sys.argv)
