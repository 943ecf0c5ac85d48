"""Where the time goes: a block walked step by step does what the call does, its times come out exact, and are told."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.analyse.runs.run_folder import read, write_tables
from bench.measure import layer_timing
from bench.measure.device.devices import Cpu
from bench.measure.layer_timing import LeafWalk, Walk, part_of, parts_ns
from bench.measure.modules import Evaluation, build_module
from bench.show import write
from bench.show.plots import time_breakdown
from bench.show.write import write_views
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.columns import PARTS
from bench.spec.config.config import check
from bench.spec.plan.plan import Arm, Trial, make
from tests import own_blocks
from tests.shapes import NETWORKS, buildable, network_shape
from tests.synthetic import Story, config, write_run
from tests.test_plots import texts, title

COLUMNS = [f"time_in_{part}_s" for part in (*PARTS, "gaps")]


def walked(choice: BlockChoice, shape: Shape) -> tuple[Walk, torch.Tensor]:
    module = build_module(build(choice, shape)).eval()
    x = torch.randn(shape.batch, shape.c_in, shape.height, shape.width)
    with torch.inference_mode():
        steps = Walk(module, x)
        for _ in range(2):  # a second walk begins anew
            for _, step in steps.steps:
                step()
        return steps, module(x)


@given(buildable())
def test_a_walk_computes_what_the_call_computes(case: tuple[BlockChoice, Shape]) -> None:
    steps, output = walked(*case)
    assert torch.equal(steps.output, output)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_walk_goes_through_shortcuts_too(name: str) -> None:
    steps, output = walked(BlockChoice(name), network_shape(64))
    assert torch.allclose(steps.output, output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "part"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "depthwise"),
        (nn.Conv2d(4, 8, 3, groups=4), "depthwise"),
        (nn.Conv2d(1, 1, 3), "conv"),
        (nn.Conv2d(4, 8, 3), "conv"),
        (nn.Conv2d(4, 8, 3, groups=2), "conv"),
        (nn.Conv2d(4, 8, 1, groups=2), "conv"),
        (nn.Conv2d(4, 8, 1, stride=2), "pointwise"),
        (nn.Conv2d(4, 8, (1, 3)), "conv"),
        (nn.ConvTranspose2d(4, 8, 1), "conv"),
        (nn.BatchNorm2d(4), "norm_act"),
        (nn.ReLU6(), "norm_act"),
        (nn.Conv1d(4, 4, 3, groups=4), "depthwise"),
        (nn.Conv3d(4, 8, 1), "pointwise"),
        (nn.LayerNorm(4), "norm_act"),
        (nn.InstanceNorm2d(4), "norm_act"),
        (nn.GELU(), "norm_act"),
        (nn.MultiheadAttention(4, 2), "other"),
        (nn.Linear(4, 4), "other"),
        (nn.AdaptiveAvgPool2d(1), "other"),
    ],
)
def test_a_module_has_its_part(module: nn.Module, part: str) -> None:
    assert part_of(module) == part


def trial(mode: str = "eager", pass_: str = "inference", depth: int = 1) -> Trial:
    axes = {"channels": 8, "size": 6, "threads": 1, "mode": [mode], "pass": [pass_], "depth": depth}
    told = {"name": "t", "experiments": {"a": {"blocks": ["standard", "separable"], "axes": axes}}}
    return make(check(told, "t.yaml"), ["cpu"], 1).trials[0]


def evaluation(trial: Trial, arm: int = 1) -> Evaluation:
    return Evaluation(trial, trial.arms[arm], torch.device("cpu"), 0)


def test_each_step_has_the_time_that_passed_in_it() -> None:
    """By a clock that moves 10 ns each time it is read, a step takes 10 ns, and a call between two readings 10 too."""
    reads = count(0, 10)
    with torch.inference_mode():
        found = parts_ns(Cpu(lambda: next(reads)), evaluation(trial()), 1)
    assert found == {"whole": 10.0, "depthwise": 10.0, "pointwise": 10.0, "norm_act": 40.0}


def card(single_ns: float, step_ns: float) -> tuple[SimpleNamespace, list[int]]:
    timed: list[int] = []
    told = SimpleNamespace(
        torch_device=torch.device("meta"),
        time=lambda _, n: timed.append(n) or n * single_ns,
        steps=lambda calls, times: [[step_ns] * len(calls)] * times,
    )
    return told, timed


def test_a_cards_whole_call_is_what_a_sample_has_and_a_long_one_is_walked_once() -> None:
    told, timed = card(1e9, 1e8)
    with torch.inference_mode():
        found = parts_ns(told, evaluation(trial()), 2)
    assert timed == [2, 2]
    assert found == {"whole": 1e9, "depthwise": 1e8, "pointwise": 1e8, "norm_act": 4e8}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 1e6), min_size=6, max_size=6), st.floats(0, 1e5))
def test_events_that_take_as_long_each_are_taken_off_every_layer(own: list[float], event: float) -> None:
    told, _ = card(1e7, 0.0)
    told.steps = lambda calls, times: [[event] * (len(calls) - 6) + [ns + event for ns in own]] * times
    with torch.inference_mode():
        one = evaluation(trial())
        found = parts_ns(told, one, 1, own_ns=sum(own))
        assert found is not None
        assert sum(ns for part, ns in found.items() if part != "whole") == pytest.approx(sum(own), abs=1)
        assert found["depthwise"] == pytest.approx(own[0], abs=0.2)
        slower = parts_ns(told, one, 1, own_ns=2 * sum(own) + 6 * event)
    assert slower["depthwise"] == pytest.approx(own[0] + event, abs=0.2), "what a walk saves is no layer's"


def test_events_that_took_longer_than_a_layer_leave_it_below_0() -> None:
    """So that a reader sees it: at 0 the walk would look right."""
    told, _ = card(1e7, 0.0)
    told.steps = lambda calls, times: [[0.0] * (len(calls) - 6) + [0.0] + [2000.0] * 5] * times
    with torch.inference_mode():
        found = parts_ns(told, evaluation(trial()), 1, own_ns=4000.0)
    assert found == {"whole": 1e7, "depthwise": -1000.0, "pointwise": 1000.0, "norm_act": 4000.0}


def test_a_neighbour_that_takes_the_core_now_and_then_changes_no_share() -> None:
    """Of each ten readings of the clock one has lost 5 ms to somebody else."""
    now = [0]

    def clock() -> int:
        now[0] += 1
        return 10 * now[0] + 5_000_000 * (now[0] // 10)

    with torch.inference_mode():
        found = parts_ns(Cpu(clock), evaluation(trial()), 1)
    assert found == {"whole": 10.0, "depthwise": 10.0, "pointwise": 10.0, "norm_act": 40.0}


def test_only_plain_eager_inference_of_a_fair_length_is_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Cpu()
    assert parts_ns(device, evaluation(trial(pass_="training")), 1) is None
    with torch.inference_mode():
        one = evaluation(trial())
        one.replay = lambda: None
        assert parts_ns(device, one, 1) is None
        two = evaluation(trial())
        two.call = lambda x: x
        assert parts_ns(device, two, 1) is None
        monkeypatch.setattr(layer_timing, "MOST_STEPS", 6)
        assert parts_ns(device, evaluation(trial()), 1) is None
        unable, _ = card(1000, 1)
        unable.steps = lambda *_: None
        monkeypatch.setattr(layer_timing, "MOST_STEPS", 7)
        assert parts_ns(unable, evaluation(trial()), 1) is None


# ---------------------------------------------------------------- modules of a user's own


class Mixed(nn.Module):
    """Shares a module, does a part of its work outside of modules, and hands a tuple on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.rest = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.back = nn.MaxUnpool2d(2)
        self.mha = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.rest(self.conv(x))
        y = self.conv(y + x)
        y = self.back(*self.pool(y))
        t = y.flatten(2).transpose(1, 2)
        return self.mha(t, t, t, need_weights=False)[0].transpose(1, 2).reshape(x.shape)


