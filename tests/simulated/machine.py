"""The one simulated device of this process: its engine, its memory, its random numbers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tests.simulated.engines import Engine, Kernel, ThreadEngine, VirtualEngine, nanoseconds
from tests.simulated.settings import Settings

NAME = "simgpu"
ROUNDING = 512  # the caching allocator's, in bytes
SEGMENT = 2 << 20  # what it asks of the device at a time
OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation

ENGINES: dict[str, type[Engine]] = {"threads": ThreadEngine, "virtual": VirtualEngine}

Cost = Callable[[str, tuple[Any, ...], tuple[Any, ...]], float]
"""(kernel's name, arguments, outputs) -> seconds on the device."""


@dataclass(slots=True)
class Tally:
    """Bytes now, and the most since the last reset."""

    now: int = 0
    peak: int = 0

    def set(self, now: int) -> None:
        """Hold so much."""
        self.now = now
        self.peak = max(self.peak, now)


class Block:
    """One allocation. It is given back when the last tensor and the last view on it are gone."""

    __slots__ = ("_freed", "requested")

    def __init__(self, requested: int, freed: deque[int]) -> None:
        self.requested = requested
        self._freed = freed

    def __del__(self) -> None:
        self._freed.append(self.requested)  # atomic: this may run in any thread, in the middle of an allocation


class Memory:
    """The accounts of a caching allocator without fragmentation; what a freed block held stays reserved."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.requested, self.allocated, self.reserved = Tally(), Tally(), Tally()
        self.exhausted = 0
        self._freed: deque[int] = deque()
        self._lock = threading.RLock()

    def allocate(self, nbytes: int) -> Block:
        """A block of so many bytes; OutOfMemoryError beyond the device's memory."""
        with self._lock:
            self.settle()
            allocated = self.allocated.now + _up(nbytes, ROUNDING)
            if allocated > self.total:
                self.exhausted += 1
                free = self.total - self.allocated.now
                raise torch.OutOfMemoryError(
                    f"{NAME} out of memory. Tried to allocate {_mebibytes(nbytes)}. Device 0 has a total capacity of "
                    f"{_mebibytes(self.total)} of which {_mebibytes(free)} is free."
                )
            self.requested.set(self.requested.now + nbytes)
            self.allocated.set(allocated)
            if allocated > self.reserved.now:
                self.reserved.set(min(_up(allocated, SEGMENT), self.total))
            return Block(nbytes, self._freed)

    def settle(self) -> None:
        """Take back what has been freed since."""
        with self._lock:
            while self._freed:
                nbytes = self._freed.popleft()
                self.requested.set(self.requested.now - nbytes)
                self.allocated.set(self.allocated.now - _up(nbytes, ROUNDING))

    def empty_cache(self) -> None:
        """Give back to the device what is reserved and not allocated."""
        with self._lock:
            self.settle()
            self.reserved.set(min(_up(self.allocated.now, SEGMENT), self.total))

    def reset_peaks(self) -> None:
        """Count the most anew from what there is now."""
        with self._lock:
            self.settle()
            for tally in (self.requested, self.allocated, self.reserved):
                tally.peak = tally.now

    def stats(self) -> dict[str, int]:
        """By torch's names."""
        with self._lock:
            self.settle()
            tallies = {"requested": self.requested, "allocated": self.allocated, "reserved": self.reserved}
            found = {"num_ooms": self.exhausted}
            for name, tally in tallies.items():
                found[f"{name}_bytes.all.current"] = tally.now
                found[f"{name}_bytes.all.peak"] = tally.peak
            return found


class Machine:
    """What the tensors, the events and the device module share. A tensor keeps the memory that it was made in."""

    def __init__(self) -> None:
        self.generator = torch.Generator()
        self.settings = Settings()
        self.engine: Engine = VirtualEngine(self.settings)
        self.memory = Memory(self.settings.memory)
        self._cost: Cost | None = None

    def install(self, settings: Settings, cost: Cost | None) -> None:
        """Start over: a queue that is empty, a clock at nought, memory that is free, no fault."""
        self.engine.close()
        self.settings = settings
        self.engine = ENGINES[settings.engine](settings)
        self.memory = Memory(settings.memory)
        self._cost = cost

    def kernel(
        self,
        name: str,
        args: tuple[Any, ...],
        outputs: tuple[Any, ...],
        work: Callable[[], object] | None = None,
        kind: str = "kernel",
        key: Any = None,
    ) -> None:
        """Launch: `work` runs on a device that computes, and takes its cost on one that does not."""
        cost_ns = 0
        if not self.engine.computes:
            work = None
            cost_ns = nanoseconds(self._cost(name, args, outputs) if self._cost else self.settings.cost(name))
        fault = self.settings.fault_of_channels(outputs[0].shape[1]) if name == "aten::convolution" else ""
        self.engine.launch(Kernel(name, work, cost_ns, kind, fault, key))


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def _mebibytes(nbytes: int) -> str:
    return f"{nbytes / 2**20:.2f} MiB"


MACHINE = Machine()
"""torch keeps one backend of this kind per process, so there is one."""
