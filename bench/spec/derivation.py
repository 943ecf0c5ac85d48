"""`bench cost`: one block's costs derived step by step, as the sources do by hand, beside the standard convolution's."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bench.spec.blocks import BOUNDS, Block, BlockChoice, Layer, Shape, build
from bench.spec.costs import ITEM_BYTES, PASSES_TRAINING, Cost, LayerCost, cost
from bench.spec.errors import UserError

MOST_LAYERS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Derivation:
    """A block at a shape with its cost, and the standard convolution there, or why it has none to be held against."""

    choice: BlockChoice
    shape: Shape
    dtype: str
    training: bool
    block: Block
    cost: Cost
    standard: tuple[Block, Cost] | None
    incomparable: str = ""

    @property
    def mac_ratio(self) -> Fraction | None:
        """MACs of the block / MACs of the standard convolution at the same shape."""
        return Fraction(self.cost.macs, self.standard[1].macs) if self.standard else None

    @property
    def formula(self) -> Fraction | None:
        """1/N + 1/k^2 with N channels out, the sources' ratio; None for a block that it is not about."""
        return (
            Fraction(1, self.shape.c_out) + Fraction(1, self.shape.kernel**2)
            if self.choice.name == "separable"
            else None
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `detail` has a row per layer, and its MACs and bytes add up to the block's."""
        s, c, ratio = self.shape, self.cost, self.mac_ratio
        passes = PASSES_TRAINING if self.training else 1
        return {
            "block": self.choice.name,
            "norm": self.choice.norm,
            "act": self.choice.act,
            "bias": self.choice.bias,
            "c_in": s.c_in,
            "c_out": s.c_out,
            "height": s.height,
            "width": s.width,
            "kernel": s.kernel,
            "stride": s.stride,
            "padding": s.padding,
            "dilation": s.dilation,
            "depth": s.depth,
            "batch": s.batch,
            "dtype": self.dtype,
            "pass": "training" if self.training else "inference",
            "params": c.params,
            "macs": c.macs,
            "flops": c.flops,
            "bytes_min": c.bytes_min,
            "layers": c.layers,
            "ops": c.ops,
            "activations": c.activations,
            "memory_theory_bytes": c.memory_bytes,
            "intensity_flop_per_byte": c.intensity,
            "output": list(c.output),
            "detail": [
                {
                    "name": d.name,
                    "params": d.params,
                    "macs": passes * d.macs,
                    "flops": 2 * passes * d.macs,
                    "bytes_min": passes * d.bytes_min,
                    "activations": d.activations,
                    "kernel": d.kernel,
                    "stride": layer.stride,
                    "groups": d.groups,
                    "input": list(d.input),
                    "output": list(d.output),
                }
                for layer, d in zip(self.block.layers, c.detail, strict=True)
            ],
            "standard_params": self.standard[1].params if self.standard else None,
            "standard_macs": self.standard[1].macs if self.standard else None,
            "mac_ratio_to_standard": None if ratio is None else float(ratio),
            "mac_ratio_to_standard_exact": None if ratio is None else f"{ratio.numerator}/{ratio.denominator}",
        }

    def text(self) -> str:
        """The derivation for the terminal."""
        s = self.shape
        facts = [f"kernel {s.kernel}", f"stride {s.stride}", f"padding {s.padding}"]
        facts += [f"dilation {s.dilation}"] if s.dilation > 1 else []
        facts += [f"depth {s.depth}"] if s.depth > 1 else []
        facts += [f"batch {s.batch}", self.dtype, "training" if self.training else "inference"]
        _, c_out, height, width = self.cost.output
        sizes = f"{s.height} x {s.width} x {s.c_in} -> {height} x {width} x {c_out}"
        lines = [
            f"{_title(self.choice)}: {sizes}, {', '.join(facts)}",
            "",
            *self._layers(self.block, self.cost),
            *self._totals(),
        ]
        if self.choice.name != "standard":
            lines += ["", *self._against_standard()]
        return "\n".join(lines)

    def _layers(self, block: Block, priced: Cost) -> list[str]:
        shown = list(zip(block.layers, priced.detail, strict=True))
        lines: list[str] = []
        for layer, d in shown[:MOST_LAYERS_SHOWN]:
            lines += [*self._layer(layer, d), ""]
        if rest := [d for _, d in shown[MOST_LAYERS_SHOWN:]]:
            params, macs = sum(d.params for d in rest), sum(d.macs for d in rest)
            lines += [f"and {len(rest)} more layers: params {params:,}, MACs {macs:,}", ""]
        return lines

    def _layer(self, layer: Layer, d: LayerCost) -> list[str]:
        k, g, n = layer.kernel, layer.c_in // layer.groups, layer.c_out
        weights = k * k * g * n
        product = f"{k} x {k} x {g} x {n}"
        extras = [(n, "bias")] * layer.bias + [(2 * n, "batch norm")] * layer.norm
        _, ho, wo = d.output
        items = f" x {self.shape.batch} items" if self.shape.batch > 1 else ""
        word = "weights" if extras else "params"
        lines = [f"{layer.name}: {d.input[1]} x {d.input[2]} x {d.input[0]} -> {ho} x {wo} x {n}"]
        if (ho, wo) != d.input[1:] or layer.stride > 1:
            lines.append(f"  output = {_output_steps(layer, *d.input[1:])}")
        lines.append(f"  {word} = {product} = {weights:,}")
        if extras:
            added = " + ".join([f"{weights:,}", *(f"{count:,} {what}" for count, what in extras)])
            lines.append(f"  params = {added} = {d.params:,}")
        lines.append(f"  MACs = {word} x {ho} x {wo}{items} = {d.macs:,}")
        return lines

    def _totals(self) -> list[str]:
        c, item = self.cost, ITEM_BYTES[self.dtype]
        times = f" x {PASSES_TRAINING} (forward, and the gradients of input and weights)" if self.training else ""
        forward = sum(d.macs for d in c.detail)
        moved = c.bytes_min // item // (PASSES_TRAINING if self.training else 1)
        return [
            "in all",
            f"  params = {_sum([d.params for d in c.detail], c.params)}",
            f"  MACs = {_sum([d.macs for d in c.detail], forward)}" + (f"{times} = {c.macs:,}" if times else ""),
            f"  FLOP = 2 x MACs = {c.flops:,}",
            f"  least bytes = {item} x {moved:,} inputs, weights and outputs of the layers{times} = {c.bytes_min:,}",
            f"  layers = {c.layers}",
            f"  ops = {c.ops}",
        ]

    def _against_standard(self) -> list[str]:
        if self.standard is None or self.mac_ratio is None:
            return [f"no standard convolution to compare with: {self.incomparable}"]
        block, priced = self.standard
        ratio, params = self.mac_ratio, _ratio(Fraction(self.cost.params, priced.params))
        lines = [
            "the standard convolution in its place",
            *(f"  {line}" for line in self._layers(block, priced) if line),
            f"  params = {priced.params:,}, MACs = {priced.macs:,}" if self.training or len(block.layers) > 1 else "",
            "",
            "ratio",
            f"  MACs({self.choice.name}) / MACs(standard) = {self.cost.macs:,} / {priced.macs:,} = {_ratio(ratio)}",
            f"  params({self.choice.name}) / params(standard) = {self.cost.params:,} / {priced.params:,} = {params}",
        ]
        if self.formula is not None:
            n, k = self.shape.c_out, self.shape.kernel
            end = "exactly the ratio of the MACs" if self.formula == ratio else "not the ratio of the MACs"
            lines.append(f"  1/N + 1/k^2 = 1/{n} + 1/{k * k} = {_exact(self.formula)}: {end}")
        return [line for i, line in enumerate(lines) if line or lines[i - 1]]


def derive(choice: BlockChoice, shape: Shape, dtype: str = "fp32", training: bool = False) -> Derivation:
    """A block's derivation. UserError for a shape out of BOUNDS or one that the block can't be built at."""
    for word, name, value in (
        ("channels in", "channels", shape.c_in), ("channels out", "channels", shape.c_out),
        ("height", "size", shape.height), ("width", "size", shape.width),
        *((name, name, getattr(shape, name)) for name in ("kernel", "stride", "dilation", "depth", "batch")),
    ):  # fmt: skip
        low, high = BOUNDS[name]
        if not low <= value <= high:
            rule = f"it is below {low}" if value < low else f"it is above {high}"
            raise UserError(word, rule, f"Give a whole number from {low} to {high}.", value=value)
    block = build(choice, shape)
    priced = cost(block, shape.height, shape.width, shape.batch, dtype, training)
    standard, why = _standard_twin(choice, shape, dtype, training, priced)
    return Derivation(choice, shape, dtype, training, block, priced, standard, why)


def _standard_twin(
    choice: BlockChoice, shape: Shape, dtype: str, training: bool, priced: Cost
) -> tuple[tuple[Block, Cost] | None, str]:
    try:
        twin = build(BlockChoice("standard", choice.norm, choice.act, choice.bias), shape)
        its = cost(twin, shape.height, shape.width, shape.batch, dtype, training)
    except UserError as error:
        return None, error.rule
    if its.output != priced.output:
        sizes = (f"{c.output[2]} x {c.output[3]}" for c in (its, priced))
        return None, "its output has {} pixels, and not {}".format(*sizes)
    return (twin, its), ""


def _title(choice: BlockChoice) -> str:
    """The name and what comes with each convolution, as the sources' bare convolution is what is meant without."""
    extras = [
        word for word, there in (("bias", choice.bias), ("batch norm", choice.norm), ("ReLU", choice.act)) if there
    ]
    return choice.name + (f" with {', '.join(extras)}" if extras else "")


def _output_steps(layer: Layer, height: int, width: int) -> str:
    reach = layer.dilation * (layer.kernel - 1) + 1
    note = (
        f", as the kernel reaches over {layer.dilation} x {layer.kernel - 1} + 1 pixels" if layer.dilation > 1 else ""
    )

    def side(size: int) -> str:
        padded = f"{size} + {2 * layer.pad}" if layer.pad else f"{size}"
        step = f"({padded} - {reach}) / {layer.stride}"
        whole = (size + 2 * layer.pad - reach) % layer.stride == 0
        return f"{step if whole else f'floor({step})'} + 1 = {layer.output(size)}"

    return f"{side(height)}{'' if height == width else f' by {side(width)}'}{note}"


def _sum(parts: list[int], total: int) -> str:
    if 1 < len(parts) <= MOST_LAYERS_SHOWN:
        return f"{' + '.join(f'{p:,}' for p in parts)} = {total:,}"
    return f"{total:,}"


def _ratio(ratio: Fraction) -> str:
    if ratio == 1:
        return "1"
    times = f"{float(1 / ratio):.3g} times fewer" if ratio < 1 else f"{float(ratio):.3g} times as many"
    return f"{_exact(ratio)} = {float(ratio):.4g}, {times}"


def _exact(ratio: Fraction) -> str:
    return f"{ratio.numerator:,}/{ratio.denominator:,}"
