"""What a config imports: how it is named and refused, made by its factory, and counted as it runs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given, settings

from bench.analyse.compare.compare import compare
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.measure import trial_records, worker
from bench.measure.device import devices
from bench.measure.modules import build_module
from bench.measure.user_blocks import NotABlock, build_user_block, count, source_of
from bench.run import foresee, launch, runner
from bench.show.text.compare import reason
from bench.show.write import write_views
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.blocks.costs import cost
from bench.spec.columns import COUNTED
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.errors import UserError
from bench.spec.plan import plan_text
from bench.spec.plan.plan import Plan, make
from bench.spec.results_folder import checked
from tests import fake_worker
from tests.shapes import NETWORKS, buildable, network_shape

THIN, FULL, NET = (f"tests.own_blocks:{name}" for name in ("thin", "Functional", "Net"))


def data(blocks: list[Any], **axes: Any) -> dict[str, Any]:
    return {"name": "t", "experiments": {"a": {"blocks": blocks, "axes": {"threads": 1} | axes}}}


def planned(blocks: list[Any], **axes: Any) -> Plan:
    return make(check(data(blocks, **axes), "t"), ["cpu"], 2)


def own(path: str, **how: Any) -> BlockChoice:
    return BlockChoice("mine", factory=path, **how)


# ---------------------------------------------------------------- config and plan


def test_a_path_is_a_block_by_its_own_name_or_another():
    plan = planned(["standard", {"import": THIN}, {"import": FULL, "name": "full"}], channels=8)
    assert [a.choice.label for a in plan.trials[0].arms] == ["standard", "thin", "full"]
    assert plan.trials[0].arms[1].choice.factory == THIN
    assert checked(json.dumps(plan.to_dict()), Plan, "plan.json") == plan


def test_a_plan_shows_no_theory_for_it_and_needs_no_torch_to_say_so():
    conf = check(data(["standard", {"import": "no.such:thing"}, "separable"], channels=8), "t")
    plan = make(conf, ["cpu"], 2)
    row = next(line.split() for line in plan_text.text(conf, plan).splitlines() if "c8-k3-28px" in line)
    assert row == ["c8-k3-28px", "1", "452", "k", "?", "-", "-", "107", "k", "4.24", "2"]
    arms = json.loads(plan_text.as_json(conf, plan))["trials"][0]["arms"]
    assert [a["macs"] is None for a in arms] == [False, True, False]
    assert arms[1]["mac_ratio"] is None


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"import": "no colon"}, "blocks[1].import: 'no colon': it cannot be a name. Write package.module:name, in quotes."),
        ({"import": 3}, "blocks[1].import: 3: it is not text."),
        ({"import": THIN, "name": "standard"}, "blocks[1].name: 'standard': an imported block can't have this name. Write another"),
        ({"import": THIN, "name": "a/b"}, "blocks[1].name: 'a/b': an imported block can't have this name"),
        ({"import": THIN, "norm": False, "groups": 2}, "an imported block has no such keys, as its factory decides them. Remove groups, norm."),
        ({"name": "separable", "network": True}, "only an imported block has the key network. Remove network"),
        ({"import": NET, "network": True}, "standard is a block and Net a network"),
        ({"import": THIN, "name": "thin", "again": False}, None),
    ],
)  # fmt: skip
def test_a_mistake_in_an_import_is_one_line(entry, line):
    if line is None:
        check(data(["standard", entry]), "t")
        return
    with pytest.raises(UserError) as told:
        check(data(["standard", entry]), "t")
    assert line in str(told.value)


# ---------------------------------------------------------------- factory


def test_a_factory_is_called_with_what_it_has_parameters_for_and_copies_are_stacked():
    module = build_user_block(own(THIN), Shape(4, 8, 9, 9, 5, 2, depth=3, batch=2))
    assert [tuple(m[1].weight.shape) for m in module] == [(8, 4, 1, 1), (8, 8, 1, 1), (8, 8, 1, 1)]
    assert [(m[0].kernel_size, m[0].stride) for m in module] == [((5, 5), (2, 2)), ((5, 5), (1, 1)), ((5, 5), (1, 1))]
    assert module(torch.randn(2, 4, 9, 9)).shape == (2, 8, 5, 5)
    (anything,) = build_user_block(own(FULL), Shape(4, 8, 9, 9, 5, 2))
    assert (anything.weight.shape, anything.stride) == ((8, 4, 5, 5), 2)
    assert build_user_block(own(NET, whole=True), network_shape(32))(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("path", "sizes", "error", "words"),
    [
        ("tests.no_such:thing", {}, NotABlock, "can't be imported: No module named 'tests.no_such'"),
        ("tests.own_blocks:thinn", {}, NotABlock, "there is no thinn in tests.own_blocks"),
        ("tests.own_blocks:NUMBER", {}, NotABlock, "is not callable"),
        ("tests.own_blocks:nothing", {}, NotABlock, "gives no torch.nn.Module but a int"),
        (THIN, {"padding": "valid"}, NotImplementedError, "takes no padding, and padding is valid here"),
        (THIN, {"dilation": 2}, NotImplementedError, "takes no dilation, and dilation is 2 here"),
    ],
)
def test_what_a_factory_can_not_do_is_said(path, sizes, error, words):
    with pytest.raises(error, match=words):
        build_user_block(own(path), Shape(4, 8, 9, 9, **sizes))


@pytest.mark.fault(
    "own blocks", "a block of your own can't be imported",
    "the run ends before it begins, with one line",
)  # fmt: skip
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("path", ["no_such_module:block", "tests.own_blocks:thinn"])
def test_a_run_that_could_not_import_a_block_ends_before_it_begins(tmp_path, path):
    (tmp_path / "c.yaml").write_text(json.dumps(data(["standard", {"import": path}], channels=8)))
    with pytest.raises(UserError, match=f"import: {path}:? .*Name package.module:name as Python finds it"):
        runner.run(tmp_path / "c.yaml", ["cpu"], tmp_path / "run", (), ["bench"], lambda _: None)
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- counting


@given(buildable())
@settings(max_examples=60)
def test_hooks_count_what_the_formulas_say(case):
    choice, shape = case
    made = build(choice, shape)
    theory = cost(made, shape.height, shape.width, shape.batch)
    seen = count(build_module(made).eval(), torch.randn(shape.batch, shape.c_in, shape.height, shape.width), False)
    alike = {name: getattr(theory, name) for name in COUNTED if name != "bytes_min"}
    assert {name: seen[name] for name in alike} == alike
    multiplied = sum(d.bytes_min for d in theory.detail if d.macs)
    assert seen["bytes_min"] == multiplied


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("vgg16", "xception_standard")])
def test_hooks_count_whole_networks_as_well(name):
    made = build(BlockChoice(name), network_shape(64))
    theory = cost(made, 64, 64, training=True)
    seen = count(build_module(made).eval(), torch.randn(1, 3, 64, 64), True)
    alike = {name: getattr(theory, name) for name in COUNTED if name != "bytes_min"}
    assert {name: seen[name] for name in alike} == alike


def test_what_no_module_stands_for_is_counted_too():
    shape = Shape(4, 8, 9, 9)
    seen = count(build_user_block(own(FULL), shape), torch.randn(1, 4, 9, 9), False)
    theory = cost(build(BlockChoice("standard", norm=False), shape), 9, 9)
    assert seen == {name: getattr(theory, name) for name in COUNTED}


def inspected(name: str, **axes: Any) -> dict[str, Any]:
    """The record of an inspection of a block in own_blocks, beside a pointwise convolution, from a worker's loop."""
    plan = planned(["pointwise", {"import": f"tests.own_blocks:{name}", "name": "mine"}], **axes)
    records: list[dict[str, Any]] = []
    job = json.loads(json.dumps(launch.job("inspect", plan.trials[0].surroundings, Timing(), plan.trials)))
    worker._serve(devices.Cpu(), job, records.append)
    return records[-1]


