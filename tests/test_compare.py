"""Two runs side by side: what did not change is the same, what was planted is found, and what differs is named."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats

from bench import cli
from bench.analyse.compare.ci_gate import gate, reaches
from bench.analyse.compare.compare import compare, compare_all, judge
from bench.analyse.compare.facts import CHANGED, VERDICTS, Comparison, beyond
from bench.analyse.compare.whole import Processes
from bench.analyse.runs import run_folder
from bench.analyse.stats.interval_arrays import Intervals
from bench.show.export.compare import as_csv, as_json
from bench.show.plots.compare import draw, picture, ratios, spread
from bench.show.text.compare import answer, mean, print_comparison, unswept
from bench.spec.errors import UserError
from bench.spec.interval import Interval
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, by_ops_and_flops, config, half_the_promise, write_run

DATA = config({"channels": [16, 32, 64, 128, 256]})
Other = Callable[..., run_folder.Run]


def planted(trial: Trial, arm: Arm) -> float:
    change = 0.87 if (trial.shape.c_in, trial.shape.kernel) == (64, 3) else 1.0
    return half_the_promise(trial, arm) * change


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    folder = tmp_path_factory.mktemp("a")
    write_run(folder, Story(run_id="a"), DATA)
    return run_folder.read(folder)


def other(folder: Path, story: Story, **more: object) -> run_folder.Run:
    write_run(folder, story, more.pop("data", DATA), **more)  # type: ignore[arg-type]
    return run_folder.read(folder)


def counted(found: Comparison) -> dict[str, int]:
    return {v: n for v, n in found.speedups.counts.items() if n}


# ---------------------------------------------------------------- verdicts


def test_a_run_against_itself_is_the_same_in_every_row(a: run_folder.Run) -> None:
    found = compare(a, a)
    assert counted(found) == {"SAME": 20}
    assert found.times is not None
    assert {m.verdict for m in found.times.matches} == {"SAME"}
    assert (len(found.speedups.only_a), len(found.speedups.only_b), found.differences) == (0, 0, ())
    assert answer(found.speedups) == "By speedup, 0 of 20 rows are slower in B, 0 faster, 20 the same and 0 ambiguous"
    assert gate([found], "changed").failing == 0


def test_a_run_of_one_process_is_the_same_as_itself(tmp_path: Path) -> None:
    one = other(tmp_path, Story(processes=1))
    assert counted(compare(one, one)) == {"SAME": 20}


def test_a_second_run_of_the_same_truth_is_the_same(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2)))
    assert counted(found) == {"SAME": 20}
    assert "of A's (geometric mean): " in mean(found.speedups)
    assert "within" in mean(found.speedups)


def test_a_planted_change_is_found_and_no_other(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(planted, run_id="b", seed=2, processes=8)))
    slower = [m for m in found.speedups.matches if m.verdict == "SLOWER"]
    assert [(m.a["c_in"], m.a["kernel"]) for m in slower] == [(64, 3)] * 2
    assert all(m.ends is not None and m.ends[0] < 0.87 < m.ends[1] for m in slower)
    assert counted(found) == {"SLOWER": 2, "SAME": 18}
    back = compare(found.b, a)
    assert counted(back) == {"FASTER": 2, "SAME": 18}
    assert [m.ratio for m in back.speedups.matches] == pytest.approx(
        [1 / m.ratio for m in found.speedups.matches if m.ratio]
    )


def test_what_is_planted_is_found_and_little_else_over_many_runs(a: run_folder.Run) -> None:
    """Ten pairs of 200 rows, 20 of them 10 % slower: most are found, and of what is called changed under 5 % is not."""
    rng = np.random.default_rng(5)
    found = missed = false = 0
    for _ in range(10):
        truth = np.where(np.arange(200) < 20, math.log(0.9), 0.0)
        verdicts = _judged(rng, a, truth, margin=0.02)
        changed = [v in CHANGED for v in verdicts]
        found += sum(changed[:20])
        missed += 20 - sum(changed[:20])
        false += sum(changed[20:])
    assert found > 8 * missed
    assert false <= 0.05 * (found + false)


@pytest.mark.parametrize("correction", ["benjamini-hochberg", "holm"])
def test_pairs_of_runs_that_differ_by_nothing_are_seldom_called_changed(a: run_folder.Run, correction: Any) -> None:
    """With hardly a margin, so that the correction alone stands guard: families with any false change are at most nominal."""
    rng = np.random.default_rng(6)
    wrong = sum(
        any(v in CHANGED for v in _judged(rng, a, np.zeros(50), margin=1e-9, correction=correction)) for _ in range(100)
    )
    assert wrong <= 10  # of 100 at 5 %: the 97.5 % point of the binomial


def test_a_noise_band_holds_off_what_runs_differ_by(a: run_folder.Run) -> None:
    """Rows that shift by 4 % from run to run, which no process of a run knows of: the band, where recorded, is a floor."""
    rng = np.random.default_rng(7)
    plain = banded = 0
    for _ in range(20):
        truth = rng.normal(0, 0.04, 50)
        plain += sum(v in CHANGED for v in _judged(np.random.default_rng(1), a, truth, margin=0.02))
        banded += sum(v in CHANGED for v in _judged(np.random.default_rng(1), a, truth, margin=0.02, band=0.08))
    assert plain > 100
    assert banded <= 0.05 * 1000


def test_wide_intervals_are_ambiguous_not_the_same(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2, process_sd=0.2)))
    assert found.speedups.counts["AMBIGUOUS"] >= 18


def test_one_process_decides_nothing(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(planted, run_id="b", processes=1)))
    assert counted(found) == {"AMBIGUOUS": 20}
    assert found.speedups.matches[0].ends is None
    assert mean(found.speedups).endswith("of A's (geometric mean): no interval")


def test_a_failed_row_is_not_measured_and_counts_nowhere(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2, fails={0: (1, "oom", "no memory")})))
    assert found.speedups.counts["NOT MEASURED"] == 1
    assert found.speedups.matches[0].ratio is None
    assert (len(found.speedups.judged), found.speedups.family) == (19, 19)


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0.01, 0.5))
def test_a_change_is_an_interval_beyond_the_margin_and_the_same_one_within(
    mean: float, half: float, edge: float
) -> None:
    log = Interval(mean, half, 6)
    verdict = judge(log, edge, beyond(log, edge))
    assert (verdict == "FASTER") == (log.low > edge)
    assert (verdict == "SLOWER") == (log.high < -edge)
    mirrored = {"FASTER": "SLOWER", "SLOWER": "FASTER"}
    assert judge(log, edge, beyond(log, edge), quantity="time") == mirrored.get(verdict, verdict)
    assert (verdict == "SAME") == (-edge < log.low and log.high < edge)


def test_the_margin_is_never_below_a_runs_noise_band(a: run_folder.Run) -> None:
    found = compare(a, _with_band(_renamed(a), 0.12), margin=0.02)
    assert found.speedups.edge == pytest.approx(0.12)
    assert all(m.log is not None and m.log.half_width > 0.12 for m in found.speedups.matches)
    assert "Noise bands (bench aa): at most ±12.7 % in B. They widen the intervals of B / A" in _shown(found)
    assert "interval of B / A, widened by noise bands" in _small_print(ratios(found, found.quantities[0]))
    with pytest.raises(UserError, match="--margin"):
        compare(a, a, margin=1.0)


def test_a_noise_band_of_a_device_that_was_not_compared_is_no_part_of_the_comparison(a: run_folder.Run) -> None:
    on_card = a.pairs.assign(device="cuda:0", noise_band=0.2)
    b = replace(a, run_id="b", pairs=pd.concat([a.pairs, on_card], ignore_index=True))
    found = compare(a, b)
    assert found.bands == (None, None)
    assert "Noise bands (bench aa): none for these rows." in _shown(found)
    assert "widened" not in _small_print(ratios(found, found.quantities[0]))


def test_a_row_is_held_against_the_band_of_its_own_threads(a: run_folder.Run) -> None:
    few = a.pairs["threads"] == 1
    found = compare(a, replace(a, run_id="b", pairs=a.pairs.assign(noise_band=few.map({True: 0.12, False: None}))))
    assert {(m.a["threads"] == 1, round(math.expm1(m.edge), 3)) for m in found.speedups.judged} == {(True, 0.127), (False, 0.05)}  # fmt: skip
    assert found.times is not None
    assert {(m.a["threads"] == 1, round(math.expm1(m.edge), 3)) for m in found.times.judged} == {(True, 0.127), (False, 0.05)}  # fmt: skip
    figure = ratios(found, found.quantities[0])
    assert figure is not None
    named = [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    assert "margin: 5 % to 12.7 %" in named


def test_runs_of_other_confidence_are_held_to_the_first_ones(a: run_folder.Run, tmp_path: Path) -> None:
    timing = {"confidence": 0.8}
    found = compare(
        a, other(tmp_path, Story(run_id="b"), data=config({"channels": [16, 32, 64, 128, 256]}, timing=timing))
    )
    same = compare(a, _renamed(a))
    widths = [[m.log.half_width for m in c.speedups.matches if m.log] for c in (found, same)]
    assert widths[0] == pytest.approx(widths[1])


# ---------------------------------------------------------------- the whole


def test_the_mean_says_which_way_it_goes_and_leaves_out_what_is_confounded(a: run_folder.Run, tmp_path: Path) -> None:
    less = other(tmp_path, Story(lambda t, arm: 0.8 * half_the_promise(t, arm), run_id="b", seed=2))
    found = compare(a, less)
    assert mean(found.speedups).endswith("of A's (geometric mean): 20 % lower")
    assert found.speedups.mean.rows == 20
    assert "% higher" in mean(compare(less, a).speedups)


def test_the_mean_has_students_interval_of_the_processes_own_means(a: run_folder.Run, tmp_path: Path) -> None:
    """By hand from the journals: each process's mean over the rows of a thread count, then Welch over both runs' places."""
    one = other(tmp_path / "b", Story(run_id="b", seed=2, process_sd=0.1))
    found = compare(a, one)
    for compared, table in ((found.speedups, "pairs"), (found.times, "measurements")):
        assert compared is not None
        parts = []
        for run in (a, one):
            rows = getattr(run, table)
            for threads in (1, 2):
                texts = rows[rows["threads"] == threads][f"{compared.quantity}_by_process"]
                each = np.array([[math.log(float(w.partition(":")[2])) for w in text.split()] for text in texts])
                parts.append((each.mean(0).var(ddof=1) / 5 / 4, 4))  # half of the rows: a quarter of the variance
        total = sum(v for v, _ in parts)
        freedom = math.floor(total**2 / sum(v**2 / df for v, df in parts))
        assert compared.mean.log.half_width == pytest.approx(stats.t.ppf(0.975, freedom) * math.sqrt(total), rel=1e-5)


def test_the_mean_of_one_row_says_what_the_row_says(a: run_folder.Run) -> None:
    found = compare(a, _renamed(a)).speedups
    edge = math.log(1.05)
    for half_width, said in ((0.048, "the same within 5 %"), (0.05, "no clear change")):
        log = Interval(0.0, half_width, 7)
        verdict = judge(log, edge, 1.0)
        rows = replace(
            found.rows, a=np.array([0]), b=np.array([0]), way=np.array([0]), log=Intervals(np.array([0.0]), np.array([half_width]), np.array([7])),
            edge=np.array([edge]), verdict=np.array([VERDICTS.index(verdict)]),
        )  # fmt: skip
        assert verdict == ("SAME" if said.startswith("the same") else "AMBIGUOUS")
        older = replace(found, processes=(Processes.of(found.a, "not_in_old_tables", np.array([0])),), rows=rows)
        assert mean(older).endswith(f"of A's (geometric mean): {said}")


def test_times_are_compared_on_one_machine_and_block_by_block(a: run_folder.Run, tmp_path: Path) -> None:
    slow = Story(run_id="b", seed=2, base_s=lambda t: 1.2 * by_ops_and_flops(t))
    found = compare(a, other(tmp_path, slow))
    assert counted(found) == {"SAME": 20}  # a speedup has its machine on both sides
    assert found.times is not None
    assert {v: n for v, n in found.times.counts.items() if n} == {"SLOWER": 40}
    assert "B's times are 1.2" in mean(found.times)
    assert "% longer" in mean(found.times)
    text = _shown(found)
    assert re.search(r"B / A by block: standard 1\.2\d*x \[.*\], separable 1\.2", text)
    assert "Absolute times drift with machine load." in text
    assert gate([found], quantity="speedup").answer == "passed"
    assert gate([found]).failing == 40


def test_medians_that_move_alone_are_ambiguous(a: run_folder.Run, tmp_path: Path) -> None:
    """A neighbour slows most samples down and not the fastest ones."""
    b = other(tmp_path, Story(run_id="b", seed=2, slow_median=frozenset(range(20))))
    found = compare(a, b)
    assert found.times is not None
    slowed = [m for m in found.times.matches if m.a["block"] == "separable"]
    assert all(m.ends is not None and m.ends[0] > 1 / 0.9 for m in slowed)
    assert {m.verdict for m in slowed} == {"AMBIGUOUS"}


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ({"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": 16, "memory_bytes": 8 << 30}, "physical cores: 2 in A, 16 in B"),
        ({"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": 2, "memory_bytes": 64 << 30}, "memory: "),
    ],
)  # fmt: skip
def test_times_of_two_machines_are_not_compared(
    a: run_folder.Run, tmp_path: Path, host: dict[str, Any], why: str
) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b", seed=2), environment={"host": host}))
    assert found.times is None
    assert why in found.apart
    assert f"No times are compared, because they need one machine ({found.apart})." in _shown(found)
    with pytest.raises(UserError, match="no times can be compared"):
        gate([found], quantity="time")


def test_several_runs_are_one_family(a: run_folder.Run, tmp_path: Path) -> None:
    b = other(tmp_path / "b", Story(planted, run_id="b", seed=2, processes=8))
    c = other(tmp_path / "c", Story(run_id="c", seed=3, processes=8))
    found = compare_all([a, b, c], correction="holm")
    assert [f.speedups.family for f in found] == [40, 40]
    assert [f.speedups.counts["SLOWER"] for f in found] == [2, 0]
    assert gate(found).failing == 2


# ---------------------------------------------------------------- what differs


def test_what_differs_between_the_runs_is_named(a: run_folder.Run, tmp_path: Path) -> None:
    facts = {"torch": "2.12.1", "host": {"cpu_model": "Another CPU", "physical_cores": 2, "memory_bytes": 8 << 30}}
    data = config({"channels": [16], "threads": [1]}, timing={"precision": 0.02})
    found = compare(a, other(tmp_path, Story(run_id="b"), data=data, environment=facts))
    named = {d.name: (d.a, d.b) for d in found.differences}
    assert named["torch"] == ("2.13.0", "2.12.1")
    assert named["CPU model"] == ("Imaginary CPU @ 2.00GHz", "Another CPU")
    assert named["threads"] == ("1, 2", "1")
    assert named["timing precision"] == ("0.05", "0.02")
    assert "differs: torch: 2.13.0 in A, 2.12.1 in B" in _shown(found)


def test_a_cpu_and_a_gpu_are_compared_by_their_speedups(a: run_folder.Run, tmp_path: Path) -> None:
    gpu = other(tmp_path, Story(lambda t, arm: half_the_promise(t, arm) / 3, run_id="b"), devices=("cuda:0",))
    found = compare(a, gpu)
    assert found.across
    assert "device" not in found.keys
    assert counted(found) == {"SLOWER": 20}  # both thread counts of the CPU against the one of the GPU
    assert all(m.ratio == pytest.approx(1 / 3, rel=0.05) for m in found.speedups.matches)
    assert found.times is None


def test_the_words_tell_what_was_asked_of_the_rows(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(planted, run_id="b", seed=2, processes=8)))
    text = _shown(found)
    lines = [line for line in text.splitlines() if line.startswith("sweep/")]
    assert all(line.rstrip().endswith("SLOWER") for line in lines[:2])
    assert "By speedup, 2 of 20 rows are slower in B, 0 faster, 18 the same and 0 ambiguous. " in text
    assert "Margin: 5 %.\n" in text
    assert "beyond the margin after Benjamini-Hochberg's correction over 20 speedups and 40 times." in text
    assert "Noise bands (bench aa): none for these rows." in text
    assert "\x1b" not in text


def test_rows_of_one_run_only_are_listed(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b"), data=config({"channels": [16, 32, 64, 512]})))
    assert len(found.speedups.matches) == 12
    assert set(found.speedups.only_a["c_in"]) == {128, 256}
    assert set(found.speedups.only_b["c_in"]) == {512}
    text = _shown(found)
    assert "Only in A: 8 rows: sweep/c128-k3-28px-nchw-cpu-1t" in text
    assert "Only in B: 4 rows" in text
    (data,) = json.loads("".join(as_json([found])))["comparisons"]
    assert [len(data["speedups"][name]) for name in ("rows", "only_a", "only_b")] == [12, 8, 4]
    assert {r["c_in"] for r in data["speedups"]["only_a"]} == {128, 256}
    assert {r["c_in"] for r in data["speedups"]["only_b"]} == {512}


def test_runs_without_a_common_row_are_said_to_have_none(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path, Story(run_id="b"), data=config({"channels": [512]})))
    assert answer(found.speedups) == "No row is measured in both runs"
    assert picture(found, found.quantities[0]) is ratios(found, found.quantities[0]) is None
    assert "No row is measured in both runs" in _shown(found)
    with pytest.raises(UserError, match="no row can be compared"):
        gate([found])
    half = replace(a, run_id="b", **{n: getattr(a, n).assign(dtype="bf16") for n in ("pairs", "measurements")})
    with pytest.raises(UserError, match=r"all are CONFOUNDED: dtype had to differ.*Compare runs of the same dtype"):
        gate([compare(a, half)])


def test_reference_runs_without_plan_or_environment_compare(a: run_folder.Run, tmp_path: Path) -> None:
    run_folder.write_tables(a, tmp_path)
    found = compare(a, run_folder.read(tmp_path))
    assert counted(found) == {"SAME": 20}
    assert {"torch", "CPU model"} <= {d.name for d in found.differences}


# ---------------------------------------------------------------- files, pictures, the verb


def test_json_and_csv_hold_every_row(a: run_folder.Run, tmp_path: Path) -> None:
    b = other(
        tmp_path / "b", Story(planted, run_id="b", seed=2, fails={0: (1, "oom", "no memory")}),
        data=config({"channels": [16, 32, 64, 128, 512]}),
    )  # fmt: skip
    found = compare(a, b)
    (data,) = json.loads("".join(as_json([found])))["comparisons"]
    assert data["speedups"]["counts"]["SLOWER"] == 2
    assert len(data["speedups"]["rows"]) == 16
    assert data["speedups"]["rows"][1]["speedup_a"] > 1
    assert data["speedups"]["rows"][0]["verdict"] == "NOT MEASURED"
    assert data["speedups"]["geometric_mean"]["b_over_a"] == pytest.approx(1, abs=0.05)
    rows = list(csv.DictReader("".join(as_csv([found])).splitlines()))
    kinds = {q: [r["verdict"] for r in rows if r["quantity"] == q] for q in ("speedup", "time")}
    assert kinds["speedup"].count("ONLY IN A") == kinds["speedup"].count("ONLY IN B") == 4
    assert len(kinds["speedup"]) == 24
    assert len(kinds["time"]) == 48
    assert rows[0]["b_over_a"] == ""


def test_the_pictures_name_the_finding_and_mark_it(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path / "b", Story(planted, run_id="b", seed=2, processes=8)))
    drawn = [make(found, t) for t in found.quantities for make in (picture, ratios)]
    titles = [figure.get_suptitle().replace("\n", " ") for figure in drawn if figure]
    assert titles[0] == "By speedup, 2 of 20 rows are slower in B, 0 faster, 18 the same and 0 ambiguous"
    assert titles[1].startswith("B's speedups are 0.9")
    assert titles[2] == "By time, 2 of 40 rows are slower in B, 0 faster, 38 the same and 0 ambiguous"
    assert re.fullmatch(r"B's times are 1.* of A's \(geometric mean\): .*(longer|same).*", titles[3])
    assert all(len(title) <= 90 for title in titles)
    for figure in drawn:
        assert figure is not None
        rings = [line for axis in figure.axes for line in axis.lines if line.get_markersize() == 12]
        assert sum(np.size(line.get_xdata()) for line in rings) == 2


def test_every_ratio_is_b_over_a_and_says_which_side_of_1_is_better(a: run_folder.Run, tmp_path: Path) -> None:
    """B takes 1.25 times as long, and its separable block is worth 0.8 of what it was: the numbers that a reader expects."""
    slow = Story(lambda t, arm: 0.8 * half_the_promise(t, arm), run_id="b", seed=2, processes=8, base_s=lambda t: 1.25 * by_ops_and_flops(t))  # fmt: skip
    found = compare(a, other(tmp_path / "b", slow))
    (data,) = json.loads("".join(as_json([found])))["comparisons"]
    expected = {("speedups", "separable"): 0.8, ("times", "standard"): 1.25, ("times", "separable"): 1.25 / 0.8}
    for (name, block), factor in expected.items():
        rows = [r for r in data[name]["rows"] if r["block"] == block]
        assert [r["b_over_a"] for r in rows] == pytest.approx([factor] * 20, rel=0.05)
        assert all(r["b_over_a_ci_low"] < r["b_over_a"] < r["b_over_a_ci_high"] for r in rows)
        assert {r["verdict"] for r in rows} == {"SLOWER"}
        assert data[name]["by_block"][block]["b_over_a"] == pytest.approx(factor, rel=0.05)
    assert (data["speedups"]["better"], data["times"]["better"]) == ("above 1", "below 1")
    held = csv.DictReader("".join(as_csv([found])).splitlines())
    assert {(r["quantity"], r["better"], float(r["b_over_a"]) > 1, r["verdict"]) for r in held} == {
        ("speedup", "above 1", False, "SLOWER"), ("time", "below 1", True, "SLOWER"),
    }  # fmt: skip
    text = _shown(found)
    assert "time of the block. B / A above 1x: the block gains more in B.\n" in text
    assert "Time: median of one evaluation. B / A above 1x: B takes longer.\n" in text
    assert text.count("  B / A  ") == 2
    assert "A / B" not in text


def test_times_have_a_panel_for_each_block_and_up_is_slower(a: run_folder.Run, tmp_path: Path) -> None:
    slow = Story(run_id="b", seed=2, base_s=lambda t: 1.2 * by_ops_and_flops(t))
    found = compare(a, other(tmp_path / "b", slow))
    assert found.times is not None
    figure = ratios(found, found.times)
    assert figure is not None
    names = [axis.get_title(loc="left") for axis in figure.axes]
    assert names == [f"{block}, kernel {k} x {k}" for block in ("standard", "separable") for k in (3, 5)]
    assert "20 % longer" in figure.get_suptitle()
    assert all(axis.get_ylim()[1] > 1.2 for axis in figure.axes)
    assert figure.axes[0].get_ylabel() == "time, B / A (above 1x: longer in B)"


def test_a_comparison_of_two_machines_has_pictures_of_speedups_alone(a: run_folder.Run, tmp_path: Path, sketched: None) -> None:  # fmt: skip
    gpu = other(tmp_path / "b", Story(run_id="b"), devices=("cuda:0",))
    kinds = [".png", ".svg"]
    names = ["compare", "ratio", "spread"]
    assert [p.name for p in draw(compare(a, gpu), tmp_path)] == [f"{n}{k}" for n in names for k in kinds]
    every = [*names, *(f"{n}-times" for n in names)]
    assert [p.name for p in draw(compare(a, a), tmp_path)] == [f"{n}{k}" for n in every for k in kinds]


def test_every_judged_row_stands_in_the_spread_by_its_ratio(a: run_folder.Run, tmp_path: Path) -> None:
    found = compare(a, other(tmp_path / "b", Story(planted, run_id="b", seed=2, processes=8)))
    figure = spread(found, found.quantities[0])
    assert figure is not None
    title = figure.get_suptitle().replace("\n", " ")
    assert re.fullmatch(r"B / A of speedups is [\d.]+x to [\d.]+x in half of 20 rows", title)
    marks = [line for line in figure.axes[0].lines if line.get_marker() in ("v", "^", "D", "o")]
    heights = [float(line.get_ydata()[0]) for line in marks]
    assert heights == sorted(heights)
    assert [line.get_marker() for line in marks] == ["v"] * 2 + ["D"] * 18


def test_doses_and_networks_stand_in_the_spread_alone_and_are_named(tmp_path: Path) -> None:
    """As in a run's own pictures: against channels stands what sweeps them."""
    axes = {
        "sweep": {"channels": [16, 64], "kernel": [3]},
        "dose": {"channels": [64], "kernel": [3], "batch": [1, 2, 4]},
    }
    experiments = {n: {"blocks": ["standard", "separable"], "axes": {"threads": [1], **more}} for n, more in axes.items()}  # fmt: skip
    a, b = (other(tmp_path / n, Story(run_id=n, seed=s), data=config(experiments=experiments)) for s, n in enumerate("ab"))  # fmt: skip
    found = compare(a, b)
    sides, every = picture(found, found.quantities[0]), spread(found, found.quantities[0])
    assert sides is not None
    assert every is not None
    assert len([line for line in sides.axes[0].lines if line.get_marker() == "o" and len(line.get_xdata()) == 1]) == 4
    assert unswept(found) == ["Pictures over channels leave out dose: the picture of all rows has them."]
    assert len([line for line in every.axes[0].lines if line.get_marker() == "D"]) == 5


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sketched: None):
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", *map(str, args)])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def test_fail_on_is_status_1_where_a_row_is_slower_and_0_where_none_is(
    bench: Any, a: run_folder.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.show.plots.compare.draw", lambda *_: ())
    b = other(tmp_path / "b", Story(planted, run_id="b", seed=2, processes=8))
    assert bench(a.folder, a.folder, "--fail-on", "changed")[0] == 0
    assert bench(a.folder, b.folder)[1].splitlines()[::2][:2] == [
        "A torch 2.13.0 -> B torch 2.13.0, same machine",
        f"B  {b.folder}",
    ]
    copy = Path(shutil.copytree(b.folder, "copy"))
    assert bench(a.folder, copy, "--all")[1].splitlines()[2] == "B  copy (b)"
    assert "A and B are the same run: nothing can differ.\n" in bench(a.folder, a.folder, "--fail-on", "slower")[1]
    status, out, _ = bench(a.folder, b.folder, "--fail-on", "slower", "--by", "speedups")
    assert (status, "Holm's correction" in out) == (1, True)
    last = out.splitlines()[-1]
    assert last.startswith("gate failed: 2 rows slower; B's speedups are 0.9")
    assert "2 of 20 rows slower by more than 5 %, 0 failed in B; 0 AMBIGUOUS, 0 not measured. gate failed:" in " ".join(
        out.split()
    )
    last = bench(a.folder, a.folder, "--fail-on", "changed")[1].splitlines()[-1]
    assert (
        last
        == "gate passed: B's times are 1.00x [1.00, 1.00] of A's (40 rows). A and B are the same run: nothing can differ"
    )
    assert bench(a.folder, b.folder)[0] == 0
    assert bench(b.folder, a.folder, "--fail-on", "slower")[0] == 0
    assert bench(b.folder, a.folder, "--fail-on", "changed", "--json")[0] == 1
    assert bench(a.folder, b.folder, "--fail-on", "slower", "--by", "speedups", "--margin", "12%")[0] == 0
    status, out, _ = bench(a.folder, b.folder, a.folder, "--csv", "x.csv", "--json")
    assert [(c["b"], c["same_run"]) for c in json.loads(out)["comparisons"]] == [("b", False), (a.run_id, True)]
    assert {r["run_b"] for r in csv.DictReader(Path("x.csv").read_text().splitlines())} == {"b", "a"}


