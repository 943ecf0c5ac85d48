"""`bench verdict` and verdict.json: from folders to words and JSON, with what real folders lack."""

from __future__ import annotations

import json
import math
import re
import shutil
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.analyse.claims.answers import ANSWERS, Effect
from bench.analyse.claims.claims import CLAIMS, TEXTS
from bench.analyse.claims.judge import Verdicts, judge
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import USUAL
from bench.show.text import claims as words
from bench.show.write import write_views
from bench.spec.format import p_words
from tests import worlds
from tests.synthetic import Story, config, write_run

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference" / "xeon-2-cores"


def run_verb(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["verdict", *map(str, arguments)])
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def shown(found: Verdicts) -> str:
    out = StringIO()
    with redirect_stdout(out):
        words.print_verdicts(found)
    return out.getvalue()


# ---------------------------------------------------------------- the verb


def test_the_committed_run_is_judged_and_every_claim_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run_verb(capsys, REFERENCE)
    assert (status, err) == (0, "")
    _, every, _ = run_verb(capsys, REFERENCE, "--all")
    assert "3x or more surely in 2 of 5 cells, 16 to 256 channels, surely not in 3" in " ".join(every.split())
    for claim in CLAIMS:
        assert (
            f"{claim.id}: {claim.statement}" in " ".join(out.split()) or claim.id in out.partition("Not measured: ")[2]
        )
    assert "  cpu, 1 thread, contiguous: FASTER FROM 26 channels [16, 32]*; " in out
    assert "  cpu, 1 thread, contiguous: HOLDS FROM 97 channels [92, 102]*\n" in out
    assert "gpu_no_gain (no accelerator in these runs: make reproduce DEVICE=cpu,cuda)" in " ".join(every.split())
    assert len(out.splitlines()) < 40
    assert max(map(len, out.splitlines())) <= 100
    assert "nan" not in out
    assert "None" not in out


def test_the_committed_verdicts_are_those_of_the_committed_run() -> None:
    kept = json.loads((REFERENCE / "verdict.json").read_text())
    made = json.loads(json.dumps(judge([run_folder.read(REFERENCE)]).to_dict()))
    assert like(made, kept)


