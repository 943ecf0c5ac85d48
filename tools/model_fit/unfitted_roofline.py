"""The roofline without any fit, as one would write it down first: what the kernel model has to beat.

Shares of the peaks are round figures: 0.7 of matrix units, 0.6 of fp32, 0.3 of fp32 for depthwise, 0.8 of the bandwidth and
three times as much in the last-level cache, 2.5 us a kernel, 6 us an operator of the host. On a CPU tiles of 128 x 128 are dealt out in
whole waves, on a GPU they are not: of either the way that is nearer to the published tables, so that what is beaten is strong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.analyse.stats.estimators import Floats
from bench.spec.blocks.kernels import Kernel
from bench.spec.devices.predicted_devices import PredictedDevice
from tools.model_fit.published_times import Observed

TILE, FLOOR_S, LAUNCH_S = 128, 2.5e-6, 6e-6
TILED = "cpu"


def seconds(rows: Sequence[Observed], tiled: str = TILED) -> Floats:
    """Of each row; `tiled`: the kind of device on which tiles are dealt out."""
    return np.array([_call(row, tiled) + row.copied_s for row in rows])


def _call(row: Observed, tiled: str) -> float:
    device_s = sum(count * _kernel(row.device, kernel, tiled) for kernel, count in row.kernels)
    if row.mode == "library":
        return device_s
    host_s = LAUNCH_S * (1 if row.mode == "graph" else sum(count for _, count in row.kernels))
    host_s = float(row.extra.get("dispatch_s", host_s))  # where the model is told of the host, so is the roofline
    return device_s + host_s if row.device.kind == "cpu" else max(device_s, host_s)


def _kernel(device: PredictedDevice, kernel: Kernel, tiled: str) -> float:
    cached = 3 if kernel.moved < 0.8 * device.cache_bytes else 1
    moving = kernel.moved / (device.memory_bytes_per_s * 0.8 * cached)
    computing, fill = 0.0, 1.0
    if kernel.macs:
        if kernel.groups == 1 and device.kind == tiled:
            tiles = math.ceil(kernel.rows / TILE) * math.ceil(kernel.columns / TILE)
            fill = kernel.rows * kernel.columns / (TILE**2 * math.ceil(tiles / device.units) * device.units)
        share = 0.3 if kernel.family == "depthwise" else 0.7 if device.tensor(kernel.dtype) else 0.6
        peak = device.peak["fp32"] if kernel.family == "depthwise" else device.rate(kernel.dtype)
        computing = 2 * kernel.macs / (peak * share * max(fill, 0.01))
    return max(computing, moving, FLOOR_S)
