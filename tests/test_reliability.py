"""docs/RELIABILITY.md says what the tests' markers say, and no marker escapes it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import reliability_page

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "tests"


def test_the_page_ends_with_what_the_command_prints():
    told = subprocess.run([sys.executable, "-m", "tools.reliability_page"], cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout == reliability_page.markdown()
    page = (ROOT / "docs" / "RELIABILITY.md").read_text(encoding="utf-8")
    assert page.endswith(reliability_page.markdown()), "print the tables with: python -m tools.reliability_page"


def test_each_marker_that_pytest_selects_has_its_test_on_the_page():
    tests = [test for tests in reliability_page.proofs().values() for test in tests]
    assert len(tests) == len(set(tests))
    written = [
        len(re.findall(r"^@pytest\.mark\.fault\(", path.read_text(), re.MULTILINE)) for path in TESTS.rglob("*.py")
    ]
    assert len(tests) == sum(written), "a marker stands on a top-level test of tests/test_*.py"
    assert not [path for path in TESTS.rglob("*.py") if re.search(r"pytestmark\b.*fault|^ +@pytest\.mark\.fault", path.read_text(), re.MULTILINE) and path.name != Path(__file__).name]  # fmt: skip


def test_every_test_of_faults_has_a_marker():
    text = (TESTS / "test_faults.py").read_text()
    named = set(re.findall(r"^def test_(\w+)", text, re.MULTILINE))
    shown = {re.search(r"\[(.*)\]", test)[1] for tests in reliability_page.proofs().values() for test in tests}
    assert {name.replace("_", " ") for name in named} <= shown


@pytest.mark.parametrize(
    "marker", ['"killed", "a fault"', '"luck", "a fault", "a promise"', '"killed", "a fault", promise="x"', "A, B, C"]
)
def test_a_marker_that_would_not_show_is_refused(tmp_path, monkeypatch, marker: str):
    (tmp_path / "test_x.py").write_text(f"@pytest.mark.fault({marker})\ndef test_x(): ...\n")
    monkeypatch.setattr(reliability_page, "TESTS", tmp_path)
    with pytest.raises(ValueError, match=r"test_x\.py:1: a fault has a subject of"):
        reliability_page.proofs()
