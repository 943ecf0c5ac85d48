"""`bench cost`: a block's costs derived step by step, as the sources do by hand, beside the standard convolution's.

A network has a table in place of the steps, and is compared with its twin of standard convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

from bench.spec.blocks.blocks import BLOCKS, BOUNDS, CLASSES, IMAGE_CHANNELS, BlockChoice, build
from bench.spec.blocks.costs import ITEM_BYTES, PASSES_TRAINING, Cost, LayerCost, conv_params, cost
from bench.spec.blocks.layers import CONVOLUTIONS, FIXED_IN_NETWORKS, Layer, Shape
from bench.spec.errors import UserError, check_bounds
from bench.spec.format import aligned, digits, plural

MOST_LAYERS_SHOWN = 6
_WITHOUT_WEIGHTS = {"add": "a sum has no weights", "global_pool": "a mean has no weights"}
_COUNTS = ("params", "macs", "flops", "bytes_min", "layers", "ops", "activations")


@dataclass(frozen=True, slots=True)
class Derivation:
    """A block at a shape with its cost, and name and cost of what it is compared with, or why there is nothing."""

    choice: BlockChoice
    shape: Shape
    dtype: str
    training: bool
    cost: Cost
    standard: tuple[str, Cost] | None
    incomparable: str = ""

    @property
    def mac_ratio(self) -> Fraction | None:
        """MACs of the block / MACs of the standard convolution at the same shape."""
        return Fraction(self.cost.macs, self.standard[1].macs) if self.standard else None

    @property
    def formula(self) -> tuple[str, str, Fraction] | None:
        """That ratio by the block's formula: in symbols, in numbers, exact. None for a block that has none.

        C channels in, N out, k the kernel, G groups, W -> Wo the map's width. The sources' 1/N + 1/k^2 holds at any
        stride, padding and depth; that of the spatially separable block at depth 1.
        """
        s, name, k, n = self.shape, self.choice.name, self.shape.kernel, self.shape.c_out
        if name == "separable" or (name == "mobilenet_block" and k == 3):
            return "1/N + 1/k^2", f"1/{n} + 1/{k * k}", Fraction(1, n) + Fraction(1, k * k)
        if name == "grouped":
            groups = int(self.choice.options()["groups"])
            return "1/G", f"1/{groups}", Fraction(1, groups)
        if name == "spatially_separable" and s.depth == 1:
            wo = self.cost.output[3]
            numbers = f"({s.width}/{wo} + {n}/{s.c_in})/{k}"
            return "(W/Wo + N/C)/k", numbers, (Fraction(s.width, wo) + Fraction(n, s.c_in)) / k
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `detail` has a row per layer, and its MACs and bytes add up to the block's."""
        s, c, ratio = self.shape, self.cost, self.mac_ratio
        passes = PASSES_TRAINING if self.training else 1
        standard, priced = self.standard or (None, None)
        return {
            "block": self.choice.name,
            **{name: getattr(self.choice, name) for name in ("norm", "act", "bias")},
            "options": self.choice.options(),
            **{name: None if self.choice.network else getattr(s, name) for name in FIXED_IN_NETWORKS},
            **{name: getattr(s, name) for name in ("height", "width", "batch")},
            "dtype": self.dtype,
            "pass": "training" if self.training else "inference",
            **{name: getattr(c, name) for name in _COUNTS},
            "memory_theory_bytes": c.memory_bytes,
            "intensity_flop_per_byte": c.intensity,
            "output": list(c.output),
            "detail": [
                {
                    "name": d.layer.name,
                    "op": d.layer.op,
                    "params": d.params,
                    "macs": passes * d.macs,
                    "flops": 2 * passes * d.macs,
                    "bytes_min": passes * d.bytes_min,
                    "activations": d.activations,
                    **dict(zip(("kernel", "kernel_width"), d.layer.kernels, strict=True)),
                    **dict(zip(("stride", "stride_width"), d.layer.strides, strict=True)),
                    "groups": d.layer.groups,
                    "input": list(d.input),
                    "output": list(d.output),
                }
                for d in c.detail
            ],
            "standard": standard,
            "standard_params": priced and priced.params,
            "standard_macs": priced and priced.macs,
            "mac_ratio_to_standard": None if ratio is None else float(ratio),
            "mac_ratio_to_standard_exact": None if ratio is None else f"{ratio.numerator}/{ratio.denominator}",
        }

    def text(self) -> str:
        s, network = self.shape, self.choice.network
        fixed = network or BLOCKS[self.choice.name].one_pixel
        facts = [] if fixed else [f"kernel {s.kernel}", f"stride {s.stride}", f"padding {s.padding}"]
        facts += [f"dilation {s.dilation}"] if s.dilation > 1 else []
        facts += [f"depth {s.depth}"] if s.depth > 1 else []
        facts += [f"batch {s.batch}", self.dtype, "training" if self.training else "inference"]
        _, c_out, *pixels = self.cost.output
        ends = " x ".join(f"{n}" for n in (*pixels, c_out))
        lines = [
            f"{_title(self.choice)}: {s.height} x {s.width} x {s.c_in} -> {ends}, {', '.join(facts)}",
            "",
            *(_network_table(self.cost) if network else self._layers(self.cost)),
            *self._totals(),
        ]
        if self.standard is not None or self.incomparable:
            lines += ["", *self._against_standard()]
        return "\n".join(lines)

    def _layers(self, priced: Cost) -> list[str]:
        lines: list[str] = []
        for d in priced.detail[:MOST_LAYERS_SHOWN]:
            lines += [*self._layer(d), ""]
        if rest := priced.detail[MOST_LAYERS_SHOWN:]:
            params, macs = sum(d.params for d in rest), sum(d.macs for d in rest)
            lines += [f"and {len(rest)} more layers: params {params:,}, MACs {macs:,}", ""]
        return lines

    def _layer(self, d: LayerCost) -> list[str]:
        layer = d.layer
        (high, wide), c, n = layer.kernels, layer.c_in // layer.groups, layer.c_out
        weights = conv_params(layer) - layer.bias * n
        extras = [(n, "bias")] * layer.bias + [(2 * n, "batch norm")] * layer.norm
        _, hi, wi = d.input
        _, ho, wo = d.output
        where = f"{hi} x {wi} input pixels" if layer.op == "transposed" else f"{ho} x {wo}"
        items = f" x {self.shape.batch} items" if self.shape.batch > 1 else ""
        word = "weights" if extras else "params"
        lines = [f"{layer.name}: {hi} x {wi} x {d.input[0]} -> {ho} x {wo} x {n}"]
        if layer.op in ("add", "global_pool"):
            return [*lines, f"  {_WITHOUT_WEIGHTS[layer.op]}: params = 0, MACs = 0"]
        if layer.dilation > 1:
            reach = plural(max(layer.reaches), "pixel")
            lines.append(f"  reach = {layer.dilation} x ({max(layer.kernels)} - 1) + 1 = {reach}")
        if (ho, wo) != (hi, wi) or max(layer.strides) > 1:
            lines.append(f"  output = {_output_steps(layer, hi, wi)}")
        lines.append(f"  {word} = {high} x {wide} x {c} x {n} = {weights:,}")
        if extras:
            added = " + ".join([f"{weights:,}", *(f"{count:,} {what}" for count, what in extras)])
            lines.append(f"  params = {added} = {d.params:,}")
        lines.append(f"  MACs = {word} x {where}{items} = {d.macs:,}")
        return lines

    def _totals(self) -> list[str]:
        c, item = self.cost, ITEM_BYTES[self.dtype]
        times = f" x {PASSES_TRAINING} (forward, and the gradients of input and weights)" if self.training else ""
        weighted = [d for d in c.detail if d.layer.op not in _WITHOUT_WEIGHTS]
        forward = sum(d.macs for d in weighted)
        moved = c.bytes_min // item // (PASSES_TRAINING if self.training else 1)
        params, macs = ([f"{getattr(d, name):,}" for d in weighted] for name in ("params", "macs"))
        if self.choice.network:
            params, macs = _terms_of_network(c)
        return [
            "in all",
            f"  params = {_sum(params, c.params)}",
            f"  MACs = {_sum(macs, forward)}" + (f"{times} = {c.macs:,}" if times else ""),
            f"  FLOP = 2 x MACs = {c.flops:,}",
            f"  least bytes = {item} x {moved:,} inputs, weights and outputs of the layers{times} = {c.bytes_min:,}",
            f"  layers = {c.layers}",
            f"  ops = {c.ops}",
        ]

    def _against_standard(self) -> list[str]:
        if self.standard is None or self.mac_ratio is None:
            return [f"no standard convolution to compare with: {self.incomparable}"]
        twin, priced = self.standard
        mine, other = self.choice.name, twin if self.choice.network else "standard"
        ratio, params = self.mac_ratio, _ratio(Fraction(self.cost.params, priced.params))
        lines = []
        if not self.choice.network:
            lines = ["the standard convolution in its place", *(f"  {x}" for x in self._layers(priced) if x)]
            if self.training or priced.layers > 1:
                lines.append(f"  params = {priced.params:,}, MACs = {priced.macs:,}")
            lines.append("")
        lines += [
            "ratio",
            f"  MACs({mine}) / MACs({other}) = {self.cost.macs:,} / {priced.macs:,} = {_ratio(ratio)}",
            f"  params({mine}) / params({other}) = {self.cost.params:,} / {priced.params:,} = {params}",
        ]
        if self.formula is not None:
            symbols, numbers, value = self.formula
            end = "exactly the ratio of the MACs" if value == ratio else "not the ratio of the MACs"
            steps = [symbols, numbers] if numbers == _exact(value) else [symbols, numbers, _exact(value)]
            lines.append(f"  {' = '.join(steps)}: {end}")
        return lines


