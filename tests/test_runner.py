"""Order, faults, interrupts and resuming: nothing lost, nothing twice. Most of it against a fake worker."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.runs.run_folder import read
from bench.run import launch, runner, session
from bench.run.journal import Journal
from bench.run.stopping import forecast
from bench.spec.config.config import load
from bench.spec.errors import UserError
from bench.spec.plan.plan import Surroundings, make
from tests import fake_worker
from tests.tiny_run import CONFIG, bench, ends_tidily, records, start, visits, wait_for


def ended(outcome: session.Outcome) -> tuple[int, int]:
    """The trials that were measured to the end, and those that failed."""
    return len({r["trial_id"] for r in records(outcome.folder, "settled")}) - outcome.failed, outcome.failed


def test_every_trial_is_measured_once_in_every_process_in_an_order_of_its_own(config: Path, tmp_path: Path, fake):
    fake()
    said: list[str] = []
    outcome = start(config, tmp_path / "run", said)
    assert ended(outcome) == (6, 0)
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


@pytest.mark.fault(
    "killed", "a worker crashes, hangs, runs out of memory or loses its device in a trial",
    "that trial is one row with its status and reason; every other trial is measured",
)  # fmt: skip
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
    assert ended(outcome) == (5, 1)
    bad = [r for r in records(outcome.folder, "visit") if r["status"] != "ok"]
    assert len(bad) == 1
    assert bad[0]["status"] == status
    assert words in bad[0]["status_detail"]
    assert "c32-k5" in bad[0]["trial_id"]
    assert len(visits(outcome.folder)) == 5 * 3 + 1


def test_second_opinions_are_asked_once_for_the_chosen_trials_after_everything_else(config, tmp_path, fake):
    fake()
    outcome = start(config, tmp_path / "run", second_opinions=0.5)
    told = records(outcome.folder, "opinion")
    assert ended(outcome) == (6, 0)
    assert len({r["trial_id"] for r in told}) == len(told) == 3
    kinds = [json.loads(line)["type"] for line in (outcome.folder / "journal.jsonl").read_text().splitlines()]
    assert kinds.index("opinion") > max(i for i, kind in enumerate(kinds) if kind in ("visit", "settled"))
    assert not records(start(config, tmp_path / "none").folder, "opinion")


def test_no_process_begins_that_would_end_after_the_minutes_and_the_first_always_does(config, tmp_path, fake):
    fake()
    said: list[str] = []
    outcome = start(config, tmp_path / "run", said, minutes=1e-6)
    assert ended(outcome) == (6, 0)
    assert set(visits(outcome.folder)) == {(t.trial_id, 1) for t in read(outcome.folder).plan.trials}
    assert {r["why"] for r in records(outcome.folder, "settled")} == {"time"}
    left = [int(m[1]) for line in said if (m := re.search(r"about (\d+) s left", line))]
    assert len(left) == 1, "the process that runs, and no trial that ends with what it has"
    assert all(s > 0 for s in left), "the first processes run whatever the limit"
    assert any("minutes are over: 6 trials end" in line for line in said)
    assert (outcome.folder / "DONE").exists()
    with pytest.raises(UserError, match="complete"):
        runner.resume(outcome.folder, said.append)
    assert len(visits(start(config, tmp_path / "enough", minutes=60).folder)) == 18


START_S, VISIT_S = 20.0, 4.0  # a plan expects 3 and 0.95 s


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch):
    """Workers whose starts and visits take START_S and VISIT_S by a clock that nothing else moves."""
    now = [0.0]

    class Clocked:
        process = SimpleNamespace(pid=1)
        log_at = 0

        def __init__(self, surroundings: Surroundings, job: dict, *_: object) -> None:
            self.job = job

        def answers(self, *_: float) -> Iterator[dict]:
            timed = self.job["kind"] == "time"
            now[0] += START_S if timed else 0.0
            for trial in self.job["trials"]:
                yield {"type": "begin", "trial_id": trial["trial_id"], "log_at": 0}
                now[0] += VISIT_S if timed else 0.0
                told = fake_worker.visit(trial, self.job["replicate"]) if timed else {"status": "ok", "arms": []}
                yield told | {"type": "visit" if timed else "inspect", "trial_id": trial["trial_id"]}

        def end(self) -> int:
            return 0

    monkeypatch.setattr(session, "Worker", Clocked)
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(session, "duration", lambda seconds: f"{seconds} s")
    return now


@pytest.mark.parametrize("threads", ["1", "[1, 2]"])
def test_the_time_left_is_right_from_the_first_visit_on_where_all_takes_longer_than_planned(
    config: Path, tmp_path: Path, fake, slow_clock: list[float], monkeypatch: pytest.MonkeyPatch, threads: str
):
    fake()
    config.write_text(CONFIG.replace("threads: 1", f"threads: {threads}"))
    monkeypatch.setattr(runner, "usable_cores", lambda: 2)
    told: list[tuple[float, float]] = []

    def tell(line: str) -> None:
        if m := re.search(r"about (\d+) s left", line):
            told.append((slow_clock[0], float(m[1])))

    runner.run(config, ["cpu"], tmp_path / "run", [], ["bench"], tell)
    (_, first), *later = told
    assert first < 0.4 * slow_clock[0], "the plan knows no better"
    begun = [(now, left) for now, left in later if now > 0]
    assert len(begun) > 6
    for now, left in begun:
        assert left == pytest.approx(slow_clock[0] - now, abs=1)


@given(st.lists(st.tuples(st.floats(0.01, 1e3), st.floats(0.01, 1e3)), min_size=1), st.lists(st.floats(0.01, 1e3)))
def test_more_of_the_same_never_takes_less_than_what_was_seen(done: list[tuple[float, float]], planned: list[float]):
    told = forecast(done, planned)
    assert told >= 0.999 * len(planned) * sum(took for took, _ in done) / len(done)
    assert told >= 0.999 * sum(planned) * sum(took for took, _ in done) / sum(thought for _, thought in done)
    assert forecast([], planned) == sum(planned)


def test_the_minutes_of_earlier_sessions_count(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run", minutes=1).folder
    journal = (folder / "journal.jsonl").read_text().splitlines()
    kept = [
        line for line in journal if json.loads(line)["type"] != "settled" and json.loads(line).get("replicate") != 3
    ]
    kept[-1] = json.dumps(json.loads(kept[-1]) | {"type": "interrupt", "wall_s": 61.0})
    (folder / "journal.jsonl").write_text("\n".join(kept) + "\n")
    (folder / "DONE").unlink()
    runner.resume(folder, lambda _: None)
    assert {replicate for _, replicate in visits(folder)} == {1, 2}
    assert {r["why"] for r in records(folder, "settled")} == {"time"}


def test_what_the_measured_speed_makes_too_slow_is_skipped_with_the_reason(config: Path, tmp_path: Path, fake):
    fake(speed=1e9)  # c64-k5 is 84 MMACs in both blocks, of which a visit makes 28: 4.7 GFLOP at 0.4 GFLOP/s
    folder = start(config, tmp_path / "run", visit_seconds=10).folder
    skipped = {t.trial_id.split("/")[1].split("-28px")[0]: t.skip for t in read(folder).plan.trials if t.skip}
    assert skipped == {
        "c64-k5": "its fewest rounds would take over visit_seconds, 10 s, by the measured speed, a convolution at so much"
    }
    assert len(visits(folder)) == 5 * 3
    with pytest.raises(UserError, match="every trial is skipped: its fewest rounds"):
        start(config, tmp_path / "none", visit_seconds=0.001)
    assert not (tmp_path / "none").exists()


@pytest.mark.fault(
    "killed", "a worker dies in a second opinion, or while it measures peak rates",
    "no trial is lost, and neither is asked for again",
)  # fmt: skip
@pytest.mark.parametrize(("what", "status"), [("crash", "crash"), ("oom", "oom"), ("fault", "crash")])
def test_a_failed_opinion_costs_nothing_else_and_is_not_asked_for_again(config, tmp_path, fake, what, status):
    fake(opinion=what)
    said: list[str] = []
    outcome = start(config, tmp_path / "run", said, second_opinions=0.3)
    assert ended(outcome) == (6, 0)
    told = records(outcome.folder, "opinion")
    assert [r["status"] for r in told] == [status] * 2
    assert sum(line.startswith("  second opinions on a/c") for line in said) == 2
    assert set(visits(outcome.folder).values()) == {1}
    (outcome.folder / "DONE").unlink()
    fake()
    runner.resume(outcome.folder, lambda _: None)
    assert records(outcome.folder, "opinion") == told


def test_a_trial_that_failed_gets_no_second_opinion(config, tmp_path, fake):
    fake(**{"c32-k5": "oom"})
    outcome = start(config, tmp_path / "run", second_opinions=1)
    told = {r["trial_id"] for r in records(outcome.folder, "opinion")}
    assert len(told) == 5
    assert not any("c32-k5" in trial_id for trial_id in told)


def test_resume_asks_for_the_opinions_that_are_due_and_no_others(config, tmp_path, fake):
    fake()
    whole = start(config, tmp_path / "whole", second_opinions=1).folder
    lines = (whole / "journal.jsonl").read_text().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if '"type":"opinion"' in line)
    for kept in (0, 2, 6):
        folder = tmp_path / f"kept{kept}"
        folder.mkdir()
        for name in ("plan.json", "environment.json", "config.yaml"):
            (folder / name).write_bytes((whole / name).read_bytes())
        (folder / "journal.jsonl").write_text("".join(lines[: first + kept]))
        runner.resume(folder, lambda _: None)
        assert Counter(r["trial_id"] for r in records(folder, "opinion")) == Counter(
            r["trial_id"] for r in records(whole, "opinion")
        )
        assert visits(folder) == visits(whole)


def test_the_first_three_processes_measure_roofs_and_the_higher_ones_stand(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run", processes_max=5, processes_min=5).folder
    told = records(folder, "roof")
    assert [r["replicate"] for r in told] == [1, 2, 3]
    assert {(r["surroundings"], r["dtype"]) for r in told} == {("cpu, 1 thread", "fp32")}
    run = read(folder)
    assert run.roofs is not None
    (roof,) = run.roofs.to_dict("records")
    assert (roof["device"], roof["threads"], roof["dtype"], roof["processes"]) == ("cpu", 1, "fp32", 3)
    assert (roof["matmul_flop_per_s"], roof["cache_bytes_per_s"], roof["memory_bytes_per_s"]) == (3e11, 1e11, 1e10)
    assert pd.isna(roof["conv_flop_per_s"])
    assert "matmul_flop_per_s: 3 wide" in roof["roof_detail"]
    assert "not implemented for 'Half'" in roof["roof_detail"]


@pytest.mark.fault(
    "killed", "a worker dies in a second opinion, or while it measures peak rates",
    "no trial is lost, and neither is asked for again",
)  # fmt: skip
def test_a_worker_that_dies_of_its_roofs_costs_no_trial_and_is_not_asked_again(config: Path, tmp_path: Path, fake):
    fake(roof="dies")
    outcome = start(config, tmp_path / "run")
    assert ended(outcome) == (6, 0)
    assert set(visits(outcome.folder).values()) == {1}
    assert not records(outcome.folder, "roof")


def test_roofs_take_nothing_from_the_time_that_a_trial_may_take(config: Path, tmp_path: Path, fake):
    fake(roof="slow")
    outcome = start(config, tmp_path / "run", timeout_seconds=1, processes_min=1, processes_max=1)
    assert ended(outcome) == (6, 0)
    assert len(records(outcome.folder, "roof")) == 1
    assert len([r for r in records(outcome.folder, "start") if r["kind"] == "time"]) == 1


@pytest.mark.fault(
    "killed", "a worker dies before the run begins",
    "one line with its last words and where its output is; no folder is written",
)  # fmt: skip
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("dies", "exit status 3: ImportError: libcudnn.so.9: cannot open shared object file"),
        ("aborts", "killed by signal 6 (SIGABRT): terminate called after throwing an instance of 'c10::Error'"),
    ],
)
def test_a_probe_that_dies_is_one_line_with_its_last_words_and_where_the_others_are(
    config, tmp_path, fake, monkeypatch, how, why
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fake(probe=how)
    with pytest.raises(UserError) as told:
        start(config, tmp_path / "run")
    assert str(told.value).startswith(f"DEVICE=cpu: a worker can't start: {why}. Its output is in {tmp_path}/")
    assert str(told.value).endswith(f"Does torch start alone? {sys.executable} -c 'import torch'.")
    (log,) = tmp_path.glob("bench-probe-*.log")
    assert why.partition(": ")[2] in log.read_text()
    assert not (tmp_path / "run").exists()
    log.unlink()
    fake()
    start(config, tmp_path / "run")
    assert not list(tmp_path.glob("bench-probe-*"))


def test_accelerators_are_asked_before_the_cpu_and_recorded_in_the_order_that_was_given(config, tmp_path, monkeypatch):
    asked = []

    def answers(place: Surroundings, *_, **__) -> dict:
        asked.append(place.device)
        return {"device": place.device}

    monkeypatch.setattr(runner, "probe", answers)
    plan = make(load(config)[0], ["cpu", "cuda:1", "xpu:0"], 1)
    assert list(runner._probe(plan)[0]["devices"]) == ["cpu", "cuda:1", "xpu:0"]
    assert asked == ["cuda:1", "xpu:0", "cpu"]


def test_a_trial_that_compiles_may_be_silent_for_longer(config, tmp_path, fake, monkeypatch):
    fake()
    waited = []
    answers = launch.Worker.answers
    monkeypatch.setattr(launch.Worker, "answers", lambda self, start_s, trial_s: waited.append(trial_s) or answers(self, start_s, trial_s))  # fmt: skip
    for mode, least, most in (("eager", 3, 3), ("compile", 100, 1000)):
        waited.clear()
        start(config, tmp_path / mode, mode=mode)
        assert all(least <= seconds <= most for seconds in waited[1:]), waited


@pytest.mark.fault(
    "killed", "workers end three times in a row before their first trial",
    "the run ends with one line that names the log and `--resume`",
)  # fmt: skip
def test_a_worker_that_cannot_start_stops_the_run_with_one_line(config: Path, tmp_path: Path, fake):
    fake(start="dies")
    with pytest.raises(UserError, match="can't start: killed by signal 6") as told:
        start(config, tmp_path / "run")
    assert "--resume" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.fault(
    "killed", "a run is killed amidst a line of the journal",
    "the cut line is left out, and `--resume` measures what is missing",
)  # fmt: skip
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


@pytest.mark.fault(
    "killed", "a run with a failed trial is resumed",
    "the row keeps its status; the trial is not tried again",
)  # fmt: skip
def test_a_failed_trial_is_not_tried_again_on_resume(config: Path, tmp_path: Path, fake):
    fake(**{"c16-k3": "crash"})
    folder = start(config, tmp_path / "run").folder
    (folder / "DONE").unlink()
    fake()
    runner.resume(folder, lambda _: None)
    assert [r["status"] for r in records(folder, "visit") if "c16-k3" in r["trial_id"]] == ["crash"]


@pytest.mark.fault(
    "torch and devices", "a run is resumed with another torch, or is complete, or is no run",
    "one line names both versions, or what the folder is",
)  # fmt: skip
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


@pytest.mark.fault(
    "folders of others", "two runs, or two sessions of one, want the same folder at the same time",
    "the second is refused by name before it writes",
)  # fmt: skip
def test_two_runs_never_share_a_folder(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run").folder
    with pytest.raises(UserError, match="it exists and is not empty"):
        start(config, folder)
    held = Journal(folder / "journal.jsonl")
    (folder / "DONE").unlink()
    with pytest.raises(UserError, match="another run"):
        runner.resume(folder, lambda _: None)
    held.close()


@pytest.mark.fault(
    "folders of others", "two runs, or two sessions of one, want the same folder at the same time",
    "the second is refused by name before it writes",
)  # fmt: skip
@pytest.mark.parametrize(
    ("busy", "why"), [(False, "it exists and is not empty"), (True, "another run is writing there")]
)
def test_of_two_runs_that_found_one_folder_empty_the_second_writes_nothing(
    config: Path, tmp_path: Path, fake, monkeypatch: pytest.MonkeyPatch, busy: bool, why: str
):
    fake()
    out, probe, left, held = tmp_path / "run", runner.probe, {}, []

    def overtaken(*given: object, **named: object) -> dict:
        """While this run probes, another one, of another config, takes the folder: it is `busy` there, or at its end."""
        monkeypatch.setattr(runner, "probe", probe)
        start(config, out, processes_max=4)
        left.update({path: path.read_bytes() for path in out.rglob("*") if path.is_file()})
        held.extend([Journal(out / "journal.jsonl")] if busy else [])
        return probe(*given, **named)

    monkeypatch.setattr(runner, "probe", overtaken)
    with pytest.raises(UserError, match=why):
        start(config, out)
    for journal in held:
        journal.close()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == left
    assert read(out).timing.processes_max == 4


@pytest.mark.fault(
    "killed", "a journal holds a visit twice",
    "it counts once",
)  # fmt: skip
def test_a_process_whose_visit_stands_twice_counts_once(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run").folder
    lines = (folder / "journal.jsonl").read_text().splitlines()
    first = [
        line for line in lines if json.loads(line).get("replicate", 0) <= 1 and json.loads(line)["type"] != "settled"
    ]
    twice = [line for line in first if json.loads(line)["type"] == "visit"][:1] * 2
    (folder / "journal.jsonl").write_text("\n".join([*first, *twice]) + "\n")
    (folder / "DONE").unlink()
    runner.resume(folder, lambda _: None)
    assert {replicate for _, replicate in visits(folder)} == {1, 2, 3}
    assert len(visits(folder)) == 18
    assert (read(folder).pairs["processes"] == 3).all()


@pytest.mark.fault(
    "folders of others", "a journal is of a newer bench",
    "it is refused, and stays as it is",
)  # fmt: skip
def test_a_newer_schema_is_refused_before_anything_is_written(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run").folder
    (folder / "DONE").unlink()
    journal = folder / "journal.jsonl"
    newer = journal.read_text().replace('"schema_version":2', '"schema_version":3') + '{"type":"torn'
    journal.write_text(newer)
    with pytest.raises(UserError, match=r"journal\.jsonl:1: 3: the newest schema that this program reads is 2"):
        runner.resume(folder, lambda _: None)
    assert journal.read_text() == newer
    assert not (folder / "DONE").exists()


@pytest.mark.fault(
    "folders of others", "plan.json, environment.json or config.yaml was edited since the run began",
    "it is refused by name; of the config the line has the difference",
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("plan.json", '"c_out": 16', '"c_out": 17', ""),
        ("environment.json", '"torch": "fake"', '"torch": "faster"', ""),
        ("config.yaml", "kernel:\n      - 3", "kernel:\n      - 1", ": - - 3; + - 1"),
    ],
)
def test_a_file_edited_since_the_run_began_is_refused_by_name(config, tmp_path, fake, name: str, old, new, words: str):
    fake()
    folder = start(config, tmp_path / "run").folder
    (folder / "DONE").unlink()
    before = (folder / "journal.jsonl").read_bytes()
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    for reader in (lambda: runner.resume(folder, lambda _: None), lambda: read(folder)):
        with pytest.raises(UserError, match=f"{name}: it was edited since the run began{re.escape(words)}"):
            reader()
    assert (folder / "journal.jsonl").read_bytes() == before
    (folder / name).write_text(text)
    runner.resume(folder, lambda _: None)


@pytest.mark.fault(
    "killed", "a run is killed before its first record",
    "`--resume` begins it",
)  # fmt: skip
def test_a_run_killed_before_its_first_record_begins_on_resume(config: Path, tmp_path: Path, fake):
    fake()
    folder = start(config, tmp_path / "run").folder
    began = records(folder, "run")
    (folder / "DONE").unlink()
    (folder / "journal.jsonl").write_text("")
    runner.resume(folder, lambda _: None)
    (again,) = records(folder, "run")
    assert (again["run_id"], again["sha256"]) == (began[0]["run_id"], began[0]["sha256"])
    assert len(read(folder).pairs) == 6


@pytest.mark.fault(
    "disk", "the disk is full while a run writes its config, plan, environment or DONE",
    "the file is there whole or not at all, the line names it, and the same command or `--resume` goes on",
)  # fmt: skip
def test_plan_environment_and_config_appear_whole_or_not_at_all(
    config, tmp_path, fake, monkeypatch: pytest.MonkeyPatch
):
    fake()
    monkeypatch.setattr(os, "fdopen", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(
        UserError, match=r"config\.yaml: it can't be read or written: No space left.* repeat the command"
    ):
        start(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["journal.jsonl"]


def test_the_journal_names_the_line_that_is_broken(tmp_path: Path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"type":"run","run_id":"a","schema_version":1}\nrubbish\n{"type":"end"}\n')
    journal = Journal(path)
    with pytest.raises(UserError, match=r"journal\.jsonl:2"):
        journal.records({})
    journal.close()


def test_the_runner_sleeps_while_a_worker_measures(config: Path, tmp_path: Path, fake):
    fake(**{"*": "ok", "c": "slow"})
    before, start_ = time.process_time(), time.monotonic()
    start(config, tmp_path / "run")
    wall = time.monotonic() - start_
    assert wall > 18 * 0.3
    assert (time.process_time() - before) / wall < 0.5  # a loop that asks again and again would take all of it


def test_a_workers_environment_is_the_surroundings_alone(monkeypatch: pytest.MonkeyPatch):
    base = {"OMP_NUM_THREADS": "64", "MALLOC_TRIM_THRESHOLD_": "1", "OMP_WAIT_POLICY": "active", "PATH": "/bin"}
    monkeypatch.setattr(os, "environ", base)
    env = launch.worker_environment(Surroundings("cpu", 2, "retain", "default"))
    assert env["OMP_NUM_THREADS"] == "2"
    assert int(env["MALLOC_TRIM_THRESHOLD_"]) >= 1 << 29
    assert "OMP_WAIT_POLICY" not in env
    env = launch.worker_environment(Surroundings("cpu", 1, "default", "passive"))
    assert not [k for k in env if k.startswith("MALLOC_")]
    assert env["OMP_WAIT_POLICY"] == "passive"
    assert env["PATH"] == "/bin"
    base = {"OMP_PROC_BIND": "true", "ONEDNN_MAX_CPU_ISA": "SSE41", "KMP_AFFINITY": "none"}
    monkeypatch.setattr(os, "environ", base)
    assert not set(base) & set(launch.worker_environment(Surroundings("cpu", 1, "retain", "default")))


def test_what_would_make_a_card_slow_or_compile_otherwise_reaches_no_worker(monkeypatch: pytest.MonkeyPatch):
    caller = (
        "CUDA_LAUNCH_BLOCKING NVIDIA_TF32_OVERRIDE TORCH_ALLOW_TF32_CUBLAS_OVERRIDE PYTORCH_NO_CUDA_MEMORY_CACHING"
        " PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF PYTORCH_HIP_ALLOC_CONF CUDNN_LOGINFO_DBG CUBLAS_WORKSPACE_CONFIG"
        " TORCHDYNAMO_DISABLE TORCHDYNAMO_SUPPRESS_ERRORS TORCH_COMPILE_DISABLE TORCHINDUCTOR_MAX_AUTOTUNE"
        " TORCHINDUCTOR_COMPILE_THREADS PYTORCH_ENABLE_MPS_FALLBACK TORCH_CUDNN_V8_API_DISABLED"
    ).split()
    kept = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    kept |= {"TORCH_LOGS": "recompiles", "PYTORCH_KERNEL_CACHE_PATH": "/k", "TORCH_HOME": "/t"}
    beside = {"HOME": "/h", "NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_REQUIRE_CUDA": "cuda>=13.0"}  # a container's
    base = dict.fromkeys(caller, "1") | kept | beside
    monkeypatch.setattr(os, "environ", base)
    env = launch.worker_environment(Surroundings("cuda:0", 2, "retain", "default"))
    assert {k: v for k, v in env.items() if k in base} == kept | beside | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}
    assert launch.not_passed_on(base) == sorted(caller)
    assert kept.items() <= launch.recorded(env).items()
    assert not beside.keys() & launch.recorded(env).keys()
    assert launch.passed_on(base) == []


def test_what_workers_do_not_get_is_said(config: Path, tmp_path: Path, fake, monkeypatch: pytest.MonkeyPatch):
    fake()
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    said: list[str] = []
    start(config, tmp_path / "run", said)
    assert any("OMP_PROC_BIND" in line for line in said)


@pytest.mark.fault(
    "killed", "the runner is killed (SIGKILL) 50 times at random, also amidst a line of the journal, and resumed each time",
    "in the end the run has exactly the visits of an undisturbed one, with the same samples, none twice",
)  # fmt: skip
def test_kill_nine_of_the_runner_then_resume(config: Path, tmp_path: Path):
    out = tmp_path / "run"
    process = bench("run", str(config), "--out", str(out), shown=False, BENCH_FAKE='{"c": "slow"}')
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


@pytest.mark.fault(
    "killed", "Ctrl-C in a run",
    "status 130, a line with `--resume`, and tables of what was measured",
)  # fmt: skip
def test_an_interrupt_ends_tidily_and_says_how_to_resume(config: Path, tmp_path: Path):
    out = tmp_path / "run"
    process = bench("run", str(config), "--out", str(out), BENCH_FAKE='{"c": "slower"}')
    wait_for(out / "journal.jsonl", "visit", 2)
    ends_tidily(process, out, signal.SIGINT)
    assert len((out / "measurements.csv").read_text().splitlines()) == 1 + 12
