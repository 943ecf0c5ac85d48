"""Read the machine's state once (Machine): cores, load, memory, control groups, clock, for checks.py to judge."""

from __future__ import annotations

import math
import os
import platform
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import psutil

from bench.spec.files import file_text

T = TypeVar("T")
Reader = Callable[[str], str]
SAMPLE_S = 0.5  # of watching the load: fifty ticks of each core's clock
BUSY, IDLE = ("user", "nice", "system", "irq", "softirq"), ("idle", "iowait", "steal")
"""psutil's words for the time in which a core works; guests' time is part of user."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts; None where this system does not report one."""

    read: Reader  # the text of a file in /proc or /sys
    environ: Mapping[str, str]
    cpus: frozenset[int]  # logical CPUs that this process may run on
    cores: int  # physical cores of the machine
    usable: int  # physical cores for workers' threads
    busy: float | None  # load of other programs on these CPUs, in cores
    stolen: float | None  # share of their time that the hypervisor gives to others
    memory_bytes: int | None
    available_bytes: int | None
    swap_bytes: int | None  # in use
    plugged: bool | None  # None also without a battery
    libc: str  # such as glibc 2.36; empty for another library
    clock_step_ns: int  # the smallest step of perf_counter that was seen
    results: Path
    free_bytes: int | None  # on the disk of the results
    writable: bool


def look(results: Path, sample_s: float = SAMPLE_S) -> Machine:
    """This machine's facts, with its load over `sample_s`; `results`: the folder to write."""
    cpus = _cpus()
    busy, stolen = load(cpus, sample_s)
    memory, swap = reported(psutil.virtual_memory), reported(psutil.swap_memory)
    rooms = [room for room in (memory and memory.available, memory_room(file_text)) if room is not None]
    battery = reported(psutil.sensors_battery)
    there = next((p for p in (results.absolute(), *results.absolute().parents) if p.exists()), Path("/"))
    return Machine(
        read=file_text,
        environ=dict(os.environ),
        cpus=cpus,
        cores=psutil.cpu_count(logical=False) or len(cpus),
        usable=usable_cores(),
        busy=busy,
        stolen=stolen,
        memory_bytes=memory and memory.total,
        available_bytes=min(rooms, default=None),
        swap_bytes=swap and swap.used,
        plugged=battery and battery.power_plugged,
        libc=" ".join(platform.libc_ver()).strip(),
        clock_step_ns=_clock_step_ns(),
        results=results,
        free_bytes=reported(lambda: shutil.disk_usage(there).free),
        writable=there.is_dir() and os.access(there, os.W_OK | os.X_OK),
    )


def reported(ask: Callable[[], T]) -> T | None:
    """What the system answers, mostly through psutil; None where it does not report it, as without /proc."""
    try:
        return ask()
    except (OSError, LookupError, psutil.Error):
        return None


def usable_cores() -> int:
    """Physical cores that this process may use by its affinity and the container's quota, at least 1."""
    logical = len(_cpus())
    physical = psutil.cpu_count(logical=False) or logical
    per_core = max(1, round((psutil.cpu_count() or logical) / physical))
    granted = int(quota(file_text) or physical)
    return max(1, min(physical, math.ceil(logical / per_core), granted))


def quota(read: Reader) -> float | None:
    """The CPUs that the control group and its parents allow, or None without a limit."""
    limits = []
    for folder in _control_groups(read, "cpu"):
        fields = read(f"{folder}/cpu.max").split()
        if not fields:
            fields = [read(f"{folder}/cpu.cfs_quota_us"), read(f"{folder}/cpu.cfs_period_us")]
        limit, period = (number(f) for f in [*fields, "", ""][:2])
        if limit is not None and period and limit > 0:  # no limit is "max", or -1 in version 1
            limits.append(limit / period)
    return min(limits, default=None)


def memory_room(read: Reader) -> int | None:
    """Bytes that the control group and its parents still allow, cached files included, or None without a limit."""
    rooms = []
    for folder in _control_groups(read, "memory"):
        for limit_name, used_name, dropped in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            limit, used = number(read(f"{folder}/{limit_name}")), number(read(f"{folder}/{used_name}"))
            if limit is not None and used is not None:
                stat = dict(line.split()[:2] for line in read(f"{folder}/memory.stat").splitlines() if " " in line)
                rooms.append(max(0, int(limit - used + (number(stat.get(dropped, "")) or 0))))
    return min(rooms, default=None)


def load(cpus: Collection[int], sample_s: float) -> tuple[float | None, float | None]:
    """(load in cores, stolen share of the time) on these CPUs over so many seconds; None where it is not reported."""
    seen: Any = reported(lambda: psutil.cpu_times_percent(sample_s, percpu=True)) or []
    each = [times for cpu, times in enumerate(seen) if cpu in cpus]
    used, idle = (sum(getattr(times, name, 0.0) for times in each for name in names) for names in (BUSY, IDLE))
    whole = (used + idle) / len(each) if each else 0.0  # not 100 in a short sample: psutil takes it for a second
    if not whole:
        return None, None
    stolen = [times.steal for times in each if hasattr(times, "steal")]
    return used / whole, sum(stolen) / whole / len(stolen) if stolen else None


def number(text: str) -> float | None:
    """A text's number, or None."""
    try:
        return float(text)
    except ValueError:
        return None


def _control_groups(read: Reader, controller: str) -> Iterator[str]:
    """Folders of this process's control group and its parents: version 2's, then version 1's."""
    paths = {"/sys/fs/cgroup": "/", f"/sys/fs/cgroup/{controller}": "/"}
    for line in read("/proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and fields[:2] == ["0", ""]:
            paths["/sys/fs/cgroup"] = fields[2]
        elif len(fields) == 3 and controller in fields[1].split(","):
            paths[f"/sys/fs/cgroup/{controller}"] = fields[2]
    for root, path in paths.items():
        for folder in (PurePosixPath(path), *PurePosixPath(path).parents):
            yield f"{root}{folder}".rstrip("/")


def _cpus() -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def _clock_step_ns() -> int:
    seen = [time.perf_counter_ns() for _ in range(2000)]
    return min((b - a for a, b in pairwise(seen) if b > a), default=0)
