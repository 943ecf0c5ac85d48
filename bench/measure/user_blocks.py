"""Build a user's block or network with the factory that a config names, and count its costs as it runs.

Its layers are unknown, so its costs have no formula: one forward pass is watched, operator by operator.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import hashlib
import importlib.util
import inspect
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.spec.blocks.blocks import BlockChoice, Shape
from bench.spec.blocks.costs import PASSES_TRAINING
from bench.spec.errors import first_line

_LIBRARIES = tuple(
    f"{p}/" for p in (sysconfig.get_path("stdlib"), Path(torch.__file__).parents[1], Path(__file__).parents[1])
)
_DEFAULTS = {"stride": 1, "padding": "same", "dilation": 1}
_NO_PRODUCTS = (  # parts of the names of operators that take several tensors and multiply no matrices
    *("norm", "cat", "stack", "copy", "scatter", "index", "prelu", "grid_sampler", "lstm_cell", "gru_cell"),
)
NO_WORK = ("empty", "empty_like", "empty_strided", "new_empty", "detach", "_unsafe_view")


class NotABlock(Exception):
    """A factory that can't be imported or whose result is no module, or a module that gives no tensor."""


def build_user_block(choice: BlockChoice, shape: Shape) -> nn.Sequential:
    """`depth` copies of the block that the choice's factory (`package.module:name`) makes.

    The first has the stride and changes the channels. A factory is called with those of c_in, c_out, kernel, stride,
    padding and dilation that it has parameters for; a network's with those of c_in, c_out (the classes), height and
    width. One with words in the config gets these as `given`, with height and width. NotImplementedError if it has no parameter for a value that is not the default.
    """
    factory = factory_of(choice.factory or "")
    copies: list[nn.Module] = []
    words = {"given": choice.given, "height": shape.height, "width": shape.width} if choice.given else {}
    if choice.network:
        sizes: dict[str, object] = {name: getattr(shape, name) for name in ("c_in", "c_out", "height", "width")}
        copies.append(_made(factory, choice, sizes | words, {}))
    for i in range(0 if choice.network else shape.depth):
        c_in, stride = (shape.c_in, shape.stride) if i == 0 else (shape.c_out, 1)
        sizes = {
            "c_in": c_in, "c_out": shape.c_out, "kernel": shape.kernel, "stride": stride, "padding": shape.padding,
            "dilation": shape.dilation,
        }  # fmt: skip
        copies.append(_made(factory, choice, sizes | words, {**_DEFAULTS, "c_out": c_in, "kernel": shape.kernel}))
    module = nn.Sequential(*copies)
    if any(map(nn.parameter.is_lazy, (*module.parameters(), *module.buffers()))):
        with torch.no_grad():  # a lazy module has weights from its first call on
            module.eval()(torch.zeros(1, shape.c_in, shape.height, shape.width))
    return module


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


def source_of(path: str) -> str:
    """A hash of the source of the factory's module and of what it imports, installed libraries left out.

    NotABlock if there is no such factory.
    """
    factory_of(path)
    sources: dict[str, bytes] = {}
    names = [path.partition(":")[0]]
    while names:
        name = names.pop()
        with contextlib.suppress(ImportError, AttributeError, OSError, SyntaxError, ValueError):
            spec: Any = importlib.util.find_spec(name)  # AttributeError where a name is no module's
            if name in sources or (sources and spec.origin.startswith(_LIBRARIES)):
                continue
            sources[name] = Path(spec.origin).read_bytes()
            for node in ast.walk(ast.parse(sources[name])):
                if isinstance(node, ast.Import):
                    names += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    base = importlib.util.resolve_name("." * node.level + (node.module or ""), spec.parent)
                    names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return hashlib.sha256(repr(sorted(sources.items())).encode()).hexdigest()[:12]


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


def one_tensor(label: str, output: object) -> Tensor:
    """The output of a block. NotABlock if it is no tensor."""
    if not isinstance(output, Tensor):
        raise NotABlock(f"{label} gives a {type(output).__name__}, where forward must return one tensor")
    return output


def count(module: nn.Module, x: Tensor, training: bool) -> dict[str, int | str]:
    """The costs of one evaluation on `x`, by the names in bench.spec.columns.COUNTED, from a forward pass.

    MACs by torch's formulas; bytes of convolutions and matrix products only. What a fused operator does is counted
    on torch's meta device, which runs its parts. If one remains without a formula, only parameters and operators are
    known, and `unknown` names it.
    """
    with torch.inference_mode(False), torch.no_grad():
        given = x.detach().clone()
        with _Operators() as seen:
            module(given)
        ops = seen.ops
        if seen.unknown is not None:
            with contextlib.suppress(Exception), _Operators() as parts:
                copy.deepcopy(module).to("meta")(torch.empty_like(x, device="meta"))
                seen = parts
    known: dict[str, int | str] = {"params": sum(p.numel() for p in module.parameters()), "ops": ops}
    if seen.unknown is not None:
        return known | {"unknown": seen.unknown}
    passes = PASSES_TRAINING if training else 1
    macs, moved = passes * seen.flops // 2, passes * seen.moved
    return known | {"macs": macs, "bytes_min": moved, "layers": seen.layers, "activations": seen.activations}


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that compute, and the products and convolutions among them with their outputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops = self.layers = self.activations = self.moved = self.flops = 0
        self.unknown: str | None = None  # the first operator that may multiply matrices by no known formula

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from torch.utils.flop_counter import flop_registry  # no other trial needs it

        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if is_view(func) or name in NO_WORK:
            return output
        self.ops += 1
        if func.overloadpacket in flop_registry:
            self.flops += flop_registry[func.overloadpacket](*args, **(kwargs or {}), out_val=output)
            self.moved += sum(t.numel() * t.element_size() for t in (*args, output) if isinstance(t, Tensor))
            if "convolution" in name:
                self.layers += 1
                self.activations += output.numel()
        elif _may_multiply(func, name, (args, kwargs)):
            self.unknown = self.unknown or func._schema.name
        return output


def _may_multiply(operator: Any, name: str, arguments: Any) -> bool:
    """Whether an operator without a formula may multiply matrices: one of another library, or of several tensors."""
    if operator.namespace != "aten" or name.startswith(("_fft", "linalg", "_linalg")):
        return True
    numbers = sum(isinstance(t, Tensor) and t.is_floating_point() for t in tree_leaves(arguments))
    fine = torch.Tag.pointwise in operator.tags or any(part in name for part in _NO_PRODUCTS)
    return numbers > 1 and not fine


def is_view(operator: Any) -> bool:
    """Whether an operator's output is a view of its input."""
    return any(r.alias_info is not None and not r.alias_info.is_write for r in operator._schema.returns)
