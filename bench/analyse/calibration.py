"""Fit the kernel model to published times, and say how far it is off on those that it was not fitted to.

The parameters' logarithms are found by least squares: of ln(predicted / observed), each table weighing alike and large
errors growing only linearly (a pseudo-Huber loss), and of what each parameter departs from its prior by, over its spread.
So a parameter that no table speaks of stays what it was. CPUs and GPUs share none. Nothing here is random.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from bench.analyse.calibration_tables import Counted, Observed
from bench.analyse.records import Floats
from bench.spec import kernel_model
from bench.spec.host_model import HostDemand, host_demand, host_seconds
from bench.spec.kernels import Kernel
from bench.spec.model_parameters import PRIOR, Parameters, prior

ERROR = 0.15  # of ln time, beyond which an error counts linearly
WEIGHT = 60  # rows that a table counts as, however many it has
MOST = 1.1  # of a peak or a bandwidth on paper, which a card's clock may be above
STEPS = 60  # evaluations of all derivatives at most; a fit takes 10 to 30


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as columns: for each kernel of each row what it asks of its device, its row and how often it runs.

    `names`: parameters, and which of them each kernel takes. `host`: what each row asks of its host, a column for each
    field of HostDemand; `dispatch_s` and `launch_s` are its device's. `copied_s`: of the time, what no kernel takes.
    """

    rows: tuple[Observed, ...]
    kind: str
    row: npt.NDArray[np.intp]
    count: Floats
    numbers: Mapping[str, Floats]
    names: Mapping[str, tuple[tuple[str, ...], npt.NDArray[np.intp]]]
    host: HostDemand
    dispatch_s: Floats
    launch_s: Floats
    copied_s: Floats
    observed_s: Floats

    @property
    def weights(self) -> Floats:
        """Square roots of each row's weight."""
        labels = [(row.source, row.table, row.device.name) for row in self.rows]
        sizes = Counter(labels)
        return np.array([(WEIGHT / sizes[label]) ** 0.5 for label in labels])


def tabulate(rows: Sequence[Observed]) -> Table:
    """Rows of one kind of device as columns."""
    (kind,) = {row.device.kind for row in rows}
    place, count, asked, device, training, in_graph, backward, host = [], [], [], [], [], [], [], []
    for i, row in enumerate(rows):
        run = row.kernels
        if row.mode == "compile":
            run = tuple((kernel_model.laid_out(row.device, kernel), n) for kernel, n in fused(run))
        host.append(host_demand(row.mode, run, row.training))
        for kernel, n in run:
            place.append(i)
            count.append(n)
            asked.append(kernel_model.demand(row.device, kernel))
            device.append(row.device)
            training.append(row.training)
            in_graph.append(row.mode == "graph")
            backward.append(kernel_model.backward_name(row.device, kernel))
    numbers = {
        "waves": [a.waves for a in asked],
        "wave_s": [a.wave_s for a in asked],
        "moved": [a.moved for a in asked],
        "again": [a.again for a in asked],
        "weights": [a.weights for a in asked],
        "passes": [1 + a.passes for a in asked],
        "paper": [not d.measured for d in device],
        "fast": [a.fast for a in asked],
        "generic": [a.generic for a in asked],
        "contraction": [a.arm == "contraction" for a in asked],
        "memory": [d.memory_bytes_per_s for d in device],
        "cache": [d.cache_bytes for d in device],
        "cache_rate": [d.cache_bytes_per_s for d in device],
        "floor": [d.floor_s for d in device],
        "training": training,
        "in_graph": in_graph,
        "doublings": [np.log2(d.units) for d in device],
    }
    names = {
        "lane": [f"{kind}.compute.{a.lane}" if a.lane else "" for a in asked],
        "arm": [f"{kind}.move.{a.arm}" for a in asked],
        "backward": backward,
        "reorder": [a.reorder for a in asked],
    }
    return Table(
        tuple(rows), kind, np.array(place), np.array(count, float),
        {name: np.array(values, float) for name, values in numbers.items()},
        {name: _indexed(values) for name, values in names.items()},
        HostDemand(*(np.array(column, float) for column in zip(*host, strict=True))),
        np.array([row.device.dispatch_s for row in rows]), np.array([row.device.launch_s for row in rows]),
        np.array([row.copied_s for row in rows]), np.array([row.time_s for row in rows]),
    )  # fmt: skip


def fused(counted: Counted) -> Counted:
    """A compiled network by its counts alone: what moves a map of a batch norm's size becomes part of that one."""
    normed = {kernel.put for kernel, _ in counted if kernel.family == "norm"}

    def joins(kernel: Kernel) -> bool:
        return kernel.family == "elementwise" and kernel.taken == kernel.put in normed

    return tuple((kernel, n) for kernel, n in counted if not joins(kernel))


