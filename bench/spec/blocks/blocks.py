"""Every block and network by name (BLOCKS), their options and bounds, and build(), which makes the layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from bench.spec.blocks import zoo
from bench.spec.blocks.layers import CONVOLUTIONS, Block, Items, Layer, Padding, Residual, Shape, changed
from bench.spec.errors import UserError, check_bounds, nearest

__all__ = [
    "BLOCKS", "BOUNDS", "EVEN_KERNEL", "OPTIONS", "Block", "BlockChoice", "Kind", "Layer", "Padding", "Shape", "build",
]  # fmt: skip

BOUNDS: dict[str, tuple[int, int]] = {
    "channels": (1, 65536),
    "kernel": (1, 255),
    "size": (1, 8192),
    "batch": (1, 65536),
    "stride": (1, 64),
    "dilation": (1, 64),
    "depth": (1, 256),
}
"""Least and most of each whole number of a shape."""

OPTIONS: dict[str, tuple[float, float]] = {
    "groups": (1, 65536),
    "expansion": (1, 64),
    "rate": (1, 64),
    "width": (0.05, 8.0),
}
"""Least and most of the options that some blocks have; all but width are whole numbers."""

IMAGE_CHANNELS, CLASSES = 3, 1000  # of every network
FACTORY_PATTERN = r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"


@dataclass(frozen=True, slots=True)
class Kind:
    """A line of BLOCKS: what a name stands for.

    `build` gives the layers for a shape and the `options`, whose defaults stand here. `network`: pixels of a network's
    usual images, 0 for a block. `twin`: the network that it is compared with.
    """

    build: Callable[..., Items]
    keeps_channels: bool = False  # has as many channels out as in
    any_kernel: bool = False  # ignores the kernel of the shape
    one_pixel: bool = False  # its output is one pixel, so it can't be stacked
    options: Mapping[str, float] = field(default_factory=dict)
    network: int = 0
    twin: str = ""


def _network(build: Callable[..., Items], size: int, twin: str = "", **options: float) -> Kind:
    return Kind(build, any_kernel=True, options=options, network=size, twin=twin)


BLOCKS: dict[str, Kind] = {
    "standard": Kind(zoo.standard),
    "depthwise": Kind(zoo.depthwise, keeps_channels=True),
    "pointwise": Kind(zoo.pointwise, any_kernel=True),
    "separable": Kind(zoo.separable),
    "grouped": Kind(zoo.grouped, options={"groups": 4}),
    "spatially_separable": Kind(zoo.spatially_separable),
    "dilated": Kind(zoo.dilated, options={"rate": 2}),
    "transposed": Kind(zoo.transposed),
    "global_depthwise": Kind(zoo.global_depthwise, True, True, True),
    "global_average_pool": Kind(zoo.global_average_pool, True, True, True),
    "mobilenet_block": Kind(zoo.mobilenet_block, any_kernel=True),
    "inverted_bottleneck": Kind(zoo.inverted_bottleneck, options={"expansion": 6}),
    "mobilenet_v1": _network(partial(zoo.mobilenet_v1, zoo.separable), 224, "mobilenet_v1_standard", width=1),
    "mobilenet_v1_standard": _network(partial(zoo.mobilenet_v1, zoo.standard), 224, width=1),
    "mobilenet_v2": _network(zoo.mobilenet_v2, 224, width=1),
    "xception": _network(partial(zoo.xception, zoo.separable), 299, "xception_standard"),
    "xception_standard": _network(partial(zoo.xception, zoo.standard), 299),
    "resnet18": _network(zoo.resnet18, 224),
    "resnet50": _network(zoo.resnet50, 224),
    "vgg16": _network(zoo.vgg16, 224),
}


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """A block's name, what follows its convolutions (batch norm, activation, a bias), and its options.

    `again`: the same block under a second label, which `bench aa` compares it with. `side`: a or b, the side of
    `bench ab` that it is measured on. An option (`groups`, `expansion`,
    `rate` of dilation, `width` multiplier) is None for the block's default. `factory`: package.module:name of a user's
    block; `whole`: that block is a network; `given`: words for its factory.
    """

    name: str
    norm: bool = True
    act: bool = True
    bias: bool = False
    again: bool = False
    groups: int | None = None
    expansion: int | None = None
    rate: int | None = None
    width: float | None = None
    factory: str | None = None
    whole: bool = False
    side: str = ""
    given: str = ""

    @property
    def label(self) -> str:
        """The name and what differs from the default: `separable`, `separable(no norm)`, `grouped(groups 8)`."""
        plain = self.norm and self.act and not (self.bias or self.again)
        if plain and self.groups is self.expansion is self.rate is self.width is None:
            return self.name  # a fast path: a plan asks thousands of times
        given = self._given_options()
        default = BLOCKS[self.name].options if given and self.name in BLOCKS else {}
        words = [f"{name} {value:g}" for name, value in given.items() if value != default.get(name)]
        flags = (("no norm", not self.norm), ("no relu", not self.act), ("bias", self.bias), ("again", self.again))
        words += [word for word, true in flags if true]
        return self.name + (f"({', '.join(words)})" if words else "")

    @property
    def network(self) -> bool:
        """Whether it is a network, whose channels, kernels and strides are fixed."""
        kind = BLOCKS.get(self.name)
        return self.whole or (kind is not None and kind.network > 0)

    @property
    def any_kernel(self) -> bool:
        """Whether it ignores the kernel of the shape, or may: a user's block decides for itself."""
        return self.factory is not None or kind_of(self.name).any_kernel

    @property
    def sources(self) -> tuple[str, ...]:
        """The import paths of its factory, and of what is named in `given` (`path`, `layer=path`)."""
        words = [word.rpartition("=")[2] for word in self.given.split()]
        return tuple(path for path in (self.factory, *words) if path and re.match(FACTORY_PATTERN, path))

    def _given_options(self) -> dict[str, float]:
        return {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}

    def options(self) -> dict[str, float]:
        """The options for its builder. UserError for one that the block does not have, or one out of bounds."""
        if self.factory is not None:
            return {}
        default, given = kind_of(self.name).options, self._given_options()
        for name, value in given.items():
            place = f"{self.name}: {name}"
            if name not in default:
                takers = ", ".join(word for word, kind in BLOCKS.items() if name in kind.options)
                raise UserError(place, "this block has no such option", f"Only {takers} may have it.", value)
            check_bounds(place, value, OPTIONS[name])
        return {**default, **given}


