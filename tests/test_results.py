"""From a results folder to frames, tables and sentences: everything planned has a row, and known truths come back."""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import trim_mean

from bench.analyse.facts import facts_of
from bench.analyse.runs import run_folder
from bench.analyse.runs.measured_rows import Row
from bench.analyse.runs.rows import records_of
from bench.show import write
from bench.show.plots import speedup_map
from bench.show.text import captions, report, run_facts
from bench.show.write import write_views
from bench.spec.columns import FILES, SCHEMA_VERSION, columns_of
from bench.spec.errors import UserError
from bench.spec.files import write_whole
from bench.spec.format import duration, interval, percent, times
from bench.spec.interval import Interval
from tests.synthetic import Story, config, half_the_promise, realistic, write_run

EVENTFUL = Story(
    speedup=realistic,
    fails={0: (3, "crash", "killed by signal 9"), 1: (1, "oom", "not enough memory")},
    uninspected={3: ("timeout", "over 120 s")},
    once=frozenset({4}),
    unreached=frozenset({6}),
    disturbed={7: 0.3},
    slow_median=frozenset({9}),
    wide={10: 0.3},
)  # places 2, 5, 8 and so on are on 4 threads, which a machine of 2 cores skips


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    folder = tmp_path_factory.mktemp("calm")
    write_run(folder)
    return run_folder.read(folder, samples=True)


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    folder = tmp_path_factory.mktemp("eventful")
    write_run(folder, EVENTFUL, config({"threads": [1, 2, 4]}))
    return run_folder.read(folder, samples=True)


def row(run: run_folder.Run, place: int) -> pd.Series:
    assert run.plan is not None
    found = run.pairs[run.pairs["trial_id"] == run.plan.trials[place].trial_id]
    assert len(found) == 1
    return found.iloc[0]


def test_frames_hold_the_registrys_columns_and_dtypes(calm: run_folder.Run) -> None:
    for frame, file in ((calm.measurements, "m"), (calm.pairs, "p"), (calm.samples, "s")):
        assert frame is not None
        columns = columns_of(file)  # type: ignore[arg-type]
        assert list(frame.columns) == [c.name for c in columns]
        assert [str(d) for d in frame.dtypes] == [c.dtype for c in columns]


def test_every_planned_arm_has_a_row_whatever_befell_it(eventful: run_folder.Run) -> None:
    assert eventful.plan is not None
    arms = [a.arm_id for t in eventful.plan.trials for a in t.arms]
    assert list(eventful.measurements["arm_id"]) == arms
    assert list(eventful.pairs["arm_id"]) == [t.arms[1].arm_id for t in eventful.plan.trials]
    assert eventful.measurements["status"].notna().all()
    assert eventful.pairs[eventful.pairs["status"] != "ok"]["status_detail"].notna().all()


def test_the_known_speedup_lies_in_the_interval(calm: run_folder.Run) -> None:
    inside = [
        low <= truth <= high
        for low, truth, high in zip(calm.pairs["speedup_ci_low"], calm.pairs["mac_ratio"] / 2, calm.pairs["speedup_ci_high"], strict=True)
    ]  # fmt: skip
    assert sum(inside) >= len(inside) - 2  # 12 intervals of 95 %
    assert ((calm.pairs["delivered_share"] - 0.5).abs() < 0.02).all()
    assert (calm.pairs["status"] == "ok").all()
    assert calm.pairs["precision_reached"].all()


