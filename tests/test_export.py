"""What bench report prints for other programs, and the index of all runs."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.show.export import report
from bench.show.pages import index
from bench.show.text.claims import answer
from bench.show.write import write_views
from tests.synthetic import Story, config, write_run
from tests.test_page import HOSTILE, REFERENCE, Parsed
from tests.test_predicted_apart import predicted
from tests.test_together import run as verb

SMALL = config({"channels": [16, 64], "kernel": [3, 5], "threads": [1]})


def made(folder: Path, story: Story | None = None, **environment: object) -> run_folder.Run:
    write_run(folder, story, SMALL, environment=environment)
    run = run_folder.read(folder)
    run_folder.write_tables(run)
    return run


def tables(text: str) -> list[list[list[str]]]:
    """The tables of Markdown as rows of cells; a line that is no row ends one."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("| "):
            found[-1].append([c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [t for t in found if t]


# ---------------------------------------------------------------- --format


def test_markdown_has_a_table_of_speedups_and_one_of_verdicts() -> None:
    run = run_folder.read(REFERENCE)
    told = report.as_markdown([run])
    speedups, verdicts = tables(told)
    assert speedups[0] == ["kernel", "channels", "way", "speedup"]
    assert speedups[1] == ["---", "---", "---", "---:"]
    assert len(speedups) == 2 + 30
    assert verdicts[0] == ["claim", "answer", "effect", "where", "p", "cells"]
    assert [row[1] for row in verdicts[2:]] == [answer(v) for v in judge([run]).verdicts if v.confirmatory]
    assert all(len(row) == len(table[0]) for table in (speedups, verdicts) for row in table)
    assert "**On the CPU with 1 thread separable is faster (28 of 30 cells, 3.7x).**" in told


def test_markdown_keeps_names_that_are_markup(tmp_path: Path) -> None:
    told = report.as_markdown([made(tmp_path, Story(run_id=f"a|b *c* [d](e) {HOSTILE}"), torch=HOSTILE)])
    assert re.search(r"(?<!\\)[<*]", told.replace("**", "")) is None
    assert "](e)" not in told
    assert all(len(row) == len(table[0]) for table in tables(told) for row in table)


def test_markdown_of_an_a_a_run_has_no_verdicts(tmp_path: Path) -> None:
    axes = {"channels": [16, 64], "kernel": [3], "threads": [1]}
    write_run(tmp_path, Story(speedup=lambda t, a: 1.0), config(axes, ["standard", {"name": "standard", "again": True}]))  # fmt: skip
    told = report.as_markdown([run_folder.read(tmp_path)])
    assert "Verdicts" not in told
    assert len(tables(told)) == 1


def test_csv_is_the_pairs_of_all_runs_under_one_header(tmp_path: Path) -> None:
    runs = [made(tmp_path / n, Story(run_id=n, seed=i)) for i, n in enumerate("ab")]
    held = pd.read_csv(io.StringIO(report.csv(runs)))
    assert held["run_id"].tolist() == ["a"] * 4 + ["b"] * 4
    assert held["speedup"].tolist() == [v for run in runs for v in run.pairs["speedup"]]  # to the last digit
    assert held.columns.tolist() == runs[0].pairs.columns.tolist()
    assert report.csv(runs[:1]) == (tmp_path / "a" / "pairs.csv").read_text(encoding="utf-8")


def test_json_is_one_document_with_rows_and_verdicts(tmp_path: Path) -> None:
    run = made(tmp_path, Story(fails={0: (1, "oom", "no memory")}))
    (tmp_path / "DONE").unlink()
    told = json.loads(report.document([run]), parse_constant=lambda word: pytest.fail(word))
    (one,) = told["runs"]
    assert (one["run_id"], one["complete"]) == (run.run_id, False)
    assert [row["status"] for row in one["pairs"]] == ["oom", "ok", "ok", "ok"]
    assert one["pairs"][0]["speedup"] is None
    assert [row["speedup"] for row in one["pairs"][1:]] == run.pairs["speedup"].tolist()[1:]
    assert len(one["measurements"]) == 8
    assert told["verdicts"] == judge([run]).to_dict()


@pytest.mark.parametrize("word", ["md", "csv", "json"])
def test_what_is_printed_leaves_the_folder_alone(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "results" / "x")
    before = sorted(tmp_path.rglob("*"))
    assert verb("report", tmp_path / "results" / "x", "--format", word) == 0
    assert capsys.readouterr().out.startswith({"md": "## ", "csv": "run_id,", "json": "{"}[word])
    assert sorted(tmp_path.rglob("*")) == before


# ---------------------------------------------------------------- the index


def row(parsed: Parsed, name: str) -> str:
    """The words of the index from a run's name to the next row's end."""
    return parsed.text.split(f" {name} ", 1)[1]


@pytest.mark.usefixtures("sketched")
def test_the_index_lists_every_run_with_its_page(tmp_path: Path) -> None:
    root = tmp_path / "results"
    made(root / "new", Story(run_id="new"), started_utc="2026-03-01T08:30:00Z")
    write_views(root / "new")
    made(root / "reference" / "old one", Story(run_id="old"), started_utc="2026-01-01T00:00:00Z")
    (root / "reference" / "old one" / "DONE").unlink()
    (root / "latest").symlink_to("new")
    (root / "notes").mkdir()
    told = Parsed(index.write(root).read_text(encoding="utf-8"))
    heads = [a for a in told.all("th") if a.get("scope") == "row"]
    assert len(heads) == 2  # latest is the same as new
    assert [a["href"] for a in told.all("a") if a["href"] != "#main"] == ["new/report.html"]
    assert told.text.index(" new ") < told.text.index("reference/old one")  # the newest first
    assert "2026-03-01 08:30" in row(told, "new")
    assert "On the CPU with 1 thread separable is faster (4 of 4 cells, 4.7x)." in row(told, "new")
    assert "4 of 4 synthetic 2.13.0 complete" in row(told, "new")
    judged = judge([run_folder.read(root / "new")]).verdicts
    exact = [v for v in judged if v.bottleneck == "exact"]
    assert f"; exact: {len(exact)} supported 4 of 4" in row(told, "new")
    assert f"{sum(v.confirmatory and v.answer == 'NOT MEASURED' for v in judged)} not measured; exact" in row(told, "new")  # fmt: skip
    assert "INCOMPLETE" in row(told, "reference/old one")
    assert len((root / "index.html").read_bytes()) < 50_000


def test_the_index_says_what_is_skipped_noisy_failed_or_only_predicted(tmp_path: Path) -> None:
    some = made(tmp_path / "some")
    statuses = ["noisy", "skipped", "oom", *some.pairs["status"][3:]]
    run_folder.write_tables(replace(some, pairs=some.pairs.assign(status=statuses)))
    told = replace(predicted(2, 0.5), folder=tmp_path / "told")
    told.folder.mkdir()
    run_folder.write_tables(told)
    found = judge([told])
    (told.folder / "verdict.json").write_text(json.dumps(found.to_dict()))
    page = Parsed(index.write(tmp_path).read_text(encoding="utf-8"))
    assert "2 of 4, 1 noisy, 1 skipped, 1 failed" in row(page, "some")
    many = Counter(v.answer.lower() for v in found.verdicts if v.predicted)
    would = row(page, "told")
    assert "exact:" in would
    assert not re.search(r"\d (supported|refuted|holds|fails|depends|undecided)", would.partition("exact:")[0])
    assert all(f"{n} {answer}" in would for answer, n in many.items())
    assert f"0 of {len(told.pairs)}, {len(told.pairs)} predicted" in would
    assert any("would-be" in str(a.get("class")) for a in page.all("span"))


def test_a_run_without_tables_is_listed_as_one(tmp_path: Path) -> None:
    write_run(tmp_path / "fresh", Story(), SMALL)
    told = Parsed(index.write(tmp_path).read_text(encoding="utf-8"))
    assert "no tables yet: bench report writes them" in row(told, "fresh")


@pytest.mark.fault(
    "folders of others", "a run below results/ is broken",
    "the index lists all others",
)  # fmt: skip
@pytest.mark.parametrize("name", ["environment.json", "plan.json", "verdict.json", "pairs.csv"])
def test_a_broken_run_does_not_keep_others_out_of_the_index(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        made(tmp_path / folder)
    (tmp_path / "a" / name).write_text("{broken")
    told = Parsed(index.write(tmp_path).read_text(encoding="utf-8"))
    assert len([a for a in told.all("th") if a.get("scope") == "row"]) == 2


def test_an_empty_folder_has_an_index_that_says_so(tmp_path: Path) -> None:
    assert "No run lies here yet" in Parsed(index.write(tmp_path).read_text(encoding="utf-8")).text


def test_names_in_the_index_stay_names(tmp_path: Path) -> None:
    made(tmp_path / "<b>x</b> & 100%", Story(run_id=HOSTILE), torch=HOSTILE, devices={"cpu": {"name": HOSTILE}})
    (tmp_path / "<b>x</b> & 100%" / "report.html").write_text("")
    told = Parsed(index.write(tmp_path).read_text(encoding="utf-8"))
    assert [a["href"] for a in told.all("a") if a["href"] != "#main"] == ["%3Cb%3Ex%3C/b%3E%20%26%20100%25/report.html"]
    assert told.all("b") == []
    assert len(told.all("script")) == 1


@pytest.mark.usefixtures("sketched")
def test_a_report_below_results_refreshes_the_index_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "results" / "deep" / "x")
    made(tmp_path / "elsewhere" / "y")
    assert verb("report", tmp_path / "results" / "deep" / "x") == 0
    assert verb("report", tmp_path / "elsewhere" / "y") == 0
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("index.html")] == ["results/index.html"]
    capsys.readouterr()
    assert verb("report", "--index", tmp_path / "elsewhere") == 0
    assert capsys.readouterr().out == f"written: {tmp_path}/elsewhere/index.html\n"
