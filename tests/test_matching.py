"""Rows of two runs meet where they are of one workload, nearly where they almost are, and in linear time."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.compare.compare import compare
from bench.analyse.compare.row_matching import CPU_ONLY, LOOSE, Matching, combined, match, stands_for
from bench.analyse.runs import run_folder
from bench.show.text.compare import answer, table
from bench.spec.columns import KEYS
from bench.spec.devices.device_names import is_predicted

ROW: dict[str, Any] = {
    "experiment": "e", "block": "separable", "baseline": "standard", "batch": 1, "c_in": 8, "c_out": 8, "height": 28,
    "width": 28, "kernel": 3, "stride": 1, "padding": "same", "dilation": 1, "depth": 1, "dtype": "fp32",
    "layout": "contiguous", "mode": "eager", "cudnn_benchmark": "on", "pass": "inference", "threads": 1,
    "allocator": "retain", "waiting": "default", "device": "cpu",
}  # fmt: skip


def row(**fields: Any) -> dict[str, Any]:
    return {**ROW, **fields}


def met(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Matching:
    return match(*(run_folder.frame([{**r, "status": "ok"} for r in rows], "p") for rows in (a, b)))


def pairs_of(found: Matching) -> list[tuple[int, int, tuple[str, ...]]]:
    return [(int(i), int(j), found.ways[way]) for i, j, way in zip(found.a, found.b, found.way, strict=True)]


def told(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> tuple[list[tuple[int, int]], list[tuple[int, int, tuple[str, ...]]], tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    found = met(a, b)
    pairs = pairs_of(found)
    alike, loose = [(i, j) for i, j, d in pairs if not d], [one for one in pairs if one[2]]
    return alike, loose, tuple(found.only_a.tolist()), tuple(found.only_b.tolist())


@given(st.permutations(range(12)))
def test_any_order_of_rows_gives_the_same_pairs(order: list[int]) -> None:
    rows = [row(c_in=c, threads=t) for c in (8, 16, 32) for t in (1, 2, 4, 8)]
    pairs, loose, only_a, only_b = told(rows, [rows[i] for i in order])
    assert [order[b] for _, b in pairs] == list(range(12))
    assert (loose, only_a, only_b) == ([], (), ())


@given(
    st.lists(st.lists(st.sampled_from([-2, -1, 0, 1, 2**40, 2**59]), min_size=4, max_size=4), min_size=1, max_size=9)
)
def test_rows_get_one_number_exactly_if_they_agree_in_every_column(rows: list[list[int]]) -> None:
    ids = combined(list(np.array(rows, dtype=np.int64).T)).tolist()
    assert len(set(ids)) == len(set(map(tuple, rows))) == len(set(zip(ids, map(tuple, rows), strict=True)))


def test_all_threads_of_one_machine_meet_all_threads_of_the_other_and_that_is_said() -> None:
    a = [row(threads=8), row(threads=4), row(threads=1)]
    b = [row(threads=1), row(threads=2)]
    assert told(a, b) == ([(2, 0)], [(0, 1, ("threads",))], (1,), ())


@pytest.mark.parametrize(("field", "value"), [("batch", 8), ("dtype", "bf16"), ("allocator", "default"), ("layout", "channels_last"), ("pass", "training"), ("experiment", "f")])  # fmt: skip
def test_a_field_of_the_workload_that_differs_confounds(field: str, value: Any) -> None:
    assert told([row()], [row(**{field: value})]) == ([], [(0, 0, (field,))], (), ())


def test_two_fields_may_differ_and_three_may_not() -> None:
    assert told([row()], [row(threads=2, dtype="bf16")])[1] == [(0, 0, ("threads", "dtype"))]
    assert told([row()], [row(threads=2, dtype="bf16", batch=4)]) == ([], [], (0,), (0,))


def test_what_differs_in_one_field_goes_before_what_differs_in_two() -> None:
    assert told([row()], [row(threads=2, dtype="bf16"), row(dtype="bf16")]) == ([], [(0, 1, ("dtype",))], (), (0,))


@pytest.mark.parametrize("field", [k for k in KEYS if k not in LOOSE])
def test_other_shapes_and_blocks_are_never_set_side_by_side(field: str) -> None:
    changed = row(**{field: 99 if isinstance(ROW[field], int) else "other"})
    assert told([row()], [changed]) == ([], [], (0,), (0,))


@pytest.mark.parametrize("field", CPU_ONLY)
def test_what_is_the_hosts_alone_is_no_part_of_a_cards_workload(field: str) -> None:
    changed = {"threads": 64, "allocator": "default", "waiting": "passive"}[field]
    assert told([row(device="cuda:0")], [row(device="cuda:1", **{field: changed})])[0] == [(0, 0)]
    assert told([row()], [row(**{field: changed})])[1] == [(0, 0, (field,))]


def test_devices_match_by_kind_and_first_by_number() -> None:
    two = [row(device="cuda:0"), row(device="cuda:1")]
    assert told(two, [row(device="cuda:1")]) == ([(1, 0)], [], (0,), ())
    assert told(two, [row(device="cuda:3"), row(device="cuda:2")]) == ([(0, 0), (1, 1)], [], (), ())
    assert told([row(), *two], [row(device="cpu")]) == ([(0, 0)], [], (1, 2), ())


def test_runs_without_a_common_kind_of_device_are_matched_across() -> None:
    a, b = [row(threads=1), row(threads=4)], [row(device="cuda:0", threads=2)]
    assert met(a, b).across
    assert told(a, b)[0] == [(0, 0), (1, 0)]
    assert not met(a, []).across


def test_a_predicted_card_meets_the_measured_one_and_not_the_processor_beside_it() -> None:
    measured = [row(c_in=c, device=d) for c in (8, 16) for d in ("cpu", "cuda:0")]
    foretold = [row(c_in=c, device="sim:h100") for c in (8, 16)]
    assert told(measured, foretold) == ([], [(1, 0, ("device",)), (3, 1, ("device",))], (0, 2), ())
    other = [{**r, "experiment": "f"} for r in foretold]
    assert told(measured, other)[1] == [(1, 0, ("experiment", "device")), (3, 1, ("experiment", "device"))]
    both = [row(device="cpu"), row(device="sim:h100")]
    assert told(measured[:2], both) == ([(0, 0)], [(1, 1, ("device",))], (), ())
    assert told(measured[:2], [row(device="sim:server_cpu")])[1:] == ([(0, 0, ("device",))], (1,), ())


def test_predictions_meet_each_other_before_they_meet_measurements() -> None:
    a, b = ([row(device=d) for d in ("cuda:0", f"sim:{name}")] for name in ("h100", "a100"))
    assert told(a, b[::-1]) == ([(0, 1), (1, 0)], [], (), ())


def test_a_pair_across_kinds_of_device_that_differs_in_more_names_the_device_too() -> None:
    assert told([row()], [row(device="cuda:0", batch=8)])[1] == [(0, 0, ("batch", "device"))]
    assert pairs_of(met([row()], [row(device="sim:h100")]))[0][2] == ("device",)
    assert pairs_of(met([row()], [row(device="cuda:0")]))[0][2] == ()


DEVICES = ["cpu", "cuda:0", "cuda:1", "xpu:0", "sim:h100", "sim:a100", "sim:server_cpu"]
ON_DEVICES = st.lists(st.tuples(st.sampled_from(DEVICES), st.integers(1, 2), st.integers(1, 2), st.sampled_from(["e", "f"])), max_size=10)  # fmt: skip


@given(ON_DEVICES, ON_DEVICES)
def test_kinds_of_device_never_cross_where_the_runs_share_one_and_a_mirror_shows_the_same(one: list[Any], two: list[Any]) -> None:  # fmt: skip
    a, b = ([row(device=d, c_in=c, threads=t, experiment=e) for d, c, t, e in rows] for rows in (one, two))
    found, back = met(a, b), met(b, a)
    for i, j, differs in pairs_of(found):
        kinds = [stands_for(r["device"]) for r in (a[i], b[j])]
        natures = [is_predicted(r["device"]) for r in (a[i], b[j])]
        assert found.across or kinds[0] == kinds[1]
        assert (natures[0] == natures[1]) or "device" in differs
    ways = [sorted(told_pairs(m, *s)) for m, s in ((found, (a, b)), (back, (b, a)))]
    assert ways[0] == sorted((y, x, differs) for x, y, differs in ways[1])
    assert (len(found.only_a), len(found.only_b)) == (len(back.only_b), len(back.only_a))


def told_pairs(found: Matching, a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(tuple(a[i].items()), tuple(b[j].items()), differs) for i, j, differs in pairs_of(found)]


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["fp32", "bf16"]), st.integers(1, 3)), max_size=12), st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["fp32", "bf16"]), st.integers(1, 3)), max_size=12))  # fmt: skip
def test_every_row_is_used_once_and_what_matches_outright_is_never_confounded(one: list[Any], two: list[Any]) -> None:
    a, b = ([row(threads=t, dtype=d, c_in=c) for t, d, c in rows] for rows in (one, two))
    found = met(a, b)
    for used, only, rows in ((found.a, found.only_a, a), (found.b, found.only_b, b)):
        assert sorted([*used, *only]) == list(range(len(rows)))
    assert sum(not differs for *_, differs in pairs_of(found)) == sum((Counter(one) & Counter(two)).values())
    for i, j, differs in pairs_of(found):
        assert tuple(f for f in LOOSE if a[i][f] != b[j][f]) == differs
        assert len(differs) <= 2


# ---------------------------------------------------------------- in comparisons


def _run(name: str, rows: list[dict[str, Any]]) -> run_folder.Run:
    measured = {"status": "ok", "speedup": 2.0, "speedup_ci_low": 1.99, "speedup_ci_high": 2.01, "precision": 0.005, "precision_reached": True, "processes": 6}  # fmt: skip
    frame = run_folder.frame([{**r, **measured, "trial_id": f"{r['c_in']}-{r['threads']}t"} for r in rows], "p")
    return run_folder.Run(Path(name), name, run_folder.frame([], "m"), frame, None, {}, None)


def test_a_confounded_row_is_shown_with_what_confounds_it_and_counted_nowhere() -> None:
    a = _run("a", [row(threads=1), row(threads=8)])
    b = _run("b", [row(threads=1), row(threads=2)])
    found = compare(a, b)
    assert [m.verdict for m in found.speedups.matches] == ["SAME", "CONFOUNDED"]
    assert len(found.speedups.judged) == found.speedups.family == 1
    assert answer(found.speedups) == "By speedup, 0 of 1 rows are slower in B, 0 faster, 1 the same and 0 ambiguous"
    last = table(found.speedups, found.speedups.matches)[-1]
    assert last[0] == "8-8t | 8-2t"
    assert last[-1] == "CONFOUNDED: threads 8 in A, 2 in B"
    assert "threads" in {d.name for d in found.differences}


def _spent(count: int) -> float:
    """Processor seconds for so many rows a side, half of which meet only loosely or not at all."""
    rng = random.Random(1)
    rows = [row(c_in=i) for i in range(count)]
    others = [r if i % 2 else {**r, rng.choice(("threads", "batch", "depth")): 7} for i, r in enumerate(rows)]
    runs = _run("a", rows), _run("b", others)
    begun = time.process_time()
    found = compare(*runs)
    spent = time.process_time() - begun
    assert sum(m.verdict == "SAME" for m in found.speedups.matches) == count // 2
    return spent


def test_the_time_is_linear_in_the_rows() -> None:
    """Eight times the rows take about eight times as long, not sixty-four; a busy machine gets a few tries."""
    assert any(_spent(8_000) < 24 * _spent(1_000) for _ in range(3))
