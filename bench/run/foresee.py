"""Count users' blocks before a run, on torch's meta device in a worker, and refuse those that can't be measured."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.run.launch import START_TIMEOUT_S, Silent, Worker, job
from bench.spec.columns import COUNTED
from bench.spec.errors import UserError
from bench.spec.plan.plan import Costed, Plan, Surroundings, Trial, shape_words

MOST_STARTS = 4  # of processes that blocks end
_PLACE = Surroundings("cpu", 1, "retain", "default")


def counts(plan: Plan, every: bool = True) -> tuple[dict[Costed, dict[str, int]], list[str], list[str]]:
    """The costs of users' blocks, by what they depend on, as of bench.spec.columns.COUNTED; a line for each without.

    Last a line for each block whose output has another shape than that of the block it is compared with.
    `every`: at every shape, or at each block's first only, which shows whether it is refused.
    Without users' blocks nothing is started. UserError for one that can't be imported, is no block, gives no tensor,
    or is a network that the config calls a block. What a block raises or a crash of the process is a line.
    """
    asked: dict[Costed, Trial] = {}
    wanted: dict[Costed, list[int]] = {}  # an output's shape
    for trial in plan.active if not plan.sides else ():  # the Python of a side may have other blocks
        for arm in trial.arms:
            if arm.choice.factory is not None and (every or all(choice != arm.choice for choice, *_ in asked)):
                asked.setdefault(trial.costed(arm), replace(trial, trial_id=str(len(asked)), arms=(arm,)))
                if trial.arms[0].choice.factory is None and not arm.choice.network:
                    s = trial.shape
                    pixels = trial.block(trial.arms[0]).output(s.height, s.width)
                    wanted[trial.costed(arm)] = [s.batch, s.c_out, *pixels]
    known: dict[Costed, dict[str, int]] = {}
    lines, unlike = dict[str, str](), dict[str, str]()
    told, rest = dict[str, dict[str, Any]](), list(asked.values())
    for _ in range(MOST_STARTS):
        told |= (answers := _answers(rest, plan) if rest else {})
        rest = rest[len(answers) + 1 :]  # the first without an answer ended its process
    for i, (costed, trial) in enumerate(asked.items()):
        label, found = costed[0].label, told.get(str(i), {"failed": "the process that counts it ended"})
        if "refused" in found:
            raise UserError(f"block {label}", *found["refused"])
        if (right := wanted.get(costed)) and found.get("output", right) != right:
            one, other = (" x ".join(map(str, shape)) for shape in (found["output"], right))
            unlike.setdefault(
                label,
                f"{label} at {shape_words(trial.shape)}: its output is {one}, that of the baseline {other}, so neither can replace the other",
            )
        seen = found.get("counted") or {}
        if seen.keys() >= {*COUNTED}:
            known[costed] = seen
        else:
            why = found.get("failed") or f"no formula for {seen['unknown']}"
            lines.setdefault(
                label, f"{label} at {shape_words(trial.shape)}: its costs are not known before it runs: {why}"
            )
    return known, list(lines.values()), list(unlike.values())


def _answers(trials: list[Trial], plan: Plan) -> dict[str, dict[str, Any]]:
    """The worker's answer on the one arm of each trial, by its name, as far as it came. UserError for an import."""
    imports = {arm.choice.factory: None for trial in trials for arm in trial.arms if arm.choice.factory is not None}
    told: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-foresee-") as folder:
        worker = Worker(_PLACE, job("foresee", _PLACE, plan.timing, trials, imports=imports), Path(folder) / "log")
        try:
            for answer in worker.answers(START_TIMEOUT_S, plan.timing.timeout_seconds):
                if answer["type"] == "refused":
                    raise UserError(answer["place"], answer["rule"], answer["remedy"])
                if answer["type"] == "foresee":
                    told[answer["trial_id"]] = answer
        except Silent:
            pass
        finally:
            worker.end()
    return told
