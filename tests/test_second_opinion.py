"""The table of `make test-bench`, from files of both kinds."""

import csv
import json
from pathlib import Path

import pytest

from bench.show import second_opinion
from bench.spec.errors import UserError


def folder(path: Path, arms: dict[str, tuple[float | None, float | None]]) -> Path:
    """A results folder with only what the table reads: block -> (minimum, median) in seconds."""
    keys = "trial_id arm_id block baseline c_in c_out time_min_s time_median_s".split()
    with open(path / "measurements.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(keys)
        for block, times in arms.items():
            rows.writerow(["e/t", f"e/t/{block}", block, "standard", 32, 32, *times])
    return path


def benchmark_json(path: Path, arms: dict[str, tuple[float, float]]) -> Path:
    benchmarks = [
        {"extra_info": {"arm_id": f"e/t/{block}"}, "stats": {"min": low, "median": median}}
        for block, (low, median) in arms.items()
    ]
    path.write_text(json.dumps({"benchmarks": benchmarks}), encoding="utf-8")
    return path


def test_shows_both_timers_and_says_where_they_part(tmp_path, capsys):
    run = folder(tmp_path, {"standard": (400e-6, 410e-6), "separable": (200e-6, 210e-6)})
    theirs = benchmark_json(tmp_path / "b.json", {"standard": (404e-6, 500e-6), "separable": (240e-6, 215e-6)})
    assert second_opinion.main([str(run), str(theirs)]) == 0
    head, standard, separable, _, _, counts, _, apart = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["block", "channels"]
    assert standard.split() == "standard 32 400.0 410.0 404.0 500.0 median +22 %".split()
    assert separable.split() == "separable 32 200.0 210.0 240.0 215.0 2.00 1.68 min +20 %, speedup -16 %".split()
    assert counts == "Within 10 % of each other: 1 of 2 minima, 1 of 2 medians, 0 of 1 speedups."
    assert "standard at 32 channels (median +22 %)" in apart


def test_an_arm_that_failed_in_either_is_left_out(tmp_path):
    run = folder(tmp_path, {"standard": (None, None), "separable": (200e-6, 210e-6)})
    theirs = benchmark_json(tmp_path / "b.json", {"standard": (1e-4, 1e-4), "separable": (2e-4, 2e-4)})
    (only,) = second_opinion.rows(run, theirs)
    assert (only.block, only.speedup, only.parted) == ("separable", None, ())


@pytest.mark.parametrize("what", ["no run", "no json", "nothing in common"])
def test_a_mistake_is_one_line(tmp_path, capsys, what):
    run = folder(tmp_path, {"standard": (1e-4, 1e-4)})
    theirs = benchmark_json(tmp_path / "b.json", {} if what == "nothing in common" else {"standard": (1e-4, 1e-4)})
    given = [run / "none" if what == "no run" else run, tmp_path / "none.json" if what == "no json" else theirs]
    with pytest.raises(UserError):
        second_opinion.rows(*given)
    assert second_opinion.main([str(p) for p in given]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
