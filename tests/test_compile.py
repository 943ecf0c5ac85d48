"""Mode compile: every arm is compiled, by itself and for its own shape; what runs eagerly instead is a failure."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from bench.measure import modules, worker
from bench.measure.device.devices import Cpu
from bench.measure.modules import Evaluation
from bench.run import launch, runner, session
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.plan.plan import Surroundings, Trial, make

MANY = list(range(8, 8 + 12))  # channels: more arms of one kind than dynamo's limit of 8


def trials(blocks=("standard", "separable"), **axes) -> list[Trial]:
    axes = {"size": 7, "threads": 1, "mode": "compile"} | axes
    experiment = {"blocks": list(blocks), "axes": axes}
    return list(make(check({"name": "t", "experiments": {"a": experiment}}, "t"), ["cpu"], 2).trials)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch):
    """What dynamo hands over to be compiled, with inductor's seconds for each left out."""
    import torch._dynamo

    handed: list[tuple[int, ...]] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]):
        handed.append(next(tuple(t.shape) for t in inputs if t.ndim == 4 and t.shape[0] == 1 and t.shape[-1] == 7))
        return graph.forward

    monkeypatch.setattr(modules, "BACKEND", backend)
    yield handed
    torch._dynamo.reset()


def served(kind: str, given: list[Trial]) -> list[dict]:
    told: list[dict] = []
    timing = Timing(seconds=0.01, warmup_seconds=0.01, processes_min=1)
    worker._serve(Cpu(), json.loads(json.dumps(launch.job(kind, given[0].surroundings, timing, given, 1))), told.append)
    return [m for m in told if m["type"] in ("inspect", "visit")]


def test_a_dozen_trials_in_one_process_are_all_compiled(compilations, monkeypatch: pytest.MonkeyPatch):
    """Even where dynamo's limit over all of them is lower: it is 256, and a worker may serve more."""
    monkeypatch.setattr(modules, "load_compiler", lambda _: None)
    with torch._dynamo.config.patch(accumulated_recompile_limit=6):
        told = served("time", trials(blocks=["standard"], channels=MANY))
    assert [m["status"] for m in told] == ["ok"] * len(MANY), told
    assert sorted(compilations) == [(1, c, 7, 7) for c in MANY]


@pytest.mark.parametrize("pass_", ["inference", "training"])
def test_a_dozen_arms_without_a_start_from_nothing_in_between_too(compilations, pass_: str):
    """Each arm has entries of its own, and no limit is shared."""
    modules.start_over()
    with torch.inference_mode(pass_ == "inference"):
        for trial in trials(blocks=["standard"], channels=MANY, **{"pass": pass_}):
            evaluation = Evaluation(trial, trial.arms[0], torch.device("cpu"), 1)
            evaluation.compile(Cpu().time)
            assert evaluation.first_call_ns > 0
            for _ in range(3):
                evaluation()
    assert compilations == [(1, c, 7, 7) for c in MANY]


def test_two_shapes_are_two_compilations_and_never_one_for_any_shape(compilations):
    modules.start_over()
    call = modules.compiled(torch.nn.Sequential(torch.nn.ReLU()))
    for channels in (8, 9):
        call(torch.ones(1, channels, 7, 7))
    assert compilations == [(1, 8, 7, 7), (1, 9, 7, 7)]


