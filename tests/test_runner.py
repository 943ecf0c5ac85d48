"""Order, faults, interrupts and resuming: nothing lost, nothing twice. Most of it against a fake worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.run import launch, runner
from bench.run.journal import Journal
from bench.spec.errors import UserError
from bench.spec.plan import Surroundings

ROOT = Path(__file__).parents[1]
CONFIG = """
name: tiny
timing: {processes_min: 3, processes_max: 3, timeout_seconds: 3}
experiments:
  a:
    blocks: [standard, separable]
    axes: {channels: [16, 32, 64], kernel: [3, 5], threads: 1}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    return lambda **what: monkeypatch.setenv("BENCH_FAKE", json.dumps(what))


def start(config: Path, out: Path, said: list[str] | None = None) -> runner.Outcome:
    return runner.run(config, ["cpu"], out, [], ["bench", "run"], (said if said is not None else []).append)


def records(folder: Path, kind: str) -> list[dict]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["type"] == kind]


def visits(folder: Path) -> Counter:
    return Counter((r["trial_id"], r["replicate"]) for r in records(folder, "visit"))


def test_every_trial_is_measured_once_in_every_process_in_an_order_of_its_own(config: Path, tmp_path: Path, fake):
    fake()
    said: list[str] = []
    outcome = start(config, tmp_path / "run", said)
    assert (outcome.measured, outcome.failed) == (6, 0)
    assert set(visits(outcome.folder).values()) == {1}
    assert len(visits(outcome.folder)) == 18
    orders = {tuple(r["trial_id"] for r in records(outcome.folder, "visit") if r["replicate"] == n) for n in (1, 2, 3)}
    assert len(orders) == 3
    assert {r["why"] for r in records(outcome.folder, "settled")} <= {"precision", "processes"}
    assert sum("separable 3" in line or "separable 2.9" in line for line in said) == 6
    assert all("\n" not in line for line in said)
    assert (outcome.folder / "DONE").exists()


def test_the_same_seed_gives_the_same_order(config: Path, tmp_path: Path, fake):
    fake()
    folders = [start(config, tmp_path / name).folder for name in ("one", "two")]
    first, second = ([(r["trial_id"], r["replicate"]) for r in records(f, "visit")] for f in folders)
    assert first == second


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("crash", "crash", "signal 9"),
        ("hang", "timeout", "no answer within"),
        ("oom", "oom", "planted"),
        ("nonfinite", "nonfinite", "planted"),
        ("fault", "crash", "device fault"),
    ],
)
def test_a_fault_costs_one_trial(config: Path, tmp_path: Path, fake, what: str, status: str, words: str):
    fake(**{"c32-k5": what})
    begun = time.monotonic()
    outcome = start(config, tmp_path / "run")
    assert time.monotonic() - begun < 60, "a hang costs the trial's own time-out, here 3 s"
    assert (outcome.measured, outcome.failed) == (5, 1)
    bad = [r for r in records(outcome.folder, "visit") if r["status"] != "ok"]
    assert len(bad) == 1
    assert bad[0]["status"] == status
    assert words in bad[0]["status_detail"]
    assert "c32-k5" in bad[0]["trial_id"]
    assert len(visits(outcome.folder)) == 5 * 3 + 1


def test_a_worker_that_cannot_start_stops_the_run_with_one_line(config: Path, tmp_path: Path, fake):
    fake(start="dies")
    with pytest.raises(UserError, match="can't start: killed by signal 6") as told:
        start(config, tmp_path / "run")
    assert "--resume" in str(told.value)
    assert "\n" not in str(told.value)


def test_resume_goes_on_where_a_killed_run_stopped(config: Path, tmp_path: Path, fake):
    fake()
    whole = start(config, tmp_path / "whole").folder
    lines = (whole / "journal.jsonl").read_text().splitlines(keepends=True)
    for cut in (3, len(lines) // 2, len(lines) - 2):
        folder = tmp_path / f"cut{cut}"
        folder.mkdir()
        for name in ("plan.json", "environment.json", "config.yaml"):
            (folder / name).write_bytes((whole / name).read_bytes())
        (folder / "journal.jsonl").write_text("".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2])
        runner.resume(folder, lambda _: None)
        assert visits(folder) == visits(whole)
        assert (folder / "DONE").exists()


