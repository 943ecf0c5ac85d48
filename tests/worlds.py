"""Worlds whose truth is known: what an evaluation costs as a function of trial and arm, and the run that measures it.

A run here is made of frames alone, so hundreds of them can be drawn in a test. tests/synthetic.py writes whole folders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.analyse.runs.measured_rows import Row
from bench.analyse.runs.run_folder import Run, frame
from bench.spec.blocks.costs import layer_ratio, mac_ratio
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.interval import t_interval
from bench.spec.plan import plan as planning
from bench.spec.plan.plan import Arm, Plan, Trial
from tests.synthetic import Seconds

HOST = {"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": 4, "memory_bytes": 8 << 30}
BLOCKS = ["standard", "separable"]
STACKS = [(128, 1), (64, 4), (32, 16)]  # channels, depth: MACs held within a fifth for both blocks
DEPTH = "depth"  # experiments depth_1, depth_2 ... are one: their axes walk in step


# ---------------------------------------------------------------- what time follows


def overhead(trial: Trial, arm: Arm) -> float:
    """Calls alone: 5 us each."""
    return 5e-6 * trial.cost(arm).ops


def compute(trial: Trial, arm: Arm) -> float:
    """MACs alone, shared by the threads."""
    return trial.cost(arm).macs / (1e10 * trial.surroundings.threads)


def bandwidth(trial: Trial, arm: Arm) -> float:
    """What layers put out, alone."""
    return trial.cost(arm).activations / 1e9


def equal(trial: Trial, arm: Arm) -> float:
    """Every evaluation takes the same."""
    return 1e-4


def server(trial: Trial, arm: Arm) -> float:
    """A CPU: mostly MACs, and for each call a price that grows with the threads that have to meet."""
    threads = trial.surroundings.threads
    return compute(trial, arm) + 2e-6 * (1 + math.log2(threads)) * trial.cost(arm).ops


def card(trial: Trial, arm: Arm) -> float:
    """An accelerator: eager calls cost 10 us, in a graph a fiftieth of that; the rest is fast."""
    call = 2e-7 if trial.mode == "graph" else 1e-5
    return call * trial.cost(arm).ops + trial.cost(arm).macs / 2e13 + trial.cost(arm).activations / 5e10


def by_device(cpu: Seconds, gpu: Seconds) -> Seconds:
    """One world on the CPU and another on accelerators."""
    return lambda trial, arm: (cpu if trial.surroundings.device == "cpu" else gpu)(trial, arm)


def speedup_of(ratio: float, base: Seconds = compute) -> Seconds:
    """The first arm as `base` has it, the others faster by a known ratio."""
    return lambda trial, arm: base(trial, trial.arms[0]) / (1.0 if arm == trial.arms[0] else ratio)


# ---------------------------------------------------------------- plans


def shapes(channels: Sequence[int] = (32, 64, 128, 256), **axes: Any) -> dict[str, Any]:
    """An experiment of standard against separable over channels."""
    return {"blocks": BLOCKS, "axes": {"channels": list(channels), "kernel": 3, "size": 28, "threads": [1], **axes}}


def ladders(**axes: Any) -> dict[str, Any]:
    """The designed sweeps: layers growing at fixed MACs, and MACs growing in stacks of 16."""
    steps = {f"{DEPTH}_{i}": shapes([c], depth=d, **axes) for i, (c, d) in enumerate(STACKS)}
    return {**steps, "width": shapes([16, 32, 64, 128], depth=16, **axes)}


def planned(devices: Sequence[str] = ("cpu",), cores: int = 4, **experiments: Mapping[str, Any]) -> Plan:
    """The plan of experiments."""
    return planning.make(check({"name": "world", "timing": {}, "experiments": experiments}, "world"), devices, cores)


@lru_cache(maxsize=64)
def usual(devices: tuple[str, ...] = ("cpu",)) -> Plan:
    """Shapes on one thread and all of them."""
    return planned(devices, shapes=shapes(threads=[1, 4]))


# ---------------------------------------------------------------- measuring


def run_of(
    plan: Plan,
    seconds: Seconds,
    *,
    sd: float = 0.01,
    shared_sd: float = 0.01,
    processes: int = 6,
    seed: int = 1,
    run_id: str = "world",
    host: Mapping[str, Any] | None = None,
    skipped: frozenset[int] = frozenset(),
    noisy: frozenset[int] = frozenset(),
    confidence: float = 0.95,
    noise_band: float | None = None,
) -> Run:
    """The frames of a run: ln(time) of a process is off by what its worker has in common and by each arm's own."""
    rng = np.random.default_rng(seed)
    workers: dict[Any, np.ndarray[Any, Any]] = {}
    arms: list[Row] = []
    pairs: list[Row] = []
    for i, trial in enumerate(plan.trials):
        off = workers.setdefault(trial.surroundings, rng.normal(0, shared_sd, processes))
        common = _common(trial, run_id, processes)
        measured = trial.skip is None and i not in skipped
        common["status"] = "skipped" if not measured else "noisy" if i in noisy else "ok"
        logs = [math.log(seconds(trial, a)) + off + rng.normal(0, sd, processes) for a in trial.arms]
        for arm, times in zip(trial.arms, logs, strict=True):
            seen = {**_timed(times.tolist(), confidence), "memory_peak_bytes": trial.cost(arm).memory_bytes}
            arms.append({**common, **_theory(trial, arm), **(seen if measured else {})})
        base = trial.cost(trial.arms[0])
        for arm, times in list(zip(trial.arms, logs, strict=True))[1:]:
            cost = trial.cost(arm)
            row = {**common, "arm_id": arm.arm_id, "block": arm.choice.label}
            row |= {"mac_ratio": mac_ratio(base, cost), "layer_ratio": layer_ratio(base, cost)}
            pairs.append(row | (_compared((logs[0] - times).tolist(), confidence, noise_band) if measured else {}))
    return Run(
        folder=Path(run_id), run_id=run_id, measurements=frame(arms, "m"), pairs=frame(pairs, "p"), samples=None,
        environment={"host": dict(HOST if host is None else host), "torch": "2.13.0"}, plan=plan,
        timing=Timing(confidence=confidence),
    )  # fmt: skip


