"""The predictor's kernels and their times: what must hold whatever the parameters are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec import kernel_model, model_parameters, predicted_devices
from bench.spec.blocks import BLOCKS, BlockChoice, Shape, build
from bench.spec.costs import cost
from bench.spec.kernels import convolution, elementwise, fused, of_block

PRIOR = model_parameters.prior()
DEVICES = st.sampled_from([d for d in predicted_devices.known().values() if d.kind == "gpu"])
SIZES = st.integers(1, 512)


@pytest.mark.parametrize("name", BLOCKS)
def test_kernels_do_what_costs_counts(name):
    size = BLOCKS[name].network or 28
    c_in, c_out = (3, 1000) if BLOCKS[name].network else (32, 32)
    block = build(BlockChoice(name), Shape(c_in, c_out, size, size, batch=2))
    kernels, counted = of_block(block, size, size, batch=2), cost(block, size, size, batch=2)
    assert sum(k.macs for k in kernels) == counted.macs
    assert sum(k.calls for k in kernels) == counted.ops
    assert sum(k.family not in ("elementwise", "norm", "pool", "linear") for k in kernels) == counted.layers
    weights = sum(k.weights for k in kernels)
    assert weights <= 4 * counted.params


def test_a_compiler_does_norm_and_activation_in_one_pass():
    block = build(BlockChoice("separable"), Shape(8, 16, 14, 14))
    assert [k.family for k in fused(of_block(block, 14, 14))] == ["depthwise", "norm", "pointwise", "norm"]


@settings(max_examples=60, deadline=None)
@given(DEVICES, SIZES, SIZES, st.integers(1, 64), st.integers(1, 128), st.sampled_from(["fp32", "fp32-tf32"]))
def test_a_kernel_never_takes_less_than_its_floor_and_more_work_is_never_faster(
    device, c_in, c_out, pixels, batch, dtype
):
    def seconds(items, channels):
        made = convolution("x", items, c_in, channels, pixels, pixels, (3, 3), dtype=dtype)
        return kernel_model.kernel_seconds(device, made, PRIOR)

    one = seconds(batch, c_out)
    assert one >= device.floor_s
    assert seconds(4 * batch, c_out) >= one * 0.999
    assert seconds(batch, 4 * c_out) >= one * 0.999


@settings(max_examples=40, deadline=None)
@given(DEVICES, st.integers(1, 1 << 32))
def test_moving_is_no_faster_than_the_caches_rate(device, nbytes):
    seconds = kernel_model.kernel_seconds(device, elementwise("x", nbytes, nbytes), PRIOR)
    assert seconds >= 2 * nbytes / device.cache_bytes_per_s


def test_eager_waits_for_the_longer_of_host_and_device_and_a_graph_does_without_the_host():
    device = predicted_devices.named("h100")
    kernels = of_block(build(BlockChoice("separable"), Shape(128, 128, 28, 28)), 28, 28)
    eager, graph = (kernel_model.call_seconds(device, kernels, mode, PRIOR) for mode in ("eager", "graph"))
    assert eager.wall_s == eager.host_s == pytest.approx(6 * 15e-6)
    assert graph.device_s == eager.device_s
    assert graph.host_s == pytest.approx(15e-6)


def test_a_cpu_is_its_own_host():
    call = kernel_model.call_seconds(
        predicted_devices.named("laptop_cpu"), [elementwise("x", 4096, 4096)], "eager", PRIOR
    )
    assert call.wall_s == call.host_s + call.device_s
