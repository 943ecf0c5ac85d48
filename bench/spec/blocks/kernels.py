"""What a device is asked to run, as the predictor sees it: one kernel for each operator of a block, with its sizes.

A convolution is read as a product of matrices (Chetlur et al. 2014, arXiv:1410.0759): rows are output pixels of the whole
batch, columns the channels out of a group, depth the channels in of a group times the taps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bench.spec.blocks.costs import INDEX_BYTES, ITEM_BYTES
from bench.spec.blocks.layers import Block, Layer

Family = Literal["dense", "pointwise", "depthwise", "grouped", "linear", "norm", "elementwise", "pool"]
CONTRACTIONS: tuple[Family, ...] = ("dense", "pointwise", "grouped", "linear")
"""Families that are products of matrices. A depthwise convolution is none: its columns are 1."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operator. Bytes that it must read (`taken`, and `weights`) and write (`put`) at the least.

    `macs` = rows x columns x depth x groups of a convolution, 0 of what does not multiply. `calls`: operators that the
    host dispatches for it. `taps`: height and width of the filter; `stride` of a convolution; `images`: the batch of one.
    `packed`: all of it lies as a processor's library wants it, so that nothing is laid out anew.
    """

    name: str = field(compare=False)
    family: Family
    dtype: str
    taken: int
    put: int
    weights: int = 0
    rows: int = 0
    columns: int = 0
    depth: int = 0
    groups: int = 1
    taps: tuple[int, int] = (1, 1)
    stride: int = 1
    channels_last: bool = False
    calls: int = 1
    images: int = 0
    packed: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.rows * self.columns * self.depth * self.groups

    @property
    def moved(self) -> int:
        """Bytes that it must read and write at the least."""
        return self.taken + self.weights + self.put


def family_of(c_in: int, c_out: int, taps: int, groups: int) -> Family:
    """The family of a convolution by its sizes."""
    if groups == 1:
        return "pointwise" if taps == 1 else "dense"
    return "depthwise" if groups == c_in and c_out == groups else "grouped"


def convolution(
    name: str,
    batch: int,
    c_in: int,
    c_out: int,
    pixels_in: int,
    pixels_out: int,
    taps: tuple[int, int] = (1, 1),
    stride: int = 1,
    groups: int = 1,
    dtype: str = "fp32",
    channels_last: bool = False,
) -> Kernel:
    """A convolution of a (batch, c_in, pixels_in) into a (batch, c_out, pixels_out) map; swap the two maps for a transposed one."""
    item = ITEM_BYTES[dtype]
    area = math.prod(taps)
    return Kernel(
        name,
        family_of(c_in, c_out, area, groups),
        dtype,
        taken=batch * c_in * pixels_in * item,
        put=batch * c_out * pixels_out * item,
        weights=c_out * (c_in // groups) * area * item,
        rows=batch * pixels_out,
        columns=c_out // groups,
        depth=c_in // groups * area,
        groups=groups,
        taps=taps,
        stride=stride,
        channels_last=channels_last,
        images=batch,
    )


def linear(name: str, batch: int, c_in: int, c_out: int, dtype: str = "fp32") -> Kernel:
    """A product of a (batch, c_in) and a (c_in, c_out) matrix."""
    item = ITEM_BYTES[dtype]
    return Kernel(
        name, "linear", dtype, batch * c_in * item, batch * c_out * item, c_in * c_out * item, batch, c_out, c_in
    )


def elementwise(name: str, taken: int, put: int, dtype: str = "fp32") -> Kernel:
    """An operator that only moves: so many bytes in, so many out."""
    return Kernel(name, "elementwise", dtype, taken, put)


def norm(name: str, nbytes: int, dtype: str = "fp32") -> Kernel:
    """Batch norm of a map of so many bytes, by statistics that are known."""
    return Kernel(name, "norm", dtype, nbytes, nbytes)


def pool(name: str, taken: int, put: int, dtype: str = "fp32") -> Kernel:
    """An operator that reads windows of a map, or all of it, for each output."""
    return Kernel(name, "pool", dtype, taken, put)


def of_block(
    block: Block, height: int, width: int, batch: int = 1, dtype: str = "fp32", channels_last: bool = False
) -> tuple[Kernel, ...]:
    """The kernels of one forward pass on a (batch, c_in, height, width) input, a shortcut's before the body's.

    Batch norm and activation are kernels of their own, as in eager mode. UserError where a filter does not fit.
    """
    block.output(height, width)  # says so
    found: list[Kernel] = []

    def row(layers: Sequence[Layer], at: tuple[int, int]) -> tuple[int, int]:
        for layer in layers:
            end = layer.output(*at)
            found.extend(_of_layer(layer, at, end, batch, dtype, channels_last))
            at = end
        return at

    at = height, width
    for item in block.items:
        if isinstance(item, Layer):
            at = row((item,), at)
        else:
            row(item.shortcut, at)
            at = row((*item.body, item.add), at)
    return tuple(found)


def _of_layer(
    layer: Layer, start: tuple[int, int], end: tuple[int, int], batch: int, dtype: str, channels_last: bool
) -> list[Kernel]:
    item = ITEM_BYTES[dtype]
    taken, put = batch * layer.c_in * math.prod(start) * item, batch * layer.c_out * math.prod(end) * item
    made: Kernel
    if layer.op in ("conv", "transposed"):
        pixels = (math.prod(start), math.prod(end))
        low, high = pixels if layer.op == "conv" else pixels[::-1]
        made = convolution(
            layer.name, batch, layer.c_in, layer.c_out, low, high, layer.kernels, layer.stride, layer.groups, dtype,
            channels_last,
        )  # fmt: skip
        made = replace(made, taken=taken, put=put)
    elif layer.op == "linear":
        made = linear(layer.name, batch, layer.c_in, layer.c_out, dtype)
        put = made.put
    elif layer.op == "max_pool":
        made = pool(layer.name, taken, put + put // item * INDEX_BYTES, dtype)
    elif layer.op == "global_pool":
        made = pool(layer.name, taken, put, dtype)
    else:
        made = elementwise(layer.name, taken * (2 if layer.op == "add" else 1), put, dtype)
    found = [made]
    if layer.norm:
        found.append(norm(f"{layer.name}.norm", put, dtype))
    if layer.act:
        found.append(elementwise(f"{layer.name}.act", put, put, dtype))
    return found


def fused(kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """The same as a compiler leaves them: of operators in a row that only move one map, the first stands for all."""
    found: list[Kernel] = []
    for kernel in kernels:
        moves = kernel.family in ("norm", "elementwise")
        if (
            moves
            and found
            and found[-1].family in ("norm", "elementwise")
            and kernel.taken == kernel.put == found[-1].put
        ):
            continue
        found.append(kernel)
    return tuple(found)
