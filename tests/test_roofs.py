"""Measured roofs: what a device is asked, what it can't do, and what its cache and its memory hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from bench.measure import peaks
from bench.measure.device.devices import Cpu
from bench.measure.disturbance import Counters
from bench.measure.peaks import Load, Roofs
from bench.spec.config.timing import Timing
from tests.test_worker import serve, trials

QUICK = Timing(seconds=0.02, sample_seconds=0.001, warmup_seconds=0.005, rounds_min=1, precision=1e-9)
RATES = ("matmul_flop_per_s", "conv_flop_per_s", "cache_bytes_per_s", "memory_bytes_per_s")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roofs of a few milliseconds, of a device with a small cache."""
    monkeypatch.setattr(peaks, "TIMING", QUICK)
    monkeypatch.setattr(peaks, "CALL_NS", 1e5)
    monkeypatch.setattr(peaks, "PROBE_NS", 5e4)
    monkeypatch.setattr(peaks, "LEAST_POOL", 4 << 20)
    monkeypatch.setattr(peaks, "last_level_cache", lambda device: 1 << 20)


def test_a_worker_asked_for_roofs_tells_them_before_its_trials(warm):
    given = [*trials(), *trials(dtype="bf16"), *trials(kernel=5)]
    messages = serve("time", given, roofs=True)
    assert [m["type"] for m in messages[:4]] == ["ready", "roof", "roof", "begin"]
    assert [m["dtype"] for m in messages[1:3]] == ["fp32", "bf16"]
    assert not [m for m in messages[4:] if m["type"] == "roof"]
    told = messages[1]
    assert (told["device"], told["threads"], told["replicate"]) == ("cpu", 1, 1)
    assert all(told[name] > 0 for name in RATES)
    assert told["matmul_flop_per_s"] > 1e9
    assert told["cache_bytes_per_s"] >= 0.5 * told["memory_bytes_per_s"]
    assert told["cache_bytes"] >= 1 << 18
    assert set(told["detail"]) >= set(RATES)


def test_a_worker_not_asked_measures_none(warm):
    assert not [m for m in serve("time", trials()) if m["type"] == "roof"]


def refuse(*_: object, **__: object) -> Tensor:
    raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'\nand more")


def test_what_a_device_cannot_do_has_no_roof_but_a_reason(small: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "mm", refuse)
    found = peaks.measure(Cpu(), "fp16")
    assert found.matmul_flop_per_s is None
    assert found.detail["matmul_flop_per_s"] == "\"addmm_impl_cpu_\" not implemented for 'Half'"
    assert found.conv_flop_per_s
    assert found.memory_bytes_per_s
    monkeypatch.setattr(torch.nn.functional, "conv2d", refuse)
    assert peaks.measure(Cpu(), "fp16").conv_flop_per_s is None


def test_no_failure_of_a_part_is_the_callers(small: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peaks, "_pool", refuse)
    told = peaks.record(Cpu(), "fp32")
    assert told["memory_bytes_per_s"] is told["cache_bytes_per_s"] is None
    assert told["detail"]["moving"].startswith('"addmm_impl_cpu_"')
    assert told["matmul_flop_per_s"] > 0


def test_with_too_little_memory_to_get_beyond_the_cache_there_is_no_such_roof(small: None, monkeypatch):
    monkeypatch.setattr(peaks, "room", lambda device: 6 << 20)
    found = peaks.measure(Cpu(), "fp32")
    assert found.memory_bytes_per_s is None
    assert found.detail["memory_bytes_per_s"] == "6 MiB are free, too few to get beyond the cache"
    assert found.cache_bytes_per_s


def test_fp32_is_ieee_and_tf32_must_be_asked_for(small: None):
    for dtype, precision in (("fp32-tf32", "tf32"), ("fp32", "ieee")):
        peaks.measure(Cpu(), dtype)
        assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == (precision == "tf32")


# ---------------------------------------------------------------- against a clock of our own


class Paced:
    """A device whose calls take the time that they tell; every third stretch of time is twice as long."""

    torch_device = torch.device("cpu")

    def __init__(self) -> None:
        self.now = 0
        self.turn = count()

    def clock(self) -> int:
        return self.now

    def time(self, call: Callable[[], object], evaluations: int) -> int:
        slow = 2 if next(self.turn) % 3 == 0 else 1
        took = slow * sum(int(call()) for _ in range(evaluations))  # type: ignore[call-overload]
        self.now += took
        return took


def test_a_roof_is_the_fastest_sample():
    rates = peaks._rates(Paced(), [Load("a", lambda: 1_000_000, 5e6), Load("b", lambda: 2_000_000, 5e6)])  # type: ignore[arg-type]
    assert rates == [5e9, 2.5e9]


def test_a_load_grows_until_a_call_is_long_enough():
    ladder = [Load(str(n), lambda n=n: 10_000 * n, float(n)) for n in (1, 4, 16, 64, 256, 1024, 4096)]
    assert peaks._large_enough(Paced(), iter(ladder)).name == "1"  # all are as fast as each other: the first one  # type: ignore[arg-type]
    growing = [Load(str(n), lambda n=n: 10_000 * n + 500_000, float(n)) for n in (1, 4, 16, 64, 256, 1024, 4096)]
    assert peaks._large_enough(Paced(), iter(growing)).name == "1024"  # type: ignore[arg-type]


