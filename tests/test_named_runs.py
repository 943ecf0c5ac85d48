"""`bench run --name old` and `bench compare old new`: runs by the names that the user gave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import cli
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, half_the_promise, write_run

CONFIG = """
name: small
experiments:
  one: {blocks: [standard, separable], axes: {channels: [32], kernel: 3, threads: 1}}
"""


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sketched: None) -> Any:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONFIG)

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main([*args])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def test_a_named_run_has_its_folder_and_its_name_is_not_given_twice(bench: Any) -> None:
    measure = ("run", "c.yaml", "--device", "sim:h100", "--name")
    assert bench(*measure, "old")[0] == 0
    assert Path("results/old/journal.jsonl").is_file()
    assert Path("results/latest").resolve() == Path("results/old").resolve()
    before = Path("results/old/journal.jsonl").read_bytes()
    status, out, err = bench(*measure, "old")
    assert (status, out) == (2, "")
    assert err == "bench: --name old: results/old exists. Choose another name, or remove the folder.\n"
    assert Path("results/old/journal.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["", "..", "a/b", "latest", "-x", "two words", "x" * 101])
def test_a_name_is_a_plain_word(bench: Any, name: str) -> None:
    status, _, err = bench("run", "c.yaml", "--device", "sim:h100", f"--name={name}")
    assert status == 2
    assert "it is no name of a run" in err or "exists" in err
    assert not Path("results").exists()


def test_a_name_and_another_folder_or_a_resumed_run_are_refused(bench: Any) -> None:
    assert (
        "it names the folder, as --out does. Give one of them."
        in bench("run", "c.yaml", "--name", "a", "--out", "b")[2]
    )
    assert "a run continues as it was planned. Give --resume alone." in bench("run", "--resume", "x", "--name", "a")[2]


def test_runs_are_compared_by_their_names_and_called_so(bench: Any) -> None:
    for seed, name in enumerate(("old", "new")):
        write_run(Path("results") / name, Story(run_id=f"id-{name}", seed=seed), config({"channels": [16]}))
    status, out, _ = bench("compare", "old", "new")
    assert status == 0
    assert out.splitlines()[1:3] == ["A  old", "B  new"]
    assert "bench compare old new" in Path("results/compare-old-new/compare.html").read_text()
    assert "A  old (id-old)" in bench("compare", "old", "new", "--all")[1]
    assert bench("compare", "old", "neu")[2].startswith("bench: neu: there is no such results folder.")
    write_run(Path("old"), Story(run_id="beside", seed=5), config({"channels": [16]}))
    assert "A  old (beside)" in bench("compare", "old", "new", "--all")[1]  # a folder of that name comes first


def test_the_labels_of_a_short_table_say_what_any_row_differs_in(bench: Any) -> None:
    """Only rows of one layout are shown; the rest are of another."""
    axes = {"channels": [16, 24, 32, 48, 64, 96, 128], "layout": ["contiguous", "channels_last"]}
    for name in ("old", "new"):

        def speedup(trial: Trial, arm: Arm, name: str = name) -> float:
            return half_the_promise(trial, arm) * (1.5 if (name, trial.layout) == ("new", "channels_last") else 1)

        write_run(Path("results") / name, Story(speedup, run_id=name), config(axes))
    out = bench("compare", "old", "new")[1]
    labels = [line.split()[0] for line in out.splitlines() if line.startswith("sweep/")]
    assert len(labels) == 6 + 4
    assert all("-nhwc-cpu-" in label for label in labels)


def test_folders_of_one_name_do_not_share_a_folder_of_pictures(bench: Any) -> None:
    for seed, folder in enumerate(("results/old", "x/new", "y/new")):
        write_run(Path(folder), Story(run_id=f"id{seed}", seed=seed), config({"channels": [16, 64]}))
    assert bench("compare", "old", "x/new", "y/new")[0] == 0
    assert {path.name for path in Path("results").glob("compare-*")} == {"compare-id0-id1", "compare-id0-id2"}
