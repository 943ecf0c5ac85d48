"""The rows of one or several runs as the claims need them: made alike, and grouped by where and how they were measured.

A site is a device with everything that is fixed around a block: threads, dtype, layout, mode, pass, batch and what the
worker was started with. Claims are judged site by site. Runs of the same machine and torch share their sites.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analyse.runs import noise_floor
from bench.analyse.runs.rows import Record, place_label, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import CONFIDENCE
from bench.analyse.sweeps import designed
from bench.analyse.sweeps.designed import Sweep
from bench.spec.columns import PREDICTED, SPEEDUP, TIME, TOLD
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.errors import UserError
from bench.spec.interval import Interval

USUAL: Mapping[str, Any] = {
    "dtype": "fp32",
    "layout": "contiguous",
    "mode": "eager",
    "pass": "inference",
    "allocator": "retain",
    "waiting": "default",
    "cudnn_benchmark": "on",
}
"""How a block is run unless told; what an older table leaves empty counts as this."""

BLOCKS, NETWORKS = "blocks", "networks"
TWINS = {BLOCKS: ("separable", "standard"), NETWORKS: ("mobilenet_v1", "mobilenet_v1_standard")}
"""The pairs that the claims speak of, finished alike: separable(no norm) has its twin in standard(no norm)."""

WORKLOAD = "block baseline c_in c_out height width kernel stride padding dilation depth".split()


@dataclass(frozen=True, slots=True)
class Setup:
    """A machine and its torch; `own` tells runs apart that do not say where they were made."""

    cpu_model: str
    physical_cores: int
    memory_bytes: int
    torch: str
    own: str = ""

    @property
    def machine(self) -> tuple[Any, ...]:
        """What is the same for two runs on one machine."""
        return (self.cpu_model, self.physical_cores, self.memory_bytes, self.own)


@dataclass(frozen=True, slots=True)
class Site:
    """Where and how rows were measured; None where a verdict spans what else would be fixed."""

    setup: Setup | None = None
    device: str | None = None
    device_name: str | None = None
    threads: int | None = None
    dtype: str | None = None
    layout: str | None = None
    mode: str | None = None
    pass_: str | None = None
    batch: int | None = None
    allocator: str | None = None
    waiting: str | None = None
    cudnn_benchmark: str | None = None

    @classmethod
    def of(cls, row: Record, setup: Setup) -> Site:
        """The site of a row of either table."""
        names = "device device_name threads dtype layout mode batch allocator waiting cudnn_benchmark".split()
        return cls(setup=setup, pass_=row["pass"], **{name: row[name] for name in names})

    @property
    def kind(self) -> str:
        """cpu or gpu (any accelerator)."""
        return "cpu" if is_cpu(self.device) else "gpu"

    @property
    def predicted(self) -> bool:
        """Whether rows of it, or of one of its devices, are a model's word."""
        return is_predicted(self.device)

    @property
    def usual(self) -> bool:
        """Whether nothing but threads and batch is chosen: fp32, contiguous, eager, inference and so on."""
        told = self.fields()
        return all(told[name] == value for name, value in USUAL.items())

    @property
    def label(self) -> str:
        """Such as `cpu, 1 thread, channels_last, batch 8`; what is usual goes unsaid."""
        if self.device is None:
            return "any device"
        told = {name: USUAL.get(name) if value is None else value for name, value in self.fields().items()}
        words = place_label(told, ("threads",) if self.threads is None else ())
        words += f", cudnn_benchmark {self.cudnn_benchmark}" if told["cudnn_benchmark"] != "on" else ""
        return words + (f", batch {self.batch}" if self.batch not in (1, None) else "")

    def fields(self) -> dict[str, Any]:
        """By the columns' names, the machine left out."""
        names = "device device_name threads dtype layout mode pass batch allocator waiting cudnn_benchmark".split()
        return {name: getattr(self, "pass_" if name == "pass" else name) for name in names}

    def order(self) -> tuple[Any, ...]:
        """To list sites in an order that depends on nothing but themselves."""
        told = self.fields()
        odd = sum(told[name] not in (value, None) for name, value in USUAL.items())
        return (self.kind, str(self.device), odd, str(self.layout), str(self.dtype), str(self.mode), self.batch or 0, self.threads or 0, repr(self))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """A pair: ln(speedup) with its interval at CONFIDENCE over processes, infinite where one process measured it.

    Of a predicted pair the interval is the model's error.
    """

    site: Site
    contest: str  # of TWINS
    row: Record
    log: Interval

    @property
    def workload(self) -> tuple[Any, ...]:
        """What is computed, apart from where."""
        return tuple(self.row[name] for name in WORKLOAD)

    @property
    def known(self) -> bool:
        """Whether it has an interval: several processes measured it, or the model tells its error. Only such cells decide."""
        return math.isfinite(self.log.half_width)


@dataclass(frozen=True, slots=True)
class Rows:
    """What all runs hold. `arms` and `sweeps` are by site; `index` finds an arm by site, run, trial and block."""

    pairs: tuple[tuple[Site, Record], ...]
    cells: tuple[Cell, ...]
    arms: Mapping[Site, tuple[Record, ...]]
    sweeps: Mapping[Site, tuple[Sweep, ...]]
    index: Mapping[tuple[Any, ...], Record]

    def twins(self, site: Site, row: Record) -> tuple[Record, Record] | None:
        """The two arms of a pair, the baseline first; None where measurements.csv lacks one."""
        base, thin = (self.index.get((site, row["run_id"], row["trial_id"], row[name])) for name in ("baseline", "block"))  # fmt: skip
        return None if base is None or thin is None else (base, thin)


