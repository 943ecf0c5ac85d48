"""Blocks as data: what they are made of, how they are labelled, what they refuse; and that torch builds the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from bench.measure.modules import build_module
from bench.spec.blocks import BLOCKS, Block, BlockChoice, Shape, build
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


def test_separable_is_depthwise_then_pointwise():
    depthwise, pointwise = block("separable", kernel=5).layers
    assert (depthwise.c_in, depthwise.c_out, depthwise.kernel, depthwise.groups) == (4, 4, 5, 4)
    assert (pointwise.c_in, pointwise.c_out, pointwise.kernel, pointwise.groups) == (4, 8, 1, 1)


@pytest.mark.parametrize("name", ["standard", "pointwise", "separable"])
def test_stride_is_obeyed_once(name):
    """The block printed in one source always strides by 2, whatever it is asked for."""
    assert block(name).output(9, 9) == (9, 9)
    assert block(name, stride=2).output(9, 9) == (5, 5)
    assert block(name, stride=2, depth=3).output(9, 9) == (5, 5)
    assert [layer.stride for layer in block("separable", stride=2, depth=2).layers] == [2, 1, 1, 1]


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
