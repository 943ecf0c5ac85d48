"""The fit of the kernel model: columns agree with single kernels, parameters that made the data are found, and what is left out is left out."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec.blocks.kernels import Kernel, convolution, linear
from bench.spec.devices.predicted_devices import known
from bench.spec.model import kernel_model
from bench.spec.model.model_parameters import PRIOR, prior
from tools.model_fit import cross_validation, fitting, unfitted_roofline
from tools.model_fit.cross_validation import NO_DEVICE, NO_SOURCE
from tools.model_fit.published_times import Observed

GPUS = [d for d in known().values() if d.kind == "gpu"]
CPUS = [d for d in known().values() if d.kind == "cpu"]
CPUS += [replace(d, measured=True) for d in CPUS] + [d.on(1) for d in CPUS]


@st.composite
def kernels(draw, dtype):
    word = draw(st.sampled_from(["conv", "linear", "elementwise", "norm", "pool"]))
    n = draw(st.integers(1, 64))
    if word == "conv":
        c_in, taps = draw(st.integers(1, 256)), draw(st.sampled_from([(1, 1), (3, 3), (7, 7), (1, 7)]))
        groups = draw(st.sampled_from([1, c_in]))
        c_out = c_in if groups > 1 else draw(st.integers(1, 256))
        pixels, last = draw(st.integers(1, 4096)), draw(st.booleans())
        return convolution(n, c_in, c_out, pixels, pixels, taps, draw(st.sampled_from([1, 2])), groups, dtype, last)
    if word == "linear":
        return linear(n, draw(st.integers(1, 4096)), draw(st.integers(1, 4096)), dtype)
    nbytes = draw(st.integers(1, 1 << 30))
    return Kernel(word, dtype, nbytes, nbytes)


@st.composite
def observed(draw, devices):
    device = draw(st.sampled_from(devices))
    dtype = draw(st.sampled_from([d for d in ("fp32", "fp16") if device.computes(d)]))
    run = tuple((kernel, draw(st.integers(1, 3))) for kernel in draw(st.lists(kernels(dtype), min_size=1, max_size=4)))
    mode, training = draw(st.sampled_from(["eager", "graph", "compile"])), draw(st.booleans())
    if mode == "compile":  # what is fused is told from the order in the one, from the counts in the other
        run = tuple((kernel, n) for kernel, n in run if kernel.family not in ("norm", "elementwise"))
        run = run or ((linear(1, 8, 8, dtype), 1),)
    return Observed("s", "t", device, dtype, mode, "n", 1, run, 1.0, training=training)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.lists(observed(GPUS), min_size=1, max_size=4), st.lists(observed(CPUS), min_size=1, max_size=4)))
def test_columns_give_what_the_model_gives_row_by_row(rows):
    p = {name: value * 1.1 for name, value in prior().items()}
    expected = [
        kernel_model.call_seconds(
            row.device, [k for k, n in row.kernels for _ in range(n)], row.mode, p, training=row.training
        ).wall_s
        for row in rows
    ]
    assert fitting.seconds(fitting.tabulate(rows), p) == pytest.approx(expected, rel=1e-9)


def world(truth, devices=("v100", "rtx3090", "a100"), source="made"):
    """Rows whose times are the model's own, with the parameters `truth`."""
    rows = []
    for name in devices:
        for c in (32, 128, 512):
            for pixels in (196, 3136):
                for batch in (1, 16, 128):
                    dense = convolution(batch, c, c, pixels, pixels, (3, 3))
                    deep = convolution(batch, c, c, pixels, pixels, (3, 3), 1, c)
                    point = convolution(batch, c, c, pixels, pixels)
                    group = f"{name} {c} {pixels} {batch}"
                    for run, base in (((dense,), True), ((deep, point), False)):
                        row = Observed(source, name, known()[name], "fp32", "graph", "", batch, tuple((k, 1) for k in run), 1.0, group, base)  # fmt: skip
                        rows.append(row)
    seconds = fitting.seconds(fitting.tabulate(rows), truth)
    return [replace(row, time_s=float(s)) for row, s in zip(rows, seconds, strict=True)]


def test_a_fit_finds_the_parameters_that_made_the_data():
    truth = {**prior(), "gpu.compute.dense.plain": 0.4, "gpu.move.depthwise": 0.5, "gpu.setup_s": 8e-6}
    rows = world(truth)
    table = fitting.tabulate(rows)
    found = fitting.fit(table)
    assert np.median(np.abs(fitting.errors(table, found))) < 0.02 < np.median(np.abs(fitting.errors(table, prior())))
    assert found["gpu.compute.dense.plain"] * found["gpu.winograd"] == pytest.approx(0.4 * 1.5, rel=0.1)


def test_what_no_row_speaks_of_stays_what_it_was():
    found = fitting.fit(fitting.tabulate(world({**prior(), "gpu.setup_s": 8e-6})))
    assert found["gpu.compute.dense.tensor"] == PRIOR["gpu.compute.dense.tensor"].value
    assert {name: v for name, v in found.items() if name.startswith("cpu.")} == {
        name: one.value for name, one in PRIOR.items() if name.startswith("cpu.")
    }


