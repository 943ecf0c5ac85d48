"""Start a worker process with its environment variables and a job, read its answers, and end it after a time-out.

Of the caller's variables a worker gets some, the run sets some, and some are recorded.
"""

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
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from bench.run.machine import reported
from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError, printable
from bench.spec.plan.plan import SIDES, Side, Surroundings, Trial

WORKER = "bench.measure.worker"  # by name: `run` does not import `measure`
LOCKSTEP = "bench.measure.lockstep"
NEEDED = "pydantic, pyyaml and psutil"  # by a worker, besides torch
START_TIMEOUT_S = 300.0  # enough for a cold import of torch from a network disk
DOCTOR_TIMEOUT_S = 120.0  # the same for bench doctor
PAUSE_S = 5.0  # between two looks at a worker, which are a second apart, above which nobody ran meanwhile
_MARK = "BENCH_WORKER"  # a variable by which the processes that a worker started are known, in whatever session
AHEAD = "BENCH_AHEAD"  # set for a worker that says when it has imported torch, and then waits for its job
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_RETAIN = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": str(256 << 20),
}
_SET_BY_RUN = (  # beginnings of names; the run sets these variables, or leaves them at torch's defaults
    *("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "MALLOC_"),
    *("CUDA_LAUNCH_BLOCKING", "CUDNN_", "CUBLAS_", "CUBLASLT_", "NVIDIA_TF32_OVERRIDE", "TORCH_CUDNN_"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_PREFER_", "PYTORCH_NO_CUDA_MEMORY_CACHING"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ENABLE_MPS_FALLBACK"),
    *("TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_COMPILE_", "TRITON_CACHE_DIR"),
)
_PASSED_ON = ("ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONTRACEMALLOC")
_RECORDED = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "ONEDNN_", "DNNL_", "LD_PRELOAD"),
    *("CUDA_", "CUDNN_", "CUBLAS", "NVIDIA_TF32_", "HIP_", "ROCR_", "HSA_", "MIOPEN_", "ZE_", "SYCL_", "TORCH", "PYTORCH_", "TRITON_"),
)  # fmt: skip


def not_passed_on(base: Mapping[str, str]) -> list[str]:
    """The caller's variables that affect times and that no worker gets, as the run sets them."""
    return sorted(name for name in base if name.startswith(_SET_BY_RUN))


def passed_on(base: Mapping[str, str]) -> list[str]:
    """The caller's variables that every worker gets and that change what is measured, such as the instruction set."""
    return [name for name in _PASSED_ON if base.get(name)]


def worker_environment(
    surroundings: Surroundings, compiled: Path | None = None, side: Side | None = None
) -> dict[str, str]:
    """The environment variables of a worker: the caller's, with those that affect times set or removed.

    allocator retain: glibc keeps freed memory, so that an evaluation has no page faults for its buffers again. waiting:
    how OpenMP's idle threads wait. `compiled`: the folder for compiled code; torch.compile runs in the worker itself,
    as separate processes would take cores from the samples. `side`: its folders and variables come before all others.
    """
    env = {k: v for k, v in os.environ.items() if not k.startswith(_SET_BY_RUN)}
    threads = "1" if is_predicted(surroundings.device) else str(surroundings.threads)
    env |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    env |= {"PYTHONHASHSEED": "0", "OMP_DYNAMIC": "false", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if compiled is not None:
        env |= {"TORCHINDUCTOR_CACHE_DIR": str(compiled), "TRITON_CACHE_DIR": str(compiled / "triton")}
    if surroundings.allocator == "retain":
        env |= _RETAIN
    if surroundings.waiting != "default":
        env["OMP_WAIT_POLICY"] = surroundings.waiting
    root = str(Path(__file__).parents[2]) if side is None else _package_alone()
    first = [root, *(side.path if side else ()), *filter(None, [env.get("PYTHONPATH")])]
    env["PYTHONPATH"] = os.pathsep.join([*first, str(Path.cwd())])
    return env | dict(side.variables if side else ())


def _package_alone() -> str:
    """A folder from which a worker of any Python imports this package, and none of those installed beside it."""
    root = Path(__file__).parents[2]
    return _linked(root).name if root.name in ("site-packages", "dist-packages") else str(root)


@cache
def _linked(root: Path) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="bench-package-")  # until this process ends
    (Path(folder.name) / "bench").symlink_to(root / "bench", target_is_directory=True)
    return folder


