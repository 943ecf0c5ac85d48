"""What a run takes for granted of an accelerator, asked of it before anything is measured. A few tenths of a second."""

from __future__ import annotations

import math

import torch

from bench.measure.device.devices import Call, Device
from bench.measure.modules import build_module
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.errors import typed_line

APART = 0.1  # of each other, at most, for the two clocks on a long call
LONG_NS = 50e6


def warnings(device: Device) -> list[str]:
    """What does not hold on this device, in words with what to do; empty on a device without a queue.

    A check that fails is a warning itself: nothing that is asked here may cost a run.
    """
    found: list[str] = []
    with torch.inference_mode():
        try:
            once = _call(device)
            if device.submit(once, 1) is None:
                return []
        except Exception as error:  # noqa: BLE001 (a driver that is not well raises what it likes)
            return [_failed("a first convolution", error)]
        for what, check in (("clocks", _clocks), ("launches", _launches)):  # the last one may spoil the device
            try:
                found += check(device, once)
            except Exception as error:  # noqa: BLE001
                found.append(_failed(what, error))
    return found


def _call(device: Device) -> Call:
    shape = Shape(24, 24, 28, 28, batch=8)
    module = build_module(build(BlockChoice("standard"), shape)).to(device.torch_device).eval()
    x = torch.randn(shape.batch, shape.c_in, shape.height, shape.width).to(device.torch_device)
    return lambda: module(x)


def _clocks(device: Device, once: Call) -> list[str]:
    """The two clocks of a long call, one beside the other."""
    repeats = max(1, min(1000, math.ceil(LONG_NS / (device.time(once, 3) / 3))))

    def long() -> None:
        for _ in range(repeats):
            once()

    device.time(long, 1)
    wall, own = device.time(long, 1), device.device_times(once, 3)
    if own is None:
        return ["this device has no events that can be trusted: only the host's clock is reported"]
    if not own.proven:
        return ["the host could not be proven ahead of the device: its own times may hold the host's"]
    if min(own.ns) * repeats > (1 + APART) * wall:
        return ["events say that calls take longer than the clock that waits for them: trust neither"]
    return []


def _launches(device: Device, once: Call) -> list[str]:
    counts = device.launches(once)
    if None not in (counts.profiler, counts.graph) and counts.profiler != counts.graph:
        return [f"the profiler counts {counts.profiler} launches where a graph has {counts.graph} kernels"]
    return []


def _failed(what: str, error: Exception) -> str:
    return f"the self-check of {what} failed ({typed_line(error)}): trust no row before make test-gpu passes"
