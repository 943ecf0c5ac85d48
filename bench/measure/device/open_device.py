"""Open a device by its name: cpu, cuda:0, xpu or mps."""

from __future__ import annotations

import torch

from bench.measure.device.accelerator import Accelerator
from bench.measure.device.devices import Cpu, Device
from bench.measure.device.diagnosis import why_not


def open_device(name: str) -> Device:
    """The device called `name`, ready to use. UserError, in one line, where there is none."""
    if name == "cpu":
        return Cpu()
    refused = why_not(name)
    if refused is not None:
        raise refused
    return Accelerator(torch.device(name))
