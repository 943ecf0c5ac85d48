"""Where speedups over channels cross 1: between which neighbours, how sure, and under any bend."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.stats.estimators import log_interval
from bench.analyse.sweeps.crossover import Channels, crossing
from bench.spec.columns import SPEEDUP
from bench.spec.interval import Interval


def found(rows: list[dict[str, object]]) -> Channels | None:
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
    assert f is not None
    assert f.value == pytest.approx(16 * math.sqrt(2))
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
    if len(crosses) != 1 or some is None or whole is None:
        return
    for one in (some, whole):
        assert one.low is not None
        assert one.high is not None
        assert math.log2(one.low) - 2e-3 <= crosses[0] <= math.log2(one.high) + 2e-3
        assert one.low <= one.value <= one.high
    assert some.low * 0.998 <= whole.value <= some.high * 1.002  # type: ignore[operator]


@pytest.mark.parametrize(
    ("speedups", "at"),
    [
        ((1.3, 2.0, 3.0), None),
        ((0.3, 0.5, 0.8), None),
        ((2.0, 1.5, 0.5), 21),
        ((0.5, 2.0, 0.5), None),  # at 11 and 23
        ((0.5, 1.0, 2.0), 16),
    ],
)
def test_only_rows_that_cross_once_have_a_crossing(speedups: tuple[float, ...], at: int | None):
    f = found(pairs(*speedups))
    assert (f and round(f.value)) == at


def test_a_crossing_that_is_not_sure_has_an_open_end():
    f = found(pairs(0.95, 2.0, 4.0))
    assert f is not None
    assert (f.low is None, f.high is None) == (True, False)
    unsure = found(pairs(0.5, 2.0, half=None))
    assert unsure is not None
    assert unsure.low is unsure.high is None
