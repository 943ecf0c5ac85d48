"""Exit status of `--fail-on`: the rows that fail it, and the largest slow-down that a passing result could still hide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from bench.analyse.compare.facts import CHANGED, Comparison, Match, Quantity, QuantityComparison, Verdict
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError

FailOn = Literal["slower", "changed"]


@dataclass(frozen=True, slots=True)
class Hidden:
    """What the AMBIGUOUS rows can hide: for each whose interval reaches beyond its margin how far, as ln of a ratio.

    A row without an interval reaches infinitely far.
    """

    reaches: tuple[float, ...]

    @property
    def bounded(self) -> tuple[float, ...]:
        """The finite reaches as shares: 0.08 is a change of 8 %."""
        return tuple(math.expm1(r) for r in self.reaches if math.isfinite(r))

    @property
    def median(self) -> float | None:
        """The median of these shares."""
        return median(self.bounded) if self.bounded else None

    @property
    def most(self) -> float | None:
        """The largest of them."""
        return max(self.bounded, default=None)

    @property
    def unbounded(self) -> int:
        """The rows without an interval."""
        return len(self.reaches) - len(self.bounded)


@dataclass(frozen=True, slots=True)
class Gate:
    """The rows of one quantity in one or more comparisons; it fails on a SLOWER row, or with `changed` on a FASTER one too."""

    fail_on: FailOn
    quantity: Quantity
    compared: tuple[QuantityComparison, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Rows per verdict."""
        return {v: sum(c.counts[v] for c in self.compared) for v in self.compared[0].counts}

    @property
    def judged(self) -> int:
        """The rows of one workload that were measured in both runs."""
        return sum(len(c.judged) for c in self.compared)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that fail the gate."""
        return CHANGED if self.fail_on == "changed" else ("SLOWER",)

    @property
    def failed_in_b(self) -> tuple[Match, ...]:
        """The rows that A measured and that failed in B: they fail the gate too."""
        return tuple(m for m in self._matches if m.failed_in_b)

    @property
    def failing(self) -> tuple[Match, ...]:
        """All rows that fail the gate."""
        return tuple(m for m in self._matches if m.verdict in self.verdicts or m.failed_in_b)

    @property
    def edges(self) -> tuple[float, float]:
        """The narrowest and the widest margin of a row, in ln."""
        return min(c.least_edge for c in self.compared), max(c.edge for c in self.compared)

    @property
    def hidden(self) -> Hidden:
        """What a passing gate can have missed: a slow-down, or with `changed` a change in either direction."""
        rows = [m for m in self._matches if m.verdict == "AMBIGUOUS"]
        return Hidden(tuple(sorted(reach for m in rows if (reach := self._reach(m)) > m.edge)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json; null where there is no number."""
        hidden = self.hidden
        return {
            "fail_on": self.fail_on,
            "by": f"{self.quantity}s",
            "passed": not self.failing,
            "judged": self.judged,
            **{v.lower(): self.counts[v] for v in self.verdicts},
            "failed_in_b": len(self.failed_in_b),
            "ambiguous": self.counts["AMBIGUOUS"],
            "could_hide": {
                "rows": len(hidden.reaches), "median": hidden.median, "most": hidden.most, "of_any_size": hidden.unbounded,
            },
            "not_measured": self.counts["NOT MEASURED"],
        }  # fmt: skip

    @property
    def _matches(self) -> list[Match]:
        return [m for c in self.compared for m in c.matches]

    def _reach(self, m: Match) -> float:
        """How far the interval of a row reaches in the direction that fails the gate, in ln."""
        if m.log is None or not math.isfinite(m.log.half_width):
            return math.inf
        slow = -m.log.low if self.quantity == "speedup" else m.log.high
        return max(abs(m.log.low), abs(m.log.high)) if self.fail_on == "changed" else slow


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
    return Gate(fail_on, quantity, tuple(compared))


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
