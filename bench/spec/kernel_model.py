"""Seconds that a kernel, and a call of many, would take on a named device. A prediction, never a measurement.

A kernel takes its floor, and then the longer of computing and moving (Williams et al. 2009, the roofline) with a rounded
corner where the two are near each other. Computing: its tiles of output are dealt out to the device's units in whole
waves. Moving: at the cache's rate as far as the kernel's bytes lie in the last-level cache, else at memory's. What part
of the peaks is reached is a parameter by family and arithmetic (model_parameters.json; docs/PREDICTION.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from bench.spec.kernels import CONTRACTIONS, Kernel, fused
from bench.spec.predicted_devices import PredictedDevice

Mode = Literal["eager", "graph", "compile"]
Parameters = Mapping[str, float]
"""By kind of device and name, as `gpu.compute.dense.plain`; PRIOR lists them all."""
PARAMETERS = "model_parameters.json"
SPLIT_DEPTH = 256  # products that a tile keeps to itself when the depth is shared out for want of tiles
TILES = {
    "gpu": (128, (32, 64, 128)),
    "cpu": (32, (16,)),
}  # rows, and columns of which the least that holds all is taken
STRIP = {"gpu": 1024, "cpu": 256}  # outputs of a depthwise convolution that one unit does at a time

PRIOR: dict[str, tuple[float, float]] = {
    "gpu.compute.dense.plain": (0.6, 0.5),
    "gpu.compute.dense.tensor": (0.5, 0.5),
    "gpu.compute.pointwise.plain": (0.6, 0.5),
    "gpu.compute.pointwise.tensor": (0.5, 0.5),
    "gpu.compute.grouped.plain": (0.4, 0.5),
    "gpu.compute.grouped.tensor": (0.3, 0.7),
    "gpu.compute.linear.plain": (0.6, 0.3),
    "gpu.compute.linear.tensor": (0.5, 0.3),
    "gpu.compute.depthwise": (0.2, 0.7),
    "gpu.winograd": (1.5, 0.4),
    "gpu.move.convolution": (0.8, 0.3),
    "gpu.move.depthwise": (0.6, 0.5),
    "gpu.move.elementwise": (0.85, 0.2),
    "gpu.cache.rate": (0.6, 0.4),
    "gpu.cache.share": (0.5, 0.5),
    "gpu.reorder": (1.0, 0.5),
    "gpu.wave_s": (1.5e-6, 0.7),
    "gpu.floor": (1.0, 0.5),
    "gpu.corner": (2.0, 0.5),
    "gpu.dispatch": (1.0, 0.5),
    "cpu.compute.dense.plain": (0.6, 0.4),
    "cpu.compute.pointwise.plain": (0.5, 0.4),
    "cpu.compute.grouped.plain": (0.3, 0.5),
    "cpu.compute.linear.plain": (0.5, 0.3),
    "cpu.compute.depthwise": (0.15, 0.5),
    "cpu.winograd": (1.0, 0.2),
    "cpu.move.convolution": (0.7, 0.4),
    "cpu.move.depthwise": (0.7, 0.4),
    "cpu.move.elementwise": (0.7, 0.4),
    "cpu.cache.rate": (0.5, 0.4),
    "cpu.cache.share": (0.7, 0.4),
    "cpu.reorder": (1.0, 0.5),
    "cpu.wave_s": (0.1e-6, 0.7),
    "cpu.floor": (1.0, 0.7),
    "cpu.corner": (3.0, 0.5),
    "cpu.dispatch": (1.0, 0.5),
}
"""Each parameter's value before any fit, and how far off it may be: the standard deviation of its logarithm.

