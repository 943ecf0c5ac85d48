"""Blocks as data: what they are made of, how they are labelled, what they refuse; and that torch builds the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.measure.modules import build_module
from bench.spec.blocks.blocks import BLOCKS, Block, BlockChoice, Shape, build
from bench.spec.blocks.layers import Residual
from bench.spec.errors import UserError
from tests.shapes import buildable


def block(name: str, norm: bool = True, act: bool = True, bias: bool = False, **sizes) -> Block:
    return build(BlockChoice(name, norm, act, bias), Shape(**{"c_in": 4, "c_out": 8, "height": 9, "width": 9} | sizes))


@given(buildable())
@settings(max_examples=60)
def test_a_block_puts_out_the_shape_that_its_module_puts_out(case):
    choice, shape = case
    made = build(choice, shape)
    with torch.device("meta"):
        module = build_module(made).eval()
        y = module(torch.empty(shape.batch, shape.c_in, shape.height, shape.width))
    assert tuple(y.shape) == (shape.batch, shape.c_out, *made.output(shape.height, shape.width))


@given(buildable())
@settings(max_examples=60)
def test_both_ways_of_a_residual_end_in_the_same_shape(case):
    choice, shape = case
    for item in build(choice, shape).items:
        if isinstance(item, Residual):
            ways = (Block("", row).output(shape.height, shape.width) for row in (item.body, item.shortcut))
            assert len(set(ways)) == 1


def test_separable_is_depthwise_then_pointwise():
    depthwise, pointwise = block("separable", kernel=5).layers
    assert (depthwise.c_in, depthwise.c_out, depthwise.kernel, depthwise.groups) == (4, 4, 5, 4)
    assert (pointwise.c_in, pointwise.c_out, pointwise.kernel, pointwise.groups) == (4, 8, 1, 1)


@pytest.mark.parametrize(
    "name",
    [
        "standard",
        "pointwise",
        "separable",
        "mobilenet_block",
        "grouped",
        "spatially_separable",
        "dilated",
        "inverted_bottleneck",
    ],
)
def test_stride_is_obeyed_once(name):
    """The block printed in one source always strides by 2, whatever it is asked for."""
    assert block(name).output(9, 9) == (9, 9)
    assert block(name, stride=2).output(9, 9) == (5, 5)
    assert block(name, stride=2, depth=3).output(9, 9) == (5, 5)
    assert [layer.stride for layer in block("separable", stride=2, depth=2).layers] == [2, 1, 1, 1]


def test_the_mobilenet_block_is_the_one_that_the_source_prints_but_for_its_stride():
    """Depthwise 3 x 3, batch norm, ReLU, 1 x 1, batch norm, ReLU, without a bias; here the stride is what is asked for."""

    class Source(nn.Module):
        def __init__(self, c_in: int, c_out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(c_in, c_in, kernel_size=3, stride=stride, padding=1, groups=c_in, bias=False)
            self.bn1 = nn.BatchNorm2d(c_in)
            self.conv2 = nn.Conv2d(c_in, c_out, kernel_size=1, stride=1, padding=0, bias=False)
            self.bn2 = nn.BatchNorm2d(c_out)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = nn.functional.relu(self.bn1(self.conv1(x)))
            return nn.functional.relu(self.bn2(self.conv2(x)))

    for stride in (1, 2, 3):
        theirs, ours = Source(4, 8, stride).eval(), build_module(block("mobilenet_block", stride=stride)).eval()
        with torch.no_grad():
            for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
                b.copy_(a)
            x = torch.randn(2, 4, 9, 9)
            torch.testing.assert_close(ours(x), theirs(x))


def test_only_the_first_copy_of_a_stack_changes_the_channels():
    chain = [(layer.name, layer.c_in, layer.c_out) for layer in block("separable", depth=2).layers]
    assert chain == [("depthwise_1", 4, 4), ("pointwise_1", 4, 8), ("depthwise_2", 8, 8), ("pointwise_2", 8, 8)]


def test_finish_is_norm_relu_and_bias_after_every_convolution():
    def parts(**how: bool) -> list[str]:
        return [type(m).__name__ for m in build_module(block("separable", **how))]

    assert parts() == ["Conv2d", "BatchNorm2d", "ReLU"] * 2
    assert parts(norm=False) == ["Conv2d", "ReLU"] * 2
    assert parts(norm=False, act=False) == ["Conv2d"] * 2
    biased = build_module(block("separable", bias=True))
    assert all(m.bias is not None for m in biased if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(
    ("choice", "label"),
    [
        (BlockChoice("standard"), "standard"),
        (BlockChoice("standard", norm=False), "standard(no norm)"),
        (BlockChoice("separable", norm=False, act=False, bias=True), "separable(no norm, no relu, bias)"),
        (BlockChoice("grouped"), "grouped"),
        (BlockChoice("grouped", groups=4), "grouped"),
        (BlockChoice("grouped", groups=8, norm=False), "grouped(groups 8, no norm)"),
        (BlockChoice("inverted_bottleneck", expansion=4), "inverted_bottleneck(expansion 4)"),
        (BlockChoice("mobilenet_v1", width=0.5), "mobilenet_v1(width 0.5)"),
    ],
)
def test_a_label_names_what_departs_from_conv_norm_relu(choice, label):
    assert choice.label == label


@pytest.mark.parametrize(
    ("name", "sizes", "words"),
    [
        ("seperable", {}, "'seperable': no such block. Did you mean separable?"),
        ("zzz", {}, f"Known blocks: {', '.join(BLOCKS)}."),
        ("depthwise", {}, "4 in cannot become 8 out"),
        ("standard", {"kernel": 4}, "padding same needs an odd kernel"),
        ("grouped", {"c_in": 6}, "grouped: 6 channels in can't be divided into 4 groups. Use channels that"),
        ("grouped", {"c_out": 6}, "6 channels out can't be divided into 4 groups"),
        ("global_depthwise", {"c_out": 4, "depth": 2}, "its output is one pixel, so it can't be stacked"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(name, sizes, words):
    with pytest.raises(UserError, match=r"^[^\n]*$") as told:
        block(name, **sizes)
    assert words in str(told.value)


def test_an_even_kernel_is_well_where_nothing_is_padded_or_the_kernel_is_not_used():
    assert block("standard", kernel=4, padding="valid").output(9, 9) == (6, 6)
    assert block("pointwise", kernel=4).output(9, 9) == (9, 9)


def test_a_kernel_that_does_not_fit_says_how_far_it_reaches():
    with pytest.raises(UserError, match="reaches over 9 pixels does not fit in 7x7"):
        block("standard", kernel=5, dilation=2, padding="valid").output(7, 7)


# ---------------------------------------------------------------- the rest of the zoo


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (BlockChoice("standard", groups=2), "standard: groups: 2: this block has no such option. Only grouped may have it."),
        (BlockChoice("resnet18", width=2.0), "Only mobilenet_v1, mobilenet_v1_standard, mobilenet_v2 may have it."),
        (BlockChoice("grouped", groups=0), "grouped: groups: 0: it is below 1. Give a number from 1 to 65536."),
        (BlockChoice("mobilenet_v1", width=9.0), "it is above 8. Give a number from 0.05 to 8."),
    ],
)  # fmt: skip
def test_an_option_is_refused_where_it_means_nothing(choice, words):
    with pytest.raises(UserError, match=r"^[^\n]*$") as told:
        build(choice, Shape(4, 4, 9, 9))
    assert words in str(told.value)


def test_one_group_is_the_standard_convolution_and_as_many_as_channels_the_depthwise_one():
    for groups, name in ((1, "standard"), (4, "depthwise")):
        grouped, plain = (
            build(choice, Shape(4, 4, 9, 9)).layers
            for choice in (BlockChoice("grouped", groups=groups), BlockChoice(name))
        )
        assert [replace(layer, name="") for layer in grouped] == [replace(layer, name="") for layer in plain]


@given(
    size=st.integers(3, 9), width=st.integers(3, 9), half=st.integers(0, 1), stride=st.integers(1, 3),
    padding=st.sampled_from(["same", "valid"]), dilation=st.integers(1, 2),
)  # fmt: skip
def test_a_spatially_separable_block_puts_out_what_a_standard_one_does(size, width, half, stride, padding, dilation):
    sizes = {"height": size, "width": width, "kernel": 2 * half + 1, "stride": stride, "padding": padding}
    made = [block(name, **sizes, dilation=dilation if half else 1) for name in ("spatially_separable", "standard")]
    try:
        expected = made[1].output(size, width)
    except UserError:
        return
    assert made[0].output(size, width) == expected


def test_a_dilated_block_reaches_further_at_the_same_cost():
    (near,), (far,) = block("standard").layers, block("dilated").layers
    assert (near.reaches, far.reaches) == ((3, 3), (5, 5))
    assert (far.kernel, far.dilation) == (3, 2)
    assert build(BlockChoice("dilated", rate=3), Shape(4, 4, 9, 9, dilation=2)).layers[0].dilation == 6


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_transposed_block_grows_the_map_by_its_stride(stride):
    assert block("transposed", stride=stride).output(9, 7) == (9 * stride, 7 * stride)
    assert block("transposed", stride=stride, padding="valid").output(9, 7) == (8 * stride + 3, 6 * stride + 3)


def test_global_average_pooling_is_a_global_depthwise_convolution_with_all_weights_alike():
    sizes = {"c_in": 4, "c_out": 4, "height": 5, "width": 7}
    pool, weighted = (
        build_module(block(name, norm=False, act=False, **sizes)).eval()
        for name in ("global_average_pool", "global_depthwise")
    )
    x = torch.randn(2, 4, 5, 7)
    with torch.no_grad():
        weighted[0].weight.fill_(1 / 35)
        torch.testing.assert_close(pool(x), weighted(x))
    assert sum(p.numel() for p in weighted.parameters()) == 4 * 35
    assert not list(pool.parameters())


def test_an_inverted_bottleneck_widens_and_adds_its_input_where_the_shapes_agree():
    expand, depthwise, project, add = block("inverted_bottleneck", c_out=4).layers
    assert [(x.c_in, x.c_out, x.kernel, x.groups, x.act) for x in (expand, depthwise, project)] == [
        (4, 24, 1, 1, "relu6"),
        (24, 24, 3, 24, "relu6"),
        (24, 4, 1, 1, ""),
    ]
    assert (add.op, add.act) == ("add", "")
    for other in ({"c_out": 8}, {"c_out": 4, "stride": 2}, {"c_out": 4, "padding": "valid"}):
        assert all(layer.op == "conv" for layer in block("inverted_bottleneck", **other).layers)
    bare = build(BlockChoice("inverted_bottleneck", norm=False, act=False, expansion=1), Shape(4, 4, 9, 9))
    assert [(layer.name, layer.act, layer.norm) for layer in bare.layers] == [
        ("depthwise", "", False),
        ("project", "", False),
        ("add", "", False),
    ]
    module = build_module(block("inverted_bottleneck", c_out=4)).eval()
    x = torch.randn(2, 4, 9, 9)
    with torch.no_grad():
        torch.testing.assert_close(module(x), x + module[0].body(x))
