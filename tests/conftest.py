"""What every test may rely on."""

import gc
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from bench.run import environment, launch
from tests import browser, simulated, warm_worker
from tests.tiny_run import CONFIG, calm

torch.set_num_threads(1)  # a second thread would spin: the suite has a process for each core
simulated.register()  # torch has to know its devices before the first backward of the process

# Examples are drawn from a fixed seed, and none fails for being slow on a busy machine.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="module")
def old_objects_stay() -> None:
    """A worker's loop collects garbage before each trial: 1 s among all that the tests have imported and kept."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def calm_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "look", calm)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config of six trials."""
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Workers are those of tests/fake_worker.py; what they do is set by a call."""
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    return lambda **what: monkeypatch.setenv("BENCH_FAKE", json.dumps(what))


@pytest.fixture
def sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are composed and laid out, and their files are empty: writing them is half of the time, or more."""

    from bench.show.plots.shared import files  # most tests need no matplotlib

    def save(figure, folder: Path, name: str) -> tuple[Path, Path]:
        figure.draw_without_rendering()
        folder.mkdir(parents=True, exist_ok=True)
        png, svg = folder / f"{name}.png", folder / f"{name}.svg"
        png.touch()
        svg.touch()
        return png, svg

    monkeypatch.setattr(files, "save", save)


@pytest.fixture(scope="session")
def warm_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-warm-") as folder:  # pytest's own are too long for a socket's name
        address = f"{folder}/socket"
        server = subprocess.Popen(
            [sys.executable, "-m", warm_worker.__name__, address], cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield address
        server.stdin.close()
        server.wait(timeout=60)
        server.stdout.close()


@pytest.fixture
def warm(warm_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers start at once, as forks of a process that has imported torch: see tests/warm_worker.py."""
    monkeypatch.setattr(launch, "WORKER", warm_worker.__name__)
    monkeypatch.setenv(warm_worker.ADDRESS, warm_server)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Tab]:
    """A tab of a headless Chromium, for tests that are skipped where there is none."""
    chromium = browser.find()
    assert chromium is not None
    tab = browser.Tab(chromium, tmp_path_factory.mktemp("profile"))
    yield tab
    tab.close()
