"""Predicted rows stand beside measured ones and move none of their numbers."""

from __future__ import annotations

import math
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analyse.claims.answers import PREDICTED_ANSWERS
from bench.analyse.claims.judge import judge
from bench.analyse.compare import compare as comparison
from bench.analyse.compare.ci_gate import gate
from bench.analyse.drivers.explain import explain
from bench.analyse.drivers.observations import of_run
from bench.analyse.facts import facts_of
from bench.analyse.runs.merged import together
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.measure import user_kernels
from bench.measure.device.devices import CaptureFailed
from bench.run import doctor, predict
from bench.show.plots import speedup
from bench.show.plots.shared import files, style
from bench.show.text import compare, run_facts, titles
from bench.spec.blocks.costs import ITEM_BYTES
from bench.spec.blocks.kernels import of_block
from bench.spec.blocks.liveness import Step
from bench.spec.config.config import check
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted, slug
from bench.spec.devices.predicted_devices import find_device
from bench.spec.errors import UserError
from bench.spec.model.kernel_model import CallTime, call_seconds
from bench.spec.model.predicted_trial import Memory, memory_of, refused_allocation
from bench.spec.plan import plan as planning
from bench.spec.plan import plan_text
from bench.spec.plan.durations import plan_seconds
from bench.spec.plan.plan import COMPILES_NOTHING, Arm, Trial
from tests import worlds

DEVICES = ("sim:a100", "sim:server_cpu")
ERROR = 0.3


def measured(seed: int = 1, ratio: float = 2.0) -> Run:
    """A CPU and a card, with the sweeps that the claims ask for."""
    plan = worlds.planned(("cpu", "cuda:0"), shapes=worlds.shapes((32, 64), threads=[1, 4]), **worlds.ladders())
    return worlds.run_of(plan, worlds.by_device(worlds.server, worlds.speedup_of(ratio)), seed=seed)


def predicted(seed: int, ratio: float, run_id: str = "world") -> Run:
    """The same plan for devices that nothing was run on."""
    plan = worlds.planned(DEVICES, shapes=worlds.shapes((32, 64), threads=[1, 4]), **worlds.ladders())
    run = worlds.run_of(plan, worlds.speedup_of(ratio, worlds.card), seed=seed, run_id=run_id)

    def told(frame: pd.DataFrame, middle: str, low: str, high: str) -> pd.DataFrame:
        done = frame["status"] == "ok"
        frame = frame.assign(processes=0, status=frame["status"].where(~done, "predicted"))
        return frame.assign(**{low: frame[middle] / math.exp(ERROR), high: frame[middle] * math.exp(ERROR)})

    arms = told(run.measurements, "time_median_s", "time_ci_low_s", "time_ci_high_s")
    pairs = told(run.pairs, "speedup", "speedup_ci_low", "speedup_ci_high").assign(precision=ERROR)
    return replace(run, measurements=arms, pairs=pairs)


def joined(one: Run, other: Run) -> Run:
    """Both in one results folder."""
    frames = {
        name: pd.concat([getattr(one, name), getattr(other, name)], ignore_index=True)
        for name in ("measurements", "pairs")
    }
    return replace(one, **frames)


def foretold_by(device: str, axes: dict[str, object], blocks: list[object] | None = None) -> tuple[Trial, ...]:
    """A plan's trials on a predicted device."""
    experiment = {"blocks": blocks or ["standard", "separable"], "axes": axes}
    return planning.make(check({"name": "p", "experiments": {"a": experiment}}, "p"), [device], 2).active


def model_of(trial: Trial, arm: Arm) -> CallTime:
    """The kernel model, asked without the code that predicts a trial."""
    s = trial.shape
    kernels = of_block(trial.block(arm), s.height, s.width, s.batch, trial.dtype, trial.layout == "channels_last")
    device = find_device(trial.surroundings.device).on(trial.surroundings.threads)
    return call_seconds(device, kernels, trial.mode, training=trial.pass_ == "training")


