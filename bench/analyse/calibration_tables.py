"""Published times that the kernel model is held against: of single layers and of whole networks, with their kernels.

Most tables stay outside of the repository. A folder of them has up to three parts, each read if it is there:
`deepbench/DEVICE_DTYPE.csv` (a convolution a row), `timm/benchmark-infer-*.csv` (a network a row, as timm publishes
them) and `torchbench/*.csv` (a network and batch a row). What kernels a network runs stands in
network_kernels.json.gz, which tools/network_kernels.py counts from its authors' code; networks that it lacks are passed over.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from bench.analyse import cells, timm
from bench.spec import kernels as make
from bench.spec.costs import ITEM_BYTES
from bench.spec.errors import UserError
from bench.spec.kernels import Kernel
from bench.spec.predicted_devices import PredictedDevice, known

NETWORKS = "network_kernels.json.gz"
TABLES = "published_tables"
"""A folder of tables that the package has, read where DATA_DIR lacks a table of that name: excerpts, each row's figures as published."""
DEVICES = {
    "v100": "v100",
    "gtx1080ti": "gtx1080ti",
    "knl7250": "xeon_phi",
    "rtx3090": "rtx3090",
    "rtx4090": "rtx4090",
    "i7_12700h": "laptop_cpu",
    "i9_10940x": "desktop_cpu",
}
"""The tables' words for devices, and ours. Tables of other devices are passed over."""
AMP = "fp16"  # what autocast computes convolutions in
UNNAMED = "m60"
"""The card of pytorch/benchmark's tables, which is not named there: a guess of ours, from rates that fit no other of 2021."""
_HELP = "Name a folder with deepbench/, timm/ or torchbench/ in it (docs/PREDICTION.md)."

