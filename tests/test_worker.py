"""The worker with torch: modules, memory, devices, one job through a real process."""

from __future__ import annotations

import json
import mmap
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from bench.measure import trial_records, worker
from bench.measure.device import counts, devices
from bench.measure.disturbance import Watch
from bench.measure.modules import Evaluation
from bench.run import launch
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.plan.plan import Trial, make

CPU = torch.device("cpu")
FAULT = getattr(torch, "AcceleratorError", RuntimeError)  # since torch 2.8
NEWER = hasattr(getattr(torch.backends.cudnn, "conv", None), "fp32_precision")  # since torch 2.9


def trials(blocks=("standard", "separable"), **axes) -> list[Trial]:
    axes = {"channels": 16, "size": 14, "threads": 1} | axes
    return list(
        make(check({"name": "t", "experiments": {"a": {"blocks": list(blocks), "axes": axes}}}, "t"), ["cpu"], 2).trials
    )


def serve(kind: str, given: list[Trial], gib: int | None = None, roofs: bool = False, **timing) -> list[dict]:
    policy = Timing.model_validate({"seconds": 0.05, "warmup_seconds": 0.05} | timing)
    place = given[0].surroundings
    told = subprocess.run(
        [sys.executable, "-m", launch.WORKER],
        input=json.dumps(launch.job(kind, place, policy, given, 1, roofs)),
        env=launch.worker_environment(place), capture_output=True, text=True, timeout=120,
        preexec_fn=gib and (lambda: resource.setrlimit(resource.RLIMIT_AS, (gib << 30, gib << 30))),
    )  # fmt: skip
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_a_worker_inspects_and_measures_every_kind_of_trial(warm):
    given = [
        *trials(channels=["16->32"], layout=["contiguous", "channels_last"], stride=[1, 2], depth=[1, 3]),
        *trials(**{"pass": "training"}),
        *trials(blocks=["depthwise"], dtype="bf16", padding="valid"),
        *trials(blocks=[{"name": "pointwise", "norm": False, "bias": True}, "standard"], batch=3),
    ]
    seen = [m for m in serve("inspect", given) if m["type"] == "inspect"]
    assert [m["trial_id"] for m in seen] == [t.trial_id for t in given]
    for trial, message in zip(given, seen, strict=True):
        assert message["status"] == "ok", message
        for arm, facts in zip(trial.arms, message["arms"], strict=True):
            cost = trial.cost(arm)
            assert tuple(facts["output_shape"]) == cost.output
            assert facts["params"] == cost.params
            assert len(facts["backends"]) == cost.layers
            assert facts["memory_peak_bytes"] > 0
    timed = [m for m in serve("time", given) if m["type"] == "visit"]
    for trial, message in zip(given, timed, strict=True):
        assert message["status"] == "ok", message
        assert [a["arm_id"] for a in message["arms"]] == [a.arm_id for a in trial.arms]
        for arm in message["arms"]:
            assert len(arm["samples_ns"]) == len(arm["flags"]) == 2 * message["rounds"] == 2 * len(message["orders"])
            assert min(arm["samples_ns"]) > 0
        timed_s = sum(sum(a["samples_ns"]) * a["evaluations_per_sample"] for a in message["arms"]) / 1e9
        assert message["timed_s"] == pytest.approx(timed_s, rel=1e-3)
        assert message["timed_s"] < message["wall_s"]


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("pass_", ["inference", "training"])
def test_measured_memory_is_the_theoretical_one_where_no_library_needs_a_workspace(layout: str, pass_: str):
    torch.set_num_threads(1)
    for trial in trials(channels=["64->128"], size=28, batch=4, layout=layout, **{"pass": pass_}):
        for arm in trial.arms:
            call = Evaluation(trial, arm, CPU, 0)
            with torch.inference_mode(pass_ == "inference"):
                peak = counts.peak_on_cpu(call, call.clear).allocated
                assert counts.peak_on_cpu(call, call.clear).allocated == peak, "the measure repeats to the byte"
            theory = trial.cost(arm).memory_bytes
            assert 0.9 * theory <= peak <= 2.5 * theory


def test_a_workspace_shows_in_the_memory():
    """im2col, which torch uses for float64, writes every k x k patch out: k * k times the input."""
    (trial,) = trials(blocks=["standard"], channels=32, size=32, dtype="fp64")
    call = Evaluation(trial, trial.arms[0], CPU, 0)
    with torch.inference_mode():
        peak = counts.peak_on_cpu(call, call.clear).allocated
    patches = 9 * 32 * 32 * 32 * 8
    assert peak >= patches
    assert peak > 3 * trial.cost(trial.arms[0]).memory_bytes


def test_inputs_and_weights_are_random_and_outputs_keep_their_scale_through_a_deep_stack():
    (trial,) = trials(blocks=["separable"], depth=32, channels=32)
    call = Evaluation(trial, trial.arms[0], CPU, 0)
    assert call.input.std() == pytest.approx(1, abs=0.1)
    with torch.inference_mode():
        assert 1e-3 < float(call().std()) < 1e3
    other = Evaluation(trial, trial.arms[0], CPU, 1)
    assert not torch.equal(call.input, other.input)


