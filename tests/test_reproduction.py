"""reproduction.md and reproduction.zh-CN.md: each sentence of the section with this run's answer, number and picture, the same in both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.analyse.claims import cell_tests
from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.cli.reading import report
from bench.show.export import reproduction
from bench.show.export.reproduction import NAMES, SENTENCES, WORDS
from bench.show.write import write_views
from bench.spec.config.config import load
from tests.synthetic import Story, config, realistic, write_run

ROOT = Path(__file__).resolve().parents[1]
REFERENCES = [
    ROOT / "results" / "reference" / name for name in ("h100-16-cores-speed-thinking", "xeon-2-cores-speed-thinking")
]
DEEP = {"together": ["size", "depth"], "blocks": ["standard", "separable"]}
EXPERIMENTS = {
    "channels": {"blocks": ["standard", "separable"], "axes": {"channels": [32, 64, 128], "threads": [1, 2]}},
    "depth": {**DEEP, "axes": {"size": [28, 14, 7], "depth": [1, 4, 16], "threads": [1, 2]}},
    "networks": {"blocks": ["mobilenet_v1_standard", "mobilenet_v1"], "axes": {"size": 32, "threads": [1, 2]}},
}


def written(folder: Path) -> tuple[str, str]:
    """The documents of a folder, in English and Chinese, as they would be written today."""
    run = run_folder.read(folder)
    pictures = [Path(f"plots/{name}.png") for one in SENTENCES for name in one["pictures"]]
    texts = reproduction.texts(run, judge([run]), pictures)
    return texts[NAMES["en"]], texts[NAMES["zh"]]


def keys(text: str, language: str) -> list[tuple[str, ...]]:
    """The answers that stand in each line, by their keys."""
    words = {WORDS[language][key]: key for key in ("right", "wrong", "depends", "undecided", "unmeasured")}
    longest = sorted(words, key=len, reverse=True)  # 不对 holds 对
    lines = [line.lower() for line in text.splitlines() if line.startswith(("## ", "| "))]
    heads = [line.partition(":")[0].partition("：")[0] if line.startswith("#") else line.split("|")[2] for line in lines]  # fmt: skip
    return [tuple(words[w] for w in re.findall("|".join(longest), head)) for head in heads]


def numbers(text: str) -> list[list[str]]:
    """The numbers of each line but those of its prose, in the order of their digits."""
    known = r"3 ?[x×] ?3|95 %|1x|1 倍|九分之一"
    return [sorted(re.findall(r"\d+(?:\.\d+)?", re.sub(known, "", line))) for line in text.splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("reproduced")
    write_run(made, Story(processes=6), config(experiments=EXPERIMENTS))
    write_views(made)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `make reproduce` on a CPU and a GPU."""
    made = tmp_path_factory.mktemp("whole")
    _, data = load(ROOT / "configs" / "speed_thinking.yaml")
    write_run(made, Story(processes=6, speedup=realistic), data, devices=("cpu", "cuda:0"))
    return made


# ---------------------------------------------------------------- both languages


@pytest.mark.parametrize("run", [*REFERENCES, "whole"], ids=str)
def test_both_languages_hold_the_same_numbers_answers_and_pictures(run: Path | str, request: pytest.FixtureRequest):
    english, chinese = written(request.getfixturevalue("whole") if run == "whole" else Path(run))
    assert keys(english, "en") == keys(chinese, "zh")
    assert len([k for k in keys(english, "en") if k]) >= len(SENTENCES) + 5
    assert numbers(english) == numbers(chinese)
    linked = [re.findall(r"\]\((plots/[^)]+)\)", text) for text in (english, chinese)]
    assert linked[0] == linked[1] != []
    assert len(linked[0]) == len(set(linked[0]))
    assert all(len(text.splitlines()) < 120 for text in (english, chinese))


