"""The designed sweeps: found by what rows count, and their slopes and lines where the truth is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.sweeps import designed
from bench.analyse.sweeps.costs import unit_costs

USUAL = {
    "status": "ok", "experiment": "e", "block": "standard", "kernel": 3, "run_id": "r", "device": "cpu", "device_name": "c",
    "threads": 1, "dtype": "fp32", "layout": "contiguous", "mode": "eager", "cudnn_benchmark": "on", "pass": "inference",
    "allocator": "retain", "waiting": "default", "batch": 1, "stride": 1, "dilation": 1, "depth": 1, "height": 28,
    "width": 28, "c_in": 64, "activations": 1000, "layers": 1, "macs": 10**6, "processes": 6,
}  # fmt: skip


def row(seconds: float, half_width: float = 0.01, **told: Any) -> dict[str, Any]:
    low, high = seconds * math.exp(-half_width), seconds * math.exp(half_width)
    times = {"time_median_s": seconds, "time_ci_low_s": low, "time_ci_high_s": high}
    return {**USUAL, **times, "arm_id": f"a/{sorted(told.items())}", **told}


def deep(seconds, **told: Any) -> list[dict[str, Any]]:
    return [row(seconds(n), layers=n, depth=n, **told) for n in (1, 4, 16, 64)]


def wide(seconds, **told: Any) -> list[dict[str, Any]]:
    return [row(seconds(m), macs=m, c_in=c, **told) for c, m in ((8, 10**5), (32, 16 * 10**5), (128, 256 * 10**5))]


def test_a_sweep_is_known_by_what_grows_and_what_is_held():
    rows = deep(lambda n: 1e-5 * n) + wide(lambda m: 1e-11 * m, experiment="w")
    layers, macs = designed.find(rows[::-1])
    assert (layers.grows, [p.layers for p in layers.points]) == ("layers", [1, 4, 16, 64])
    assert (macs.grows, [p.c_in for p in macs.points]) == ("macs", [8, 32, 128])
    assert len({p.macs for p in layers.points}) == len({p.layers for p in macs.points}) == 1
    assert layers.elasticity().mean == pytest.approx(1)
    assert macs.elasticity().mean == pytest.approx(1)
    assert unit_costs([layers]) == pytest.approx((1e-5, 0), abs=1e-12)


@pytest.mark.parametrize(
    "rows",
    [
        deep(lambda n: n)[:2],  # too few points
        [row(n, layers=n) for n in (1, 2, 3)],  # too little growth
        [row(n, layers=n, macs=10**6 * n) for n in (1, 4, 16)],  # both grow
        [*deep(lambda n: n), row(1.0, layers=4, height=14)],  # two rows with the same count
        [r | {"status": "crash"} for r in deep(lambda n: n)],
        [r | {"kernel": None} for r in deep(lambda n: n)],  # networks
        [r | {"threads": i} for i, r in enumerate(deep(lambda n: n))],  # four places
        [r | {"macs": 0} for r in deep(lambda n: n)],
    ],
)
def test_rows_that_hold_nothing_fixed_are_no_sweep(rows: list[dict[str, Any]]):
    assert designed.find(rows) == ()


def test_macs_that_whole_channels_let_drift_a_little_count_as_held():
    rows = [row(1e-3, layers=n, macs=m) for n, m in ((2, 132), (8, 137), (32, 147), (128, 165))]
    (found,) = designed.find(rows)
    assert [p.macs for p in found.points] == [132, 137, 147, 165]
    assert found.elasticity().mean == pytest.approx(0)


def test_each_place_batch_block_and_kernel_is_a_sweep_of_its_own():
    rows = [r for told in ({}, {"batch": 8}, {"threads": 2}, {"block": "separable"}, {"kernel": 5}, {"mode": "graph"}) for r in deep(lambda n: n, **told)]  # fmt: skip
    assert len(designed.find(rows)) == 6
    assert {s.condition.label for s in designed.find(rows)} == {
        "cpu, 1 thread, contiguous",
        "cpu, 1 thread, contiguous, batch 8",
        "cpu, 2 threads, contiguous",
        "cpu, 1 thread, contiguous, graph",
    }


@given(st.floats(1e-6, 1e-3), st.floats(1e-6, 1e-1), st.floats(0.1, 10))
def test_the_costs_are_found_whatever_the_scale(each: float, constant: float, scale: float):
    (found,) = designed.find(deep(lambda n: scale * (each * n + constant)))
    assert unit_costs([found]) == pytest.approx((scale * each, scale * constant / USUAL["macs"]), rel=1e-6, abs=1e-18)
    plain = designed.find(deep(lambda n: each * n + constant))[0].elasticity()
    assert found.elasticity().mean == pytest.approx(plain.mean)
    assert found.elasticity().half_width == pytest.approx(plain.half_width)


def test_without_an_interval_of_every_point_the_slope_has_none():
    rows = deep(lambda n: n)
    rows[2] |= {"time_ci_low_s": None, "time_ci_high_s": None, "processes": 1}
    (found,) = designed.find(rows)
    assert found.elasticity().mean == pytest.approx(1)
    assert found.elasticity().half_width == math.inf


def test_the_slopes_interval_covers_the_truth():
    rng = np.random.default_rng(5)
    held, draws, processes, sd = 0, 1500, 6, 0.05
    for _ in range(draws):
        rows = []
        for n in (1, 4, 16, 64):
            logs = math.log(1e-5) + 0.4 * math.log(n) + sd * rng.standard_normal(processes)
            half = 2.5706 * logs.std(ddof=1) / math.sqrt(processes)
            rows.append(row(math.exp(logs.mean()), half, layers=n, depth=n))
        slope = designed.find(rows)[0].elasticity()
        held += slope.low <= 0.4 <= slope.high
    assert 0.94 <= held / draws <= 1.0  # by the fewest degrees of freedom, so rather too wide
