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
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.spec.blocks.blocks import BlockChoice, Shape
from bench.spec.blocks.costs import PASSES_TRAINING
from bench.spec.errors import first_line, typed_line

_LIBRARIES = tuple(
    f"{p}/" for p in (sysconfig.get_path("stdlib"), Path(torch.__file__).parents[1], Path(__file__).parents[1])
)
_DEFAULTS = {"stride": 1, "padding": "same", "dilation": 1}
_NO_PRODUCTS = (  # parts of the names of operators that take several tensors and multiply no matrices
    *("norm", "cat", "stack", "copy", "scatter", "index", "prelu", "grid_sampler", "lstm_cell", "gru_cell", "fill"),
)
_PRODUCTS = ("_fft", "linalg", "cholesky", "matrix_exp", "geqrf", "orgqr", "dist_forward")  # of those that take one
_DENSE = (torch.strided, torch._mkldnn)  # type: ignore[attr-defined]
FIND = "Name package.module:name as Python finds it in this folder, or set PYTHONPATH."
_HIDDEN = "prim::mkldnn_convolution"  # of torch.jit.optimize_for_inference, which no mode sees
NO_WORK = ("empty", "empty_like", "empty_strided", "new_empty", "detach", "_unsafe_view")


class NotABlock(Exception):
    """A factory that can't be imported or whose result is no module, or a module that gives no tensor; with a remedy."""

    def __init__(self, rule: str, remedy: str = "Let the factory return a torch.nn.Module of one tensor.") -> None:
        super().__init__(rule)
        self.remedy = remedy


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
        copies.append(_made(factory, choice, sizes | words, {"c_out": c_in, **_DEFAULTS}))
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
        raise NotABlock(f"{path} can't be imported: {first_line(error)}", FIND) from error
    for part in name.split("."):
        named = getattr(named, part, None)
    if named is None:
        raise NotABlock(f"{path}: there is no {name} in {module}", FIND)
    if not callable(named):
        raise NotABlock(f"{path} is not callable", FIND)
    return named


def source_of(path: str) -> str:
    """A hash of the source of the factory's module and of what it imports, installed libraries left out.

    NotABlock if there is no such factory.
    """
    sources: dict[str, bytes] = {}
    names = [*getattr(factory_of(path), "sources", ()), path.partition(":")[0]]
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
    named = {name: value for name, value in sizes.items() if name in parameters}
    module: object = None
    with contextlib.suppress(TypeError):  # of keywords that are handed on to something that has others
        module = factory(**sizes) if anything else None
    if module is None:
        for name, default in defaults.items():
            if name not in named and sizes[name] != default:
                raise NotImplementedError(f"{choice.factory} takes no {name}, and {name} is {sizes[name]} here")
        module = factory(**named)
    if not isinstance(module, nn.Module):
        raise NotABlock(f"{choice.factory} gives no torch.nn.Module but a {type(module).__name__}")
    return module


def takes_channels(choice: BlockChoice) -> bool:
    """Whether the factory of a user's block has a parameter for its channels."""
    return not {"c_in", "c_out"}.isdisjoint(inspect.signature(factory_of(choice.factory or "")).parameters)


def one_tensor(label: str, output: object) -> Tensor:
    """The output of a block. NotABlock if it is no tensor."""
    if not isinstance(output, Tensor):
        rule = f"{label} gives a {type(output).__name__}, where forward must return one tensor"
        raise NotABlock(rule, "Return the tensor alone, or wrap the block in a module that does.")
    return output


def count(module: nn.Module, x: Tensor, training: bool) -> dict[str, int | str]:
    """The costs of one evaluation on `x`, by the names in bench.spec.columns.COUNTED, from a forward pass.

    MACs by formulas, the same on each device; bytes of convolutions and matrix products only. What a fused operator
    does is counted on torch's meta device, which runs its parts. If one remains without a formula, only parameters and
    operators are known, and `unknown` names it.
    """
    known: dict[str, int | str] = {"params": sum(p.numel() for p in module.parameters())}
    with torch.inference_mode(False), torch.no_grad():
        seen = _Operators()
        try:
            seen.watch(module, x.detach().clone())
        except torch.AcceleratorError:
            raise
        except Exception as error:  # noqa: BLE001 (torch can't watch all code that it can run)
            seen.unknown = seen.unknown or typed_line(error)
        known["ops"] = seen.ops
        if seen.unknown is not None and not seen.left:
            parts = _Operators()
            with contextlib.suppress(Exception):
                parts.watch(copy.deepcopy(module).to("meta"), torch.empty_like(x, device="meta"))
                seen = seen if parts.unknown else parts
    if seen.unknown is not None:
        return known | {"unknown": seen.unknown}
    passes = PASSES_TRAINING if training else 1
    macs, moved = passes * seen.macs, passes * seen.moved
    return known | {"macs": macs, "bytes_min": moved, "layers": seen.layers, "activations": seen.activations}


