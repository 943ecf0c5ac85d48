"""Which devices this torch can use here, or why not, and what else runs on the cards: told to whoever probes."""

from __future__ import annotations

from typing import Any

import torch

from bench.measure.device.diagnosis import why_not
from bench.measure.device.telemetry import Nvml
from bench.spec.errors import typed_line

KINDS = ("cpu", "cuda", "xpu", "mps")
PRESENT = "present: "


def devices() -> dict[str, str]:
    """Of each kind, `present: ` and its name, or why it can't be used and what to do, in one line."""
    return {kind: _told(kind) for kind in KINDS}


def cards() -> dict[str, dict[str, Any]]:
    """NVML's readings of each CUDA card by its name here, and why there are none; nothing where CUDA can't be used.

    Ask before the card is used, or its `programs` hold this one where its process has another number outside.
    """
    try:
        count = torch.cuda.device_count() if torch.version.cuda and why_not("cuda") is None else 0
        known = {f"cuda:{i}": Nvml(torch.cuda.get_device_properties(i)) for i in range(count)}
    except Exception as error:  # noqa: BLE001 (a card that is not well must not cost the other answers)
        return {"cuda": {"why": typed_line(error)}}
    return {name: card.read() | {"programs": card.programs(), "why": card.why} for name, card in known.items()}


def threading() -> str:
    """What runs torch's threads on the CPU, such as OpenMP; empty where it does not tell."""
    told = (line.partition("ATen parallel backend:")[2] for line in torch.__config__.parallel_info().splitlines())
    return next((t.strip() for t in told if t), "")


def _told(kind: str) -> str:
    try:
        refused = why_not(kind)
        return PRESENT + _name(kind) if refused is None else f"{refused.rule}. {refused.remedy}"
    except Exception as error:  # noqa: BLE001 (a driver that is not well raises what it likes)
        return f"torch fails to look at it: {typed_line(error)}"


def _name(kind: str) -> str:
    """The first device's name, and how many there are."""
    if kind == "cpu":
        return f"{torch.backends.cpu.get_cpu_capability()} instructions"
    if kind == "mps":
        return "Apple Metal"
    module = torch.get_device_module(kind)
    count = module.device_count()
    return f"{module.get_device_name(0)}, the first of {count}" if count > 1 else str(module.get_device_name(0))