def test_a_failed_trial_is_not_tried_again_on_resume(config: Path, tmp_path: Path, fake):
    fake(**{"c16-k3": "crash"})
    folder = start(config, tmp_path / "run").folder
    (folder / "DONE").unlink()
    fake()
    runner.resume(folder, lambda _: None)
    assert [r["status"] for r in records(folder, "visit") if "c16-k3" in r["trial_id"]] == ["crash"]


def test_resume_refuses_what_it_can_not_continue(config: Path, tmp_path: Path, fake):
    fake()
    with pytest.raises(UserError, match="not the folder of a run"):
        runner.resume(tmp_path, lambda _: None)
    folder = start(config, tmp_path / "run").folder
    with pytest.raises(UserError, match="complete"):
        runner.resume(folder, lambda _: None)
    (folder / "DONE").unlink()
    fake(torch="another")
    with pytest.raises(UserError, match="measured with torch on cpu fake, here it is another"):
        runner.resume(folder, lambda _: None)


def test_two_runs_never_share_a_folder(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run").folder
    with pytest.raises(UserError, match="already and not empty"):
        start(config, folder)
    held = Journal(folder / "journal.jsonl")
    (folder / "DONE").unlink()
    with pytest.raises(UserError, match="another run"):
        runner.resume(folder, lambda _: None)
    held.close()


def test_the_journal_names_the_line_that_is_broken(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"type":"run"}\nrubbish\n{"type":"end"}\n')
    journal = Journal(path)
    with pytest.raises(UserError, match=r"journal\.jsonl:2"):
        journal.records()
    journal.close()


def test_the_runner_sleeps_while_a_worker_measures(config: Path, tmp_path: Path, fake):
    fake(**{"*": "ok", "c": "slow"})
    before, start_ = time.process_time(), time.monotonic()
    start(config, tmp_path / "run")
    wall = time.monotonic() - start_
    assert wall > 18 * 0.3
    assert (time.process_time() - before) / wall < 0.10  # starting workers included; idle waiting itself is free


def test_a_workers_environment_is_the_surroundings_alone():
    base = {"OMP_NUM_THREADS": "64", "MALLOC_TRIM_THRESHOLD_": "1", "OMP_WAIT_POLICY": "active", "PATH": "/bin"}
    env = launch.worker_environment(Surroundings("cpu", 2, "retain", "default"), base)
    assert env["OMP_NUM_THREADS"] == "2"
    assert int(env["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 29
    assert "OMP_WAIT_POLICY" not in env
    env = launch.worker_environment(Surroundings("cpu", 1, "default", "passive"), base)
    assert not [k for k in env if k.startswith("MALLOC_")]
    assert env["OMP_WAIT_POLICY"] == "passive"
    assert env["PATH"] == "/bin"
    base = {"OMP_PROC_BIND": "true", "ONEDNN_MAX_CPU_ISA": "SSE41", "KMP_AFFINITY": "none"}
    assert not set(base) & set(launch.worker_environment(Surroundings("cpu", 1, "retain", "default"), base))


def test_what_workers_do_not_get_is_said(config: Path, tmp_path: Path, fake, monkeypatch: pytest.MonkeyPatch):
    fake()
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    said: list[str] = []
    start(config, tmp_path / "run", said)
    assert any("OMP_PROC_BIND" in line for line in said)


def bench(*words: str, **env: str) -> subprocess.Popen[str]:
    code = "import sys; from bench.run import launch; launch.WORKER='tests.fake_worker'; from bench.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, text=True, env={**os.environ, **env},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_for(path: Path, kind: str, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and path.read_text().count(f'"type":"{kind}"') >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never held {count} records of {kind}")


def test_kill_nine_of_the_runner_then_resume(config: Path, tmp_path: Path):
    out = tmp_path / "run"
    process = bench("run", str(config), "--out", str(out), BENCH_FAKE='{"c": "slow"}')
    wait_for(out / "journal.jsonl", "visit", 5)
    process.kill()
    process.communicate()
    before = visits(out)
    done = bench("run", "--resume", str(out))
    _, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    after = visits(out)
    assert before <= after
    assert len(after) == 18
    assert set(after.values()) == {1}


def test_an_interrupt_ends_tidily_and_says_how_to_resume(config: Path, tmp_path: Path):
    out = tmp_path / "run"
    process = bench("run", str(config), "--out", str(out), BENCH_FAKE='{"c": "slow"}')
    wait_for(out / "journal.jsonl", "visit", 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"bench run --resume {out}" in err
    assert "Traceback" not in err
    assert records(out, "interrupt")
    assert (out / "measurements.csv").exists()
    assert len((out / "measurements.csv").read_text().splitlines()) == 1 + 12
