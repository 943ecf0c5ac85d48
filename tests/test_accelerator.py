"""The accelerator's side of the protocol, against a fake device module, fake NVML and fake profiler events.

The simulated accelerator runs the same code through a whole worker (test_simulated.py); here single facts are held.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from bench.measure import selfcheck
from bench.measure.device import accelerator, counts, device_list, devices
from bench.measure.device.telemetry import Nvml
from bench.spec.config.config import check
from bench.spec.errors import UserError
from bench.spec.plan.plan import make


class FakeModule:
    """A device module with a queue, on a clock in ns that only it moves: events in milliseconds, as torch's."""

    def __init__(self, kernel: float = 100e3, launch: float = 5e3, kernels: int = 1) -> None:
        self.host = self.device = 0.0
        self.kernel, self.launch, self.kernels, self.flushed = kernel, launch, kernels, 0

    def set_device(self, _) -> None: ...

    def get_device_name(self, _) -> str:
        return "Fake"

    def call(self) -> None:
        for _ in range(self.kernels):
            self.enqueue(self.kernel)

    def enqueue(self, ns: float) -> None:
        self.host += self.launch
        self.device = max(self.device, self.host) + ns

    def _sleep(self, cycles: int) -> None:
        self.enqueue(float(cycles))

    def synchronize(self, _=None) -> None:
        self.host = max(self.host, self.device)

    def Event(self, enable_timing: bool):  # noqa: N802 (torch's name)
        assert enable_timing
        event = SimpleNamespace(at=0.0)
        event.record = lambda: setattr(event, "at", max(self.host, self.device))
        event.query = lambda: event.at <= self.host
        event.elapsed_time = lambda end: self._elapsed(event.at, end.at)
        return event

    def _elapsed(self, start: float, end: float) -> float:
        if max(start, end) > self.host:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (end - start) / 1e6


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch):
    def open_(fake: FakeModule, kind: str = "cuda") -> accelerator.Accelerator:
        monkeypatch.setattr(torch, "get_device_module", lambda _: fake)
        device = accelerator.Accelerator(torch.device(kind, 0), clock=lambda: round(fake.host))
        monkeypatch.setattr(device, "_flush", lambda: fake.enqueue(1e6))
        monkeypatch.setattr(device, "_can_flush", lambda: True)
        return device

    return open_


def test_wall_time_has_the_work_done_and_nothing_of_what_was_queued_before(opened):
    fake = FakeModule()
    device = opened(fake)
    fake.call()
    assert device.time(fake.call, 50) == pytest.approx(50 * 100e3, rel=0.01)


def test_submission_is_the_hosts_time_alone(opened):
    fake = FakeModule(kernels=3)
    assert opened(fake).submit(fake.call, 4) == pytest.approx(4 * 3 * 5e3)


def test_the_devices_own_time_is_exact_where_the_host_is_the_slower_one(opened):
    fake = FakeModule(kernel=40e3, launch=200e3, kernels=3)
    found = opened(fake).device_times(fake.call, 5)
    assert found.proven
    assert found.ns == pytest.approx([120e3] * 5)


def test_it_sleeps_longer_until_the_host_is_ahead(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accelerator, "SLEEP_CYCLES", 1000)
    fake = FakeModule(kernel=30e3, launch=50e3, kernels=4)
    found = opened(fake).device_times(fake.call, 3)
    assert found.proven
    assert found.ns == pytest.approx([120e3] * 3)


def test_calls_too_short_for_an_event_are_timed_several_at_a_time(opened):
    fake = FakeModule(kernel=1.5e3, launch=2e3)
    calls = []
    found = opened(fake).device_times(lambda: (calls.append(1), fake.call()), 2)
    assert found.ns == pytest.approx([1.5e3] * 2)
    assert len(calls) > 2 * 10


def test_a_call_that_waits_for_the_device_is_never_called_proven(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accelerator, "MOST_CYCLES", 1 << 22)
    fake = FakeModule()

    def waits() -> None:
        fake.call()
        fake.synchronize()

    found = opened(fake).device_times(waits, 3)
    assert not found.proven
    assert len(found.ns) == 3


