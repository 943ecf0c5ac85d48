"""The gate of `bench compare --fail-on`: it fails on what was planted, seldom on nothing, and says where it can't tell."""

from __future__ import annotations

import html
import json
import math
import re
import shutil
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench import cli
from bench.analyse.compare.ci_gate import Gate, gate
from bench.analyse.compare.compare import compare, compare_all
from bench.analyse.compare.whole import ELSEWHERE, ENOUGH_RUNS, apart, apart_at_least
from bench.analyse.runs import run_folder
from bench.analyse.runs.noise_floor import RunEffect, run_effect
from bench.analyse.runs.run_folder import Run
from bench.show.text import compare as words
from tests import worlds
from tests.synthetic import Story, config, write_run

REFERENCE = Path(__file__).parents[1] / "results" / "reference"


@cache
def world(seed: int, slower: float = 1.0, **how: Any) -> Run:
    """A run of 16 arms on 1 and 4 threads, whose times are `slower` by a factor that its processes do not know of."""
    told = {"processes": 6, "shared_sd": 0.02, **how}
    return worlds.run_of(
        worlds.usual(), lambda t, a: slower * worlds.compute(t, a), seed=seed, run_id=f"r{seed}", **told
    )


def gated(i: int, slower: float = 1.0, least: float = 0.1, moved: float = 0.0, **how: Any) -> Gate:
    """The gate on two fresh runs, each moved as a whole by ln of sd `moved`."""
    one, two = np.exp(np.random.default_rng(i).normal(0, moved, 2))
    return gate(
        [compare(world(2 * i, one, **how), world(2 * i + 1, two * slower, **how), correction="holm")], least=least
    )


def answers(count: int, **how: Any) -> Counter[str]:
    return Counter(gated(i, **how).answer for i in range(count))


# ---------------------------------------------------------------- how often it is wrong, and what it finds


@pytest.mark.parametrize(
    "how",
    [{}, {"moved": ELSEWHERE["cpu"][0]}, {"shared_sd": 0.1, "processes": 4}],
    ids=["quiet", "run to run", "noisy"],
)
def test_two_runs_of_one_truth_fail_the_gate_in_five_of_a_hundred_at_most(how: dict[str, Any]) -> None:
    wrong = answers(100, **how)["failed"]
    assert stats.binomtest(wrong, 100, 0.05, alternative="greater").pvalue > 0.01, f"{wrong} of 100"


@pytest.mark.parametrize(("slower", "share"), [(1.3, 1.0), (1.1, 0.95), (1.05, 0.5)])
def test_a_slow_down_of_all_rows_fails_it(slower: float, share: float) -> None:
    assert answers(40, slower=slower)["failed"] >= share * 40


def test_a_slow_down_that_must_not_pass_seldom_does() -> None:
    assert answers(60, slower=1.1, shared_sd=0.06)["passed"] <= stats.binom.ppf(0.99, 60, 0.05)


def test_a_quiet_pair_passes_and_a_noisy_one_can_not_tell() -> None:
    assert answers(20)["passed"] == 20
    assert answers(20, shared_sd=0.15)["can't tell"] >= 12


def test_what_a_gate_could_have_seen_it_sees_in_eight_of_ten() -> None:
    seen = float(np.median([gated(i, shared_sd=0.06).wholes[0].seen for i in range(20)]))
    assert answers(60, slower=1 + seen, shared_sd=0.06)["failed"] == pytest.approx(48, abs=9)
    assert 0.05 < seen < 0.4


def test_several_runs_share_the_chance_of_a_false_alarm() -> None:
    runs = [world(seed) for seed in range(4)]
    alone, together = gate([compare(*runs[:2])]).wholes[0], gate(compare_all(runs)).wholes[0]
    assert together.slower.half_width > alone.slower.half_width
    assert together.slower.mean == alone.slower.mean


# ---------------------------------------------------------------- what runs differ by


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("cpu", ("xeon-2-cores", "xeon-2-cores-speed-thinking", "xeon-2-cores-threads")),
        ("accelerator", ("h100-16-cores", "h100-16-cores-speed-thinking", "h100-16-cores-speed-thinking-again")),
    ],
)
def test_what_is_assumed_of_an_unknown_machine_is_what_the_reference_runs_show(
    place: str, names: tuple[str, ...]
) -> None:
    runs = [run_folder.read_tables(REFERENCE / name) for name in names]
    for times, sd in enumerate(ELSEWHERE[place]):
        found = run_effect(runs, bool(times))
        assert found is not None
        assert sd == pytest.approx(found.sd, abs=5e-5)


