"""Predicted seconds of a kernel, and of a call of many kernels, on a named device; never a measurement.

A kernel takes its floor plus the longer of computing and moving (Williams et al. 2009, the roofline), with a rounded
corner where the two are close. Computing: the tiles of the output are distributed over the device's units in whole
waves; the model chooses the fastest tile size. Moving: at the cache's rate for bytes that fit the last-level cache,
else at memory's. Data that are laid out anew for a convolution move in separate passes. The reached shares of the peaks
are parameters (model_parameters.py; docs/PREDICTION_FIT.md). The host dispatches and launches operators, runs compiled
code and records for autograd; its parameters are in units of the device's dispatch_s, so that a slow host is slow in
all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from bench.spec.blocks.kernels import CONTRACTIONS, Kernel, fused
from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.model.model_parameters import Parameters, fitted

Mode = Literal["eager", "graph", "compile"]
TILES = {"gpu": ((256, 128), (128, 128), (128, 64), (64, 64), (128, 32)), "cpu": ((28, 16),)}
"""Rows and columns of the tiles of a product of matrices."""
REUSE, FULL_SIDE = {"gpu": 48, "cpu": 0}, 128
"""A tile's rate is side / (side + REUSE), side being the harmonic mean of its sides, relative to that of FULL_SIDE."""
STRIP = {"gpu": 1024, "cpu": 256}  # outputs of a depthwise convolution that one unit computes at a time
ALIGNED = 8  # channels of fp16 that matrix units process together; fewer are padded
WAVE_S = 2e-6  # of an empty wave, for the choice of a tile size (its cost has the fitted one)
HALF = ("fp16", "bf16")  # in which cuDNN computes most depthwise convolutions; in others PyTorch's own kernel does
ISSUED = 128  # instructions that a GPU's unit starts in a clock, which bound that kernel (64 on a P100: not modelled)
INDEXED = 12  # taps that its time to find an output's place is worth (RTX 2080 Ti: arXiv:2410.08049, table 1)
NOTHING_S = 1e-300  # instead of 0 s, as a divisor
SMALL_BYTES, FEW_IMAGES = 20480 * 4, 16  # of an input and of a batch, below which ATen may not use oneDNN


class Demand(NamedTuple):
    """A kernel's work and the device's figures, before any parameter. Numbers, or columns of them.

    `wave_s`: seconds of one wave at the peak. `moved`: least bytes; `again` and `weights`: bytes of maps and of weights
    that are laid out anew, on a CPU in `passes` besides the kernel. `contraction`: 1 for a product of matrices. Of the
    device: `memory` and `cache_rate` in bytes/s, `cache` in bytes, `floor_s`, and `doubled`: log2 of its units.
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
    """The parameters that depend on the kernel: names, empty for none; or values, 1 for none; or columns of them."""

    compute: Any
    paper: Any
    winograd: Any  # a dense 3 x 3 of stride 1 on plain arithmetic
    move: Any
    paper_memory: Any
    reorder: Any
    graph: Any
    backward: Any


@dataclass(frozen=True, slots=True)
class CallTime:
    """Seconds of one of many equal calls: of the device, of the host, and by the wall clock."""

    device_s: float
    host_s: float
    wall_s: float

    def on_host(self, slower: float) -> float:
        """Wall time if the host were `slower` times slower."""
        return max(self.wall_s, slower * self.host_s)


@lru_cache(maxsize=65536)
def demand(device: PredictedDevice, kernel: Kernel) -> Demand:
    """The kernel's work on the device. UserError for a dtype without a peak."""
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
    """The names of the parameters of the kernel on the device; `in_graph`: replayed, not launched alone."""
    kind, family, tensor = device.kind, kernel.family, device.tensor(kernel.dtype)
    if not kernel.macs:
        lane, arm, backward = "", str(family), "moving"
    elif family in CONTRACTIONS:
        lane, arm, backward = f"compute.{family}.{'tensor' if tensor else 'plain'}", "contraction", "contraction"
    else:
        arm, half = "depthwise", "half" if kernel.dtype in HALF else "plain"
        lane, backward = f"compute.depthwise.{half if kind == 'gpu' else 'plain'}", f"depthwise.{half}"
    fast = device.winograd and not tensor and family == "dense" and kernel.taps == (3, 3) and kernel.stride == 1
    named = Takes(
        compute=lane,
        paper=not device.measured and "paper",
        winograd=fast and "winograd",
        move=f"move.{arm}",
        paper_memory=not device.measured and "paper.memory",
        reorder="reorder.pointwise" if kind == "gpu" and family == "pointwise" else "reorder",
        graph=in_graph and "graph",
        backward=f"backward.{backward}",
    )
    return Takes(*(f"{kind}.{name}" if name else "" for name in named))


