"""Which rows form a designed sweep: layers grow at fixed MACs, or MACs at fixed layers; its elasticity, and its times drawn anew.

From a standard block to a separable one MACs and layers change together, so a comparison of the two can't show which
one matters. Two kinds of sweep can: layers grow at fixed MACs, or MACs grow at fixed layers. They are recognised by the
rows' counts, not by an experiment's name, so any run may have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bench.analyse.runs.condition import FIELDS, Condition
from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record, grouped
from bench.analyse.stats.estimators import CONFIDENCE, Floats, log_interval, slope, standard_error
from bench.spec.columns import TIME, WITH_NUMBERS
from bench.spec.format import listed, plural
from bench.spec.interval import Interval

FEWEST_POINTS = 3
LEAST_GROWTH = 4.0  # largest / smallest of the count that grows
MOST_DRIFT = 1.3  # largest / smallest of the MACs that are held: whole channels do not divide evenly
RESAMPLES = 10_000
SEED = 1

Grows = Literal["layers", "macs"]


@dataclass(frozen=True, slots=True)
class Point:
    """One arm of a sweep: its counts for one evaluation, and ln of its median time in s with the interval."""

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
    """Points in which the count `grows` grows and the other is held, in the order of the growing count."""

    grows: Grows
    experiment: str
    block: str
    kernel: int | None
    run_id: str
    condition: Condition  # its origin is the run
    points: tuple[Point, ...]

    def counts(self) -> Floats:
        """The count that grows, point by point."""
        return np.array([getattr(p, self.grows) for p in self.points], dtype=np.float64)

    @property
    def words(self) -> str:
        """What is special about it beside others of its kind: how MACs are held, or how many layers are."""
        first, last = self.points[0], self.points[-1]
        if self.grows == "macs":
            return f"in stacks of {plural(first.layers, 'layer')}"
        narrower, smaller = (first.c_in or 0) > (last.c_in or 0), first.height > last.height
        how = [word for word, so in (("channels", narrower), ("maps", smaller)) if so]
        return f"where {listed(how)} shrink as layers are added" if how else "where layers are added"

    def elasticity(self) -> Interval:
        """Slope of ln(time) on ln(count) by least squares, with the interval that follows from the points' intervals.

        At fixed MACs, 1 means time proportional to the layers and 0 that layers cost nothing. The interval shows how
        well the points are known, not how straight the line is. Half-width inf where a point has no interval.
        """
        return slope(np.log(self.counts()), [p.log_time for p in self.points])


def find(records: Iterable[Record]) -> tuple[Sweep, ...]:
    """The sweeps among rows of measurements.csv, those of growing layers first, each kind in the order of the rows.

    A sweep has at least FEWEST_POINTS rows, all measured or all predicted, of one block, kernel, condition and
    experiment, and its count grows at least LEAST_GROWTH fold. MACs count as held within a factor MOST_DRIFT, layers
    only if equal, and then with the map's size.
    """
    rows = [r for r in records if r["status"] in WITH_NUMBERS and r["macs"] and r["layers"] and r["time_median_s"]]
    sweeps = [_sweep("layers", g) for g in _grouped(rows)]
    sweeps += [_sweep("macs", g) for g in _grouped(rows, "layers", "depth", "height", "width", "stride", "dilation")]
    return tuple(s for s in sweeps if s is not None)


def surest(sweeps: Iterable[Sweep], grows: str) -> list[Sweep]:
    """Those of the sweeps in which this count grows; only those with an interval, if there are any."""
    grown = [s for s in sweeps if s.grows == grows]
    return [s for s in grown if s.elasticity().n > 1] or grown


def _grouped(rows: Sequence[Record], *more: str) -> list[list[Record]]:
    names = ("experiment", "block", "kernel", "run_id", *FIELDS, *more)
    blocks = (r for r in rows if r["kernel"] is not None)  # networks differ in all counts at once
    return list(grouped(blocks, lambda r: tuple(r[name] for name in names)).values())


def _sweep(grows: Grows, rows: Sequence[Record]) -> Sweep | None:
    if len({r[grows] for r in rows}) != len(rows) or len(rows) < FEWEST_POINTS:
        return None  # two rows with the same count differ in something else
    counts, held = [r[grows] for r in rows], [r["macs" if grows == "layers" else "layers"] for r in rows]
    if max(counts) < LEAST_GROWTH * min(counts) or max(held) > MOST_DRIFT * min(held):
        return None
    first = rows[0]
    points = tuple(_point(r) for r in sorted(rows, key=lambda r: int(r[grows])))
    condition = Condition.of(first, first["run_id"])
    return Sweep(grows, first["experiment"], first["block"], first["kernel"], first["run_id"], condition, points)


def _point(r: Record) -> Point:
    alike = {name: r[name] for name in ("arm_id", "layers", "macs", "activations", "c_in", "depth", "height")}
    return Point(**alike, log_time=log_interval(r, TIME), noisy=is_noisy(r))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its percentile interval over resamples; low and high are None where a point has no interval."""

    value: float
    low: float | None
    high: float | None
    draws: Floats | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, value: float, draws: Floats | None) -> Estimate:
        """The value, with the middle of the draws (some may be infinite)."""
        if draws is None:
            return cls(value, None, None)
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], method="nearest")  # no mean of a number and infinity
        return cls(value, float(low), float(high), draws)

    @classmethod
    def by(cls, function: Callable[..., Floats], *others: Estimate) -> Estimate:
        """A function of other estimates, of their values and draw by draw."""
        draws = [e.draws for e in others]
        value = float(function(*(np.float64(e.value) for e in others)))
        return cls.of(value, None if any(d is None for d in draws) else function(*draws))


def drawn(sweep: Sweep, seed: int) -> Floats | None:
    """Times of the points drawn anew, a row for each of RESAMPLES; None where a point has no interval.

    Each is drawn within its interval: Student's t with the processes' degrees of freedom.
    """
    known = [p.log_time for p in sweep.points]
    if any(i.n < 2 or not math.isfinite(i.half_width) for i in known):
        return None
    rng = np.random.default_rng(seed)
    errors = [standard_error(i) for i in known]
    ts = np.column_stack([rng.standard_t(i.n - 1, RESAMPLES) for i in known])
    moved = np.clip(ts * np.array(errors), -50, 50)  # a factor of e^50 is far enough, and no number overflows
    return np.asarray(np.exp(np.array([i.mean for i in known]) + moved), dtype=np.float64)
