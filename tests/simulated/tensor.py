"""Tensors of the simulated device: torch's operators become kernels in its queue.

A tensor wraps a raw one: of the CPU where the engine computes, of the meta device where it does not. Shapes are known
at once, from the operator on meta tensors; values come later. Every raw tensor and wrapper is made outside of inference
mode: the computing thread has to write to the one, and `Parameter` refuses the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload

from tests.simulated.machine import MACHINE, NAME, Block

Handler = Callable[[OpOverload, tuple[Any, ...], dict[str, Any]], Any]

_ALLOCATIONS = ("aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::new_empty_strided")


class SimTensor(torch.Tensor):
    """A tensor on the simulated device."""

    raw: Tensor
    block: Block

    @staticmethod
    def __new__(cls, raw: Tensor, block: Block) -> SimTensor:
        """Wrap `raw`, or a view on it, and keep its memory taken. The caller has left inference mode."""
        made: SimTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            layout=raw.layout,
            device=torch.device(NAME, 0),
        )
        made.raw, made.block = raw, block
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"SimTensor(shape={tuple(self.shape)}, dtype={self.dtype}, device='{self.device}')"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: OpOverload, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _handler(func)(func, args, kwargs or {})


class Spec(NamedTuple):
    """What a new tensor looks like."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype


def allocate(spec: Spec) -> SimTensor:
    """A new tensor, its values whatever was there. OutOfMemoryError beyond the device's memory."""
    reach = 0 if 0 in spec.size else 1 + sum((n - 1) * s for n, s in zip(spec.size, spec.stride, strict=True))
    block = MACHINE.memory.allocate(reach * spec.dtype.itemsize)
    with torch.inference_mode(False):
        place = "cpu" if MACHINE.engine.computes else "meta"
        return SimTensor(torch.empty_strided(spec.size, spec.stride, dtype=spec.dtype, device=place), block)


@cache
def _handler(func: OpOverload) -> Handler:
    """How this operator is dealt with, found once."""
    name, tags = func._schema.name, func.tags
    if name == "aten::_to_copy":
        return _to_copy
    if name == "aten::copy_":
        return _copy
    if name in _ALLOCATIONS:
        return _allocation
    # Inference mode hands over composite operators whole; with autograd they arrive as their parts.
    if _has(func, "CompositeImplicitAutograd"):
        return partial(_decomposed, key=torch._C.DispatchKey.CompositeImplicitAutograd)
    if torch.Tag.data_dependent_output in tags:
        return _read
    if torch.Tag.dynamic_output_shape in tags:
        return _sized_by_values
    returns = [r.alias_info for r in func._schema.returns]
    if any(alias is not None and not alias.is_write for alias in returns):
        return _view
    # randn_like is empty_like and normal_, which takes the device's own random numbers.
    if torch.Tag.nondeterministic_seeded in tags and not any(returns) and _has(func, "CompositeExplicitAutograd"):
        return partial(_decomposed, key=torch._C.DispatchKey.CompositeExplicitAutograd)
    return _Operator(func)


def _has(func: OpOverload, key: str) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func._name, key))


