"""What this machine is: cores that may be used, memory, processor, and what would spoil the numbers."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

import bench


def usable_cores() -> int:
    """Physical cores that this process may use: by affinity and by the container's quota, at least 1."""
    logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    physical = psutil.cpu_count(logical=False) or logical
    all_logical = psutil.cpu_count() or logical
    per_core = max(1, round(all_logical / physical))
    usable = max(1, min(physical, -(-logical // per_core)))
    quota = _quota()
    return usable if quota is None else max(1, min(usable, int(quota)))


def _quota() -> float | None:
    """CPUs' worth of time that the control group grants, or None."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else float(limit) / float(period)
    except (OSError, ValueError):
        pass
    try:
        v1 = Path("/sys/fs/cgroup/cpu")
        limit_us = int((v1 / "cpu.cfs_quota_us").read_text())
        return None if limit_us < 0 else limit_us / int((v1 / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None


def host() -> dict[str, Any]:
    """The machine, for environment.json."""
    memory = psutil.virtual_memory()
    return {
        "cpu_model": _cpu_model(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_cores": usable_cores(),
        "cpu_quota": _quota(),
        "memory_bytes": memory.total,
        "os": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "hypervisor": "hypervisor" in _read("/proc/cpuinfo"),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "transparent_hugepages": _chosen(_read("/sys/kernel/mm/transparent_hugepage/enabled")),
    }


def ambers() -> list[str]:
    """What may spoil the numbers on this machine right now, each in words with what to do."""
    found = []
    load = psutil.getloadavg()[0]
    busy = psutil.cpu_percent(interval=0.3) / 100 * (psutil.cpu_count() or 1)
    if busy > 0.25:
        found.append(f"other programs use {busy:.1f} cores (load {load:.1f}): close them, or read intervals with care")
    governor = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor and governor not in ("performance", "schedutil"):
        found.append(f"the frequency governor is {governor}: performance repeats better")
    if getattr(psutil, "sensors_battery", None):
        battery = psutil.sensors_battery()
        if battery is not None and not battery.power_plugged:
            found.append("running on battery: plug in")
    if not hasattr(os, "sched_getaffinity"):
        found.append("this system has no counters of waiting and preemption: disturbed samples can't be flagged")
    return found


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


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _chosen(text: str) -> str | None:
    """The word in brackets of a kernel setting such as `always [madvise] never`."""
    inside = text.partition("[")[2].partition("]")[0]
    return inside or None