@settings(max_examples=12)
@given(st.integers(1, 1000), st.floats(0.1, 10), st.floats(0.1, 10), st.booleans())
def test_no_predicted_row_changes_a_measured_answer_a_mean_or_a_count(
    seed: int, ratio: float, other: float, apart: bool
):
    alone, foretold = measured(seed, ratio), predicted(seed + 1, other, "other" if apart else "world")
    both = [alone, foretold] if apart else [joined(alone, foretold)]
    verdicts = judge(both).verdicts
    assert [v for v in verdicts if not v.predicted] == list(judge([alone]).verdicts)
    would = [v for v in verdicts if v.predicted]
    assert {v.answer for v in would} <= {*PREDICTED_ANSWERS}
    assert would
    assert not any(v.confirmatory or v.p is not None or v.p_adjusted is not None for v in would)
    if apart:
        return
    own, all_ = facts_of(alone), facts_of(both[0])
    assert [t for t in all_.ways if not t.predicted] == list(own.ways)
    assert [t for t in all_.places if not t.predicted] == list(own.places)
    assert all_.trust.median_half_width == own.trust.median_half_width
    every = run_facts.lines(all_)
    assert all(
        any(line.endswith(one) for line in every) for one in run_facts.lines(own)
    )  # named without their only device
    assert explain(of_run(both[0])).to_dict()["groups"] == explain(of_run(alone)).to_dict()["groups"]


def test_a_title_never_joins_both_in_one_number():
    both = joined(measured(), predicted(2, 0.5))
    said = run_facts.finding(facts_of(both))
    first, second = said.split("x). ")
    assert first.startswith("Separable is ")
    assert second.startswith("Separable would be ")
    assert "predicted" not in first
    assert second.count("predicted") == second.count(" on ")
    arms = [{**r, "achieved_flop_per_s": r["macs"] / r["time_median_s"], "attainable_share": None} for r in records_of(both.measurements)]  # fmt: skip
    alone = [r for r in arms if not is_predicted(r["device"])]
    assert titles.roofline(arms) == titles.roofline(alone)
    assert titles.speedup(records_of(both.pairs)) == titles.speedup(records_of(measured().pairs))


def test_a_measured_cpu_beside_a_predicted_card_is_answered_as_predicted():
    verdicts = judge([joined(measured(), predicted(2, 0.5))]).of("device_by_block")
    (mixed, *_) = [v for v in verdicts if v.condition.label.startswith("cpu and predicted a100")]
    assert mixed.predicted
    assert [v.condition.device for v in verdicts if not v.predicted] == ["cpu and cuda:0"] * len(
        [v for v in verdicts if not v.predicted]
    )


def test_a_measured_run_against_a_predicted_one_is_confounded_and_opens_no_gate():
    one, other = measured(), predicted(2, 0.5, "other")
    found = comparison.compare_all([one, other])
    rows = [m for table in found[0].quantities for m in table.matches]
    assert rows
    assert {m.verdict for m in rows} == {"CONFOUNDED"}
    assert all("device" in m.differs for m in rows)
    assert not [m for table in found[0].quantities for m in table.judged]
    with pytest.raises(UserError, match="no row can be compared \\(one run is predicted and the other measured\\)"):
        gate(found)
    out = StringIO()
    with redirect_stdout(out):
        compare.print_comparison(found[0], every=True)
    assert "CONFOUNDED: device cuda:0 in A, predicted a100 in B" in out.getvalue()


def test_two_predictions_are_not_compared_as_measurements_are():
    found = comparison.compare(predicted(1, 2.0), predicted(2, 0.5, "other"))
    assert {m.verdict for m in found.speedups.matches} == {"NOT MEASURED"}


def test_names_tell_what_is_predicted_and_what_is_a_processor():
    assert [is_predicted(d) for d in ("cpu", "cuda:0", "sim", "sim:h100", "cpu and sim:h100")] == [False] * 3 + [
        True
    ] * 2
    assert [is_cpu(d) for d in ("cpu", "cuda:0", "sim:h100", "sim:server_cpu", "sim:my.yaml#old_cpu")] == [
        True, False, False, True, True,
    ]  # fmt: skip
    assert in_words("sim:my/own.yaml#card") == "predicted card"
    assert in_words("cpu and sim:h100") == "cpu and predicted h100"
    assert (slug("sim:my/own.yaml#card"), slug("cuda:1")) == ("sim-card", "cuda1")