def test_four_runs_tell_what_a_machine_differs_by_and_fewer_do_not() -> None:
    still = [RunEffect(0.0, 60, tuple(map(str, range(n)))) for n in range(2, 6)]
    assert [apart(e) for e in (None, *still)] == [0.0] * 5
    least = [apart_at_least(e, True, True) for e in (None, *still)]
    assert least == [least[0]] * 3 + [0.0, 0.0]
    assert len(still[2].runs) == ENOUGH_RUNS
    wild = [apart_at_least(RunEffect(0.2, 60, tuple(map(str, range(n)))), True, False) for n in (3, 30)]
    assert wild[0] == pytest.approx(1.645 * math.sqrt(2) * 0.2, rel=1e-3)
    assert wild[1] == pytest.approx(stats.t.ppf(0.95, 29) * math.sqrt(2) * 0.2)


def test_a_known_effect_closes_the_gate_on_what_runs_differ_by_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bench.analyse.compare.compare.run_effect", lambda runs, times: RunEffect(0.05, 60, tuple("abcdef"))
    )
    monkeypatch.setattr("bench.analyse.compare.compare.repeats", lambda a, b: [[a, b]])
    told = answers(60, moved=0.05)
    assert told["failed"] <= stats.binom.ppf(0.99, 60, 0.05)
    assert told["can't tell"] > 40
    assert answers(20, slower=1.4, moved=0.05)["failed"] >= 18


@pytest.mark.parametrize(
    "loss", [{"time_ci_low_s": None, "time_ci_high_s": None}, {"status": "skipped", "time_median_s": None}]
)
@pytest.mark.parametrize(("lost", "answer"), [(1, "passed"), (8, "can't tell")])
def test_a_gate_that_lost_too_many_rows_can_not_tell(loss: dict[str, None], lost: int, answer: str) -> None:
    """Whatever became of them: all that is left may be as fast as ever."""
    a, b = world(0), world(1)
    rows = b.measurements.copy()
    rows.loc[rows.index[:lost], list(loss)] = list(loss.values())
    found = gate([compare(a, replace(b, measurements=rows), correction="holm")])
    assert (found.answer, found.unjudged) == (answer, lost)
    if lost > 1:
        assert words.gate(found)[-1].endswith(", but 8 rows can't be judged")


@pytest.mark.parametrize(("lost", "answer"), [(1, "passed"), (8, "can't tell")])
def test_a_gate_that_lacks_rows_in_b_can_not_tell(lost: int, answer: str) -> None:
    a, b = world(0), world(1)
    less = replace(b, measurements=b.measurements.iloc[lost:].reset_index(drop=True))
    found = gate([compare(a, less, correction="holm")])
    assert (found.answer, found.only_in_a, found.unjudged) == (answer, lost, lost)
    text = words.gate(found)
    assert f", {lost} only in A" in text[0]
    assert ("measure B with A's config" in " ".join(text)) == (lost > 1)


def test_rows_that_are_slower_by_less_than_runs_differ_do_not_pass() -> None:
    a = world(0, shared_sd=0.0005)
    slow = 4
    rows = a.measurements.copy()
    for name in ("time_median_s", "time_ci_low_s", "time_ci_high_s", "time_min_s"):
        rows.loc[rows.index[:slow], name] *= 1.03
    found = gate([compare(a, replace(a, run_id="b", measurements=rows), margin=0.01, correction="holm")])
    assert (found.answer, found.failing) == ("can't tell", 0)
    assert 0 < found.doubtful <= slow
    text = words.gate(found)
    assert f"({found.doubtful} by no more than separate runs may differ)" in text[0]
    assert text[-1].endswith(f", but {found.doubtful} rows may be slower")


def test_what_is_slower_by_less_than_the_margin_is_no_rule_of_a_gate(bench: Any, tmp_path: Path, capsys: Any) -> None:
    for seed, name in enumerate("ab"):
        write_run(tmp_path / name, Story(run_id=name, seed=seed), config({"channels": [16]}))
    assert bench("a", "b", "--margin", "20%")[0] == 0  # --least is 20 % then
    with pytest.raises(SystemExit) as left:
        cli.main(["compare", "a", "b", "--fail-on", "slower", "--margin", "20%", "--least", "10%"])
    assert left.value.code == 2
    assert (
        "--least: '10%': a slow-down below --margin 20% counts as none. Give a larger one." in capsys.readouterr().err
    )
    with pytest.raises(SystemExit) as left:
        cli.main(["compare", "a", "b", "--least", "10%"])
    assert left.value.code == 2
    assert "--least: '10%': it is a rule of the gate. Write --fail-on slower too." in capsys.readouterr().err


# ---------------------------------------------------------------- the command


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sketched: None) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: object) -> tuple[int, list[str]]:
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", *map(str, args), "--fail-on", "slower"])
        return int(left.value.code or 0), capsys.readouterr().out.splitlines()

    return run


