"""`bench cost` of a network: a table with a row for each part, and its params and MACs by kind of layer."""

from __future__ import annotations

from itertools import groupby

from bench.spec.blocks.costs import Cost
from bench.spec.blocks.layers import CONVOLUTIONS, Layer
from bench.spec.format import aligned

_HEAD = ("part", "layers", "output", "params", "MACs")


def table(cost: Cost) -> list[str]:
    """The table's lines, the header first, an empty one last. MACs of the forward pass, for the whole batch."""
    rows = [_HEAD]
    for part, held in groupby(cost.detail, key=lambda d: d.layer.name.partition(".")[0]):
        priced = list(held)
        c, h, w = priced[-1].output
        params, macs = sum(d.params for d in priced), sum(d.macs for d in priced)
        output = f"{c}" if priced[-1].layer.op == "linear" else f"{h} x {w} x {c}"
        rows.append((part, _words([d.layer for d in priced]), output, f"{params:,}", f"{macs:,}"))
    return [*aligned(rows, left=2), ""]


def sums(cost: Cost) -> tuple[str, str]:
    """Params and forward MACs as sums over kinds of layer, in words; empty where there is one kind only."""
    norm = sum(2 * d.layer.c_out for d in cost.detail if d.layer.norm)
    convolutions = [d for d in cost.detail if d.layer.op in CONVOLUTIONS]
    linear = [d for d in cost.detail if d.layer.op == "linear"]
    weights = sum(d.params for d in convolutions) - norm
    linear_params = sum(d.params for d in linear)
    params = ((weights, "of convolutions"), (norm, "of batch norm"), (linear_params, "of linear layers"))
    macs = ((sum(d.macs for d in convolutions), "of convolutions"), (sum(d.macs for d in linear), "of linear layers"))
    return _sum(params), _sum(macs)


def _sum(parts: tuple[tuple[int, str], ...]) -> str:
    terms = [f"{count:,} {what}" for count, what in parts if count]
    return " + ".join(terms) if len(terms) > 1 else ""


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
