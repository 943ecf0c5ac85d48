"""Drive two workers, the sides of `bench ab`, in lockstep: one evaluates while the other waits on its pipe.

The runner starts it in a worker's place, and it answers as a worker does. A round is ABBA or BAAB over the two processes,
so that the machine's drift affects both sides alike. Both run on the same cores. It loads no torch: the sides may have
different ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any

from bench.measure.disturbance import CPUS, Counters, Watch
from bench.measure.sampling import record, sample
from bench.spec.config.timing import Timing
from bench.spec.files import file_text
from bench.spec.plan.plan import SIDES, Trial


class Failed(Exception):
    """A trial failed on one side: its status and detail for the record."""

    def __init__(self, side: str, told: dict[str, Any]) -> None:
        self.record = {"status": told["status"], "status_detail": f"side {side}: {told['status_detail']}"}


class Side:
    """One worker: its process, and what the kernel counted in its samples."""

    def __init__(self, name: str, started: dict[str, Any], job: dict[str, Any], cores: list[int]) -> None:
        self.name = name
        self.counted = Counters()
        self.built = False  # whether it holds the trial's block
        self.process = subprocess.Popen(
            started["argv"], env=started["env"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=partial(os.sched_setaffinity, 0, cores) if cores else None,
        )  # fmt: skip
        self.tell(json.dumps(job))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `hear` says how it ended
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for its next answer. Failed for a trial's failure; SystemExit, in words, if it ends instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            status = self.process.wait()
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
            raise SystemExit(f"side {self.name} {how}")
        told: dict[str, Any] = json.loads(line)
        self.built = told["type"] in ("built", "timed")
        if told.get("status", "ok") != "ok":
            raise Failed(self.name, told)
        return told

    def ask(self, line: str) -> dict[str, Any]:
        self.tell(line)
        return self.hear()

    def time(self, evaluations: int) -> int:
        """Nanoseconds of so many evaluations."""
        told = self.ask(str(evaluations))
        self.counted = self.counted.plus(Counters(*told["counters"]))
        return int(told["ns"])


class _Watch(Watch):
    """The machine as this process sees it, and the counters that the sides read of themselves."""

    def __init__(self, sides: list[Side]) -> None:
        self._sides = sides
        super().__init__()

    def read(self) -> Counters:
        a, b = self._sides
        return a.counted.plus(b.counted)


def main() -> None:
    """Answer a `time` job on stdin, whose `sides` are the commands and variables of two workers."""
    job = json.loads(sys.stdin.readline())
    timing = Timing.model_validate(job["timing"])
    trials = [Trial.from_dict(data) for data in job["trials"]]
    started, begun = job.pop("sides"), dict[int, Side]()
    coin = random.Random(f"{timing.seed}/{job['replicate']}")
    cores = common_cores(job["threads"], coin)
    for i in coin.sample((0, 1), 2):
        mine = [replace(trial, arms=trial.arms[i : i + 1]).to_dict() for trial in trials]
        asked = {**job, "kind": "side", "imports": started[i]["imports"], "trials": mine}
        begun[i] = Side(SIDES[i], started[i], asked, cores)
    sides = [begun[0], begun[1]]
    first = [side.hear() for side in sides]
    refused = [told for told in first if told["type"] == "refused"]
    _answer((refused or first)[0])
    if refused:
        return
    watch = _Watch(sides)
    try:
        for trial in trials:
            for side in sides:
                side.hear()  # that it has come to this trial
            _answer({"type": "begin", "trial_id": trial.trial_id, "log_at": os.fstat(2).st_size})
            since = perf_counter()
            result = _visit(trial, sides, timing, f"{timing.seed}/{job['replicate']}/{trial.trial_id}/sides", watch)
            _answer({"type": "visit", "trial_id": trial.trial_id, **result, "wall_s": round(perf_counter() - since, 6)})
            if "device fault" in result.get("status_detail", ""):
                return
    finally:
        for side in sides:  # before this process says which one was lost, in the log's last line
            side.process.kill()
            side.process.wait()


def common_cores(threads: int, coin: random.Random, cpus: Path = CPUS) -> list[int]:
    """The cores of both sides, drawn anew for each pair of processes; empty where the system can't hold them there.

    On two cores of their own one side would be as much faster as its core is. One logical core is taken of each physical one.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    usable, first = sorted(os.sched_getaffinity(0)), dict[str, int]()
    for core in usable:
        first.setdefault(file_text(cpus / f"cpu{core}" / "topology" / "thread_siblings_list") or str(core), core)
    return coin.sample([*first.values()], threads) if threads <= len(first) else usable


def _visit(trial: Trial, sides: list[Side], timing: Timing, seed: str, watch: Watch) -> dict[str, Any]:
    """Sample both sides of a trial; a failure of one becomes the record, and the other leaves the trial."""
    coin = random.Random(seed)
    waiting = coin.sample(sides, 2)
    try:
        while waiting:
            waiting.pop().ask("go")
        visit = sample([side.time for side in sides], timing, coin.getrandbits(32), perf_counter_ns, watch)
        ends = [side.ask("0") for side in sides]
    except Failed as failed:
        for side in waiting:
            side.tell("skip")
        with contextlib.suppress(Failed):
            for side in sides:
                side.ask("0") if side.built else None
        return failed.record
    cards = {"card": ends[0]["card"]} if "card" in ends[0] else {}
    changed = [f"side {side.name}: {what}" for side, end in zip(sides, ends, strict=True) for what in end["changed"]]
    return record(visit, [arm.arm_id for arm in trial.arms], [end["others"] for end in ends], changed) | cards


def _answer(message: dict[str, Any]) -> None:
    print(json.dumps(message, separators=(",", ":"), allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
