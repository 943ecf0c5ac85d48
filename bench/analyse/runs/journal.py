"""Read journal.jsonl: samples, inspection, failures and second opinions of each trial; roofs; the sessions' times.

A line that can't be read is an error that names the line, because a record that is silently dropped changes the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.analyse.runs import roofline
from bench.analyse.runs.roofline import Roof
from bench.analyse.stats.estimators import Floats, Ints
from bench.spec.columns import COUNTED, LEAF, PARTS, Part
from bench.spec.errors import printable
from bench.spec.files import MOST_OF_JOURNAL, content_of
from bench.spec.plan.plan import Trial
from bench.spec.results_folder import read_records


@dataclass(frozen=True, slots=True)
class Samples:
    """One arm's samples in one process: seconds per evaluation, in time order; samples 2i and 2i + 1 are of round i."""

    time_s: Floats
    flags: Ints
    evaluations: int
    warm_up_s: Floats
    counters: Mapping[str, int]
    device_s: Floats | None = None  # the device's own times of single evaluations, warm
    device_cold_s: Floats | None = None
    device_proven: bool | None = None
    enqueue_s: Floats | None = None
    shares: Mapping[Part, float] | None = None  # of an evaluation's time, by part of the block; empty if left out
    leaves: Mapping[str, float] = field(default_factory=dict)  # the same by the names of a user's modules


@dataclass(frozen=True, slots=True)
class Visit:
    """A trial as one process measured it: `arms` by arm_id; `orders` by round, a letter per sample, A the first arm."""

    replicate: int
    orders: tuple[str, ...]
    arms: Mapping[str, Samples]
    settled: bool = True  # whether the warm-up went on until times fell no further
    card: tuple[Mapping[str, Any], ...] = ()  # readings of the accelerator before and after
    reds: tuple[str, ...] = ()  # checks of the machine in spite of which the session began
    changed: tuple[str, ...] = ()  # settings of the process that a block changed, which were then put back


@dataclass(frozen=True, slots=True)
class Failure:
    """A visit that failed, or with `replicate` None an inspection or second opinions."""

    status: str
    detail: str
    replicate: int | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """One arm's memory, launches and the like, which no timed process counts."""

    memory_peak_bytes: int | None = None
    backends: tuple[str, ...] = ()
    memory_requested_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    launches: int | None = None
    launches_graph: int | None = None
    compile_s: float | None = None
    counted: Mapping[str, int] | None = None  # costs of a block that has no formula
    unknown: str | None = None  # the operator for which there is no count, so that `counted` is not whole


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Another tool's times of one arm, in seconds per evaluation; None without times, with the reason in `detail`."""

    arm_id: str
    tool: str
    time_min_s: float | None
    time_median_s: float | None
    time_iqr_s: float | None
    detail: str | None


@dataclass(slots=True)
class TrialResults:
    """All that the journal holds of one trial. Of two records of the same process the later one counts."""

    processes: dict[int, Visit | Failure] = field(default_factory=dict)  # by replicate
    inspections: dict[str, Inspection] = field(default_factory=dict)  # by arm_id
    inspection_failure: Failure | None = None
    settled: str | None = None  # why no further process is needed
    opinions: tuple[SecondOpinion, ...] = ()
    opinion_failure: Failure | None = None
    machine: str | None = None  # of a merge: where it was measured

    @property
    def visits(self) -> tuple[Visit, ...]:
        """The visits that measured, by process."""
        return tuple(v for _, v in sorted(self.processes.items()) if isinstance(v, Visit))

    def samples(self, arm_id: str) -> list[Samples]:
        """An arm's samples, process by process."""
        return [v.arms[arm_id] for v in self.visits]

    def inspection(self, arm_id: str) -> Inspection:
        """What the inspection counted of an arm; an empty one where there was none."""
        return self.inspections.get(arm_id, Inspection())

    @property
    def failure(self) -> Failure | None:
        """The first failure: of the inspection, or else of a process."""
        failed = (v for _, v in sorted(self.processes.items()) if isinstance(v, Failure))
        return self.inspection_failure or next(failed, None)


@dataclass(slots=True)
class Journal:
    """A journal's content. Seconds are summed over the sessions that ended by themselves or by Ctrl-C."""

    run_id: str = ""
    machine: str | None = None  # of a merge: where the records that follow were made
    trials: dict[str, TrialResults] = field(default_factory=dict)  # by trial_id
    roofs: dict[roofline.Key, Roof] = field(default_factory=dict)
    timed_s: float = 0.0
    wall_s: float = 0.0
    sessions: int = 0
    begun: int = 1  # sessions that were started; a killed one has no end

    def of(self, trial_id: str) -> TrialResults:
        """The trial's results; empty ones where the journal has no record of it."""
        return self.trials.get(trial_id, TrialResults())


def read_journal(path: Path, trials: Mapping[str, Trial]) -> Journal:
    """Read journal.jsonl of a run with these trials (by trial_id). UserError as of `read_records`."""
    journal = Journal()
    for record in read_records(path, content_of(path, MOST_OF_JOURNAL), trials):
        _add(journal, record)
    return journal


INSPECTED = ("memory_peak_bytes", "memory_requested_bytes", "memory_reserved_bytes", "launches", "launches_graph")
"""What an inspection counts of an arm, by the columns of measurements.csv."""
WALK_OFF = 0.05  # share of a call by which the layers may take longer than it, or one of them be below 0, by chance