@pytest.mark.parametrize(
    ("name", "axes", "counted"),
    [
        ("same_word", {"channels": "8->16"}, {"macs": 20_000, "params": 200, "layers": 2}),
        ("same_word", {"channels": "8->16", "kernel": 4}, {"macs": 25_600, "params": 256, "layers": 2}),
        ("by_keyword", {"channels": 8}, {"macs": 57_600, "params": 576, "layers": 1}),
        ("unbatched", {"channels": 8}, {"macs": 57_600, "params": 576, "layers": 1}),
        ("unbatched", {"channels": 8, "batch": 2}, {"macs": 115_200, "params": 576, "layers": 2}),
        ("lazy", {"channels": "8->16"}, {"macs": 115_200, "params": 1_168, "layers": 1}),
        ("one_and_three", {"channels": "8->16"}, {"macs": 119_200, "params": 1_216, "layers": 2, "activations": 2_400}),
        ("one_and_three", {"channels": "8->16", "layout": "channels_last"}, {"macs": 119_200, "layers": 2}),
    ],
)
def test_a_convolution_is_counted_and_its_library_named_however_it_is_called(name, axes, counted):
    record = inspected(name, size=10, **axes)
    assert record["status"] == "ok", record
    mine = record["arms"][1]
    assert {key: mine["counted"][key] for key in counted} == counted
    assert len(mine["backends"]) == mine["counted"]["layers"]


