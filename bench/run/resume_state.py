"""The progress of a run by its journal: values and failures of each trial, which are settled, and the time left."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from bench.run.predict import Traced
from bench.spec.config.timing import Timing
from bench.spec.interval import Interval, fewest, paired_log_ratio, t_interval
from bench.spec.plan.durations import PREDICTED_SECONDS, start_seconds, visit_seconds
from bench.spec.plan.plan import Plan, Surroundings, Trial


@dataclass
class Progress:
    """What the journal says of each trial so far: values of ln(speedup), one list a process, and failures."""

    values: dict[str, list[list[float]]] = field(default_factory=dict)
    inspected: set[str] = field(default_factory=set)
    traced: dict[str, Traced] = field(default_factory=dict)  # for predicting users' blocks, by trial
    failed: dict[str, str] = field(default_factory=dict)
    opinions: set[str] = field(default_factory=set)  # asked for, whether or not they came to something
    settled: set[str] = field(default_factory=set)
    timed_s: float = 0.0

    def note(self, record: dict[str, Any]) -> None:
        """Add one record."""
        kind, trial_id = record.get("type"), record.get("trial_id", "")
        if kind == "inspect":
            self.inspected.add(trial_id)
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
            self.values.setdefault(trial_id, []).append(value)

    def processes(self, trial: Trial) -> int:
        """Processes that have measured the trial."""
        return len(self.values.get(trial.trial_id, ()))

    def intervals(self, trial: Trial, confidence: float) -> list[Interval]:
        """The interval of ln(speedup) over processes, for each arm after the first."""
        values = self.values.get(trial.trial_id, [])
        return [t_interval(list(column), confidence) for column in zip(*values, strict=True)]

    def why_settled(self, trial: Trial, timing: Timing) -> str | None:
        """failed, precision or processes if the trial needs no further process."""
        if trial.trial_id in self.failed:
            return "failed"
        n = self.processes(trial)
        if n >= timing.processes_max:
            return "processes"
        if n < timing.processes_min:
            return None
        return "precision" if self._widest(trial, timing) <= timing.precision else None

    def seconds_left(self, plan: Plan, visit_s: float | None, limit_s: float = math.inf, replicate: int = 1) -> float:
        """Estimated seconds until each trial is settled, from three processes on by the width of its interval.

        `visit_s`: seconds of a visit so far; the plan's estimate if None. After `limit_s` more seconds no process
        begins, except those up to number `replicate` of each trial.
        """
        seconds = due = 0.0
        starts: dict[Surroundings, int] = {}
        begun: set[Surroundings] = set()
        for trial in plan.active:
            if trial.trial_id in self.settled:
                continue
            if trial.predicted:
                seconds += PREDICTED_SECONDS
                due += PREDICTED_SECONDS
                continue
            timing = plan.timing
            n = self.processes(trial)
            need = timing.processes_min
            if n >= 3:
                widest = self._widest(trial, timing)
                least = max(2, timing.processes_min)
                need = fewest(widest, n, timing.precision, timing.confidence, least, timing.processes_max)
            visit = visit_s or visit_seconds(trial, timing)
            seconds += max(1, need - n) * visit
            starts[trial.surroundings] = max(starts.get(trial.surroundings, 0), need - n)
            if n < replicate:
                due += visit
                begun.add(trial.surroundings)
        seconds += sum(start_seconds(place) * n for place, n in starts.items())
        return max(due + sum(map(start_seconds, begun)), min(seconds, limit_s))

    def _widest(self, trial: Trial, timing: Timing) -> float:
        return max(i.half_width for i in self.intervals(trial, timing.confidence))


def _log_ratio(first: dict[str, Any], other: dict[str, Any]) -> float:
    return paired_log_ratio(first["samples_ns"], other["samples_ns"], (first["flags"], other["flags"]))
