"""The designed sweeps in a run: rows that hold one count fixed while another grows.

From a standard block to a separable one MACs and layers change together, so a plain comparison can't tell which one
mattered. Two kinds of sweep can: at fixed MACs the layers grow, and at fixed layers the MACs grow. They are found by
what rows count, not by what an experiment is called, so any run may hold them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.analyse.runs.rows import Record, place_label
from bench.analyse.stats.arrays import Floats
from bench.analyse.stats.estimators import log_interval, slope
from bench.spec.columns import TIME, TOLD
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.interval import Interval

FEWEST_POINTS = 3
LEAST_GROWTH = 4.0  # largest / smallest of the count that grows
MOST_DRIFT = 1.3  # largest / smallest of the MACs that are held: whole channels do not divide evenly

Grows = Literal["layers", "macs"]

_PLACE = (
    "run_id device device_name threads dtype layout mode cudnn_benchmark pass allocator waiting batch".split()
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how rows were measured: everything but block and shape, save the batch."""

    run_id: str
    device: str
    device_name: str
    threads: int
    dtype: str
    layout: str
    mode: str
    cudnn_benchmark: str
    pass_: str
    allocator: str
    waiting: str
    batch: int

    @property
    def label(self) -> str:
        """Such as `cpu, 1 thread, channels_last, batch 8`; what is usual goes unsaid."""
        words = place_label({**{name: getattr(self, name) for name in _PLACE if name != "pass"}, "pass": self.pass_})
        return words + (f", batch {self.batch}" if self.batch != 1 else "")

    @property
    def kind(self) -> str:
        """cpu or gpu."""
        return "cpu" if is_cpu(self.device) else "gpu"

    @property
    def predicted(self) -> bool:
        """Whether its times are a model's word."""
        return is_predicted(self.device)


@dataclass(frozen=True, slots=True)
class Point:
    """One arm of a sweep: its counts for one evaluation, and ln of its median time in seconds with the interval over processes."""

    arm_id: str
    layers: int
    macs: int
    activations: int
    c_in: int | None
    depth: int | None
    height: int
    log_time: Interval
    noisy: bool


@dataclass(frozen=True, slots=True)
class Sweep:
    """Points in which `grows` grows and the other count is held; in the order of what grows."""

    grows: Grows
    experiment: str
    block: str
    kernel: int | None
    place: Place
    points: tuple[Point, ...]

    def counts(self) -> Floats:
        """The count that grows, point by point."""
        return np.array([getattr(p, self.grows) for p in self.points], dtype=np.float64)

    @property
    def drift(self) -> float:
        """Largest / smallest of the count that is held."""
        held = [p.macs if self.grows == "layers" else p.layers for p in self.points]
        return max(held) / min(held)

    def elasticity(self) -> Interval:
        """Slope of ln(time) on ln(count) by least squares; its interval carries the points' own, over processes.

        At fixed MACs, 1 says that time is in step with the layers and 0 that layers cost nothing. The interval says how
        well these points are known and not how straight the line is. Half-width inf where a point has no interval.
        """
        return slope(np.log(self.counts()), [p.log_time for p in self.points])

    def line(self) -> tuple[float, float]:
        """Seconds for each unit of what grows, and seconds at none of it: a straight line through the times.

        By least squares of relative errors, neither below 0: time = seconds_each x count + constant.
        """
        from scipy.optimize import nnls

        x = self.counts()
        t = np.exp([p.log_time.mean for p in self.points])
        solution, _ = nnls(np.column_stack([x / t, 1 / t]), np.ones_like(t))
        return float(solution[0]), float(solution[1])


def find(records: Iterable[Record]) -> tuple[Sweep, ...]:
    """The sweeps among rows of measurements.csv, those of growing layers first, each kind in the order of the rows.

    At least FEWEST_POINTS rows, all measured or all predicted, of one block, kernel, place and experiment, whose growing count grows LEAST_GROWTH
    fold. MACs count as held within a factor MOST_DRIFT, layers only where equal, and then with the map's size.
    """
    rows = [r for r in records if r["status"] in TOLD and r["macs"] and r["layers"] and r["time_median_s"]]
    found = [_sweep("layers", g) for g in _grouped(rows)]
    found += [_sweep("macs", g) for g in _grouped(rows, "layers", "depth", "height", "width", "stride", "dilation")]
    return tuple(s for s in found if s is not None)


def _grouped(rows: Sequence[Record], *more: str) -> list[list[Record]]:
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for r in rows:
        if r["kernel"] is not None:  # networks differ in all counts at once
            key = tuple(r[name] for name in ("experiment", "block", "kernel", *_PLACE, *more))
            groups.setdefault(key, []).append(r)
    return list(groups.values())


def _sweep(grows: Grows, rows: Sequence[Record]) -> Sweep | None:
    if len({r[grows] for r in rows}) != len(rows) or len(rows) < FEWEST_POINTS:
        return None  # two rows with the same count differ in something else
    counts, held = [r[grows] for r in rows], [r["macs" if grows == "layers" else "layers"] for r in rows]
    if max(counts) < LEAST_GROWTH * min(counts) or max(held) > MOST_DRIFT * min(held):
        return None
    first = rows[0]
    place = Place(*(first[name] for name in _PLACE))
    points = tuple(point(r) for r in sorted(rows, key=lambda r: int(r[grows])))
    return Sweep(grows, first["experiment"], first["block"], first["kernel"], place, points)


def point(r: Record) -> Point:
    """A row of measurements.csv as a point."""
    return Point(
        arm_id=r["arm_id"],
        layers=r["layers"],
        macs=r["macs"],
        activations=r["activations"],
        c_in=r["c_in"],
        depth=r["depth"],
        height=r["height"],
        log_time=log_interval(r, TIME),
        noisy=r["status"] == "noisy",
    )
