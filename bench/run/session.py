"""Measure a plan from the state of its journal on: replicates in fresh workers, until each trial is settled."""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.run import predict
from bench.run.journal import Journal
from bench.run.launch import START_TIMEOUT_S, Silent, Worker, how_it_ended, job, no_answer
from bench.run.stopping import Progress, Steps
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError
from bench.spec.files import write_text
from bench.spec.format import digits, duration, in_seconds, percent, plural
from bench.spec.plan.durations import ROOF_PROCESSES, opinions_seconds, start_seconds, timeout_seconds, visit_seconds
from bench.spec.plan.plan import SIDES, Plan, Surroundings, Trial

Tell = Callable[[str], None]
RECORDS = {"inspect": "inspect", "time": "visit", "opinion": "opinion"}  # a worker's job -> the type of its records
STARTS_LOST = 3  # workers in a row that end before their first trial, after which a run gives up


class Interrupted(Exception):
    """Ctrl-C. The journal of `folder` has what was measured, and `resume` continues there, with `trust` if it must."""

    def __init__(self, folder: Path, trust: bool) -> None:
        super().__init__(str(folder))
        self.folder, self.trust = folder, trust


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    folder: Path
    failed: int  # trials


class Session:
    """Measure from the journal's `past` records on until every trial is settled; `reds`: the red checks that did not stop it."""

    def __init__(
        self, folder: Path, plan: Plan, journal: Journal, tell: Tell, reds: Sequence[str] = (),
        past: Sequence[dict[str, Any]] = (), sources: Sequence[Mapping[str, str]] = ({},),
    ) -> None:  # fmt: skip
        (folder / "logs").mkdir(exist_ok=True)
        self.folder, self.plan, self.journal, self.tell, self.reds = folder, plan, journal, tell, list(reds)
        self.sources = sources  # hashes of users' blocks, by import path; of each side of the plan
        self.progress = Progress()
        self.before_s = 0.0  # of earlier sessions
        for record in past:
            self.progress.note(record)
            self.before_s += record["wall_s"] if record["type"] in ("end", "interrupt") else 0.0
        self.a_process_s = 0.0  # of a trial, with its share of the worker's start
        self.replicate = 1  # the number of the current processes
        self.paused_s = 0.0
        self.begun = self._now()
        self.timed_before = self.progress.timed_s
        self.compiled: Path | None = None  # torch.compile's cache for this session's workers
        self.visits: Steps = []
        self.starts: Steps = []  # of workers that time trials
        self.mark = self.begun  # when the latest of both ended
        self.ahead: dict[tuple[Surroundings, int], Worker] = {}  # started and without a job yet, by replicate

    def to_the_end(self) -> Outcome:
        """Inspect, replicate until all is settled, get second opinions. Interrupted after Ctrl-C, which is recorded."""
        with contextlib.ExitStack() as stack:
            if any(trial.mode == "compile" for trial in self.plan.active):
                cache = tempfile.TemporaryDirectory(prefix="bench-compiled-", ignore_cleanup_errors=True)
                self.compiled = Path(stack.enter_context(cache))
            stack.callback(lambda: [worker.end() for worker in self.ahead.values()])
            self._measure()
        self._close("end")
        write_text(self.folder / "DONE", utc() + "\n")
        return Outcome(self.folder, len(self.progress.failed))

    def _measure(self) -> None:
        try:
            self._inspect()
            self.mark = self._now()
            if self.plan.timing.brief:
                self._start_ahead()
            for replicate in range(1, self.plan.timing.processes_max + 1):
                if self._out_of_time(replicate):
                    break
                begun, due = self._now(), self._unsettled()
                self._replicate(replicate)
                self.a_process_s = (self._now() - begun) / max(1, len(due))
            self._second_opinions()
        except KeyboardInterrupt:
            self._close("interrupt")
            raise Interrupted(self.folder, bool(self.plan.code)) from None

    def _start_ahead(self) -> None:
        """Start the workers of the fewest processes of each surroundings at once: nothing is timed while they import torch."""
        for place in self.plan.surroundings():
            for replicate in range(1, self.plan.timing.processes_min + 1):
                if not (is_predicted(place.device) or self.plan.sides):
                    log = self._log("time", replicate, place)
                    self.ahead[place, replicate] = Worker(place, None, log, self.compiled)
        for worker in self.ahead.values():
            with contextlib.suppress(Silent):
                next(worker.answers(START_TIMEOUT_S, START_TIMEOUT_S), None)

    def _log(self, kind: str, replicate: int, place: Surroundings) -> Path:
        return self.folder / "logs" / f"{kind}-{replicate}-{place.slug}.log"

    def _now(self) -> float:
        """Seconds of a clock that stands still while the machine or this program is suspended."""
        return time.monotonic() - self.paused_s

    def _close(self, kind: str) -> None:
        wall = self._now() - self.begun
        timed = self.progress.timed_s - self.timed_before
        self.journal.append({"type": kind, "utc": utc(), "wall_s": round(wall, 3), "timed_s": round(timed, 3)})

    def _record(self, record: dict[str, Any]) -> None:
        self.journal.append(record)
        self.progress.note(record)

    def _inspect(self) -> None:
        places = [(place, side) for place in self.plan.surroundings() for side in range(max(1, len(self.plan.sides)))]
        for place, side in places:
            own = [(t, t.arms[side : side + 1] if self.plan.sides else t.arms) for t in self.plan.active]
            todo = [
                replace(t, arms=arms) for t, arms in own
                if t.surroundings == place and t.trial_id not in self.progress.failed
                and not {arm.arm_id for arm in arms} <= self.progress.inspected
                and not (t.formula and (t.predicted or self.plan.timing.brief))
            ]  # fmt: skip
            if todo:
                what = "kernels" if is_predicted(place.device) else "memory, backends and outputs"
                where = f"{place.label}, side {SIDES[side]}" if self.plan.sides else place.label
                self.tell(f"{where}: {what} of {plural(len(todo), 'trial')}")
                self._serve("inspect", place, todo, 0, side)
        for trial in self.plan.active:
            self._settle(trial)

    def _out_of_time(self, replicate: int) -> bool:
        """Settle the remaining trials if one more process of each would exceed the plan's limit; each has one process.

        The estimate is the mean time of a trial's last process, with the starts of workers.
        """
        todo = self._unsettled()
        if not todo or replicate == 1 or self._spent() + len(todo) * self.a_process_s <= self.plan.limit_s:
            return False
        minutes, trials = f"{self.plan.limit_s / 60:g} minutes", plural(len(todo), "trial")
        self.tell(f"the {minutes} are over: {trials} end with the processes they have")
        for trial in todo:
            self._settle(trial, "time")
        return True

    def _spent(self) -> float:
        return self.before_s + self._now() - self.begun

    def _unsettled(self) -> list[Trial]:
        return [t for t in self.plan.active if t.trial_id not in self.progress.settled]

    def _replicate(self, replicate: int) -> None:
        """One fresh worker for each surroundings, in random order, for the trials that need another process."""
        self.replicate = replicate
        coin = random.Random(f"{self.plan.timing.seed}/{replicate}")
        places = list(self.plan.surroundings())
        coin.shuffle(places)
        for place in places:
            todo = [
                t
                for t in self._unsettled()
                if t.surroundings == place and replicate not in self.progress.values.get(t.trial_id, ())
            ]
            if not todo:
                continue
            coin.shuffle(todo)
            predicted = is_predicted(place.device)
            most = self.plan.timing_of(place.device).processes_max
            how = "by the model" if predicted else f"process {replicate} of at most {most}"
            self.tell(f"{how}, {place.label}: {plural(len(todo), 'trial')}, {self._left()}")
            if not predicted:
                self._serve("time", place, todo, replicate)
                continue
            for trial in todo:
                traced = self.progress.traced.get(trial.trial_id, {})
                self._finish("time", trial, predict.visit(trial, traced), replicate)

    def _second_opinions(self) -> None:
        for surroundings in self.plan.surroundings():
            todo = [t for t in self._unasked() if t.surroundings == surroundings]
            if todo:
                self.tell(f"{surroundings.label}: second opinions on {plural(len(todo), 'trial')}")
                self._serve("opinion", surroundings, todo, 0)

    def _unasked(self) -> list[Trial]:
        done = self.progress.opinions | self.progress.failed.keys()
        return [t for t in self.plan.chosen if t.trial_id not in done]

    def _serve(self, kind: str, surroundings: Surroundings, trials: list[Trial], replicate: int, side: int = 0) -> None:
        """Give trials to workers until each has its record; if a worker dies, only its current trial fails.

        Of a plan with two sides, `side` is inspected, and both are timed by one driver of two workers.
        """
        both = kind == "time" and len(self.plan.sides) > 1
        sides, sources = (
            (self.plan.sides, self.sources) if both else (self.plan.sides[side : side + 1], self.sources[side])
        )
        todo = list(trials)
        lost = 0
        timing = self.plan.timing_of(surroundings.device)
        longest = max(timeout_seconds(t, timing) for t in trials)
        if kind == "opinion":  # the other tools keep their own time
            longest += max(opinions_seconds([t]) for t in trials)
        roofs = kind == "time" and replicate <= ROOF_PROCESSES and not both and not timing.brief
        while todo:
            log = self._log(kind, replicate, surroundings)
            asked = job(kind, surroundings, timing, todo, replicate, roofs, sources)
            waiting = self.ahead.pop((surroundings, replicate), None) if kind == "time" else None
            worker = waiting or Worker(surroundings, asked, log, self.compiled, sides)
            if waiting is not None:
                waiting.give(asked)
            roofs = False  # if the worker dies of them, the next one measures only trials
            self.journal.append({"type": "start", "utc": utc(), "kind": kind, "replicate": replicate, "pid": worker.process.pid, "surroundings": surroundings.label})  # fmt: skip
            current: Trial | None = None
            log_at = worker.log_at
            served = len(todo)
            hung = False
            try:
                for message in worker.answers(START_TIMEOUT_S, longest):
                    if message["type"] == "refused":
                        raise UserError(message["place"], message["rule"], message["remedy"])
                    if message["type"] == "begin":
                        current = next(t for t in todo if t.trial_id == message["trial_id"])
                        log_at = message["log_at"]
                        if kind == "time" and len(todo) == served:
                            self._step(self.starts, start_seconds(surroundings))
                    elif message["type"] == "pause":
                        self.paused_s += message["seconds"]
                        self.journal.append(message | {"utc": utc()})
                        self.tell(f"  suspended for {duration(round(message['seconds']))}, which counts nowhere")
                    elif message["type"] == "roof":
                        self.journal.append(message | {"surroundings": surroundings.label})
                    elif message["type"] == RECORDS[kind] and current is not None:
                        self._finish(kind, current, message, replicate, side)
                        todo.remove(current)
                        current = None
            except Silent:
                hung = True
            finally:
                status = worker.end()
            ended = no_answer(longest) if hung else how_it_ended(status, log, log_at)
            if current is not None:
                record = {"type": RECORDS[kind], "trial_id": current.trial_id, "status": "timeout" if hung else "crash"}
                self._finish(kind, current, record | {"status_detail": ended}, replicate, side)
                todo.remove(current)
            lost = 0 if len(todo) < served else lost + 1
            if lost:
                self.tell(f"  a worker ended before its first trial: {ended}; starting another")
            if lost == STARTS_LOST:
                why = "it does not answer" if hung else ended
                remedy = f"See {log}; then {self.plan.resume_command(self.folder)}"
                raise UserError(f"worker for {surroundings.label}", f"it can't start: {why}", remedy)

    def _finish(self, kind: str, trial: Trial, record: dict[str, Any], replicate: int, side: int = 0) -> None:
        """Append a trial's record to the journal, report a failure, and settle the trial if it needs no more."""
        # While it is timed, the side says so itself.
        if kind == "inspect" and self.plan.sides and record["status"] != "ok":
            record = record | {"status_detail": f"side {SIDES[side]}: {record['status_detail']}"}
        self._record(record | ({"replicate": replicate, "reds": self.reds} if kind == "time" else {}))
        if record["status"] != "ok":
            what = "second opinions on " if kind == "opinion" else ""
            self.tell(f"  {what}{trial.trial_id}: {record['status']}: {record['status_detail']}")
        if kind == "time":
            if not trial.predicted:
                self._step(self.visits, visit_seconds(trial, self.plan.timing))
            self._settle(trial)

    def _step(self, done: Steps, planned_s: float) -> None:
        now = self._now()
        done.append((now - self.mark, planned_s))
        self.mark = now

    def _settle(self, trial: Trial, otherwise: str | None = None) -> None:
        """Record and report a trial that needs no further process, or gets none for the reason `otherwise`."""
        why = self.progress.why_settled(trial, self.plan.timing_of(trial.surroundings.device)) or otherwise
        if why is None or trial.trial_id in self.progress.settled:
            return
        self._record({"type": "settled", "trial_id": trial.trial_id, "why": why})
        if why == "failed":
            return
        done = f"[{len(self.progress.settled):>{len(str(len(self.plan.active)))}}/{len(self.plan.active)}]"
        left = "" if why == otherwise else f", {self._left()}"  # at the time limit all end at once
        self.tell(f"{done} {trial.trial_id}: {self._reading(trial)}{left}")

    def _reading(self, trial: Trial) -> str:
        """The speedups so far: `separable 2.10x ±3.1 %, 5 processes`; a single arm's time."""
        timing = self.plan.timing
        intervals = self.progress.intervals(trial, timing.confidence)
        if len(trial.arms) == 1:
            seconds = in_seconds(math.exp(intervals[0].mean) / 1e9, 4)
            values = [seconds if trial.predicted else f"{trial.arms[0].choice.label} {seconds}"]
        elif self.plan.sides:
            values = [f"B / A {digits(math.exp(-i.mean), 3)}x" for i in intervals]
        else:
            values = [f"{arm.choice.label} {digits(math.exp(i.mean), 3)}x" for arm, i in zip(trial.arms[1:], intervals, strict=True)]  # fmt: skip
        if trial.predicted:
            return f"predicted {', '.join(values)}"
        if len(trial.arms) > 1:
            widths = (
                f"±{percent(i.half_width)}" if math.isfinite(i.half_width) else "no interval yet" for i in intervals
            )
            missed = ("" if i.half_width <= timing.precision else " !" for i in intervals)
            values = [f"{v} {w}{m}" for v, w, m in zip(values, widths, missed, strict=True)]
        return f"{', '.join(values)}, {plural(self.progress.processes(trial), 'process', 'processes')}"

    def _left(self) -> str:
        limit = self.plan.limit_s - self._spent()
        seconds = self.progress.seconds_left(self.plan, self.visits, self.starts, limit, self.replicate)
        return f"about {duration(round(seconds + opinions_seconds(self._unasked())))} left"


def utc() -> str:
    """Now, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