def test_training_leaves_a_gradient_everywhere_and_never_adds_to_the_last_one():
    (trial,) = trials(blocks=["separable"], **{"pass": "training"})
    call = Evaluation(trial, trial.arms[0], CPU, 0)
    call()
    first = [p.grad.clone() for p in call.module.parameters()]
    call()
    for grad, parameter in zip(first, call.module.parameters(), strict=True):
        assert parameter.grad.abs().sum() > 0
        torch.testing.assert_close(grad, parameter.grad)
    assert call.input.grad is not None


def test_layout_reaches_input_weights_and_output():
    (trial,) = trials(blocks=["standard"], layout="channels_last")
    call = Evaluation(trial, trial.arms[0], CPU, 0)
    for tensor in (call.input, call.module[0].weight, call()):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        assert not tensor.is_contiguous()


class Broken:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self) -> dict:
        raise self.error


@pytest.mark.fault(
    "memory", "torch or Python runs out of memory in a trial, or an operator is missing",
    "the row has the status oom, unsupported, nonfinite or crash, with one line",
)  # fmt: skip
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "oom"),
        (MemoryError(), "oom"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), "oom"),
        (RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'"), "unsupported"),
        (FAULT("CUDA error: an illegal memory access was encountered"), "crash"),
        (RuntimeError("something else\nwith a second line"), "crash"),
        (trial_records.NotFinite("separable put out infinities"), "nonfinite"),
    ],
)
def test_each_failure_has_its_status_and_one_line(error: Exception, status: str, capsys):
    told = worker._guarded(Broken(error))
    assert told["status"] == status
    assert "\n" not in told["status_detail"]


def test_a_fault_of_a_device_is_told_by_its_message_where_torch_has_no_error_for_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch, "AcceleratorError", raising=False)
    told = worker._guarded(Broken(RuntimeError("CUDA error: an illegal memory access was encountered\nmore")))
    assert told == {
        "status": "crash",
        "status_detail": "device fault: CUDA error: an illegal memory access was encountered",
    }
    assert worker._guarded(Broken(RuntimeError("odd")))["status_detail"] == "RuntimeError: odd"
    with pytest.raises(RuntimeError, match="CUDA error"):
        trial_records._fact(Broken(RuntimeError("CUDA error: unspecified launch failure")))
    assert trial_records._fact(Broken(RuntimeError("odd"))) is None


@pytest.mark.fault(
    "memory", "a trial asks for more memory than there is",
    "one row is oom, and the same worker goes on",
)  # fmt: skip
def test_an_allocation_beyond_the_machine_is_a_row_of_its_own_and_the_worker_goes_on():
    huge = trials(blocks=["pointwise"], channels=64, size=8192)  # an input of 17 GB, in a process that may have 12
    messages = [m for m in serve("inspect", [*trials(), *huge, *trials(kernel=5)], gib=12) if m["type"] == "inspect"]
    assert [m["status"] for m in messages] == ["ok", "oom", "ok"]


@pytest.mark.fault(
    "torch and devices", "an output has infinities or NaNs",
    "the row is nonfinite and has no time",
)  # fmt: skip
def test_outputs_that_are_not_finite_are_not_measured():
    (trial,) = trials(blocks=["standard"])
    call = Evaluation(trial, trial.arms[0], CPU, 0)
    with torch.no_grad():
        call.module[0].weight.fill_(float("inf"))
    with pytest.raises(trial_records.NotFinite, match="infinities or NaNs"), torch.inference_mode():
        trial_records.check_output(trial, trial.arms[0], call)


@pytest.mark.skipif(sys.platform != "linux", reason="the counters are Linux's")
def test_counters_see_faults_and_waiting_of_this_process():
    watch = Watch()
    watch.refresh()
    before = watch.read()
    pages = mmap.mmap(-1, 64 << 20)
    pages.madvise(mmap.MADV_NOHUGEPAGE)  # huge ones would take a few dozen faults
    for at in range(0, len(pages), mmap.PAGESIZE):
        pages[at] = 1
    after = watch.read().minus(before)
    assert after.minor_faults > 1000
    assert after.run_queue_wait_ns >= 0
    assert min(watch.machine()) >= 0
    watch.close()


def test_fp32_means_ieee_and_tf32_must_be_asked_for():
    for dtype, precision in (("fp32-tf32", "tf32"), ("fp32", "ieee")):
        recorded = devices.set_switches(dtype, cudnn_benchmark=dtype == "fp32")
        assert torch.backends.cudnn.allow_tf32 == (dtype == "fp32-tf32")
        assert torch.backends.cudnn.benchmark == (dtype == "fp32")
        if not NEWER:
            assert recorded["cudnn.conv.fp32_precision"] == "not in this torch"
            continue
        assert torch.backends.cudnn.conv.fp32_precision == precision
        assert torch.backends.cuda.matmul.fp32_precision == precision
        assert recorded["cudnn.conv.fp32_precision"] == precision


