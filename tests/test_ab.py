"""bench ab: two sides in lockstep, from plan to rows, on the simulated accelerator and on this CPU."""

from __future__ import annotations

import html
import json
import math
import os
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from bench.analyse.compare.ci_gate import gate
from bench.analyse.compare.compare import compare_sides
from bench.analyse.runs.run_folder import Run, read, write_tables
from bench.cli.ab import side
from bench.measure import lockstep
from bench.run import launch, runner
from bench.run.session import Interrupted
from bench.spec.config.config import check, load
from bench.spec.errors import UserError
from bench.spec.plan.ab import against
from bench.spec.plan.plan import Plan, Side, make
from tests import simulated
from tests.hostile import bench

ROOT = Path(__file__).parents[1]
CONFIG = """
name: sides
timing: {processes_min: 3, processes_max: 3, seconds: 0.02, warmup_seconds: 0.02, rounds_min: 8, rounds_max: 8, sample_seconds: 1.0e-5, timeout_seconds: 20}
experiments:
  a:
    blocks: [standard, separable]
    axes: {channels: [8, 16], kernel: 3, size: 8, threads: 1}
"""
ONCE = CONFIG.replace("processes_min: 3, processes_max: 3", "processes_min: 1, processes_max: 1")
HERE = Side(sys.executable)


@pytest.fixture
def measure(tmp_path: Path, warm: None):
    """Measure a config with two sides in a folder; the lines that it says go to `said`."""

    def run(a: Side, b: Side, device: str = "sim", text: str = CONFIG) -> Run:
        plan, data = planned(tmp_path, a, b, device, text)
        outcome = runner.measure(plan, data, [device], tmp_path / "run", ["bench", "ab"], lambda _: None, True)
        return read(outcome.folder)

    return run


def planned(folder: Path, a: Side, b: Side, device: str = "cpu", text: str = CONFIG) -> tuple[Plan, dict]:
    (folder / "c.yaml").write_text(text)
    config, data = load(folder / "c.yaml", ())
    return against(make(config, [device], 2), (a, b)), data


def settings(a: str, b: str) -> tuple[Side, Side]:
    return tuple(Side(sys.executable, (), ((simulated.ENVIRONMENT, text),)) for text in (a, b))


needs_simulated = pytest.mark.skipif(simulated.available() is not None, reason=str(simulated.available()))


def test_each_block_is_measured_once_at_a_shape_on_both_sides():
    twice = {"blocks": ["standard", "separable"], "axes": {"channels": [8, 16], "size": 8, "threads": 1}}
    config = check(
        {"name": "n", "experiments": {"one": twice, "two": twice | {"blocks": ["standard", "pointwise"]}}}, "n"
    )
    plan = against(make(config, ["cpu"], 2), (HERE, HERE))
    blocks = [(trial.arms[0].choice.name, trial.shape.c_in) for trial in plan.trials]
    assert sorted(blocks) == sorted({*blocks})
    assert {name for name, _ in blocks} == {"standard", "separable", "pointwise"}
    for trial in plan.trials:
        a, b = (arm.choice for arm in trial.arms)
        assert (a.side, b.side, a.name) == ("a", "b", b.name)
        assert len({arm.arm_id for arm in trial.arms}) == 2


def test_threads_that_spin_while_they_wait_are_not_measured_and_a_prediction_has_no_sides():
    axes = {"channels": 8, "size": 8, "threads": 1, "waiting": ["default", "active"]}
    config = check({"name": "n", "experiments": {"one": {"blocks": ["standard", "separable"], "axes": axes}}}, "n")
    plan = against(make(config, ["cpu"], 2), (HERE, HERE))
    assert [t.surroundings.waiting for t in plan.active] == ["default"] * 2
    with pytest.raises(UserError, match="the same on both sides"):
        against(make(config, ["sim:h100"], 2), (HERE, HERE))


