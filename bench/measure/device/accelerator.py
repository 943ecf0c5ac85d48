"""A device with a queue (cuda, xpu or mps), through the common part of torch's device modules.

A call has three times. By the host's clock, with the queue empty before and after: the time in a loop. By events round
a call that is fully queued before the device reaches it: the device's time. By the host's clock without waiting: the
time of submitting. A call whose submission takes longer than its work is bound by launches.
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

from bench.measure.device import counts
from bench.measure.device.devices import Call, CaptureFailed, DeviceTimes, Launches, is_fault
from bench.spec.errors import first_line

SLEEP_CYCLES = 1_000_000  # of the device, about 0.5 ms: enough to queue a short call
MOST_CYCLES = 1 << 31
RESOLVED_NS = 20_000  # events resolve about 0.5 us, so shorter calls are timed several together
MOST_AT_ONCE = 64
FLUSH_BYTES = 256 << 20  # for a device with an unknown cache size
CAPTURE_ERRORS = range(900, 909)  # CUDA's errors of stream capture, after which the device still works
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
        named = getattr(self.module, "get_device_name", None)
        self.name = self.kind if named is None else str(named(torch_device))
        # torch up to 2.13 may hang on MPS events or order them wrongly, so only the host's clock is used there
        self.has_events = hasattr(self.module, "Event") and self.kind != "mps"
        self._flushing: Tensor | None = None

    def synchronize(self) -> None:
        """Wait until the queue is empty. Late errors of the device are raised here."""
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
        """Nanoseconds until the host has submitted the calls; few of them, as a full queue would make it wait."""
        clock = self.clock
        self.synchronize()
        start = clock()
        for _ in repeat(None, evaluations):
            call()
        took = clock() - start
        self.synchronize()
        return took

    def device_times(self, call: Call, times: int, cold: bool = False) -> DeviceTimes | None:
        """The device's times by events round queued calls.

        The device sleeps while the host queues the call. If the first event is still pending after the last launch, the
        host was ahead and the events time only the device; otherwise the sleep is doubled. A call that waits for the
        device can't be queued: then plain events are used, and the times are not proven.
        """
        if not self.has_events or (cold and not self._can_flush()):
            return None
        sleeps = hasattr(self.module, "_sleep")
        cycles = SLEEP_CYCLES
        at_once = 1
        while sleeps and cycles <= MOST_CYCLES:
            first = self._queued(call, 1, at_once, cycles, cold)
            if first is None:
                cycles *= 2
                continue
            if not cold and at_once == 1 and first[0] < RESOLVED_NS:
                at_once = min(MOST_AT_ONCE, math.ceil(RESOLVED_NS / max(first[0], 500.0)))
                continue
            rest = self._queued(call, times, at_once, cycles, cold)
            if rest is not None:
                return DeviceTimes(tuple(rest), proven=True)
            cycles *= 2
        return DeviceTimes(tuple(self._queued(call, times, 1, 0, cold) or ()), proven=False)

    def steps(self, calls: Sequence[Call], times: int) -> list[list[float]] | None:
        """By events between calls, all queued before the device reached the first; None if that can't be proven."""
        if not self.has_events or not hasattr(self.module, "_sleep"):
            return None
        passes: list[list[float]] = []
        cycles = SLEEP_CYCLES
        while len(passes) < times and cycles <= MOST_CYCLES:
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
                passes.append([before.elapsed_time(after) * 1e6 for before, after in pairwise(marks)])
            else:
                cycles *= 2
        return passes if len(passes) == times else None

    def memory_peak(self, call: Call, clear: Call) -> counts.Peak:
        """By the caching allocator; None on MPS, which records no peak."""
        if not hasattr(self.module, "reset_peak_memory_stats"):
            return counts.Peak(None)
        return counts.peak_on_accelerator(call, clear, self.module, self.torch_device)

    def launches(self, call: Call) -> Launches:
        """By torch's profiler, and by the nodes of a graph if CUDA's bindings are installed.

        A counter that fails leaves only its count empty; a failed capture also spoils the process.
        """
        return Launches(
            self._counted(lambda: counts.by_profiler(call, self.kind, self.synchronize)),
            self._counted(lambda: counts.by_graph(call, self.kind, self._capturing)),
        )

    def capture(self, call: Callable[[], Tensor]) -> tuple[Call, Tensor]:
        """Warm up on a side stream and capture; the replay, and the output that it writes."""
        if not hasattr(self.module, "CUDAGraph"):
            raise NotImplementedError(f"{self.kind} has no graphs in this torch")
        self.synchronize()
        side = self.module.Stream()
        side.wait_stream(self.module.current_stream())
        with self.module.stream(side):
            for _ in range(3):
                call()
        self.module.current_stream().wait_stream(side)
        graph = self.module.CUDAGraph()
        output = self._capturing(graph, call)
        return graph.replay, output

    def properties(self) -> dict[str, Any]:
        """Memory, multiprocessors, cache, clocks and capability, as far as they are known."""
        if not hasattr(self.module, "get_device_properties"):
            return {}
        properties = self.module.get_device_properties(self.torch_device)
        names = (
            "total_memory multi_processor_count L2_cache_size major minor clock_rate memory_clock_rate memory_bus_width"
            " max_compute_units uuid"
        ).split()
        values = {name: getattr(properties, name, None) for name in names}
        return {k: v if isinstance(v, int) else str(v) for k, v in values.items() if v is not None}

    def empty_cache(self) -> None:
        """Return freed blocks to the device."""
        self._flushing = None
        self.module.empty_cache()

    def _capturing(self, graph: Any, call: Callable[[], T]) -> T:
        """The result of `call`, captured by `graph`. CaptureFailed if something in it can't be captured.

        A fault of the device, or lack of memory, is raised unchanged. Each of these spoils this process.
        """
        try:
            with self.module.graph(graph, capture_error_mode="thread_local"):
                return call()
        except Exception as error:  # noqa: BLE001 (judged below)
            first: BaseException = error
            while first.__context__ is not None:  # the graph's context raises again at its end
                first = first.__context__
        self.spoilt = True
        fault = is_fault(first) and getattr(first, "error_code", 900) not in CAPTURE_ERRORS
        if fault or isinstance(first, torch.OutOfMemoryError):
            raise first
        raise CaptureFailed(f"it can't be captured as a graph: {first_line(first)}")

    def _counted(self, count: Callable[[], int | None]) -> int | None:
        try:
            return count()
        except Exception as error:
            if is_fault(error):
                raise  # the device is lost, not only the count
            traceback.print_exc()
            return None

    def _queued(self, call: Call, times: int, at_once: int, cycles: int, cold: bool) -> list[float] | None:
        """Times of single calls in ns; None if the device was awake before a call was fully queued.

        Without `cycles` to sleep a call is not queued, and its time may include the host's.
        """
        ns = []
        for _ in range(times):
            first, last = self._event(), self._event()
            self.synchronize()
            if cold:
                self._flush()
            if cycles:
                self.module._sleep(cycles)
            else:
                self.synchronize()
            first.record()
            for _ in repeat(None, at_once):
                call()
            last.record()
            ahead = not first.query()
            self.synchronize()
            if cycles and not ahead:
                return None
            ns.append(first.elapsed_time(last) * 1e6 / at_once)
        return ns

    def _event(self) -> Any:
        return self.module.Event(enable_timing=True)

    def _can_flush(self) -> bool:
        """Allocate three times the device's second-level cache, if there is enough memory."""
        if self._flushing is None:
            size = 3 * int(self.properties().get("L2_cache_size", 0)) or FLUSH_BYTES
            with contextlib.suppress(torch.OutOfMemoryError):
                self._flushing = torch.zeros(size // 4, dtype=torch.float32, device=self.torch_device)
        return self._flushing is not None

    def _flush(self) -> None:
        """Fill the device's cache with other data, outside of the timed part.

        By reading: written lines would have to go to memory later, within the next call.
        """
        if self._flushing is not None:
            self._flushing.sum()