@pytest.mark.fault(
    "memory", "memory runs out while peak rates are measured",
    "the smaller load counts",
)  # fmt: skip
def test_a_load_that_finds_no_memory_ends_the_climb_and_the_first_one_says_so():
    def full() -> object:
        raise torch.OutOfMemoryError("no room")

    ladder = [Load("fits", lambda: 1000, 1.0), Load("does not", full, 2.0)]
    assert peaks._large_enough(Paced(), iter(ladder)).name == "fits"  # type: ignore[arg-type]
    with pytest.raises(torch.OutOfMemoryError):
        peaks._large_enough(Paced(), iter(ladder[1:]))  # type: ignore[arg-type]


def test_memory_beyond_the_cache_is_taken_in_turn():
    pool = torch.arange(8 * 12, dtype=torch.float32)
    copy, triad, read = peaks._in_turn(pool)
    assert [load.amount for load in (copy, triad, read)] == [8.0 * 6, 12.0 * 4, 8.0 * 6]
    for part in range(8):
        before = pool.clone()
        copy.call()
        changed = (pool != before).nonzero().flatten().tolist()
        assert changed == list(range(12 * part + 6, 12 * part + 12))


def test_a_device_with_graphs_is_not_asked_to_launch_each_call():
    class Graphs(Paced):
        def capture(self, call: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
            return (lambda: "replayed"), call()

    seen = []
    load = peaks._replayed(Graphs(), Load("x", lambda: seen.append(1) or torch.ones(1), 3.0))  # type: ignore[arg-type]
    assert (load.amount, load.call(), len(seen)) == (3.0 * peaks.IN_A_GRAPH, "replayed", peaks.IN_A_GRAPH)
    plain = Load("x", lambda: None, 3.0)
    assert peaks._replayed(Cpu(), plain) is plain


# ---------------------------------------------------------------- what the caches hold


def caches(root: Path, cpu: int, *levels: tuple[int, str, str, str]) -> None:
    for i, (level, kind, size, shared) in enumerate(levels):
        index = root / f"cpu{cpu}" / "cache" / f"index{i}"
        index.mkdir(parents=True)
        for name, text in (("level", str(level)), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
            (index / name).write_text(text + "\n")


def test_the_last_level_is_counted_once_for_each_that_threads_can_sit_beside(tmp_path: Path):
    for cpu in range(4):
        group = "0-1" if cpu < 2 else "2-3"
        caches(tmp_path, cpu, (1, "Data", "48K", str(cpu)), (1, "Instruction", "64M", str(cpu)), (3, "Unified", "32M", group))  # fmt: skip
    assert peaks.cpu_cache(range(4), 1, tmp_path) == 32 << 20
    assert peaks.cpu_cache(range(4), 4, tmp_path) == 64 << 20
    assert peaks.cpu_cache({0, 1}, 4, tmp_path) == 32 << 20
    assert peaks.cpu_cache({9}, 4, tmp_path) is None


def test_a_cache_that_is_not_told_is_assumed_and_said(small: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peaks, "last_level_cache", lambda device: None)
    monkeypatch.setattr(peaks, "ASSUMED_CACHE", 1 << 20)
    found: Roofs = peaks.measure(Cpu(), "fp32")
    assert found.cache_bytes == 1 << 20
    assert "assumed" in found.detail["cache_bytes"]


def test_this_machine_has_room():
    assert peaks.room(Cpu()) > 64 << 20


# ---------------------------------------------------------------- the speed for the plan


class Watched:
    """Counters that tell of a probe's waiting and of ticks stolen in it, probe by probe."""

    def __init__(self, *probes: tuple[int, int]) -> None:
        self.probes, self.reads, self.looks = probes, 0, 0

    def refresh(self) -> None:
        pass

    def read(self) -> Counters:
        self.reads += 1
        return Counters(run_queue_wait_ns=sum(wait for wait, _ in self.probes[: self.reads // 2]))

    def machine(self) -> tuple[int, int, int]:
        self.looks += 1
        return (sum(ticks for _, ticks in self.probes[: self.looks // 2]), 0, 0)


SECOND = 10**9


@pytest.mark.parametrize(
    ("probes", "rates", "speed", "detail"),
    [
        ([(0, 0)], [9e9], 9e9, "a dense convolution at 9 GFLOP/s"),
        ([(SECOND, 0), (0, 0)], [1e9, 9e9], 9e9, "a dense convolution at 9 GFLOP/s"),
        ([(0, 3), (0, 0)], [9e9, 8e9], 9e9, "a dense convolution at 9 GFLOP/s"),
        ([(SECOND, 0), (SECOND, 1)], [1e9, 2e9], 2e9, "a dense convolution at 2 GFLOP/s (both probes disturbed: wait, steal)"),
    ],
)  # fmt: skip
def test_a_disturbed_probe_of_the_speed_is_made_once_more_and_the_faster_one_counts(
    monkeypatch: pytest.MonkeyPatch, probes, rates, speed, detail
):
    pauses: list[float] = []
    monkeypatch.setattr(peaks.time, "sleep", pauses.append)
    told = iter(rates)
    monkeypatch.setattr(peaks, "_convs", lambda *_: iter([Load("conv", partial(int, 1e9), next(told))]))
    device = SimpleNamespace(torch_device=torch.device("cpu"), time=lambda call, n: n * call())
    assert peaks.conv_speed(device, Watched(*probes)) == {"conv_flop_per_s": speed, "conv_detail": detail}  # type: ignore[arg-type]
    assert len(pauses) == len(rates) - 1
    assert next(told, None) is None


def test_a_worker_tells_the_speed_only_where_a_plan_asks_for_it(warm):
    (asked,) = serve("probe", trials(), visit_seconds=1)
    assert asked["facts"]["conv_flop_per_s"] > 1e8
    assert asked["facts"]["conv_detail"].startswith("a dense convolution at ")
    assert "conv_flop_per_s" not in serve("probe", trials())[0]["facts"]
