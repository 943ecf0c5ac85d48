"""The columns that need no clock: a block's exact costs, and its MAC and layer ratios to the baseline."""

from __future__ import annotations

from bench.analyse.runs.journal import TrialResults
from bench.spec.blocks.costs import Cost, layer_ratio, mac_ratio
from bench.spec.blocks.layers import CONVOLUTIONS
from bench.spec.errors import UserError
from bench.spec.plan.plan import Arm, Trial

Row = dict[str, object]


def cost_of(trial: Trial, arm: Arm, results: TrialResults) -> Cost | None:
    """The arm's cost by formula, or of a user's own block as the inspection counted it; None where there is neither."""
    if arm.choice.factory is not None:
        counted = results.inspection(arm.arm_id).counted
        return None if counted is None else Cost.counted(counted)
    try:
        return trial.cost(arm)
    except UserError:
        return None


def _groups(trial: Trial, arm: Arm) -> int | None:
    """The groups of the block's first convolution; None for a network or a user's own, and where there is none."""
    if trial.network or arm.choice.factory is not None:
        return None
    return next((layer.groups for layer in trial.block(arm).layers if layer.op in CONVOLUTIONS), None)


def theory_columns(trial: Trial, arm: Arm, results: TrialResults) -> Row:
    """An arm's costs by the columns of measurements.csv; nothing for a user's own block that no inspection counted."""
    theory = cost_of(trial, arm, results)
    if theory is None:
        return {}
    return {
        "groups": _groups(trial, arm),
        "params": theory.params,
        "macs": theory.macs,
        "flops": theory.flops,
        "bytes_min": theory.bytes_min,
        "activations": theory.activations,
        "layers": theory.layers,
        "ops": theory.ops,
        "intensity_flop_per_byte": theory.intensity,
        "memory_theory_bytes": theory.memory_bytes if theory.detail else None,
        "cost_source": "counted by hooks" if arm.choice.factory is not None else "formula",
    }


def ratio_columns(trial: Trial, arm: Arm, results: TrialResults) -> Row:
    """Columns of pairs.csv: the baseline's MACs / the arm's, and the arm's layers / the baseline's."""
    mine, base = (cost_of(trial, a, results) for a in (arm, trial.arms[0]))
    if mine is None or base is None:
        return {}
    return {"groups": _groups(trial, arm), "mac_ratio": mac_ratio(base, mine), "layer_ratio": layer_ratio(base, mine)}
