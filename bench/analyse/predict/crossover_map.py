"""Map, by channels and batch, where a separable block would be faster on a device that is not here.

Nothing here is measured. A point is undecided if the model's error, on data that it was not fitted to, together with
the effect of a slower host could turn it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from bench.spec.blocks.blocks import BOUNDS, BlockChoice, Shape, build
from bench.spec.blocks.kernels import of_block
from bench.spec.devices.device_names import PREDICTED_PREFIX
from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.errors import UserError, check_bounds
from bench.spec.model import kernel_model
from bench.spec.model.kernel_model import Mode
from bench.spec.model.model_parameters import prediction_of
from bench.spec.plan.plan import unsupported

State = Literal["faster", "slower", "undecided"]
MODES: tuple[Mode, ...] = get_args(Mode)
CHANNELS = (8, 16, 32, 64, 128, 256, 512)
BATCHES = (1, 4, 16, 64, 256)


@dataclass(frozen=True, slots=True)
class MapPoint:
    """One shape in one mode: speedup of the separable block over the standard one, by wall time and by device time."""

    mode: str
    batch: int
    channels: int
    speedup: float
    device_speedup: float
    bound: str
    state: State


@dataclass(frozen=True, slots=True)
class CrossoverMap:
    """The points by mode, batch and channels, and the kernel, map size, dtype and layout that they are for.

    `error`: ln, half of a 95 % interval of a speedup; `host`: how many times slower than assumed the host may be.
    """

    device: PredictedDevice
    kernel: int
    size: int
    dtype: str
    layout: str
    error: float
    host: float
    points: tuple[MapPoint, ...]

    def of(self, mode: str) -> dict[tuple[int, int], MapPoint]:
        """One mode's points by batch and channels."""
        return {(p.batch, p.channels): p for p in self.points if p.mode == mode}

    def modes(self) -> list[str]:
        return list(dict.fromkeys(p.mode for p in self.points))

    @property
    def operator_us(self) -> float:
        """The assumed time of a GPU's host for an operator, in us."""
        return round((self.device.dispatch_s + self.device.launch_s) * 1e6, 3)

    def to_dict(self) -> dict[str, Any]:
        return {
            "status": "predicted",
            "device": self.device.name,
            "device_origin": self.device.origin or None,
            "device_title": self.device.title,
            "disagree": self.device.disagree,
            **{name: getattr(self, name) for name in ("kernel", "size", "dtype", "layout", "error")},
            "error_of": "ln(speedup), half of its 95 % interval",
            "host_us_per_operator": self.operator_us if self.device.kind == "gpu" else None,
            "host_may_be_slower": self.host,
            "cells": [asdict(p) for p in self.points],
        }


def on_host(device: PredictedDevice, operator_us: float) -> PredictedDevice:
    """The same GPU with a host that takes `operator_us` for an operator. UserError for a CPU or a time out of range."""
    if device.kind == "cpu":
        raise UserError("--host-us", "a CPU is its own host", "Leave it out", value=operator_us)
    if not 0.5 <= operator_us <= 2000:
        raise UserError("--host-us", "it is not from 0.5 to 2000", "Write microseconds, as 23", value=operator_us)
    launch_s = min(device.launch_s, operator_us * 1e-6)
    sources = {**device.sources, "dispatch_s": "asked for", "launch_s": "asked for"}
    return replace(device, dispatch_s=operator_us * 1e-6 - launch_s, launch_s=launch_s, sources=sources)


def mapped(
    device: PredictedDevice,
    modes: Sequence[str] = (),
    channels: Sequence[int] = CHANNELS,
    batches: Sequence[int] = BATCHES,
    kernel: int = 3,
    size: int = 28,
    dtype: str = "fp32",
    layout: str = "contiguous",
) -> CrossoverMap:
    """The map, by default in eager mode and for a GPU also as a graph.

    UserError for a mode or a dtype that the device does not have, and for a shape out of bounds.
    """
    modes = modes or (("eager", "graph") if device.kind == "gpu" else ("eager",))
    _check(device, modes, dtype, {"channels": channels, "batch": batches, "kernel": [kernel], "size": [size]})
    if kernel % 2 == 0:
        raise UserError("--kernel", "it is even, and its map would shift by half a pixel", "Take an odd one", kernel)
    prediction = prediction_of(device)
    points = []
    for mode, batch, c in itertools.product(modes, batches, channels):
        shape = Shape(c, c, size, size, kernel, batch=batch)
        blocks = [build(BlockChoice(name), shape) for name in ("standard", "separable")]
        kernels = [of_block(block, size, size, batch, dtype, layout == "channels_last") for block in blocks]
        standard, separable = (kernel_model.call_seconds(device, k, mode) for k in kernels)  # type: ignore[arg-type]  # checked above
        log = math.log(standard.wall_s / separable.wall_s)
        on_slower_host = math.log(standard.on_host(prediction.host) / separable.on_host(prediction.host))
        sure = abs(log) > prediction.speedup + abs(on_slower_host - log)
        state: State = "undecided" if not sure else "faster" if log > 0 else "slower"
        bound = "host" if separable.host_s > separable.device_s and device.kind == "gpu" else "device"
        points.append(MapPoint(mode, batch, c, math.exp(log), standard.device_s / separable.device_s, bound, state))
    return CrossoverMap(device, kernel, size, dtype, layout, prediction.speedup, prediction.host, tuple(points))


def _check(device: PredictedDevice, modes: Sequence[str], dtype: str, numbers: Mapping[str, Sequence[int]]) -> None:
    unknown = next((mode for mode in modes if mode not in MODES), None)
    if unknown is not None:
        raise UserError("--mode", "no such mode", f"Take {', '.join(MODES)}", value=unknown)
    device.rate(dtype)
    why = unsupported(f"{PREDICTED_PREFIX}{device.name}", device, dtype, "graph", "inference")
    if "graph" in modes and why:
        raise UserError("--mode", why, "Take eager or compile", value="graph")
    for what, asked in numbers.items():
        for number in asked:
            check_bounds(f"--{what}", number, BOUNDS[what], whole=True)
