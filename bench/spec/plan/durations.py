"""Estimates of how long measuring takes (a trial, a worker's start, a plan), with the guesses of speed behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import is_predicted
from bench.spec.plan.plan import Plan, Surroundings, Trial

START_SECONDS = 3.0  # a worker imports torch
CARD_START_SECONDS = 8.0  # and loads an accelerator's libraries: about as long for an H100
CALLS_A_ROUND = 6  # of an arm: two samples of two evaluations, and an unmeasured one before each sample
CALLS_BESIDE = 7  # warm-up, checks and timing layer by layer
SETUP_SECONDS = 0.35  # build, warm up and calibrate a trial
CARD_SETUP_SECONDS = 0.5  # and search algorithms, and read device times after the rounds: 0.25 to 0.65 on an H100
COMPILER_COLD_SECONDS = 20.0  # a run's first worker that compiles builds the parts that all kernels need
COMPILER_START_SECONDS = 6.0  # every such worker loads the compiler
COMPILE_SECONDS = 4.0  # compile an arm for the first time, twice in training: 2 to 6 on one core of a server
COMPILED_SECONDS = 0.3  # the same in later workers, with a cache
COMPILE_PATIENCE_S = 120.0  # added to a trial's time-out for each arm that is compiled
INSPECT_SECONDS = 0.1  # inspect a trial
TOOLS_START_SECONDS = 2.0  # a worker imports the tools of second opinions, and one of them calibrates its clock
OPINION_SECONDS = 2.2  # each of the two tools times an arm for a second
OPINION_EVALUATIONS = 12  # the least that the two make of an arm together
ROOF_SECONDS = 1.5  # measure the roofs of one dtype
ROOF_PROCESSES = 3  # in the first processes only
GUESSED_FLOP_PER_S = 2e10  # that blocks reach on one CPU thread: matters for long trials only
CARD_FLOP_PER_S = 4e12  # the same on an accelerator
PREDICTED_SECONDS = 0.01  # predict a trial of any size, without inspection
GUESSED = "by the guessed speed"  # the end of the reason of such a skip
REACHED = 0.4  # whole networks reached this share of a dense convolution's speed, on one thread of a server


def plan_seconds(plan: Plan, processes: int) -> float:
    """Estimated wall time of a plan in seconds with this many processes a trial."""
    return min(plan.limit_s, unlimited_seconds(plan, processes))


def unlimited_seconds(plan: Plan, processes: int) -> float:
    """The same without the config's limit of minutes."""
    active = [t for t in plan.active if not t.predicted]
    known: dict[tuple[object, ...], float] = {}
    visits = 0.0
    for t in active:
        # The estimate depends on these; a shape by its identity, as hashing ten thousand is slow.
        key = (t.experiment, id(t.shape), t.pass_, t.mode, t.surroundings)
        if key not in known:
            known[key] = visit_seconds(t, plan.timing)
        visits += known[key]
    starts = sum(start_seconds(s) for s in {t.surroundings for t in active})
    compiling = [t for t in active if t.mode == "compile"]
    loads = COMPILER_START_SECONDS * len({t.surroundings for t in compiling})
    colds = sum(COMPILE_SECONDS * _compilations(t) for t in compiling) + (COMPILER_COLD_SECONDS if compiling else 0)
    roofed = 0 if plan.timing.brief else len({(t.surroundings, t.dtype) for t in active})
    roofs = ROOF_SECONDS * min(processes, ROOF_PROCESSES) * roofed
    once = starts + loads + colds + roofs + INSPECT_SECONDS * len(active) + opinions_seconds(plan.chosen)
    return processes * (visits + starts + loads) + once + _predicted_seconds(plan)


def _predicted_seconds(plan: Plan) -> float:
    """Estimated wall time of the predicted trials; a worker inspects those with user's blocks."""
    trials = [t for t in plan.active if t.predicted]
    inspected = [t for t in trials if not t.formula]
    starts = sum(start_seconds(s) for s in {t.surroundings for t in inspected})
    return PREDICTED_SECONDS * len(trials) + INSPECT_SECONDS * len(inspected) + starts


