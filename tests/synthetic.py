"""Results folders with a known truth: the files that a run leaves, written without measuring anything."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.spec.config.config import check
from bench.spec.plan import plan as planning
from bench.spec.plan.plan import Arm, Plan, Trial

Speedup = Callable[[Trial, Arm], float]
Seconds = Callable[[Trial, Arm], float]
BaseSeconds = Callable[[Trial], float]


def config(
    axes: Mapping[str, Any] | None = None,
    blocks: Sequence[Any] = ("standard", "separable"),
    timing: Mapping[str, Any] | None = None,
    experiments: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A config's plain data; without arguments 3 widths x 2 kernels on 1 and 2 threads."""
    usual = {"channels": [16, 64, 256], "kernel": [3, 5], "threads": [1, 2]}
    one = {"blocks": list(blocks), "axes": {**usual, **(axes or {})}}
    return {"name": "synthetic", "timing": dict(timing or {}), "experiments": dict(experiments or {"sweep": one})}


def half_the_promise(trial: Trial, arm: Arm) -> float:
    """A truth: every arm delivers half of its MAC ratio."""
    return trial.cost(trial.arms[0]).macs / trial.cost(arm).macs / 2


def realistic(trial: Trial, arm: Arm) -> float:
    """A truth that looks like a machine's: launches and low intensity eat the promise of small and of thin blocks."""
    ratio = trial.cost(trial.arms[0]).macs / trial.cost(arm).macs
    width = math.sqrt(trial.shape.c_in * trial.shape.c_out)
    share = 0.62 / (1 + (28 / width) ** 1.1)
    share *= 1.0 if trial.layout == "channels_last" else 0.6
    share *= 1.0 if trial.surroundings.threads == 1 else 0.8
    return float(max(0.35, ratio * share if trial.surroundings.device == "cpu" else ratio * share**2))


def by_ops_and_flops(trial: Trial) -> float:
    """Seconds of a trial's baseline: 3 us an operator and 50 GFLOP/s."""
    return 3e-6 * trial.cost(trial.arms[0]).ops + trial.cost(trial.arms[0]).flops / 5e10


@dataclass
class Story:
    """What befalls a run. Trials are told by their place in the plan; processes count from 1."""

    speedup: Speedup = half_the_promise
    seconds: Seconds | None = None  # a world: the true time of every arm; `speedup` then says nothing
    base_s: BaseSeconds = by_ops_and_flops
    processes: int = 5
    rounds: int = 8
    process_sd: float = 0.004  # of ln(time), per arm and process
    sample_scale: float = 0.02  # mean of the exponential noise on a sample
    fails: Mapping[int, tuple[int, str, str]] = field(default_factory=dict)  # trial -> process, status, detail
    uninspected: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    once: frozenset[int] = frozenset()  # trials that one process measured
    unreached: frozenset[int] = frozenset()
    disturbed: Mapping[int, float] = field(
        default_factory=dict
    )  # trial -> ln slowdown of its last arm in stalled rounds
    slow_median: frozenset[int] = frozenset()  # trials whose last arm is mostly slower than its minimum
    wide: Mapping[int, float] = field(default_factory=dict)  # trial -> process_sd of its own
    parts: Callable[[Trial, Arm], Mapping[str, float]] | None = None  # shares of an arm's time
    unwalked: frozenset[int] = frozenset()  # processes that did not walk
    off: Mapping[int, Mapping[str, float]] = field(default_factory=dict)  # process -> what its walks read instead
    seed: int = 1
    run_id: str = "synthetic-cpu-20260101T000000Z"
    sessions: int = 1
    schema_version: int = 1


def write_run(
    folder: Path,
    story: Story | None = None,
    data: Mapping[str, Any] | None = None,
    devices: Sequence[str] = ("cpu",),
    cores: int = 2,
    environment: Mapping[str, Any] | None = None,
) -> Plan:
    """Write plan.json, environment.json and journal.jsonl; returns the plan."""
    story = story or Story()
    made = planning.make(check(dict(data or config()), "synthetic"), devices, cores)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(made.to_dict()))
    names = {d: {"name": "Imaginary CPU @ 2.00GHz" if d == "cpu" else "Imaginary GPU"} for d in devices}
    facts = {
        "run_id": story.run_id,
        "started_utc": "2026-01-01T00:00:00Z",
        "command": "bench run synthetic.yaml",
        "bench_version": "0.1.0",
        "python": "3.11.9",
        "torch": "2.13.0",
        "host": {"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": cores, "memory_bytes": 8 << 30},
        "devices": names,
        "git": None,
        "ambers": [],
        **(environment or {}),
    }
    (folder / "environment.json").write_text(json.dumps(facts))
    (folder / "DONE").write_text("2026-01-01T00:00:00Z\n")
    lines = [json.dumps(r) for r in _records(made, story)]
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return made