def leaves(module: nn.Module, copies: int = 1) -> LeafWalk:
    with torch.inference_mode():
        return LeafWalk(nn.Sequential(*[module for _ in range(copies)]).eval(), torch.randn(1, 4, 4, 4))


def test_the_steps_of_a_users_module_are_its_innermost_calls_by_their_names() -> None:
    walk = leaves(Mixed())
    assert walk.names == ["conv", "rest.0", "rest.1", "conv", "pool", "back", "mha"]
    assert [part for part, _ in walk.steps] == ["conv", "norm_act", "pointwise", "conv", "other", "other", "other"]
    assert leaves(own_blocks.Functional(4, 4, kernel=3, stride=1)).names == ["Functional"], "a block without modules"
    assert leaves(own_blocks.thin(4, 4), 2).names == ["0.0", "0.1"] * 2


def test_no_hook_is_left() -> None:
    from torch.nn.modules import module as torchs

    before = len(torchs._global_forward_hooks), len(torchs._global_forward_pre_hooks)
    leaves(Mixed())
    with pytest.raises(RuntimeError):
        leaves(nn.Conv2d(3, 4, 1))
    assert (len(torchs._global_forward_hooks), len(torchs._global_forward_pre_hooks)) == before


def test_a_step_takes_what_an_earlier_step_gives_now() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.MaxPool2d(2, return_indices=True))
    back = nn.MaxUnpool2d(2)
    seen: list[torch.Tensor] = []
    block = nn.Module()
    block.module, block.back = module, back
    block.forward = lambda x: back(*module(x))
    walk = leaves(block)
    back.register_forward_hook(lambda _, args, output: seen.append(output.clone()))
    with torch.inference_mode():
        for factor in (1, 2):
            module[0].weight.fill_(factor)
            for _, step in walk.steps:
                step()
    assert torch.equal(seen[1], 2 * seen[0])
    assert walk._held == {}, "and no tensor is kept after its last use"


