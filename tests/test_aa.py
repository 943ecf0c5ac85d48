"""The A/A test: a block against itself, through the whole pipeline, on populations whose truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.analyse.runs import noise_floor
from bench.analyse.runs.row_quality import row_verdict
from bench.analyse.runs.run_folder import Run, read
from bench.run import launch, runner
from bench.run.environment import noise_bands
from bench.show.write import write_views
from bench.spec.errors import UserError
from bench.spec.interval import Interval
from bench.spec.plan.aa import LEAST_PAIRS, drawn_plan
from tests.synthetic import Story, config, write_run

PAIRS = {
    f"{block}_twice": {
        "blocks": [block, {"name": block, "again": True}],
        "axes": {"channels": list(range(8, 8 + 75)), "kernel": [3, 5], "threads": 1},
    }
    for block in ("standard", "separable")
}


def null_run(folder: Path, effect: float = 0.0, **told: object) -> Path:
    story = Story(speedup=lambda *_: math.exp(effect), processes=6, process_sd=0.02, rounds=4, **told)
    write_run(folder, story, config(experiments=PAIRS))
    return folder


@pytest.fixture(scope="module")
def null(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read(null_run(tmp_path_factory.mktemp("null"), seed=2))  # of seed 1 only 7 of the 300 differ


def test_pairs_are_drawn_by_the_seed_and_each_is_a_block_against_itself() -> None:
    plan, data = drawn_plan("cpu", 2, 20)
    again, _ = drawn_plan("cpu", 2, 20)
    other, _ = drawn_plan("cpu", 2, 20, ["seed=2"])
    assert len(plan.trials) == 20
    assert plan.trials == again.trials != other.trials
    for trial in plan.trials:
        a, b = trial.arms
        assert trial.cost(a) == trial.cost(b)
        assert b.choice.label == f"{a.choice.label}(again)"
    assert {t.arms[0].choice.name for t in plan.trials} == {"standard", "separable"}
    assert data["name"] == "aa"


@pytest.mark.parametrize("pairs", [0, 1, 100_000])
def test_an_impossible_number_of_pairs_is_one_line(pairs: int) -> None:
    with pytest.raises(UserError, match=r"--pairs: .*from 2 to 64 pairs"):
        drawn_plan("cpu", 2, pairs)


def test_where_nothing_differs_the_rate_is_the_nominal_one(null: Run) -> None:
    assert noise_floor.is_aa(null)
    noise = noise_floor.judge(null)
    assert noise.pairs == 300
    low, high = noise.false_positive_ci
    assert low <= 0.05 <= high
    assert low <= noise.false_positive_rate <= high
    spread = 0.02 * math.sqrt(2 / 6)  # of the mean over six processes of the ratio of two arms
    assert noise.noise_band == pytest.approx(1.96 * spread, rel=0.2)
    assert 2.5 * spread < noise.smallest_detectable_effect < 5 * spread


def test_a_pipeline_that_sees_differences_where_there_are_none_is_found_out(tmp_path: Path) -> None:
    noise = noise_floor.judge(read(null_run(tmp_path, effect=0.05)))
    assert noise.false_positive_ci[0] > 0.05
    assert "NOT as it should be" in noise.sentences()[1]


def test_the_smallest_effect_is_decided_four_times_of_five(null: Run, tmp_path: Path) -> None:
    """On the same machine's noise with that effect planted, by the verdict that rows get."""
    noise = noise_floor.judge(null)
    planted = read(null_run(tmp_path / "planted", effect=noise.smallest_detectable_effect, seed=5))
    found = [
        row_verdict(Interval(math.log(s), p, 6), noise.noise_band)
        for s, p in zip(planted.pairs["speedup"], planted.pairs["precision"], strict=True)
    ]
    assert 0.7 <= found.count("faster") / len(found) <= 0.9


def test_a_run_that_compares_two_blocks_is_no_aa_test(tmp_path: Path, sketched: None) -> None:
    write_run(tmp_path)
    assert not noise_floor.is_aa(read(tmp_path))
    assert write_views(tmp_path).noise is None
    assert not (tmp_path / "aa.json").exists()


