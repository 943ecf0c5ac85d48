"""Several runs as one: devices that can be told apart on axes with the same limits, and one page with all verdicts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from bench import cli
from bench.analyse.claims import judge as verdict
from bench.analyse.claims.cells import Rows, gather
from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.analyse.runs.merged import short, together
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.show.pages import machine, report, rows_table
from bench.show.plots import depth, plane, time_breakdown
from bench.show.plots import speedup as plots
from bench.show.text import captions
from bench.show.text import multi_run as terminal_of_several
from bench.spec.errors import UserError
from tests.synthetic import Story, config, write_run
from tests.test_page import HOSTILE, Parsed

CPU, CARD = {"cpu": {"name": "Intel(R) Xeon(R) Processor"}}, {"cuda:0": {"name": "NVIDIA H100 80GB HBM3"}}
HOST = {"cpu_model": "AMD EPYC 9654", "physical_cores": 16, "memory_bytes": 64 << 30}
PAIR = ["standard", "separable"]
STACKS = {"blocks": PAIR, "axes": {"channels": [128, 64, 32], "depth": [1, 4, 16], "kernel": 3, "threads": 1}, "together": ["channels", "depth"]}  # fmt: skip
SWEEP = {"blocks": PAIR, "axes": {"channels": [16, 64, 256], "kernel": [3, 5], "threads": 1}}


def made(folder: Path, device: str, speedup: float, threads: Sequence[int] = (1,), stacks: bool = False, **environment: Any) -> Run:  # fmt: skip
    """A run on one device in which separable is so much faster everywhere."""
    sweep = {**SWEEP, "axes": {**SWEEP["axes"], "threads": list(threads)}}  # type: ignore[dict-item]
    data = config(experiments={"sweep": sweep, "stacks": STACKS} if stacks else {"sweep": sweep})
    base_s = 1e-3 if device == "cpu" else 1e-5
    story = Story(processes=6, speedup=lambda t, a: speedup, base_s=lambda t: base_s * t.cost(t.arms[0]).layers, run_id=f"run-{folder.name}")  # fmt: skip
    write_run(folder, story, data, (device,), environment=environment)
    return run_folder.read(folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    at = tmp_path_factory.mktemp("runs")
    cpu = made(at / "laptop", "cpu", 3.0, (1, 2), stacks=True, devices=CPU, torch="2.13.0+cpu")
    card = made(at / "card", "cuda:0", 0.5, stacks=True, devices=CARD, torch="2.11.0+cu128", host=HOST)
    return [cpu, card]


def text(runs: Sequence[Run]) -> str:
    """The page without pictures, which are slow to draw."""
    for run in runs:
        run_folder.write_tables(run)
    return report.text_of_several(together(runs), judge(runs), ())


def title(figure: Figure | None) -> str:
    assert figure is not None
    return " ".join(figure.get_suptitle().split())


def small_print(figure: Figure | None) -> str:
    assert figure is not None
    return " ".join(" ".join(t.get_text() for t in figure.texts).replace("\u00a0", " ").split())


def test_the_terminal_has_a_line_for_each_run_and_one_table_of_all(runs: list[Run]) -> None:
    out = StringIO()
    with redirect_stdout(out):
        terminal_of_several.show(together(runs))
    lines = out.getvalue().splitlines()
    heads = [line.split() for line in lines if re.match(r"[AB] +c", line)]
    assert [(h[0], h[-1]) for h in heads] == [("A", "laptop"), ("B", "card")]
    (first, second) = [i for i, line in enumerate(lines) if line.startswith("Speedup by channels")]
    for head, kernel in ((first, 3), (second, 5)):
        ends = {int(m[0]): m.end() for m in re.finditer(r"\d+", lines[head + 1])}
        for line in lines[head + 2 : head + 5]:
            whose, threads = (1, None) if line.startswith("GPU") else (0, int(line.partition(" thread")[0][-1]))
            cells = {c: line[:end].split()[-1] for c, end in ends.items() if line[end - 1 : end].strip()}
            assert {16, 64, 256} <= cells.keys()
            for c, word in cells.items():
                (told,) = [
                    r["speedup"] for r in records_of(runs[whose].pairs)
                    if (r["depth"], r["kernel"], r["c_in"]) == (1, kernel, c) and threads in (None, r["threads"])
                ]  # fmt: skip
                assert float(word.split("x")[0]) == pytest.approx(told, rel=0.03)
    assert len(lines) < 40


def test_no_run_and_no_device_falls_out_of_the_table_for_want_of_room(tmp_path: Path) -> None:
    many = [made(tmp_path / f"run{i}", "cpu", 2.0, (1, 2), host={"cpu_model": f"make {i}"}) for i in range(6)]
    out = StringIO()
    with redirect_stdout(out):
        terminal_of_several.show(together(many))
    told = out.getvalue()
    assert all(re.search(rf"^cpu \(.*{letter}\), \d thread", told, re.MULTILINE) for letter in "ABCDEF")


def test_a_run_that_is_no_sweep_beside_one_is_named_with_the_reason(runs: list[Run], tmp_path: Path) -> None:
    one = {"blocks": PAIR, "axes": {"channels": [48], "size": 20, "kernel": 3, "threads": 1}}
    write_run(tmp_path, Story(run_id="lone"), config(experiments={"sweep": one}), environment={"torch": "2.9.1"})
    two = [run_folder.read(tmp_path), runs[0]]
    joined = together(two)
    said = "leave out what sweeps neither channels nor kernels: sweep (run A) and stacks (run B)."
    assert Parsed(text(two)).text.count(said) == 1
    small = small_print(plots.picture(joined.whole))
    assert "run run-laptop" in small
    assert not re.search(r"lone|2\.9\.1|leave out", small)


def test_where_all_rows_are_of_sweeps_nothing_is_said_to_be_left_out(tmp_path: Path) -> None:
    joined, out = together([made(tmp_path / name, "cpu", 2.0, devices=CPU, torch=f"2.{name}") for name in "ab"]), StringIO()  # fmt: skip
    with redirect_stdout(out):
        terminal_of_several.show(joined)
    small = small_print(plots.picture(joined.whole))
    assert "Not " not in out.getvalue() + small
    assert captions.unswept(joined.whole) == ""
    assert "torch 2.a and 2.b" in small
    assert "run run-a and run-b" in small


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Intel(R) Xeon(R) Processor", "Xeon"),
        ("NVIDIA H100 80GB HBM3", "H100 80GB HBM3"),
        ("AMD EPYC 7763 64-Core Processor", "EPYC 7763"),
        ("Intel(R) Core(TM) i7-9750H CPU @ 2.60GHz", "Core i7-9750H"),
        ("CPU", "CPU"),
        ("", ""),
    ],
)
def test_a_device_goes_by_what_tells_it_from_others(name: str, said: str) -> None:
    assert short(name) == said


def test_rows_of_all_runs_stand_in_the_same_tables_and_stay_apart(runs: list[Run]) -> None:
    joined = together(runs)
    whole = joined.whole
    assert [m.letter for m in joined.members] == ["A", "B"]
    assert [dict(m.devices) for m in joined.members] == [{"cpu": "cpu (Xeon)"}, {"cuda:0": "cuda:0 (H100 80GB HBM3)"}]
    for name in ("pairs", "measurements"):
        held, parts = getattr(whole, name), [getattr(run, name) for run in runs]
        assert len(held) == sum(map(len, parts))
        assert set(held["run_id"]) == {"A", "B"}
        assert held["arm_id"].is_unique
        assert held.columns.tolist() == parts[0].columns.tolist()
        assert (held.dtypes == parts[0].dtypes).all()
    assert joined.letters() == {"run-laptop": "A", "run-card": "B"}


def test_the_same_device_in_two_runs_gets_their_letters(tmp_path: Path) -> None:
    two = [made(tmp_path / name, "cpu", 2.0, devices=CPU) for name in ("a", "b")]
    assert [list(m.devices.values()) for m in together(two).members] == [["cpu (Xeon, A)"], ["cpu (Xeon, B)"]]


def test_blocks_against_themselves_stand_beside_nothing(runs: list[Run], tmp_path: Path) -> None:
    axes = {"channels": [16], "kernel": [3], "threads": [1]}
    write_run(tmp_path, Story(speedup=lambda t, a: 1.0), config(axes, ["standard", {"name": "standard", "again": True}]))  # fmt: skip
    with pytest.raises(UserError, match="this run compares blocks with themselves"):
        together([*runs, run_folder.read(tmp_path)])


# ---------------------------------------------------------------- pictures


def test_all_devices_share_the_axes_and_each_has_its_marker(runs: list[Run]) -> None:
    figure = plots.picture(together(runs).whole)
    assert title(figure) == "Separable is 0.5x to 3x as fast as standard on cpu (Xeon) and cuda:0 (H100 80GB HBM3)"
    assert figure is not None
    assert [a.get_title(loc="left") for a in figure.axes] == ["kernel 3 x 3", "kernel 5 x 5"]
    assert len({a.get_ylim() for a in figure.axes}) == 1
    for axis in figure.axes:
        drawn = [line for line in axis.lines if len(line.get_xdata()) > 2]  # type: ignore[arg-type]
        dashes = [str(line._dash_pattern) for line in drawn]  # type: ignore[attr-defined]
        assert len(drawn) == 3
        assert len(set(dashes)) == 2, "one thread and two; the card has its marker"
        assert {line.get_marker() for line in axis.lines if len(line.get_xdata()) == 1} == {"o", "s"}  # type: ignore[arg-type]
        assert {t.get_text() for t in axis.texts} == {"CPU, 1 thread", "CPU, 2 threads", "GPU, eager"}


def test_ways_that_find_no_room_are_counted(tmp_path: Path) -> None:
    axes = {"channels": [16, 64], "kernel": 3, "threads": 1, "batch": list(range(1, 14))}
    write_run(tmp_path, Story(), config(experiments={"sweep": {"blocks": PAIR, "axes": axes}}))
    figure = plots.picture(run_folder.read(tmp_path))
    assert figure is not None
    assert len(figure.axes[0].texts) == plots.MOST_LINES
    assert f"{13 - plots.MOST_LINES} more ways are not drawn: see pairs.csv." in small_print(figure)


def test_sweeps_of_all_devices_share_their_panels(runs: list[Run]) -> None:
    whole = together(runs).whole
    for figure in (depth.picture(whole), plane.picture(whole)):
        assert figure is not None
        assert {"CPU, 1 thread", "GPU, eager"} <= {t.get_text() for t in figure.axes[0].texts}


def test_where_the_time_goes_is_told_of_the_runs_that_were_walked(runs: list[Run], tmp_path: Path) -> None:
    story = Story(run_id="walked", parts=lambda t, a: {"conv" if a.choice.name == "standard" else "depthwise": 0.9})
    write_run(tmp_path, story, config(experiments={"sweep": SWEEP}), environment={"torch": "2.9.1", "devices": CPU})
    figure = time_breakdown.picture(together([runs[1], run_folder.read(tmp_path)]).whole)
    small = small_print(figure)
    assert figure is not None
    assert all(a.get_title(loc="left").startswith("cpu (Xeon), ") for a in figure.axes)
    assert "Not walked layer by layer: run A." in small
    assert "torch 2.9.1" in small
    assert "run walked" in small
    assert not re.search(r"run-card|cu128", small)


# ---------------------------------------------------------------- the page


def test_verdicts_are_those_over_all_runs_and_name_whose_they_are(runs: list[Run]) -> None:
    told = Parsed(text(runs)).text
    found = judge(runs)
    (between,) = [v for v in found.of("device_by_block") if v.confirmatory and "1 thread" in v.condition.label]
    assert between.side == "yes"  # which no run alone can say
    assert "cpu and cuda:0, 1 thread, contiguous, separable [A, B]" in told
    assert "cuda:0, contiguous, separable [B]" in told
    for v in found.verdicts:
        assert v.answer in told


def test_machines_stand_side_by_side_and_what_differs_is_marked(runs: list[Run]) -> None:
    sides = {s["name"]: s for s in machine.side_by_side(runs)}
    assert sides["CPU"]["values"] == ("Imaginary CPU @ 2.00GHz", "AMD EPYC 9654")
    assert sides["torch"]["differs"]
    assert not sides["Python"]["differs"]
    assert not sides["device cpu"]["differs"]  # the other run has none
    told = Parsed(text(runs)).text
    assert "CPU ≠ Imaginary CPU @ 2.00GHz AMD EPYC 9654" in told
    assert "Python 3.11.9 3.11.9" in told


def test_the_table_of_rows_tells_whose_each_is(runs: list[Run]) -> None:
    laid = rows_table.table(together(runs).whole)
    assert laid.columns[0].head == "run"
    assert {line.cells[0].text for line in laid.lines} == {"A", "B"}
    assert [(head, values) for at, head, values in laid.filters if at == 0] == [("run", ("A", "B"))]
    names = [c.name for c in laid.columns]
    assert names.index("device") > names.index("speedup")  # the run says it already
    assert len(laid.lines) == sum(len(run.pairs) for run in runs)


def test_tables_of_all_runs_travel_along_under_their_letters(runs: list[Run]) -> None:
    links = {a["download"] for a in Parsed(text(runs)).all("a") if "download" in a}
    assert {"A-pairs.csv", "B-pairs.csv", "A-measurements.csv", "B-measurements.csv"} <= links


def test_an_unfinished_run_is_named_first(runs: list[Run], tmp_path: Path) -> None:
    write_run(tmp_path, Story(once=frozenset({0}), run_id="half"), config(experiments={"sweep": SWEEP}), ("cuda:0",), environment={"devices": CARD})  # fmt: skip
    (tmp_path / "DONE").unlink()
    told = Parsed(text([runs[0], run_folder.read(tmp_path)])).text
    assert "B: INCOMPLETE" in told
    assert told.index("B: INCOMPLETE") < told.index("What the texts claim")


def test_names_that_are_markup_stay_names(runs: list[Run], tmp_path: Path) -> None:
    odd = made(tmp_path / "x", "cuda:0", 2.0, devices={"cuda:0": {"name": HOSTILE}}, command=HOSTILE, torch=HOSTILE)
    told = Parsed(text([runs[0], dataclasses.replace(odd, run_id=HOSTILE)]))
    assert len(told.all("script")) == 1
    assert told.all("img") == []
    assert [a for _, attributes in told.elements for a in attributes if a.startswith("on")] == []
    assert "alert(1)" in told.text


# ---------------------------------------------------------------- the verb


def run(*args: object) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main([str(a) for a in args])
    return int(left.value.code or 0)


@pytest.mark.usefixtures("sketched")
@pytest.mark.usefixtures("sketched")
def test_two_runs_get_their_own_pages_and_one_of_both(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    folders = [r.folder for r in runs]
    assert run("report", *folders) == 0
    page = Path("results/report-laptop-card.html")
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"pictures in {page.with_suffix('')} and the page of 2 runs {page}")  # fmt: skip
    assert Parsed(page.read_text(encoding="utf-8")).all("table")
    assert (page.with_suffix("") / "map.svg").is_file()
    assert (page.with_suffix("") / "speedup.svg").is_file()
    assert all((folder / "report.html").is_file() for folder in folders)
    assert page.name in Path("results/index.html").read_text(encoding="utf-8")
    monkeypatch.setattr("bench.show.write.draw", lambda *_: ())
    Path("elsewhere").mkdir()
    assert run("report", *folders, "--out", "elsewhere/both.html", "--format", "html") == 0
    assert capsys.readouterr().out == "elsewhere/both.html\n"
    assert Path("elsewhere/both.html").is_file()


def test_two_runs_are_each_judged_once_and_once_together(runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    judged: list[list[str]] = []

    def gathered(asked: Sequence[Run], predicted: bool = False) -> Rows:
        judged.append([r.run_id for r in asked])
        return gather(asked, predicted)

    monkeypatch.setattr(verdict, "gather", gathered)
    monkeypatch.setattr("bench.show.write.draw", lambda *_: ())
    assert run("report", *(r.folder for r in runs), "--out", tmp_path / "both.html") == 0
    assert judged == [["run-laptop"], ["run-card"], ["run-laptop", "run-card"]]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("{a} --out x.html", "--out: 'x.html': it names the page of several runs. Name another run, or leave it out."),
        ("{a} {b} --out x.pdf", "--out: 'x.pdf': a page's name ends in .html."),
        ("{a} {a}", "{a}: this run was given twice. Give each run once."),
        ("{a} {b} --out x.html --format md", "--out: --format md prints and writes no page."),
        ("{a} --format yaml", "--format: 'yaml': it is not one of the known words. Write md, csv, json or html."),
        ("", "bench report: no run is named. Name a results folder, such as results/latest."),
        ("--index {a} {b}", "--index: it takes one folder and nothing else."),
        ("--index {a}/none", "{a}/none: there is no such folder."),
    ],
)
def test_mistakes_are_one_line(runs: list[Run], args: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (str(r.folder) for r in runs)
    assert run("report", *args.format(a=a, b=b).split()) == 2
    told = capsys.readouterr()
    assert said.format(a=a, b=b) in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_records_of_the_whole_are_plain(runs: list[Run]) -> None:
    """Pictures and tables read them as they read a run's own."""
    rows = records_of(together(runs).whole.pairs)
    assert {str(r["device"]).split(" ")[0] for r in rows} == {"cpu", "cuda:0"}
    assert all(isinstance(r["speedup"], float) for r in rows)