compute: share of the peak that full waves of whole tiles reach; winograd: by how much a dense 3 x 3 of stride 1 is
faster on plain arithmetic; move, cache.rate: share of the bandwidth; cache.share: of the cache that a kernel finds its
bytes in; reorder: times that a dense convolution's maps are moved once more if they are contiguous and its arithmetic
wants channels last; wave_s: seconds of a wave that computes nothing; floor, dispatch: times the device's own figure.
"""


@dataclass(frozen=True, slots=True)
class CallTime:
    """Seconds of one call among many of the same: the device's own work, the host's, and what a clock on the wall sees."""

    device_s: float
    host_s: float
    wall_s: float


@cache
def fitted() -> Parameters:
    """The parameters that the fit has left, and the prior of those that it has not touched."""
    file = files("bench.spec") / PARAMETERS
    told = json.loads(file.read_text(encoding="utf-8"))["parameters"] if file.is_file() else {}
    return {name: told.get(name, value) for name, (value, _) in PRIOR.items()}


def kernel_seconds(device: PredictedDevice, kernel: Kernel, parameters: Parameters | None = None) -> float:
    """Seconds on the device itself, without the host. UserError for a dtype that it has no peak for."""
    p = fitted() if parameters is None else parameters
    corner = p[f"{device.kind}.corner"]
    computing, moving = _computing(device, kernel, p), _moving(device, kernel, p)
    longer = max(computing, moving)
    work = longer * (1 + (min(computing, moving) / longer) ** corner) ** (1 / corner) if longer else 0.0
    return device.floor_s * p[f"{device.kind}.floor"] + work


def call_seconds(
    device: PredictedDevice, kernels: Sequence[Kernel], mode: Mode = "eager", parameters: Parameters | None = None
) -> CallTime:
    """Seconds of one of many calls in a row, that one synchronisation ends.

    Eager: the host dispatches each operator and launches it; it and a GPU work at the same time, so the wall sees the
    longer. A graph is one launch. A compiled call has what only moves its map fused into the kernel before, and is
    launched without dispatch. A CPU is its own host.
    """
    p = fitted() if parameters is None else parameters
    run = fused(kernels) if mode == "compile" else kernels
    device_s = sum(kernel_seconds(device, kernel, p) for kernel in run)
    dispatch_s = device.dispatch_s * p[f"{device.kind}.dispatch"]
    calls = sum(kernel.calls for kernel in run)
    if device.kind == "cpu":
        host_s = dispatch_s * (calls if mode == "eager" else 1)
        return CallTime(device_s, host_s, host_s + device_s)
    host_s = {
        "eager": calls * (dispatch_s + device.launch_s),
        "graph": dispatch_s + device.launch_s,
        "compile": dispatch_s + calls * device.launch_s,
    }[mode]
    return CallTime(device_s, host_s, max(host_s, device_s))


def _computing(device: PredictedDevice, kernel: Kernel, p: Parameters) -> float:
    if not kernel.macs:
        return 0.0
    kind, units = device.kind, device.units
    if kernel.family not in CONTRACTIONS:
        strips = math.ceil(kernel.rows * kernel.groups / STRIP[kind])
        rate = device.rate("fp64" if kernel.dtype == "fp64" else "fp32") * p[f"{kind}.compute.depthwise"] / units
        strip_s = 2 * kernel.depth * kernel.columns * min(STRIP[kind], kernel.rows * kernel.groups) / rate
        return math.ceil(strips / units) * strip_s
    tensor = device.tensor(kernel.dtype)
    rate = device.rate(kernel.dtype) * p[f"{kind}.compute.{kernel.family}.{'tensor' if tensor else 'plain'}"] / units
    if not tensor and kernel.family == "dense" and kernel.taps == (3, 3) and kernel.stride == 1:
        rate *= p[f"{kind}.winograd"]
    tall, widths = TILES[kind]
    wide = next((w for w in widths if w >= kernel.columns), widths[-1])
    across = math.ceil(kernel.columns / wide) * kernel.groups
    tiles = math.ceil(kernel.rows / tall) * across
    shared = 1
    if tiles < units:
        shared = max(1, min(units // tiles, kernel.depth // SPLIT_DEPTH))
    tile_s = 2 * tall * wide * kernel.depth / shared / rate
    return math.ceil(tiles * shared / units) * (tile_s + p[f"{kind}.wave_s"])


def _moving(device: PredictedDevice, kernel: Kernel, p: Parameters) -> float:
    kind = device.kind
    word = kernel.family if kernel.family == "depthwise" else "convolution" if kernel.macs else "elementwise"
    moved = float(kernel.moved)
    wants_channels_last = kind == "cpu" or device.tensor(kernel.dtype)
    if (
        kernel.macs
        and kernel.family in CONTRACTIONS
        and kernel.family != "linear"
        and wants_channels_last
        and not kernel.channels_last
    ):
        moved += p[f"{kind}.reorder"] * (kernel.taken + kernel.put)
    found = min(1.0, device.cache_bytes * p[f"{kind}.cache.share"] / moved) if moved else 0.0
    in_cache_s = moved / (device.cache_bytes_per_s * p[f"{kind}.cache.rate"])
    in_memory_s = moved / (device.memory_bytes_per_s * p[f"{kind}.move.{word}"])
    return max(in_cache_s, found**2 * in_cache_s + (1 - found**2) * in_memory_s)
