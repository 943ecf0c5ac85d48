"""p-values from intervals and in families, against published worked examples, scipy and what must hold of any."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analyse.stats.estimators import benjamini_hochberg, holm, p_value
from bench.spec.interval import Interval, t_interval

# Benjamini & Hochberg 1995, section 3.2: the ordered p-values of 15 comparisons in a trial of thrombolysis (Neuhaus
# et al. 1992), of which Bonferroni's and Hochberg's procedures reject 3 and theirs 4.
NEUHAUS = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip

probability = st.floats(0, 1)
families = st.lists(probability, min_size=1, max_size=30)
values = st.lists(st.floats(-3, 3).map(lambda x: round(x, 6)), min_size=2, max_size=12)
adjustments = pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])


def summary(mean: float, deviation: float, n: int, confidence: float = 0.95) -> Interval:
    """The interval of `n` values with this mean and standard deviation."""
    half = stats.t.ppf(0.5 + confidence / 2, n - 1) * deviation / math.sqrt(n)
    return Interval(mean, float(half), n)


# ---------------------------------------------------------------- families


def test_benjamini_and_hochbergs_own_example() -> None:
    adjusted = benjamini_hochberg(NEUHAUS)
    assert sum(p <= 0.05 for p in adjusted) == 4
    assert adjusted[3] == pytest.approx(0.0095 * 15 / 4)


def test_holm_rejects_three_of_the_same() -> None:
    adjusted = holm(NEUHAUS)
    assert sum(p <= 0.05 for p in adjusted) == 3
    assert adjusted[:4] == pytest.approx([0.0001 * 15, 0.0004 * 14, 0.0019 * 13, 0.0095 * 12])
    assert adjusted[-1] == 1


def test_an_adjusted_p_is_never_below_the_one_before_it() -> None:
    """Two steps alone would give 0.03, 0.06, 0.06 (0.03 x 2, 0.04 x 1 = 0.04, lifted) by hand."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])


@adjustments
def test_a_family_of_one_is_left_alone_and_of_none_is_none(adjust) -> None:
    assert adjust([0.03]) == [0.03]
    assert adjust([]) == []


@adjustments
@pytest.mark.parametrize("wrong", [-0.01, 1.01, math.nan])
def test_what_is_no_p_value_is_refused(adjust, wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjust([0.5, wrong])


@adjustments
@given(p=families)
def test_adjusting_only_raises_up_to_one_and_keeps_the_order(adjust, p: list[float]) -> None:
    adjusted = adjust(p)
    assert all(raw <= new * (1 + 1e-12) and new <= 1 for raw, new in zip(p, adjusted, strict=True))
    ordered = [new for _, new in sorted(zip(p, adjusted, strict=True))]
    assert ordered == sorted(ordered)


@adjustments
@given(shuffled=families.flatmap(lambda p: st.tuples(st.just(p), st.permutations(range(len(p))))))
def test_the_order_in_which_tests_come_does_not_matter(adjust, shuffled: tuple[list[float], list[int]]) -> None:
    p, order = shuffled
    adjusted = adjust(p)
    assert adjust([p[i] for i in order]) == pytest.approx([adjusted[i] for i in order], rel=1e-12)


@given(families)
def test_holm_lies_between_no_correction_over_the_discoveries_and_bonferroni(p: list[float]) -> None:
    for raw, found, stepped in zip(p, benjamini_hochberg(p), holm(p), strict=True):
        assert found <= stepped * (1 + 1e-12)
        assert stepped <= min(1.0, raw * len(p)) * (1 + 1e-12)


@given(families, st.floats(0.001, 0.5))
def test_holm_rejects_what_stepping_down_by_hand_rejects(p: list[float], alpha: float) -> None:
    rejected = 0
    for i, value in enumerate(sorted(p)):
        if value * (len(p) - i) > alpha:
            break
        rejected += 1
    assert sum(q <= alpha for q in holm(p)) == rejected


def test_holm_keeps_its_promise_and_no_correction_does_not() -> None:
    """Ten true null hypotheses a family: one false answer or more in 5 % of families, at most."""
    rng = np.random.default_rng(11)
    draws = rng.uniform(size=(600, 10))
    assert np.mean([min(holm(p)) <= 0.05 for p in draws]) <= 0.07
    assert np.mean(draws.min(axis=1) <= 0.05) > 0.3


# ---------------------------------------------------------------- one interval


@given(values)
def test_p_of_zero_is_scipys(given_values: list[float]) -> None:
    if max(given_values) - min(given_values) < 1e-3:
        return
    expected = stats.ttest_1samp(given_values, 0).pvalue
    for confidence in (0.9, 0.95, 0.99):
        found = p_value(t_interval(given_values, confidence), confidence)
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(2, 12))
def test_p_is_below_five_percent_where_the_interval_leaves_zero_out(mean: float, half: float, n: int) -> None:
    interval = Interval(mean, half, n)
    if abs(abs(mean) - half) < 1e-6:
        return
    assert (p_value(interval) < 0.05) == (not interval.low <= 0 <= interval.high)


