"""docs/GALLERY.md shows one picture of every kind with its title, and the repository keeps what the documents show and no more."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from html import escape
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from bench.show import write
from bench.show.pages import report
from bench.show.plots.shared import files
from tools import gallery
from tools.gallery import Reference

ROOT = gallery.ROOT
GALLERY = gallery.PAGE.read_text(encoding="utf-8")
RUNS = gallery.folders()
SHOWN = gallery.shown(GALLERY)
DRAWN_AGAIN = [folder for folder in RUNS if any(key.startswith(f"{folder.name}/") for key in SHOWN)]
# README.md and docs/FINDINGS.md point at two of these documents, which show pictures of their own.
DOCUMENTS = (
    *sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")),
    *gallery.REFERENCE.glob("*-speed-thinking/reproduction*.md"),
)  # fmt: skip


def title_alone(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """In place of files.save: the figure's title in an SVG file without a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    title = escape(" ".join(figure.get_suptitle().split()))
    png.touch()
    svg.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><title>{title}</title></svg>')
    return png, svg


@pytest.fixture(scope="module")
def titled() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "save", title_alone)
        yield


@pytest.fixture(scope="module")
def views(titled: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, write.Views]:
    """Of each reference run that the gallery shows, made again in a copy; the pictures hold nothing but their titles."""
    made = {}
    for folder in DRAWN_AGAIN:
        copy = tmp_path_factory.mktemp("again") / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("plots", "report.html", "samples.csv"))
        made[folder.name] = write.write_views(copy)
    return made


@pytest.fixture(scope="module")
def titles(views: dict[str, write.Views]) -> dict[str, str]:
    return {key: title for run, made in views.items() for key, title in gallery.titles_of(run, made.pictures).items()}


def test_the_gallery_says_what_the_pictures_say_today(titles: dict[str, str], tmp_path: Path):
    compared = gallery.comparison(tmp_path)
    assert {"gallery/compare", "gallery/ratio", "gallery/spread"} <= compared.keys() & SHOWN.keys()
    assert gallery.text(GALLERY, [Reference.of(folder) for folder in RUNS], titles | compared) == GALLERY, (
        "make gallery"
    )


def test_every_kind_of_picture_has_its_words_and_one_picture(titles: dict[str, str]):
    topics = {name for topic in report.ABOVE for name in (*topic.pictures, *topic.folded)} | {report.LEAD, "claims"}
    drawn = {key.split("/")[1] for key in titles}
    assert drawn <= topics
    parts = {re.match(r"`(\w+)`", part)[1]: part for part in GALLERY.split("\n## ") if part.startswith("`")}
    assert topics <= parts.keys()
    for name in topics:
        shown = [key for key in gallery.shown(parts[name]) if key.endswith(f"/{name}")]
        assert len(gallery.shown(parts[name])) == len(shown) == (name in drawn), name
        assert ("No reference run has the rows for it." in parts[name]) == (name not in drawn), name
        words = " ".join(line for line in parts[name].splitlines()[1:] if not line.startswith("!"))
        assert len(re.findall(r"[.?](?=\s|$)", words)) >= 2, name
        assert len(words.split()) <= 130, name


def test_every_picture_and_page_of_the_gallery_is_there_and_the_pictures_are_small():
    shown = re.findall(r"\]\(([^)#]+)\)", GALLERY)
    assert len(shown) > 20
    for target in shown:
        assert (gallery.PAGE.parent / target).exists(), f"{target}: make gallery"
    assert sum(file.stat().st_size for file in gallery.PICTURES.glob("*.png")) < 1_000_000
    named = {Path(target).name for target in shown if target.startswith("gallery/")}
    assert named == {file.name for file in gallery.PICTURES.iterdir()}


def test_screenshots_have_the_sizes_that_are_asked_of_the_browser():
    for name, (_, width, height, _) in gallery.SCREENS.items():
        head = (gallery.PICTURES / f"{name}.png").read_bytes()[:24]
        assert struct.unpack(">II", head[16:24]) == (width, height), name


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a source archive does not say what git keeps")
def test_of_what_a_command_makes_again_only_what_the_documents_show_is_kept():
    def tracked(*options: str) -> set[str]:
        command = ["git", "ls-files", "-z", *options, "--", "results/reference"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        return {name for name in listed if name.endswith((".png", ".svg", ".html"))}

    shown = set()
    for document in DOCUMENTS:
        targets = re.findall(r"\]\(([^)#:]+\.(?:png|svg|html))\)", document.read_text(encoding="utf-8"))
        shown |= {str((document.parent / target).resolve().relative_to(ROOT)) for target in targets}
    assert tracked() == {name for name in shown if name.startswith("results/reference/")}
    assert tracked("-ci", "--exclude-standard") == set(), "list it in .gitignore"


def words_of(page: str) -> list[str]:
    """A page's words, without those in pictures and without the downloads, which depend on how large those are."""
    for part in (r"<style>.*?</style>", r"<script>.*?</script>", r"<svg.*?</svg>", r'<p class="downloads">.*?</p>'):
        page = re.sub(part, "", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", page).split()


def test_the_committed_page_says_what_it_would_say_today(views: dict[str, write.Views]):
    again = views[gallery.KEPT_PAGE.parent.name]
    committed = gallery.KEPT_PAGE.read_text(encoding="utf-8")
    assert len(committed.encode()) < report.MOST_BYTES
    assert words_of(committed) == words_of(again.page.read_text(encoding="utf-8")), "make gallery"
    assert committed.count('<div class="picture"') == len([p for p in again.pictures if p.suffix == ".png"])


def test_only_the_table_of_runs_and_the_titles_are_made_anew():
    runs = [
        Reference("one", "bench run c.yaml", ("cpu",), ("a cpu",), "2.13.0", "2026-01-01"),
        Reference("two", "bench run d.yaml", ("cpu", "cuda:0"), ("a cpu", "a card"), "2.13.0", "2026-01-02"),
    ]
    page = (
        "<!-- runs -->\nold words\n<!-- end -->\n\nBy hand.\n\n![Old.](../results/reference/one/plots/speedup.png)\n\n"
        "![Old [1, 2].](gallery/ratio.png)\n\n![A screen.](gallery/page.png)\n"
    )
    assert list(gallery.shown(page)) == ["one/speedup", "gallery/ratio", "gallery/page"]
    told = gallery.text(page, runs, {"one/speedup": "New.", "two/speedup": "Other.", "gallery/ratio": "New [3, 4]."})
    assert "old words" not in told
    assert "| a cpu (cpu), a card (cuda:0) | 2.13.0 | 2026-01-02 | `bench run d.yaml` |" in told
    assert "\n\nBy hand.\n\n" in told
    assert re.findall(r"!\[(.+)\]", told) == ["New.", "New [3, 4].", "A screen."]
    assert gallery.text(told, runs, {}) == told