@pytest.mark.parametrize(
    ("name", "axes", "macs"),
    [
        ("attention", {"channels": 16}, 24_576),
        ("attention", {"channels": 16, "batch": 2}, 49_152),
        ("attention", {"channels": 16, "pass": "training"}, 73_728),
        ("fused_attention", {"channels": 16}, 12_288),
        ("recurrent", {"channels": 8}, 8_192),
        ("gated", {"channels": 8}, 6_144),
        ("Vector", {"channels": 8}, 128),
    ],
)
def test_what_torch_runs_as_one_operator_is_counted_by_its_parts(name, axes, macs):
    assert inspected(name, size=4, **axes)["arms"][1]["counted"]["macs"] == macs


@pytest.mark.fault(
    "own blocks", "a block of your own uses an operator that can't be counted",
    "its costs are empty, with the operator's name",
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "operator", "params"), [("OwnOperator", "own_blocks::depthwise", 72), ("Bilinear", "aten::_trilinear", 64)]
)
def test_an_operator_without_a_count_leaves_the_costs_unknown_and_names_itself(tmp_path: Path, name, operator, params):
    record = inspected(name, channels=8, size=10)
    assert record["arms"][1]["counted"].keys() == {"params", "ops", "unknown"}
    plan = planned(["pointwise", {"import": f"tests.own_blocks:{name}", "name": "mine"}], channels=8, size=10)
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_dict()))
    begin = {"type": "run", "run_id": "own", "schema_version": 1}
    (tmp_path / "journal.jsonl").write_text(json.dumps(begin) + "\n" + json.dumps(record) + "\n")
    run = run_folder.read(tmp_path)
    row = records_of(run.measurements)[1]
    assert (row["params"], row["macs"], row["layers"], row["flops"]) == (params, None, None, None)
    assert row["cost_source"] == f"unknown: no formula for {operator}"
    assert records_of(run.pairs)[0]["mac_ratio"] is None


@pytest.mark.fault(
    "own blocks", "a block of your own returns no tensor",
    "its row names the block and the type",
)  # fmt: skip
@pytest.mark.parametrize("what", ["inference", "training"])
@pytest.mark.parametrize(("name", "kind"), [("pair", "tuple"), ("mapping", "dict")])
def test_a_block_that_gives_no_tensor_is_named(name, kind, what):
    record = inspected(name, channels=8, size=4, **{"pass": what})
    assert record["status_detail"] == f"NotABlock: mine gives a {kind}, where forward must return one tensor"