def _strips(device: PredictedDevice, kernel: Kernel) -> tuple[int, float]:
    """Waves, and seconds of one at the peak, for the strips of a depthwise convolution's output."""
    outputs, strip = kernel.rows * kernel.groups * kernel.columns, STRIP[device.kind]
    rate, taps = device.rate("fp64" if kernel.dtype == "fp64" else "fp32") / device.units, kernel.depth
    if device.kind == "gpu" and kernel.dtype not in HALF:
        rate, taps = rate if kernel.dtype == "fp64" else 2 * ISSUED * device.clock_hz, taps + INDEXED
    return math.ceil(math.ceil(outputs / strip) / device.units), 2 * taps * min(strip, outputs) / rate


def _anew(device: PredictedDevice, kernel: Kernel) -> tuple[float, float]:
    """Bytes of maps, and of weights, that are laid out anew for a convolution.

    oneDNN has its own layout, into which eager and compiled PyTorch reorder the weights in each call (unless they are
    frozen), and the maps if they are contiguous.
    """
    if kernel.family == "linear" or kernel.packed:
        return 0.0, 0.0
    maps = 0.0 if kernel.channels_last else float(kernel.bytes_in + kernel.bytes_out)
    if device.kind == "cpu":
        return (0.0, 0.0) if _native(device, kernel) else (maps, float(kernel.weights))
    return (maps if kernel.family != "depthwise" and device.tensor(kernel.dtype) else 0.0), 0.0


def _native(device: PredictedDevice, kernel: Kernel) -> bool:
    """Whether ATen convolves on a CPU without oneDNN: use_mkldnn of its aten/src/ATen/native/Convolution.cpp."""
    alone = kernel.taps == (1, 1) and kernel.stride == 1 and kernel.images < FEW_IMAGES and device.units == 1
    small = kernel.groups == 1 and min(kernel.taps) <= 3 and kernel.images == 1 and kernel.bytes_in <= SMALL_BYTES
    return kernel.dtype.startswith("fp32") and (alone or small)


def laid_out(device: PredictedDevice, kernel: Kernel) -> Kernel:
    """The kernel in a compiler's layout: channels_last on a CPU (decide_layout_opt of torch/_inductor/graph.py)."""
    return replace(kernel, channels_last=True) if device.kind == "cpu" else kernel


def _tiled(device: PredictedDevice, kernel: Kernel) -> tuple[int, float]:
    """Waves, and seconds of one at the peak, for the fastest size of tiles."""
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
    """Seconds on the device; `in_graph`: replayed, not launched alone. UserError for a dtype without a peak."""
    p = fitted() if parameters is None else parameters
    values = Takes(*(p[name] if name else 1.0 for name in takes(device, kernel, in_graph)))
    return float(forward_seconds(device.kind, demand(device, kernel), values, p))


def forward_seconds(
    kind: str,
    work: Demand,
    values: Takes,
    p: Parameters,
    larger: Callable[..., Any] = max,
    smaller: Callable[..., Any] = min,
) -> Any:
    """Seconds of a kernel on a kind of device, from its parameters' values; or of columns of kernels.

    `larger` and `smaller` give the larger and smaller of two; for columns they are numpy's.
    """
    memory, cache = work.memory * values.paper_memory, work.cache * p[f"{kind}.cache.share"]
    cache_rate = work.cache_rate * p[f"{kind}.cache.rate"]

    def moving_s(moved: Any, share: Any) -> Any:
        """The part that the cache holds at its rate, the rest at memory's; no time for no bytes."""
        cached = smaller(1.0, cache / larger(moved, 1.0)) ** 2
        cache_s, memory_s = moved / cache_rate, moved / (memory * share)
        return larger(cache_s, cached * cache_s + (1 - cached) * memory_s)

    share = values.compute * values.paper * values.winograd
    computing = work.waves * (work.wave_s / share + work.contraction * p[f"{kind}.wave_s"])
    moving = moving_s(work.moved, values.move)
    anew = work.again * values.reorder + work.weights * p[f"{kind}.reorder.weights"]
    longer, corner = larger(computing, moving), p[f"{kind}.corner"]
    near = smaller(computing, moving) / larger(longer, NOTHING_S)
    idle = work.floor_s * (p[f"{kind}.floor"] * values.graph) + work.doubled * p[f"{kind}.sync_s"]
    alone = (1 + work.passes) * idle + work.contraction * p[f"{kind}.setup_s"]
    return alone + longer * (1 + near**corner) ** (1 / corner) + moving_s(anew, p[f"{kind}.move.elementwise"])


