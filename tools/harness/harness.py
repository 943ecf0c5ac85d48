"""`make bench-harness`: what the harness itself takes at 10^3 rows and more, in processor time, by pytest-benchmark.

`ROWS=1000000` adds a size to the comparison of tables.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.analyse.compare.compare import compare_all
from bench.analyse.compare.facts import COMPARED
from bench.analyse.runs import run_folder
from bench.analyse.runs.journal import read_journal
from bench.run.journal import Journal
from bench.show import write
from bench.spec.config.config import check
from bench.spec.plan.plan import make
from tests.large_tables import write as write_tables
from tests.synthetic import Story, config, write_run

VERBS = "run plan cost doctor report verdict compare drivers aa".split()
COMPARED_ROWS = [1_000, 10_000, 100_000, *map(int, os.environ.get("ROWS", "").split())]


def planned(rows: int) -> dict[str, Any]:
    """A config of so many trials."""
    axes = {"channels": [8 * (i + 1) for i in range(rows // 40)], "kernel": [1, 3, 5, 7, 9], "size": [7, 14, 28, 56]}
    return config({**axes, "threads": [1, 2]})


@pytest.fixture(scope="module")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A run's folder of so many trials, made once."""
    made: dict[int, Path] = {}

    def of(rows: int) -> Path:
        if rows not in made:
            made[rows] = tmp_path_factory.mktemp(f"run{rows}")
            write_run(made[rows], Story(processes=3, rounds=4), planned(rows))
        return made[rows]

    return of


def once(benchmark: Any, what: Callable[[], object]) -> Any:
    """The result of `what`, timed once."""
    return benchmark.pedantic(what, rounds=1, iterations=1)


@pytest.mark.parametrize("rows", [1_000, 10_000])
def test_plan(benchmark: Any, rows: int) -> None:
    """Make a plan."""
    data = check(planned(rows), "harness")
    assert len(once(benchmark, lambda: make(data, ["cpu"], 2)).trials) == rows


@pytest.mark.parametrize("rows", [1_000, 4_000])
def test_journal_read(benchmark: Any, rows: int, run_of: Callable[[int], Path]) -> None:
    """Read and check a journal of four lines a trial, a row being a trial."""
    folder = run_of(rows)
    trials = {t.trial_id: t for t in run_folder.read_plan(folder).trials}  # type: ignore[union-attr]
    assert len(once(benchmark, lambda: read_journal(folder / "journal.jsonl", trials)).trials) == rows


@pytest.mark.parametrize("rows", [1_000, 4_000])
def test_resume(benchmark: Any, rows: int, run_of: Callable[[int], Path]) -> None:
    """What a resumed run reads before its first trial."""
    folder = run_of(rows)
    trials = {t.trial_id: t for t in run_folder.read_plan(folder).trials}  # type: ignore[union-attr]

    def read() -> int:
        with Journal(folder / "journal.jsonl") as journal:
            return len(journal.records(trials))

    assert once(benchmark, read) > rows


@pytest.mark.parametrize("rows", [120, 1_000, 10_000])
def test_report(benchmark: Any, rows: int, run_of: Callable[[int], Path]) -> None:
    """All tables, pictures and the page."""
    folder = run_of(rows)
    assert once(benchmark, lambda: write.write_views(folder)).page.is_file()


@pytest.mark.parametrize("rows", COMPARED_ROWS)
def test_compare_as_json(benchmark: Any, rows: int, tmp_path: Path) -> None:
    """`bench compare A B --fail-on slower --json` of folders with tables alone; a row is a pair, so three are compared."""
    folders = [write_tables(tmp_path / name / "run", rows, seed) for seed, name in enumerate("ab", 1)]
    words = [sys.executable, "-m", "bench", "compare", *map(str, folders), "--fail-on", "slower", "--json"]
    began = time.perf_counter()
    assert once(benchmark, lambda: subprocess.run(words, stdout=subprocess.DEVNULL)).returncode in (0, 3)
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"\n{rows:,} pairs: {time.perf_counter() - began:.3g} s from start to end, at most {most:.1f} GB")


@pytest.mark.parametrize("rows", [10_000])
def test_compare_by_pytest_benchmark(benchmark: Any, rows: int, tmp_path: Path) -> None:
    """A peer: `pytest-benchmark compare --group-by=name A B` of two files of so many cases with ten samples each."""
    rng = np.random.default_rng(1)
    for name in "ab":
        seconds = 1e-5 * np.exp(rng.normal(0, 0.02, (rows, 10)))
        (tmp_path / f"{name}.json").write_text(
            json.dumps({"benchmarks": [_case(i, each) for i, each in enumerate(seconds)]})
        )
    words = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "compare",
        "--group-by=name",
        str(tmp_path / "a.json"),
        str(tmp_path / "b.json"),
    ]
    assert once(benchmark, lambda: subprocess.run(words, stdout=subprocess.DEVNULL, cwd=tmp_path)).returncode == 0


def _case(i: int, seconds: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A case of a file of pytest-benchmark."""
    low, middle, high = np.percentile(seconds, [25, 50, 75])
    stats = {"min": seconds.min(), "max": seconds.max(), "mean": seconds.mean(), "stddev": seconds.std(ddof=1), "rounds": len(seconds), "median": middle,
             "iqr": high - low, "q1": low, "q3": high, "iqr_outliers": 0, "stddev_outliers": 0, "outliers": "0;0", "ld15iqr": low, "hd15iqr": high,
             "ops": 1 / seconds.mean(), "total": seconds.sum(), "iterations": 1, "data": seconds.tolist()}  # fmt: skip
    return {"group": None, "name": f"test_case[{i}]", "fullname": f"test_file.py::test_case[{i}]", "params": None, "param": str(i), "extra_info": {}, "options": {}, "stats": stats}  # fmt: skip


@pytest.mark.parametrize("rows", [1_000, 100_000])
def test_compare_with_page(benchmark: Any, rows: int, tmp_path: Path) -> None:
    """Compare, draw, and write a page of under 3 MB."""
    folders = [write_tables(tmp_path / name / "run", rows, seed) for seed, name in enumerate("ab", 1)]

    def compared() -> Path:
        found = compare_all([run_folder.read(f, only=COMPARED) for f in folders])
        return write.write_comparisons(found, "bench compare a b", tmp_path / "out").page

    assert once(benchmark, compared).stat().st_size < 3_000_000


@pytest.mark.parametrize("verb", VERBS)
def test_start_up(benchmark: Any, verb: str) -> None:
    """`bench VERB --help`; the time is of its process."""

    def spent() -> None:
        subprocess.run([sys.executable, "-m", "bench", verb, "--help"], check=True, stdout=subprocess.DEVNULL)

    once(benchmark, spent)
