"""`bench ab`: the plan of a comparison of two sides (Pythons, source trees, variables), each block on both."""

from __future__ import annotations

from dataclasses import replace

from bench.spec.errors import UserError
from bench.spec.plan.plan import SIDES, Arm, Plan, Side, Trial

SPINS = "the threads of the side that waits would spin on the cores of the other"


def against(plan: Plan, sides: tuple[Side, Side]) -> Plan:
    """Each block of a plan in a trial of its own, once at each shape and setting: its arms are sides A and B.

    UserError for a plan with a predicted device, for which both sides are one model.
    """
    if any(trial.predicted for trial in plan.trials):
        raise UserError("--device", "a prediction is the same on both sides", "Name a device of this machine.")
    trials: dict[object, Trial] = {}
    for trial in plan.trials:
        for arm in trial.arms:
            once = replace(trial, trial_id="", experiment="", arms=(replace(arm, arm_id=""),))
            arms = tuple(Arm(f"{arm.arm_id}/{side}", replace(arm.choice, side=side)) for side in SIDES)
            skip = trial.skip or (SPINS if trial.surroundings.waiting == "active" else None)
            trials.setdefault(once, replace(trial, trial_id=arm.arm_id, arms=arms, skip=skip))
    timing = plan.timing.model_copy(update={"second_opinions": 0.0})
    return replace(plan, trials=tuple(trials.values()), timing=timing, sides=sides)