def shape_of(choice: BlockChoice, size: tuple[int, int] | None, batch: int, options: Mapping[str, Any]) -> Shape:
    """The shape that a command line asks for; `options` by FIXED_IN_NETWORKS, None where not given.

    Without a size: the network's usual images, or 28 pixels for a block. UserError for a network with such options.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if choice.network:
        height, width = size or (BLOCKS[choice.name].network,) * 2
        if given:
            names = ", ".join(f"--{name.removeprefix('c_')}" for name in given)
            rule = f"a network's channels, kernels and strides are fixed, so it takes no {names}"
            raise UserError(choice.name, rule, "Give a size, a batch and, for some networks, a width.")
        return Shape(IMAGE_CHANNELS, CLASSES, height, width, 1, batch=batch)
    height, width = size or (28, 28)
    c_in = given.pop("c_in", 64)
    return Shape(c_in, given.pop("c_out", c_in), height, width, batch=batch, **given)


def derive(choice: BlockChoice, shape: Shape, dtype: str = "fp32", training: bool = False) -> Derivation:
    """A block's derivation. UserError for a shape out of BOUNDS, or one at which the block can't be built."""
    for word, name, value in (
        ("channels in", "channels", shape.c_in), ("channels out", "channels", shape.c_out),
        ("height", "size", shape.height), ("width", "size", shape.width),
        *((name, name, getattr(shape, name)) for name in ("kernel", "stride", "dilation", "depth", "batch")),
    ):  # fmt: skip
        check_bounds(word, value, BOUNDS[name], whole=True)
    priced = cost(build(choice, shape), shape.height, shape.width, shape.batch, dtype, training)
    standard, why = _standard_twin(choice, shape, dtype, training, priced)
    return Derivation(choice, shape, dtype, training, priced, standard, why)


def _standard_twin(
    choice: BlockChoice, shape: Shape, dtype: str, training: bool, priced: Cost
) -> tuple[tuple[str, Cost] | None, str]:
    """Name and cost of what the block is compared with, or why there is nothing; neither for a baseline itself."""
    name = BLOCKS[choice.name].twin if choice.network else "standard"
    if name in ("", choice.name):
        return None, ""
    try:
        twin = build(BlockChoice(name, choice.norm, choice.act, choice.bias, width=choice.width), shape)
        twins = cost(twin, shape.height, shape.width, shape.batch, dtype, training)
    except UserError as error:
        return None, error.rule
    if twins.output != priced.output:
        sizes = (" x ".join(f"{n}" for n in c.output[2:]) for c in (twins, priced))
        return None, "its output has {} pixels, and not {}".format(*sizes)
    return (twin.name, twins), ""


def _title(choice: BlockChoice) -> str:
    """The name, its options, and what is added to the sources' bare convolutions."""
    extras = [("bias", choice.bias), ("batch norm", choice.norm), ("ReLU", choice.act)]
    added = ", ".join(word for word, there in extras if there and not choice.network)
    options = [f"{name} {value:g}" for name, value in choice.options().items()]
    return ", ".join([choice.name, *options]) + (f" with {added}" if added else "")


