"""Compare two runs row by row: did the number change by more than a margin, and by more than chance?

Speedups come first: both times of a speedup come from the same processes, so the machine's load cancels. Times are compared
only where one machine can have made both runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from bench.analyse.compare import facts
from bench.analyse.compare.environment_diff import differences, other_card, other_machine
from bench.analyse.compare.facts import (
    CHANGE_MARGIN,
    VERDICTS,
    Comparison,
    Correction,
    Judged,
    Quantity,
    QuantityComparison,
    Verdict,
)
from bench.analyse.compare.row_matching import Matching, kind, mapped, match
from bench.analyse.compare.sides import side_of
from bench.analyse.compare.whole import Processes
from bench.analyse.runs.noise_floor import repeats, run_effect
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators, interval_arrays
from bench.analyse.stats.estimators import Floats, Ints
from bench.analyse.stats.interval_arrays import Bools, Intervals
from bench.spec.columns import MEASURED, SPEEDUP, TIME
from bench.spec.errors import UserError
from bench.spec.interval import Interval
from bench.spec.results_folder import sources_of

_PLACE = ("device", "threads")
_JUDGED_BY = (*SPEEDUP, *TIME, *_PLACE, *"status processes precision time_min_s source".split())
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

    UserError for fewer than two runs, a folder with rows of several, and a margin that is not between 0 and 1.
    """
    if len(runs) < 2:
        raise UserError("bench compare", "it takes two results folders or more", "Name another run.", len(runs))
    if not 0 < margin < 1:
        raise UserError("--margin", "a margin lies above 0 and below 1", "Write 5% or 0.05.", margin)
    for run in runs:
        _of_one_run(run)
    first, *others = runs
    drafts = [_draft(first, b, margin, correction) for b in others]
    speedups = _corrected([d.speedups for d in drafts if d.speedups is not None], correction)
    times = _corrected([d.times for d in drafts if d.times is not None], correction)
    left = iter(times)
    return tuple(
        replace(draft, speedups=judged, times=None if draft.times is None else next(left))
        for draft, judged in zip(drafts, speedups, strict=True)
    )


def compare_sides(run: Run, margin: float = CHANGE_MARGIN) -> Comparison:
    """Compare side B with side A of a run of `bench ab`, by times: they took turns in the same rounds, so rows are paired."""
    correction: Correction = "holm"  # as for its gate
    _of_one_run(run)
    a, b = side_of(run, 0), side_of(run, 1)
    rows = a.measurements.assign(source=None), b.measurements.assign(source=None)  # two sources are what is compared
    draft = _Sides(a, b, margin, ({}, {}), (), ([a], [b]), paired=True).compared("time", *rows, match(*rows))
    (times,) = _corrected([draft], correction)
    return Comparison(a, b, margin, correction, (None, None), False, None, times, "", (), tuple(differences(a, b)))


def _of_one_run(run: Run) -> None:
    """UserError for a folder with the rows of several runs, whose processes would pass for the same ones."""
    ids = [one for rows in (run.measurements, run.pairs) for one in rows["run_id"].unique()]
    every = [*dict.fromkeys("none" if pd.isna(one) else one for one in ids)]
    if len(every) > 1:
        raise UserError(str(run.folder), "its rows are of several runs", "Compare folders with one run each", f"{every[0]}, {every[1]}")  # fmt: skip


def readings(run: Run, quantity: Quantity) -> tuple[pd.DataFrame, Floats]:
    """A run's measured rows, and ln(speedup) or ln(median time) of each."""
    rows = run.pairs if quantity == "speedup" else run.measurements
    log = _logs(rows, quantity, 0.95, 0.95).mean
    return rows[np.isfinite(log)].reset_index(drop=True), log[np.isfinite(log)]