def gather(runs: Sequence[Run], predicted: bool = False) -> Rows:
    """The rows of the runs that were measured, in an order of their own; with `predicted` those of predicted devices too.

    UserError for a run that is given twice.
    """
    _distinct(runs)
    pairs: list[tuple[Site, Record]] = []
    arms: dict[Site, list[Record]] = {}
    found: dict[Site, list[Sweep]] = {}
    for run in (r for r in runs if not noise_floor.is_aa(r)):  # blocks against themselves say nothing of claims
        setup, confidence = setup_of(run), run.timing.confidence
        compared, timed = (_ordered(_kept(frame, predicted)) for frame in (run.pairs, run.measurements))
        pairs += [(Site.of(row, setup), _rescaled(row, SPEEDUP, confidence)) for row in compared]
        own = [_rescaled(row, TIME, confidence) for row in timed]
        by_arm = {row["arm_id"]: Site.of(row, setup) for row in own}
        for row in own:
            arms.setdefault(by_arm[row["arm_id"]], []).append(row)
        for sweep in designed.find(own):
            found.setdefault(by_arm[sweep.points[0].arm_id], []).append(sweep)
    pairs.sort(key=lambda pair: (pair[0].order(), _id(pair[1])))
    cells = [cell for site, row in pairs if (cell := _cell(site, row)) is not None]
    index = {(site, r["run_id"], r["trial_id"], r["block"]): r for site, rows in arms.items() for r in rows}
    return Rows(tuple(pairs), tuple(cells), _frozen(arms), _frozen(found), index)


def setup_of(run: Run) -> Setup:
    """The machine that a run was made on."""
    host = run.environment.get("host") or {}
    own = "" if host.get("cpu_model") else run.run_id
    return Setup(
        str(host.get("cpu_model") or ""), int(host.get("physical_cores") or 0), int(host.get("memory_bytes") or 0),
        str(run.environment.get("torch") or ""), own,
    )  # fmt: skip


def by_site(cells: Iterable[Cell]) -> dict[Site, list[Cell]]:
    """The cells of each site, sites in their own order."""
    groups: dict[Site, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.site, []).append(cell)
    return {site: groups[site] for site in sorted(groups, key=Site.order)}


def primary(sites: Iterable[Site]) -> set[Site]:
    """The sites that answers are confirmed on: nothing unusual, one thread or most of them, the smallest batch there is.

    Chosen by what was measured, never by what came out.
    """
    groups: dict[tuple[Any, ...], list[Site]] = {}
    for site in sites:
        if site.usual:
            groups.setdefault((site.setup, site.device, site.device_name), []).append(site)
    chosen: set[Site] = set()
    for group in groups.values():
        most = max(s.threads or 0 for s in group)
        for threads in {s.threads for s in group} & {1, most, None}:
            own = [s for s in group if s.threads == threads]
            least = min(s.batch or 0 for s in own)
            chosen |= {s for s in own if (s.batch or 0) == least}
    return chosen


def _distinct(runs: Sequence[Run]) -> None:
    seen: dict[Any, Run] = {}
    for run in runs:
        for key in (run.folder.resolve(), (run.run_id, setup_of(run))):
            if seen.setdefault(key, run) is not run:
                raise UserError(str(run.folder), "this run was given already", "Give each run once.", run.run_id)


def _kept(frame: Any, predicted: bool) -> Any:
    return frame if predicted else frame[[not is_predicted(d) for d in frame["device"]]]


def _ordered(frame: Any) -> list[dict[str, Any]]:
    rows = [{**row, **{name: row[name] if row[name] is not None else usual for name, usual in USUAL.items()}} for row in records_of(frame)]  # fmt: skip
    return sorted(rows, key=_id)


def _id(row: Record) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("run_id", "trial_id", "arm_id"))


def _rescaled(row: dict[str, Any], columns: tuple[str, str, str], confidence: float) -> dict[str, Any]:
    """The row with its interval at CONFIDENCE, or without one where that can't be said."""
    if row["status"] == PREDICTED:
        return row
    mean, low, high = columns
    value, ends, n = row[mean], (row[low], row[high]), row["processes"]
    if value is None or None in ends or n is None or n < 2 or not min(value, *ends) > 0:
        return {**row, low: None, high: None}
    if confidence == CONFIDENCE:
        return row
    log = estimators.at_confidence(estimators.log_interval(row, columns), confidence, CONFIDENCE)
    return {**row, low: math.exp(log.low), high: math.exp(log.high)}


def _cell(site: Site, row: Record) -> Cell | None:
    contest = contest_of(row)
    if contest is None or row["status"] not in TOLD or not row["speedup"]:
        return None
    return Cell(site, contest, row, estimators.log_interval(row, SPEEDUP))


def contest_of(row: Record) -> str | None:
    """Which of TWINS a pair is; None for any other pair."""
    (block, made), (baseline, base) = (str(row[name]).partition("(")[::2] for name in ("block", "baseline"))
    return next((c for c, twins in TWINS.items() if (block, baseline) == twins and made == base), None)


def _frozen(groups: Mapping[Site, list[Any]]) -> dict[Site, tuple[Any, ...]]:
    return {site: tuple(groups[site]) for site in sorted(groups, key=Site.order)}
