"""The predictor's kernels and their times: what must hold whatever the parameters are."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec.blocks.blocks import BLOCKS, BlockChoice, Shape, build
from bench.spec.blocks.costs import cost
from bench.spec.blocks.kernels import Kernel, convolution, fused, of_block
from bench.spec.devices import predicted_devices
from bench.spec.model import kernel_model, model_parameters

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
    assert len(kernels) == counted.ops
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
        made = convolution(items, c_in, channels, pixels, pixels, (3, 3), dtype=dtype)
        return kernel_model.kernel_seconds(device, made, PRIOR)

    one = seconds(batch, c_out)
    assert one >= device.floor_s
    assert seconds(4 * batch, c_out) >= one * 0.999
    assert seconds(batch, 4 * c_out) >= one * 0.999


@settings(max_examples=40, deadline=None)
@given(DEVICES, st.integers(1, 1 << 32))
def test_moving_is_no_faster_than_the_caches_rate(device, nbytes):
    seconds = kernel_model.kernel_seconds(device, Kernel("elementwise", "fp32", nbytes, nbytes), PRIOR)
    assert seconds >= 2 * nbytes / device.cache_bytes_per_s


def test_eager_waits_for_the_longer_of_host_and_device_and_a_graph_does_without_the_host():
    device = predicted_devices.find_device("h100")
    kernels = of_block(build(BlockChoice("separable"), Shape(128, 128, 28, 28)), 28, 28)
    eager, graph = (kernel_model.call_seconds(device, kernels, mode, PRIOR) for mode in ("eager", "graph"))
    assert eager.wall_s == eager.host_s == pytest.approx(6 * 15e-6)
    sooner = 6 * device.floor_s * PRIOR["gpu.floor"] * (1 - PRIOR["gpu.graph"])
    assert graph.device_s == pytest.approx(eager.device_s - sooner)
    assert graph.host_s == pytest.approx(15e-6)


def test_a_3_x_3_in_fp32_is_faster_where_the_library_has_winograds_algorithm_in_one_kernel():
    without = predicted_devices.find_device("h100")
    having = replace(without, winograd=True)
    p = {**PRIOR, "gpu.corner": 50.0}

    def ratio(taps=(3, 3), dtype="fp32", stride=1):
        made = convolution(64, 512, 512, 3136, 3136, taps, stride, dtype=dtype)
        slow, fast = (kernel_model.kernel_seconds(device, made, p) for device in (without, having))
        return slow / fast

    assert ratio() == pytest.approx(PRIOR["gpu.winograd"], rel=0.05)
    assert ratio((5, 5)) == ratio(stride=2) == ratio(dtype="fp16") == ratio(dtype="fp32-tf32") == 1.0


def depthwise(kernel=3, dtype="fp32"):
    return convolution(64, 512, 512, 3136, 3136, (kernel, kernel), groups=512, dtype=dtype)


def test_a_depthwise_kernel_in_fp32_is_bound_by_a_units_instructions_and_not_by_its_arithmetic():
    card = predicted_devices.find_device("rtx2080ti")
    twice = replace(card, peak={dtype: 2 * rate for dtype, rate in card.peak.items()})
    clock = replace(card, clock_hz=2 * card.clock_hz)

    def wave_s(device, **how):
        return kernel_model.demand(device, depthwise(**how)).wave_s

    assert wave_s(twice) == wave_s(card) == 2 * wave_s(clock)
    assert wave_s(card, dtype="fp16") == 2 * wave_s(twice, dtype="fp16"), "cuDNN's follows the peak"
    assert wave_s(twice, dtype="fp64") == wave_s(card, dtype="fp64") / 2 > wave_s(card)


def test_a_tap_more_costs_a_depthwise_kernel_less_than_its_first():
    card = predicted_devices.find_device("rtx2080ti")
    small, large = (kernel_model.demand(card, depthwise(kernel)).wave_s for kernel in (3, 7))
    assert large / small == pytest.approx((49 + kernel_model.INDEXED) / (9 + kernel_model.INDEXED))
    assert kernel_model.takes(card, depthwise()).compute == "gpu.compute.depthwise.plain"
    assert kernel_model.takes(card, depthwise(dtype="bf16")).compute == "gpu.compute.depthwise.half"


def test_a_cpu_lays_out_anew_what_its_library_wants_otherwise():
    cpu = predicted_devices.find_device("server_cpu")
    how = {"taps": (3, 3), "channels_last": True}
    last = convolution(4, 64, 64, 784, 784, **how)
    flat = replace(last, channels_last=False)
    packed = replace(last, packed=True)
    asked = {
        name: kernel_model.demand(cpu, kernel) for name, kernel in (("last", last), ("flat", flat), ("packed", packed))
    }
    assert (asked["flat"].again, asked["flat"].weights) == (flat.bytes_in + flat.bytes_out, flat.weights)
    assert (asked["last"].again, asked["last"].weights) == (0, last.weights)
    assert (asked["packed"].again, asked["packed"].weights) == (0, 0)
    seconds = [kernel_model.kernel_seconds(cpu, kernel, PRIOR) for kernel in (packed, last, flat)]
    assert seconds == sorted(set(seconds))
    assert kernel_model.laid_out(cpu, flat) == last
    assert kernel_model.laid_out(predicted_devices.find_device("a100"), flat) == flat


def test_aten_convolves_by_itself_where_its_source_says_so():
    cpu = predicted_devices.find_device("server_cpu")
    cpu = replace(cpu, peak={**cpu.peak, "bf16": 1e13})

    def anew(threads, images, c_in, pixels, taps=(1, 1), groups=1, dtype="fp32", stride=1):
        made = convolution(images, c_in, c_in, pixels, pixels, taps, stride, groups, dtype)
        return kernel_model.demand(cpu.on(threads), made).weights > 0

    assert not anew(1, 1, 64, 3136), "1 x 1 on one thread"
    assert anew(2, 1, 64, 3136), "on two"
    assert anew(1, 16, 64, 3136), "of sixteen images"
    assert anew(1, 1, 64, 3136, stride=2), "with a stride"
    assert not anew(8, 1, 16, 784, (3, 3)), "12,544 numbers"
    assert anew(8, 1, 64, 784, (3, 3)), "50,176 numbers"
    assert anew(8, 1, 16, 784, (5, 5)), "a large filter"
    assert anew(8, 1, 16, 784, (3, 3), groups=16), "a depthwise one"
    assert anew(8, 2, 8, 784, (3, 3)), "two images"
    assert anew(1, 1, 64, 3136, dtype="bf16"), "another dtype"


def test_measured_roofs_are_taken_whole_and_a_data_sheet_by_a_share():
    paper = predicted_devices.find_device("server_cpu")
    roofs = replace(paper, measured=True)
    p = {**PRIOR, "cpu.paper": 0.5, "cpu.paper.memory": 0.25, "cpu.corner": 50.0}
    computing = convolution(64, 512, 512, 3136, 3136, (3, 3), channels_last=True)
    moving = Kernel("elementwise", "fp32", 1 << 32, 1 << 32)
    for kernel, share in ((computing, 0.5), (moving, 0.25)):
        slow, fast = (kernel_model.kernel_seconds(device, kernel, p) for device in (paper, roofs))
        assert fast / slow == pytest.approx(share, rel=0.05)


@pytest.mark.parametrize(("device", "launch_s"), [("h100", 5e-6), ("server_cpu", 0.0)])
def test_the_host_takes_what_others_published_for_compiled_calls_and_autograd(device, launch_s):
    model = predicted_devices.find_device(device)
    kernels = of_block(build(BlockChoice("standard"), Shape(64, 64, 28, 28)), 28, 28)
    operator = 10e-6 + launch_s

    def host_s(mode, training=False):
        return kernel_model.call_seconds(model, kernels, mode, PRIOR, training).host_s

    assert host_s("eager") == pytest.approx(3 * operator)
    assert host_s("compile") == pytest.approx(35e-6 + 2 * 8e-6), "norm and activation in one kernel"
    assert host_s("eager", training=True) == pytest.approx((1 + 3 * 1.3 + 4 * 1.8) * operator + 27e-6)


def test_a_cpu_is_its_own_host():
    call = kernel_model.call_seconds(
        predicted_devices.find_device("laptop_cpu"), [Kernel("elementwise", "fp32", 4096, 4096)], "eager", PRIOR
    )
    assert call.wall_s == call.host_s + call.device_s