def test_a_predicted_device_is_planned_by_its_own_figures(tmp_path: Path):
    experiment = {
        "blocks": ["standard", "separable"],
        "axes": {
            "channels": 64, "threads": ["all", 1, 64], "dtype": ["fp32", "fp32-tf32", "bf16"],
            "mode": ["eager", "graph", "compile"], "allocator": ["retain", "default"],
        },
    }  # fmt: skip
    config = check({"name": "p", "timing": {"minutes": 1}, "experiments": {"a": experiment}}, "p")
    plan = planning.make(config, ["sim:t4", "sim:a100", "sim:server_cpu"], 2)
    skipped = {(t.surroundings.label, t.mode, t.dtype): t.skip for t in plan.trials}
    assert skipped[("predicted a100", "graph", "fp32-tf32")] is None
    assert skipped[("predicted t4", "eager", "bf16")] == "the model knows no peak of predicted t4 in bf16"
    assert skipped[("predicted t4", "eager", "fp32-tf32")] is None, "fp32, as torch computes there"
    assert skipped[("predicted a100", "compile", "fp32")] == COMPILES_NOTHING
    assert (
        skipped[("predicted server_cpu, 40 threads", "graph", "fp32")] == "predicted server_cpu has no graphs to replay"
    )
    assert "64 threads on 40" in str(skipped[("predicted server_cpu, 64 threads", "eager", "fp32")])
    assert {t.surroundings.allocator for t in plan.trials} == {"retain"}
    assert any("allocator are not in the model" in note for note in plan.notes)
    assert plan_seconds(plan, 12) == plan_seconds(plan, 6), "one look is enough"
    assert plan.timing_of("sim:t4").processes_max == 1
    assert plan.timing_of("cpu") == plan.timing


def test_a_processor_of_ones_own_needs_a_name_that_says_so(tmp_path: Path, capsys):
    entry = "{title: T, kind: cpu, units: 2, clock_hz: 1e9, peak: {fp32: 1e11}, memory_bytes_per_s: 1e10, memory_bytes: 1e9, cache_bytes: 1e6, cache_bytes_per_s: 1e11, sources: {units: e, clock_hz: e, peak: e, memory_bytes_per_s: e, memory_bytes: e, cache_bytes: e, cache_bytes_per_s: e}}"
    (tmp_path / "d.yaml").write_text(f"devices:\n  oldie: {entry}\n  old_cpu: {entry}\n")
    from bench.cli import options

    assert options.devices(f"sim:{tmp_path}/d.yaml#old_cpu") == [f"sim:{tmp_path}/d.yaml#old_cpu"]
    with pytest.raises(UserError, match="a cpu's name ends in cpu"):
        options.devices(f"sim:{tmp_path}/d.yaml#oldie")


def test_two_devices_of_one_name_are_not_planned_as_one(tmp_path: Path):
    entry = "{title: T, kind: gpu, units: 2, clock_hz: 1e9, peak: {fp32: 1e11}, memory_bytes_per_s: 1e10, memory_bytes: 1e9, cache_bytes: 1e6, cache_bytes_per_s: 1e11, sources: {units: e, clock_hz: e, peak: e, memory_bytes_per_s: e, memory_bytes: e, cache_bytes: e, cache_bytes_per_s: e}}"
    (tmp_path / "d.yaml").write_text(f"devices:\n  a100: {entry}\n  card: {entry}\n")
    from bench.cli import options

    own = f"sim:{tmp_path}/d.yaml#"
    assert options.devices(f"sim:a100,{own}card,{own}card") == ["sim:a100", f"{own}card"]
    with pytest.raises(UserError, match="two of them would be called predicted a100\\. Rename one in its file"):
        options.devices(f"sim:a100,{own}a100")


