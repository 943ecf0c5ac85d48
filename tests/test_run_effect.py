"""What runs of one machine differ by: found where it was planted, zero where there is none, and in the intervals."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.analyse.claims.judge import judge
from bench.analyse.compare.compare import compare
from bench.analyse.runs import run_folder
from bench.analyse.runs.noise_floor import effects, repeats, run_effect
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import standard_error, widened
from bench.show.text import compare as words
from bench.spec.interval import t_interval
from tests import worlds
from tests.worlds import compute, planned, run_of

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference"
COLUMNS = ["speedup", "speedup_ci_low", "speedup_ci_high"]


def run(seed: int, effect: float = 0.0, **told: object) -> Run:
    """A run of 60 rows, each of which this run moves by `effect` (sd of ln)."""
    plan = planned(shapes=worlds.shapes(list(range(16, 256, 4)), threads=[1]))
    made = run_of(plan, compute, sd=0.01, seed=seed, run_id=f"r{seed}")
    moved = np.exp(np.random.default_rng(seed).normal(0, effect, len(made.pairs)))
    pairs = made.pairs.assign(**{c: made.pairs[c] * moved for c in COLUMNS})
    return replace(made, pairs=pairs, environment={**made.environment, **told})


@pytest.mark.parametrize("planted", [0.0, 0.01, 0.04])
def test_the_effect_that_was_planted_is_found(planted: float) -> None:
    found = run_effect([run(seed, planted) for seed in range(4)])
    assert found is not None
    assert found.rows == 60
    assert found.runs == ("r0", "r1", "r2", "r3")
    assert found.sd == pytest.approx(planted, abs=max(0.002, 0.15 * planted))


def test_one_run_and_runs_of_two_machines_know_of_none() -> None:
    elsewhere = run(1, host={**worlds.HOST, "cpu_model": "Other"})
    assert run_effect([run(0)]) is None
    assert effects([run(0), elsewhere]) == {}
    assert list(effects([run(0), run(1), elsewhere]).values()) == [run_effect([run(0), run(1)])]


def test_a_verdict_over_several_runs_has_it_in_its_intervals_and_says_so() -> None:
    alone, *_ = judge([run(0)]).of("cpu_3x")
    both, *_ = judge([run(0, 0.05), run(1, 0.05)]).of("cpu_3x")
    assert any("sd of 60 repeated rows), which is in the interval" in note for note in both.notes)
    assert not any("repeated rows" in note for note in alone.notes)
    assert alone.effect is not None
    assert both.effect is not None
    widths = [math.log(v.effect.high / v.effect.low) for v in (alone, both) if v.effect and v.effect.low and v.effect.high]  # fmt: skip
    assert widths[1] > 3 * widths[0]


def test_a_comparison_holds_one_in_twenty_apart_only_with_the_effect_in_its_intervals(tmp_path: Path) -> None:
    runs = []
    for seed in range(6):
        folder = tmp_path / f"r{seed}"
        folder.mkdir()
        made = replace(run(seed, 0.05, started_utc=f"2026-01-0{seed + 1}T00:00:00Z"), folder=folder)
        run_folder.write_tables(made)
        (folder / "environment.json").write_text(json.dumps(made.environment))
        runs.append(made)
    lockstep = tmp_path / "ab"  # whose sides took turns: no two runs
    lockstep.mkdir()
    sides = {name: getattr(runs[0], name).assign(side="b", run_id="ab") for name in ("pairs", "measurements")}
    run_folder.write_tables(replace(runs[0], folder=lockstep, run_id="ab", **sides))
    (lockstep / "environment.json").write_text(json.dumps(runs[0].environment | {"run_id": "ab"}))
    a, b = runs[-2:]
    for pair in ((a, b), (b, a)):
        assert [[one.run_id for one in group] for group in repeats(*pair)] == [["r4", "r3", "r2", "r1", "r0"]]
    compared = compare(a, b).speedups
    assert compared.effect is not None
    assert compared.effect.sd == pytest.approx(0.05, rel=0.25)
    apart = np.mean([abs(m.log.mean) > m.log.half_width for m in compared.judged if m.log])
    assert apart <= 0.15
    assert "Run to run speedups differ by" in words.run_to_run(compared)
    elsewhere = compare(replace(a, folder=tmp_path / "else" / "a"), replace(b, folder=tmp_path / "else" / "b"))
    unknown = elsewhere.speedups
    assert unknown.effect is None
    assert np.mean([abs(m.log.mean) > m.log.half_width for m in unknown.judged if m.log]) > 0.5
    assert "from run to run is not known" in words.runs_differ(elsewhere)[-1]


def test_a_later_run_and_the_other_side_are_no_repeats(tmp_path: Path) -> None:
    old, new = (run_folder.read(REFERENCE / name) for name in ("xeon-2-cores", "xeon-2-cores-threads"))
    assert [[one.run_id for one in group] for group in repeats(old, new)] == [[old.run_id]]
    upgraded = replace(new, environment={**new.environment, "torch": "9.9"})
    assert [[one.run_id for one in group] for group in repeats(old, upgraded)] == [[old.run_id], [new.run_id]]


@pytest.mark.parametrize(
    ("names", "times", "said"),
    [
        (("xeon-2-cores", "xeon-2-cores-speed-thinking", "xeon-2-cores-threads"), False, "1.4 % in speedup on the two-core Xeon (17 rows of three runs)"),
        (("xeon-2-cores", "xeon-2-cores-speed-thinking", "xeon-2-cores-threads"), True, "0.0 % on the Xeon (34 rows of three runs)"),
        (("h100-16-cores", "h100-16-cores-speed-thinking", "h100-16-cores-speed-thinking-again"), False, "1.2 % on the H100 (58 rows of three runs)"),
        (("h100-16-cores", "h100-16-cores-speed-thinking", "h100-16-cores-speed-thinking-again"), True, "10.2 % on the H100 (113 rows of three runs)"),
    ],
)  # fmt: skip
def test_the_page_has_the_effect_of_the_committed_runs(names: tuple[str, ...], times: bool, said: str) -> None:
    found = run_effect([run_folder.read_tables(REFERENCE / name) for name in names], times)
    assert found is not None
    assert len(found.runs) == 3
    assert said.startswith(f"{math.expm1(found.sd) * 100:.1f} %")
    assert f"({found.rows} rows" in said
    assert said in " ".join((REFERENCE.parents[1] / "docs" / "METHOD.md").read_text(encoding="utf-8").split())


def test_a_further_error_is_added_to_the_intervals_own() -> None:
    own = t_interval([0.0, 0.1, 0.2, 0.3])
    assert standard_error(widened(own, 0.05)) == pytest.approx(math.hypot(standard_error(own), 0.05))
    assert widened(own, 0.0) == own
