"""From a device's name to the device, ready to use."""

from __future__ import annotations

import torch

from bench.measure.device.devices import Cpu, Device
from bench.measure.device.diagnosis import why_not
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError


def open_device(name: str, threads: int = 1) -> Device:
    """The device called `name`, ready to use, a predicted processor with so many threads.

    UserError, in one line, where there is none.
    """
    if name == "cpu":
        return Cpu()
    if name == "sim":
        from bench.measure.simulated import open_simulated

        return open_simulated()
    if is_predicted(name):
        from bench.measure.simulated import open_predicted

        return open_predicted(name, threads)
    refused: UserError | None = why_not(name)
    if refused is not None:
        raise refused
    from bench.measure.device.accelerator import Accelerator

    return Accelerator(torch.device(name))
