"""What explains time: worlds whose truth is known, published tables, what can't be said, and how all of it is told."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cli
from bench.analyse.drivers.explain import Drivers, Group, explain, limit_at
from bench.analyse.drivers.observations import COUNTS, LABELS, Observation, Observations
from bench.show import write
from bench.show.plots import drivers
from bench.show.text import drivers as words
from bench.show.write import write_views
from tests.published import DEEPBENCH, EVERY_TENTH, TORCHBENCH
from tests.synthetic import Story, config, write_run
from tests.test_plots import texts

Counts = Mapping[str, float | None]
PLACE = {"source": "a test", "device": "A100", "device_kind": "gpu", "dtype": "fp32", "layout": "nchw", "mode": "eager", "pass": "forward"}  # fmt: skip


def observed(counts: Counts, time_s: float, **keys: str) -> Observation:
    return Observation({**dict.fromkeys(LABELS, ""), **PLACE, **keys}, {**dict.fromkeys(COUNTS), **counts}, time_s)


def networks(seed: int = 1, n: int = 40) -> list[dict[str, float]]:
    """Counts as networks have them: larger ones have more of everything, more or less."""
    rng = np.random.default_rng(seed)
    size = rng.normal(0, 1, n)
    return [
        {
            "macs": float(1e9 * np.exp(1.2 * s + rng.normal(0, 0.8))),
            "activations": float(1e7 * np.exp(0.8 * s + rng.normal(0, 0.6))),
            "conv_layers": float(round(20 + 100 * rng.random())),
            "ops": float(round(60 + 300 * rng.random())),
        }
        for s in size
    ]


def one(rows: list[Observation]) -> Group:
    (group,) = explain(Observations("test", tuple(rows))).groups
    return group


def in_world(time: Callable[[dict[str, float]], float], scatter: float = 0.05, seed: int = 1, n: int = 40) -> list[Observation]:  # fmt: skip
    rng = np.random.default_rng(seed + 100)
    return [observed(c, time(c) * float(np.exp(rng.normal(0, scatter)))) for c in networks(seed, n)]


def shares(group: Group) -> dict[str, float]:
    assert group.additive is not None
    return {"+".join(t.names): t.median.value for t in group.additive.terms}


# ---------------------------------------------------------------- worlds


@pytest.mark.parametrize(
    ("cost", "name", "limit"),
    [
        (lambda c: 2e-5 * c["ops"], "ops", "overhead-bound"),
        (lambda c: 3e-10 * c["activations"], "activations", "bandwidth-bound"),
        (lambda c: 5e-12 * c["macs"], "macs", "compute-bound"),
    ],
)
def test_a_world_of_one_cost_is_seen_as_such(cost: Callable[[dict[str, float]], float], name: str, limit: str):
    group = one(in_world(cost))
    assert group.limit.word == limit
    assert shares(group)[name] > 0.95
    assert group.additive is not None
    assert group.additive.agreement == 1
    if name != "ops":
        assert group.regression is not None
        assert group.regression.shapley[name] == max(group.regression.shapley.values())
        assert group.regression.elasticities[name].mean == pytest.approx(1, abs=0.1)
        assert group.spearman[name] > 0.95


def test_without_noise_the_costs_are_found_to_the_digit():
    group = one(in_world(lambda c: 2e-5 * c["ops"] + 1e-10 * c["activations"] + 1e-12 * c["macs"], scatter=0))
    assert group.additive is not None
    found = {t.names[0]: t.seconds_each for t in group.additive.terms}
    assert found == pytest.approx(
        {"ops": 2e-5, "activations": 1e-10, "macs": 1e-12, "constant": 0}, rel=1e-6, abs=1e-15
    )
    assert group.additive.off_rms < 1e-9


def test_a_mixture_is_mixed_and_its_shares_are_those_of_the_truth():
    covered = total = 0
    for seed in range(12):
        costs = {"ops": 1e-5, "activations": 2.5e-10, "macs": 2e-12}
        rows = in_world(lambda c, costs=costs: sum(costs[k] * c[k] for k in costs), 0.05, seed)  # type: ignore[misc]
        parts = np.array([[costs[k] * (r.counts[k] or 0) for k in costs] for r in rows])
        truth = dict(zip(costs, np.median(parts / parts.sum(axis=1, keepdims=True), axis=0), strict=True))
        group = one(rows)
        assert group.limit.word == "mixed"
        assert group.additive is not None
        for term in group.additive.terms:
            assert term.median.value == pytest.approx(truth.get(term.names[0], 0), abs=0.08)
            covered += term.median.low <= truth.get(term.names[0], 0) <= term.median.high
            total += 1
    assert covered / total > 0.85


def test_elasticities_are_those_of_a_power_law():
    group = one(in_world(lambda c: 1e-9 * c["macs"] ** 0.5 * c["activations"] ** 0.3 * c["conv_layers"] ** 0.2))
    assert group.regression is not None
    for name, truth in (("macs", 0.5), ("activations", 0.3), ("conv_layers", 0.2)):
        e = group.regression.elasticities[name]
        assert e.low <= truth <= e.high
        assert e.half_width < 0.1


def test_a_constant_is_found_apart_from_the_cost_of_a_call():
    group = one(in_world(lambda c: 2e-2 + 2e-5 * c["ops"] + 1e-12 * c["macs"], scatter=0))
    assert group.additive is not None
    found = {t.names[0]: t.seconds_each for t in group.additive.terms}
    assert found == pytest.approx({"constant": 2e-2, "ops": 2e-5, "macs": 1e-12, "activations": 0}, rel=1e-6, abs=1e-18)


# ---------------------------------------------------------------- where no limit is named


@pytest.mark.parametrize("scatter", [0.0, 0.02])
def test_time_that_never_varies_has_no_limit(scatter: float):
    group = one(in_world(lambda c: 1e-3, scatter))
    assert group.limit.word == "unknown"
    assert "explain little of how time varies" in group.limit.why or "varies with none of the counts" in group.limit.why
    assert "overhead" not in told(Drivers("", 40, 0, (group,)))
    mostly = one(in_world(lambda c: 1e-2 + 2e-12 * c["macs"], 0.01))  # some of it varies, and with MACs
    assert mostly.limit.word == "unknown"
    assert mostly.limit.why.endswith("it varies with none of the counts")


def test_counts_that_explain_little_name_no_limit():
    """All counts within 5 % and times within 20 %: whichever term the noise makes the largest, it has no name."""
    whys = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        base = networks()[0]
        rows = [observed({k: v * float(np.exp(rng.normal(0, 0.05))) for k, v in base.items()}, float(np.exp(rng.normal(-7, 0.2)))) for _ in range(40)]  # fmt: skip
        assert one(rows).limit.word == "unknown"
        whys.append(one(rows).limit.why)
    assert any("the counts explain little of how time varies (R2 " in why for why in whys)


def test_a_model_that_is_far_off_names_no_limit():
    group = one(in_world(lambda c: 5e-12 * c["macs"], scatter=0.6))
    assert group.additive is not None
    assert group.additive.off_median > 0.25
    assert group.limit.word == "unknown"
    assert re.search(r"but the model is off by \d+ % \(median\)$", group.limit.why)


@pytest.mark.parametrize(("n", "word"), [(19, "unknown"), (20, "compute-bound")])
def test_fewer_than_twenty_rows_name_no_limit(n: int, word: str):
    group = one(in_world(lambda c: 5e-12 * c["macs"], n=n))
    assert group.limit.word == word
    assert ("19 rows are too few to tell" in group.limit.why) == (n < 20)


def test_two_costs_that_grow_together_name_no_limit():
    """MACs in proportion to activations but for 1 %: a fit gives the time to either."""
    rng = np.random.default_rng(2)
    rows = [observed({**c, "activations": c["macs"] / 100 * float(np.exp(rng.normal(0, 0.01)))}, 5e-12 * c["macs"] * float(np.exp(rng.normal(0, 0.02)))) for c in networks()]  # fmt: skip
    group = one(rows)
    assert group.limit.word == "unknown"
    assert re.search(
        r"the costs of (MACs and activations|activations and MACs) can't be told apart \(VIF \d+\)", group.limit.why
    )


def test_rows_own_facts_come_before_the_model():
    rows = in_world(lambda c: 5e-12 * c["macs"])

    def limited(facts: list[dict[str, Any]]) -> str:
        return one([replace(r, **f) for r, f in zip(rows, facts, strict=True)]).limit.word

    assert limited([{}] * 40) == "compute-bound"
    assert limited([{"bound": "launch-bound"}] * 21 + [{"bound": "balanced"}] * 19) == "overhead-bound"
    assert limited([{"bound": "launch-bound"}] * 20 + [{"bound": "balanced"}] * 20) == "compute-bound"
    assert limited([{"roof": "memory", "attained": 0.7}] * 40) == "bandwidth-bound"
    assert limited([{"roof": "memory", "attained": 0.2}] * 40) == "compute-bound"
    few = [replace(r, roof="compute", attained=0.7) for r in rows[:6]]
    assert one(few).limit.word == "compute-bound"  # a roof needs no twenty rows
    assert limit_at(few) == one(few).limit


def test_outliers_are_named_and_few():
    rows = [replace(r, name=f"net{i}") for i, r in enumerate(in_world(lambda c: 5e-12 * c["macs"]))]
    assert one(rows).outliers == ()
    for i, factor in ((3, 3.0), (7, 0.3), (11, 2.0), (20, 2.1), (30, 0.5)):
        rows[i] = replace(rows[i], time_s=rows[i].time_s * factor)
    group = one(rows)
    names = [text.split()[0] for text in group.outliers[:3]]
    assert set(names) <= {"net3", "net7", "net11", "net20", "net30"}
    assert group.outliers[3].endswith(" more")
    assert any(line.startswith("outliers (time / model): net") for line in group.warnings())


def test_elasticities_that_say_nothing_are_not_printed():
    rng = np.random.default_rng(4)
    rows = [observed({**c, "conv_layers": round(c["ops"] / 3)}, 5e-12 * c["macs"] * float(np.exp(rng.normal(0, 0.5)))) for c in networks()]  # fmt: skip
    rows = [replace(r, counts={**r.counts, "activations": (r.counts["macs"] or 0) / 50 * float(np.exp(rng.normal(0, 0.02)))}) for r in rows]  # fmt: skip
    found = Drivers("", 40, 0, (one(rows),))
    fit = found.groups[0].regression
    assert fit is not None
    assert fit.elasticities["macs"].half_width > 1
    assert re.search(r"^MACs +- ", told(found), re.MULTILINE)


# ---------------------------------------------------------------- what changes nothing


def numbers(group: Group) -> dict[str, Any]:
    found = group.to_dict()
    seconds = found["additive"].pop("seconds_each")
    return {"seconds": seconds, "rest": found}


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_the_order_of_rows_changes_nothing(seed: int, chance: random.Random):
    rows = in_world(lambda c: 1e-5 * c["ops"] + 1e-12 * c["macs"], 0.3, seed, 15)
    mixed = list(rows)
    chance.shuffle(mixed)
    assert one(mixed).to_dict() == one(rows).to_dict()


@given(st.integers(0, 1000), st.floats(1e-4, 1e4))
@settings(max_examples=15, deadline=None)
def test_slower_clocks_scale_the_costs_and_nothing_else(seed: int, factor: float):
    rows = in_world(lambda c: 1e-5 * c["ops"] + 1e-12 * c["macs"], 0.3, seed, 15)
    slower = [Observation(r.labels, r.counts, r.time_s * factor) for r in rows]
    before, after = numbers(one(rows)), numbers(one(slower))
    assert after["seconds"] == pytest.approx({k: v * factor for k, v in before["seconds"].items()}, rel=1e-6)
    _near(before["rest"], after["rest"])


def _near(a: Any, b: Any) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _near(a[key], b[key])
    elif (isinstance(a, list) and a and isinstance(a[0], float)) or isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
    else:
        assert a == b


# ---------------------------------------------------------------- what can't be said


def test_constant_and_unknown_predictors_are_left_out_and_named():
    rows = [observed({"macs": m, "conv_layers": 1, "ops": 1}, 1e-5 + 1e-12 * m) for m in np.geomspace(1e6, 1e9, 9)]
    group = one(rows)
    assert group.predictors == ("macs",)
    assert group.left_out == {"activations": "unknown, so their cost is counted with the others", "conv_layers": "constant, 1 in every row"}  # fmt: skip
    assert group.warnings()[-1] == "layers: constant, 1 in every row"
    assert shares(group).keys() == {"ops+constant", "macs"}  # a call per row is a constant


def test_without_operator_calls_layers_stand_for_them():
    rows = [observed({k: v for k, v in c.items() if k != "ops"}, 1e-4 * c["conv_layers"]) for c in networks()]
    group = one(rows)
    assert group.limit.word == "overhead-bound"
    assert shares(group)["conv_layers"] == pytest.approx(1)
    assert group.left_out == {"ops": "unknown, so layers are used in their place"}


def test_a_count_that_few_rows_know_is_left_out_and_a_row_that_lacks_a_usual_one_too():
    counts = networks()
    rare = [
        observed({**c, "activations": c["activations"] if i < 10 else None}, 1e-12 * c["macs"])
        for i, c in enumerate(counts)
    ]
    group = one(rare)
    assert (group.n, group.fewer) == (40, 0)
    assert group.left_out["activations"].startswith("known in 10 of 40 rows only")
    usual = [
        observed({**c, "activations": c["activations"] if i >= 10 else None}, 1e-12 * c["macs"])
        for i, c in enumerate(counts)
    ]
    group = one(usual)
    assert (group.n, group.fewer, group.left_out) == (30, 10, {})
    assert "10 rows lack a count that the others have, and are left out" in group.warnings()


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (1, "1 row: too few for any fit"),
        (2, "2 rows: too few for any fit"),
        (4, "4 rows for 3 predictors (MACs, activations and layers): a fit needs 5"),
        (5, ""),
    ],
)
def test_a_group_with_too_few_rows_is_listed_with_the_reason(rows: int, why: str):
    group = one(in_world(lambda c: 1e-12 * c["macs"], 0.1, 1, rows))
    assert (group.n, group.not_fitted, group.regression is None) == (rows, why, bool(why))
    told = group.to_dict()
    assert told["not_fitted"] == (why or None)
    assert told["regime"] is None
    json.dumps(told, allow_nan=False)


def test_a_group_in_which_nothing_varies_or_nothing_is_known_is_listed_too():
    counts = networks()[0]
    same = one([observed(counts, t) for t in (1e-3, 2e-3, 3e-3, 4e-3, 5e-3)])
    assert same.not_fitted == "none of MACs, activations and layers varies"
    halves = one([observed({"macs": 1e9} if i < 3 else {"activations": 1e7}, 1e-3) for i in range(6)])
    assert (halves.n, halves.fewer, halves.not_fitted) == (0, 6, "0 rows: too few for any fit")


def test_stacked_copies_tell_nothing_apart_and_that_is_said():
    rows = [
        observed({"macs": 1e8 * d, "activations": 1e6 * d, "conv_layers": d, "ops": 3 * d}, 1e-4 * d)
        for d in range(1, 9)
    ]
    group = one(rows)
    assert group.predictors == ("macs",)
    assert group.left_out["conv_layers"] == "a product of powers of MACs: no elasticity of its own"
    assert group.limit.word == "unknown"
    assert "are multiples of each other here: the fit can't separate them" in group.limit.why


def test_proportional_counts_share_one_cost_and_the_other_can_still_lead():
    def rows(per_mac: float, per_op: float) -> list[Observation]:
        macs = np.geomspace(1e6, 1e9, 24)
        return [
            observed({"macs": m, "activations": 1e5, "conv_layers": 1, "ops": 3}, per_mac * m + per_op * 3)
            for m in macs
        ]

    led = one(rows(1e-11, 1e-6))
    assert led.limit.word == "compute-bound"
    assert shares(led).keys() == {"macs", "ops+activations+constant"}
    other = one(rows(1e-15, 1e-3))
    assert other.limit.word == "unknown"
    assert other.additive is not None
    assert other.additive.why == "ops, activations and a constant take 100 % of a typical row's time, but are multiples of each other here: the fit can't separate them"  # fmt: skip


def test_a_linear_rule_between_three_counts_is_no_fit():
    rows = [observed({**c, "ops": c["macs"] / 1e8 + c["activations"] / 1e6}, 1e-12 * c["macs"]) for c in networks()]
    group = one(rows)
    assert group.additive is None
    assert (
        group.not_fitted
        == "ops, MACs, activations and a constant are linearly dependent: the fit can't separate their costs"
    )
    assert group.regression is not None


def test_groups_are_told_apart_by_all_six_keys_and_stand_in_their_order():
    rows = []
    for i, key in enumerate(("source", "device", "dtype", "layout", "mode", "pass")):
        rows += [observed(c, 1e-12 * c["macs"], **{key: f"other {i}"}) for c in networks(i, 6)]
    found = explain(Observations("test", tuple(reversed(rows)))).groups
    assert len(found) == 6
    assert [tuple(g.labels.values()) for g in found] == sorted(tuple(g.labels.values()) for g in found)


# ---------------------------------------------------------------- published


@cache
def published() -> Drivers:
    rows = []
    for name, macs, activations, layers, ops, batch, card_s, cpu_s in EVERY_TENTH:
        del name
        counts = {"conv_layers": layers, "ops": ops}
        rows.append(observed({"macs": macs * batch, "activations": activations * batch, **counts}, card_s, device="RTX 4090"))  # fmt: skip
        rows.append(observed({"macs": macs, "activations": activations, **counts}, cpu_s, device="i7-12700H"))
    for macs, phi_s, card_s in DEEPBENCH:
        counts = {"macs": macs, "conv_layers": 1, "ops": 1}
        rows.append(observed(counts, phi_s, device="Xeon Phi"))
        rows.append(observed(counts, card_s, device="V100"))
    for _, macs, activations, layers, ops, *times in TORCHBENCH:
        for batch, time_s in zip((1, 2, 4), times, strict=True):
            counts = {"macs": macs * batch, "activations": activations * batch, "conv_layers": layers, "ops": ops}
            rows.append(observed(counts, time_s, device="unnamed, small batch"))
    return explain(Observations("published", tuple(rows)))


@pytest.fixture(scope="module")
def tables() -> dict[str, Group]:
    return {g.labels["device"]: g for g in published().groups}


@pytest.mark.parametrize(
    ("device", "limit", "agreement"),
    [
        ("RTX 4090", "bandwidth-bound", 0.8),
        ("i7-12700H", "compute-bound", 0.95),
        ("Xeon Phi", "compute-bound", 0.95),
    ],
)
def test_published_tables_come_out_with_their_limits(tables: dict[str, Group], device: str, limit: str, agreement: float):  # fmt: skip
    model = tables[device].additive
    assert model is not None
    assert model.bottleneck == limit
    assert model.agreement >= agreement


@pytest.mark.parametrize(
    ("device", "why"),
    [("unnamed, small batch", "12 rows are too few to tell"), ("V100", "MACs take 63 % of a typical row's time, but the model is off by 28 %")],
)  # fmt: skip
def test_published_tables_that_tell_no_limit_say_why(tables: dict[str, Group], device: str, why: str):
    assert tables[device].limit.word == "unknown"
    assert why in tables[device].limit.why


def test_a_large_batch_follows_activations_and_macs_and_hardly_layers(tables: dict[str, Group]):
    fit = tables["RTX 4090"].regression
    assert fit is not None
    assert fit.alone["conv_layers"] < 0.3  # of all 243 networks 0.19, as published evidence has it
    assert min(fit.alone["macs"], fit.alone["activations"]) > 0.75  # 0.80 and 0.80
    assert fit.shapley["conv_layers"] == min(fit.shapley.values())


def test_deepbench_slopes_are_those_of_the_whole_table(tables: dict[str, Group]):
    for device, slope in (("Xeon Phi", 0.97), ("V100", 0.70)):
        fit = tables[device].regression
        assert fit is not None
        assert fit.elasticities["macs"].mean == pytest.approx(slope, abs=0.03)
        assert fit.elasticities["macs"].low <= slope <= fit.elasticities["macs"].high


# ---------------------------------------------------------------- told and drawn


def told(found: Drivers) -> str:
    out = StringIO()
    with redirect_stdout(out):
        words.print_explanation(found)
    return out.getvalue()


def test_the_table_has_a_line_for_each_count_and_a_sentence_for_each_group():
    text = told(explain(Observations("test", tuple(in_world(lambda c: 1e-12 * c["macs"])))))
    head, *_ = text.splitlines()
    assert head == "40 rows · a test · A100 · fp32 · nchw · eager · forward"
    assert [line.split()[0] for line in text.splitlines()[1:6]] == ["count", "MACs", "activations", "layers", "ops"]
    assert "compute-bound (in 100 % of resamples): MACs take " in text
    assert " us per GMAC" in text


def test_several_groups_are_named_by_what_tells_them_apart():
    found = published()
    text = told(found)
    for name in ("RTX 4090: bandwidth-bound", "V100: limit unknown", "activations: unknown", "layers: constant, 1 in every row"):  # fmt: skip
        assert name in text
    assert words.label(found.groups[0], found.groups[:1]) == ""


def test_what_could_not_be_fitted_is_told_and_not_drawn(tmp_path: Path):
    found = explain(Observations("test", tuple(in_world(lambda c: 1e-12 * c["macs"], 0.1, 1, 3))))
    assert "not fitted: 3 rows for 3 predictors" in told(found)
    assert drivers.draw(found, tmp_path) == ()


def drawn(found: Drivers) -> tuple[str, list[str]]:
    figure = drivers.picture(found)
    assert figure is not None
    assert figure._suptitle is not None
    return figure._suptitle.get_text().replace("\n", " "), [a.get_title(loc="left") for a in figure.axes]


def test_the_picture_states_the_limit_and_has_a_panel_for_each_predictor():
    rows = tuple(in_world(lambda c: 1e-12 * c["macs"]))
    title, panels = drawn(explain(Observations("test", rows)))
    assert title.startswith("Compute-bound: MACs take ")
    assert [p.split(":")[0] for p in panels if p] == ["what time goes to, by the additive model", "MACs alone", "activations alone", "layers alone"]  # fmt: skip
    title, _ = drawn(published())
    assert title == "Of 5 groups 2 are of unknown limit, 2 compute-bound and 1 bandwidth-bound"


@pytest.mark.parametrize("device", ["NVIDIA H100 80GB HBM3 (cuda:0)", "AMD Ryzen Threadripper PRO 7995WX 96-Cores, 96 threads", "of no known make " * 5])  # fmt: skip
def test_long_names_keep_what_tells_groups_apart(device: str):
    world = in_world(lambda c: 1e-12 * c["macs"])
    places = [(d, layout) for d in (device.strip(), "A100") for layout in ("channels_last", "contiguous")]
    rows = tuple(observed(r.counts, r.time_s, device=d, layout=layout) for d, layout in places for r in world)
    figure = drivers.picture(explain(Observations("test", rows)))
    assert figure is not None
    (legend,) = figure.legends
    named = [t.get_text() for t in legend.get_texts() if re.search("channels_last|contiguous", t.get_text())]
    assert len(set(named)) == len(places)
    assert max(map(len, named)) <= drivers.MOST_LETTERS


def test_the_small_print_says_what_resamples_doubt_and_the_title_what_is_mixed():
    mixed = in_world(lambda c: 1e-5 * c["ops"] + 2.5e-10 * c["activations"] + 2e-12 * c["macs"])
    assert drawn(explain(Observations("test", tuple(mixed))))[0] == "1 group is mixed"
    near = in_world(lambda c: 1e-5 * c["ops"] + 2e-12 * c["macs"], 0.1, n=24)  # MACs take a little over half
    figure = drivers.picture(explain(Observations("test", tuple(near))))
    assert re.search(r"as few as \d+ % of resamples agree on what limits a group", texts(figure))


def test_the_same_table_makes_the_same_files(tmp_path: Path):
    found = explain(Observations("test", tuple(in_world(lambda c: 1e-12 * c["macs"]))))
    first, second = (drivers.draw(found, tmp_path / name) for name in ("one", "two"))
    assert [p.name for p in first] == ["drivers.png", "drivers.svg"]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


# ---------------------------------------------------------------- the verb and the report


def run_verb(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["drivers", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_the_verb_prints_draws_and_gives_json(tmp_path: Path, sketched, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    lines = ["device,macs,activations,conv_layers,ops,time_s"]
    lines += [
        f"A100,{c['macs']},{c['activations']},{c['conv_layers']},{c['ops']},{1e-12 * c['macs']}" for c in networks()
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    status, out, err = run_verb(capsys, "table.csv")
    assert (status, err) == (0, "")
    assert out.endswith("picture: results/drivers-table/drivers.png\n")
    assert (tmp_path / "results" / "drivers-table" / "drivers.svg").is_file()
    status, out, err = run_verb(capsys, "table.csv", "--json")
    assert (status, err) == (0, "")
    (group,) = json.loads(out)["groups"]
    asked = (
        "source device dtype layout mode pass n predictors r2 elasticity shapley_r2 spearman additive regime".split()
    )
    assert set(asked) <= group.keys()
    assert group["elasticity"]["macs"]["value"] == pytest.approx(1)
    assert len(group["elasticity"]["macs"]["ci"]) == 2
    assert group["regime"] == "compute-bound"


def test_a_mistake_ends_with_status_2_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "bad.csv").write_text("macs,time_s\n1e9,0.1\n1e9,fast\n")
    for given_, said in (
        ("bad.csv", ":3: time_s: 'fast': it is not a number."),
        ("none.csv", "the table can't be read"),
    ):
        status, out, err = run_verb(capsys, tmp_path / given_)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert said in err


def test_a_runs_own_drivers_stand_in_its_pictures(tmp_path: Path, sketched, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setattr(write, "PICTURES", {})  # test_plots.py draws
    write_run(tmp_path, data=config({"threads": [1], "layout": ["contiguous"]}))
    views = write_views(tmp_path)
    assert [p.name for p in views.pictures][-2:] == ["drivers.png", "drivers.svg"]
    status, out, _ = run_verb(capsys, tmp_path)
    assert status == 0
    assert "rows are too few to tell" in out


def test_a_run_of_which_nothing_was_measured_has_no_such_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # fmt: skip
    monkeypatch.setattr(write, "PICTURES", {})
    write_run(tmp_path, Story(fails=dict.fromkeys(range(12), (1, "oom", "no memory"))))
    views = write_views(tmp_path)
    assert "drivers.png" not in [p.name for p in views.pictures]


@pytest.mark.fault("tables", "a name holds a dollar", "it is drawn as one, not as a formula")
def test_a_dollar_in_a_name_is_drawn_as_one(tmp_path: Path):
    rows = in_world(lambda c: 1e-12 * c["macs"] + 1e-5, 0.02, 1, 40)
    named = tuple(
        replace(r, labels={**r.labels, "device": ("A$x^$", "B $5 and $6")[i % 2]}) for i, r in enumerate(rows)
    )
    png, svg = drivers.draw(explain(Observations("test", named)), tmp_path)
    assert png.stat().st_size > 0
    assert "A$x^$" in svg.read_text()
