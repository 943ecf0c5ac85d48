"""Intervals on populations whose speedup is known: as a run makes them, stopping rule and all, they hold it 95 % of the time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.run.resume_state import Progress
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.interval import t_interval, t_quantile
from bench.spec.plan import plan as planning

DRAWS = 2000
ROUNDS = 10
TRUTH = math.log(3.0)
TIMING = Timing()
TRIAL = planning.make(
    check({"name": "c", "experiments": {"c": {"blocks": ["standard", "separable"], "axes": {"threads": 1}}}}, "c"), ["cpu"], 1
).trials[0]  # fmt: skip

Population = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def samples(rng: np.random.Generator, effect: float, noise: Callable[[], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Both arms' samples in one process: the ratio is off by `effect`, and noise multiplies every sample."""
    return 3.0 * math.exp(effect) * noise(), noise()


def drift(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    slope = np.repeat(np.linspace(1, rng.uniform(1, 1.6), ROUNDS), 2)
    return samples(rng, rng.normal(0, 0.04), lambda: slope * rng.normal(1, 0.02, 2 * ROUNDS))


def bimodal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    def noise() -> np.ndarray:
        return np.where(rng.random(2 * ROUNDS) < 0.25, 1.5, 1.0) * rng.normal(1, 0.01, 2 * ROUNDS)

    return samples(rng, rng.normal(0, 0.03), noise)


def process_effects(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return samples(rng, rng.normal(0, 0.08), lambda: 1 + rng.exponential(0.05, 2 * ROUNDS))


def bimodal_processes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two kinds of process, 10 % apart, with some spread in each."""
    effect = rng.choice([-0.05, 0.05]) + rng.normal(0, 0.03)
    return samples(rng, effect, lambda: 1 + rng.exponential(0.02, 2 * ROUNDS))


def heavy_tails(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return samples(rng, 0.03 * rng.standard_t(4), lambda: 1 + 0.02 * rng.pareto(1.5, 2 * ROUNDS))


def settle(rng: np.random.Generator, population: Population) -> tuple[float, float, int]:
    """One trial measured until the run's own rule ends it: mean, half-width and processes."""
    progress = Progress()
    while progress.why_settled(TRIAL, TIMING) is None:
        arms = [{"samples_ns": side.tolist(), "flags": [0] * side.size} for side in population(rng)]
        progress.note({"type": "visit", "trial_id": TRIAL.trial_id, "status": "ok", "timed_s": 0.0, "arms": arms})
    (found,) = progress.intervals(TRIAL, TIMING.confidence)
    return found.mean, found.half_width, found.n


@pytest.mark.parametrize(
    "population", [drift, bimodal, process_effects, bimodal_processes, heavy_tails], ids=lambda p: p.__name__
)
def test_the_interval_of_a_run_covers_the_known_speedup(population: Population) -> None:
    rng = np.random.default_rng(2026)
    found = [settle(rng, population) for _ in range(DRAWS)]
    covered = sum(abs(mean - TRUTH) <= half_width for mean, half_width, _ in found)
    assert 0.93 <= covered / DRAWS <= 0.97
    assert {n for *_, n in found} <= set(range(TIMING.processes_min, TIMING.processes_max + 1))


def test_an_interval_of_the_samples_of_one_process_would_lie() -> None:
    """What the harnesses of the field do: a narrow interval round a process's own bias."""
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        a, b = process_effects(rng)
        found = t_interval(np.log(a / b).tolist())
        covered += abs(found.mean - TRUTH) <= found.half_width
    assert covered / 300 < 0.5


@given(st.integers(2, 60), st.floats(1e-6, 1))
def test_fewer_processes_of_the_same_spread_give_a_wider_interval_never_a_narrower(n: int, spread: float) -> None:
    def half_width(count: int) -> float:
        return t_quantile(0.975, count - 1) * spread / math.sqrt(count)

    assert half_width(n) > half_width(n + 1)
    assert math.isinf(t_interval([spread]).half_width)
