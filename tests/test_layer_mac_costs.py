"""What a layer and a MAC cost: fitted in worlds whose costs are known, and the speedup that follows for one shape."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import nnls

from bench.analyse.runs.rows import records_of
from bench.analyse.stats.regression import two_costs
from bench.analyse.sweeps.costs import LayerMacCosts, stacked, ways
from bench.analyse.sweeps.designed import find
from tests import designed
from tests.test_sweeps import deep, row, wide

LAYER_S, MAC_S = st.floats(1e-7, 1e-3), st.floats(1e-14, 1e-9)
positive = arrays.arrays(np.float64, 5, elements=st.floats(0.01, 100))


@given(positive, positive, positive)
def test_two_costs_are_the_least_squares_without_negatives(one: Any, other: Any, times: Any):
    found = np.array(two_costs(one, other, times))
    columns = np.column_stack([one / times, other / times])
    least = nnls(columns, np.ones(5))[1]
    assert (found >= 0).all()
    assert np.linalg.norm(columns @ found - 1) == pytest.approx(least, rel=1e-6, abs=1e-6)


def test_a_point_that_is_drawn_far_too_fast_leaves_costs():
    one, other = np.array([1.0, 4, 16, 16]), np.array([7.0, 7, 7, 70])
    times = one * np.exp(np.array([[0, 0, -50, 50], [50, -50, 0, 0], [-50, -50, -50, -50]]))
    costs = np.array(two_costs(one, other, times))
    assert np.isfinite(costs).all()
    assert (costs >= 0).all()


def test_each_row_of_times_has_costs_of_its_own():
    one, other = np.array([1.0, 4, 16]), np.array([2.0, 2, 9])
    times = np.array([3 * one + 5 * other, 7 * one, 2 * other])
    assert np.column_stack(two_costs(one, other, times)) == pytest.approx(np.array([[3, 5], [7, 0], [0, 2]]))


@given(LAYER_S, MAC_S)
def test_the_costs_of_a_world_without_noise_are_found(layer_s: float, mac_s: float):
    stack: dict[str, Any] = {"layers": 16, "depth": 16, "experiment": "wide"}
    rows = deep(lambda n: layer_s * n + mac_s * 1e6)
    rows += wide(lambda m: 16 * layer_s + mac_s * m, **stack)
    rows += wide(lambda m: 1.0, experiment="single blocks, which take no part")
    found = LayerMacCosts.of(stacked(find(rows)))
    assert found.layer_s.value == pytest.approx(layer_s, rel=1e-6)
    assert found.mac_s.value == pytest.approx(mac_s, rel=1e-6)


def test_the_intervals_cover_the_truth():
    rng = np.random.default_rng(3)
    truth, processes, sd, draws = (1e-5, 1e-11), 6, 0.05, 300
    held = np.zeros(2)
    for _ in range(draws):
        rows = []
        for layers, macs, experiment in [(n, 10**6, "deep") for n in (1, 4, 16, 64)] + [(16, m, "wide") for m in (10**5, 16 * 10**5, 256 * 10**5)]:  # fmt: skip
            logs = math.log(truth[0] * layers + truth[1] * macs) + sd * rng.standard_normal(processes)
            half = 2.5706 * logs.std(ddof=1) / math.sqrt(processes)
            rows.append(row(math.exp(logs.mean()), half, layers=layers, macs=macs, depth=layers, experiment=experiment))
        found = LayerMacCosts.of(find(rows))
        for i, (cost, true) in enumerate(zip((found.layer_s, found.mac_s), truth, strict=True)):
            assert cost.low is not None
            assert cost.high is not None
            held[i] += cost.low <= true <= cost.high
    assert (held / draws > 0.88).all()


def test_without_an_interval_of_every_point_the_costs_have_none():
    rows = deep(lambda n: 1e-5 * n)
    rows[2] |= {"time_ci_low_s": None, "time_ci_high_s": None, "processes": 1}
    found = LayerMacCosts.of(find(rows))
    assert found.layer_s.value == pytest.approx(1e-5)
    assert found.layer_s.low is found.layer_s.high is None


def test_the_shape_is_one_measured_outside_the_fit_and_its_speedup_follows_from_the_costs(tmp_path: Path):
    run = designed.run(tmp_path, designed.story(process_sd=0.01), ("cpu", "cuda:0"), only=("depth", "macs", "dose_batch"))  # fmt: skip
    found = ways(find(records_of(run.measurements)), records_of(run.pairs))
    assert found is not None
    shape, every = found
    assert shape == (64, 3, 28, 28)
    assert len(every) == 2 * 2 + 2  # a CPU's threads, and batches
    assert len({w.condition for w in every}) == len(every)
    for w in every:
        one = w.condition.threads == 1 and w.condition.layout == "channels_last"
        assert (w.measured is not None) is (one or w.condition.kind == "gpu")
        if w.measured is not None:
            assert w.measured["experiment"] == "dose_batch"
            assert w.off == pytest.approx(max(w.measured["speedup"] * w.separable_time.value, 1 / w.measured["speedup"] / w.separable_time.value))  # fmt: skip
            assert w.off < 1.1
        assert 0 <= w.standard_layers.value <= 1
        assert w.separable_layers.value <= w.separable_time.value


def test_without_sweeps_of_layers_of_both_blocks_there_is_nothing_to_say(tmp_path: Path):
    run = designed.run(tmp_path, only=("macs", "dose_batch"))
    assert ways(find(records_of(run.measurements)), records_of(run.pairs)) is None
    deeper = designed.run(tmp_path / "deep", only=("depth_by_map", "dose_batch"))
    arms = [r for r in records_of(deeper.measurements) if r["block"] == "standard"]
    assert ways(find(arms), records_of(deeper.pairs)) is None
    assert ways(find(records_of(deeper.measurements)), []) is None
