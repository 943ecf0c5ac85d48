"""Exit status of `--fail-on`: the rows that fail it, and the largest slow-down that a passing result could still hide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from bench.analyse.compare.facts import CHANGED, VERDICTS, Comparison, Match, Quantity, Verdict
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError

FailOn = Literal["slower", "changed"]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What a passing gate can have missed: the AMBIGUOUS rows whose interval reaches beyond the margin.

    `sizes` is how far each reaches, as a share (0.08: 8 %), in order; `unbounded` counts rows without an interval.
    """

    sizes: tuple[float, ...]
    unbounded: int

    @property
    def median(self) -> float | None:
        return median(self.sizes) if self.sizes else None

    @property
    def most(self) -> float | None:
        return max(self.sizes, default=None)


@dataclass(frozen=True, slots=True)
class Gate:
    """The rows of one quantity in all comparisons. Rows in `failing` have one of `verdicts`, or failed in B only."""

    fail_on: FailOn
    quantity: Quantity
    verdicts: tuple[Verdict, ...]
    counts: dict[Verdict, int]
    judged: int
    failing: tuple[Match, ...]
    failed_in_b: int
    edges: tuple[float, float]  # ln: the narrowest and the widest margin of a row
    hidden: Hidden

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json; null where there is no number."""
        hidden = self.hidden
        return {
            "fail_on": self.fail_on,
            "by": f"{self.quantity}s",
            "passed": not self.failing,
            "judged": self.judged,
            **{v.lower(): self.counts[v] for v in self.verdicts},
            "failed_in_b": self.failed_in_b,
            "ambiguous": self.counts["AMBIGUOUS"],
            "could_hide": {
                "rows": len(hidden.sizes) + hidden.unbounded, "median": hidden.median, "most": hidden.most, "of_any_size": hidden.unbounded,
            },
            "not_measured": self.counts["NOT MEASURED"],
        }  # fmt: skip


def gate(comparisons: Sequence[Comparison], fail_on: FailOn = "slower", quantity: Quantity = "speedup") -> Gate:
    """The gate over these comparisons. UserError if one of them has no judged row: such a gate could never fail."""
    compared = []
    for c in comparisons:
        one = c.speedups if quantity == "speedup" else c.times
        if one is None or not one.judged:
            why, remedy = _cause(c, quantity)
            what = "row" if quantity == "speedup" else "times"
            raise UserError(f"--fail-on: {c.b.folder}", f"no {what} can be compared{why}", remedy)
        compared.append(one)
    verdicts: tuple[Verdict, ...] = CHANGED if fail_on == "changed" else ("SLOWER",)
    matches = [m for one in compared for m in one.matches]
    return Gate(
        fail_on,
        quantity,
        verdicts,
        counts={v: sum(one.counts[v] for one in compared) for v in VERDICTS},
        judged=sum(len(one.judged) for one in compared),
        failing=tuple(m for m in matches if m.verdict in verdicts or m.failed_in_b),
        failed_in_b=sum(m.failed_in_b for m in matches),
        edges=(min(one.least_edge for one in compared), max(one.edge for one in compared)),
        hidden=hidden_in(matches, fail_on, quantity),
    )


def hidden_in(matches: Sequence[Match], fail_on: FailOn, quantity: Quantity) -> Hidden:
    """The slow-downs that AMBIGUOUS rows can hide, or with `changed` the changes in either direction."""
    logs = [(m.log, m.edge) for m in matches if m.verdict == "AMBIGUOUS" and m.log is not None]
    reaches = []
    for log, edge in logs:
        slower = -log.low if quantity == "speedup" else log.high
        reach = max(abs(log.low), abs(log.high)) if fail_on == "changed" else slower
        if reach > edge:
            reaches.append(reach)
    sizes = sorted(math.expm1(reach) for reach in reaches if math.isfinite(reach))
    return Hidden(tuple(sizes), len(reaches) - len(sizes))


def _cause(c: Comparison, quantity: Quantity) -> tuple[str, str]:
    """Why no row could be judged, in brackets, and what to do."""
    confounded = [m for m in c.speedups.matches if m.differs]
    if confounded and len(confounded) == len(c.speedups.matches):
        if any(is_predicted(str(m.a["device"])) != is_predicted(str(m.b["device"])) for m in confounded):
            return " (one run is predicted and the other measured)", "Compare two measured runs, or two predicted by one device."  # fmt: skip
        fields = ", ".join(dict.fromkeys(f for m in confounded for f in m.differs))
        return f" (all are CONFOUNDED: {fields} had to differ)", f"Compare runs of the same {fields}."
    why = f" ({c.apart})" if quantity == "time" and c.apart else ""
    return why, "Compare runs of one config, measured to their end."
