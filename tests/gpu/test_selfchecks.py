"""Self-checks for a machine with a CUDA GPU: `make test-gpu`. They ask the card what the harness takes for granted.

They have passed on an H100 alone. A failure here is worth more than any passing fake.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from time import perf_counter_ns

import pytest
import torch

from bench.measure import modules
from bench.measure.device import devices
from bench.measure.device.telemetry import Nvml
from bench.measure.modules import Evaluation
from bench.spec.config.config import check
from bench.spec.plan.plan import Trial, make


def trials(**axes) -> tuple[Trial, ...]:
    axes = {"channels": 64, "size": 56} | axes
    data = {"name": "t", "experiments": {"a": {"blocks": ["standard", "separable"], "axes": axes}}}
    return make(check(data, "t"), ["cuda"], 1).trials


def built(device, trial: Trial, arm: int = 0) -> Evaluation:
    devices.set_switches(trial.dtype, trial.cudnn_benchmark == "on")
    evaluation = Evaluation(trial, trial.arms[arm], device.torch_device, 1)
    if trial.mode == "graph":
        evaluation.capture(device.capture)
    if trial.mode == "compile":
        modules.start_over()
        evaluation.compile(device.time)
    return evaluation


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield
    gc.collect()
    torch.cuda.empty_cache()


def test_events_agree_with_the_wall_clock_on_a_long_call(device):
    (trial,) = trials(batch=64, channels=256)
    call = built(device, trial)
    times = max(1, round(1e8 / device.time(call, 3) * 3))  # about 100 ms

    def long() -> None:
        for _ in range(times):
            call()

    long()
    wall = device.time(long, 1)
    own = device.device_times(long, 1)
    assert own.ns[0] == pytest.approx(wall, rel=0.1)


def test_the_host_can_be_proven_ahead(device):
    (trial,) = trials()
    for arm in (0, 1):
        found = device.device_times(built(device, trial, arm), 5)
        assert found.proven
        assert max(found.ns) < 5 * min(found.ns)


def test_an_unsynchronised_clock_would_have_lied(device):
    (trial,) = trials(batch=64, channels=256)
    call = built(device, trial)
    call()
    torch.cuda.synchronize()
    begun = perf_counter_ns()
    for _ in range(10):
        call()
    naive = perf_counter_ns() - begun
    torch.cuda.synchronize()
    assert naive < device.time(call, 10)


def test_a_graph_puts_out_what_eager_does(device):
    eager, graph = (trials(mode=mode)[0] for mode in ("eager", "graph"))
    for arm in (0, 1):
        torch.testing.assert_close(built(device, graph, arm)(), built(device, eager, arm)())


def test_compiled_code_puts_out_what_eager_does(device):
    eager, compiled = (trials(mode=mode)[0] for mode in ("eager", "compile"))
    for arm in (0, 1):
        call = built(device, compiled, arm)
        torch.testing.assert_close(call(), built(device, eager, arm)(), rtol=1e-3, atol=1e-3)
        assert call.first_call_ns > 0


def test_a_failed_capture_is_told_and_spoils_the_process(place):
    """In a process of its own, as what it leaves behind is not to be trusted."""
    code = f"""
import torch
from bench.measure.device import device_list, devices
device = device_list.open_device("{place}")
x = torch.ones(4, device=device.torch_device)
try:
    device.capture(lambda: (x + 1, print(float(x.sum())))[0] if torch.cuda.is_current_stream_capturing() else x + 1)
except devices.CaptureFailed as error:
    print("told:", error, device.spoilt)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert "told: it can't be captured as a graph" in told.stdout, told.stderr
    assert "True" in told.stdout


def test_memory_is_the_theoretical_one_and_a_workspace(device):
    (trial,) = trials(batch=16)
    for arm in (0, 1):
        call = built(device, trial, arm)
        peak = device.memory_peak(call, call.clear)
        theory = trial.cost(trial.arms[arm]).memory_bytes
        assert theory <= peak.requested + 1024
        assert peak.requested <= peak.allocated <= peak.reserved


def test_no_more_flops_than_the_card_has(device):
    told = device.properties()
    (trial,) = trials(batch=64, channels=256)
    call = built(device, trial)
    call()
    found = device.device_times(call, 5)
    reached = trial.cost(trial.arms[0]).flops / (min(found.ns) / 1e9)
    clock_hz = 1e3 * told["clock_rate"]
    most = told["multi_processor_count"] * 128 * 2 * clock_hz * 4  # Winograd saves up to 4 multiplications of 5
    assert reached < most


def test_no_more_bandwidth_than_the_card_has(device):
    told = device.properties()
    a = torch.empty(1 << 28, dtype=torch.uint8, device=device.torch_device)
    b = torch.empty_like(a)
    found = device.device_times(lambda: b.copy_(a), 5, cold=True)
    reached = 2 * a.numel() / (min(found.ns) / 1e9)
    assert reached < 1.05 * 2 * 1e3 * told["memory_clock_rate"] * told["memory_bus_width"] / 8


def test_two_counters_agree_on_the_launches(device):
    (trial,) = trials()
    for arm in (0, 1):
        found = device.launches(built(device, trial, arm))
        assert found.profiler is not None
        assert found.graph in (None, found.profiler)
        # each operator starts a kernel at least; how many more a convolution takes is cuDNN's choice
        assert found.profiler >= trial.cost(trial.arms[arm]).ops


def test_running_out_of_memory_is_recovered_from(device):
    failed = False
    try:
        torch.empty(1 << 45, dtype=torch.uint8, device=device.torch_device)
    except torch.OutOfMemoryError:
        failed = True
    gc.collect()
    device.empty_cache()
    (trial,) = trials()
    assert failed
    assert bool(torch.isfinite(built(device, trial)()).all())


def test_the_precision_switch_changes_the_error(device, place):
    if torch.cuda.get_device_capability(place)[0] < 8:
        pytest.skip("cards before Ampere have no TF32")
    errors = {}
    for dtype in ("fp32", "fp32-tf32"):
        (trial,) = trials(dtype=dtype, channels=256)
        call = built(device, trial)
        exact = call.module.double()(call.input.double())
        call.module.float()
        errors[dtype] = float((call() - exact).abs().max())
    assert errors["fp32-tf32"] > 5 * errors["fp32"]


def test_the_card_is_found_by_its_uuid(device, place):
    card = Nvml(torch.cuda.get_device_properties(place))
    if card.why is not None:
        pytest.skip(f"NVML is not to be had: {card.why}")
    assert card.read()["temperature_c"] is None or 0 < card.read()["temperature_c"] < 120
