"""A predicted device in a run: its facts for environment.json, and a trial's record for the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from bench.spec.devices.predicted_devices import find_device
from bench.spec.model.kernel_model import CallTime
from bench.spec.model.model_parameters import device_name, prediction_of
from bench.spec.model.predicted_trial import Memory, call_of, device_of, memory_of, refused_allocation
from bench.spec.plan.plan import Trial

Traced = Mapping[str, Mapping[str, Any]]
"""The inspection's results for arms with a user's block, by arm_id: `call` and `memory` as plain data."""


def facts(device: str) -> dict[str, Any]:
    """The device's facts, as a probe would give them. UserError for an unknown device."""
    model = find_device(device)
    return {"device_name": device_name(model), "prediction": asdict(prediction_of(model)), "disagree": model.disagree}


def visit(trial: Trial, traced: Traced) -> dict[str, Any]:
    """The trial's record, as a worker would answer: one round, whose samples are the predicted time."""
    head = {"type": "visit", "trial_id": trial.trial_id}
    device = device_of(trial.surroundings)
    memories = [
        TypeAdapter(Memory).validate_python(traced[a.arm_id]["memory"]) if a.arm_id in traced else memory_of(trial, a)
        for a in trial.arms
    ]
    refused = refused_allocation(memories, device.memory_bytes)
    if refused is not None:
        detail = f"it is predicted that the device could not hold it: {refused}"
        return head | {"status": "oom", "status_detail": detail, "wall_s": 0.0}
    calls = [
        TypeAdapter(CallTime).validate_python(traced[a.arm_id]["call"]) if a.arm_id in traced else call_of(trial, a)
        for a in trial.arms
    ]
    letters = "".join(chr(ord("A") + i) for i in range(len(calls)))
    return head | {
        "status": "ok",
        "predicted": True,
        "stop": "rounds",
        "precision": None,
        "rounds": 1,
        "orders": [letters + letters[::-1]],
        "warm_up": {"settled": True, "samples_ns": {}, "wall_s": 0.0},
        "arms": [_arm(a.arm_id, call, device.kind == "gpu") for a, call in zip(trial.arms, calls, strict=True)],
        "timed_s": 0.0,
        "wall_s": 0.0,
    }


def _arm(arm_id: str, call: CallTime, queued: bool) -> dict[str, Any]:
    wall = call.wall_s * 1e9
    arm: dict[str, Any] = {"arm_id": arm_id, "evaluations_per_sample": 1, "samples_ns": [wall, wall], "flags": [0, 0]}
    if queued:
        arm |= {"device_ns": [call.device_s * 1e9], "device_proven": True, "enqueue_ns": [call.host_s * 1e9]}
    return arm
