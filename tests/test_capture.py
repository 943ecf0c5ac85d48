"""Graphs, the counts of launches, and what a failed capture costs: against fakes and the simulated accelerator."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import pytest
import torch

from bench.analyse.runs.journal import Inspection
from bench.analyse.runs.measured_rows import _accelerator_notes
from bench.measure import worker
from bench.measure.device import accelerator, counts, devices
from bench.measure.device.devices import CaptureFailed, Cpu, Launches
from bench.measure.modules import Evaluation
from bench.run import launch
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.plan.plan import Trial, make
from tests import simulated
from tests.simulated.module import Module

SIM = torch.device("simgpu")


def trials(device: str = "cpu", **axes) -> list[Trial]:
    axes = {"channels": 8, "size": 7, "threads": 1} | axes
    experiment = {"blocks": ["standard", "separable"], "axes": axes}
    return list(make(check({"name": "t", "experiments": {"a": experiment}}, "t"), [device], 2).trials)


# ---------------------------------------------------------------- a failed capture


class FakeGraphs:
    """A device module that captures; leaving the graph after an error raises anew, as torch.cuda.graph does."""

    def set_device(self, _) -> None: ...

    def synchronize(self, _) -> None: ...

    class Stream:
        def wait_stream(self, _) -> None: ...

    def current_stream(self) -> Stream:
        return self.Stream()

    def stream(self, _) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    class CUDAGraph:
        def replay(self) -> None: ...

    @contextlib.contextmanager
    def graph(self, _, capture_error_mode: str):
        try:
            yield
        except Exception:  # noqa: BLE001
            error = torch.AcceleratorError("operation failed due to a previous error during capture")
            error.error_code = 901
            raise error  # noqa: B904 (so it is there, and its context alone tells the reason)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> accelerator.Accelerator:
    monkeypatch.setattr(torch, "get_device_module", lambda _: FakeGraphs())
    return accelerator.Accelerator(torch.device("cuda", 0))


def capture_of(error: Exception):
    """A call that raises once it is captured, after the warm-up."""
    calls = []

    def call() -> torch.Tensor:
        calls.append(1)
        if len(calls) > 3:
            raise error
        return torch.ones(1)

    return call


def coded(code: int) -> torch.AcceleratorError:
    error = torch.AcceleratorError(f"CUDA error {code}")
    error.error_code = code
    return error


@pytest.mark.parametrize(
    ("error", "raised", "status", "words"),
    [
        (RuntimeError("Cannot copy during\nCUDA graph capture"), CaptureFailed, "unsupported", "captured as a graph: Cannot copy during"),
        (coded(900), CaptureFailed, "unsupported", "captured as a graph: CUDA error 900"),
        (coded(700), torch.AcceleratorError, "crash", "device fault: CUDA error 700"),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError, "oom", "out of memory"),
    ],
)  # fmt: skip
def test_a_capture_that_fails_says_why_and_spoils_the_process(device, error, raised, status, words):
    assert not device.spoilt
    with pytest.raises(raised):
        device.capture(capture_of(error))
    assert device.spoilt
    told = worker._guarded(lambda: device.capture(capture_of(error)))
    assert told["status"] == status
    assert words in told["status_detail"]


def test_a_capture_that_holds_spoils_nothing(device):
    replay, output = device.capture(lambda: torch.ones(1))
    replay()
    assert output == 1
    assert not device.spoilt


class Spoilable(Cpu):
    """A CPU whose first count spoils it."""

    def launches(self, _) -> Launches:
        assert not self.spoilt, "asked again in a process that may still be capturing"
        self.spoilt = True
        return Launches(profiler=7)


def served(device: devices.Device, kind: str, given: list[Trial]) -> list[dict]:
    told: list[dict] = []
    job = json.loads(json.dumps(launch.job(kind, given[0].surroundings, Timing(seconds=0.02), given, 1)))
    worker._serve(device, job, told.append)
    return told


def test_a_count_that_fails_is_missing_and_the_worker_ends_after_its_trial():
    told = served(Spoilable(), "inspect", trials(kernel=[3, 5]))
    assert [(m["type"], m.get("status")) for m in told] == [("begin", None), ("inspect", "ok")]
    first, second = told[1]["arms"]
    assert (first["launches"], first["launches_graph"]) == (7, None)
    assert (second["launches"], second["launches_graph"]) == (None, None)
    assert second["memory_peak_bytes"] > 0, "all else was looked at before"


@pytest.mark.fault(
    "torch and devices", "a CUDA graph can't be captured, or measuring peak rates spoils the device's context",
    "only that trial is unsupported; a fresh worker measures the next",
)  # fmt: skip
def test_a_worker_ends_after_a_trial_that_could_not_be_captured(monkeypatch: pytest.MonkeyPatch):
    spoilable = Spoilable()

    def fails(*_) -> dict:
        spoilable.spoilt = True
        raise CaptureFailed("it can't be captured as a graph: a copy")

    monkeypatch.setattr(worker.trial_records, "visit", fails)
    told = served(spoilable, "time", trials(kernel=[3, 5]))
    assert [(m["type"], m.get("status")) for m in told] == [("begin", None), ("visit", "unsupported")]


@pytest.mark.fault(
    "torch and devices", "a CUDA graph can't be captured, or measuring peak rates spoils the device's context",
    "only that trial is unsupported; a fresh worker measures the next",
)  # fmt: skip
def test_roofs_that_spoil_the_process_end_it_before_the_first_trial(monkeypatch: pytest.MonkeyPatch):
    spoilable = Spoilable()
    monkeypatch.setattr(worker.peaks, "record", lambda *_: setattr(spoilable, "spoilt", True) or {})
    told: list[dict] = []
    given = trials()
    worker._serve(spoilable, launch.job("time", given[0].surroundings, Timing(), given, 1, roofs=True), told.append)
    assert [m["type"] for m in told] == ["roof"]


# ---------------------------------------------------------------- launches


def start(text: str) -> Module:
    why = simulated.register()
    if why is not None:
        pytest.skip(why)
    return simulated.install(simulated.parse(text))


def test_what_replays_a_graph_is_counted_launch_by_launch(monkeypatch: pytest.MonkeyPatch):
    """A replay can't be captured once more, on CUDA or here."""
    start("virtual")
    monkeypatch.setenv(simulated.ENVIRONMENT, "virtual")
    device = simulated.open_simulated()
    (trial,) = trials("sim", mode="graph")
    told = worker._guarded(lambda: worker.trial_records.inspect(trial, device))
    assert told["status"] == "ok", told
    assert [(a["launches"], a["launches_graph"]) for a in told["arms"]] == [(3, 3), (6, 6)]


