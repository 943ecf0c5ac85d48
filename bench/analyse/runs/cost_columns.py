"""What a row says of its block without a clock: exact costs, and the ratios that they promise."""

from __future__ import annotations

from collections.abc import Mapping

from bench.analyse.runs.journal import Inspected
from bench.spec.blocks.costs import Cost, layer_ratio, mac_ratio
from bench.spec.blocks.layers import CONVOLUTIONS
from bench.spec.errors import UserError
from bench.spec.plan.plan import Arm, Trial

Row = dict[str, object]


def cost_of(trial: Trial, arm: Arm, inspected: Inspected | None) -> Cost | None:
    """The arm's cost by formula, or of a user's own as the inspection counted it; None where neither is to be had."""
    if arm.choice.factory is not None:
        return None if inspected is None or inspected.counted is None else Cost.counted(inspected.counted)
    try:
        return trial.cost(arm)
    except UserError:
        return None


def _groups(trial: Trial, arm: Arm) -> int | None:
    """The groups of the block's first convolution; None for a network or a user's own, and where there is none."""
    if trial.network or arm.choice.factory is not None:
        return None
    return next((layer.groups for layer in trial.block(arm).layers if layer.op in CONVOLUTIONS), None)


def theory_columns(trial: Trial, arm: Arm, inspected: Inspected | None) -> Row:
    """An arm's theory by the columns of measurements.csv; nothing where a user's own block was not seen running."""
    theory = cost_of(trial, arm, inspected)
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


def promise_columns(trial: Trial, arm: Arm, inspected: Mapping[str, Inspected]) -> Row:
    """An arm against its trial's baseline: fewer MACs, more layers."""
    mine, base = (cost_of(trial, a, inspected.get(a.arm_id)) for a in (arm, trial.arms[0]))
    if mine is None or base is None:
        return {}
    return {"groups": _groups(trial, arm), "mac_ratio": mac_ratio(base, mine), "layer_ratio": layer_ratio(base, mine)}
