"""A device with a queue of its own: cuda, xpu or mps, by what torch's device modules have in common.

Three times of a call are three facts. By the host's clock with the queue empty before and after: what a loop sees. By
events round a call that is all queued before the device reaches it: the device's own. By the host's clock without
waiting: what submitting costs. A call whose submission takes longer than its work is bound by its launches.
"""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Sequence
from itertools import pairwise, repeat
from time import perf_counter_ns
from typing import Any, TypeVar

import torch
from torch import Tensor

from bench.measure.device import kernel_counts, memory
from bench.measure.device.devices import Call, CaptureFailed, Launches, OwnTimes
from bench.spec.errors import first_line

SLEEP_CYCLES = 1_000_000  # about 0.5 ms: time to queue a call
MOST_CYCLES = 1 << 31
RESOLVED_NS = 20_000  # events resolve about 0.5 us, so shorter calls are timed several at a time
MOST_AT_ONCE = 64
FLUSH_BYTES = 256 << 20  # where the device does not tell the size of its cache
CAPTURE_ERRORS = range(900, 909)  # CUDA's errors of stream capture: the device itself is well
T = TypeVar("T")


class Accelerator:
    """One accelerator, by its torch device module."""

    def __init__(self, torch_device: torch.device, clock: Callable[[], int] = perf_counter_ns) -> None:
        self.torch_device = torch_device
        self.module: Any = torch.get_device_module(torch_device)
        self.kind = torch_device.type
        self.clock = clock
        self.spoilt = False
        if hasattr(self.module, "set_device"):
            self.module.set_device(torch_device)
        self.name = self._own_name()
        # torch up to 2.13 may hang on MPS events or order them wrongly, so that the host's clock is all there is
        self.has_events = hasattr(self.module, "Event") and self.kind != "mps"
        self._flushing: Tensor | None = None

    def synchronize(self) -> None:
        """Wait until the queue is empty. Late errors of the device come out here."""
        if self.kind == "mps":
            self.module.synchronize()
        else:
            self.module.synchronize(self.torch_device)

    def time(self, call: Call, evaluations: int) -> int:
        """Nanoseconds by the host's clock, the queue empty before and after."""
        clock = self.clock
        self.synchronize()
        start = clock()
        for _ in repeat(None, evaluations):
            call()
        self.synchronize()
        return clock() - start

    def submit(self, call: Call, evaluations: int) -> int | None:
        """Nanoseconds until the host has submitted the calls. A full queue would make it wait, so ask for few."""
        clock = self.clock
        self.synchronize()
        start = clock()
        for _ in repeat(None, evaluations):
            call()
        took = clock() - start
        self.synchronize()
        return took

    def own(self, call: Call, times: int, cold: bool = False) -> OwnTimes | None:
        """The device's own times by events round queued calls.

        The device is kept asleep while the host queues the call; if the first event is still pending when the last
        launch has been submitted, the host was ahead, and the events time the device alone. Otherwise it sleeps twice
        as long. A call that waits for the device itself can't be queued: then plain events, and not proven.
        """
        if not self.has_events or (cold and not self._can_flush()):
            return None
        sleeps = hasattr(self.module, "_sleep")
        cycles = SLEEP_CYCLES
        at_once = 1
        while sleeps and cycles <= MOST_CYCLES:
            taken = self._queued(call, 1, at_once, cycles, cold)
            if taken is None:
                cycles *= 2
                continue
            if not cold and at_once == 1 and taken[0] < RESOLVED_NS:
                at_once = min(MOST_AT_ONCE, math.ceil(RESOLVED_NS / max(taken[0], 500.0)))
                continue
            rest = self._queued(call, times, at_once, cycles, cold)
            if rest is not None:
                return OwnTimes(tuple(rest), proven=True)
            cycles *= 2
        return OwnTimes(tuple(self._plain(call, times, cold)), proven=False)

    def steps(self, calls: Sequence[Call], times: int) -> list[list[float]] | None:
        """By events between queued calls, all submitted before the device reached the first; None where that can't be shown."""
        if not self.has_events or not hasattr(self.module, "_sleep"):
            return None
        taken: list[list[float]] = []
        cycles = SLEEP_CYCLES
        while len(taken) < times and cycles <= MOST_CYCLES:
            marks = [self._event() for _ in range(len(calls) + 1)]
            self.synchronize()
            self.module._sleep(cycles)
            marks[0].record()
            for call, mark in zip(calls, marks[1:], strict=True):
                call()
                mark.record()
            ahead = not marks[0].query()
            self.synchronize()
            if ahead:
                taken.append([before.elapsed_time(after) * 1e6 for before, after in pairwise(marks)])
            else:
                cycles *= 2
        return taken if len(taken) == times else None

    def memory_peak(self, call: Call, clear: Call) -> memory.Peak:
        """By the caching allocator; MPS has no peak, so it is left empty there."""
        if not hasattr(self.module, "reset_peak_memory_stats"):
            return memory.Peak(None)
        return memory.peak_on_accelerator(call, clear, self.module, self.torch_device)

    def launches(self, call: Call) -> Launches:
        """By torch's profiler, and by the nodes of a graph where bindings to CUDA are there.

        A counter that fails costs its own count alone; a failed capture spoils the process too.
        """
        return Launches(
            self._counted(lambda: kernel_counts.by_profiler(call, self.kind, self.synchronize)),
            self._counted(lambda: kernel_counts.by_graph(call, self.kind, self._capturing)),
        )

    def capture(self, call: Callable[[], Tensor]) -> tuple[Call, Tensor]:
        """Warm up beside the main stream, capture, and hand out the replay with the output that it writes."""
        if not hasattr(self.module, "CUDAGraph"):
            raise NotImplementedError(f"{self.kind} has no graphs in this torch")
        self.synchronize()
        if hasattr(self.module, "Stream"):
            side = self.module.Stream()
            side.wait_stream(self.module.current_stream())
            with self.module.stream(side):
                for _ in range(3):
                    call()
            self.module.current_stream().wait_stream(side)
        else:
            call()
        graph = self.module.CUDAGraph()
        output = self._capturing(graph, call)
        return graph.replay, output

    def properties(self) -> dict[str, Any]:
        """Memory, multiprocessors, cache, clocks and capability, as far as the device tells them."""
        if not hasattr(self.module, "get_device_properties"):
            return {}
        told = self.module.get_device_properties(self.torch_device)
        names = (
            "total_memory multi_processor_count L2_cache_size major minor clock_rate memory_clock_rate memory_bus_width"
            " max_compute_units uuid"
        ).split()
        found = {name: getattr(told, name, None) for name in names}
        return {k: v if isinstance(v, int) else str(v) for k, v in found.items() if v is not None}

    def empty_cache(self) -> None:
        """Give freed blocks back to the device."""
        self._flushing = None
        self.module.empty_cache()

    def _capturing(self, graph: Any, call: Callable[[], T]) -> T:
        """What `call` gives while `graph` notes it. CaptureFailed, and this process spoilt, where something in it can't be.

        A fault of the device, or memory that runs out, comes through as it is, and spoils no less.
        """
        try:
            with self.module.graph(graph, capture_error_mode="thread_local"):
                return call()
        except Exception as error:  # noqa: BLE001 (judged below)
            first: BaseException = error
            while first.__context__ is not None:  # the graph's context raises anew as it is left
                first = first.__context__
        self.spoilt = True
        fault = isinstance(first, torch.AcceleratorError) and getattr(first, "error_code", 900) not in CAPTURE_ERRORS
        if fault or isinstance(first, torch.OutOfMemoryError):
            raise first
        raise CaptureFailed(f"it can't be captured as a graph: {first_line(first)}")

    def _counted(self, count: Callable[[], int | None]) -> int | None:
        try:
            return count()
        except torch.AcceleratorError:
            raise  # the device is lost, not only the count
        except Exception:  # noqa: BLE001 (profilers and bindings raise what they like)
            traceback.print_exc()
            return None

    def _own_name(self) -> str:
        if hasattr(self.module, "get_device_name"):
            return str(self.module.get_device_name(self.torch_device))
        return self.kind

    def _queued(self, call: Call, times: int, at_once: int, cycles: int, cold: bool) -> list[float] | None:
        """Times of single calls in ns; None as soon as the device was awake before a call was all queued."""
        taken = []
        for _ in range(times):
            first, last = self._events()
            self.synchronize()
            if cold:
                self._flush()
            self.module._sleep(cycles)
            first.record()
            for _ in repeat(None, at_once):
                call()
            last.record()
            ahead = not first.query()
            self.synchronize()
            if not ahead:
                return None
            taken.append(first.elapsed_time(last) * 1e6 / at_once)
        return taken

    def _plain(self, call: Call, times: int, cold: bool) -> list[float]:
        taken = []
        for _ in range(times):
            first, last = self._events()
            if cold:
                self._flush()
            self.synchronize()
            first.record()
            call()
            last.record()
            self.synchronize()
            taken.append(first.elapsed_time(last) * 1e6)
        return taken

    def _event(self) -> Any:
        return self.module.Event(enable_timing=True)

    def _events(self) -> tuple[Any, Any]:
        return self._event(), self._event()

    def _can_flush(self) -> bool:
        """Take memory of three times the device's second-level cache, if there is as much to spare."""
        if self._flushing is None:
            size = 3 * int(self.properties().get("L2_cache_size", 0)) or FLUSH_BYTES
            with contextlib.suppress(torch.OutOfMemoryError):
                self._flushing = torch.zeros(size // 4, dtype=torch.float32, device=self.torch_device)
        return self._flushing is not None

    def _flush(self) -> None:
        """Fill the device's cache with something else, outside of what is timed.

        By reading: lines that were written would still have to go to memory, within the call that comes next.
        """
        if self._flushing is not None:
            self._flushing.sum()