@pytest.mark.fault(
    "own blocks", "a fact about a block of your own can't be recorded",
    "one column is empty; the row has its times",
)  # fmt: skip
@pytest.mark.parametrize("fact", ["backends", "count", "memory_peak", "launches"])
def test_a_fact_that_fails_costs_no_row(fact: str, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise RuntimeError("no such fact")

    for place in (trial_records.Evaluation, trial_records, devices.Cpu):
        if hasattr(place, fact):
            monkeypatch.setattr(place, fact, fail)
    record = inspected("thin", channels=8, size=4)
    assert record["status"] == "ok", record
    empty = {"backends": [], "count": None, "memory_peak": None, "launches": None}[fact]
    column = {"count": "counted", "memory_peak": "memory_peak_bytes"}.get(fact, fact)
    assert record["arms"][1][column] == empty


@pytest.mark.fault(
    "own blocks", "batch norm would be trained on one value",
    "the row is unsupported, with the reason",
)  # fmt: skip
def test_batch_norm_that_is_trained_on_one_value_is_a_skip_and_no_crash():
    record = inspected("normalising", channels=8, size=4, **{"pass": "training"})
    assert (record["status"], "Expected more than 1 value" in record["status_detail"]) == ("unsupported", True)


@pytest.mark.fault(
    "own blocks", "a block of your own changes settings of the process",
    "they are put back before the next block, and the row says who changed what",
)  # fmt: skip
@pytest.mark.parametrize("name", ["unsettling", "UnsettlingLater"])
def test_settings_that_a_block_changes_are_put_back_and_its_row_says_who_changed_them(tmp_path: Path, name: str):
    plan = planned([{"import": f"tests.own_blocks:{name}", "name": "mine"}], channels=8, size=[4, 5])
    before, records = devices.kept(), []
    timing = Timing(seconds=0.01, warmup_seconds=0.01)
    job = json.loads(json.dumps(launch.job("time", plan.trials[0].surroundings, timing, plan.trials, 1)))
    worker._serve(devices.Cpu(), job, records.append)
    assert devices.kept() == before
    threads = before["threads"]
    for record in records[1::2]:  # also of the second trial, which did not begin with what the first one left
        assert record["status"] == "ok", record
        assert f"mine changed threads from {threads} to {threads + 1}" in record["changed"]
        changed = {what.split(" from ")[0].removeprefix("mine changed ") for what in record["changed"]}
        more = set() if name == "UnsettlingLater" else {"default dtype"}
        more |= {"cores"} if len(before["cores"]) > 1 else set()
        assert changed == {"threads", "oneDNN", "deterministic algorithms", "cudnn.benchmark"} | more
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_dict()))
    lines = [{"type": "run", "run_id": "own", "schema_version": 1}, *({**r, "replicate": 1} for r in records[1::2])]
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for row in records_of(run_folder.read(tmp_path).measurements):
        assert f"mine changed threads from {threads} to {threads + 1}: put back after it" in row["quality_notes"]


def test_the_switches_of_a_trial_are_no_change_by_a_block():
    plan = planned(["pointwise"], channels=8, size=4)
    trial = replace(plan.trials[0], cudnn_benchmark="off")
    records: list[dict[str, Any]] = []
    timing = Timing(seconds=0.01, warmup_seconds=0.01)
    worker._serve(devices.Cpu(), launch.job("time", trial.surroundings, timing, [trial], 1), records.append)
    assert records[-1]["changed"] == []


