"""Runs in time: a planted change is found where it was planted, and machines that did not change are let be."""

from __future__ import annotations

import io
import json
import math
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import cli
from bench.analyse.compare.change_points import History, change_points, history_of
from bench.analyse.runs import run_folder
from bench.show.export.compare import history_to_dict
from bench.show.plots.compare import of_history
from bench.show.text.history import print_history
from bench.show.text.history import title as history_title
from bench.spec.errors import UserError
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, half_the_promise, write_run

DATA = config({"channels": [16, 64], "threads": [1]})


def series(
    rng: np.random.Generator, runs: int, rows: int, at: int = 0, by: float = 0.0, share: float = 1.0
) -> np.ndarray:
    """ln values that differ from run to run by 2 %; from run `at` on, a share of the rows by `by` more."""
    logs = 1 + rng.normal(0, 0.02, (runs, rows))
    logs[at:, : round(share * rows)] += by
    return logs


@pytest.mark.parametrize("runs", [12, 20])
def test_histories_without_a_change_are_seldom_split(runs: int) -> None:
    rng = np.random.default_rng(1)
    split = sum(bool(change_points(series(rng, runs, 5), permutations=99)) for _ in range(200))
    assert split <= 18  # of 200 at 5 %: the 98.5 % point of the binomial


@pytest.mark.parametrize(("at", "share"), [(5, 1.0), (9, 0.3), (14, 0.5)])
def test_a_planted_change_is_found_where_it_is(at: int, share: float) -> None:
    found = [
        change_points(series(np.random.default_rng(s), 18, 20, at, -0.1, share), permutations=99) for s in range(10)
    ]
    assert sum(at in [place for place, _ in points] for points in found) == 10
    assert sum(len(points) for points in found) <= 12


@pytest.mark.parametrize("at", range(4, 6))
def test_nine_runs_are_enough_for_a_change_in_the_middle(at: int) -> None:
    assert [place for place, _ in change_points(series(np.random.default_rng(1), 9, 5, at, -0.2))] == [at]


def test_two_changes_are_both_found() -> None:
    logs = series(np.random.default_rng(3), 24, 10, 8, 0.1)
    logs[16:] -= 0.1
    assert [place for place, _ in change_points(logs)] == [8, 16]


def test_a_step_that_every_run_repeats_to_the_digit_is_no_division_by_zero() -> None:
    logs = np.zeros((10, 3))
    assert change_points(logs) == []
    logs[5:, 0] = 0.1
    assert [place for place, _ in change_points(logs)] == [5]


def test_few_runs_show_no_change_however_large_it_is() -> None:
    assert change_points(series(np.random.default_rng(1), 8, 5, 4, 1.0)) == []


# ---------------------------------------------------------------- runs


def slower(trial: Trial, arm: Arm) -> float:
    return half_the_promise(trial, arm) * (0.8 if trial.shape.c_in == 64 else 1.0)


def written(folder: Path, day: int, story: Story, **more: Any) -> Path:
    facts = {
        "started_utc": f"2026-01-{day:02}T00:00:00+00:00",
        "torch": "2.13.0" if day < 7 else "2.14.0",
        **more.pop("facts", {}),
    }
    write_run(folder / f"{day:02}", story, DATA, environment=facts, **more)
    return folder / f"{day:02}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[run_folder.Run]:
    """Twelve days, the block of 64 channels 20 % slower from the seventh on; named in no order."""
    folder = tmp_path_factory.mktemp("history")
    days = [
        written(folder, d, Story(slower if d >= 7 else half_the_promise, run_id=f"day {d}", seed=d))
        for d in range(1, 13)
    ]
    return [run_folder.read(f) for f in reversed(days)]


