"""What the tests of the fit share: reference runs, and the command line."""

from functools import cache
from pathlib import Path

import pytest

from bench.analyse.runs import run_folder
from tools.model_fit import own_runs
from tools.model_fit.__main__ import main

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "results" / "reference"


@cache
def own(folder):
    """A reference run, read once for all tests."""
    return own_runs.read(run_folder.read(REFERENCE / folder))


def model_fit(capsys, *words):
    """`python -m tools.model_fit` with these words: its status, what it printed, and its errors."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    told = capsys.readouterr()
    return left.value.code, told.out, told.err
