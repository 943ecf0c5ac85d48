"""docs/FAQ.md: its commands print what it shows, its words exist, its example runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import cli
from bench.analyse.claims.published import published
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import read
from bench.spec.columns import BY_NAME, MEASURED
from bench.spec.config.axes import Axes
from bench.spec.config.timing import Timing
from tools.model_fit.__main__ import main as fit_main

ROOT = Path(__file__).resolve().parents[1]
FAQ = (ROOT / "docs" / "FAQ.md").read_text(encoding="utf-8")
CONSOLES = [re.sub(r"^ +(?=\S)", "", b) for b in re.findall(r"```console\n(.*?)```", FAQ, re.DOTALL)]
PROGRAMS = {"$ bench ": cli.main, "$ python -m tools.model_fit ": fit_main}
Bench = Callable[..., tuple[int, str]]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Run a command line in this process, from the root: its status and what it printed."""
    monkeypatch.chdir(ROOT)

    def run(*words: str, main: Callable[[list[str]], None] = cli.main) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(list(words))
        return int(left.value.code or 0), capsys.readouterr().out

    return run


@pytest.mark.parametrize("block", CONSOLES, ids=lambda block: block.splitlines()[0].removeprefix("$ "))
def test_a_command_prints_what_is_shown_under_it(block: str, bench: Bench, sketched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    command, *shown = block.splitlines()
    program, words = next((p, command.removeprefix(p).split()) for p in PROGRAMS if command.startswith(p))
    if words[0] == "compare":
        words += ["--out", str(tmp_path)]
    if words[0] == "report":
        shutil.copytree(ROOT / words[1], tmp_path / "run")
        words[1] = str(tmp_path / "run")
    monkeypatch.setenv("COLUMNS", "100")  # as a pipe has it
    status, told = bench(*words, main=PROGRAMS[program])
    assert status == (3 if "gate can't tell" in block else 0)
    printed = iter([line.strip() for line in told.splitlines()])
    for line in (line.strip() for line in shown):
        assert line in ("", "...") or line in printed, line  # in this order


def test_every_flag_of_every_verb_that_is_named_exists(bench: Bench):
    named = set()
    for line in re.findall(r"(?:`|^(?:\$ )?)(bench [a-z]+[^`\n]*)", FAQ, re.MULTILINE):
        words = line.split()
        verb = " ".join(words[1:3] if words[1] == "predict" else words[1:2])
        named |= {(verb, flag) for flag in re.findall(r"--[a-z-]+", line)}
    assert {("run", "--set"), ("run", "--resume"), ("compare", "--margin"), ("compare", "--fail-on")} <= named
    for verb in {verb for verb, _ in named}:
        status, told = bench(*verb.split(), "--help")
        assert status == 0
        for flag in {flag for v, flag in named if v == verb}:
            assert re.search(rf"{flag}\b", told), (verb, flag)


def test_every_setting_and_target_that_is_named_exists():
    known = {field.alias or name for name, field in Axes.model_fields.items()} | set(Timing.model_fields)
    settings = re.findall(r"(?:--set |SET=)([a-z_]+)=", FAQ) + re.findall(r"`timing\.([a-z_]+)`", FAQ)
    assert settings
    assert set(settings) <= known
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"`make ([a-z-]+)", FAQ):
        assert re.search(rf"^  {target} ", listed, re.MULTILINE), target


def test_every_column_that_is_named_exists():
    words = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", FAQ)) - set(Timing.model_fields)
    assert len(words) >= 8
    assert words <= set(BY_NAME)


def test_every_link_leads_somewhere():
    def anchors(page: str) -> set[str]:
        headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}

    for target, _, anchor in (link.partition("#") for link in re.findall(r"\]\(([^)]+)\)", FAQ)):
        page = ROOT / "docs" / (target or "FAQ.md")
        assert page.is_file(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), anchor
    questions = re.findall(r"^## (.+)$", FAQ, re.MULTILINE)
    assert FAQ.count("](#") == len(questions)


def test_figures_of_others_and_of_the_study_are_those_of_their_pages():
    method = (ROOT / "docs" / "METHOD.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in FAQ.splitlines() if re.match(r"\| \d+ channels", line)]
    assert len(rows) == 2
    assert set(rows) <= set(method)
    of = {row.id: row.speedup for row in published()}
    assert f"lost in fp32 ({of['a100-fp32']:.2f}x) and won in fp16 ({of['a100-fp16']:.2f}x)" in FAQ


def test_the_block_of_ones_own_is_planned_and_measured(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, sketched: None
):
    for language in ("python", "yaml"):
        (told,) = re.findall(rf"```{language}\n# (\S+)\n(.*?)```", FAQ, re.DOTALL)
        (tmp_path / told[0]).write_text(told[1])
    monkeypatch.chdir(tmp_path)
    assert "2 trials to measure, 6 arms" in bench("plan", "mine.yaml")[1]
    short = "seconds=0.02 warmup_seconds=0.02 processes_min=1 processes_max=1 channels=32".split()
    assert bench("run", "mine.yaml", "--out", "out", *(word for s in short for word in ("--set", s)))[0] == 0
    rows = records_of(read(tmp_path / "out").measurements)
    assert [r["block"] for r in rows] == ["standard", "separable", "shuffled"]
    assert all(r["status"] in MEASURED for r in rows)
    assert (rows[2]["cost_source"], rows[2]["macs"]) == ("counted by hooks", 28 * 28 * (9 * 32 + 32 * 32 // 4))
