"""Second opinions: time the same evaluations with torch.utils.benchmark and with pytest-benchmark.

Each tool has its default settings and times one arm after the other. Neither empties a device's queue before and after
a group of calls, as our sampler does. So on an accelerator they time a call with a wait for the device, and `detail`
says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter_ns
from typing import Any

from bench.measure.device.devices import Call, Device
from bench.spec.columns import TOOLS

TORCH, PYTEST = TOOLS
SECONDS = 1.0  # of timing an arm with torch's Timer; also the other tool's default
NOT_INSTALLED = "pytest-benchmark is not installed"
SIMULATED = "it can't be given a simulated clock"
WAITED = "each call was followed by a wait for the device"
_PYTEST_ARGUMENTS = (
    *("-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--noconftest"),
    *("-c", os.devnull, "--capture=no", "--color=no"),
)


@dataclass(frozen=True, slots=True)
class Opinion:
    """One tool's times of one arm, in seconds per evaluation; None for missing ones, with the reason in `detail`."""

    tool: str
    time_min_s: float | None = None
    time_median_s: float | None = None
    time_iqr_s: float | None = None
    detail: str | None = None


def ask(device: Device, calls: Sequence[Call], threads: int) -> list[tuple[Opinion, ...]]:
    """The opinions on each call, in the order of TOOLS. Raises whatever a call raises."""
    queued = device.torch_device.type != "cpu"
    statements = [_and_wait(call, device.synchronize) if queued else call for call in calls]
    detail = WAITED if queued else None
    by_torch = [by_timer(s, threads, device.clock, detail) for s in statements]
    if device.clock is perf_counter_ns:
        by_pytest = by_pytest_benchmark(statements, detail)
    else:
        by_pytest = [Opinion(PYTEST, detail=SIMULATED)] * len(calls)
    return list(zip(by_torch, by_pytest, strict=True))


def by_timer(call: Call, threads: int, clock: Callable[[], int], detail: str | None) -> Opinion:
    """By torch's Timer, with the worker's threads (its default is one). It gives no minimum.

    It uses the device's clock, as Timer's would wait for a card even when a CPU is timed.
    """
    from torch.utils.benchmark import Timer  # imports setuptools, which every worker would wait for

    timer = Timer("call()", globals={"call": call}, timer=lambda: clock() / 1e9, num_threads=threads)
    result = timer.blocked_autorange(min_run_time=SECONDS)
    return Opinion(TORCH, None, result.median, result.iqr, detail)


def by_pytest_benchmark(calls: Sequence[Call], detail: str | None = None) -> list[Opinion]:
    """By pytest-benchmark's fixture, in a pytest session with a test for each call.

    pytest prints to stdout, which in a worker goes to its log.
    """
    if find_spec("pytest") is None or find_spec("pytest_benchmark") is None:
        return [Opinion(PYTEST, detail=NOT_INSTALLED)] * len(calls)
    import pytest

    arms = _Arms(calls)
    with _without_callers_settings():
        status = int(pytest.main(list(_PYTEST_ARGUMENTS), plugins=[arms]))
    if arms.error is not None:
        raise arms.error
    failed = Opinion(PYTEST, detail=f"pytest ended with status {status}, and the worker's log says why")
    return [
        Opinion(PYTEST, stats.min, stats.median, stats.iqr, detail) if stats else failed
        for stats in (arms.stats.get(i) for i in range(len(calls)))
    ]


class _Arms:
    """A pytest plugin: its tests are the calls, in order, and it keeps the fixture's statistics of each."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.stats: dict[int, Any] = {}
        self.error: Exception | None = None

    def pytest_collection(self, session: Any) -> bool:
        """Replaces pytest's collection, which looks for files."""
        import pytest

        session.items = [
            pytest.Function.from_parent(session, name=f"arm {i + 1}", callobj=self._test(i))
            for i in range(len(self.calls))
        ]
        session.testscollected = len(session.items)
        return True

    def _test(self, i: int) -> Callable[[Any], None]:
        def test(benchmark: Any) -> None:
            if self.error is not None:
                return
            try:
                benchmark(self.calls[i])
            except Exception as error:  # noqa: BLE001 (raised by the caller; pytest would only report it)
                self.error = error
                return
            self.stats[i] = benchmark.stats.stats

        return test


@contextmanager
def _without_callers_settings() -> Iterator[None]:
    """Hide the caller's pytest options and plugins from a pytest in this process."""
    held = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PYTEST_")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update(held)


def _and_wait(call: Call, wait: Callable[[], None]) -> Call:
    def statement() -> None:
        call()
        wait()

    return statement