def test_the_doctor_says_that_nothing_is_measured_and_what_is_wrong():
    said = {"device_name": "predicted T (model x)", "prediction": {"model": "model x", "time": 0.7, "speedup": 0.2}}
    found = doctor.predicted("sim:h100", lambda name: said)
    assert (found.name, found.state) == ("predicted h100", "grey")
    assert "nothing is measured" in found.seen
    assert "times within a factor of 2, speedups within a factor of 1.2" in found.seen

    def refuse(name: str) -> dict[str, object]:
        raise UserError("DEVICE=sim", "torch is too old", "Update it.")

    assert doctor.predicted("sim:h100", refuse).state == "red"


@pytest.mark.parametrize("device", ["sim:a100", "sim:desktop_cpu"])
def test_a_predicted_trial_is_recorded_as_the_model_times_its_kernels(device: str):
    modes = ["eager", "graph"] if device == "sim:a100" else ["eager"]
    axes = {
        "channels": [32, 512],
        "size": [14, 56],
        "batch": [1, 64],
        "threads": 1,
        "mode": modes,
        "layout": ["contiguous", "channels_last"],
    }
    for trial in foretold_by(device, axes):
        record = predict.visit(trial, {})
        assert (record["status"], record["predicted"], record["orders"]) == ("ok", True, ["ABBA"])
        for arm, told in zip(trial.arms, record["arms"], strict=True):
            model = model_of(trial, arm)
            assert told["samples_ns"] == [pytest.approx(model.wall_s * 1e9)] * 2
            if device == "sim:a100":
                assert (told["device_ns"], told["enqueue_ns"]) == ([model.device_s * 1e9], [model.host_s * 1e9])
                assert told["device_proven"]
            else:
                assert not {"device_ns", "enqueue_ns"} & told.keys(), "a processor has no queue"


@pytest.mark.parametrize("device", ["sim:a100", "sim:desktop_cpu"])
def test_training_is_recorded_with_what_autograd_takes_of_the_host(device: str):
    axes = {"channels": 32, "size": [7, 14], "batch": 1, "threads": 1, "pass": ["training"], "depth": [1, 4]}
    for trial in foretold_by(device, axes):
        for arm, told in zip(trial.arms, predict.visit(trial, {})["arms"], strict=True):
            model, eager = model_of(trial, arm), model_of(replace(trial, pass_="inference"), arm)
            assert model.host_s > 2.5 * eager.host_s
            assert told["samples_ns"] == [pytest.approx(model.wall_s * 1e9)] * 2


@pytest.mark.parametrize("device", ["sim:a100", "sim:desktop_cpu"])
@pytest.mark.parametrize("name", ["standard", "separable"])
def test_a_block_of_ones_own_is_timed_as_the_same_block_by_name(device: str, name: str):
    """What torch runs of it is what the formula lists, so that both roads lead to one time and one peak of memory."""
    axes = {
        "channels": 64, "size": 14, "batch": [1, 32], "depth": [1, 3], "threads": 1, "pass": ["inference", "training"],
        "dtype": ["fp32-tf32", "fp16"] if device == "sim:a100" else ["fp32"],
        "layout": ["contiguous", "channels_last"], "mode": ["eager", "graph"] if device == "sim:a100" else ["eager"],
    }  # fmt: skip
    for trial in foretold_by(device, axes, [name, {"import": f"tests.own_blocks:{name}", "name": "mine"}]):
        told = user_kernels.inspect(trial)
        known, own = trial.arms
        assert told["status"] == "ok"
        assert told["arms"][0] == {"arm_id": known.arm_id, "backends": []}
        mine, cost = told["arms"][1], trial.cost(known)
        assert mine["call"] == pytest.approx(asdict(model_of(trial, known)), rel=0.01), "weights of batch norm besides"
        assert mine["counted"]["macs"] == cost.macs
        held = memory_of(trial, known)
        assert mine["memory"]["held"] == pytest.approx(held.held, rel=0.02, abs=1e5), "statistics of batch norm besides"
        inside = trial.shape.depth > 1 and trial.pass_ == "inference"  # a row of rows holds what its row was given
        nested = inside * math.prod(cost.output) * ITEM_BYTES[trial.dtype]
        assert mine["memory"]["steps"][0][1] == pytest.approx(cost.memory_bytes + nested, rel=0.02, abs=1e4)
        same, other = predict.visit(trial, {own.arm_id: mine})["arms"]
        assert same["samples_ns"] == pytest.approx(other["samples_ns"], rel=0.01)