def kernel_seconds(table: Table, p: Parameters) -> Floats:
    """Of every kernel of a table, with its backward where that is asked: as kernel_model has them, all at once."""
    kind, n = table.kind, table.numbers
    looked_up = {
        what: np.array([p[name] if name else 1.0 for name in known])[which]
        for what, (known, which) in table.names.items()
    }
    share = looked_up["lane"] * np.where(n["paper"], p[f"{kind}.paper"], 1.0)
    share = share * np.where(n["fast"], p[f"{kind}.winograd"], 1.0) * np.where(n["generic"], p[f"{kind}.generic"], 1.0)
    computing = n["waves"] * (n["wave_s"] / share + n["contraction"] * p[f"{kind}.wave_s"])
    memory = n["memory"] * np.where(n["paper"], p[f"{kind}.paper.memory"], 1.0)

    def moving_s(moved: Floats, bandwidth: Floats | float) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.minimum(1.0, n["cache"] * p[f"{kind}.cache.share"] / moved) ** 2
        cache_s, memory_s = moved / (n["cache_rate"] * p[f"{kind}.cache.rate"]), moved / (memory * bandwidth)
        seconds: Floats = np.where(moved > 0, np.maximum(cache_s, found * cache_s + (1 - found) * memory_s), 0.0)
        return seconds

    moving = moving_s(n["moved"], looked_up["arm"])
    anew = n["again"] * looked_up["reorder"] + n["weights"] * p[f"{kind}.reorder.weights"]
    longer, corner = np.maximum(computing, moving), p[f"{kind}.corner"]
    near = np.divide(np.minimum(computing, moving), longer, out=np.zeros_like(longer), where=longer > 0)
    floor = p[f"{kind}.floor"] * np.where(n["in_graph"], p[f"{kind}.graph"], 1.0)
    idle = n["passes"] * (n["floor"] * floor + n["doublings"] * p[f"{kind}.sync_s"])
    forward: Floats = idle + n["contraction"] * p[f"{kind}.setup_s"] + longer * (1 + near**corner) ** (1 / corner)
    forward = forward + moving_s(anew, p[f"{kind}.move.elementwise"])
    whole: Floats = forward * (1 + n["training"] * looked_up["backward"])
    return whole


def _indexed(names: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    known = tuple(dict.fromkeys(names))
    place = {name: i for i, name in enumerate(known)}
    return known, np.array([place[name] for name in names])


def seconds(table: Table, p: Parameters) -> Floats:
    """What the model gives for each row, in seconds."""
    device_s = np.bincount(table.row, kernel_seconds(table, p) * table.count, minlength=len(table.rows))
    host_s = host_seconds(table.kind, table.dispatch_s, table.launch_s, table.host, p)
    found: Floats = device_s + host_s if table.kind == "cpu" else np.maximum(device_s, host_s)
    return found + table.copied_s


def errors(table: Table, p: Parameters) -> Floats:
    """ln(predicted / observed) of each row."""
    found: Floats = np.log(seconds(table, p) / table.observed_s)
    return found


def fit(
    table: Table,
    free: Sequence[str] | None = None,
    start: Parameters | None = None,
    spreads: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """All parameters, those of the table's kind of device fitted to it.

    `free`: only these, their spread as the prior has it. `start`: what they are drawn to instead of the prior's values.
    `spreads`: other spreads than the prior's.
    """
    centre = dict(start or prior())
    wide = {name: one.spread for name, one in PRIOR.items()} | dict(spreads or {})
    names = [
        name for name in PRIOR
        if name.startswith(f"{table.kind}.") and wide[name] and (free is None or name in free)
    ]  # fmt: skip
    middle = np.log([centre[name] for name in names])
    spread = np.array([wide[name] for name in names])
    weights = table.weights

    def residuals(logs: Floats) -> Floats:
        off = errors(table, {**centre, **dict(zip(names, np.exp(logs).tolist(), strict=True))}) / ERROR
        huber = np.sign(off) * np.sqrt(2 * (np.sqrt(1 + off**2) - 1))
        return np.concatenate([huber * weights, (logs - middle) / spread])

    shares = [any(word in name for word in (".compute.", ".move.", ".cache.share")) for name in names]
    most = np.maximum(np.where(shares, math.log(MOST), math.inf), middle + 1e-9)
    found: Any = least_squares(residuals, middle, bounds=(-math.inf, most), max_nfev=STEPS)
    return {**centre, **dict(zip(names, np.exp(found.x).tolist(), strict=True))}
