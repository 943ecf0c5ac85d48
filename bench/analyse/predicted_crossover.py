"""From how many channels and images on a separable block would pay on a named device: a map of what to measure.

Nothing here is measured. A cell is undecided where the model's error, on data that it was not fitted to, could turn it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from bench.spec import kernel_model
from bench.spec.blocks import BOUNDS, BlockChoice, Shape, build
from bench.spec.errors import UserError
from bench.spec.kernel_model import Mode
from bench.spec.kernels import of_block
from bench.spec.predicted_devices import PredictedDevice
from bench.spec.predictions import prediction_of
from bench.spec.skips import unpredicted

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
    """Cells by mode, batch and channels, and what they hold for. `error`: ln, half of a 95 % interval of a speedup."""

    device: PredictedDevice
    kernel: int
    size: int
    dtype: str
    layout: str
    error: float
    cells: tuple[Cell, ...]

    def of(self, mode: str) -> dict[tuple[int, int], Cell]:
        """One mode's cells by batch and channels."""
        return {(c.batch, c.channels): c for c in self.cells if c.mode == mode}

    def modes(self) -> list[str]:
        """The modes in the order in which they were asked for."""
        return list(dict.fromkeys(c.mode for c in self.cells))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "status": "predicted",
            "device": self.device.name,
            "device_origin": self.device.origin or None,
            "device_title": self.device.title,
            **{name: getattr(self, name) for name in ("kernel", "size", "dtype", "layout", "error")},
            "cells": [asdict(cell) for cell in self.cells],
        }


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
    error = prediction_of(device).speedup
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
                state: State = "undecided" if abs(log) <= error else "faster" if log > 0 else "slower"
                bound = "host" if separable.host_s > separable.device_s and device.kind == "gpu" else "device"
                cells.append(Cell(mode, batch, c, math.exp(log), standard.device_s / separable.device_s, bound, state))
    return Map(device, kernel, size, dtype, layout, error, tuple(cells))
