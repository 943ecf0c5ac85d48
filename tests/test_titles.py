"""Titles tell apart what was run differently: pooled, they would hide what a reader came for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.show.text import run_facts, titles
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, half_the_promise, write_run


def pairs(folder: Path, truth: Callable[[Trial, Arm], float] = half_the_promise, devices: tuple[str, ...] = ("cpu",), experiments: dict[str, Any] | None = None, **axes: Any) -> list[Any]:  # fmt: skip
    usual = {"channels": [16, 64, 256], "kernel": [3], "threads": [1]}
    write_run(folder, Story(speedup=truth), config({**usual, **axes}, experiments=experiments), devices)
    return records_of(run_folder.read(folder).pairs)


def by_threads(trial: Trial, arm: Arm) -> float:
    """One thread wins everywhere, two only at 256 channels."""
    return 4.0 if trial.surroundings.threads == 1 or trial.shape.c_in == 256 else 0.5


def test_ways_to_run_a_block_are_counted_apart(tmp_path: Path) -> None:
    said = titles.finding(pairs(tmp_path, by_threads, threads=[1, 2]))
    assert said.startswith(
        "Separable is faster in 3 of 3 cells (1 thread) and 1 of 3 (2 threads), slower in 2 of all 6; it delivers "
    )
    first, second = said.split("delivers ")[1].removesuffix(" of the promised ratio").split(" and ")
    assert int(first.split()[0]) == pytest.approx(4 * int(second.split()[0]), abs=3)  # 4, 4, 4 against 0.5, 0.5, 4


def test_of_many_ways_the_least_and_the_most_are_named(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        wins = (trial.shape.c_in == 256) + (trial.shape.batch > 1) * (trial.shape.c_in == 64) + (trial.layout == "channels_last") * (trial.shape.c_in == 16)  # fmt: skip
        return 2.0 if wins else 0.5

    said = titles.finding(pairs(tmp_path, truth, batch=[1, 16], layout=["contiguous", "channels_last"]))
    assert said.startswith("Separable is faster in 1 of 3 cells (contiguous) to 3 of 3 (channels_last, batch 16), slower in 4 of all 12; it delivers ")  # fmt: skip


def test_a_few_cells_run_otherwise_do_not_speak_for_all(tmp_path: Path) -> None:
    few = {"blocks": ["standard", "separable"], "axes": {"channels": [64], "kernel": 3, "threads": 1, "pass": "training"}}  # fmt: skip
    many = {"blocks": ["standard", "separable"], "axes": {"channels": [16, 32, 64, 256], "kernel": 3, "threads": 1}}
    rows = pairs(tmp_path, lambda t, a: 0.5 if t.shape.c_in == 16 else 2.0, experiments={"many": many, "few": few})
    assert titles.finding(rows).startswith("Separable is faster in 3 of 4 cells (inference), and in 1 of 1 others, slower in 1 of all 5; it delivers")  # fmt: skip


def test_of_many_devices_each_is_told_in_short(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        return by_threads(trial, arm) if trial.surroundings.device == "cpu" else 0.5 if trial.shape.c_in == 16 else 2.0

    rows = pairs(tmp_path, truth, ("cpu", "cuda:0", "cuda:1"), threads=[1, 2])
    assert titles.finding(rows) == "On cpu separable is faster in 1 of 3 to 3 of 3 cells, slower in 2 of all 6; on cuda:0 in 2 of 3 cells, slower in 1; on cuda:1 in 2 of 3 cells, slower in 1"  # fmt: skip


@pytest.mark.parametrize("truth", [0.5, 2.0])
def test_what_is_so_everywhere_is_said_once(tmp_path: Path, truth: float) -> None:
    said = titles.finding(pairs(tmp_path, lambda t, a: truth, threads=[1, 2]))
    assert said.startswith(
        f"Separable is faster in {'6 of 6 cells' if truth > 1 else '0 of 6 cells, slower in 6'}; it delivers"
    )


def test_a_picture_of_speedups_says_from_which_to_which(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        return (
            2.0
            if trial.surroundings.device != "cpu"
            else by_threads(trial, arm) * (0.5 if trial.shape.c_in == 16 else 1)
        )

    rows = pairs(tmp_path, truth, ("cpu", "cuda:0"), threads=[1, 2])
    assert titles.speedup(rows) == "On cpu separable is 0.25x (16 channels) to 4x (64) as fast as standard; on cuda:0 2x"  # fmt: skip
    assert titles.devices(rows) == "By geometric mean on cpu separable is 0.79x to 3.2x as fast as standard; on cuda:0 2x"  # fmt: skip
    fewer = [r for r in rows if r["device"] == "cpu" or r["c_in"] > 16]
    assert titles.devices(fewer).endswith("; on cuda:0 2x, each over its own cells")
    alone = [{**r, "speedup_ci_low": None} for r in rows if r["device"] == "cpu"]
    assert titles.speedup(alone) == "Separable reads 0.25x (16 channels) to 4x (64) as fast as standard, with one process each and so no interval"  # fmt: skip


def test_the_share_that_arrives_is_told_for_each_way(tmp_path: Path) -> None:
    said = titles.delivery(
        pairs(tmp_path, lambda t, a: half_the_promise(t, a) / t.surroundings.threads, threads=[1, 2])
    )
    assert said.startswith("Separable delivers 50 % (1 thread) and 25 % (2 threads) of the promised ")
    assert said.endswith("x (single cells 25 % to 50 %)")


def test_a_multiplication_is_compared_cell_by_cell_and_device_by_device(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        share = 1.0 if trial.surroundings.device == "cpu" else 0.25 if trial.shape.c_in == 16 else 0.5
        return trial.cost(trial.arms[0]).macs / trial.cost(arm).macs * share

    pairs(tmp_path, truth, ("cpu", "cuda:0"))
    said = titles.throughput(records_of(run_folder.read(tmp_path).measurements), ["standard", "separable"])
    cpu, cuda = said.split("; ")
    assert cpu == "On cpu a multiplication takes separable 1x as long as standard, cell by cell"
    assert cuda == "on cuda:0 a multiplication takes separable 2x to 4x as long as standard, cell by cell"


@pytest.mark.parametrize("wins", [2, 4])
def test_ways_that_fare_alike_are_told_as_one(tmp_path: Path, wins: int) -> None:
    layouts = ["contiguous", "channels_last"] if wins == 4 else ["contiguous"]
    said = titles.finding(pairs(tmp_path, lambda t, a: 0.5 if t.shape.c_in == 16 else 2.0, threads=[1, 2], layout=layouts))  # fmt: skip
    each = "each (1 thread and 2 threads)" if wins == 2 else "in each of 4 ways to run it"
    assert said.startswith(f"Separable is faster in 2 of 3 cells {each}, slower in 1 each; it delivers")


def test_shares_of_roofs_range_over_cells_and_networks_are_told_as_one() -> None:
    def row(block: str, share: float, kernel: int | None = 3, roof: str = "compute") -> dict[str, Any]:
        return {"device": "cpu", "block": block, "attainable_share": share, "kernel": kernel, "roof": roof}

    rows = [row("standard", 0.5), row("standard", 0.9), row("separable", 0.0004), row("separable", 0.2)]
    assert titles.roofline(rows) == "Standard reaches 50 % to 90 % of its compute roof, separable under 0.1 % to 20 %"
    rows += [row("vgg16", 0.7, None, "memory"), row("resnet18", 0.3, None, "memory")]
    assert titles.roofline(rows).endswith(", networks 30 % to 70 % of their memory roof")


def test_one_predicted_pair_is_no_pairs(tmp_path: Path) -> None:
    pairs(tmp_path)
    run = run_folder.read(tmp_path)
    one, two = (replace(run, pairs=run.pairs.head(n).assign(status="predicted", device="sim:h100", device_name="predicted NVIDIA H100")) for n in (1, 2))  # fmt: skip
    assert run_facts.predicted(one) == "Nothing here was measured: the only pair of predicted NVIDIA H100 is a model's word. Its interval is the model's error on data that it was not fitted to, and no verdict counts it as measured."  # fmt: skip
    assert "all pairs of predicted NVIDIA H100 are a model's word" in run_facts.predicted(two)


def test_a_predicted_device_beside_a_measured_one_would_deliver(tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    foretold = [{**r, "device": "sim:h100", "status": "predicted"} for r in rows]
    said = titles.finding([*rows, *foretold])
    assert re.search(r"; on predicted h100 separable would be faster in . of 3 cells(, slower in .)?, and would deliver .* of the promised ratio$", said)  # fmt: skip
    assert "of 3 cells, delivering " in said


def test_of_two_predicted_devices_it_is_told_where_the_block_would_be_slower(tmp_path: Path) -> None:
    rows = pairs(tmp_path, layout=["contiguous", "channels_last"])
    foretold = [
        {**r, "device": d, "status": "predicted", "precision": 0.57, "verdict": "faster" if d == "sim:t4" and r["c_in"] == 256 else "slower"}
        for d in ("sim:t4", "sim:rtx5090") for r in rows
    ]  # fmt: skip
    said = titles.finding(foretold)
    assert (
        "t4 separable would be faster in 1 of 3 cells each (contiguous and channels_last), slower in 2 each, and would deliver "
        in said
    )
    assert "; on predicted rtx5090 in 0 of 6 cells, slower in 6, and would deliver " in said


def test_a_prediction_goes_with_its_error(tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    error = {"precision": math.log(1.8), "verdict": "undecided", "device": "sim:h100", "status": "predicted"}
    foretold = [{**r, **error} for r in rows]
    said = titles.finding(foretold)
    assert "would be faster in 0 of 3 cells, slower in none, undecided within the model's error in 3; it would deliver 50 % [28, 90] of" in said  # fmt: skip
    assert titles.delivery(foretold).startswith(
        "On predicted h100 separable would deliver 50 % [28, 90] of the promised "
    )
    beside, after = titles.speedup(foretold), titles.speedup([*foretold, *rows])
    assert beside.endswith(" as fast as standard, within the model's error, a factor of 1.8 either way")
    slower = [{**foretold[0], "precision": math.log(7.1)}, *foretold[1:]]
    assert titles.speedup(slower).endswith(", within the model's error and what a slower host would change, a factor of 1.8 to 7.1 either way")  # fmt: skip
    assert re.search(r"either way; on cpu separable is \S+ \(.*\)$", after), "no measured range gets the model's error"
    arms = [{**r, "device": "sim:h100"} for r in records_of(run_folder.read(tmp_path).measurements)]
    assert titles.throughput(arms, ["standard", "separable"]).endswith(", cell by cell, within the model's error")