def test_a_row_agrees_with_a_calculation_by_hand(calm: run_folder.Run) -> None:
    assert calm.samples is not None
    pair = calm.pairs.iloc[0]
    taken = calm.samples[(calm.samples["trial_id"] == pair["trial_id"]) & (calm.samples["round"] > 0)]
    means = taken.groupby(["block", "replicate", "round"])["time_s"].mean().map(math.log)
    by_round = (means.loc["standard"] - means.loc["separable"]).unstack("round")
    ratios = by_round.apply(lambda row: trim_mean(row.astype(float), 0.25), axis=1)
    assert pair["speedup"] == pytest.approx(math.exp(ratios.mean()))
    student = 2.7764 * ratios.std() / math.sqrt(5)
    reach = (ratios - ratios.mean()).abs().max()  # of five processes, the extremes hold the median with over 70 %
    assert pair["precision"] == pytest.approx(max(student, reach), rel=1e-3)
    assert pair["rounds"] == 5 * 8
    times_ = calm.measurements[calm.measurements["trial_id"] == pair["trial_id"]].set_index("block")
    assert times_.loc["standard", "time_min_s"] / times_.loc["separable", "time_min_s"] == pytest.approx(
        pair["speedup_of_minima"]
    )
    assert times_.loc["standard", "achieved_flop_per_s"] == pytest.approx(times_.loc["standard", "flops"] / times_.loc["standard", "time_min_s"])  # fmt: skip
    assert times_.loc["standard", "samples"] == 80
    assert times_.loc["standard", "time_p10_s"] <= times_.loc["standard", "time_median_s"] <= times_.loc["standard", "time_p90_s"]  # fmt: skip
    assert times_.loc["separable", "backends"] == "Mkldnn Mkldnn"
    assert times_.loc["separable", "memory_peak_bytes"] == round(1.3 * times_.loc["separable", "memory_theory_bytes"])


def test_samples_stand_in_the_order_in_which_they_were_taken(calm: run_folder.Run) -> None:
    assert calm.samples is not None
    one = calm.samples[(calm.samples["trial_id"] == calm.pairs.iloc[0]["trial_id"]) & (calm.samples["replicate"] == 2)]
    assert len(one) == 2 * (3 + 16)
    assert (one["round"] == 0).sum() == 6
    rounds = one[one["round"] > 0]
    assert list(rounds["round"]) == sorted(rounds["round"])
    for _, taken in rounds.groupby("round"):
        assert list(taken["position"]) == [1, 2, 3, 4]
        order = list(taken["block"])
        assert order == order[::-1]
        assert set(order) == {"standard", "separable"}
    assert one[one["round"] == 0]["evaluations"].isna().all()


def test_a_trial_that_failed_says_how_and_keeps_what_was_measured(eventful: run_folder.Run) -> None:
    crashed, starved, unseen = (row(eventful, i) for i in (0, 1, 3))
    assert (crashed["status"], crashed["processes"]) == ("crash", 2)
    assert crashed["status_detail"] == "killed by signal 9 in process 3; 2 processes measured"
    assert crashed["speedup"] > 0
    assert (starved["status"], starved["processes"]) == ("oom", 0)
    assert pd.isna(starved["speedup"])
    assert starved["mac_ratio"] > 1
    assert (unseen["status"], unseen["status_detail"]) == (
        "timeout",
        "over 120 s in the inspection; 5 processes measured",
    )


def test_one_process_has_no_interval_and_no_precision(eventful: run_folder.Run) -> None:
    once = row(eventful, 4)
    assert (once["status"], once["processes"]) == ("ok", 1)
    assert once["speedup"] > 0
    assert once[["speedup_ci_low", "speedup_ci_high", "precision"]].isna().all()
    assert not once["precision_reached"]


def test_a_trial_not_reached_yet_says_how_to_go_on(eventful: run_folder.Run) -> None:
    left = row(eventful, 6)
    assert left["status"] == "skipped"
    assert left["status_detail"] == f"not measured yet: bench run --resume {eventful.folder}"


def test_a_skipped_trial_keeps_its_reason_and_its_theory(eventful: run_folder.Run) -> None:
    skipped = eventful.measurements[eventful.measurements["threads"] == 4]
    assert (skipped["status"] == "skipped").all()
    assert skipped["status_detail"].str.contains("4 threads on 2 physical cores").all()
    assert (skipped["macs"] > 0).all()
    assert skipped["time_min_s"].isna().all()