def recorded(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of `env` that affect the measurement, for environment.json."""
    return {k: v for k, v in sorted(env.items()) if k.startswith(_RECORDED) or k in _PASSED_ON}


def die_with_parent() -> None:
    """In a new process: end when its parent is killed, so that it does not disturb the run that resumes (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG; it survives the exec


class Silent(Exception):
    """A worker gave no answer within the time-out."""


class Worker:
    """One worker process and its job, or with two `sides` the process that drives a worker of each in lockstep.

    Without a job it starts, says `awake` once torch is imported, and waits for `give`.
    """

    def __init__(
        self, surroundings: Surroundings, job: Mapping[str, Any] | None, log: Path, compiled: Path | None = None,
        sides: Sequence[Side] = (),
    ) -> None:  # fmt: skip
        self._log = open(log, "ab")  # noqa: SIM115 (closed with the worker)
        self.log_at = self._log.tell()  # where this worker's lines begin
        self._mark = str(uuid.uuid4())
        started: list[tuple[list[str], dict[str, str]]] = []
        for i, side in enumerate(sides or [None]):
            cache = compiled / SIDES[i] if compiled and side else compiled
            env = worker_environment(surroundings, compiled=cache, side=side) | {_MARK: self._mark}
            env |= {AHEAD: "1"} if job is None else {}
            # -P: a bench.py in the working folder is not this package
            started.append(([side.python if side else sys.executable, "-P", "-m", WORKER], env))
        (argv, env), *others = started
        if others:
            assert job is not None
            told = zip(started, job["imports"], strict=True)
            job = {**job, "sides": [{"argv": argv, "env": env, "imports": imports} for (argv, env), imports in told]}
            argv = [sys.executable, "-P", "-m", LOCKSTEP]
            env = worker_environment(surroundings) | {_MARK: self._mark}
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=env,
            preexec_fn=die_with_parent if _LIBC else None,
            start_new_session=True,  # so that Ctrl-C reaches only the runner, which then ends the worker
        )
        assert self.process.stdout is not None
        self._out = self.process.stdout
        if job is not None:
            self.give(job)

    def give(self, job: Mapping[str, Any]) -> None:
        """Tell the worker its job."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job).encode())
            self.process.stdin.close()

    def answers(self, start_s: float, trial_s: float) -> Iterator[dict[str, Any]]:
        """The worker's answers until it ends.

        Silent for one that does not follow within `start_s` (up to the first trial's `begin`) or `trial_s` (after it).
        Time in which this machine or this program was suspended does not count; it is a message of its own, `pause`.
        """
        held = b""
        os.set_blocking(self._out.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._out, selectors.EVENT_READ)
            within = start_s
            looked = time.monotonic()
            until = looked + within
            while True:
                ended = self.process.poll() is not None  # a child of its may hold the pipe open
                now = time.monotonic()
                gap, looked = now - looked, now
                if gap > PAUSE_S:
                    until += gap
                    yield {"type": "pause", "seconds": round(gap, 3)}
                left = until - looked
                if not selector.select(0 if ended else max(0.0, min(left, 1.0))):
                    if ended:
                        break
                    if left <= 0:
                        raise Silent
                    continue
                chunk = self._out.read(1 << 16)
                if chunk == b"":
                    break
                *lines, held = (held + (chunk or b"")).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    yield message
                    within = trial_s if message["type"] == "begin" else within
                    looked = time.monotonic()
                    until = looked + within
        self.process.wait()

    def end(self) -> int:
        """Kill the worker if it still runs, and all that it started; its exit status (negative: a signal)."""
        if self.process.poll() is None:
            self.process.kill()
        status = self.process.wait()
        for process in reported(lambda: list(psutil.process_iter())) or ():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark:
                    process.kill()
        self._out.close()
        self._log.close()
        return status


def probe(
    surroundings: Surroundings,
    timing: Timing,
    start_s: float,
    imports: Mapping[str, str | None] | None = None,
    kind: str = "probe",
    sides: Sequence[Side] = (),
    trials: Sequence[Trial] = (),
) -> dict[str, Any]:
    """The facts that a worker on this device answers to a job of this kind, of which only `walk` has a trial, within `start_s`.

    UserError where the device can't be used, no worker can start, or one of `imports` can't be imported or has changed.
    """
    handle, name = tempfile.mkstemp(prefix="bench-probe-", suffix=".log")
    os.close(handle)
    log = Path(name)
    worker = Worker(surroundings, job(kind, surroundings, timing, trials, imports=imports), log, sides=sides)
    answers: list[dict[str, Any]] = []
    hung = False
    try:
        answers = [a for a in worker.answers(start_s, start_s) if a["type"] != "pause"]
    except Silent:
        hung = True
    finally:
        status = worker.end()
        if answers:
            log.unlink()
    if not answers:
        line = last_line(log, 0)
        why = no_answer(start_s) if hung else how_it_ended(status, log, 0)
        why += f": {line}" if line and line not in why else ""
        python = shlex.quote(sides[0].python if sides else sys.executable)
        remedy = f"Its output is in {log}. Does torch start alone? {python} -c 'import torch'"
        if sides and "No module named" in why:
            lacks = f"{'torch ' if 'torch' in why else ''}{NEEDED.replace(',', '').replace(' and', '')}"
            remedy = f"It needs torch and {NEEDED}: {python} -m pip install {lacks}"
        raise UserError(f"DEVICE={surroundings.device}", f"a worker can't start: {why}", remedy)
    if answers[0]["type"] == "refused":
        raise UserError(answers[0]["place"], answers[0]["rule"], answers[0]["remedy"])
    facts: dict[str, Any] = answers[0]["facts"]
    return facts


def last_line(log: Path, since: int) -> str:
    """The last line of a worker's log after its first `since` bytes, or nothing."""
    text = log.read_bytes()[since:].decode("utf-8", "replace") if log.is_file() else ""
    lines = [s for s in text.splitlines() if s.strip() and not s.startswith("USDT:")]
    return printable(lines[-1].strip()[:200]) if lines else ""


def no_answer(seconds: float) -> str:
    """A time-out in words."""
    return f"no answer within {seconds:g} s"


def how_it_ended(status: int, log: Path, since: int) -> str:
    """A worker's end in words: its signal, or its exit status with the last line of its log after `since` bytes."""
    if status < 0:
        names = {number.value: number.name for number in signal.Signals}
        likely = ": memory ran out, if nobody killed it" if -status == signal.SIGKILL else ""
        return f"killed by signal {-status} ({names.get(-status, 'an unknown signal')}{likely})"
    line = last_line(log, since)
    return f"exit status {status}" + (f": {line}" if line else "")


def job(
    kind: str,
    surroundings: Surroundings,
    timing: Timing,
    trials: Sequence[Trial] = (),
    replicate: int = 0,
    roofs: bool = False,
    imports: Mapping[str, str | None] | Sequence[Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """A worker's job, which it reads on stdin: `probe`, or `inspect`, `time` or `opinion` these trials, in this order.

    `roofs`: measure the device's roofs first; `imports`: the hash of each factory's source, None where it may be any;
    of two sides, those of each.
    """
    return {
        "kind": kind,
        "device": surroundings.device,
        "threads": surroundings.threads,
        "replicate": replicate,
        "roofs": roofs,
        "imports": imports or {},
        "timing": timing.model_dump(),
        "trials": [t.to_dict() for t in trials],
    }
