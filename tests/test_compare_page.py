"""compare.html and history.html say what the comparison says, load nothing, and let no name in it become markup."""

from __future__ import annotations

import base64
import csv
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.analyse.compare.change_points import history_of
from bench.analyse.compare.compare import compare, compare_all
from bench.analyse.compare.facts import Comparison
from bench.analyse.runs import run_folder
from bench.show import write
from bench.show.export.compare import as_csv
from bench.show.pages import compare as compare_page
from bench.show.pages.frame import MOST_BYTES
from bench.show.text import compare as words
from bench.spec.interval import Interval
from tests.synthetic import Story, config, write_run
from tests.test_compare import other, planted
from tests.test_history import slower, written
from tests.test_page import HOSTILE, Parsed

COMMAND = "bench compare a b"


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    return other(tmp_path_factory.mktemp("a"), Story(run_id="run a"))


@pytest.fixture(scope="module")
def found(a: run_folder.Run, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """B: two rows slower, one that failed, two widths of its own, another torch and other thread counts."""
    data = config({"channels": [16, 32, 64, 128, 512], "threads": [1, 4]})
    story = Story(planted, run_id="run b", seed=2, processes=8, fails={0: (1, "oom", "no memory")})
    b = other(tmp_path_factory.mktemp("b"), story, data=data, cores=4, environment={"torch": "2.14.0", "host": a.environment["host"]})  # fmt: skip
    return compare(a, b)


@pytest.fixture(scope="module")
def written_page(found: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    made = write.write_comparisons([found], COMMAND, tmp_path_factory.mktemp("page"))
    return made.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(written_page: str) -> Parsed:
    return Parsed(written_page)


def page(*found: Comparison) -> Parsed:
    """The page without pictures, which are slow to draw."""
    return Parsed(compare_page.text(found, [()] * len(found), COMMAND))


def test_it_says_what_the_terminal_says(found: Comparison, parsed: Parsed) -> None:
    said = [*words.headlines(found.speedups), words.legend(found), *words.notes(found), *words.HEADINGS.values()]
    said += [line for t in found.quantities for line in words.details(t)]
    assert len(said) > 9
    for line in said:
        assert re.sub(r"\s+", " ", line) in parsed.text, line
    for d in found.differences:
        assert f"{d.name} {d.a} {d.b}" in parsed.text
    assert COMMAND in parsed.text
    assert re.search(r"CONFOUNDED: \d+ rows with different threads, shown but not counted\.", parsed.text)
    assert "bench run synthetic.yaml" in parsed.text


def test_every_row_is_there_with_its_answer_and_why(found: Comparison, parsed: Parsed) -> None:
    every = [m for t in found.quantities for m in t.matches]
    answers = Counter(m.verdict for m in every)
    assert {"SLOWER", "SAME", "CONFOUNDED", "NOT MEASURED"} <= set(answers)
    for t in found.quantities:
        answers.update({"ONLY IN A": len(t.only_a), "ONLY IN B": len(t.only_b)})
    made = compare_page.table([found])
    at = {c.name: i for i, c in enumerate(made.columns)}
    assert Counter(line.cells[at["answer"]].text for line in made.lines) == answers
    why = {line.cells[at["why"]].text for line in made.lines if line.cells[at["answer"]].text == "CONFOUNDED"}
    assert why == {"threads 2 in A, 4 in B"}
    assert {line.cells[at["why"]].text for line in made.lines if line.cells[at["answer"]].text == "NOT MEASURED"} == {"oom in B"}  # fmt: skip
    shown = [a for a in parsed.all("td") if (a.get("class") or "").startswith("answer")]
    assert len(shown) == sum(answers.values())
    head = Counter(a["class"] for a in parsed.all("span") if (a.get("class") or "").startswith("answer"))
    assert set(head) == {f"answer {compare_page.kind_of(a)}" for a in (*answers, "FASTER", "AMBIGUOUS")}


def test_an_ambiguous_row_says_what_it_lacks(a: run_folder.Run, tmp_path: Path) -> None:
    def whys(b: run_folder.Run, quantity: str = "speedup") -> set[str]:
        table = compare_page.table([compare(a, b)])
        at = {c.name: i for i, c in enumerate(table.columns)}
        lines = [c.cells for c in table.lines if c.cells[at["quantity"]].text == quantity]
        return {c[at["why"]].text for c in lines if c[at["answer"]].text == "AMBIGUOUS"}

    for n in (1, 2):
        few = other(tmp_path / str(n), Story(run_id=str(n), seed=2, processes=n))
        assert whys(few) == {"fewer than three processes, so no interval"}
    assert whys(other(tmp_path / "2", Story(run_id="2", seed=2, process_sd=0.2))) >= {"the interval reaches over the margin"}  # fmt: skip
    medians = other(tmp_path / "3", Story(run_id="3", seed=2, slow_median=frozenset(range(20))))
    assert whys(medians, "time") == {"the medians moved, the fastest samples did not"}


def test_a_change_that_the_correction_takes_back_says_so(found: Comparison) -> None:
    first = found.speedups.judged[0]
    lone = replace(first, log=Interval(-0.2, 0.1, 6), edge=0.05, p=0.01, p_adjusted=0.2, verdict="AMBIGUOUS")
    assert (
        words.reason(replace(found.speedups, family=40), lone)
        == "beyond the margin by itself, not after the correction"
    )


def test_the_download_holds_every_row(found: Comparison, parsed: Parsed) -> None:
    (link,) = [str(x["href"]) for x in parsed.all("a") if x.get("download")]
    held = base64.b64decode(link.partition(",")[2]).decode()
    assert held == "".join(as_csv([found]))
    assert len(list(csv.DictReader(held.splitlines()))) == len(compare_page.table([found]).lines)


def test_it_loads_nothing_and_is_small(written_page: str, parsed: Parsed) -> None:
    for tag, attributes in parsed.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, value)
    assert re.findall(r"url\((?!#)|@import|https?://", written_page) == []
    assert len(written_page.encode()) < MOST_BYTES
    pictures = [x["aria-label"] for x in parsed.all("svg") if x.get("role") == "img"]
    assert len(pictures) == 6
    names = [x["id"] for _, x in parsed.elements if "id" in x]
    assert len(names) == len(set(names))


def test_the_same_comparison_is_the_same_page(found: Comparison) -> None:
    assert compare_page.text([found], [()], COMMAND) == compare_page.text([found], [()], COMMAND)


def test_no_name_becomes_markup(tmp_path: Path) -> None:
    data = config({"channels": [16], "kernel": [3]})
    data["experiments"] = {"x": data["experiments"]["sweep"]}
    story = Story(run_id=HOSTILE, fails={0: (1, "crash", HOSTILE)})
    facts = {"torch": HOSTILE, "command": HOSTILE, "host": {"cpu_model": HOSTILE}, "git": HOSTILE}
    runs = []
    for name, told in (("a", {}), ("b", facts)):
        write_run(tmp_path / name, story, data, environment=told)
        runs.append(run_folder.read(tmp_path / name))
    shown = page(compare(*runs))
    assert [t for t, _ in shown.elements if t == "img"] == []
    assert sum(t == "script" for t, _ in shown.elements) == 1
    assert re.sub(r"\s+", " ", HOSTILE) in shown.text


def test_several_runs_are_one_page(a: run_folder.Run, tmp_path: Path) -> None:
    b = other(tmp_path / "b", Story(planted, run_id="run b", seed=2, processes=8))
    gpu = other(tmp_path / "g", Story(run_id="run g", seed=3), devices=("cuda:0",))
    shown = page(*compare_all([a, b, gpu]))
    for word in (
        "B1: Speedups",
        "B1: Times",
        "B2: Speedups",
        "run g",
        "B2: No times are compared",
    ):
        assert word in shown.text
    assert "B2: Times" not in shown.text


def test_the_page_names_each_margin_that_rows_were_held_against(a: run_folder.Run, tmp_path: Path) -> None:
    assert "Margin: 5 %. " in page(compare(a, a)).text
    plain = page(compare(a, replace(a, run_id="plain"))).text
    assert "noise bands" not in plain
    assert "Noise bands (bench aa): none for these rows." in plain
    assert "correction over 20 speedups and 40 times" in plain
    banded = replace(a, run_id="banded", pairs=a.pairs.assign(noise_band=0.08))
    assert "lower end of the interval of B / A, widened by noise bands" in page(compare(a, banded)).text
    assert "at most ±8.33 % in B. They widen the intervals of B / A, and the margin where it is narrower." in page(compare(a, banded)).text  # fmt: skip
    cards = []
    for name in ("g", "h"):
        told = {"cuda:0": {"name": "Imaginary GPU", "properties": {"uuid": name * 4}}}
        cards.append(other(tmp_path / name, Story(run_id=name), devices=("cuda:0",), environment={"devices": told}))
    assert "Margin: 5 %. For times of two cards: 8 %" in page(compare(*cards)).text


def test_a_run_beside_itself_and_runs_without_a_common_row_have_a_page(a: run_folder.Run, tmp_path: Path) -> None:
    assert "0 of 20 rows are slower in B, 0 faster, 20 the same and 0 ambiguous." in page(compare(a, a)).text
    assert "A and B are the same run: nothing can differ." in page(compare(a, a)).text
    assert "Nothing that the runs record" in page(compare(a, a)).text
    assert not re.search(r"CONFOUNDED: \d", page(compare(a, a)).text)  # no word that no row has
    none = page(compare(a, other(tmp_path, Story(run_id="b"), data=config({"channels": [512]}))))
    assert "No row is measured in both runs." in none.text
    assert "no row to judge" in none.text
    assert "No times are compared, because they need one machine (no row is in both runs)." in none.text


# ---------------------------------------------------------------- histories


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("days")
    return [written(folder, d, Story(slower, run_id=f"day {d}", seed=d) if d >= 7 else Story(run_id=f"day {d}", seed=d)) for d in range(1, 13)]  # fmt: skip


def test_a_history_marks_its_change_points(days: list[Path]) -> None:
    shown = Parsed(
        compare_page.history_text(history_of([run_folder.read(d) for d in days]), (), "bench compare --history *")
    )
    assert "From day 7 on" in shown.text
    assert "2 SLOWER" in shown.text
    assert "torch: 2.13.0 before, 2.14.0 after" in shown.text
    assert "day 7 2.14.0 0.90x changed" in shown.text
    assert shown.text.count("changed") >= 1
    rows = [x for x in shown.all("td") if (x.get("class") or "") == "answer slower"]
    assert len(rows) == 2


def test_a_short_history_says_that_it_cannot_tell(days: list[Path]) -> None:
    shown = Parsed(compare_page.history_text(history_of([run_folder.read(d) for d in days[:3]]), (), "x"))
    assert "Fewer than 9 runs can't show one." in shown.text


# ---------------------------------------------------------------- the verb


def test_the_verb_writes_the_page_beside_the_pictures_or_where_it_is_told(
    a: run_folder.Run, days: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sketched: None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.show.plots.compare.draw", lambda *_: ())  # a history's picture is sketched
    b = other(tmp_path / "b", Story(run_id="run b", seed=2))

    def bench(*given: object) -> str:
        with pytest.raises(SystemExit) as left:
            cli.main(["compare", *map(str, given)])
        assert not left.value.code
        return capsys.readouterr().out

    assert f"page: results/compare-{a.folder.name}-{b.folder.name}/compare.html" in bench(a.folder, b.folder)
    Path("x").mkdir()
    told = bench(a.folder, b.folder, "--html", "x/y.html", "--csv", "x/y.csv").splitlines()
    assert told[-2:] == ["page: x/y.html", "rows: x/y.csv"]
    text = Path("x/y.html").read_text(encoding="utf-8")
    assert f"bench compare {a.folder} {b.folder} --margin 5% --csv x/y.csv --html x/y.html" in text
    assert "page: out/compare.html" in bench(a.folder, b.folder, a.folder, "--out", "out")
    json.loads(bench(a.folder, b.folder, "--json", "--html", "z.html"))
    assert Path("z.html").is_file()
    assert "page: results/history/history.html" in bench("--history", *days)
    json.loads(bench("--history", *days, "--json", "--html", "h.html"))
    assert "bench compare" in Path("h.html").read_text(encoding="utf-8")