@pytest.mark.parametrize("device", ["sim:a100", "sim:desktop_cpu"])
def test_a_transposed_convolution_of_ones_own_moves_the_bytes_of_its_own_maps(device: str):
    """Its output is larger than its input, which is where its work is counted."""
    axes = {"channels": "64->8", "size": 56, "batch": 64, "stride": 2, "threads": 1}
    (trial,) = foretold_by(device, axes, ["transposed", {"import": "tests.own_blocks:transposed", "name": "mine"}])
    own = user_kernels.inspect(trial)["arms"][1]["call"]
    assert own == pytest.approx(asdict(model_of(trial, trial.arms[0])), rel=0.01)


def test_what_waits_for_a_value_is_predicted_in_a_loop_and_not_in_a_graph():
    eager, graph = foretold_by(
        "sim:a100",
        {"channels": 8, "size": 7, "mode": ["eager", "graph"]},
        ["standard", {"import": "tests.own_blocks:Asking"}],
    )
    kernels = user_kernels.inspect(eager)["arms"][1]
    assert kernels["call"]["host_s"] == pytest.approx(3 * 15e-6), "a convolution, its sum and a copy to the host"
    with pytest.raises(CaptureFailed, match="it waits for a value"):
        user_kernels.inspect(graph)


def test_a_device_holds_what_all_arms_keep_and_one_of_them_asks_for():
    held, calls = (100, 10), (Step(20, 20), Step(30, 50))
    arms = [Memory(held, 0, calls), Memory(held, 0, calls[:1])]
    assert refused_allocation(arms, 270) is None
    assert refused_allocation(arms, 269 * 1.0).startswith("Tried to allocate 0.00 MiB.")
    assert refused_allocation([replace(arm, left=5) for arm in arms], 274) is not None, "the other arm's gradients"
    assert refused_allocation([replace(arm, left=5) for arm in arms], 275) is None


def test_on_one_page_of_several_runs_a_predicted_device_keeps_its_word_and_its_colour(tmp_path: Path):
    both = together([measured(), predicted(2, 0.5, "other")])
    figure = speedup.picture(both.whole)
    assert figure is not None
    assert figure.get_suptitle().endswith(" as fast as standard on 2 devices")
    (_, svg) = files.save(figure, tmp_path, "speedup")
    assert "<pattern " in svg.read_text()
    colours = {name.get_text(): name.get_color() for axis in figure.axes for name in axis.texts}
    foretold = {colour for words, colour in colours.items() if words.startswith("predicted ")}
    assert foretold
    assert foretold <= {*style.VIOLET}
    assert not {colour for words, colour in colours.items() if words.startswith(("CPU", "GPU"))} & {*style.VIOLET}
    lines = [
        line
        for axis in figure.axes
        for line in axis.lines
        if len(line.get_xdata()) > 2 and line.get_linestyle() != "None"
    ]  # type: ignore[arg-type]
    dashes = [{str(line._dash_pattern) for line in lines if (line.get_color() in style.VIOLET) is p} for p in (True, False)]  # type: ignore[attr-defined]  # fmt: skip
    assert len(dashes[0]) == 1, "in greyscale one pattern says predicted"
    assert not dashes[0] & dashes[1]
    assert is_cpu("cpu (Xeon, A)")
    assert not is_cpu("cuda:0 (H100)")


def test_a_plan_says_what_is_measured_and_what_is_predicted():
    config = check(
        {"name": "p", "experiments": {"a": {"blocks": ["standard", "separable"], "axes": {"threads": [1]}}}}, "p"
    )
    both, foretold = (plan_text.text(config, planning.make(config, d, 2)) for d in (["cpu", "sim:t4"], ["sim:t4"]))
    assert both.startswith("p on cpu, predicted t4: 1 trial to measure and 1 trial to predict, 4 arms\n")
    assert foretold.startswith("p on predicted t4: 1 trial to predict, 2 arms\n")
    assert foretold.splitlines()[-1].endswith("minutes, as each trial is predicted once")
