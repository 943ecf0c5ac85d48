"""Exit status of `--fail-on`: what all rows say together, the rows that fail, and the slow-down that could still be hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any, Literal

import numpy as np

from bench.analyse.compare.facts import (
    CARD_MARGIN,
    CHANGED,
    VERDICTS,
    Comparison,
    MeanRatio,
    Quantity,
    QuantityComparison,
    Verdict,
)
from bench.analyse.compare.whole import apart, apart_at_least
from bench.analyse.runs.noise_floor import POWER
from bench.analyse.stats.estimators import Floats, at_confidence
from bench.spec.columns import FAILED
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.errors import UserError
from bench.spec.interval import Interval

FailOn = Literal["slower", "changed"]
Answer = Literal["passed", "failed", "can't tell"]
LEAST = 0.1  # a slow-down that must not pass a gate
MOST_UNJUDGED = 0.1  # of the rows that A measured: a gate that lacks more can't pass
LOCKSTEP = "bench ab"  # measures two installations in one run


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
class Whole:
    """What all rows of a comparison say together. `slower`: ln of how much slower B is, with what separate runs can differ by.

    `unknown` (ln) is what too few earlier runs tell of that. `edge` is the margin in ln.
    """

    mean: MeanRatio
    slower: Interval
    unknown: float
    edge: float
    name: str  # of B
    same_run: bool = False

    def failed(self, fail_on: FailOn) -> bool:
        """Whether B is slower (or with `changed` also faster), by more than chance and perhaps by more than the margin."""
        log = self.slower
        return not log.within(self.edge) and (log.low > 0 or (fail_on == "changed" and log.high < 0))

    def told(self, least: float, fail_on: FailOn) -> bool:
        """Whether a slow-down (a change) of `least`, a share, is ruled out."""
        edge = math.log1p(least)
        return self.slower.within(edge) if fail_on == "changed" else self.slower.high < edge

    def most(self, fail_on: FailOn) -> float:
        """The largest slow-down (or change), a share, that B may have; infinite without an interval."""
        log = self.slower
        ends = (log.high, -log.low if fail_on == "changed" else log.high)
        return math.expm1(min(700.0, max(ends))) if log.half_width < math.inf else math.inf

    @property
    def seen(self) -> float:
        """The least slow-down, a share, that such a gate finds in 8 of 10 runs; infinite without an interval."""
        normal = NormalDist()
        power = 1 + normal.inv_cdf(POWER) / normal.inv_cdf(0.975)
        return math.expm1(min(700.0, power * self.slower.half_width)) if self.slower.half_width < math.inf else math.inf


@dataclass(frozen=True, slots=True)
class Gate:
    """All rows of one quantity together, and row by row. `failing` rows have one of `verdicts`, or failed in B only."""

    fail_on: FailOn
    quantity: Quantity
    wholes: tuple[Whole, ...]  # of each comparison
    least: float  # a share: a slow-down that must not pass
    verdicts: tuple[Verdict, ...]
    counts: dict[Verdict, int]
    judged: int
    failing: int
    doubtful: int  # rows that have one of `verdicts`, by no more than two separate runs may differ
    failed_in_b: int
    only_in_a: int
    unjudged: int  # rows that A measured and nothing tells of
    lacking: bool  # whether those are too many to pass
    edges: tuple[float, float]  # ln: the narrowest and the widest margin of a row
    hidden: Hidden

    @property
    def answer(self) -> Answer:
        """Failed, if a row or the whole is slower; passed, if no row may be and `least` would have been seen in each whole."""
        if self.failing or any(whole.failed(self.fail_on) for whole in self.wholes):
            return "failed"
        told = all(whole.told(self.least, self.fail_on) for whole in self.wholes)
        return "passed" if told and not self.doubtful and not self.lacking else "can't tell"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json; null where there is no number."""
        hidden = self.hidden
        return {
            "fail_on": self.fail_on,
            "by": f"{self.quantity}s",
            "answer": self.answer,
            "passed": self.answer == "passed",
            "least": self.least,
            "whole": [
                {
                    "slower": math.expm1(w.slower.mean),
                    **{name: math.expm1(end) if math.isfinite(end) else None for name, end in (("slower_ci_low", w.slower.low), ("slower_ci_high", w.slower.high))},
                    "could_have_seen": w.seen if math.isfinite(w.seen) else None,
                    "separate_runs_differ_by": math.expm1(w.unknown) or None,
                    "rows": w.mean.rows,
                }
                for w in self.wholes
            ],
            "judged": self.judged,
            **{v.lower(): self.counts[v] for v in self.verdicts},
            "failed_in_b": self.failed_in_b,
            "only_in_a": self.only_in_a,
            "unjudged": self.unjudged,
            "slower_by_no_more_than_runs_differ": self.doubtful,
            "ambiguous": self.counts["AMBIGUOUS"],
            "could_hide": {
                "rows": len(hidden.sizes) + hidden.unbounded, "median": hidden.median, "most": hidden.most, "of_any_size": hidden.unbounded,
            },
            "not_measured": self.counts["NOT MEASURED"],
        }  # fmt: skip


