"""Flag samples that were disturbed, by the kernel's counters (Linux), which are read between samples.

Limits of the flags: FLAGGED, STALLED_SHARE. Flags never drop a sample here.
"""

from __future__ import annotations

import operator
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.spec.columns import FLAGS
from bench.spec.files import file_text

WAIT, PREEMPTED, FAULTS, STEAL, THROTTLED, STALLED = FLAGS
FLAGGED = 0.01  # share of a sample's time that a disturbance takes, above which the sample is flagged
STALLED_SHARE = 0.1  # share of a sample's time spent waiting for a core, above which the sample is stalled
CPUS = Path("/sys/devices/system/cpu")  # what the kernel tells of each
FAULT_SECONDS = 5e-7  # least cost of a minor page fault


class Counters(NamedTuple):
    """The kernel's counters since the process started, or their sums over an arm's samples."""

    run_queue_wait_ns: int = 0
    involuntary_switches: int = 0
    minor_faults: int = 0

    def minus(self, other: Counters) -> Counters:
        return Counters(*map(operator.sub, self, other))

    def plus(self, other: Counters) -> Counters:
        return Counters(*map(operator.add, self, other))

    def flags(self, sample_ns: int) -> int:
        """The bits of FLAGS for these disturbances of a sample."""
        bits = WAIT if self.run_queue_wait_ns > FLAGGED * sample_ns else 0
        bits |= STALLED if self.run_queue_wait_ns > STALLED_SHARE * sample_ns else 0
        bits |= PREEMPTED if self.involuntary_switches else 0
        return bits | (FAULTS if self.minor_faults * FAULT_SECONDS * 1e9 > FLAGGED * sample_ns else 0)


def flags_of_machine(before: tuple[int, int, int], after: tuple[int, int, int]) -> int:
    """The bits of FLAGS for steal and throttling between two readings of `Watch.machine`."""
    slowed = after[1] > before[1] or before[2] | after[2]
    return (STEAL if after[0] > before[0] else 0) | (THROTTLED if slowed else 0)


class Watch:
    """Reads the counters of this process's threads, the machine's stolen time and the container's throttling."""

    def __init__(self, card: Callable[[], int] | None = None) -> None:
        """`card`: the bits of the reasons that slow an accelerator down right now."""
        self._card = card
        self._threads: dict[str, int] = {}
        self._stat = _open("/proc/stat")
        self._quota = _open(_cgroup_stat())
        self.refresh()

    def refresh(self) -> None:
        """Include new threads: call it after the operators' threads have started."""
        try:
            present = {task.name for task in Path("/proc/self/task").iterdir()}
        except OSError:
            return
        for gone in set(self._threads) - present:
            os.close(self._threads.pop(gone))
        for new in present - set(self._threads):
            opened = _open(f"/proc/self/task/{new}/schedstat")
            if opened is not None:
                self._threads[new] = opened

    def read(self) -> Counters:
        """The process's counters now; takes a few microseconds."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        waited = 0
        for file in self._threads.values():
            try:
                waited += int(os.pread(file, 96, 0).split()[1])
            except (OSError, IndexError):  # the thread has ended
                continue
        return Counters(waited, used.ru_nivcsw, used.ru_minflt)

    def machine(self) -> tuple[int, int, int]:
        """Stolen ticks, how often the quota ran out, and the card's bits. Slower than `read`: once a round."""
        steal = throttled = 0
        if self._stat is not None:
            fields = os.pread(self._stat, 256, 0).split(b"\n", 1)[0].split()
            steal = int(fields[8]) if len(fields) > 8 else 0
        if self._quota is not None:
            for line in os.pread(self._quota, 1024, 0).split(b"\n"):
                if line.startswith(b"nr_throttled "):
                    throttled = int(line.split()[1])
        return steal, throttled, self._card() if self._card else 0

    def close(self) -> None:
        for file in [*self._threads.values(), self._stat, self._quota]:
            if file is not None:
                os.close(file)
        self._threads, self._stat, self._quota = {}, None, None


def _open(path: str | Path | None) -> int | None:
    if path is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def _cgroup_stat() -> Path | None:
    """cpu.stat of this process's control group: version 2, or the cpu controller of version 1."""
    for line in file_text("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            return Path("/sys/fs/cgroup") / path.lstrip("/") / "cpu.stat"
        if "cpu" in controllers.split(","):
            return Path("/sys/fs/cgroup/cpu") / path.lstrip("/") / "cpu.stat"
    return None
