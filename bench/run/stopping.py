"""When does a trial go on to more processes, and when does it end? Told from what the journal holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.run.predict import Traced
from bench.spec.config.timing import Timing
from bench.spec.interval import EQUIVALENCE_MARGIN, Interval, fewest, paired_log_ratio, process_interval, two_groups
from bench.spec.plan.durations import PREDICTED_SECONDS, start_seconds, visit_seconds
from bench.spec.plan.plan import Plan, Trial

Steps = list[tuple[float, float]]  # of each step the seconds that it took, and those planned for it


def forecast(done: Steps, planned: Sequence[float]) -> float:
    """Seconds of more steps: as planned, times measured / planned of those done, and at least the mean of those each."""
    if not done:
        return sum(planned)
    took, thought = map(sum, zip(*done, strict=True))
    return max(sum(planned) * took / thought, len(planned) * took / len(done))


@dataclass
class Progress:
    """What the journal says of each trial so far: values of ln(speedup), one list a process (by number), and failures."""

    values: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    inspected: set[str] = field(default_factory=set)  # arms
    traced: dict[str, Traced] = field(default_factory=dict)  # for predicting users' blocks, by trial
    failed: dict[str, str] = field(default_factory=dict)
    opinions: set[str] = field(default_factory=set)  # asked for, whether or not they came to something
    settled: set[str] = field(default_factory=set)
    timed_s: float = 0.0

    def note(self, record: dict[str, Any]) -> None:
        kind, trial_id = record.get("type"), record.get("trial_id", "")
        if kind == "inspect":
            self.inspected |= {arm["arm_id"] for arm in record.get("arms", ())}
            self.traced[trial_id] = {arm["arm_id"]: arm for arm in record.get("arms", ()) if "call" in arm}
        elif kind == "settled":
            self.settled.add(trial_id)
        elif kind == "opinion":
            self.opinions.add(trial_id)
        if kind in ("inspect", "visit") and record["status"] != "ok":
            self.failed[trial_id] = record["status"]
        elif kind == "visit":
            self.timed_s += 0.0 if record.get("predicted") else record["timed_s"]
            first, *others = record["arms"]
            value = [_log_ratio(first, other) for other in others] or [math.log(min(first["samples_ns"]))]
            self.values.setdefault(trial_id, {})[record["replicate"]] = value  # of two of one process the later

    def processes(self, trial: Trial) -> int:
        """Processes that have measured the trial."""
        return len(self.values.get(trial.trial_id, ()))

    def intervals(self, trial: Trial, confidence: float) -> list[Interval]:
        """The interval of ln(speedup) over processes, for each arm after the first."""
        return [process_interval(column, confidence) for column in self._columns(trial)]

    def why_settled(self, trial: Trial, timing: Timing) -> str | None:
        """failed, precision or processes if the trial needs no further process."""
        if trial.trial_id in self.failed:
            return "failed"
        n = self.processes(trial)
        if n >= timing.processes_max:
            return "processes"
        return "precision" if n >= timing.processes_min and n >= self._needed(trial, timing) else None

    def seconds_left(self, plan: Plan, visits: Steps, starts: Steps, limit_s: float, replicate: int) -> float:
        """Estimated seconds until each trial is settled, from three processes on by the width of its interval.

        `visits`, `starts`: those so far. After `limit_s` more no process begins, except those of number `replicate`.
        """

        def last(trial: Trial) -> int:
            n = self.processes(trial)
            return max(n + 1, plan.timing.processes_min, self._needed(trial, plan.timing) if n >= 3 else 0)

        left = [t for t in plan.active if t.trial_id not in self.settled]
        todo = [(t, visit_seconds(t, plan.timing), last(t)) for t in left if not t.predicted]
        begun = {t.surroundings for t in plan.active if self.processes(t) >= replicate}

        def process(number: int) -> float:
            some = [(t.surroundings, s) for t, s, most in todo if self.processes(t) < number <= most]
            places = {place for place, _ in some} - (begun if number == replicate else set())
            return forecast(visits, [s for _, s in some]) + forecast(starts, list(map(start_seconds, places)))

        every = sum(map(process, range(1, 1 + max((most for *_, most in todo), default=0))))
        return PREDICTED_SECONDS * (len(left) - len(todo)) + max(process(replicate), min(every, limit_s))

    def _columns(self, trial: Trial) -> list[list[float]]:
        """The values of all processes, one list for each arm after the first."""
        return [list(column) for column in zip(*self.values.get(trial.trial_id, {}).values(), strict=True)]

    def _needed(self, trial: Trial, timing: Timing) -> int:
        """The processes after which each interval is as narrow as asked: the most allowed if they form two groups."""
        needed = 2
        for values in self._columns(trial) if self.processes(trial) > 1 else ():
            log = process_interval(values, timing.confidence)
            wanted = asked(log, timing.precision)
            n = fewest(log.half_width, log.n, wanted, timing.confidence, 2, timing.processes_max)
            needed = max(needed, timing.processes_max if two_groups(values) else n)
        return needed


def asked(log: Interval, precision: float) -> float:
    """The half-width to reach: near 1x half the margin, so that an interval round 1x can lie within the margin."""
    return min(precision, EQUIVALENCE_MARGIN / 2) if abs(log.mean) <= EQUIVALENCE_MARGIN else precision


def _log_ratio(first: dict[str, Any], other: dict[str, Any]) -> float:
    return paired_log_ratio(first["samples_ns"], other["samples_ns"], (first["flags"], other["flags"]))