def call_seconds(
    device: PredictedDevice,
    kernels: Sequence[Kernel],
    mode: Mode = "eager",
    parameters: Parameters | None = None,
    training: bool = False,
) -> CallTime:
    """Seconds of one of many calls in a row, with one synchronisation after them.

    The host and a GPU work at the same time, so the longer one counts; on a CPU the two add up. A compiled call has
    fused kernels. Training is the forward and the backward pass.
    """
    p = fitted() if parameters is None else parameters
    run = [laid_out(device, kernel) for kernel in fused(kernels)] if mode == "compile" else list(kernels)
    in_graph = mode == "graph"
    forward_s = [kernel_seconds(device, kernel, p, in_graph) for kernel in run]
    device_s = sum(forward_s)
    if training:
        ratios = [p[takes(device, kernel, in_graph).backward] for kernel in run]
        device_s += sum(s * ratio for s, ratio in zip(forward_s, ratios, strict=True))
    host_s: float = host_seconds(
        device.kind, device.dispatch_s, device.launch_s, host_demand(mode, [(kernel, 1) for kernel in run], training), p
    )
    return CallTime(device_s, host_s, host_s + device_s if device.kind == "cpu" else max(host_s, device_s))


class HostDemand(NamedTuple):
    """What the host does in a call, as counts. Numbers, or columns of them.

    `operators`: dispatched and launched; `replays` of a graph; `entered`: compiled calls, and `compiled`: their
    kernels; `noted`: operators that autograd records in the forward pass; `backwards`: backward calls, and `nodes`:
    their kernels.
    """

    operators: Any = 0
    replays: Any = 0
    entered: Any = 0
    compiled: Any = 0
    noted: Any = 0
    backwards: Any = 0
    nodes: Any = 0


def host_demand(mode: str, run: Iterable[tuple[Kernel, int]], training: bool = False) -> HostDemand:
    """The host's part of a call, from kernels and their numbers, in a mode."""
    counted = list(run)
    calls = sum(n for _, n in counted)
    if mode == "graph":
        return HostDemand(replays=1)
    if mode == "compile":
        return HostDemand(entered=2 if training else 1, compiled=calls * (2 if training else 1))
    if not training:
        return HostDemand(operators=calls)
    # batch norm also counts its batches: one more operator
    norms = sum(n for kernel, n in counted if kernel.family == "norm")
    twice = (*CONTRACTIONS, "depthwise")  # backward: a kernel for the gradient of the input, one for the weights'
    nodes = sum((2 if kernel.family in twice else 1) * n for kernel, n in counted)
    return HostDemand(calls + norms, noted=calls, backwards=1, nodes=nodes)


def host_seconds(kind: str, dispatch_s: Any, launch_s: Any, asked: HostDemand, p: Parameters) -> Any:
    """The host's seconds, from its times of a dispatch and (for a GPU) of a launch. Numbers, or columns of them."""
    dispatch_s = dispatch_s * p[f"{kind}.dispatch"]
    each_s = dispatch_s + (launch_s if kind == "gpu" else 0.0)
    called = asked.operators + asked.replays + asked.noted * p[f"{kind}.autograd.operator"]
    called = called + asked.nodes * p[f"{kind}.autograd.kernel"]
    alone = asked.backwards * p[f"{kind}.autograd.call"] + asked.entered * p[f"{kind}.guards"]
    return called * each_s + (alone + asked.compiled * p[f"{kind}.compiled"]) * dispatch_s
