"""Student's t, held against scipy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.spec.interval import Interval, t_interval, t_quantile


@pytest.mark.parametrize("df", [*range(1, 41), 99, 100, 500, 1999, 2000])
@pytest.mark.parametrize("p", [0.5, 0.6, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995, 0.9995])
def test_quantiles_equal_scipys(df, p):
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("df", [2001, 5000, 10**6])
@pytest.mark.parametrize("p", [0.75, 0.975, 0.995])
def test_quantiles_of_many_degrees_of_freedom_are_good_to_a_millionth(df, p):
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=30), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_intervals_equal_scipys(values, confidence):
    got = t_interval(values, confidence)
    half = stats.t.ppf(0.5 + confidence / 2, len(values) - 1) * stats.sem(values)
    assert got.mean == pytest.approx(sum(values) / len(values), abs=1e-9)
    assert got.half_width == pytest.approx(half, rel=1e-6, abs=1e-9)
    assert (got.low, got.high) == (got.mean - got.half_width, got.mean + got.half_width)
    assert got.n == len(values)


def test_one_value_has_an_infinite_interval_and_none_has_no_mean():
    assert t_interval([0.3]) == Interval(0.3, math.inf, 1)
    assert math.isnan(t_interval([]).mean)
