"""`bench aa`: the plan of an A/A test. Both arms of a pair are the same block, so whatever they differ by is noise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.spec.config.config import overridden
from bench.spec.errors import UserError
from bench.spec.plan.plan import Plan, make, not_all_skipped

NAME = "aa"
BLOCKS = ("standard", "separable")
LEAST_PAIRS = 20  # below, the band of 95 % of the pairs is a word for the largest of a few


def data() -> dict[str, Any]:
    """The config as plain data: shapes of the default sweep's kind, each block against itself, with its timing."""
    axes = {
        "channels": [16, 32, 64, 128],
        "kernel": [3, 5],
        "size": [14, 28],
        "layout": ["contiguous", "channels_last"],
        "threads": [1],
    }
    experiments = {
        f"{block}_twice": {"blocks": [block, {"name": block, "again": True}], "axes": dict(axes)} for block in BLOCKS
    }
    return {"name": NAME, "timing": {"seconds": 1.2}, "experiments": experiments}


def draw(device: str, cores: int, pairs: int, overrides: Sequence[str] = ()) -> tuple[Plan, dict[str, Any]]:
    """The plan of `pairs` pairs, drawn by the recorded seed from the product of the axes, and its config's data.

    UserError where there are not so many, or where an override does not hold.
    """
    config, told = overridden(data(), "bench aa", overrides)
    made = make(config, [device], cores)
    not_all_skipped(made)
    active = made.active
    if not 2 <= pairs <= len(active):
        rule = f"from 2 to {len(active)} pairs can be drawn from these axes"
        raise UserError("--pairs", rule, "Take another number, or add values: --set threads=1,all", value=pairs)
    drawn = set(random.Random(config.timing.seed).sample([t.trial_id for t in active], pairs))
    return replace(made, trials=tuple(t for t in made.trials if t.trial_id in drawn)), told
