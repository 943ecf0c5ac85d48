"""Two devices behind one queue: one computes on a thread, in real time; one computes nothing, in virtual time.

As on a GPU the host only submits. It learns of the device's progress, and of its faults, where it asks or waits.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from queue import SimpleQueue

import torch

from tests.simulated.settings import Settings

ILLEGAL_ADDRESS, CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED = 700, 900, 901  # CUDA's numbers
FOREVER = 1 << 62  # ns: the device never gets there


@dataclass(frozen=True, slots=True)
class Record:
    """A kernel or a copy that ran: when it began and ended by the clock of its engine."""

    name: str
    kind: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Kernel:
    """Something to run: `work` where the engine computes, `cost_ns` where it does not. `kind` is kernel or memcpy."""

    name: str
    work: Callable[[], object] | None = None
    cost_ns: int = 0
    kind: str = "kernel"
    fault: str = ""
    key: Hashable = None


@dataclass(slots=True)
class Mark:
    """A place in the queue and, once the device has got there, the time."""

    time_ns: int = FOREVER
    passed: threading.Event = field(default_factory=threading.Event)


def accelerator_error(code: int, message: str) -> torch.AcceleratorError:
    """An error as torch raises it for a device, with its `error_code`."""
    error = torch.AcceleratorError(f"simgpu error: {message}")
    error.error_code = code  # type: ignore[attr-defined]
    return error


class Engine(ABC):
    """A queue and the device that empties it. After a fault every call raises, until another engine is installed."""

    computes: bool

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.launches = 0
        self.records: list[Record] | None = None
        self._captured: list[Kernel] | None = None
        self._capture_broken = False
        self._closed = threading.Event()

    def launch(self, kernel: Kernel) -> None:
        """Queue a kernel."""
        self.replay([kernel])

    def replay(self, kernels: Sequence[Kernel]) -> None:
        """Queue kernels in one launch, or note them for the graph that is being captured."""
        if self._captured is not None:
            self._captured.extend(kernels)
            return
        self.check()
        self.launches += 1
        fault = self.settings.fault(self.launches)
        if fault and kernels:
            kernels = [replace(kernels[0], fault=fault), *kernels[1:]]
        self._enqueue(kernels)

    def sleep(self, cycles: int) -> None:
        """Keep the device busy, at one cycle a nanosecond."""
        self.launch(Kernel("spin_kernel", lambda: time.sleep(cycles / 1e9), cycles))

    def begin_capture(self) -> None:
        """From here on launches are noted and not run."""
        self.synchronize()
        self._captured, self._capture_broken = [], False

    @property
    def capturing(self) -> bool:
        """Whether launches are noted for a graph."""
        return self._captured is not None

    def end_capture(self) -> list[Kernel]:
        """What was noted; AcceleratorError where the host has waited for the device in between."""
        captured, self._captured = self._captured or [], None
        if self._capture_broken:
            raise accelerator_error(CAPTURE_INVALIDATED, "operation failed due to a previous error during capture")
        return captured

    def synchronize(self) -> None:
        """Wait until the queue is empty."""
        self.refuse_in_capture()
        self.wait(self.mark())

    def wait(self, mark: Mark) -> None:
        """Wait until the device has got there. AcceleratorError if it has met a fault."""
        self.refuse_in_capture()
        self._wait(mark)
        self.check()

    def reached(self, mark: Mark) -> bool:
        """Whether the device has got there."""
        self.refuse_in_capture()
        self.check()
        return self._reached(mark)

    def check(self) -> None:
        """Raise what the device is known to have met: the error that CUDA gives, at this and every later call."""
        if self._closed.is_set():
            raise RuntimeError("simgpu: another engine has been installed since")
        if self._faulted():
            raise accelerator_error(
                ILLEGAL_ADDRESS, "an illegal memory access was encountered (met earlier and reported now)"
            )

    def close(self) -> None:
        """Let go of whoever waits for a device that hangs."""
        self._closed.set()

    def refuse_in_capture(self) -> None:
        """AcceleratorError, now and as the capture ends, for what can't be noted for a graph."""
        if self.capturing:
            self._capture_broken = True
            raise accelerator_error(CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing")

    @abstractmethod
    def clock_ns(self) -> int:
        """The host's clock."""

    @abstractmethod
    def mark(self) -> Mark:
        """A mark at the end of the queue."""

    def event(self) -> Mark:
        """A mark that an event leaves there, which takes the device its own time where that is told."""
        return self.mark()

    @abstractmethod
    def _enqueue(self, kernels: Sequence[Kernel]) -> None: ...

    @abstractmethod
    def _wait(self, mark: Mark) -> None: ...

    @abstractmethod
    def _reached(self, mark: Mark) -> bool: ...

    @abstractmethod
    def _faulted(self) -> bool: ...


class ThreadEngine(Engine):
    """Computes on a thread of its own, so values are right, times are real and the host really runs ahead."""

    computes = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._fault = False
        self._failure: str | None = None
        self._queue: SimpleQueue[Mark | tuple[Sequence[Kernel], list[Record] | None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="simgpu", daemon=True)
        self._thread.start()

    def clock_ns(self) -> int:
        return time.perf_counter_ns()

    def mark(self) -> Mark:
        mark = Mark()
        self._queue.put(mark)
        return mark

    def check(self) -> None:
        super().check()
        if self._failure is not None:
            raise RuntimeError(self._failure)

    def close(self) -> None:
        super().close()
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _enqueue(self, kernels: Sequence[Kernel]) -> None:
        self._queue.put((kernels, self.records))

    def _wait(self, mark: Mark) -> None:
        mark.passed.wait()

    def _reached(self, mark: Mark) -> bool:
        return mark.passed.is_set()

    def _faulted(self) -> bool:
        return self._fault

    def _run(self) -> None:
        torch.set_num_threads(1)  # of this thread: OpenMP's waiting threads would take the cores from the host
        while (item := self._queue.get()) is not None:
            if isinstance(item, Mark):
                item.time_ns = time.perf_counter_ns()
                item.passed.set()
            else:
                for kernel in item[0]:
                    self._compute(kernel, item[1])

    def _compute(self, kernel: Kernel, records: list[Record] | None) -> None:
        if kernel.fault == "hang":
            self._closed.wait()
        if self._fault or self._failure or self._closed.is_set():
            return
        if kernel.fault == "fail":
            self._fault = True
            return
        start = time.perf_counter_ns()
        try:
            if kernel.work is not None:
                kernel.work()
        except Exception as error:  # noqa: BLE001 (the host has to hear of whatever stopped the thread)
            self._failure = f"simgpu: {kernel.name} could not be computed: {error}"
            return
        if self.settings.extra:
            time.sleep(self.settings.extra)
        if records is not None:
            records.append(Record(kernel.name, kernel.kind, start, time.perf_counter_ns()))


class VirtualEngine(Engine):
    """Computes nothing. The host's clock and the device's are whole nanoseconds, so tests can ask for equality."""

    computes = False

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.host_ns = 0
        self._free_ns = 0  # when the device has done all that is queued
        self._fault_ns = FOREVER
        self._queued: deque[int] = deque()  # when each launch that the host knows of ends
        self._seen: set[Hashable] = set()
        self._launch_ns = nanoseconds(settings.launch)
        self._first_ns = nanoseconds(settings.first_call)
        self._gap_ns = nanoseconds(settings.gap)
        self._event_ns = nanoseconds(settings.event)

    def clock_ns(self) -> int:
        return self.host_ns

    def mark(self) -> Mark:
        return Mark(max(self._free_ns, self.host_ns))

    def event(self) -> Mark:
        if self._event_ns:
            self._free_ns = max(self._free_ns, self.host_ns) + self._event_ns
        return self.mark()

    def _enqueue(self, kernels: Sequence[Kernel]) -> None:
        self.host_ns += self._launch_ns
        if self._first_ns:
            self._first_calls(kernels)
        self._wait_for_room()
        for kernel in kernels:
            self._run(kernel)
        self._queued.append(self._free_ns)

    def _first_calls(self, kernels: Sequence[Kernel]) -> None:
        for kernel in kernels:
            if kernel.key is not None and (kernel.name, kernel.key) not in self._seen:
                self._seen.add((kernel.name, kernel.key))
                self.host_ns += self._first_ns

    def _wait_for_room(self) -> None:
        queued = self._queued
        while queued and queued[0] <= self.host_ns:
            queued.popleft()
        if len(queued) >= self.settings.depth:
            self._host_waits_until(queued.popleft())

    def _run(self, kernel: Kernel) -> None:
        if self._fault_ns < FOREVER:
            return
        start = max(self._free_ns + self._gap_ns, self.host_ns) if self._free_ns else self.host_ns
        self._free_ns = FOREVER if kernel.fault == "hang" or start >= FOREVER else start + kernel.cost_ns
        if kernel.fault == "fail":
            self._fault_ns = self._free_ns
        elif self.records is not None and self._free_ns < FOREVER:
            self.records.append(Record(kernel.name, kernel.kind, start, self._free_ns))

    def _wait(self, mark: Mark) -> None:
        self._host_waits_until(mark.time_ns)

    def _host_waits_until(self, time_ns: int) -> None:
        if time_ns >= FOREVER:
            self._closed.wait()
            self.check()
        self.host_ns = max(self.host_ns, time_ns)

    def _reached(self, mark: Mark) -> bool:
        return mark.time_ns <= self.host_ns

    def _faulted(self) -> bool:
        return self._fault_ns <= self.host_ns


def nanoseconds(seconds: float) -> int:
    """Whole ones."""
    return round(seconds * 1e9)