def test_the_verb_measures_judges_and_leaves_the_band_to_later_runs(
    tmp_path: Path, sketched: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setenv("BENCH_FAKE", "{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        cli.main(["aa", "--pairs", "20", "--json", "--set", "processes_max=6"])
    assert not left.value.code
    told = json.loads(capsys.readouterr().out)
    assert {"pairs", "false_positive_rate", "false_positive_ci", "noise_band", "smallest_detectable_effect"} <= set(
        told
    )
    assert told["pairs"] == 20
    (folder,) = Path("results").glob("aa-cpu-*")
    assert json.loads((folder / "aa.json").read_text()) == told
    assert not Path("results/latest").exists()  # what a report shows by default is a run, not a test of the machine

    config_file = tmp_path / "c.yaml"
    config_file.write_text("name: c\ntiming: {processes_min: 2, processes_max: 2}\nexperiments: {a: {blocks: [standard, separable], axes: {threads: [1, 2]}}}\n")  # fmt: skip
    outcome = runner.run(config_file, ["cpu"], None, (), ["bench"], lambda _: None)
    pairs = read(outcome.folder).pairs
    assert pairs.set_index("threads")["noise_band"].dropna().to_dict() == {1: told["noise_band"]}


def test_the_latest_band_of_this_very_device_torch_and_number_of_threads_is_taken(tmp_path: Path) -> None:
    def leave(name: str, **facts: object) -> None:
        (tmp_path / name).mkdir()
        usual = {
            "device": "cpu",
            "device_name": "X",
            "torch": "2.13",
            "started_utc": "2026-01-01",
            "noise_band": 0.02,
            "threads": [1],
            "pairs": 60,
            "noisy": 3,
        }
        (tmp_path / name / "aa.json").write_text(json.dumps(usual | facts))

    def bands() -> list[float]:
        return [told["noise_band"] for told in noise_bands(tmp_path, "cpu", "X", "2.13")]

    leave("old", noise_band=0.01)
    leave("new", started_utc="2026-02-01", noise_band=0.03)
    leave("elsewhere", started_utc="2026-03-01", device_name="Y")
    leave("older_torch", started_utc="2026-03-01", torch="2.12")
    leave("few", started_utc="2026-04-01", pairs=LEAST_PAIRS - 1, noisy=0)
    leave("noisy", started_utc="2026-04-01", noisy=31)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "aa.json").write_text("{")
    assert bands() == [0.03]
    assert noise_bands(tmp_path, "cuda:0", "X", "2.13") == []
    leave("enough", started_utc="2026-05-01", pairs=LEAST_PAIRS, noisy=0, noise_band=0.04)
    assert bands() == [0.04]
    leave("two_threads", started_utc="2026-01-02", threads=[2], noise_band=0.09)
    assert bands() == [0.09, 0.04]


@pytest.mark.parametrize(
    ("mean", "half_width", "band", "said"),
    [
        (0.5, 0.05, 0.02, "faster"),
        (-0.5, 0.05, 0.02, "slower"),
        (0.04, 0.05, 0.0, "undecided"),  # holds 0
        (0.06, 0.02, 0.07, "undecided"),  # within the band, and not sure to stay there
        (0.06, 0.005, 0.07, "same"),  # what the machine may read of two equal blocks
        (0.02, 0.002, 0.0, "same"),  # real, and too small to matter
        (0.04, 0.002, 0.0, "faster"),
        (1.0, math.inf, 0.0, None),
    ],
)
def test_a_verdict_respects_interval_margin_and_band(
    mean: float, half_width: float, band: float, said: str | None
) -> None:
    assert row_verdict(Interval(mean, half_width, 6), band) == said


@given(st.floats(-1, 1), st.floats(1e-3, 1), st.floats(0, 0.5))
def test_a_verdict_turns_over_with_the_arms_and_never_speaks_within_the_band(
    mean: float, half: float, band: float
) -> None:
    turned = {"faster": "slower", "slower": "faster"}
    said = row_verdict(Interval(mean, half, 6), band)
    assert row_verdict(Interval(-mean, half, 6), band) == turned.get(str(said), said)
    if abs(mean) <= max(band, half):
        assert said in ("same", "undecided")


def test_a_small_test_gives_a_wide_interval_of_the_rate(tmp_path: Path) -> None:
    axes = {"channels": [8, 16], "kernel": 3, "threads": 1}
    few = {"t": {"blocks": ["standard", {"name": "standard", "again": True}], "axes": axes}}
    write_run(tmp_path, Story(speedup=lambda *_: 1.0), config(experiments=few))
    noise = noise_floor.judge(read(tmp_path))
    assert noise.false_positive_ci[1] - noise.false_positive_ci[0] > 0.5
    assert np.isfinite(noise.smallest_detectable_effect)
    assert "too few pairs to say" in noise.sentences()[1]