EVEN_KERNEL = (
    "padding same needs an odd kernel, or the output shifts by half a pixel",
    "Use an odd kernel or padding valid.",
)
"""The rule and its remedy."""


def kind_of(name: str) -> Kind:
    """The line of BLOCKS. UserError for an unknown name."""
    if name not in BLOCKS:
        raise UserError("block", "no such block", nearest(name, BLOCKS, "Known blocks"), name)
    return BLOCKS[name]


@lru_cache(maxsize=16384)
def build(choice: BlockChoice, shape: Shape) -> Block:
    """The block at a shape: `depth` copies, of which the first has the stride and changes the channels.

    UserError for an unknown name, an even kernel with same padding, a block that can't change the channels or be
    stacked, and for a user's block, whose layers are not known before it runs.
    """
    if choice.factory is not None:
        raise UserError(choice.name, "its costs are counted as it runs, not by a formula", "Measure it: bench run.")
    kind = kind_of(choice.name)
    if kind.keeps_channels and shape.c_in != shape.c_out:
        rule = f"it keeps the number of channels, so {shape.c_in} in cannot become {shape.c_out} out"
        raise UserError(choice.name, rule, "Ask for as many channels out as in, or for block separable.")
    if shape.padding == "same" and shape.kernel % 2 == 0 and not kind.any_kernel:
        raise UserError("kernel", *EVEN_KERNEL, value=shape.kernel)
    if shape.depth > 1 and kind.one_pixel:
        raise UserError(choice.name, "its output is one pixel, so it can't be stacked", "Use depth 1.", shape.depth)
    options = choice.options()
    items: list[Layer | Residual] = []
    for i in range(shape.depth):
        here = shape if i == 0 else replace(shape, c_in=shape.c_out, stride=1)
        suffix = "" if shape.depth == 1 else f"_{i + 1}"
        items += changed(kind.build(here, **options), lambda layer, suffix=suffix: _finished(layer, choice, suffix))  # type: ignore[misc]
    return Block(choice.label, tuple(items))


def _finished(made: Layer, how: BlockChoice, suffix: str) -> Layer | None:
    """The layer with its norm, activation and bias as chosen; None for a lone ReLU if there is to be no activation."""
    if made.op == "relu" and not how.act:
        return None
    bias = made.bias or (how.bias and made.op in CONVOLUTIONS)
    # Spelled out: dataclasses.replace is five times slower, and a plan builds thousands.
    return Layer(
        made.name + suffix, made.c_in, made.c_out, made.kernel, made.stride, made.padding, made.dilation, made.groups,
        bias, made.norm and how.norm, made.act if how.act else "", made.op, made.kernel_width, made.stride_width,
    )  # fmt: skip
