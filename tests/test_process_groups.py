"""Two groups of processes: seen where there are two, and hardly ever where there is one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.runs.row_quality import grouped_apart
from bench.spec.interval import two_groups


@pytest.mark.parametrize("n", range(3, 13))
@pytest.mark.parametrize("spread", [0.02, 0.08, 0.3])
def test_one_normal_group_is_hardly_ever_taken_for_two(n: int, spread: float) -> None:
    rng = np.random.default_rng(n)
    seen = sum(two_groups(rng.normal(0, spread, n).tolist()) is not None for _ in range(3000))
    assert seen / 3000 < 0.02


@pytest.mark.parametrize(("few", "n", "seen"), [(1, 6, 0.7), (3, 6, 0.7), (1, 12, 0.98), (3, 12, 0.98), (6, 12, 0.98)])
def test_processes_that_are_20_per_cent_slower_are_seen(few: int, n: int, seen: float) -> None:
    rng = np.random.default_rng(few)
    slower = np.where(np.arange(n) < few, np.log(0.8), 0.0)
    found = [two_groups((slower + rng.normal(0, 0.02, n)).tolist()) for _ in range(1000)]
    known = [g for g in found if g is not None]
    assert len(known) / 1000 >= seen
    right = [g for g in known if (g.few, g.n) == (few, n)]
    assert len(right) >= 0.95 * len(known)
    assert np.mean([abs(g.apart) for g in right]) == pytest.approx(-np.log(0.8), abs=0.01)


def test_the_note_says_how_many_and_how_far_apart() -> None:
    notes = grouped_apart([0.0, 0.001, 0.002, -0.223, -0.222, 0.001, 0.0, 0.002])
    assert notes == ("2 of 8 processes read 20 % lower, apart from the others",)


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=15), st.floats(-3, 3))
def test_groups_depend_on_differences_alone(values: list[float], by: float) -> None:
    found = two_groups(values)
    gap = max(np.diff(np.sort(values)))
    if found is not None:
        assert 1 <= found.few <= len(values) // 2
        assert abs(found.apart) >= gap > 0.03
        moved = two_groups([v + by for v in values])
        assert moved is None or moved.few == found.few  # None where rounding decides


@given(st.lists(st.floats(-0.01, 0.01), min_size=5, max_size=15))
def test_differences_that_do_not_matter_make_no_groups(values: list[float]) -> None:
    assert two_groups(values) is None
