"""What this machine is: cores that may be used, memory, processor, and what would spoil the numbers."""

from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

import bench
from bench.run.checks import Check, chosen, local
from bench.run.machine import look, quota, read, usable_cores
from bench.spec.plan.aa import LEAST_PAIRS


def host() -> dict[str, Any]:
    """The machine, for environment.json."""
    memory = psutil.virtual_memory()
    return {
        "cpu_model": cpu_model(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": usable_cores(),
        "cpu_quota": quota(read),
        "memory_bytes": memory.total,
        "os": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "hypervisor": "hypervisor" in read("/proc/cpuinfo"),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "transparent_hugepages": chosen(read("/sys/kernel/mm/transparent_hugepage/enabled")),
    }


def ambers(results: Path) -> list[Check]:
    """What may spoil the numbers on this machine right now; `results` is the folder to be written. Takes half a second."""
    return [check for check in local(look(results)) if check.state in ("amber", "red")]


def noise_bands(results: Path, device: str, name: str, torch: str) -> list[dict[str, Any]]:
    """The A/A tests in a folder of runs that speak of this machine: same device, name and torch; of each number of threads the latest.

    What `bench aa` left in its aa.json, whole. Tests of fewer than LEAST_PAIRS pairs, or with most of them noisy, say
    too little to lean on.
    """
    found: dict[tuple[int, ...], dict[str, Any]] = {}
    for path in results.glob("*/aa.json"):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not isinstance(told, dict) or told.get("pairs", 0) < LEAST_PAIRS or told.get("noisy", 0) > told["pairs"] / 2:
            continue
        if [told.get(k) for k in ("device", "device_name", "torch")] != [device, name, torch]:
            continue
        threads = tuple(told.get("threads", ()))
        found[threads] = max(found.get(threads, told), told, key=lambda a: str(a.get("started_utc")))
    return sorted(found.values(), key=lambda a: str(a.get("started_utc")))


def versions() -> dict[str, Any]:
    """This program's version and the source's commit, where it is run from a checkout."""
    root = Path(__file__).parents[2]
    commit = None
    if (root / ".git").exists():
        try:
            told = subprocess.run(
                ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
            )
            commit = told.stdout.strip() or None
        except (OSError, subprocess.SubprocessError):
            commit = None
    return {"bench_version": bench.__version__, "git": commit, "python": platform.python_version()}


def cpu_model() -> str:
    """The processor's name, or its architecture."""
    for line in read("/proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