def test_an_open_gate_says_how_large_a_slow_down_it_can_have_missed(
    bench: Any, a: run_folder.Run, tmp_path: Path
) -> None:
    noisy = Story(run_id="b", seed=2, process_sd=0.2, fails={0: (1, "unsupported", "not here")})
    b = other(tmp_path / "b", noisy)
    by = ("--fail-on", "slower", "--by", "speedups", "--least", "50%")
    told = json.loads(bench(a.folder, b.folder, *by, "--json")[1])
    rows = [r for r in told["comparisons"][0]["speedups"]["rows"] if r["verdict"] == "AMBIGUOUS"]
    sizes = [1 / r["b_over_a_ci_low"] - 1 for r in rows if r["b_over_a_ci_low"] < 1 / 1.05]
    assert len(sizes) > 5
    asked = told["gate"]
    assert (asked["passed"], asked["judged"], asked["slower"], asked["not_measured"]) == (True, 19, 0, 1)
    assert asked["ambiguous"] == len(rows)
    expected = {"rows": len(sizes), "median": np.median(sizes), "most": max(sizes), "of_any_size": 0}
    assert asked["could_hide"] == pytest.approx(expected)
    status, out, _ = bench(a.folder, b.folder, *by)
    median, most = (f"{100 * v:.0f} %" for v in (np.median(sizes), max(sizes)))
    assert status == 0
    assert out.endswith(", so 50 % slower would have been seen\n")
    assert (
        f"0 of 19 rows slower by more than 5 %, 0 failed in B; {len(rows)} AMBIGUOUS, 1 not measured; "
        f"{len(sizes)} rows may hide a slow-down of up to {most} (median {median})."
    ) in " ".join(out.split())
    assert json.loads(bench(a.folder, b.folder, "--json")[1])["gate"] is None