def judge(
    log: Interval, edge: float, p_adjusted: float, confidence: float = 0.95, quantity: Quantity = "speedup"
) -> Verdict:
    """The verdict on a row: FASTER or SLOWER by its adjusted p, SAME where the interval lies within ±edge, or AMBIGUOUS.

    `log` is the interval of ln(B / A): FASTER is a larger speedup or a shorter time.
    """
    one = Intervals(np.array([log.mean]), np.array([log.half_width]), np.array([log.n]))
    return VERDICTS[int(_verdicts(one, np.array([edge]), np.array([p_adjusted]), confidence, quantity)[0])]


def _verdicts(log: Intervals, edge: Floats, p_adjusted: Floats, confidence: float, quantity: Quantity) -> Ints:
    """The places in VERDICTS of rows that are judged."""
    better = (log.mean > 0) == (facts.BETTER[quantity] == "above 1")
    within = np.abs(log.mean) + log.half_width < edge
    slower, faster, ambiguous, same = (VERDICTS.index(v) for v in ("SLOWER", "FASTER", "AMBIGUOUS", "SAME"))
    told = p_adjusted <= 1 - confidence + 1e-12
    return np.where(told, np.where(better, faster, slower), np.where(within, same, ambiguous))


def _draft(a: Run, b: Run, margin: float, correction: Correction) -> Comparison:
    rows_a, rows_b = (_with_sources(run, run.pairs) for run in (a, b))
    bands = _bands(rows_a), _bands(rows_b)
    matched = match(rows_a, rows_b)
    kinds = list(dict.fromkeys(kind(d) for d in rows_a["device"].iloc[matched.a].unique()))
    cards = tuple(d for d in kinds if not matched.across and other_card(a, b, d))
    side = _Sides(a, b, margin, bands, cards, repeats(a, b))
    speedups = side.compared("speedup", rows_a, rows_b, matched)
    reasons = {d: "the runs share no kind of device" if matched.across else other_machine(a, b, d) for d in kinds}
    times = None
    if None in reasons.values():
        elsewhere = [d for d, why in reasons.items() if why is not None]
        arms_a, arms_b = (_off(elsewhere, _with_sources(run, run.measurements)) for run in (a, b))
        times = side.compared("time", arms_a, arms_b, match(arms_a, arms_b))
    alone = (matched.way == 0) | matched.across
    met = ((bands[0], rows_a, matched.a), (bands[1], rows_b, matched.b))
    widest = [max((v for p in _places(rows[[*_PLACE]].iloc[at[alone]]) if (v := by.get(p))), default=None) if by else None for by, rows, at in met]  # fmt: skip
    return Comparison(
        a, b, margin, correction, (widest[0], widest[1]), matched.across, speedups, times,
        "; ".join(why for why in reasons.values() if why) if reasons else "no row is in both runs", cards,
        tuple(differences(a, b)),
    )  # fmt: skip


def _off(kinds: Sequence[str], rows: pd.DataFrame) -> pd.DataFrame:
    """The rows but those of these kinds of device."""
    those = ~mapped(rows["device"], kind).isin(kinds).to_numpy()
    return rows if those.all() else rows[those].reset_index(drop=True)


