"""Read published tables as observed times: of single layers and of whole networks, with their kernels.

Tables stand in a folder outside of the repository, and as excerpts in published_tables, whose README says what may enter. A folder
has up to four parts, each read if it is there: `deepbench/DEVICE_DTYPE.csv` (a convolution a row), `timm/benchmark-infer-*.csv` (a
network a row, as timm publishes them), `torchbench/*.csv` (a network and batch a row) and `openbayes/SITE-DEVICE-DTYPE.csv` (a
network a column, a sample a row). What kernels a network runs stands in
network_kernels.json.gz, which tools/model_fit/network_kernels.py counts from its authors' code; networks that it lacks are passed over.
"""

from __future__ import annotations

import gzip
import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from bench.analyse.drivers import csv_cells, timm_tables
from bench.spec.blocks import kernels as make
from bench.spec.blocks.costs import ITEM_BYTES
from bench.spec.blocks.kernels import Kernel
from bench.spec.devices.predicted_devices import PredictedDevice, known
from bench.spec.errors import UserError

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
    "5090": "rtx5090",
    "pro6000maxq": "rtx_pro_6000_blackwell_max_q",
    "t4": "t4",
    "p100": "p100",
    "titanv": "titan_v",
    "v100pcie": "v100_pcie",
    "rtx2080": "rtx2080",
}
"""The tables' words for devices, and ours. Tables of other devices are passed over."""
AMP = "fp16"  # what autocast computes convolutions in
UNNAMED = "m60"
"""The card of pytorch/benchmark's tables, which is not named there: a guess of ours, from rates that fit no other of 2021."""
COPIED_BYTES_PER_S = 6e9
"""At which a batch is taken to be copied to a card, from pageable memory over PCIe 3.0: a round figure."""
CHECKED = ("openbayes",)
"""Sources that the model is held against and never fitted to."""
SAMPLED_BATCH, SAMPLED_SIZE = 12, 224  # of every table of openbayes (its benchmark_models.py)
ONE_TIME = "shufflenet"  # these networks' four widths take the same time on every card of openbayes
HELD_UP, OF_SITE = (
    1.3,
    0.25,
)  # samples that differ by more, in more than this share of a site's networks, tell of its host
_HELP = "Name a folder with deepbench/, timm/ or torchbench/ in it (docs/PREDICTION_FIT.md)."