@needs_simulated
def test_what_one_side_takes_longer_for_is_the_ratio_of_every_row(measure):
    run = measure(*settings("virtual,launch=1e-6,kernel=20e-6", "virtual,launch=1e-6,kernel=21e-6"))
    assert len(run.pairs) == 4
    assert set(run.pairs["side"]) == {"b"}
    assert (run.pairs["block"] == run.pairs["baseline"]).all()
    assert (1 / run.pairs["speedup"]).tolist() == pytest.approx([1.05] * 4, rel=1e-3)
    assert run.pairs["processes"].eq(3).all()
    assert sorted(run.measurements["side"]) == ["a"] * 4 + ["b"] * 4
    times = run.measurements.pivot_table(index=["block", "c_in"], columns="side", values="time_median_s")
    assert (times["b"] / times["a"]).tolist() == pytest.approx([1.05] * 4, rel=1e-3)
    assert run.measurements["memory_peak_bytes"].notna().all()
    assert len(run.environment["sides"]) == 2


@needs_simulated
def test_the_sides_take_turns_within_each_round(measure):
    run = measure(*settings("virtual,kernel=1e-6", "virtual,kernel=1e-6"))
    records = [json.loads(line) for line in (run.folder / "journal.jsonl").read_text().splitlines()]
    visits = [r for r in records if r["type"] == "visit"]
    assert len(visits) == 12
    assert {order for v in visits for order in v["orders"]} == {"ABBA", "BAAB"}


