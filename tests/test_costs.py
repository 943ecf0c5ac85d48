"""Exact costs: against counting by hand, against torch, and against the sources' own numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.modules import build_module
from bench.spec.blocks import BOUNDS, BlockChoice, Shape, build
from bench.spec.costs import ITEM_BYTES, Cost, cost, forward_macs
from bench.spec.derivation import derive
from bench.spec.errors import UserError
from tests.shapes import buildable


def bare(name: str, **sizes) -> Cost:
    """A block as the sources count it: no batch norm, no ReLU, no bias."""
    shape = Shape(**sizes)
    made = build(BlockChoice(name, norm=False, act=False), shape)
    return cost(made, shape.height, shape.width, shape.batch)


def convolutions(name: str, s: Shape) -> list[tuple[int, int, int, int, int]]:
    """Kernel, channels in, channels out, groups and stride of each convolution, said apart from bench.spec.blocks."""
    chain = []
    c_in, stride = s.c_in, s.stride
    for _ in range(s.depth):
        chain += {
            "standard": [(s.kernel, c_in, s.c_out, 1, stride)],
            "depthwise": [(s.kernel, c_in, c_in, c_in, stride)],
            "pointwise": [(1, c_in, s.c_out, 1, stride)],
            "separable": [(s.kernel, c_in, c_in, c_in, stride), (1, c_in, s.c_out, 1, 1)],
        }[name]
        c_in, stride = s.c_out, 1
    return chain


def by_hand(name: str, s: Shape) -> tuple[int, int, int]:
    """Weights, multiply-accumulates and output elements, one by one; taps on the padding count, as in the formula."""
    weights = macs = activations = 0
    height, width = s.height, s.width
    for kernel, c_in, c_out, groups, stride in convolutions(name, s):
        pad = s.dilation * (kernel - 1) // 2 if s.padding == "same" else 0
        reach = s.dilation * (kernel - 1) + 1
        rows = range(0, height + 2 * pad - reach + 1, stride)
        columns = range(0, width + 2 * pad - reach + 1, stride)
        for _ in range(s.batch):
            for _ in rows:
                for _ in columns:
                    for out in range(c_out):
                        activations += 1
                        for taken in range(c_in):
                            if taken * groups // c_in != out * groups // c_out:
                                continue  # the other group's
                            for _ in range(kernel * kernel):
                                macs += 1
        weights += sum(
            kernel * kernel
            for out in range(c_out)
            for taken in range(c_in)
            if taken * groups // c_in == out * groups // c_out
        )
        height, width = len(rows), len(columns)
    return weights, macs, activations


@given(buildable())
@settings(max_examples=150)
def test_costs_equal_counting_one_by_one(case):
    choice, shape = case
    weights, macs, activations = by_hand(choice.name, shape)
    got = cost(build(choice, shape), shape.height, shape.width, shape.batch)
    outs = [c_out for _, _, c_out, _, _ in convolutions(choice.name, shape)]
    assert got.params == weights + sum(outs) * (choice.bias + 2 * choice.norm)
    assert (got.macs, got.flops, got.activations) == (macs, 2 * macs, activations)
    assert forward_macs(build(choice, shape), shape.height, shape.width, shape.batch) == macs
    assert got.layers == len(outs)
    assert got.ops == len(outs) * (1 + choice.norm + choice.act)


@given(buildable())
@settings(max_examples=60)
def test_costs_equal_what_torch_counts(case):
    choice, shape = case
    got = cost(build(choice, shape), shape.height, shape.width, shape.batch)
    with torch.device("meta"):
        module = build_module(build(choice, shape)).eval()
        x = torch.empty(shape.batch, shape.c_in, shape.height, shape.width)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        y = module(x)
    assert got.flops == counter.get_total_flops()
    assert got.params == sum(p.numel() for p in module.parameters())
    assert got.output == tuple(y.shape)
    assert got.ops == len(module)


@given(buildable(), st.sampled_from(sorted(ITEM_BYTES)))
@settings(max_examples=60)
def test_least_bytes_are_inputs_weights_and_outputs_of_each_convolution(case, dtype):
    choice, shape = case
    made = build(choice, shape)
    moved, taken = 0, torch.empty(shape.batch, shape.c_in, shape.height, shape.width, device="meta")
    with torch.device("meta"):
        for part in build_module(made).eval():
            put = part(taken)
            if isinstance(part, torch.nn.Conv2d):
                moved += taken.numel() + put.numel() + sum(p.numel() for p in part.parameters())
            taken = put
    forward = cost(made, shape.height, shape.width, shape.batch, dtype)
    assert forward.bytes_min == moved * ITEM_BYTES[dtype]
    assert forward.intensity == forward.flops / forward.bytes_min
    training = cost(made, shape.height, shape.width, shape.batch, dtype, training=True)
    assert (training.macs, training.bytes_min) == (3 * forward.macs, 3 * forward.bytes_min)


def test_the_sources_5x5x3_example():
    assert bare("standard", c_in=3, c_out=4, height=5, width=5).params == 108
    separable = bare("separable", c_in=3, c_out=4, height=5, width=5)
    assert [d.params for d in separable.detail] == [27, 12]
    assert separable.params == 39


def test_the_sources_12x12x3_example():
    """One source prints 49,512 for 49,152 (its own sum, 53,952, is right) and 245 for 256 convolutions of the image."""
    sizes = {"c_in": 3, "c_out": 256, "height": 12, "width": 12, "kernel": 5, "padding": "valid"}
    standard, separable = bare("standard", **sizes), bare("separable", **sizes)
    assert standard.output == separable.output == (1, 256, 8, 8)
    assert standard.macs == 1_228_800 == 256 * 4800
    assert [d.macs for d in separable.detail] == [4800, 49_152]
    assert separable.macs == 53_952


def within(name: str) -> st.SearchStrategy[int]:
    return st.integers(*BOUNDS[name])


@given(
    n=within("channels"), m=within("channels"), half=st.integers(0, 127), size=within("size"),
    stride=within("stride"), depth=st.integers(1, 4), batch=within("batch"), training=st.booleans(),
)  # fmt: skip
@settings(max_examples=100)
def test_the_ratio_is_one_over_n_plus_one_over_k_squared(n, m, half, size, stride, depth, batch, training):
    """Exactly, for any N and k, and not at stride 1 alone: both blocks put out the same map. Deep stacks as well."""
    kernel = 2 * half + 1
    shape = Shape(m, n, size, size, kernel, stride, depth=depth, batch=batch)
    derived = derive(BlockChoice("separable"), shape, training=training)
    assert derived.mac_ratio == Fraction(1, n) + Fraction(1, kernel**2) == derived.formula


@given(n=within("channels"), m=within("channels"), kernel=within("kernel"), more=st.integers(0, 50))
def test_the_ratio_holds_without_padding_and_for_even_kernels(n, m, kernel, more):
    shape = Shape(m, n, kernel + more, kernel + more, kernel, padding="valid")
    assert derive(BlockChoice("separable"), shape).mac_ratio == Fraction(1, n) + Fraction(1, kernel**2)


def test_the_ratio_is_a_little_under_nine_for_k_3_and_many_channels():
    ratio = derive(BlockChoice("separable"), Shape(256, 256, 28, 28)).mac_ratio
    assert ratio is not None
    assert 8.5 < float(1 / ratio) < 9


def test_a_kernel_that_does_not_fit_has_no_cost():
    with pytest.raises(UserError, match="does not fit"):
        bare("separable", c_in=3, c_out=4, height=5, width=5, kernel=7, padding="valid")


def test_theoretical_memory_of_one_evaluation():
    """METHOD: batch 8, 64 to 128 channels, 112 x 112: 98 MiB of activations, which bare convolutions hold at once."""
    sizes = {"c_in": 64, "c_out": 128, "height": 112, "width": 112, "batch": 8}
    out = 8 * 128 * 112 * 112 * 4
    middle = 8 * 64 * 112 * 112 * 4
    assert bare("standard", **sizes).memory_bytes == out
    assert bare("separable", **sizes).memory_bytes == middle + out
    finished = build(BlockChoice("standard"), Shape(**sizes))
    assert cost(finished, 112, 112, 8).memory_bytes == 2 * out


# ---------------------------------------------------------------- the derivation


def test_the_derivation_shows_the_sources_arithmetic():
    shape = Shape(3, 256, 12, 12, 5, padding="valid")
    lines = derive(BlockChoice("separable", norm=False, act=False), shape).text().splitlines()
    for line in (
        "  params = 5 x 5 x 1 x 3 = 75",
        "  MACs = params x 8 x 8 = 4,800",
        "  params = 1 x 1 x 3 x 256 = 768",
        "  MACs = params x 8 x 8 = 49,152",
        "  MACs = 4,800 + 49,152 = 53,952",
        "  FLOP = 2 x MACs = 107,904",
        "    params = 5 x 5 x 3 x 256 = 19,200",
        "    MACs = params x 8 x 8 = 1,228,800",
        "  1/N + 1/k^2 = 1/256 + 1/25 = 281/6,400: exactly the ratio of the MACs",
    ):
        assert line in lines


@given(buildable(), st.sampled_from(sorted(ITEM_BYTES)), st.booleans())
@settings(max_examples=100)
def test_the_derivation_adds_up(case, dtype, training):
    choice, shape = case
    derived = derive(choice, shape, dtype, training)
    data = derived.to_dict()
    for key in ("params", "macs", "flops", "bytes_min", "activations"):
        assert data[key] == sum(row[key] for row in data["detail"]), key
    assert data["layers"] == len(data["detail"])
    text = derived.text()
    assert f" = {data['flops']:,}\n" in text
    assert "\n\n\n" not in text
    if data["mac_ratio_to_standard"] is None:
        assert choice.name == "pointwise"  # alone in taking no notice of the kernel
        assert "no standard convolution to compare with" in text
    else:
        exact = Fraction(data["mac_ratio_to_standard_exact"])
        assert exact == Fraction(data["macs"], data["standard_macs"])
        assert float(exact) == data["mac_ratio_to_standard"]


@pytest.mark.parametrize("name", sorted(BOUNDS))
@pytest.mark.parametrize("side", [0, 1])
def test_a_shape_out_of_bounds_is_refused(name, side):
    value = BOUNDS[name][side] + (-1, 1)[side]
    field = {"channels": "c_in", "size": "width"}.get(name, name)
    with pytest.raises(UserError, match=f"{value}: it is {('below', 'above')[side]} {BOUNDS[name][side]}"):
        derive(BlockChoice("standard"), Shape(**{"c_in": 4, "c_out": 4, "height": 9, "width": 9} | {field: value}))