def test_a_gate_over_rows_of_one_process_says_that_anything_can_have_passed(bench: Any, a: run_folder.Run, tmp_path: Path) -> None:  # fmt: skip
    b = other(tmp_path / "b", Story(run_id="b", processes=1))
    status, out, _ = bench(a.folder, b.folder, "--fail-on", "slower", "--by", "speedups")
    last = out.splitlines()[-1]
    assert status == 3
    assert last.endswith(": no interval, so nothing could have been seen")
    assert (
        "20 AMBIGUOUS, 0 not measured; 20 rows without an interval may hide any slow-down. Two separate runs may differ by 3.2 %"
        in " ".join(out.split())
    )
    assert json.loads(bench(a.folder, b.folder, "--fail-on", "slower", "--by", "speedups", "--json")[1])["gate"]["could_hide"] == {"rows": 20, "median": None, "most": None, "of_any_size": 20}  # fmt: skip


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(0, 0.5)), min_size=1, max_size=8), st.sampled_from(["slower", "changed"]))  # fmt: skip
def test_what_a_gate_can_have_missed_is_alike_for_speedups_and_times(logs: list[tuple[float, float]], looked_for: Any) -> None:  # fmt: skip
    """A speedup that fell and a time that rose by the same factor are the same slow-down; a gate for any change misses no less."""

    means, halves = (np.array(column) for column in zip(*logs, strict=True))
    one, two = (
        reaches(sign * means, halves, np.full(len(logs), 0.05), looked_for, quantity)
        for quantity, sign in (("speedup", 1), ("time", -1))
    )
    assert one == pytest.approx(two)
    assert (one > 0.05).all()
    assert len(one) == sum(half - mean > 0.05 or (looked_for == "changed" and half + mean > 0.05) for mean, half in logs)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("{a}", "it takes two results folders or more. Name another run; one of bench ab may stand alone."),
        ("{a} none", "none: there is no such results folder."),
        *(("{a} {a} --margin " + m, f"bench: --margin: '{m}': it should be a share") for m in ("5", "0", "100%", "nan", "%", "1e-3", "x")),
        ("{a} {a} --margin=-1%", "bench: --margin: '-1%': it should be a share"),
        ("{a} {a} --fail-on faster", "Write slower or changed."),
        ("{a} {a} --by memory", "Write speedups or times."),
        ("{a} {a} --fail-on slower --least 0", "bench: --least: '0': it should be a share"),
        ("{a} {a} --fail-on slower --untold no", "bench: --untold: 'no': it is not one of the known words. Write fail or pass."),
        ("{a} {a} --csv {a}", "it is a folder. Name a file in it."),
        ("{a} {a} --csv resluts/x.csv", "bench: --csv resluts/x.csv: there is no folder resluts. Make it, or name another file."),
        ("{a} {a} --html resluts/x.html", "bench: --html resluts/x.html: there is no folder resluts."),
        ("--history {a} {a} {a} --html resluts/x.html", "bench: --html resluts/x.html: there is no folder resluts."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(bench: Any, a: run_folder.Run, words: str, line: str) -> None:
    status, out, err = bench(*words.format(a=a.folder).split())
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert line in err
    assert not Path("resluts").exists()


@pytest.mark.fault(
    "tables", "tables of a run hold strange values",
    "they are compared, or refused in one line",
)  # fmt: skip
@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda rows: rows[0].update(speedup="inf"), "pairs.csv:2: speedup: 'inf': it does not fit its column."),
        (lambda rows: rows[1].update(speedup="-1"), "pairs.csv:3: speedup: '-1': it does not fit its column."),
        (lambda rows: rows[0].update(precision="-0.1"), "pairs.csv:2: precision: '-0.1': it does not fit its column."),
        (lambda rows: rows[0].update(processes="-3"), "pairs.csv:2: processes: '-3': it does not fit its column."),
        (lambda rows: rows[0].update(processes="", speedup="", device="cpu:x:y"), ""),
        (lambda rows: rows.extend(rows[:3] * 2), "a row is there twice. Restore it from a copy."),
        (lambda rows: rows.clear(), ""),
    ],
    ids=["infinite", "negative", "negative width", "processes", "empty cells", "repeated", "no rows"],
)
def test_strange_tables_are_compared_or_refused_in_a_line(
    bench: Any, a: run_folder.Run, tmp_path: Path, spoil: Any, line: str
) -> None:
    run_folder.write_tables(a, tmp_path / "b")
    path = tmp_path / "b" / "pairs.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    header = list(rows[0])
    spoil(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, header)
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    for more in (["--csv", "x.csv"], ["--json"]):
        status, _, err = bench(a.folder, tmp_path / "b", *more)
        assert status == (2 if line else 0)
        assert line in err
        assert err.count("\n") == bool(line)


