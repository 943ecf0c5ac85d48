"""What README.md and the pages below docs/ that it leads to print is what their commands print; it is short and plain."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from bench.cli import main
from bench.show.write import write_views

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FINDINGS = (ROOT / "docs" / "FINDINGS.md").read_text(encoding="utf-8")
LANGUAGES = ("README.md", "README.zh-CN.md")  # tests/test_readme_zh.py holds the second to the first
PAGES = (
    *LANGUAGES,
    *(f"docs/{name}.md" for name in ("FINDINGS", "GPU", "COMPARE", "REPORT", "LIMITS", "GLOSSARY", "README")),
)

(SHOWN,) = re.findall(r"```console\n\$ bench report (\S+)\n(.*?)```", FINDINGS, re.DOTALL)
REFERENCE = SHOWN[0]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the committed run, reported by the verb in a process of its own, and what that printed."""
    copy = tmp_path_factory.mktemp("reported") / "copy"
    shutil.copytree(ROOT / REFERENCE, copy)
    told = subprocess.run(
        [sys.executable, "-m", "bench", "report", str(copy)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}, check=True,
    )  # fmt: skip
    return copy, told.stdout


def test_the_report_in_the_findings_is_the_report_of_the_committed_run(reported: tuple[Path, str]):
    copy, told = reported
    assert told.replace(str(copy), REFERENCE).strip() == SHOWN[1].strip()
    for table in ("measurements.csv", "pairs.csv"):
        assert (copy / table).read_bytes() == (ROOT / REFERENCE / table).read_bytes()


def test_the_answer_in_the_readme_is_the_start_of_that_report():
    (block,) = re.findall(rf"```console\n\$ bench report {REFERENCE}\n(.*?)\.\.\.\n```", README, re.DOTALL)
    assert SHOWN[1].startswith(block)
    assert block.splitlines()[-1].startswith("Trust: ")


def verdicts(*folders: str) -> str:
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as here, redirect_stdout(said):
        here.chdir(ROOT)
        here.setenv("COLUMNS", "100")  # what a pipe gets
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["verdict", *folders])
    return said.getvalue()


@pytest.mark.parametrize(
    ("folder", "block"), re.findall(r"```console\n\$ bench verdict (\S+)\n(.*?)```", README + FINDINGS, re.DOTALL)
)
def test_the_verdicts_shown_are_those_of_the_committed_runs(folder: str, block: str):
    printed = iter([line.rstrip() for line in verdicts(folder).splitlines()])
    for line in block.splitlines():
        assert line in ("", "...") or line in printed, line  # in this order
    for file in ("measurements.csv", "pairs.csv", "verdict.json"):
        assert (ROOT / folder / file).is_file()


def test_the_answers_of_the_readme_are_printed_by_the_commands_beside_them():
    (answers,) = re.findall(r"^## The answer so far$(.*?)^## ", README, re.MULTILINE | re.DOTALL)
    rows = [row for row in answers.splitlines() if row.startswith("|")][2:]
    commands = [code.split()[2:] for code in re.findall(r"`([^`]+)`", answers) if code.startswith("bench verdict ")]
    cpu, h100 = sorted(commands, key=len)
    printed = {device: verdicts(*folders) for device, folders in (("CPU", cpu), ("H100", h100))}
    ways = {
        ("CPU", "1 thread"): "cpu, 1 thread, contiguous",
        ("CPU", "16 threads"): "cpu, 16 threads, contiguous",
        ("H100", "eager"): "cuda:0, contiguous, eager [A, B]",
        ("H100", "in a CUDA graph"): "cuda:0, contiguous, graph [A, B]",
    }
    for row in rows:
        device, way, answer = (cell.strip() for cell in row.split("|")[1:4])
        place = ways.pop((device, way))
        lines = [" ".join(line.split()) for line in re.split(r"\n(?=\S|  \S)", printed[device])]
        claims = " ".join(line for line in lines if line.startswith(f"{place}: "))
        spans = re.findall(r"`([^`]+)`", answer)
        assert spans
        for span in spans:
            assert span in claims, (place, span)
    assert not ways


def test_the_readme_is_short():
    assert len(README.split()) < 1200
    before, _, _ = README.partition("```console\n$ ")
    assert len(before.split()) < 250


def sentences(text: str) -> list[str]:
    """Of paragraphs and items, without code blocks, tables, headings and pictures; a code span is one word."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(?:\||#|\[?!\[).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "CODE", text)).replace("**", "")
    parts = [" ".join(part.split()) for part in re.split(r"\n\n|\n(?=- |\d\. )", text)]
    return [found for part in parts for found in re.split(r"(?<=[.?!])\)?\s+", part) if len(found.split()) > 1]


@pytest.mark.parametrize("name", [page for page in PAGES if "zh" not in page])
def test_sentences_are_short(name: str):
    lengths = [len(sentence.split()) for sentence in sentences((ROOT / name).read_text(encoding="utf-8"))]
    assert lengths
    assert sum(lengths) / len(lengths) <= 16
    assert sum(length > 30 for length in lengths) < len(lengths) / 10


def test_a_long_sentence_is_found():
    assert sentences("# Title\n\nOne `a b c` two.\n\n- three\n  four\n- [five](x y) six? Seven eight") == [
        "One CODE two.",
        "- three four",
        "- five six?",
        "Seven eight",
    ]


def anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_everything_that_a_page_points_at_is_there(name: str):
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / name).read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        page = (ROOT / name).parent / file if file else ROOT / name
        assert page.exists(), target
        assert not anchor or anchor in anchors(page.read_text(encoding="utf-8")), target


@pytest.fixture(scope="module")
def help_texts() -> tuple[str, str]:
    """Of make and of bench."""
    commands = (["make", "help"], [sys.executable, "-m", "bench", "--help"])
    ours, theirs = (subprocess.run(c, cwd=ROOT, capture_output=True, text=True, check=True).stdout for c in commands)
    return ours, theirs


@pytest.mark.parametrize("name", PAGES)
def test_every_verb_and_target_that_a_page_names_exists(name: str, help_texts: tuple[str, str]):
    text = (ROOT / name).read_text(encoding="utf-8")
    for pattern, told in zip((r"(?:`|\$ )make ([a-z-]+)", r"(?:`|\$ )bench ([a-z]+)"), help_texts, strict=True):
        for word in set(re.findall(pattern, text)):
            assert re.search(rf"^  {word}\b", told, re.MULTILINE), word


def test_pictures_are_drawn_again_to_the_byte(reported: tuple[Path, str], tmp_path: Path):
    """In another process, by the function that the verb calls."""
    copy, _ = reported
    shutil.copytree(ROOT / REFERENCE, tmp_path / "again")
    write_views(tmp_path / "again")
    pictures = list((copy / "plots").iterdir())
    assert pictures
    for picture in pictures:
        assert picture.read_bytes() == (tmp_path / "again" / "plots" / picture.name).read_bytes(), picture.name
