"""Blocks and networks of the user's own: made by the factory that a config names, and counted as they run.

Of a block whose layers are not known beforehand there is no formula, so one forward pass is watched, operator by operator.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.spec.blocks.blocks import BlockChoice, Shape
from bench.spec.blocks.costs import PASSES_TRAINING
from bench.spec.errors import first_line

_USUAL = {"stride": 1, "padding": "same", "dilation": 1}
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm")
NO_WORK = ("empty", "empty_like", "empty_strided", "new_empty", "detach", "_unsafe_view")


class NotABlock(Exception):
    """A factory that can't be had, or that gives something else than a module."""


def build_user_block(choice: BlockChoice, shape: Shape) -> nn.Sequential:
    """`depth` copies of what the choice's factory (`package.module:name`) makes.

    The first takes the stride and changes the channels. A factory is called with those of c_in, c_out, kernel, stride,
    padding and dilation that it has parameters for; a network's with those of c_in, c_out (the classes), height and
    width. NotImplementedError where it has none for a value that is not the usual one.
    """
    factory = factory_of(choice.factory or "")
    if choice.network:
        told = {"c_in": shape.c_in, "c_out": shape.c_out, "height": shape.height, "width": shape.width}
        return nn.Sequential(_made(factory, choice, told, {}))
    copies: list[nn.Module] = []
    for i in range(shape.depth):
        c_in, stride = (shape.c_in, shape.stride) if i == 0 else (shape.c_out, 1)
        sizes: dict[str, object] = {
            "c_in": c_in, "c_out": shape.c_out, "kernel": shape.kernel, "stride": stride, "padding": shape.padding,
            "dilation": shape.dilation,
        }  # fmt: skip
        copies.append(_made(factory, choice, sizes, {**_USUAL, "c_out": c_in, "kernel": shape.kernel}))
    return nn.Sequential(*copies)


def factory_of(path: str) -> Callable[..., object]:
    """The factory that a path names. NotABlock where there is none."""
    module, _, name = path.partition(":")
    try:
        named: object = importlib.import_module(module)
    except Exception as error:
        raise NotABlock(f"{path} can't be imported: {first_line(error)}") from error
    for part in name.split("."):
        named = getattr(named, part, None)
    if not callable(named):
        raise NotABlock(f"{path} names nothing that can be called")
    return named


def _made(
    factory: Callable[..., object], choice: BlockChoice, told: Mapping[str, object], unsaid: Mapping[str, object]
) -> nn.Module:
    """What the factory makes of what it takes; `unsaid` are the values that need no parameter."""
    parameters = inspect.signature(factory).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    taken = {name: value for name, value in told.items() if anything or name in parameters}
    for name, value in told.items():
        if name not in taken and name in unsaid and value != unsaid[name]:
            raise NotImplementedError(f"{choice.factory} takes no {name}, and {name} is {value} here")
    made = factory(**taken)
    if not isinstance(made, nn.Module):
        raise NotABlock(f"{choice.factory} gives no torch.nn.Module but a {type(made).__name__}")
    return made


@dataclass(frozen=True, slots=True)
class Counts:
    """One evaluation's costs as bench.spec.costs defines them; bytes of convolutions and matrix products alone."""

    params: int
    macs: int
    bytes_min: int
    layers: int
    ops: int
    activations: int


def count(module: nn.Module, x: Tensor, training: bool) -> dict[str, int]:
    """The costs of one evaluation on `x`, seen in a forward pass; MACs as torch.utils.flop_counter knows operators."""
    from torch.utils.flop_counter import FlopCounterMode  # no other trial needs it

    with torch.inference_mode(False), torch.no_grad():
        taken = x.detach().clone()
        with FlopCounterMode(display=False) as flops:
            module(taken)
        with _Operators() as seen:
            module(taken)
    passes = PASSES_TRAINING if training else 1
    return asdict(
        Counts(
            params=sum(p.numel() for p in module.parameters()),
            macs=passes * flops.get_total_flops() // 2,
            bytes_min=passes * seen.moved,
            layers=seen.layers,
            ops=seen.ops,
            activations=seen.activations,
        )
    )


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that compute, and what the convolutions among them put out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops = self.layers = self.activations = self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        put = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        looks = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if not looks and name not in NO_WORK:
            self.ops += 1
        if name == "convolution" or name in _PRODUCTS:
            self.moved += sum(t.numel() * t.element_size() for t in (*args, put) if isinstance(t, Tensor))
        if name == "convolution":
            self.layers += 1
            self.activations += put.numel()
        return put
