"""The claims on ratios, cell by cell: whatever cells a config happened to hold, no answer turns over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analyse.claims import rules_ratios
from bench.analyse.claims.answers import ANSWERS, Verdict
from bench.analyse.claims.cells import BLOCKS, Cell, Rows, gather
from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.analyse.runs.condition import Condition, Installation
from bench.analyse.stats.estimators import joint_mean, mean_of
from bench.show.text import claims as words
from bench.spec.interval import Interval, t_interval

REFERENCE = Path(__file__).resolve().parents[1] / "results" / "reference"
CPU = Condition(Installation("cpu", 4, 1, "2"), "cpu", "x", 1, "fp32", "contiguous", "eager", "inference", 1, "retain", "default", "on")  # fmt: skip
CHANNELS = (8, 16, 32, 64, 128, 256, 512)


def cell(channels: int, logs: Sequence[float], at: Condition = CPU, noisy: bool = False, size: int = 28) -> Cell:
    row = {
        **dict.fromkeys("stride padding dilation".split()), "run_id": "r", "trial_id": f"t{channels}", "status": "ok", "kernel": 3,
        "mac_ratio": 8.0, "noise_band": None, "c_in": channels, "c_out": channels, "block": "separable", "baseline": "standard",
        "depth": 1, "height": size, "width": size,
    }  # fmt: skip
    return Cell(at, BLOCKS, row, t_interval(list(logs)), dict(enumerate(logs)), noisy)


def asked(cells: Sequence[Cell]) -> Verdict:
    (v,) = rules_ratios.cpu_3x(Rows((), tuple(cells), {}, {}, {}))
    return v


def speedup(channels: int, layer: float, mac: float) -> float:
    """By the law of a layer's own cost and that of a MAC, at 28 x 28 and k = 3."""
    times = [n * layer + macs * 784 * mac for n, macs in ((1, 9 * channels**2), (2, channels * (9 + channels)))]
    return times[0] / times[1]


def swept(seed: int, layer: float, mac: float, sd: float, processes: int = 6) -> dict[int, Cell]:
    rng = np.random.default_rng(seed)
    common = rng.normal(0, sd, processes)
    return {c: cell(c, (math.log(speedup(c, layer, mac)) + common + rng.normal(0, sd, processes)).tolist()) for c in CHANNELS}  # fmt: skip


worlds = st.tuples(st.integers(0, 10**6), st.floats(1e-7, 1e-4), st.floats(1e-12, 1e-9), st.floats(0.001, 0.1))


@settings(max_examples=60)
@given(worlds, st.data())
def test_no_choice_of_cells_turns_an_answer_over(world: tuple[int, float, float, float], data: st.DataObject) -> None:
    """Where one choice of channels surely holds, no other surely fails: what it says of channels that both have agrees."""
    every = swept(*world)
    whole = asked(list(every.values()))
    said: dict[int, set[bool]] = {c: set() for c in CHANNELS}
    for _ in range(6):
        chosen = data.draw(st.lists(st.sampled_from(CHANNELS), min_size=1, unique=True))
        v = asked([every[c] for c in chosen])
        assert len(chosen) > 1 or v.answer == "UNDECIDED"
        for c in chosen:
            holds = stated(v, c)
            if holds is not None:
                said[c].add(holds)
        if whole.answer == "HOLDS EVERYWHERE":
            assert v.side in ("yes", "partly", "open")
            assert not v.answer.startswith("FAILS")
        if whole.answer == "HOLDS NOWHERE":
            assert v.side in ("no", "partly", "open")
            assert not v.answer.startswith("HOLDS ") or v.answer == "HOLDS NOWHERE"
    assert all(len(sides) < 2 for sides in said.values())


def stated(v: Verdict, channels: int) -> bool | None:
    """What an answer says of a number of channels that lies outside of the crossing's range."""
    if v.answer in ("HOLDS EVERYWHERE", "HOLDS NOWHERE"):
        return v.answer == "HOLDS EVERYWHERE"
    if v.channels is None:
        return None
    low, high = (v.channels.value if end is None else end for end in (v.channels.low, v.channels.high))
    if v.answer == "HOLDS FROM":
        return True if channels > high else False if channels < low and v.channels.low is not None else None
    return False if v.answer == "FAILS BELOW" and channels < low else None


