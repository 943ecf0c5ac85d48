"""A run of six trials by fake workers: started in this process or as the command line, and what its journal holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.run import machine, runner, session

ROOT = Path(__file__).parents[1]
CONFIG = """
name: tiny
timing: {processes_min: 3, processes_max: 3, timeout_seconds: 3}
experiments:
  a:
    blocks: [standard, separable]
    axes: {channels: [16, 32, 64], kernel: [3, 5], threads: 1}
"""


def calm(results: Path, sample_s: float = 0.0) -> machine.Machine:
    """This machine, as if no other program ran: no test depends on how busy it is."""
    return replace(machine.look(results, 0.02), busy=0.0, stolen=0.0)


def start(config: Path, out: Path, said: list[str] | None = None, **settings: float) -> session.Outcome:
    overrides = [f"{name}={value}" for name, value in settings.items()]
    return runner.run(config, ["cpu"], out, overrides, ["bench", "run"], (said if said is not None else []).append)


def records(folder: Path, kind: str) -> list[dict]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["type"] == kind]


def visits(folder: Path) -> Counter:
    return Counter((r["trial_id"], r["replicate"]) for r in records(folder, "visit"))


NO_PICTURES = """
from bench.show import write
write.draw = lambda *_: ()
"""


def bench(
    *words: str, shown: bool = True, hangup: str = "SIG_DFL", first: str = "", terminal: int = subprocess.PIPE,
    before: Callable[[], None] | None = None, **env: str,
) -> subprocess.Popen[str]:  # fmt: skip
    """The command line with fake workers, and without the pictures of a run that comes to be shown.

    `hangup`: what the caller does with SIGHUP, such as SIG_IGN. `first`: code that runs first. `terminal`: where it
    prints. `before`: called in the new process.
    """
    code = f"""
{first}
import signal
from bench.cli import main
from bench.run import environment, launch
from tests.tiny_run import calm
environment.look = calm
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it, as nohup and & do
signal.signal(signal.SIGHUP, signal.{hangup})
launch.WORKER = "tests.fake_worker"
{NO_PICTURES if shown else ""}
main()
"""
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, text=True, env={**os.environ, **env},
        stdout=terminal, stderr=terminal, preexec_fn=before,
    )  # fmt: skip


def wait_for(path: Path, kind: str, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and path.read_text().count(f'"type":"{kind}"') >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never held {count} records of {kind}")


def ends_tidily(process: subprocess.Popen, out: Path, number: int) -> None:
    """Send a signal to a run: it says how to go on, and leaves a record and tables of what was measured."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"bench run --resume {out}" in err
    assert "Traceback" not in err
    assert records(out, "interrupt")
    assert (out / "measurements.csv").exists()