def _decomposed(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
    return func._op_dk(key, *args, **kwargs)


def _to_copy(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """To another dtype or layout, or from or to the host."""
    source: Tensor = args[0]
    told = {k: v for k, v in kwargs.items() if k not in ("device", "non_blocking", "pin_memory")}
    if _leaves(kwargs):
        host: Tensor = func(_fetched(source), **told)
        return host
    made = allocate(_spec(func(_meta(source), device="meta", **told)))
    _launch_copy(func._schema.name, made, source)
    return made


def _copy(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    target, source = args[0], args[1]
    if not isinstance(target, SimTensor):
        return func(target, _fetched(source))  # type: ignore[no-any-return]
    func(_meta(target), _meta(source))  # refuses what does not fit
    _launch_copy(func._schema.name, target, source)
    return target


def _launch_copy(name: str, target: SimTensor, source: Tensor) -> None:
    """On the device a kernel; from the host a transfer of what it holds now, as CUDA stages pageable memory."""
    if isinstance(source, SimTensor):
        kind, raw = "kernel", source.raw
    else:
        kind, raw = "memcpy", source.detach().clone() if MACHINE.engine.computes else source
    work = partial(target.raw.copy_, raw)
    MACHINE.kernel(name, (target, source), (target,), work, kind)


def _allocation(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """No kernel."""
    like = [_meta(a) for a in args]
    if _leaves(kwargs):
        return func(*like, **kwargs)  # type: ignore[no-any-return]
    return allocate(_spec(func(*like, **_on(kwargs, "meta"))))


def _read(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The host waits for a value. Where nothing is computed every value is one, or true."""
    _transfer(args[0])
    if MACHINE.engine.computes:
        return func(*map(_raw, args), **kwargs)
    dtype = args[0].dtype if func._schema.name == "aten::_local_scalar_dense" else torch.bool
    return torch.ones((), dtype=dtype).item()


def _sized_by_values(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not MACHINE.engine.computes:
        raise NotImplementedError(f"{NAME}: without values there is no shape for {func._schema.name}")
    MACHINE.engine.synchronize()
    found = func(*_mapped(_raw, args), **_mapped(_raw, kwargs))
    return _mapped(_uploaded, found)


def _view(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Another look at the same memory: the host's own affair."""
    base = next(a for a in tensors_of(args) if isinstance(a, SimTensor))
    with torch.inference_mode(False):
        seen = func(*_mapped(_raw, args), **_mapped(_raw, kwargs))
        return _mapped(partial(_wrapped, block=base.block), seen)


class _Operator:
    """An operator that computes: one kernel, into new tensors, into its arguments, or both."""

    def __init__(self, func: OpOverload) -> None:
        self._schema = schema = func._schema
        self.name: str = schema.name
        self.arguments = [a.name for a in schema.arguments]
        self.random = "generator" in self.arguments
        self.written = [self._argument(r) for r in schema.returns]
        self.one = len(schema.returns) == 1
        # Where meta versions differ: they forget channels_last, and the statistics that batch norm doesn't save.
        norm = "native_batch_norm" in self.name
        self.saves = norm and "backward" not in self.name
        self.layout = norm or "convolution" in self.name
        self.specs: dict[Hashable, list[Spec | None]] = {}

    def _argument(self, returned: Any) -> str | None:
        """The argument that is this return, or None where it is new."""
        if returned.alias_info is None:
            return None
        for argument in self._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.before_set == returned.alias_info.before_set:
                return str(argument.name)
        return None

    def __call__(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _leaves(kwargs):
            return func(*_mapped(_meta, args), **kwargs)
        key = (_signature(args), _signature(tuple(kwargs.items())))
        specs = self.specs.get(key)
        if specs is None:
            specs = self.specs[key] = self._shapes(func, args, kwargs)
        new = [None if spec is None else allocate(spec) for spec in specs]
        given = dict(zip(self.arguments, args, strict=False)) | kwargs
        outputs = [made if name is None else given[name] for made, name in zip(new, self.written, strict=True)]
        work = self._work(func, args, kwargs, new) if MACHINE.engine.computes else None
        MACHINE.kernel(self.name, args, tuple(outputs), work, key=key)
        if self.one:
            return outputs[0]
        return tuple(outputs) if outputs else None

    def _shapes(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Spec | None]:
        """What the new tensors look like, by the operator's meta version, which also refuses what does not fit."""
        for tensor in tensors_of((*args, *kwargs.values())):
            if not isinstance(tensor, SimTensor) and tensor.dim():
                raise RuntimeError(f"Expected all tensors to be on the same device, but {self.name} got cpu and {NAME}")
        like = _mapped(_meta, args)
        found = func(*like, **{k: v for k, v in _on(_mapped(_meta, kwargs), "meta").items() if k != "generator"})
        listed = [found] if self.one else list(found or ())
        given = dict(zip(self.arguments, args, strict=False)) | kwargs
        for tensor, name in zip(listed, self.written, strict=True):
            if isinstance(tensor, list):
                raise NotImplementedError(f"{NAME}: {self.name} gives a list of tensors")
            if name is not None and tensor is not None and tensor.shape != given[name].shape:
                raise NotImplementedError(f"{NAME}: {self.name} gives its output another shape")
        if self.saves and not given.get("training"):
            listed[1:] = [t.new_empty(0) for t in listed[1:]]  # what inference saves for a backward
        if self.layout and any(_is_channels_last(t) for t in args if isinstance(t, Tensor)):
            listed = [_channels_last(t) for t in listed]
        return [
            _spec(t) if name is None and isinstance(t, Tensor) else None
            for t, name in zip(listed, self.written, strict=True)
        ]

    def _work(
        self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], new: list[SimTensor | None]
    ) -> Callable[[], None]:
        raws, named = _mapped(_kept, args), _on(_mapped(_kept, kwargs), "cpu")
        if self.random and named.get("generator") is None:
            named["generator"] = MACHINE.generator
        targets = [None if made is None else made.raw for made in new]

        def compute() -> None:
            with torch.no_grad():
                found = func(*raws, **named)
            for target, value in zip(targets, [found] if self.one else found or (), strict=True):
                if target is not None:
                    target.copy_(value)

        return compute


def _transfer(source: SimTensor) -> None:
    """Wait until the device is done and its value has come over."""
    MACHINE.kernel("aten::copy_", (source,), (), None, "memcpy")
    MACHINE.engine.synchronize()


def _fetched(source: Tensor) -> Tensor:
    """The values on the host."""
    if not isinstance(source, SimTensor):
        return source
    _transfer(source)
    return source.raw if MACHINE.engine.computes else torch.ones_like(source.raw, device="cpu")


def _uploaded(value: object) -> object:
    if not isinstance(value, Tensor):
        return value
    made = allocate(_spec(value))
    made.raw.copy_(value)
    return made


def _leaves(kwargs: dict[str, Any]) -> bool:
    """Whether the result is to be on another device."""
    device = kwargs.get("device")
    return device is not None and torch.device(device).type != NAME


def _on(kwargs: dict[str, Any], device: str) -> dict[str, Any]:
    """The same arguments for the raw tensors' device."""
    return {k: device if k == "device" else v for k, v in kwargs.items() if k != "pin_memory"}


def _mapped(change: Callable[[Any], Any], given: Any) -> Any:
    """`given` with every leaf changed: arguments are tuples, lists and, at the top, a dict."""
    if isinstance(given, (tuple, list)):
        return type(given)([_mapped(change, g) for g in given])
    if isinstance(given, dict):
        return {k: _mapped(change, v) for k, v in given.items()}
    return change(given)


def tensors_of(given: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments, those in lists too."""
    for one in given:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, (tuple, list)):
            yield from tensors_of(one)


def _signature(given: Any) -> Hashable:
    """What the shapes of an operator's results depend on."""
    if isinstance(given, Tensor):
        return given.shape, given.stride(), given.dtype, isinstance(given, SimTensor)
    if isinstance(given, (tuple, list)):
        return tuple([_signature(g) for g in given])
    return type(given), given  # 1, 1.0 and True are equal, and promote differently


def _raw(value: object) -> object:
    return value.raw if isinstance(value, SimTensor) else value


def _kept(value: object) -> object:
    """The raw tensor; of a host scalar a copy, for the host may go on and change it."""
    if isinstance(value, SimTensor):
        return value.raw
    return value.clone() if isinstance(value, Tensor) else value


def _meta(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device="meta")


def _wrapped(value: object, block: Block) -> object:
    return SimTensor(value, block) if isinstance(value, Tensor) else value


def _spec(tensor: Tensor) -> Spec:
    return Spec(tuple(tensor.size()), tensor.stride(), tensor.dtype)


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def _channels_last(tensor: Tensor | None) -> Tensor | None:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor is not None and tensor.dim() == 4 else tensor
