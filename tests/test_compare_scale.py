"""Comparisons of many rows: arrays do as single intervals, columns are read as tables are, and views stay bounded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.compare.compare import compare
from bench.analyse.compare.facts import COMPARED
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import by_process
from bench.analyse.stats import estimators, interval_arrays
from bench.analyse.stats.interval_arrays import Intervals
from bench.show.export.compare import as_csv, as_json
from bench.show.pages import compare as page
from bench.show.plots.compare import MOST_PANELS, picture, spread
from bench.show.text.compare import MOST_DRAWN
from bench.spec.errors import UserError
from bench.spec.interval import Interval
from tests.large_tables import write

ONE = st.builds(Interval, st.floats(-1, 1), st.sampled_from([0.0, 0.01, 0.2, math.inf]), st.integers(1, 12))
PAIRS = 700


@given(st.lists(st.tuples(ONE, ONE), min_size=1, max_size=6), st.sampled_from([0.8, 0.95]))
def test_many_intervals_do_as_each_of_them(pairs: list[tuple[Interval, Interval]], confidence: float) -> None:
    a, b = (Intervals(np.array([i.mean for i in s]), np.array([i.half_width for i in s]), np.array([i.n for i in s])) for s in zip(*pairs, strict=True))  # fmt: skip
    apart = interval_arrays.differences(a, b, confidence)
    wide = interval_arrays.widened(a, 0.03, confidence)
    p = interval_arrays.p_values(a, confidence)
    for i, (one, two) in enumerate(pairs):
        each = estimators.difference(one, two, confidence)
        assert (apart.mean[i], apart.half_width[i], apart.n[i]) == pytest.approx((each.mean, each.half_width, each.n))
        assert wide.half_width[i] == pytest.approx(estimators.widened(one, 0.03, confidence).half_width)
        assert p[i] == pytest.approx(estimators.p_value(one, confidence), abs=1e-12)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [write(tmp_path_factory.mktemp(n) / "run", PAIRS, seed) for seed, n in enumerate("ab", 1)]


def test_columns_are_read_as_tables_are(folders: list[Path]) -> None:
    quick, whole = run_folder.read(folders[0], only=COMPARED), run_folder.read(folders[0])
    for name in ("pairs", "measurements"):
        few, every = getattr(quick, name), getattr(whole, name)
        told = f"{'speedup' if name == 'pairs' else 'time'}_by_process"
        values = by_process(every[told], told)
        assert [column for column in few if str(column).startswith(told)] == [f"{told} {i}" for i in range(1, 7)]
        assert set(values) == {*few} - {*every}
        every = every.assign(**values)
        for column in few:
            assert few[column].astype("object").where(few[column].notna(), None).tolist() == every[column].astype("object").where(every[column].notna(), None).tolist(), column  # fmt: skip


def test_a_row_takes_few_bytes(tmp_path: Path) -> None:
    run = run_folder.read(write(tmp_path / "run", 20_000, 1), only=COMPARED)
    for rows in (run.pairs, run.measurements):
        names = int(rows["trial_id"].cat.categories.memory_usage(deep=True))
        assert (rows.memory_usage(deep=True).sum() - names) / len(rows) < 200


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        (",eager,", ",,", True), (",sweep,", ",'=sweep,", True), (",eager,", ",7,", True), ("1:", "1001:", False), ("1:", "2:", False),
        ("1:", "x:", False), ("1:", "1.5:", False), (",6,", ",-6,", False), (",6,", ",nan,", False), (",6,", ",6.5,", False),
        (",ok,", ",fine,", False), (",2,ok,", ",9,ok,", False),
    ],
)  # fmt: skip
def test_an_odd_value_is_read_or_named_as_in_a_small_table(
    folders: list[Path], tmp_path: Path, old: str, new: str, fits: bool
) -> None:
    text = (folders[0] / "pairs.csv").read_text()
    for name in ("measurements.csv", "environment.json"):
        (tmp_path / name).write_bytes((folders[0] / name).read_bytes())
    (tmp_path / "pairs.csv").write_text(text.replace(old, new, 1))
    told = []
    for only in (None, COMPARED):
        try:
            told.append(
                str(
                    run_folder.read(tmp_path, only=only)
                    .pairs.iloc[0][["experiment", "mode"]]
                    .astype(object)
                    .fillna("")
                    .tolist()
                )
            )
        except UserError as error:
            told.append(str(error))
    assert told[0] == told[1]
    assert told[0].startswith("[") == fits


@pytest.mark.parametrize(
    ("column", "value", "fits"),
    [
        ("speedup", "True", False), ("noise_band", "True", False), ("processes", "True", False), ("processes", "1e3", False), ("speedup_by_process", "5", False),
        ("speedup_by_process", "nan", False), ("speedup_by_process", "", True), ("schema_version", "", True), ("experiment", "01", True), ("c_in", "", True),
    ],
)  # fmt: skip
def test_a_column_is_read_or_refused_as_in_a_small_table(
    folders: list[Path], tmp_path: Path, column: str, value: str, fits: bool
) -> None:
    for name in ("measurements.csv", "environment.json"):
        (tmp_path / name).write_bytes((folders[0] / name).read_bytes())
    table = pd.read_csv(folders[0] / "pairs.csv", dtype="string").assign(**{column: value})
    table.to_csv(tmp_path / "pairs.csv", index=False)
    told = []
    for only in (None, COMPARED):
        try:
            told.append(str(run_folder.read(tmp_path, only=only).pairs["trial_id"].tolist()))
        except UserError as error:
            told.append(str(error))
    assert told[0] == told[1]
    assert told[0].startswith("[") == fits


def test_views_are_bounded_and_data_are_not(folders: list[Path], sketched: None) -> None:
    found = compare(*(run_folder.read(f, only=COMPARED) for f in folders))
    (data,) = json.loads("".join(as_json([found])))["comparisons"]
    assert (len(data["speedups"]["rows"]), len(data["times"]["rows"])) == (PAIRS, 2 * PAIRS)
    assert sum(part.count("\n") for part in as_csv([found])) == 1 + 3 * PAIRS
    assert page.text([found], [()], "bench compare a b").count("<h1") == 1
    shown = page.table([found])
    assert len(shown.lines) == 2 * page.MOST_ROWS
    assert f"leaves out {3 * PAIRS - 2 * page.MOST_ROWS:,} rows: --csv writes all." in page._left_out([found])
    sides, every = picture(found, found.quantities[0]), spread(found, found.quantities[0])
    assert sides is not None
    assert every is not None
    assert len(sides.axes) <= MOST_PANELS
    assert f"{PAIRS - MOST_DRAWN} more rows are not drawn" in _words(sides)
    assert f"({MOST_DRAWN} of {PAIRS}, at even ranks)" in every.axes[0].get_xlabel()


def _words(figure: object) -> str:
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())  # type: ignore[attr-defined]
