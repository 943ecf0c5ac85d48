"""The facts of a comparison: rows per verdict, mean ratios with interval and margin, what differs, noise bands.

Every ratio is B / A. Above 1 a speedup is better in B, and a time is worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import quantiles
from typing import Literal

import numpy as np
import pandas as pd

from bench.analyse.compare.environment_diff import Difference
from bench.analyse.compare.row_matching import CPU_ONLY
from bench.analyse.compare.whole import Processes, apart, mean_over_rows
from bench.analyse.runs.noise_floor import RunEffect
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import Floats, Ints, p_value
from bench.analyse.stats.interval_arrays import Intervals, student
from bench.spec.columns import FAILED, KEYS, MEASURED, NOT_YET, SPEEDUP, TIME
from bench.spec.interval import Interval

CHANGE_MARGIN = 0.05  # a smaller change from run to run does not matter
CARD_MARGIN = 0.08  # cards of one model differ by so much on average: Sinha et al. 2022 (SC22, arXiv:2208.11035)
Verdict = Literal["SLOWER", "FASTER", "AMBIGUOUS", "CONFOUNDED", "NOT MEASURED", "SAME"]
VERDICTS: tuple[Verdict, ...] = ("SLOWER", "FASTER", "AMBIGUOUS", "CONFOUNDED", "NOT MEASURED", "SAME")
CHANGED: tuple[Verdict, ...] = ("SLOWER", "FASTER")
JUDGED: tuple[Verdict, ...] = ("SLOWER", "FASTER", "AMBIGUOUS", "SAME")
Doubt = Literal["no interval", "correction", "fastest samples", "interval"]
Correction = Literal["benjamini-hochberg", "holm"]
Quantity = Literal["speedup", "time"]
BETTER: dict[Quantity, Literal["above 1", "below 1"]] = {"speedup": "above 1", "time": "below 1"}
"""The side of 1 on which B is better."""
VALUES: dict[Quantity, tuple[str, str, str]] = {"speedup": SPEEDUP, "time": TIME}
"""The columns of a quantity: its value and the ends of its interval."""


COMPARED = (
    *KEYS, *SPEEDUP, *TIME, *"run_id trial_id schema_version status status_detail processes precision precision_reached noise_band verdict".split(),
    *"side device_name groups time_min_s time_by_process speedup_by_process".split(),
)  # fmt: skip
"""The columns of the tables that a comparison reads."""


def beyond(log: Interval, edge: float, confidence: float = 0.95) -> float:
    """p of the mean lying beyond ±edge: below 1 - confidence exactly if the whole interval does."""
    far = abs(log.mean) - edge
    return p_value(Interval(far, log.half_width, log.n), confidence) if far > 0 else 1.0


@dataclass(frozen=True, slots=True)
class Match:
    """One row of both runs. `ratio` is B / A, of speedups or of times.

    `log` is the interval of ln(ratio) over the processes of both runs, widened by what runs differ by and by noise bands; `edge` the margin in ln.
    `p` is of the null hypothesis that ln(ratio) lies within ±edge, `p_adjusted` after the correction over all rows.
    `differs` names the fields of the workload that are not the same: such a row is CONFOUNDED and not counted.
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
    def ratio(self) -> float | None:
        return None if self.log is None else math.exp(self.log.mean)

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval of the ratio; None of fewer than three processes."""
        return None if self.log is None else ends_of(self.log)


@dataclass(frozen=True, slots=True)
class MeanRatio:
    """The geometric mean of B / A over `rows` rows, for these very rows: `log` is ln of it, `edge` the margin in ln.

    What separate runs differ by is in the interval where it is known.
    """

    log: Interval
    rows: int
    edge: float

    @property
    def ratio(self) -> float:
        return math.exp(self.log.mean)

    @property
    def ends(self) -> tuple[float, float] | None:
        """The interval of the ratio; None if a row has none."""
        return ends_of(self.log)

    @property
    def differs(self) -> bool:
        """Whether the interval excludes 1x."""
        return abs(self.log.mean) > self.log.half_width

    @property
    def within_margin(self) -> bool:
        """Whether the whole interval lies within the margin, as for a row that is SAME."""
        return self.log.within(self.edge)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Matched rows as columns: places in the frames of A and B, and what is found of each; nan where there is nothing.

    `log` is ln(B / A), `verdict` a place in VERDICTS, `way` one in `ways`: the fields that differ.
    """

    a: Ints
    b: Ints
    way: Ints
    ways: tuple[tuple[str, ...], ...]
    log: Intervals
    edge: Floats
    verdict: Ints
    p: Floats
    p_adjusted: Floats


