"""The facts of a comparison: rows per verdict, mean ratios with interval and margin, what differs, noise bands.

Every ratio is B / A. Above 1 a speedup is better in B, and a time is worse.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import quantiles
from typing import Literal

import numpy as np

from bench.analyse.compare.environment_diff import Difference
from bench.analyse.compare.row_matching import CPU_ONLY
from bench.analyse.compare.whole import apart, mean_over_rows
from bench.analyse.runs.noise_floor import RunEffect
from bench.analyse.runs.rows import Record
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import Ints, mean_of, p_value
from bench.spec.columns import FAILED, KEYS, MEASURED, SPEEDUP, TIME
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
    def failed_in_b(self) -> bool:
        """Whether A measured the row and B ran out of memory, crashed or the like."""
        return not self.differs and self.a["status"] in MEASURED and self.b["status"] in FAILED

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


@dataclass(frozen=True, slots=True)
class QuantityComparison:
    """The speedups or the times of two runs, row by row. `only_a`, `only_b`: rows without a partner."""

    quantity: Quantity
    matches: tuple[Match, ...]
    only_a: tuple[Record, ...]
    only_b: tuple[Record, ...]
    confidence: float
    family: int = 0  # rows that p is corrected over: of all comparisons that were made together
    effect: RunEffect | None = None  # what runs differ by, which is in the intervals; None where it is not known

    @property
    def counts(self) -> dict[Verdict, int]:
        counts = Counter(m.verdict for m in self.matches)
        return {v: counts[v] for v in VERDICTS}

    @property
    def judged(self) -> tuple[Match, ...]:
        """The rows of one workload that were measured in both runs."""
        return tuple(m for m in self.matches if m.verdict in JUDGED)

    @property
    def ranked(self) -> list[Match]:
        """All matches: changed ones first, and within a verdict the farthest from 1x first."""
        return sorted(self.matches, key=lambda m: (VERDICTS.index(m.verdict), -abs(math.log(m.ratio or 1))))

    @property
    def mean(self) -> MeanRatio:
        """The mean over the judged rows."""
        return self._mean(self.judged)

    @property
    def by_block(self) -> dict[str, MeanRatio]:
        """The mean over the judged rows of each block."""
        blocks = dict.fromkeys(str(m.a["block"]) for m in self.judged)
        return {block: self._mean([m for m in self.judged if str(m.a["block"]) == block]) for block in blocks}

    @property
    def middle_half(self) -> tuple[float, float]:
        """The quartiles of the judged rows' ratios; of fewer than four rows the least and the largest ratio."""
        logs = sorted(m.log.mean for m in self.judged if m.log is not None)
        low, _, high = quantiles(logs, n=4) if len(logs) >= 4 else (logs[0], 0.0, logs[-1])
        return math.exp(low), math.exp(high)

    @property
    def edge(self) -> float:
        """The widest margin of a judged row, in ln."""
        return max((m.edge for m in self.judged), default=0.0)

    @property
    def least_edge(self) -> float:
        """The narrowest one."""
        return min((m.edge for m in self.judged), default=0.0)

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

    def _mean(self, rows: Sequence[Match]) -> MeanRatio:
        """Over the rows that have an interval, if there is one; by their processes' means where all rows know them."""
        known = [m for m in rows if m.ends is not None] or rows
        logs = [m.log for m in known if m.log is not None]
        sides = [_by_process([getattr(m, side) for m in known], f"{self.quantity}_by_process") for side in "ab"]
        if all(all(texts) for texts, _ in sides) and any(0 < log.half_width < math.inf for log in logs):
            means = np.array([log.mean for log in logs])
            log = mean_over_rows(means, sides, self.confidence)
            log = replace(log, half_width=math.hypot(log.half_width, apart(self.effect)))
        else:
            log = mean_of(logs, self.confidence)
        return MeanRatio(log, len(known), self.edge)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run B against run A. `times` is None if one machine can't have made both; `apart` then gives the reason."""

    a: Run
    b: Run
    margin: float
    correction: Correction
    bands: tuple[float | None, float | None]  # ln: each run's widest noise band of the rows that were compared
    across: bool  # the runs share no kind of device
    speedups: QuantityComparison
    times: QuantityComparison | None
    apart: str
    cards: tuple[str, ...]  # kinds of device of which the runs had different cards
    differences: tuple[Difference, ...]

    @property
    def quantities(self) -> tuple[QuantityComparison, ...]:
        """Speedups first."""
        return (self.speedups,) if self.times is None else (self.speedups, self.times)

    @property
    def same_run(self) -> bool:
        """Whether A and B are one run. A copy with a row less or another number is a different run."""
        alone = self.speedups.only_a or self.speedups.only_b
        moved = any(m.log and m.log.mean for compared in self.quantities for m in compared.judged)
        return self.a.run_id == self.b.run_id and not alone and not moved

    @property
    def same_machine(self) -> bool:
        """Whether one machine made both runs: the same processor, and for each kind of device the same card."""
        host = ("CPU model", "physical cores")
        return not (self.times is None or self.apart or self.cards or any(d.name in host for d in self.differences))

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that rows are matched by: a device by its kind, and on an accelerator no threads, allocator and waiting."""
        return tuple(k for k in KEYS if not (self.across and k in ("device", *CPU_ONLY)))


def _by_process(rows: Sequence[Record], column: str) -> tuple[list[str], Ints]:
    """The rows' values by process, and each row's place by number: rows of a place share processes."""
    places: dict[tuple[object, ...], int] = {}
    at = [places.setdefault(tuple(r[name] for name in ("device", *CPU_ONLY)), len(places)) for r in rows]
    return [r.get(column) or "" for r in rows], np.array(at)


def ends_of(log: Interval) -> tuple[float, float] | None:
    """exp of an interval's ends; None where it is infinite."""
    return (math.exp(log.low), math.exp(log.high)) if math.isfinite(log.half_width) else None