def test_the_change_is_named_with_its_rows_and_with_what_else_changed(runs: list[run_folder.Run]) -> None:
    found = history_of(runs)
    assert [r.run_id for r in found.runs] == [f"day {d}" for d in range(1, 13)]
    (change,) = found.changes
    assert found.runs[change.at].run_id == "day 7"
    assert math.exp(change.mean.mean) == pytest.approx(math.sqrt(0.8), rel=0.02)
    assert [(s.row["c_in"], s.verdict) for s in change.shifts] == [
        (16, "SAME"),
        (16, "SAME"),
        (64, "SLOWER"),
        (64, "SLOWER"),
    ]
    assert [(d.name, d.a, d.b) for d in change.differences] == [("torch", "2.13.0", "2.14.0")]
    text = _shown(found)
    assert re.search(
        r"From day 7 on: 0\.90x \[.*\] of before, 1\d % lower \(p = 0\.0\d\d\)\. Rows: 2 SLOWER, 2 SAME\.", text
    )
    assert "Changed there too: torch: 2.13.0 before, 2.14.0 after." in text
    assert history_title(found).startswith("Speedups are 1")
    assert "lower from 2026-01-07 00:00 on" in history_title(found)


def test_times_have_a_history_too(runs: list[run_folder.Run]) -> None:
    found = history_of(runs, "time")
    (change,) = found.changes
    assert {s.row["block"] for s in change.shifts if s.verdict == "SLOWER"} == {"separable"}
    assert all(s.log.mean > math.log(1.05) for s in change.shifts if s.verdict == "SLOWER")  # after / before: longer
    assert re.match(r"Times are [\d.]+ % longer from ", history_title(found))
    assert "median time / that of the first run (above 1x: longer): geometric mean of 8 rows" in _shown(found)
    assert history_to_dict(found)["better"] == "below 1"


def test_the_picture_marks_the_change(runs: list[run_folder.Run]) -> None:
    found = history_of(runs)
    figure = of_history(found)
    marks = [line for line in figure.axes[0].lines if list(line.get_xdata()) == [5.5, 5.5]]
    assert len(marks) == 1
    assert figure.get_suptitle() == history_title(found)


def test_a_history_without_a_change_says_so_and_how_many_runs_it_takes(runs: list[run_folder.Run]) -> None:
    found = history_of(runs[-4:])
    assert history_title(found) == "No change point in 4 runs"
    assert "No change point in 4 runs. Fewer than 9 runs can't show one." in _shown(found)
    json.dumps(history_to_dict(found), allow_nan=False)


def test_rows_that_a_run_lacks_are_left_out(runs: list[run_folder.Run], tmp_path: Path) -> None:
    failed = run_folder.read(written(tmp_path, 13, Story(run_id="day 13", fails={0: (1, "oom", "no memory")})))
    found = history_of([*runs[-4:], failed])
    assert (len(found.rows), found.left_out) == (3, 1)
    assert "Rows left out, because a run did not measure them: 1." in _shown(found)


def test_other_machines_twins_and_undated_runs_are_refused(runs: list[run_folder.Run], tmp_path: Path) -> None:
    host = {"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": 64, "memory_bytes": 8 << 30}
    other = run_folder.read(written(tmp_path, 14, Story(run_id="x"), facts={"host": host}))
    undated = run_folder.read(written(tmp_path, 15, Story(run_id="y"), facts={"started_utc": None}))
    for more, word in (
        (other, "physical cores: 2 in A, 64 in B"),
        (undated, "when the run was started"),
        (runs[0], "the same run twice"),
    ):
        with pytest.raises(UserError, match=word):
            history_of([*runs, more])
    with pytest.raises(UserError, match="it takes 3 runs or more"):
        history_of(runs[:2])


def test_the_verb_prints_it(runs: list[run_folder.Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sketched: None) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    def bench(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", "--history", *(str(r.folder) for r in runs), *words])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    status, out, err = bench()
    assert (status, err) == (0, "")
    assert "page: results/history/" in out
    assert json.loads(bench("--json")[1])["changes"][0]["run_id"] == "day 7"
    assert bench("--fail-on", "slower")[0] == 2


def _shown(found: History) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        print_history(found)
    return out.getvalue()