Counted = tuple[tuple[Kernel, int], ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """One published or measured evaluation: `kernels` with how often each runs, and its seconds.

    `source` is whose table, `table` which of them. `mode`: eager, graph, compile, or library where a kernel was called
    without any framework, so that no host counts. `separable`: it has depthwise convolutions. `group` and `baseline`:
    rows of one group are compared, those that are no baseline with those that are. `copied_s`: of the time, what copying the
    batch to the card takes.
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
    copied_s: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)


def read(folder: Path) -> tuple[Observed, ...]:
    """All rows of a folder's tables, in the order of their names, then those of ours. UserError where there are none, or for a bad cell."""
    if not folder.is_dir():
        raise UserError(str(folder), "there is no such folder", _HELP)
    found = _read(folder)
    if not found:
        raise UserError(str(folder), "no table in it can be read", _HELP)
    with as_file(files("tools.model_fit") / TABLES) as ours:
        more = _read(ours)
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
    raw = (files("tools.model_fit") / NETWORKS).read_bytes()
    found: dict[str, list[list[Any]]] = json.loads(gzip.decompress(raw))["networks"]
    return found


def _kernel(words: list[Any], batch: int, dtype: str, channels_last: bool) -> Kernel:
    kind, *n = words
    item = ITEM_BYTES[dtype] * batch
    if kind == "conv":
        c_in, c_out, low, high, tall, wide, stride, groups = n
        return make.convolution(batch, c_in, c_out, low, high, (tall, wide), stride, groups, dtype, channels_last)
    if kind == "matmul":
        many, rows, depth, columns = n
        weights = depth * columns * ITEM_BYTES[dtype] * (batch * many if many > 1 else 1)
        moved = many * rows * depth * item, many * rows * columns * item
        return Kernel("linear", dtype, *moved, weights, rows * many * batch, columns, depth)
    if kind == "norm":
        return Kernel("norm", dtype, n[0] * item, n[0] * item)
    return Kernel("pool" if kind == "pool" else "elementwise", dtype, n[0] * item, n[1] * item)


def _deepbench(path: Path) -> Iterator[Observed]:
    """W, H, C, N, K, S_w, R_h: pixels across and down, channels in, batch, channels out, filter; MACs hold the stride.

    A CPU's library was given maps and weights in its own blocked layout, which costs no reordering.
    """
    word, _, dtype = path.stem.rpartition("_")
    if word not in DEVICES or dtype not in ITEM_BYTES:
        return
    for line, row in csv_cells.lines(path, _HELP):
        if line == 1:
            continue
        at = f"{path}:{line}"
        w, h, c, n, k, s, r = (_whole(row, name, at) for name in ("W", "H", "C", "N", "K", "S_w", "R_h"))
        pixels = round(_number(row, "macs", at) / (n * k * c * s * r))
        stride = max(1, round((w * h / max(1, pixels)) ** 0.5))
        device = known()[DEVICES[word]]
        blocked = device.kind == "cpu"
        kernel = make.convolution(n, c, k, w * h, pixels, (r, s), stride, 1, dtype, blocked)
        kernel = replace(kernel, packed=blocked)
        name = f"{n} x {c} x {h} x {w} to {k} by {r} x {s}"
        time_s = _number(row, "fwd_ms", at) / 1e3
        yield Observed(
            "deepbench", path.stem, known()[DEVICES[word]], dtype, "library", name, n, ((kernel, 1),), time_s
        )


def _timm(path: Path) -> Iterator[Observed]:
    keys = timm_tables.labels_of(path)
    device = DEVICES.get(keys["device"])
    if device is None:
        return
    dtype = AMP if keys["dtype"] == "amp" else keys["dtype"]
    for line, row in csv_cells.lines(path, _HELP):
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
    for line, row in csv_cells.lines(path, _HELP):
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


def _openbayes(paths: Iterable[Path]) -> Iterator[Observed]:
    """Of each card and dtype a network's median sample, at the median of the sites where it was not held up.

    No host is told of but by the ShuffleNets, whose four widths take the same time on every card: an operator's share of it is
    the host's.
    """
    tables: dict[str, dict[str, Mapping[str, list[float]]]] = {}
    for path in paths:
        samples = _samples(path)
        apart = [max(times) > HELD_UP * min(times) for times in samples.values()]
        if sum(apart) <= OF_SITE * len(apart):
            tables.setdefault(path.stem.partition("-")[2], {})[path.stem] = samples
    for table, sites in tables.items():
        word, _, dtype = table.rpartition("-")
        if word not in DEVICES or dtype not in ITEM_BYTES or not known()[DEVICES[word]].computes(dtype):
            continue
        names = {name for samples in sites.values() for name in samples}
        counted = {name: network(f"torchvision/{name}", SAMPLED_SIZE, SAMPLED_BATCH, dtype) for name in sorted(names)}
        copied_s = SAMPLED_BATCH * 3 * SAMPLED_SIZE**2 * ITEM_BYTES[dtype] / COPIED_BYTES_PER_S
        rows = [
            Observed(
                "openbayes", table, known()[DEVICES[word]], dtype, "eager", name, SAMPLED_BATCH, kernels,
                statistics.median(statistics.median(samples[name]) for samples in sites.values() if name in samples) / 1e3,
                table, not separable(kernels), copied_s=copied_s, extra={"files": tuple(sites)},
            )
            for name, kernels in counted.items() if kernels is not None
        ]  # fmt: skip
        yield from _on_their_host(rows)


def _on_their_host(rows: Sequence[Observed]) -> Iterator[Observed]:
    """Rows of one table with the host that its ShuffleNets tell of; as they are where it has none."""
    told = [(row.time_s - row.copied_s) / _calls(row) for row in rows if row.name.startswith(ONE_TIME)]
    for row in rows:
        if told:
            operator_s = statistics.median(told)
            device = replace(row.device, dispatch_s=max(0.0, operator_s - row.device.launch_s))
            row = replace(row, device=device, extra={**row.extra, "dispatch_s": operator_s * _calls(row)})
        yield row


def on_unknown_host(row: Observed) -> Observed:
    """The same row on the card's usual host, of which nothing was told."""
    extra = {name: value for name, value in row.extra.items() if name != "dispatch_s"}
    return replace(row, device=known()[row.device.name], extra=extra)


def _calls(row: Observed) -> int:
    return sum(count for _, count in row.kernels)


def _samples(path: Path) -> dict[str, list[float]]:
    """Milliseconds by network."""
    lines = [(line, row) for line, row in csv_cells.lines(path, _HELP) if line > 1]
    return (
        {name: [_number(row, name, f"{path}:{line}") for line, row in lines] for name in lines[0][1]} if lines else {}
    )


def _each(reader: Callable[[Path], Iterator[Observed]]) -> Callable[[Iterable[Path]], Iterator[Observed]]:
    return lambda paths: (row for path in paths for row in reader(path))


READERS: Mapping[str, Callable[[Iterable[Path]], Iterator[Observed]]] = {
    "deepbench/*.csv": _each(_deepbench),
    "timm/benchmark-infer-*.csv": _each(_timm),
    "torchbench/*.csv": _each(_torchbench),
    "openbayes/*.csv": _openbayes,
}
"""What reads a folder's files of a name."""


def _read(folder: Path) -> list[Observed]:
    return [row for pattern, reader in READERS.items() for row in reader(sorted(folder.glob(pattern)))]


def separable(counted: Counted) -> bool:
    """Whether there is a depthwise convolution among the kernels."""
    return any(kernel.family == "depthwise" for kernel, _ in counted)


def _number(row: Mapping[str, str], column: str, at: str) -> float:
    found = csv_cells.number(row, column, at, 0.0, 1e18, optional=False)
    if found is None:
        raise UserError(f"{at}: {column}", "it is empty", "Mend the cell or leave the row out.")
    return found


def _whole(row: Mapping[str, str], column: str, at: str) -> int:
    return round(_number(row, column, at))
