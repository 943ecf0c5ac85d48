"""The picture of layers against MACs: a line for each way and block, and the title's factors."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.analyse.sweeps.costs import LayerMacCosts
from bench.analyse.sweeps.designed import Sweep, drawn, find
from bench.show.plots import depth
from bench.show.plots.shared import style
from bench.show.text.ways import way_labels
from tests import designed
from tests.synthetic import config, write_run
from tests.test_plots import texts, ticks, title

ONLY = ("depth", "macs")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    return designed.run(tmp_path_factory.mktemp("deep"), devices=("cpu", "cuda:0"), only=ONLY, mode=["eager", "graph"])


@pytest.fixture(scope="module")
def sweeps(run: run_folder.Run) -> tuple[Sweep, ...]:
    return find(records_of(run.measurements))


@pytest.fixture(scope="module")
def figure(run: run_folder.Run) -> Figure:
    made = depth.picture(run)
    assert made is not None
    return made


def heading(axis: Axes) -> str:
    return axis.get_title(loc="left")


def drawn_lines(axis: Axes) -> list[tuple[str, list[tuple[float, float]]]]:
    """Each line's colour and points, without the rays."""
    lines = [line for line in axis.lines if line.get_color() != style.FAINT or line.get_linestyle() == "-"]
    return [
        (str(line.get_color()), list(zip(*line.get_data(), strict=True)))
        for line in lines
        if len(line.get_data()[0]) > 1
    ]  # type: ignore[arg-type]


def growth(s: Sweep) -> float:
    return math.exp(s.points[-1].log_time.mean - s.points[0].log_time.mean)


def labels(axis: Axes) -> list[str]:
    return [t.get_text() for t in axis.texts if t.get_text()]


def test_the_title_gives_the_growth_of_the_lines_that_are_drawn(figure: Figure, sweeps: tuple[Sweep, ...]):
    here = [s for s in sweeps if (s.block, s.experiment, s.condition.batch) == ("standard", "depth_by_map", 1)]
    taken = sorted(map(growth, here))
    found = re.fullmatch(r"64x the layers at fixed MACs take standard (\S+)x to (\S+)x the time on cpu and cuda:0", title(figure))  # fmt: skip
    assert found is not None
    assert [float(end) for end in found.groups()] == pytest.approx([taken[0], taken[-1]], rel=0.05)


def test_layers_grow_in_one_panel_and_macs_in_the_other(figure: Figure):
    assert [heading(a) for a in figure.axes] == ["layers grow at fixed MACs", "MACs grow at fixed layers"]
    assert ticks(figure.axes[0], "x")[:4] == ["1x", "4x", "16x", "64x"]
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_each_way_and_block_has_one_line_from_one_of_the_sweeps_whose_activations_are_held(
    run: run_folder.Run, sweeps: tuple[Sweep, ...]
):
    few = dataclasses.replace(run, measurements=run.measurements[run.measurements["device"] == "cpu"])
    figure = depth.picture(few)
    assert figure is not None
    for axis, experiment in zip(figure.axes, ("depth_by_map", "macs_at_fixed_depth"), strict=True):
        here = [s for s in sweeps if s.experiment == experiment and s.condition.device == "cpu"]
        lines = drawn_lines(axis)
        assert len(lines) == len(here) == 8
        assert all(points[0] == (1, 1) for _, points in lines)
        assert sorted(points[-1][1] for _, points in lines) == pytest.approx(sorted(map(growth, here)))
        words = way_labels(list(dict.fromkeys(s.condition for s in here)))
        assert sorted(labels(axis)) == sorted(words[s.condition] for s in here)
    others = [s for s in sweeps if s.condition.device == "cpu" and s.experiment == "depth_by_channels"]
    assert f"{len(others)} more sweeps are not drawn: see measurements.csv." in texts(figure)


def test_where_ways_are_many_those_of_the_smallest_batch_are_drawn(figure: Figure, sweeps: tuple[Sweep, ...]):
    deep = [s for s in sweeps if s.grows == "layers"]
    assert len({(s.condition, s.block) for s in deep}) > depth.MOST_LINES
    lines = drawn_lines(figure.axes[0])
    assert len(lines) == len({(s.condition, s.block) for s in deep if s.condition.batch == 1}) <= depth.MOST_LINES
    assert not any("batch" in label for label in labels(figure.axes[0]))
    assert f"{len(sweeps) - len(lines) - len(drawn_lines(figure.axes[1]))} more sweeps are not drawn" in texts(figure)


def test_blocks_are_grey_and_green_as_everywhere(figure: Figure):
    assert {colour for colour, _ in drawn_lines(figure.axes[0])} == {style.FAINT, style.GREEN}
    assert {"standard", "separable", "slope 1", "slope 0"} <= {*texts(figure).split("\n")}


@pytest.mark.parametrize("devices", [("cpu", "cuda:0"), ("cuda:0",), ("cuda:0", "cuda:1", "cuda:2")])
def test_words_stand_apart_and_inside(tmp_path: Path, devices: tuple[str, ...]):
    figure = depth.picture(designed.run(tmp_path, devices=devices, only=ONLY, mode=["eager", "graph"]))
    assert figure is not None
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axis in figure.axes:
        boxes = [t.get_window_extent(renderer) for t in axis.texts if t.get_text()]
        assert len(boxes) > 3
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        assert all(figure.bbox.x1 >= b.x1 for b in boxes)
    others = [a.get_tightbbox(renderer) for a in figure.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(others) for b in others[i + 1 :] if a and b)


def test_a_run_without_such_sweeps_has_no_such_picture(tmp_path: Path):
    write_run(tmp_path, data=config())
    assert depth.picture(run_folder.read(tmp_path)) is None


def test_a_model_s_lines_are_violet(run: run_folder.Run):
    foretold = run.measurements.assign(device="sim:h100", status="predicted")
    figure = depth.picture(dataclasses.replace(run, measurements=foretold[run.measurements["device"] == "cuda:0"]))
    assert figure is not None
    assert {colour for colour, _ in drawn_lines(figure.axes[0])} == {*style.VIOLET[:2]}
    assert "predicted h100" in title(figure)


# ---------------------------------------------------------------- what the sweeps imply


def test_drawn_times_give_the_points_own_intervals_back(sweeps: tuple[Sweep, ...]):
    s = sweeps[0]
    found = drawn(s, 1)
    assert found is not None
    for p, column in zip(s.points, np.log(found).T, strict=True):
        low, high = np.quantile(column, [0.025, 0.975])
        assert (low, high) == pytest.approx((p.log_time.low, p.log_time.high), abs=0.1 * p.log_time.half_width)


def test_what_a_layer_costs_lies_in_its_interval(sweeps: tuple[Sweep, ...]):
    card = [s for s in sweeps if s.grows == "layers" and s.condition.device != "cpu"]
    inside = 0
    for s in card:
        each = LayerMacCosts.of([s]).layer_s
        assert each.low is not None
        assert each.high is not None
        truth = designed.LAYER_S * 0.7 * (0.25 if s.condition.mode == "graph" else 1)
        inside += each.low <= truth * 1.02 and truth <= each.high * 1.02  # samples stand about 2 % above the truth
        assert LayerMacCosts.of([s]).layer_s == each
    assert inside >= 0.8 * len(card)