@pytest.mark.fault(
    "own blocks", "a block of your own raises, exits, crashes the process or leaves children",
    "one row each with its words; the children are ended, all other rows are measured",
)  # fmt: skip
def test_blocks_that_fail_exit_or_leave_children_spoil_no_other_row(tmp_path: Path, sketched, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    children = tmp_path / "children"
    monkeypatch.setenv("OWN_BLOCKS_CHILDREN", str(children))
    names = ("forking", "killed", "failing", "exiting")
    each = {n: data([{"import": f"tests.own_blocks:{n}"}], channels=4, size=4)["experiments"]["a"] for n in names}
    timing = {"seconds": 0.01, "warmup_seconds": 0.01, "processes_min": 1, "processes_max": 1}
    (tmp_path / "c.yaml").write_text(json.dumps({"name": "t", "timing": timing, "experiments": each}))
    begun = time.monotonic()
    runner.run(tmp_path / "c.yaml", ["cpu"], tmp_path / "run", (), ["bench"], lambda _: None)
    assert time.monotonic() - begun < 290, "nobody waited for a child"
    pids = [int(pid) for pid in children.read_text().split()]
    assert len(pids) == 6, "two each at planning, in the inspection and in the process that timed it"
    left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    for _ in range(100):  # a killed process ends a moment later
        left = [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        time.sleep(0.1 if left else 0)
    assert not left
    write_views(tmp_path / "run")
    rows = {row["experiment"]: row for row in records_of(run_folder.read(tmp_path / "run").measurements)}
    assert rows["forking"]["status"] in ("ok", "noisy")
    assert rows["killed"]["status"] == rows["failing"]["status"] == rows["exiting"]["status"] == "crash"
    assert rows["killed"]["status_detail"].startswith("killed by signal 11 (SIGSEGV) in the inspection")
    assert rows["failing"]["status_detail"].startswith(r"failing: ValueError: bad \ud800 \x1b[31m in the inspection")
    assert rows["exiting"]["status_detail"].startswith("exit status 3 in the inspection"), "and no other trial's words"


# ---------------------------------------------------------------- a block whose source changes


def test_the_hash_of_a_source_covers_what_it_imports_and_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_package").mkdir()
    files = {
        "own_package/__init__.py": "from .block import make",
        "own_package/block.py": "from torch import nn\nfrom .sizes import K\nimport own_helper\ndef make(c_in, c_out): ...",
        "own_package/sizes.py": "K = 3",
        "own_helper.py": "def late():\n    import own_later",
        "own_later.py": "",
        "own_unrelated.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for path in ("own_package:make", "own_package.block:make"):
        first = source_of(path)
        for name, text in files.items():
            (tmp_path / name).write_text(text + "\n# another")
            concerned = name != "own_unrelated.py" and (path == "own_package:make" or name != "own_package/__init__.py")
            assert (source_of(path) != first) == concerned, (path, name)
            (tmp_path / name).write_text(text)
        assert source_of(path) == first


CHANGING = """from torch import nn


def changing(c_in, c_out, kernel=3):
    return nn.Conv2d(c_in, c_out, {kernel}, padding={kernel} // 2, bias=False)
"""


@pytest.mark.fault(
    "own blocks", "the source of a block of your own changes in mid-run or before `--resume`",
    "the run goes on with no other source; one line names it",
)  # fmt: skip
@pytest.mark.usefixtures("warm")
def test_a_run_goes_on_with_no_other_source_than_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = tmp_path / "own_changing.py"
    module.write_text(CHANGING.format(kernel=3))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    timing = {"seconds": 0.01, "warmup_seconds": 0.01, "processes_min": 2, "processes_max": 2}
    config = data(["standard", {"import": "own_changing:changing", "name": "mine"}], channels=4, size=4) | {
        "timing": timing
    }
    (tmp_path / "c.yaml").write_text(json.dumps(config))

    def tell(line: str) -> None:
        if line.startswith("process 2 of"):
            module.write_text(CHANGING.format(kernel=7))

    with pytest.raises(
        UserError, match="import own_changing:changing: its source is not that with which this run began"
    ):
        runner.run(tmp_path / "c.yaml", ["cpu"], tmp_path / "run", (), ["bench"], tell)
    with pytest.raises(UserError, match=r"import own_changing:changing: its source .* Put it back, or start a new run"):
        runner.resume(tmp_path / "run", lambda _: None, trust=True)
    module.write_text(CHANGING.format(kernel=3))
    assert runner.resume(tmp_path / "run", lambda _: None, trust=True).failed == 0
    run = run_folder.read(tmp_path / "run")
    assert records_of(run.pairs)[0]["processes"] == 2
    assert run.environment["devices"]["cpu"]["imports"].keys() == {"own_changing:changing"}


@pytest.mark.parametrize(("other", "verdict"), [("bbb", "CONFOUNDED"), ("aaa", "SAME"), (None, "SAME")])
def test_a_comparison_names_the_block_whose_source_differs(tmp_path: Path, other: str | None, verdict: str):
    plan = planned(["standard", {"import": THIN, "name": "mine"}, "separable"], channels=8, size=9)
    runs = []
    for name, source in (("a", "aaa"), ("b", other)):
        folder = tmp_path / name
        folder.mkdir()
        lines = [{"type": "run", "run_id": name, "schema_version": 1}]
        visit = fake_worker.visit(plan.trials[0].to_dict(), 1) | {"type": "visit", "trial_id": plan.trials[0].trial_id}
        lines += [{**visit, "replicate": replicate} for replicate in (1, 2, 3)]
        (folder / "plan.json").write_text(json.dumps(plan.to_dict()))
        (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        devices = {"cpu": {"name": "a processor", "imports": {THIN: source} if source else {}}}
        (folder / "environment.json").write_text(json.dumps({"devices": devices}))
        runs.append(run_folder.read(folder))
    compared = compare(*runs)
    for quantity in (compared.speedups, compared.times):
        verdicts = {m.a["block"]: m.verdict for m in quantity.matches}
        assert (verdicts.pop("mine"), set(verdicts.values())) == (verdict, {"SAME"})
    if verdict == "CONFOUNDED":
        (mine,) = (m for m in compared.speedups.matches if m.differs)
        assert reason(compared.speedups, mine) == f"source {THIN} aaa in A, {THIN} bbb in B"


# ---------------------------------------------------------------- a run


def test_a_run_records_what_was_counted_and_says_so(tmp_path: Path, sketched: None):
    blocks = ["standard", {"import": THIN}, {"import": "tests.own_blocks:nothing"}]
    plan = planned(blocks[:2], channels=8, size=9, depth=2)
    broken = planned([blocks[0], blocks[2]], channels=8, size=9)
    told: list[dict[str, Any]] = []
    timing = Timing(seconds=0.01, warmup_seconds=0.01, processes_min=1)
    for kind, trials in (("inspect", plan.trials), ("time", plan.trials), ("inspect", broken.trials)):
        job = json.loads(json.dumps(launch.job(kind, trials[0].surroundings, timing, list(trials), 1)))
        worker._serve(devices.Cpu(), job, told.append)
    seen, timed, failed = (m for m in told if m["type"] in ("inspect", "visit"))
    assert (failed["status"], failed["status_detail"]) == (
        "crash",
        "NotABlock: tests.own_blocks:nothing gives no torch.nn.Module but a int",
    )
    assert "counted" not in seen["arms"][0]
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_dict()))
    begin = {"type": "run", "run_id": "own", "schema_version": 1}
    (tmp_path / "journal.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in (begin, seen, {**timed, "replicate": 1}))
    )
    run = run_folder.read(tmp_path)
    formula, counted = records_of(run.measurements)
    assert (formula["cost_source"], counted["cost_source"]) == ("formula", "counted by hooks")
    twin = cost(build(BlockChoice("separable", norm=False, act=False), plan.trials[0].shape), 9, 9)
    assert [counted[name] for name in COUNTED] == [getattr(twin, name) for name in COUNTED]
    assert counted["memory_theory_bytes"] is None
    assert counted["achieved_flop_per_s"] > 0
    (pair,) = records_of(run.pairs)
    assert pair["mac_ratio"] == pytest.approx(formula["macs"] / twin.macs)
    assert pair["layer_ratio"] == 2
    write_views(tmp_path)


def test_what_was_never_inspected_has_no_theory(tmp_path: Path):
    plan = planned(["standard", {"import": THIN}], channels=8, size=9)
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_dict()))
    begin = {"type": "run", "run_id": "own", "schema_version": 1}
    (tmp_path / "journal.jsonl").write_text(json.dumps(begin) + "\n")
    run = run_folder.read(tmp_path)
    _, row = records_of(run.measurements)
    assert (row["params"], row["cost_source"], row["status"]) == (None, None, "skipped")
    assert records_of(run.pairs)[0]["mac_ratio"] is None


@pytest.mark.fault(
    "own blocks", "a file bench.py lies in the working folder",
    "it hides nothing from workers",
)  # fmt: skip
@pytest.mark.parametrize("safe", [{}, {"PYTHONSAFEPATH": "1"}])
def test_a_file_called_bench_in_the_working_folder_hides_nothing_and_blocks_there_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, safe: dict[str, str]):  # fmt: skip
    """In the worker that counts them at planning, which starts as every other one does."""
    (tmp_path / "bench.py").write_text("")
    (tmp_path / "mine.py").write_text("import torch\n\n\ndef wide(c_in: int, c_out: int) -> torch.nn.Module:\n    return torch.nn.Conv2d(c_in, c_out, 1)\n")  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name, value in safe.items():
        monkeypatch.setenv(name, value)
    (wide,) = foresee.counts(planned(["standard", {"import": "mine:wide"}], channels=4, size=4))[0].values()
    assert (wide["params"], wide["macs"]) == (20, 256)
