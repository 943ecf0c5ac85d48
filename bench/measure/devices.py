"""What the worker may ask of a device: time calls on it, measure their memory, name it. The clock is injected."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from itertools import repeat
from time import perf_counter_ns
from typing import Any, Protocol

import torch

from bench.measure import memory
from bench.spec.errors import UserError

Call = Callable[[], object]


class Device(Protocol):
    """A place where blocks run."""

    torch_device: torch.device
    name: str

    def time(self, call: Call, evaluations: int) -> tuple[int, float | None]:
        """Nanoseconds for `evaluations` calls: by the host's clock with the work done, and by the device's own."""

    def memory_peak(self, call: Call, clear: Callable[[], None]) -> int | None:
        """Most bytes that one call holds beyond what is left after `clear`."""

    def empty_cache(self) -> None:
        """Give freed memory back before the next trial."""


class Cpu:
    """The host. Calls return when their work is done, so there is nothing to synchronise."""

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.torch_device = torch.device("cpu")
        self.name = "cpu"
        self.clock = clock

    def time(self, call: Call, evaluations: int) -> tuple[int, float | None]:
        clock = self.clock
        start = clock()
        for _ in repeat(None, evaluations):
            call()
        return clock() - start, None

    def memory_peak(self, call: Call, clear: Callable[[], None]) -> int | None:
        return memory.peak_on_cpu(call, clear)

    def empty_cache(self) -> None:
        pass


class Accelerator:
    """A device with a queue of its own: the host's clock is read only when the queue is empty.

    Events stand first and last in the queue; `elapsed_time` is in milliseconds.
    """

    def __init__(self, torch_device: torch.device, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.torch_device = torch_device
        self.module: Any = torch.get_device_module(torch_device)
        self.module.set_device(torch_device)
        self.name = str(self.module.get_device_name(torch_device))
        self.clock = clock

    def time(self, call: Call, evaluations: int) -> tuple[int, float | None]:
        first = self.module.Event(enable_timing=True)
        last = self.module.Event(enable_timing=True)
        self.module.synchronize(self.torch_device)
        start = self.clock()
        first.record()
        for _ in repeat(None, evaluations):
            call()
        last.record()
        self.module.synchronize(self.torch_device)
        wall = self.clock() - start
        return wall, first.elapsed_time(last) * 1e6

    def memory_peak(self, call: Call, clear: Callable[[], None]) -> int | None:
        return memory.peak_on_accelerator(call, clear, self.torch_device)

    def empty_cache(self) -> None:
        self.module.empty_cache()


def open_device(name: str) -> Device:
    """The device called `name` (cpu, cuda, cuda:1), ready to use. UserError, in one line, where there is none."""
    if name == "cpu":
        return Cpu()
    why = why_no_cuda(name)
    if why is not None:
        raise why
    return Accelerator(torch.device(name))


def set_switches() -> dict[str, str]:
    """Set torch's global switches, in this one place, and return them for the record. fp32 means IEEE on every device."""
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.benchmark = True
    return {
        "cudnn.conv.fp32_precision": "ieee",
        "cuda.matmul.fp32_precision": "ieee",
        "cudnn.benchmark": "true",
    }


def why_no_cuda(name: str) -> UserError | None:
    """Why this torch cannot use that CUDA device, and what to do; None where it can. CUDA is not initialised to tell."""
    place, or_cpu = f"DEVICE={name}", "or run with DEVICE=cpu"
    version = torch.__version__
    if torch.version.cuda is None and torch.version.hip is None:
        return UserError(place, f"torch {version} is a CPU-only build", f"Install a CUDA build of torch (pytorch.org, Get started), {or_cpu}.")  # fmt: skip
    if torch.version.cuda is not None:
        loaded, answer, driver = _driver()
        if not loaded:
            return UserError(place, "no NVIDIA driver is installed", f"Install it so that nvidia-smi works (in a container: docker run --gpus all), {or_cpu}.")  # fmt: skip
        if driver and driver // 1000 < int(torch.version.cuda.split(".")[0]):
            return UserError(place, f"the NVIDIA driver supports CUDA {driver // 1000}.{driver % 1000 // 10} and torch {version} needs CUDA {torch.version.cuda}", f"Update the driver, install a torch built for an older CUDA, {or_cpu}.")  # fmt: skip
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None and visible.strip() in ("", "-1", "NoDevFiles"):
            return UserError(place, f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU", "Unset it.")
        if answer == 100:
            return UserError(place, "the NVIDIA driver finds no GPU", f"Check nvidia-smi -L and the container's flags, {or_cpu}.")  # fmt: skip
        if answer:
            return UserError(place, f"the NVIDIA driver fails to start (cuInit returned {answer})", f"Check nvidia-smi and dmesg; after a driver update, restart; {or_cpu}.")  # fmt: skip
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        return UserError(place, f"torch {version} sees no GPU though the driver starts", f"Check nvidia-smi and CUDA_VISIBLE_DEVICES, {or_cpu}.")  # fmt: skip
    index = torch.device(name).index or 0
    if index >= count:
        return UserError(place, f"only cuda:0 to cuda:{count - 1} exist", "Name one of them.")
    if torch.version.cuda is not None and not _has_kernels(index):
        card = torch.cuda.get_device_name(index)
        return UserError(place, f"torch {version} has no kernels for the {card}", f"Install a torch built for an older CUDA, {or_cpu}.")  # fmt: skip
    return None


def _has_kernels(index: int) -> bool:
    """Whether torch carries machine code or PTX that this card can run."""
    major, minor = torch.cuda.get_device_capability(index)
    card = major * 10 + minor
    built = torch.cuda.get_arch_list()
    binary = [int(a[3:].rstrip("af")) for a in built if a.startswith("sm_")]
    ptx = [int(a[8:].rstrip("af")) for a in built if a.startswith("compute_")]
    return not built or any(b // 10 == major and b <= card for b in binary) or any(p <= card for p in ptx)


def _driver() -> tuple[bool, int, int]:
    """(library found, cuInit's answer, the driver's CUDA version) straight from the driver's library."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False, 0, 0
    version = ctypes.c_int(0)
    try:
        library.cuDriverGetVersion(ctypes.byref(version))
        return True, int(library.cuInit(0)), version.value
    except AttributeError:
        return True, 999, 0
