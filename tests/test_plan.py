"""The plan: the product of the axes, skips with their reasons, ids, the estimate, and what `bench plan` shows of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from bench.spec.config.config import MOST_TRIALS, SweepConfig, check, load
from bench.spec.errors import UserError
from bench.spec.plan import plan_text
from bench.spec.plan.durations import (
    CARD_START_SECONDS,
    COMPILE_SECONDS,
    COMPILER_COLD_SECONDS,
    COMPILER_START_SECONDS,
    ROOF_PROCESSES,
    ROOF_SECONDS,
    START_SECONDS,
    opinions_seconds,
    plan_seconds,
    sized,
    timeout_seconds,
    unlimited_seconds,
    visit_seconds,
)
from bench.spec.plan.plan import Plan, Surroundings, make, shape_words
from bench.spec.results_folder import checked

ROOT = Path(__file__).resolve().parents[1]


def config(*blocks: str, timing: dict[str, Any] | None = None, **axes: Any) -> SweepConfig:
    experiment = {"blocks": list(blocks or ("standard", "separable")), "axes": {"threads": 1} | axes}
    return check({"name": "t", "timing": timing or {}, "experiments": {"a": experiment}}, "t.yaml")


def planned(*blocks: str, devices: tuple[str, ...] = ("cpu",), cores: int = 2, **axes: Any) -> Plan:
    return make(config(*blocks, **axes), devices, cores)


def test_the_plan_is_the_product_of_the_axes():
    plan = planned(channels=[8, "8->16"], kernel=[3, 5], layout=["contiguous", "channels_last"], threads=["all", 1])
    assert len(plan.trials) == len(plan.active) == 16
    assert {(t.shape.c_in, t.shape.c_out, t.shape.kernel, t.layout, t.surroundings.threads) for t in plan.trials} == {
        (8, out, kernel, layout, threads)
        for out in (8, 16)
        for kernel in (3, 5)
        for layout in ("contiguous", "channels_last")
        for threads in (2, 1)
    }
    assert all([a.choice.name for a in t.arms] == ["standard", "separable"] for t in plan.trials)


def test_the_depth_sweeps_of_the_speed_thinking_config_hold_what_they_say(request: pytest.FixtureRequest):
    checked, _ = load(request.config.rootpath / "configs" / "speed_thinking.yaml")
    for device in ("cpu", "cuda:0"):
        plan = make(checked, [device], 2)
        for name, held in (("depth_by_channels", ("macs",)), ("depth_by_map", ("macs", "activations"))):
            arms = [(t, a) for t in plan.active if t.experiment == name for a in t.arms]
            depths = sorted({t.shape.depth for t, _ in arms})
            assert depths[-1] == 64 * depths[0]
            for block in ("standard", "separable") if "activations" in held else ("standard",):
                for batch in {t.shape.batch for t, _ in arms}:
                    costs = [t.cost(a) for t, a in arms if a.choice.name == block and t.shape.batch == batch]
                    assert len({c.layers for c in costs}) == len(depths) == 4
                    assert all(len({getattr(c, what) for c in costs}) == 1 for what in held)
        assert all(t.skip or t.shape.depth == 16 for t in plan.trials if t.experiment.startswith("macs_"))


@pytest.mark.parametrize(("name", "compiles"), [("default", False), ("speed_thinking", True)])
def test_every_way_that_a_device_runs_a_block_meets_every_number_of_channels(name: str, compiles: bool, request: pytest.FixtureRequest) -> None:  # fmt: skip
    checked, _ = load(request.config.rootpath / "configs" / f"{name}.yaml")
    ways = {
        "cpu": {(1, "eager", 1), (2, "eager", 1), (1, "eager", 16), (2, "eager", 16)},
        "cuda:0": {("", "eager", 1), ("", "eager", 64), ("", "graph", 1), ("", "graph", 16), *([("", "compile", 1)] * compiles)},
    }  # fmt: skip
    for device, wanted in ways.items():
        plan = sized(make(checked, [device], 2))
        cells: dict[Any, set[int]] = {}
        for t in plan.active:
            if t.shape.c_in and (t.shape.kernel, t.shape.height, t.shape.depth) == (3, 28, 1):
                way = (t.surroundings.threads if device == "cpu" else "", t.mode, t.shape.batch)
                cells.setdefault(way, set()).add(t.shape.c_in)
        assert all(cells[way] == {16, 32, 64, 128, 256} for way in wanted)
        if compiles:
            assert {len(swept) for swept in cells.values()} == {1, 5}, "a row of the map is whole, or no row"
        wider = {t.shape.c_in for t in plan.active if t.shape.kernel == 5 and t.shape.batch == 1}
        assert wider == {16, 32, 64, 128, 256}


def test_the_minutes_suffice_for_six_processes_on_a_card(request: pytest.FixtureRequest) -> None:
    checked, _ = load(request.config.rootpath / "configs" / "speed_thinking.yaml")
    plan = sized(make(checked, ["cuda:0"], 16))
    assert unlimited_seconds(plan, 6) < 1.1 * plan.limit_s, "with fewer than six no answer is in capitals"


def probed(flop_per_s: float | None, device: str = "cpu", threads: int = 1, detail: str = "a convolution at so much"):
    return {device: {"conv_flop_per_s": flop_per_s, "threads": threads, "conv_detail": detail}}


def test_trials_too_slow_for_the_speed_told_are_skipped_and_speed_scales_with_threads():
    made = make(
        config(timing={"visit_seconds": 2, "rounds_min": 3}, channels=[64, 128, 256], threads=[1, 2]), ["cpu"], 2
    )
    # 25 evaluations of both blocks: 1.63 G, 6.5 G and 25.8 G FLOP, at 0.4 of the speed
    kept = lambda plan: {(t.shape.c_in, t.surroundings.threads) for t in plan.active}  # noqa: E731
    assert kept(sized(made, probed(5e8))) == set()
    assert kept(sized(made, probed(1.1e9))) == {(64, 2)}
    assert kept(sized(made, probed(2.2e9))) == {(64, 1), (64, 2)}
    assert kept(sized(made, probed(4.4e9))) == {(64, 1), (64, 2), (128, 2)}
    assert kept(sized(made, probed(1e12))) == kept(made)
    assert kept(sized(made, probed(1.0, "cuda:0"))) == kept(sized(made)) == kept(made)  # by the guess
    assert {t.skip for t in sized(made, probed(5e8)).trials} == {
        "its fewest rounds would take over visit_seconds, 2 s, by the measured speed, a convolution at so much"
    }
    unlimited = make(config(channels=[64, 128]), ["cpu"], 2)
    assert sized(unlimited, probed(1.0)) is unlimited


def test_a_cards_speed_is_all_of_it_and_a_cpus_that_of_one_thread():
    """An H100 was once taken for a sixteenth of itself, as its host has sixteen cores."""
    told = config(timing={"visit_seconds": 2, "rounds_min": 3}, channels=[64, 128, 256])

    def kept(device: str, flop_per_s: float | None, threads: int) -> set[int]:
        made = make(told, [device], 16)
        return {t.shape.c_in for t in sized(made, probed(flop_per_s, device, threads)).active}

    assert kept("cpu", 16 * 2.2e9, 16) == kept("cpu", 2.2e9, 1) == {64}
    assert kept("cuda:0", 2.2e9, 16) == {64}
    assert kept("cuda:0", None, 16) == {64, 128, 256}


def test_ids_are_unique_and_say_what_departs_from_the_usual():
    plan = planned(
        channels=[8, "8->16"], kernel=[3, 5], size=[9, "9x12"], batch=[1, 2], stride=[1, 2], padding=["same", "valid"],
        dilation=[1, 2], depth=[1, 2], dtype=["fp32", "bf16"], layout=["contiguous", "channels_last"],
        allocator=["retain", "default"], waiting=["default", "active"], mode=["eager", "compile"],
        **{"pass": ["inference", "training"]},
    )  # fmt: skip
    assert len({t.trial_id for t in plan.trials}) == len(plan.trials) == 2**14
    assert len({a.arm_id for t in plan.trials for a in t.arms}) == 2**15
    assert plan.trials[0].trial_id == "a/c8-k3-9px-nchw-cpu-1t"
    assert plan.trials[-1].trial_id == (
        "a/c8to16-k5-9x12px-b2-stride2-dil2-depth2-valid-bf16-compile-training-nhwc-cpu-1t-malloc_default-active"
    )


def test_a_value_that_stands_twice_is_one_trial():
    assert len(planned(kernel=[3, 3], threads=["all", 2], cores=2).trials) == 1


def test_all_threads_are_the_physical_cores_and_more_are_skipped_with_the_reason():
    plan = planned(threads=["all", 1, 8], cores=4)
    assert [(t.surroundings.threads, t.skip) for t in plan.trials] == [
        (4, None),
        (1, None),
        (8, "8 threads on 4 physical cores would measure the scheduler"),
    ]
    assert len(plan.active) == 2


def test_what_cannot_be_built_is_skipped_with_the_reason():
    plan = planned("standard", "depthwise", channels=[8, "8->16"], padding="valid", size=[3, 9], kernel=5)
    assert [t.skip for t in plan.trials] == [
        "standard, standard: a kernel that reaches over 5 pixels does not fit in 3x3 without padding",
        None,
        "standard, standard: a kernel that reaches over 5 pixels does not fit in 3x3 without padding",
        "depthwise: it keeps the number of channels, so 8 in cannot become 16 out",
    ]


def test_cpu_axes_are_one_value_elsewhere_and_a_note_says_so():
    plan = planned(devices=("cpu", "cuda:1"), threads=[1, 2], waiting=["default", "passive"])
    assert [t.surroundings.device for t in plan.trials] == ["cpu"] * 4 + ["cuda:1"]
    assert plan.trials[-1].surroundings == Surroundings("cuda:1", 2, "retain", "default")
    assert plan.notes == ("a on cuda:1: threads, waiting affect only a CPU's time; one value is used",)


def test_an_experiment_for_one_kind_of_device_is_on_no_other():
    def of(on: str) -> SweepConfig:
        return check({"name": "t", "experiments": {"a": {"blocks": ["standard", "separable"], "on": on, "axes": {}}}}, "t.yaml")  # fmt: skip

    for on, devices in (("any", {"cpu", "cuda:0", "sim:h100"}), ("cpu", {"cpu"}), ("accelerator", {"cuda:0", "sim:h100"})):  # fmt: skip
        plan = make(of(on), ("cpu", "cuda:0", "sim:h100"), cores=1)
        assert {t.surroundings.device for t in plan.trials} == devices
    assert "\na: standard" not in plan_text.text(of("cpu"), make(of("any"), ("cuda:0",), cores=1))
    with pytest.raises(UserError, match=re.escape("t: 'cpu': no experiment is for this device (on)")):
        make(of("accelerator"), ("cpu",), cores=1)


def test_the_default_config_meets_every_way_that_a_device_runs_a_block():
    config, *_ = load(ROOT / "configs" / "default.yaml")
    ways = {
        device: {
            (t.mode, t.shape.batch, t.shape.kernel, t.surroundings.threads if device == "cpu" else None)
            for t in make(config, (device,), cores=8).trials
        }
        for device in ("cpu", "cuda:0")
    }
    assert ways["cpu"] == {("eager", batch, 3, threads) for batch in (1, 16) for threads in (1, 8)} | {
        ("eager", 1, 5, 1)
    }
    calls = {("eager", 1), ("eager", 64), ("graph", 1), ("graph", 16), ("compile", 1)}
    assert ways["cuda:0"] == {(mode, batch, 3, None) for mode, batch in calls} | {("eager", 1, 5, None)}


def test_devices_count_towards_the_most_trials():
    big = config(batch=list(range(1, 250)), stride=list(range(1, 65)), dilation=[1, 2])
    assert len(make(big, ["cpu"], 1).trials) * 2 > MOST_TRIALS
    with pytest.raises(UserError, match="on 2 device"):
        make(big, ["cpu", "cuda:0"], 1)


def test_a_plan_survives_being_written_as_json():
    plan = planned(channels=[8, "8->16"], padding=["same", "valid"], size=2, threads=[1, 9])
    assert any(t.skip for t in plan.trials)
    again = checked(json.dumps(plan.to_dict()), Plan, "plan.json")
    assert again == plan
    assert [t.cost(t.arms[0]) for t in again.active] == [t.cost(t.arms[0]) for t in plan.active]


def test_the_estimate_grows_with_processes_and_with_work():
    small, large = planned(size=14), planned(size=1024, channels=256)
    assert plan_seconds(small, 10) > 1.5 * plan_seconds(small, 5)
    assert plan_seconds(large, 5) > 2 * plan_seconds(small, 5)
    assert plan_seconds(planned(threads=99), 5) == 0
    (trial,) = small.trials
    once = 2 * START_SECONDS + visit_seconds(trial, small.timing) + ROOF_SECONDS
    assert plan_seconds(small, 1) == pytest.approx(once, abs=0.2)
    again = START_SECONDS + visit_seconds(trial, small.timing)
    for processes, roofs in ((2, 1), (ROOF_PROCESSES, 1), (ROOF_PROCESSES + 1, 0)):
        more = plan_seconds(small, processes) - plan_seconds(small, processes - 1)
        assert more == pytest.approx(again + roofs * ROOF_SECONDS)


def chosen(share: float, seed: int = 1, **axes: Any) -> list[str]:
    timing = {"second_opinions": share, "seed": seed}
    return [t.trial_id for t in make(config(timing=timing, **axes), ["cpu"], 2).chosen]


def test_compiling_and_an_accelerators_start_count_in_the_estimate():
    (eager, compiled) = planned(mode=["eager", "compile"]).trials
    (training,) = planned(mode="compile", **{"pass": "training"}).trials
    timing = config().timing
    assert visit_seconds(compiled, timing) > visit_seconds(eager, timing)
    by_mode = [plan_seconds(planned(mode=mode), 6) for mode in ("eager", "compile")]
    assert by_mode[1] - by_mode[0] > COMPILER_COLD_SECONDS + 7 * COMPILER_START_SECONDS + 2 * COMPILE_SECONDS
    assert by_mode[1] - by_mode[0] < 2 * by_mode[0] + 60
    assert timeout_seconds(eager, timing) == timing.timeout_seconds
    assert timeout_seconds(compiled, timing) >= timing.timeout_seconds + 2 * 60
    assert timeout_seconds(training, timing) > timeout_seconds(compiled, timing)
    on_card, on_cpu = planned(devices=("cuda:0",)), planned()
    assert plan_seconds(on_card, 6) - plan_seconds(on_cpu, 6) > 7 * (CARD_START_SECONDS - START_SECONDS)
    large = [planned(devices=(d,), size=224, batch=64, channels=256) for d in ("cpu", "cuda:0")]
    assert plan_seconds(large[1], 6) < plan_seconds(large[0], 6) / 10, "a card is not as slow as a CPU's thread"


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.001, 1), (0.2, 4), (0.5, 10), (1, 20)])
def test_second_opinions_take_the_asked_share_of_what_is_measured(share: float, count: int):
    axes = {"channels": [8, 16, 32, 64, 128], "kernel": [3, 5, 7, 9], "threads": [1, 99]}  # 20 run, 20 are skipped
    assert len(set(chosen(share, **axes))) == len(chosen(share, **axes)) == count
    assert not any("99t" in trial_id for trial_id in chosen(share, **axes))


def test_second_opinions_are_drawn_by_the_seed_alone():
    axes = {"channels": list(range(8, 48)), "kernel": [3, 5]}
    assert chosen(0.2, **axes) == chosen(0.2, **axes)
    assert chosen(0.2, **axes) != chosen(0.2, seed=2, **axes)
    assert chosen(1, threads=99) == []


def test_second_opinions_count_in_the_estimate_and_are_said():
    without, with_ = (make(config(timing={"second_opinions": share}, kernel=[3, 5]), ["cpu"], 2) for share in (0, 1))
    assert plan_seconds(with_, 5) - plan_seconds(without, 5) == pytest.approx(opinions_seconds(with_.trials))
    assert opinions_seconds(with_.trials) > 4 * 2 + START_SECONDS  # four arms, two tools, a second each
    asked = config(timing={"second_opinions": 1}, kernel=[3, 5])
    assert "second opinions on 2 trials, by torch.utils.benchmark and pytest-benchmark" in plan_text.text(asked, with_)
    assert json.loads(plan_text.as_json(asked, with_))["counts"]["second_opinions"] == 2
    assert "second opinions" not in plan_text.text(asked, without)


# ---------------------------------------------------------------- the outline


def test_the_outline_shows_product_skips_theory_and_minutes():
    axes = {"channels": [64, 128], "kernel": [3, 5], "threads": [1, 9]}
    conf = config("standard", "separable", timing={"processes_min": 3, "processes_max": 6}, **axes)
    text = plan_text.text(conf, make(conf, ["cpu"], 2))
    assert "t on cpu: 4 trials to measure, 8 arms, 4 skipped" in text
    assert "a: standard (baseline), separable\n  2 channels x 2 kernel x 2 threads = 8 trials a device" in text
    assert "  4  9 threads on 2 physical cores would measure the scheduler" in text
    row = next(line for line in text.splitlines() if line.lstrip().startswith("c64-k3-28px"))
    assert row.split() == ["c64-k3-28px", "1", "28.9", "M", "3.66", "M", "7.89", "2"]
    assert "  cpu, 1 thread: 4 trials" in text
    assert "with 3 to 6 processes a trial\n  until the interval of ln(speedup) is within 0.05 on each side" in text


def test_an_accelerator_has_no_threads_in_its_product_label_or_name():
    conf = config(threads=[1, 2], waiting=["active", "passive"], channels=[8, 16], cudnn_benchmark=["on", "off"])
    plan = make(conf, ["cuda:0"], 2)
    text = plan_text.text(conf, plan)
    assert "  2 channels x 2 cudnn_benchmark = 4 trials a device" in text
    assert "  cuda:0: 4 trials\n" in text
    assert plan.trials[0].trial_id == "a/c8-k3-28px-nchw-cuda0"
    both = plan_text.text(conf, make(conf, ["cpu", "cuda:0"], 2))
    assert "  2 channels x 2 threads x 2 waiting = 8 trials on cpu\n" in both
    assert "  2 channels x 2 cudnn_benchmark = 4 trials on cuda:0\n" in both


def test_the_theory_of_many_shapes_is_cut_and_all_of_it_is_to_be_had():
    conf = config(batch=list(range(1, 31)))
    plan = make(conf, ["cpu"], 2)
    assert plan_text.text(conf, plan).count("c64-k3-28px") == plan_text.SHAPES_SHOWN
    assert "and 10 more shapes: --all" in plan_text.text(conf, plan)
    everything = plan_text.text(conf, plan, everything=True)
    assert everything.count("c64-k3-28px") == 30
    assert "--all" not in everything


def test_training_stands_apart_in_the_theory_as_it_costs_three_times_as_much():
    conf = config("standard", **{"pass": ["inference", "training"]})
    text = plan_text.text(conf, make(conf, ["cpu"], 2))
    assert "c64-k3-28px                1    28.9 M" in text
    assert "c64-k3-28px-training       1    86.7 M" in text
    assert "mac_ratio" not in text  # nothing is compared


def test_a_plan_of_skips_alone_says_so():
    conf = config(threads=9)
    text = plan_text.text(conf, make(conf, ["cpu"], 2))
    assert "0 trials to measure, 0 arms, 1 skipped" in text
    assert text.endswith("time: none, as nothing is to be measured")


def test_json_holds_every_trial_with_the_theory_of_its_arms():
    conf = config("standard", "depthwise", channels=[8, "8->16"], threads=[1, 9])
    plan = make(conf, ["cpu"], 2)
    data = json.loads(plan_text.as_json(conf, plan))
    assert data["counts"] == {"trials": 4, "to_measure": 1, "skipped": 3, "second_opinions": 0, "arms": 2}
    assert [row["trial_id"] for row in data["trials"]] == [t.trial_id for t in plan.trials]
    assert [row["skip"] for row in data["trials"]] == [t.skip for t in plan.trials]
    assert sum(skip["trials"] for skip in data["skips"]) == 3
    first = data["trials"][0]
    for name in ("experiment", "batch", "c_in", "c_out", "height", "width", "kernel", "stride", "padding", "dilation"):
        assert name in first
    standard, depthwise = first["arms"]
    cost = plan.trials[0].cost(plan.trials[0].arms[1])
    assert (depthwise["macs"], depthwise["flops"], depthwise["bytes_min"]) == (cost.macs, cost.flops, cost.bytes_min)
    assert (depthwise["mac_ratio"], depthwise["layer_ratio"]) == (standard["macs"] / depthwise["macs"], 1)
    assert data["trials"][2]["arms"][1]["macs"] is None  # depthwise, 8 to 16 channels: there is no such block
    estimate = data["estimate"]
    assert estimate["minutes_min"] == plan_seconds(plan, estimate["processes_min"]) / 60 < estimate["minutes_max"]


def test_a_shape_is_named_by_what_departs_from_the_usual():
    (trial,) = planned(channels="3->4", size="7x9", batch=2).trials
    assert shape_words(trial.shape) == "c3to4-k3-7x9px-b2"


@pytest.mark.parametrize("processes", [2, 3, 6, 12, 40])
def test_half_the_width_takes_the_fewest_processes_that_give_it(processes: int):
    def width(n: int) -> float:
        return stats.t.ppf(0.975, n - 1) / n**0.5

    need = plan_text.processes_for_half(processes, 0.95)
    assert width(need) <= width(processes) / 2 < width(need - 1)


def test_the_outline_says_what_half_the_width_would_cost():
    text = plan_text.text(config(), planned())
    assert "half that width: about" in text
    assert "--set precision=0.025 --set processes_max=41" in text
