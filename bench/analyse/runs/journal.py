"""The journal as typed records: what each trial's inspection and visits said, and what each session took.

A journal is append-only, so its last line may be torn: a line without its newline is left out. Anything else that
can't be read is an error that names the line, because a record that is silently dropped changes the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.analyse.runs import roofline
from bench.analyse.runs.roofline import Roof
from bench.analyse.stats.arrays import Floats, Ints
from bench.spec.columns import COUNTED, PARTS, SCHEMA_VERSION, STATUSES, TOOLS, Part
from bench.spec.errors import UserError
from bench.spec.plan.plan import Trial


@dataclass(frozen=True, slots=True)
class Taken:
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
    shares: Mapping[Part, float] | None = None  # of an evaluation's time, by part of the block


@dataclass(frozen=True, slots=True)
class Visit:
    """A trial as one process measured it; `arms` by arm_id, `orders` a letter per sample, A for the first arm."""

    replicate: int
    orders: tuple[str, ...]
    arms: Mapping[str, Taken]
    settled: bool = True  # whether the warm-up ended by evidence
    card: tuple[Mapping[str, Any], ...] = ()  # readings of the accelerator before and after


@dataclass(frozen=True, slots=True)
class Failure:
    """A visit, or with `replicate` None the inspection, that came to nothing."""

    status: str
    detail: str
    replicate: int | None


@dataclass(frozen=True, slots=True)
class Inspected:
    """What the inspection saw of one arm."""

    memory_peak_bytes: int | None
    backends: tuple[str, ...]
    memory_requested_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    launches: int | None = None
    launches_graph: int | None = None
    compile_s: float | None = None
    counted: Mapping[str, int] | None = None  # costs of a block that has no formula


@dataclass(frozen=True, slots=True)
class Opinion:
    """What another tool says of one arm, in seconds per evaluation; None where it says nothing, with why in `detail`."""

    arm_id: str
    tool: str
    time_min_s: float | None
    time_median_s: float | None
    time_iqr_s: float | None
    detail: str | None


@dataclass(slots=True)
class History:
    """Everything the journal says of one trial. Of two records on the same process the later one stands."""

    visited: dict[int, Visit | Failure] = field(default_factory=dict)
    inspected: dict[str, Inspected] = field(default_factory=dict)
    uninspected: Failure | None = None
    settled: str | None = None
    opinions: tuple[Opinion, ...] = ()
    unopined: Failure | None = None

    @property
    def visits(self) -> tuple[Visit, ...]:
        """The visits that measured, by process."""
        return tuple(v for _, v in sorted(self.visited.items()) if isinstance(v, Visit))

    @property
    def failure(self) -> Failure | None:
        """The first failure: of the inspection, or else of a process."""
        failed = (v for _, v in sorted(self.visited.items()) if isinstance(v, Failure))
        return self.uninspected or next(failed, None)


@dataclass(slots=True)
class Journal:
    """A journal, read. Seconds are summed over the sessions that ended by themselves or by Ctrl-C."""

    run_id: str = ""
    histories: dict[str, History] = field(default_factory=dict)
    roofs: dict[roofline.Key, Roof] = field(default_factory=dict)
    timed_s: float = 0.0
    wall_s: float = 0.0
    sessions: int = 0
    begun: int = 1  # sessions that were started; a killed one has no end

    def history(self, trial_id: str) -> History:
        """The trial's records; an empty history where there are none."""
        return self.histories.get(trial_id, History())


def read_journal(path: Path, trials: Mapping[str, Trial]) -> Journal:
    """Read journal.jsonl of a run with these trials (by trial_id).

    UserError, with the line's number, for a line that is no whole record, a trial that the plan doesn't hold and a
    schema newer than this program's.
    """
    journal = Journal()
    for number, line in enumerate(_whole_lines(path), 1):
        place = f"{path}:{number}"
        try:
            record = json.loads(line)
            _take(journal, record, trials)
        except UserError as error:
            raise UserError(place, error.rule, error.remedy, error.value) from None
        except json.JSONDecodeError as error:
            raise UserError(place, f"this line is no JSON record ({error.msg})", _RESTORE) from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(place, f"this record is not whole ({type(error).__name__}: {error})", _RESTORE) from None
    return journal


_RESTORE = "Restore the journal from a copy, or delete this line and resume the run."


def _whole_lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(str(path), f"the journal can't be read: {error.strerror}", "Mend the file.") from None
    return text.split("\n")[:-1]


def _take(journal: Journal, record: dict[str, Any], trials: Mapping[str, Trial]) -> None:
    take = _TAKERS.get(record["type"])
    if take is not None:
        take(journal, record)
    elif record["type"] in _OF_TRIALS:
        trial = trials.get(record["trial_id"])
        if trial is None:
            raise UserError("", "plan.json holds no such trial", "Put the plan back that this journal began with.", record["trial_id"])  # fmt: skip
        _OF_TRIALS[record["type"]](journal.histories.setdefault(trial.trial_id, History()), record, trial)


def _take_run(journal: Journal, record: dict[str, Any]) -> None:
    if int(record["schema_version"]) > SCHEMA_VERSION:
        raise UserError("", f"the newest schema that this program reads is {SCHEMA_VERSION}", "Use a newer bench.", record["schema_version"])  # fmt: skip
    journal.run_id = str(record["run_id"])


def _take_resume(journal: Journal, _: dict[str, Any]) -> None:
    journal.begun += 1


def _take_session(journal: Journal, record: dict[str, Any]) -> None:
    timed, wall = float(record["timed_s"]), float(record["wall_s"])
    journal.timed_s += timed
    journal.wall_s += wall
    journal.sessions += 1


