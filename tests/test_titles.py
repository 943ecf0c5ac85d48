"""A title is one sentence of at most 90 characters, and its numbers are those of the rows that its picture shows."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analyse.claims.judge import judge
from bench.analyse.facts import FEWER_MACS
from bench.analyse.runs import run_folder
from bench.analyse.runs.merged import together
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots import claims_forest
from bench.show.text import titles
from bench.show.write import PICTURES
from tests import designed
from tests.synthetic import Story, config, realistic, write_run

FIVE = ["standard", "separable", "depthwise", "inverted_bottleneck", "pointwise", "spatially_separable"]
NUMBER = re.compile(r"(under |[<>]|)(\d[\d.]*)(x| %)")


def is_one_short_sentence(title: str) -> bool:
    return 0 < len(title) <= 90 and not re.search(r"[;!?]|\.( |$)|\n", title)


def numbers(title: str) -> list[tuple[str, float]]:
    """Each ratio or percentage with the sign before it; percentages as shares."""
    return [(sign, float(value) / (100 if unit == " %" else 1)) for sign, value, unit in NUMBER.findall(title)]


def speaks_of(title: str, ends: Sequence[float], line: float = 1.0) -> None:
    """The title's last numbers are these ends to two digits, and none reads as the line or lies beyond it unless it does."""
    found = numbers(title)[-2:] if len(numbers(title)) > 1 else numbers(title) * 2
    for (sign, value), end in zip(found, (min(ends), max(ends)), strict=True):
        assert value == pytest.approx(end, rel=0.051, abs=0.0006) or (sign == "under " and 0 < end < value), title
        side = {"<": -1, ">": 1}.get(sign, (value > line) - (value < line))
        assert side == (end > line) - (end < line), title


# ---------------------------------------------------------------- the pictures of many kinds of run


def made(folder: Path, story: Story, data: dict[str, Any], devices: tuple[str, ...] = ("cpu",)) -> Run:
    write_run(folder, story, data, devices)
    return run_folder.read(folder)


def foretold(run: Run, device: str = "sim:h100") -> Run:
    """The same rows as a model's word for another device."""
    pairs = run.pairs.assign(
        device=device, status="predicted", precision=math.log(1.8), device_name="predicted NVIDIA H100"
    )
    pairs = pairs.assign(speedup_ci_low=pairs["speedup"] / 1.8, speedup_ci_high=pairs["speedup"] * 1.8)
    return replace(run, pairs=pairs, measurements=run.measurements.assign(device=device, status="predicted", memory_peak_bytes=None))  # fmt: skip


def beside(one: Run, other: Run) -> Run:
    frames = {n: pd.concat([getattr(one, n), getattr(other, n)], ignore_index=True) for n in ("pairs", "measurements")}
    return replace(one, **frames)


def kind(name: str, folder: Path) -> Run:
    """A run with what its name says."""
    small: dict[str, Any] = {"channels": [16, 256], "kernel": [3, 5], "threads": [1]}
    if name == "designed":
        return designed.run(folder, mode=["eager", "graph"], devices=("cpu", "cuda:0"))
    if name == "walked":
        shares = lambda t, a: {"conv": 0.8, "norm_act": 0.15} if a.choice.name == "standard" else {"depthwise": 0.5, "pointwise": 0.3}  # noqa: E731  # fmt: skip
        return made(folder, Story(speedup=realistic, parts=shares), config(small))
    if name == "several runs":
        xeon, card = ({"devices": {d: {"name": n}}} for d, n in (("cpu", "Intel(R) Xeon(R) Platinum 8581C CPU @ 2.10GHz"), ("cuda:0", "NVIDIA H100 80GB HBM3")))  # fmt: skip
        write_run(folder / "a", Story(run_id="a"), config(small), environment=xeon)
        write_run(folder / "b", Story(run_id="b", speedup=realistic), config(small), ("cuda:0",), environment=card)
        return together([run_folder.read(folder / "a"), run_folder.read(folder / "b")]).whole
    blocks = {"several blocks": FIVE, "two blocks": FIVE[:3]}.get(name, FIVE[:2])
    devices = {"devices": ("cpu", "cuda:0"), "many devices": ("cpu", *(f"cuda:{i}" for i in range(4)))}.get(name, ("cpu",))  # fmt: skip
    story = Story(speedup=realistic, processes=1 if name == "one process" else 4)
    story.unreached = frozenset(range(99)) if name == "nothing measured" else frozenset()
    run = made(folder, story, config(small, blocks), devices)
    return {"predicted": foretold, "mixed": lambda r: beside(r, foretold(r))}.get(name, lambda r: r)(run)


