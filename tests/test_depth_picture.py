"""The picture of layers against MACs says what the sweeps say: slopes, costs, and the title's factors."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.analyse.sweeps.designed import Sweep, drawn, find, unit_cost
from bench.show.plots import depth
from bench.show.text.ways import short_labels
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


def drawn_axes(figure: Figure) -> list[Axes]:
    return [a for a in figure.axes if a.axison]


def heading(axis: Axes) -> str:
    return axis.get_title(loc="left")


def test_the_title_gives_the_growth(figure: Figure, sweeps: tuple[Sweep, ...]):
    here = [s for s in sweeps if (s.block, s.grows) == ("standard", "layers")]
    taken = sorted(math.exp(s.points[-1].log_time.mean - s.points[0].log_time.mean) for s in here)
    found = re.fullmatch(r"64x the layers at fixed MACs take standard (\S+)x to (\S+)x the time on cpu and cuda:0", title(figure))  # fmt: skip
    assert found is not None
    assert [float(end) for end in found.groups()] == pytest.approx([taken[0], taken[-1]], rel=0.05)


def test_panels_of_a_sweep_stand_together_place_by_place(figure: Figure):
    names = [heading(a).split("\n") for a in drawn_axes(figure)]
    assert names[:4] == [
        [f"cpu, {threads}, batch {batch}", "deeper, on fewer channels"]
        for batch in (1, 16)
        for threads in ("2 threads", "1 thread")
    ]
    assert [n[1] for n in names[::4]][:3] == ["deeper, on fewer channels", "deeper, on a smaller map", "8 blocks, wider"]  # fmt: skip
    assert ["cuda:0, graph, batch 16", "deeper, on a smaller map"] in names
    assert len(names) == 4 * 6 - 2  # MACs grow in mode eager alone


def test_each_line_is_named_with_its_slope_and_what_a_layer_costs(figure: Figure, sweeps: tuple[Sweep, ...]):
    words = short_labels(list(dict.fromkeys(s.condition for s in sweeps)))
    panels = {heading(a): a for a in drawn_axes(figure)}
    for s in [s for s in sweeps if s.experiment == "depth_by_map"]:
        axis = panels[f"{words[s.condition]}\ndeeper, on a smaller map"]
        (label,) = [t.get_text() for t in axis.texts if t.get_text().startswith(f"{s.block}\n")]
        assert f"slope {s.elasticity().mean:.2f} ±" in label
        assert label.endswith(" a layer")
        heights = [line.get_ydata()[0] for line in axis.lines if np.size(line.get_xdata()) == 1]
        assert all(math.exp(p.log_time.mean) in heights for p in s.points)
    card = panels["cuda:0, eager, batch 1\ndeeper, on a smaller map"]
    costs = [float(t.get_text().split("\n")[2].split(" us")[0]) for t in card.texts]
    assert costs == pytest.approx([8.4, 8.4], rel=0.05)  # 12 us, of which a card takes 70 %
    assert ticks(card, "x") == ["1", "4", "16", "64"]
    assert ticks(panels["cpu, 1 thread, batch 1\n8 blocks, wider"], "x") == ["1 M", "10 M", "100 M", "1 G", "10 G"]


def test_a_slope_that_is_not_known_stays_out_of_the_title(tmp_path: Path):
    told = designed.story(wide={4 * place + 1: 2.5 for place in range(4)})  # of each depth, one thread at batch 1
    figure = depth.picture(designed.run(tmp_path, told, only=("depth_by_map",)))
    assert "The title leaves out 1 of 4 sweeps: slopes less precise than ±0.25." in texts(figure)


def test_panels_of_a_row_share_their_scales(figure: Figure):
    row = drawn_axes(figure)[:4]
    assert len({a.get_ylim() for a in row}) == 1
    assert all(a.get_xlim() == pytest.approx(row[0].get_xlim()) for a in row)


def test_words_stand_apart_and_inside(figure: Figure):
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axis in drawn_axes(figure):
        boxes = [t.get_window_extent(renderer) for t in axis.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        assert all(figure.bbox.x1 >= b.x1 for b in boxes)
    others = [a.get_tightbbox(renderer) for a in drawn_axes(figure)]
    assert not any(a.overlaps(b) for i, a in enumerate(others) for b in others[i + 1 :] if a and b)


def test_lines_are_told_by_the_legend(figure: Figure):
    assert "in step with the layers or MACs: slope 1" in texts(figure)
    assert "layers or MACs cost nothing: slope 0" in texts(figure)


def test_a_run_without_such_sweeps_has_no_such_picture(tmp_path: Path):
    write_run(tmp_path, data=config())
    assert depth.picture(run_folder.read(tmp_path)) is None


def test_places_beyond_the_room_are_counted(run: run_folder.Run):
    mine = run.measurements[run.measurements["experiment"] == "depth_by_map"]
    frame = pd.concat([mine, mine.assign(allocator="default", arm_id=mine["arm_id"] + "again")])
    crowded = depth.picture(dataclasses.replace(run, measurements=frame))
    assert crowded is not None
    assert "8 more places are not drawn" in texts(crowded)


def test_a_sweep_of_one_process_has_points_and_a_slope_but_no_interval(tmp_path: Path):
    story = dataclasses.replace(designed.story(), processes=1)
    figure = depth.picture(designed.run(tmp_path, story, only=("depth_by_map",)))
    assert figure is not None
    labels = [t.get_text() for a in drawn_axes(figure) for t in a.texts]
    assert len(labels) == 8
    assert "No slope is known to ±0.25, so the title's factors may be chance." in texts(figure)
    assert not any("±" in label or "[" in label for label in labels)


# ---------------------------------------------------------------- what the straight lines imply


def test_a_point_drawn_far_too_fast_leaves_a_line(sweeps: tuple[Sweep, ...]):
    s = sweeps[0]
    times = np.exp([p.log_time.mean for p in s.points])
    times[1] = 1e-12
    each, constant = s.line(times)
    assert each * s.counts()[1] + constant == pytest.approx(1e-12)
    assert min(each, constant) >= 0


def test_drawn_times_give_the_points_own_intervals_back(sweeps: tuple[Sweep, ...]):
    s = sweeps[0]
    found = drawn(s, 1, 20_000)
    assert found is not None
    for p, column in zip(s.points, np.log(found).T, strict=True):
        low, high = np.quantile(column, [0.025, 0.975])
        assert (low, high) == pytest.approx((p.log_time.low, p.log_time.high), abs=0.1 * p.log_time.half_width)


def test_what_a_layer_costs_lies_in_its_interval(sweeps: tuple[Sweep, ...]):
    card = [s for s in sweeps if s.grows == "layers" and s.condition.device != "cpu"]
    inside = 0
    for s in card:
        each = unit_cost(s).each
        assert each.low is not None
        assert each.high is not None
        truth = designed.LAYER_S * 0.7 * (0.25 if s.condition.mode == "graph" else 1)
        inside += each.low <= truth * 1.02 and truth <= each.high * 1.02  # samples stand about 2 % above the truth
        assert unit_cost(s).each == each
    assert inside >= 0.8 * len(card)