Counted = tuple[tuple[Kernel, int], ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """One published or measured evaluation: `kernels` with how often each runs, and its seconds.

    `source` is whose table, `table` which of them. `mode`: eager, graph, compile, or library where a kernel was called
    without any framework, so that no host counts. `separable`: it has depthwise convolutions. `group` and `baseline`:
    rows of one group are compared, those that are no baseline with those that are.
    """

    source: str
    table: str
    device: PredictedDevice
    dtype: str
    mode: str
    name: str
    batch: int
    kernels: Counted
    time_s: float
    group: str = ""
    baseline: bool = False
    training: bool = False
    threads: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


def read(folder: Path) -> tuple[Observed, ...]:
    """All rows of a folder's tables, in the order of their names, then those of ours. UserError where there are none, or for a bad cell."""
    readers: tuple[tuple[str, Callable[[Path], Iterator[Observed]]], ...] = (
        ("deepbench/*.csv", _deepbench),
        ("timm/benchmark-infer-*.csv", _timm),
        ("torchbench/*.csv", _torchbench),
    )
    if not folder.is_dir():
        raise UserError(str(folder), "there is no such folder", _HELP)
    found = [row for pattern, reader in readers for path in sorted(folder.glob(pattern)) for row in reader(path)]
    if not found:
        raise UserError(str(folder), "no table in it can be read", _HELP)
    with as_file(files("bench.analyse") / TABLES) as ours:
        more = [row for pattern, reader in readers for path in sorted(ours.glob(pattern)) for row in reader(path)]
    read_already = {(row.source, row.table) for row in found}
    return (*found, *(row for row in more if (row.source, row.table) not in read_already))


def network(name: str, size: int, batch: int, dtype: str, channels_last: bool = False) -> Counted | None:
    """The kernels of one forward pass of a network by its publisher's name; None where it was not counted."""
    listed = _networks().get(f"{name}@{size}")
    if listed is None:
        return None
    return tuple((_kernel(words, batch, dtype, channels_last), count) for count, *words in listed)


@cache
def _networks() -> dict[str, list[list[Any]]]:
    raw = (files("bench.analyse") / NETWORKS).read_bytes()
    found: dict[str, list[list[Any]]] = json.loads(gzip.decompress(raw))["networks"]
    return found


def _kernel(words: list[Any], batch: int, dtype: str, channels_last: bool) -> Kernel:
    kind, *n = words
    item = ITEM_BYTES[dtype] * batch
    if kind == "conv":
        c_in, c_out, low, high, tall, wide, stride, groups = n
        return make.convolution("", batch, c_in, c_out, low, high, (tall, wide), stride, groups, dtype, channels_last)
    if kind == "matmul":
        many, rows, depth, columns = n
        weights = depth * columns * ITEM_BYTES[dtype] * (batch * many if many > 1 else 1)
        moved = many * rows * depth * item, many * rows * columns * item
        return Kernel("", "linear", dtype, *moved, weights, rows * many * batch, columns, depth)
    if kind == "norm":
        return make.norm("", n[0] * item, dtype)
    return (make.pool if kind == "pool" else make.elementwise)("", n[0] * item, n[1] * item, dtype)


def _deepbench(path: Path) -> Iterator[Observed]:
    """W, H, C, N, K, S_w, R_h: pixels across and down, channels in, batch, channels out, filter; MACs hold the stride.

    A CPU's library was given maps and weights in its own blocked layout, which costs no reordering.
    """
    word, _, dtype = path.stem.rpartition("_")
    if word not in DEVICES or dtype not in ITEM_BYTES:
        return
    for line, row in cells.lines(path, _HELP):
        if line == 1:
            continue
        at = f"{path}:{line}"
        w, h, c, n, k, s, r = (_whole(row, name, at) for name in ("W", "H", "C", "N", "K", "S_w", "R_h"))
        pixels = round(_number(row, "macs", at) / (n * k * c * s * r))
        stride = max(1, round((w * h / max(1, pixels)) ** 0.5))
        device = known()[DEVICES[word]]
        blocked = device.kind == "cpu"
        kernel = make.convolution("", n, c, k, w * h, pixels, (r, s), stride, 1, dtype, blocked)
        kernel = replace(kernel, packed=blocked)
        name = f"{n} x {c} x {h} x {w} to {k} by {r} x {s}"
        time_s = _number(row, "fwd_ms", at) / 1e3
        yield Observed(
            "deepbench", path.stem, known()[DEVICES[word]], dtype, "library", name, n, ((kernel, 1),), time_s
        )


def _timm(path: Path) -> Iterator[Observed]:
    keys = timm.keys_of(path)
    device = DEVICES.get(keys["device"])
    if device is None:
        return
    dtype = AMP if keys["dtype"] == "amp" else keys["dtype"]
    for line, row in cells.lines(path, _HELP):
        if line == 1:
            continue
        at = f"{path}:{line}"
        batch = _whole(row, "infer_batch_size", at)
        model, size = row["model"], _whole(row, "infer_img_size", at)
        counted = network(model, size, batch, dtype, keys["layout"] == "nhwc")
        if counted is None:
            continue
        time_s = batch / _number(row, "infer_samples_per_sec", at)
        table = "-".join(path.stem.split("-")[2:])
        yield Observed(
            "timm", table, known()[device], dtype, keys["mode"], model, batch, counted, time_s, f"{table} {batch}",
            not separable(counted),
        )  # fmt: skip


def _torchbench(path: Path) -> Iterator[Observed]:
    for line, row in cells.lines(path, _HELP):
        if line == 1:
            continue
        at = f"{path}:{line}"
        batch = _whole(row, "batch", at)
        counted = network(f"torchvision/{row['model']}", 224, batch, "fp32") or network(
            row["model"], 224, batch, "fp32"
        )
        if counted is None:
            continue
        time_s, host_s = _number(row, "gpu_ms", at) / 1e3, _number(row, "cpu_dispatch_ms", at) / 1e3
        yield Observed(
            "torchbench", path.stem, known()[UNNAMED], "fp32", "eager", row["model"], batch, counted, time_s, f"{batch}",
            not separable(counted), extra={"dispatch_s": host_s},
        )  # fmt: skip


def separable(counted: Counted) -> bool:
    """Whether there is a depthwise convolution among the kernels."""
    return any(kernel.family == "depthwise" for kernel, _ in counted)


def _number(row: Mapping[str, str], column: str, at: str) -> float:
    found = cells.number(row, column, at, 0.0, 1e18, optional=False)
    if found is None:
        raise UserError(f"{at}: {column}", "it is empty", "Mend the cell or leave the row out.")
    return found


def _whole(row: Mapping[str, str], column: str, at: str) -> int:
    return round(_number(row, column, at))