def test_what_runs_eagerly_is_a_failure_and_no_row(compilations, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(modules, "load_compiler", lambda _: None)
    monkeypatch.setattr(modules, "compiled", lambda module: module)
    (told,) = served("time", trials(channels=8))
    assert told["status"] == "crash"
    assert told["status_detail"].startswith("NotCompiled: torch.compile made 0 graphs of it")


def test_a_block_in_pieces_is_a_failure_too(compilations):
    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._dynamo.graph_break()
            return x + 1

    modules.start_over()
    call = modules.compiled(Broken())
    with pytest.raises(Exception, match="graph_break"):
        modules.first_call(lambda: call(torch.ones(1, 8, 7, 7)))


def test_what_the_caller_or_the_trial_before_switched_off_is_on_again(compilations):
    config = torch._dynamo.config
    config.disable = config.suppress_errors = True
    config.fail_on_recompile_limit_hit = False
    modules.start_over()
    assert (config.disable, config.suppress_errors, config.fail_on_recompile_limit_hit) == (False, False, True)


@pytest.mark.fault(
    "torch and devices", "torch.compile finds no compiler",
    "only the trials that need it fail, with the reason",
)  # fmt: skip
def test_a_compiler_that_cannot_be_loaded_costs_the_trials_that_need_it(monkeypatch: pytest.MonkeyPatch, capsys):
    def missing(*_):
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found in torch._inductor.config.cpp.cxx")

    monkeypatch.setattr(modules, "load_compiler", missing)
    monkeypatch.setattr(modules, "compiled", missing)
    told = served("inspect", [*trials(channels=8), *trials(channels=8, mode="eager")])
    assert [m["status"] for m in told] == ["unsupported", "ok"]
    assert "No working C++ compiler" in told[0]["status_detail"]


# ---------------------------------------------------------------- the compiler's own cache


def test_compiling_happens_in_the_worker_and_keeps_what_it_made_in_the_runs_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = Surroundings("cpu", 1, "retain", "default")
    caller = {"TORCHINDUCTOR_CACHE_DIR": "/mine", "TRITON_CACHE_DIR": "/mine", "TORCHINDUCTOR_COMPILE_THREADS": "32"}
    monkeypatch.setattr(os, "environ", caller)
    env = launch.worker_environment(place, tmp_path)
    assert env["TORCHINDUCTOR_COMPILE_THREADS"] == "1"
    assert env["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)
    assert env["TRITON_CACHE_DIR"] == str(tmp_path / "triton")
    assert not [k for k in launch.worker_environment(place) if k.endswith("CACHE_DIR")]


@pytest.mark.parametrize("mode", ["eager", "compile"])
def test_all_workers_of_a_run_share_an_empty_folder_that_is_gone_in_the_end(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    seen: list[tuple[Path | None, bool]] = []

    class Watched(launch.Worker):
        def __init__(self, surroundings, job, log, compiled=None, sides=()) -> None:
            seen.append((compiled, compiled is not None and not any(compiled.iterdir())))
            super().__init__(surroundings, job, log, compiled, sides)

    monkeypatch.setattr(session, "Worker", Watched)
    config = tmp_path / "c.yaml"
    config.write_text(
        "name: c\ntiming: {processes_min: 2, processes_max: 2}\n"
        f"experiments: {{a: {{blocks: [standard, separable], axes: {{threads: 1, mode: {mode}}}}}}}\n"
    )
    runner.run(config, ["cpu"], tmp_path / "run", [], ["bench"], lambda _: None)
    assert len(seen) == 3
    ((folder, empty),) = set(seen)
    if mode == "eager":
        assert folder is None
    else:
        assert empty
        assert not folder.exists()


# ---------------------------------------------------------------- inductor itself


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductors_code_puts_out_what_eager_does_and_its_compilation_is_timed(tmp_path, monkeypatch):
    import torch._dynamo

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    modules.start_over()
    (trial,) = trials(blocks=["separable"], channels=8)
    # no trial compilations of what this CPU can, no headers compiled in advance: that pays for many kernels only
    quick = torch._inductor.config.patch({"cpp.vec_isa_ok": False, "cpp_cache_precompile_headers": False})
    with quick, torch.inference_mode():
        evaluation = Evaluation(trial, trial.arms[0], torch.device("cpu"), 1)
        eager = evaluation.module(evaluation.input)
        evaluation.compile(Cpu().time)
        torch.testing.assert_close(evaluation(), eager, rtol=1e-4, atol=1e-4)
    assert evaluation.first_call_ns > 1e7
    assert any(tmp_path.iterdir())
    torch._dynamo.reset()
