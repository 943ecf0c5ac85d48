"""The claims in worlds whose truth is known: what they answer, what must not change an answer, and how often they err."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analyse.claims import rules_layers_or_macs, rules_ratios, rules_speed
from bench.analyse.claims.answers import DECIDED, FLAT, SPEEDUP, STEEP, Verdict, above, below, ruled
from bench.analyse.claims.bottleneck import bottleneck
from bench.analyse.claims.cells import BLOCKS, Cell, Rows, primary
from bench.analyse.claims.claims import BY_ID, CLAIMS
from bench.analyse.claims.judge import Verdicts, corrected, judge
from bench.analyse.claims.verdict_words import NO_INTERVAL
from bench.analyse.runs.condition import Condition, Installation
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import mean_of
from bench.analyse.stats.row_verdict import EQUIVALENCE_MARGIN
from bench.analyse.sweeps.designed import Point, Sweep
from bench.show.text import claims as words
from bench.spec.interval import Interval, t_interval
from bench.spec.plan.plan import Plan
from tests import worlds
from tests.synthetic import Seconds
from tests.worlds import bandwidth, by_device, card, compute, equal, overhead, planned, run_of, server, speedup_of

EXACT = ("fewer_flops", "below_9x")
TESTED = [c.id for c in CLAIMS if c.id not in (*EXACT, "memory")]


@lru_cache(maxsize=8)
def both() -> Plan:
    """Shapes on both devices, and the designed sweeps in every mode and at both batches."""
    return planned(
        ("cpu", "cuda:0"), shapes=worlds.shapes(threads=[1, 4]), **worlds.ladders(batch=[1, 64], mode=["eager", "graph"])
    )  # fmt: skip


@lru_cache(maxsize=32)
def found_in(world: Seconds, sd: float = 0.01) -> Verdicts:
    return judge([run_of(both(), world, sd=sd, shared_sd=sd)])


def answers(found: Verdicts, claim: str, *, confirmed: bool = True) -> list[str]:
    return [v.answer for v in found.of(claim) if v.confirmatory == confirmed]


# ---------------------------------------------------------------- worlds


def test_a_cpu_of_compute_and_a_card_of_calls_bear_the_texts_out() -> None:
    found = found_in(by_device(compute, card))
    assert set(answers(found, "fewer_flops") + answers(found, "below_9x")) == {"SUPPORTED"}
    assert answers(found, "cpu_3x") == ["SUPPORTED", "SUPPORTED"]  # one thread, all of them
    assert answers(found, "gpu_no_gain") == ["SUPPORTED"]
    assert answers(found, "gpu_led_by_layers") == ["SUPPORTED"]
    assert answers(found, "cpu_led_by_compute")[0] == "SUPPORTED"
    assert answers(found, "device_by_block") == ["SUPPORTED", "SUPPORTED"]
    assert answers(found, "parallelism") == ["EQUIVALENT"]  # compute alone divides evenly


def test_the_reverse_world_refutes_them() -> None:
    found = found_in(by_device(overhead, compute))
    assert answers(found, "cpu_3x") == ["REFUTED", "REFUTED"]
    assert answers(found, "gpu_no_gain") == ["REFUTED"]
    assert answers(found, "gpu_led_by_layers") == ["REFUTED"]
    assert answers(found, "cpu_led_by_compute")[0] == "REFUTED"
    assert answers(found, "device_by_block") == ["REFUTED", "REFUTED"]


def test_where_only_bandwidth_counts_neither_layers_nor_compute_lead() -> None:
    found = found_in(bandwidth)
    assert answers(found, "gpu_led_by_layers") == ["REFUTED"]
    assert answers(found, "cpu_led_by_compute")[0] == "REFUTED"
    assert answers(found, "cpu_3x") == ["REFUTED", "REFUTED"]  # a separable block puts out twice as much
    assert answers(found, "gpu_no_gain") == ["SUPPORTED"]


def test_where_everything_takes_the_same_it_says_so() -> None:
    found = found_in(equal)
    assert answers(found, "gpu_no_gain") == ["EQUIVALENT"]
    assert "no speed-up either" in found.of("gpu_no_gain")[0].why
    assert answers(found, "device_by_block") == ["EQUIVALENT", "EQUIVALENT"]
    assert answers(found, "parallelism") == ["EQUIVALENT"]
    assert answers(found, "cpu_3x") == ["REFUTED", "REFUTED"]


def test_noise_that_hides_everything_leaves_all_undecided_but_what_is_counted() -> None:
    found = found_in(by_device(compute, card), sd=2.0)
    for claim in TESTED:
        assert set(answers(found, claim)) == {"UNDECIDED"}, claim
    assert set(answers(found, "fewer_flops")) == {"SUPPORTED"}
    assert set(answers(found, "memory")) <= set(DECIDED)


def test_rows_of_one_process_never_decide_and_what_confirms_says_why() -> None:
    found = judge([run_of(both(), by_device(compute, card), processes=1)])
    several = found_in(by_device(compute, card))
    for claim in TESTED:
        own = [v for v in found.of(claim) if v.confirmatory]
        assert {v.condition for v in own} == {v.condition for v in several.of(claim) if v.confirmatory}, claim
        assert {(v.answer, v.p) for v in found.of(claim)} == {("UNDECIDED", None)}, claim
    for claim in ("cpu_3x", "gpu_no_gain", "device_by_block", "parallelism"):
        assert {v.why for v in found.of(claim) if v.confirmatory} == {NO_INTERVAL}


def test_a_batch_that_more_processes_measured_does_not_take_the_place_of_the_smallest() -> None:
    plan = planned(shapes=worlds.shapes(batch=[1, 8]))
    run = run_of(plan, compute)
    few = run.pairs["batch"] == 1
    ends = ["speedup_ci_low", "speedup_ci_high"]
    pairs = run.pairs.assign(
        processes=run.pairs["processes"].where(~few, 1), **{e: run.pairs[e].where(~few) for e in ends}
    )
    (v,) = [v for v in judge([replace(run, pairs=pairs)]).of("cpu_3x") if v.confirmatory]
    assert (v.condition.batch, v.answer) == (1, "UNDECIDED")


def test_more_threads_that_have_to_meet_gain_less() -> None:
    (v,) = [v for v in found_in(by_device(server, card)).of("parallelism") if v.confirmatory]
    assert v.answer == "SUPPORTED"
    assert v.effect is not None
    assert v.effect.value is not None
    assert v.effect.value < 1
    assert v.effect.name == "speedup with 4 threads / with 1"
    assert (v.condition.threads, v.cells.n) == (None, 4)


def test_a_calls_price_that_falls_with_threads_refutes_it() -> None:
    def world(trial: Any, arm: Any) -> float:
        threads = trial.surroundings.threads
        return compute(trial, arm) * threads + 2e-5 * trial.cost(arm).ops / threads

    found = judge([run_of(worlds.usual(), world)])
    assert answers(found, "parallelism") == ["REFUTED"]


def test_layers_lead_only_where_the_effect_shrinks() -> None:
    """Calls that cost as much in a graph and at any batch as they do eager: (i) and (ii) hold, (iii) does not."""
    found = found_in(by_device(compute, overhead))
    (v,) = [v for v in found.of("gpu_led_by_layers") if v.confirmatory]
    assert v.answer == "UNDECIDED"
    assert any("shrinking not surely" in note for note in v.notes)


def test_without_graph_or_batch_layers_are_not_declared_to_lead() -> None:
    plan = planned(("cuda:0",), **worlds.ladders())
    (v,) = judge([run_of(plan, card)]).of("gpu_led_by_layers")
    assert v.answer == "UNDECIDED"
    assert any("was not measured" in note for note in v.notes)
    (compute_led,) = [v for v in judge([run_of(plan, card)]).of("cpu_led_by_compute") if not v.on_claimed_device]
    assert (compute_led.answer, compute_led.confirmatory) == ("REFUTED", False)
    assert rules_layers_or_macs.SWAPPED in compute_led.notes


def test_one_kind_of_sweep_alone_can_refute_but_not_support() -> None:
    grow = {"width": worlds.shapes([16, 32, 64, 128], depth=16)}
    for world, answer in ((compute, "UNDECIDED"), (overhead, "REFUTED")):
        (v,) = [v for v in judge([run_of(planned(**grow), world)]).of("cpu_led_by_compute") if v.on_claimed_device]
        assert v.answer == answer
    shallow = {"width": worlds.shapes([16, 32, 64, 128], depth=2)}
    (v,) = [
        v for v in judge([run_of(planned(("cuda:0",), **shallow), card)]).of("gpu_led_by_layers") if v.on_claimed_device
    ]
    assert any("MACs grow in a stack of 2 layers only" in note for note in v.notes)


def test_activations_that_grow_along_a_sweep_are_said() -> None:
    (v,) = [v for v in found_in(by_device(compute, card)).of("gpu_led_by_layers") if v.confirmatory]
    assert "Activations grow up to 4 fold as layers grow at fixed MACs" in v.notes
    assert v.bottleneck == "overhead-bound"
    assert "a layer costs 30" in v.why


def test_networks_have_a_verdict_of_their_own() -> None:
    nets = {"blocks": ["mobilenet_v1_standard", "mobilenet_v1"], "axes": {"size": 32, "threads": [1]}}
    found = judge([run_of(planned(shapes=worlds.shapes(), nets=nets), compute)])
    assert [(v.about, v.answer) for v in found.of("cpu_3x")] == [
        ("separable against standard", "SUPPORTED"),
        ("mobilenet_v1 against mobilenet_v1_standard", "SUPPORTED"),
    ]


def test_only_twins_that_are_finished_alike_are_compared() -> None:
    unlike = {"blocks": ["standard", {"name": "separable", "norm": False}], "axes": {"channels": 64, "kernel": 3, "threads": 1}}  # fmt: skip
    alike = {"blocks": [{"name": "standard", "norm": False}, {"name": "separable", "norm": False}], "axes": {"channels": 64, "kernel": 3, "threads": 1}}  # fmt: skip
    assert answers(judge([run_of(planned(a=unlike), compute)]), "cpu_3x") == ["NOT MEASURED"]
    assert answers(judge([run_of(planned(a=alike), compute)]), "cpu_3x") == ["SUPPORTED"]


def test_exact_facts_are_judged_by_kernel_and_name_where_they_fail() -> None:
    plan = planned(shapes=worlds.shapes([1, 64], kernel=[1, 3]))
    found = judge([run_of(plan, compute, skipped=frozenset(range(len(plan.trials))))])
    one, three = found.of("fewer_flops")
    assert (one.about, one.answer) == ("k = 1", "REFUTED")
    assert (three.about, three.answer) == ("k = 3", "REFUTED")
    assert three.why.endswith("the claim fails from 1 to 1 channels")
    (below_9x,) = found.of("below_9x")
    assert (below_9x.answer, below_9x.p, below_9x.confirmatory) == ("SUPPORTED", None, True)


def test_the_mean_hides_nothing_that_the_cells_do_not_tell() -> None:
    def world(trial: Any, arm: Any) -> float:
        return speedup_of(6.0 if trial.shape.c_in > 64 else 1.5)(trial, arm)

    (v,) = judge([run_of(planned(shapes=worlds.shapes()), world)]).of("cpu_3x")
    assert (v.cells.n, v.cells.surely, v.cells.surely_not) == (4, 2, 2)
    assert v.effect is not None
    assert v.effect.value == pytest.approx(3.0, rel=0.05)
    assert v.cells.words == "3x or more surely in 2 of 4 cells, surely not in 2"


def test_memory_counts_bytes_and_mixed_cells_decide_nothing() -> None:
    run = run_of(planned(shapes=worlds.shapes()), compute)
    for factors, answer in (([2.0] * 4, "SUPPORTED"), ([0.8] * 4, "REFUTED"), ([1.0, 1.02, 0.99, 1.0], "EQUIVALENT"), ([2.0, 1, 2, 2], "UNDECIDED")):  # fmt: skip
        arms = run.measurements.copy()
        arms["memory_peak_bytes"] = pd.array([b for f in factors for b in (round(1e6 * f), 10**6)], dtype="Int64")
        (v,) = judge([replace(run, measurements=arms)]).of("memory")
        assert (v.answer, v.p) == (answer, None), factors
    assert v.cells.surely == 3


def test_memory_counts_every_run_of_a_cell_and_says_where_they_differ() -> None:
    def counted(*by_run: Sequence[float]) -> Verdicts:
        runs = []
        for name, factors in zip("ab", by_run, strict=False):
            run = run_of(planned(shapes=worlds.shapes()), compute, run_id=name)
            arms = run.measurements.copy()
            arms["memory_peak_bytes"] = pd.array([b for f in factors for b in (round(1e6 * f), 10**6)], dtype="Int64")
            runs.append(replace(run, measurements=arms))
        assert judge(runs).verdicts == judge(runs[::-1]).verdicts
        return judge(runs)

    alone, alike, apart = counted([2.0] * 4), counted([2.0] * 4, [2.0] * 4), counted([2.0] * 4, [2.0, 2, 2, 0.5])
    answers = [(v.answer, v.runs, v.cells.n, v.cells.surely, v.cells.surely_not) for found in (alone, alike, apart) for v in found.of("memory")]  # fmt: skip
    assert answers == [("SUPPORTED", ("a",), 4, 4, 0), ("SUPPORTED", ("a", "b"), 4, 4, 0), ("UNDECIDED", ("a", "b"), 4, 3, 0)]  # fmt: skip
    assert alone.of("memory")[0].notes == ()
    taken = "2 runs of one machine, or of machines alike, taken together; 4 cells of 4 measured again, "
    assert alike.of("memory")[0].notes == (f"{taken}with the same ratio",)
    (note,) = apart.of("memory")[0].notes
    assert note.startswith(f"{taken}and in 1 the ratio differs, by up to 4.00x")
    effect = apart.of("memory")[0].effect
    assert effect is not None
    assert (effect.value, effect.low, effect.high) == (pytest.approx((2**3 * 1) ** 0.25), 0.5, 2.0)
    (said,) = [line for line in words.of_several(apart) if line.startswith("Weaker here: ")]
    assert "memory (separable against standard, cpu, 1 thread, contiguous) is SUPPORTED by a alone and UNDECIDED here" in said  # fmt: skip


# ---------------------------------------------------------------- what must not change an answer


def told(found: Verdicts, *, but: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    return [(v.claim, v.condition, v.about, v.answer, v.confirmatory) for v in found.verdicts if v.claim not in but]


def scaled(run: Run, factor: float) -> Run:
    arms = run.measurements.copy()
    for name in ("time_median_s", "time_ci_low_s", "time_ci_high_s", "time_min_s"):
        arms[name] = arms[name] * factor
    return replace(run, measurements=arms)


@lru_cache(maxsize=8)
def some_run(seed: int) -> Run:
    """A run in which answers of every kind come about, some of them close."""
    plan = planned(("cpu", "cuda:0"), shapes=worlds.shapes(threads=[1, 4]), **worlds.ladders())
    return run_of(plan, by_device(speedup_of(3.05), speedup_of(1.02)), sd=0.03, seed=seed)


seeds = st.integers(0, 5)


@settings(max_examples=5)
@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(seed: int, coin: Any) -> None:
    run = some_run(seed)
    shuffled = [frame.iloc[coin.sample(range(len(frame)), len(frame))] for frame in (run.measurements, run.pairs)]
    assert judge([replace(run, measurements=shuffled[0], pairs=shuffled[1])]).to_dict() == judge([run]).to_dict()


@settings(max_examples=5)
@given(seeds, st.floats(1e-3, 1e3))
def test_a_clock_that_runs_otherwise_changes_no_answer(seed: int, factor: float) -> None:
    assert told(judge([scaled(some_run(seed), factor)])) == told(judge([some_run(seed)]))


@settings(max_examples=4)
@given(seeds, st.sampled_from(["skipped", "oom", "timeout", "unsupported"]))
def test_rows_that_were_not_measured_change_nothing_but_what_is_exact(seed: int, status: str) -> None:
    run = some_run(seed)
    frames = []
    for frame in (run.measurements, run.pairs):
        empty = frame.copy()
        empty["status"] = pd.array([status] * len(frame), dtype="string")
        for key in ("trial_id", "arm_id"):
            empty[key] = "none/" + empty[key]
        for name in frame.columns:
            if name.startswith(("time", "speedup", "memory", "precision")):
                empty[name] = pd.array([None] * len(frame), dtype=frame[name].dtype)
        frames.append(pd.concat([frame, empty], ignore_index=True))
    more = judge([replace(run, measurements=frames[0], pairs=frames[1])])
    assert [v for v in more.verdicts if v.claim not in EXACT] == [v for v in judge([run]).verdicts if v.claim not in EXACT]  # fmt: skip
    assert told(more) == told(judge([run]))


@settings(max_examples=3)
@given(seeds)
def test_devices_that_swap_names_swap_claims(seed: int) -> None:
    plan = planned(("cpu", "cuda:0"), shapes=worlds.shapes(threads=[4]), **worlds.ladders(threads=[4]))
    run = run_of(plan, by_device(server, card), seed=seed)
    names = {"cpu": "cuda:0", "cuda:0": "cpu"}
    renamed = [frame.assign(device=frame["device"].map(names).astype("string")) for frame in (run.measurements, run.pairs)]  # fmt: skip
    before, after = judge([run]), judge([replace(run, measurements=renamed[0], pairs=renamed[1])])
    for claim in ("gpu_led_by_layers", "cpu_led_by_compute"):
        for device, other in names.items():
            (was,) = [v for v in before.of(claim) if v.condition.device == device]
            (now,) = [v for v in after.of(claim) if v.condition.device == other]
            assert (was.effect, was.p, was.on_claimed_device) == (now.effect, now.p, not now.on_claimed_device)
    (was,), (now,) = before.of("gpu_no_gain"), after.of("cpu_3x")
    assert was.effect is not None
    assert now.effect is not None
    assert replace(was.effect, lines=now.effect.lines) == now.effect  # it is held against another threshold
    (was,), (now,) = before.of("device_by_block"), after.of("device_by_block")
    assert (was.answer, now.answer) == ("SUPPORTED", "REFUTED")


@given(st.lists(st.tuples(st.sampled_from(["SUPPORTED", "REFUTED", "EQUIVALENT", "UNDECIDED"]), st.floats(0, 1), st.booleans()), max_size=12))  # fmt: skip
def test_holm_never_makes_an_answer_stronger(given_: list[tuple[Any, float, bool]]) -> None:
    before = [Verdict("cpu_3x", Condition(), (), "", a, "", p=p, confirmatory=c) for a, p, c in given_]
    for old, new in zip(before, corrected(before), strict=True):
        assert new.answer in (old.answer, "UNDECIDED")
        if not old.confirmatory:
            assert new == old
        elif new.answer in DECIDED:
            assert new.p_adjusted is not None
            assert new.p_adjusted <= 0.05 + 1e-9
            assert new.p_adjusted >= (old.p or 0.0)


def test_an_answer_that_does_not_survive_holm_says_so() -> None:
    weak = Verdict("cpu_3x", Condition(), (), "", "SUPPORTED", "", p=0.03, confirmatory=True)
    first, _ = corrected([weak, replace(weak, p=0.5, answer="UNDECIDED")])
    assert (first.answer, first.p_adjusted) == ("UNDECIDED", 0.06)
    assert first.notes[0].startswith("Alone it would be SUPPORTED (p = 0.03)")


# ---------------------------------------------------------------- what decides, and what does not


def test_noisy_rows_count_and_are_said() -> None:
    found = judge([run_of(planned(shapes=worlds.shapes()), compute, noisy=frozenset({0, 2}))])
    (v,) = found.of("cpu_3x")
    assert v.answer == "SUPPORTED"
    assert "2 of 4 measurements noisy" in v.notes


def test_a_run_at_another_confidence_gives_the_same_answers() -> None:
    plan = planned(shapes=worlds.shapes(threads=[1, 4]))
    (usual, other) = (judge([run_of(plan, server, confidence=c, run_id="r")]) for c in (0.95, 0.8))
    assert told(usual) == told(other)
    for a, b in zip(usual.of("cpu_3x"), other.of("cpu_3x"), strict=True):
        assert a.effect is not None
        assert b.effect is not None
        assert (a.effect.low, a.effect.high) == (pytest.approx(b.effect.low), pytest.approx(b.effect.high))


def test_a_wider_noise_band_widens_the_margin() -> None:
    plan = planned(("cuda:0",), shapes=worlds.shapes())
    narrow, wide = (judge([run_of(plan, speedup_of(1.08), noise_band=band)]).of("gpu_no_gain")[0] for band in (None, 0.12))  # fmt: skip
    assert (narrow.answer, wide.answer) == ("REFUTED", "EQUIVALENT")
    assert "Margin ±12 %" in wide.notes


def test_what_confirms_is_chosen_by_what_was_measured() -> None:
    plain = Condition(ORIGIN, "cpu", "x", 1, "fp32", "contiguous", "eager", "inference", 8, "retain", "default", "on")
    conditions = [plain, *(replace(plain, **{name: value}) for name, value in (("threads", 2), ("threads", 4), ("batch", 64), ("dtype", "bf16"), ("layout", "channels_last"), ("mode", "graph"), ("allocator", "default")))]  # fmt: skip
    assert primary(conditions) == {plain, replace(plain, threads=4)}


def test_two_machines_are_told_from_one() -> None:
    cpu = run_of(planned(shapes=worlds.shapes()), compute, run_id="cpu")
    gpu = run_of(planned(("cuda:0",), shapes=worlds.shapes()), card, run_id="gpu")
    elsewhere = replace(gpu, environment={"host": {**worlds.HOST, "cpu_model": "Other"}, "torch": "2.13.0"})
    assert "Within one machine" in judge([cpu, gpu]).of("device_by_block")[0].notes
    assert "Across machines" in judge([cpu, elsewhere]).of("device_by_block")[0].notes


def test_runs_of_one_machine_share_their_conditions_and_runs_of_two_do_not() -> None:
    a, b = (run_of(planned(shapes=worlds.shapes()), compute, run_id=name, seed=i) for i, name in enumerate("ab"))
    (v,) = judge([a, b]).of("cpu_3x")
    assert (v.runs, v.cells.n) == (("a", "b"), 4)  # each workload counts once
    assert any("2 runs of one machine, or of machines alike, taken together" in note for note in v.notes)
    other = replace(b, environment={"host": {**worlds.HOST, "physical_cores": 8}})
    assert [v.runs for v in judge([a, other]).of("cpu_3x")] == [("a",), ("b",)]


def test_the_order_of_runs_changes_no_answer() -> None:
    a, b = (run_of(planned(shapes=worlds.shapes()), compute, run_id=name, seed=i) for i, name in enumerate("ab"))
    assert judge([a, b]).verdicts == judge([b, a]).verdicts


# ---------------------------------------------------------------- bottlenecks


def arm(**told: Any) -> dict[str, Any]:
    usual = {"status": "ok", "bound": None, "attainable_share": None, "roof": None, "layers": 2, "time_median_s": 1e-4, "block": "separable", "kernel": 3}  # fmt: skip
    return {**usual, **told}


def test_what_limits_a_condition_is_read_off_its_rows() -> None:
    assert bottleneck([arm(bound="launch-bound")] * 2 + [arm(bound="balanced")], ()).word == "overhead-bound"
    assert bottleneck([arm(attainable_share=0.7, roof="compute")], ()).word == "compute-bound"
    assert bottleneck([arm(attainable_share=0.7, roof="memory")], ()).word == "bandwidth-bound"
    assert bottleneck([arm(attainable_share=0.2, roof="compute")], ()).word == "mixed"
    assert bottleneck([arm()], ()).word == "unknown"
    assert bottleneck([], ()).word == "unknown"
    small = {"layers": 8, "time_median_s": 1e-5}  # the first point of the ladder
    assert (
        bottleneck([arm(**small, attainable_share=0.2, roof="compute")], [ladder([0, 1, 2])]).word == "overhead-bound"
    )
    assert bottleneck([arm(**small)], [ladder([0, 1, 2])]).word == "overhead-bound"
    assert bottleneck([arm(**small, attainable_share=0.2, roof="compute")], [ladder([0, 0.01, 0.02])]).word == "mixed"


# ---------------------------------------------------------------- sweeps that disagree


def test_sweeps_that_disagree_support_nothing_and_refute_nothing() -> None:
    """All must hold for SUPPORTED, and all must fail for REFUTED."""
    steep, flat = [0.0, 1.0, 2.0, 3.0], [0.0, 0.05, 0.1, 0.15]
    graph = replace(GPU, mode="graph")
    there = (ladder(flat, condition=graph),)
    for layers, macs, answer in (
        ([steep, steep], [flat, flat], "SUPPORTED"),
        ([steep, flat], [flat, flat], "UNDECIDED"),
        ([steep, steep], [flat, steep], "UNDECIDED"),
        ([flat, flat], [flat, flat], "REFUTED"),
        ([steep, steep], [steep, steep], "REFUTED"),
    ):
        here = (*(ladder(t) for t in layers), *(ladder(t, grows="macs") for t in macs))
        (v,) = [
            v for v in rules_layers_or_macs.led_by_layers(drawn([], {GPU: here, graph: there})) if v.condition == GPU
        ]
        assert v.answer == answer, (layers, macs)
        swapped = (*(ladder(t, condition=CPU) for t in macs), *(ladder(t, condition=CPU, grows="macs") for t in layers))
        (v,) = rules_layers_or_macs.led_by_compute(drawn([], {CPU: swapped}))
        assert v.answer == answer, (layers, macs)


@pytest.mark.parametrize(("claim", "device"), [("gpu_led_by_layers", "cuda:0"), ("cpu_led_by_compute", "cpu")])
@pytest.mark.parametrize(("on_layers", "on_macs"), [(0.45, 0.45), (0.6, 0.4), (0.4, 0.6)])
def test_a_refusal_beside_a_difference_that_says_nothing_tells_what_was_tested(claim: str, device: str, on_layers: float, on_macs: float) -> None:  # fmt: skip
    """Time goes with a power of both: no elasticity is steep, so the claim fails, whichever of them is the larger."""

    def both(trial: Any, arm: Any) -> float:
        cost = trial.cost(arm)
        return 1e-6 * cost.layers**on_layers * (cost.macs / 1e4) ** on_macs

    found = judge([run_of(planned((device,), **worlds.ladders()), both, sd=0.05)])
    (v,) = [v for v in found.of(claim) if v.on_claimed_device]
    assert v.answer == "REFUTED"
    assert v.effect is not None
    (why,) = [note for note in v.notes if note.startswith("Refuted since ")]
    steep, agrees = ("layers", (v.effect.low or 0) > 0) if device != "cpu" else ("MACs", (v.effect.high or 0) < 0)
    assert why.startswith(f"Refuted since no elasticity on {steep} reaches 0.7")
    assert agrees == ((on_layers, on_macs) == ((0.4, 0.6) if device != "cpu" else (0.6, 0.4)))
    assert why.endswith("; the difference of elasticities was not tested, and alone would refute nothing") != agrees
    out = StringIO()
    words.print_verdicts(Verdicts(found.runs, (v,)), out)
    assert ("E_M - E_L is not tested: each elasticity is tested against 0.3 or 0.7" in out.getvalue()) != agrees


# ---------------------------------------------------------------- how often they err

DRAWS = 300
ORIGIN = Installation("cpu", 4, 1, "2")
GPU = Condition(ORIGIN, "cuda:0", "x", 4, "fp32", "contiguous", "eager", "inference", 1, "retain", "default", "on")
CPU = replace(GPU, device="cpu")
MOST_WRONG = 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / DRAWS)  # 5 % and what so many draws may be off by (1 in 200)


def cell(condition: Condition, log: Interval, c: int) -> Cell:
    row = {"run_id": "r", "trial_id": f"t{c}", "status": "ok", "kernel": 3, "mac_ratio": 8.0, "noise_band": None, "c_in": c, "block": "separable", "baseline": "standard"}  # fmt: skip
    return Cell(
        condition, BLOCKS, {**dict.fromkeys("c_out height width stride padding dilation depth".split()), **row}, log
    )


def drawn(cells: Sequence[Cell], sweeps: dict[Condition, tuple[Sweep, ...]] | None = None) -> Rows:
    return Rows((), tuple(cells), {}, sweeps or {}, {})


def cells_of(rng: np.random.Generator, condition: Condition, truth: float, shared: float, n: int = 4, processes: int = 6) -> list[Cell]:  # fmt: skip
    """Cells of one true ln(speedup), whose errors the processes share to some part."""
    common = rng.normal(0, 0.05 * math.sqrt(shared), processes)
    own = rng.normal(0, 0.05 * math.sqrt(1 - shared), (n, processes))
    return [cell(condition, t_interval((truth + common + e).tolist()), 32 * (i + 1)) for i, e in enumerate(own)]


def ladder(log_times: Sequence[float], intervals: Sequence[Interval] | None = None, condition: Condition = GPU, grows: Any = "layers") -> Sweep:  # fmt: skip
    """A sweep in which the count grows e-fold from point to point."""
    counts = [8, 22, 59, 161]
    logs = intervals or [Interval(math.log(1e-5) + t, 0.01, 6) for t in log_times]
    points = tuple(
        Point(f"p{i}", k if grows == "layers" else 16, 10**6 if grows == "layers" else k * 10**6, 10**5, 16, k, 28, log, noisy=False)
        for i, (k, log) in enumerate(zip(counts, logs, strict=False))
    )  # fmt: skip
    return Sweep(grows, "e", "separable", 3, "r", condition, points)


def swept(rng: np.random.Generator, slope: float, condition: Condition, grows: str, shared: float) -> Sweep:
    x = np.log([8, 22, 59, 161])
    common = rng.normal(0, 0.05 * math.sqrt(shared), 6)
    logs = [t_interval((slope * v + common + rng.normal(0, 0.05 * math.sqrt(1 - shared), 6)).tolist()) for v in x]
    return ladder([], logs, condition, grows)


def wrong(draw: Callable[[np.random.Generator], list[Verdict]], *groups: Sequence[str]) -> list[float]:
    """How often draws answer any of each group of answers."""
    rng = np.random.default_rng(20260101)
    found = Counter(draw(rng)[0].answer for _ in range(DRAWS))
    return [sum(found[a] for a in group) / DRAWS for group in groups]  # type: ignore[index]


@pytest.mark.parametrize("shared", [0.0, 0.95])
def test_at_a_threshold_of_speed_each_answer_is_wrong_in_five_percent_at_most(shared: float) -> None:
    def at_three(rng: np.random.Generator) -> list[Verdict]:
        return rules_speed.cpu_3x(drawn(cells_of(rng, CPU, math.log(SPEEDUP), shared)))

    def at_the_margin(rng: np.random.Generator) -> list[Verdict]:
        return rules_speed.gpu_no_gain(drawn(cells_of(rng, GPU, EQUIVALENCE_MARGIN, shared)))

    def apart_by_the_margin(rng: np.random.Generator) -> list[Verdict]:
        return rules_ratios.device_by_block(
            drawn(cells_of(rng, CPU, 1.0 + EQUIVALENCE_MARGIN, shared) + cells_of(rng, GPU, 1.0, shared))
        )

    def no_slope(rng: np.random.Generator) -> list[Verdict]:
        one = replace(CPU, threads=1)
        return rules_ratios.parallelism(drawn(cells_of(rng, one, 1.0, shared) + cells_of(rng, CPU, 1.0, shared)))

    decided = ["SUPPORTED", "REFUTED"]
    assert max(wrong(at_three, decided[:1], decided[1:])) <= MOST_WRONG
    assert max(wrong(at_the_margin, decided[:1], decided[1:], ["EQUIVALENT"])) <= MOST_WRONG
    assert max(wrong(apart_by_the_margin, decided, ["EQUIVALENT"])) <= MOST_WRONG
    assert max(wrong(no_slope, decided)) <= MOST_WRONG


@pytest.mark.parametrize("shared", [0.0, 0.95])
@pytest.mark.parametrize(("e_layers", "e_macs"), [(STEEP, 0.0), (1.0, FLAT)])
def test_at_a_threshold_of_what_leads_each_answer_is_wrong_in_five_percent_at_most(e_layers: float, e_macs: float, shared: float) -> None:  # fmt: skip
    graph = replace(GPU, mode="graph")

    def by_layers(rng: np.random.Generator) -> list[Verdict]:
        here = (swept(rng, e_layers, GPU, "layers", shared), swept(rng, e_macs, GPU, "macs", shared))
        return rules_layers_or_macs.led_by_layers(
            drawn([], {GPU: here, graph: (swept(rng, 0.2, graph, "layers", shared),)})
        )

    def by_compute(rng: np.random.Generator) -> list[Verdict]:
        steep, flat = swept(rng, e_layers, CPU, "macs", shared), swept(rng, e_macs, CPU, "layers", shared)
        return rules_layers_or_macs.led_by_compute(drawn([], {CPU: (flat, steep)}))

    for rule in (by_layers, by_compute):
        assert max(wrong(rule, ["SUPPORTED"], ["REFUTED"])) <= MOST_WRONG


def test_the_mean_of_cells_holds_the_truth_whatever_their_errors_share() -> None:
    rng = np.random.default_rng(5)
    for shared in (0.0, 0.5, 1.0):
        found = [mean_of([c.log for c in cells_of(rng, CPU, 1.0, shared)]) for _ in range(DRAWS)]
        assert np.mean([i.low <= 1.0 <= i.high for i in found]) >= 0.95 - 2.6 * math.sqrt(0.05 * 0.95 / DRAWS)


@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(2, 12), st.floats(-1, 1))
def test_a_test_says_what_the_interval_beside_it_says(mean: float, half: float, n: int, line: float) -> None:
    interval = Interval(mean, half, n)
    if min(abs(interval.low - line), abs(interval.high - line)) < 1e-6:
        return
    found = ruled(above(interval, line), below(interval, line))
    expected = "SUPPORTED" if interval.low > line else "REFUTED" if interval.high < line else "UNDECIDED"
    assert found.answer == expected


# ---------------------------------------------------------------- the claims as they stand


def test_claims_are_whole_and_known_by_their_names() -> None:
    assert [c.id for c in CLAIMS] == "fewer_flops below_9x cpu_3x gpu_no_gain gpu_led_by_layers cpu_led_by_compute device_by_block parallelism memory".split()  # fmt: skip
    assert set(BY_ID) == {c.id for c in CLAIMS}
    for c in CLAIMS:
        assert all((c.statement, c.cells, c.rule, c.to_measure))
        assert c.alternatives or c.id in EXACT
    assert "3" in BY_ID["cpu_3x"].statement
