"""The kernels of a block, as the prediction model sees them: one for each operator, with its sizes and bytes.

A convolution is a product of matrices (Chetlur et al. 2014, arXiv:1410.0759): rows are output pixels of the whole
batch, columns the channels out of a group, depth the channels in of a group times the taps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.spec.blocks.costs import INDEX_BYTES, ITEM_BYTES
from bench.spec.blocks.layers import Block, Layer, Pixels, Placed, Residual

Family = Literal["dense", "pointwise", "depthwise", "grouped", "linear", "norm", "elementwise", "pool"]
CONTRACTIONS: tuple[Family, ...] = ("dense", "pointwise", "grouped", "linear")
"""Families that are products of matrices. Depthwise is not one: it has a single column."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One operator. `bytes_in` and `weights`: least bytes to read; `bytes_out`: least bytes to write.

    `macs` = rows x columns x depth x groups; 0 without multiplications. Of a convolution `taps`: height and width of
    the filter, `stride`, and `images`: the batch. `packed`: its data have the layout of a processor's library already.
    """

    family: Family
    dtype: str
    bytes_in: int
    bytes_out: int
    weights: int = 0
    rows: int = 0
    columns: int = 0
    depth: int = 0
    groups: int = 1
    taps: tuple[int, int] = (1, 1)
    stride: int = 1
    channels_last: bool = False
    images: int = 0
    packed: bool = False

    @property
    def macs(self) -> int:
        return self.rows * self.columns * self.depth * self.groups

    @property
    def moved(self) -> int:
        """Least bytes to read and write."""
        return self.bytes_in + self.weights + self.bytes_out


def convolution(
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
    transposed: bool = False,
) -> Kernel:
    """A convolution of a (batch, c_in, pixels_in) into a (batch, c_out, pixels_out) map."""
    item = ITEM_BYTES[dtype]
    area = math.prod(taps)
    family: Family = "depthwise" if groups == c_in == c_out else "grouped"
    if groups == 1:
        family = "pointwise" if area == 1 else "dense"
    return Kernel(
        family,
        dtype,
        bytes_in=batch * c_in * pixels_in * item,
        bytes_out=batch * c_out * pixels_out * item,
        weights=c_out * (c_in // groups) * area * item,
        rows=batch * (pixels_in if transposed else pixels_out),
        columns=c_out // groups,
        depth=c_in // groups * area,
        groups=groups,
        taps=taps,
        stride=stride,
        channels_last=channels_last,
        images=batch,
    )


def linear(batch: int, c_in: int, c_out: int, dtype: str = "fp32") -> Kernel:
    """A product of a (batch, c_in) and a (c_in, c_out) matrix."""
    read, written, weights = (n * ITEM_BYTES[dtype] for n in (batch * c_in, batch * c_out, c_in * c_out))
    return Kernel("linear", dtype, read, written, weights, batch, c_out, c_in)


def of_block(
    block: Block, height: int, width: int, batch: int = 1, dtype: str = "fp32", channels_last: bool = False
) -> tuple[Kernel, ...]:
    """The kernels of one forward pass on a (batch, c_in, height, width) input, a shortcut's before the body's.

    Batch norm and activation are separate kernels, as in eager mode. UserError where a filter does not fit.
    """
    walk = block.walk(height, width)
    placed: list[Placed] = []
    for item in block.items:
        if isinstance(item, Residual):
            body = [next(walk) for _ in item.body]
            placed += [next(walk) for _ in item.shortcut] + body
        placed.append(next(walk))
    return tuple(kernel for one in placed for kernel in _of_layer(*one, batch, dtype, channels_last))


def _of_layer(layer: Layer, start: Pixels, end: Pixels, batch: int, dtype: str, channels_last: bool) -> list[Kernel]:
    item = ITEM_BYTES[dtype]
    bytes_in, bytes_out = batch * layer.c_in * math.prod(start) * item, batch * layer.c_out * math.prod(end) * item
    kernel: Kernel
    if layer.op in ("conv", "transposed"):
        kernel = convolution(
            batch, layer.c_in, layer.c_out, math.prod(start), math.prod(end), layer.kernels, layer.stride, layer.groups,
            dtype, channels_last, layer.op == "transposed",
        )  # fmt: skip
    elif layer.op == "linear":
        kernel = linear(batch, layer.c_in, layer.c_out, dtype)
    elif layer.op in ("max_pool", "global_pool"):
        indices = bytes_out // item * INDEX_BYTES if layer.op == "max_pool" else 0
        kernel = Kernel("pool", dtype, bytes_in, bytes_out + indices)
    else:
        kernel = Kernel("elementwise", dtype, bytes_in * (2 if layer.op == "add" else 1), bytes_out)
    kernels = [kernel]
    if layer.norm:
        kernels.append(Kernel("norm", dtype, bytes_out, bytes_out))
    if layer.act:
        kernels.append(Kernel("elementwise", dtype, bytes_out, bytes_out))
    return kernels


def fused(kernels: Sequence[Kernel]) -> tuple[Kernel, ...]:
    """The kernels after a compiler has fused each run of operators that only move the same map into its first one."""
    moving = ("norm", "elementwise")
    result: list[Kernel] = []
    for kernel in kernels:
        joins = result and kernel.family in moving and result[-1].family in moving
        if not (joins and kernel.bytes_in == kernel.bytes_out == result[-1].bytes_out):
            result.append(kernel)
    return tuple(result)
