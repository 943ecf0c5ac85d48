"""The committed tables and verdicts of the reference runs are what today's code makes of their journals, byte for byte.

A change that fails here changes a number that we have published. If that is meant, `make gallery` writes them anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analyse.runs import run_folder
from bench.show.write import write_numbers

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference"
RUNS = sorted(done.parent for done in REFERENCE.glob("*/DONE"))
NUMBERS = {"measurements.csv", "pairs.csv", "roofs.csv", "verdict.json"}


def test_there_are_reference_runs():
    assert len(RUNS) >= 6


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_committed_numbers_are_made_again_from_the_journal(run: Path, tmp_path: Path):
    write_numbers(run_folder.read(run), tmp_path)
    assert {made.name for made in tmp_path.iterdir()} == NUMBERS
    for name in sorted(NUMBERS):
        committed, made = ((folder / name).read_text(encoding="utf-8").splitlines() for folder in (run, tmp_path))
        other = [i for i, (old, new) in enumerate(zip(committed, made, strict=False), 1) if old != new]
        assert other == [], f"{name}, line {other[0]}"
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name
