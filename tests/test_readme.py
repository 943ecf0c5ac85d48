"""The README's figures are what its command prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.show.write import write_views

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LANGUAGES = ("README.md", "README.zh-CN.md")  # tests/test_readme_zh.py holds the second to the first

(SHOWN,) = re.findall(r"```console\n\$ bench report (\S+)\n(.*?)```", README, re.DOTALL)
REFERENCE = SHOWN[0]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the committed run, reported by the verb in a process of its own, and what that printed."""
    copy = tmp_path_factory.mktemp("reported") / "copy"
    shutil.copytree(ROOT / REFERENCE, copy)
    told = subprocess.run(
        [sys.executable, "-m", "bench", "report", str(copy)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    return copy, told.stdout


def test_the_report_in_the_readme_is_the_report_of_the_committed_run(reported: tuple[Path, str]):
    copy, told = reported
    assert told.replace(str(copy), REFERENCE).strip() == SHOWN[1].strip()
    for table in ("measurements.csv", "pairs.csv"):
        assert (copy / table).read_bytes() == (ROOT / REFERENCE / table).read_bytes()


@pytest.mark.parametrize(
    ("folder", "block"), re.findall(r"```console\n\$ bench verdict (\S+)\n(.*?)```", README, re.DOTALL)
)
def test_the_verdicts_in_the_readme_are_those_of_the_committed_runs(folder: str, block: str):
    told = subprocess.run(
        [sys.executable, "-m", "bench", "verdict", folder], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": "100"},  # what a pipe gets
    )  # fmt: skip
    printed = iter([line.rstrip() for line in told.stdout.splitlines()])
    for line in block.splitlines():
        assert line in ("", "...") or line in printed, line  # in this order
    for file in ("measurements.csv", "pairs.csv", "verdict.json", "reproduction.md"):
        assert (ROOT / folder / file).is_file()


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_file_that_the_readme_points_at_is_there(name: str):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("name", LANGUAGES)
def test_every_verb_and_target_that_the_readme_names_exists(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in set(re.findall(r"(?:`|\$ )make ([a-z-]+)", text)):
        assert re.search(rf"^  {target} ", listed, re.MULTILINE), target
    told = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for verb in set(re.findall(r"`bench ([a-z]+)", text)):
        assert re.search(rf"^  {verb}\b", told.stdout, re.MULTILINE), verb


def test_pictures_are_drawn_again_to_the_byte(reported: tuple[Path, str], tmp_path: Path):
    """In another process, by the function that the verb calls."""
    copy, _ = reported
    shutil.copytree(ROOT / REFERENCE, tmp_path / "again")
    write_views(tmp_path / "again")
    pictures = list((copy / "plots").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.read_bytes() == (tmp_path / "again" / "plots" / picture.name).read_bytes(), picture.name
