"""Where separable starts to win: the prediction against brute force and a known truth, what is found, and the picture."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import records_of
from bench.analyse.sweeps.crossover import (
    Crossover,
    crossing,
    crossovers,
    measured_crossing,
    measured_words,
    solved,
)
from bench.analyse.sweeps.designed import Estimate, find
from bench.show.plots import crossover as crossover_picture
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.blocks.costs import cost
from bench.spec.interval import Interval
from tests import designed
from tests.test_plots import texts, ticks, title
from tests.test_together import made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    told = designed.story(process_sd=0.01)
    return designed.run(tmp_path_factory.mktemp("cross"), told, ("cpu", "cuda:0"), only=("channels", "depth_by_map"))


@pytest.fixture(scope="module")
def found(run: run_folder.Run) -> tuple[Crossover, ...]:
    return crossovers(find(records_of(run.measurements)), records_of(run.pairs))


@pytest.fixture(scope="module")
def figure(run: run_folder.Run) -> Figure:
    made = crossover_picture.picture(run)
    assert made is not None
    return made


# ---------------------------------------------------------------- the prediction


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("layer_s", [1e-6, 4e-5, 3e-3])
def test_at_the_predicted_channels_the_model_takes_equal_times(kernel: int, layer_s: float):
    standard_s, separable_s, pixels = 4e-11, 2e-10, 28 * 28 * 4
    (c,) = solved(np.array([layer_s]), np.array([standard_s]), np.array([separable_s]), kernel, pixels)
    at = round(c)
    times = []
    for block, mac_s in (("standard", standard_s), ("separable", separable_s)):
        rows = [cost(build(BlockChoice(block), Shape(n, n, 28, 28, kernel, batch=4)), 28, 28, 4) for n in (max(1, at - 1), at + 1)]  # fmt: skip
        times.append([layer_s * r.layers + mac_s * r.macs for r in rows])
    (before, after), (thin_before, thin_after) = times
    assert after > thin_after
    assert before < thin_before or at <= 1


def test_without_an_advantage_per_mac_separable_never_wins():
    never = solved(np.array([1e-5]), np.array([1e-11]), np.array([1e-10]), 3, 784)
    assert never.tolist() == [math.inf]
    assert solved(np.array([1e-5]), np.array([0.0]), np.array([0.0]), 3, 784).tolist() == [math.inf]


def test_free_layers_leave_the_ratio_of_macs_alone():
    (c,) = solved(np.array([0.0]), np.array([1.0]), np.array([1.0]), 3, 784)
    assert c == pytest.approx(9 / 8)  # 1/c + 1/9 = 1


def test_where_two_layers_cost_less_than_one_separable_may_win_everywhere():
    cheaper = np.array([-1e-3, -1e-9])
    always, (later,) = np.split(solved(cheaper, np.array([1e-11] * 2), np.array([2e-11] * 2), 3, 784), 2)
    assert always.tolist() == [0]
    assert 0 < later < 18 / 7  # where layers cost the same


def truth(c: Crossover) -> float:
    card = c.condition.device != "cpu"
    a = designed.LAYER_S * (0.7 if card else 1)
    b, d = (designed.MAC_S[n] / (60 if card else c.condition.threads) for n in ("standard", "separable"))
    return float(solved(np.array([a]), np.array([b]), np.array([d]), c.kernel, c.height * c.width)[0])


def test_a_run_that_follows_the_model_is_predicted_and_found(found: tuple[Crossover, ...]):
    assert {(c.condition.device, c.condition.threads, c.kernel) for c in found} == {
        *((d, t, k) for d, t in (("cpu", 1), ("cpu", 2), ("cuda:0", 2)) for k in (3, 5, 7))
    }
    for c in found:
        assert c.predicted.value == pytest.approx(truth(c), rel=0.1)
        low, high = c.measured_range
        assert low * 0.9 < truth(c) < high * 1.1
    assert sum(bool(c.agrees) for c in found) >= 7
    assert {c.measured.kind for c in found} == {"crosses", "below"}
    covered = [c.predicted.low * 0.98 <= truth(c) <= c.predicted.high * 1.02 for c in found if c.predicted.low and c.predicted.high]  # fmt: skip
    assert len(covered) == len(found)
    assert sum(covered) >= 7


def test_the_same_run_gives_the_same_prediction(run: run_folder.Run, found: tuple[Crossover, ...]):
    assert crossovers(find(records_of(run.measurements)), records_of(run.pairs)) == found


def test_a_place_without_depth_sweeps_or_a_row_of_two_has_no_prediction(run: run_folder.Run):
    pairs, sweeps = records_of(run.pairs), find(records_of(run.measurements))
    assert crossovers([s for s in sweeps if s.block == "standard"], pairs) == ()
    assert crossovers(sweeps, [r for r in pairs if r["c_in"] in (8, 16)]) == ()
    assert crossovers([s for s in sweeps if s.condition.batch == 16], pairs) == ()


# ---------------------------------------------------------------- what is found


def pairs(*speedups: float, half: float | None = 0.1) -> list[dict[str, object]]:
    return [
        {
            "status": "ok",
            "processes": 6,
            "c_in": 8 * 2**i,
            "speedup": s,
            "speedup_ci_low": None if half is None else s * math.exp(-half),
            "speedup_ci_high": None if half is None else s * math.exp(half),
        }
        for i, s in enumerate(speedups)
    ]


def test_a_crossing_is_read_between_its_neighbours_with_the_intervals_own_crossings():
    f = measured_crossing(pairs(*(2 ** (i - 1.5) for i in range(4)))[::-1])
    assert (f.kind, f.before, f.after) == ("crosses", 16, 32)
    assert f.channels == pytest.approx(16 * math.sqrt(2))
    # ln speedup rises by ln 2 over each doubling, so 0.1 of it is worth 0.1 / ln 2 doublings
    assert f.low == pytest.approx(16 * 2 ** (0.5 - 0.1 / math.log(2)))
    assert f.high == pytest.approx(16 * 2 ** (0.5 + 0.1 / math.log(2)))
    assert measured_words(f) == "found 23 [20, 25], between 16 and 32"


@given(st.floats(0.1, 10), st.floats(-2, 0.9), st.floats(0.02, 0.98), st.data())
def test_a_curve_that_bends_one_way_crosses_within_the_range_whatever_points_are_left(
    steep: float, bend: float, at: float, data: st.DataObject
) -> None:
    """Speedups of time = layers + MACs bend like this; the points that are left say less, and never another thing."""
    ends = 3.0, 10.0  # doublings

    def curve(x: float) -> float:  # concave for bend > 0, convex below
        u = (x - ends[0]) / (ends[1] - ends[0])
        return steep * (u + bend * u * (1 - u) - at)

    crosses = [x / 1000 for x in range(3000, 10000) if curve(x / 1000) <= 0 < curve((x + 1) / 1000)]
    every = [(2**i, Interval(curve(i), 1e-9, 6)) for i in range(3, 11)]
    kept = data.draw(st.lists(st.sampled_from(every[1:-1]), unique=True))
    found, whole = crossing([every[0], *kept, every[-1]]), crossing(every)
    if len(crosses) != 1 or found.kind != "crosses" or whole.kind != "crosses":
        return
    for one in (found, whole):
        assert one.low is not None
        assert one.high is not None
        assert math.log2(one.low) - 2e-3 <= crosses[0] <= math.log2(one.high) + 2e-3
        assert one.low <= one.crossings[0] <= one.high
    assert found.low * 0.998 <= whole.crossings[0] <= found.high * 1.002  # type: ignore[operator]


@pytest.mark.parametrize(
    ("speedups", "kind", "words"),
    [
        ((1.3, 2.0, 3.0), "below", "found below 8: separable wins in the whole row"),
        ((0.3, 0.5, 0.8), "above", "found above 32: separable wins nowhere in the row"),
        ((2.0, 1.5, 0.5), "stops", "but separable was found to win only up to 21 [16, 32]"),
        ((0.5, 2.0, 0.5), "several", "several crossings found, at 11, 23"),
        ((0.5, 1.0, 2.0), "crosses", "found 16 [8, 18], between 8 and 16"),
    ],
)
def test_other_rows_are_told_as_what_they_are(speedups: tuple[float, ...], kind: str, words: str):
    f = measured_crossing(pairs(*speedups))
    assert (f.kind, measured_words(f)) == (kind, words)


def test_a_crossing_that_is_not_sure_has_an_open_end():
    f = measured_crossing(pairs(0.95, 2.0, 4.0))
    assert (f.kind, f.low is None, f.high is None) == ("crosses", True, False)
    assert measured_crossing(pairs(0.5, 2.0, half=None)).low is None


def crossover(found: tuple[Crossover, ...], value: float, low: float, high: float, *speedups: float) -> Crossover:
    return dataclasses.replace(
        found[0], predicted=Estimate(value, low, high), measured=measured_crossing(pairs(*speedups))
    )


def test_prediction_and_finding_agree_where_their_ranges_meet(found: tuple[Crossover, ...]):
    def judged(*given: float) -> bool | None:
        return crossover(found, *given).agrees

    rising = (0.25, 0.5, 2.0, 4.0)  # crosses at 22.6
    assert judged(21, 15, 30, *rising) is True
    assert judged(40, 35, 50, *rising) is False
    assert judged(5, 4, 6, 1.5, 2.0, 3.0) is True  # both below the row
    assert judged(20, 18, 22, 1.5, 2.0, 3.0) is False
    assert judged(math.inf, 90, math.inf, 0.3, 0.5, 0.8) is True  # both beyond it
    assert judged(21, 15, 30, 0.5, 2.0, 0.5) is None
    assert crossover(found, 45.2, 40, 50, *rising).off == pytest.approx(2, rel=0.01)
    assert crossover(found, 5, 4, 6, 1.5, 2.0, 3.0).off == 1
    assert crossover(found, 16, 14, 18, 1.5, 2.0, 3.0).off == 2
    assert crossover(found, math.inf, 90, math.inf, *rising).off == math.inf


# ---------------------------------------------------------------- the picture


def test_the_title_counts_the_rows_that_overlap(figure: Figure, found: tuple[Crossover, ...]):
    agreed = sum(bool(c.agrees) for c in found)
    assert title(figure) == f"The predicted crossover overlaps the measured one in {agreed} of {len(found)} rows on cpu and cuda:0"  # fmt: skip
    assert "not of the model" in texts(figure)


def test_each_place_has_a_panel_and_each_kernel_both_its_words(figure: Figure, found: tuple[Crossover, ...]):
    assert [a.get_title(loc="left") for a in figure.axes] == [
        f"{way}, channels_last" for way in ("CPU, 2 threads", "CPU, 1 thread", "GPU, eager")
    ]
    card = figure.axes[2]
    said = [t.get_text() for t in card.texts if t.get_text()]
    for c in [c for c in found if c.condition.device != "cpu"]:
        assert c.measured.channels is not None
        assert f"{c.predicted.value:.0f} [{c.predicted.low:.0f}, {c.predicted.high:.0f}]" in said
        assert any(re.match(rf"{c.measured.channels:.0f} \[", words) for words in said)
    assert [t.get_text() for t in card.get_yticklabels()] == ["7 x 7", "5 x 5", "3 x 3"]
    assert {"8", "64", "256"} <= set(ticks(card, "x"))
    below = [t.get_text() for t in figure.axes[1].texts if "below" in t.get_text()]
    assert below == ["below 8"] * sum(c.measured.kind == "below" and c.condition.threads == 1 for c in found)


def test_words_stand_apart(figure: Figure):
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for axis in figure.axes:
        boxes = [t.get_window_extent(renderer) for t in axis.texts if t.get_text()]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_a_prediction_that_separable_never_wins_is_told_as_such(tmp_path: Path):
    run = made(tmp_path / "run", "cpu", 3.0, (1, 2), stacks=True)
    figure = crossover_picture.picture(run)
    assert figure is not None
    assert any("never" in t.get_text() for t in figure.axes[0].texts)
