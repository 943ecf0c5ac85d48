"""reproduction.md: each sentence of the section with the run's own verdicts, others' figures marked as theirs, links that lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.analyse.claims import published
from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.show.export import reproduction
from bench.show.export.reproduction import SENTENCES
from bench.show.write import write_views
from tests.synthetic import Story, config, write_run

DEEP = {"together": ["size", "depth"], "blocks": ["standard", "separable"]}
EXPERIMENTS = {
    "channels": {"blocks": ["standard", "separable"], "axes": {"channels": [32, 64, 128], "threads": [1, 2]}},
    "depth": {**DEEP, "axes": {"size": [28, 14, 7], "depth": [1, 4, 16], "threads": [1, 2]}},
    "networks": {"blocks": ["mobilenet_v1_standard", "mobilenet_v1"], "axes": {"size": 32, "threads": [1, 2]}},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reproduced")
    write_run(made, Story(processes=6), config(experiments=EXPERIMENTS))
    write_views(made)
    return made


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "reproduction.md").read_text()


def told(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "verdict.json").read_text())["claims"]


def test_every_sentence_and_every_claim_stands_in_it_with_the_verdicts_of_the_run(folder: Path, text: str):
    for sentence in SENTENCES:
        assert f"{sentence['said']}\n" in text
    assert {c for s in SENTENCES for c in s["claims"]} == set(published.CLAIMS) == {c["id"] for c in told(folder)}
    for claim in told(folder):
        assert claim["statement"] in text
        for v in claim["verdicts"]:
            if v["confirmatory"]:
                assert f"**{v['answer']}**" in text
                assert f"{v['why'][1:]}" in text


def test_each_row_of_the_first_table_is_one_confirmatory_verdict(folder: Path, text: str):
    rows = [line for line in text.split("## 1.")[0].splitlines() if re.match(r"\| .*\*\*[A-Z ]+\*\*", line)]
    confirmed = [v["answer"] for c in told(folder) for v in c["verdicts"] if v["confirmatory"]]
    assert [re.search(r"\*\*([A-Z ]+)\*\*", row)[1] for row in rows] == confirmed
    assert "SUPPORTED" in confirmed


def test_without_a_gpu_it_says_so_first_and_claims_nothing_of_one(text: str):
    assert text.index("**No GPU was measured in this run.**") < text.index("| claim |")
    first = text.split("## 2.")[0].split("## 1.")[1]
    assert "**NOT MEASURED**" in first
    assert not re.search(r"\*\*(SUPPORTED|REFUTED|EQUIVALENT)\*\*", first)


def test_others_figures_are_named_as_theirs_and_cited(text: str):
    for part in text.split("*What others published* (not measured by us):")[1:]:
        listed = [
            line for line in part.split("*What would change")[0].split("##")[0].splitlines() if line.startswith("- ")
        ]
        assert listed
        for line in listed:
            assert line.endswith(")") or "more, with the arithmetic of each" in line
    assert text.count("https://") >= 5


def test_pictures_are_linked_once_and_are_there(folder: Path, text: str):
    linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert linked
    assert len(linked) == len(set(linked))
    assert all((folder / path).is_file() for path in linked)


def test_it_is_the_same_each_time_and_not_written_for_runs_that_cannot_tell_layers_from_macs(
    folder: Path, text: str, tmp_path: Path
):
    run = run_folder.read(folder)
    assert reproduction.text(run, judge([run]), folder.glob("plots/*.png")) == text
    write_run(tmp_path, Story(processes=6))
    write_views(tmp_path)
    assert not (tmp_path / "reproduction.md").exists()


def test_a_run_of_an_accelerator_alone_says_that_the_cpu_is_missing(tmp_path: Path):
    write_run(tmp_path, Story(processes=6), config(experiments={"depth": EXPERIMENTS["depth"]}), devices=("cuda:0",))
    run = run_folder.read(tmp_path)
    text = reproduction.text(run, judge([run]), ())
    assert "**No CPU was measured in this run.**" in text
    assert "No GPU was measured" not in text
    assert "Made on Imaginary GPU (cuda:0)" in text
