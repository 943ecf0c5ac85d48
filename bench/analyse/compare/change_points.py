"""Treat the runs of one machine as a time series: when did its numbers change, and in which rows?

All rows are searched together, because a new torch or a new kernel moves many of them at once and one row over a few runs
shows little. The candidate is the stretch of runs whose mean differs most from the mean of the other runs (circular binary
segmentation, Olshen et al. 2004, Biostatistics 5:557): the difference is squared in units of each row's noise and averaged
over rows. Its p is the share of random orders of the runs that give as large a difference. Each end of the stretch has to
pass the same test against its neighbours, then the parts are searched again. The intervals of single runs are not used:
what counts is how much runs differ. The test assumes that runs without a change are exchangeable. If they drift, or are
disturbed for days, a change point only shows that earlier and later runs differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from bench.analyse.compare.compare import judge, readings
from bench.analyse.compare.environment_diff import Difference, differences, other_machine
from bench.analyse.compare.facts import CHANGE_MARGIN, CHANGED, JUDGED, Quantity, Verdict, beyond
from bench.analyse.compare.row_matching import kind, match
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import Floats, Ints
from bench.spec.errors import UserError
from bench.spec.interval import Interval, t_interval

FEWEST_RUNS = 3
ENOUGH_RUNS = 9  # from here on the test can detect a change in the middle: 5 of 126 orders give as large a difference
FEWEST_A_SIDE = 2
ALPHA = 0.05
PERMUTATIONS = 999
SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Shift:
    """A row at a change point: ln of the mean after / the mean before, and its verdict against the margin."""

    row: Record
    log: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A change between run `at` - 1 and run `at`. `mean` is ln of after / before over all rows; `differences` what else changed there."""

    at: int
    p: float
    mean: Interval
    shifts: tuple[Shift, ...]
    differences: tuple[Difference, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Rows per verdict, without verdicts that no row has."""
        counts = Counter(s.verdict for s in self.shifts)
        return {v: counts[v] for v in JUDGED if counts[v]}

    @property
    def moved(self) -> list[Shift]:
        """The rows that are FASTER or SLOWER, the largest shift first."""
        return sorted((s for s in self.shifts if s.verdict in CHANGED), key=lambda s: -abs(s.log.mean))


@dataclass(frozen=True, slots=True)
class History:
    """Runs in the order of their start. `logs` is ln of each run's value (down) for each row (across).

    `left_out` counts the rows that some run does not have.
    """

    quantity: Quantity
    runs: tuple[Run, ...]
    rows: tuple[Record, ...]
    logs: Floats
    left_out: int
    margin: float
    changes: tuple[Change, ...]

    @property
    def means(self) -> Floats:
        """ln of each run's value / the first run's, the mean over rows."""
        return np.asarray((self.logs - self.logs[0]).mean(axis=1), dtype=np.float64)

    @property
    def started(self) -> list[str]:
        """When each run was started, to the second: 2026-01-07T09:30:00."""
        return [_started(run)[:19] for run in self.runs]


def history_of(runs: Sequence[Run], quantity: Quantity = "speedup", margin: float = CHANGE_MARGIN) -> History:
    """The history of these runs, given in any order.

    UserError for fewer than three runs, a run without a start time, a run given twice, a run of another machine, and if no
    row is measured in all of them.
    """
    if len(runs) < FEWEST_RUNS:
        raise UserError("--history", f"it takes {FEWEST_RUNS} runs or more", "Name more results folders.", len(runs))
    for run in runs:
        if not _started(run):
            raise UserError(str(run.folder), "environment.json does not say when the run was started", "Leave it out, or restore the file.")  # fmt: skip
    ordered = sorted(runs, key=_started)
    for earlier, later in pairwise(ordered):
        if earlier.run_id == later.run_id:
            raise UserError(str(later.folder), "the same run twice", "Leave it out.", later.run_id)
    first, *others = ordered
    kinds = sorted({kind(d) for d in first.pairs["device"].dropna()})
    for run in others:
        for device in kinds:
            why = other_machine(first, run, device)
            if why is not None:
                raise UserError(str(run.folder), f"a history is of one machine, and here A is {first.run_id} and B this run: {why}", "Leave it out: bench compare sets machines side by side.")  # fmt: skip
    rows, logs, left_out = _series(ordered, quantity)
    if not rows:
        raise UserError("--history", "no row is measured in all of these runs", "Name runs of one config.")
    history = History(quantity, tuple(ordered), rows, logs, left_out, margin, ())
    return replace(history, changes=_changes(history))


def change_points(logs: Floats, alpha: float = ALPHA, permutations: int = PERMUTATIONS) -> list[tuple[int, float]]:
    """The change points of a series of runs (down) over rows (across): the first run of each new part, and its p."""
    scaled = logs / _noise(logs)
    rng = np.random.default_rng(SEED)
    points: list[tuple[int, float]] = []
    parts = [(0, len(logs))]
    while parts:
        start, stop = parts.pop()
        part = scaled[start:stop]
        stretches = _stretches(len(part))
        if not len(stretches):
            continue
        best = stretches[int(np.argmax(_gains(part, stretches)))]
        p = _p(part, stretches, permutations, rng)
        if p > alpha:
            continue
        ends = [int(at) for at in best if 0 < at < len(part)]
        held = [(at, p) for at in ends]
        if len(ends) == 2:  # each end against its neighbours alone
            held = []
            for before, at, after in ((0, *ends), (*ends, len(part))):
                by_itself = _p(part[before:after], np.array([[0, at - before]]), permutations, rng)
                if by_itself <= alpha:
                    held.append((at, max(p, by_itself)))
        points += [(start + at, value) for at, value in held]
        if held:
            places = [0, *(at for at, _ in held), len(part)]
            parts += [(start + a, start + b) for a, b in pairwise(places)]
    return sorted(points)


def _p(part: Floats, stretches: Ints, permutations: int, rng: np.random.Generator) -> float:
    """The share of random orders of the runs in which a stretch stands out as much."""
    most = float(_gains(part, stretches).max())
    if most <= 0:
        return 1.0
    beaten = sum(
        float(_gains(part[rng.permutation(len(part))], stretches).max()) >= most * (1 - 1e-9)
        for _ in range(permutations)
    )
    return (1 + beaten) / (1 + permutations)


def _stretches(count: int) -> Ints:
    """First and end of every stretch of `count` runs; it has two runs or more, and before and behind it are none or as many."""
    least = FEWEST_A_SIDE
    first, end = np.triu_indices(count + 1, least)
    whole = (first == 0) & (end == count)
    kept = ~whole & ((first == 0) | (first >= least)) & ((end == count) | (end <= count - least))
    return np.column_stack([first[kept], end[kept]]).astype(np.int64)


def _gains(part: Floats, stretches: Ints) -> Floats:
    """How far each stretch stands out: n1 n2 / n (difference of means)^2, the mean over rows."""
    n = len(part)
    sums = np.vstack([np.zeros((1, part.shape[1])), np.cumsum(part, axis=0)])
    first, end = stretches[:, 0], stretches[:, 1]
    inside = (end - first).astype(np.float64)
    within = sums[end] - sums[first]
    apart = within / inside[:, None] - (sums[-1] - within) / (n - inside)[:, None]
    return np.asarray(inside * (n - inside) / n * (apart**2).mean(axis=1), dtype=np.float64)


def _noise(logs: Floats) -> Floats:
    """Each row's noise: the lower quartile of differences between all pairs of runs, which a shift of level hardly moves.

    All pairs (Rousseeuw & Croux 1993, J. Am. Stat. Assoc. 88:1273), so the order of runs does not matter. At least a tenth of
    the median row's noise, for rows that repeat to the digit.
    """
    one, two = np.triu_indices(len(logs), 1)
    noise = np.quantile(np.abs(logs[one] - logs[two]), 0.25, axis=0)
    known = noise[noise > 0]
    least = float(np.median(known)) / 10 if known.size else 1.0
    return np.asarray(np.maximum(noise, least), dtype=np.float64)


def _series(ordered: Sequence[Run], quantity: Quantity) -> tuple[tuple[Record, ...], Floats, int]:
    """The rows measured in every run, ln of their values, and how many rows are left out."""
    (rows, own), *others = [readings(run, quantity) for run in ordered]
    logs, seen = [own], len(rows)
    for other, found in others:
        met = match(rows, other)
        alike = met.way == 0
        mine = np.full(len(rows), np.nan)
        mine[met.a[alike]] = found[met.b[alike]]
        logs.append(mine)
        seen = max(seen, len(other))
    table = np.array(logs, dtype=np.float64)
    common = np.flatnonzero(np.isfinite(table).all(axis=0))
    return tuple(records_of(rows.iloc[common])), table[:, common], seen - len(common)


def _changes(h: History) -> tuple[Change, ...]:
    """Each change point with the shift of each row: from the runs since the last change point to those before the next."""
    points, edge = change_points(h.logs), math.log1p(h.margin)
    ends = [0, *(at for at, _ in points), len(h.logs)]
    parts = [(h.logs[a:b], h.logs[b:c]) for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)]
    logs = [[_shift(*both) for both in zip(before.T, after.T, strict=True)] for before, after in parts]
    adjusted = iter(estimators.benjamini_hochberg([beyond(log, edge) for part in logs for log in part]))
    changes = []
    for (at, p), part, (before, after) in zip(points, logs, parts, strict=True):
        shifts = tuple(
            Shift(row, log, judge(log, edge, next(adjusted), quantity=h.quantity))
            for row, log in zip(h.rows, part, strict=True)
        )
        mean = _shift(before.mean(axis=1), after.mean(axis=1))
        changes.append(Change(at, p, mean, shifts, tuple(differences(h.runs[at - 1], h.runs[at]))))
    return tuple(changes)


def _shift(before: Floats, after: Floats) -> Interval:
    """The interval of the mean after - the mean before."""
    return estimators.difference(t_interval(before.tolist()), t_interval(after.tolist()))


def _started(run: Run) -> str:
    return run.environment.get("started_utc") or ""