def _add(journal: Journal, record: dict[str, Any]) -> None:
    match record["type"]:
        case "run":
            journal.run_id, journal.machine = record["run_id"], record.get("machine")
        case "resume":
            journal.begun += 1
            journal.machine = record.get("machine", journal.machine)
        case "end" | "interrupt":
            journal.timed_s += float(record["timed_s"])
            journal.wall_s += float(record["wall_s"])
            journal.sessions += 1
        case "roof":
            key = record["device"], record["threads"], record["dtype"]
            roof = Roof.of(record)
            journal.roofs[key] = roof.highest(journal.roofs[key]) if key in journal.roofs else roof
        case "inspect" | "visit" | "settled" | "opinion":
            results = journal.trials.setdefault(record["trial_id"], TrialResults())
            results.machine = journal.machine
            _add_to_trial(results, record)


def _add_to_trial(results: TrialResults, record: dict[str, Any]) -> None:
    match record["type"]:
        case "inspect":
            results.inspection_failure = _failure(record, None)
            if results.inspection_failure is None:
                results.inspections |= {arm["arm_id"]: _inspection(arm) for arm in record["arms"]}
        case "visit":
            replicate = record["replicate"]
            results.processes[replicate] = _failure(record, replicate) or _visit(record, replicate)
        case "settled":
            results.settled = record["why"]
        case "opinion":
            results.opinion_failure = _failure(record, None)
            if results.opinion_failure is None:
                results.opinions = tuple(_opinion(arm) for arm in record["arms"])


def _failure(record: dict[str, Any], replicate: int | None) -> Failure | None:
    if record["status"] == "ok":
        return None
    return Failure(record["status"], printable(record.get("status_detail") or "no detail was given"), replicate)


def _inspection(arm: dict[str, Any]) -> Inspection:
    compile_ns, costs = arm.get("compile_ns"), arm.get("counted")
    return Inspection(
        **{name: arm.get(name) for name in INSPECTED},
        backends=tuple(arm["backends"]),
        compile_s=None if compile_ns is None else float(compile_ns) / 1e9,
        counted=None if costs is None else {name: costs[name] for name in COUNTED if name in costs},
        unknown=(costs or {}).get("unknown"),
    )


def _visit(record: dict[str, Any], replicate: int) -> Visit:
    arms = {a["arm_id"]: a for a in record["arms"]}
    warm_up = record["warm_up"]["samples_ns"]
    counters = record.get("counters") or {}
    samples = {i: _samples(arm, warm_up.get(i, []), counters.get(i) or {}) for i, arm in arms.items()}
    settled, lists = (
        record["warm_up"].get("settled", True),
        (tuple(record.get(n) or ()) for n in ("card", "reds", "changed")),
    )
    return Visit(replicate, tuple(record["orders"]), samples, settled, *lists)


def _samples(arm: dict[str, Any], warm_up: list[float], counters: Mapping[str, int]) -> Samples:
    return Samples(
        time_s=np.asarray(arm["samples_ns"], dtype=np.float64) / 1e9,
        flags=np.asarray(arm["flags"], dtype=np.int64),
        evaluations=arm["evaluations_per_sample"],
        warm_up_s=np.asarray(warm_up, dtype=np.float64) / 1e9,
        counters=counters,
        device_s=_seconds(arm.get("device_ns")),
        device_cold_s=_seconds(arm.get("device_cold_ns")),
        device_proven=arm.get("device_proven"),
        enqueue_s=_seconds(arm.get("enqueue_ns")),
        shares=_shares(arm.get("parts_ns")),
        leaves=_leaves(arm.get("parts_ns") or {}),
    )


def _shares(parts_ns: Mapping[str, float] | None) -> dict[Part, float] | None:
    """Each part's share of the whole; None where the parts were not timed, empty where they are off by over WALK_OFF."""
    if not parts_ns:
        return None
    whole = float(parts_ns.get("whole", 0.0))
    shares = {part: float(parts_ns.get(part, 0.0)) / whole if whole > 0 else -1.0 for part in PARTS}
    sound = min(shares.values()) >= -WALK_OFF and sum(shares.values()) <= 1 + WALK_OFF
    return {part: max(0.0, share) for part, share in shares.items()} if sound else {}


def _leaves(parts_ns: Mapping[str, float]) -> dict[str, float]:
    """Each module's share of the whole, which `_shares` judges."""
    named = {name.removeprefix(LEAF): ns for name, ns in parts_ns.items() if name.startswith(LEAF)}
    return {name: max(0.0, float(ns)) / max(1.0, float(parts_ns["whole"])) for name, ns in named.items()}


def _opinion(arm: dict[str, Any]) -> SecondOpinion:
    times = {name: arm.get(name) for name in ("time_min_s", "time_median_s", "time_iqr_s")}
    return SecondOpinion(arm["arm_id"], arm["tool"], **times, detail=arm.get("detail") and printable(arm["detail"]))


def _seconds(ns: list[float] | None) -> Floats | None:
    """Times in seconds; None where there are none, or where one is not above 0."""
    times = np.asarray(ns or [], dtype=np.float64) / 1e9
    return times if times.size and (times > 0).all() else None