def test_only_what_is_freed_moves_and_from_where_it_is_told_to_start():
    rows = world({**prior(), "gpu.setup_s": 9e-6})
    start = {**prior(), "gpu.wave_s": 1e-6}
    found = fitting.fit(fitting.tabulate(rows), free=["gpu.setup_s"], start=start)
    assert {name for name in found if found[name] != start[name]} == {"gpu.setup_s"}


def test_a_fit_is_the_same_twice():
    table = fitting.tabulate(world({**prior(), "gpu.setup_s": 8e-6}))
    assert fitting.fit(table) == fitting.fit(table)


def test_a_device_that_is_left_out_has_no_part_in_its_own_prediction():
    rows = world(prior())
    odd = [replace(r, time_s=r.time_s * 3) if r.device.name == "a100" else r for r in rows]
    fits = cross_validation.without(odd)
    errors = cross_validation.left_out(odd, lambda row: row.device.name, fits[NO_DEVICE])
    mine = np.array([r.device.name == "a100" for r in odd])
    assert errors[mine] == pytest.approx(np.full(mine.sum(), -math.log(3)), abs=0.02)


def test_no_fit_without_a_part_has_seen_it(monkeypatch):
    rows = [*world(prior(), ("v100", "a100"), "one"), *world(prior(), ("a100", "rtx3090"), "other")]
    monkeypatch.setattr(fitting, "fit", lambda table: {(row.source, row.device.name): 1.0 for row in table.rows})
    every = {(row.source, row.device.name) for row in rows}
    fits = cross_validation.without(rows)
    for left, seen in fits[NO_DEVICE].items():
        assert set(seen) == {pair for pair in every if pair[1] != left}
    for left, seen in fits[NO_SOURCE].items():
        assert set(seen) == {pair for pair in every if pair[0] != left}
    assert set(fits[NO_SOURCE]) == {"one", "other"}


def test_speedups_cancel_what_both_sides_are_off_by():
    rows = world(prior())
    table = fitting.tabulate(rows)
    slow = fitting.errors(table, prior()) + 0.5
    assert cross_validation.of_speedups(rows, slow) == pytest.approx(np.zeros(len(rows) // 2), abs=1e-9)
    separable_off = np.array([0.0 if row.baseline else -0.3 for row in rows])
    assert cross_validation.of_speedups(rows, separable_off) == pytest.approx(np.full(len(rows) // 2, 0.3))


def test_rows_that_tell_of_their_host_alone_are_not_used():
    row = world(prior())[0]
    bound, free = (replace(row, time_s=t, extra={"dispatch_s": 1e-3}) for t in (1.1e-3, 1.3e-3))
    assert cross_validation.usable([bound, free, row]) == (free, row)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=40), st.floats(0.05, 1))
def test_an_interval_covers_the_share_of_errors_that_it_says(errors, share):
    width = cross_validation.covering([np.array(errors)], share)
    assert np.mean(np.abs(errors) <= width) >= share - 1e-9
    assert width in np.abs(errors)


def test_each_table_weighs_alike_in_an_interval():
    small, large, none = np.full(2, 1.0), np.full(1000, 0.1), np.empty(0)
    assert cross_validation.covering([small, large, none]) == 1.0
    assert cross_validation.covering([large]) == 0.1
    assert math.isnan(cross_validation.covering([none]))


def test_the_unfitted_roofline_is_what_it_says():
    device = known()["a100"]
    big = convolution(64, 512, 512, 3136, 3136, (3, 3))
    row = Observed("s", "t", device, "fp32", "library", "", 1, ((big, 1),), 1.0)
    (seconds,) = unfitted_roofline.seconds([row])
    assert seconds == pytest.approx(2 * big.macs / (0.6 * 19.5e12))
    tiny = replace(row, kernels=((Kernel("elementwise", "fp32", 4, 4), 1),))
    assert unfitted_roofline.seconds([tiny]) == pytest.approx([2.5e-6])
    cpu = known()["server_cpu"]
    rows = [replace(tiny, device=cpu, mode=mode) for mode in ("library", "eager")]
    assert unfitted_roofline.seconds(rows) == pytest.approx([2.5e-6, 8.5e-6])
    half_a_tile = replace(row, device=cpu, kernels=((convolution(1, 512, 64, 784, 784, (3, 3)), 1),))
    waves = [float(unfitted_roofline.seconds([half_a_tile], kind)[0]) for kind in ("cpu", "gpu")]
    assert waves[0] == pytest.approx(waves[1] * 40 * 128 * 128 / (784 * 64))


def test_a_compiled_network_keeps_one_pass_over_each_map():
    counted = (
        (Kernel("norm", "fp32", 400, 400), 3),
        (Kernel("elementwise", "fp32", 400, 400), 3),
        (Kernel("elementwise", "fp32", 800, 400), 1),
        (Kernel("pool", "fp32", 400, 4), 1),
    )
    assert fitting.fused(counted) == (counted[0], counted[2], counted[3])
