"""Second opinions: the same evaluations, timed by torch.utils.benchmark and by pytest-benchmark.

Each tool is left as its users get it, and takes one arm after the other. Neither knows of a device's queue in the way
that a sample of ours does (empty before and after a group of calls), so on an accelerator the statement that both of
them time is a call and a wait for the device: there they answer for one call alone, and `detail` says so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from time import perf_counter_ns
from typing import Any

from torch.utils.benchmark import Timer

from bench.measure.device.devices import Call, Device
from bench.spec.columns import TOOLS

TORCH, PYTEST = TOOLS
SECONDS = 1.0  # that torch's Timer looks at an arm; the other tool's own default is the same
NOT_INSTALLED = "pytest-benchmark is not installed"
SIMULATED = "it can't be given a simulated clock"
WAITED = "each call was followed by a wait for the device"
_PYTEST_ARGUMENTS = (
    *("-p", "pytest_benchmark.plugin", "-p", "no:cacheprovider", "-p", "no:faulthandler", "--noconftest"),
    *("-c", os.devnull, "--capture=no", "--color=no"),
)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one tool says of one arm, in seconds per evaluation: None where it says nothing, and why in `detail`."""

    tool: str
    time_min_s: float | None = None
    time_median_s: float | None = None
    time_iqr_s: float | None = None
    detail: str | None = None


def ask(device: Device, calls: Sequence[Call], threads: int) -> list[tuple[Opinion, ...]]:
    """The opinions on each call, in TOOLS' order. Whatever a call raises comes through."""
    queued = device.torch_device.type != "cpu"
    statements = [_and_wait(call, device.synchronize) if queued else call for call in calls]
    detail = WAITED if queued else None
    by_torch = [by_timer(s, threads, device.clock, detail) for s in statements]
    if device.clock is perf_counter_ns:
        by_pytest = by_pytest_benchmark(statements, detail)
    else:
        by_pytest = [Opinion(PYTEST, detail=SIMULATED)] * len(calls)
    return list(zip(by_torch, by_pytest, strict=True))


def by_timer(
    call: Call, threads: int, clock: Callable[[], int], detail: str | None, seconds: float = SECONDS
) -> Opinion:
    """By torch's Timer, with the worker's threads (its own default is one).

    It tells no minimum. Its clock is the device's: its own would wait for a card even where a CPU is timed.
    """
    timer = Timer("call()", globals={"call": call}, timer=lambda: clock() / 1e9, num_threads=threads)
    told = timer.blocked_autorange(min_run_time=seconds)
    return Opinion(TORCH, None, told.median, told.iqr, detail)


def by_pytest_benchmark(calls: Sequence[Call], detail: str | None = None) -> list[Opinion]:
    """By pytest-benchmark's own fixture in a pytest session of its own, with a test for each call.

    What pytest prints goes where stdout does: in a worker, to its log.
    """
    if find_spec("pytest") is None or find_spec("pytest_benchmark") is None:
        return [Opinion(PYTEST, detail=NOT_INSTALLED)] * len(calls)
    import pytest

    arms = _Arms(calls)
    with _callers_settings_apart():
        status = int(pytest.main(list(_PYTEST_ARGUMENTS), plugins=[arms]))
    if arms.error is not None:
        raise arms.error
    failed = Opinion(PYTEST, detail=f"pytest ended with status {status}, and the worker's log says why")
    return [
        Opinion(PYTEST, stats.min, stats.median, stats.iqr, detail) if stats else failed
        for stats in (arms.told.get(i) for i in range(len(calls)))
    ]


class _Arms:
    """A pytest plugin: its tests are the calls, in their order, and it keeps what the fixture told of each."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.told: dict[int, Any] = {}
        self.error: Exception | None = None

    def pytest_collection(self, session: Any) -> bool:
        """Takes the place of pytest's own collection, which looks for files."""
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
            except Exception as error:  # noqa: BLE001 (the caller's to judge; pytest would only report it, and keep it)
                self.error = error
                return
            self.told[i] = benchmark.stats.stats

        return test


@contextmanager
def _callers_settings_apart() -> Iterator[None]:
    """No options or plugins of the caller's for a pytest in this process but those that it is given."""
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