def _output_steps(layer: Layer, height: int, width: int) -> str:
    (down, across), (above, beside), (tall, broad) = layer.strides, layer.pads, layer.reaches
    below, right = layer.extra
    ho, wo = layer.output(height, width)

    def side(size: int, stride: int, pad: int, reach: int, extra: int, end: int) -> str:
        if layer.op == "transposed":
            removed = f" - {2 * pad}" if pad else ""
            return f"({size} - 1) x {stride} + {reach}{removed}{f' + {extra}' if extra else ''} = {end}"
        padded = f"{size} + {2 * pad}" if pad else f"{size}"
        step = f"({padded} - {reach}) / {stride}"
        whole = (size + 2 * pad - reach) % stride == 0
        return f"{step if whole else f'floor({step})'} + 1 = {end}"

    ends = side(height, down, above, tall, below, ho), side(width, across, beside, broad, right, wo)
    return " by ".join(dict.fromkeys(ends))


def _sum(terms: list[str], total: int) -> str:
    return f"{' + '.join(terms)} = {total:,}" if 1 < len(terms) <= MOST_LAYERS_SHOWN else f"{total:,}"


def _ratio(ratio: Fraction) -> str:
    if ratio in (0, 1):
        return f"{ratio}"
    times = f"{digits(float(1 / ratio), 3)} times fewer" if ratio < 1 else f"{digits(float(ratio), 3)} times as many"
    return f"{_exact(ratio)} = {digits(float(ratio), 4)}, {times}"


