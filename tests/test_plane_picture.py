"""The picture of elasticities: where each way and block stands, with intervals, and words that do not overlap."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.analyse.sweeps.designed import Sweep, find
from bench.show.plots import plane
from bench.show.plots.shared import style
from tests import designed
from tests.test_plots import texts, title

ONLY = ("depth", "macs")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    return designed.run(tmp_path_factory.mktemp("plane"), devices=("cpu", "cuda:0"), only=ONLY)


@pytest.fixture(scope="module")
def figure(run: run_folder.Run) -> Figure:
    made = plane.picture(run)
    assert made is not None
    return made


def markers(figure: Figure, panel: int) -> list[tuple[float, float, str, bool]]:
    """Each point's place, colour, and whether it is hollow."""
    lines = [line for line in figure.axes[panel].lines if line.get_marker() in style.DEVICES]
    return [(float(x[0]), float(y[0]), str(line.get_color()), line.get_markerfacecolor() == "white") for line in lines for x, y in [line.get_data()]]  # type: ignore[index]  # fmt: skip


def elasticities(run: run_folder.Run, batch: int) -> list[tuple[float, float]]:
    """By way and block, of a world that holds one sweep of MACs and two of layers."""
    found: dict[object, list[Sweep]] = {}
    for s in find(records_of(run.measurements)):
        if s.condition.batch == batch:
            found.setdefault((s.condition, s.block), []).append(s)
    means = []
    for some in found.values():
        slopes = {g: [s.elasticity().mean for s in some if s.grows == g] for g in ("macs", "layers")}
        means.append((sum(slopes["macs"]) / len(slopes["macs"]), sum(slopes["layers"]) / len(slopes["layers"])))
    return means


def test_each_way_and_block_stands_at_its_mean_slopes(figure: Figure, run: run_folder.Run):
    assert [a.get_title(loc="left") for a in figure.axes] == ["smallest batch: 1", "largest batch: 16"]
    for panel, batch in enumerate((1, 16)):
        drawn = sorted((x, y) for x, y, _, _ in markers(figure, panel))
        assert len(drawn) == 3 * 2  # a CPU's threads and a card, two blocks
        assert drawn == [pytest.approx(point) for point in sorted(elasticities(run, batch))]


def test_the_slopes_are_those_of_the_claims(figure: Figure, run: run_folder.Run):
    effects = [v.effect.value for v in judge([run]).verdicts if v.claim == "gpu_led_by_layers" and v.effect and v.condition.batch == 1]  # fmt: skip
    drawn = [x - y for x, y, _, _ in markers(figure, 0)]
    assert len(effects) == len(drawn)
    assert sorted(effects) == pytest.approx(sorted(drawn))


def test_standard_is_filled_and_separable_hollow(figure: Figure):
    assert {(colour, hollow) for _, _, colour, hollow in markers(figure, 0)} == {
        (style.FAINT, False),
        (style.GREEN, True),
    }


def test_the_title_counts_the_points_above_the_diagonal(figure: Figure):
    above = [sum(y > x for x, y, _, _ in markers(figure, panel)) for panel in (0, 1)]
    assert (
        title(figure)
        == f"Layers lead at {above[0]} of 6 points with the smallest batch and {above[1]} of 6 with the largest"
    )


def test_words_stand_apart_and_inside(figure: Figure):
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axis in figure.axes:
        words = {t.get_text(): t.get_window_extent(renderer) for t in axis.texts if t.get_text()}
        assert {
            "the texts: GPU",
            "the texts: CPU",
            *(f"{way}, channels_last" for way in ("CPU, 1 thread", "CPU, 2 threads", "GPU, eager")),
        } <= words.keys()
        boxes = [box for text, box in words.items() if not text.endswith(("lead", "leads"))]  # these are turned
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
        assert all(axis.bbox.x0 <= b.x0 and b.x1 <= axis.bbox.x1 for b in boxes)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_an_interval_takes_three_processes(processes: int, tmp_path: Path):
    story = dataclasses.replace(designed.story(), processes=processes)
    figure = plane.picture(designed.run(tmp_path, story, only=ONLY))
    assert figure is not None
    crosses = [line for line in figure.axes[0].lines if line.get_linestyle() == "-" and line.get_color() != style.FAINT and len(line.get_data()[0]) > 1]  # type: ignore[arg-type]  # fmt: skip
    assert len(crosses) == (2 * 2 if processes > 2 else 0)  # across and upright of two ways' separable blocks
    assert all(math.isfinite(v) for line in crosses for v in (*line.get_xdata(), *line.get_ydata()))  # type: ignore[misc]


def test_without_both_kinds_of_sweep_there_is_no_picture(tmp_path: Path):
    for only in (("depth",), ("macs",)):
        assert plane.picture(designed.run(tmp_path / only[0], only=only)) is None


def test_where_the_texts_put_devices_is_in_the_legend(figure: Figure):
    assert "where the texts put GPUs and CPUs" in texts(figure)
