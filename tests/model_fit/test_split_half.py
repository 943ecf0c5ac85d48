"""The split-half check: a model with known parameters is found again on a half, and told off the other one."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from bench.analyse.runs.run_folder import read
from bench.spec.blocks.kernels import of_block
from bench.spec.devices.predicted_devices import find_device
from bench.spec.errors import UserError
from bench.spec.model.kernel_model import call_seconds
from bench.spec.model.model_parameters import PRIOR, fitted
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, write_run
from tools.model_fit import split_half as checking
from tools.model_fit.__main__ import main
from tools.model_fit.own_runs import of_run
from tools.model_fit.split_half import HALF, RATE, SHIPPED, check, fitted_without, halves

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference" / "xeon-2-cores"
CARD = "NVIDIA A100-SXM4-40GB"
OURS = {"gpu.dispatch": 2.0, "gpu.compute.dense.plain": 0.5, "gpu.compute.depthwise.plain": 0.1}
"""What the made-up card's host and library differ in from the shipped fit."""
AXES = {
    "channels": [32, 64, 128, 256, 512],
    "kernel": [3, 5],
    "size": 56,
    "batch": [1, 64],
    "threads": 1,
    "mode": ["eager", "graph"],
}


def truth(trial: Trial, arm: Arm) -> float:
    s = trial.shape
    kernels = of_block(trial.block(arm), s.height, s.width, s.batch, trial.dtype, trial.layout == "channels_last")
    return call_seconds(find_device("a100"), kernels, trial.mode, {**fitted(), **OURS}).wall_s  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    story = Story(seconds=truth, processes=2, process_sd=0.001, sample_scale=0.001)
    facts = {"devices": {"cuda:0": {"name": CARD}}}
    write_run(made, story, config(AXES), ("cuda:0",), environment=facts)
    return made


def test_a_half_finds_the_parameters_that_made_the_other_one(folder: Path):
    (wall, _) = check(read(folder))
    assert not wall.seen
    assert (wall.kind, wall.clock, wall.shapes) == ("gpu", "wall", 20)
    assert wall.times[HALF].n == 80
    assert wall.speedups[HALF].n == 40
    assert wall.times[SHIPPED].median > 0.15
    for told in (wall.times, wall.speedups):
        assert told[HALF].median < 0.03
        assert told[HALF].median < told[RATE].median / 3
    for name in ("gpu.dispatch", "gpu.compute.dense.plain"):
        was, *both = wall.parameters[name]
        assert was == fitted()[name]
        assert all(abs(math.log(x / OURS[name])) < 0.1 for x in both), name


def test_no_shape_is_in_both_halves_and_the_cut_is_always_the_same(folder: Path):
    rows = of_run(read(folder))
    first = halves(rows)
    shapes = [(r.extra["row"]["c_in"], r.extra["row"]["kernel"], r.batch) for r in rows]
    one, other = ({s for s, mine in zip(shapes, first, strict=True) if mine == half} for half in (True, False))
    assert not one & other
    assert len(one) == len(other) == 10
    backwards = halves(rows[::-1])[::-1]
    assert (np.asarray(first) == np.asarray(backwards)).all()


def test_nothing_of_the_half_that_is_predicted_reaches_its_fit(folder: Path, monkeypatch: pytest.MonkeyPatch):
    fits: list[set[float]] = []
    real_fit = checking.fitting.fit

    def fit(table, *more):
        fits.append({row.time_s for row in table.rows})
        return real_fit(table, *more)

    rows = of_run(read(folder))
    monkeypatch.setattr(checking.fitting, "fit", fit)
    check(read(folder))
    assert len(fits) == 4, "two halves, two clocks"
    assert not fits[0] & fits[1]
    assert fits[0] | fits[1] == {row.time_s for row in rows}


def test_the_command_says_it_of_the_committed_run(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["check", str(REFERENCE)])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "cut in two by shape, and each half predicted without it" in said
    assert (
        "The shipped fit has seen a processor of this name with as many cores: here it is the fit without it." in said
    )
    for way in checking.WAYS:
        assert said.count(way) == 2, way
    with pytest.raises(SystemExit):
        main(["check", str(REFERENCE), "--json"])
    (one,) = json.loads(capsys.readouterr().out)["checks"]
    assert sum(one["rows_of_halves"]) == one["times"][HALF]["n"] == 60
    left = fitted_without("Intel(R) Xeon(R) Processor, 2 cores")
    assert left["cpu.dispatch"] != fitted()["cpu.dispatch"]
    assert one["parameters"]["cpu.dispatch"]["shipped"] == left["cpu.dispatch"], "the shipped fit has seen this machine"
    assert one["times"][HALF]["median"] < one["times"][SHIPPED]["median"]
    assert one["times"][HALF]["within_2"] == one["speedups"][HALF]["within_2"] == 1.0
    median = 100 * math.expm1(one["speedups"][HALF]["median"])
    said_median = float(re.search(r"speedups off by (\d+) % at the median", said)[1])
    assert said_median == pytest.approx(median, abs=0.51)  # the file's figure is rounded before


def test_a_card_that_the_shipped_fit_has_seen_is_held_against_the_one_without_it(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["check", str(REFERENCE.parent / "h100-16-cores")])
    said = capsys.readouterr().out
    assert said.count("The shipped fit has seen runs on a card of this model: here it is the fit without it.") == 2, (
        "two clocks"
    )
    assert said.count("The shipped fit has seen a processor") == 1
    assert fitted_without("h100")["gpu.wave_s"] != fitted()["gpu.wave_s"]
    assert fitted_without("h100")["gpu.graph"] == PRIOR["gpu.graph"].value, "nothing else tells of graphs"


def test_what_was_predicted_or_is_too_small_checks_nothing(tmp_path: Path):
    write_run(tmp_path / "small", Story(seconds=truth), config({**AXES, "channels": [32, 64], "kernel": 3, "batch": 1}), ("cuda:0",), environment={"devices": {"cuda:0": {"name": CARD}}})  # fmt: skip
    with pytest.raises(UserError, match="fewer than 4 shapes"):
        check(read(tmp_path / "small"))
    run = read(tmp_path / "small")
    run.measurements["status"] = "predicted"
    with pytest.raises(UserError, match="nothing of it was measured"):
        check(run)