def test_a_block_that_cannot_be_built_has_a_row_without_theory(tmp_path: Path) -> None:
    write_run(tmp_path, data=config({"channels": ["16->32"], "kernel": [3]}, blocks=["standard", "depthwise"]))
    pairs = run_folder.read(tmp_path).pairs
    assert (pairs["status"] == "skipped").all()
    assert pairs["mac_ratio"].isna().all()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (7, "with the disturbed samples the speedup reads"),
        (9, "by minima the speedup reads"),
        (10, "times the ±5 % asked for"),
    ],
)
def test_a_noisy_row_says_why(eventful: run_folder.Run, place: int, words: str) -> None:
    noisy = row(eventful, place)
    assert noisy["status"] == "noisy"
    assert words in noisy["quality_notes"]
    arms = eventful.measurements[eventful.measurements["trial_id"] == noisy["trial_id"]]
    assert (arms["status"] == "noisy").all()


def test_disturbed_samples_are_counted_and_named(eventful: run_folder.Run) -> None:
    assert row(eventful, 7)["flagged_share"] == pytest.approx(0.25)
    assert "preempted in 25 % of samples" in row(eventful, 7)["quality_notes"]
    assert eventful.samples is not None
    assert set(eventful.samples["flags"].dropna()) == {"preempted stalled"}


def test_tables_are_read_by_pandas_alone_and_lose_nothing(eventful: run_folder.Run, tmp_path: Path) -> None:
    written = run_folder.write_tables(eventful, tmp_path)
    assert [p.name for p in written] == ["measurements.csv", "pairs.csv", "samples.csv"]
    assert {p.name for p in tmp_path.iterdir()} == {FILES[f] for f in "mps"}  # no temporary file is left
    plain = pd.read_csv(tmp_path / "pairs.csv")
    assert list(plain.columns) == list(eventful.pairs.columns)
    assert plain["speedup"].dtype == float
    assert plain["speedup"].isna().sum() == eventful.pairs["speedup"].isna().sum()
    again = run_folder.read(tmp_path, samples=True)
    pd.testing.assert_frame_equal(again.pairs, eventful.pairs, check_exact=True)
    pd.testing.assert_frame_equal(again.measurements, eventful.measurements, check_exact=True)
    assert again.samples is not None
    assert eventful.samples is not None
    pd.testing.assert_frame_equal(again.samples, eventful.samples, check_exact=True)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.none() | st.floats(1e-30, 1e30), min_size=1), st.text("aé \n,;\"'→", min_size=1, max_size=8))
def test_any_number_and_text_survives_a_table(tmp_path: Path, numbers: list[float | None], text: str) -> None:
    rows: list[Row] = [{"speedup": n, "block": "b" + text, "run_id": "r", "status": "ok"} for n in numbers]
    frame = run_folder.frame(rows, "p")
    run = run_folder.Run(tmp_path, "r", run_folder.frame([], "m"), frame, None, {}, None)
    run_folder.write_tables(run)
    pd.testing.assert_frame_equal(run_folder.read(tmp_path).pairs, frame, check_exact=True)


def test_a_frame_refuses_a_column_that_the_registry_does_not_know() -> None:
    with pytest.raises(KeyError, match="speedupp"):
        run_folder.frame([{"speedupp": 1.0}], "p")


def test_a_reference_run_needs_no_journal_and_no_samples(calm: run_folder.Run, tmp_path: Path) -> None:
    run_folder.write_tables(calm, tmp_path)
    (tmp_path / "samples.csv").unlink()
    run = run_folder.read(tmp_path, samples=True)
    assert (run.run_id, run.samples, run.plan, run.from_journal) == (calm.run_id, None, None, False)
    pd.testing.assert_frame_equal(run.pairs, calm.pairs)
    assert facts_of(run).trust.timed_share is None


