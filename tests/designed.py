"""A run of designed experiments with a known truth: time = seconds per layer x layers + seconds per MAC x MACs."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analyse.runs import run_folder
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, write_run

LAYER_S = 12e-6
MAC_S = {"standard": 4e-11, "separable": 1.4e-10}
PAIR = ["standard", "separable"]
NETWORKS = ["mobilenet_v1_standard", "mobilenet_v1", "resnet18", "resnet50", "vgg16"]
_OF_DEPTH = re.compile(r"_at_\d+$")  # an experiment for each depth, until axes can walk in step


def seconds(trial: Trial, arm: Arm) -> float:
    """The truth. A second thread halves the work and not the layers; a replayed graph takes three quarters off each layer."""
    cost, place = trial.cost(arm), trial.surroundings
    card = place.device != "cpu"
    layer_s = LAYER_S * (0.25 if trial.mode == "graph" else 1) * (0.7 if card else 1)
    mac_s = MAC_S.get(arm.choice.name, 6e-11) / (60 if card else place.threads)
    mac_s *= 1.15 if trial.layout == "contiguous" else 1.0
    mac_s *= 1.3 if place.allocator == "default" and arm.choice.name == "separable" else 1.0
    return layer_s * cost.layers + mac_s * cost.macs


def story(**more: Any) -> Story:
    """What befalls such a run."""
    return Story(
        speedup=lambda t, a: seconds(t, t.arms[0]) / seconds(t, a), base_s=lambda t: seconds(t, t.arms[0]), **more
    )


def data(**kept: Any) -> dict[str, Any]:
    """The config: the experiments whose names begin with one of `only` (all unless told), `axes` over their own."""
    both = {"threads": ["all", 1], "layout": "channels_last"} | kept.get("axes", {})
    one: dict[str, Any] = {"threads": 1, "layout": "channels_last"}
    base = one | {"channels": 64, "kernel": 3}
    made: dict[str, Any] = {
        "channels_by_kernel": {"blocks": PAIR, "axes": both | {"channels": [8, 16, 32, 64, 128, 256], "kernel": [3, 5, 7]}},
    }  # fmt: skip
    for channels, depth in ((128, 1), (64, 4), (32, 16), (16, 64)):
        axes = both | {"channels": channels, "depth": depth, "size": 28, "batch": [1, 16], "mode": kept.get("mode", ["eager"])}  # fmt: skip
        made[f"depth_by_channels_at_{depth}"] = {"blocks": PAIR, "axes": axes}
    for size, depth in ((56, 1), (28, 4), (14, 16), (7, 64)):
        axes = both | {"channels": 64, "depth": depth, "size": size, "batch": [1, 16], "mode": kept.get("mode", ["eager"])}  # fmt: skip
        made[f"depth_by_map_at_{depth}"] = {"blocks": PAIR, "axes": axes}
    made |= {
        "macs_at_fixed_depth": {"blocks": PAIR, "axes": both | {"channels": [8, 16, 32, 64, 128], "depth": 8, "size": 28, "batch": [1, 16]}},
        "networks": {"blocks": NETWORKS, "axes": one | {"batch": [1, 8], "size": 64}},
        "dose_threads": {"blocks": PAIR, "axes": base | {"threads": [1, 2]}},
        "dose_batch": {"blocks": PAIR, "axes": base | {"batch": [1, 2, 4, 8, 16, 32]}},
        "dose_dtype_layout": {"blocks": PAIR, "axes": base | {"dtype": ["fp32", "bf16"], "layout": ["contiguous", "channels_last"]}},
        "dose_allocator": {"blocks": PAIR, "axes": base | {"allocator": ["retain", "default"]}},
        "dose_mode": {"blocks": PAIR, "axes": base | {"mode": ["eager", "compile"]}},
        "passes": {"blocks": PAIR, "axes": base | {"pass": ["inference", "training"], "batch": 2}},
    }  # fmt: skip
    only = kept.get("only")
    experiments = {n: e for n, e in made.items() if only is None or n.startswith(tuple(only))}
    return {"name": "designed", "experiments": experiments}


def run(folder: Path, told: Story | None = None, devices: tuple[str, ...] = ("cpu",), **kept: Any) -> run_folder.Run:
    """Such a run, read back."""
    write_run(folder, told or story(), data(**kept), devices)
    return whole(run_folder.read(folder))


def whole(read: run_folder.Run) -> run_folder.Run:
    """The run with the experiments of a depth each put together again."""

    def together(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(experiment=frame["experiment"].str.replace(_OF_DEPTH, "", regex=True))

    return dataclasses.replace(read, measurements=together(read.measurements), pairs=together(read.pairs))
