"""What disturbed a sample: the kernel's own counters, read between samples and never inside one.

Linux only; elsewhere nothing is counted and rows say so. Counters flag samples, they never drop one.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.spec.columns import FLAGS

WAIT, PREEMPTED, FAULTS, STEAL, THROTTLED, STALLED = FLAGS
WORTH_FLAGGING = 0.01  # of a sample's time
STALL = 0.1
FAULT_SECONDS = 5e-7  # a minor fault costs about this or more


@dataclass(slots=True)
class Counters:
    """Counters since the process started; in `Watch.counted`, their sums over an arm's samples."""

    run_queue_wait_ns: int = 0
    involuntary_switches: int = 0
    minor_faults: int = 0

    def minus(self, other: Counters) -> Counters:
        """What was counted since `other`."""
        return Counters(
            self.run_queue_wait_ns - other.run_queue_wait_ns,
            self.involuntary_switches - other.involuntary_switches,
            self.minor_faults - other.minor_faults,
        )

    def add(self, other: Counters) -> None:
        """Add to these sums."""
        self.run_queue_wait_ns += other.run_queue_wait_ns
        self.involuntary_switches += other.involuntary_switches
        self.minor_faults += other.minor_faults

    def flags(self, sample_ns: int) -> int:
        """Bits for what took over a hundredth of the sample, or may have; stalled for waits of over a tenth."""
        bits = WAIT if self.run_queue_wait_ns > WORTH_FLAGGING * sample_ns else 0
        bits |= STALLED if self.run_queue_wait_ns > STALL * sample_ns else 0
        bits |= PREEMPTED if self.involuntary_switches else 0
        return bits | (FAULTS if self.minor_faults * FAULT_SECONDS * 1e9 > WORTH_FLAGGING * sample_ns else 0)


class Watch:
    """Open files on this process's threads, the machine's stolen time and the container's throttling."""

    def __init__(self, card: Callable[[], int] | None = None) -> None:
        """`card` reads the bits of the reasons that slow an accelerator down right now."""
        self._card = card
        self._threads: dict[str, int] = {}
        self._stat = _open("/proc/stat")
        self._quota = _open(_cgroup_stat())
        self.refresh()

    def refresh(self) -> None:
        """Look for new threads: call it once the operators' threads have started."""
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
        """The process's counters now: a few microseconds."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        waited = 0
        for file in self._threads.values():
            try:
                waited += int(os.pread(file, 96, 0).split()[1])
            except (OSError, IndexError):  # the thread has ended
                continue
        return Counters(waited, used.ru_nivcsw, used.ru_minflt)

    def machine(self) -> tuple[int, int, int]:
        """Ticks stolen so far, times that the quota ran out, and the card's bits now. Slower: round by round."""
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
        """Close the files."""
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
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            return Path("/sys/fs/cgroup") / path.lstrip("/") / "cpu.stat"
        if "cpu" in controllers.split(","):
            return Path("/sys/fs/cgroup/cpu") / path.lstrip("/") / "cpu.stat"
    return None
