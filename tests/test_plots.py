"""The pictures say what the data say: titles, marks, ticks; and the terminal's table beside them."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.show import write
from bench.show.plots import memory, roofline, speedup, style
from bench.show.plots.panels import MOST_GROUPS, Channels, lay_out
from bench.show.text import report, terminal
from tests.synthetic import Story, config, half_the_promise, realistic, write_run

SMALL = config({"channels": [16, 64, 256], "kernel": [3, 5], "threads": [1, 2], "layout": ["contiguous", "channels_last"]})  # fmt: skip


def made(folder: Path, story: Story | None = None, data: dict[str, Any] | None = None, devices: tuple[str, ...] = ("cpu",)) -> run_folder.Run:  # fmt: skip
    write_run(folder, story, data or SMALL, devices)
    return run_folder.read(folder)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    return made(tmp_path_factory.mktemp("calm"))


def title(figure: Figure | None) -> str:
    assert figure is not None
    return figure.get_suptitle().replace("\n", " ")


def texts(figure: Figure | None) -> str:
    assert figure is not None
    said = [t.get_text() for t in figure.texts]
    said += [t.get_text() for legend in figure.legends for t in legend.get_texts()]
    return "\n".join(said).replace("\u00a0", " ")


def ticks(axis: Axes, which: str) -> list[str]:
    chosen = axis.xaxis if which == "x" else axis.yaxis
    low, high = sorted(axis.get_xlim() if which == "x" else axis.get_ylim())
    shown = [v for v in chosen.get_major_locator()() if low <= v <= high]
    return [chosen.get_major_formatter()(v, 0) for v in shown]


def hollow(axis: Axes) -> int:
    marked = [
        line for line in axis.lines if line.get_marker() not in ("", "None", "x") and np.size(line.get_xdata()) == 1
    ]
    return sum(line.get_markerfacecolor() == "white" for line in marked)


def test_the_speedup_title_states_the_finding(calm: run_folder.Run) -> None:
    least, most = calm.pairs["speedup"].min(), calm.pairs["speedup"].max()
    assert title(speedup.speedup(calm)) == f"Separable is {least:.2g}x to {most:.2g}x as fast as standard on cpu"


def test_there_is_a_panel_per_kernel_and_a_series_per_threads_and_layout(calm: run_folder.Run) -> None:
    figure = speedup.speedup(calm)
    assert figure is not None
    assert [a.get_title(loc="left") for a in figure.axes] == ["kernel 3 x 3", "kernel 5 x 5"]
    words = texts(figure)
    for series in ("1 thread, contiguous", "2 threads, contiguous", "1 thread, channels_last", "2 threads, channels_last"):  # fmt: skip
        assert series in words


def test_ticks_are_channel_numbers_and_ratios(calm: run_folder.Run) -> None:
    figure = speedup.speedup(calm)
    assert figure is not None
    assert ticks(figure.axes[0], "x") == ["16", "64", "256"]
    assert set(ticks(figure.axes[0], "y")) >= {"1x", "2x", "4x", "8x"}


def test_the_footer_says_how_it_was_measured(calm: run_folder.Run) -> None:
    footer = texts(speedup.speedup(calm))
    for fact in ("Imaginary CPU @ 2.00GHz", "torch 2.13.0", "5 processes a cell", "95 % interval", "paired within rounds", "2026-01-01", calm.run_id):  # fmt: skip
        assert fact in footer


def test_rows_that_missed_the_precision_are_hollow_and_failed_ones_crossed(tmp_path: Path) -> None:
    run = made(tmp_path, Story(wide={0: 0.09}, once=frozenset({1}), fails={2: (1, "oom", "no memory")}))
    figure = speedup.speedup(run)
    assert figure is not None
    assert sum(hollow(a) for a in figure.axes) == 2
    crosses = [line for a in figure.axes for line in a.lines if line.get_marker() == "x"]
    assert sum(np.size(line.get_xdata()) for line in crosses) == 1
    assert "hollow" in texts(figure)
    assert "failed" in texts(figure)


def test_processes_in_two_groups_are_drawn_one_by_one(calm: run_folder.Run) -> None:
    each = ["1:2.0 2:2.01 3:1.99 4:2.0 5:2.41 6:2.4", *calm.pairs["speedup_by_process"][1:]]
    figure = speedup.speedup(replace(calm, pairs=calm.pairs.assign(speedup_by_process=each)))
    assert figure is not None
    (ticks,) = [line for a in figure.axes for line in a.lines if line.get_marker() == "_"]
    assert sorted(ticks.get_ydata()) == pytest.approx([1.99, 2.0, 2.0, 2.01, 2.4, 2.41])
    assert "single processes, in two groups" in texts(figure)
    assert "single processes" not in texts(speedup.speedup(calm))


def test_a_calm_run_needs_no_words_for_marks_that_it_lacks(calm: run_folder.Run) -> None:
    words = texts(speedup.speedup(calm))
    assert "hollow" not in words
    assert "failed" not in words


def test_the_delivery_title_gives_the_share_and_its_spread(tmp_path: Path) -> None:
    def truth(trial, arm):  # type: ignore[no-untyped-def]
        return half_the_promise(trial, arm) * (0.5 if trial.shape.kernel == 3 else 1.5)

    said = title(speedup.delivery(made(tmp_path, Story(speedup=truth, sample_scale=0.005))))
    assert said == "Separable achieves 25 % to 75 % of the MAC ratio on cpu"


def test_throughput_and_memory_say_what_they_found(calm: run_folder.Run) -> None:
    # half of the promise arrives, so a multiplication takes twice as long
    assert re.fullmatch(r"A MAC takes (1\.9x to 2x|2x|2x to 2\.1x) as long in separable as in standard on cpu", title(roofline.throughput(calm)))  # fmt: skip
    assert title(memory.memory(calm)) == "Measured peak memory is 1x to 1.3x the theory's on cpu"


def test_several_devices_are_named_in_title_and_panels(tmp_path: Path) -> None:
    def truth(trial, arm):  # type: ignore[no-untyped-def]
        return 2.0 if trial.surroundings.device == "cpu" else 0.5

    run = made(tmp_path, Story(speedup=truth), SMALL, ("cpu", "cuda:0"))
    figure = speedup.speedup(run)
    assert title(figure) == "Separable is 0.5x to 2x as fast as standard on cpu and cuda:0"
    assert figure is not None
    assert [a.get_title(loc="left") for a in figure.axes][::2] == ["cpu, kernel 3 x 3", "cuda:0, kernel 3 x 3"]
    assert "Imaginary GPU" in texts(figure)


def test_a_card_is_not_said_to_run_on_the_hosts_threads(tmp_path: Path) -> None:
    run = made(tmp_path, data=config({"channels": [16, 64], "kernel": [3], "threads": [1]}), devices=("cuda:0",))
    assert "thread" not in texts(speedup.speedup(run))


def test_several_blocks_get_panels_of_their_own(tmp_path: Path) -> None:
    data = config({"channels": [16, 64], "kernel": [3], "threads": [1]}, blocks=["standard", "separable", "depthwise"])
    figure = speedup.speedup(made(tmp_path, data=data))
    assert figure is not None
    assert re.fullmatch(r"Separable and depthwise are [\d.]+x to [\d.]+x as fast as standard on cpu", title(figure))
    names = [a.get_title(loc="left") for a in figure.axes if a.get_title(loc="left")]
    assert names == ["separable against standard, kernel 3 x 3", "depthwise against standard, kernel 3 x 3"]


@pytest.mark.parametrize(
    "axes",
    [
        {"channels": [64], "kernel": [3], "threads": [1]},
        {"channels": ["16->32", 32, "32->64"], "kernel": [5], "threads": [1]},
        {"channels": list(range(8, 200, 8)), "kernel": [3], "threads": [1]},
    ],
)
def test_small_uneven_and_fine_sweeps_are_drawn(tmp_path: Path, axes: dict[str, Any]) -> None:
    run = made(tmp_path, Story(processes=2), config(axes))
    for make in (speedup.speedup, speedup.delivery, roofline.throughput, memory.memory):
        figure = make(run)
        assert figure is not None
        assert 1 <= len(ticks(figure.axes[0], "x")) <= 16
        assert 1 <= len(ticks(figure.axes[0], "y")) <= 12


def test_each_picture_is_a_png_and_an_svg(tmp_path: Path) -> None:
    run = made(tmp_path, data=config({"channels": [16, 64], "kernel": [3], "threads": [1]}))
    written = write.draw(run, tmp_path / "plots", write.PICTURES)
    assert {"map.png", "map.svg", "speedup.png", "speedup.svg"} <= {p.name for p in written}
    assert len({p.stem for p in written}) == len(written) / 2
    for path in written:
        if path.suffix == ".svg":
            assert str(ElementTree.parse(path).getroot().tag).endswith("svg")
        else:
            assert path.read_bytes()[:4] == b"\x89PNG"


def test_channels_that_change_are_named_in_and_out(tmp_path: Path) -> None:
    run = made(tmp_path, data=config({"channels": ["16->32", 32, "32->64"], "kernel": [3], "threads": [1]}))
    figure = speedup.speedup(run)
    assert figure is not None
    assert ticks(figure.axes[0], "x") == ["16→32", "32", "32→64"]


def test_a_run_in_which_nothing_was_measured_draws_nothing(tmp_path: Path) -> None:
    run = made(tmp_path, Story(unreached=frozenset(range(99))))
    assert write.draw(run, tmp_path / "plots", write.PICTURES) == ()


def test_an_interval_without_bounds_does_not_flatten_the_picture(tmp_path: Path) -> None:
    run = made(tmp_path, Story(processes=3, wide={0: 3.0}))
    figure = speedup.speedup(run)
    assert figure is not None
    low, high = figure.axes[0].get_ylim()
    points = run.pairs["speedup"]
    assert low > min(1.0, points.min()) / 3
    assert high < points.max() * 3


def arrows(figure: Figure | None) -> list[tuple[float, float, str]]:
    """Where an interval is marked as cut: its place, its height, its colour."""
    assert figure is not None
    ends = [line for a in figure.axes for line in a.lines if isinstance(line.get_marker(), Outline)]
    return [(float(np.ravel(e.get_xdata())[0]), float(np.ravel(e.get_ydata())[0]), str(e.get_markeredgecolor())) for e in ends]  # fmt: skip


def test_an_interval_beyond_the_axis_ends_in_an_arrow_and_the_legend_says_so(
    tmp_path: Path, calm: run_folder.Run
) -> None:
    run = made(tmp_path / "wide", Story(processes=3, wide={0: 3.0}))
    wide = run.pairs.loc[run.pairs["speedup_ci_high"].idxmax()]
    for picture in (speedup.speedup(run), speedup.delivery(run)):
        assert picture is not None
        low, high = picture.axes[0].get_ylim()
        assert wide["speedup_ci_low"] < low
        assert wide["speedup_ci_high"] > high
        assert sorted(y for _, y, _ in arrows(picture)) == [low, high]
        assert style.CUT in texts(picture)
    for picture in (speedup.speedup(calm), speedup.delivery(calm)):
        assert not arrows(picture)
        assert style.CUT not in texts(picture)


def test_the_same_run_makes_the_same_file(calm: run_folder.Run, tmp_path: Path) -> None:
    first, second = (style.save(memory.memory(calm), tmp_path / n, "memory") for n in "ab")  # type: ignore[arg-type]
    assert first[0].read_bytes() == second[0].read_bytes()
    assert first[1].read_bytes() == second[1].read_bytes()


def test_words_stay_inside_the_figure_and_apart_from_the_panels(tmp_path: Path) -> None:
    run = made(tmp_path, Story(speedup=realistic, wide={0: 0.1}, fails={3: (1, "oom", "no memory")}))
    for make in (speedup.speedup, speedup.delivery):
        figure = make(run)
        assert figure is not None
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        whole = figure.bbox
        boxes = [t.get_window_extent(renderer) for t in figure.texts] + [g.get_window_extent(renderer) for g in figure.legends]  # fmt: skip
        panels = [box for a in figure.axes if (box := a.get_tightbbox(renderer)) is not None]
        for box in boxes:
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1
            assert whole.y0 <= box.y0
            assert box.y1 <= whole.y1
            assert not any(box.overlaps(panel) for panel in panels)
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# ---------------------------------------------------------------- what goes where


def row(**fields: object) -> dict[str, object]:
    usual = {
        "experiment": "e", "block": "separable", "baseline": "standard", "device": "cpu", "threads": 1,
        "layout": "contiguous", "dtype": "fp32", "mode": "eager", "pass": "inference", "allocator": "retain",
        "waiting": "default", "height": 28, "width": 28, "batch": 1, "stride": 1, "padding": "same", "dilation": 1,
        "depth": 1, "kernel": 3, "c_in": 16, "c_out": 16,
    }  # fmt: skip
    return {**usual, **fields}


def test_what_does_not_vary_goes_unsaid() -> None:
    laid = lay_out([row(threads=1), row(threads=2)])
    assert (laid.groups, laid.series) == (("",), ("1 thread", "2 threads"))
    assert lay_out([row()]).series == ("1 thread, contiguous",)


def test_what_is_usual_goes_unsaid_beside_what_is_not() -> None:
    laid = lay_out([row(), row(stride=2)])
    assert laid.series == ("1 thread, contiguous", "stride 2")


def test_a_crowded_panel_is_split() -> None:
    rows = [row(threads=t, batch=b) for t in (1, 2) for b in (1, 2, 4, 8)]
    laid = lay_out(rows)
    assert laid.groups == ("batch 1", "batch 2", "batch 4", "batch 8")
    assert laid.series == ("1 thread", "2 threads")


def test_what_finds_no_room_is_counted() -> None:
    laid = lay_out([row(experiment=f"e{i}") for i in range(MOST_GROUPS + 3)])
    assert (len(laid.groups), laid.left_out) == (MOST_GROUPS, 3)


def test_series_stand_side_by_side_at_their_channels() -> None:
    rows = [row(c_in=c, c_out=c) for c in (16, 32, 64)]
    axis = Channels.of(rows)
    places = [axis.beside(rows[1], i, 4) for i in range(4)]
    assert places == sorted(places)
    assert sum(places) / 4 == pytest.approx(axis.at(rows[1]))
    assert places[-1] - places[0] < 0.5


@pytest.mark.parametrize(("low", "high"), [(0.4, 40.0), (3.1, 4.9), (0.99, 1.02), (1.0, 1000.0)])
def test_an_axis_of_ratios_always_has_ticks(low: float, high: float) -> None:
    found = style.ratio_ticks(low, high)
    assert 2 <= len(found) <= 10
    assert all(low <= t <= high for t in found)


# ---------------------------------------------------------------- the terminal


def test_the_table_shows_cells_and_marks(tmp_path: Path) -> None:
    def truth(trial, arm):  # type: ignore[no-untyped-def]
        return 1.0 if trial.shape.c_in == 16 else 3.0

    story = Story(speedup=truth, fails={4: (1, "oom", "no memory")}, wide={5: 0.2}, once=frozenset({6}))
    header, *lines = terminal.pair_table(records_of(made(tmp_path, story, config()).pairs))
    assert header == ("kernel", "channels", "way", "speedup")
    cells = {line[:3]: line[3] for line in lines}
    assert len(cells) == len(lines) == 12
    assert re.fullmatch(r"(2\.9|3\.0)\d?x ±\d(\.\d)? %", cells["5", "256", "1 thread"])
    assert cells["3", "64", "1 thread"] == "oom"
    assert cells["3", "64", "2 threads"].endswith("~!")
    assert cells["5", "64", "1 thread"] == "3.0x !"
    assert [line[0] for line in terminal.explained(cells.values())][0] == "~"  # noqa: RUF015


def test_a_long_list_of_layers_is_cut_and_says_so() -> None:
    pair = {"status": "ok", "speedup": 2.0, "speedup_ci_low": 1.9, "speedup_ci_high": 2.1, "precision": 0.05, "precision_reached": True, "verdict": "faster"}  # fmt: skip
    pair |= {"run_id": "r", "device_name": "", "cudnn_benchmark": "on"}
    assert len(terminal.pair_table([{**row(c_in=c, c_out=c), **pair} for c in range(1, 61)])) == 1 + 60


def test_piped_output_is_plain(calm: run_folder.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    report.show(calm, calm.folder / "report.html", out)
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.startswith("Is separable faster than standard? It does ")
    assert max(len(line) for line in text.splitlines() if str(calm.folder) not in line) <= 80
    out.truncate(0)
    report.show(calm, calm.folder / "report.html", out, wide=True)
    assert "1 thread, channels_last: separable 6 faster of 6 cells; mean speedup" in out.getvalue()
