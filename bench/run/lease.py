"""What a worker of a Dask cluster runs for `bench run --cluster`: it tells its machine, and starts a shard as a process.

The shard is `python -m bench run --shard`: no thread, timer or variable of Dask is in a process that measures.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.run import environment
from bench.run.launch import die_with_parent, last_line
from bench.run.runner import JOURNAL
from bench.spec.files import CONFIG, ENVIRONMENT, PLAN, file_text

FILES = (CONFIG, ENVIRONMENT, PLAN, JOURNAL, "DONE")  # of a shard's folder; they travel
PROGRAM = ("-P", "-m", "bench")  # -P: a bench.py in the working folder is not this package
KEPT = (  # of a worker's variables: what a login sets, and what names devices, libraries and compilers
    *("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME"),
    *("CC", "CPATH", "CXX", "CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"),
    *("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"),
)
QUIET = {  # settings that wake a core of the worker's machine while it measures: the fewest seconds, or None for off
    "distributed.worker.profile.enabled": None,
    "distributed.diagnostics.nvml": None,
    "distributed.admin.tick.interval": 1.0,
    "distributed.admin.system-monitor.interval": 10.0,
}
TO_END_S = 10.0  # for a shard's process to end tidily


def facts(dask_worker: Any) -> dict[str, Any]:
    """A worker's process and machine, and how it has to be started so that it disturbs no measurement (`loud`)."""
    import dask
    from dask.utils import parse_timedelta

    loud = []
    for name, least in QUIET.items():
        now = dask.config.get(name)
        if now if least is None else parse_timedelta(now) < least:
            variable = "DASK_" + name.upper().replace("-", "_").replace(".", "__")
            loud.append(f"{variable}={'False' if least is None else f'{least:g}s'}")
    loud += ["--memory-limit 0"] if dask_worker.memory_manager.memory_limit else []
    machine = {**environment.versions(), **environment.host()}
    boot = file_text("/proc/sys/kernel/random/boot_id")
    return {**machine, "loud": loud, "pid": os.getpid(), "name": platform.node(), "boot": boot}


def shard(
    config: bytes, words: Sequence[str], name: str, passed: Mapping[str, str], pid: int
) -> tuple[int, str, dict[str, bytes]]:
    """Measure a shard in a process: its exit status, its last line, and the files of its folder, which is called `name`.

    `passed`: variables beside KEPT. `pid`: the process that has the lease. The shard's process ends with the lease: if Dask
    takes it back, as it does when the client is gone, if the scheduler is gone, or if this process ends.
    """
    from distributed import Status, get_worker

    if os.getpid() != pid:  # Dask gives a lost task to a new worker at the same address
        raise ChildProcessError("its worker was started again")
    worker = get_worker()
    lease = worker.state.tasks[worker.get_current_task()]
    env = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith("LC_")} | dict(passed)
    with tempfile.TemporaryDirectory(prefix="bench-shard-", dir=worker.local_directory) as folder:
        given, out, log = Path(folder, CONFIG), Path(folder, name), Path(folder, "log")
        given.write_bytes(config)
        with log.open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, *PROGRAM, "run", str(given), *words, "--out", str(out)], env=env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=told, start_new_session=True,
                preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            while process.poll() is None:
                leased = lease.state == "executing" and worker.status in (Status.running, Status.paused)
                if not leased:
                    process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5 if leased else TO_END_S)
                if not leased:
                    break
        finally:
            process.kill()
            process.wait()
        return process.returncode, last_line(log, 0), {n: (out / n).read_bytes() for n in FILES if (out / n).is_file()}