def like(a: Any, b: Any) -> bool:
    """Equal, numbers up to what another version of scipy may make of their last digits."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(like(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(like, a, b))
    return math.isclose(a, b, rel_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else bool(a == b)


def test_json_holds_what_programs_need_and_null_where_there_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run_verb(capsys, REFERENCE, "--json")
    told = json.loads(out, parse_constant=lambda word: pytest.fail(word))
    assert (status, told["schema_version"], told["confidence"], told["margin"]) == (0, 2, 0.95, 0.03)
    assert told["runs"] == [{"run_id": "default-cpu-20261122T060221Z", "folder": "xeon-2-cores", "devices": ["cpu"]}]
    assert [c["id"] for c in told["claims"]] == [c.id for c in CLAIMS]
    for claim in told["claims"]:
        assert {"statement", "cells", "rule", "alternatives", "verdicts"} <= claim.keys()
        for v in claim["verdicts"]:
            assert v["answer"] in ANSWERS
            assert {"place", "regime", "effect", "p", "p_adjusted", "confirmatory", "cells", "why", "notes"} <= v.keys()
            assert isinstance(v["cells"]["n"], int)
    (confirmed,) = [v for c in told["claims"] if c["id"] == "cpu_3x" for v in c["verdicts"] if v["confirmatory"]]
    assert confirmed["p_adjusted"] >= confirmed["p"]
    assert confirmed["place"]["run_ids"] == [told["runs"][0]["run_id"]]
    assert confirmed["effect"]["low"] < confirmed["effect"]["value"] < confirmed["effect"]["high"] < 3
    assert len(str(confirmed["effect"]["value"])) > 10  # all digits
    assert next(c for c in told["claims"] if c["id"] == "gpu_no_gain")["verdicts"][0]["effect"] is None


def test_one_claim_at_one_batch_is_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    folder = ROOT / "results" / "reference" / "h100-16-cores-speed-thinking"
    asked = ("--claim", "faster", "--claim", "gpu_no_gain", "--batch", 16)
    _, out, _ = run_verb(capsys, folder, *asked)
    assert re.findall(r"^([a-z_]+): ", out, re.MULTILINE) == ["faster", "gpu_no_gain"]
    assert set(re.findall(r"batch \d+", out)) == {"batch 16"}
    assert "Not measured" not in out
    _, every, _ = run_verb(capsys, folder, *asked, "--all")
    assert len(every.splitlines()) > 2 * len(out.splitlines())
    assert set(re.findall(r"batch \d+", every)) == {"batch 16"}
    _, out, _ = run_verb(capsys, folder, *asked, "--json")
    claims = json.loads(out)["claims"]
    assert [c["id"] for c in claims] == ["faster", "gpu_no_gain"]
    assert {v["place"]["batch"] for c in claims for v in c["verdicts"]} == {16}
    _, out, _ = run_verb(capsys, folder, "--claim", "cpu_3x")
    assert out.startswith("Not measured: cpu_3x (no CPU pair")


@pytest.mark.parametrize(
    ("option", "says"),
    [(("--claim", "cpu_4x"), CLAIMS[-1].id), (("--batch", 3), "There are answers at 1, 4, 8, 16, 32, 64 and 256."), (("--claim", "below_9x", "--batch", 1), "Leave it out.")],
)  # fmt: skip
def test_a_claim_or_batch_without_an_answer_is_a_mistake_in_one_line(option: tuple[object, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    status, out, err = run_verb(capsys, REFERENCE.with_name("h100-16-cores-speed-thinking"), *option)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert says in err


def test_the_texts_are_named_with_their_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    document = (ROOT / "docs" / "CLAIMS.md").read_text()
    _, every, _ = run_verb(capsys, REFERENCE, "--all")
    assert all(url in document and url in every for _, url in TEXTS)


def test_a_run_given_twice_is_a_mistake_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, copy = tmp_path / "one", tmp_path / "copy"
    for folder in (one, copy):  # the tables alone are read faster
        shutil.copytree(REFERENCE, folder, ignore=shutil.ignore_patterns("plots", "journal.jsonl"))
    for again in (one, one / ".", copy):
        status, out, err = run_verb(capsys, one, again)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "this run was given already. Give each run once." in err
    status, _, err = run_verb(capsys, tmp_path / "none")
    assert (status, err.count("\n")) == (2, 1)


# ---------------------------------------------------------------- a run's folder


def test_a_runs_folder_gets_its_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.show.write.draw", lambda *_: ())  # others draw
    folder = tmp_path / "run"
    data = config({"channels": [32, 64, 128], "kernel": [3]})
    write_run(folder, Story(seconds=worlds.server, processes=6), data, ("cpu", "cuda:0"))
    views = write_views(folder)
    told = json.loads((folder / "verdict.json").read_text())
    assert told == views.verdicts.to_dict()
    assert str(tmp_path) not in (folder / "verdict.json").read_text()
    assert {v.answer for v in views.verdicts.of("cpu_3x")} == {"HOLDS EVERYWHERE"}
    assert {v.side for v in views.verdicts.of("device_by_block")} <= {"yes", "no", "partly"}
    before = (folder / "verdict.json").read_bytes()
    write_views(folder)
    assert (folder / "verdict.json").read_bytes() == before


def test_tables_alone_are_enough_and_may_lack_columns(tmp_path: Path) -> None:
    for name in ("measurements", "pairs"):
        table = pd.read_csv(REFERENCE / f"{name}.csv")
        gone = [c for c in table if c.startswith(("roof", "attain", "noise", "bound", "memory", "activations", "params"))]  # fmt: skip
        table.drop(columns=gone).to_csv(tmp_path / f"{name}.csv", index=False)
    found = judge([run_folder.read(tmp_path)])
    (confirmed,) = [v for v in found.of("cpu_3x") if v.confirmatory]
    assert (confirmed.answer, confirmed.bottleneck) == (
        "HOLDS FROM",
        "compute-bound",
    )  # by ops and MACs, which are left
    assert [v.answer for v in found.of("memory")] == ["NOT MEASURED"]
    assert shown(found)


def test_cells_that_an_older_table_leaves_empty_count_as_usual() -> None:
    run = run_folder.read(REFERENCE)
    frames = [frame.copy() for frame in (run.measurements, run.pairs)]
    for frame in frames:
        for name in set(USUAL) - {"layout"}:
            frame[name] = pd.array([None] * len(frame), dtype="string")
    found = judge([replace(run, measurements=frames[0], pairs=frames[1])])
    assert found.verdicts == judge([run]).verdicts


@pytest.mark.parametrize("file", ["m", "p"])
def test_a_run_without_rows_is_no_crash(file: str) -> None:
    run = run_folder.read(REFERENCE)
    empty = run_folder.frame([], "p"), run_folder.frame([], "m")
    found = judge([replace(run, pairs=empty[0]) if file == "p" else replace(run, measurements=empty[1])])
    assert {c.id for c in CLAIMS} == {v.claim for v in found.verdicts}
    assert shown(found)
    nothing = judge([replace(run, pairs=empty[0], measurements=empty[1])])
    assert {v.answer for v in nothing.verdicts} == {"NOT MEASURED"}


@pytest.mark.fault(
    "tables", "columns of a table are empty",
    "verdicts are given from the rest",
)  # fmt: skip
def test_no_column_that_may_be_empty_brings_it_down() -> None:
    """Every column but what rows are told apart by, emptied one at a time."""
    run = worlds.run_of(worlds.planned(shapes=worlds.shapes([32, 64])), worlds.server)
    whole = judge([run])
    for name in run.measurements.columns.union(run.pairs.columns):
        frames = {}
        for which in ("measurements", "pairs"):
            frame = getattr(run, which).copy()
            if name in frame and name not in ("run_id", "status", "trial_id", "arm_id"):
                frame[name] = pd.array([None] * len(frame), dtype=frame[name].dtype)
            frames[which] = frame
        found = judge([replace(run, **frames)])
        assert {v.claim for v in found.verdicts} == {c.id for c in CLAIMS}, name
        json.dumps(found.to_dict(), allow_nan=False)
        if found.verdicts != whole.verdicts:
            assert shown(found)


def test_runs_of_which_nothing_was_measured_answer_only_what_is_exact(tmp_path: Path) -> None:
    write_run(tmp_path, Story(fails=dict.fromkeys(range(12), (1, "oom", "no memory"))))
    found = judge([run_folder.read(tmp_path)])
    answers = {v.claim: v.answer for v in found.verdicts}
    assert (answers.pop("fewer_flops"), answers.pop("below_9x")) == ("SUPPORTED", "SUPPORTED")
    assert set(answers.values()) == {"NOT MEASURED"}


# ---------------------------------------------------------------- words


def test_what_confirms_is_starred_and_stands_first() -> None:
    plan = worlds.planned(shapes=worlds.shapes(layout=["contiguous", "channels_last"]))
    out = shown(judge([worlds.run_of(plan, worlds.server)]))
    own = out[out.index("cpu_3x: ") :].splitlines()[1:3]
    assert own[0].startswith("  cpu, 1 thread, contiguous: HOLDS EVERYWHERE* ")
    assert own[1].startswith("  cpu, 1 thread, channels_last: HOLDS EVERYWHERE (mean ")


def test_several_runs_are_told_apart_where_they_differ() -> None:
    a = worlds.run_of(worlds.planned(shapes=worlds.shapes()), worlds.server, run_id="here")
    b = worlds.run_of(worlds.planned(shapes=worlds.shapes()), worlds.server, run_id="there", host={**worlds.HOST, "cpu_model": "Other"})  # fmt: skip
    out = shown(judge([a, b]))
    for letter in "AB":
        assert f"  cpu, 1 thread, contiguous [{letter}]: HOLDS EVERYWHERE*" in out


def test_another_run_on_the_command_line_changes_no_answer_of_the_first() -> None:
    card, cpu = (run_folder.read(REFERENCE.parent / name) for name in ("h100-16-cores", "xeon-2-cores"))
    both = {(v.claim, v.condition, v.about): v for v in judge([card, cpu]).verdicts}
    for run in (card, cpu):
        for v in judge([run]).verdicts:
            if v.bottleneck != "exact" and v.answer != "NOT MEASURED":
                assert both[v.claim, v.condition, v.about] == v


@pytest.mark.parametrize("width", [80, 100])
def test_the_h100_says_in_ten_lines_where_it_is_slower_where_faster_and_what_limits_it(monkeypatch: pytest.MonkeyPatch, width: int) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", str(width))
    out = shown(judge([run_folder.read(REFERENCE.parent / "h100-16-cores-speed-thinking")]))
    assert max(map(len, out.splitlines())) <= width
    assert len(out.splitlines()) <= 40
    first = " ".join(" ".join(out.splitlines()[:10]).split())
    assert "cuda:0, contiguous, eager: slower at batch 1* to 8" in first
    assert "undecided at batch 16" in first
    assert "faster at batch 64" in first
    assert "cuda:0, contiguous, graph: faster at batch 1 to 256" in first
    assert "overhead-bound at batch 1" in first


def test_a_claim_that_no_sweep_can_answer_says_which_is_missing() -> None:
    out = " ".join(shown(judge([run_folder.read(REFERENCE.parent / "h100-16-cores")])).split())
    assert "separable: undecided* (no sweep of this block grows layers alone); compute-bound" in out


def test_numbers_have_the_digits_that_their_interval_justifies() -> None:
    assert words.effect(Effect("s", 2.6812, 2.60, 2.76)) == "2.68x [2.60, 2.76]"
    assert words.effect(Effect("s", 2.6812, None, None)) == "2.7x"
    assert words.effect(Effect("e", 0.9213, 0.9, 0.94, "difference of elasticities")) == "+0.92 [+0.90, +0.94]"
    assert words.effect(Effect("e", -0.5, None, None, "elasticity")) == "-0.50"
    assert words.effect(None) == ""
    assert [p_words(p) for p in (0.0004, 0.0123, 0.31, 1.0)] == ["<0.001", "0.012", "0.31", "1"]


def test_what_is_refuted_never_reads_as_the_threshold_itself() -> None:
    assert words.effect(Effect("s", 2.8412, 2.731, 2.9542, lines=(3.0,))) == "2.84x [2.73, 2.95]"
    assert words.effect(Effect("s", 2.8412, 2.731, 3.0, lines=(3.0,))) == "2.8x [2.7, 3.0]", "it lies on the line"
    assert words.effect(Effect("s", 0.997, 0.9601, 1.0346, lines=(0.97045, 1.03045))) == "0.997x [0.960, 1.035]"
    assert words.effect(Effect("e", -0.2, -0.4, -0.003, "difference of elasticities", (0.0,))) == "-0.200 [-0.400, -0.003]"  # fmt: skip
    assert words.effect(Effect("r", 8.98, None, None, "ratio, exact", (9.0,))) == "8.98x"
    assert [p_words(p) for p in (0.0496, 0.05, 0.0504)] == ["0.0496", "0.05", "0.0504"]


def test_what_lies_hard_by_a_threshold_says_on_which_side_in_few_digits() -> None:
    assert words.effect(Effect("s", 3.0002, 2.71, 3.4, lines=(3.0,))) == ">3.0x [2.7, 3.4]"
    assert words.effect(Effect("s", 3.0002, 2.96, 3.04, lines=(3.0,))) == ">3.00x [2.96, 3.04]"
    assert words.effect(Effect("s", 2.8412, 2.731, 2.99999, lines=(3.0,))) == "2.8x [2.7, <3.0]"
    assert words.effect(Effect("e", -0.0002, -0.1, 0.1, "difference of elasticities", (0.0,))) == "<0.00 [-0.10, +0.10]"
    assert words.effect(Effect("e", 0.70001, None, None, "elasticity", (0.3, 0.7))) == ">+0.70"
    assert words.effect(Effect("s", 1.03049, 1.01, 1.05, lines=(0.97045, 1.03045))) == "1.031x [1.010, 1.050]", "no round line"  # fmt: skip
    assert [p_words(p) for p in (0.04998, 0.05002)] == ["<0.050", ">0.050"]


@st.composite
def held_against(draw: st.DrawFn) -> Effect:
    """Effects of every kind with their thresholds; many an end lies hard by one."""
    slopes = draw(st.booleans())
    lines = draw(st.sampled_from([(0.0,), (0.3, 0.7)] if slopes else [(1.0,), (3.0,), (9.0,), (math.exp(-0.03), math.exp(0.03))]))  # fmt: skip
    near = st.builds(lambda t, d, sign: t + sign * 10**d, st.sampled_from(lines), st.floats(-8.5, -0.5), st.sampled_from([-1, 1]))  # fmt: skip
    low, value, high = sorted(draw(st.tuples(*[near | st.floats(-2 if slopes else 0.05, 40)] * 3)))
    known = draw(st.booleans())
    return Effect("e", value, low if known else None, high if known else None, "elasticity" if slopes else "ratio", lines)  # fmt: skip


@given(held_against())
def test_no_number_is_printed_on_a_threshold_or_beyond_it_that_it_does_not_reach(e: Effect) -> None:
    printed = re.findall(r"([<>]?)([-+]?[0-9.]+)", words.effect(e))
    real = [x for x in (e.value, e.low, e.high) if x is not None]
    assert len(printed) == len(real)
    for (mark, digits), is_ in zip(printed, real, strict=True):
        told = float(digits) + {"<": -1e-9, "": 0, ">": 1e-9}[mark]
        for line in e.lines:
            meant = line if math.isclose(is_, line, rel_tol=1e-9, abs_tol=1e-9) else is_  # nearer, it lies on the line
            assert (told < line) == (meant < line)
            assert (told > line) == (meant > line)
        decimals = len(digits.partition(".")[2])
        assert decimals <= (3 if is_ >= 0.1 or "elasticit" in e.unit else 4), "no digits that its like has not"
        assert abs(told - is_) <= 10**-decimals * 1.001
        assert not mark or any(math.isclose(float(digits), line) for line in e.lines)


@given(st.floats(0.001, 1) | st.builds(lambda d, sign: 0.05 + sign * 10**d, st.floats(-8.5, -1.5), st.sampled_from([-1, 1])))  # fmt: skip
def test_no_p_is_printed_on_the_level_that_is_not(p: float) -> None:
    mark, digits = re.fullmatch(r"([<>]?)([0-9.]+)", p_words(p)).groups()  # type: ignore[union-attr]
    told = float(digits) + {"<": -1e-9, "": 0, ">": 1e-9}[mark]
    meant = 0.05 if math.isclose(p, 0.05) else p
    assert ((told < 0.05), (told > 0.05)) == ((meant < 0.05), (meant > 0.05))
    assert len(digits.partition(".")[2]) <= 4


# ---------------------------------------------------------------- the document


def test_the_document_names_every_claim_and_every_threshold() -> None:
    text = (ROOT / "docs" / "CLAIMS.md").read_text(encoding="utf-8")
    for claim in CLAIMS:
        assert f"`{claim.id}`" in text
        assert claim.statement in text
    for threshold in ("below 0.5", "3 %", "95 %", "six processes"):
        assert threshold in text
