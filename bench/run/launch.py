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

from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError
from bench.spec.plan.plan import Surroundings, Trial

_RETAIN = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": str(256 << 20),
}
WORKER = "bench.measure.worker"  # by name: this room does not import that one
_OWNED = (  # beginnings of names; the run sets these itself, or leaves them at torch's defaults
    *("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "MALLOC_"),
    *("CUDA_LAUNCH_BLOCKING", "CUDNN_", "CUBLAS_", "CUBLASLT_", "NVIDIA_TF32_OVERRIDE", "TORCH_CUDNN_"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_PREFER_", "PYTORCH_NO_CUDA_MEMORY_CACHING"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ENABLE_MPS_FALLBACK"),
    *("TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_COMPILE_", "TRITON_CACHE_DIR"),
)
_SWAYING = ("ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONTRACEMALLOC")
_RECORDED = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "ONEDNN_", "DNNL_", "LD_PRELOAD"),
    *("CUDA_", "CUDNN_", "CUBLAS", "NVIDIA_TF32_", "HIP_", "ROCR_", "HSA_", "MIOPEN_", "ZE_", "SYCL_", "TORCH", "PYTORCH_", "TRITON_"),
)  # fmt: skip


def ignored(base: Mapping[str, str] | None = None) -> list[str]:
    """Variables of the caller that shape times and that no worker gets, because the run sets that itself."""
    return sorted(name for name in (os.environ if base is None else base) if name.startswith(_OWNED))


def swaying(base: Mapping[str, str]) -> list[str]:
    """Variables of the caller that every worker gets and that change what is measured, such as a chosen instruction set."""
    return [name for name in _SWAYING if base.get(name)]


def worker_environment(
    surroundings: Surroundings, base: Mapping[str, str] | None = None, compiled: Path | None = None
) -> dict[str, str]:
    """The environment variables of a worker: the caller's, with all that shapes a time set or taken out.

    allocator retain: glibc keeps freed memory instead of returning it to the kernel, so that an evaluation does not
    pay page faults for its buffers again. waiting: how OpenMP's idle threads wait. `compiled` is the folder for what
    torch.compile makes; it compiles in the worker itself, as processes of its own would take cores from the samples.
    """
    env = {k: v for k, v in (os.environ if base is None else base).items() if not k.startswith(_OWNED)}
    threads = "1" if is_predicted(surroundings.device) else str(surroundings.threads)
    env |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    env |= {"PYTHONHASHSEED": "0", "OMP_DYNAMIC": "false", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if compiled is not None:
        env |= {"TORCHINDUCTOR_CACHE_DIR": str(compiled), "TRITON_CACHE_DIR": str(compiled / "triton")}
    if surroundings.allocator == "retain":
        env |= _RETAIN
    if surroundings.waiting != "default":
        env["OMP_WAIT_POLICY"] = surroundings.waiting
    root = str(Path(__file__).parents[2])
    env["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [env.get("PYTHONPATH")])])
    return env


def recorded(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of `env` that shape the measurement, for environment.json."""
    return {k: v for k, v in sorted(env.items()) if k.startswith(_RECORDED) or k in _SWAYING}


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
