"""Networks and the rest of the zoo from the config to the pictures: plan, worker, tables, terminal, comparison."""

from __future__ import annotations

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from bench.analyse.compare import compare as comparison
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.measure import modules, worker
from bench.measure.device import devices
from bench.run import launch
from bench.show.plots import compare as compare_picture
from bench.show.plots import delivery, networks, speedup
from bench.show.text import report as text
from bench.show.write import write_views
from bench.spec.blocks.layers import FIXED_IN_NETWORKS
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.plan import plan_text
from bench.spec.plan.plan import Plan, Trial, make
from bench.spec.results_folder import checked
from tests.shapes import ZOO
from tests.synthetic import Story, write_run

MOBILENETS = ["mobilenet_v1_standard", {"name": "mobilenet_v1", "width": 0.5}, "mobilenet_v1"]


def data(**experiments: tuple[list[Any], dict[str, Any]]) -> dict[str, Any]:
    made = {name: {"blocks": blocks, "axes": {"threads": 1} | axes} for name, (blocks, axes) in experiments.items()}
    return {"name": "t", "experiments": made}


def planned(blocks: list[Any], device: str = "cpu", **axes: Any) -> Plan:
    return make(check(data(a=(blocks, axes)), "t"), [device], 2)


BOTH = data(nets=(MOBILENETS, {"size": [32, 64], "batch": [1, 2]}), zoo=(["standard", "separable"], {"kernel": [3, 5]}))


# ---------------------------------------------------------------- plan


def test_networks_are_planned_by_size_and_batch_alone():
    plan = planned(MOBILENETS, size=[32, "64x96"], batch=[1, 8], kernel=[3, 5], depth=7)
    assert [t.trial_id for t in plan.trials] == [
        f"a/{size}px{batch}-nchw-cpu-1t" for size in ("32", "64x96") for batch in ("", "-b8")
    ]
    assert plan.trials[0].arms[1].arm_id == "a/32px-nchw-cpu-1t/mobilenet_v1(width 0.5)"
    assert plan.notes == ("a: networks fix kernel, depth themselves; the given values are not used",)
    cost = plan.trials[1].cost(plan.trials[1].arms[2])
    assert cost.output == (8, 1000)


def test_a_network_sees_images_of_the_baselines_own_size_unless_told():
    for first, size in (("mobilenet_v1", 224), ("xception", 299)):
        (trial,) = planned([first, "resnet18"]).trials
        assert (trial.shape.height, trial.shape.width) == (size, size)


def test_a_plan_of_networks_and_options_survives_being_written_as_json():
    blocks = [
        {"name": "grouped", "groups": 8},
        {"name": "inverted_bottleneck", "expansion": 3},
        {"name": "dilated", "rate": 4},
    ]
    for plan in (make(check(BOTH, "t"), ["cpu"], 2), planned(blocks)):
        again = checked(json.dumps(plan.to_dict()), Plan, "plan.json")
        assert again == plan
        assert [t.cost(a) for t in again.trials for a in t.arms] == [t.cost(a) for t in plan.trials for a in t.arms]


def test_the_outline_tells_networks_without_the_fields_that_they_have_not():
    conf = check(BOTH, "t")
    plan = make(conf, ["cpu"], 2)
    text = plan_text.text(conf, plan)
    assert "nets: mobilenet_v1_standard (baseline), mobilenet_v1(width 0.5), mobilenet_v1" in text
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("64px-b2"))
    assert row[:4] == ["64px-b2", "1", "797", "M"]
    told = json.loads(plan_text.as_json(conf, plan))
    first = told["trials"][0]
    assert {first[name] for name in FIXED_IN_NETWORKS} == {None}
    assert (first["height"], first["batch"]) == (32, 1)
    assert first["arms"][2]["params"] == 4_231_976
    assert "kernel" not in told["experiments"]["nets"]["axes"]


def test_what_multiplies_nothing_has_no_ratio():
    conf = check(data(a=(["global_depthwise", "global_average_pool"], {"channels": 8, "size": 7})), "t")
    plan = make(conf, ["cpu"], 2)
    row = next(line.split() for line in plan_text.text(conf, plan).splitlines() if "c8-k3-7px" in line)
    assert row == ["c8-k3-7px", "1", "392", "0", "-", "-"]
    arm = json.loads(plan_text.as_json(conf, plan))["trials"][0]["arms"][1]
    assert (arm["macs"], arm["mac_ratio"], arm["layer_ratio"]) == (0, None, None)


def test_groups_that_do_not_divide_the_channels_are_a_reason_to_skip():
    plan = planned(["standard", "grouped"], channels=[6, 8])
    assert [t.skip for t in plan.trials] == ["grouped: 6 channels in can't be divided into 4 groups", None]


def test_batch_norm_is_not_trained_on_a_single_value():
    whole = planned(["resnet18"], size=[32, 64], batch=[1, 2], **{"pass": ["inference", "training"]})
    assert [t.skip is None for t in whole.trials] == [True, False, True, True, True, True, True, True]
    assert whole.trials[1].skip == (
        "resnet18, stage_4_1.1: batch norm has no variance of one pixel of one item to train on"
    )
    bare = {"name": "global_depthwise", "norm": False}
    (one,), (other,) = (
        planned([b], channels=8, size=7, **{"pass": "training"}).trials for b in ("global_depthwise", bare)
    )
    assert (one.skip is None, other.skip is None) == (False, True)