def _records(made: Plan, story: Story) -> list[dict[str, Any]]:
    rng = np.random.default_rng(story.seed)
    utc = "2026-01-01T00:00:00Z"
    begin = {"type": "run", "run_id": story.run_id, "schema_version": story.schema_version, "utc": utc}
    records: list[dict[str, Any]] = [begin]
    for i, trial in enumerate(made.trials):
        if trial.skip is not None or i in story.unreached:
            continue
        records += [_inspection(trial, story.uninspected.get(i))] if trial.formula else []
        for replicate in range(1, (1 if i in story.once else story.processes) + 1):
            failing = story.fails.get(i)
            if failing is not None and failing[0] == replicate:
                status = {"status": failing[1], "status_detail": failing[2]}
                records.append({"type": "visit", "trial_id": trial.trial_id, "replicate": replicate, **status})
                break
            records.append(_visit(trial, i, replicate, story, rng))
        why = "failed" if i in story.fails else "precision"
        records.append({"type": "settled", "trial_id": trial.trial_id, "why": why})
    kinds = ["interrupt"] * (story.sessions - 1) + ["end"]
    return records + [{"type": kind, "utc": utc, "wall_s": 100.0, "timed_s": 60.0} for kind in kinds]


def _inspection(trial: Trial, failed: tuple[str, str] | None) -> dict[str, Any]:
    told = {"type": "inspect", "trial_id": trial.trial_id, "wall_s": 0.1}
    if failed is not None:
        return {**told, "status": failed[0], "status_detail": failed[1]}
    arms = [
        {
            "arm_id": a.arm_id,
            "memory_peak_bytes": round(trial.cost(a).memory_bytes * (1.0 + 0.3 * i)),
            "backends": ["Mkldnn"] * len(trial.block(a).layers),
            "output_shape": list(trial.cost(a).output),
            "params": trial.cost(a).params,
        }
        for i, a in enumerate(trial.arms)
    ]
    return {**told, "status": "ok", "status_detail": None, "arms": arms}


def _visit(trial: Trial, i: int, replicate: int, story: Story, rng: np.random.Generator) -> dict[str, Any]:
    coin = random.Random(replicate)
    letters = [chr(ord("A") + k) for k in range(len(trial.arms))]
    orders = []
    for _ in range(story.rounds):
        coin.shuffle(letters)
        orders.append("".join(letters + letters[::-1]))
    base_s = story.base_s(trial)
    sd = story.wide.get(i, story.process_sd)
    arms, warm_up, counters, timed = [], {}, {}, 0.0
    for k, arm in enumerate(trial.arms):
        ratio = 1.0 if k == 0 or story.seconds is not None else story.speedup(trial, arm)
        true_s = (story.seconds(trial, arm) if story.seconds else base_s / ratio) * math.exp(rng.normal(0, sd))
        noise = rng.exponential(story.sample_scale, 2 * story.rounds)
        flags = np.zeros(2 * story.rounds, dtype=int)
        last = k == len(trial.arms) - 1
        if last and i in story.slow_median:
            noise[2:] += 0.4
        if last and i in story.disturbed:  # the first half of the rounds was stalled
            flags[: story.rounds] = 2 | 32
            noise[: story.rounds] += math.expm1(story.disturbed[i])
        ns = true_s * 1e9 * (1 + noise)
        evaluations = max(1, math.ceil(2e-3 / true_s))
        timed += float(ns.sum()) * evaluations / 1e9
        gpu = trial.surroundings.device != "cpu"
        arms.append(
            {
                "arm_id": arm.arm_id,
                "evaluations_per_sample": evaluations,
                "samples_ns": ns.round(1).tolist(),
                "device_ns": (ns * 0.8).round(1).tolist() if gpu else None,
                "flags": flags.tolist(),
            }
        )
        if story.parts is not None and replicate not in story.unwalked:
            shares = {"whole": 1.0, **story.off.get(replicate, story.parts(trial, arm))}
            arms[-1]["parts_ns"] = {part: share * true_s * 1e9 for part, share in shares.items()}
        warm_up[arm.arm_id] = [round(true_s * 3e9, 1), round(true_s * 1.5e9, 1), round(true_s * 1e9, 1)]
        counters[arm.arm_id] = {"run_queue_wait_ns": 1000, "involuntary_switches": 1, "minor_faults": 2}
    return {
        "type": "visit",
        "trial_id": trial.trial_id,
        "replicate": replicate,
        "status": "ok",
        "status_detail": None,
        "stop": "rounds",
        "precision": 0.01,
        "rounds": story.rounds,
        "orders": orders,
        "warm_up": {"settled": True, "samples_ns": warm_up, "wall_s": 0.1},
        "arms": arms,
        "counters": counters,
        "timed_s": timed,
        "wall_s": timed + 0.2,
    }