def _common(trial: Trial, run_id: str, processes: int) -> Row:
    place = trial.surroundings
    return {
        **trial.shape_fields(), "run_id": run_id, "trial_id": trial.trial_id, "schema_version": 1,
        "experiment": DEPTH if trial.experiment.startswith(DEPTH) else trial.experiment,
        "baseline": trial.arms[0].choice.label, "dtype": trial.dtype, "layout": trial.layout, "mode": trial.mode,
        "cudnn_benchmark": trial.cudnn_benchmark, "pass": trial.pass_, "threads": place.threads, "allocator": place.allocator,
        "waiting": place.waiting, "device": place.device, "device_name": f"Imaginary {place.device}", "processes": processes,
    }  # fmt: skip


def _theory(trial: Trial, arm: Arm) -> Row:
    cost = trial.cost(arm)
    return {
        "arm_id": arm.arm_id, "block": arm.choice.label, "params": cost.params, "macs": cost.macs, "flops": cost.flops,
        "activations": cost.activations, "layers": cost.layers, "ops": cost.ops, "memory_theory_bytes": cost.memory_bytes,
    }  # fmt: skip


def _timed(logs: Sequence[float], confidence: float) -> Row:
    found = t_interval(logs, confidence)
    known = len(logs) > 1
    return {
        "time_median_s": math.exp(found.mean),
        "time_ci_low_s": math.exp(found.low) if known else None,
        "time_ci_high_s": math.exp(found.high) if known else None,
        "time_min_s": math.exp(found.mean),
        "time_by_process": " ".join(f"{i}:{math.exp(log):.9g}" for i, log in enumerate(logs, 1)),
    }


def _compared(logs: Sequence[float], confidence: float, noise_band: float | None) -> Row:
    found = t_interval(logs, confidence)
    known = len(logs) > 1
    return {
        "speedup": math.exp(found.mean),
        "speedup_ci_low": math.exp(found.low) if known else None,
        "speedup_ci_high": math.exp(found.high) if known else None,
        "precision": found.half_width if known else None,
        "noise_band": noise_band,
    }
