"""A scheduler and workers of Dask on this machine. A worker that preloads this module lets fake workers measure.

As a program it is `bench` with fake workers, which such a worker starts in place of `python -m bench`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.run import launch, lease

ROOT = Path(__file__).parents[1]
QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}
PATIENT = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "120s"}  # on a machine with much else to do
SHELL = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}


class Fleet:
    """One scheduler, and workers as they are asked for; all end with `close`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.processes = folder, list[subprocess.Popen]()
        self.scheduler = self.start("scheduler", "--host", self.address, "--no-dashboard")
        host, port = self.address.removeprefix("tcp://").split(":")
        listens = False
        while not listens:  # Dask itself would try again ever more seldom
            assert self.scheduler.poll() is None, (folder / "dask-0.log").read_text()
            time.sleep(0.05)
            with socket.socket() as knock:
                listens = knock.connect_ex((host, int(port))) == 0

    def worker(self, *words: str, env: dict[str, str] = QUIET, **fake: object) -> subprocess.Popen:
        quiet = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--local-directory", str(self.folder))
        given = {**env, "BENCH_FAKE": json.dumps(fake)}
        return self.start("worker", self.address, *quiet, "--preload", "tests.fleet", *words, **given)

    def wait(self, workers: int) -> None:
        import distributed  # which a shard's process does without

        with distributed.Client(self.address, timeout=120, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=120)

    def start(self, *words: str, **env: str) -> subprocess.Popen:
        argv = [sys.executable, "-m", "dask", *words]
        with open(self.folder / f"dask-{len(self.processes)}.log", "wb") as log:
            process = subprocess.Popen(
                argv, cwd=ROOT, env={**SHELL, **PATIENT, **env}, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # also what a nanny started
            process.wait()


if __name__ == "__main__":
    from bench.cli import main
    from bench.run import cluster, environment
    from tests.tiny_run import calm

    environment.look = calm
    launch.WORKER = "tests.fake_worker"
    cluster.LOOK_S, cluster.PER_WORKER = 0.1, 2
    main()
else:
    lease.PROGRAM, lease.KEPT = ("-m", "tests.fleet"), (*lease.KEPT, "BENCH_FAKE")