def test_a_table_of_an_older_bench_gets_its_new_columns_empty(calm: run_folder.Run, tmp_path: Path) -> None:
    run_folder.write_tables(calm, tmp_path)
    pd.read_csv(tmp_path / "pairs.csv").drop(columns="speedup_of_medians").to_csv(tmp_path / "pairs.csv", index=False)
    pairs = run_folder.read(tmp_path).pairs
    assert pairs["speedup_of_medians"].isna().all()
    assert list(pairs.columns) == list(calm.pairs.columns)


@pytest.mark.fault(
    "killed", "a run is killed amidst a line of the journal",
    "the cut line is left out, and `--resume` measures what is missing",
)  # fmt: skip
def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    write_run(tmp_path)
    before = run_folder.read(tmp_path)
    with (tmp_path / "journal.jsonl").open("a") as journal:
        journal.write('{"type":"visit","trial_id":"sweep/c16')
    pd.testing.assert_frame_equal(run_folder.read(tmp_path).pairs, before.pairs)


def test_of_two_records_on_one_process_the_later_stands(tmp_path: Path) -> None:
    plan = write_run(tmp_path, Story(fails={0: (5, "crash", "killed by signal 9")}))
    journal = tmp_path / "journal.jsonl"
    other = tmp_path / "other"
    write_run(other)
    again = next(
        line for line in (other / "journal.jsonl").read_text().splitlines()
        if (r := json.loads(line))["type"] == "visit" and r["trial_id"] == plan.trials[0].trial_id and r["replicate"] == 5
    )  # fmt: skip
    with journal.open("a") as file:
        file.write(again + "\n")
    pair = run_folder.read(tmp_path).pairs.iloc[0]
    assert (pair["status"], pair["processes"]) == ("ok", 5)


@pytest.mark.fault(
    "killed", "a run that was cut short is read",
    "rows and report say so, with the command that goes on; no time is claimed for a killed session",
)  # fmt: skip
def test_a_run_cut_short_in_a_trial_says_so(tmp_path: Path) -> None:
    plan = write_run(tmp_path, Story(processes=2))
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["type"] not in ("settled", "end")]
    (tmp_path / "journal.jsonl").write_text("\n".join(kept) + "\n")
    run = run_folder.read(tmp_path)
    assert len(run.pairs) == len(plan.trials)
    assert "only 2 of at least 6 processes yet: bench run --resume" in run.pairs.iloc[0]["quality_notes"]


def _spoil(folder: Path, what: str) -> None:
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines()
    if what == "broken":
        lines[4] = lines[4][:100]
    elif what == "not whole":
        lines[4] = json.dumps({"type": "visit", "trial_id": json.loads(lines[4])["trial_id"]})
    elif what == "not a record":
        lines[4] = "[1, 2]"
    elif what == "not a time":
        lines[4] = lines[4].replace('"samples_ns": [', '"samples_ns": [-1.0, ')
    elif what == "another plan's":
        lines[4] = json.dumps({**json.loads(lines[4]), "trial_id": "sweep/unknown"})
    journal.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("what", ["broken", "not whole", "not a record", "not a time", "another plan's"])
def test_a_journal_broken_in_the_middle_names_the_line(tmp_path: Path, what: str) -> None:
    write_run(tmp_path)
    _spoil(tmp_path, what)
    with pytest.raises(UserError, match=r"journal\.jsonl:5") as raised:
        run_folder.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_newer_schema_is_refused(tmp_path: Path, calm: run_folder.Run) -> None:
    write_run(tmp_path, Story(schema_version=99))
    with pytest.raises(UserError, match=r"journal\.jsonl:1: 99: the newest schema"):
        run_folder.read(tmp_path)
    tables = tmp_path / "tables"
    run_folder.write_tables(calm, tables)
    text = (tables / "pairs.csv").read_text().replace(f",sweep,{SCHEMA_VERSION},", ",sweep,99,")
    (tables / "pairs.csv").write_text(text)
    with pytest.raises(UserError, match=r"pairs\.csv: 99: the newest schema"):
        run_folder.read(tables)


