"""The devices that this torch can use here, what else runs on the cards, and how one is opened.

Why one can't be used, and what to do, is one line; no device is initialised in this process for it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import torch

from bench.measure.device.accelerator import Accelerator
from bench.measure.device.devices import Cpu, Device
from bench.measure.device.telemetry import Nvml
from bench.spec.errors import UserError, typed_line

HIDING = ("", "-1", "NoDevFiles")
BROKEN = {  # cuInit's answers, in words, and what to do
    802: (
        "the NVIDIA driver waits for the switch between the cards (cuInit returned 802)",
        "Start its service, of the driver's version: systemctl start nvidia-fabricmanager",
    ),
    803: (
        "the NVIDIA driver's library and its kernel module are of different versions (cuInit returned 803)",
        "Restart the machine after a driver update; in a container, use the host's driver (nvidia-container-toolkit)",
    ),
    804: (
        "CUDA's forward-compatibility package does not work with this card (cuInit returned 804)",
        "Remove cuda-compat from LD_LIBRARY_PATH, or update the driver",
    ),
}


def too_old() -> UserError | None:
    """Why this torch is too old for any device, by what it can do; None if it is not."""
    if hasattr(torch.backends.cudnn, "allow_tf32"):
        return None
    rule = f"{torch.__version__} can't compute fp32 convolutions without TF32"
    return UserError("torch", rule, f"Install torch 2.6 or newer (this one is {sys.executable}'s).")


def why_not(name: str) -> UserError | None:
    """Why this torch can't use the device `name`; None if it can."""
    kind = name.partition(":")[0]
    if kind == "cpu":
        return None
    if kind == "cuda":
        return why_no_cuda(name)
    place, or_cpu = f"DEVICE={name}", "or run with DEVICE=cpu"
    if kind == "mps":
        if not torch.backends.mps.is_built():
            return UserError(place, f"torch {torch.__version__} is built without Apple's Metal", f"Use a Mac with Apple silicon, {or_cpu}.")  # fmt: skip
        if not torch.backends.mps.is_available():
            return UserError(place, "this Mac has no Metal device that torch can use", f"Update macOS, {or_cpu}.")
        return None
    if kind == "xpu":
        count = torch.xpu.device_count() if torch.xpu.is_available() else 0
        if count == 0:
            return UserError(place, f"torch {torch.__version__} sees no Intel GPU", f"Install an XPU build of torch and Intel's driver, {or_cpu}.")  # fmt: skip
        index = int(name.partition(":")[2] or 0)
        return None if index < count else _beyond(place, f"xpu:{count - 1}", None)
    return UserError(place, "no such device", "Name cpu, cuda, cuda:1, xpu or mps.")


def why_no_cuda(name: str) -> UserError | None:
    """Why this torch can't use that CUDA device, and what to do; None if it can. CUDA is not initialised."""
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
        if visible is not None and visible.strip() in HIDING:
            return UserError(place, f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU", "Unset it.")
        if answer in (100, 101) and visible is not None:
            return UserError(place, f"CUDA_VISIBLE_DEVICES={visible} names no GPU of this machine", "Name one that nvidia-smi -L lists, or unset it.")  # fmt: skip
        if answer == 100:
            return UserError(place, "the NVIDIA driver finds no GPU", f"Check nvidia-smi -L and the container's flags, {or_cpu}.")  # fmt: skip
        if answer in BROKEN:
            rule, remedy = BROKEN[answer]
            return UserError(place, rule, f"{remedy}, {or_cpu}.")
        if answer:
            return UserError(place, f"the NVIDIA driver fails to start (cuInit returned {answer})", f"Check nvidia-smi and dmesg; after a driver update, restart; {or_cpu}.")  # fmt: skip
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        return UserError(place, f"torch {version} sees no GPU though the driver starts", f"Check nvidia-smi and CUDA_VISIBLE_DEVICES, {or_cpu}.")  # fmt: skip
    index = torch.device(name).index or 0
    if index >= count:
        return _beyond(place, f"cuda:{count - 1}", os.environ.get("CUDA_VISIBLE_DEVICES"))
    if torch.version.cuda is not None and not _has_kernels(index):
        card = torch.cuda.get_device_name(index)
        return UserError(place, f"torch {version} has no kernels for the {card}", f"Install a torch built for an older CUDA, {or_cpu}.")  # fmt: skip
    return None


def _beyond(place: str, last: str, visible: str | None) -> UserError:
    """An index beyond the cards that torch sees; CUDA_VISIBLE_DEVICES may hide some of the machine's."""
    rule, remedy = f"the last one that torch sees is {last}", "Name one up to it"
    if visible is not None:
        rule += f", as CUDA_VISIBLE_DEVICES={visible} hides others and numbers the rest anew from 0"
        remedy += ", or unset the variable"
    return UserError(place, rule, remedy)


def _has_kernels(index: int) -> bool:
    """Whether torch has machine code or PTX for this card."""
    major, minor = torch.cuda.get_device_capability(index)
    card = major * 10 + minor
    built = torch.cuda.get_arch_list()
    binary = [int(a[3:].rstrip("af")) for a in built if a.startswith("sm_")]
    ptx = [int(a[8:].rstrip("af")) for a in built if a.startswith("compute_")]
    return not built or any(b // 10 == major and b <= card for b in binary) or any(p <= card for p in ptx)


def _driver() -> tuple[bool, int, int]:
    """(library found, cuInit's answer, the driver's CUDA version), from the driver's library."""
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


KINDS = ("cpu", "cuda", "xpu", "mps")
PRESENT = "present: "


def devices() -> dict[str, str]:
    """For each kind, `present: ` and its name, or why it can't be used and what to do, in one line."""
    return {kind: _line(kind) for kind in KINDS}


def cards() -> dict[str, dict[str, Any]]:
    """NVML's readings of each CUDA card by its name here, or why there are none; nothing if CUDA can't be used.

    Call this before the card is used, or in a container `programs` may count this process.
    """
    try:
        count = torch.cuda.device_count() if torch.version.cuda and why_not("cuda") is None else 0
        known = {f"cuda:{i}": Nvml(torch.cuda.get_device_properties(i)) for i in range(count)}
    except Exception as error:  # noqa: BLE001 (a broken card must not cost the other answers)
        return {"cuda": {"why": typed_line(error)}}
    return {name: card.read() | {"programs": card.programs(), "why": card.why} for name, card in known.items()}


def threading() -> str:
    """The library of torch's threads on the CPU, such as OpenMP; empty if unknown."""
    names = (line.partition("ATen parallel backend:")[2] for line in torch.__config__.parallel_info().splitlines())
    return next((name.strip() for name in names if name), "")


def _line(kind: str) -> str:
    try:
        refused = why_not(kind)
        return PRESENT + _name(kind) if refused is None else f"{refused.rule}. {refused.remedy}"
    except Exception as error:  # noqa: BLE001 (a broken driver raises anything)
        return f"torch fails to look at it: {typed_line(error)}"


def _name(kind: str) -> str:
    if kind == "cpu":
        return f"{torch.backends.cpu.get_cpu_capability()} instructions"
    if kind == "mps":
        return "Apple Metal"
    module = torch.get_device_module(kind)
    count = module.device_count()
    return f"{module.get_device_name(0)}, the first of {count}" if count > 1 else str(module.get_device_name(0))


def open_device(name: str) -> Device:
    """The device called `name`, ready to use. UserError, in one line, where there is none."""
    if name == "cpu":
        return Cpu()
    refused = why_not(name)
    if refused is not None:
        raise refused
    return Accelerator(torch.device(name))
