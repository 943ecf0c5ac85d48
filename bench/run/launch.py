"""Start a worker process with a job, read its answers, and end it after a time-out."""

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

WORKER = "bench.measure.worker"  # by name: `run` does not import `measure`
START_TIMEOUT_S = 300.0  # enough for a cold import of torch from a network disk
DOCTOR_TIMEOUT_S = 120.0  # the same for bench doctor
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the worker: end when the runner is killed, so that it does not disturb the run that resumes (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG; it survives the exec


class Silent(Exception):
    """A worker gave no answer within the time-out."""


class Worker:
    """One worker process and its job."""

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
            start_new_session=True,  # so that Ctrl-C reaches only the runner, which then ends the worker
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._out = self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode())
            self.process.stdin.close()

    def answers(self, start_s: float, trial_s: float) -> Iterator[dict[str, Any]]:
        """The worker's answers until it ends.

        Silent for one that does not follow within `start_s` (up to the first trial's `begin`) or `trial_s` (after it).
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
        """Kill the worker if it still runs; its exit status (negative: a signal)."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self._out.close()
        self._log.close()
        return status


def probe(
    surroundings: Surroundings, timing: Timing, start_s: float, imports: Sequence[str] = (), kind: str = "probe"
) -> dict[str, Any]:
    """The facts that a worker on this device answers to a job of this kind, without trials, within `start_s`.

    UserError where the device can't be used, no worker can start, or one of `imports` can't be imported.
    """
    handle, name = tempfile.mkstemp(prefix="bench-probe-", suffix=".log")
    os.close(handle)
    log = Path(name)
    worker = Worker(surroundings, job(kind, surroundings, timing, imports=imports), log)
    answers: list[dict[str, Any]] = []
    hung = False
    try:
        answers = list(worker.answers(start_s, start_s))
    except Silent:
        hung = True
    finally:
        status = worker.end()
        if answers:
            log.unlink()
    if not answers:
        line = last_line(log)
        why = no_answer(start_s) if hung else how_it_ended(status, log)
        why += f": {line}" if line and line not in why else ""
        remedy = f"Its output is in {log}. Does torch start alone? {shlex.quote(sys.executable)} -c 'import torch'"
        raise UserError(f"DEVICE={surroundings.device}", f"a worker can't start: {why}", remedy)
    if answers[0]["type"] == "refused":
        raise UserError(answers[0]["place"], answers[0]["rule"], answers[0]["remedy"])
    facts: dict[str, Any] = answers[0]["facts"]
    return facts


def last_line(log: Path) -> str:
    """The last line of a worker's log, or nothing."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    lines = [line for line in lines if line.strip() and not line.startswith("USDT:")]
    return lines[-1][:200] if lines else ""


def no_answer(seconds: float) -> str:
    """A time-out in words."""
    return f"no answer within {seconds:g} s"


def how_it_ended(status: int, log: Path) -> str:
    """A worker's end in words: its signal, or its exit status with the last line of its log."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = "an unknown signal"
        return f"killed by signal {-status} ({name})"
    line = last_line(log)
    return f"exit status {status}" + (f": {line}" if line else "")


def job(
    kind: str,
    surroundings: Surroundings,
    timing: Timing,
    trials: Sequence[Trial] = (),
    replicate: int = 0,
    roofs: bool = False,
    imports: Sequence[str] = (),
) -> dict[str, Any]:
    """A worker's job, which it reads on stdin: `probe`, or `inspect`, `time` or `opinion` these trials, in this order.

    `roofs`: measure the device's roofs first; `imports`: factories that must be importable.
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