@settings(max_examples=60)
@given(worlds, st.data())
def test_the_crossing_stays_within_its_range_whatever_is_left_out(world: tuple[int, float, float, float], data: st.DataObject) -> None:  # fmt: skip
    seed, layer, mac, _ = world
    every = swept(seed, layer, mac, 0.003)
    whole = asked(list(every.values()))
    kept = data.draw(st.lists(st.sampled_from(CHANNELS[1:-1]), unique=True))
    some = asked([every[c] for c in sorted({CHANNELS[0], CHANNELS[-1], *kept})])
    for v in (whole, some):
        if v.channels is None or v.channels.low is None or v.channels.high is None:
            return
        assert v.channels.low <= v.channels.value <= v.channels.high
    assert whole.channels is not None
    assert some.channels is not None
    assert some.channels.low * 0.98 <= whole.channels.value <= some.channels.high * 1.02  # type: ignore[operator]


@pytest.mark.parametrize("run", ["h100-16-cores", "xeon-2-cores", "xeon-2-cores-threads"])
def test_all_subsets_of_a_committed_run_say_the_same_of_the_same_channels(run: str) -> None:
    rows = gather([run_folder.read(REFERENCE / run)])
    own = [c for c in rows.cells if c.condition.label == "cpu, 1 thread, contiguous" and (c.row["kernel"], c.row["depth"]) == (3, 1)]  # fmt: skip
    assert len(own) == 5
    said: dict[int, set[bool]] = {c.row["c_in"]: set() for c in own}
    for chosen in range(1, 2 ** len(own)):
        cells = [c for i, c in enumerate(own) if chosen >> i & 1]
        v = asked(cells)
        for c in cells:
            said[c.row["c_in"]] |= {stated(v, c.row["c_in"])} - {None}  # type: ignore[arg-type]
    assert list(said.values()) == [{c.row["c_in"] > 100} for c in own]


def test_the_words_say_from_how_many_channels_on() -> None:
    every = swept(1, 1e-5, 1e-11, 0.002)
    v = asked(list(every.values()))
    truth = next(c for c in range(8, 512) if speedup(c, 1e-5, 1e-11) >= 3)
    assert v.answer == "HOLDS FROM"
    assert v.channels is not None
    assert v.channels.low is not None
    assert v.channels.high is not None
    assert v.channels.low <= truth <= v.channels.high + 1
    assert (
        words.answer(v) == f"HOLDS FROM {v.channels.value:.0f} channels [{v.channels.low:.0f}, {v.channels.high:.0f}]"
    )
    upper = asked([every[c] for c in (256, 512)])
    lower = asked([every[c] for c in (8, 16)])
    assert (upper.answer, lower.answer) == ("HOLDS EVERYWHERE", "HOLDS NOWHERE")
    assert "256 to 512 channels" in upper.cells.words
    assert "8 to 16 channels" in lower.cells.words


def test_nothing_in_capitals_rests_on_one_cell_on_noise_alone_or_on_few_processes() -> None:
    sure = {c: [math.log(4) + 0.001 * i for i in range(6)] for c in (64, 128)}
    assert asked([cell(c, logs) for c, logs in sure.items()]).answer == "HOLDS EVERYWHERE"
    for cells, why in (
        ([cell(64, sure[64])], "one cell"),
        ([cell(c, logs[:5]) for c, logs in sure.items()], "fewer than 6 processes"),
        ([cell(c, logs, noisy=True) for c, logs in sure.items()], "noisy rows alone"),
    ):
        v = asked(cells)
        assert (v.answer, v.leaning, v.weak) == ("UNDECIDED", "HOLDS EVERYWHERE", why)
        assert words.reading(v) == "holds everywhere"
        assert any(why in note for note in v.notes)


def test_a_cell_of_few_processes_beside_others_has_no_say() -> None:
    sure = {c: [math.log(4) + 0.001 * i for i in range(6)] for c in (64, 128)}
    few = cell(256, [0.0, 0.001])
    assert asked([*(cell(c, logs) for c, logs in sure.items()), few]).answer == "HOLDS EVERYWHERE"


def test_what_noisy_rows_change_is_said() -> None:
    sure = [math.log(4) + 0.001 * i for i in range(6)]
    v = asked([cell(64, sure), cell(128, sure, noisy=True)])
    assert (v.answer, v.without_noisy) == ("HOLDS EVERYWHERE", "UNDECIDED")
    assert "Without its noisy rows: UNDECIDED" in v.notes


def test_where_size_decides_and_not_the_channels_it_depends() -> None:
    high, low = ([math.log(s) + 0.001 * i for i in range(6)] for s in (4.0, 2.0))
    v = asked([cell(64, high, size=56), cell(256, high, size=56), cell(128, low, size=14), cell(512, low, size=14)])
    assert v.answer == "DEPENDS"
    assert v.channels is None


