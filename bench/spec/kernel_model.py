"""Seconds that a kernel, and a call of many, would take on a named device. A prediction, never a measurement.

A kernel takes its floor, and then the longer of computing and moving (Williams et al. 2009, the roofline) with a rounded
corner where the two are near each other. Computing: tiles of output are dealt out to the device's units in whole waves,
by the tile that is done soonest. Moving: at the cache's rate as far as the kernel's bytes lie in the last-level cache,
else at memory's. What is laid out anew for a convolution moves in passes of its own. What part of the peaks is reached is a
parameter (model_parameters.py; docs/PREDICTION.md). What the host takes stands in host_model.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from bench.spec.host_model import Mode, host_demand, host_seconds
from bench.spec.kernels import CONTRACTIONS, Kernel, fused
from bench.spec.model_parameters import FILE as PARAMETERS
from bench.spec.model_parameters import Parameters, fitted
from bench.spec.predicted_devices import PredictedDevice

__all__ = [
    "PARAMETERS", "CallTime", "Demand", "Mode", "backward_name", "backward_seconds", "call_seconds", "demand", "fitted", "kernel_seconds",
    "laid_out",
]  # fmt: skip

TILES = {
    "gpu": ((256, 128), (128, 128), (128, 64), (64, 64), (128, 32)),
    "cpu": ((28, 16),),
}
"""Rows and columns of the tiles that a product of matrices may be cut into."""
REUSE, FULL_SIDE = {"gpu": 48, "cpu": 0}, 128
"""A tile's rate is side / (side + REUSE), with its sides' harmonic mean, in units of that of a side of FULL_SIDE."""
STRIP = {"gpu": 1024, "cpu": 256}  # outputs of a depthwise convolution that one unit does at a time
ALIGNED = 8  # channels of fp16 that matrix units take together; fewer are filled up
WAVE_S = 2e-6  # of a wave that computes nothing, by which tiles are chosen (the fitted one decides what they cost)
UNROLLED = ((1, 1), (3, 3), (5, 5))  # filters that PyTorch's own depthwise kernel is compiled for
SMALL_BYTES, FEW_IMAGES = 20480 * 4, 16  # of an input, and of a batch, below which ATen may do without oneDNN


@dataclass(frozen=True, slots=True)
class Demand:
    """What a kernel asks of a device, before any parameter.

    `lane`, `arm` and `reorder` name the parameters of computing (none where nothing is multiplied), moving and laying maps
    out anew; `wave_s`: seconds of one wave at the peak; `moved`, `again` and `weights`: bytes at the least, those of maps
    and those of weights that are laid out anew, on a CPU in so many `passes`.
    """

    lane: str
    arm: str
    family: str
    waves: int
    wave_s: float
    moved: float
    again: float = 0.0
    weights: float = 0.0
    passes: int = 0
    reorder: str = ""
    fast: bool = False  # a dense 3 x 3 of stride 1 on plain arithmetic, which Winograd's algorithm can do
    generic: bool = False  # a depthwise filter that no kernel is unrolled for


@dataclass(frozen=True, slots=True)
class CallTime:
    """Seconds of one call among many of the same: the device's own work, the host's, and what a clock on the wall sees."""

    device_s: float
    host_s: float
    wall_s: float

    def on_host(self, slower: float) -> float:
        """What the wall would see beside a host so many times slower."""
        return max(self.wall_s, slower * self.host_s)


@lru_cache(maxsize=65536)
def demand(device: PredictedDevice, kernel: Kernel) -> Demand:
    """What the kernel asks of the device. UserError for a dtype that it has no peak for."""
    kind, family = device.kind, kernel.family
    if not kernel.macs:
        return Demand("", family, family, 0, 0.0, float(kernel.moved))
    again, weights = _anew(device, kernel)
    passes = (2 * bool(again) + bool(weights)) * (kind == "cpu")
    reorder = f"{kind}.reorder.pointwise" if family == "pointwise" and kind == "gpu" else f"{kind}.reorder"
    if family not in CONTRACTIONS:
        outputs = kernel.rows * kernel.groups * kernel.columns
        rate = device.rate("fp64" if kernel.dtype == "fp64" else "fp32") / device.units
        strip_s = 2 * kernel.depth * min(STRIP[kind], outputs) / rate
        waves = math.ceil(math.ceil(outputs / STRIP[kind]) / device.units)
        generic = kind == "gpu" and kernel.taps not in UNROLLED
        return Demand(
            "depthwise",
            "depthwise",
            family,
            waves,
            strip_s,
            kernel.moved,
            again,
            weights,
            passes,
            reorder,
            generic=generic,
        )
    tensor = device.tensor(kernel.dtype)
    waves, wave_s = _tiled(device, kernel, tensor)
    fast = device.winograd and not tensor and family == "dense" and kernel.taps == (3, 3) and kernel.stride == 1
    lane = f"{family}.{'tensor' if tensor else 'plain'}"
    return Demand(lane, "contraction", family, waves, wave_s, kernel.moved, again, weights, passes, reorder, fast=fast)


def _anew(device: PredictedDevice, kernel: Kernel) -> tuple[float, float]:
    """Bytes of maps, and of weights, that are laid out anew for a convolution.

    oneDNN computes in a layout of its own, for which eager and compiled PyTorch both reorder the weights in each call
    (unless they are frozen), and the maps where they are contiguous.
    """
    if kernel.family == "linear" or kernel.packed:
        return 0.0, 0.0
    maps = 0.0 if kernel.channels_last else float(kernel.taken + kernel.put)
    if device.kind == "cpu":
        return (0.0, 0.0) if _native(device, kernel) else (maps, float(kernel.weights))
    return (maps if kernel.family != "depthwise" and device.tensor(kernel.dtype) else 0.0), 0.0


def _native(device: PredictedDevice, kernel: Kernel) -> bool:
    """Whether ATen convolves on a CPU without oneDNN: use_mkldnn of its aten/src/ATen/native/Convolution.cpp."""
    alone = kernel.taps == (1, 1) and kernel.stride == 1 and kernel.images < FEW_IMAGES and device.units == 1
    small = kernel.groups == 1 and min(kernel.taps) <= 3 and kernel.images == 1 and kernel.taken <= SMALL_BYTES
    return kernel.dtype.startswith("fp32") and (alone or small)


def laid_out(device: PredictedDevice, kernel: Kernel) -> Kernel:
    """The kernel as a compiler lays it out: on a CPU in channels_last (decide_layout_opt of torch/_inductor/graph.py)."""
    return replace(kernel, channels_last=True) if device.kind == "cpu" else kernel


def _tiled(device: PredictedDevice, kernel: Kernel, tensor: bool) -> tuple[int, float]:
    """Waves, and seconds of one at the peak, of the tiles that are done soonest."""
    kind, units, depth = device.kind, device.units, kernel.depth
    if tensor:
        area = math.prod(kernel.taps)
        depth = area * ALIGNED * math.ceil(depth / area / ALIGNED)
    rate = device.rate(kernel.dtype) / units
    best = (math.inf, 0, 0.0)
    for tall, wide in TILES[kind]:
        rows = min(tall, kernel.rows) if kind == "cpu" else tall
        tiles = math.ceil(kernel.rows / tall) * math.ceil(kernel.columns / wide) * kernel.groups
        side = 2 * tall * wide / (tall + wide)
        reused = (1 + REUSE[kind] / FULL_SIDE) / (1 + REUSE[kind] / side)
        wave_s = 2 * rows * wide * depth / (rate * reused)
        waves = math.ceil(tiles / units)
        best = min(best, (waves * (wave_s + WAVE_S), waves, wave_s))
    return best[1:]


def kernel_seconds(
    device: PredictedDevice, kernel: Kernel, parameters: Parameters | None = None, in_graph: bool = False
) -> float:
    """Seconds on the device itself, without the host; `in_graph`: replayed, not launched alone. UserError for a dtype that it has no peak for."""
    p = fitted() if parameters is None else parameters
    asked, kind = demand(device, kernel), device.kind
    computing = 0.0
    if asked.lane:
        share = p[f"{kind}.compute.{asked.lane}"]
        share *= p[f"{kind}.winograd"] if asked.fast else 1.0
        share *= p[f"{kind}.generic"] if asked.generic else 1.0
        share *= 1.0 if device.measured else p[f"{kind}.paper"]
        computing = asked.waves * (asked.wave_s / share + (p[f"{kind}.wave_s"] if asked.arm == "contraction" else 0.0))
    moving = _moving_s(device, asked.moved, asked.arm, p)
    anew = asked.again * p[asked.reorder] + asked.weights * p[f"{kind}.reorder.weights"] if asked.reorder else 0.0
    longer, corner = max(computing, moving), p[f"{kind}.corner"]
    work = longer * (1 + (min(computing, moving) / longer) ** corner) ** (1 / corner) if longer else 0.0
    floor = p[f"{kind}.floor"] * (p[f"{kind}.graph"] if in_graph else 1.0)
    idle = device.floor_s * floor + p[f"{kind}.sync_s"] * math.log2(device.units)
    setup = p[f"{kind}.setup_s"] if asked.arm == "contraction" else 0.0
    return (1 + asked.passes) * idle + setup + work + _moving_s(device, anew, "elementwise", p)


def _moving_s(device: PredictedDevice, moved: float, arm: str, p: Parameters) -> float:
    """Seconds to move so many bytes, from the cache as far as they lie in it."""
    if not moved:
        return 0.0
    paper = 1.0 if device.measured else p[f"{device.kind}.paper.memory"]
    found = min(1.0, device.cache_bytes * p[f"{device.kind}.cache.share"] / moved) ** 2
    cache_s = moved / (device.cache_bytes_per_s * p[f"{device.kind}.cache.rate"])
    memory_s = moved / (device.memory_bytes_per_s * paper * p[f"{device.kind}.move.{arm}"])
    return max(cache_s, found * cache_s + (1 - found) * memory_s)


def backward_seconds(
    device: PredictedDevice, kernel: Kernel, parameters: Parameters | None = None, in_graph: bool = False
) -> float:
    """Seconds of a kernel's backward: gradients of its input and its weights."""
    p = fitted() if parameters is None else parameters
    return kernel_seconds(device, kernel, p, in_graph) * p[backward_name(device, kernel)]


