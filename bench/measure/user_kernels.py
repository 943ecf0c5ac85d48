"""The kernels and the memory of a user's block, for a predicted device.

Its layers are unknown, so its kernels come from one forward pass on torch's meta device, where operators have shapes
but compute nothing.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.measure import user_blocks
from bench.measure.device.devices import CaptureFailed
from bench.measure.modules import DTYPES, FORMATS, placed
from bench.measure.user_blocks import NO_WORK, NotABlock, build_user_block, count, is_view, one_tensor, tensors_in
from bench.spec.blocks import kernels
from bench.spec.blocks.kernels import Family, Kernel
from bench.spec.blocks.liveness import Step
from bench.spec.errors import first_line, typed_line
from bench.spec.model.kernel_model import Mode, call_seconds
from bench.spec.model.predicted_trial import device_of, memory
from bench.spec.plan.plan import Arm, Trial

_FAMILIES: dict[str, Family] = {"batch_norm": "norm", "pool2d": "pool", "aten::mean": "pool"}


def inspect(trial: Trial) -> dict[str, Any]:
    """The record of an inspection on a predicted device: each user's block's counts, seconds of a call, and memory.

    Raises whatever a factory or a forward pass raises. CaptureFailed for a graph of a call that waits for a value.
    """
    arms = [
        {"arm_id": arm.arm_id, "backends": [], **({} if arm.choice.factory is None else _traced(trial, arm))}
        for arm in trial.arms
    ]
    return {"status": "ok", "arms": arms}


def foresee(trial: Trial) -> dict[str, Any]:
    """What the one arm's block costs, counted on torch's meta device, and its output's shape; or why it is refused, or can't be counted there."""
    try:
        return _foreseen(trial, trial.arms[0])
    except NotABlock as error:
        return {"refused": [first_line(error), error.remedy]}
    except Exception as error:  # noqa: BLE001 (a run makes what a block raises its row)
        return {"failed": typed_line(error)}


def _foreseen(trial: Trial, arm: Arm) -> dict[str, Any]:
    choice, shape = arm.choice, trial.shape
    alien = f"{choice.label} takes neither c_in nor c_out, and is no block of {shape.c_in}->{shape.c_out} channels"
    network = "If it is a network, write network: true beside its import; else give its factory these parameters, or use channels that it takes."
    block = choice.network or user_blocks.takes_channels(choice)
    try:
        module, x = _on_meta(trial, arm)
        with torch.no_grad():
            output = one_tensor(choice.label, module(x))
    except RuntimeError:
        try:  # with values: not every operator has shapes alone
            _ = block or build_user_block(choice, shape).eval()(torch.zeros(1, shape.c_in, shape.height, shape.width))
        except RuntimeError as error:
            if shape.c_in != shape.c_out or not isinstance(error, NotImplementedError):
                raise NotABlock(f"{alien}: {first_line(error, 150)}", network) from error
        raise
    if not block and output.dim() != x.dim():
        raise NotABlock(f"{alien}: its output has {output.dim()} dimensions", network)
    return {"counted": count(module, x, trial.pass_ == "training"), "output": list(output.shape)}


def _on_meta(trial: Trial, arm: Arm) -> tuple[nn.Module, Tensor]:
    """A user's block on torch's meta device, and its input."""
    shape, dtype, layout = trial.shape, DTYPES[trial.dtype], FORMATS[trial.layout]
    module = placed(build_user_block(arm.choice, shape), "meta", dtype, layout).train(trial.pass_ == "training")
    x = torch.empty((shape.batch, shape.c_in, shape.height, shape.width), dtype=dtype, device="meta")
    return module, x.contiguous(memory_format=layout)


def _traced(trial: Trial, arm: Arm) -> dict[str, Any]:
    training = trial.pass_ == "training"
    module, x = _on_meta(trial, arm)
    with _Operators(trial):
        counted = count(module, x, training)
    operators = _Operators(trial)
    with operators, torch.set_grad_enabled(training):
        y = one_tensor(arm.choice.label, module(x.requires_grad_(training)))
    run = tuple(operators.kernels)
    if training:
        gradient = torch.empty_like(y)
        with operators:
            y.backward(gradient)  # type: ignore[no-untyped-call]
    if operators.waited and trial.mode == "graph":
        raise CaptureFailed("it can't be captured as a graph: it waits for a value")
    call = call_seconds(device_of(trial.surroundings), run, cast(Mode, trial.mode), training=training)
    weights = sum(map(_bytes, (*module.parameters(), *module.buffers())))
    steps = [Step(operators.peak, operators.peak)]
    held = memory(trial, weights, _bytes(x), _bytes(y), steps)
    return {"counted": counted, "call": asdict(call), "memory": asdict(held)}


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the kernels of operators and their peak memory, and gives 1 where a value is needed."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.channels_last = trial.dtype, trial.layout == "channels_last"
        self.kernels: list[Kernel] = []
        self.waited = False
        self.peak = self._alive = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.data_dependent_output in func.tags:
            self.waited = True
            self.kernels.append(self._kernel("aten::copy_", args, []))
            dtype = args[0].dtype if func._schema.name == "aten::_local_scalar_dense" else torch.bool
            return torch.ones((), dtype=dtype).item()
        output = func(*args, **(kwargs or {}))
        outputs = tensors_in(output)
        if is_view(func):
            return output
        self._hold(outputs)
        counts = all(t.numel() == 1 and not t.is_floating_point() for t in outputs)  # batch norm counts its batches
        if not counts and func.overloadpacket.__name__ not in NO_WORK:
            self.kernels.append(self._kernel(func._schema.name, args, outputs))
        return output

    def _kernel(self, name: str, args: tuple[Any, ...], outputs: list[Tensor]) -> Kernel:
        if name == "aten::convolution":
            x, w, _, stride, _, _, transposed, _, groups = args[:9]
            y = outputs[0]
            return kernels.convolution(
                x.shape[0], x.shape[1], y.shape[1], math.prod(x.shape[2:]), math.prod(y.shape[2:]),
                (int(w.shape[2]), int(w.shape[3])), int(stride[0]), int(groups), self._word(x), self.channels_last, bool(transposed),
            )  # fmt: skip
        if name in ("aten::mm", "aten::addmm"):
            a, b = args[:2] if name == "aten::mm" else args[1:3]
            return kernels.linear(a.shape[0], a.shape[1], b.shape[1], self._word(a))
        family: Family = next((f for word, f in _FAMILIES.items() if word in name), "elementwise")
        return Kernel(family, "fp32", sum(map(_bytes, tensors_in(args))), sum(map(_bytes, outputs)))

    def _word(self, tensor: Tensor) -> str:
        """The dtype's name; for fp32 the trial's, which may be TF32."""
        known = {dtype: word for word, dtype in DTYPES.items() if word != "fp32-tf32"}
        word = known.get(tensor.dtype, "fp32")
        return self.dtype if word == "fp32" and self.dtype == "fp32-tf32" else word

    def _hold(self, outputs: list[Tensor]) -> None:
        """Count new memory until its last tensor is freed."""
        for storage in (t.untyped_storage() for t in outputs):
            place, nbytes = storage._cdata, storage.nbytes()
            if place not in self._known:
                self._known.add(place)
                self._alive += nbytes
                self.peak = max(self.peak, self._alive)
                weakref.finalize(storage, self._release, place, nbytes)

    def _release(self, place: int, nbytes: int) -> None:
        self._known.discard(place)
        self._alive -= nbytes


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
