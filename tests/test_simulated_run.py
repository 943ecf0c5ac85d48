"""Whole runs on the simulated accelerator: the code that runs on CUDA, from plan to tables, with a known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analyse.claims.judge import judge
from bench.analyse.runs.journal import Samples
from bench.analyse.runs.measured_rows import device_speedup
from bench.analyse.runs.run_folder import Run, read
from bench.run import launch, runner, session
from bench.spec.columns import PARTS
from bench.spec.errors import UserError
from tests import simulated

CONFIG = """
name: simulated
timing: {processes_min: 1, processes_max: 1, seconds: 0.02, warmup_seconds: 0.02, timeout_seconds: 6}
experiments:
  a:
    blocks: [standard, separable]
    axes: {channels: CHANNELS, kernel: 3, size: 8, mode: MODES}
"""

pytestmark = pytest.mark.skipif(simulated.available() is not None, reason=str(simulated.available()))


@pytest.fixture
def measure(tmp_path: Path, warm: None, monkeypatch: pytest.MonkeyPatch):
    def run(settings: str, channels: str = "8", modes: str = "eager") -> Run:
        monkeypatch.setenv(simulated.ENVIRONMENT, settings)
        config = tmp_path / "c.yaml"
        config.write_text(CONFIG.replace("CHANNELS", channels).replace("MODES", modes))
        outcome = runner.run(config, ["sim"], tmp_path / "run", [], ["bench"], lambda _: None)
        return read(outcome.folder)

    return run


def times(run: Run) -> pd.DataFrame:
    return run.measurements.set_index(["mode", "block"]).sort_index()


def test_a_launch_bound_block_costs_its_launches_and_a_graph_gives_the_kernels_time_back(measure):
    """3 and 6 kernels of 1 us, 5 us each to launch: 15 and 30 us in a loop, 3 and 6 us on the device."""
    run = measure("virtual,launch=5e-6,kernel=1e-6", modes="[eager, graph]")
    seen = times(run)
    for block, kernels in (("standard", 3), ("separable", 6)):
        eager, graph = seen.loc[("eager", block)], seen.loc[("graph", block)]
        assert eager["time_median_s"] == pytest.approx(kernels * 5e-6, rel=0.02)
        assert eager["device_time_median_s"] == pytest.approx(kernels * 1e-6, rel=1e-3)
        assert eager["enqueue_time_median_s"] == pytest.approx(kernels * 5e-6, rel=1e-3)
        assert eager["device_time_proven"]
        assert eager["bound"] == "launch-bound"
        assert eager["launches"] == eager["launches_graph"] == kernels
        layers = {"conv": 1, "norm_act": 2} if block == "standard" else {"depthwise": 1, "pointwise": 1, "norm_act": 4}
        for part in PARTS:
            assert eager[f"time_in_{part}_s"] == pytest.approx(layers.get(part, 0) * 1e-6, rel=0.02)
        assert eager["time_in_gaps_s"] == pytest.approx(kernels * 4e-6, rel=0.02)  # the card waits for the host
        assert pd.isna(graph["time_in_gaps_s"])
        assert graph["time_median_s"] == pytest.approx(max(5e-6, kernels * 1e-6), rel=0.02)
        assert graph["device_time_median_s"] == pytest.approx(kernels * 1e-6, rel=1e-3)
    pairs = run.pairs.set_index("mode")
    assert pairs.loc["eager", "speedup"] == pytest.approx(0.5, rel=0.01)
    assert pairs.loc["graph", "speedup"] == pytest.approx(5 / 6, rel=0.02)  # the host's 5 us hide 3 kernels and not 6
    assert pairs["device_speedup"].to_dict() == pytest.approx({"eager": 0.5, "graph": 0.5}, rel=1e-3)
    assert set(run.pairs["status"]) == {"ok"}
    eager = run.measurements[run.measurements["mode"] == "eager"]
    assert (eager["memory_requested_bytes"] == eager["memory_theory_bytes"]).all()
    assert (eager["memory_peak_bytes"] - eager["memory_requested_bytes"]).between(0, 2 * 511).all()
    assert run.measurements[run.measurements["mode"] == "graph"]["memory_peak_bytes"].isna().all()
    assert run.measurements["device"].eq("sim").all()
    assert run.measurements["device_name"].str.contains("imulated").all()


def test_a_speedup_on_the_device_needs_both_clocks_and_the_proof_that_the_host_was_ahead():
    def taken(device_s: float | None, proven: bool | None) -> Samples:
        own = None if device_s is None else np.array([device_s, 9 * device_s, device_s])
        return Samples(np.ones(4), np.zeros(4, int), 1, np.ones(1), {}, device_s=own, device_proven=proven)

    base, block = [taken(8e-6, True)] * 2, [taken(2e-6, True)] * 2
    assert device_speedup(base, block) == pytest.approx(4)
    for other in ([taken(2e-6, True), taken(2e-6, False)], [taken(2e-6, True), taken(None, None)]):
        assert device_speedup(base, other) is device_speedup(other, base) is None


def test_what_events_take_between_the_layers_is_no_layers_time(measure):
    """1 us an event, as long as a kernel: six of them beside a separable block's six kernels."""
    seen = times(measure("virtual,launch=5e-6,kernel=1e-6,event=1e-6"))
    separable = seen.loc[("eager", "separable")]
    own_s = separable["device_time_median_s"]
    assert own_s == pytest.approx(6e-6, rel=0.1), "of many calls at once the one event is next to nothing"
    for part, layers in {"depthwise": 1, "pointwise": 1, "norm_act": 4}.items():
        assert separable[f"time_in_{part}_s"] == pytest.approx(layers * own_s / 6, rel=0.02)
    assert separable["time_in_gaps_s"] == pytest.approx(separable["time_median_s"] - own_s, rel=0.02)


