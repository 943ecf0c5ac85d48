"""Exact costs: against counting by hand, against torch, and against the sources' own numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec.blocks.blocks import BOUNDS, BlockChoice, Shape, build
from bench.spec.blocks.costs import ITEM_BYTES, Cost, cost
from bench.spec.blocks.derivation import derive
from bench.spec.errors import UserError
from tests.counting import counted
from tests.shapes import buildable


def bare(name: str, **sizes) -> Cost:
    """A block as the sources count it: no batch norm, no ReLU, no bias."""
    shape = Shape(**sizes)
    made = build(BlockChoice(name, norm=False, act=False), shape)
    return cost(made, shape.height, shape.width, shape.batch)


class Conv(NamedTuple):
    """A convolution, said apart from bench.spec: kernel and stride down and across, channels, groups."""

    kernel: tuple[int, int]
    c_in: int
    c_out: int
    groups: int = 1
    stride: tuple[int, int] = (1, 1)
    dilation: int = 1
    padded: bool = True
    transposed: bool = False


def convolutions(choice: BlockChoice, s: Shape) -> list[Conv]:
    """The convolutions of a block in their order."""
    first = one_copy(choice, s, s.c_in, s.stride)
    return first + [c for _ in range(1, s.depth) for c in one_copy(choice, s, s.c_out, 1)]


def one_copy(choice: BlockChoice, s: Shape, c: int, stride: int) -> list[Conv]:
    n, k, wide = s.c_out, s.kernel, c * (choice.expansion or 6)
    full = Conv((k, k), c, n, 1, (stride, stride), s.dilation, s.padding == "same")
    thin, mix = full._replace(c_out=c, groups=c), Conv((1, 1), c, n)
    match choice.name:
        case "standard":
            return [full]
        case "depthwise":
            return [thin]
        case "pointwise":
            return [mix._replace(stride=(stride, stride))]
        case "separable":
            return [thin, mix]
        case "mobilenet_block":
            return [thin._replace(kernel=(3, 3)), mix]
        case "grouped":
            return [full._replace(groups=choice.groups or 4)]
        case "dilated":
            return [full._replace(dilation=s.dilation * (choice.rate or 2))]
        case "transposed":
            return [full._replace(transposed=True)]
        case "spatially_separable":
            column = full._replace(kernel=(k, 1), stride=(stride, 1))
            return [column, full._replace(kernel=(1, k), stride=(1, stride), c_in=n)]
        case "global_depthwise":
            return [Conv((s.height, s.width), c, c, c, padded=False)]
        case "global_average_pool":
            return []
        case "inverted_bottleneck":
            expand = [mix._replace(c_out=wide)] if wide > c else []
            return [*expand, thin._replace(c_in=wide, c_out=wide, groups=wide), mix._replace(c_in=wide)]
    raise KeyError(choice.name)


def spots(size: int, kernel: int, stride: int, dilation: int, padded: bool) -> range:
    """Where a kernel begins on an axis of so many pixels."""
    pad = dilation * (kernel - 1) // 2 if padded else 0
    return range(-pad, size + pad - dilation * (kernel - 1), stride)


def by_hand(choice: BlockChoice, s: Shape) -> tuple[int, int, int]:
    """Weights, multiply-accumulates and output elements, one by one; taps on the padding count, as in the formula."""
    weights = macs = activations = 0
    height, width = s.height, s.width
    for c in convolutions(choice, s):
        across = tuple(zip((height, width), c.kernel, c.stride, strict=True))
        if c.transposed:
            rows, columns = range(height), range(width)  # each input pixel is multiplied by all taps
            height, width = (
                size * stride if c.padded else (size - 1) * stride + c.dilation * (kernel - 1) + 1
                for size, kernel, stride in across
            )
        else:
            rows, columns = (spots(*one, c.dilation, c.padded) for one in across)
            height, width = len(rows), len(columns)
        linked = [
            (out, taken)
            for out in range(c.c_out)
            for taken in range(c.c_in)
            if taken * c.groups // c.c_in == out * c.groups // c.c_out  # else the other group's
        ]
        taps = [(y, x) for y in range(c.kernel[0]) for x in range(c.kernel[1])]
        for _ in linked:
            for _ in taps:
                weights += 1
        for _ in range(s.batch):
            for _ in rows:
                for _ in columns:
                    for _ in linked:
                        for _ in taps:
                            macs += 1
            for _ in range(height):
                for _ in range(width):
                    activations += c.c_out
    return weights, macs, activations


@given(buildable())
@settings(max_examples=200)
def test_costs_equal_counting_one_by_one(case):
    choice, shape = case
    weights, macs, activations = by_hand(choice, shape)
    got = cost(build(choice, shape), shape.height, shape.width, shape.batch)
    outs = [c.c_out for c in convolutions(choice, shape)]
    assert got.params == weights + sum(outs) * (choice.bias + 2 * choice.norm)
    assert (got.macs, got.flops, got.activations) == (macs, 2 * macs, activations)
    assert got.layers == len(outs)
    if choice.name not in ("inverted_bottleneck", "global_average_pool"):
        assert got.ops == len(outs) * (1 + choice.norm + choice.act)


@given(buildable())
@settings(max_examples=100)
def test_costs_equal_what_torch_counts(case):
    choice, shape = case
    got = cost(build(choice, shape), shape.height, shape.width, shape.batch)
    seen = counted(build(choice, shape), (shape.batch, shape.c_in, shape.height, shape.width))
    assert (got.flops, got.params, got.output) == (seen.flops, seen.params, seen.output)
    assert (got.layers, got.activations, got.ops) == (seen.layers, seen.activations, seen.ops)


@given(buildable(), st.sampled_from(sorted(ITEM_BYTES)))
@settings(max_examples=100)
def test_least_bytes_are_inputs_weights_and_outputs_of_each_layer(case, dtype):
    choice, shape = case
    made = build(choice, shape)
    moved = counted(made, (shape.batch, shape.c_in, shape.height, shape.width)).moved
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
    assert derived.formula is not None
    assert derived.mac_ratio == Fraction(1, n) + Fraction(1, kernel**2) == derived.formula[2]


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
    assert data["layers"] == sum(row["op"] in ("conv", "transposed") for row in data["detail"])
    text = derived.text()
    assert f" = {data['flops']:,}\n" in text
    assert "\n\n\n" not in text
    if data["mac_ratio_to_standard"] is None:
        assert choice.name == "standard" or "no standard convolution to compare with" in text
        assert choice.name not in ("depthwise", "separable", "grouped", "spatially_separable")
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
