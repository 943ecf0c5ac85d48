"""Seconds that a kernel, and a call of many, would take on a named device. A prediction, never a measurement.

A kernel takes its floor, and then the longer of computing and moving (Williams et al. 2009, the roofline) with a rounded
corner where the two are near each other. Computing: tiles of output are dealt out to the device's units in whole waves,
by the tile that is done soonest. Moving: at the cache's rate as far as the kernel's bytes lie in the last-level cache,
else at memory's. What is laid out anew for a convolution moves in passes of its own. What part of the peaks is reached is a
parameter (model_parameters.py; docs/PREDICTION_FIT.md). What the host takes stands in host_model.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from bench.spec.blocks.kernels import CONTRACTIONS, Kernel, fused
from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.model.host_model import Mode, host_demand, host_seconds
from bench.spec.model.model_parameters import FILE as PARAMETERS
from bench.spec.model.model_parameters import Parameters, fitted

__all__ = [
    "PARAMETERS", "CallTime", "Demand", "Mode", "Takes", "backward_seconds", "call_seconds", "demand", "fitted", "forward_seconds",
    "kernel_seconds", "laid_out", "takes",
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
NOTHING_S = 1e-300  # instead of 0 s, as a divisor
SMALL_BYTES, FEW_IMAGES = 20480 * 4, 16  # of an input, and of a batch, below which ATen may do without oneDNN


class Demand(NamedTuple):
    """What a kernel asks of a device, and that device's figures, before any parameter. Numbers, or columns of them.

    `wave_s`: seconds of one wave at the peak; `moved`, `again` and `weights`: bytes at the least, those of maps and those of
    weights that are laid out anew, on a CPU in so many `passes` beside the kernel's own. `contraction`: 1 for a product of
    matrices. Of the device bytes per second of `memory` and of its `cache` of so many bytes, seconds of its `floor`, and how
    often its units `doubled` from one.
    """

    waves: Any
    wave_s: Any
    moved: Any
    again: Any
    weights: Any
    passes: Any
    contraction: Any
    memory: Any
    cache: Any
    cache_rate: Any
    floor_s: Any
    doubled: Any


class Takes(NamedTuple):
    """Which parameters a kernel takes that not all take: their names, empty for none; or their values, 1 for none, or columns."""

    compute: Any
    paper: Any
    winograd: Any  # a dense 3 x 3 of stride 1 on plain arithmetic
    generic: Any  # a depthwise filter that no kernel is unrolled for
    move: Any
    paper_memory: Any
    reorder: Any
    graph: Any
    backward: Any


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
    waves, wave_s, again, weights = 0, 0.0, 0.0, 0.0
    if kernel.macs:
        waves, wave_s = (_tiled if kernel.family in CONTRACTIONS else _strips)(device, kernel)
        again, weights = _anew(device, kernel)
    passes = (2 * bool(again) + bool(weights)) * (device.kind == "cpu")
    return Demand(
        waves, wave_s, float(kernel.moved), again, weights, passes, bool(kernel.macs) and kernel.family in CONTRACTIONS,
        device.memory_bytes_per_s, device.cache_bytes, device.cache_bytes_per_s, device.floor_s, math.log2(device.units),
    )  # fmt: skip


@lru_cache(maxsize=65536)
def takes(device: PredictedDevice, kernel: Kernel, in_graph: bool = False) -> Takes:
    """The names of the parameters that the kernel takes on the device; `in_graph`: replayed, not launched alone."""
    kind, family, tensor = device.kind, kernel.family, device.tensor(kernel.dtype)
    if not kernel.macs:
        lane, arm, backward = "", str(family), "moving"
    elif family in CONTRACTIONS:
        lane, arm, backward = f"compute.{family}.{'tensor' if tensor else 'plain'}", "contraction", "contraction"
    else:
        half = "half" if kernel.dtype in ("fp16", "bf16") else "plain"
        lane, arm, backward = "compute.depthwise", "depthwise", f"depthwise.{half}"
    fast = device.winograd and not tensor and family == "dense" and kernel.taps == (3, 3) and kernel.stride == 1
    named = Takes(
        compute=lane,
        paper=not device.measured and "paper",
        winograd=fast and "winograd",
        generic=kind == "gpu" and arm == "depthwise" and kernel.taps not in UNROLLED and "generic",
        move=f"move.{arm}",
        paper_memory=not device.measured and "paper.memory",
        reorder="reorder.pointwise" if kind == "gpu" and family == "pointwise" else "reorder",
        graph=in_graph and "graph",
        backward=f"backward.{backward}",
    )
    return Takes(*(f"{kind}.{name}" if name else "" for name in named))


def _strips(device: PredictedDevice, kernel: Kernel) -> tuple[int, float]:
    """Waves, and seconds of one at the peak, of a depthwise convolution's strips of outputs."""
    outputs, strip = kernel.rows * kernel.groups * kernel.columns, STRIP[device.kind]
    rate = device.rate("fp64" if kernel.dtype == "fp64" else "fp32") / device.units
    return math.ceil(math.ceil(outputs / strip) / device.units), 2 * kernel.depth * min(strip, outputs) / rate


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


