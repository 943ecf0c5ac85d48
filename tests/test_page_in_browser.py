"""The page in a real browser: `make test-page`. Skipped where there is no Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.analyse.runs import run_folder
from bench.analyse.runs.merged import together as join
from bench.show.pages import index
from bench.show.write import write_together, write_views
from tests import browser
from tests.test_together import CARD, HOST, made

ROOT = Path(__file__).parents[1]
CHROMIUM = browser.find()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt install chromium, or name one in BENCH_CHROMIUM"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(ROOT / "results" / "reference" / "xeon-2-cores", folder)
    return write_views(folder).page.as_uri()


@pytest.fixture(scope="module")
def pages(report: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Every kind of page: of one run, of a CPU's and a card's, and the index of all of them."""
    root = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / "results" / "reference" / "xeon-2-cores", root / "server")
    (root / "server" / "report.html").write_text("<title>its page</title>")  # the repository keeps one page alone
    card = made(root / "card", "cuda:0", 0.5, stacks=True, devices=CARD, host=HOST, torch="2.11.0+cu128")
    run_folder.write_tables(card)
    (together, *_) = write_together(join([run_folder.read(root / "server"), card]), root / "both.html")
    return {"one": report, "several": together.as_uri(), "index": index.write(root).as_uri()}


@pytest.fixture(params=["one", "several", "index"])
def page(request: pytest.FixtureRequest, window: browser.Tab, pages: dict[str, str]) -> browser.Tab:
    """Each kind of page in turn."""
    return opened(window, pages[request.param])


def opened(window: browser.Tab, address: str, width: int = 1280) -> browser.Tab:
    """The page at an address, with scripts, in a fresh window."""
    window.call("Emulation.setScriptExecutionDisabled", value=False)
    window.media()
    window.size(width, 800)
    window.open(address)
    return window


@pytest.fixture
def tab(window: browser.Tab, report: str) -> browser.Tab:
    return opened(window, report)


def events(tab: browser.Tab, method: str) -> list[dict[str, Any]]:
    return [e["params"] for e in tab.events if e.get("method") == method]


HEADS = "Array.from(document.querySelectorAll('#pairs thead th'))"
SHOWN = "Array.from(document.querySelectorAll('#pairs tbody tr')).filter(r => !r.hidden)"


def column(tab: browser.Tab, name: str) -> int:
    return int(tab.ask(f"{HEADS}.findIndex(h => h.textContent === {name!r})"))


def values(tab: browser.Tab, name: str) -> list[str]:
    at = column(tab, name)
    return list(tab.ask(f"{SHOWN}.map(r => r.cells[{at}].dataset.v ?? r.cells[{at}].textContent)"))


def test_nothing_goes_wrong_and_nothing_leaves_the_page(page: browser.Tab) -> None:
    tab, address = page, page.ask("location.href")
    tab.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    tab.ask("new Promise(done => setTimeout(done, 200))")
    assert events(tab, "Runtime.exceptionThrown") == []
    assert [e for e in events(tab, "Runtime.consoleAPICalled") if e["type"] in ("error", "warning")] == []
    assert [e for e in events(tab, "Log.entryAdded") if e["entry"]["level"] in ("error", "warning")] == []
    asked = {e["request"]["url"] for e in events(tab, "Network.requestWillBeSent")}
    assert {url for url in asked if not url.startswith("data:")} == {address}


def test_columns_sort_both_ways_by_mouse(tab: browser.Tab) -> None:
    at = column(tab, "speedup")
    tab.ask(f"{HEADS}[{at}].querySelector('button').click()")
    first = [float(v) for v in values(tab, "speedup")]
    assert first == sorted(first)
    assert tab.ask(f"{HEADS}[{at}].getAttribute('aria-sort')") == "ascending"
    tab.ask(f"{HEADS}[{at}].querySelector('button').click()")
    assert [float(v) for v in values(tab, "speedup")] == sorted(first, reverse=True)
    assert tab.ask(f"{HEADS}.filter(h => h.hasAttribute('aria-sort')).length") == 1


def test_columns_sort_by_keyboard(tab: browser.Tab) -> None:
    at = column(tab, "channels")
    tab.ask(f"{HEADS}[{at}].querySelector('button').focus()")
    tab.press("Enter", 13, "\r")
    channels = [int(v) for v in values(tab, "channels")]
    assert channels == sorted(channels)
    assert channels[0] < channels[-1]


def test_words_and_choices_filter(tab: browser.Tab) -> None:
    every = len(values(tab, "channels"))
    said = tab.ask("document.getElementById('count').textContent")
    assert said == f"{every} of {every} rows"
    tab.ask("document.getElementById('filter').focus()")
    tab.call("Input.insertText", text="slower CHANNELS_LAST")
    assert set(values(tab, "verdict")) == {"slower"}
    assert set(values(tab, "layout")) == {"channels_last"}
    tab.ask("document.getElementById('clear').click()")
    assert len(values(tab, "channels")) == every
    at = column(tab, "verdict")
    tab.ask(f"(() => {{ const s = document.querySelector('select[data-at=\"{at}\"]'); s.value = 'slower'; s.dispatchEvent(new Event('change')); }})()")  # fmt: skip
    assert set(values(tab, "verdict")) == {"slower"}
    assert 0 < len(values(tab, "verdict")) < every


