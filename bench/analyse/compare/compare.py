"""Compare two runs row by row: did the number change by more than a margin, and by more than chance?

Speedups come first: both times of a speedup come from the same processes, so the machine's load cancels. Times are compared
only where one machine can have made both runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.analyse.compare import facts
from bench.analyse.compare.environment_diff import differences, other_card, other_machine
from bench.analyse.compare.facts import (
    CHANGE_MARGIN,
    Comparison,
    Correction,
    Match,
    Quantity,
    QuantityComparison,
    Verdict,
)
from bench.analyse.compare.row_matching import Matching, Pair, kind, match
from bench.analyse.runs.noise_floor import earlier_beside, run_effect
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators
from bench.spec.columns import MEASURED, TIME
from bench.spec.errors import UserError
from bench.spec.interval import Interval

_Place = tuple[str, int | None]  # a kind of device and the threads
_ADJUST: dict[Correction, Callable[[Sequence[float]], list[float]]] = {
    "benjamini-hochberg": estimators.benjamini_hochberg,
    "holm": estimators.holm,
}


def compare(a: Run, b: Run, margin: float = CHANGE_MARGIN, correction: Correction = "benjamini-hochberg") -> Comparison:
    """Compare run B with run A, in time linear in the number of rows."""
    return compare_all([a, b], margin, correction)[0]


def compare_all(
    runs: Sequence[Run], margin: float = CHANGE_MARGIN, correction: Correction = "benjamini-hochberg"
) -> tuple[Comparison, ...]:
    """Compare each run with the first. p is corrected over all rows of a quantity in all comparisons.

    UserError for fewer than two runs, and for a margin that is not between 0 and 1.
    """
    if len(runs) < 2:
        raise UserError("bench compare", "it takes two results folders or more", "Name another run.", len(runs))
    if not 0 < margin < 1:
        raise UserError("--margin", "a margin lies above 0 and below 1", "Write 5% or 0.05.", margin)
    first, *others = runs
    drafts = [_draft(first, b, margin, correction) for b in others]
    speedups = _corrected([d.speedups for d in drafts], correction)
    times = _corrected([d.times for d in drafts if d.times is not None], correction)
    left = iter(times)
    return tuple(
        replace(draft, speedups=judged, times=None if draft.times is None else next(left))
        for draft, judged in zip(drafts, speedups, strict=True)
    )


def readings(run: Run, quantity: Quantity) -> list[tuple[Record, Interval]]:
    """A run's measured rows, each with the interval of ln(speedup), or of ln(median time)."""
    level = run.timing.confidence
    rows = [
        (row, _log(row, quantity, level, level))
        for row in records_of(run.pairs if quantity == "speedup" else run.measurements)
    ]
    return [(row, log) for row, log in rows if log is not None]


def judge(
    log: Interval, edge: float, p_adjusted: float, confidence: float = 0.95, quantity: Quantity = "speedup"
) -> Verdict:
    """The verdict on a row: FASTER or SLOWER by its adjusted p, SAME where the interval lies within ±edge, or AMBIGUOUS.

    `log` is the interval of ln(B / A): FASTER is a larger speedup or a shorter time.
    """
    alpha = 1 - confidence + 1e-12
    if p_adjusted <= alpha:
        return "FASTER" if (log.mean > 0) == (facts.BETTER[quantity] == "above 1") else "SLOWER"
    return "SAME" if log.within(edge) else "AMBIGUOUS"


def _draft(a: Run, b: Run, margin: float, correction: Correction) -> Comparison:
    rows_a, rows_b = (_with_sources(run, records_of(run.pairs)) for run in (a, b))
    bands = _bands(rows_a), _bands(rows_b)
    matched = match(rows_a, rows_b)
    kinds = list(dict.fromkeys(kind(rows_a[p.a]["device"]) for p in matched.pairs))
    cards = tuple(d for d in kinds if not matched.across and other_card(a, b, d))
    beside = [[one, *earlier_beside(one, other)] for one, other in ((a, b), (b, a))]
    side = _Sides(a, b, margin, bands, cards, beside)
    speedups = side.compared("speedup", rows_a, rows_b, matched)
    reasons = {d: "the runs share no kind of device" if matched.across else other_machine(a, b, d) for d in kinds}
    alike = [d for d, why in reasons.items() if why is None]
    times = None
    if alike:
        every = [_with_sources(run, records_of(run.measurements)) for run in (a, b)]
        arms_a, arms_b = ([r for r in rows if kind(r["device"]) in alike] for rows in every)
        times = side.compared("time", arms_a, arms_b, match(arms_a, arms_b))
    places = [_place(rows_a[p.a]) for p in matched.pairs], [_place(rows_b[p.b]) for p in matched.pairs]
    widest = [max((by[p] for p in met if p in by), default=None) for by, met in zip(bands, places, strict=True)]
    return Comparison(
        a, b, margin, correction, (widest[0], widest[1]), matched.across, speedups, times,
        "; ".join(why for why in reasons.values() if why) if reasons else "no row is in both runs", cards,
        tuple(differences(a, b)),
    )  # fmt: skip


