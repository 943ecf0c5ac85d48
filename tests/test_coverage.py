"""Intervals on populations whose speedup is known: as a run makes them, stopping rule and all, they hold it 95 % of the time."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.run.stopping import Progress, asked
from bench.spec.interval import EQUIVALENCE_MARGIN, Interval, process_interval, t_interval, t_quantile
from tools.study import judge, known_worlds
from tools.study.known_worlds import TIMING, TRIAL

DRAWS = 2000
ROUNDS = 10
TRUTH = math.log(3.0)

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
        visit = {"type": "visit", "trial_id": TRIAL.trial_id, "status": "ok", "timed_s": 0.0, "arms": arms}
        progress.note(visit | {"replicate": progress.processes(TRIAL) + 1})
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


@pytest.fixture(scope="module")
def worlds() -> dict[str, dict[str, known_worlds.Coverage]]:
    return {world: known_worlds.coverage(world) for world in known_worlds.PROCESSES}


@pytest.mark.parametrize("world", known_worlds.PROCESSES)
def test_the_typical_process_is_held_or_the_row_is_marked(worlds, world: str) -> None:
    ours = worlds[world]["ours"]
    assert 0.92 <= ours.typical_or_marked <= 0.98
    assert ours.typical >= worlds[world]["Student's t"].typical
    if world.startswith(("calm", "heavy")):  # symmetric: the mean is the typical process
        assert 0.92 <= ours.mean <= 0.98
        assert ours.marked < 0.03


def test_the_pages_tables_of_known_worlds_are_the_programs(worlds) -> None:
    page = judge.PAGE.read_text(encoding="utf-8")
    assert known_worlds.intervals_table(worlds) in page
    assert known_worlds.readings_table(known_worlds.readings()) in page


def test_a_reading_has_no_bias_where_the_arms_jitter_differently() -> None:
    found = known_worlds.readings(300)
    for world in known_worlds.SAMPLES:
        assert abs(found[world, "midmean of the ratios of means (ours)"][0]) < 0.007
    assert (
        found["20 % against 1 %", "midmean of the ratios of faster samples"][0] > 0.1
    )  # so it was read until schema 1


@pytest.mark.parametrize(("n", "wider"), [(6, 1.02), (8, 1.02), (9, 1.07), (11, 1.06), (12, 1.15), (60, 1.12)])
def test_calm_processes_hardly_widen_students_interval(n: int, wider: float) -> None:
    rng = np.random.default_rng(n)
    pairs = [(process_interval(v), t_interval(v)) for v in rng.normal(0, 0.02, (1000, n)).tolist()]
    assert all(ours.half_width >= t.half_width and ours.mean == t.mean for ours, t in pairs)
    assert sum(ours.half_width for ours, _ in pairs) <= wider * sum(t.half_width for _, t in pairs)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=15), st.floats(-3, 3), st.floats(0.5, 2))
def test_an_interval_moves_and_scales_with_its_values(values: list[float], by: float, factor: float) -> None:
    found, moved = process_interval(values), process_interval([factor * v + by for v in values])
    assert moved.mean == pytest.approx(factor * found.mean + by, abs=1e-9)
    assert moved.half_width == pytest.approx(factor * found.half_width, abs=1e-9)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=15))
def test_an_interval_is_wider_at_a_higher_confidence(values: list[float]) -> None:
    widths = [process_interval(values, confidence).half_width for confidence in (0.8, 0.95, 0.99)]
    assert widths == sorted(widths)


def run_of(values: list[float]) -> Progress:
    return Progress(values={TRIAL.trial_id: {i: [v] for i, v in enumerate(values, 1)}})


def test_a_trial_near_1x_goes_on_until_its_interval_fits_into_the_margin() -> None:
    wide = [-0.03, -0.02, -0.01, 0.01, 0.02, 0.03]
    assert process_interval(wide).half_width == pytest.approx(0.025, abs=0.001)
    assert run_of(wide).why_settled(TRIAL, TIMING) is None
    assert run_of([v + TRUTH for v in wide]).why_settled(TRIAL, TIMING) == "precision"
    assert run_of([v / 2 for v in wide]).why_settled(TRIAL, TIMING) == "precision"
    assert run_of(wide * 2).why_settled(TRIAL, TIMING) == "processes"


@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.2))
def test_what_is_asked_near_1x_lets_an_interval_round_1x_be_the_same(mean: float, precision: float) -> None:
    reached = asked(Interval(mean, 0.0, 6), precision)
    assert reached <= precision
    if abs(mean) <= EQUIVALENCE_MARGIN / 2:
        assert Interval(mean, reached, 6).within(EQUIVALENCE_MARGIN + 1e-12)


def test_a_trial_in_two_groups_goes_on_to_the_most_processes() -> None:
    calm = [TRUTH + v for v in (-0.002, 0.0, 0.001, 0.002, -0.001, 0.0)]
    assert run_of(calm).why_settled(TRIAL, TIMING) == "precision"
    parted = [*calm[:5], TRUTH - 0.05]
    assert process_interval(parted).half_width < TIMING.precision
    assert run_of(parted).why_settled(TRIAL, TIMING) is None
    assert run_of([*parted, *calm[:5]]).why_settled(TRIAL, TIMING) is None
    assert run_of([*parted, *calm]).why_settled(TRIAL, TIMING) == "processes"


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
