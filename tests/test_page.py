"""report.html says what the run says, loads nothing, and lets no name in it become markup."""

from __future__ import annotations

import base64
import html
import re
import shutil
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import judge
from bench.analyse.facts import facts_of
from bench.analyse.runs import noise_floor, run_folder
from bench.show.pages import report, rows_table
from bench.show.pages.frame import downloads
from bench.show.pages.svg import inline
from bench.show.text import claims, layer_costs, run_facts
from bench.show.write import write_views
from bench.spec.columns import BY_NAME
from tests.synthetic import Story, config, write_run

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference" / "xeon-2-cores"
VOID = {"meta", "link", "input", "br", "hr", "img"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'><!-- --> ]]> &amp; {{ 7 * 7 }}"


class Parsed(HTMLParser):
    """The elements of a page with their attributes and text; a tag that is closed by another name is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the reference run with all its views."""
    folder = tmp_path_factory.mktemp("page") / "run"
    shutil.copytree(REFERENCE, folder)
    write_views(folder)
    return folder


@pytest.fixture(scope="module")
def parsed(whole: Path) -> Parsed:
    return Parsed((whole / report.NAME).read_text(encoding="utf-8"))


def bare(run: run_folder.Run, noise: noise_floor.Noise | None = None) -> str:
    """The page without pictures, which are slow to draw."""
    run_folder.write_tables(run)
    return report.text(run, judge([run]), noise, ())


def test_every_verdict_is_there_with_its_reason(whole: Path, parsed: Parsed) -> None:
    found = judge([run_folder.read(whole)])
    for v in found.verdicts:
        assert v.answer in parsed.text
        assert re.sub(r"\s+", " ", v.why)[1:] in parsed.text, v.claim
        for note in v.notes:
            assert note in parsed.text
    kinds = Counter(v.side for v in found.verdicts)
    shown = Counter((a.get("class") or "").split()[-1] for a in parsed.all("span") if "answer" in (a.get("class") or ""))  # fmt: skip
    confirmed = Counter(v.side for v in found.verdicts if v.confirmatory)
    first = Counter(v.side for v in found.verdicts if v.confirmatory and v.answer != "NOT MEASURED")
    assert (
        shown == kinds + confirmed + first
    )  # each with its reason, in its claim's line, and what was measured above too


def test_the_first_screen_has_the_claims_in_plain_words_and_names_what_was_not_measured(whole: Path) -> None:
    text = (whole / report.NAME).read_text(encoding="utf-8")
    table, _, after = text[text.index('id="verdicts"') :].partition("</table>")
    shown = [html.unescape(word) for word in re.findall(r'<span class="answer [^"]*">([^<]*)</span>', table)]
    told = [v for v in judge([run_folder.read(whole)]).verdicts if v.confirmatory]
    assert shown == [claims.plain(v) for v in told if v.answer != "NOT MEASURED"]
    assert {"True", "Depends: holds from"} <= {
        word.partition(" from")[0] + " from" * (" from" in word) for word in shown
    }
    assert table.count("by arithmetic") == sum(v.bottleneck == "exact" for v in told) > 0
    missing = html.unescape(after.partition("</p>")[0])
    for v in told:
        if v.answer == "NOT MEASURED":
            statement = BY_ID[v.claim].statement.rstrip(".")
            assert statement[1:] in missing
            assert BY_ID[v.claim].to_measure in missing


def test_the_heading_is_the_finding_and_its_cards_have_their_numbers(whole: Path, parsed: Parsed) -> None:
    facts = facts_of(run_folder.read(whole))
    assert run_facts.sentences(facts)[0].replace("\u00a0", " ") in parsed.text.replace("\u00a0", " ")
    cards = run_facts.cards(facts)
    assert 1 <= len(cards) <= 4
    (card,) = cards
    assert (card["lean"], card["head"]) == ("faster", "1 thread")
    assert "faster in 28 and slower in 2 of 30 cells" in card["words"]
    assert parsed.text.index(card["value"]) < parsed.text.index("What the texts claim")


def test_the_sections_stand_in_order(parsed: Parsed) -> None:
    ids = [a["id"] for a in parsed.all("section")]
    assert ids == ["where", "limits", "claims", "quality", "machine", "rows"]
    pictures = [a["aria-label"] for a in parsed.all("svg") if a.get("role") == "img"]
    assert len(pictures) == 8
    assert all(pictures)


def test_it_loads_nothing(whole: Path, parsed: Parsed) -> None:
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or "#"
            fine = ("#", "data:", "https://", "http://") if tag == "a" else ("#", "data:,")
            assert value.startswith(fine), (tag, value)
    text = (whole / report.NAME).read_text(encoding="utf-8")
    assert re.findall(r"url\((?!#)", text) == []
    assert "@import" not in text
    links = {str(a["href"]) for a in parsed.all("a") if (a.get("href") or "").startswith("http")}
    named = re.findall(r"https?://[^\s\"<>)]+", re.sub(r'href="[^"]*"', "", text))
    assert set(named) <= links
    policy = next(a["content"] for a in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_it_can_be_mailed_and_is_the_same_each_time(whole: Path) -> None:
    text = (whole / report.NAME).read_bytes()
    assert len(text) < report.MOST_BYTES
    run = run_folder.read(whole)
    again = report.text(run, judge([run]), None, sorted((whole / "plots").glob("*.svg")))
    assert again.encode() == text


def test_names_that_are_markup_stay_names(tmp_path: Path) -> None:
    story = Story(run_id=HOSTILE, fails={1: (1, "crash", HOSTILE)})
    names = {"cpu": {"name": HOSTILE, "torch_parallel": [HOSTILE], "switches": {HOSTILE: HOSTILE}}}
    write_run(tmp_path, story, config({"channels": [16, 64], "kernel": [3, 5], "threads": [1]}), environment={"devices": names, "command": HOSTILE, "torch": HOSTILE, "ambers": [HOSTILE], "worker_environment": {HOSTILE: {HOSTILE: HOSTILE}}})  # fmt: skip
    (tmp_path / "config.yaml").write_text(HOSTILE)
    told = Parsed(write_views(tmp_path).page.read_text(encoding="utf-8"))
    assert len(told.all("script")) == 1
    assert told.all("img") == []
    assert [a for _, attributes in told.elements for a in attributes if a.startswith("on")] == []
    assert told.text.count("{{ 7 * 7 }}") > 8
    assert "alert(1)" in told.text


def test_all_pairs_are_in_the_table_with_tips_from_the_registry(whole: Path, parsed: Parsed) -> None:
    laid = rows_table.table(run_folder.read(whole))
    tips = [a["title"] for a in parsed.all("th") if a.get("title")]
    assert tips == [c.tip for c in laid.columns]
    for column in laid.columns:
        if column.name in BY_NAME:
            assert BY_NAME[column.name].meaning in column.tip
    assert len(laid.lines) == len(run_folder.read(whole).pairs) == 30
    shown = {c.name for c in laid.columns}
    assert {"kernel", "c_in", "layout", "speedup", "verdict"} <= shown
    assert not {"c_out", "width", "groups"} & shown  # they say what others say
    assert [c.head for c in laid.columns if c.name == "c_in"] == ["channels"]
    assert ("dtype", "fp32") in laid.same
    assert "dtype" not in shown


def test_a_cell_is_sorted_by_its_number(whole: Path) -> None:
    run = run_folder.read(whole)
    laid = rows_table.table(run)
    at = [c.name for c in laid.columns].index("speedup")
    for line, value in zip(laid.lines, run.pairs["speedup"], strict=True):
        assert float(line.cells[at].sort or 0) == pytest.approx(value, rel=1e-5)


def test_the_tables_travel_along_byte_for_byte(whole: Path, parsed: Parsed) -> None:
    links = {a["download"]: a["href"] or "" for a in parsed.all("a") if "download" in a}
    assert set(links) == {"pairs.csv", "measurements.csv", "roofs.csv"}
    for name, address in links.items():
        assert base64.b64decode(address.partition("base64,")[2]) == (whole / str(name)).read_bytes()


def test_what_is_too_large_stays_behind_and_is_named(whole: Path) -> None:
    run = run_folder.read(whole)
    pairs = len((whole / "pairs.csv").read_bytes()) * 4 // 3 + 100
    kept, left = downloads({"": run}, pairs)
    assert [d.name for d in kept] == ["pairs.csv"]
    assert left == ("measurements.csv", "roofs.csv", "samples.csv")
    assert downloads({"": run}, 10) == ((), ("pairs.csv", "measurements.csv", "roofs.csv", "samples.csv"))


def test_an_unfinished_run_says_so_first(tmp_path: Path) -> None:
    write_run(tmp_path, Story(once=frozenset({0})), config({"channels": [16, 64], "kernel": [3], "threads": [1]}))
    (tmp_path / "DONE").unlink()
    told = Parsed(bare(run_folder.read(tmp_path))).text
    assert told.index("INCOMPLETE") < told.index("What the texts claim")


@pytest.mark.parametrize(("some", "poor"), [(6, True), (5, False)])
def test_a_run_of_noisy_rows_says_so_under_its_finding(tmp_path: Path, some: int, poor: bool) -> None:
    write_run(tmp_path)
    run = run_folder.read(tmp_path)
    run_folder.write_tables(run)
    rows = run.pairs.assign(status=["noisy"] * some + ["ok"] * (len(run.pairs) - some))
    first = Parsed(bare(replace(run, pairs=rows))).text.partition("What the texts claim")[0]
    assert ("Trust: poor (6 of 12 rows noisy" in first) is poor
    assert ("read this as a try, not as a measurement" in first) is poor


def test_failures_and_skips_are_counted_with_their_reasons(tmp_path: Path) -> None:
    story = Story(fails={0: (1, "oom", "no memory for 17 MiB"), 2: (1, "oom", "no memory for 68 MiB")})
    write_run(tmp_path, story, config({"channels": [16, 64], "kernel": [3, 5], "threads": [1, 64]}))
    run = run_folder.read(tmp_path)
    found = run_facts.quality(run, facts_of(run))
    assert dict(found["statuses"])["oom"] == 2
    ((failure, many),) = found["failures"]
    assert failure.startswith("no memory for … MiB")
    assert many == 2
    assert [n for _, n in found["skips"]] == [4]
    assert "64 threads on 2 physical cores" in found["skips"][0][0]
    told = Parsed(bare(run)).text
    assert "Why pairs failed" in told
    assert "Why pairs were skipped" in told


def test_a_run_in_which_nothing_was_measured_has_a_page(tmp_path: Path) -> None:
    write_run(tmp_path, Story(unreached=frozenset(range(99))))
    told = Parsed(write_views(tmp_path).page.read_text(encoding="utf-8"))
    assert "Nothing was measured" in told.text
    assert [a["id"] for a in told.all("section")] == ["claims", "quality", "machine", "rows"]


def test_blocks_against_themselves_are_not_asked_about_claims(tmp_path: Path) -> None:
    data = config(
        {"channels": [16, 64], "kernel": [3], "threads": [1]}, blocks=["standard", {"name": "standard", "again": True}]
    )
    write_run(tmp_path, Story(speedup=lambda t, a: 1.0), data)
    run = run_folder.read(tmp_path)
    told = Parsed(bare(run, noise_floor.judge(run)))
    assert "Blocks against themselves" in told.text
    assert "false positives" in told.text
    assert not {"claims", "evidence"} & {a["id"] for a in told.all("section")}


def test_what_a_layer_costs_is_told_where_sweeps_tell(tmp_path: Path) -> None:
    deep = {
        "blocks": ["standard", "separable"],
        "axes": {"channels": [128, 64, 32], "depth": [1, 4, 16], "kernel": [3], "threads": [1]},
        "together": ["channels", "depth"],
    }
    write_run(tmp_path, Story(seconds=lambda t, a: 1e-4 * t.cost(a).layers + t.cost(a).macs / 1e12), config(experiments={"deep": deep}))  # fmt: skip
    run = run_folder.read(tmp_path)
    costs = layer_costs.layer_costs(run)
    assert [c["block"] for c in costs] == ["standard", "separable"]
    assert all(90 < float(c["layer"].split()[0]) < 110 for c in costs), costs
    assert costs[0]["gmac"].startswith("1.02 ms [1.01 ms, "), costs  # samples stand about 2 % above the truth


# ---------------------------------------------------------------- pictures inside the page

PICTURE = """<?xml version="1.0"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" height="36pt" viewBox="0 0 72 36" xmlns="http://www.w3.org/2000/svg">
 <title>One
 line</title><metadata/><defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="figure_1"><defs><clipPath id="clip0"><path d="M 0 0
L 1.123456 2"/></clipPath></defs><path clip-path="url(#clip0)" style="fill: none; stroke: #111111" d="M 0 0"/>
  <g id="text_1"><text transform="translate(1.0000 2.125)" textLength="12.30">a &lt; b</text></g>
 </g>
</svg>"""


def test_a_picture_gets_names_of_its_own_and_is_smaller() -> None:
    one, two = (inline(PICTURE, name) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    assert one.title == "One line"
    assert one.width == 96
    assert 'id="one-clip0"' in one.svg
    assert "url(#one-clip0)" in one.svg
    assert 'id="two-clip0"' in two.svg
    assert "figure_1" not in one.svg
    assert '<text transform="translate(1 2.12)" textLength="12.30">a &lt; b</text>' in one.svg
    assert "xmlns" not in one.svg
    assert "<style" not in one.svg


def test_an_empty_picture_is_none() -> None:
    assert inline("", "one") is None