def visit_seconds(trial: Trial, timing: Timing) -> float:
    """Estimated seconds of a trial in one process: sampling, or its fewest rounds at the guessed speed if longer."""
    setup = SETUP_SECONDS if trial.surroundings.device == "cpu" else CARD_SETUP_SECONDS
    setup += COMPILED_SECONDS * _compilations(trial)
    return setup + max(timing.seconds, fewest_calls(timing) * _once_seconds(trial))


def trial_seconds(trial: Trial, timing: Timing) -> float:
    """Estimated seconds of a trial in the fewest processes that a run gives it, without the starts of workers."""
    if trial.predicted:
        return PREDICTED_SECONDS
    once = INSPECT_SECONDS + COMPILE_SECONDS * _compilations(trial)
    return once + timing.processes_min * visit_seconds(trial, timing)


def fewest_calls(timing: Timing) -> int:
    """The fewest evaluations of each arm of a trial in one process."""
    return timing.rounds_min * CALLS_A_ROUND + CALLS_BESIDE


def start_seconds(surroundings: Surroundings) -> float:
    """Estimated seconds until a worker is ready."""
    on_host = surroundings.device == "cpu" or is_predicted(surroundings.device)
    return START_SECONDS if on_host else CARD_START_SECONDS


def timeout_seconds(trial: Trial, timing: Timing) -> float:
    """Seconds without an answer after which a trial is ended: more if it compiles."""
    return timing.timeout_seconds + COMPILE_PATIENCE_S * _compilations(trial)


def _compilations(trial: Trial) -> int:
    if trial.mode != "compile":
        return 0
    return len(trial.arms) * (2 if trial.pass_ == "training" else 1)


def opinions_seconds(trials: Sequence[Trial]) -> float:
    """Estimated seconds of second opinions on these trials, including the starts of their workers."""
    starts = sum(start_seconds(s) + TOOLS_START_SECONDS for s in {t.surroundings for t in trials})
    timed = (max(OPINION_SECONDS * len(t.arms), OPINION_EVALUATIONS * _once_seconds(t)) for t in trials)
    return starts + sum(SETUP_SECONDS + seconds for seconds in timed)


def flop_of(trial: Trial) -> int:
    """FLOP of one evaluation of each arm; 0 for a user's block, whose costs are unknown before it runs."""
    return sum([trial.cost(arm).flops for arm in trial.arms if arm.choice.factory is None])


def _once_seconds(trial: Trial) -> float:
    return flop_of(trial) / guessed_flop_per_s(trial.surroundings)


def guessed_flop_per_s(place: Surroundings) -> float:
    """The FLOP/s that blocks are assumed to reach on a device, before anything is measured."""
    return GUESSED_FLOP_PER_S * place.threads if place.device == "cpu" else CARD_FLOP_PER_S


def sized(plan: Plan, facts: Mapping[str, Mapping[str, Any]] | None = None) -> Plan:
    """The plan, with trials skipped whose fewest rounds would take over `timing.visit_seconds`, if that is set.

    `facts`: the answers of probes, by device, with the speed of a dense fp32 convolution; a guess for other devices.
    Other dtypes count as fp32. Predicted trials are never skipped.
    """
    limit, calls, known = plan.timing.visit_seconds, fewest_calls(plan.timing), facts or {}
    if limit is None:
        return plan
    trials = (_judged(t, limit, calls, known.get(t.surroundings.device, {})) for t in plan.trials)
    return replace(plan, trials=tuple(trials))


def _judged(trial: Trial, limit: float, calls: int, probed: Mapping[str, Any]) -> Trial:
    if trial.skip is not None or trial.predicted:
        return trial
    place, speed = trial.surroundings, guessed_flop_per_s(trial.surroundings)
    measured = probed.get("conv_flop_per_s")
    if measured:
        speed = REACHED * measured * (place.threads / probed["threads"] if place.device == "cpu" else 1)
    if calls * flop_of(trial) <= limit * speed:
        return trial
    how = f"by the measured speed, {probed['conv_detail']}" if measured else GUESSED
    return replace(trial, skip=f"its fewest rounds would take over visit_seconds, {limit:g} s, {how}")
