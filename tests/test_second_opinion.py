"""Second opinions from journal to table: known records in, known numbers and words out."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from bench.analyse.runs import run_folder
from bench.show.text import second_opinion, terminal
from bench.spec.columns import TOOLS, columns_of
from bench.spec.errors import UserError
from bench.spec.plan.plan import Plan, Trial
from tests.synthetic import Story, config, write_run

TORCH, PYTEST = TOOLS
ONE = {"channels": [64], "kernel": [3], "threads": [1]}


def told(trial: Trial, **times: tuple[float | None, float | None]) -> dict:
    """An opinion record: by tool, `torch` or `pytest`, the medians of the two arms; minima are 5 % lower."""
    arms = []
    for word, medians in times.items():
        for arm, median in zip(trial.arms, medians, strict=True):
            low = median and 0.95 * median if word == "pytest" else None
            why = None if median else f"{PYTEST} is not installed"
            tool = {"torch": TORCH, "pytest": PYTEST}[word]
            arms.append({"arm_id": arm.arm_id, "tool": tool, "time_min_s": low, "time_median_s": median, "time_iqr_s": median and 0.0, "detail": why})  # fmt: skip
    return {"type": "opinion", "trial_id": trial.trial_id, "status": "ok", "status_detail": None, "arms": arms}


def a_run(
    folder: Path, records=lambda plan: [], axes=None, share: float = 1, story: Story | None = None
) -> run_folder.Run:
    plan = write_run(
        folder, story, config({**ONE, **(axes or {})}, timing={"second_opinions": share, "processes_min": 5})
    )
    with (folder / "journal.jsonl").open("a") as journal:
        journal.writelines(json.dumps(record) + "\n" for record in records(plan))
    return run_folder.read(folder)


def ours(run: run_folder.Run) -> tuple[tuple[float, float], ...]:
    """Our minimum and median of each arm of the first trial."""
    rows = run.measurements.iloc[:2]
    return tuple(zip(rows["time_min_s"], rows["time_median_s"], strict=True))


def shown(run: run_folder.Run) -> str:
    out = StringIO()
    with redirect_stdout(out):
        second_opinion.print_second_opinions(run)
    return out.getvalue()


def test_a_row_for_each_arm_and_tool_with_its_speedup_by_medians(tmp_path):
    run = a_run(tmp_path, lambda plan: [told(plan.trials[0], torch=(4e-4, 1e-4), pytest=(3e-4, 2e-4))])
    assert run.opinions is not None
    assert list(run.opinions.columns) == [c.name for c in columns_of("o")]
    assert [str(d) for d in run.opinions.dtypes] == [c.dtype for c in columns_of("o")]
    got = run.opinions.set_index(["block", "tool"])
    assert list(got.index) == [(block, tool) for block in ("standard", "separable") for tool in TOOLS]
    assert set(got["status"]) == {"ok"}
    assert got.loc[("separable", TORCH), "speedup"] == pytest.approx(4.0)
    assert got.loc[("separable", PYTEST), "speedup"] == pytest.approx(1.5)
    assert got.loc["standard"]["speedup"].isna().all()
    assert pd.isna(got.loc[("standard", TORCH), "time_min_s"])
    assert got.loc[("standard", PYTEST), "time_min_s"] == pytest.approx(2.85e-4)


def test_the_table_holds_three_timers_and_says_where_they_part(tmp_path):
    plain = a_run(tmp_path / "plain")
    (low, median), (other_low, other_median) = ours(plain)
    speedup = plain.pairs["speedup"].iloc[0]
    run = a_run(
        tmp_path / "asked",
        lambda plan: [told(plan.trials[0], torch=(1.2 * median, other_median), pytest=(low / 0.95, other_low / 0.95))],
    )
    text = shown(run)
    title, head, standard, separable, *words = text.splitlines()[1:]
    assert "above 1 the block is faster" in title
    assert [w for w in head.split() if w == "median"] == ["median"] * 3
    us = [f"{1e6 * t:.1f}" for t in (low, median, 1.2 * median, low, low / 0.95)]
    assert standard.split()[1:] == us
    assert separable.split()[-3:] == [
        f"{speedup:.2f}",
        f"{1.2 * median / other_median:.2f}",
        f"{low / other_low:.2f}",
    ]
    assert words[0] == f"{TORCH}, within 10 % of ours: 1 of 2 medians, 0 of 1 speedups"
    assert words[1] == f"{PYTEST}, within 10 % of ours: 2 of 2 minima, 2 of 2 medians, 1 of 1 speedups"
    apart = text.partition("more than 10 % from ours:\n")[2].splitlines()
    assert [line.partition(": ")[2] for line in apart] == [
        f"{TORCH} median +20 %",
        f"{TORCH} speedup {100 * (1.2 * median / other_median / speedup - 1):+.0f} %",
    ]


def test_a_tool_that_is_not_installed_says_nothing_and_why(tmp_path):
    run = a_run(tmp_path, lambda plan: [told(plan.trials[0], torch=(4e-4, 1e-4), pytest=(None, None))])
    assert run.opinions is not None
    silent = run.opinions[run.opinions["tool"] == PYTEST]
    assert set(silent["status"]) == {"unsupported"}
    assert set(silent["detail"]) == {"pytest-benchmark is not installed"}
    assert silent["time_median_s"].isna().all()
    text = shown(run)
    assert f"{PYTEST} has no times of 2 of 2 arms: pytest-benchmark is not installed" in text
    assert f"{PYTEST}, within" not in text


def test_an_opinion_that_failed_costs_its_rows_alone(tmp_path):
    def failed(plan: Plan) -> list[dict]:
        first, second = plan.trials
        crash = {"type": "opinion", "trial_id": first.trial_id, "status": "crash", "status_detail": "killed"}
        return [crash, told(second, torch=(4e-4, 1e-4), pytest=(4e-4, 1e-4))]

    run = a_run(tmp_path, failed, {"kernel": [3, 5]})
    assert run.opinions is not None
    assert list(run.opinions["status"]) == ["crash"] * 4 + ["ok"] * 4
    assert set(run.pairs["status"]) == {"ok"}
    assert "has no times of 2 of 4 arms: killed" in shown(run)


def test_what_is_still_due_and_what_never_will_be_is_said(tmp_path):
    run = a_run(tmp_path, axes={"kernel": [3, 5]}, story=Story(fails={0: (1, "oom", "not enough memory")}))
    assert run.opinions is not None
    assert (
        list(run.opinions["detail"])
        == ["the trial itself failed: oom"] * 4 + [f"not asked yet: bench run --resume {tmp_path}"] * 4
    )
    assert set(run.opinions["status"]) == {"skipped"}
    assert "within 10 %" not in shown(run)


def test_a_run_cut_short_before_its_second_opinions_says_so(tmp_path):
    run = a_run(tmp_path)
    assert terminal.incomplete(run) == ""
    (tmp_path / "DONE").unlink()
    assert terminal.incomplete(run) == "INCOMPLETE: second opinions are still due; bench run --resume goes on"


def test_a_run_without_second_opinions_has_no_file_and_prints_nothing(tmp_path):
    run = a_run(tmp_path, share=0)
    assert run.opinions is None
    assert "opinions.csv" not in [p.name for p in run_folder.write_tables(run)]
    assert shown(run) == ""


def test_the_table_is_the_same_where_only_the_files_are_left(tmp_path):
    run = a_run(tmp_path, lambda plan: [told(plan.trials[0], torch=(4e-4, 1e-4), pytest=(None, None))])
    assert [p.name for p in run_folder.write_tables(run)] == ["measurements.csv", "pairs.csv", "opinions.csv"]
    (tmp_path / "journal.jsonl").unlink()
    again = run_folder.read(tmp_path)
    pd.testing.assert_frame_equal(again.opinions, run.opinions, check_exact=True)
    assert shown(again) == shown(run) != ""


def test_an_accelerators_table_says_that_every_call_was_waited_for(tmp_path):
    data = config({**ONE}, timing={"second_opinions": 1})
    plan = write_run(tmp_path, data=data, devices=("cuda:0",))
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(told(plan.trials[0], torch=(4e-4, 1e-4))) + "\n")
    assert "on cuda:0 theirs wait for the device after every call" in shown(run_folder.read(tmp_path))


@pytest.mark.parametrize("wrong", [{"tool": "a stopwatch"}, {"arm_id": "another"}, {"time_median_s": -1.0}])
def test_a_record_that_cannot_be_names_its_line(tmp_path, wrong):
    def spoilt(plan: Plan) -> list[dict]:
        record = told(plan.trials[0], torch=(4e-4, 1e-4))
        record["arms"][0] |= wrong
        return [record]

    with pytest.raises(UserError, match="Restore the journal from a copy") as raised:
        a_run(tmp_path, spoilt)
    assert f"journal.jsonl:{len((tmp_path / 'journal.jsonl').read_text().splitlines())}: " in str(raised.value)
