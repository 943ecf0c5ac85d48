"""The devices that this torch can use here, or why not, what else runs on the cards, and how one is opened."""

from __future__ import annotations

from typing import Any

import torch

from bench.measure.device.accelerator import Accelerator
from bench.measure.device.devices import Cpu, Device
from bench.measure.device.diagnosis import why_not
from bench.measure.device.telemetry import Nvml
from bench.spec.errors import typed_line

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