def slowed(source: Path, copy: Path, factor: float, **facts: object) -> Path:
    """A copy of a run in which every sample took `factor` times as long."""
    (copy / "x").parent.mkdir(parents=True)
    for name in ("plan.json", "config.yaml", "environment.json"):
        if (source / name).exists():
            (copy / name).write_bytes((source / name).read_bytes())
    lines = [json.loads(line) for line in (source / "journal.jsonl").read_text().splitlines()]
    for arm in (arm for r in lines if r["type"] == "visit" for arm in r.get("arms", ())):
        arm["samples_ns"] = [ns * factor for ns in arm["samples_ns"]]
    (copy / "journal.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    if facts:
        told = json.loads((source / "environment.json").read_text())
        (copy / "environment.json").write_text(json.dumps({**told, **facts}))
    return copy


def test_a_copy_of_the_reference_run_a_third_slower_fails_though_no_row_is_beyond_doubt(
    bench: Any, tmp_path: Path
) -> None:
    run = REFERENCE / "xeon-2-cores"
    status, out = bench(run, slowed(run, tmp_path / "slow", 1.3))
    assert status == 1
    assert out[-1].startswith("gate failed: B's times are 1.30x [")
    assert "60 AMBIGUOUS" in " ".join(out)
    assert bench(run, run)[0] == 0
    assert bench(slowed(run, tmp_path / "fast", 1 / 1.3), run)[0] == 1


def test_a_copy_whose_speedups_are_the_same_to_the_digit_is_not_the_same_run(bench: Any, tmp_path: Path) -> None:
    """5 % on a quiet run. A factor of 1.25 keeps all digits of speedups, so no row of them moves."""
    write_run(tmp_path / "a", Story(run_id="a"), config({"channels": [16, 64]}))
    for factor in (1.05, 1.25):
        status, out = bench(tmp_path / "a", slowed(tmp_path / "a", tmp_path / f"b{factor}", factor))
        assert status == 1
        assert "same run" not in "\n".join(out)


def test_a_gate_that_can_not_tell_ends_with_3_and_says_what_to_do(bench: Any, tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_run(tmp_path / name, Story(run_id=name, seed=seed, process_sd=0.7), config({"channels": [16]}))
    status, out = bench("a", "b")
    assert status == 3
    assert out[-1].startswith("gate can't tell: B's times are ")
    assert re.search(r" of A's \(8 rows\), so B may be up to \d+ % slower$", out[-1])
    text = " ".join(line.strip() for line in out)
    assert re.search(
        r"0 of 8 rows slower by more than 5 %.* A gate on such runs finds a slow-down of \d+ % in 8 of 10 cases\. ",
        text,
    )
    assert (
        "Two separate runs may differ by 3.2 %, as reference runs do (docs/METHOD.md#run-to-run). To tell: measure more processes (--set processes_min=20 --set processes_max=20), measure A four times in one folder or use bench ab."
        in text
    )
    assert max(map(len, out)) <= 100
    assert bench("a", "b", "--untold", "pass")[0] == 0
    assert bench("a", "b", "--least", "99%")[0] == 0


@pytest.mark.parametrize("archived", ["a copy of A", "A itself", "A, with B's folder full of its kind"])
def test_a_slow_down_is_not_taken_for_what_runs_differ_by(bench: Any, tmp_path: Path, archived: str) -> None:
    """Whatever runs lie beside B, of A's code or of B's: only runs before A tell how far runs differ."""
    results = tmp_path / "results"
    for day, (name, factor) in enumerate((("old", 1.0), ("between", 2.0), ("new", 2.0)), 1):
        write_run(tmp_path / "made" / name, Story(run_id=name, seed=day), config({"channels": [16, 64]}))
        if name != "between" or archived.startswith("A,"):
            slowed(tmp_path / "made" / name, results / name, factor, started_utc=f"2026-01-0{day}T00:00:00Z")
            run_folder.write_tables(run_folder.read(results / name))
    a = results / "old"
    if archived != "A itself":
        a = Path(shutil.copytree(a, tmp_path / "archive" / "old"))
    if archived.startswith("A,"):
        shutil.rmtree(results / "old")
    status, out = bench(a, results / "new")
    assert (status, out[-1].partition(":")[0]) == (1, "gate failed")
    assert "from run to run is not known" in " ".join(out)
    status, out = bench(results / "new", a, "--by", "times")
    assert (status, out[-1].partition(":")[0]) == (0, "gate passed")


@pytest.mark.fault(
    "folders of others", "measurements.csv lacks trials that pairs.csv or plan.json has: it was cut between lines",
    "status 2, one line with the first such trial",
)  # fmt: skip
def test_an_older_b_and_a_table_without_its_rows_are_named(bench: Any, tmp_path: Path, capsys: Any) -> None:
    old, new = REFERENCE / "xeon-2-cores", REFERENCE / "xeon-2-cores-threads"
    assert "B was measured before A." in bench(new, old)[1]
    assert "B was measured before A." not in bench(old, new)[1]
    for plan in (True, False):
        copy = tmp_path / f"cut-{plan}"
        copy.mkdir()
        for name in ("pairs.csv", "environment.json", *["plan.json"] * plan):
            (copy / name).write_bytes((new / name).read_bytes())
        head, *rows = (new / "measurements.csv").read_text().splitlines(keepends=True)
        (copy / "measurements.csv").write_text("".join([head, *rows[:1] * plan]))
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", str(old), str(copy), "--fail-on", "slower"])
        assert left.value.code == 2
        assert "measurements.csv: '" in (said := capsys.readouterr().err)
        assert "it lacks this trial, which p" in said


def test_the_page_has_the_gates_answer(bench: Any, tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        write_run(tmp_path / name, Story(run_id=name, seed=seed), config({"channels": [16]}))
    _, out = bench("a", "b", "--html", "p.html")
    assert out[-1][1:] in html.unescape((tmp_path / "p.html").read_text())


def test_speedups_are_judged_where_two_machines_made_the_runs_and_the_first_line_names_both(
    bench: Any, tmp_path: Path
) -> None:
    write_run(tmp_path / "a", Story(run_id="a"), config({"channels": [16]}), environment={"torch": "2.12.1"})
    write_run(tmp_path / "b", Story(run_id="b", seed=2), config({"channels": [16]}))
    status, out = bench("a", "b")
    assert (status, out[0]) == (0, "A torch 2.12.1 -> B torch 2.13.0, same machine")
    assert "B's times are" in out[-1]
    host = {"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": 16, "memory_bytes": 8 << 30}
    write_run(
        tmp_path / "c", Story(run_id="c", seed=3), config({"channels": [16]}), environment={"host": host, "git": "abc"}
    )
    status, out = bench("a", "c")
    assert out[0] == "A torch 2.12.1 -> B torch 2.13.0, another machine (physical cores: 2 in A, 16 in B)"
    assert "B's speedups are" in out[-1]
    assert bench("a", "b", "--by", "speedups")[1][-1].startswith("gate passed: B's speedups")


def test_rows_of_an_older_table_are_judged_as_if_their_errors_moved_as_one() -> None:
    a, b = world(0), world(1)
    older = [replace(r, measurements=r.measurements.assign(time_by_process=None)) for r in (a, b)]
    widths = [gate([compare(*runs)]).wholes[0].slower.half_width for runs in ((a, b), older)]
    assert 0 < widths[0] < widths[1]


@pytest.mark.fault(
    "tables", "the tables of a folder have the rows of several runs",
    "`bench compare` says so in one line and ends with 2: their processes would pass for the same ones",
)  # fmt: skip
def test_the_rows_of_several_runs_in_one_folder_are_not_compared(
    bench: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    several = REFERENCE.parent / "study" / "ab"
    for folders in ([several], [several, REFERENCE / "h100-16-cores"]):
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", *map(str, folders), "--fail-on", "slower"])
        assert left.value.code == 2
        assert capsys.readouterr().err.endswith(
            "'quiet-1, quiet-10': its rows are of several runs. Compare folders with one run each.\n"
        )


def test_a_kind_of_device_that_b_lost_and_rows_of_another_workload_keep_a_gate_from_passing() -> None:
    a, b = world(0), world(1)
    card = {"device": "cuda:0", "device_name": "card"}
    more = {name: pd.concat([getattr(a, name), getattr(a, name).assign(**card)], ignore_index=True) for name in ("pairs", "measurements")}  # fmt: skip
    lost = gate([compare(replace(a, **more), b, correction="holm")], quantity="time")
    assert (lost.answer, lost.only_in_a) == ("can't tell", len(a.measurements))
    half = {name: getattr(b, name).copy() for name in ("pairs", "measurements")}
    for rows in half.values():
        rows.loc[rows["threads"] == 4, "dtype"] = "bf16"
    other = gate([compare(a, replace(b, **half), correction="holm")])
    assert (other.answer, other.lacking) == ("can't tell", True)


def test_one_b_that_lacks_rows_is_not_outnumbered_by_others() -> None:
    a, whole, less = world(0), world(1), world(2)
    less = replace(less, measurements=less.measurements.iloc[4:].reset_index(drop=True))
    runs = [replace(whole, run_id=f"b{i}") for i in range(4)]
    assert gate(compare_all([a, *runs, less], correction="holm")).lacking
