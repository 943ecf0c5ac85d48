"""The fleet on paper against known truths, and the table of docs/FLEET.md against the simulation."""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.run.merge import merge
from bench.spec.results_folder import read_plan
from tests.tiny_run import records
from tools.fleet import simulate as fleet
from tools.fleet.simulate import simulate

SHARDS = st.lists(st.floats(1, 5000), min_size=1, max_size=40)


@given(SHARDS, st.integers(1, 50))
def test_without_failures_the_last_machine_ends_with_the_longest_shard_or_its_fair_share(
    shards: list[float], machines: int
):
    told = simulate(shards, machines)
    assert (told.failures, told.lost_s) == (0, 0)
    assert told.kept_s == pytest.approx(sum(shards)), "work is conserved"
    least = max(max(shards), sum(shards) / machines)
    assert least * (1 - 1e-9) <= told.span_s <= sum(shards) / machines + max(shards)
    if machines >= len(shards):
        assert told.span_s == max(shards)
    if machines == 1:
        assert told.span_s == pytest.approx(sum(shards))


@given(SHARDS, st.integers(1, 50), st.floats(5000, 1e6), st.integers(0, 99))
def test_failures_cost_time_and_no_result(shards: list[float], machines: int, mtbf_s: float, seed: int):
    told = simulate(shards, machines, mtbf_s, seed=seed)
    assert told.kept_s == pytest.approx(sum(shards))
    assert (told.lost_s > 0) == (told.failures > 0)
    assert told.span_s * machines >= (told.kept_s + told.lost_s) * (1 - 1e-9)
    assert told == simulate(shards, machines, mtbf_s, seed=seed)
    if machines >= len(shards):
        assert told.span_s >= max(shards)


def test_one_shard_takes_as_long_as_theory_says():
    """Work of length L that starts again after each failure: E = (m + lease) (exp(L / m) - 1), m the mean time to one."""
    length, mean, lease = 3000.0, 4000.0, 600.0
    spans = [simulate([length], 1, mean, lease, seed).span_s for seed in range(4000)]
    expected = (mean + lease) * (math.exp(length / mean) - 1)
    assert abs(statistics.mean(spans) - expected) < 4 * statistics.stdev(spans) / math.sqrt(len(spans))


def test_a_run_that_was_cut_into_shards_merges_to_itself(tmp_path: Path):
    merge(fleet.cut(fleet.REFERENCE, 3, tmp_path), tmp_path / "out", ["bench", "merge"], partial=True)
    assert read_plan(tmp_path / "out") == read_plan(fleet.REFERENCE)
    one, other = (
        {(r["trial_id"], r["replicate"]): r for r in records(at, "visit")} for at in (tmp_path / "out", fleet.REFERENCE)
    )
    assert one == other


def test_the_table_of_the_document_is_what_the_simulation_prints(monkeypatch, capsys):
    monkeypatch.setattr(fleet, "merge_cost", lambda: (0, 0, 0, 0, 0))  # it differs from machine to machine
    fleet.main()
    table, _ = capsys.readouterr().out.split("\n\n")
    text = (Path(__file__).resolve().parents[1] / "docs" / "FLEET.md").read_text(encoding="utf-8")
    assert f"```console\n$ python -m tools.fleet.simulate\n{table}\n" in text
