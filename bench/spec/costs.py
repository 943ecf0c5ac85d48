"""Exact integer costs of a block, from its layers alone.

Formulas (K kernel, g groups, Ho x Wo output, N batch): params = Cout * Cin/g * K^2 (+ Cout with a bias, + 2 Cout with
batch norm); MACs = N * Cout * Cin/g * K^2 * Ho * Wo, convolutions only, as the sources count; FLOP = 2 * MAC.
Training is forward, gradient of the input and gradient of the weights: three convolutions of the same size each.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.spec.blocks import Block, Layer

PASSES_TRAINING = 3  # convolutions of the same size each
ITEM_BYTES = {"fp64": 8, "fp32": 4, "fp32-tf32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One convolution's cost for the whole batch. `macs` and `bytes_min` of the forward pass."""

    name: str
    params: int
    macs: int
    bytes_min: int
    activations: int
    input: tuple[int, int, int]  # channels, height, width of one item
    output: tuple[int, int, int]
    kernel: int
    groups: int


@dataclass(frozen=True, slots=True)
class Cost:
    """A block's cost for one evaluation (the whole batch, and the backward pass where training)."""

    params: int
    macs: int
    bytes_min: int
    layers: int
    ops: int
    activations: int
    memory_bytes: int
    output: tuple[int, int, int, int]
    detail: tuple[LayerCost, ...]

    @property
    def flops(self) -> int:
        """Floating point operations: two for each multiply-accumulate."""
        return 2 * self.macs

    @property
    def intensity(self) -> float:
        """FLOP per byte that must move at the least."""
        return self.flops / self.bytes_min


def conv_params(layer: Layer) -> int:
    """Weights and, where the layer has one, its bias; batch norm apart."""
    return layer.c_out * (layer.c_in // layer.groups) * layer.kernel**2 + layer.c_out * layer.bias


def layer_cost(layer: Layer, height: int, width: int, batch: int, item_bytes: int) -> LayerCost:
    """Cost of one layer on a `height` x `width` input. bytes_min: input, weights and output, each moved once."""
    ho, wo = layer.output(height), layer.output(width)
    weights = conv_params(layer)
    macs = batch * layer.c_out * (layer.c_in // layer.groups) * layer.kernel**2 * ho * wo
    taken, put = batch * layer.c_in * height * width, batch * layer.c_out * ho * wo
    return LayerCost(
        name=layer.name,
        params=weights + 2 * layer.c_out * layer.norm,
        macs=macs,
        bytes_min=(taken + weights + put) * item_bytes,
        activations=put,
        input=(layer.c_in, height, width),
        output=(layer.c_out, ho, wo),
        kernel=layer.kernel,
        groups=layer.groups,
    )


def forward_macs(block: Block, height: int, width: int, batch: int) -> int:
    """MACs of one forward pass alone, for estimates over thousands of shapes."""
    macs = 0
    for layer in block.layers:
        height, width = layer.output(height), layer.output(width)
        macs += layer.c_out * (layer.c_in // layer.groups) * layer.kernel**2 * height * width
    return batch * macs


def cost(block: Block, height: int, width: int, batch: int = 1, dtype: str = "fp32", training: bool = False) -> Cost:
    """Cost of one evaluation of `block` on a (batch, c_in, height, width) input.

    UserError where a kernel does not fit. bytes_min counts each layer's input, weights and output once (three times
    in training, where each of the three convolutions reads two of them and writes the third).
    """
    item = ITEM_BYTES[dtype]
    detail: list[LayerCost] = []
    h, w = height, width
    for layer in block.layers:
        detail.append(layer_cost(layer, h, w, batch, item))
        _, h, w = detail[-1].output
        if h < 1 or w < 1:
            block.output(height, width)  # says so
    passes = PASSES_TRAINING if training else 1
    return Cost(
        params=sum(d.params for d in detail),
        macs=passes * sum(d.macs for d in detail),
        bytes_min=passes * sum(d.bytes_min for d in detail),
        layers=len(detail),
        ops=sum(1 + layer.norm + layer.act for layer in block.layers),
        activations=sum(d.activations for d in detail),
        memory_bytes=_peak(block, detail, item, training),
        output=(batch, block.layers[-1].c_out, h, w),
        detail=tuple(detail),
    )


def _peak(block: Block, detail: list[LayerCost], item: int, training: bool) -> int:
    """Bytes that must be alive at once beyond input and weights, if nothing needs a workspace.

    Inference: an operator's input and output live together, and the block's own input belongs to the caller.
    Training: a convolution keeps its input, batch norm keeps its input, ReLU keeps its output; going back, one
    gradient comes in and one goes out beside what is still kept, and the gradients of the weights pile up.
    """
    if not training:
        taken = peak = 0
        for layer, d in zip(block.layers, detail, strict=True):
            put = d.activations * item
            peak = max(peak, taken + put, 2 * put if layer.norm or layer.act else 0)
            taken = put
        return peak
    operators = [
        (word, d.activations * item, d.params * item)
        for layer, d in zip(block.layers, detail, strict=True)
        for word, there in (("conv", True), ("norm", layer.norm), ("act", layer.act))
        if there
    ]
    # Forward. An operator's output stays if the operator itself keeps it (ReLU) or the next one needs it as its input.
    keeps = [
        word == "act" or (i + 1 < len(operators) and operators[i + 1][0] in ("conv", "norm")) or i + 1 == len(operators)
        for i, (word, _, _) in enumerate(operators)
    ]  # fmt: skip
    alive = peak = 0
    for i, (_, put, _) in enumerate(operators):
        passing = operators[i - 1][1] if i and not keeps[i - 1] else 0
        peak = max(peak, alive + passing + put)
        alive += put if keeps[i] else 0
    # Backward, from the last operator to the first: the gradient that arrives is the caller's at first.
    arriving = 0
    entering = detail[0].input
    batch = detail[0].activations // (detail[0].output[0] * detail[0].output[1] * detail[0].output[2])
    input_bytes = batch * entering[0] * entering[1] * entering[2] * item
    for i in reversed(range(len(operators))):
        word, put, weights = operators[i]
        leaving = operators[i - 1][1] if i else input_bytes
        gradients = weights if word == "conv" else 0
        peak = max(peak, alive + arriving + leaving + gradients)
        alive += gradients - (put if keeps[i] and i + 1 < len(operators) else 0)
        arriving = leaving
    return peak
