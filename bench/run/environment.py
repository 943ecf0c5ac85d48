"""The facts of this machine for environment.json: processor, memory, versions, warnings, and its noise by bench aa."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

import bench
from bench.run.checks import chosen, local, worst
from bench.run.machine import Machine, look, quota, reported, usable_cores
from bench.spec.errors import UserError
from bench.spec.files import file_text
from bench.spec.plan.aa import LEAST_PAIRS
from bench.spec.results_folder import read_noise

LONGER_S = 4.0  # of watching the load again where the first look is red


def host() -> dict[str, Any]:
    """The machine, for environment.json."""
    memory = reported(psutil.virtual_memory)
    return {
        "cpu_model": cpu_model(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": usable_cores(),
        "cpu_quota": quota(file_text),
        "memory_bytes": memory and memory.total,
        "os": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "hypervisor": "hypervisor" in file_text("/proc/cpuinfo"),
        "governor": file_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "transparent_hugepages": chosen(file_text("/sys/kernel/mm/transparent_hugepage/enabled")),
    }


def watched(results: Path) -> Machine:
    """This machine right now; if that is red over LONGER_S, as a burst of load ends before the first trial begins."""
    machine = look(results)
    return look(results, LONGER_S) if worst(local(machine)) == "red" else machine


def noise_bands(results: Path, device: str, name: str, torch: str) -> list[dict[str, Any]]:
    """The aa.json of A/A tests with this device, name and torch in a folder of runs: the latest by number of threads.

    Without tests of fewer than LEAST_PAIRS pairs, or with more than half of them noisy.
    """
    latest: dict[tuple[int, ...], dict[str, Any]] = {}
    for path in results.glob("*/aa.json"):
        try:
            aa = read_noise(path.parent)
        except (OSError, UserError):
            continue
        if (
            not aa
            or aa["pairs"] < LEAST_PAIRS
            or aa["noisy"] > aa["pairs"] / 2
            or [aa.get(k) for k in ("device", "device_name", "torch")] != [device, name, torch]
        ):
            continue
        threads = tuple(aa.get("threads") or ())
        latest[threads] = max(latest.get(threads, aa), aa, key=lambda a: str(a.get("started_utc")))
    return sorted(latest.values(), key=lambda a: str(a.get("started_utc")))


def versions() -> dict[str, Any]:
    """The versions of this program and of Python, and in a checkout the source's commit."""
    root = Path(__file__).parents[2]
    commit = None
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            commit = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    return {"bench_version": bench.__version__, "git": commit, "python": platform.python_version()}


def cpu_model() -> str:
    """The processor's name, or its architecture."""
    for line in file_text("/proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
