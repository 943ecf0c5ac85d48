"""What the worker may ask of a device. The clock is injected, so that a simulated device's times come out exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from time import perf_counter_ns
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.measure.device import memory

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class OwnTimes:
    """The device's own times of single calls, in ns. `proven`: each call was all queued before the device reached it."""

    ns: tuple[float, ...]
    proven: bool


@dataclass(frozen=True, slots=True)
class Launches:
    """Kernels that one call starts, by the profiler and by the nodes of a captured graph; None where not counted."""

    profiler: int | None = None
    graph: int | None = None


class CaptureFailed(RuntimeError):
    """A call that can't be captured as a graph. It may have left the stream capturing: see `Device.spoilt`."""


class Device(Protocol):
    """A place where blocks run. What a device hasn't got it answers with None, never with a number.

    `spoilt`: a capture failed, after which streams and allocator may still be capturing; only a fresh process can go on.
    """

    name: str
    torch_device: torch.device
    clock: Callable[[], int]
    spoilt: bool

    def time(self, call: Call, evaluations: int) -> int:
        """Nanoseconds by the host's clock for `evaluations` calls back to back, with their work done."""

    def synchronize(self) -> None:
        """Wait until all submitted work is done."""

    def submit(self, call: Call, evaluations: int) -> int | None:
        """Nanoseconds that the host takes to submit `evaluations` calls to an empty queue."""

    def own(self, call: Call, times: int, cold: bool = False) -> OwnTimes | None:
        """The device's own time of each of `times` calls; `cold` empties its cache before each."""

    def steps(self, calls: Sequence[Call], times: int) -> list[list[float]] | None:
        """The device's own nanoseconds of each of these calls, made one after the other, in each of `times` passes."""

    def memory_peak(self, call: Call, clear: Call) -> memory.Peak:
        """The most memory that one call holds beyond what is left after `clear`."""

    def launches(self, call: Call) -> Launches:
        """Kernels that one call starts."""

    def capture(self, call: Callable[[], Tensor]) -> tuple[Call, Tensor]:
        """The call as a graph: what replays it, and the output that each replay writes. CaptureFailed where it can't be."""

    def properties(self) -> dict[str, Any]:
        """What the device says of itself, for the record."""

    def empty_cache(self) -> None:
        """Give freed memory back before the next trial."""


class Cpu:
    """The host. Calls return when their work is done, so there is no queue and no time apart from the host's."""

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.torch_device = torch.device("cpu")
        self.name = "cpu"
        self.clock = clock
        self.spoilt = False

    def time(self, call: Call, evaluations: int) -> int:
        clock = self.clock
        start = clock()
        for _ in repeat(None, evaluations):
            call()
        return clock() - start

    def synchronize(self) -> None:
        pass

    def submit(self, call: Call, evaluations: int) -> int | None:  # noqa: ARG002
        return None

    def own(self, call: Call, times: int, cold: bool = False) -> OwnTimes | None:  # noqa: ARG002
        return None

    def steps(self, calls: Sequence[Call], times: int) -> list[list[float]] | None:
        taken = []
        for _ in repeat(None, times):
            marks = [self.clock()]
            for call in calls:
                call()
                marks.append(self.clock())
            taken.append([float(after - before) for before, after in pairwise(marks)])
        return taken

    def memory_peak(self, call: Call, clear: Call) -> memory.Peak:
        return memory.peak_on_cpu(call, clear)

    def launches(self, call: Call) -> Launches:  # noqa: ARG002
        return Launches()

    def capture(self, call: Callable[[], Tensor]) -> tuple[Call, Tensor]:
        raise NotImplementedError("a CPU has no graphs")

    def properties(self) -> dict[str, Any]:
        return {}

    def empty_cache(self) -> None:
        pass