def gate(
    comparisons: Sequence[Comparison], fail_on: FailOn = "slower", quantity: Quantity | None = None,
    least: float = LEAST,
) -> Gate:  # fmt: skip
    """The gate over these comparisons, by times where one machine made all runs, else by speedups, or by `quantity`.

    UserError if one of them has no judged row: such a gate could never fail.
    """
    quantity = quantity or ("time" if all(c.same_machine for c in comparisons) else "speedup")
    compared = []
    for c in comparisons:
        one = c.speedups if quantity == "speedup" else c.times
        if one is None or not one.number:
            why, remedy = _cause(c, quantity)
            what = "row" if quantity == "speedup" else "times"
            raise UserError(f"--fail-on: {c.b.folder}", f"no {what} can be compared{why}", remedy)
        compared.append(one)
    verdicts: tuple[Verdict, ...] = CHANGED if fail_on == "changed" else ("SLOWER",)
    wholes = tuple(_whole(c, one, len(compared)) for c, one in zip(comparisons, compared, strict=True))
    failed = sum(one.failed_in_b for one in compared)
    counts: dict[Verdict, int] = {v: sum(one.counts[v] for one in compared) for v in VERDICTS}
    beyond = sum(_beyond(one, verdicts, w.unknown) for one, w in zip(compared, wholes, strict=True))
    rows = [(one.number, one.unjudged) for one in compared]
    lost = any(one.paired and {*FAILED} & {*one.a["status"].iloc[one.rows.a].unique()} for one in compared)
    return Gate(
        fail_on,
        quantity,
        wholes,
        least,
        verdicts,
        counts=counts,
        judged=sum(judged for judged, _ in rows),
        failing=failed + beyond,
        doubtful=sum(counts[v] for v in verdicts) - beyond,
        failed_in_b=failed,
        only_in_a=sum(len(one.only_a) for one in compared),
        unjudged=sum(unjudged for _, unjudged in rows),
        lacking=lost or any(unjudged > MOST_UNJUDGED * (judged + unjudged) for judged, unjudged in rows),
        edges=(min(one.least_edge for one in compared), max(one.edge for one in compared)),
        hidden=_hidden(compared, fail_on),
    )


def _beyond(compared: QuantityComparison, verdicts: Sequence[Verdict], unknown: float) -> int:
    """How many rows have one of the verdicts, and moved by more than separate runs may.

    `unknown` is the bound of one row; that of the largest of many is Bonferroni's.
    """
    rows, normal = compared.rows, NormalDist()
    unknown *= normal.inv_cdf(1 - 0.05 / max(1, compared.number)) / normal.inv_cdf(0.95)
    return int((np.isin(rows.verdict, [VERDICTS.index(v) for v in verdicts]) & (np.abs(rows.log.mean) > unknown)).sum())


def _whole(c: Comparison, compared: QuantityComparison, tests: int) -> Whole:
    """The whole of a comparison; its level is shared by `tests` of them (Bonferroni)."""
    mean, level = compared.mean, compared.confidence
    if c.same_run:
        return Whole(mean, Interval(0.0, 0.0, 2), 0.0, compared.edge, c.b.called, same_run=True)
    cpu = all(map(is_cpu, compared.a["device"].iloc[compared.rows.a[compared.places]].unique()))
    known, least = apart(compared.effect), apart_at_least(compared.effect, cpu, compared.quantity == "time")
    unknown = 0.0 if compared.paired else math.sqrt(least**2 - known**2)
    cards = math.log1p(CARD_MARGIN) if c.cards and compared.quantity == "time" else 0.0
    log = at_confidence(mean.log, level, 1 - (1 - level) / tests)
    sign = -1 if compared.quantity == "speedup" else 1
    return Whole(mean, Interval(sign * log.mean, math.hypot(log.half_width, unknown, cards), log.n), unknown, compared.edge, c.b.called)  # fmt: skip


def _hidden(compared: Sequence[QuantityComparison], fail_on: FailOn) -> Hidden:
    parts = []
    for one in compared:
        open_ = one.rows.verdict == VERDICTS.index("AMBIGUOUS")
        mean, half, edge = (values[open_] for values in (one.rows.log.mean, one.rows.log.half_width, one.rows.edge))
        parts.append(reaches(mean, half, edge, fail_on, one.quantity))
    reach = np.sort(np.concatenate(parts))
    return Hidden(tuple(np.expm1(reach[np.isfinite(reach)]).tolist()), int(np.isinf(reach).sum()))


def reaches(mean: Floats, half_width: Floats, edge: Floats, fail_on: FailOn, quantity: Quantity) -> Floats:
    """ln of the slow-downs that AMBIGUOUS rows can hide, or with `changed` of changes in either direction: beyond `edge`."""
    slower = half_width + (-mean if quantity == "speedup" else mean)
    reach = half_width + np.abs(mean) if fail_on == "changed" else slower
    return np.asarray(reach[reach > edge], dtype=np.float64)


def _cause(c: Comparison, quantity: Quantity) -> tuple[str, str]:
    """Why no row could be judged, in brackets, and what to do."""
    first = c.quantities[0]
    confounded, differ = first.confounded
    if confounded and confounded == len(first.rows.a):
        natures = [
            {is_predicted(str(d)) for d in rows["device"].iloc[at].unique()}
            for rows, at in ((first.a, first.rows.a), (first.b, first.rows.b))
        ]
        if natures[0] != natures[1]:
            return " (one run is predicted and the other measured)", "Compare two measured runs, or two predicted by one device."  # fmt: skip
        fields = ", ".join(differ)
        return f" (all are CONFOUNDED: {fields} had to differ)", f"Compare runs of the same {fields}."
    why = f" ({c.apart})" if quantity == "time" and c.apart else ""
    return why, "Compare runs of one config, measured to their end."