def test_a_users_modules_have_their_times_by_their_names() -> None:
    one = evaluation(trial())
    one.module = one.call = nn.Sequential(Mixed()).eval()
    one.input = torch.randn(1, 4, 4, 4)
    reads = count(0, 10)
    with torch.inference_mode():
        found = parts_ns(Cpu(lambda: next(reads)), one, 1, leaves=True)
    named = {"conv": 20, "rest.0": 10, "rest.1": 10, "pool": 10, "back": 10, "mha": 10}
    parts = {"whole": 10, "conv": 20, "norm_act": 10, "pointwise": 10, "other": 30}
    assert found == parts | {f"leaf:{name}": ns for name, ns in named.items()}


def test_a_row_names_the_modules_of_a_users_block(tmp_path: Path) -> None:
    def told(at: Trial, arm: Arm) -> dict[str, float]:
        return shares(at, arm) | ({} if arm.choice.name == "standard" else {"leaf:conv.0": 0.5, "leaf:b": 0.2})

    write_run(tmp_path, Story(parts=told))
    rows = read(tmp_path).measurements
    assert rows[rows["block"] == "standard"]["time_by_module"].isna().all()
    mine = rows[rows["block"] == "separable"].iloc[0]
    named = dict(each.split(":") for each in mine["time_by_module"].split())
    assert [float(named[name]) / mine["time_median_s"] for name in ("conv.0", "b")] == pytest.approx(
        [0.5, 0.2], rel=1e-3
    )
    assert mine["time_in_gaps_s"] / mine["time_median_s"] == pytest.approx(0.05)


def test_networks_of_a_users_own_are_drawn_by_their_names(tmp_path: Path) -> None:
    blocks = [{"import": f"tests.own_blocks:{name}", "name": name, "network": True} for name in ("Net", "Other")]
    data = config(experiments={"nets": {"blocks": blocks, "axes": {"size": 32, "threads": 1}}})
    parts = {"conv": 0.7, "other": 0.2, "leaf:stem": 0.7, "leaf:head": 0.2}
    write_run(tmp_path, Story(parts=lambda *_: parts, base_s=lambda _: 1e-3, speedup=lambda *_: 2.0), data)
    run = read(tmp_path)
    assert run.measurements["time_by_module"].str.startswith("stem:").all()
    figure = time_breakdown.of_networks(run)
    assert figure is not None
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Net", "Other"]


# ---------------------------------------------------------------- tables and picture


def shares(_: Trial, arm: Arm) -> dict[str, float]:
    if arm.choice.name == "standard":
        return {"conv": 0.8, "norm_act": 0.15}
    return {"depthwise": 0.5, "pointwise": 0.2, "norm_act": 0.25}


