"""A named device in virtual time: the simulated accelerator with the kernel model's times. Predicted, never measured."""

from __future__ import annotations

import math
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from bench.measure.device.devices import Call, Cpu, Launches, OwnTimes
from bench.measure.device.memory import Peak
from bench.measure.simulated.device import Simulated
from bench.measure.simulated.machine import MACHINE, NAME
from bench.measure.simulated.module import Module, install
from bench.measure.simulated.settings import Settings
from bench.measure.simulated.tensor import tensors_of
from bench.spec.blocks import kernels
from bench.spec.blocks.kernels import Family, Kernel
from bench.spec.devices.predicted_devices import PredictedDevice, named
from bench.spec.model.host_model import HostDemand, host_seconds
from bench.spec.model.kernel_model import backward_seconds, kernel_seconds
from bench.spec.model.model_parameters import fitted
from bench.spec.model.predictions import device_name

_WORDS = {torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_FAMILIES: dict[str, Family] = {"batch_norm": "norm", "pool2d": "pool", "aten::mean": "pool"}


class PredictedAccelerator(Simulated):
    """A predicted device with a queue. The model knows times, so what it would hold or launch is left empty."""

    predicted = True

    def __init__(self, module: Module, model: PredictedDevice) -> None:
        super().__init__(module)
        self.name = device_name(model)
        self._noted = Noted(module)

    def time(self, call: Call, evaluations: int) -> int:
        return super().time(self._noted(call), evaluations)

    def submit(self, call: Call, evaluations: int) -> int | None:
        return super().submit(self._noted(call), evaluations)

    def own(self, call: Call, times: int, cold: bool = False) -> OwnTimes | None:
        return None if cold else super().own(self._noted(call), times)

    def memory_peak(self, call: Call, clear: Call) -> Peak:  # noqa: ARG002
        return Peak(None)

    def launches(self, call: Call) -> Launches:  # noqa: ARG002
        return Launches()

    def properties(self) -> dict[str, Any]:
        return {}


class PredictedCpu(Cpu):
    """A predicted processor: a call returns when its work is done, by a clock of its own."""

    predicted = True

    def __init__(self, module: Module, model: PredictedDevice) -> None:
        super().__init__(module.clock_ns)
        self.torch_device = torch.device(NAME, 0)
        self.name = device_name(model)
        self._noted = Noted(module)

    def time(self, call: Call, evaluations: int) -> int:
        return super().time(self._noted(call), evaluations)

    def memory_peak(self, call: Call, clear: Call) -> Peak:  # noqa: ARG002
        return Peak(None)


class Noted:
    """What each call launches, noted once: a call that computes nothing is the same every time."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._known: WeakKeyDictionary[Call, Call] = WeakKeyDictionary()

    def __call__(self, call: Call) -> Call:
        """What stands for the call."""
        if call not in self._known:
            self._known[call] = self._module.noted(call)
        return self._known[call]


def open_predicted(name: str, threads: int) -> PredictedAccelerator | PredictedCpu:
    """The device that `sim:NAME` names, a processor with so many threads. UserError where there is none."""
    model = named(name).on(threads)
    launch_s = float(host_seconds(model.kind, model.dispatch_s, model.launch_s, HostDemand(operators=1), fitted()))
    memory, costs, books = int(model.memory_bytes), Costs(model), Autograd(model)
    if model.kind == "cpu":
        return PredictedCpu(install(Settings("serial", launch=launch_s, memory=memory), costs, books), model)
    settings = Settings(launch=launch_s, memory=memory, l2=int(model.cache_bytes))
    return PredictedAccelerator(install(settings, costs, books), model)


class Autograd:
    """What autograd takes of the host beyond launches: its share of an operator is counted with that one's backward."""

    def __init__(self, model: PredictedDevice) -> None:
        self._model = model
        self._backward = False

    def __call__(self, name: str) -> float:
        if not name.endswith("_backward"):
            self._backward = self._backward and name != "aten::convolution"  # the next forward pass
            return 0.0
        begun, self._backward = not self._backward, True
        nodes = 2 if name == "aten::convolution_backward" else 1
        asked = HostDemand(operators=-1, noted=1, nodes=nodes, backwards=begun)
        return float(host_seconds(self._model.kind, self._model.dispatch_s, self._model.launch_s, asked, fitted()))


class Costs:
    """Seconds of torch's operators on a device, by the kernel model, alone or noted for a graph; each is asked once for its shapes."""

    def __init__(self, model: PredictedDevice) -> None:
        self._model = model
        self._known: dict[Any, float] = {}

    def __call__(self, name: str, args: tuple[Any, ...], outputs: tuple[Any, ...]) -> float:
        taken, made = list(tensors_of(args)), list(tensors_of(outputs))
        tf32 = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
        sizes = tuple([(t.shape, t.stride(), t.dtype) for t in (*taken, *made)])
        key = (name, sizes, tf32, _convolved(name, args), MACHINE.engine.capturing)
        if key not in self._known:
            self._known[key] = self._seconds(name, args, taken, made, tf32)
        return self._known[key]

    def _seconds(self, name: str, args: tuple[Any, ...], taken: list[Tensor], made: list[Tensor], tf32: bool) -> float:
        in_graph = MACHINE.engine.capturing
        seconds = partial(kernel_seconds, self._model, in_graph=in_graph)
        if name == "aten::convolution":
            x, w, _, stride, _, _, transposed, _, groups = args[:9]
            return seconds(_convolution(name, x, w, made[0], stride, transposed, groups, tf32))
        if name == "aten::convolution_backward":
            gradient, x, w, _, stride, _, _, transposed, _, groups, wanted = args[:11]
            forward = _convolution(name, x, w, gradient, stride, transposed, groups, tf32)
            return backward_seconds(self._model, forward, in_graph=in_graph) * (bool(wanted[0]) + bool(wanted[1])) / 2
        if name in ("aten::mm", "aten::addmm"):
            a, b = args[:2] if name == "aten::mm" else args[1:3]
            return seconds(kernels.linear(name, a.shape[0], a.shape[1], b.shape[1], _word(a, tf32)))
        family: Family = next((f for word, f in _FAMILIES.items() if word in name), "elementwise")
        return seconds(Kernel(name, family, "fp32", sum(map(_bytes, taken)), sum(map(_bytes, made))))


def _convolved(name: str, args: tuple[Any, ...]) -> Any:
    """What of a convolution its sizes do not tell."""
    return (
        str(args[3:])
        if name == "aten::convolution"
        else str(args[4:])
        if name == "aten::convolution_backward"
        else None
    )


def _convolution(
    name: str, x: Tensor, w: Tensor, y: Tensor, stride: list[int], transposed: bool, groups: int, tf32: bool
) -> Kernel:
    low, high = (y, x) if transposed else (x, y)  # a transposed one is the other way round
    flat = x.is_contiguous()
    return kernels.convolution(
        name, x.shape[0], x.shape[1], y.shape[1], math.prod(low.shape[2:]), math.prod(high.shape[2:]),
        (int(w.shape[2]), int(w.shape[3])), int(stride[0]), int(groups), _word(x, tf32),
        not flat and x.is_contiguous(memory_format=torch.channels_last),
    )  # fmt: skip


def _word(tensor: Tensor, tf32: bool) -> str:
    word = _WORDS.get(tensor.dtype, "fp32")
    return "fp32-tf32" if word == "fp32" and tf32 else word


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