def test_a_graph_cannot_note_another_graphs_replay():
    module = start("virtual")
    inner, outer = module.CUDAGraph(), module.CUDAGraph()
    with module.graph(inner):
        torch.empty(4, device=SIM).add_(1)
    with pytest.raises(torch.AcceleratorError), module.graph(outer):
        inner.replay()


def test_one_counter_that_fails_does_not_take_the_other_ones_count(device, monkeypatch: pytest.MonkeyPatch):
    def broken(*_):
        raise RuntimeError("no CUPTI")

    for failing, expected in (("by_profiler", Launches(None, 5)), ("by_graph", Launches(5, None))):
        with monkeypatch.context() as patch:
            patch.setattr(counts, "by_profiler", lambda *_: 5)
            patch.setattr(counts, "by_graph", lambda *_: 5)
            patch.setattr(counts, failing, broken)
            assert device.launches(lambda: None) == expected
    assert not device.spoilt


def test_a_capture_that_fails_while_counting_is_a_missing_count_in_a_spoilt_process(device, monkeypatch):
    monkeypatch.setattr(counts, "by_profiler", lambda *_: 5)
    monkeypatch.setattr(counts, "by_graph", lambda call, kind, capture: capture(None, call))

    def call() -> None:
        raise coded(900)

    assert device.launches(call) == Launches(5, None)
    assert device.spoilt


class Runtime:
    """cuda.bindings.runtime, as far as a graph's nodes go: a code of return, then the answer."""

    cudaError_t = SimpleNamespace(cudaSuccess=0)  # noqa: N815
    cudaGraphNodeType = SimpleNamespace(cudaGraphNodeTypeKernel="kernel")  # noqa: N815

    def __init__(self, kinds: list[str], code: int = 0) -> None:
        self.kinds, self.code = kinds, code

    def cudaGraphGetNodes(self, _, number: int):  # noqa: N802
        return self.code, list(range(number)), len(self.kinds)

    def cudaGraphNodeGetType(self, node: int):  # noqa: N802
        return 0, self.kinds[node]


def test_kernel_nodes_are_counted_and_an_error_of_cudas_is_no_count():
    assert counts.kernel_nodes(1, Runtime(["kernel", "memset", "kernel", "empty"])) == 2
    with pytest.raises(RuntimeError, match="could not be read: 999"):
        counts.kernel_nodes(1, Runtime(["kernel"], code=999))


def test_a_profiler_that_saw_nothing_has_not_counted(monkeypatch: pytest.MonkeyPatch):
    """Without CUPTI torch's profiler warns and gives no events; a call starts at least one kernel."""
    monkeypatch.setattr(counts, "kernels", lambda *_: 0)
    assert counts.by_profiler(lambda: None, "cuda", lambda: None) is None


def test_two_counts_that_differ_are_told_plainly():
    told = Inspection(None, (), launches=3, launches_graph=4)
    assert _accelerator_notes(told, []) == ["the profiler counts 3 launches, the captured graph 4"]
    for fine in (Inspection(None, (), launches=3, launches_graph=3), Inspection(None, (), launches=3), Inspection()):
        assert _accelerator_notes(fine, []) == []


# ---------------------------------------------------------------- cache and memory


def test_the_cache_is_emptied_by_reading(monkeypatch: pytest.MonkeyPatch):
    """What is written would still have to go to memory, in the call that is timed next."""
    module = start("virtual")
    monkeypatch.setenv(simulated.ENVIRONMENT, "virtual,l2=1e6")
    device = simulated.open_simulated()
    assert device._can_flush()
    assert device._flushing.nbytes == 3 * 10**6
    with module.record_kernels() as records:
        device._flush()
    assert [r.name for r in records] == ["aten::sum"]


def test_what_other_arms_reserved_is_no_part_of_an_arms_peak(monkeypatch: pytest.MonkeyPatch):
    module = start("virtual")
    (trial,) = trials()
    call = Evaluation(trial, trial.arms[0], SIM, 0)
    torch.empty(64 << 20, dtype=torch.uint8, device=SIM)  # an earlier arm's, freed and still reserved
    module.synchronize()
    assert module.memory_reserved() > 60 << 20
    with torch.inference_mode():
        peak = counts.peak_on_accelerator(call, call.clear, module, SIM)
    assert peak.reserved < 8 << 20
