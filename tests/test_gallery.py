"""docs/GALLERY.md says of the reference runs what their pictures say, and shows every picture that there is."""

from __future__ import annotations

import re
import shutil
import struct
from html import escape
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from bench.show import write
from bench.show.pages import report
from bench.show.plots import style
from tools import gallery
from tools.gallery import Reference

GALLERY = gallery.PAGE.read_text(encoding="utf-8")
RUNS = gallery.folders()


def title_alone(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """In place of style.save: the figure's title in an SVG file without a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    title = escape(" ".join(figure.get_suptitle().split()))
    png.touch()
    svg.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><title>{title}</title></svg>')
    return png, svg


@pytest.fixture(scope="module")
def titled() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", title_alone)
        yield


@pytest.fixture(scope="module")
def views(titled: object, tmp_path_factory: pytest.TempPathFactory) -> dict[str, write.Views]:
    """Of each reference run, made again in a copy; the pictures hold nothing but their titles."""
    made = {}
    for folder in RUNS:
        copy = tmp_path_factory.mktemp("again") / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("plots", "report.html", "samples.csv"))
        made[folder.name] = write.write_views(copy)
    return made


@pytest.fixture(scope="module")
def references(views: dict[str, write.Views]) -> list[Reference]:
    return [Reference.of(folder, gallery.titles_of(views[folder.name].pictures)) for folder in RUNS]


def test_the_gallery_says_what_the_pictures_say_today(references: list[Reference], tmp_path: Path):
    compared = gallery.comparison(tmp_path)
    assert list(compared)[:2] == ["compare", "ratio"]
    assert gallery.text(GALLERY, references, compared) == GALLERY, "make gallery"
    for page in tmp_path.glob("*.html"):
        committed = (gallery.PICTURES / page.name).read_text(encoding="utf-8")
        today = page.read_text(encoding="utf-8").replace(str(tmp_path), "docs/gallery")
        assert words_of(committed) == words_of(today), "make gallery"


def test_every_picture_has_its_place_and_its_words(references: list[Reference]):
    topics = [name for topic in (*report.ABOVE, report.MEMORY, report.FOREST) for name in topic.pictures]
    drawn = {name for reference in references for name in reference.titles}
    marks = gallery.marks(GALLERY)
    assert marks[0] == ("runs", "all")
    assert sorted(name for kind, name in marks if kind == "run") == sorted(topics)
    assert drawn <= set(topics)
    assert marks[-1] == ("comparison", "all")
    for name in topics:
        (words,) = re.findall(rf"\n## `{name}`: [^\n]+\n\n(.+?)\n\n<!-- run: {name} -->", GALLERY, re.DOTALL)
        assert 2 <= len(re.findall(r"[.?](?=\s|$)", words)) <= 6, name


def test_every_picture_and_page_of_the_gallery_is_there_and_the_pictures_are_small():
    shown = re.findall(r"\]\(([^)#]+)\)", GALLERY)
    assert len(shown) > 20
    for target in shown:
        assert (gallery.PAGE.parent / target).exists(), f"{target}: make gallery"
    assert sum(file.stat().st_size for file in gallery.PICTURES.glob("*.png")) < 1_500_000
    named = {Path(target).name for target in shown if target.startswith("gallery/")}
    assert named == {file.name for file in gallery.PICTURES.iterdir()}


def test_screenshots_have_the_sizes_that_are_asked_of_the_browser():
    for name, (_, width, height, _) in gallery.screens().items():
        head = (gallery.PICTURES / f"{name}.png").read_bytes()[:24]
        assert struct.unpack(">II", head[16:24]) == (width, height), name


def words_of(page: str) -> list[str]:
    """A page's words, without those in pictures and without the downloads, which depend on how large those are."""
    for part in (r"<style>.*?</style>", r"<script>.*?</script>", r"<svg.*?</svg>", r'<p class="downloads">.*?</p>'):
        page = re.sub(part, "", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", page).split()


@pytest.mark.parametrize("folder", RUNS, ids=lambda folder: folder.name)
def test_the_committed_page_of_a_run_says_what_it_would_say_today(views: dict[str, write.Views], folder: Path):
    committed = (folder / report.NAME).read_text(encoding="utf-8")
    assert len(committed.encode()) < report.MOST_BYTES
    assert words_of(committed) == words_of(views[folder.name].page.read_text(encoding="utf-8")), "make gallery"
    assert committed.count('<div class="picture"') == len(list((folder / "plots").glob("*.png")))


def test_runs_on_other_devices_are_shown_beside_each_other_and_all_are_told():
    def run(name: str, device: str, **titles: str) -> Reference:
        return Reference(name, "bench run c.yaml", (device,), (f"a {device}",), "2.13.0", "2026-01-01", titles)

    runs = [run("one", "cpu", speedup="First."), run("two", "cpu", speedup="Second."), run("card", "cuda:0", speedup="Third.", depth="Fourth.")]  # fmt: skip
    blank = "<!-- run: {} -->\nold words\n<!-- end -->\n"
    told = gallery.text(blank.format("speedup"), runs, {})
    assert "old words" not in told
    assert re.findall(r"!\[(.+?)\]", told) == ["First.", "Third."]
    assert re.findall(r"\*\*(.+?)\*\*", told) == ["First.", "Second.", "Third."]
    assert re.findall(r"!\[(.+?)\]", gallery.text(blank.format("depth"), runs, {})) == ["Fourth."]
    assert "No reference run has the rows for it." in gallery.text(blank.format("doses"), runs, {})
    assert gallery.text(told, runs, {}) == told