KINDS = "designed walked several_runs several_blocks two_blocks devices many_devices one_process predicted mixed nothing_measured usual".split()  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_picture_of_every_kind_of_run_has_one_short_sentence(name: str, tmp_path: Path):
    run = kind(name.replace("_", " "), tmp_path)
    said = {n: " ".join(f.get_suptitle().split()) for n, make in PICTURES.items() if (f := make(run)) is not None}
    assert bool(said) is (name != "nothing_measured")
    forest = None if run.members else claims_forest.picture(run, judge([run]))
    if forest is not None:
        said["claims"] = " ".join(forest.get_suptitle().split())
    for picture, title in said.items():
        assert is_one_short_sentence(title), (picture, title)
        foreseen = name == "predicted"
        assert ("predicted" in title) is foreseen, (picture, title)
        plain = re.search(r"\b(is|are|reads?|achieves|takes|moves)\b|(?<!would )\b(achieve|take|move)\b", title)
        assert not (foreseen and picture != "claims" and plain), (picture, title)
    told = [r for r in records_of(run.pairs) if name == "predicted" or r["status"] != "predicted"]
    swept = [r for r in told if r["experiment"] in ("sweep", "channels_by_kernel", "passes")]
    if "speedup" in said and name != "designed":
        speaks_of(said["speedup"], [r["speedup"] for r in swept])
        speaks_of(said["delivery"], [r["delivered_share"] for r in swept if r["mac_ratio"] > FEWER_MACS])
        first = [r for r in swept if (r["block"], r["baseline"]) == (swept[0]["block"], swept[0]["baseline"])]
        won = sum(r["speedup"] > 1 if r["verdict"] is None else r["verdict"] == "faster" for r in first)
        assert f" faster in {won} of {len(first)} cells" in said["map"]
    if name == "one_process":
        assert " reads " in said["speedup"]
        assert " reads faster " in said["map"]


# ---------------------------------------------------------------- any rows

NAMES = ("cpu", "cuda:0", "cuda:1", "cuda:0 (H100 80GB HBM3)", "cpu (Xeon Platinum 8581C, B)", "sim:h100", "sim:server_cpu")  # fmt: skip
BLOCKS = ("separable", "depthwise", "mobilenet_v1(width=0.25, resolution=128, alpha=1.0)", "my_own_block_with_a_long_name" * 3)  # fmt: skip
RATIO = st.floats(1e-3, 1e3) | st.floats(0.9, 1.1) | st.just(1.0)


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    count = draw(st.integers(1, 6))
    bare = draw(st.booleans())
    devices, blocks = draw(st.lists(st.sampled_from(NAMES), min_size=1)), draw(st.lists(st.sampled_from(BLOCKS), min_size=1))  # fmt: skip
    made = []
    for i in range(count):
        speedup, ratio = draw(RATIO), draw(st.floats(0.2, 20))
        made.append({
            "device": draw(st.sampled_from(devices)), "block": draw(st.sampled_from(blocks)), "baseline": draw(st.sampled_from(("standard", "mobilenet_v1_standard"))),
            "speedup": speedup, "speedup_ci_low": None if bare else speedup / 1.2, "mac_ratio": ratio, "trial_id": str(i), "kernel": 3,
            "verdict": None if bare else draw(st.sampled_from(("faster", "slower", "same", "undecided"))), "attainable_share": draw(st.floats(1e-6, 1.2)),
            "memory_peak_bytes": 1000 * draw(RATIO), "memory_theory_bytes": 1000.0,
        })  # fmt: skip
    return made