@pytest.mark.parametrize("folder_", REFERENCES, ids=lambda path: path.name)
def test_the_committed_documents_say_what_they_would_say_today(folder_: Path):
    run = run_folder.read(folder_)
    again = reproduction.texts(run, judge([run]), folder_.glob("plots/*.png"))
    assert again == {name: (folder_ / name).read_text() for name in NAMES.values()}, "make gallery"


def test_the_chinese_is_in_the_readers_words(whole: Path):
    _, text = written(whole)
    for word in ("速度思考", "三倍以上", "层数", "总计算量", "CPU", "GPU"):
        assert word in text
    assert re.search(r"加速比 \d\.\d+ 倍 \[\d", text)
    prose = re.sub(r"`[^`]*`|\(.*?\)|\*\*.*?`", "", text)
    assert not re.search(r"\d+x\b", prose)
    assert not re.search(r"[a-z]+ [a-z]+ [a-z]+ [a-z]+", prose), "no sentence is left in English"


def test_every_word_is_there_in_both_languages():
    assert WORDS["en"].keys() == WORDS["zh"].keys()
    for name in ("weak", "numbers"):
        assert WORDS["en"][name].keys() == WORDS["zh"][name].keys()
    for words in WORDS.values():
        assert words["weak"].keys() == {cell_tests.ONE_CELL, cell_tests.ALL_NOISY, cell_tests.TOO_FEW}
        assert len(words["head"]) == 4
    tested = {claim for one in SENTENCES for claim in one["claims"]}
    assert tested == BY_ID.keys() - {"faster"}  # its two halves are sentences
    assert tested <= WORDS["en"]["numbers"].keys() | {"gpu_led_by_layers", "cpu_led_by_compute"}


# ---------------------------------------------------------------- what it says


def test_a_sentence_has_the_answers_and_numbers_of_the_verdicts(folder: Path):
    claims = {c["id"]: c["verdicts"] for c in json.loads((folder / "verdict.json").read_text())["claims"]}
    text = (folder / NAMES["en"]).read_text()
    first, second, *_ = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert first.startswith("1. Not measured: On a GPU")
    assert "|" not in first
    holds = [v for v in claims["cpu_3x"] if v["confirmatory"] and v["cells"]["n"] > 1]
    assert {v["answer"] for v in holds} == {"HOLDS EVERYWHERE"}
    assert second.startswith("2. Right: Where computing power is short")
    for v in holds:
        threads = v["place"]["threads"]
        row = next(line for line in second.splitlines() if line.startswith(f"| cpu, {threads} thread") and "Net" not in line)  # fmt: skip
        assert re.search(rf"batch 1 \\\* \| right \| mean speedup {v['effect']['value']:.2f}x \[", row)
        assert row.endswith(f"| {v['cells']['surely']} of {v['cells']['n']} |")


def test_sweeps_say_what_becomes_of_time_where_layers_or_macs_double(whole: Path):
    run = run_folder.read(whole)
    verdict = next(v for v in judge([run]).of("cpu_led_by_compute") if v.confirmatory and v.about == "separable")
    slope = re.search(r"on layers at fixed MACs (\d\.\d+)", verdict.why)
    assert slope
    row = next(line for line in written(whole)[0].splitlines() if line.startswith("| cpu, 1 thread, batch 1, separable"))  # fmt: skip
    doubled = re.search(r"layers doubled: time (\d\.\d+)x \[\d.*MACs doubled: time (\d\.\d+)x \[\d", row)
    assert doubled
    assert float(doubled[1]) == pytest.approx(2 ** float(slope[1]), abs=0.02)
    assert float(doubled[1]) < float(doubled[2])
    assert "| right |" in row


def test_what_is_not_known_of_a_device_is_said(folder: Path):
    for name, says in zip(NAMES.values(), ("**No GPU was measured", "**这次没有测 GPU"), strict=True):
        text = (folder / name).read_text()
        assert text.index(says) < text.index("## 1.")
        assert "CPU was measured" not in text


def test_pictures_are_linked_where_they_are_and_under_what_was_measured(folder: Path):
    for name in NAMES.values():
        text = (folder / name).read_text()
        linked = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
        assert linked
        assert all((folder / path).is_file() for path in linked)
        for part in text.split("\n## ")[1:]:
            assert "plots/" not in part or "|---|" in part


