"""Titles tell apart what was run differently: pooled, they would hide what a reader came for."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.show.text import titles
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, half_the_promise, write_run


def pairs(folder: Path, truth: Callable[[Trial, Arm], float] = half_the_promise, devices: tuple[str, ...] = ("cpu",), experiments: dict[str, Any] | None = None, **axes: Any) -> list[Any]:  # fmt: skip
    usual = {"channels": [16, 64, 256], "kernel": [3], "threads": [1]}
    write_run(folder, Story(speedup=truth), config({**usual, **axes}, experiments=experiments), devices)
    return records_of(run_folder.read(folder).pairs)


def by_threads(trial: Trial, arm: Arm) -> float:
    """One thread wins everywhere, two only at 256 channels."""
    return 4.0 if trial.surroundings.threads == 1 or trial.shape.c_in == 256 else 0.5


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
    assert said == "Separable achieves 25 % to 50 % of the MAC ratio"


def test_a_multiplication_is_compared_cell_by_cell_and_device_by_device(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        share = 1.0 if trial.surroundings.device == "cpu" else 0.25 if trial.shape.c_in == 16 else 0.5
        return trial.cost(trial.arms[0]).macs / trial.cost(arm).macs * share

    pairs(tmp_path, truth, ("cpu", "cuda:0"))
    said = titles.throughput(records_of(run_folder.read(tmp_path).measurements), ["standard", "separable"])
    cpu, cuda = said.split("; ")
    assert cpu == "On cpu a multiplication takes separable 1x as long as standard, cell by cell"
    assert cuda == "on cuda:0 a multiplication takes separable 2x to 4x as long as standard, cell by cell"


def test_shares_of_roofs_range_over_cells_and_networks_are_told_as_one() -> None:
    def row(block: str, share: float, kernel: int | None = 3, roof: str = "compute") -> dict[str, Any]:
        return {"device": "cpu", "block": block, "attainable_share": share, "kernel": kernel, "roof": roof}

    rows = [row("standard", 0.5), row("standard", 0.9), row("separable", 0.0004), row("separable", 0.2)]
    assert titles.roofline(rows) == "Standard reaches 50 % to 90 % of its compute roof, separable under 0.1 % to 20 %"
    rows += [row("vgg16", 0.7, None, "memory"), row("resnet18", 0.3, None, "memory")]
    assert titles.roofline(rows).endswith(", networks 30 % to 70 % of their memory roof")


def test_a_prediction_goes_with_its_error(tmp_path: Path) -> None:
    rows = pairs(tmp_path)
    error = {"precision": math.log(1.8), "verdict": "undecided", "device": "sim:h100", "status": "predicted"}
    foretold = [{**r, **error} for r in rows]
    beside, after = titles.speedup(foretold), titles.speedup([*foretold, *rows])
    assert beside.endswith(" as fast as standard, within the model's error, a factor of 1.8 either way")
    slower = [{**foretold[0], "precision": math.log(7.1)}, *foretold[1:]]
    assert titles.speedup(slower).endswith(", within the model's error and what a slower host would change, a factor of 1.8 to 7.1 either way")  # fmt: skip
    assert re.search(r"either way; on cpu separable is \S+ \(.*\)$", after), "no measured range gets the model's error"
    arms = [{**r, "device": "sim:h100"} for r in records_of(run_folder.read(tmp_path).measurements)]
    assert titles.throughput(arms, ["standard", "separable"]).endswith(", cell by cell, within the model's error")