def test_parts_and_gaps_add_up_to_the_time(tmp_path: Path) -> None:
    write_run(tmp_path, Story(parts=shares))
    rows = read(tmp_path).measurements
    assert rows[COLUMNS].sum(axis=1).to_numpy() == pytest.approx(rows["time_median_s"].to_numpy())
    mine = rows[rows["block"] == "separable"].iloc[0]
    told = [mine[column] / mine["time_median_s"] for column in COLUMNS]
    assert told == pytest.approx([0.0, 0.5, 0.2, 0.25, 0.0, 0.05])


def test_without_a_walk_in_every_process_the_columns_are_empty_and_nothing_is_drawn(tmp_path: Path) -> None:
    write_run(tmp_path, Story(parts=shares, unwalked=frozenset({2})))
    run = read(tmp_path)
    assert run.measurements[COLUMNS].isna().all().all()
    assert time_breakdown.picture(run) is None


LONGER = {"conv": 1.2, "norm_act": 0.1}
BELOW_0 = {"conv": 0.8, "norm_act": -0.2}
NO_CALL = {"whole": 0.0, "conv": 0.8}
LEFT_OUT = "layer times of {} of 5 processes left out: longer than the call or below 0"


@pytest.mark.parametrize("read_as", [LONGER, BELOW_0, NO_CALL])
def test_a_walk_that_cannot_be_is_left_out_and_every_row_says_so(tmp_path: Path, read_as: dict[str, float]) -> None:
    write_run(tmp_path, Story(parts=shares, off={2: read_as}))
    run = read(tmp_path)
    mine = run.measurements[run.measurements["block"] == "separable"].iloc[0]
    told = [mine[column] / mine["time_median_s"] for column in COLUMNS]
    assert told == pytest.approx([0.0, 0.5, 0.2, 0.25, 0.0, 0.05]), "by the other four processes"
    for table in (run.measurements, run.pairs):
        assert {LEFT_OUT.format(1) in notes.split("; ") for notes in table["quality_notes"]} == {True}


@pytest.mark.parametrize("read_as", [LONGER, BELOW_0, NO_CALL])
def test_where_most_walks_cannot_be_the_cells_are_empty_and_nothing_is_drawn(
    tmp_path: Path, read_as: dict[str, float]
) -> None:
    write_run(tmp_path, Story(parts=shares, off={1: read_as, 3: read_as, 5: read_as}))
    run = read(tmp_path)
    assert run.measurements[COLUMNS].isna().all().all()
    assert LEFT_OUT.format(3) in run.pairs["quality_notes"][0]
    assert time_breakdown.picture(run) is None


def test_a_walk_a_little_longer_than_the_call_has_no_gaps(tmp_path: Path) -> None:
    write_run(tmp_path, Story(parts=lambda *_: {"conv": 0.83, "norm_act": 0.2}))
    rows = read(tmp_path).measurements
    assert (rows["time_in_gaps_s"] == 0).all()
    assert rows[COLUMNS].sum(axis=1).to_numpy() == pytest.approx(rows["time_median_s"].to_numpy())
    assert (rows["time_in_conv_s"] / rows["time_median_s"]).to_numpy() == pytest.approx(0.83 / 1.03)
    assert "left out" not in str(list(rows["quality_notes"]))


def test_gaps_below_0_in_tables_of_older_versions_are_not_drawn(tmp_path: Path) -> None:
    write_run(tmp_path / "run", Story(parts=shares))
    run = read(tmp_path / "run")
    run.measurements["time_in_gaps_s"] -= 0.1 * run.measurements["time_median_s"]
    write_tables(run, tmp_path / "tables")
    assert time_breakdown.picture(read(tmp_path / "tables")) is None


def test_the_title_tells_what_takes_most_of_the_time(tmp_path: Path) -> None:
    write_run(tmp_path, Story(parts=shares))
    figure = time_breakdown.picture(read(tmp_path))
    assert figure is not None
    assert title(figure) == "Separable spends 50 % of its time in depthwise and 25 % in norm and activation on cpu"


