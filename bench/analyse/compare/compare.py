"""Two runs, row by row: is it another number in B than in A, beyond a margin that matters and beyond what runs differ by?

Speedups come first: both sides of a speedup were measured in the same processes, so a machine's mood is in neither. Times
are compared where one machine can have made both runs. Every ratio is B / A: above 1 B is better by a speedup and worse by a time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from bench.analyse.compare.environment_diff import Difference, differences, other_card, other_machine
from bench.analyse.compare.row_matching import CPU_ONLY, Matching, Pair, Record, kind, match
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators, multiple_testing
from bench.analyse.stats.estimators import mean_of
from bench.spec.columns import FAILED, FILES, KEYS, MEASURED, SPEEDUP, TIME
from bench.spec.errors import UserError
from bench.spec.interval import Interval

_Place = tuple[str, int | None]  # a kind of device and the threads
CHANGE_MARGIN = 0.05  # a smaller change from run to run does not matter
CARDS = 0.08  # what cards of one model differ by, on average: Sinha et al. 2022 (SC22, arXiv:2208.11035)
Verdict = Literal["SLOWER", "FASTER", "AMBIGUOUS", "CONFOUNDED", "NOT MEASURED", "SAME"]
VERDICTS: tuple[Verdict, ...] = ("SLOWER", "FASTER", "AMBIGUOUS", "CONFOUNDED", "NOT MEASURED", "SAME")
CHANGED: tuple[Verdict, ...] = ("SLOWER", "FASTER")
JUDGED: tuple[Verdict, ...] = ("SLOWER", "FASTER", "AMBIGUOUS", "SAME")
Correction = Literal["benjamini-hochberg", "holm"]
Quantity = Literal["speedup", "time"]
BETTER: dict[Quantity, Literal["above 1", "below 1"]] = {"speedup": "above 1", "time": "below 1"}
"""Where B / A says that B is better."""
VALUES: dict[Quantity, tuple[str, str, str]] = {"speedup": SPEEDUP, "time": TIME}
"""The columns of a quantity: its value and the ends of its interval."""
_ADJUST: dict[Correction, Callable[[Sequence[float]], list[float]]] = {
    "benjamini-hochberg": multiple_testing.benjamini_hochberg,
    "holm": multiple_testing.holm,
}


@dataclass(frozen=True, slots=True)
class Match:
    """One row of both runs. `ratio` is B / A, of speedups or of times, with what it was judged by.

    `log` is the interval of ln(ratio) over the processes of both runs, widened by their noise bands; `edge` the margin in ln.
    `p` is of the null hypothesis that ln(ratio) lies within ±edge, `p_adjusted` after the correction over all rows.
    `differs` names the fields of the workload that are not the same: such a row is CONFOUNDED and counts nowhere.
    """

    a: Record
    b: Record
    log: Interval | None
    edge: float
    verdict: Verdict
    p: float | None = None
    p_adjusted: float | None = None
    differs: tuple[str, ...] = ()

    @property
    def lost(self) -> bool:
        """Whether A measured it and B ran out of memory, crashed or the like."""
        return not self.differs and self.a["status"] in MEASURED and self.b["status"] in FAILED

    @property
    def ratio(self) -> float | None:
        """B / A: `BETTER` tells which side of 1 is which."""
        return None if self.log is None else math.exp(self.log.mean)

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval of the ratio, where there is one."""
        if self.log is None or not math.isfinite(self.log.half_width):
            return None
        return math.exp(self.log.low), math.exp(self.log.high)