def test_each_of_several_steps_has_the_devices_own_time(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accelerator, "SLEEP_CYCLES", 1000)  # too short to queue the steps at first
    fake = FakeModule(kernel=40e3, launch=200e3)
    steps = [fake.call, lambda: None, lambda: (fake.call(), fake.call())]
    found = opened(fake).steps(steps, 3)
    assert found == [pytest.approx([40e3, 0.0, 80e3])] * 3


def test_steps_that_wait_for_the_device_or_can_not_be_queued_have_no_times(opened, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(accelerator, "MOST_CYCLES", 1 << 22)
    fake = FakeModule()
    device = opened(fake)
    assert device.steps([fake.call, fake.synchronize], 2) is None
    device.module = SimpleNamespace(Event=fake.Event, synchronize=fake.synchronize)
    assert device.steps([fake.call], 2) is None


def test_emptying_the_cache_is_no_part_of_the_time(opened):
    fake = FakeModule(kernel=100e3)
    found = opened(fake).device_times(fake.call, 4, cold=True)
    assert found.ns == pytest.approx([100e3] * 4)


def test_without_sleep_there_are_times_but_no_proof(opened):
    fake = FakeModule()
    fake._sleep = None
    device = opened(fake)
    device.module = SimpleNamespace(Event=fake.Event, synchronize=fake.synchronize)
    found = device.device_times(fake.call, 2)
    assert not found.proven


def test_mps_has_the_hosts_clock_alone(opened):
    fake = FakeModule()
    device = opened(fake, "mps")
    assert device.device_times(fake.call, 3) is None
    assert device.time(fake.call, 3) == pytest.approx(3 * 100e3, rel=0.02)
    assert device.memory_peak(fake.call, fake.call) == counts.Peak(None)


class Allocator:
    """Counts as torch's caching allocator does: blocks of 512 B, a peak that lasts until it is reset."""

    def __init__(self) -> None:
        self.now = self.asked = self.most = self.most_asked = 0

    def take(self, size: int) -> None:
        self.now += -(-size // 512) * 512
        self.asked += size
        self.most, self.most_asked = max(self.most, self.now), max(self.most_asked, self.asked)

    def drop(self, size: int) -> None:
        self.now -= -(-size // 512) * 512
        self.asked -= size

    def synchronize(self, _) -> None: ...

    def empty_cache(self) -> None: ...

    def reset_peak_memory_stats(self, _) -> None:
        self.most, self.most_asked = self.now, self.asked

    def memory_allocated(self, _) -> int:
        return self.now

    def max_memory_allocated(self, _) -> int:
        return self.most

    def memory_stats(self, _) -> dict[str, int]:
        return {
            "requested_bytes.all.current": self.asked,
            "requested_bytes.all.peak": self.most_asked,
            "reserved_bytes.all.peak": 2 << 20,
        }


def test_memory_is_the_peak_beyond_what_was_there_and_forgets_older_peaks():
    allocator = Allocator()
    allocator.take(10_000)
    allocator.take(1 << 20)
    allocator.drop(1 << 20)  # an older peak

    def call() -> None:
        allocator.take(1000)
        allocator.take(500)
        allocator.drop(1000)
        allocator.drop(500)

    peak = counts.peak_on_accelerator(call, lambda: None, allocator, torch.device("cpu"))
    assert peak == counts.Peak(allocated=1024 + 512, requested=1500, reserved=2 << 20)


def event(kind: str, activity: str):
    return SimpleNamespace(device_type=lambda: SimpleNamespace(name=kind), activity_type=lambda: activity)


def test_only_kernels_are_launches():
    seen = [event("CUDA", "kernel")] * 3 + [
        event("CUDA", "gpu_user_annotation"),
        event("CUDA", "gpu_memcpy"),
        event("CUDA", "gpu_memset"),
        event("CPU", "cpu_op"),
        event("CPU", "kernel"),
    ]
    assert counts.kernels(seen, "cuda") == 3


def test_only_kernels_are_launches_where_torch_does_not_tell_the_kind_of_an_event():
    """torch 2.11's events have no activity_type."""

    def old(name: str, kind: str = "CUDA", ranged: bool = False):
        return SimpleNamespace(
            device_type=lambda: SimpleNamespace(name=kind), name=lambda: name, is_user_annotation=lambda: ranged
        )

    seen = [
        old("void cudnn::winograd_nonfused::winogradForwardData4x4<float>"),
        old("Memcpy DtoD (Device -> Device)"),
        old("Memset (Device)"),
        old("mine", ranged=True),
        old("aten::conv2d", kind="CPU"),
    ]
    assert counts.kernels(seen, "cuda") == 1


def test_launches_are_not_counted_where_nothing_can_count_them():
    assert counts.by_profiler(lambda: None, "mps", lambda: None) is None
    assert counts.by_graph(lambda: None, "xpu", None) is None


class FakeNvml:
    """pynvml with one card; whatever is not here is refused as a real card refuses."""

    def __init__(self, uuid: str = "GPU-aaaa", bits: int = 0, broken: bool = False) -> None:
        self.uuid, self.bits, self.broken = uuid, bits, broken

    def nvmlInit(self) -> None:  # noqa: N802
        if self.broken:
            raise RuntimeError("NVML Shared Library Not Found")

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes) -> str:  # noqa: N802
        if uuid.decode() != self.uuid:
            raise RuntimeError("Not Found")
        return "by uuid"

    def nvmlDeviceGetHandleByPciBusId(self, address: bytes) -> str:  # noqa: N802
        assert address == b"00000000:17:00.0"
        return "by address"

    def nvmlDeviceGetClockInfo(self, _, kind: int) -> int:  # noqa: N802
        return {1: 1980}[kind]

    def nvmlDeviceGetTemperature(self, _, __) -> int:  # noqa: N802
        return 61

    def nvmlDeviceGetPowerUsage(self, _) -> int:  # noqa: N802
        return 412_500

    def nvmlDeviceGetComputeRunningProcesses(self, _) -> list:  # noqa: N802
        raise RuntimeError("Not Supported")

    def nvmlDeviceGetCurrentClocksEventReasons(self, _) -> int:  # noqa: N802
        return self.bits


CARD = SimpleNamespace(uuid="aaaa", pci_domain_id=0, pci_bus_id=0x17, pci_device_id=0)


def test_a_card_is_read_in_si_units_and_what_it_refuses_is_none():
    told = Nvml(CARD, FakeNvml(bits=0x41)).read()
    assert told == {
        "sm_clock_hz": 1_980_000_000,
        "temperature_c": 61,
        "power_w": 412.5,
        "throttle_reasons": ["thermal limit by hardware"],
        "processes_on_card": None,
    }


def test_being_idle_or_at_application_clocks_is_no_throttling():
    assert Nvml(CARD, FakeNvml(bits=0x1 | 0x2 | 0x10 | 0x100)).throttling() == 0


def test_a_card_is_found_by_its_address_where_the_uuid_is_not():
    assert Nvml(CARD, FakeNvml(uuid="GPU-other"))._handle == "by address"


def test_what_stays_empty_without_nvml_is_said_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    assert Nvml(CARD, FakeNvml()).lack is None
    told = Nvml(CARD, FakeNvml(broken=True)).lack
    assert told.startswith(
        "clocks, temperature, power and throttling stay empty, as NVML can't be read (RuntimeError: NVML"
    )
    assert "check whether nvidia-smi works" in told
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvml(CARD).lack.endswith(": pip install nvidia-ml-py")


@pytest.mark.fault(
    "torch and devices", "NVML is missing",
    "its readings are empty, and nothing fails",
)  # fmt: skip
def test_without_nvml_every_reading_is_missing_and_nothing_fails():
    nvml = Nvml(CARD, FakeNvml(broken=True))
    assert "Not Found" in nvml.why
    readings = nvml.read()
    assert readings.pop("throttle_reasons") == []
    assert set(readings.values()) == {None}
    assert nvml.throttling() == 0


@pytest.mark.parametrize(
    ("device", "axes", "why"),
    [
        ("cpu", {"mode": "graph"}, "no graphs"),
        ("cuda:0", {"mode": "graph"}, None),
        ("cuda:0", {"mode": "graph", "pass": "training"}, "inference alone"),
        ("cpu", {"dtype": "fp32-tf32"}, "TF32"),
        ("cuda:0", {"dtype": "fp32-tf32"}, None),
        ("mps", {"dtype": "fp64"}, "float64"),
    ],
)
def test_what_a_device_cannot_do_is_skipped_with_the_reason(device: str, axes: dict, why: str | None):
    config = check({"name": "t", "experiments": {"a": {"blocks": ["standard"], "axes": axes}}}, "t")
    for trial in make(config, [device], 1).trials:
        assert (trial.skip is None) if why is None else (why in trial.skip)


def test_cudnns_search_is_an_axis_on_cuda_and_idle_elsewhere():
    axes = {"cudnn_benchmark": ["on", "off"], "threads": 1}
    config = check({"name": "t", "experiments": {"a": {"blocks": ["standard"], "axes": axes}}}, "t")
    assert [t.cudnn_benchmark for t in make(config, ["cuda:0"], 1).trials] == ["on", "off"]
    on_cpu = make(config, ["cpu"], 1)
    assert [t.cudnn_benchmark for t in on_cpu.trials] == ["on"]
    assert "cuDNN" in on_cpu.notes[0]


def planted(monkeypatch, cuda="13.0", driver=(True, 0, 13000), count=1, card=(8, 0), visible=None):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(device_list, "_driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda i=0: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i=0: "Card")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_86", "sm_90", "sm_120"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


@pytest.mark.fault(
    "torch and devices", "there is no usable CUDA device",
    "one line tells a missing driver, a CPU build and hidden cards apart",
)  # fmt: skip
@pytest.mark.parametrize(
    ("world", "words"),
    [
        ({}, None),
        ({"cuda": None}, "CPU-only build"),
        ({"driver": (False, 0, 0), "count": 0}, "no NVIDIA driver"),
        ({"driver": (True, 0, 12020), "count": 0}, "supports CUDA 12.2 and torch"),
        ({"driver": (True, 0, 12020), "cuda": "12.6"}, None),
        ({"driver": (True, 100, 13000), "count": 0, "visible": ""}, "hides every GPU"),
        ({"driver": (True, 100, 13000), "count": 0}, "finds no GPU"),
        (
            {"driver": (True, 100, 13000), "count": 0, "visible": "7"},
            "CUDA_VISIBLE_DEVICES=7 names no GPU of this machine",
        ),
        (
            {"driver": (True, 100, 13000), "count": 0, "visible": "GPU-beef"},
            "CUDA_VISIBLE_DEVICES=GPU-beef names no GPU",
        ),
        (
            {"driver": (True, 802, 13000), "count": 0},
            "Start its service, of the driver's version: systemctl start nvidia-fabricmanager",
        ),
        ({"driver": (True, 803, 13000), "count": 0}, "library and its kernel module are of different versions"),
        ({"driver": (True, 804, 13000), "count": 0}, "Remove cuda-compat from LD_LIBRARY_PATH"),
        ({"driver": (True, 999, 13000), "count": 0}, "fails to start (cuInit returned 999)"),
        ({"count": 0}, "sees no GPU though the driver starts"),
        ({"card": (7, 0)}, "no kernels for the Card"),
        ({"card": (8, 9)}, None),
    ],
)
def test_why_there_is_no_cuda_is_told_apart_in_one_line(
    monkeypatch: pytest.MonkeyPatch, world: dict, words: str | None
):
    planted(monkeypatch, **world)
    why = device_list.why_not("cuda:0")
    if words is None:
        assert why is None
    else:
        assert isinstance(why, UserError)
        assert words in str(why)
        assert "\n" not in str(why)


def test_an_index_beyond_the_cards_is_named(monkeypatch: pytest.MonkeyPatch):
    planted(monkeypatch)
    assert (
        str(device_list.why_not("cuda:1"))
        == "DEVICE=cuda:1: the last one that torch sees is cuda:0. Name one up to it."
    )
    planted(monkeypatch, count=3)
    assert "the last one that torch sees is cuda:2. Name one up to it." in str(device_list.why_not("cuda:3"))


def test_an_index_that_counts_hidden_cards_is_told_that_the_rest_is_numbered_anew(monkeypatch: pytest.MonkeyPatch):
    planted(monkeypatch, visible="1")
    told = str(device_list.why_not("cuda:1"))
    assert (
        "is cuda:0, as CUDA_VISIBLE_DEVICES=1 hides others and numbers the rest anew from 0. Name one up to it, or unset"
        in told
    )
    assert device_list.why_not("cuda:0") is None


def test_a_torch_that_cannot_keep_tf32_out_of_convolutions_is_too_old(monkeypatch: pytest.MonkeyPatch):
    """By what it can do, not by its version."""
    monkeypatch.setattr(torch, "__version__", "2.6.0+cu124")
    assert device_list.too_old() is None
    monkeypatch.setattr(torch.backends, "cudnn", object())
    told = str(device_list.too_old())
    assert told.startswith(
        "torch: 2.6.0+cu124 can't compute fp32 convolutions without TF32. Install torch 2.6 or newer"
    )


@pytest.mark.parametrize("name", ["mps", "xpu:0"])
def test_other_accelerators_refuse_in_one_line_too(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: False)
    monkeypatch.setattr(torch.xpu, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"DEVICE={name}") as told:
        device_list.open_device(name)
    assert "\n" not in str(told.value)


class FakeDevice:
    """A device that answers what a test tells it to."""

    torch_device = torch.device("cpu")

    def __init__(self, own: devices.DeviceTimes | None, counts: devices.Launches, queue: bool = True) -> None:
        self.answers, self.counts, self.queue = own, counts, queue

    def submit(self, _, __) -> int | None:
        return 1000 if self.queue else None

    def time(self, _, evaluations: int) -> int:
        return 10_000_000 * evaluations if evaluations == 3 else 50_000_000

    def device_times(self, _, __) -> devices.DeviceTimes | None:
        return self.answers

    def launches(self, _) -> devices.Launches:
        return self.counts


@pytest.mark.parametrize(
    ("own", "counts", "words"),
    [
        (devices.DeviceTimes((9.9e6,) * 3, proven=True), devices.Launches(3, 3), None),
        (devices.DeviceTimes((9.9e6,) * 3, proven=True), devices.Launches(3, None), None),
        (devices.DeviceTimes((9.9e6,) * 3, proven=False), devices.Launches(), "could not be proven ahead"),
        (devices.DeviceTimes((15e6,) * 3, proven=True), devices.Launches(), "trust neither"),
        (None, devices.Launches(), "no reliable events"),
        (
            devices.DeviceTimes((9.9e6,) * 3, proven=True),
            devices.Launches(3, 4),
            "counts 3 launches where a graph has 4",
        ),
    ],
)
def test_a_run_asks_the_device_first_and_warns(own, counts, words: str | None):
    found = selfcheck.warnings(FakeDevice(own, counts))
    assert [words in line for line in found] == ([] if words is None else [True])


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("submit", ["a first convolution failed (RuntimeError: cuDNN error)"]),
        ("time", ["clocks failed (RuntimeError: cuDNN error)", "counts 3 launches where a graph has 4"]),
        ("device_times", ["clocks failed", "counts 3 launches where a graph has 4"]),
        ("launches", ["could not be proven ahead", "launches failed (RuntimeError: cuDNN error)"]),
    ],
)
def test_a_self_check_that_fails_is_a_warning_and_costs_no_other(broken: str, words: list[str]):
    device = FakeDevice(devices.DeviceTimes((9.9e6,) * 3, proven=False), devices.Launches(3, 4))

    def fails(*_):
        raise RuntimeError("cuDNN error\nwith more lines")

    setattr(device, broken, fails)
    found = selfcheck.warnings(device)
    assert len(found) == len(words)
    assert all(word in line and "\n" not in line for word, line in zip(words, found, strict=True))


def test_a_device_without_a_queue_has_nothing_to_ask():
    assert selfcheck.warnings(FakeDevice(None, devices.Launches(), queue=False)) == []
