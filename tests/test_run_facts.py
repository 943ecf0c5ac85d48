"""The finding, the line of each way and the sentences on trust: every row is counted, and each way apart from the others."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from bench.analyse.facts import RunFacts, facts_of
from bench.analyse.runs import run_folder
from bench.analyse.runs.run_folder import Run
from bench.show.text import report, run_facts
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, write_run


def by_threads(trial: Trial, arm: Arm) -> float:
    """One thread wins everywhere, two only at 256 channels."""
    return 4.0 if trial.surroundings.threads == 1 or trial.shape.c_in == 256 else 0.5


def made(folder: Path, truth=by_threads, devices: tuple[str, ...] = ("cpu",), experiments=None, **axes) -> Run:
    usual = {"channels": [16, 64, 256], "kernel": [3], "threads": [1]}
    write_run(folder, Story(speedup=truth), config({**usual, **axes}, experiments=experiments), devices)
    return run_folder.read(folder)


def foretold(run: Run, rows: int, **changes: object) -> RunFacts:
    told = run.pairs.head(rows).assign(status="predicted", device="sim:h100", device_name="predicted NVIDIA H100", **changes)  # fmt: skip
    return facts_of(replace(run, pairs=told))


def test_each_way_to_run_a_block_has_a_line_of_its_own(tmp_path: Path) -> None:
    one, two, *_ = run_facts.way_lines(facts_of(made(tmp_path, threads=[1, 2])))
    assert one.startswith("1 thread: separable 3 faster of 3 cells; mean speedup 4")
    assert two.startswith("2 threads: separable 1 faster and 2 slower of 3 cells; mean speedup 0.995x")
    assert "faster from 256 channels on (3 x 3)" in two


def test_the_finding_counts_every_row(tmp_path: Path) -> None:
    few = {"blocks": ["standard", "separable"], "axes": {"channels": [64], "kernel": 3, "threads": 1, "pass": "training"}}  # fmt: skip
    many = {"blocks": ["standard", "separable"], "axes": {"channels": [16, 32, 64, 256], "kernel": 3, "threads": 1}}
    run = made(tmp_path, lambda t, a: 0.5 if t.shape.c_in == 16 else 2.0, experiments={"many": many, "few": few})
    assert run_facts.finding(facts_of(run)) == "On the CPU with 1 thread separable is faster (4 of 5 cells, 1.51x)."


def test_each_device_has_its_own_counts(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        return by_threads(trial, arm) if trial.surroundings.device == "cpu" else 0.5 if trial.shape.c_in == 16 else 2.0

    run = made(tmp_path, truth, ("cpu", "cuda:0", "cuda:1"), threads=[1, 2])
    assert run_facts.finding(facts_of(run)) == (
        "Separable is faster on the CPU with 1 thread (3 of 3 cells, 4.0x), on cuda:0 in eager mode (2 of 3 cells, 1.25x) and "
        "on cuda:1 in eager mode (2 of 3 cells, 1.26x); slower on the CPU with 2 threads (2 of 3 cells, 0.995x)."
    )


def test_several_blocks_are_named_in_the_finding_and_have_lines_of_their_own(tmp_path: Path) -> None:
    blocks = ["standard", "separable", "depthwise"]
    write_run(tmp_path, Story(speedup=lambda t, a: 2.0 if "separable" in a.arm_id else 0.5), config({"channels": [16, 64], "kernel": [3], "threads": [1]}, blocks=blocks))  # fmt: skip
    facts = facts_of(run_folder.read(tmp_path))
    assert (
        run_facts.finding(facts)
        == "On the CPU with 1 thread blocks: faster separable (2 of 2 cells, 2.0x); slower depthwise (2 of 2 cells, 0.50x)."
    )
    assert ["2 faster of 2 cells" in line for line in run_facts.way_lines(facts)] == [True, False]


@pytest.mark.parametrize(("rows", "words"), [(1, "1 row of predicted NVIDIA H100 is predicted by a model."), (2, "2 rows of predicted NVIDIA H100 are predicted by a model.")])  # fmt: skip
def test_a_run_of_predicted_rows_says_that_nothing_was_measured(tmp_path: Path, rows: int, words: str) -> None:
    facts = foretold(made(tmp_path), rows)
    assert run_facts.predicted(facts).startswith(
        f"Nothing here was measured: {words} Intervals are the model's error; "
    )
    assert run_facts.only_predicted(facts)
    assert run_facts.trust_lines(facts) == [f"{rows} row{'s' if rows > 1 else ''} predicted, not measured: a model's times of predicted NVIDIA H100. Intervals are its error on data left out of its fit."]  # fmt: skip


def test_a_predicted_device_beside_a_measured_one_would_be_faster(tmp_path: Path) -> None:
    run = made(tmp_path)
    both = pd.concat([run.pairs, run.pairs.assign(device="sim:h100", status="predicted")], ignore_index=True)
    facts = facts_of(replace(run, pairs=both))
    first, second = run_facts.finding(facts).split(". ")
    assert first.startswith("On the CPU with 1 thread separable is faster (3 of 3 cells, ")
    assert second.startswith("On predicted h100 in eager mode separable would be faster (3 of 3 cells, ")
    assert (facts.trust.measured, facts.forecast.rows) == (3, 3), "neither counts the other's rows"
    assert not run_facts.only_predicted(facts)


def test_rows_that_were_to_be_predicted_and_have_no_time_say_so(tmp_path: Path) -> None:
    run = made(tmp_path)
    told = run.pairs.assign(device="sim:h100", device_name=None, status="oom", speedup=None)
    facts = facts_of(replace(run, pairs=told))
    assert run_facts.predicted(facts) == (
        "Nothing here was measured: 3 rows of predicted h100 should be predicted, and none has a time: status_detail says why."
    )
    assert run_facts.finding(facts) == "Nothing was measured."


REFERENCE = sorted(path.parent for path in Path("results/reference").glob("*/journal.jsonl"))


@pytest.mark.parametrize("folder", REFERENCE, ids=lambda folder: folder.name)
def test_the_finding_and_the_terminal_count_every_measured_row_of_a_reference_run(folder: Path) -> None:
    run = run_folder.read(folder)
    facts, told = facts_of(run), int(run.pairs["speedup"].notna().sum())
    assert sum(map(int, re.findall(r"(\d+) cells?\b", run_facts.finding(facts)))) == told
    out = StringIO()
    with redirect_stdout(out):
        report.show(run, folder / "report.html")
    first, _, _ = out.getvalue().partition("Speedup by channels")
    rows = [
        re.split(r" {2,}", line.partition("x [")[0])
        for line in first.splitlines()
        if re.search(r" {2,}[\d.]+x \[", line)
    ]
    listed = [sum(int(word) for word in row[1:-1] if word.isdigit()) for row in rows]
    (rest,) = re.findall(r"more ways?: .* of (\d+) cells?", first) or ["0"]
    assert sum(listed) + int(rest) == told


def test_a_sweep_says_from_how_many_channels_on_it_wins_and_sizes_stay_apart(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        return 2.0 if trial.shape.c_in >= {28: 64, 56: 16}[trial.shape.height] else 0.5

    (tally,) = facts_of(made(tmp_path, truth, size=[28, 56])).ways
    assert [(w.height, w.channels, w.least) for w in tally.wins] == [(28, 64, 16), (56, 16, 16)]
    assert run_facts.wins(tally) == "faster from 64 channels on (3 x 3, 28 px), at all channels measured (3 x 3, 56 px)"


def test_sizes_that_are_not_square_are_said_whole_and_stay_apart(tmp_path: Path) -> None:
    run, out = made(tmp_path, size=["56x48", "56x24"]), StringIO()
    (tally,) = facts_of(run).ways
    words = ", ".join(f"at all channels measured (3 x 3, 56 x {width} px)" for width in (48, 24))
    assert run_facts.wins(tally) == f"faster {words}"
    with redirect_stdout(out):
        report.show(run, tmp_path / "report.html")
    assert re.search(r"Speedup by channels \(3 x 3, 56 x \d\d px\)", out.getvalue())


def test_more_than_the_mac_ratio_is_pointed_out(tmp_path: Path) -> None:
    line, *_ = run_facts.way_lines(facts_of(made(tmp_path, lambda t, a: 20.0)))
    assert re.search(r"\d{3} % of the MAC ratio [\d.]+x, more than fewer MACs explain", line)