def _with_sources(run: Run, rows: Sequence[Record]) -> list[Record]:
    """The rows, each with the import paths and source hashes of its users' blocks; None where the run has no hashes."""
    devices = (run.environment.get("devices") or {}).values()
    hashes = {path: source for facts in devices for path, source in (facts.get("imports") or {}).items()}
    arms = [(t.experiment, arm.choice) for t in (run.plan.trials if run.plan else ()) for arm in t.arms]
    of = {(name, c.label): f"{c.factory} {hashes[c.factory]}" for name, c in arms if c.factory in hashes}
    both = ("baseline", "block") if "speedup" in (rows[0] if rows else ()) else ("block",)
    named = [[of.get((row["experiment"], row[name])) for name in both] for row in rows]
    return [{**row, "source": ", ".join(filter(None, one)) or None} for row, one in zip(rows, named, strict=True)]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Two runs with the margin and noise bands of their rows."""

    a: Run
    b: Run
    margin: float
    bands: tuple[dict[_Place, float], dict[_Place, float]]
    cards: tuple[str, ...]
    repeats: Sequence[Sequence[Run]]  # of a and of b: each with earlier runs of its installation

    def compared(
        self, quantity: Quantity, rows_a: Sequence[Record], rows_b: Sequence[Record], matching: Matching
    ) -> QuantityComparison:
        """The matched rows, not judged yet."""
        known = [e for runs in self.repeats if len(runs) > 1 and (e := run_effect(runs, quantity == "time"))]
        effect = max(known, key=lambda e: e.sd, default=None)
        sd = effect.sd * math.sqrt(2) if effect else 0.0
        return QuantityComparison(
            quantity,
            tuple(self._match(quantity, p, rows_a[p.a], rows_b[p.b], sd) for p in (*matching.pairs, *matching.loose)),
            tuple(rows_a[i] for i in matching.only_a),
            tuple(rows_b[j] for j in matching.only_b),
            self.a.timing.confidence,
            effect=effect,
        )

    def _match(self, quantity: Quantity, pair: Pair, a: Record, b: Record, sd: float) -> Match:
        bands = [by_place.get(_place(row)) for by_place, row in zip(self.bands, (a, b), strict=True)]
        known = [band for band in bands if band is not None]
        cards = [math.log1p(facts.CARD_MARGIN)] if quantity == "time" and kind(a["device"]) in self.cards else []
        edge = max([math.log1p(self.margin), *known, *cards])
        confidence = self.a.timing.confidence
        sides = ((a, self.a), (b, self.b))
        left, right = (_log(row, quantity, run.timing.confidence, confidence) for row, run in sides)
        changed = None not in (a["source"], b["source"]) and a["source"] != b["source"]
        differs = (*pair.differs, "source") if changed else pair.differs
        if left is None or right is None:
            return Match(a, b, None, edge, "CONFOUNDED" if differs else "NOT MEASURED", differs=differs)
        log = estimators.widened(estimators.difference(left, right, confidence), sd, confidence)
        if self.a.run_id == self.b.run_id and log.mean == 0:  # one sample, not two: no chance is involved
            log = Interval(0.0, 0.0, max(2, log.n))
        else:
            log = Interval(log.mean, math.hypot(log.half_width, *known), log.n)
        if differs:
            return Match(a, b, log, edge, "CONFOUNDED", differs=differs)
        p = facts.beyond(log, edge, confidence)
        if quantity == "time" and p < 1 and not _minima_agree(a, b, log.mean, edge):
            p = 1.0
        return Match(a, b, log, edge, "AMBIGUOUS", p)


def _corrected(drafts: Sequence[QuantityComparison], correction: Correction) -> list[QuantityComparison]:
    """The same with a verdict for each row: the family of tests is all rows of all of them."""
    every = [m.p for draft in drafts for m in draft.judged if m.p is not None]
    adjusted = iter(_ADJUST[correction](every))

    def judged(m: Match, d: QuantityComparison) -> Match:
        if m.verdict not in facts.JUDGED or m.log is None:
            return m
        p = next(adjusted)
        return replace(m, p_adjusted=p, verdict=judge(m.log, m.edge, p, d.confidence, d.quantity))

    return [replace(d, matches=tuple(judged(m, d) for m in d.matches), family=len(every)) for d in drafts]


def _log(row: Record, quantity: Quantity, level: float, wanted: float) -> Interval | None:
    """The interval of ln(value) at the wanted confidence, from a row at confidence `level`; None if it is not measured."""
    value = row[facts.VALUES[quantity][0]]
    if row["status"] not in MEASURED or value is None:
        return None
    if quantity == "time":
        return estimators.at_confidence(estimators.log_interval(row, TIME), level, wanted)
    width = math.inf if row["precision"] is None else float(row["precision"])
    return estimators.at_confidence(Interval(math.log(value), width, int(row["processes"] or 1)), level, wanted)


def _minima_agree(a: Record, b: Record, log: float, edge: float) -> bool:
    """Whether the fastest samples moved facts.beyond the margin too, in the same direction. Load on the machine moves medians only."""
    if a["time_min_s"] is None or b["time_min_s"] is None:
        return True
    return math.copysign(1.0, log) * math.log(b["time_min_s"] / a["time_min_s"]) > edge


def _place(row: Record) -> _Place:
    return kind(row["device"]), row["threads"]


def _bands(rows: Sequence[Record]) -> dict[_Place, float]:
    banded = grouped((row for row in rows if row["noise_band"] is not None), _place)
    return {place: max(float(row["noise_band"]) for row in some) for place, some in banded.items()}