def told(every: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [r for r in every if not r["device"].startswith("sim:")] or list(every)


@given(rows())
def test_a_speedup_ranges_over_the_measured_rows(every: list[dict[str, Any]]):
    title = titles.speedup(every)
    assert is_one_short_sentence(title)
    some = told(every)
    speaks_of(title.split(" as fast as ")[0], [r["speedup"] for r in some])
    predicted = some[0]["device"].startswith("sim:")
    assert (" would be " in title) is predicted
    assert bool(re.search(r" reads? ", title)) is (not predicted and some[0]["speedup_ci_low"] is None)


@given(rows())
def test_shares_range_over_the_measured_rows(every: list[dict[str, Any]]):
    title, fewer = titles.delivery(every), [r for r in told(every) if r["mac_ratio"] > FEWER_MACS]
    assert is_one_short_sentence(title)
    if fewer:
        speaks_of(title.split(" of the MAC ratio")[0], [r["speedup"] / r["mac_ratio"] for r in fewer])
    reached = titles.roofline(every)
    assert is_one_short_sentence(reached)
    speaks_of(reached.split(" of the roof")[0], [r["attainable_share"] for r in told(every)])
    bare = titles.roofline([{**r, "attainable_share": None, "achieved_flop_per_s": 1e9 * r["speedup"]} for r in every])
    assert is_one_short_sentence(bare)
    assert " GFLOP/s" in bare


@given(rows())
def test_cells_networks_and_memory_are_counted_over_the_measured_rows(every: list[dict[str, Any]]):
    some = told(every)
    said = [titles.speedup_map(every), titles.networks(every), titles.memory(every)]
    assert all(map(is_one_short_sentence, said)), said
    won = sum(r["speedup"] > 1 if r["verdict"] is None else r["verdict"] == "faster" for r in some)
    assert f" faster in {won} of {len(some)} cell" in said[0]
    lead = max(some, key=lambda r: (r["mac_ratio"], r["block"]))
    speaks_of(said[1].split(" as fast as ")[0], [r["speedup"] for r in some if (r["block"], r["baseline"]) == (lead["block"], lead["baseline"])])  # fmt: skip
    speaks_of(said[2].split(" the theory")[0], [r["memory_peak_bytes"] / 1000 for r in every])


def test_names_give_way_to_numbers_where_they_are_many_or_long():
    row = {"device": "cpu", "block": "separable", "baseline": "standard", "speedup": 2.0, "speedup_ci_low": 1.9, "mac_ratio": 8.0}  # fmt: skip
    assert titles.speedup([row]) == "Separable is 2x as fast as standard on cpu"
    assert titles.speedup([row, {**row, "block": "depthwise", "speedup": 13.2}]) == "Separable and depthwise are 2x to 13x as fast as standard on cpu"  # fmt: skip
    many = [{**row, "block": f"b{i}", "device": f"cuda:{i}", "baseline": f"s{i % 2}"} for i in range(5)]
    assert titles.speedup(many) == "5 blocks are 2x as fast as their baselines on 5 devices"
    assert titles.speedup(many[:3]) == "3 blocks are 2x as fast as their baselines on cuda:0, cuda:1 and cuda:2"
    assert (
        titles.speedup([{**row, "device": "sim:h100"}]) == "Separable would be 2x as fast as standard on predicted h100"
    )
    assert titles.speedup([{**row, "block": "a" * 90}]) == "1 block is 2x as fast as the baseline on 1 device"
    assert titles.networks([{**row, "block": "mobilenet_v1"}]) == "mobilenet_v1 is 2x as fast as standard on cpu"


def test_what_is_far_below_its_roof_is_not_nothing():
    row = {"device": "cpu", "block": "separable", "baseline": "standard", "attainable_share": 0.0004}
    assert (
        titles.roofline([row, {**row, "attainable_share": 0.2}])
        == "Separable reaches under 0.1 % to 20 % of the roof on cpu"
    )
    standard = {**row, "block": "standard", "attainable_share": 0.9996}
    assert titles.roofline([row, standard]) == "Separable reaches under 0.1 % of the roof on cpu"
    assert titles.roofline([standard]) == "Standard reaches <100 % of the roof on cpu"
