"""One session of measuring: from what the journal holds to every trial settled, replicate after replicate in fresh workers."""

from __future__ import annotations

import contextlib
import math
import random
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.run import predict
from bench.run.journal import Journal
from bench.run.launch import Silent, Worker, how_it_ended, job
from bench.run.resume_state import Progress
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError
from bench.spec.format import digits, in_seconds
from bench.spec.plan.durations import ROOF_PROCESSES, opinions_seconds, timeout_seconds
from bench.spec.plan.plan import Plan, Surroundings, Trial

Tell = Callable[[str], None]
START_TIMEOUT_S = 300.0  # a cold import of torch from a network disk
RECORDS = {"inspect": "inspect", "time": "visit", "opinion": "opinion"}  # a worker's job -> its records


class Interrupted(Exception):
    """Ctrl-C: what was measured is in the journal of `folder`, and `resume` goes on from there."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    folder: Path
    measured: int
    failed: int
    wall_s: float


class Session:
    """One session of measuring: from what the journal holds to every trial settled."""

    def __init__(self, folder: Path, plan: Plan, journal: Journal, tell: Tell) -> None:
        self.folder, self.plan, self.journal, self.tell = folder, plan, journal, tell
        self.progress = Progress()
        self.before_s = 0.0  # of earlier sessions
        for record in journal.records():
            self.progress.note(record)
            self.before_s += record["wall_s"] if record["type"] in ("end", "interrupt") else 0.0
        self.a_process_s = 0.0  # of a trial, its share of the worker's start included
        self.replicate = 1  # the number of the processes that run now
        self.begun = time.monotonic()
        self.timed_before = self.progress.timed_s
        self.compiled: Path | None = None  # where torch.compile keeps what it made, for this session's workers
        self.visit_walls: list[float] = []

    def to_the_end(self) -> Outcome:
        """Inspect, replicate until all is settled, ask for second opinions.

        Interrupted where Ctrl-C ends it, which is recorded too.
        """
        with contextlib.ExitStack() as kept:
            if any(trial.mode == "compile" for trial in self.plan.active):
                kept_at = tempfile.TemporaryDirectory(prefix="bench-compiled-", ignore_cleanup_errors=True)
                self.compiled = Path(kept.enter_context(kept_at))
            self._measure()
        self._close("end")
        (self.folder / "DONE").write_text(utc() + "\n", encoding="utf-8")
        failed = len(self.progress.failed)
        return Outcome(self.folder, len(self.plan.active) - failed, failed, time.monotonic() - self.begun)

    def _measure(self) -> None:
        try:
            self._inspect()
            for replicate in range(1, self.plan.timing.processes_max + 1):
                if self._out_of_time(replicate):
                    break
                begun, due = time.monotonic(), self._unsettled()
                self._replicate(replicate)
                self.a_process_s = (time.monotonic() - begun) / max(1, len(due))
            self._second_opinions()
        except KeyboardInterrupt:
            self._close("interrupt")
            raise Interrupted(self.folder) from None

    def _close(self, kind: str) -> None:
        wall = time.monotonic() - self.begun
        timed = self.progress.timed_s - self.timed_before
        self.journal.append({"type": kind, "utc": utc(), "wall_s": round(wall, 3), "timed_s": round(timed, 3)})
        self.journal.close()

    def _record(self, record: dict[str, Any]) -> None:
        self.journal.append(record)
        self.progress.note(record)

    def _inspect(self) -> None:
        seen = self.progress.inspected | self.progress.failed.keys()
        for surroundings in self.plan.surroundings():
            todo = [
                t for t in self.plan.active
                if t.surroundings == surroundings and t.trial_id not in seen and not (t.predicted and t.formula)
            ]  # fmt: skip
            if todo:
                what = "kernels" if is_predicted(surroundings.device) else "memory, backends and outputs"
                self.tell(f"{surroundings.label}: {what} of {_count(len(todo), 'trial')}")
                self._serve("inspect", surroundings, todo, 0)
        for trial in self.plan.active:
            self._settle(trial)

    def _out_of_time(self, replicate: int) -> bool:
        """Settle what is left where one more process each would end after the plan's limit; one each there always is.

        What is to come is judged by what the last process of each trial took, the starts of workers included.
        """
        todo = self._unsettled()
        if not todo or replicate == 1 or self._spent() + len(todo) * self.a_process_s <= self.plan.limit_s:
            return False
        self.tell(
            f"the {self.plan.limit_s / 60:g} minutes are over: {_count(len(todo), 'trial')} end with the processes they have"
        )
        for trial in todo:
            self._settle(trial, "time")
        return True

    def _spent(self) -> float:
        """Seconds of this session and of those before it."""
        return self.before_s + time.monotonic() - self.begun

    def _unsettled(self) -> list[Trial]:
        return [t for t in self.plan.active if t.trial_id not in self.progress.settled]

    def _replicate(self, replicate: int) -> None:
        """One fresh worker for each surroundings, in an order of their own, over the trials that need one more."""
        self.replicate = replicate
        coin = random.Random(f"{self.plan.timing.seed}/{replicate}")
        places = list(self.plan.surroundings())
        coin.shuffle(places)
        for surroundings in places:
            todo = [
                t for t in self.plan.active
                if t.surroundings == surroundings
                and t.trial_id not in self.progress.settled
                and self.progress.processes(t) < replicate
            ]  # fmt: skip
            if not todo:
                continue
            coin.shuffle(todo)
            predicted = is_predicted(surroundings.device)
            most = self.plan.timing_of(surroundings.device).processes_max
            how = "by the model" if predicted else f"process {replicate} of at most {most}"
            self.tell(f"{how}, {surroundings.label}: {_count(len(todo), 'trial')}, {self._left()}")
            if predicted:
                self._predict(todo, replicate)
            else:
                self._serve("time", surroundings, todo, replicate)

    def _predict(self, trials: list[Trial], replicate: int) -> None:
        """Record what the model says of trials; no worker is started."""
        for trial in trials:
            record = predict.visit(trial, self.progress.traced.get(trial.trial_id, {}))
            self._record(record | {"replicate": replicate})
            self._after("time", trial, record)

    def _second_opinions(self) -> None:
        """Have other tools time the chosen trials that we measured, once."""
        for surroundings in self.plan.surroundings():
            todo = [t for t in self._unasked() if t.surroundings == surroundings]
            if todo:
                self.tell(f"{surroundings.label}: second opinions on {_count(len(todo), 'trial')}")
                self._serve("opinion", surroundings, todo, 0)

    def _unasked(self) -> list[Trial]:
        """The chosen trials that second opinions are still due on."""
        gone = self.progress.opinions | self.progress.failed.keys()
        return [t for t in self.plan.chosen if t.trial_id not in gone]

    def _serve(self, kind: str, surroundings: Surroundings, trials: list[Trial], replicate: int) -> None:
        """Hand trials to workers until each has its record; a worker that dies costs the trial at hand."""
        todo = list(trials)
        starts_lost = 0
        timing = self.plan.timing_of(surroundings.device)
        longest = max(timeout_seconds(t, timing) for t in trials)
        if kind == "opinion":  # the other tools keep their own time
            longest += max(opinions_seconds([t]) for t in trials)
        roofs = kind == "time" and replicate <= ROOF_PROCESSES
        while todo:
            log = self.folder / "logs" / f"{kind}-{replicate}-{surroundings.slug}.log"
            worker = Worker(surroundings, job(kind, surroundings, timing, todo, replicate, roofs), log, self.compiled)
            roofs = False  # if they are what it dies of, the next one measures trials without them
            self.journal.append({"type": "start", "utc": utc(), "kind": kind, "replicate": replicate, "pid": worker.process.pid, "surroundings": surroundings.label})  # fmt: skip
            at_hand: Trial | None = None
            served = len(todo)
            hung = False
            status = 0
            try:
                for message in worker.answers(START_TIMEOUT_S, longest):
                    if message["type"] == "refused":
                        raise UserError(message["place"], message["rule"], message["remedy"])
                    if message["type"] == "begin":
                        at_hand = next(t for t in todo if t.trial_id == message["trial_id"])
                    elif message["type"] == "roof":
                        self.journal.append(message | {"surroundings": surroundings.label})
                    elif message["type"] == RECORDS[kind] and at_hand is not None:
                        self._record(message | ({"replicate": replicate} if kind == "time" else {}))
                        self._after(kind, at_hand, message)
                        todo.remove(at_hand)
                        at_hand = None
            except Silent:
                hung = True
            finally:
                status = worker.end()
            if at_hand is not None:
                detail = f"no answer within {longest:g} s" if hung else how_it_ended(status, log)
                state = "timeout" if hung else "crash"
                record = {"type": RECORDS[kind], "trial_id": at_hand.trial_id, "status": state, "status_detail": detail}
                self._record(record | ({"replicate": replicate} if kind == "time" else {}))
                self._after(kind, at_hand, record)
                todo.remove(at_hand)
            starts_lost = 0 if len(todo) < served else starts_lost + 1
            if starts_lost:
                self.tell(f"  a worker ended before its first trial: {how_it_ended(status, log)}; starting another")
            if starts_lost == 3:
                why = "it says nothing" if hung else how_it_ended(status, log)
                raise UserError(f"worker for {surroundings.label}", f"it can't start: {why}", f"See {log}; then bench run --resume {shlex.quote(str(self.folder))}")  # fmt: skip

    def _after(self, kind: str, trial: Trial, message: dict[str, Any]) -> None:
        if message["status"] != "ok":
            what = "second opinions on " if kind == "opinion" else ""
            self.tell(f"  {what}{trial.trial_id}: {message['status']}: {message['status_detail']}")
        if kind == "time":
            if not trial.predicted:
                self.visit_walls.append(message.get("wall_s", 0.0))
            self._settle(trial)

    def _settle(self, trial: Trial, otherwise: str | None = None) -> None:
        """Record and tell a trial that needs no further process, or that gets none for the reason given."""
        why = self.progress.why_settled(trial, self.plan.timing_of(trial.surroundings.device)) or otherwise
        if why is None or trial.trial_id in self.progress.settled:
            return
        self._record({"type": "settled", "trial_id": trial.trial_id, "why": why})
        if why == "failed":
            return
        done = f"[{len(self.progress.settled):>{len(str(len(self.plan.active)))}}/{len(self.plan.active)}]"
        left = "" if why == otherwise else f", {self._left()}"  # out of time all end at once
        self.tell(f"{done} {trial.trial_id}: {self._reading(trial)}{left}")

    def _reading(self, trial: Trial) -> str:
        """Such as `separable 2.10x ±3.1 % in 5 processes`."""
        timing = self.plan.timing
        words = []
        intervals = self.progress.intervals(trial, timing.confidence)
        if trial.predicted:
            told = ", ".join(f"{a.choice.label} {digits(math.exp(i.mean), 3)}x" for a, i in zip(trial.arms[1:], intervals, strict=False))  # fmt: skip
            return f"predicted {told or in_seconds(math.exp(intervals[0].mean) / 1e9, 4)}"
        for arm, interval in zip(trial.arms[1:], intervals, strict=False):
            width = f"±{interval.half_width:.1%}" if interval.n > 1 else "one process, no interval"
            missed = "" if interval.half_width <= timing.precision else " !"
            words.append(f"{arm.choice.label} {digits(math.exp(interval.mean), 3)}x {width}{missed}")
        if len(trial.arms) == 1:
            words.append(f"{trial.arms[0].choice.label} {in_seconds(math.exp(intervals[0].mean) / 1e9, 4)}")
        return f"{', '.join(words)}, {self.progress.processes(trial)} processes"

    def _left(self) -> str:
        """The time left, from what visits took so far."""
        measured = sum(self.visit_walls) / len(self.visit_walls) if self.visit_walls else None
        limit = self.plan.limit_s - self._spent()
        seconds = self.progress.seconds_left(self.plan, measured, limit, self.replicate) + opinions_seconds(
            self._unasked()
        )
        return f"about {_duration(seconds)} left"


def utc() -> str:
    """Now, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _count(n: int, word: str) -> str:
    return f"{n} {word}" + ("" if n == 1 else "s")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