def test_a_torch_with_the_older_interface_to_tf32_alone_is_told_by_it(monkeypatch: pytest.MonkeyPatch):
    """As torch 2.6 to 2.8."""
    matmul = SimpleNamespace(allow_tf32=True)
    cudnn = SimpleNamespace(allow_tf32=True, rnn=SimpleNamespace(), is_available=lambda: True)
    monkeypatch.setattr(torch.backends, "cudnn", cudnn)
    monkeypatch.setattr(torch.backends.cuda, "matmul", matmul)
    recorded = devices.set_switches("fp32", cudnn_benchmark=True)
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (False, False)
    assert recorded["cudnn.allow_tf32"] == recorded["cuda.matmul.allow_tf32"] == "false"
    assert recorded["cudnn.conv.fp32_precision"] == recorded["cuda.matmul.fp32_precision"] == "not in this torch"
    assert not vars(cudnn.rnn)
    devices.set_switches("fp32-tf32", cudnn_benchmark=True)
    assert (cudnn.allow_tf32, matmul.allow_tf32) == (True, True)


def test_the_older_interface_to_tf32_can_be_read_and_says_the_same():
    """torch.compile reads it; set by the newer one alone it raises."""
    for dtype in ("fp32-tf32", "fp32", "fp32-tf32", "bf16", "fp32"):
        recorded = devices.set_switches(dtype, cudnn_benchmark=True)
        tf32 = dtype == "fp32-tf32"
        assert torch.backends.cudnn.allow_tf32 is tf32
        assert torch.backends.cuda.matmul.allow_tf32 is tf32
        assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
        if NEWER:
            assert torch.backends.cudnn.rnn.fp32_precision == torch.backends.cudnn.conv.fp32_precision
        assert recorded["cudnn.allow_tf32"] == recorded["cuda.matmul.allow_tf32"] == str(tf32).lower()
        assert recorded["cuda.matmul.fp32_precision"] == recorded["cudnn.conv.fp32_precision"]


def test_every_switch_of_cudnns_is_set_and_recorded(monkeypatch: pytest.MonkeyPatch):
    torch.backends.cudnn.enabled = False
    torch.backends.cudnn.deterministic = True
    recorded = devices.set_switches("fp32", cudnn_benchmark=True)
    assert torch.backends.cudnn.enabled
    assert not torch.backends.cudnn.deterministic
    assert (recorded["cudnn.enabled"], recorded["cudnn.deterministic"]) == ("true", "false")
    assert recorded["cudnn.benchmark_limit"] == ("10" if torch.backends.cudnn.is_available() else "none")


@pytest.mark.fault(
    "torch and devices", "torch is too old",
    "one line, before anything is measured",
)  # fmt: skip
def test_a_torch_that_is_too_old_is_refused_before_anything_else():
    code = (
        "import io, sys, torch; del type(torch.backends.cudnn).allow_tf32; from bench.measure import worker;"
        "jobs, kept = sys.stdin.read().splitlines(), worker._keep_stdout(); worker._keep_stdout = lambda: kept\n"
        "for sys.stdin in map(io.StringIO, jobs): worker.main()"
    )
    (trial,) = trials()
    jobs = [launch.job("probe", trial.surroundings, Timing()) | {"device": device} for device in ("cpu", "cuda:0")]
    told = subprocess.run(
        [sys.executable, "-c", code], input="\n".join(map(json.dumps, jobs)),
        env=launch.worker_environment(trial.surroundings), capture_output=True, text=True,
    )  # fmt: skip
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(answers) == 2, told.stderr
    for only in answers:
        assert only["type"] == "refused"
        assert only["place"] == "torch"
        assert "Install torch 2.6 or newer" in only["remedy"]


@pytest.mark.fault(
    "torch and devices", "CUDA is asked for where there is none",
    "one line; nothing is measured on the CPU instead",
)  # fmt: skip
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_where_there_is_none_refuses_in_one_line_and_never_falls_back(warm):
    (trial,) = make(check({"name": "t", "experiments": {"a": {"blocks": ["standard"]}}}, "t"), ["cuda:0"], 2).trials
    (only,) = serve("time", [trial])
    assert only["type"] == "refused"
    assert only["place"] == "DEVICE=cuda:0"


@pytest.mark.fault(
    "terminals", "a library prints to standard output in a worker",
    "it goes to the log; answers stay whole",
)  # fmt: skip
def test_a_workers_answers_are_its_own_whatever_libraries_print():
    code = (
        "import os, sys; from bench.measure import worker; kept = worker._keep_stdout();"
        "print('noise'); os.write(1, b'more noise'); kept.write('answer'); kept.flush()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."}
    )
    assert told.stdout == "answer"
    assert "noise" in told.stderr


def test_a_worker_is_not_kept_waiting_by_torchs_compiler_and_still_refuses_determinism():
    code = (
        "import sys, torch; from bench.measure import worker; worker._facts(worker.device_list.open_device('cpu'));"
        "assert 'torch._inductor' not in sys.modules;"  # two seconds of imports, in each of hundreds of workers
        "torch.use_deterministic_algorithms(True); worker._facts(worker.device_list.open_device('cpu'));"
        "assert not torch.are_deterministic_algorithms_enabled()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
