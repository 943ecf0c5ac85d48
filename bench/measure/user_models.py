"""A model taken apart: its dense convolutions (`walk`), and the factories that a config of `bench advise` imports.

A factory's words begin with the model: an import path of a function without arguments or of a module, or a network's
name. Words `LAYER=...` follow.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bench.measure.modules import build_module
from bench.measure.user_blocks import NotABlock, build_user_block, factory_of
from bench.spec.blocks.blocks import BLOCKS, BlockChoice, Padding, Shape, build
from bench.spec.blocks.layers import CONVOLUTIONS
from bench.spec.errors import UserError, nearest, typed_line
from bench.spec.plan.advise import candidate
from bench.spec.plan.plan import Trial

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.LeakyReLU, nn.ELU, nn.Mish)
CALLS = 64  # of a layer that is held, after which it has new zeros: sums in place would grow without bounds
Call = tuple[str, Any, Any, Any]  # a module's path, it, its inputs and its output


class Model(nn.Module):
    """The model, whose output is the first tensor of the model's own."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width)."""
        output = self.model(x)
        first = next((y for y in tree_leaves(output) if isinstance(y, Tensor)), None)
        if first is None:
            raise NotABlock(f"the model gives a {type(output).__name__} without a tensor in it")
        return first


class Held(nn.Module):
    """Stands for a layer that costs nothing: it gives zeros of the layer's output `shape`, (channels, height, width)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape, self.times, self.zeros = shape, 0, torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width)."""
        if self.times % CALLS == 0:
            nhwc = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
            layout = torch.channels_last if nhwc else torch.contiguous_format
            self.zeros = x.new_zeros((len(x), *self.shape)).contiguous(memory_format=layout)
        self.times += 1
        return self.zeros


@dataclass(frozen=True)
class Found:
    """A dense k x k convolution: its name, its path, the paths of the modules behind it, its shape and its output's."""

    name: str
    path: str
    behind: tuple[str, ...]
    shape: Shape
    output: tuple[int, ...]
    bias: bool
    norm: bool
    act: bool
    odd: str  # why no block of ours is like it, or nothing


def walk(trial: Trial) -> list[dict[str, Any]]:
    """The layers of the model in the words of the trial's first arm, as plain data, in the order of their calls.

    UserError for a model that can't be made or run on the trial's shape.
    """
    path, size = trial.arms[0].choice.given, (trial.shape.c_in, trial.shape.height, trial.shape.width)
    remedy = "Name a function without arguments or a module, as package.module:name, or a network of ours"
    try:
        model = _model(path, *size)
        remedy = "Give the input that it takes: --size CxHxW"
        with torch.no_grad():
            return [asdict(found) for found in _layers(model, *size)]
    except NotABlock as error:
        raise UserError(path, str(error), remedy) from None


def whole(given: str, c_in: int, height: int, width: int) -> nn.Module:
    """The model that the words begin with."""
    return Model(_model(given.split()[0], c_in, height, width))


def rest(given: str, c_in: int, height: int, width: int) -> nn.Module:
    """The model without the time of the layers in the words, of their norms and of their activations."""
    model, named = _named(given, c_in, height, width)
    for f, _ in named:
        model.set_submodule(f.path, Held(f.output))
        for behind in f.behind:
            model.set_submodule(behind, nn.Identity())
    return Model(model)


def mix(given: str, c_in: int, height: int, width: int) -> nn.Module:
    """The model with each layer `LAYER=CANDIDATE` replaced: its convolution, whose norm and activation stay.

    A block of the user's stands for the batch norm too.
    """
    model, named = _named(given, c_in, height, width)
    for f, word in named:
        choice = candidate(word)
        model.set_submodule(f.path, _replacement(choice, f))
        if choice.factory and f.norm:
            model.set_submodule(f.behind[0], nn.Identity())
    return Model(model)


def _named(given: str, c_in: int, height: int, width: int) -> tuple[nn.Module, list[tuple[Found, str]]]:
    """The model of the words, and each layer that they name with what follows its name."""
    path, *words = given.split()
    model, of = _model(path, c_in, height, width), dict(word.split("=") for word in words)
    layers = {f.path: f for f in _layers(model, c_in, height, width)}  # one that runs twice is one
    return model, [(f, of[f.name]) for f in layers.values() if f.name in of]