def test_an_answer_near_the_edge_is_fragile_and_a_sure_one_is_not() -> None:
    def at(p_over: float) -> Verdict:
        # two cells, Holm: the larger p counts as it is
        spread = np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
        half = t_interval(spread.tolist()).half_width
        logs = math.log(3) + half * p_over + spread
        return asked([cell(c, logs.tolist()) for c in (64, 128)])

    assert [(v.answer, v.fragile) for v in map(at, (0.5, 1.05, 3.0))] == [
        ("UNDECIDED", False),
        ("UNDECIDED", True),  # 5 % for a cell alone, twice that for two
        ("HOLDS EVERYWHERE", False),
    ]
    assert words.answer(at(1.05)) == "UNDECIDED, FRAGILE"


def test_other_devices_and_runs_change_no_p() -> None:
    """The family of a correction is the claim's cells on one device of one installation."""
    here = list(swept(3, 1e-5, 1e-10, 0.05).values())
    there = [replace(c, condition=replace(CPU, origin=Installation("other", 8, 1, "2"))) for c in swept(4, 1e-5, 1e-10, 0.05).values()]  # fmt: skip
    alone = asked(here)
    together = rules_ratios.cpu_3x(Rows((), (*here, *there), {}, {}, {}))
    assert [v for v in together if v.condition == CPU] == [alone]


def test_explored_conditions_have_q_and_confirmed_ones_holms_p() -> None:
    rng = np.random.default_rng(8)
    cells = []
    for batch in (1, 2, 4, 8):
        at = replace(CPU, batch=batch)
        cells += [cell(c, (math.log(3.1) + rng.normal(0, 0.03, 6)).tolist(), at) for c in (64, 128)]
    first, *explored = rules_ratios.cpu_3x(Rows((), tuple(cells), {}, {}, {}))
    assert first.confirmatory
    assert not any(v.confirmatory for v in explored)
    alone = rules_ratios.cpu_3x(Rows((), tuple(cells[:2]), {}, {}, {}))
    assert alone == [first]  # the explored ones are no part of its family


def test_means_of_cells_that_share_their_processes_are_narrower_than_by_their_intervals_and_hold_the_truth() -> None:
    rng = np.random.default_rng(9)
    hits, narrower = 0, 0
    for _ in range(1000):
        own = rng.normal(0, 0.05, (4, 6))
        cells = [cell(c, (1.0 + e).tolist()) for c, e in zip((32, 64, 128, 256), own, strict=True)]
        joint = joint_mean([c.by_process for c in cells], [c.log for c in cells])
        hits += joint.low <= 1.0 <= joint.high
        narrower += joint.half_width < mean_of([c.log for c in cells]).half_width
    assert 0.93 <= hits / 1000 <= 0.97
    assert narrower > 900


def test_the_report_and_the_verdict_print_one_mean() -> None:
    from bench.analyse.facts import facts_of

    run = run_folder.read(REFERENCE / "xeon-2-cores")
    kept = run.pairs[(run.pairs["kernel"] == 3) & (run.pairs["layout"] == "contiguous")]
    run = replace(run, pairs=kept)
    (v,) = judge([run]).of("cpu_3x")
    (tally,) = facts_of(run).ways
    assert v.effect is not None
    assert (v.effect.value, v.effect.low, v.effect.high) == pytest.approx(tuple(math.exp(x) for x in (tally.mean.mean, tally.mean.low, tally.mean.high)))  # fmt: skip


def test_a_predicted_answer_reads_would() -> None:
    from bench.analyse.claims.answers import PREDICTED_ANSWERS, would

    assert [would(a) for a in ("HOLDS FROM", "FAILS BELOW", "DEPENDS", "SUPPORTED")] == ["WOULD HOLD FROM", "WOULD FAIL BELOW", "WOULD DEPEND", "WOULD BE SUPPORTED"]  # fmt: skip
    assert len(PREDICTED_ANSWERS) == len(ANSWERS) - 1


def test_a_cell_without_an_interval_stays_open() -> None:
    lone = replace(cell(64, [math.log(4)]), log=Interval(math.log(4), math.inf, 1))
    v = asked([lone, replace(lone, row={**lone.row, "c_in": 128, "c_out": 128})])
    assert (v.answer, v.p) == ("UNDECIDED", None)


def test_a_cell_is_named_by_both_sides_of_its_size() -> None:
    wide = replace(cell(64, [1.3, 1.4, 1.5]), row={**cell(64, [1.0]).row, "height": 56})
    (line,) = (n for n in asked([wide, cell(32, [1.3, 1.4, 1.5])]).notes if n.startswith("By shape"))
    assert line == "By shape: 32 channels 28 px 4.1x, 64 channels 56 x 28 px 4.1x"
