"""The size of a device's last-level cache, and its free memory."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

import psutil
import torch

from bench.measure.device.devices import Device

ASSUMED_CACHE = 32 << 20  # bytes, for a device that does not report it
ASSUMED_ROOM = 1 << 30
_CPUS = Path("/sys/devices/system/cpu")
_LIMITS = (  # of control groups, version 2 and version 1
    (Path("/sys/fs/cgroup"), "memory.max"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def last_level_cache(device: Device) -> int | None:
    """Bytes of the device's last-level cache (for a CPU: of all that its threads can reach); None if unknown."""
    if device.torch_device.type == "cpu":
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
        return cpu_cache(usable, torch.get_num_threads())
    return int(device.properties().get("L2_cache_size", 0)) or None


def cpu_cache(cpus: Collection[int], threads: int, root: Path = _CPUS) -> int | None:
    """Bytes of the last-level data caches of these CPUs, of at most as many caches as `threads`."""
    caches: dict[tuple[int, str], int] = {}  # level and the CPUs that share it, to its size
    for cpu in cpus:
        for index in (root / f"cpu{cpu}" / "cache").glob("index*"):
            try:
                kind, level, shared, size = ((index / w).read_text().strip() for w in ("type", "level", "shared_cpu_list", "size"))  # fmt: skip
            except OSError:
                continue
            match = re.fullmatch(r"(\d+)([KMG]?)", size)
            if kind != "Instruction" and match is not None:
                caches[int(level), shared] = int(match[1]) * _UNITS[match[2]]
    last = max((level for level, _ in caches), default=0)
    sizes = sorted((size for (level, _), size in caches.items() if level == last), reverse=True)
    return sum(sizes[: max(1, threads)]) or None


def room(device: Device) -> int:
    """Free bytes on the device; ASSUMED_ROOM if unknown."""
    if device.torch_device.type == "cpu":
        return _host_room()
    module = torch.get_device_module(device.torch_device)
    if hasattr(module, "mem_get_info"):
        return int(module.mem_get_info(device.torch_device)[0])
    if hasattr(module, "recommended_max_memory"):  # mps
        return int(module.recommended_max_memory()) - int(module.driver_allocated_memory())
    return ASSUMED_ROOM


def _host_room() -> int:
    """The kernel's estimate of available memory, or a control group's limit if that is less (Linux)."""
    available = psutil.virtual_memory().available
    paths = {line.rpartition(":")[2].lstrip("/") for line in _text(Path("/proc/self/cgroup")).splitlines()} | {""}
    files = [group / path / name for path in paths for group, name in _LIMITS]
    return min([available, *(int(text) for text in map(_text, files) if text.strip().isdigit())])


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