@dataclass(frozen=True, slots=True, eq=False)
class QuantityComparison:
    """The speedups or the times of two runs. `a`, `b` are the rows of each run, `only_a` and `only_b` those without a partner.

    There may be a million rows: `telling` makes the few that are shown, `matches` and `judged` all of them.
    """

    quantity: Quantity
    a: pd.DataFrame
    b: pd.DataFrame
    rows: Judged
    only_a: pd.DataFrame
    only_b: pd.DataFrame
    confidence: float
    processes: tuple[Processes, ...]  # of the matched rows of both sides; of paired ones B's alone, as B / A
    family: int = 0  # rows that p is corrected over: of all comparisons that were made together
    effect: RunEffect | None = None  # what runs differ by, which is in the intervals; None where it is not known
    paired: bool = False  # whether they are the sides of one run, which took turns in each process

    @property
    def counts(self) -> dict[Verdict, int]:
        counts = np.bincount(self.rows.verdict, minlength=len(VERDICTS)).tolist()
        return dict(zip(VERDICTS, counts, strict=True))

    @property
    def places(self) -> Ints:
        """The places of the judged rows: of one workload, measured in both runs."""
        return np.flatnonzero(np.isin(self.rows.verdict, [VERDICTS.index(v) for v in JUDGED]))

    @property
    def number(self) -> int:
        """How many rows are judged."""
        return len(self.places)

    def at(self, places: Ints) -> list[Match]:
        """The rows at these places."""
        r = self.rows
        sides = [records_of(rows.iloc[at[places]]) for rows, at in ((self.a, r.a), (self.b, r.b))]
        found = (r.log.mean, r.log.half_width, r.log.n, r.edge, r.verdict, r.p, r.p_adjusted, r.way)
        return [
            Match(
                a, b, None if math.isnan(mean) else Interval(mean, half, n), edge, VERDICTS[verdict],
                None if math.isnan(p) else p, None if math.isnan(adjusted) else adjusted, r.ways[way],
            )
            for a, b, mean, half, n, edge, verdict, p, adjusted, way in zip(*sides, *(column[places].tolist() for column in found), strict=True)
        ]  # fmt: skip

    @property
    def matches(self) -> tuple[Match, ...]:
        """All rows one by one."""
        return tuple(self.at(np.arange(len(self.rows.a))))

    @property
    def judged(self) -> tuple[Match, ...]:
        """The judged rows one by one."""
        return tuple(self.at(self.places))

    def telling(self, most: int) -> list[Match]:
        """The first `most` rows: changed ones first, and within a verdict the farthest from 1x first."""
        return self.at(self._ranked(np.arange(len(self.rows.a)))[:most])

    def drawn(self, most: int) -> list[Match]:
        """The judged rows in their order, or where they are more than `most` the most telling of them."""
        return self.at(np.sort(self._ranked(self.places)[:most]))

    def spread(self, most: int) -> list[Match]:
        """The judged rows from the lowest ratio to the highest; where they are more than `most`, at even ranks."""
        ordered = self.places[np.argsort(self.rows.log.mean[self.places], kind="stable")]
        return self.at(ordered[np.unique(np.linspace(0, len(ordered) - 1, most).round().astype(int))] if len(ordered) > most else ordered)  # fmt: skip

    def _ranked(self, places: Ints) -> Ints:
        far = np.nan_to_num(np.abs(self.rows.log.mean[places]))
        return places[np.lexsort((-far, self.rows.verdict[places]))]

    @property
    def confounded(self) -> tuple[int, tuple[str, ...]]:
        """How many rows are of another workload, and the fields that differ in them."""
        ways = np.unique(self.rows.way[self.rows.way > 0], return_index=True)
        named = [field for way in ways[0][np.argsort(ways[1])] for field in self.rows.ways[way]]
        return int((self.rows.way > 0).sum()), tuple(dict.fromkeys(named))

    @property
    def failed_in_b(self) -> int:
        """Rows that A measured and that ran out of memory, crashed or the like in B; of two sides of a run those that B ended."""
        one, two = (rows["status"].iloc[at].isin(of).to_numpy() for rows, at, of in ((self.a, self.rows.a, MEASURED), (self.b, self.rows.b, FAILED)))  # fmt: skip
        if self.paired:
            one = self.b["status_detail"].iloc[self.rows.b].astype(str).str.match(r"side b\b").to_numpy(dtype=bool)
        alike = np.isin(self.rows.way, [i for i, fields in enumerate(self.rows.ways) if fields in ((), ("source",))])
        return int((one & two & alike).sum())

    @property
    def unjudged(self) -> int:
        """Rows that A measured and no verdict or no interval covers: absent, failed or skipped in B, or of another workload there.

        The sides of one run fail together: of them every row that failed or was not measured yet.
        """
        r, places, known = self.rows, self.places, np.zeros(len(self.rows.a), dtype=bool)
        known[places] = np.isfinite(r.log.half_width[places])
        rows = self.a[["status", "status_detail"]].iloc[r.a]
        asked = rows["status"].isin((*MEASURED, *FAILED) if self.paired else MEASURED).to_numpy()
        if self.paired:
            asked = asked | rows["status_detail"].astype(str).str.startswith(NOT_YET).to_numpy(dtype=bool)
        absent = int(self.only_a["status"].isin(MEASURED).sum())
        return absent + int((asked & ~known).sum())

    @property
    def mean(self) -> MeanRatio:
        """The mean over the judged rows."""
        return self._mean(self.places)

    @property
    def by_block(self) -> dict[str, MeanRatio]:
        """The mean over the judged rows of each block."""
        codes, blocks = pd.factorize(self.a["block"].iloc[self.rows.a[self.places]])
        return {str(block): self._mean(self.places[codes == i]) for i, block in enumerate(blocks)}

    @property
    def middle_half(self) -> tuple[float, float]:
        """The quartiles of the judged rows' ratios; of fewer than four rows the least and the largest ratio."""
        logs = np.sort(self.rows.log.mean[self.places])
        low, _, high = quantiles(logs.tolist(), n=4) if len(logs) >= 4 else (logs[0], 0.0, logs[-1])
        return math.exp(low), math.exp(high)

    @property
    def edge(self) -> float:
        """The widest margin of a judged row, in ln."""
        return float(self.rows.edge[self.places].max(initial=0.0))

    @property
    def least_edge(self) -> float:
        """The narrowest one."""
        return float(self.rows.edge[self.places].min()) if self.number else 0.0

    def doubt(self, m: Match) -> Doubt | None:
        """Why a row is AMBIGUOUS; None for any other."""
        if m.verdict != "AMBIGUOUS" or m.log is None or m.p is None:
            return None
        alpha = 1 - self.confidence + 1e-12
        if m.ends is None:
            return "no interval"
        if m.p <= alpha:
            return "correction"
        return "fastest samples" if beyond(m.log, m.edge, self.confidence) <= alpha else "interval"

    def _mean(self, places: Ints) -> MeanRatio:
        """Over the rows that have an interval, if there is one; by their processes' means where all rows know them."""
        log = self.rows.log
        places = places[np.isfinite(log.half_width[places])] if np.isfinite(log.half_width[places]).any() else places
        logs, widths = log.mean[places], log.half_width[places]
        if not len(places) or not 0 < widths.max() < math.inf:
            mean = float(logs.mean()) if len(places) else math.nan
            return MeanRatio(
                Interval(mean, float(widths.max(initial=0.0)), int(log.n[places].min(initial=99))),
                len(places),
                self.edge,
            )
        sides = [side.at(places) for side in self.processes]
        if all(side.counts.all() for side in sides):
            own = mean_over_rows(logs, sides, self.confidence)
            own = replace(own, half_width=math.hypot(own.half_width, apart(self.effect)))
        else:  # as if the errors of all rows moved as one
            n = log.n[places]
            error = float((widths / student(self.confidence, n)).mean())
            own = Interval(float(logs.mean()), error * float(student(self.confidence, n).max()), int(n.min()))
        return MeanRatio(own, len(places), self.edge)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run B against run A. `times` is None if one machine can't have made both; `apart` then gives the reason.

    `speedups` is None of the sides of one run (`bench ab`), whose rows are paired.
    """

    a: Run
    b: Run
    margin: float
    correction: Correction
    bands: tuple[float | None, float | None]  # ln: each run's widest noise band of the rows that were compared
    across: bool  # the runs share no kind of device
    speedups: QuantityComparison | None
    times: QuantityComparison | None
    apart: str
    cards: tuple[str, ...]  # kinds of device of which the runs had different cards
    differences: tuple[Difference, ...]

    @property
    def quantities(self) -> tuple[QuantityComparison, ...]:
        """Speedups first."""
        return tuple(q for q in (self.speedups, self.times) if q is not None)

    @property
    def same_run(self) -> bool:
        """Whether A and B are one run. A copy with a row less or another number is a different run."""
        failed = any(q.failed_in_b for q in self.quantities)
        alone = len(self.quantities[0].only_a) or len(self.quantities[0].only_b)
        moved = any(q.rows.log.mean[q.places].any() for q in self.quantities)
        return self.a.run_id == self.b.run_id and not alone and not moved and not failed

    @property
    def same_machine(self) -> bool:
        """Whether one machine made both runs: the same processor, and for each kind of device the same card."""
        host = ("CPU model", "physical cores")
        return not (
            self.times is None
            or self.apart
            or self.cards
            or any(d.name in host and "unknown" not in (d.a, d.b) for d in self.differences)
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that rows are matched by: a device by its kind, and on an accelerator no threads, allocator and waiting."""
        return tuple(k for k in KEYS if not (self.across and k in ("device", *CPU_ONLY)))


def ends_of(log: Interval) -> tuple[float, float] | None:
    """exp of an interval's ends; None where it is infinite."""
    return (math.exp(log.low), math.exp(log.high)) if math.isfinite(log.half_width) else None
