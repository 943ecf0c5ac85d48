"""Elasticities with intervals that cover, shares of R2 that add up, and collinear predictors."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.analyse.drivers.explain import collinear
from bench.analyse.stats import regression
from bench.analyse.stats.regression import redundant, regress, shapley, subset_r2

TRUTH = {"macs": 0.6, "activations": 0.3, "conv_layers": 0.1}
NAMES = list(TRUTH)


def world(rng: np.random.Generator, n: int, growing: float) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Correlated predictors, known elasticities, and noise whose spread grows with the MACs (not at all for 0)."""
    base = rng.normal(0, 1, n)
    x = {
        "macs": base + rng.normal(0, 0.7, n),
        "activations": base + rng.normal(0, 0.7, n),
        "conv_layers": 0.3 * base + rng.normal(0, 1, n),
    }
    noise = rng.normal(0, 0.15, n) * (1 + growing * x["macs"] ** 2)
    return x, sum(TRUTH[name] * x[name] for name in NAMES) - 7 + noise


# ---------------------------------------------------------------- elasticities


def test_slopes_and_r2_are_those_of_least_squares_and_the_intervals_those_of_hc3():
    x, y = world(np.random.default_rng(1), 25, 0.5)
    found = regress(x, y)
    design = np.column_stack([np.ones(25), *x.values()])
    slopes, (rss,), *_ = np.linalg.lstsq(design, y, rcond=None)
    inverse = np.linalg.inv(design.T @ design)
    residuals = y - design @ slopes
    scaled = (residuals / (1 - np.diag(design @ inverse @ design.T))) ** 2
    errors = np.sqrt(np.diag(inverse @ design.T @ np.diag(scaled) @ design @ inverse))
    for i, name in enumerate(NAMES, 1):
        assert found.elasticities[name].mean == pytest.approx(slopes[i])
        assert found.elasticities[name].half_width == pytest.approx(stats.t.ppf(0.975, 21) * errors[i])
    assert found.r2 == pytest.approx(1 - rss / np.sum((y - y.mean()) ** 2))


@pytest.mark.parametrize("growing", [0.0, 1.0])
@pytest.mark.parametrize("n", [15, 60])
def test_intervals_cover_the_truth_as_often_as_they_say(n: int, growing: float):
    rng = np.random.default_rng(3)
    hits = dict.fromkeys(NAMES, 0)
    for _ in range(400):
        for name, e in regress(*world(rng, n, growing)).elasticities.items():
            hits[name] += e.low <= TRUTH[name] <= e.high
    assert all(0.92 <= count / 400 <= 0.995 for count in hits.values()), hits


def test_intervals_of_equal_spread_would_not():
    rng, hits = np.random.default_rng(3), 0
    for _ in range(400):
        x, y = world(rng, 60, 1.0)
        design = np.column_stack([np.ones(60), *x.values()])
        slopes, (rss,), *_ = np.linalg.lstsq(design, y, rcond=None)
        error = math.sqrt(rss / 56 * np.linalg.inv(design.T @ design)[1, 1])
        hits += abs(slopes[1] - TRUTH["macs"]) <= stats.t.ppf(0.975, 56) * error
    assert hits / 400 < 0.88


def test_one_row_that_decides_alone_gives_no_interval():
    x = {"conv_layers": np.array([0.0, 0, 0, 0, 0, 1]), "macs": np.array([0.0, 1, 2, 3, 4, 2])}
    found = regress(x, np.array([0.0, 1.1, 1.9, 3.2, 4, 9]))
    assert math.isinf(found.elasticities["conv_layers"].half_width)


def test_times_that_are_all_the_same_have_no_r2():
    x, y = world(np.random.default_rng(1), 10, 0)
    found = regress(x, np.full_like(y, -3.0))
    assert math.isnan(found.r2)
    assert all(e.mean == pytest.approx(0, abs=1e-12) for e in found.elasticities.values())


# ---------------------------------------------------------------- shares of R2

numbers = st.floats(-3, 3, allow_subnormal=False)


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_shapley_is_the_mean_gain_over_all_orders(k: int, data: st.DataObject):
    names = [f"x{i}" for i in range(k)]
    sets = [frozenset(n for j, n in enumerate(names) if bits >> j & 1) for bits in range(2**k)]
    worth = {s: 0.0 if not s else data.draw(numbers) for s in sets}
    gains: dict[str, list[float]] = {n: [] for n in names}
    for order in permutations(names):
        for i, name in enumerate(order):
            gains[name].append(worth[frozenset(order[: i + 1])] - worth[frozenset(order[:i])])
    found = shapley(worth, names)
    assert found == pytest.approx({n: np.mean(g) for n, g in gains.items()}, abs=1e-12)
    assert sum(found.values()) == pytest.approx(worth[frozenset(names)], abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(5, 40), st.floats(0, 3))
@settings(max_examples=60, deadline=None)
def test_shares_of_r2_sum_to_it_and_none_is_negative(seed: int, n: int, growing: float):
    x, y = world(np.random.default_rng(seed), n, growing)
    found = regress(x, y)
    assert sum(found.shapley.values()) == pytest.approx(found.r2, abs=1e-10)
    assert all(s >= -1e-10 for s in found.shapley.values())
    assert all(found.alone[name] <= found.r2 + 1e-10 for name in x)


def test_independent_predictors_share_r2_as_they_explain_it_alone():
    a, b = (np.array(v, dtype=float) for v in ([1, 1, -1, -1], [1, -1, 1, -1]))
    found = regress({"macs": np.tile(a, 3), "activations": np.tile(b, 3)}, np.tile(3 * a + b, 3) + 5)
    assert found.shapley == pytest.approx({"macs": 0.9, "activations": 0.1})
    assert found.alone == pytest.approx(found.shapley)


# ---------------------------------------------------------------- together


def test_inflation_is_one_over_what_the_others_leave_unexplained():
    x, _ = world(np.random.default_rng(5), 50, 0)
    vif = regression.inflation(x)
    for name in NAMES:
        others = {n: v for n, v in x.items() if n != name}
        assert vif[name] == pytest.approx(1 / (1 - subset_r2(others, x[name])[frozenset(others)]))
    assert regression.condition({"macs": x["macs"]}) == pytest.approx(1)
    assert regression.condition(x) == pytest.approx(np.linalg.cond(np.column_stack([v - v.mean() for v in x.values()]) / [np.std(v) for v in x.values()]))  # fmt: skip


def test_predictors_that_move_together_are_named_in_a_sentence():
    assert collinear({"macs": 23.4, "activations": 23.4, "conv_layers": 1.2}) == "MACs and activations grow together (VIF 23): their elasticities can't be told apart"  # fmt: skip
    assert collinear({"macs": 9.0, "activations": 11.0}).startswith("activations grow with the other counts (VIF 11)")
    assert collinear({"macs": 9.9}) == ""


def test_what_is_made_of_others_is_found():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 9))
    assert redundant({"macs": a, "activations": 2 * a + 7, "conv_layers": b}) == {"activations": ("macs",)}
    assert redundant({"macs": a, "activations": b, "conv_layers": a - 2 * b}) == {
        "conv_layers": ("macs", "activations")
    }
    assert redundant({"macs": a, "activations": a + 1e-3 * b}) == {}