def _with_sources(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, each with the import paths and source hashes of its users' blocks; None where the run has no hashes."""
    hashes = sources_of(run.environment)
    arms = (
        [(t.experiment, arm.choice) for t in (run.plan.trials if run.plan else ()) for arm in t.arms] if hashes else []
    )
    of = {(name, c.label): f"{c.factory} {hashes[c.factory]}" for name, c in arms if c.factory in hashes}
    if not of:
        return rows.assign(source=None)
    both = ("baseline", "block") if "speedup" in rows else ("block",)
    named = zip(
        *([of.get(at) for at in zip(rows["experiment"], rows[name], strict=True)] for name in both), strict=True
    )
    return rows.assign(source=pd.Series([", ".join(filter(None, one)) or None for one in named], dtype=object))


@dataclass(frozen=True, slots=True)
class _Sides:
    """Two runs with the margin and noise bands of their rows."""

    a: Run
    b: Run
    margin: float
    bands: tuple[dict[_Place, float], dict[_Place, float]]
    cards: tuple[str, ...]
    repeats: Sequence[Sequence[Run]]  # runs that tell what runs of an installation differ by
    paired: bool = False  # whether they are the sides of one run, whose B has what B / A is made of

    def compared(
        self, quantity: Quantity, rows_a: pd.DataFrame, rows_b: pd.DataFrame, matching: Matching
    ) -> QuantityComparison:
        """The matched rows, not judged yet."""
        known = [e for runs in self.repeats if len(runs) > 1 and (e := run_effect(runs, quantity == "time"))]
        effect = max(known, key=lambda e: e.sd, default=None)
        sd = effect.sd * math.sqrt(2) if effect else 0.0
        only = rows_a.iloc[matching.only_a], rows_b.iloc[matching.only_b]
        a, b = (
            rows[[n for n in _JUDGED_BY if n in rows]].iloc[at]
            for rows, at in ((rows_a, matching.a), (rows_b, matching.b))
        )
        found = self._found(quantity, a, b, matching, sd)
        name = "speedup_by_process" if self.paired else f"{quantity}_by_process"
        sides = ((rows_a, matching.a), (rows_b, matching.b))[self.paired :]
        values = tuple(Processes.of(rows, name, at) for rows, at in sides)
        return QuantityComparison(
            quantity, rows_a, rows_b, found, *only, self.a.timing.confidence, values, effect=effect, paired=self.paired
        )

    def _found(self, quantity: Quantity, a: pd.DataFrame, b: pd.DataFrame, matching: Matching, sd: float) -> Judged:
        """B / A of rows side by side, with their p; each AMBIGUOUS until the correction, unless it can't be judged."""
        confidence, count = self.a.timing.confidence, len(a)
        edge, spread = np.full(count, math.log1p(self.margin)), np.zeros(count)
        for by, rows in zip(self.bands, (a, b), strict=True):
            if by:
                band = np.array([by.get(place, 0.0) for place in _places(rows, every=True)])
                edge, spread = np.maximum(edge, band), np.hypot(spread, band)
        if quantity == "time" and self.cards:
            cards = mapped(a["device"], kind).isin(self.cards).to_numpy()
            edge = np.where(cards, np.maximum(edge, math.log1p(facts.CARD_MARGIN)), edge)
        sides = ((a, self.a), (b, self.b))
        left, right = (_logs(rows, quantity, run.timing.confidence, confidence) for rows, run in sides)
        if self.paired:  # the sides of one run, which the speedup is the ratio of
            turns = _logs(b, "speedup", self.b.timing.confidence, confidence)
            log = Intervals(-turns.mean, turns.half_width, turns.n)
        else:
            log = interval_arrays.widened(interval_arrays.differences(left, right, confidence), sd, confidence)
        again = (log.mean == 0) & (self.a.run_id == self.b.run_id)  # one sample, not two: no chance is involved
        half = np.where(again, 0.0, np.hypot(log.half_width, spread))
        log = Intervals(log.mean, half, np.where(again, np.maximum(2, log.n), log.n))
        far = np.abs(log.mean) - edge
        p = np.where(far > 0, interval_arrays.p_values(Intervals(far, half, log.n), confidence), 1.0)
        if quantity == "time" and not self.paired:  # in lockstep load disturbs both sides alike
            p = np.where(_minima_agree(a, b, log.mean, edge), p, 1.0)
        way, ways = _with_source(a, b, matching)
        verdict = np.full(count, VERDICTS.index("AMBIGUOUS"))
        verdict[np.isnan(log.mean)] = VERDICTS.index("NOT MEASURED")
        verdict[way > 0] = VERDICTS.index("CONFOUNDED")
        p = np.where(verdict == VERDICTS.index("AMBIGUOUS"), p, np.nan)
        return Judged(matching.a, matching.b, way, ways, log, edge, verdict, p, np.full(count, np.nan))


def _with_source(a: pd.DataFrame, b: pd.DataFrame, matching: Matching) -> tuple[Ints, tuple[tuple[str, ...], ...]]:
    """The way of each row and all ways, with `source` among what differs where an own block's source does."""
    way, ways = matching.way.copy(), dict(zip(matching.ways, range(len(matching.ways)), strict=True))
    one, two = (rows["source"].to_numpy(dtype=object) for rows in (a, b))
    for i in np.flatnonzero((one != two) & pd.notna(one) & pd.notna(two)):
        way[i] = ways.setdefault((*matching.ways[way[i]], "source"), len(ways))
    return way, tuple(ways)


def _corrected(drafts: Sequence[QuantityComparison], correction: Correction) -> list[QuantityComparison]:
    """The same with a verdict for each row: the family of tests is all rows of all of them."""
    every = np.concatenate([draft.rows.p[draft.places] for draft in drafts]) if drafts else np.zeros(0)
    adjusted, judged = np.array(_ADJUST[correction](every.tolist())), []
    for draft in drafts:
        rows, places = draft.rows, draft.places
        mine, adjusted = adjusted[: len(places)], adjusted[len(places) :]
        p_adjusted, verdict = rows.p_adjusted.copy(), rows.verdict.copy()
        log = Intervals(rows.log.mean[places], rows.log.half_width[places], rows.log.n[places])
        p_adjusted[places] = mine
        verdict[places] = _verdicts(log, rows.edge[places], mine, draft.confidence, draft.quantity)
        judged.append(replace(draft, rows=replace(rows, p_adjusted=p_adjusted, verdict=verdict), family=len(every)))
    return judged


def _logs(rows: pd.DataFrame, quantity: Quantity, level: float, wanted: float) -> Intervals:
    """The intervals of ln(value) at the wanted confidence, of rows at confidence `level`; nan where nothing is measured."""

    def column(name: str) -> Floats:
        return rows[name].to_numpy(dtype=np.float64, na_value=np.nan)

    value, low, high = facts.VALUES[quantity]
    n = np.nan_to_num(column("processes")).astype(np.int64)
    mean = np.where(rows["status"].isin(MEASURED).to_numpy(), np.log(column(value)), np.nan)
    width = column("precision") if quantity == "speedup" else np.abs(np.log(column(high)) - np.log(column(low))) / 2
    width = np.where(np.isnan(width), np.inf, width)
    return interval_arrays.at_confidence(Intervals(mean, width, np.maximum(n, 1)), level, wanted)


def _minima_agree(a: pd.DataFrame, b: pd.DataFrame, log: Floats, edge: Floats) -> Bools:
    """Whether the fastest samples moved beyond the margin too, in the same direction. Load on the machine moves medians only."""
    one, two = (np.log(rows["time_min_s"].to_numpy(dtype=np.float64, na_value=np.nan)) for rows in (a, b))
    return np.asarray(np.isnan(one) | np.isnan(two) | (np.sign(log) * (two - one) > edge), dtype=np.bool_)


def _places(rows: pd.DataFrame, every: bool = False) -> list[_Place]:
    """The different places of rows, or of `every` row."""
    two = rows[[*_PLACE]]
    pairs = two if every else two.drop_duplicates()
    return [(kind(d), t) for d, t in zip(pairs["device"].tolist(), pairs["threads"].tolist(), strict=True)]


def _bands(rows: pd.DataFrame) -> dict[_Place, float]:
    banded = rows[rows["noise_band"].notna()]
    widest: dict[_Place, float] = {}
    for place, band in zip(_places(banded, every=True), banded["noise_band"].tolist(), strict=True):
        widest[place] = max(float(band), widest.get(place, 0.0))
    return widest
