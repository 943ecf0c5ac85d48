"""Estimators and intervals against what is known of them, and the rules for noise."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analyse.runs import row_quality
from bench.analyse.runs.journal import Samples
from bench.analyse.stats import estimators
from bench.spec.columns import SPEEDUP
from bench.spec.config.timing import Timing
from bench.spec.interval import Interval, clean_rounds, midmean, t_interval

seconds = st.floats(1e-7, 1e2)
samples = st.lists(seconds, min_size=1, max_size=30).map(np.array)
rounds = st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=1, max_size=12).map(np.array)


def test_minimum_and_median_are_what_they_say() -> None:
    values = np.array([3.0, 1.0, 2.0, 10.0])
    assert estimators.minimum(values) == 1.0
    assert estimators.median(values) == 2.5


def test_a_speedup_is_the_baselines_time_over_the_others() -> None:
    slow = [np.array([8.0, 9.0]), np.array([8.0, 8.5])]
    fast = [np.array([2.0, 2.5]), np.array([2.2, 2.0])]
    found = estimators.log_speedup(slow, fast)
    assert math.exp(found.mean) == pytest.approx(math.sqrt(17 / 4.5 * 16.5 / 4.2))
    assert found.n == 2


@given(st.lists(rounds, min_size=1, max_size=6))
def test_swapping_the_arms_turns_the_speedup_over(processes: list[np.ndarray]) -> None:
    a, b = [p[:, :2].ravel() for p in processes], [p[:, 2:].ravel() for p in processes]
    there, back = estimators.log_speedup(a, b), estimators.log_speedup(b, a)
    assert there.mean == pytest.approx(-back.mean, abs=1e-9)
    assert there.half_width == pytest.approx(back.half_width, rel=1e-9)


@given(samples, st.floats(0.01, 100))
def test_a_time_scales_with_its_samples(values: np.ndarray, factor: float) -> None:
    once, scaled = estimators.log_time([values]).mean, estimators.log_time([values * factor]).mean
    assert scaled - once == pytest.approx(math.log(factor), abs=1e-9)


def test_one_process_gives_no_interval() -> None:
    found = estimators.log_speedup([np.array([2.0, 2.1])], [np.array([1.0, 1.1])])
    assert found.mean == pytest.approx(math.log(4.1 / 2.1))
    assert math.isinf(found.half_width)


def test_the_interval_over_processes_covers_as_often_as_it_says() -> None:
    """Processes differ by 3 %, samples by skewed noise on top; five processes a draw."""
    rng = np.random.default_rng(7)
    truth, draws, covered = math.log(3.0), 400, 0
    for _ in range(draws):
        process = rng.normal(0, 0.03, (2, 5))
        noise = 1 + rng.exponential(0.05, (2, 5, 20))
        base = 3.0 * np.exp(process[0])[:, None] * noise[0]
        other = np.exp(process[1])[:, None] * noise[1]
        found = estimators.log_speedup(list(base), list(other))
        covered += found.low <= truth <= found.high
    assert 0.91 <= covered / draws <= 0.99


def test_pooling_the_samples_of_one_process_would_have_lied() -> None:
    """The samples agree to 0.1 % and the processes do not: the interval must be as wide as the processes say."""
    rng = np.random.default_rng(3)
    factors = np.exp(rng.normal(0, 0.1, 6))
    base = [1.0 * f + rng.uniform(0, 0.001, 50) for f in factors]
    found = estimators.log_speedup(base, [np.full(50, 1.0)] * 6)
    assert found.half_width > 0.03


@pytest.mark.fault(
    "machine", "other programs take the core while samples are taken",
    "samples are flagged and kept, stalled rounds are left out, and a visit waits for clean ones, at most four times its seconds",
)  # fmt: skip
def test_stalled_rounds_are_passed_over_where_enough_others_remain() -> None:
    """Both samples of an arm stalled for a hundred times as long in half of the rounds: the clean ones speak."""
    base, other = np.full(16, 3.0), np.full(16, 1.0)
    flags = np.zeros(16, dtype=int), np.zeros(16, dtype=int)
    other[:8] *= 100
    flags[1][:8] = 32
    assert estimators.paired(base, other, flags) == pytest.approx(math.log(3))
    assert estimators.paired(base, other) != pytest.approx(math.log(3), abs=0.5)
    flags[0][8:12] = 16  # throttled: two clean rounds are too few to speak for eight
    assert estimators.paired(base, other, flags) == estimators.paired(base, other)


def test_one_sample_of_a_round_may_stall_and_waits_of_a_hundredth_are_kept() -> None:
    base, other = np.full(8, 3.0), np.full(8, 1.0)
    other[::2] = 50.0
    flags = np.full(8, 1), np.tile([32, 3], 4)
    assert clean_rounds(flags[0].tolist(), flags[1].tolist()) == [0, 1, 2, 3]
    assert estimators.paired(base, other, flags) == pytest.approx(math.log(3))


@given(st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=3, max_size=12).map(np.array))
def test_without_flags_or_with_none_set_every_round_counts(found: np.ndarray) -> None:
    a, b = found[:, :2].ravel(), found[:, 2:].ravel()
    none = np.zeros(a.size, dtype=int)
    assert estimators.paired(a, b) == estimators.paired(a, b, (none, none))


def test_drift_from_round_to_round_and_bursts_within_one_leave_the_speedup_alone() -> None:
    """The clock slows by half over the rounds, and every fourth round a burst triples one sample of one arm."""
    drift = np.repeat(np.linspace(1.0, 1.5, 20), 2)
    base, other = 6.0 * drift, 2.0 * drift
    other[::8] *= 3
    base[4::16] *= 3
    assert estimators.paired(base, other) == pytest.approx(math.log(3), abs=1e-12)


def test_a_midmean_is_scipys_trimmed_mean() -> None:
    rng = np.random.default_rng(4)
    for n in range(1, 40):
        values = rng.standard_cauchy(n)
        assert midmean(values.tolist()) == pytest.approx(stats.trim_mean(values, 0.25))


@given(st.integers(1, 6), st.integers(2, 12), st.integers(0, 10**6))
def test_a_joint_mean_of_the_same_processes_is_students_over_their_own_means(cells: int, n: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(1.0, 0.1, (cells, n))
    found = estimators.joint_mean([dict(enumerate(v)) for v in values], [t_interval(v.tolist()) for v in values])
    expected = t_interval(values.mean(axis=0).tolist())
    assert (found.mean, found.half_width, found.n) == pytest.approx((expected.mean, expected.half_width, n))


def test_a_joint_mean_holds_the_truth_where_cells_lack_some_processes() -> None:
    rng = np.random.default_rng(6)
    for of_process, of_cell in ((0.05, 0.0), (0.05, 0.05), (0.0, 0.05)):
        hits = 0
        for _ in range(2000):
            process = rng.normal(0, of_process, 12)
            cells = [process[:n] + rng.normal(0, of_cell, n) for n in (6, 7, 9, 12)]
            found = estimators.joint_mean([dict(enumerate(c)) for c in cells], [t_interval(c.tolist()) for c in cells])
            hits += found.low <= 0 <= found.high
        assert 0.93 <= hits / 2000 <= 0.985, (of_process, of_cell)


def test_cells_without_processes_in_common_are_joined_by_their_intervals_alone() -> None:
    intervals = [Interval(math.log(2), 0.02, 6), Interval(math.log(8), 0.04, 6)]
    found = estimators.joint_mean([{1: 0.69, 2: 0.70}, {3: 2.07, 4: 2.08}], intervals)
    assert found == estimators.mean_of(intervals)
    assert math.exp(found.mean) == pytest.approx(4)
    assert math.isinf(estimators.joint_mean([{1: 0.0}], [Interval(0.0, math.inf, 1)]).half_width)
    assert math.isnan(estimators.joint_mean([], []).mean)


def test_a_difference_of_runs_is_welchs() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(1.0, 0.1, 6), rng.normal(1.2, 0.4, 9)
    welch = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    found = estimators.difference(_interval(a), _interval(b))
    assert found.mean == pytest.approx(b.mean() - a.mean())
    # whole degrees of freedom, rounded down: never narrower, and by little wider
    assert welch.high - found.mean <= found.half_width <= 1.05 * (welch.high - found.mean)


@pytest.mark.parametrize("other", [Interval(0.1, math.inf, 1), Interval(0.1, math.inf, 5)])
def test_a_difference_needs_two_intervals(other: Interval) -> None:
    assert math.isinf(estimators.difference(Interval(0.0, 0.1, 5), other).half_width)


def test_two_runs_without_spread_differ_by_a_number() -> None:
    assert estimators.difference(Interval(0.0, 0.0, 5), Interval(0.3, 0.0, 5)) == Interval(0.3, 0.0, 5)


@pytest.mark.parametrize(
    ("opinion", "spoiled", "unclean", "half_width", "words"),
    [
        (0.0, 0.0, 0, 0.04, ()),
        (0.14, 0.049, 0, 0.099, ()),
        (0.0, 0.0, 0, math.inf, ()),
        (0.0, 0.06, 0, 0.04, ("with the disturbed samples the speedup reads 6 % higher",)),
        (0.0, -0.06, 0, 0.04, ("with the disturbed samples the speedup reads 6 % lower",)),
        (0.0, 0.0, 2, 0.04, ("2 of 5 processes had fewer than 3 rounds that nothing disturbed",)),
        (-0.2, 0.0, 0, 0.04, ("by medians the speedup reads 18 % lower",)),
        (0.0, 0.0, 0, 0.16, ("the interval is ±16 %, over 2 times the ±5 % asked for",)),
    ],
)
def test_what_makes_a_row_noisy(
    opinion: float, spoiled: float, unclean: int, half_width: float, words: tuple[str, ...]
) -> None:
    assert row_quality.doubts(Interval(0.0, half_width, 5), {"medians": opinion}, spoiled, unclean, 0.05) == words


def test_all_doubts_are_said_at_once() -> None:
    assert len(row_quality.doubts(Interval(0.0, 1.0, 2), {"minima": 0.5, "medians": 0.1}, -0.5, 1, 0.05)) == 4


@pytest.mark.parametrize(
    ("opinion", "half_width", "words"),
    [
        (0.031, 0.01, ("by minima the speedup reads 3 % higher",)),
        (-0.06, 0.05, ("by minima the speedup reads 6 % lower",)),
        (0.029, 0.01, ()),
        (0.06, 0.07, ()),
        (0.06, math.inf, ()),
        (0.16, 0.01, ()),  # then the row is noisy
    ],
)
def test_estimators_that_part_by_more_than_the_interval_and_3_per_cent_are_noted(
    opinion: float, half_width: float, words: tuple[str, ...]
) -> None:
    assert row_quality.parted(Interval(0.0, half_width, 6), {"minima": opinion}) == words


def test_a_rare_fast_mode_and_two_groups_of_processes_are_noted_but_make_no_row_noisy() -> None:
    rng = np.random.default_rng(3)
    base, other = [], []
    for slow in (1.0, 1.0, 1.0, 1.0, 1.25, 1.25, 1.25):
        fast = np.where(rng.random(40) < 0.2, 0.9, 1.0)
        for arms, times in ((base, 2 * rng.normal(1, 0.005, 40)), (other, slow * fast * rng.normal(1, 0.005, 40))):
            arms.append(Samples(times, np.zeros(40, dtype=int), 1, times[:0], {}))
    found = row_quality.contrast(base, other, Timing(precision=0.2))
    assert found.doubts == ()
    assert found.notes == ("3 of 7 processes read 20 % lower, apart from the others",)
    alike = row_quality.contrast(base[:4], other[:4], Timing(precision=0.2))
    assert alike.doubts == ()
    (note,) = alike.notes
    assert note.startswith("by minima the speedup reads")


def _interval(values: np.ndarray) -> Interval:
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return Interval(float(values.mean()), float(half), len(values))


def test_the_normal_limit_of_a_difference() -> None:
    found = estimators.difference(Interval(0.0, 0.1, 2000), Interval(0.0, 0.1, 2000))
    z = NormalDist().inv_cdf(0.975)
    assert found.half_width == pytest.approx(0.1 * math.sqrt(2), rel=0.01)
    assert z == pytest.approx(1.96, abs=0.01)


def test_a_row_most_of_whose_samples_were_disturbed_is_doubted_but_not_for_its_own_page_faults() -> None:
    assert row_quality.disturbed(np.array([2, 2, 0, 0])) == ("50 % of its samples were disturbed",)
    assert row_quality.disturbed(np.array([2, 0, 0, 0])) == ()
    assert row_quality.disturbed(np.array([4, 4, 4, 4])) == ()


def test_a_speedup_that_moves_within_its_processes_never_settles() -> None:
    rng = np.random.default_rng(5)

    def process(slope: float) -> tuple[np.ndarray, np.ndarray]:
        rounds = np.repeat(np.linspace(1 + slope, 1, 12), 2)
        return 3 * rng.normal(1, 0.01, 24), rounds * rng.normal(1, 0.01, 24)

    still, calm = [process(0.3) for _ in range(6)], [process(0.0) for _ in range(6)]
    moved = estimators.movement(*zip(*still, strict=True))
    assert moved.mean > 0.1
    (doubt,) = row_quality.unsettled(moved)
    assert "never settles" in doubt
    assert "higher in the second half" in doubt
    assert row_quality.unsettled(estimators.movement(*zip(*calm, strict=True))) == ()


def test_drift_that_both_arms_share_is_no_movement() -> None:
    drift = np.repeat(np.linspace(2.0, 1.0, 12), 2)
    moved = estimators.movement([3 * drift] * 4, [drift] * 4)
    assert moved.mean == pytest.approx(0, abs=1e-12)
    assert row_quality.unsettled(moved) == ()


def test_too_few_rounds_or_processes_say_nothing_of_movement() -> None:
    short = np.ones(6)
    assert row_quality.unsettled(estimators.movement([short] * 5, [short] * 5)) == ()
    long = np.repeat([9.0, 1.0], 8)
    assert row_quality.unsettled(estimators.movement([long], [np.ones(16)])) == ()


# ---------------------------------------------------------------- intervals read back from tables


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8))
def test_the_interval_that_a_table_holds_is_read_back_as_it_was_written(logs: list[float]) -> None:
    written = t_interval(logs)
    row = {"status": "ok", "speedup": math.exp(written.mean), "speedup_ci_low": math.exp(written.low), "speedup_ci_high": math.exp(written.high), "processes": len(logs)}  # fmt: skip
    read = estimators.log_interval(row, SPEEDUP)
    assert read.mean == pytest.approx(written.mean, abs=1e-9)
    assert read.half_width == pytest.approx(written.half_width, abs=1e-9)
    assert read.n == len(logs)
    assert math.isinf(estimators.log_interval({**row, "speedup_ci_low": None}, SPEEDUP).half_width)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8), st.sampled_from([0.8, 0.9, 0.95, 0.99]), st.sampled_from([0.8, 0.9, 0.95, 0.99]))  # fmt: skip
def test_an_interval_at_another_confidence_is_the_one_that_the_values_have_there(logs: list[float], own: float, wanted: float) -> None:  # fmt: skip
    found = estimators.at_confidence(t_interval(logs, own), own, wanted)
    assert found.half_width == pytest.approx(t_interval(logs, wanted).half_width, rel=1e-9, abs=1e-12)


def test_one_process_has_no_interval_at_any_confidence() -> None:
    assert estimators.at_confidence(Interval(0.1, math.inf, 1), 0.8, 0.95) == Interval(0.1, math.inf, 1)
