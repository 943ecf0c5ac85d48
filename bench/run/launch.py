"""Start a worker with its surroundings set, hand it a job, read its answers; end it when it hangs."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.run.worker_variables import worker_environment
from bench.spec.config.timing import Timing
from bench.spec.errors import UserError
from bench.spec.plan.plan import Surroundings, Trial

WORKER = "bench.measure.worker"  # by name: this room does not import that one
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the new process: end when the runner is killed, so that no orphan disturbs the run that resumes (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG; it outlives the exec


class Silent(Exception):
    """A worker said nothing for longer than its trial may take."""


class Worker:
    """One worker process and the job it was given."""

    def __init__(
        self, surroundings: Surroundings, job: Mapping[str, Any], log: Path, compiled: Path | None = None
    ) -> None:
        self._log = open(log, "ab")  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=worker_environment(surroundings, compiled=compiled),
            preexec_fn=_die_with_parent if _LIBC else None,
            start_new_session=True,  # so that Ctrl-C reaches the runner alone, which ends the worker tidily
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._out = self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode())
            self.process.stdin.close()

    def answers(self, start_s: float, trial_s: float) -> Iterator[dict[str, Any]]:
        """The worker's answers until it ends. Sleeps in between.

        Silent where one does not come in time: all up to the first trial's `begin` each within `start_s`, what follows
        within `trial_s` of the one before.
        """
        held = b""
        os.set_blocking(self._out.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            within = start_s
            until = time.monotonic() + within
            while True:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise Silent
                chunk = self._out.read(1 << 16)
                if chunk == b"":
                    break
                *lines, held = (held + (chunk or b"")).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    yield message
                    within = trial_s if message["type"] == "begin" else within
                    until = time.monotonic() + within
        self.process.wait()

    def end(self) -> int:
        """Kill the worker if it still runs, and return its exit status (negative: a signal)."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self._out.close()
        self._log.close()
        return status


def probe(surroundings: Surroundings, timing: Timing, start_s: float, imports: Sequence[str] = ()) -> dict[str, Any]:
    """The facts that a worker on this device tells of itself, within `start_s`.

    UserError where the device can't be used, no worker can start, or one of the factories to import can't be had.
    """
    facts: dict[str, Any] = _ready(surroundings, job("probe", surroundings, timing, imports=imports), start_s)["facts"]
    return facts


def check_imports(surroundings: Surroundings, timing: Timing, start_s: float, imports: Sequence[str]) -> None:
    """UserError where no worker can start there, or one of the factories can't be had."""
    _ready(surroundings, job("inspect", surroundings, timing, imports=imports), start_s)


def _ready(surroundings: Surroundings, asked: Mapping[str, Any], start_s: float) -> dict[str, Any]:
    """A worker's first answer to the job. UserError where it refuses, or can't start."""
    handle, name = tempfile.mkstemp(prefix="bench-probe-", suffix=".log")
    os.close(handle)
    log = Path(name)
    worker = Worker(surroundings, asked, log)
    told: list[dict[str, Any]] = []
    hung = False
    try:
        told = list(worker.answers(start_s, start_s))
    except Silent:
        hung = True
    finally:
        status = worker.end()
        if told:
            log.unlink()
    if not told:
        words = last_words(log)
        why = f"no answer within {start_s:g} s" if hung else how_it_ended(status, log)
        why += f": {words}" if words and words not in why else ""
        alone = f"{shlex.quote(sys.executable)} -c 'import torch'"
        raise UserError(f"DEVICE={surroundings.device}", f"a worker can't start: {why}", f"All that it said is in {log}. Does torch start by itself? {alone}")  # fmt: skip
    if told[0]["type"] == "refused":
        raise UserError(told[0]["place"], told[0]["rule"], told[0]["remedy"])
    return told[0]


def last_words(log: Path) -> str:
    """The last line that a worker left in its log, or nothing."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    told = [line for line in lines if line.strip() and not line.startswith("USDT:")]
    return told[-1][:200] if told else ""


def how_it_ended(status: int, log: Path) -> str:
    """A worker's end in words."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = "an unknown signal"
        return f"killed by signal {-status} ({name})"
    words = last_words(log)
    return f"exit status {status}" + (f": {words}" if words else "")


def job(
    kind: str,
    surroundings: Surroundings,
    timing: Timing,
    trials: Sequence[Trial] = (),
    replicate: int = 0,
    roofs: bool = False,
    imports: Sequence[str] = (),
) -> dict[str, Any]:
    """What a worker reads on stdin: `probe`, or `inspect`, `time` or `opinion` on these trials, in this order.

    `roofs` asks it to measure the device's roofs first, `imports` are factories that it looks for.
    """
    return {
        "kind": kind,
        "device": surroundings.device,
        "threads": surroundings.threads,
        "replicate": replicate,
        "roofs": roofs,
        "imports": list(imports),
        "timing": timing.model_dump(),
        "trials": [t.to_dict() for t in trials],
    }
