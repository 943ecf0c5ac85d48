"""Two runs side by side: what did not change is the same, what was planted is found, and what differs is named."""

from __future__ import annotations

import io
import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse import results
from bench.analyse.speedup import Row
from bench.show import compare as comparing
from bench.show.compare import compare, draw, headline, judge, picture, show
from bench.spec.interval import Interval
from bench.spec.plan import Arm, Trial
from tests.synthetic import Story, config, half_the_promise, write_run

DATA = config({"channels": [16, 32, 64, 128, 256]})


def planted(trial: Trial, arm: Arm) -> float:
    change = 0.9 if (trial.shape.c_in, trial.shape.kernel) == (64, 3) else 1.0
    return half_the_promise(trial, arm) * change


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> results.Run:
    folder = tmp_path_factory.mktemp("a")
    write_run(folder, Story(run_id="a"), DATA)
    return results.read(folder)


def other(folder: Path, story: Story, **more: object) -> results.Run:
    write_run(folder, story, more.pop("data", DATA), **more)  # type: ignore[arg-type]
    return results.read(folder)


def test_a_run_against_itself_is_the_same_in_every_row(a: results.Run) -> None:
    found = compare(a, a)
    assert len(found.matches) == 20
    assert {m.verdict for m in found.matches} == {"SAME"}
    assert (found.only_a, found.only_b, found.differences) == ((), (), ())
    assert headline(found) == "Speedups in B against A: 20 same of 20 rows"


def test_a_second_run_of_the_same_truth_is_the_same(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2)))
    assert found.counts["SAME"] == 20


def test_a_planted_change_is_found_and_no_other(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(planted, run_id="b", seed=2)))
    slower = [m for m in found.matches if m.verdict == "SLOWER"]
    assert [(m.key["c_in"], m.key["kernel"]) for m in slower] == [(64, 3)] * 2
    assert all(m.ratio_ci_low < 0.9 < m.ratio_ci_high for m in slower if m.ratio_ci_low and m.ratio_ci_high)
    assert found.counts == {"SLOWER": 2, "FASTER": 0, "AMBIGUOUS": 0, "NOT MEASURED": 0, "SAME": 18}
    back = compare(found.b, a)
    assert back.counts["FASTER"] == 2
    assert [m.ratio for m in back.matches] == pytest.approx([1 / m.ratio for m in found.matches if m.ratio])


def test_wide_intervals_are_ambiguous_not_the_same(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2, process_sd=0.2)))
    assert found.counts["AMBIGUOUS"] >= 18


def test_one_process_decides_nothing(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(planted, run_id="b", processes=1)))
    assert found.counts["AMBIGUOUS"] == 20
    assert found.matches[0].ratio_ci_low is None


def test_a_failed_row_is_not_measured(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2, fails={0: (1, "oom", "no memory")})))
    assert found.counts["NOT MEASURED"] == 1
    assert found.matches[0].ratio is None


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.5))
def test_a_verdict_is_where_the_whole_interval_lies(mean: float, half_width: float, margin: float) -> None:
    verdict = judge(Interval(mean, half_width, 5), margin)
    low, high = math.exp(mean - half_width), math.exp(mean + half_width)
    expected = "FASTER" if low > 1 + margin else "SLOWER" if high < 1 / (1 + margin) else None
    if expected:
        assert verdict == expected
    else:
        assert verdict in ("SAME", "AMBIGUOUS")
        assert (verdict == "SAME") == (-math.log1p(margin) <= mean - half_width and mean + half_width <= math.log1p(margin))  # fmt: skip


def test_rows_of_one_run_only_are_listed(a: results.Run, tmp_path: Path) -> None:
    b = other(tmp_path, Story(run_id="b"), data=config({"channels": [16, 32, 64, 512]}))
    found = compare(a, b)
    assert len(found.matches) == 12
    assert {r["c_in"] for r in found.only_a} == {128, 256}
    assert {r["c_in"] for r in found.only_b} == {512}
    text = _shown(found)
    assert "only in A: 8 rows: sweep/c128-k3-28px-nchw-cpu-1t" in text
    assert "only in B: 4 rows" in text


