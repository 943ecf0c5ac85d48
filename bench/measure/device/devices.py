"""The protocol of a device (timing, memory, launches, graphs), the CPU's implementation of it, and torch's switches."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, repeat
from time import perf_counter_ns
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.measure.device import counts

Call = Callable[[], object]
BENCHMARK_LIMIT = 10  # algorithms that cuDNN's search tries; torch's default
ABSENT = "not in this torch"


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """The device's times of single calls, in ns. `proven`: each call was fully queued before the device reached it."""

    ns: tuple[float, ...]
    proven: bool


@dataclass(frozen=True, slots=True)
class Launches:
    """Kernels that one call starts, by the profiler and by the nodes of a captured graph; None if not counted."""

    profiler: int | None = None
    graph: int | None = None


class CaptureFailed(RuntimeError):
    """A call that can't be captured as a graph. It may have left the stream capturing: see `Device.spoilt`."""


def is_fault(error: BaseException) -> bool:
    """Whether a device failed, after which its context may be dead. Before torch 2.8 only the message tells."""
    known: Any = getattr(torch, "AcceleratorError", None)
    if known is not None:
        return isinstance(error, known)
    return isinstance(error, RuntimeError) and str(error).startswith(("CUDA error: ", "HIP error: ", "XPU error: "))


class Device(Protocol):
    """A device that runs blocks. What it does not support is None, never a number: the default of most methods.

    `clock` is injected, so that tests get exact times. `spoilt`: a capture failed, after which streams and allocator
    may still be capturing, so that only a fresh process can continue.
    """

    name: str
    torch_device: torch.device
    clock: Callable[[], int]
    spoilt: bool

    def time(self, call: Call, evaluations: int) -> int:
        """Nanoseconds by the host's clock for `evaluations` calls back to back, with their work done."""

    def synchronize(self) -> None:
        """Wait until all submitted work is done."""
        return

    def submit(self, call: Call, evaluations: int) -> int | None:  # noqa: ARG002
        """Nanoseconds that the host takes to submit `evaluations` calls to an empty queue."""
        return None

    def device_times(self, call: Call, times: int, cold: bool = False) -> DeviceTimes | None:  # noqa: ARG002
        """The device's time of each of `times` calls; `cold` empties its cache before each."""
        return None

    def steps(self, calls: Sequence[Call], times: int) -> list[list[float]] | None:
        """The device's nanoseconds of each of these calls, one after the other, in each of `times` passes."""

    def memory_peak(self, call: Call, clear: Call) -> counts.Peak:
        """The peak memory of one call, beyond what remains after `clear`."""

    def launches(self, call: Call) -> Launches:  # noqa: ARG002
        """Kernels that one call starts."""
        return Launches()

    def capture(self, call: Callable[[], Tensor]) -> tuple[Call, Tensor]:
        """The call as a graph: a call that replays it, and the output that each replay writes. Or CaptureFailed."""

    def properties(self) -> dict[str, Any]:
        """The device's properties, for the record."""
        return {}

    def empty_cache(self) -> None:
        """Give freed memory back before the next trial."""
        return


class Cpu(Device):
    """The host. Calls return when their work is done, so there is no queue and no other time than the host's."""

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.torch_device = torch.device("cpu")
        self.name = "cpu"
        self.clock = clock
        self.spoilt = False

    def time(self, call: Call, evaluations: int) -> int:
        clock = self.clock
        start = clock()
        for _ in repeat(None, evaluations):
            call()
        return clock() - start

    def steps(self, calls: Sequence[Call], times: int) -> list[list[float]] | None:
        passes = []
        for _ in repeat(None, times):
            marks = [self.clock()]
            for call in calls:
                call()
                marks.append(self.clock())
            passes.append([float(after - before) for before, after in pairwise(marks)])
        return passes

    def memory_peak(self, call: Call, clear: Call) -> counts.Peak:
        return counts.peak_on_cpu(call, clear)

    def capture(self, call: Callable[[], Tensor]) -> tuple[Call, Tensor]:
        raise NotImplementedError("a CPU has no graphs")


_KEPT: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "threads": (torch.get_num_threads, torch.set_num_threads),
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (torch.get_default_device, lambda _: torch.set_default_device(None)),
    "oneDNN": (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "grad mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "anomaly mode": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "autocast": (partial(torch.is_autocast_enabled, "cpu"), partial(torch.set_autocast_enabled, "cpu")),
    "cores": (partial(getattr(os, "sched_getaffinity", bool), 0), lambda cores: os.sched_setaffinity(0, cores)),
    **{
        f"cudnn.{name}": (partial(getattr, torch.backends.cudnn, name), partial(setattr, torch.backends.cudnn, name))
        for name in ("benchmark", "deterministic", "enabled")
    },
}


def kept() -> dict[str, Any]:
    """The process's settings that affect times and that a block could leave changed."""
    return {name: get() for name, (get, _) in _KEPT.items()}


def put_back(before: Mapping[str, Any]) -> list[str]:
    """Set what differs from `before` back, and tell each: `threads from 1 to 2`."""
    changed = [(name, value, before[name]) for name, value in kept().items() if value != before[name]]
    for name, _, was in changed:
        _KEPT[name][1](was)
    return [f"{name} from {was} to {value}" for name, value, was in changed]


def set_switches(dtype: str, cudnn_benchmark: bool) -> dict[str, str]:
    """Set all of torch's global switches, and return their values as torch then reports them, for the record.

    TF32 has an older and, since torch 2.9, a newer interface. If only one is set, reading the other raises, as torch.compile
    does. Set in this order, both agree and neither overrides the other.
    """
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    tf32 = dtype == "fp32-tf32"
    precision = "tf32" if tf32 else "ieee"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older interface warns that it is deprecated
        cudnn.allow_tf32 = tf32
        matmul.allow_tf32 = tf32
        ops = {"conv": getattr(cudnn, "conv", None), "rnn": getattr(cudnn, "rnn", None), "matmul": matmul}
        newer = {name: op for name, op in ops.items() if hasattr(op, "fp32_precision")}
        for op in newer.values():
            op.fp32_precision = precision
        values = {
            "cudnn.allow_tf32": cudnn.allow_tf32,
            "cuda.matmul.allow_tf32": matmul.allow_tf32,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }
    cudnn.enabled = True
    cudnn.deterministic = False
    cudnn.benchmark = cudnn_benchmark
    if cudnn.is_available():
        cudnn.benchmark_limit = BENCHMARK_LIMIT
    if torch.are_deterministic_algorithms_enabled():  # other algorithms, with other times
        torch.use_deterministic_algorithms(False)  # only if needed: it imports inductor, for seconds
    if hasattr(cudnn, "depthwise_kernel"):
        cudnn.depthwise_kernel = "auto"
    values |= {
        "cudnn.conv.fp32_precision": getattr(newer.get("conv"), "fp32_precision", ABSENT),
        "cuda.matmul.fp32_precision": getattr(newer.get("matmul"), "fp32_precision", ABSENT),
        "cudnn.enabled": cudnn.enabled,
        "cudnn.deterministic": cudnn.deterministic,
        "cudnn.benchmark": cudnn.benchmark,
        "cudnn.benchmark_limit": cudnn.benchmark_limit,
        "cudnn.depthwise_kernel": getattr(cudnn, "depthwise_kernel", ABSENT),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }
    return {name: str(value).lower() for name, value in values.items()}
