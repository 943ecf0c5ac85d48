"""Which trials are too slow for this machine, by a speed that was measured or, where none was, guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.spec.config.timing import Timing
from bench.spec.plan.durations import fewest_calls, flop_of, guessed_flop_per_s
from bench.spec.plan.plan import Plan, Trial

GUESSED = "by the guessed speed"  # how the reason of such a skip ends
REACHED = 0.4  # of a dense convolution's speed is what whole networks reached on one thread of a server


def sized(plan: Plan, flop_per_s: Mapping[str, float] | None = None) -> Plan:
    """The plan with trials skipped whose fewest rounds would take over `timing.visit_seconds`.

    `flop_per_s` is what a dense fp32 convolution reached on each device, on a CPU with one thread; a device that it lacks
    goes by a guess. Other dtypes are judged as fp32. The same plan where visits have no limit. No prediction is too slow.
    """
    if plan.timing.visit_seconds is None:
        return plan
    return replace(plan, trials=tuple(_judged(t, plan.timing, flop_per_s or {}) for t in plan.trials))


def speeds(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """FLOP/s of a dense convolution on each device that its probe told: a card's, or that of one of a CPU's threads."""
    return {
        device: told["conv_flop_per_s"] / (told["threads"] if device == "cpu" else 1)
        for device, told in facts.items()
        if told.get("conv_flop_per_s")
    }


def _judged(trial: Trial, timing: Timing, flop_per_s: Mapping[str, float]) -> Trial:
    limit = timing.visit_seconds
    if trial.skip is not None or limit is None or trial.predicted:
        return trial
    place = trial.surroundings
    threads = place.threads if place.device == "cpu" else 1
    measured = place.device in flop_per_s
    speed = REACHED * flop_per_s[place.device] * threads if measured else guessed_flop_per_s(place)
    if fewest_calls(timing) * flop_of(trial) <= limit * speed:
        return trial
    how = "by the measured speed" if measured else GUESSED
    return replace(trial, skip=f"its fewest rounds would take over visit_seconds, {limit:g} s, {how}")