def test_a_device_bound_block_costs_its_kernels_and_first_calls_are_warmed_away(measure):
    seen = times(measure("virtual,launch=5e-6,kernel=20e-6,conv=200e-6,first_call=0.5"))
    for block, device_s in (("standard", 240e-6), ("separable", 480e-6)):
        row = seen.loc[("eager", block)]
        assert row["time_median_s"] == pytest.approx(device_s, rel=0.03)
        assert row["device_time_median_s"] == pytest.approx(device_s, rel=1e-3)
        assert row["device_time_cold_median_s"] == pytest.approx(device_s, rel=1e-3)
        assert row["bound"] == "device-bound"


SWEEPS = """
name: sweeps
timing: {processes_min: 3, processes_max: 3, seconds: 0.01, warmup_seconds: 0.01, timeout_seconds: 15}
experiments:
  depth:
    blocks: [standard, separable]
    together: [size, depth]
    axes: {channels: 8, size: [16, 8, 4], depth: [1, 4, 16]}
  macs:
    blocks: [standard, separable]
    axes: {channels: [8, 16, 32], depth: 16, size: 4}
"""


def test_a_launch_bound_device_is_found_to_follow_its_layers_from_worker_to_verdict(tmp_path, warm, monkeypatch):
    """5 us to launch each kernel of 1 us, whatever it computes: both blocks follow their layers."""
    monkeypatch.setenv(simulated.ENVIRONMENT, "virtual,launch=5e-6,kernel=1e-6")
    (tmp_path / "c.yaml").write_text(SWEEPS)
    run = read(runner.run(tmp_path / "c.yaml", ["sim"], tmp_path / "run", [], ["bench"], lambda _: None).folder)
    found = judge([run])
    led = [v for v in found.of("gpu_led_by_layers") if v.confirmatory]
    assert [(v.about, v.leaning, v.bottleneck, v.condition.device, v.condition.mode) for v in led] == [
        (block, "SUPPORTED", "overhead-bound", "sim", "eager") for block in ("separable", "standard")
    ]
    assert {(v.answer, v.weak) for v in led} == {("UNDECIDED", "fewer than 6 processes")}
    for v in led:
        assert v.effect is not None
        assert v.effect.value == pytest.approx(-1, abs=0.02)  # no more time for MACs, in step with layers
    assert [v.answer for v in found.of("cpu_led_by_compute") if v.confirmatory] == ["NOT MEASURED"]
    compute = [v for v in found.of("cpu_led_by_compute") if v.condition.mode == "eager"]
    assert [(v.leaning, v.confirmatory) for v in compute] == [("REFUTED", False)] * 2


@pytest.mark.fault(
    "torch and devices", "a device faults or hangs",
    "each such trial is one row; a fresh worker measures the next",
)  # fmt: skip
def test_faults_of_the_device_cost_a_row_each(measure):
    run = measure("virtual,fail_channels=64,hang_channels=128", channels="[8, 64, 128, 16]")
    rows = run.pairs.set_index("c_in")
    assert rows["status"].to_dict() == {8: "ok", 16: "ok", 64: "crash", 128: "timeout"}
    assert "device fault" in rows.loc[64, "status_detail"]
    assert "no answer within" in rows.loc[128, "status_detail"]


@pytest.mark.fault(
    "memory", "an accelerator runs out of memory",
    "one row is oom; where memory lacks for a side figure, only that figure is empty",
)  # fmt: skip
def test_memory_that_runs_out_costs_a_row_and_none_to_empty_the_cache_with_only_that_figure(measure):
    run = measure("virtual,memory=8000000", channels="[8, 512, 16]")
    rows = run.pairs.set_index("c_in")
    assert rows["status"].to_dict() == {8: "ok", 16: "ok", 512: "oom"}
    assert "out of memory" in rows.loc[512, "status_detail"]
    fit = run.measurements[run.measurements["c_in"] < 512]
    assert fit["device_time_cold_median_s"].isna().all()
    assert fit["device_time_median_s"].notna().all()


def test_two_devices_in_one_run_are_measured_one_after_the_other(tmp_path, warm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(simulated.ENVIRONMENT, "virtual,launch=5e-6,kernel=1e-6")
    config = tmp_path / "c.yaml"
    config.write_text(
        CONFIG.replace("CHANNELS", "8").replace("MODES", "eager").replace("size: 8", "size: 8, threads: 1")
    )
    started: list[str] = []
    open_now: list[int] = []

    class Counted(launch.Worker):
        def __init__(self, surroundings, *more) -> None:
            assert open_now == [], "a worker still ran when the next one started"
            open_now.append(1)
            started.append(surroundings.device)
            super().__init__(surroundings, *more)

        def end(self) -> int:
            status = super().end()
            open_now.clear()
            return status

    monkeypatch.setattr(session, "Worker", Counted)
    outcome = runner.run(config, ["cpu", "sim"], tmp_path / "run", [], ["bench"], lambda _: None)
    pairs = read(outcome.folder).pairs
    assert pairs["device"].tolist() == ["cpu", "sim"]
    assert set(pairs["status"]) <= {"ok", "noisy"}
    assert set(started) == {"cpu", "sim"}


def test_settings_that_do_not_hold_are_one_line(measure):
    with pytest.raises(UserError, match="BENCH_SIM") as told:
        measure("virtual,launhc=5e-6")
    assert "\n" not in str(told.value)
