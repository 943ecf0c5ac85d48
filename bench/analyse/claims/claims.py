"""The ten claims of the texts: their words, which claims.yaml holds, and the functions that judge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import yaml

from bench.analyse.claims import rules_counted, rules_layers_or_macs, rules_ratios
from bench.analyse.claims.answers import BELOW, SPEEDUP, Verdict
from bench.analyse.claims.cells import Rows
from bench.spec.interval import EQUIVALENCE_MARGIN

DeviceKind = Literal["cpu", "gpu", "both", "any"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement that runs can support or refute.

    `margin` is in ln, None where the claim has none; `device_kind`: what it is about; `to_measure`: how to measure rows
    for it; `judge` gives its verdicts, one for each condition, with p not yet adjusted.
    """

    id: str
    statement: str
    cells: str
    rule: str
    alternatives: tuple[str, ...]
    device_kind: DeviceKind
    margin: float | None
    to_measure: str
    judge: Callable[[Rows], list[Verdict]]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without its verdicts."""
        names = ("id", "statement", "cells", "rule", "alternatives", "device_kind", "margin")
        return {name: getattr(self, name) for name in names} | {"alternatives": list(self.alternatives)}


_RULES = {
    rule.__name__: rule
    for rule in (
        *(rules_counted.fewer_flops, rules_counted.below_9x, rules_counted.memory),
        *(rules_ratios.faster, rules_ratios.cpu_3x, rules_ratios.gpu_no_gain),
        *(rules_ratios.device_by_block, rules_ratios.parallelism),
        *(rules_layers_or_macs.gpu_led_by_layers, rules_layers_or_macs.cpu_led_by_compute),
    )
}


_DATA = yaml.safe_load((files("bench.analyse.claims") / "claims.yaml").read_text(encoding="utf-8"))
TEXTS: tuple[tuple[str, str], ...] = tuple(_DATA["texts"].items())
"""The texts that make the claims: what each is, and its address."""


def _read() -> tuple[Claim, ...]:
    """The claims of claims.yaml."""
    words = {**_DATA["words"], "BELOW": f"{BELOW:g}", "SPEEDUP": f"{SPEEDUP:g}"}
    return tuple(
        Claim(
            id=name,
            **{key: one[key].format(**words) for key in ("statement", "cells", "rule", "to_measure")},
            alternatives=tuple(text.format(**words) for text in one.get("alternatives", ())),
            device_kind=one["device_kind"],
            margin=EQUIVALENCE_MARGIN if one.get("margin") else None,
            judge=_RULES[name],
        )
        for name, one in _DATA["claims"].items()
    )


CLAIMS = _read()
BY_ID = {claim.id: claim for claim in CLAIMS}
