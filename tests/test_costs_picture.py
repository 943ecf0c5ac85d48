"""The pictures of why: what layers and MACs cost each block, beside what was measured."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.analyse.sweeps.costs import Way, ways
from bench.analyse.sweeps.designed import find
from bench.show.plots import costs
from bench.show.plots.shared import style
from bench.spec.format import cost_in_seconds, in_seconds, times
from tests import designed
from tests.test_plots import texts, title

ONLY = ("depth", "macs", "dose_batch")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    story = designed.story(process_sd=0.01)
    return designed.run(tmp_path_factory.mktemp("why"), story, ("cpu", "cuda:0"), only=ONLY, mode=["eager", "graph"])


@pytest.fixture(scope="module")
def figure(run: run_folder.Run) -> Figure:
    made = costs.picture(run)
    assert made is not None
    return made


def explained(run: run_folder.Run) -> dict[str, Way]:
    found = ways(find(records_of(run.measurements)), records_of(run.pairs))
    assert found is not None
    return {
        f"{w.condition.device}, {w.condition.threads}, {w.condition.mode}, {w.condition.batch}": w for w in found[1]
    }


def words(axis: Axes) -> list[str]:
    return [t.get_text() for t in axis.texts]


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    every = [*(t for a in figure.axes for t in (*a.texts, *a.get_yticklabels())), *figure.texts]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in every if t.get_text()]
    assert all(figure.bbox.x0 <= b.x0 and b.x1 <= figure.bbox.x1 for _, b in boxes)
    return [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[i + 1 :] if one.overlaps(other)]


def test_bars_are_the_shares_of_layers_and_of_macs(figure: Figure, run: run_folder.Run):
    (axis,) = figure.axes
    bars = [p for p in axis.patches if p.get_width()]  # type: ignore[attr-defined]
    every = explained(run)
    brown = sorted(p.get_width() for p in bars if to_hex(p.get_facecolor()) == style.LAYERS[0].lower())  # type: ignore[attr-defined]
    assert len(brown) == 2 * len(every) == 16
    shares = [e.value for w in every.values() for e in (w.standard_layers, w.separable_layers)]
    assert brown == pytest.approx(sorted(shares))
    ends = sorted(p.get_x() + p.get_width() for p in bars if to_hex(p.get_facecolor()) == style.MACS[0].lower())  # type: ignore[attr-defined]
    assert ends == pytest.approx(sorted([1.0] * 8 + [w.separable_time.value for w in every.values()]))


def test_the_measured_speedup_stands_beside_that_by_the_costs(figure: Figure, run: run_folder.Run):
    said = words(figure.axes[0])
    for w in explained(run).values():
        by_costs = f"costs say {times(1 / w.separable_time.value, lines=(1.0,))}"
        verdict = "shape not measured" if w.measured is None else w.measured["verdict"]
        assert f"{verdict}\n{by_costs}" in said
        assert w.measured is None or times(w.measured["speedup"], lines=(1.0,)) in said
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert len(diamonds) == sum(w.measured is not None for w in explained(run).values()) > 2


def test_only_the_verdicts_words_are_blue_or_orange(figure: Figure):
    for t in figure.axes[0].texts:
        verdict = t.get_text().split("\n")[0]
        blue, orange = (to_hex(t.get_color()) == c.lower() for c in style.WORDS.values())
        if verdict in ("faster", "slower"):
            assert (blue, orange) == (verdict == "faster", verdict == "slower")
        elif not re.fullmatch(r"[\d.<>]+x", verdict):
            assert not blue
            assert not orange
    painted = {to_hex(p.get_facecolor()) for p in figure.axes[0].patches}
    assert not painted & {c.lower() for c in (style.FASTER, style.SLOWER)}


def test_the_title_says_what_share_the_layers_take(figure: Figure, run: run_folder.Run):
    found = re.fullmatch(r"Layers take (\S+) % to (\S+) % of standard's time", title(figure))
    assert found is not None
    every = explained(run).values()
    standard = sorted(100 * w.standard_layers.value for w in every)
    assert [float(v) for v in found.groups()[:2]] == pytest.approx([standard[0], standard[-1]], abs=0.5)


def test_each_way_is_named_with_its_unit_costs_and_no_words_overlap(figure: Figure, run: run_folder.Run):
    assert {"CPU, 1 thread, channels_last, batch 1", "GPU, graph, channels_last, batch 16"} <= {*words(figure.axes[0])}
    said = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    for w in explained(run).values():
        assert (
            f"separable: {in_seconds(w.separable.layer_s.value, 2)} a layer, {in_seconds(1e9 * w.separable.mac_s.value, 2)} a GMAC"
            in said
        )
    assert overlaps(figure) == []


def test_of_one_process_there_is_no_interval_and_no_verdict(tmp_path: Path):
    story = dataclasses.replace(designed.story(), processes=1)
    figure = costs.picture(designed.run(tmp_path, story, only=ONLY))
    assert figure is not None
    said = "\n".join(words(figure.axes[0]))
    assert "no interval\ncosts say" in said
    assert not re.search("faster|slower|undecided", said)
    assert all(len(line.get_xdata()) <= 2 for line in figure.axes[0].lines)  # type: ignore[arg-type]
    assert "1 process a cell" in texts(figure)


def test_a_run_without_sweeps_of_layers_has_no_such_picture(tmp_path: Path):
    assert costs.picture(designed.run(tmp_path, only=("channels", "dose_batch"))) is None


def test_the_claims_name_the_same_cost_of_a_layer(run: run_folder.Run):
    told = {(v.about, v.condition.device, v.condition.threads, v.condition.mode, v.condition.batch): v.why for v in judge([run]).of("gpu_led_by_layers")}  # fmt: skip
    for w in explained(run).values():
        for block, cost in (("standard", w.standard), ("separable", w.separable)):
            c = w.condition
            assert (
                f"a layer costs {cost_in_seconds(cost.layer_s.value)} of its own"
                in told[block, c.device, c.threads, c.mode, c.batch]
            )
