"""Build a user's block or network with the factory that a config names, and count its costs as it runs.

Its layers are unknown, so its costs have no formula: one forward pass is watched, operator by operator.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.spec.blocks.blocks import BlockChoice, Shape
from bench.spec.blocks.costs import PASSES_TRAINING
from bench.spec.errors import first_line

_DEFAULTS = {"stride": 1, "padding": "same", "dilation": 1}
_PRODUCTS = ("addmm", "mm", "bmm", "baddbmm")
NO_WORK = ("empty", "empty_like", "empty_strided", "new_empty", "detach", "_unsafe_view")


class NotABlock(Exception):
    """A factory that can't be imported, or whose result is not a module."""


def build_user_block(choice: BlockChoice, shape: Shape) -> nn.Sequential:
    """`depth` copies of the block that the choice's factory (`package.module:name`) makes.

    The first has the stride and changes the channels. A factory is called with those of c_in, c_out, kernel, stride,
    padding and dilation that it has parameters for; a network's with those of c_in, c_out (the classes), height and
    width. NotImplementedError if it has no parameter for a value that is not the default.
    """
    factory = factory_of(choice.factory or "")
    if choice.network:
        sizes: dict[str, object] = {name: getattr(shape, name) for name in ("c_in", "c_out", "height", "width")}
        return nn.Sequential(_made(factory, choice, sizes, {}))
    copies: list[nn.Module] = []
    for i in range(shape.depth):
        c_in, stride = (shape.c_in, shape.stride) if i == 0 else (shape.c_out, 1)
        sizes = {
            "c_in": c_in, "c_out": shape.c_out, "kernel": shape.kernel, "stride": stride, "padding": shape.padding,
            "dilation": shape.dilation,
        }  # fmt: skip
        copies.append(_made(factory, choice, sizes, {**_DEFAULTS, "c_out": c_in, "kernel": shape.kernel}))
    return nn.Sequential(*copies)


def factory_of(path: str) -> Callable[..., object]:
    """The factory at a path. NotABlock if there is none."""
    module, _, name = path.partition(":")
    try:
        named: object = importlib.import_module(module)
    except Exception as error:
        raise NotABlock(f"{path} can't be imported: {first_line(error)}") from error
    for part in name.split("."):
        named = getattr(named, part, None)
    if not callable(named):
        raise NotABlock(f"{path} is not callable")
    return named


def _made(
    factory: Callable[..., object], choice: BlockChoice, sizes: Mapping[str, object], defaults: Mapping[str, object]
) -> nn.Module:
    """The factory's module for those of `sizes` that it has parameters for; the others must have their defaults."""
    parameters = inspect.signature(factory).parameters
    anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    arguments = {name: value for name, value in sizes.items() if anything or name in parameters}
    for name, value in sizes.items():
        if name not in arguments and name in defaults and value != defaults[name]:
            raise NotImplementedError(f"{choice.factory} takes no {name}, and {name} is {value} here")
    module = factory(**arguments)
    if not isinstance(module, nn.Module):
        raise NotABlock(f"{choice.factory} gives no torch.nn.Module but a {type(module).__name__}")
    return module


def count(module: nn.Module, x: Tensor, training: bool) -> dict[str, int]:
    """The costs of one evaluation on `x`, by the names in bench.spec.columns.COUNTED, from a forward pass.

    MACs by torch.utils.flop_counter; bytes of convolutions and matrix products only.
    """
    from torch.utils.flop_counter import FlopCounterMode  # no other trial needs it

    with torch.inference_mode(False), torch.no_grad():
        copy = x.detach().clone()
        with FlopCounterMode(display=False) as flops:
            module(copy)
        with _Operators() as seen:
            module(copy)
    passes = PASSES_TRAINING if training else 1
    return {
        "params": sum(p.numel() for p in module.parameters()),
        "macs": passes * flops.get_total_flops() // 2,
        "bytes_min": passes * seen.moved,
        "layers": seen.layers,
        "ops": seen.ops,
        "activations": seen.activations,
    }


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that compute, and the convolutions among them with their outputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops = self.layers = self.activations = self.moved = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not is_view(func) and name not in NO_WORK:
            self.ops += 1
        if name == "convolution" or name in _PRODUCTS:
            self.moved += sum(t.numel() * t.element_size() for t in (*args, output) if isinstance(t, Tensor))
        if name == "convolution":
            self.layers += 1
            self.activations += output.numel()
        return output


def is_view(operator: Any) -> bool:
    """Whether an operator's output is a view of its input."""
    return any(r.alias_info is not None and not r.alias_info.is_write for r in operator._schema.returns)