def test_noisy_cells_have_no_say_in_the_title_and_get_a_sign(tmp_path: Path) -> None:
    axes = {"channels": [16, 64], "threads": 1}
    told = {"name": "t", "experiments": {"a": {"blocks": ["standard", "separable"], "axes": axes}}}

    def odd(t: Trial, a: Arm) -> dict[str, float]:
        return {"depthwise": 0.9} if t.shape.c_in == 16 and a.choice.name == "separable" else shares(t, a)

    write_run(tmp_path / "one", Story(parts=odd, disturbed={0: 0.5}), told)
    run = read(tmp_path / "one")
    assert run.pairs["status"].tolist() == ["noisy", "ok"]
    figure = time_breakdown.picture(run)
    assert figure is not None
    assert "spends 50 % of its time in depthwise" in title(figure)
    assert "title: medians over cells, 1 of 2 left out as noisy" in texts(figure)
    assert {t.xy[0] < 5 for t in figure.axes[0].texts if t.get_text() == "~"} == {True}  # type: ignore[attr-defined]
    assert "~  noisy" in texts(figure)
    write_run(tmp_path / "both", Story(parts=shares, disturbed={0: 0.5, 1: 0.5}), told)
    both = time_breakdown.picture(read(tmp_path / "both"))
    assert "spends 50 % of its time in depthwise" in title(both)
    assert "left out" not in texts(both)


def test_bars_stand_as_high_as_the_speedup_says(tmp_path: Path) -> None:
    axes = {"channels": [16, 64], "threads": 1}
    told = {"name": "t", "experiments": {"a": {"blocks": ["standard", "separable"], "axes": axes}}}
    write_run(tmp_path, Story(parts=shares), told)
    run = read(tmp_path)
    figure = time_breakdown.picture(run)
    assert figure is not None
    (axis,) = figure.axes
    tops: dict[float, float] = {}
    for bar in axis.patches:
        tops[round(bar.get_x(), 6)] = max(tops.get(round(bar.get_x(), 6), 0.0), bar.get_y() + bar.get_height())
    heights = [tops[x] for x in sorted(tops)]
    times = run.measurements.set_index(["c_in", "block"])["time_median_s"]
    wanted = [times[c, b] / times[c, "standard"] for c in (16, 64) for b in ("standard", "separable")]
    assert heights == pytest.approx(wanted)


def test_the_page_has_the_picture_only_where_blocks_were_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(write, "PICTURES", {"parts": write.PICTURES["parts"]})
    for name, parts in (("walked", shares), ("plain", None)):
        write_run(tmp_path / name, Story(parts=parts), config())
        page = write_views(tmp_path / name).page.read_text(encoding="utf-8")
        assert ("of its time in depthwise" in page) is (name == "walked")


def test_networks_are_drawn_as_bars_as_long_as_their_time_over_the_baselines(tmp_path: Path) -> None:
    """Their parts add up to the whole, all panels have one scale, and blocks stay in their own picture."""
    nets = {"blocks": ["mobilenet_v1_standard", "mobilenet_v1"], "axes": {"size": 32, "batch": [1, 4], "threads": 1}}
    blocks = {"blocks": ["standard", "separable"], "axes": {"channels": [16, 64], "threads": 1}}

    def told(trial: Trial, arm: Arm) -> dict[str, float]:
        return {"conv": 0.9} if "standard" in arm.choice.name else {"depthwise": 0.25, "pointwise": 0.5}

    write_run(tmp_path, Story(speedup=lambda *_: 4.0, parts=told), config(experiments={"nets": nets, "sweep": blocks}))
    run = read(tmp_path)
    figure = time_breakdown.of_networks(run)
    assert figure is not None
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["1 thread, batch 1", "1 thread, batch 4"]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["mobilenet_v1_standard", "mobilenet_v1"]
    assert len({axis.get_xlim() for axis in figure.axes}) == 1
    for axis in figure.axes:
        ends = [0.0, 0.0]
        for bar in axis.patches:
            ends[round(bar.get_y() + bar.get_height() / 2)] += bar.get_width()
        assert ends == pytest.approx([1.0, 0.25], rel=0.05)
    assert title(figure) == "mobilenet_v1 spends 50 % of its time in pointwise and 25 % in depthwise on cpu"
    made = time_breakdown.picture(run)
    assert made is not None
    assert "mobilenet" not in made.get_suptitle()
    only = config(experiments={"sweep": blocks})
    write_run(tmp_path / "blocks", Story(parts=told), only)
    assert time_breakdown.of_networks(read(tmp_path / "blocks")) is None
