"""A results folder is data: no verb imports the code that it names, and `bench run --resume` does after --trust alone."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.cli import main
from bench.run import launch
from bench.run.session import Session

OWN = {"import": "planted:Block", "name": "mine"}
TIMING = {"processes_min": 2, "processes_max": 2}


@pytest.fixture(autouse=True)
def jobs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """The jobs of all workers, which are fake; the module `planted`, which any import would find, leaves a file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setattr("bench.show.plots.shared.files.save", lambda *_: ())
    (tmp_path / "planted.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\ndef Block(**sizes): ...\n")
    given: list[dict[str, Any]] = []
    job = launch.job
    monkeypatch.setattr("bench.run.session.job", lambda *a, **k: given.append(job(*a, **k)) or given[-1])
    monkeypatch.setattr(launch, "job", lambda *a, **k: given.append(job(*a, **k)) or given[-1])
    return given


def bench(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def a_run(folder: Path, *blocks: object) -> Path:
    one = {"blocks": ["standard", *blocks], "axes": {"channels": 4, "size": 4, "threads": 1}}
    config = Path(f"{folder.name}.yaml")
    config.write_text(yaml.safe_dump({"name": folder.name, "timing": TIMING, "experiments": {"e": one}}))
    assert bench("run", str(config), "--out", str(folder)) == 0
    return folder


def imports(jobs: list[dict[str, Any]]) -> set[str]:
    return {path for job in jobs for path in job["imports"]}


@pytest.mark.fault(
    "folders of others", "a plan.json names code to import",
    "`--resume` names it and ends with status 2, and runs it only with `--trust`",
)  # fmt: skip
def test_a_folder_that_names_code_is_resumed_after_trust_alone(tmp_path: Path, capsys, jobs):
    folder = a_run(tmp_path / "run", OWN, OWN | {"import": "planted:Block.other", "name": "other"})
    assert imports(jobs) == {"planted:Block", "planted:Block.other"}  # the user named the config
    (folder / "DONE").unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    jobs.clear()
    capsys.readouterr()
    assert bench("run", "--resume", str(folder)) == 2
    assert capsys.readouterr().err == (
        f"bench: --resume {folder}: its plan would import and run planted:Block and planted:Block.other. "
        "If you trust that code, add --trust (make: TRUST=1)\n"
    )
    assert not jobs
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert bench("run", "--resume", str(folder), "--trust") == 0
    assert imports(jobs) == {"planted:Block", "planted:Block.other"}


def test_many_and_long_imports_are_said_in_one_short_line(tmp_path: Path, capsys):
    many = [{"import": f"planted:{'x' * 500}{i}", "name": f"b{i}"} for i in range(9)]
    folder = a_run(tmp_path / "run", *many)
    (folder / "DONE").unlink()
    capsys.readouterr()
    assert bench("run", "--resume", str(folder)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "and 4 more" in line
    assert len(line) < 800


def test_a_run_of_known_blocks_is_resumed_without_a_word(tmp_path: Path, capsys):
    folder = a_run(tmp_path / "run", "separable")
    (folder / "DONE").unlink()
    capsys.readouterr()
    assert bench("run", "--resume", str(folder)) == 0
    assert "trust" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(("block", "flag", "variable"), [(OWN, " --trust", " TRUST=1"), ("separable", "", "")])
def test_an_interrupt_names_the_flag_that_going_on_needs(
    tmp_path: Path, capsys, monkeypatch, block: object, flag: str, variable: str
):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "_replicate", stopped)
    a_config = tmp_path / "c.yaml"
    one = {"blocks": ["standard", block], "axes": {"channels": 4, "size": 4, "threads": 1}}
    a_config.write_text(yaml.safe_dump({"name": "own", "experiments": {"e": one}}))
    assert bench("run", str(a_config), "--out", "run") == 130
    out, err = capsys.readouterr()
    assert f"to continue: bench run --resume run{flag} (or make bench RESUME=run{variable})\n" in err
    assert f"bench run --resume{flag} goes on" in " ".join(out.split())


@pytest.mark.fault(
    "folders of others", "a folder that names code to import is read",
    "no verb imports it",
)  # fmt: skip
def test_no_other_verb_imports_what_a_folder_names(tmp_path: Path, capsys, jobs):
    named = [str(a_run(tmp_path / "results" / name, OWN)) for name in ("one", "two", "three")]
    folder = Path(named[0])
    (folder / "DONE").unlink()
    jobs.clear()
    (tmp_path / "imported").unlink(missing_ok=True)
    read = [
        ["report", *named], ["report", named[0], "--format", "md"], ["report", named[0], "--format", "json"],
        ["report", "--index", "results"], ["verdict", *named], ["compare", *named], ["compare", "--history", *named],
        ["drivers", named[0]], ["plan", f"{folder}/config.yaml"], ["run", f"{folder}/config.yaml", "--dry-run"],
        ["predict", "crossover", "--device", f"sim:{folder}#cpu", "--json"], ["doctor"], ["aa", "--pairs", "2", "--out", "aa"],
    ]  # fmt: skip
    for words in read:
        assert bench(*words) in (0, 1, 2), words
    assert len(jobs) > 1  # of doctor and aa
    assert not imports(jobs)
    assert "planted" not in sys.modules
    assert not (tmp_path / "imported").exists()
    assert "Traceback" not in capsys.readouterr().err
