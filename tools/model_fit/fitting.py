"""Fit the kernel model's parameters to observed times, by regularised least squares.

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

from bench.analyse.stats.estimators import Floats
from bench.spec.blocks.kernels import Kernel
from bench.spec.model import kernel_model
from bench.spec.model.kernel_model import Demand, HostDemand, Takes, host_demand, host_seconds
from bench.spec.model.model_parameters import PRIOR, Parameters, prior
from tools.model_fit.published_times import Counted, Observed

ERROR = 0.15  # of ln time, beyond which an error counts linearly
WEIGHT = 60  # rows that a table counts as, however many it has
MOST = 1.1  # of a peak or a bandwidth on paper, which a card's clock may be above
STEPS = 60  # evaluations of all derivatives at most; a fit takes 10 to 30


@dataclass(frozen=True, slots=True)
class Table:
    """Rows as columns: for each kernel of each row what it asks of its device, its row and how often it runs.

    `takes`: for each field of Takes the parameters' names, and which of them each kernel takes. `training`: of kernels with
    their backward 1. `host`: what each row asks of its host; `dispatch_s` and `launch_s` are its device's. `copied_s`: of the
    time, what no kernel takes.
    """

    rows: tuple[Observed, ...]
    kind: str
    row: npt.NDArray[np.intp]
    count: Floats
    asked: Demand
    takes: Takes
    training: Floats
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
    place, count, asked, takes, training, host = [], [], [], [], [], []
    for i, row in enumerate(rows):
        run = row.kernels
        if row.mode == "compile":
            run = tuple((kernel_model.laid_out(row.device, kernel), n) for kernel, n in fused(run))
        alone = row.mode == "library"  # a kernel was called without a host
        host.append(HostDemand() if alone else host_demand(row.mode, run, row.training))
        for kernel, n in run:
            place.append(i)
            count.append(n)
            asked.append(kernel_model.demand(row.device, kernel))
            takes.append(kernel_model.takes(row.device, kernel, row.mode == "graph"))
            training.append(row.training)
    return Table(
        tuple(rows), kind, np.array(place), np.array(count, float),
        Demand(*(np.array(column, float) for column in zip(*asked, strict=True))),
        Takes(*(_indexed(column) for column in zip(*takes, strict=True))), np.array(training, float),
        HostDemand(*(np.array(column, float) for column in zip(*host, strict=True))),
        np.array([row.device.dispatch_s for row in rows]), np.array([row.device.launch_s for row in rows]),
        np.array([row.copied_s for row in rows]), np.array([row.time_s for row in rows]),
    )  # fmt: skip


def fused(counted: Counted) -> Counted:
    """A compiled network by its counts alone: what moves a map of a batch norm's size becomes part of that one."""
    normed = {kernel.bytes_out for kernel, _ in counted if kernel.family == "norm"}

    def joins(kernel: Kernel) -> bool:
        return kernel.family == "elementwise" and kernel.bytes_in == kernel.bytes_out in normed

    return tuple((kernel, n) for kernel, n in counted if not joins(kernel))


def kernel_seconds(table: Table, p: Parameters) -> Floats:
    """Of every kernel of a table, with its backward where that is asked."""
    taken = Takes(*(np.take([p[name] if name else 1.0 for name in known], which) for known, which in table.takes))
    forward = kernel_model.forward_seconds(table.kind, table.asked, taken, p, np.maximum, np.minimum)
    whole: Floats = forward * (1 + table.training * taken.backward)
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
