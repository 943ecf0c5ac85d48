"""Exact integer costs of a block or network, from its layers alone.

Formulas (Kh x Kw kernel, g groups, Ho x Wo output, Hi x Wi input, N batch): params = Cout * Cin/g * Kh * Kw (+ Cout
with a bias, + 2 Cout with batch norm); MACs = N * Cout * Cin/g * Kh * Kw * Ho * Wo, over Hi * Wi where transposed, and
Cin * Cout of a linear layer; nothing else has any, as the sources count; FLOP = 2 * MAC. Training is forward, gradient
of the input and gradient of the weights: three convolutions of the same size each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.spec.blocks.layers import CONVOLUTIONS, Block, Layer, Op, Pixels
from bench.spec.blocks.liveness import Operator, Step, Word, inference_steps, peak, training_steps

PASSES_TRAINING = 3  # convolutions of the same size each
ITEM_BYTES = {"fp64": 8, "fp32": 4, "fp32-tf32": 4, "bf16": 2, "fp16": 2}
INDEX_BYTES = 8  # max pooling records the position of each maximum
_MULTIPLIES: tuple[Op, ...] = (*CONVOLUTIONS, "linear")
_WORDS: dict[Op, Word] = {
    "conv": "conv", "transposed": "conv", "linear": "conv", "relu": "act", "max_pool": "max_pool",
    "global_pool": "global_pool", "add": "add",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer's cost for the batch. `macs` and `bytes_min`: forward pass; `activations`: convolutions only."""

    layer: Layer
    params: int
    macs: int
    bytes_min: int
    activations: int
    input: tuple[int, int, int]  # channels, height, width of one item
    output: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """A block's cost for one evaluation: the whole batch, in training with the backward pass.

    `layers`: convolutions; `ops`: operators that compute, without reshaping. `output`: (batch, channels, height,
    width), or (batch, classes) after a linear layer. `detail`: an entry for each layer.
    """

    params: int
    macs: int
    bytes_min: int
    layers: int
    ops: int
    activations: int
    memory_bytes: int
    output: tuple[int, ...]
    detail: tuple[LayerCost, ...]

    @classmethod
    def counted(cls, counts: Mapping[str, int]) -> Cost:
        """The cost of a user's block, from what was counted as it ran; its memory and output are unknown."""
        return cls(**counts, memory_bytes=0, output=(), detail=())

    @property
    def flops(self) -> int:
        """Floating point operations: two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def intensity(self) -> float:
        """FLOP per byte of the least traffic."""
        return self.flops / self.bytes_min if self.bytes_min else 0.0


def mac_ratio(baseline: Cost | None, other: Cost | None) -> float | None:
    """MACs of the baseline / MACs of the other; None where one is unknown or 0."""
    return baseline.macs / other.macs if baseline and other and baseline.macs and other.macs else None


def layer_ratio(baseline: Cost | None, other: Cost | None) -> float | None:
    """Layers of the other / layers of the baseline; None where one is unknown or 0."""
    return other.layers / baseline.layers if baseline and other and baseline.layers and other.layers else None


def conv_params(layer: Layer) -> int:
    """Weights and bias, if any, without batch norm."""
    if layer.op not in _MULTIPLIES:
        return 0
    return layer.c_out * (layer.c_in // layer.groups) * layer.taps + layer.c_out * layer.bias


def _layer_cost(layer: Layer, start: Pixels, end: Pixels, batch: int, item_bytes: int) -> LayerCost:
    """Cost of one layer; `start` and `end`: height and width of its input and output.

    bytes_min: input, weights and output, each moved once. An addition moves only its shortcut. Batch norm and ReLU move
    nothing, as they can be fused into a neighbour.
    """
    weights = conv_params(layer)
    products = weights - layer.c_out * layer.bias if layer.op in _MULTIPLIES else 0  # of one output pixel
    values_in, values_out = batch * layer.c_in * math.prod(start), batch * layer.c_out * math.prod(end)
    if layer.op == "linear":
        values_in = batch * layer.c_in
    moved = {"add": values_in, "relu": 0}.get(layer.op, values_in + weights + values_out)
    return LayerCost(
        layer=layer,
        params=weights + 2 * layer.c_out * layer.norm,
        macs=batch * products * math.prod(start if layer.op == "transposed" else end),
        bytes_min=moved * item_bytes,
        activations=values_out if layer.op in CONVOLUTIONS else 0,
        input=(layer.c_in, 1, 1) if layer.op == "linear" else (layer.c_in, *start),
        output=(layer.c_out, *end),
    )


def cost(block: Block, height: int, width: int, batch: int = 1, dtype: str = "fp32", training: bool = False) -> Cost:
    """Cost of one evaluation of `block` on a (batch, c_in, height, width) input.

    UserError where a kernel does not fit. bytes_min counts each layer's input, weights and output once (three times
    in training, where each of the three convolutions reads two of them and writes the third).
    """
    trace = _Trace(block, height, width, batch, dtype)
    detail = trace.detail
    passes = PASSES_TRAINING if training else 1
    channels, h, w = detail[-1].output
    return Cost(
        params=sum([d.params for d in detail]),
        macs=passes * sum([d.macs for d in detail]),
        bytes_min=passes * sum([d.bytes_min for d in detail]),
        layers=sum([d.layer.op in CONVOLUTIONS for d in detail]),
        ops=len(trace.operators),
        activations=sum([d.activations for d in detail]),
        memory_bytes=peak(trace.steps(training)),
        output=(batch, channels) if detail[-1].layer.op == "linear" else (batch, channels, h, w),
        detail=tuple(detail),
    )


def allocations(block: Block, height: int, width: int, batch: int, dtype: str, training: bool) -> tuple[Step, ...]:
    """The allocations of one evaluation beyond input and weights, in order; their peak is `Cost.memory_bytes`."""
    return tuple(_Trace(block, height, width, batch, dtype).steps(training))


class _Trace:
    """The costs of a block's layers, and their operators."""

    def __init__(self, block: Block, height: int, width: int, batch: int, dtype: str) -> None:
        self.walk, self.batch, self.item = block.walk(height, width), batch, ITEM_BYTES[dtype]
        self.detail: list[LayerCost] = []
        self.operators: list[Operator] = []
        value = 0
        for item in block.items:
            if isinstance(item, Layer):
                value = self._next_layer(value)
                continue
            beside = value
            for _ in item.body:
                value = self._next_layer(value)
            for _ in item.shortcut:
                beside = self._next_layer(beside)
            value = self._next_layer(value, beside)

    def steps(self, training: bool) -> Iterator[Step]:
        if not training:
            return inference_steps(self.operators)
        return training_steps(self.operators, self.batch * math.prod(self.detail[0].input) * self.item)

    def _next_layer(self, *inputs: int) -> int:
        """Add the next layer, which reads the values `inputs`; its output's value."""
        layer, start, end = next(self.walk)
        priced = _layer_cost(layer, start, end, self.batch, self.item)
        self.detail.append(priced)
        elements = self.batch * math.prod(priced.output)
        output_bytes, operators = elements * self.item, self.operators
        kept_bytes = elements * INDEX_BYTES if layer.op == "max_pool" else 0
        operators.append(Operator(_WORDS[layer.op], inputs, output_bytes, priced.params * self.item, kept_bytes))
        if layer.norm:
            operators.append(Operator("norm", (len(operators),), output_bytes))
        if layer.act:
            operators.append(Operator("act", (len(operators),), output_bytes))
        return len(operators)
