"""A worker's jobs on a trial, each with its record for the journal: inspect, visit (time), a side's part of it, opinions."""

from __future__ import annotations

import contextlib
import gc
import random
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

import torch

from bench.measure import layer_timing, modules, sampling, second_opinions, user_kernels
from bench.measure.device.counts import Peak
from bench.measure.device.devices import Device, Launches, is_fault, kept, put_back, set_switches
from bench.measure.device.telemetry import Nvml
from bench.measure.disturbance import Counters, Watch
from bench.measure.modules import Evaluation
from bench.measure.user_blocks import count
from bench.spec.config.timing import Timing
from bench.spec.plan.plan import Arm, Trial

_T = TypeVar("_T")


class NotFinite(Exception):
    """An output with infinities or NaNs, or with another shape than planned."""


@contextlib.contextmanager
def _built(trial: Trial, device: Device, seed: int) -> Iterator[list[Evaluation]]:
    """The trial's evaluations in the plan's order, built in random order, with its switches and grad mode set.

    What a block changes of the process is put back, and noted in `changed`, which the evaluations share.
    """
    set_switches(trial.dtype, trial.cudnn_benchmark == "on")
    if trial.mode == "compile":
        modules.start_over()
    order: list[int] = list(range(len(trial.arms)))
    random.Random(seed).shuffle(order)
    at_first, changed = kept(), list[str]()
    try:
        with torch.inference_mode(trial.pass_ == "inference"):
            built: dict[int, Evaluation] = {}
            for i in order:
                before, label = kept(), trial.arms[i].choice.label
                try:
                    built[i] = Evaluation(trial, trial.arms[i], device.torch_device, seed + i)
                except Exception as error:
                    if label not in str(error):
                        error.add_note(f"{label}: ")
                    raise
                changed += [f"{label} changed {what}" for what in put_back(before)]
                built[i].changed = changed
                if trial.mode == "graph":
                    built[i].capture(device.capture)
                if trial.mode == "compile":
                    built[i].compile(device.time)
            yield [built[i] for i in sorted(built)]
    finally:
        who = " or ".join(arm.choice.label for arm in trial.arms if arm.choice.factory is not None) or "torch"
        changed += [f"{who} changed {what}" for what in put_back(at_first)]


def inspect(trial: Trial, device: Device) -> dict[str, Any]:
    """One evaluation of each arm: shape, finiteness, memory, backends; launches last, as they may spoil the device."""
    if trial.predicted:
        return user_kernels.inspect(trial)
    arms: list[dict[str, Any]] = []
    with _built(trial, device, 0) as evaluations:
        for arm, evaluation in zip(trial.arms, evaluations, strict=True):
            output = check_output(trial, arm, evaluation)
            # a graph holds its memory from its capture on, so a replay allocates none
            held = trial.mode == "graph"
            peak = None if held else _fact(partial(device.memory_peak, evaluation, evaluation.clear))
            peak = peak or Peak(None)
            arms.append(
                {
                    "arm_id": arm.arm_id,
                    "memory_peak_bytes": peak.allocated,
                    "memory_requested_bytes": peak.requested,
                    "memory_reserved_bytes": peak.reserved,
                    "backends": _fact(evaluation.backends) or [],
                    "compile_ns": evaluation.first_call_ns,
                    "output_shape": list(output),
                    "params": sum(p.numel() for p in evaluation.module.parameters()),
                }
            )
            if arm.choice.factory is not None:  # the costs of a user's block, counted as it runs
                arms[-1]["counted"] = _fact(partial(count, evaluation.module, evaluation.input, evaluation.training))
        for facts, evaluation in zip(arms, evaluations, strict=True):
            counts = (None if device.spoilt else _fact(partial(device.launches, evaluation.launched))) or Launches()
            facts |= {"launches": counts.profiler, "launches_graph": counts.graph}
    return {"status": "ok", "arms": arms}


def check_output(trial: Trial, arm: Arm, evaluation: Evaluation) -> tuple[int, ...]:
    """The output's shape. NotFinite for another shape than planned, and for infinities or NaNs."""
    output, what = evaluation(), f"the output of {arm.choice.label}"
    if arm.choice.factory is None and tuple(output.shape) != trial.cost(arm).output:
        raise NotFinite(f"{what} has shape {tuple(output.shape)}, planned was {trial.cost(arm).output}")
    tensors = [output]
    if evaluation.training:
        tensors += [p.grad for p in evaluation.module.parameters() if p.grad is not None]
    if not all(bool(torch.isfinite(t).all()) for t in tensors):
        raise NotFinite(f"{what} has infinities or NaNs in {trial.dtype}")
    return tuple(output.shape)