def _exact(ratio: Fraction) -> str:
    return f"{ratio.numerator:,}/{ratio.denominator:,}"


def _network_table(cost: Cost) -> list[str]:
    """The table's lines, the header first, an empty one last. MACs of the forward pass, for the whole batch."""
    rows = [("part", "layers", "output", "params", "MACs")]
    for part, held in groupby(cost.detail, key=lambda d: d.layer.name.partition(".")[0]):
        priced = list(held)
        c, h, w = priced[-1].output
        params, macs = sum(d.params for d in priced), sum(d.macs for d in priced)
        output = f"{c}" if priced[-1].layer.op == "linear" else f"{h} x {w} x {c}"
        rows.append((part, _words([d.layer for d in priced]), output, f"{params:,}", f"{macs:,}"))
    return [*aligned(rows, left=2), ""]


def _terms_of_network(cost: Cost) -> list[list[str]]:
    """Params and forward MACs of each kind of layer."""
    norm = sum(2 * d.layer.c_out for d in cost.detail if d.layer.norm)
    convolutions = [d for d in cost.detail if d.layer.op in CONVOLUTIONS]
    linear = [d for d in cost.detail if d.layer.op == "linear"]
    params = sum(d.params for d in convolutions) - norm, norm, sum(d.params for d in linear)
    macs = sum(d.macs for d in convolutions), 0, sum(d.macs for d in linear)
    words = "of convolutions", "of batch norm", "of linear layers"
    return [[f"{n:,} {what}" for n, what in zip(some, words, strict=True) if n] for some in (params, macs)]


def _words(layers: list[Layer]) -> str:
    """A part's layers in short: `1x1, 3x3/2 dw, 1x1 + 1x1/2`; dw is depthwise, the shortcut follows the +."""
    ends = [layer for layer in layers if layer.op == "add"]
    beside = [layer for layer in layers if ".shortcut" in layer.name]
    row = [layer for layer in layers if layer not in beside and layer.op not in ("add", "relu")]
    text = ", ".join(_word(layer) for layer in row)
    return f"{text} + {', '.join(_word(layer) for layer in beside) or 'input'}" if ends else text


def _word(layer: Layer) -> str:
    if layer.op in ("linear", "global_pool"):
        return {"linear": "linear", "global_pool": "mean"}[layer.op]
    size = "x".join(map(str, layer.kernels)) + (f"/{layer.stride}" if layer.stride > 1 else "")
    if layer.op == "max_pool":
        return f"max {size}"
    return f"{size} dw" if 1 < layer.groups == layer.c_in else size
