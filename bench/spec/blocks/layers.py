"""Shape, Layer, Residual and Block: the parts of every block and network, and the size of a layer's output."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal

from bench.spec.errors import UserError

Padding = Literal["same", "valid"]
Op = Literal["conv", "transposed", "max_pool", "global_pool", "linear", "relu", "add"]
Act = Literal["", "relu", "relu6"]
CONVOLUTIONS: tuple[Op, ...] = ("conv", "transposed")
FIXED_IN_NETWORKS = ("c_in", "c_out", "kernel", "stride", "padding", "dilation", "depth")
"""Fields of a Shape that every network fixes for itself."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that a block is built for, in pixels, channels and items; all at least 1.

    A network uses height, width and batch; `c_in` and `c_out` are the image's channels and the classes.
    """

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
    """One layer, with the batch norm and the activation that follow it (one operator each).

    `op`: torch.nn.Conv2d, ConvTranspose2d, a pooling, a linear layer over the whole map, a lone ReLU, or the addition
    of a shortcut. Kernel and stride are square unless `kernel_width` and `stride_width` are given.

    "same" padding adds dilation * (kernel - 1) / 2 on each side. The output then has ceil(size / stride) pixels, that
    of a transposed convolution size * stride.
    """

    name: str
    c_in: int
    c_out: int
    kernel: int = 1
    stride: int = 1
    padding: Padding = "same"
    dilation: int = 1
    groups: int = 1
    bias: bool = False
    norm: bool = False
    act: Act = ""
    op: Op = "conv"
    kernel_width: int | None = None
    stride_width: int | None = None

    @property
    def kernels(self) -> tuple[int, int]:
        """Kernel height and width in pixels."""
        return self.kernel, self.kernel if self.kernel_width is None else self.kernel_width

    @property
    def strides(self) -> tuple[int, int]:
        """Stride down and across."""
        return self.stride, self.stride if self.stride_width is None else self.stride_width

    @property
    def taps(self) -> int:
        """Weights in one channel of one filter: kernel height x width."""
        return self.kernel * (self.kernel if self.kernel_width is None else self.kernel_width)

    @property
    def pads(self) -> tuple[int, int]:
        """Pixels of zero padding on each side, (vertical, horizontal). A transposed convolution removes them."""
        if self.padding != "same":
            return 0, 0
        high, wide = self.kernels
        return self.dilation * (high - 1) // 2, self.dilation * (wide - 1) // 2

    @property
    def extra(self) -> tuple[int, int]:
        """Rows and columns that a transposed convolution adds at the end (torch's output_padding)."""
        down, across = self.strides
        return (down - 1, across - 1) if self.op == "transposed" and self.padding == "same" else (0, 0)

    @property
    def reaches(self) -> tuple[int, int]:
        """Pixels from a kernel's first tap to its last, both counted."""
        high, wide = self.kernels
        return self.dilation * (high - 1) + 1, self.dilation * (wide - 1) + 1

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Output height and width in pixels, by torch's formulas. One is below 1 where the kernel does not fit."""
        if self.op in ("conv", "max_pool"):
            if self.kernel_width is None and self.stride_width is None:  # the usual case, thousands of times in a plan
                pad = self.dilation * (self.kernel - 1) // 2 if self.padding == "same" else 0
                more = 2 * pad - self.dilation * (self.kernel - 1) - 1
                return (height + more) // self.stride + 1, (width + more) // self.stride + 1
            (down, across), (above, beside), (tall, broad) = self.strides, self.pads, self.reaches
            return (height + 2 * above - tall) // down + 1, (width + 2 * beside - broad) // across + 1
        if self.op == "transposed":
            (down, across), (above, beside), (tall, broad) = self.strides, self.pads, self.reaches
            below, right = self.extra
            return (height - 1) * down - 2 * above + tall + below, (width - 1) * across - 2 * beside + broad + right
        return (height, width) if self.op in ("relu", "add") else (1, 1)


@dataclass(frozen=True, slots=True)
class Residual:
    """Layers in a row beside a shortcut, and the sum of the two; an empty shortcut is the input itself."""

    body: tuple[Layer, ...]
    add: Layer
    shortcut: tuple[Layer, ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in the order in which they run."""
        return *self.body, *self.shortcut, self.add


Items = tuple[Layer | Residual, ...]
Pixels = tuple[int, int]
Placed = tuple[Layer, Pixels, Pixels]
"""A layer, and the height and width of its input and of its output."""


@dataclass(frozen=True, slots=True)
class Block:
    """A named row of layers and residuals. A network is one too."""

    name: str
    items: Items

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers in the order in which they run, additions included."""
        rows = [(item,) if isinstance(item, Layer) else item.layers for item in self.items]
        return tuple(itertools.chain.from_iterable(rows))

    def output(self, height: int, width: int) -> Pixels:
        """Output height and width in pixels. UserError where a layer's kernel does not fit."""
        end = height, width
        for _, _, end in self.walk(height, width):  # noqa: B007 (the last one counts)
            pass
        return end

    def walk(self, height: int, width: int) -> Iterator[Placed]:
        """Each layer with the height and width of its input and output. UserError where a kernel does not fit."""
        at = height, width
        for item in self.items:
            if isinstance(item, Layer):
                at = yield from self._row((item,), at)
            else:
                end = yield from self._row(item.body, at)
                yield from self._row(item.shortcut, at)
                at = yield from self._row((item.add,), end)

    def _row(self, row: tuple[Layer, ...], at: Pixels) -> Generator[Placed, None, Pixels]:
        for layer in row:
            end = layer.output(*at)
            if min(end) < 1:
                tall, broad = layer.reaches
                reach = f"{tall}" if tall == broad else f"{tall} x {broad}"
                raise UserError(
                    f"{self.name}, {layer.name}",
                    f"a kernel that reaches over {reach} pixels does not fit in {at[0]}x{at[1]} without padding",
                    "Use a larger size, a smaller kernel, or padding same.",
                )
            yield layer, at, end
            at = end
        return at


def changed(items: Items, change: Callable[[Layer], Layer | None]) -> Items:
    """The items with each layer replaced by `change(layer)`, or dropped where that is None; additions stay."""

    def row(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        return tuple([made for layer in layers if (made := change(layer)) is not None])

    result: list[Layer | Residual] = []
    for item in items:
        if isinstance(item, Layer):
            result += row((item,))
        else:
            result.append(Residual(row(item.body), change(item.add) or item.add, row(item.shortcut)))
    return tuple(result)


def residual(body: tuple[Layer, ...], shortcut: tuple[Layer, ...] = (), act: Act = "") -> Residual:
    """A residual whose addition may have an activation after it."""
    c_out = body[-1].c_out
    return Residual(body, Layer("add", c_out, c_out, act=act, op="add"), shortcut)
