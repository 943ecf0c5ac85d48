"""The README's figures are what its command prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_report_in_the_readme_is_the_report_of_the_committed_run(tmp_path: Path):
    (shown,) = re.findall(r"```console\n\$ bench report (\S+)\n(.*?)```", README, re.DOTALL)
    reference = shown[0]
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / reference, copy)
    told = subprocess.run(
        [sys.executable, "-m", "bench", "report", str(copy)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert told.stdout.replace(str(copy), reference).strip() == shown[1].strip()
    for table in ("measurements.csv", "pairs.csv"):
        assert (copy / table).read_bytes() == (ROOT / reference / table).read_bytes()


def test_every_file_that_the_readme_points_at_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_verb_and_target_that_the_readme_names_exists():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in set(re.findall(r"`make ([a-z-]+)", README)) | set(re.findall(r"\$ make ([a-z-]+)", README)):
        assert re.search(rf"^  {target} ", listed, re.MULTILINE), target
    told = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for verb in set(re.findall(r"`bench ([a-z]+)", README)):
        assert re.search(rf"^  {verb}\b", told.stdout, re.MULTILINE), verb


def test_pictures_are_drawn_again_to_the_byte(tmp_path: Path):
    (reference,) = re.findall(r"\$ bench report (\S+)\n", README)
    for name in ("one", "two"):
        shutil.copytree(ROOT / reference, tmp_path / name)
        subprocess.run(
            [sys.executable, "-m", "bench", "report", str(tmp_path / name)], capture_output=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    for picture in (tmp_path / "one" / "plots").iterdir():
        assert picture.read_bytes() == (tmp_path / "two" / "plots" / picture.name).read_bytes(), picture.name