def test_one_process_proves_nothing() -> None:
    for interval in (Interval(3.0, math.inf, 1), Interval(math.nan, math.inf, 0), Interval(0.0, math.inf, 5)):
        assert p_value(interval) == 1
        assert not interval.within(0.1)


def test_processes_that_all_agree_prove_it() -> None:
    assert (p_value(Interval(0.2, 0.0, 5)), p_value(Interval(0.0, 0.0, 5))) == (0, 1)
    assert (Interval(0.2, 0.0, 5).within(0.3), Interval(0.3, 0.0, 5).within(0.3)) == (True, False)


# ---------------------------------------------------------------- equivalence

# The published p are of two one-sided tests at 5 %, whose interval is the 90 % one. Ours is the one at 95 %, so it lies
# within the margin just where twice their p is below 5 %.


def outside(interval: Interval, margin: float) -> float:
    """p of the mean lying outside ±margin: the larger of two one-sided t-tests (Schuirmann 1987)."""
    inside = margin - abs(interval.mean)
    half = p_value(replace(interval, mean=inside)) / 2
    return half if inside > 0 else 1 - half


def test_quertemonts_paired_example() -> None:
    """E. Quertemont, How to statistically show the absence of an effect, Psychologica Belgica 51 (2011) 109, page 124:
    five people, morning and evening, margin 0.5: t(4) = 0.71, p = .74, 95 % interval -.96 to 2.96.
    """
    morning, evening = [3, 4, 4, 5, 4], [1, 4, 1, 4, 5]
    interval = t_interval([m - e for m, e in zip(morning, evening, strict=True)])
    assert (round(interval.low, 2), round(interval.high, 2)) == (-0.96, 2.96)
    assert not interval.within(0.5)  # p = 0.74


@pytest.mark.parametrize(
    ("means", "deviations", "n", "p"),
    [((459.09, 402.61), (47.53, 38.42), 5, 0.92), ((407.24, 402.98), (41.77, 41.79), 150, 0.013)],
)
def test_quertemonts_two_samples(means, deviations, n: int, p: float) -> None:
    """The same, table 1: margin 15, t(8) = 1.52, p = 0.92 and t(298) = -2.23, p = 0.013, with a pooled deviation."""
    error = math.sqrt(fmean(d**2 for d in deviations) * 2 / n)
    half = stats.t.ppf(0.975, 2 * n - 2) * error
    interval = Interval(means[0] - means[1], float(half), 2 * n - 1)
    assert interval.within(15) == (2 * p < 0.05)
    assert min(1.0, 2 * outside(interval, 15)) == pytest.approx(min(1.0, 2 * p), abs=1e-3)


def test_minitabs_paired_example() -> None:
    """In the validation of the R package TOSTER: 15 pairs, margin 0.8, one-sided p 0.002 and 0.083."""
    first = [4, 2, 4, 3, 5, 4, 3, 4, 5, 4, 2, 3, 4, 5, 5]
    second = [3, 4, 2, 3, 5, 4, 3, 4, 5, 3, 4, 3, 2, 3, 4]
    interval = t_interval([a - b for a, b in zip(first, second, strict=True)])
    assert round(outside(interval, 0.8), 3) == 0.083
    assert not interval.within(0.8)


@pytest.mark.parametrize(
    ("interval", "margin", "p"),
    [
        (summary(0.04, 1.2, 100), 0.36, 0.004474619),
        (summary(0.02, 0.5, 300), 0.1, 0.002966762),
        (summary(-0.02, 0.5, 300), 0.1, 0.002966762),
        (summary(0.08, 0.876955, 65), 0.350782, 0.00770235),
    ],
)
def test_what_the_r_package_toster_gives_for_its_examples(interval: Interval, margin: float, p: float) -> None:
    assert outside(interval, margin) == pytest.approx(p, rel=1e-5)
    assert interval.within(margin) == (2 * p < 0.05)


@given(values, st.floats(0.01, 3), st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_the_interval_at_one_minus_alpha_lies_within_where_the_tests_at_half_of_alpha_both_reject(
    given_values: list[float], margin: float, alpha: float
) -> None:
    inner = t_interval(given_values, 1 - alpha)
    edge = max(abs(inner.low), abs(inner.high))
    if abs(edge - margin) < 1e-6:
        return
    assert inner.within(margin) == (edge < margin) == (2 * outside(t_interval(given_values), margin) <= alpha)


@given(values, st.floats(0.01, 3))
def test_equivalence_is_twice_the_larger_of_scipys_two_one_sided_tests(
    given_values: list[float], margin: float
) -> None:
    if stdev(given_values) < 1e-3:
        return
    above = stats.ttest_1samp(given_values, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(given_values, margin, alternative="less").pvalue
    assert outside(t_interval(given_values), margin) == pytest.approx(max(above, below), rel=1e-6, abs=1e-9)
    if abs(2 * max(above, below) - 0.1) > 1e-6:
        assert t_interval(given_values, 0.9).within(margin) == (2 * max(above, below) < 0.1)