def test_rows_of_several_runs_sort_and_filter_by_run(window: browser.Tab, pages: dict[str, str]) -> None:
    opened(window, pages["several"])
    assert set(values(window, "run")) == {"A", "B"}
    at = column(window, "run")
    window.ask(f"{HEADS}[{at}].querySelector('button').click()")
    window.ask(f"{HEADS}[{at}].querySelector('button').click()")
    runs = values(window, "run")
    assert runs == sorted(runs, reverse=True)
    window.ask(f"(() => {{ const s = document.querySelector('select[data-at=\"{at}\"]'); s.value = 'B'; s.dispatchEvent(new Event('change')); }})()")  # fmt: skip
    assert set(values(window, "run")) == {"B"}
    assert set(values(window, "verdict")) == {"slower"}  # as the card was made


def test_the_index_filters_its_runs_and_leads_to_their_pages(window: browser.Tab, pages: dict[str, str]) -> None:
    opened(window, pages["index"], 360)
    window.ask("document.getElementById('filter').focus()")
    window.call("Input.insertText", text="h100")
    assert [v for v in values(window, "run") if v] == ["card"]
    assert window.ask("document.getElementById('count').textContent") == "1 of 2 rows"
    assert window.ask("Array.from(document.links).map(a => a.getAttribute('href'))") == [
        "#main",
        "both.html",
        "server/report.html",
    ]


def test_the_index_shows_its_last_column_beside_long_names(window: browser.Tab, tmp_path: Path) -> None:
    folder = tmp_path / "default_cpu_cuda_of_the_third_machine_in_the_cellar"
    run_folder.write_tables(
        made(folder, "cuda:0", 0.5, devices=CARD, host=HOST, torch="2.11.0a0+git0123456789abcdef.nv25.11")
    )
    opened(window, index.write(tmp_path).as_uri())
    assert window.ask("(b => b.scrollWidth <= b.clientWidth)(document.getElementById('pairs').parentElement)")


def test_text_can_be_selected_in_the_pictures_too(tab: browser.Tab) -> None:
    select = "(e => { const s = getSelection(); s.removeAllRanges(); s.selectAllChildren(e); return s.toString(); })"
    assert "separable is faster" in tab.ask(f"{select}(document.querySelector('h1'))")
    assert tab.ask("getComputedStyle(document.body).userSelect") != "none"
    assert "channels in and out" in tab.ask(f"{select}(document.querySelector('#where svg'))")


def test_names_are_unique_and_all_that_is_referred_to_is_there(page: browser.Tab) -> None:
    tab = page
    names = tab.ask("Array.from(document.querySelectorAll('[id]')).map(e => e.id)")
    assert len(names) == len(set(names))
    wanted = tab.ask("Array.from(document.querySelectorAll('use, a[href^=\"#\"]')).map(e => e.getAttribute('href').slice(1))")  # fmt: skip
    assert set(wanted) <= set(names)