def test_it_is_written_for_the_section_and_for_sweeps_of_layers_alone(tmp_path: Path):
    for name, experiments, due in (("synthetic", {}, False), ("speed_thinking", {}, True), ("synthetic", EXPERIMENTS, True)):  # fmt: skip
        write_run(tmp_path, Story(processes=6), config(experiments=experiments) | {"name": name})
        run = run_folder.read(tmp_path)
        assert reproduction.texts(run, judge([run]), ()).keys() == (set(NAMES.values()) if due else set())
    write_run(tmp_path, Story(processes=6), config() | {"name": "speed_thinking"})
    assert "## 7. Not measured: And on a CPU" in written(tmp_path)[0], "nothing was planned for the reason"


def test_it_is_the_same_each_time(folder: Path):
    run = run_folder.read(folder)
    again = reproduction.texts(run, judge([run]), folder.glob("plots/*.png"))
    assert again == {name: (folder / name).read_text() for name in NAMES.values()}


# ---------------------------------------------------------------- the reason was not tested


def said(folder: Path) -> str:
    run = run_folder.read(folder)
    return "\n".join(reproduction.not_tested(one) for one in reproduction.untested(run, judge([run])))


def deep(folder: Path, **story: Any) -> None:
    write_run(folder, Story(**story), config(experiments={**EXPERIMENTS, "macs": {"blocks": ["standard", "separable"], "axes": {"channels": [8, 16, 32, 64], "threads": [1, 2]}}}, timing={"minutes": 4, "visit_seconds": 9}))  # fmt: skip


def test_too_few_processes_are_said_last_with_the_minutes_that_suffice(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setattr("bench.show.write.draw", lambda *_: ())
    deep(tmp_path, processes=3)
    report([tmp_path])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == said(tmp_path)
    assert last.startswith("The reason was not tested on cpu: its sweeps have 3 processes each, and an answer needs 6.")
    assert last.endswith(f"bench run {tmp_path.name}/config.yaml --device cpu --set minutes=9")
    english, chinese = written(tmp_path)
    assert last in english.split("## 7.")[1].split("## 8.")[0]
    assert "原因没有测到" in chinese.split("## 7.")[1]
    assert "原因没有测到" not in chinese.split("## 7.")[0]


def test_lost_sweeps_are_said_with_more_patience(tmp_path: Path):
    deep(tmp_path, processes=6)
    stacks = {i: (1, "oom", "no memory") for i, t in enumerate(run_folder.read(tmp_path).plan.trials) if (t.shape.depth or 1) > 1}  # type: ignore[union-attr]  # fmt: skip
    deep(tmp_path, processes=6, fails=stacks)
    last = said(tmp_path)
    assert f"{len(stacks)} of the {len(stacks)} rows of its sweeps were skipped or failed" in last
    assert last.endswith("--set minutes=12 --set visit_seconds=27")
    (tmp_path / "DONE").unlink()
    assert said(tmp_path).endswith(f"bench run --resume {tmp_path}")


def test_sweeps_of_macs_alone_are_not_taken_for_those_of_layers(tmp_path: Path):
    """A slow moment once cost all sweeps of layers, and their reason was said to be the processes of the others."""
    deep(tmp_path, processes=2)
    trials = run_folder.read(tmp_path).plan.trials  # type: ignore[union-attr]
    deep(tmp_path, processes=2, unreached=frozenset(i for i, t in enumerate(trials) if (t.shape.depth or 1) > 1))
    assert "rows of its sweeps were skipped or failed" in said(tmp_path)


def test_nothing_is_said_where_the_reason_was_tested_or_not_asked_for(tmp_path: Path):
    deep(tmp_path / "asked", processes=6)
    write_run(tmp_path / "not", Story(processes=3))
    for name in ("asked", "not"):
        assert said(tmp_path / name) == ""
