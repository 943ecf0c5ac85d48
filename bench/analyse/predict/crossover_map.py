"""From how many channels and images on a separable block would pay on a named device: a map of what to measure.

Nothing here is measured. A cell is undecided where the model's error, on data that it was not fitted to, could turn it, or a host as
slow as one of which nothing is told may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from bench.spec.blocks.blocks import BOUNDS, BlockChoice, Shape, build
from bench.spec.blocks.kernels import of_block
from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.errors import UserError
from bench.spec.model import kernel_model
from bench.spec.model.kernel_model import Mode
from bench.spec.model.predictions import prediction_of
from bench.spec.plan.skips import unpredicted

State = Literal["faster", "slower", "undecided"]
MODES: tuple[Mode, ...] = get_args(Mode)
CHANNELS = (8, 16, 32, 64, 128, 256, 512)
BATCHES = (1, 4, 16, 64, 256)


@dataclass(frozen=True, slots=True)
class Cell:
    """One shape in one mode: speedup of the separable block over the standard one, by walls and on the device alone."""

    mode: str
    batch: int
    channels: int
    speedup: float
    device_speedup: float
    bound: str
    state: State


@dataclass(frozen=True, slots=True)
class Map:
    """Cells by mode, batch and channels, and what they hold for.

    `error`: ln, half of a 95 % interval of a speedup; `host`: how many times slower than assumed the host may be.
    """

    device: PredictedDevice
    kernel: int
    size: int
    dtype: str
    layout: str
    error: float
    host: float
    cells: tuple[Cell, ...]

    def of(self, mode: str) -> dict[tuple[int, int], Cell]:
        """One mode's cells by batch and channels."""
        return {(c.batch, c.channels): c for c in self.cells if c.mode == mode}

    def modes(self) -> list[str]:
        """The modes in the order in which they were asked for."""
        return list(dict.fromkeys(c.mode for c in self.cells))

    @property
    def operator_us(self) -> float:
        """What a GPU's host is taken to need for an operator, in us."""
        return round((self.device.dispatch_s + self.device.launch_s) * 1e6, 3)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
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
            "cells": [asdict(cell) for cell in self.cells],
        }


def on_host(device: PredictedDevice, operator_us: float) -> PredictedDevice:
    """The same GPU beside a host that takes so long for an operator. UserError for a CPU, or for no such time."""
    if device.kind == "cpu":
        raise UserError("--host-us", "a CPU is its own host", "Leave it out", value=operator_us)
    if not 0.5 <= operator_us <= 2000:
        raise UserError("--host-us", "it is not from 0.5 to 2000", "Write microseconds, as 23", value=operator_us)
    launch_s = min(device.launch_s, operator_us * 1e-6)
    told = {**device.sources, "dispatch_s": "asked for", "launch_s": "asked for"}
    return replace(device, dispatch_s=operator_us * 1e-6 - launch_s, launch_s=launch_s, sources=told)


def mapped(
    device: PredictedDevice,
    modes: Sequence[str] = (),
    channels: Sequence[int] = CHANNELS,
    batches: Sequence[int] = BATCHES,
    kernel: int = 3,
    size: int = 28,
    dtype: str = "fp32",
    layout: str = "contiguous",
) -> Map:
    """The map, unless told in eager mode and of a GPU in a graph. UserError for a mode or a dtype that the device has not, or a shape out of bounds."""
    modes = modes or (("eager", "graph") if device.kind == "gpu" else ("eager",))
    unknown = next((mode for mode in modes if mode not in MODES), None)
    if unknown is not None:
        raise UserError("--mode", "no such mode", f"Take {', '.join(MODES)}", value=unknown)
    device.rate(dtype)
    if "graph" in modes and (why := unpredicted(f"predicted {device.name}", device, dtype, "graph", "inference")):
        raise UserError("--mode", why, "Take eager or compile", value="graph")
    for what, numbers in (("channels", channels), ("batch", batches), ("kernel", [kernel]), ("size", [size])):
        low, high = BOUNDS[what]
        wrong = next((n for n in numbers if not low <= n <= high), None)
        if wrong is not None:
            raise UserError(f"--{what}", f"it is not from {low} to {high}", "Take another number", value=wrong)
    if kernel % 2 == 0:
        raise UserError(
            "--kernel", "it is even, and its map would shift by half a pixel", "Take an odd one", value=kernel
        )
    said = prediction_of(device)
    cells = []
    for mode in modes:
        for batch in batches:
            for c in channels:
                shape = Shape(c, c, size, size, kernel, batch=batch)
                standard, separable = (
                    kernel_model.call_seconds(
                        device,
                        of_block(build(BlockChoice(name), shape), size, size, batch, dtype, layout == "channels_last"),
                        mode,  # type: ignore[arg-type]  # looked at above
                    )
                    for name in ("standard", "separable")
                )
                log = math.log(standard.wall_s / separable.wall_s)
                slower = math.log(standard.on_host(said.host) / separable.on_host(said.host))
                state: State = (
                    "undecided" if abs(log) <= said.speedup + abs(slower - log) else "faster" if log > 0 else "slower"
                )
                bound = "host" if separable.host_s > separable.device_s and device.kind == "gpu" else "device"
                cells.append(Cell(mode, batch, c, math.exp(log), standard.device_s / separable.device_s, bound, state))
    return Map(device, kernel, size, dtype, layout, said.speedup, said.host, tuple(cells))