def _attention(args: Any, _: Tensor) -> int:
    """Scores of q (..., queries, size) and k (..., keys, size), and their products with v, with no key left out."""
    q, k, v = args[:3]
    return int(q.numel() // q.shape[-1] * k.shape[-2] * (q.shape[-1] + v.shape[-1]))


_MACS: dict[str, Callable[[Any, Tensor], int]] = {  # by operator, where torch has no formula, or none for all devices
    **dict.fromkeys(("mv", "dot", "vdot"), lambda args, _: int(args[0].numel())),
    "addmv": lambda args, _: int(args[1].numel()),
    "addr": lambda _, out: out.numel(),
    "addbmm": lambda args, _: int(args[1].numel() * args[2].shape[2]),
    "conv_tbc": lambda args, out: int(out.numel() * args[1].shape[0] * args[1].shape[1]),
    "mkldnn_convolution": lambda args, out: int(out.numel() * args[1].numel() // out.shape[1]),
    **{
        f"_scaled_dot_product_{how}attention{where}": _attention
        for how, where in (("flash_", ""), ("flash_", "_for_cpu"), ("efficient_", ""), ("cudnn_", ""))
    },
}


class _Leaving(TorchFunctionMode):
    """Notes a call that hands a tensor's memory to code that can't be watched, such as numpy's or a Triton kernel."""

    def __init__(self, seen: _Operators) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := getattr(func, "__name__", "")) in ("numpy", "__array__", "data_ptr", "__dlpack__"):
            self.seen.left, self.seen.unknown = True, f"code outside of torch (Tensor.{name})"
            if any(isinstance(t, Tensor) and t.is_meta for t in args):
                raise NotABlock(self.seen.unknown)  # which would write to address 0
        return func(*args, **(kwargs or {}))


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operators that compute, and the products and convolutions among them with their outputs."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops = self.layers = self.activations = self.moved = self.macs = 0
        self.unknown: str | None = None  # the first operator that may multiply matrices by no known formula
        self.empty: dict[int, Tensor] = {}  # by storage: made without values
        self.left = False  # whether a tensor's memory was given to other code

    def watch(self, module: nn.Module, x: Tensor) -> None:
        """Count one call of the module on `x`. Raises what it raises."""
        with _Leaving(self):  # apart, as functions under such a mode may take other operators
            module(x)
        with self:
            self._touch(module(x), writes=False)
        scripts = (str(part.inlined_graph) for part in module.modules() if isinstance(part, torch.jit.ScriptModule))
        if any(_HIDDEN in script for script in scripts):
            self.unknown = self.unknown or _HIDDEN

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.__name__.partition(".")[0].rstrip("_")
        if not isinstance(func, torch._ops.OpOverload):  # an operator of a higher order, which runs functions
            self.unknown = self.unknown or name
            return func(*args, **kwargs)
        if not is_view(func):
            writes = name in ("fill", "zero", "copy", "set", "resize") or torch.Tag.nondeterministic_seeded in func.tags
            self._touch(args, writes)
            self._touch(kwargs, writes=True)  # out
        output = func(*args, **kwargs)
        if is_view(func) or name in NO_WORK:
            self.empty |= {output.untyped_storage()._cdata: output} if "empty" in name and _strided(output) else {}
            return output
        self.ops += 1
        given, out = tensors_in((args, kwargs)), tensors_in(output)
        if (macs := self._macs(func, name, args, kwargs, output, given)) is not None:
            self.macs += macs
            self.moved += sum(t.numel() * t.element_size() for t in (*args, out[0]) if isinstance(t, Tensor))
            if "conv" in name:
                self.layers += 1
                self.activations += out[0].numel()
        elif _may_multiply(func, name, given, out):
            self.unknown = self.unknown or func._schema.name
        return output

    def _macs(self, func: Any, name: str, args: Any, kwargs: Any, output: Any, tensors: list[Tensor]) -> int | None:
        """An operator's multiply-accumulates; None without a formula, and for tensors that it is not for."""
        from torch.utils.flop_counter import flop_registry  # no other trial needs it

        if any(t.is_complex() or t.layout not in _DENSE for t in tensors):
            return None
        with contextlib.suppress(Exception):  # torch's formulas assert shapes
            if func.namespace != "aten":
                return int(flop_registry[func.overloadpacket](*args, **kwargs, out_val=output)) // 2
            if name in _MACS:
                return _MACS[name](args, output[0] if isinstance(output, tuple) else output)
            return int(flop_registry[getattr(torch.ops.aten, name)](*args, **kwargs, out_val=output)) // 2
        return None

    def _touch(self, tensors: Any, writes: bool) -> None:
        """Note a tensor whose values are read though no operator wrote them: code that can't be seen did."""
        for t in filter(_strided, tensors_in(tensors) if self.empty else ()):
            if t.numel() and t.untyped_storage()._cdata in self.empty:
                if writes:
                    del self.empty[t.untyped_storage()._cdata]
                else:
                    self.left, self.unknown = True, self.unknown or "code outside of torch that wrote a tensor"


def tensors_in(arguments: Any) -> list[Tensor]:
    """The tensors among arguments, including those in lists."""
    return [one for one in tree_leaves(arguments) if isinstance(one, Tensor)]


def _strided(tensor: Tensor) -> bool:
    """Whether it has a storage."""
    return tensor.layout == torch.strided


def _may_multiply(operator: Any, name: str, given: list[Tensor], out: list[Tensor]) -> bool:
    """Whether an operator without a formula may multiply matrices: one of another library, or of several tensors."""
    if operator.namespace != "aten" or any(part in name for part in _PRODUCTS):
        return bool(given or out)
    numbers = sum(t.is_floating_point() or t.is_complex() for t in given)
    fine = torch.Tag.pointwise in operator.tags or any(part in name for part in _NO_PRODUCTS)
    return numbers > 1 and not fine


def is_view(operator: Any) -> bool:
    """Whether an operator's output is a view of its input."""
    return any(r.alias_info is not None and not r.alias_info.is_write for r in operator._schema.returns)
