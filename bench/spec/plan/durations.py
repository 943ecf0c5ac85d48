"""How long measuring will take, guessed before a machine has been seen: of a trial's visit, a worker's start, a whole plan."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.blocks.costs import PASSES_TRAINING, forward_macs
from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import is_predicted
from bench.spec.plan.plan import Plan, Surroundings, Trial

START_SECONDS = 3.0  # a fresh worker imports torch
CARD_START_SECONDS = 8.0  # and loads an accelerator's libraries; about as long as beside an H100
CALLS_A_ROUND = 6  # of an arm: two samples of two evaluations each, and one that goes unmeasured before each sample
CALLS_BESIDE = 7  # warm-up, checks and a walk layer by layer
SETUP_SECONDS = 0.35  # building, warming up and calibrating one trial
CARD_SETUP_SECONDS = (
    0.5  # and searching algorithms, and the device's own times after the rounds: 0.25 to 0.65 on an H100
)
COMPILER_COLD_SECONDS = 20.0  # the first worker of a run that compiles builds what all kernels need
COMPILER_START_SECONDS = 6.0  # every such worker loads the compiler
COMPILE_SECONDS = 4.0  # one arm for the first time, twice in training; 2 to 6 on one core of a server
COMPILED_SECONDS = 0.3  # the same in later workers, which find it compiled
COMPILE_PATIENCE_S = 120.0  # what a trial's time-out grows by for each of its arms
INSPECT_SECONDS = 0.1  # the memory pass of one trial
TOOLS_START_SECONDS = 2.0  # a worker imports the tools of second opinions, and one of them looks at its clock
OPINION_SECONDS = 2.2  # each of the two tools looks at an arm for a second
OPINION_EVALUATIONS = 12  # the fewest that the two make of an arm together
ROOF_SECONDS = 1.5  # measuring the roofs of one dtype
ROOF_PROCESSES = 3  # the first so many processes do
GUESSED_FLOP_PER_S = 2e10  # of one CPU thread, for the estimate of long trials alone
CARD_FLOP_PER_S = 4e12  # the same of a card
PREDICTED_SECONDS = 0.4  # of a trial in virtual time, whatever its size; inspection apart


def plan_seconds(plan: Plan, processes: int) -> float:
    """Estimated wall time of a plan in seconds with this many processes a trial."""
    return min(plan.limit_s, unlimited_seconds(plan, processes))


def unlimited_seconds(plan: Plan, processes: int) -> float:
    """The same if the config set no limit."""
    active = [t for t in plan.active if not t.predicted]
    known: dict[tuple[object, ...], float] = {}
    visits = 0.0
    for t in active:
        # What the estimate depends on; a shape by its identity, as to hash ten thousand takes long.
        key = (t.experiment, id(t.shape), t.pass_, t.mode, t.surroundings)
        if key not in known:
            known[key] = visit_seconds(t, plan.timing)
        visits += known[key]
    starts = sum(start_seconds(s) for s in {t.surroundings for t in active})
    compiling = [t for t in active if t.mode == "compile"]
    loads = COMPILER_START_SECONDS * len({t.surroundings for t in compiling})
    colds = sum(COMPILE_SECONDS * _compilations(t) for t in compiling) + (COMPILER_COLD_SECONDS if compiling else 0)
    roofs = ROOF_SECONDS * min(processes, ROOF_PROCESSES) * len({(t.surroundings, t.dtype) for t in active})
    once = starts + loads + colds + roofs + INSPECT_SECONDS * len(active) + opinions_seconds(plan.chosen)
    return processes * (visits + starts + loads) + once + _predicted_seconds(plan)


def _predicted_seconds(plan: Plan) -> float:
    """Estimated wall time of what is predicted, by one worker for each device and number of threads."""
    trials = [t for t in plan.active if t.predicted]
    return PREDICTED_SECONDS * len(trials) + sum(start_seconds(s) for s in {t.surroundings for t in trials})


def visit_seconds(trial: Trial, timing: Timing) -> float:
    """Estimated seconds of one measured trial in one process: sampling, or its fewest rounds where those take longer.

    The speed assumed for the latter is a guess (GUESSED_FLOP_PER_S per thread, CARD_FLOP_PER_S), good enough to plan by.
    """
    setup = SETUP_SECONDS if trial.surroundings.device == "cpu" else CARD_SETUP_SECONDS
    setup += COMPILED_SECONDS * _compilations(trial)
    return setup + max(timing.seconds, fewest_calls(timing) * _once_seconds(trial))


def fewest_calls(timing: Timing) -> int:
    """Evaluations that each arm of a trial has in one process at the least."""
    return timing.rounds_min * CALLS_A_ROUND + CALLS_BESIDE


def start_seconds(surroundings: Surroundings) -> float:
    """Estimated seconds until a worker is ready."""
    here = surroundings.device == "cpu" or is_predicted(surroundings.device)
    return START_SECONDS if here else CARD_START_SECONDS


def timeout_seconds(trial: Trial, timing: Timing) -> float:
    """How long a trial may be silent before it is given up: longer where it compiles."""
    return timing.timeout_seconds + COMPILE_PATIENCE_S * _compilations(trial)


def _compilations(trial: Trial) -> int:
    if trial.mode != "compile":
        return 0
    return len(trial.arms) * (2 if trial.pass_ == "training" else 1)


def opinions_seconds(trials: Sequence[Trial]) -> float:
    """Estimated seconds of second opinions on these trials, the starts of their workers included."""
    starts = sum(start_seconds(s) + TOOLS_START_SECONDS for s in {t.surroundings for t in trials})
    return starts + sum(
        SETUP_SECONDS + max(OPINION_SECONDS * len(t.arms), OPINION_EVALUATIONS * _once_seconds(t)) for t in trials
    )


def flop_of(trial: Trial) -> int:
    """FLOP of one evaluation of each arm; a user's own blocks, which are not known before they run, count nothing."""
    passes = PASSES_TRAINING if trial.pass_ == "training" else 1
    return 2 * passes * sum([_forward_macs(arm.choice, trial.shape) for arm in trial.arms])


def _once_seconds(trial: Trial) -> float:
    """Guessed seconds of one evaluation of each arm."""
    return flop_of(trial) / guessed_flop_per_s(trial.surroundings)


def guessed_flop_per_s(place: Surroundings) -> float:
    """What blocks are taken to reach there, where nothing was measured."""
    return GUESSED_FLOP_PER_S * place.threads if place.device == "cpu" else CARD_FLOP_PER_S


@lru_cache(maxsize=16384)
def _forward_macs(choice: BlockChoice, shape: Shape) -> int:
    if choice.factory is not None:
        return 0  # not known, and so not in the estimate
    return forward_macs(build(choice, shape), shape.height, shape.width, shape.batch)
