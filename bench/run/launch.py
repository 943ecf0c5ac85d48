"""Start a worker with its surroundings set, hand it a job, read its answers; end it when it hangs."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.spec.config import Timing
from bench.spec.plan import Surroundings, Trial

_RETAIN = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": str(256 << 20),
}
WORKER = "bench.measure.worker"  # by name: this room does not import that one
_OWNED = ("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "MALLOC_")


def ignored() -> list[str]:
    """Variables of the caller that shape a CPU's time and that no worker gets, because the run sets that itself."""
    return sorted(name for name in os.environ if name.startswith(_OWNED))


def worker_environment(surroundings: Surroundings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment variables of a worker: the caller's, with all that shapes a CPU's time set or taken out.

    allocator retain: glibc keeps freed memory instead of returning it to the kernel, so that an evaluation does not
    pay page faults for its buffers again. waiting: how OpenMP's idle threads wait.
    """
    env = {k: v for k, v in (os.environ if base is None else base).items() if not k.startswith(_OWNED)}
    threads = str(surroundings.threads)
    env |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    env |= {"PYTHONHASHSEED": "0", "OMP_DYNAMIC": "false"}
    if surroundings.allocator == "retain":
        env |= _RETAIN
    if surroundings.waiting != "default":
        env["OMP_WAIT_POLICY"] = surroundings.waiting
    root = str(Path(__file__).parents[2])
    env["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [env.get("PYTHONPATH")])])
    return env


def recorded(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of `env` that shape the measurement, for environment.json."""
    prefixes = (
        "OMP_",
        "GOMP_",
        "KMP_",
        "MKL_",
        "OPENBLAS_",
        "MALLOC_",
        "ONEDNN_",
        "DNNL_",
        "CUDA_",
        "TORCH_",
        "LD_PRELOAD",
    )
    return {k: v for k, v in sorted(env.items()) if k.startswith(prefixes)}


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the new process: end when the runner is killed, so that no orphan disturbs the run that resumes (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG; it outlives the exec


class Silent(Exception):
    """A worker said nothing for longer than its trial may take."""


class Worker:
    """One worker process and the job it was given."""

    def __init__(self, surroundings: Surroundings, job: Mapping[str, Any], log: Path) -> None:
        self._log = open(log, "ab")  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(
            [sys.executable, "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=worker_environment(surroundings),
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

        Silent where the first does not come within `start_s`, or a later one not within `trial_s` of the one before.
        """
        held = b""
        os.set_blocking(self._out.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            until = time.monotonic() + start_s
            while True:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise Silent
                chunk = self._out.read(1 << 16)
                if chunk == b"":
                    break
                *lines, held = (held + (chunk or b"")).split(b"\n")
                for line in lines:
                    yield json.loads(line)
                    until = time.monotonic() + trial_s
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
    kind: str, surroundings: Surroundings, timing: Timing, trials: Sequence[Trial] = (), replicate: int = 0
) -> dict[str, Any]:
    """What a worker reads on stdin: `probe`, `inspect` or `time` these trials, in this order."""
    return {
        "kind": kind,
        "device": surroundings.device,
        "threads": surroundings.threads,
        "replicate": replicate,
        "timing": timing.model_dump(),
        "trials": [t.to_dict() for t in trials],
    }
