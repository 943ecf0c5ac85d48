"""What a run takes for granted of an accelerator, asked of it before anything is measured. A few tenths of a second."""

from __future__ import annotations

import math

import torch

from bench.measure.devices import Device
from bench.measure.modules import build_module
from bench.spec.blocks import BlockChoice, Shape, build

APART = 0.1  # of each other, at most, for the two clocks on a long call
LONG_NS = 50e6


def warnings(device: Device) -> list[str]:
    """What does not hold on this device, in words with what to do; empty on a device without a queue."""
    shape = Shape(24, 24, 28, 28, batch=8)
    module = build_module(build(BlockChoice("standard"), shape)).to(device.torch_device).eval()
    found = []
    with torch.inference_mode():
        x = torch.randn(shape.batch, shape.c_in, shape.height, shape.width).to(device.torch_device)

        def once() -> object:
            return module(x)

        if device.submit(once, 1) is None:
            return []
        repeats = max(1, min(1000, math.ceil(LONG_NS / (device.time(once, 3) / 3))))

        def long() -> None:
            for _ in range(repeats):
                module(x)

        device.time(long, 1)
        wall, own = device.time(long, 1), device.own(once, 3)
        if own is None:
            found.append("this device has no events that can be trusted: only the host's clock is reported")
        elif not own.proven:
            found.append("the host could not be proven ahead of the device: its own times may hold the host's")
        elif min(own.ns) * repeats > (1 + APART) * wall:
            found.append("events say that calls take longer than the clock that waits for them: trust neither")
        counts = device.launches(once)
        if None not in (counts.profiler, counts.graph) and counts.profiler != counts.graph:
            found.append(f"the profiler counts {counts.profiler} launches where a graph has {counts.graph} kernels")
    return found
