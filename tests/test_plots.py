"""The pictures say what the data say: titles, marks, ticks; and the terminal's table beside them."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline
from matplotlib.text import Annotation, Text

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.show import write
from bench.show.pages import rows_table
from bench.show.plots import delivery, memory, roofline, speedup, speedup_map, ways
from bench.show.plots.shared import files, style
from bench.show.plots.shared.panels import Channels
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
    assert title(speedup.picture(calm)) == f"Separable is {least:.2g}x to {most:.2g}x as fast as standard on cpu"


def test_there_is_a_panel_per_kernel_and_a_series_per_threads_and_layout(calm: run_folder.Run) -> None:
    figure = speedup.picture(calm)
    assert figure is not None
    assert [a.get_title(loc="left") for a in figure.axes] == ["kernel 3 x 3", "kernel 5 x 5"]
    for axis in figure.axes:
        assert {t.get_text() for t in axis.texts} == {"1 thread", "2 threads", "1 thread, channels_last", "2 threads, channels_last"}  # fmt: skip


def test_a_lines_name_stands_where_it_ends_and_over_no_other(calm: run_folder.Run) -> None:
    figure = speedup.picture(calm)
    assert figure is not None
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axis in figure.axes:
        names = [t for t in axis.texts if isinstance(t, Annotation)]
        boxes = sorted((Text.get_window_extent(t, renderer) for t in names), key=lambda box: box.y0)
        assert all(below.y1 <= above.y0 + 1 for below, above in pairwise(boxes))
        assert all(axis.bbox.x1 < box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
        by_tip = sorted(names, key=lambda t: float(t.xy[1]))
        assert by_tip == sorted(names, key=lambda t: Text.get_window_extent(t, renderer).y0)
        ends = {round(float(line.get_ydata()[-1]), 6) for line in axis.lines if np.size(line.get_xdata()) == 3}
        assert {round(float(t.xy[1]), 6) for t in names} == ends


def test_ticks_are_channel_numbers_and_ratios(calm: run_folder.Run) -> None:
    figure = speedup.picture(calm)
    assert figure is not None
    assert ticks(figure.axes[0], "x") == ["16", "64", "256"]
    assert set(ticks(figure.axes[0], "y")) >= {"1x", "2x", "4x", "8x"}


def test_the_footer_says_how_it_was_measured(calm: run_folder.Run) -> None:
    footer = texts(speedup.picture(calm))
    for fact in ("Imaginary CPU @ 2.00GHz", "torch 2.13.0", "5 processes a cell", "95 % interval", "paired within rounds", "2026-01-01", calm.run_id):  # fmt: skip
        assert fact in footer


def test_rows_that_missed_the_precision_are_hollow_and_failed_ones_crossed(tmp_path: Path) -> None:
    run = made(tmp_path, Story(wide={0: 0.09}, once=frozenset({1}), fails={2: (1, "oom", "no memory")}))
    figure = speedup.picture(run)
    assert figure is not None
    assert sum(hollow(a) for a in figure.axes) == 2
    crosses = [line for a in figure.axes for line in a.lines if line.get_marker() == "x"]
    assert sum(np.size(line.get_xdata()) for line in crosses) == 1
    assert "hollow" in texts(figure)
    assert "failed" in texts(figure)


def test_processes_in_two_groups_are_drawn_one_by_one(calm: run_folder.Run) -> None:
    each = ["1:2.0 2:2.01 3:1.99 4:2.0 5:2.41 6:2.4", *calm.pairs["speedup_by_process"][1:]]
    figure = speedup.picture(replace(calm, pairs=calm.pairs.assign(speedup_by_process=each)))
    assert figure is not None
    (ticks,) = [line for a in figure.axes for line in a.lines if line.get_marker() == "."]
    assert sorted(ticks.get_ydata()) == pytest.approx([1.99, 2.0, 2.0, 2.01, 2.4, 2.41])
    assert "single processes, in two groups" in texts(figure)
    assert "single processes" not in texts(speedup.picture(calm))


def test_a_calm_run_needs_no_words_for_marks_that_it_lacks(calm: run_folder.Run) -> None:
    words = texts(speedup.picture(calm))
    assert "hollow" not in words
    assert "failed" not in words


def test_the_delivery_title_gives_the_share_and_its_spread(tmp_path: Path) -> None:
    def truth(trial, arm):  # type: ignore[no-untyped-def]
        return half_the_promise(trial, arm) * (0.5 if trial.shape.kernel == 3 else 1.5)

    said = title(delivery.picture(made(tmp_path, Story(speedup=truth, sample_scale=0.005))))
    assert said == "Separable achieves 25 % to 75 % of the MAC ratio on cpu"


def test_what_arrives_above_100_percent_is_pointed_out_in_words(tmp_path: Path, calm: run_folder.Run) -> None:
    def truth(trial, arm):  # type: ignore[no-untyped-def]
        return half_the_promise(trial, arm) * (2.4 if trial.shape.c_in == 16 else 1)

    figure = delivery.picture(made(tmp_path, Story(speedup=truth, sample_scale=0.005)))
    assert figure is not None
    (axis,) = figure.axes
    beside = [t.get_text() for t in axis.texts]
    assert len([w for w in beside if w.endswith("2 of 6 above 100 %")]) == len(axis.get_yticks()) == 4
    assert "above 100 %: " in texts(figure)
    assert "above" not in texts(delivery.picture(calm))


def test_each_way_has_a_row_with_a_dot_for_each_of_its_cells(calm: run_folder.Run) -> None:
    figure = delivery.picture(calm)
    assert figure is not None
    (axis,) = figure.axes
    dots = [line for line in axis.lines if line.get_marker() == style.DEVICES[0]]
    shares = sorted(calm.pairs["speedup"] / calm.pairs["mac_ratio"])
    assert sorted(float(line.get_xdata()[0]) for line in dots) == pytest.approx(shares)
    rows = {float(y): t.get_text() for y, t in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)}
    assert sorted(rows.values()) == ["1 thread", "1 thread, channels_last", "2 threads", "2 threads, channels_last"]
    assert {float(line.get_ydata()[0]) for line in dots} == rows.keys()


def test_roofline_and_memory_say_what_they_found(calm: run_folder.Run) -> None:
    assert re.fullmatch(r"Separable reaches \S+ to \S+ GFLOP/s on cpu", title(roofline.picture(calm)))
    assert title(memory.memory(calm)) == "Measured peak memory is 1x to 1.3x the theory's on cpu"


def test_several_devices_are_named_in_title_and_panels(tmp_path: Path) -> None:
    def truth(trial, arm):  # type: ignore[no-untyped-def]
        return 2.0 if trial.surroundings.device == "cpu" else 0.5

    run = made(tmp_path, Story(speedup=truth), SMALL, ("cpu", "cuda:0"))
    figure = speedup.picture(run)
    assert title(figure) == "Separable is 0.5x to 2x as fast as standard on cpu and cuda:0"
    assert figure is not None
    assert [a.get_title(loc="left") for a in figure.axes] == ["kernel 3 x 3", "kernel 5 x 5"]
    for axis in figure.axes:
        looks = {(line.get_marker(), line.get_color()) for line in axis.lines if np.size(line.get_xdata()) == 1}
        assert looks == {("o", style.GREEN), ("s", style.GREEN)}
        assert {"CPU, 1 thread", "GPU, eager"} <= {t.get_text() for t in axis.texts}
    assert "Imaginary GPU" in texts(figure)


def test_a_card_is_not_said_to_run_on_the_hosts_threads(tmp_path: Path) -> None:
    run = made(tmp_path, data=config({"channels": [16, 64], "kernel": [3], "threads": [1]}), devices=("cuda:0",))
    assert "thread" not in texts(speedup.picture(run))


def test_several_blocks_get_lines_of_their_own_colours(tmp_path: Path) -> None:
    data = config({"channels": [16, 64], "kernel": [3], "threads": [1]}, blocks=["standard", "separable", "depthwise"])
    figure = speedup.picture(made(tmp_path, data=data))
    assert figure is not None
    assert re.fullmatch(r"Separable and depthwise are [\d.]+x to [\d.]+x as fast as standard on cpu", title(figure))
    (axis,) = figure.axes
    named = {t.get_text(): t.get_color() for t in axis.texts}
    assert named == {"separable, 1 thread": style.GREEN, "depthwise, 1 thread": style.MAGENTA}


def test_layers_that_are_no_sweep_of_channels_get_a_row_each(tmp_path: Path) -> None:
    axes = {"channels": ["16->32", "32->64", 64], "size": [28, 14, 7], "kernel": 3, "threads": [1, 2]}
    layers = {"blocks": ["standard", "separable"], "axes": axes, "together": ["channels", "size"]}
    run = made(tmp_path, data=config(experiments={"layers": layers}))
    figure = speedup.picture(run)
    assert title(figure).startswith("Separable is ")
    assert figure is not None
    (axis,) = figure.axes
    rows = [t.get_text() for t in axis.get_yticklabels()]
    names = ["16→32 channels, 3 x 3, 28 px", "32→64 channels, 3 x 3, 14 px", "64 channels, 3 x 3, 7 px"]
    assert rows == ["1 thread", *names, "2 threads", *names]
    at = {float(line.get_ydata()[0]): float(line.get_xdata()[0]) for line in axis.lines if line.get_marker() == "o"}
    told = run.pairs.sort_values(["threads", "height"], ascending=[True, False])["speedup"]
    assert [at[y] for y in sorted(at)] == pytest.approx(told.tolist())


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
    for make in (speedup.picture, delivery.picture, roofline.picture, memory.memory):
        figure = make(run)
        assert figure is not None
        assert 1 <= len(ticks(figure.axes[0], "x")) <= 16
        assert make in (speedup.picture, delivery.picture) or 1 <= len(ticks(figure.axes[0], "y")) <= 12


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
    figure = speedup.picture(run)
    assert figure is not None
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert names == ["1 thread", "16→32 channels, 3 x 3", "32 channels, 3 x 3", "32→64 channels, 3 x 3"]


def test_a_run_in_which_nothing_was_measured_draws_nothing(tmp_path: Path) -> None:
    run = made(tmp_path, Story(unreached=frozenset(range(99))))
    assert write.draw(run, tmp_path / "plots", write.PICTURES) == ()


def test_an_interval_without_bounds_does_not_flatten_the_picture(tmp_path: Path) -> None:
    run = made(tmp_path, Story(processes=3, wide={0: 3.0}))
    figure = speedup.picture(run)
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
    story = Story(processes=3, wide={0: 3.0})
    one_shape = config({"channels": [16], "kernel": [3], "threads": [1, 2]})
    for run, make in ((made(tmp_path / "a", story), speedup.picture), (made(tmp_path / "b", story, one_shape), ways.picture)):  # fmt: skip
        wide = run.pairs.loc[run.pairs["speedup_ci_high"].idxmax()]
        picture = make(run)
        assert picture is not None
        axis, across = picture.axes[0], make is ways.picture
        low, high = axis.get_xlim() if across else axis.get_ylim()
        assert wide["speedup_ci_low"] < low
        assert wide["speedup_ci_high"] > high
        assert sorted(x if across else y for x, y, _ in arrows(picture)) == [low, high]
        assert style.CUT in texts(picture)
    for calm_one in (speedup.picture(calm), ways.picture(calm)):
        assert not arrows(calm_one)
        assert style.CUT not in texts(calm_one)


def test_the_same_run_makes_the_same_file(calm: run_folder.Run, tmp_path: Path) -> None:
    first, second = (files.save(memory.memory(calm), tmp_path / n, "memory") for n in "ab")  # type: ignore[arg-type]
    assert first[0].read_bytes() == second[0].read_bytes()
    assert first[1].read_bytes() == second[1].read_bytes()


def test_words_stay_inside_the_figure_and_apart_from_the_panels(tmp_path: Path) -> None:
    run = made(tmp_path, Story(speedup=realistic, wide={0: 0.1}, fails={3: (1, "oom", "no memory")}))
    for make in (speedup.picture, delivery.picture, ways.picture):
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
    with redirect_stdout(out):
        report.show(calm, calm.folder / "report.html")
    text = out.getvalue()
    assert "\x1b" not in text
    assert text.startswith("Is separable faster than standard? It does ")
    assert max(len(line) for line in text.splitlines() if str(calm.folder) not in line) <= 80
    out.truncate(0)
    with redirect_stdout(out):
        report.show(calm, calm.folder / "report.html", wide=True)
    every = out.getvalue()
    assert "rows measured in" in every
    assert sum("1 thread, channels_last" in line for line in every.splitlines()) == 1 + every.count(
        "Speedup by channels"
    )


@pytest.mark.fault("machine", "a matplotlibrc lies in the working folder", "it changes no picture")
def test_a_matplotlibrc_in_the_working_folder_changes_no_picture(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import sys; from bench.analyse.runs.run_folder import read; from bench.show.plots import speedup_map; from bench.show.plots.shared import files;"
        "files.save(speedup_map.picture(read(Path(sys.argv[1]))), Path('.'), 'map')"
    )
    root = Path(__file__).parents[1]
    drawn = []
    for name, text in (
        ("plain", ""),
        ("odd", "text.usetex: True\nfont.family: serif\nlines.linewidth: 9\naxes.facecolor: yellow\n"),
    ):
        (tmp_path / name).mkdir()
        if text:
            (tmp_path / name / "matplotlibrc").write_text(text)
        command = [sys.executable, "-c", code, str(root / "results" / "reference" / "xeon-2-cores")]
        subprocess.run(command, cwd=tmp_path / name, env={**os.environ, "PYTHONPATH": str(root)}, check=True)
        drawn.append([(tmp_path / name / f"map.{kind}").read_bytes() for kind in ("png", "svg")])
    assert drawn[0] == drawn[1]


def test_a_large_run_draws_no_more_than_finds_room_and_says_so(tmp_path: Path) -> None:
    axes = {"channels": [8 * (i + 1) for i in range(60)], "kernel": [3, 5], "size": [7, 14, 28, 56], "threads": 1}
    run = made(tmp_path, Story(processes=3, rounds=2), config(axes))
    assert len(run.pairs) == 480
    for name, figure in ((n, make(run)) for n, make in write.PICTURES.items()):
        marks = (
            sum(len(np.atleast_1d(line.get_xdata())) for axis in figure.axes for line in axis.lines) if figure else 0
        )
        assert marks < 1_300, name
    assert "45 more channel counts are not drawn: see pairs.csv." in texts(speedup_map.picture(run))
    assert "not drawn: see measurements.csv." in texts(roofline.picture(run))
    assert "more rows are not drawn" in texts(memory.memory(run))
    laid = rows_table.table(run)
    assert (len(laid.lines), laid.left_out) == (rows_table.MOST_ROWS, 480 - rows_table.MOST_ROWS)
    at = [c.name for c in laid.columns].index("speedup")
    least = min(abs(np.log(float(line.cells[at].sort or 1))) for line in laid.lines)
    assert (np.abs(np.log(run.pairs["speedup"].astype(float))) > least * 1.0001).sum() < rows_table.MOST_ROWS