def test_both_sides_have_the_same_cores_one_of_each_physical_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for core in range(8):  # four physical cores
        (tmp_path / f"cpu{core}" / "topology").mkdir(parents=True)
        (tmp_path / f"cpu{core}" / "topology" / "thread_siblings_list").write_text(f"{core % 4},{core % 4 + 4}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 5, 6, 7})
    for threads in (1, 2, 3):
        drawn = [lockstep.common_cores(threads, random.Random(seed), tmp_path) for seed in range(20)]
        assert all(len({core % 4 for core in cores}) == threads for cores in drawn)
        assert {core for cores in drawn for core in cores} == {1, 2, 3}
    assert lockstep.common_cores(5, random.Random(1), tmp_path) == [1, 2, 3, 5, 6, 7]


def test_a_side_that_fails_in_a_trial_fails_that_row_alone(measure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocks = "[{name: mine, import: tests.own_sides:block}, separable]"
    text = ONCE.replace("[standard, separable]", blocks)
    wrong = Side(sys.executable, (), (("OWN_SIDE", "raises"),))
    run = measure(HERE, wrong, "cpu", text)
    by_block = run.pairs.groupby("block")[["status", "status_detail"]].agg(list)
    assert by_block.loc["mine", "status"] == ["crash"] * 2
    assert all(
        detail.startswith("side b: ") and "planted" in detail for detail in by_block.loc["mine", "status_detail"]
    )
    assert compare_sides(run).times.failed_in_b == 2
    assert gate([compare_sides(run)]).answer == "failed"
    either = replace(run, measurements=run.measurements.assign(status_detail=None))  # as an older run says it
    assert gate([compare_sides(either)]).answer == "can't tell"
    assert set(by_block.loc["separable", "status"]) <= {"ok", "noisy"}


@pytest.mark.fault(
    "killed", "a side of `bench ab` is killed, or fails while it is timed",
    "that trial is one row that names the side; every other trial is measured on both",
)  # fmt: skip
@pytest.mark.parametrize(
    ("how", "seen"), [("killed", "side b was killed by SIGSEGV"), ("late", "side b: ValueError: planted")]
)
def test_a_side_that_ends_or_fails_while_it_is_timed_is_named(measure, how: str, seen: str):
    blocks = "[{name: mine, import: tests.own_sides:block}, separable]"
    text = ONCE.replace("[standard, separable]", blocks)
    run = measure(HERE, Side(sys.executable, (), (("OWN_SIDE", how),)), "cpu", text)
    by_block = run.pairs.groupby("block")[["status", "status_detail"]].agg(list)
    assert by_block.loc["mine", "status"] == ["crash"] * 2
    assert all(seen in detail for detail in by_block.loc["mine", "status_detail"])
    assert set(by_block.loc["separable", "status"]) <= {"ok", "noisy"}


def test_two_source_trees_are_two_blocks_of_one_name(measure, tmp_path: Path):
    for name, kernel in (("old", 3), ("new", 5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tree.py").write_text(
            "from torch import nn\n"
            f"def block(c_in, c_out, **_): return nn.Conv2d(c_in, c_out, {kernel}, padding={kernel // 2}, bias=False)\n"
        )
    text = ONCE.replace("[standard, separable]", "[{name: mine, import: tree:block}]").replace("[8, 16]", "8")
    sides = [Side(sys.executable, (str(tmp_path / name),)) for name in ("old", "new")]
    run = measure(*sides, "cpu", text)
    macs = run.measurements.set_index("side")["macs"]
    assert macs["b"] / macs["a"] == 25 / 9
    a, b = (told["devices"]["cpu"]["imports"] for told in run.environment["sides"])
    assert a["tree:block"] != b["tree:block"]


@pytest.mark.fault(
    "torch and devices", "the Python of a side of `bench ab` lacks torch or another package",
    "one line names that Python and the command that installs what is missing; no folder is written",
)  # fmt: skip
def test_a_side_that_can_not_start_is_named_by_its_python(tmp_path: Path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named torch' >&2\nexit 1\n")
    broken.chmod(0o755)
    plan, data = planned(tmp_path, HERE, Side(str(broken)))
    with pytest.raises(UserError, match="pip install torch pydantic pyyaml psutil") as refused:
        runner.measure(plan, data, ["cpu"], tmp_path / "run", ["bench"], lambda _: None, True)
    assert str(broken) in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_goes_on_with_both_sides_and_not_with_another_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setattr(launch, "LOCKSTEP", "tests.fake_worker")
    plan, data = planned(tmp_path, HERE, HERE)
    said: list[str] = []

    def interrupt(line: str) -> None:
        said.append(line)
        if line.startswith("process 2"):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        runner.measure(plan, data, ["cpu"], tmp_path / "run", ["bench"], interrupt, True)
    monkeypatch.setenv("BENCH_FAKE", json.dumps({"torch": "other"}))
    with pytest.raises(UserError, match="torch on cpu fake, here it is other"):
        runner.resume(tmp_path / "run", said.append, True)
    monkeypatch.delenv("BENCH_FAKE")
    runner.resume(tmp_path / "run", said.append, True)
    run = read(tmp_path / "run")
    assert run.pairs["processes"].eq(3).all()
    assert run.pairs["speedup"].tolist() == pytest.approx([3.0] * 4, rel=0.02)
    assert run.measurements["memory_peak_bytes"].notna().all()


@pytest.fixture
def faked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of three pairs of processes by fake workers, in which B takes a third of A's time."""
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setattr(launch, "LOCKSTEP", "tests.fake_worker")
    (tmp_path / "c.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.show.plots.shared.files.save", lambda *_: ())
    assert bench("ab", "c.yaml", "--out", "results/run") == 0
    return tmp_path / "results" / "run"


def slowed(folder: Path, factor: float, processes: int = 3) -> None:
    """Multiply the samples of side B, and keep so many processes."""
    journal = folder / "journal.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    records = [r for r in records if r.get("replicate", 0) <= processes]
    for record in records:
        for arm in record["arms"][1:] if record["type"] == "visit" else ():
            arm["samples_ns"] = [factor * ns for ns in arm["samples_ns"]]
    journal.write_text("".join(json.dumps(r) + "\n" for r in records))


def test_the_verb_answers_first_and_writes_tables_page_and_index(faked: Path, capsys):
    index = (faked.parent / "index.html").read_text()  # as the verb itself has left it
    assert bench("report", str(faked)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "A torch fake -> B torch fake, same machine"
    assert "By time, 0 of 4 rows are slower in B, 4 faster" in " ".join(lines)
    assert len(lines) < 40
    page = (faked / "report.html").read_text()
    assert "Is B slower than A?" in page
    assert "took turns" in page
    assert lines[-1].startswith("gate passed: B's times are ")
    assert "Gate passed: B's times are " in html.unescape(page)
    assert "4 faster" in index
    assert index.count('href="run/report.html"')
    assert not (faked / "verdict.json").exists()  # blocks against themselves bear on no claim
    header = (faked / "pairs.csv").read_text().splitlines()[0].split(",")
    assert "side" in header


@pytest.mark.parametrize(
    ("factor", "processes", "status", "said"),
    [
        (3.0, 3, 0, "gate passed"),
        (3.9, 3, 1, "gate failed"),
        (3.0, 2, 3, "gate can't tell"),
        (3.15, 3, 1, "gate failed"),
    ],
)
def test_the_gate_fails_for_a_slow_side_passes_an_equal_one_and_else_can_not_tell(
    faked: Path, capsys, factor: float, processes: int, status: int, said: str
):
    slowed(faked, factor, processes)
    assert bench("compare", str(faked), "--fail-on", "slower") == status
    assert said in capsys.readouterr().out
    assert bench("compare", str(faked), "--fail-on", "slower", "--untold", "pass", "--json") == (
        status if status < 3 else 0
    )
    gate = json.loads(capsys.readouterr().out)["gate"]
    assert gate["whole"][0]["slower"] == pytest.approx(factor / 3 - 1, abs=0.02)
    assert gate["whole"][0]["separate_runs_differ_by"] is None


def test_a_gate_without_sense_is_refused_before_anything_is_measured(faked: Path, capsys):
    assert bench("ab", "c.yaml", "--margin", "20%", "--least", "10%", "--out", "results/none") == 2
    assert "--least: '10%': a slow-down below --margin 20% counts as none." in capsys.readouterr().err
    assert not Path("results/none").exists()


def test_one_fast_sample_of_the_slow_side_hides_nothing(faked: Path):
    """Load moves medians and not the fastest samples, so those must agree between separate runs. Here it disturbs both sides."""
    slowed(faked, 3.9, 3)
    run = read(faked)
    before = compare_sides(run).times.counts
    fast = run.measurements.assign(time_min_s=run.measurements.groupby("trial_id")["time_min_s"].transform("min"))
    assert before["SLOWER"] > 0
    assert compare_sides(replace(run, measurements=fast)).times.counts == before


def test_only_a_run_of_two_sides_is_compared_alone_and_it_joins_no_others(faked: Path, capsys):
    assert bench("run", "c.yaml", "--out", "results/plain") == 0
    assert bench("compare", "results/plain") == 2
    assert bench("report", "results/plain", str(faked)) == 2
    assert bench("verdict", str(faked)) == 2
    assert "it compares blocks with themselves" in capsys.readouterr().err


@pytest.mark.fault(
    "folders of others", "the tables of a run of `bench ab` hold rows twice, of one side alone, of no side, or any words",
    "an answer, or status 2 with one line",
)  # fmt: skip
@pytest.mark.parametrize("how", ["twice", "one side", "no side", "words"])
def test_odd_tables_of_two_sides_give_an_answer_or_one_line(faked: Path, capsys, how: str):
    run = read(faked)
    pairs, times = run.pairs, run.measurements
    if how == "twice":
        pairs = pd.concat([pairs, pairs])
    elif how == "one side":
        times = times[times["side"] == "a"]
    elif how == "no side":
        times = times.assign(side=None)
    else:
        pairs, times = (t.assign(block="rows-come-here", run_id="rows-come-here") for t in (pairs, times))
    write_tables(replace(run, pairs=pairs, measurements=times, samples=None), faked)
    (faked / "journal.jsonl").unlink()
    twice = how in ("twice", "no side")  # an arm has two rows
    assert bench("report", str(faked)) == (2 if twice else 0)
    assert bench("report", "--index", "results") == 0
    err = capsys.readouterr().err
    assert err.count("\n") == err.count("a row is there twice") == twice
    assert bench("compare", str(faked), "--fail-on", "slower", "--json") == (0 if how == "words" else 2)
    out, err = capsys.readouterr()
    assert err.count("\n") == (how != "words")
    if how == "words":
        assert json.loads(out)["a"].endswith("-a")


def drawn(run: Run, coin: np.random.Generator, slower: float, processes: int = 6) -> Run:
    """The run with times of another pair of installations: B slower by a share, pairs of processes scattered.

    As on two cores beside eight busy programs; the first part is common to all rows of a process.
    """
    rows = len(run.pairs)
    logs = math.log1p(slower) + coin.normal(0, 0.012, (1, processes)) + coin.normal(0, 0.042, (rows, processes))
    half = scipy.stats.t.ppf(0.975, processes - 1) * logs.std(axis=1, ddof=1) / math.sqrt(processes)
    texts = [" ".join(f"{i}:{math.exp(-v):.7g}" for i, v in enumerate(row, 1)) for row in logs]
    pairs = run.pairs.assign(
        speedup=np.exp(-logs.mean(axis=1)), precision=half, speedup_by_process=texts, processes=processes, status="ok"
    )
    times = run.measurements.assign(status="ok", processes=processes)
    of = dict(zip(pairs["trial_id"], np.exp(logs.mean(axis=1)), strict=True))
    moved = [of[t] if s == "b" else 1.0 for t, s in zip(times["trial_id"], times["side"], strict=True)]
    return replace(run, pairs=pairs, measurements=times.assign(time_min_s=moved, time_median_s=moved))


def test_five_percent_are_found_and_nothing_is_not(faked: Path):
    """Of 100 comparisons each: an alarm in at most 5 % without a change (within chance), over 80 % found at 5 % and all at 10 %."""
    run, coin = read(faked), np.random.default_rng(1)
    rates = {}
    for slower in (0.0, 0.05, 0.1):
        gates = [gate([compare_sides(drawn(run, coin, slower))]).answer for _ in range(100)]
        rates[slower] = gates.count("failed") / len(gates)
    assert rates[0.0] <= scipy.stats.binom.ppf(0.99, 100, 0.05) / 100
    assert rates[0.05] > 0.8
    assert rates[0.1] == 1.0


def test_a_side_is_a_python_folders_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    environment = tmp_path / "env"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    given = side("--b", str(environment), [tmp_path], ["ONEDNN_MAX_CPU_ISA=AVX2", "EMPTY="])
    assert given.python == str(environment / "bin" / "python")  # the link itself, or it is no environment
    assert given.path == (str(tmp_path),)
    surroundings = make(
        check({"name": "n", "experiments": {"a": {"blocks": ["standard"], "axes": {"threads": 1}}}}, "n"), ["cpu"], 2
    ).surroundings()[0]
    monkeypatch.setattr(os, "environ", {"ONEDNN_VERBOSE": "1", "PYTHONPATH": "mine"})
    env = launch.worker_environment(surroundings, side=given)
    monkeypatch.undo()
    assert env["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert "ONEDNN_VERBOSE" not in env
    assert env["PYTHONPATH"].split(os.pathsep)[:3] == [str(ROOT), str(tmp_path), "mine"]
    for options, rule in (
        (("nowhere/python", None, None), "no Python is there"),
        ((None, [tmp_path / "none"], None), "there is no such folder"),
        ((None, None, ["x"]), "it is no variable"),
        ((None, None, ["OMP_NUM_THREADS=3"]), "the run sets it"),
    ):
        with pytest.raises(UserError, match=rule):
            side("--a", *options)


def test_a_side_finds_the_package_and_not_what_is_installed_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installed as a wheel, the package lies beside this Python's torch, which no other Python may import."""
    installed = tmp_path / "site-packages"
    (installed / "torch").mkdir(parents=True)
    (installed / "bench").symlink_to(ROOT / "bench")
    monkeypatch.setattr(launch, "__file__", str(installed / "bench" / "run" / "launch.py"))
    where = Path(launch._package_alone())
    assert [path.name for path in where.iterdir()] == ["bench"]
    assert (where / "bench" / "run" / "launch.py").is_file()