# ---------------------------------------------------------------- worker


def served(kind: str, given: tuple[Trial, ...], device: devices.Device | None = None) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    timing = Timing(seconds=0.01, warmup_seconds=0.01, processes_min=1)
    job = json.loads(json.dumps(launch.job(kind, given[0].surroundings, timing, list(given), 1)))
    worker._serve(device or devices.Cpu(), job, told.append)
    return [m for m in told if m["type"] in ("inspect", "visit")]


@pytest.mark.parametrize("pass_", ["inference", "training"])
def test_a_worker_inspects_and_measures_networks_and_the_whole_zoo(pass_: str):
    small = [{"name": "mobilenet_v1", "width": 0.25}, {"name": "mobilenet_v2", "width": 0.35}, "resnet18"]
    given = (
        *planned(small, size=32, batch=2, **{"pass": pass_}).trials,
        *planned(list(ZOO), channels=8, size=9, batch=2, layout="channels_last", **{"pass": pass_}).trials,
    )
    for trial, message in zip(given, served("inspect", given), strict=True):
        assert message["status"] == "ok", message
        for arm, facts in zip(trial.arms, message["arms"], strict=True):
            cost = trial.cost(arm)
            assert tuple(facts["output_shape"]) == cost.output
            assert facts["params"] == cost.params
            assert len(facts["backends"]) == cost.layers
    assert [m["status"] for m in served("time", given)] == ["ok"] * len(given)


def test_a_network_compiles_as_one_graph(monkeypatch: pytest.MonkeyPatch):
    import torch._dynamo

    monkeypatch.setattr(modules, "BACKEND", "eager")
    given = planned([{"name": "mobilenet_v2", "width": 0.35}, "resnet18"], size=32, mode="compile").trials
    assert [m["status"] for m in served("inspect", given)] == ["ok"]
    torch._dynamo.reset()


# ---------------------------------------------------------------- tables, terminal, pictures


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    folder = tmp_path_factory.mktemp("both")
    write_run(folder, Story(processes=6), BOTH)
    return run_folder.read(folder)


def test_network_rows_leave_the_fields_empty_that_they_have_not(run: run_folder.Run):
    for frame in (run.measurements, run.pairs):
        for row in records_of(frame):
            whole = row["experiment"] == "nets"
            assert all((row[name] is None) == whole for name in ("c_in", "c_out", "kernel", "stride", "padding", "dilation", "depth"))  # fmt: skip
            assert (row["groups"] is None) == whole
            assert row["height"] is not None
    thin = next(r for r in records_of(run.pairs) if r["block"] == "mobilenet_v1")
    assert thin["layer_ratio"] == pytest.approx(27 / 14)


def test_every_view_of_a_run_with_networks_is_made(run: run_folder.Run, sketched):
    out = io.StringIO()
    with redirect_stdout(out):
        text.show(run, run.folder / "report.html")
    assert re.search(r"^mobilenet_v1\(width.*x \[", out.getvalue(), re.MULTILINE)
    views = write_views(run.folder)
    assert {p.name for p in views.pictures} >= {"speedup.png", "delivery.png", "roofline.png", "memory.png"}
    figure = speedup.picture(run)
    assert figure is not None
    assert not any("mobilenet" in axis.get_title() for axis in figure.axes)  # drawn against channels and kernels


def test_a_run_of_networks_alone_is_shown_by_what_they_promise_and_deliver(tmp_path: Path):
    write_run(tmp_path, Story(processes=6), data(nets=(MOBILENETS, {"size": 32})))
    run = run_folder.read(tmp_path)
    assert speedup.picture(run) is None
    blocks = set(run.pairs["block"])
    for drawn in (delivery.picture, networks.picture):
        figure = drawn(run)
        assert figure is not None
        assert {t.get_text() for t in figure.axes[0].get_yticklabels() if t.get_fontweight() == "bold"} == blocks
    out = io.StringIO()
    with redirect_stdout(out):
        text.show(run, run.folder / "report.html")
    assert "Networks" in out.getvalue() or "mobilenet_v1" in out.getvalue()
    found = comparison.compare(run, run)
    assert [m.verdict for m in found.speedups.matches] == ["SAME", "SAME"]
    assert compare_picture.picture(found, found.quantities[0]) is None


def test_rows_that_multiply_nothing_break_no_view(tmp_path: Path, sketched):
    write_run(
        tmp_path, Story(lambda *_: 2.0, processes=6),
        data(a=(["global_depthwise", "global_average_pool"], {"channels": 8, "size": 7})),
    )  # fmt: skip
    run = run_folder.read(tmp_path)
    (pair,) = records_of(run.pairs)
    assert (pair["mac_ratio"], pair["layer_ratio"], pair["delivered_share"]) == (None, None, None)
    assert pair["speedup"] == pytest.approx(2, rel=0.1)
    write_views(tmp_path)
