"""Predict a trial on a named device: the seconds of each arm's call, and whether all arms fit into its memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from bench.spec.blocks.costs import ITEM_BYTES, allocations
from bench.spec.blocks.kernels import of_block
from bench.spec.blocks.liveness import Step
from bench.spec.devices.predicted_devices import PredictedDevice, find_device
from bench.spec.model.kernel_model import CallTime, Mode, call_seconds
from bench.spec.plan.plan import Arm, Surroundings, Trial


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of an arm. `held` all the time: weights, input and, in training, the gradient of the output.

    `left` between two calls: gradients in training, the output of a graph. `steps`: the allocations of a call.
    """

    held: tuple[int, ...]
    left: int
    steps: tuple[Step, ...]


def device_of(place: Surroundings) -> PredictedDevice:
    """The device of these surroundings, a CPU with their threads. UserError for an unknown device."""
    return find_device(place.device).on(place.threads)


def call_of(trial: Trial, arm: Arm) -> CallTime:
    """Seconds of one call of the arm. UserError for a dtype without a peak on the device."""
    shape = trial.shape
    training, channels_last = trial.pass_ == "training", trial.layout == "channels_last"
    kernels = of_block(trial.block(arm), shape.height, shape.width, shape.batch, trial.dtype, channels_last)
    return call_seconds(device_of(trial.surroundings), kernels, cast(Mode, trial.mode), training=training)


def memory_of(trial: Trial, arm: Arm) -> Memory:
    """The memory of an arm."""
    shape, training, item = trial.shape, trial.pass_ == "training", ITEM_BYTES[trial.dtype]
    cost = trial.cost(arm)
    values = shape.batch * shape.c_in * shape.height * shape.width
    steps = allocations(trial.block(arm), shape.height, shape.width, shape.batch, trial.dtype, training)
    return memory(trial, item * cost.params, item * values, item * math.prod(cost.output), steps)


def memory(trial: Trial, weights: int, input_bytes: int, output_bytes: int, steps: Sequence[Step]) -> Memory:
    """The memory of an arm from the bytes of its weights, input and output, and the allocations of a call."""
    if trial.pass_ == "training":
        return Memory((weights, input_bytes, output_bytes), weights + input_bytes, tuple(steps))
    return Memory((weights, input_bytes), output_bytes if trial.mode == "graph" else 0, tuple(steps))


def refused_allocation(arms: Sequence[Memory], capacity: float) -> str | None:
    """The first allocation beyond `capacity` bytes, in torch's words; None where all arms fit."""
    for step in _allocations(arms):
        if step.alive > capacity:
            free = capacity - step.alive + step.asked
            asked, total, free_ = (f"{n / 2**20:.2f} MiB" for n in (step.asked, capacity, free))
            return f"Tried to allocate {asked}. Device 0 has a total capacity of {total} of which {free_} is free."
    return None


def _allocations(arms: Sequence[Memory]) -> Iterator[Step]:
    """All arms are built first, then called one after the other."""
    alive = 0
    for asked in (n for arm in arms for n in arm.held):
        alive += asked
        yield Step(asked, alive)
    alive += sum(arm.left for arm in arms)
    for arm in arms:
        for step in arm.steps:
            yield Step(step.asked, alive - arm.left + step.alive)