# ---------------------------------------------------------------- helpers


def _shown(found: Comparison) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        print_comparison(found, every=True)
    return out.getvalue()


def _small_print(figure: Figure | None) -> str:
    assert figure is not None
    return " ".join(" ".join(text.get_text() for text in figure.texts).split())


def _renamed(run: run_folder.Run) -> run_folder.Run:
    return replace(run, run_id=f"{run.run_id} again")


def _with_band(run: run_folder.Run, band: float) -> run_folder.Run:
    return replace(run, pairs=run.pairs.assign(noise_band=band))


def _judged(
    rng: np.random.Generator, like: run_folder.Run, truth: np.ndarray, band: float | None = None, **how: Any
) -> list[str]:
    """Verdicts on two runs whose speedups differ by `truth` (ln): six processes each, which spread by 2 %."""
    runs = []
    for name, shift in (("a", 0.0), ("b", truth)):
        logs = math.log(2) + shift + rng.normal(0, 0.02, (6, truth.size))
        width = 2.5706 * logs.std(0, ddof=1) / math.sqrt(6)
        size = truth.size
        first = like.pairs.iloc[[0] * size].reset_index(drop=True)
        pairs = first.assign(
            c_in=range(1, size + 1), speedup=np.exp(logs.mean(0)), precision=width, processes=6, noise_band=band
        )
        runs.append(replace(like, run_id=name, pairs=pairs, measurements=like.measurements[:0]))
    found = compare(*runs, **how)
    return [m.verdict for m in found.speedups.matches]