@dataclass(frozen=True, slots=True)
class Table:
    """One quantity, compared. `mean` is of ln(ratio) over the judged rows, for these very rows; `only_a`, `only_b`: rows without a partner."""

    quantity: Quantity
    matches: tuple[Match, ...]
    only_a: tuple[Record, ...]
    only_b: tuple[Record, ...]
    confidence: float
    family: int = 0  # rows that the correction was made over, those of further runs among them

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rows got each verdict."""
        found = Counter(m.verdict for m in self.matches)
        return {v: found[v] for v in VERDICTS}

    @property
    def judged(self) -> tuple[Match, ...]:
        """The rows that are of the same workload and were measured in both runs."""
        return tuple(m for m in self.matches if m.verdict in JUDGED)

    @property
    def mean(self) -> Interval:
        """The mean of ln(ratio) over the judged rows."""
        return _mean(self.judged)

    @property
    def edge(self) -> float:
        """The widest margin that a judged row was held against, in ln."""
        return max((m.edge for m in self.judged), default=0.0)

    @property
    def least_edge(self) -> float:
        """The narrowest one."""
        return min((m.edge for m in self.judged), default=0.0)

    def by_block(self) -> dict[str, Interval]:
        """The same mean for each block."""
        held: dict[str, list[Match]] = {}
        for m in self.judged:
            held.setdefault(str(m.a["block"]), []).append(m)
        return {block: _mean(rows) for block, rows in held.items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run B against run A. `times` is None where one machine can't have made both: `apart` then says why."""

    a: Run
    b: Run
    margin: float
    correction: Correction
    bands: tuple[float | None, float | None]  # the widest noise band that each run records of what was compared, in ln
    across: bool  # the runs share no kind of device
    speedups: Table
    times: Table | None
    apart: str
    cards: tuple[str, ...]  # kinds of device of which the runs had other cards
    differences: tuple[Difference, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Speedups first."""
        return (self.speedups,) if self.times is None else (self.speedups, self.times)

    @property
    def same_run(self) -> bool:
        """Whether a run was set beside itself; a copy in which a row is missing or anything measured is another number is no such run."""
        t = self.speedups
        alone = t.only_a or t.only_b
        return self.a.run_id == self.b.run_id and not alone and all(m.log is None or m.log.mean == 0 for m in t.judged)

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that had to agree; a device by its kind, and on an accelerator without threads, allocator and waiting."""
        return tuple(k for k in KEYS if not (self.across and k in ("device", *CPU_ONLY)))


def compare(a: Run, b: Run, margin: float = CHANGE_MARGIN, correction: Correction = "benjamini-hochberg") -> Comparison:
    """Run B against run A, in time linear in the number of rows."""
    return compare_all([a, b], margin, correction)[0]


def compare_all(
    runs: Sequence[Run], margin: float = CHANGE_MARGIN, correction: Correction = "benjamini-hochberg"
) -> tuple[Comparison, ...]:
    """Each run against the first. The correction is made over all rows of a quantity in all comparisons.

    UserError for fewer than two runs, and for a margin that is not between 0 and 1.
    """
    if len(runs) < 2:
        raise UserError("bench compare", "it takes two results folders or more", "Name another run.", len(runs))
    if not 0 < margin < 1:
        raise UserError("--margin", "a margin lies above 0 and below 1", "Write 5% or 0.05.", margin)
    first, *others = runs
    confidence = first.timing.confidence
    drafts = [_draft(first, b, margin, correction) for b in others]
    speedups = _corrected([d.speedups for d in drafts], correction, confidence)
    times = _corrected([d.times for d in drafts if d.times is not None], correction, confidence)
    found, left = [], iter(times)
    for draft, table in zip(drafts, speedups, strict=True):
        timed = None if draft.times is None else next(left)
        found.append(replace(draft, speedups=table, times=timed))
    return tuple(found)


def readings(run: Run, quantity: Quantity) -> list[tuple[Record, Interval]]:
    """A run's measured rows, each with the interval of ln(speedup), or of ln(median time)."""
    read = _speed if quantity == "speedup" else _time
    level = run.timing.confidence
    found = [(row, read(row, level, level)) for row in _rows(run, "p" if quantity == "speedup" else "m")]
    return [(row, log) for row, log in found if log is not None]


def judge(
    log: Interval, edge: float, p_adjusted: float, confidence: float = 0.95, quantity: Quantity = "speedup"
) -> Verdict:
    """The verdict on a row: FASTER or SLOWER by its adjusted p, SAME by two one-sided tests within ±edge, or AMBIGUOUS.

    `log` is the interval of ln(B / A): a speedup that rose and a time that fell are FASTER.
    """
    alpha = 1 - confidence + 1e-12
    if p_adjusted <= alpha:
        return "FASTER" if (log.mean > 0) == (BETTER[quantity] == "above 1") else "SLOWER"
    return "SAME" if multiple_testing.equivalent(log, edge, confidence) <= alpha else "AMBIGUOUS"


def beyond(log: Interval, edge: float, confidence: float = 0.95) -> float:
    """p of the mean lying beyond ±edge: below 1 - confidence just where the whole interval does."""
    far = abs(log.mean) - edge
    return multiple_testing.p_value(Interval(far, log.half_width, log.n), confidence) if far > 0 else 1.0


def _draft(a: Run, b: Run, margin: float, correction: Correction) -> Comparison:
    rows_a, rows_b = _rows(a, "p"), _rows(b, "p")
    bands = _bands(rows_a), _bands(rows_b)
    matched = match(rows_a, rows_b)
    kinds = list(dict.fromkeys(kind(rows_a[p.a]["device"]) for p in matched.pairs))
    cards = tuple(d for d in kinds if not matched.across and other_card(a, b, d))
    side = _Sides(a, b, margin, bands, cards)
    speedups = side.table("speedup", rows_a, rows_b, matched)
    reasons = {d: "the runs share no kind of device" if matched.across else other_machine(a, b, d) for d in kinds}
    alike = [d for d, why in reasons.items() if why is None]
    times = None
    if alike:
        arms_a, arms_b = ([r for r in _rows(run, "m") if kind(r["device"]) in alike] for run in (a, b))
        times = side.table("time", arms_a, arms_b, match(arms_a, arms_b))
    met = {_place(rows_a[p.a]) for p in matched.pairs}, {_place(rows_b[p.b]) for p in matched.pairs}
    widest = [
        max((v for d, v in found.items() if d in own), default=None) for found, own in zip(bands, met, strict=True)
    ]
    return Comparison(
        a, b, margin, correction, (widest[0], widest[1]), matched.across, speedups, times,
        "; ".join(why for why in reasons.values() if why) if reasons else "no row is in both runs", cards,
        tuple(differences(a, b)),
    )  # fmt: skip


def _rows(run: Run, file: Literal["m", "p"]) -> list[Record]:
    """A table's rows. UserError for a number that none of ours can be, which would spoil the mean of all rows."""
    rows = records_of(run.pairs if file == "p" else run.measurements)
    for i, row in enumerate(rows, 2):  # line 1 is the header
        for name in _NUMBERS[file]:
            value = row[name]
            if value is not None and not (_positive(value) or (value == 0 and name in _MAY_BE_0)):
                raise UserError(f"{run.folder / FILES[file]}:{i}: {name}", "the number is impossible", "Restore the file from a copy.", value)  # fmt: skip
    return rows


_NUMBERS = {
    "p": ("speedup", "speedup_ci_low", "speedup_ci_high", "precision", "noise_band", "processes"),
    "m": ("time_median_s", "time_ci_low_s", "time_ci_high_s", "time_min_s", "processes"),
}
_MAY_BE_0 = ("precision", "noise_band", "processes")


@dataclass(frozen=True, slots=True)
class _Sides:
    """Two runs and what their rows are held against."""

    a: Run
    b: Run
    margin: float
    bands: tuple[dict[_Place, float], dict[_Place, float]]
    cards: tuple[str, ...]

    def table(self, quantity: Quantity, rows_a: Sequence[Record], rows_b: Sequence[Record], found: Matching) -> Table:
        """The matched rows, none of them judged yet."""
        return Table(
            quantity,
            tuple(self._matched(quantity, p, rows_a[p.a], rows_b[p.b]) for p in (*found.pairs, *found.loose)),
            tuple(rows_a[i] for i in found.only_a),
            tuple(rows_b[j] for j in found.only_b),
            self.a.timing.confidence,
        )

    def _matched(self, quantity: Quantity, pair: Pair, a: Record, b: Record) -> Match:
        own = [bands.get(_place(row)) for bands, row in zip(self.bands, (a, b), strict=True)]
        known = [band for band in own if band is not None]
        cards = [math.log1p(CARDS)] if quantity == "time" and kind(a["device"]) in self.cards else []
        edge = max([math.log1p(self.margin), *known, *cards])
        read = _speed if quantity == "speedup" else _time
        confidence = self.a.timing.confidence
        left, right = read(a, confidence, confidence), read(b, self.b.timing.confidence, confidence)
        verdict: Verdict = "CONFOUNDED" if pair.differs else "NOT MEASURED"
        if left is None or right is None:
            return Match(a, b, None, edge, verdict, differs=pair.differs)
        log = estimators.difference(left, right, confidence)
        if self.a.run_id == self.b.run_id and log.mean == 0:  # not two samples but one, so nothing is left to chance
            log = Interval(0.0, 0.0, max(2, log.n))
        else:
            log = Interval(log.mean, math.hypot(log.half_width, *known), log.n)
        if pair.differs:
            return Match(a, b, log, edge, verdict, differs=pair.differs)
        p = beyond(log, edge, confidence)
        if quantity == "time" and p < 1 and not _minima_agree(a, b, log.mean, edge):
            p = 1.0
        return Match(a, b, log, edge, "AMBIGUOUS", p)


def _corrected(tables: Sequence[Table], correction: Correction, confidence: float) -> list[Table]:
    """The tables with their rows judged: the family of tests is all rows of all of them."""
    every = [m.p for t in tables for m in t.judged if m.p is not None]
    adjusted = iter(_ADJUST[correction](every))

    def settled(m: Match, quantity: Quantity) -> Match:
        if m.verdict not in JUDGED or m.log is None:
            return m
        p = next(adjusted)
        return replace(m, p_adjusted=p, verdict=judge(m.log, m.edge, p, confidence, quantity))

    return [replace(t, matches=tuple(settled(m, t.quantity) for m in t.matches), family=len(every)) for t in tables]


def _speed(row: Record, own: float, wanted: float) -> Interval | None:
    """The interval of ln(speedup), at another confidence than the run's own where that is wanted."""
    if row["status"] not in MEASURED or row["speedup"] is None:
        return None
    width = math.inf if row["precision"] is None else float(row["precision"])
    return estimators.at_confidence(Interval(math.log(row["speedup"]), width, int(row["processes"] or 1)), own, wanted)


def _time(row: Record, own: float, wanted: float) -> Interval | None:
    """The interval of ln(median time)."""
    if row["status"] not in MEASURED or row["time_median_s"] is None:
        return None
    return estimators.at_confidence(estimators.log_interval(row, TIME), own, wanted)


def _minima_agree(a: Record, b: Record, log: float, edge: float) -> bool:
    """Whether the fastest samples moved beyond the margin too, and the same way: medians follow whoever shares the machine."""
    if a["time_min_s"] is None or b["time_min_s"] is None:
        return True
    return math.copysign(1.0, log) * math.log(b["time_min_s"] / a["time_min_s"]) > edge


def _place(row: Record) -> _Place:
    return kind(row["device"]), row["threads"]


def _bands(rows: Sequence[Record]) -> dict[_Place, float]:
    """The widest noise band by kind of device and threads."""
    found: dict[_Place, float] = {}
    for row in rows:
        if row["noise_band"] is not None:
            found[_place(row)] = max(found.get(_place(row), 0.0), float(row["noise_band"]))
    return found


def _mean(rows: Sequence[Match]) -> Interval:
    return mean_of([m.log for m in rows if m.log is not None])


def _positive(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and value > 0