def test_runs_without_a_common_row_are_said_to_have_none(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b"), data=config({"channels": [512]})))
    assert headline(found) == "No row is in both runs"
    assert picture(found) is None
    assert "No row is in both runs" in _shown(found)


def test_what_differs_between_the_runs_is_named(a: results.Run, tmp_path: Path) -> None:
    facts = {"torch": "2.12.1", "host": {"cpu_model": "Another CPU", "physical_cores": 2, "memory_bytes": 8 << 30}}
    data = config({"channels": [16], "threads": [1]}, timing={"precision": 0.02})
    found = compare(a, other(tmp_path, Story(run_id="b"), data=data, environment=facts))
    named = {d.name: (d.a, d.b) for d in found.differences}
    assert named["torch"] == ("2.13.0", "2.12.1")
    assert named["CPU model"] == ("Imaginary CPU @ 2.00GHz", "Another CPU")
    assert named["threads"] == ("1, 2", "1")
    assert named["timing precision"] == ("0.05", "0.02")
    assert "differs: torch: 2.13.0 in A, 2.12.1 in B" in _shown(found)


def test_a_cpu_and_a_gpu_are_compared_by_their_speedups(a: results.Run, tmp_path: Path) -> None:
    gpu = other(tmp_path, Story(lambda t, arm: half_the_promise(t, arm) / 3, run_id="b"), devices=("cuda:0",))
    found = compare(a, gpu)
    assert "device" not in found.keys
    assert len(found.matches) == 20  # both thread counts of the CPU against the one of the GPU
    assert found.counts["SLOWER"] == 20
    assert all(m.ratio == pytest.approx(1 / 3, rel=0.05) for m in found.matches)


def test_gpus_of_other_numbers_match_by_kind(tmp_path: Path) -> None:
    runs = [other(tmp_path / d, Story(run_id=d), devices=(d,)) for d in ("cuda:0", "cuda:1")]
    found = compare(runs[0], runs[1])
    assert "device" in found.keys
    assert len(found.matches) == 10


def test_json_holds_every_row(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(planted, run_id="b", seed=2, fails={0: (1, "oom", "no memory")})))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["counts"]["SLOWER"] == 2
    assert len(data["rows"]) == 20
    assert data["rows"][1]["speedup_a"] > 1
    assert data["rows"][0]["verdict"] == "NOT MEASURED"
    assert (data["a"], data["b"], data["margin"]) == ("a", "b", 0.05)


def test_the_table_starts_with_what_changed(a: results.Run, tmp_path: Path) -> None:
    text = _shown(compare(a, other(tmp_path, Story(planted, run_id="b", seed=2))))
    lines = [line for line in text.splitlines() if line.startswith("sweep/")]
    assert all(line.rstrip().endswith("SLOWER") for line in lines[:2])
    assert "Speedups in B against A: 2 slower, 18 same of 20 rows; the margin is 5 %" in text
    assert "\x1b" not in text


def test_the_picture_names_the_finding_and_marks_it(a: results.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path / "b", Story(planted, run_id="b", seed=2)))
    figure = picture(found)
    assert figure is not None
    assert figure.get_suptitle() == "Speedups in B against A: 2 slower, 18 same of 20 rows"
    rings = [line for axis in figure.axes for line in axis.lines if line.get_markersize() == 12]
    assert sum(np.size(line.get_xdata()) for line in rings) == 2
    assert [p.name for p in draw(found, tmp_path)] == ["compare.png", "compare.svg"]


def test_reference_runs_without_plan_or_environment_compare(a: results.Run, tmp_path: Path) -> None:
    results.write_tables(a, tmp_path)
    found = compare(a, results.read(tmp_path))
    assert found.counts["SAME"] == 20
    assert {"torch", "CPU model"} <= {d.name for d in found.differences}


def test_thousands_of_rows_take_a_second_or_two() -> None:
    frame = _many(5_000)
    runs = [results.Run(Path(n), n, frame, frame, None, {}, None) for n in "ab"]
    start = time.perf_counter()
    found = compare(runs[0], runs[1])
    assert len(found.matches) == 5_000
    assert time.perf_counter() - start < 6


def _many(count: int) -> pd.DataFrame:
    rows: list[Row] = [
        {
            "experiment": "e", "block": "separable", "baseline": "standard", "batch": 1, "c_in": i, "c_out": i,
            "height": 28, "width": 28, "kernel": 3, "stride": 1, "padding": "same", "dilation": 1, "depth": 1,
            "dtype": "fp32", "layout": "contiguous", "mode": "eager", "pass": "inference", "threads": 1,
            "allocator": "retain", "waiting": "default", "device": "cpu", "status": "ok", "speedup": 2.0,
            "speedup_ci_low": 1.99, "speedup_ci_high": 2.01, "precision": 0.005, "processes": 5,
        }
        for i in range(1, count + 1)
    ]  # fmt: skip
    return results.frame(rows, "p")


def _shown(found: comparing.Comparison) -> str:
    out = io.StringIO()
    show(found, out)
    return out.getvalue()
