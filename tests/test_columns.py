"""docs/COLUMNS.md is what the registry says, and what the registry says of empty cells is so in real and made-up runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.analyse.compare.compare import compare
from bench.analyse.runs import run_folder
from bench.show.export.compare import as_csv
from bench.spec.columns import COLUMNS, FILES, KEYS, MEASURED, columns_of
from tests.synthetic import Story, config, write_run
from tools import columns_page

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = sorted(f.parent for f in (ROOT / "results" / "reference").glob("*/measurements.csv"))
COMMITTED = sorted(
    f
    for kept in ("reference", "study")
    for name in ("measurements.csv", "pairs.csv", "roofs.csv")
    for f in (ROOT / "results" / kept).glob(f"*/{name}")
)
FAILS = {0: (1, "oom", "no memory"), 1: (2, "crash", "it fell"), 2: (1, "unsupported", "not on this device")}


@pytest.fixture(scope="module", params=[*REFERENCES, None], ids=lambda folder: folder.name if folder else "made-up")
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    """A reference run, or one in which trials fail before and after their first process."""
    if request.param is not None:
        return run_folder.read(request.param, samples=True)
    folder = tmp_path_factory.mktemp("made-up")
    write_run(folder, Story(fails=FAILS, once=frozenset({3})), config({"threads": [1]}))
    return run_folder.read(folder, samples=True)


def tables(run: run_folder.Run) -> list[tuple[str, pd.DataFrame]]:
    frames = {"m": run.measurements, "p": run.pairs, "s": run.samples, "o": run.opinions, "r": run.roofs}
    return [(key, frame) for key, frame in frames.items() if frame is not None]


def test_the_page_shows_the_tables_that_the_command_prints():
    told = subprocess.run(
        [sys.executable, "-m", "tools.columns_page"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == columns_page.markdown()
    page = (ROOT / "docs" / "COLUMNS.md").read_text(encoding="utf-8")
    assert page.endswith(columns_page.markdown()), "print the tables with: python -m tools.columns_page"


def test_the_columns_of_a_comparison_are_told(tmp_path: Path):
    for name in "ab":
        write_run(tmp_path / name, Story(run_id=name), config({"threads": [1]}))
    compared = compare(*(run_folder.read(tmp_path / name) for name in "ab"))
    header = "".join(as_csv([compared])).splitlines()[0].split(",")
    page = (ROOT / "docs" / "COLUMNS.md").read_text(encoding="utf-8")
    section = page.partition("## What `bench compare --csv` writes")[2].partition("\n## ")[0]
    told = [name for line in section.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1] if "|" in line else "")]  # fmt: skip
    assert set(header) == {*told, *KEYS} - {"device"}


def test_each_column_has_its_row_and_each_file_its_header():
    told = columns_page.markdown().splitlines()
    rows = [line for line in told if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [c.name for c in COLUMNS]
    assert {row.count(" | ") for row in rows} == {len(columns_page.HEAD) - 1}
    assert set(columns_page.ROWS) == set(FILES)
    for key in FILES:
        assert f"> {' '.join(f'`{c.name}`' for c in columns_of(key))}" in told


@pytest.mark.parametrize("table", COMMITTED, ids=lambda table: f"{table.parent.name}/{table.name}")
def test_a_committed_table_has_the_header_that_bench_report_writes(table: Path):
    """Otherwise the first bench report of a clone would change files that are kept."""
    key = next(key for key, name in FILES.items() if name == table.name)
    header = table.read_text(encoding="utf-8").partition("\n")[0]
    assert header.split(",") == [c.name for c in columns_of(key)], f"bench report {table.parent.relative_to(ROOT)}"


def test_a_column_that_is_never_empty_is_not(run: run_folder.Run):
    for key, table in tables(run):
        for column in columns_of(key):  # type: ignore[arg-type]
            assert column.empty or table[column.name].notna().all(), (FILES[key], column.name)


def test_a_column_is_empty_where_it_says_and_in_no_other_row(run: run_folder.Run):
    for key, table in tables(run):
        if key not in "mp":
            continue
        timed = table["processes"] > 0
        assert not run.run_id.startswith("synthetic") or set(table["processes"]) >= {0, 1, 5}
        whole = table["kernel"].isna()
        for column in columns_of(key):  # type: ignore[arg-type]
            empty = table[column.name].isna()
            reasons = column.empty.split("; ")
            if "nothing was timed" in reasons:
                assert empty[~timed].all(), column.name
            if reasons in (["nothing was timed"], ["nothing was timed", "its costs are not known"]):
                assert not empty[timed].any(), column.name
            if column.empty == "fewer than three processes timed it":
                assert (empty == (table["processes"] < 3)).all(), column.name
            if column.empty == "it is a whole network":
                assert (empty == whole).all(), column.name
            if any("on cpu" in reason for reason in reasons):
                assert empty[table["device"] == "cpu"].all(), column.name
        ok = table["status"] == "ok"
        assert (table["status_detail"].isna() == ok).all()
        assert table.loc[table["status"].isin(MEASURED), "processes"].gt(0).all()


def test_words_of_emptiness_are_short_and_of_one_kind():
    for column in COLUMNS:
        assert not column.empty.endswith(".")
        assert "empty" not in column.meaning, column.name
