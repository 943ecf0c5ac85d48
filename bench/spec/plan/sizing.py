"""Skip the trials that are too slow for this machine, by the speed of a convolution, measured or guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.spec.config.timing import Timing
from bench.spec.plan.durations import fewest_calls, flop_of, guessed_flop_per_s
from bench.spec.plan.plan import Plan, Trial

GUESSED = "by the guessed speed"  # the end of the reason of such a skip
REACHED = 0.4  # whole networks reached this share of a dense convolution's speed, on one thread of a server


def sized(plan: Plan, flop_per_s: Mapping[str, float] | None = None) -> Plan:
    """The plan, with trials skipped whose fewest rounds would take over `timing.visit_seconds`, if that is set.

    `flop_per_s`: speed of a dense fp32 convolution on each device, on a CPU with one thread; a guess for other devices.
    Other dtypes count as fp32. Predicted trials are never skipped.
    """
    if plan.timing.visit_seconds is None:
        return plan
    return replace(plan, trials=tuple(_judged(t, plan.timing, flop_per_s or {}) for t in plan.trials))


def speeds(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """FLOP/s of a dense convolution on each device that was probed; of a CPU on one thread."""
    return {
        device: probed["conv_flop_per_s"] / (probed["threads"] if device == "cpu" else 1)
        for device, probed in facts.items()
        if probed.get("conv_flop_per_s")
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
