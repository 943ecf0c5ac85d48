"""The wheel works alone: its configs are inside, and are named without a path, in an empty folder.

`make test-wheel` installs it with all that it depends on, and measures with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {file.stem: file for file in (ROOT / "configs").glob("*.yaml")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist as the build backend makes them, without a network."""
    pytest.importorskip("hatchling", reason="of the dev extra: it builds the wheel")
    at = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", at], cwd=ROOT, check=True)
    return at


@pytest.fixture(scope="module")
def unpacked(built: Path) -> Path:
    """The wheel, unpacked."""
    (wheel,) = built.glob("separable_bench-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as content:
        content.extractall(built / "site")
    return built / "site"


@pytest.fixture
def alone(unpacked: Path, tmp_path: Path):
    """`bench` of the wheel, called in an empty folder; what it prints."""

    def call(*words: str) -> str:
        env = {**os.environ, "PYTHONPATH": str(unpacked)}
        command = [sys.executable, "-m", "bench", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    return call


def test_the_wheel_holds_the_configs_of_the_repository(unpacked: Path):
    inside = {file.stem: file for file in (unpacked / "bench" / "configs").glob("*.yaml")}
    assert inside.keys() == CONFIGS.keys()
    for name, file in CONFIGS.items():
        assert inside[name].read_bytes() == file.read_bytes()
    assert {path.name.split("-")[0] for path in unpacked.iterdir()} == {"bench", "separable_bench"}


def test_the_wheel_plans_and_prints_its_configs_in_an_empty_folder(alone, tmp_path: Path):
    assert alone("plan", "default").startswith("default on cpu: ")
    assert alone("smoke", "--dry-run") == alone("plan", "smoke")
    assert alone("reproduce", "--dry-run") == alone("plan", "speed_thinking")
    assert alone("config").count("\n") == len(CONFIGS)
    printed = alone("config", "smoke")
    assert printed == CONFIGS["smoke"].read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(printed, encoding="utf-8")
    assert alone("plan", "mine.yaml") == alone("plan", "smoke")


def test_the_wheel_predicts_a_run_by_a_name_in_an_empty_folder(alone, tmp_path: Path):
    words = "--device", "sim:h100", "--out", "out", "--set", "channels=16,64"
    assert "Would separable be faster" in alone("run", "smoke", *words)
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_sdist_makes_the_same_wheel(built: Path):
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as content:
        content.extractall(built, filter="data")
    source = built / sdist.name.removesuffix(".tar.gz")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "again"], cwd=source, check=True)
    assert (source / "again" / wheel.name).read_bytes() == wheel.read_bytes()
    assert {path.name for path in source.iterdir()} >= {
        "Makefile",
        "README.md",
        "LICENSE",
        "constraints.txt",
        "tests",
        "tools",
    }