def _take_roof(journal: Journal, record: dict[str, Any]) -> None:
    key = str(record["device"]), int(record["threads"]), str(record["dtype"])
    roof = Roof.of(record)
    journal.roofs[key] = roof.beside(journal.roofs[key]) if key in journal.roofs else roof


def _take_inspection(history: History, record: dict[str, Any], _: Trial) -> None:
    history.uninspected = _failure(record, None)
    if history.uninspected is None:
        for arm in record["arms"]:
            counted = (
                "memory_peak_bytes",
                "memory_requested_bytes",
                "memory_reserved_bytes",
                "launches",
                "launches_graph",
            )
            counts = {name: None if arm.get(name) is None else int(arm[name]) for name in counted}
            took = arm.get("compile_ns")
            compile_s = None if took is None else float(took) / 1e9
            own = arm.get("counted")
            history.inspected[arm["arm_id"]] = Inspected(
                backends=tuple(arm["backends"]),
                compile_s=compile_s,
                counted=None if own is None else {name: int(own[name]) for name in COUNTED},
                **counts,
            )


def _take_visit(history: History, record: dict[str, Any], trial: Trial) -> None:
    replicate = int(record["replicate"])
    history.visited[replicate] = _failure(record, replicate) or _visit(record, replicate, trial)


def _take_settled(history: History, record: dict[str, Any], _: Trial) -> None:
    history.settled = str(record["why"])


def _take_opinion(history: History, record: dict[str, Any], trial: Trial) -> None:
    history.unopined = _failure(record, None)
    if history.unopined is None:
        history.opinions = tuple(_opinion(told, trial) for told in record["arms"])


_TAKERS: dict[str, Callable[[Journal, dict[str, Any]], None]] = {
    "run": _take_run,
    "resume": _take_resume,
    "end": _take_session,
    "interrupt": _take_session,
    "roof": _take_roof,
}
_OF_TRIALS: dict[str, Callable[[History, dict[str, Any], Trial], None]] = {
    "inspect": _take_inspection,
    "visit": _take_visit,
    "settled": _take_settled,
    "opinion": _take_opinion,
}


def _failure(record: dict[str, Any], replicate: int | None) -> Failure | None:
    status = record["status"]
    if status == "ok":
        return None
    if status not in STATUSES:
        raise ValueError(f"no such status: {status}")
    return Failure(status, record.get("status_detail") or "no detail was given", replicate)


def _visit(record: dict[str, Any], replicate: int, trial: Trial) -> Visit:
    arms = {a["arm_id"]: a for a in record["arms"]}
    missing = [a.arm_id for a in trial.arms if a.arm_id not in arms]
    if missing:
        raise ValueError(f"arm {missing[0]} is missing")
    orders = tuple(str(order) for order in record["orders"])
    warm_up = record["warm_up"]["samples_ns"]
    counters = record.get("counters") or {}
    taken = {
        a.arm_id: _taken(arms[a.arm_id], warm_up.get(a.arm_id, []), counters.get(a.arm_id) or {}) for a in trial.arms
    }
    for arm_id, t in taken.items():
        if not len(t.time_s) == len(t.flags) == 2 * len(orders):
            raise ValueError(f"{arm_id} has {len(t.time_s)} samples in {len(orders)} rounds")
    return Visit(
        replicate, orders, taken, bool(record["warm_up"].get("settled", True)), tuple(record.get("card") or ())
    )


def _taken(arm: dict[str, Any], warm_up: list[float], counters: Mapping[str, int]) -> Taken:
    times = np.asarray(arm["samples_ns"], dtype=np.float64) / 1e9
    if not (times.size and np.isfinite(times).all() and (times > 0).all()):
        raise ValueError(f"{arm['arm_id']} has a sample that is no positive time")
    proven = arm.get("device_proven")
    return Taken(
        time_s=times,
        flags=np.asarray(arm["flags"], dtype=np.int64),
        evaluations=int(arm["evaluations_per_sample"]),
        warm_up_s=np.asarray(warm_up, dtype=np.float64) / 1e9,
        counters=counters,
        device_s=_seconds(arm.get("device_ns")),
        device_cold_s=_seconds(arm.get("device_cold_ns")),
        device_proven=None if proven is None else bool(proven),
        enqueue_s=_seconds(arm.get("enqueue_ns")),
        shares=_shares(arm.get("parts_ns")),
    )


def _shares(parts_ns: Mapping[str, float] | None) -> dict[Part, float] | None:
    """Each part's share of the whole; None where the call was not walked."""
    if not parts_ns:
        return None
    whole = float(parts_ns["whole"])
    return {part: float(parts_ns.get(part, 0.0)) / whole for part in PARTS}


def _opinion(told: dict[str, Any], trial: Trial) -> Opinion:
    if told["arm_id"] not in {a.arm_id for a in trial.arms} or told["tool"] not in TOOLS:
        raise ValueError(f"no such arm or tool: {told['arm_id']}, {told['tool']}")
    times = {name: told.get(name) for name in ("time_min_s", "time_median_s", "time_iqr_s")}
    for name, value in times.items():
        if value is not None and not (np.isfinite(value) and (value > 0 or (value == 0 and name == "time_iqr_s"))):
            raise ValueError(f"{told['arm_id']} has a {name} that is no time")
    return Opinion(told["arm_id"], told["tool"], **times, detail=told.get("detail"))


def _seconds(ns: list[float] | None) -> Floats | None:
    """Times in seconds; None where there are none, or one that is no time."""
    times = np.asarray(ns or [], dtype=np.float64) / 1e9
    return times if times.size and (times > 0).all() else None