@pytest.mark.fault(
    "folders of others", "a folder is no run",
    "one line says what a run's folder is",
)  # fmt: skip
def test_a_folder_that_is_no_run_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such results folder"):
        run_folder.read(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"neither journal\.jsonl nor measurements\.csv"):
        run_folder.read(tmp_path)
    (tmp_path / "journal.jsonl").write_text("")
    with pytest.raises(UserError, match=r"plan\.json is missing"):
        run_folder.read(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(UserError, match=r"plan\.json: this is not JSON"):
        run_folder.read(tmp_path)
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(UserError, match=r"plan\.json: name: it is missing"):
        run_folder.read(tmp_path)
    (tmp_path / "journal.jsonl").unlink()
    (tmp_path / "plan.json").unlink()
    (tmp_path / "measurements.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="'run_id': a column that identifies the rows is missing"):
        run_folder.read(tmp_path)


@pytest.mark.fault(
    "folders of others", "a journal is empty",
    "every planned row is there, without times",
)  # fmt: skip
def test_a_run_with_an_empty_journal_has_all_its_rows(tmp_path: Path) -> None:
    plan = write_run(tmp_path)
    (tmp_path / "journal.jsonl").write_text("")
    run = run_folder.read(tmp_path, samples=True)
    assert len(run.pairs) == len(plan.trials)
    assert (run.pairs["status"] == "skipped").all()
    assert run.samples is not None
    assert run.samples.empty


def test_a_gpus_own_time_is_kept_beside_the_hosts(tmp_path: Path) -> None:
    write_run(tmp_path, data=config({"channels": [64], "kernel": [3]}), devices=("cuda:0",))
    run = run_folder.read(tmp_path, samples=True)
    ratio = run.measurements["device_time_median_s"] / run.measurements["time_median_s"]
    assert ratio.between(0.79, 0.81).all()
    assert set(run.measurements["device_name"]) == {"Imaginary GPU"}


def test_writing_tables_twice_gives_the_same_bytes(calm: run_folder.Run, tmp_path: Path) -> None:
    first = {p.name: p.read_bytes() for p in run_folder.write_tables(calm, tmp_path)}
    assert {p.name: p.read_bytes() for p in run_folder.write_tables(calm, tmp_path)} == first
    assert oct((tmp_path / "pairs.csv").stat().st_mode & 0o777) == oct(0o644)


@pytest.mark.fault(
    "disk", "the disk is full while tables, verdicts or the page are written",
    "status 2 and one line that names the file; the old file stays, and repeating the command writes all",
)  # fmt: skip
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("old")

    def fail(_: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["pairs.csv"]  # noqa: PTH208


# ---------------------------------------------------------------- sentences


def test_the_sentences_say_who_won_where_and_what_share_was_achieved(calm: run_folder.Run) -> None:
    facts = facts_of(calm)
    lines = run_facts.lines(facts)
    assert lines[0].startswith("1 thread: separable 6 faster of 6 cells; mean speedup 5.")
    assert "50 % of the MAC ratio 10.8x" in lines[0]
    assert lines[1].startswith("2 threads: separable 6 faster of 6 cells")
    assert lines[2].startswith("12 rows measured in 5 processes each: median half-width ±")
    assert lines[3] == "0 undecided, 0 less precise than the asked ±5 %, 0 noisy."
    assert lines[-1] == "60 % of 1 min 40 s went into samples."
    assert (
        run_facts.finding(facts)
        == "On the CPU separable is faster with 1 thread (6 of 6 cells, 5.4x) and with 2 threads (6 of 6 cells, 5.4x)."
    )


def test_the_sentences_count_what_went_wrong(eventful: run_folder.Run) -> None:
    text = "\n".join(run_facts.lines(facts_of(eventful)))
    assert "1 crash" in text
    assert "1 oom" in text
    assert "4 threads: separable: nothing measured; 6 rows skipped: 4 threads on 2 physical cores would measure the scheduler" in text  # fmt: skip
    assert "3 noisy" in text
    assert "7 rows skipped and 3 rows failed: pairs.csv says why." in text


def test_undecided_rows_are_counted_as_such(tmp_path: Path) -> None:
    write_run(tmp_path, Story(speedup=lambda t, a: 1.0, process_sd=0.014, seed=4))
    ways = facts_of(run_folder.read(tmp_path)).ways
    counts = {name: sum(getattr(t, name) for t in ways) for name in ("faster", "slower", "same", "undecided", "cells")}
    assert counts["undecided"] >= 4
    assert counts["same"] >= 4
    assert counts.pop("cells") == 12 == sum(counts.values())


def test_time_is_summed_over_sessions(tmp_path: Path) -> None:
    write_run(tmp_path, Story(sessions=2))
    facts = facts_of(run_folder.read(tmp_path))
    trust = facts.trust
    assert (trust.timed_s, trust.wall_s, trust.timed_share) == (120.0, 200.0, 0.6)
    assert run_facts.trust_lines(facts)[-1] == "60 % of 3 min 20 s over 2 sessions went into samples."


def test_a_slower_block_is_said_to_be_slower(tmp_path: Path) -> None:
    write_run(tmp_path, Story(speedup=lambda t, a: half_the_promise(t, a) if t.shape.kernel == 5 else 0.5))
    facts = facts_of(run_folder.read(tmp_path))
    assert "separable 3 faster and 3 slower of 6 cells" in run_facts.way_lines(facts)[0]
    assert run_facts.finding(facts) == (
        "On the CPU separable is mixed with 1 thread (3 faster, 3 slower of 6 cells, 1.99x) and with 2 threads (3 faster, 3 slower of "
        "6 cells, 1.98x)."
    )


def test_one_process_each_is_said_to_read_not_to_be(tmp_path: Path) -> None:
    write_run(tmp_path, Story(processes=1))
    facts = facts_of(run_folder.read(tmp_path))
    assert (
        "separable 6 of 6 cells read faster, by too few processes for an interval; mean speedup "
        in run_facts.way_lines(facts)[0]
    )
    assert run_facts.finding(facts) == (
        "On the CPU separable reads faster with 1 thread (6 of 6 cells, 5.4x) and with 2 threads (6 of 6 cells, 5.4x), by too few "
        "processes for an interval."
    )


@pytest.mark.parametrize(("processes", "words"), [(1, "1 process"), (2, "2 processes")])
def test_fewer_than_three_processes_give_no_interval_no_verdict_and_no_width(tmp_path: Path, processes: int, words: str) -> None:  # fmt: skip
    write_run(tmp_path, Story(processes=processes))
    run = run_folder.read(tmp_path)
    of_intervals = ["speedup_ci_low", "speedup_ci_high", "precision", "verdict"]
    assert run.pairs[of_intervals].isna().all().all()
    assert run.measurements[["time_ci_low_s", "time_ci_high_s"]].isna().all().all()
    facts = facts_of(run)
    assert not any(math.isfinite(t.mean.half_width) for t in facts.ways)
    said = " ".join(run_facts.quality(run, facts)["sentences"])
    assert f"12 rows measured in {words} each: no intervals." in said
    assert "inf" not in said


def test_the_map_of_one_process_each_agrees_with_the_headline(tmp_path: Path) -> None:
    truth = {16: 0.5, 64: 1.5, 256: 3.0}
    write_run(tmp_path, Story(processes=1, speedup=lambda t, a: truth[t.shape.c_in]), config({"threads": 1}))
    run = run_folder.read(tmp_path)
    assert "separable reads faster (4 of 6 cells, 1.31x)" in run_facts.finding(facts_of(run))
    figure = speedup_map.picture(run)
    assert figure is not None
    assert figure.get_suptitle() == "Separable reads faster in 4 of 6 cells on cpu"


def test_numbers_show_the_digits_that_their_spread_justifies() -> None:
    assert [times(4.123, 0.05), times(4.123, 0.004), times(0.853), times(12.3), times(120.4)] == ["4.1x", "4.12x", "0.85x", "12.3x", "120x"]  # fmt: skip
    assert interval(Interval(math.log(4.1), 0.07, 5)) == "4.1x [3.8, 4.4]"
    assert interval(Interval(math.log(4.1), math.inf, 1)) == "4.1x"
    assert [percent(0.05), percent(0.021), percent(0.18)] == ["5 %", "2.1 %", "18 %"]
    assert [duration(4.2), duration(59.4), duration(95), duration(7260)] == ["4.2 s", "59 s", "1 min 35 s", "2 h 1 min"]


def test_views_of_a_folder_are_made_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, data=config({"channels": [16, 64], "kernel": [3], "threads": [1]}))
    monkeypatch.setattr(
        write, "draw", lambda run, folder, makers: tuple(folder / f"{m}.png" for m in makers)
    )  # test_plots.py draws
    views = write_views(tmp_path)
    assert [p.name for p in views.tables] == ["measurements.csv", "pairs.csv", "samples.csv"]
    assert [p.stem for p in views.pictures] == [*write.PICTURES, "claims", "drivers"]
    assert views.page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    (tmp_path / "journal.jsonl").unlink()
    before = (tmp_path / "pairs.csv").stat().st_mtime_ns
    assert write_views(tmp_path).tables == ()  # the tables are the source now
    assert (tmp_path / "pairs.csv").stat().st_mtime_ns == before


def test_a_run_that_was_cut_short_says_so_first_and_in_its_pictures(tmp_path: Path) -> None:
    write_run(tmp_path, Story(processes=6, unreached=frozenset({2, 3})))
    (tmp_path / "DONE").unlink()
    run = run_folder.read(tmp_path)
    told = StringIO()
    with redirect_stdout(told):
        report.show(run, run.folder / "report.html")
    assert "INCOMPLETE: 2 of 12 rows have fewer processes than asked" in told.getvalue()
    assert "INCOMPLETE RUN" in captions.footer(run, records_of(run.pairs))


@pytest.mark.fault(
    "killed", "a run that was cut short is read",
    "rows and report say so, with the command that goes on; no time is claimed for a killed session",
)  # fmt: skip
def test_a_killed_sessions_time_is_not_known_and_not_claimed(tmp_path: Path) -> None:
    write_run(tmp_path)
    journal = tmp_path / "journal.jsonl"
    first, *rest = journal.read_text().splitlines(keepends=True)
    journal.write_text(first + '{"type":"resume","utc":"2026-01-01T00:00:00Z"}\n' + "".join(rest))
    assert facts_of(run_folder.read(tmp_path)).trust.timed_share is None


def test_a_table_on_a_narrow_terminal_keeps_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write_run(tmp_path)

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    told = Terminal()
    with redirect_stdout(told):
        report.show(run_folder.read(tmp_path), tmp_path / "report.html")
    lines = re.sub(r"\x1b\[[\d;]*m", "", told.getvalue()).splitlines()
    assert max(len(line) for line in lines if str(tmp_path) not in line) <= 80
    rows = [line for line in lines if line.strip().startswith(("1 thread", "2 threads"))]
    assert sum(len(re.findall(r" [\d.]+x", line)) for line in rows) >= 12 + 2, "twelve cells and two means"


@pytest.mark.fault(
    "terminals", "a name in a file holds control characters",
    "they are printed as escapes",
)  # fmt: skip
def test_no_name_from_a_file_moves_the_cursor_or_turns_the_line(tmp_path: Path) -> None:
    odd = "EPYC\x1b[2J\u202eevil\x07"
    write_run(tmp_path, environment={"devices": {"cpu": {"name": odd}}})
    told = StringIO()
    with redirect_stdout(told):
        report.show(run_folder.read(tmp_path), tmp_path / "report.html", wide=True)
    assert not {"\x1b", "\u202e", "\x07"} & set(told.getvalue())
    assert "EPYC\\x1b[2J\\u202eevil\\x07" in told.getvalue()
