"""`bench aa`: the plan of an A/A test, in which both arms of a pair are the same block and differ only by noise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.spec.config.config import with_overrides
from bench.spec.config.yaml_file import Place
from bench.spec.errors import UserError
from bench.spec.plan.plan import Plan, make, not_all_skipped

NAME = "aa"
AA_BLOCKS = ("standard", "separable")
LEAST_PAIRS = 20  # with fewer, the band of 95 % of the pairs is just the largest of them


def config_data() -> dict[str, Any]:
    """The config as plain data: shapes like those of the default sweep, each block against itself."""
    axes = {
        "channels": [16, 32, 64, 128],
        "kernel": [3, 5],
        "size": [14, 28],
        "layout": ["contiguous", "channels_last"],
        "threads": [1],
    }
    pairs = {block: [block, {"name": block, "again": True}] for block in AA_BLOCKS}
    experiments = {f"{block}_twice": {"blocks": pair, "axes": dict(axes)} for block, pair in pairs.items()}
    return {"name": NAME, "timing": {"seconds": 1.2}, "experiments": experiments}


def drawn_plan(device: str, cores: int, pairs: int, overrides: Sequence[str] = ()) -> tuple[Plan, dict[str, Any]]:
    """The plan of `pairs` pairs, drawn by the seed from the product of the axes, and its config's data.

    UserError where the axes give fewer pairs, or for a wrong override.
    """
    data = config_data()
    config = with_overrides(data, Place("bench aa"), overrides)
    plan = make(config, [device], cores)
    not_all_skipped(plan)
    active = plan.active
    if not 2 <= pairs <= len(active):
        rule = f"from 2 to {len(active)} pairs can be drawn from these axes"
        raise UserError("--pairs", rule, "Give another number, or add values: --set threads=1,all", value=pairs)
    drawn = set(random.Random(config.timing.seed).sample([t.trial_id for t in active], pairs))
    return replace(plan, trials=tuple(t for t in plan.trials if t.trial_id in drawn)), data