def visit(trial: Trial, device: Device, job: dict[str, Any], watch: Watch | None, card: Nvml | None) -> dict[str, Any]:
    """Sample the trial's arms; the card is read before and after."""
    timing = Timing.model_validate(job["timing"])
    seed = _seed(job, trial.trial_id)
    with _built(trial, device, seed) as evaluations:
        gc.collect()
        gc.disable()
        before = card.read() if card else None
        try:
            visit = sampling.sample([partial(device.time, e) for e in evaluations], timing, seed, device.clock, watch)
            others = _other_times(device, trial, evaluations, [arm.evaluations for arm in visit.arms])
        finally:
            gc.enable()
        for arm, evaluation in zip(trial.arms, evaluations, strict=True):
            check_output(trial, arm, evaluation)
    cards = {"card": [before, card.read()]} if card else {}
    return sampling.record(visit, [arm.arm_id for arm in trial.arms], others, evaluations[0].changed) | cards


def side(
    trial: Trial, device: Device, job: dict[str, Any], watch: Watch | None, card: Nvml | None,
    requests: Iterable[str], answer: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:  # fmt: skip
    """One arm of a visit in lockstep: time as many evaluations as each request says, until one says 0.

    Each answer has the nanoseconds and what the kernel counted. In the end: the arm's other times, what was changed.
    """
    evaluations = 2
    with _built(trial, device, _seed(job, trial.trial_id)) as (evaluation,):
        gc.collect()
        gc.disable()
        before = card.read() if card else None
        try:
            answer({"type": "built"})
            for line in requests:
                if (asked := int(line)) == 0:
                    break
                evaluations = asked
                if watch:
                    watch.refresh()
                start = watch.read() if watch else Counters()
                wall = device.time(evaluation, asked)
                answer({"type": "timed", "ns": wall, "counters": watch.read().minus(start) if watch else start})
            else:
                raise SystemExit  # the driver has ended
            others = _other_times(device, trial, [evaluation], [evaluations])
        finally:
            gc.enable()
        check_output(trial, trial.arms[0], evaluation)
    cards = {"card": [before, card.read()]} if card else {}
    return {"status": "ok", "others": others[0], "changed": evaluation.changed, **cards}


def _seed(job: dict[str, Any], name: str) -> int:
    return random.Random(f"{job['timing']['seed']}/{job['replicate']}/{name}").getrandbits(32)


def _other_times(
    device: Device, trial: Trial, evaluations: Sequence[Evaluation], numbers: Sequence[int]
) -> list[dict[str, Any]]:
    """What is timed of each arm after its samples of so many evaluations: the device's side, and the parts."""
    sides: Sequence[sampling.DeviceSide | None] = sampling.device_side(device, evaluations) or [None] * len(evaluations)
    told = []
    for arm, evaluation, number, side in zip(trial.arms, evaluations, numbers, sides, strict=True):
        warm, users = side and side.warm, arm.choice.factory is not None
        least = min(warm.ns) if warm and warm.proven else None
        parts = _fact(partial(layer_timing.parts_ns, device, evaluation, number, least, users))
        told.append({**(_device_side(side) if side else {}), **({"parts_ns": parts} if parts else {})})
    return told


def _fact(look: Callable[[], _T]) -> _T | None:
    """What `look` gives; None where it fails, as the row has its times without, unless the device is lost."""
    try:
        return look()
    except Exception as error:
        if is_fault(error):
            raise
        traceback.print_exc()
        return None


def opinions(trial: Trial, device: Device, threads: int) -> dict[str, Any]:
    """Other tools' times of each arm, built as for our samples."""
    with _built(trial, device, 0) as evaluations:
        for arm, evaluation in zip(trial.arms, evaluations, strict=True):
            check_output(trial, arm, evaluation)
        by_arm = second_opinions.ask(device, evaluations, threads)
    pairs = zip(trial.arms, by_arm, strict=True)
    return {"status": "ok", "arms": [{"arm_id": arm.arm_id, **asdict(o)} for arm, both in pairs for o in both]}


def _device_side(side: sampling.DeviceSide) -> dict[str, Any]:
    return {
        "device_ns": None if side.warm is None else sampling.rounded(list(side.warm.ns)),
        "device_cold_ns": None if side.cold is None else sampling.rounded(list(side.cold.ns)),
        "device_proven": None if side.warm is None else side.warm.proven,
        "enqueue_ns": sampling.rounded(side.submit),
    }