@pytest.mark.parametrize("width", [360, 800])
def test_a_narrow_window_scrolls_pictures_and_not_the_page(page: browser.Tab, width: int) -> None:
    tab = page
    tab.size(width, 780)
    tab.ask("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask("window.innerWidth") == width
    wide = "Array.from(document.querySelectorAll('.picture')).some(p => p.scrollWidth > p.clientWidth)"
    drawn = tab.ask("document.querySelectorAll('.picture').length > 0")
    assert tab.ask(wide) is (drawn and width == 360)
    hints = "Array.from(document.querySelectorAll('figcaption')).map(f => getComputedStyle(f, '::after').content)"
    assert all(("sideways" in hint) is (width == 360) for hint in tab.ask(hints))
    heads = "Array.from(document.querySelectorAll('.picture .heading')).map(h => h.getClientRects().length > 0)"
    assert all(shown is (width == 800) for shown in tab.ask(heads)), "the caption or the drawn title, never both"
    assert bool(tab.ask(heads)) is drawn


def luminance(colour: str) -> float:
    channels = [int(v) / 255 for v in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_in_both_themes(tab: browser.Tab, scheme: str) -> None:
    tab.media(prefers_color_scheme=scheme)
    paper = tab.ask("getComputedStyle(document.body).backgroundColor")
    assert (luminance(paper) < 0.05) is (scheme == "dark")
    for what in ("h1", ".run", ".where", ".card .value", "#verdicts .answer", "a[href='#claims']", "#pairs th", ".yes", ".partly"):  # fmt: skip
        ink = tab.ask(f"getComputedStyle(document.querySelector({what!r})).color")
        low, high = sorted((luminance(ink), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (what, ink, paper)
    around = tab.ask("getComputedStyle(document.querySelector('.picture')).backgroundColor")
    assert (luminance(around) < 0.05) is (scheme == "dark"), "pictures follow the page"
    assert ("invert" in tab.ask("getComputedStyle(document.querySelector('.picture svg')).filter")) is (
        scheme == "dark"
    )


def test_the_first_key_leads_past_the_head(tab: browser.Tab) -> None:
    tab.press("Tab", 9)
    assert tab.ask("document.activeElement.className") == "skip"
    assert tab.ask("document.activeElement.getBoundingClientRect().left") >= 0
    tab.press("Enter", 13, "\r")
    assert tab.ask("document.activeElement.id") == "main"


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the H100's largest run."""
    folder = tmp_path_factory.mktemp("card") / "run"
    shutil.copytree(ROOT / "results" / "reference" / "h100-16-cores-speed-thinking", folder)
    return write_views(folder).page.as_uri()


def test_the_finding_its_numbers_and_the_first_picture_stand_above_the_fold(
    window: browser.Tab, report: str, card: str
) -> None:
    for address, first in ((card, ".opening .picture svg"), (report, ".cards")):
        opened(window, address)
        window.size(1280, 720)
        assert window.ask("document.querySelector('h1').textContent").find("separable is faster") >= 0
        assert window.ask("document.querySelectorAll('.card').length") in (1, 2, 3, 4)
        top = window.ask(f"document.querySelector('{first}').getBoundingClientRect().top")
        assert top < 400, "half of the picture and more is above the fold"


def test_the_largest_page_is_short_and_light(window: browser.Tab, card: str) -> None:
    opened(window, card)
    window.size(1280, 720)
    window.ask(
        "(() => { const s = document.createElement('style'); s.textContent = 'section { content-visibility: visible !important; }'; document.head.append(s); })()"
    )
    assert window.ask("document.documentElement.scrollHeight") <= 10 * 720
    assert window.ask("document.querySelectorAll('*').length") < 15_000
    assert Path(card.removeprefix("file://")).stat().st_size < 1_200_000


def test_a_phone_has_one_panel_a_row_and_targets_that_a_finger_hits(page: browser.Tab) -> None:
    page.size(360, 780)
    tops = page.ask(
        "Array.from(document.querySelectorAll('.opening > div, .card')).map(e => e.getBoundingClientRect().left)"
    )
    assert len(set(tops)) <= 1 or not tops
    small = page.ask(
        "Array.from(document.querySelectorAll('summary, nav a, #verdicts a, button')).filter(e => e.getClientRects().length && e.getBoundingClientRect().height < 23.5).map(e => e.textContent)"
    )
    assert small == []


def test_all_rows_begin_with_the_answer_and_raw_columns_come_on_demand(tab: browser.Tab) -> None:
    heads = tab.ask(f"{HEADS}.filter(h => h.getClientRects().length).map(h => h.textContent)")
    assert heads[:5] == ["block", "verdict", "speedup", "low", "high"]
    tab.ask("document.getElementById('more').click()")
    every = tab.ask(f"{HEADS}.filter(h => h.getClientRects().length).length")
    assert every > len(heads)
    tab.ask("document.querySelector('.rows').scrollLeft = 300")
    assert tab.ask("document.querySelector('#pairs tbody td').getBoundingClientRect().left") >= 0, (
        "the block stays in sight"
    )


def test_paper_gets_no_tools_and_no_table_of_all_rows(tab: browser.Tab) -> None:
    tab.media("print")
    for what in ("#tools", ".bar", ".rows"):
        assert tab.ask(f"getComputedStyle(document.querySelector('{what}')).display") == "none"


def test_no_heading_stands_alone_at_a_papers_foot(window: browser.Tab, card: str) -> None:
    opened(window, card)
    window.media("print")
    window.size(718, 1047)  # A4 less its margins, at 96 to the inch
    assert window.ask(
        "Array.from(document.querySelectorAll('h1, h2, h3')).every(h => getComputedStyle(h).breakAfter === 'avoid' || h.closest('.card, .top'))"
    )
    assert window.ask(
        "Array.from(document.querySelectorAll('figure')).every(f => getComputedStyle(f).breakInside === 'avoid')"
    )


def test_without_scripts_it_is_a_plain_page(tab: browser.Tab, report: str) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(report)
    document = tab.call("DOM.getDocument")["root"]["nodeId"]

    def found(selector: str) -> int:
        return len(tab.call("DOM.querySelectorAll", nodeId=document, selector=selector)["nodeIds"])

    assert found("#pairs tbody tr") == 30
    assert found("#tools[hidden]") == 1
    assert found("#pairs button") == 0