def _replacement(choice: BlockChoice, f: Found) -> nn.Module:
    if choice.factory is not None:
        return build_user_block(choice, f.shape)
    block = build(replace(choice, norm=f.norm, act=f.act, bias=f.bias), f.shape)
    *first, last = block.items
    return build_module(replace(block, items=(*first, replace(last, norm=False, act=""))))  # type: ignore[arg-type]


def _layers(model: nn.Module, c_in: int, height: int, width: int) -> list[Found]:
    """The dense convolutions over k x k pixels, k > 1, in the order of their calls. NotABlock if the model can't run.

    The batch norm behind one takes its output, and the activation the norm's. Both are found only as modules.
    """
    first, seen = next(model.parameters(), torch.zeros(1)), list[Call]()
    leaves = [(path, m) for path, m in model.named_modules() if path and not any(True for _ in m.children())]
    hooks = [m.register_forward_hook(lambda m, x, y, path=path: seen.append((path, m, x, y))) for path, m in leaves]
    try:
        Model(model.eval())(torch.zeros(1, c_in, height, width, device=first.device, dtype=first.dtype))
    except Exception as error:
        raise NotABlock(f"the model can't run on {c_in}x{height}x{width}: {typed_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return [_found(seen[i:]) for i, call in enumerate(seen) if _is_dense(*call)]


def _is_dense(_: str, module: nn.Module, inputs: tuple[Any, ...], y: Any) -> bool:
    """Whether a call is of a dense k x k convolution, on a batch that it gets as its first argument."""
    dense = type(module) is nn.Conv2d and module.groups == 1 and max(module.kernel_size) > 1
    return dense and len(inputs) == 1 and y.dim() == 4


def _found(calls: list[Call]) -> Found:
    """The convolution that the first call is of, with what the next ones do to its output."""
    (path, conv, (x, *_), y), *later = calls

    def taken(by: tuple[type[nn.Module], ...]) -> str:
        nonlocal y
        taker = next((c for c in later if c[2] and c[2][0] is y), None)
        if taker is None or not isinstance(taker[1], by):
            return ""
        y = taker[3]
        return taker[0]

    output, name = tuple(y.shape[1:]), getattr(conv, "called", path)
    norm, act = taken((nn.BatchNorm2d,)), taken(ACTIVATIONS)
    shape, odd = _shape(conv, x)
    odd = "its name has a blank or =" if re.search(r"[\s=]", name) else odd
    return Found(
        name, path, tuple(filter(None, (norm, act))), shape, output, conv.bias is not None, bool(norm), bool(act), odd
    )


def _shape(conv: nn.Conv2d, x: Tensor) -> tuple[Shape, str]:
    """The convolution's shape for an input x, and why none of a block is like it."""
    (high, wide), (down, across), (rows, columns) = conv.kernel_size, conv.stride, conv.dilation
    same = (rows * (high - 1) / 2, columns * (wide - 1) / 2)
    pads = {"same": same, "valid": (0, 0)}[conv.padding] if isinstance(conv.padding, str) else conv.padding
    padding: Padding = "same" if pads == same else "valid"
    shape = Shape(conv.in_channels, conv.out_channels, int(x.shape[2]), int(x.shape[3]), high, down, padding, rows)
    if high != wide or down != across or rows != columns:
        return shape, "its kernel, stride or dilation is not square"
    if pads not in (same, (0, 0)) or conv.padding_mode != "zeros":
        return shape, f"its padding is {conv.padding} {conv.padding_mode}, not same or valid with zeros"
    return shape, ""


def _model(path: str, c_in: int, height: int, width: int) -> nn.Module:
    """The model at an import path, or a network of ours whose convolutions know what they are called. Or NotABlock."""
    if ":" in path:
        made: Any = factory_of(path)
        try:
            made = copy.deepcopy(made) if isinstance(made, nn.Module) else made()
        except Exception as error:
            raise NotABlock(f"{path}() fails: {typed_line(error)}") from error
        if not isinstance(made, nn.Module):
            raise NotABlock(f"{path} gives no torch.nn.Module but a {type(made).__name__}")
        return made
    networks = [name for name, kind in BLOCKS.items() if kind.network]
    if path not in networks:
        hint = nearest(path, networks, "known networks are").rstrip(".?")
        raise NotABlock(f"it is neither an import path nor a network: {hint}")
    block = build(BlockChoice(path), Shape(c_in, 1000, height, width))
    model = build_module(block)
    names = (layer.name for layer in block.layers if layer.op in CONVOLUTIONS)
    for conv in (m for m in model.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)):
        conv.called = next(names)  # type: ignore[assignment]
    return model
