"""Blocks and networks as data: the same few words give the torch module, the exact cost, the label and the table row."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial

from bench.spec.blocks import networks, zoo
from bench.spec.blocks.layers import CONVOLUTIONS, Block, Items, Layer, Padding, Residual, Shape, changed
from bench.spec.errors import UserError

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
"""Least and most of each whole number of a shape. Beyond them it is a slip of the pen."""

OPTIONS: dict[str, tuple[float, float]] = {
    "groups": (1, 65536),
    "expansion": (1, 64),
    "rate": (1, 64),
    "width": (0.05, 8.0),
}
"""Least and most of what some blocks are told besides their shape; all but width are whole numbers."""

IMAGE_CHANNELS, CLASSES = 3, 1000  # of every network


@dataclass(frozen=True, slots=True)
class Kind:
    """A block or network that can be asked for by name. Add one by adding a line to BLOCKS.

    `build` gives its items for a shape and its `options`, which are here with their values where they are not told.
    `network` is the pixels of a network's own images, 0 for a block. `twin` names what a network is held against.
    """

    build: Callable[..., Items]
    meaning: str
    keeps_channels: bool = False  # puts out as many channels as it takes in
    any_kernel: bool = False  # takes no notice of the kernel that is asked for
    one_pixel: bool = False  # puts out one pixel, so that nothing can be stacked on it
    options: Mapping[str, float] = field(default_factory=dict)
    network: int = 0
    twin: str = ""


def _network(build: Callable[..., Items], meaning: str, size: int, twin: str = "", **options: float) -> Kind:
    return Kind(build, meaning, any_kernel=True, options=options, network=size, twin=twin)


BLOCKS: dict[str, Kind] = {
    "standard": Kind(zoo.standard, "a k x k convolution over all channels"),
    "depthwise": Kind(zoo.depthwise, "a k x k convolution of each channel by itself", keeps_channels=True),
    "pointwise": Kind(zoo.pointwise, "a 1 x 1 convolution over all channels", any_kernel=True),
    "separable": Kind(zoo.separable, "depthwise, then pointwise; the depthwise layer takes the stride"),
    "grouped": Kind(zoo.grouped, "a k x k convolution of each group of channels by itself", options={"groups": 4}),
    "spatially_separable": Kind(zoo.spatially_separable, "k x 1, then 1 x k, each over all channels"),
    "dilated": Kind(zoo.dilated, "k x k with its taps `rate` times as far apart", options={"rate": 2}),
    "transposed": Kind(zoo.transposed, "k x k over the input's pixels: the map grows by the stride"),
    "global_depthwise": Kind(zoo.global_depthwise, "depthwise with a kernel as large as the map", True, True, True),
    "global_average_pool": Kind(zoo.global_average_pool, "the mean of each channel: no weights", True, True, True),
    "mobilenet_block": Kind(zoo.mobilenet_block, "the sources' block, its stride obeyed: separable, k = 3", any_kernel=True),
    "inverted_bottleneck": Kind(zoo.inverted_bottleneck, "pointwise to more channels, depthwise, pointwise, and the input added", options={"expansion": 6}),
    "mobilenet_v1": _network(partial(networks.mobilenet_v1, zoo.separable), "MobileNetV1", 224, "mobilenet_v1_standard", width=1),
    "mobilenet_v1_standard": _network(partial(networks.mobilenet_v1, zoo.standard), "MobileNetV1 of standard convolutions", 224, width=1),
    "mobilenet_v2": _network(networks.mobilenet_v2, "MobileNetV2, of inverted bottlenecks", 224, width=1),
    "xception": _network(partial(networks.xception, zoo.separable), "Xception", 299, "xception_standard"),
    "xception_standard": _network(partial(networks.xception, zoo.standard), "Xception of standard convolutions", 299),
    "resnet18": _network(networks.resnet18, "ResNet-18", 224),
    "resnet50": _network(networks.resnet50, "ResNet-50", 224),
    "vgg16": _network(networks.vgg16, "VGG-16, without batch norm", 224),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BlockChoice:
    """A block's name, how its convolutions are finished (batch norm, activation, a bias), and what it is told besides.

    `again` is the same block once more, under a label of its own: what `bench aa` compares a block with. The options
    are None where the block's own value holds: `groups`, `expansion`, `rate` of dilation, `width` multiplier. `factory`
    is where a user's own comes from, as package.module:name, and `whole` whether it is a network.
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

    @property
    def label(self) -> str:
        """The name, with whatever departs from the usual: `separable`, `separable(no norm)`, `grouped(groups 8)`."""
        plain = self.norm and self.act and not (self.bias or self.again)
        if plain and self.groups is self.expansion is self.rate is self.width is None:
            return self.name  # as thousands do
        told = [(name, value) for name in OPTIONS if (value := getattr(self, name)) is not None]
        usual = BLOCKS[self.name].options if told and self.name in BLOCKS else {}
        off = [f"{name} {value:g}" for name, value in told if value != usual.get(name)]
        said = (("no norm", not self.norm), ("no relu", not self.act), ("bias", self.bias), ("again", self.again))
        off += [word for word, true in said if true]
        return self.name + (f"({', '.join(off)})" if off else "")

    @property
    def network(self) -> bool:
        """Whether it is a network, which has channels, kernels and strides of its own."""
        kind = BLOCKS.get(self.name)
        return self.whole or (kind is not None and kind.network > 0)

    @property
    def any_kernel(self) -> bool:
        """Whether it takes no notice of the kernel, or may do as it likes with it."""
        return self.factory is not None or kind_of(self.name).any_kernel

    def options(self) -> dict[str, float]:
        """What its builder is told. UserError for an option that the block doesn't take, or one out of bounds."""
        if self.factory is not None:
            return {}
        usual = kind_of(self.name).options
        told = {name: value for name in OPTIONS if (value := getattr(self, name)) is not None}
        for name, value in told.items():
            takers = [word for word, kind in BLOCKS.items() if name in kind.options]
            if name not in usual:
                raise UserError(f"{self.name}: {name}", "this block takes no such thing", f"Only {', '.join(takers)} may have it.", value=value)  # fmt: skip
            low, high = OPTIONS[name]
            if not low <= value <= high:
                rule = f"it is below {low:g}" if value < low else f"it is above {high:g}"
                raise UserError(f"{self.name}: {name}", rule, f"Give one from {low:g} to {high:g}.", value=value)
        return {**usual, **told}