def backward_name(device: PredictedDevice, kernel: Kernel) -> str:
    """The parameter that says how many times longer than a kernel its backward takes."""
    half = kernel.dtype in ("fp16", "bf16")
    family = "moving" if not kernel.macs else "contraction" if kernel.family in CONTRACTIONS else "depthwise"
    return f"{device.kind}.backward.{family}" + (f".{'half' if half else 'plain'}" if family == "depthwise" else "")


def call_seconds(
    device: PredictedDevice,
    kernels: Sequence[Kernel],
    mode: Mode = "eager",
    parameters: Parameters | None = None,
    training: bool = False,
) -> CallTime:
    """Seconds of one of many calls in a row, that one synchronisation ends.

    The host and a GPU work at the same time, so the wall sees the longer; a CPU is its own host. A compiled call has what
    only moves its map fused. Training is the forward and the backward pass.
    """
    p = fitted() if parameters is None else parameters
    run = [laid_out(device, kernel) for kernel in fused(kernels)] if mode == "compile" else list(kernels)
    device_s = sum(kernel_seconds(device, kernel, p, mode == "graph") for kernel in run)
    if training:
        device_s += sum(backward_seconds(device, kernel, p, mode == "graph") for kernel in run)
    host_s: float = host_seconds(
        device.kind, device.dispatch_s, device.launch_s, host_demand(mode, [(kernel, 1) for kernel in run], training), p
    )
    return CallTime(device_s, host_s, host_s + device_s if device.kind == "cpu" else max(host_s, device_s))
