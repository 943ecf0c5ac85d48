"""The pages of comparisons and of histories in a real browser: `make test-page`. Skipped where there is no Chromium."""

from __future__ import annotations

import pytest

from bench.analyse.compare.change_points import history_of
from bench.analyse.compare.compare import compare
from bench.analyse.runs import run_folder
from bench.show import write
from tests import browser
from tests.synthetic import Story
from tests.test_compare import other, planted
from tests.test_history import slower, written

CHROMIUM = browser.find()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt install chromium, or name one in BENCH_CHROMIUM"
)
SHOWN = "Array.from(document.querySelectorAll('#pairs tbody tr')).filter(r => !r.hidden)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The address of a page of each kind."""
    folder = tmp_path_factory.mktemp("pages")
    a = other(folder / "a", Story(run_id="a"))
    b = other(folder / "b", Story(planted, run_id="b", seed=2, processes=8), environment={"torch": "2.14.0"})
    days = [written(folder / "days", d, Story(slower, run_id=f"day {d}", seed=d) if d >= 7 else Story(run_id=f"day {d}", seed=d)) for d in range(1, 13)]  # fmt: skip
    history = write.write_history(history_of([run_folder.read(d) for d in days]), "bench compare --history", folder)
    return {"compare": write.write_comparisons([compare(a, b)], "bench compare a b", folder).page.as_uri(), "history": history.page.as_uri()}  # fmt: skip


@pytest.fixture(params=["compare", "history"])
def tab(request: pytest.FixtureRequest, window: browser.Tab, pages: dict[str, str]) -> browser.Tab:
    window.media()
    window.size(1280, 800)
    window.open(pages[request.param])
    return window


def values(tab: browser.Tab, head: str) -> list[str]:
    return list(tab.ask(f"(at => {SHOWN}.map(r => r.cells[at].dataset.v ?? r.cells[at].textContent))(Array.from(document.querySelectorAll('#pairs thead th')).findIndex(h => h.textContent === {head!r}))"))  # fmt: skip


def press(tab: browser.Tab, head: str) -> None:
    tab.ask(f"Array.from(document.querySelectorAll('#pairs thead th button')).find(b => b.textContent === {head!r}).click()")  # fmt: skip


def test_nothing_goes_wrong_and_nothing_leaves_the_page(tab: browser.Tab, pages: dict[str, str]) -> None:
    tab.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    tab.ask("new Promise(done => setTimeout(done, 200))")
    assert browser.complaints(tab) == []
    assert len(browser.asked(tab)) == 1
    assert browser.asked(tab) < set(pages.values())


def test_rows_sort_and_filter(tab: browser.Tab) -> None:
    press(tab, "channels")
    channels = [int(v) for v in values(tab, "channels")]
    assert channels == sorted(channels)
    press(tab, "channels")
    assert [int(v) for v in values(tab, "channels")] == sorted(channels, reverse=True)
    tab.ask("document.getElementById('filter').focus()")
    tab.call("Input.insertText", text="slower")
    assert set(values(tab, "channels")) == {"64"}
    tab.ask("document.getElementById('clear').click()")
    assert len(values(tab, "channels")) == len(channels)


def test_answers_can_be_chosen(window: browser.Tab, pages: dict[str, str]) -> None:
    window.open(pages["compare"])
    for name, wanted in (("quantity", "time"), ("answer", "SLOWER")):
        window.ask(f"(s => {{ s.value = {wanted!r}; s.dispatchEvent(new Event('change')); }})(Array.from(document.querySelectorAll('#tools label')).find(l => l.textContent.startsWith({name!r})).querySelector('select'))")  # fmt: skip
    assert set(values(window, "quantity")) == {"time"}
    assert values(window, "answer") == ["SLOWER"] * 2


def test_a_phone_scrolls_pictures_and_not_the_page(tab: browser.Tab) -> None:
    tab.size(360, 780)
    tab.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.ask("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_answers_stand_out_in_both_themes(tab: browser.Tab, scheme: str) -> None:
    tab.media(prefers_color_scheme=scheme)
    luminance = """(colour => { const [r, g, b] = colour.match(/\\d+/g).map(Number).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; })"""
    paper = tab.ask(f"{luminance}(getComputedStyle(document.body).backgroundColor)")
    assert (paper < 0.05) is (scheme == "dark")
    for what in (".lede", ".run", ".slower", ".same", ".faint, .run"):
        ink = tab.ask(f"{luminance}(getComputedStyle(document.querySelector({what!r})).color)")
        low, high = sorted((ink, paper))
        assert (high + 0.05) / (low + 0.05) >= 4.5, what


def test_names_are_unique_and_all_that_is_referred_to_is_there(tab: browser.Tab) -> None:
    names = tab.ask("Array.from(document.querySelectorAll('[id]')).map(e => e.id)")
    assert len(names) == len(set(names))
    wanted = tab.ask("Array.from(document.querySelectorAll('use, a[href^=\"#\"]')).map(e => e.getAttribute('href').slice(1))")  # fmt: skip
    assert set(wanted) <= set(names)
