"""What --fail-on asks of comparisons: which rows close the gate, and how large a change an open gate can have let through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from bench.analyse.compare.compare import CHANGED, Comparison, Match, Quantity, Table, Verdict
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError

LookedFor = Literal["slower", "changed"]


@dataclass(frozen=True, slots=True)
class Hidden:
    """AMBIGUOUS rows whose intervals reach beyond their margin: how far, as ln of a ratio; without an interval infinitely far."""

    reaches: tuple[float, ...]

    @property
    def bounded(self) -> tuple[float, ...]:
        """Those of rows that have an interval, as shares: 0.08 is a change of 8 %."""
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
        """How many rows have no interval, so that nothing is said of them."""
        return len(self.reaches) - len(self.bounded)


@dataclass(frozen=True, slots=True)
class Gate:
    """Tables of one quantity, asked whether a row is SLOWER (or FASTER, if `looked_for` is changed) or failed in B alone."""

    looked_for: LookedFor
    quantity: Quantity
    tables: tuple[Table, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rows got each verdict, in all tables."""
        return {v: sum(t.counts[v] for t in self.tables) for v in self.tables[0].counts}

    @property
    def judged(self) -> int:
        """The rows that were measured in both runs and are of one workload."""
        return sum(len(t.judged) for t in self.tables)

    @property
    def closing(self) -> tuple[Verdict, ...]:
        """The verdicts that close the gate."""
        return CHANGED if self.looked_for == "changed" else ("SLOWER",)

    @property
    def lost(self) -> tuple[Match, ...]:
        """The rows that A measured and B failed at."""
        return tuple(m for t in self.tables for m in t.matches if m.lost)

    @property
    def failing(self) -> tuple[Match, ...]:
        """All rows that close the gate."""
        return tuple(m for t in self.tables for m in t.matches if m.verdict in self.closing or m.lost)

    @property
    def edges(self) -> tuple[float, float]:
        """The narrowest and the widest margin that a row was held against, in ln."""
        return min(t.least_edge for t in self.tables), max(t.edge for t in self.tables)

    @property
    def hidden(self) -> Hidden:
        """What the AMBIGUOUS rows can hide: a slow-down, or a change either way."""
        rows = [m for t in self.tables for m in t.matches if m.verdict == "AMBIGUOUS"]
        reaches = [(self._reach(m), m.edge) for m in rows]
        return Hidden(tuple(sorted(reach for reach, edge in reaches if reach > edge)))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json; null where there is no number."""
        hidden = self.hidden
        return {
            "fail_on": self.looked_for,
            "by": f"{self.quantity}s",
            "passed": not self.failing,
            "judged": self.judged,
            **{v.lower(): self.counts[v] for v in self.closing},
            "failed_in_b": len(self.lost),
            "ambiguous": self.counts["AMBIGUOUS"],
            "could_hide": {
                "rows": len(hidden.reaches), "median": hidden.median, "most": hidden.most, "of_any_size": hidden.unbounded,
            },
            "not_measured": self.counts["NOT MEASURED"],
        }  # fmt: skip

    def _reach(self, m: Match) -> float:
        """How far the interval of a row reaches to the side that is looked at, in ln."""
        if m.log is None or not math.isfinite(m.log.half_width):
            return math.inf
        slow = -m.log.low if self.quantity == "speedup" else m.log.high
        return max(abs(m.log.low), abs(m.log.high)) if self.looked_for == "changed" else slow


def gate(found: Sequence[Comparison], looked_for: LookedFor = "slower", quantity: Quantity = "speedup") -> Gate:
    """The gate before these comparisons.

    UserError where nothing could be judged: a gate that looks at nothing would always be open.
    """
    tables = [c.speedups if quantity == "speedup" else c.times for c in found]
    for c, t in zip(found, tables, strict=True):
        if t is None or not t.judged:
            rule = "no row can be compared" if quantity == "speedup" else "no times can be compared"
            why, remedy = _cause(c, quantity)
            raise UserError(f"--fail-on: {c.b.folder}", rule + why, remedy)
    return Gate(looked_for, quantity, tuple(t for t in tables if t is not None))


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
