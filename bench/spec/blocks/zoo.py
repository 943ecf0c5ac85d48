"""The layers of each block at a shape: one builder for each convolution of the sources.

Each convolution has batch norm and ReLU, as in MobileNet's paper (Howard et al. 2017, arXiv:1704.04861); build() drops
those that a config switches off.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bench.spec.blocks.layers import Items, Layer, Shape, residual
from bench.spec.errors import UserError

Row = tuple[Layer, ...]


conv = partial(Layer, norm=True, act="relu")
"""A convolution with batch norm and, unless `act` is empty, an activation."""


def standard(s: Shape) -> Row:
    """k x k over all channels."""
    return (conv("standard", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation),)


def depthwise(s: Shape) -> Row:
    """k x k over each channel by itself: as many groups as channels."""
    return (conv("depthwise", s.c_in, s.c_in, s.kernel, s.stride, s.padding, s.dilation, s.c_in),)


def pointwise(s: Shape) -> Row:
    """1 x 1 over all channels."""
    return (conv("pointwise", s.c_in, s.c_out, 1, s.stride, s.padding),)


def separable(s: Shape) -> Row:
    """Depthwise, which has the stride, then pointwise."""
    return (*depthwise(s), conv("pointwise", s.c_in, s.c_out, 1, 1, s.padding))


def mobilenet_block(s: Shape) -> Row:
    """The block that one source prints with a fixed stride of 2, here with the shape's stride: separable with k = 3."""
    return separable(replace(s, kernel=3))


def grouped(s: Shape, groups: int) -> Row:
    """k x k over the channels of each group by itself: params and MACs of the standard one / groups.

    UserError where the groups do not divide the channels.
    """
    for what, channels in (("in", s.c_in), ("out", s.c_out)):
        if channels % groups:
            rule = f"{channels} channels {what} can't be divided into {groups} groups"
            raise UserError("grouped", rule, "Use channels that the number of groups divides.")
    return (conv("grouped", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation, groups),)


def spatially_separable(s: Shape) -> Row:
    """k x 1, which changes the channels and has the vertical stride, then 1 x k, which has the horizontal one."""
    k = s.kernel
    return (
        conv("column", s.c_in, s.c_out, k, s.stride, s.padding, s.dilation, kernel_width=1, stride_width=1),
        conv("row", s.c_out, s.c_out, 1, 1, s.padding, s.dilation, kernel_width=k, stride_width=s.stride),
    )


def dilated(s: Shape, rate: int) -> Row:
    """k x k with its taps `rate` times as far apart: a wider reach at the cost of the standard one."""
    return (conv("dilated", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation * rate),)


def transposed(s: Shape) -> Row:
    """k x k that spreads every *input* pixel: with padding same the map grows by the stride."""
    return (conv("transposed", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation, op="transposed"),)


def global_depthwise(s: Shape) -> Row:
    """Depthwise with a kernel as large as the map: a weighted mean of each channel."""
    return (conv("global_depthwise", s.c_in, s.c_in, s.height, 1, "valid", 1, s.c_in, kernel_width=s.width),)


def global_average_pool(s: Shape) -> Row:
    """The mean of each channel."""
    return (Layer("global_average_pool", s.c_in, s.c_in, op="global_pool"),)


def inverted_bottleneck(s: Shape, expansion: int) -> Items:
    """Pointwise to `expansion` times the channels, depthwise, pointwise (Sandler et al. 2018, arXiv:1801.04381).

    The last one has no activation. The input is added where the output has its shape. There is no expansion by 1.
    """
    wide = s.c_in * expansion
    body = (
        conv("depthwise", wide, wide, s.kernel, s.stride, s.padding, s.dilation, wide, act="relu6"),
        conv("project", wide, s.c_out, 1, padding=s.padding, act=""),
    )
    if expansion > 1:
        body = (conv("expand", s.c_in, wide, 1, padding=s.padding, act="relu6"), *body)  # type: ignore[assignment]
    keeps_size = s.stride == 1 and (s.padding == "same" or s.kernel == 1)
    return (residual("add", body),) if keeps_size and s.c_in == s.c_out else body
