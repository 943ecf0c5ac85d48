"""Blocks as data: the same few words give the torch module, the exact cost, the label and the table row."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from bench.spec.errors import UserError

Padding = Literal["same", "valid"]

BOUNDS: dict[str, tuple[int, int]] = {
    "channels": (1, 65536),
    "kernel": (1, 255),
    "size": (1, 8192),
    "batch": (1, 65536),
    "stride": (1, 64),
    "dilation": (1, 64),
    "depth": (1, 256),
}
"""Least and most of each whole number of a shape. Beyond them it is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One point of the sweep: what a block is built for. Sizes in pixels, channels and items; all at least 1."""

    c_in: int
    c_out: int
    height: int
    width: int
    kernel: int = 3
    stride: int = 1
    padding: Padding = "same"
    dilation: int = 1
    depth: int = 1
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, with the batch norm and the ReLU that follow it (each one operator of its own).

    "same" padding adds dilation * (kernel - 1) / 2 on each side, so the output has ceil(size / stride) pixels.
    """

    name: str
    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    padding: Padding = "same"
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    norm: bool = False
    act: bool = False

    @property
    def pad(self) -> int:
        """Pixels of zero padding on each side."""
        return self.dilation * (self.kernel - 1) // 2 if self.padding == "same" else 0

    def output(self, size: int) -> int:
        """Output pixels along an axis of `size` input pixels (torch.nn.Conv2d's formula); below 1: it does not fit."""
        return (size + 2 * self.pad - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


@dataclass(frozen=True, slots=True)
class Block:
    """A named chain of layers."""

    name: str
    layers: tuple[Layer, ...]

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Output height and width in pixels. UserError where a layer's kernel does not fit."""
        for layer in self.layers:
            before = (height, width)
            height, width = layer.output(height), layer.output(width)
            if height < 1 or width < 1:
                reach = layer.dilation * (layer.kernel - 1) + 1
                raise UserError(
                    f"{self.name}, {layer.name}",
                    f"a kernel that reaches over {reach} pixels does not fit in {before[0]}x{before[1]} without padding",
                    "Use a larger size, a smaller kernel, or padding same.",
                )
        return height, width


def _standard(s: Shape) -> tuple[Layer, ...]:
    return (Layer("standard", s.c_in, s.c_out, s.kernel, s.stride, s.padding, s.dilation),)


def _depthwise(s: Shape) -> tuple[Layer, ...]:
    return (Layer("depthwise", s.c_in, s.c_in, s.kernel, s.stride, s.padding, s.dilation, groups=s.c_in),)


def _pointwise(s: Shape) -> tuple[Layer, ...]:
    return (Layer("pointwise", s.c_in, s.c_out, 1, s.stride, s.padding),)


def _separable(s: Shape) -> tuple[Layer, ...]:
    return (*_depthwise(s), Layer("pointwise", s.c_in, s.c_out, 1, 1, s.padding))


@dataclass(frozen=True, slots=True)
class Kind:
    """A block that can be asked for by name. Add a block by adding a line to BLOCKS."""

    build: Callable[[Shape], tuple[Layer, ...]]
    meaning: str
    keeps_channels: bool = False  # puts out as many channels as it takes in
    any_kernel: bool = False  # takes no notice of the kernel that is asked for


BLOCKS: dict[str, Kind] = {
    "standard": Kind(_standard, "a k x k convolution over all channels"),
    "depthwise": Kind(_depthwise, "a k x k convolution of each channel by itself", keeps_channels=True),
    "pointwise": Kind(_pointwise, "a 1 x 1 convolution over all channels", any_kernel=True),
    "separable": Kind(_separable, "depthwise, then pointwise; the depthwise layer takes the stride"),
}


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """A block's name and how its layers are finished: batch norm and ReLU after each convolution, or a bias in it.

    `again` is the same block once more, under a label of its own: what `bench aa` compares a block with.
    """

    name: str
    norm: bool = True
    act: bool = True
    bias: bool = False
    again: bool = False

    @property
    def label(self) -> str:
        """The name, with whatever departs from conv + BN + ReLU: `separable`, `separable(no norm)`."""
        said = (("no norm", not self.norm), ("no relu", not self.act), ("bias", self.bias), ("again", self.again))
        off = [word for word, true in said if true]
        return self.name + (f"({', '.join(off)})" if off else "")


EVEN_KERNEL = (
    "padding same needs an odd kernel, or the output shifts by half a pixel",
    "Use an odd kernel or padding valid.",
)
"""The rule and its remedy."""


@lru_cache(maxsize=16384)
def build(choice: BlockChoice, shape: Shape) -> Block:
    """The block at a shape: `depth` copies, of which the first takes the stride and changes the channels.

    UserError for an unknown name, an even kernel with same padding, or a depthwise block asked to change channels.
    """
    kind = BLOCKS.get(choice.name)
    if kind is None:
        near = difflib.get_close_matches(choice.name, BLOCKS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known blocks: {', '.join(BLOCKS)}"
        raise UserError("block", "no such block", hint, value=choice.name)
    if kind.keeps_channels and shape.c_in != shape.c_out:
        raise UserError(
            choice.name,
            f"it keeps the number of channels, so {shape.c_in} in cannot become {shape.c_out} out",
            "Ask for as many channels out as in, or for block separable.",
        )
    if shape.padding == "same" and shape.kernel % 2 == 0 and not kind.any_kernel:
        raise UserError("kernel", *EVEN_KERNEL, value=shape.kernel)
    layers: list[Layer] = []
    for i in range(shape.depth):
        here = shape if i == 0 else replace(shape, c_in=shape.c_out, stride=1)
        layers += [_finished(layer, choice, "" if shape.depth == 1 else f"_{i + 1}") for layer in kind.build(here)]
    return Block(choice.label, tuple(layers))


def _finished(made: Layer, how: BlockChoice, suffix: str) -> Layer:
    # Spelled out: dataclasses.replace takes five times as long, and a plan builds thousands.
    return Layer(
        made.name + suffix, made.c_in, made.c_out, made.kernel, made.stride, made.padding, made.dilation, made.groups,
        how.bias, how.norm, how.act,
    )  # fmt: skip
