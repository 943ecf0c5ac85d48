"""Where speedups over channels cross 1: between which neighbours, how sure, and under any bend."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.stats.estimators import log_interval
from bench.analyse.sweeps.crossover import Crossing, crossing
from bench.spec.columns import SPEEDUP
from bench.spec.interval import Interval


def found(rows: list[dict[str, object]]) -> Crossing:
    return crossing([(int(str(r["c_in"])), log_interval(r, SPEEDUP)) for r in rows])


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
    f = found(pairs(*(2 ** (i - 1.5) for i in range(4)))[::-1])
    assert (f.kind, f.before, f.after) == ("crosses", 16, 32)
    assert f.channels == pytest.approx(16 * math.sqrt(2))
    # ln speedup rises by ln 2 over each doubling, so 0.1 of it is worth 0.1 / ln 2 doublings
    assert f.low == pytest.approx(16 * 2 ** (0.5 - 0.1 / math.log(2)))
    assert f.high == pytest.approx(16 * 2 ** (0.5 + 0.1 / math.log(2)))


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
    some, whole = crossing([every[0], *kept, every[-1]]), crossing(every)
    if len(crosses) != 1 or some.kind != "crosses" or whole.kind != "crosses":
        return
    for one in (some, whole):
        assert one.low is not None
        assert one.high is not None
        assert math.log2(one.low) - 2e-3 <= crosses[0] <= math.log2(one.high) + 2e-3
        assert one.low <= one.crossings[0] <= one.high
    assert some.low * 0.998 <= whole.crossings[0] <= some.high * 1.002  # type: ignore[operator]


@pytest.mark.parametrize(
    ("speedups", "kind", "at"),
    [
        ((1.3, 2.0, 3.0), "below", ()),
        ((0.3, 0.5, 0.8), "above", ()),
        ((2.0, 1.5, 0.5), "stops", (21,)),
        ((0.5, 2.0, 0.5), "several", (11, 23)),
        ((0.5, 1.0, 2.0), "crosses", (16,)),
    ],
)
def test_other_rows_are_told_as_what_they_are(speedups: tuple[float, ...], kind: str, at: tuple[int, ...]):
    f = found(pairs(*speedups))
    assert (f.kind, tuple(round(c) for c in f.crossings), f.least, f.most) == (kind, at, 8, 32)


def test_a_crossing_that_is_not_sure_has_an_open_end():
    f = found(pairs(0.95, 2.0, 4.0))
    assert (f.kind, f.low is None, f.high is None) == ("crosses", True, False)
    assert found(pairs(0.5, 2.0, half=None)).low is None