def _tiled(device: PredictedDevice, kernel: Kernel) -> tuple[int, float]:
    """Waves, and seconds of one at the peak, of the tiles that are done soonest."""
    kind, units, depth = device.kind, device.units, kernel.depth
    if device.tensor(kernel.dtype):
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
    taken = Takes(*(p[name] if name else 1.0 for name in takes(device, kernel, in_graph)))
    return float(forward_seconds(device.kind, demand(device, kernel), taken, p))


def forward_seconds(
    kind: str,
    asked: Demand,
    taken: Takes,
    p: Parameters,
    larger: Callable[..., Any] = max,
    smaller: Callable[..., Any] = min,
) -> Any:
    """Seconds of a kernel on a kind of device, or of columns of kernels, by the values of what they take.

    `larger` and `smaller`: of two, those of numpy for columns.
    """
    memory, cache = asked.memory * taken.paper_memory, asked.cache * p[f"{kind}.cache.share"]
    cache_rate = asked.cache_rate * p[f"{kind}.cache.rate"]

    def moving_s(moved: Any, share: Any) -> Any:
        """From the cache as far as they lie in it, the rest from memory; no time for no bytes."""
        found = smaller(1.0, cache / larger(moved, 1.0)) ** 2
        cache_s, memory_s = moved / cache_rate, moved / (memory * share)
        return larger(cache_s, found * cache_s + (1 - found) * memory_s)

    share = taken.compute * taken.paper * taken.winograd * taken.generic
    computing = asked.waves * (asked.wave_s / share + asked.contraction * p[f"{kind}.wave_s"])
    moving = moving_s(asked.moved, taken.move)
    anew = asked.again * taken.reorder + asked.weights * p[f"{kind}.reorder.weights"]
    longer, corner = larger(computing, moving), p[f"{kind}.corner"]
    near = smaller(computing, moving) / larger(longer, NOTHING_S)
    idle = asked.floor_s * (p[f"{kind}.floor"] * taken.graph) + asked.doubled * p[f"{kind}.sync_s"]
    alone = (1 + asked.passes) * idle + asked.contraction * p[f"{kind}.setup_s"]
    return alone + longer * (1 + near**corner) ** (1 / corner) + moving_s(anew, p[f"{kind}.move.elementwise"])


def backward_seconds(
    device: PredictedDevice, kernel: Kernel, parameters: Parameters | None = None, in_graph: bool = False
) -> float:
    """Seconds of a kernel's backward: gradients of its input and its weights."""
    p = fitted() if parameters is None else parameters
    return kernel_seconds(device, kernel, p, in_graph) * p[takes(device, kernel, in_graph).backward]


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
