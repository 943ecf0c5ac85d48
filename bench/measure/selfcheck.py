"""Self-checks of an accelerator before a run, in some tenths of a second: its clocks agree, and its launch counts."""

from __future__ import annotations

import math

import torch

from bench.measure.device.devices import Call, Device
from bench.measure.modules import build_module
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.errors import typed_line

CLOCKS_APART = 0.1  # largest difference of the two clocks on a long call
LONG_NS = 50e6


def warnings(device: Device) -> list[str]:
    """The failed checks in words, with what to do; empty on a device without a queue.

    A check that raises becomes a warning too, so that none can end a run.
    """
    lines: list[str] = []
    with torch.inference_mode():
        try:
            once = _call(device)
            if device.submit(once, 1) is None:
                return []
        except Exception as error:  # noqa: BLE001 (a broken driver raises anything)
            return [_failed("a first convolution", error)]
        for what, check in (("clocks", _clocks), ("launches", _launches)):  # the last one may spoil the device
            try:
                lines += check(device, once)
            except Exception as error:  # noqa: BLE001
                lines.append(_failed(what, error))
    return lines


def _call(device: Device) -> Call:
    shape = Shape(24, 24, 28, 28, batch=8)
    module = build_module(build(BlockChoice("standard"), shape)).to(device.torch_device).eval()
    x = torch.randn(shape.batch, shape.c_in, shape.height, shape.width).to(device.torch_device)
    return lambda: module(x)


def _clocks(device: Device, once: Call) -> list[str]:
    repeats = max(1, min(1000, math.ceil(LONG_NS / (device.time(once, 3) / 3))))

    def long() -> None:
        for _ in range(repeats):
            once()

    device.time(long, 1)
    wall, device_times = device.time(long, 1), device.device_times(once, 3)
    if device_times is None:
        return ["this device has no reliable events: only the host's clock is reported"]
    if not device_times.proven:
        return ["the host could not be proven ahead of the device: device times may include the host's"]
    if min(device_times.ns) * repeats > (1 + CLOCKS_APART) * wall:
        return ["by its events a call takes longer than by the host's clock: trust neither"]
    return []


def _launches(device: Device, once: Call) -> list[str]:
    counts = device.launches(once)
    if None not in (counts.profiler, counts.graph) and counts.profiler != counts.graph:
        return [f"the profiler counts {counts.profiler} launches where a graph has {counts.graph} kernels"]
    return []


def _failed(what: str, error: Exception) -> str:
    return f"the self-check of {what} failed ({typed_line(error)}): trust no row until make test-gpu passes"
