"""Collect the study's samples: `python tools/study/collect.py OUT.jsonl.gz [SHARE]` (about 13 minutes; README says how).

Every process serves all cells of one setting; the settings' processes come in one random order, so that whatever the
machine does hits all of them alike. SHARE below 1 takes fewer processes, to try it out.
"""

from __future__ import annotations

import gzip
import itertools
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.run import environment
from bench.run.launch import worker_environment
from bench.run.machine import usable_cores
from bench.spec.plan.plan import Surroundings

HERE = Path(__file__).resolve().parent
SEED = 20261122
CELLS = [
    {"channels": 16, "kernel": 3, "layout": "contiguous"},
    {"channels": 64, "kernel": 3, "layout": "contiguous"},
    {"channels": 64, "kernel": 3, "layout": "channels_last"},
    {"channels": 128, "kernel": 5, "layout": "contiguous"},
]


def settings(share: float, cores: int) -> list[dict[str, Any]]:
    """One entry a process: our way in many processes, the peers' allocator and the ways of waiting in fewer."""
    several = dict.fromkeys((1, min(2, cores)))
    many, few = (max(2, round(n * share)) for n in (10, 4))
    found: list[dict[str, Any]] = []
    for threads, competitor in itertools.product(several, (False, True)):
        place = {"threads": threads, "competitor": competitor}
        ours = {"name": "ours", "allocator": "retain", "waiting": "default", "builds": [[0.0005, 0.7], [0.004, 0.7]]}
        found += [place | ours | {"timer_s": 0, "process": p} for p in range(many)]
        peers = {"name": "default allocator", "allocator": "default", "waiting": "default", "builds": [[0.0005, 0.5]]}
        found += [place | peers | {"timer_s": 1.0, "process": p} for p in range(few)]
        if threads > 1:
            for waiting in ("passive", "active"):
                other = {"name": waiting, "allocator": "retain", "waiting": waiting, "builds": [[0.0005, 0.5]]}
                found += [place | other | {"timer_s": 0, "process": p} for p in range(few)]
    return found


def main(out: Path, share: float) -> None:
    """Run every process and keep what it says."""
    todo = settings(share, usable_cores())
    random.Random(SEED).shuffle(todo)
    begun = time.monotonic()
    with gzip.open(out, "wt", encoding="utf-8") as file:
        head = {"seed": SEED, "cells": CELLS, "host": environment.host(), "processes": len(todo)}
        file.write(json.dumps(head) + "\n")
        for i, setting in enumerate(todo, 1):
            surroundings = Surroundings("cpu", setting["threads"], setting["allocator"], setting["waiting"])
            rival = _competitor(SEED + i) if setting["competitor"] else None
            try:
                job = {"cells": CELLS, "setting": setting, "seed": SEED + i}
                told = subprocess.run(
                    [sys.executable, str(HERE / "sampler.py")], input=json.dumps(job), env=worker_environment(surroundings),
                    stdout=subprocess.PIPE, text=True, check=True,
                )  # fmt: skip
            finally:
                if rival is not None:
                    rival.kill()
                    rival.wait()
            file.write(told.stdout)
            left = (time.monotonic() - begun) / i * (len(todo) - i)
            print(f"[{i}/{len(todo)}] {setting['name']}, {setting['threads']} threads, {left / 60:.1f} min left", file=sys.stderr)  # fmt: skip


def _competitor(seed: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(HERE / "competitor.py"), str(seed)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