EVEN_KERNEL = (
    "padding same needs an odd kernel, or the output shifts by half a pixel",
    "Use an odd kernel or padding valid.",
)
"""The rule and its remedy."""


def kind_of(name: str) -> Kind:
    """The block of that name. UserError where there is none."""
    kind = BLOCKS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, BLOCKS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Known blocks: {', '.join(BLOCKS)}"
        raise UserError("block", "no such block", hint, value=name)
    return kind


@lru_cache(maxsize=16384)
def build(choice: BlockChoice, shape: Shape) -> Block:
    """The block at a shape: `depth` copies, of which the first takes the stride and changes the channels.

    UserError for an unknown name, an even kernel with same padding, or a depthwise block asked to change channels; and
    for a user's own, whose layers its factory alone knows.
    """
    if choice.factory is not None:
        raise UserError(
            choice.name, "its layers are its factory's, so its costs are counted as it runs", "Measure it: bench run."
        )
    kind = kind_of(choice.name)
    if kind.keeps_channels and shape.c_in != shape.c_out:
        raise UserError(
            choice.name,
            f"it keeps the number of channels, so {shape.c_in} in cannot become {shape.c_out} out",
            "Ask for as many channels out as in, or for block separable.",
        )
    if shape.padding == "same" and shape.kernel % 2 == 0 and not kind.any_kernel:
        raise UserError("kernel", *EVEN_KERNEL, value=shape.kernel)
    if shape.depth > 1 and kind.one_pixel:
        raise UserError(choice.name, "it puts out one pixel, so nothing can be stacked on it", "Take depth 1.", value=shape.depth)  # fmt: skip
    told = choice.options()
    items: list[Layer | Residual] = []
    for i in range(shape.depth):
        here = shape if i == 0 else replace(shape, c_in=shape.c_out, stride=1)
        suffix = "" if shape.depth == 1 else f"_{i + 1}"
        items += changed(kind.build(here, **told), lambda layer, suffix=suffix: _finished(layer, choice, suffix))  # type: ignore[misc]
    return Block(choice.label, tuple(items))


def _finished(made: Layer, how: BlockChoice, suffix: str) -> Layer | None:
    """The layer with what is asked for left off or added; None for a ReLU by itself where there is to be none."""
    if made.op == "relu" and not how.act:
        return None
    bias = made.bias or (how.bias and made.op in CONVOLUTIONS)
    # Spelled out: dataclasses.replace takes five times as long, and a plan builds thousands.
    return Layer(
        made.name + suffix, made.c_in, made.c_out, made.kernel, made.stride, made.padding, made.dilation, made.groups,
        bias, made.norm and how.norm, made.act if how.act else "", made.op, made.kernel_width, made.stride_width,
    )  # fmt: skip
