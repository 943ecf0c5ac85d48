"""Runs of one machine in time: when did its numbers change, and in which rows?

A change is looked for in all rows at once: a new torch or a new kernel moves many of them at the same moment, and one row
over a few runs says little. Of all stretches of runs the one is taken whose mean differs most from that of the other runs (circular
binary segmentation, Olshen et al. 2004, Biostatistics 5:557), squared in units of each row's own noise and averaged over rows; how
often runs in a random order give as much is its p. Each end of the stretch has to hold against its neighbours by the
same test, and the parts are searched again. No interval of a run enters: what counts is how much runs differ, which the
intervals of one run do not know. Runs that drift, or whose noise is alike for days, are in no random order: then a
change point says no more than that earlier and later ones differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.analyse.compare.compare import CHANGE_MARGIN, Quantity, Verdict, beyond, judge, readings
from bench.analyse.compare.environment_diff import Difference, differences, other_machine
from bench.analyse.compare.row_matching import Record, kind, match
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators, multiple_testing
from bench.analyse.stats.arrays import Floats, Ints
from bench.spec.errors import UserError
from bench.spec.interval import Interval, t_interval

FEWEST_RUNS = 3  # to look at
ENOUGH_RUNS = 9  # from which the test can tell a change in the middle: 5 of 126 orders stand out as much
FEWEST_A_SIDE = 2
ALPHA = 0.05
PERMUTATIONS = 999
SEED = 20_260_101


@dataclass(frozen=True, slots=True)
class Shift:
    """A row at a change point: ln of the mean after / the mean before, and whether that matters."""

    row: Record
    log: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """Between run `at` - 1 and run `at`. `mean` is the shift of the mean over rows; `differences` what else changed there."""

    at: int
    p: float
    mean: Interval
    shifts: tuple[Shift, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class History:
    """`logs` holds ln of each run's value for each row, runs down; `left_out` counts rows that some run does not have."""

    quantity: Quantity
    runs: tuple[Run, ...]
    rows: tuple[Record, ...]
    logs: Floats
    left_out: int
    margin: float
    changes: tuple[Change, ...]

    @property
    def means(self) -> Floats:
        """The mean over rows of each run's change since the first run."""
        return np.asarray((self.logs - self.logs[0]).mean(axis=1), dtype=np.float64)


def read(runs: Sequence[Run], quantity: Quantity = "speedup", margin: float = CHANGE_MARGIN) -> History:
    """The runs in the order in which they were started.

    UserError for fewer than three, for one that does not say when it started or was given twice, for one of another machine, and where no row is
    measured in all of them.
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
    points = change_points(logs)
    return History(
        quantity, tuple(ordered), rows, logs, left_out, margin, _changes(ordered, rows, logs, points, margin, quantity)
    )


def change_points(logs: Floats, alpha: float = ALPHA, permutations: int = PERMUTATIONS) -> list[tuple[int, float]]:
    """Where a series of runs (down) over rows (across) changes, each with its p: the first run of the new part."""
    scaled = logs / _noise(logs)
    rng = np.random.default_rng(SEED)
    found: list[tuple[int, float]] = []
    parts = [(0, len(logs))]
    while parts:
        start, stop = parts.pop()
        part = scaled[start:stop]
        stretches = _stretches(len(part))
        if not len(stretches):
            continue
        gains = _gains(part, stretches)
        best = stretches[int(np.argmax(gains))]
        p = _p(part, stretches, float(gains.max()), permutations, rng)
        if p > alpha:
            continue
        inner = [int(at) for at in best if 0 < at < len(part)]
        ends = [0, *inner, len(part)]
        held = [(at, p) for at in inner] if len(inner) == 1 else []
        if len(inner) == 2:
            for before, at, after in zip(ends, inner, ends[2:], strict=False):
                near = part[before:after]
                cut = np.array([[0, at - before]])
                own = _p(near, cut, float(_gains(near, cut)[0]), permutations, rng)
                if own <= alpha:
                    held.append((at, max(p, own)))
        found += [(start + at, value) for at, value in held]
        if held:
            places = [0, *(at for at, _ in held), len(part)]
            parts += [(start + a, start + b) for a, b in pairwise(places)]
    return sorted(found)


def _p(part: Floats, stretches: Ints, most: float, permutations: int, rng: np.random.Generator) -> float:
    """How often runs in a random order hold a stretch that stands out as much."""
    if most <= 0:
        return 1.0
    beaten = sum(
        float(_gains(part[rng.permutation(len(part))], stretches).max()) >= most * (1 - 1e-9)
        for _ in range(permutations)
    )
    return (1 + beaten) / (1 + permutations)


def _stretches(count: int) -> Ints:
    """First and end of every stretch of so many runs; it, what is before it and what is behind it are two runs or more, or none."""
    least = FEWEST_A_SIDE
    first, end = np.triu_indices(count + 1, least)
    whole = (first == 0) & (end == count)
    kept = ~whole & ((first == 0) | (first >= least)) & ((end == count) | (end <= count - least))
    return np.column_stack([first[kept], end[kept]]).astype(np.int64)


def _gains(part: Floats, stretches: Ints) -> Floats:
    """By how much each stretch stands out: n1 n2 / n (difference of means)^2, the mean over rows."""
    n = len(part)
    sums = np.vstack([np.zeros((1, part.shape[1])), np.cumsum(part, axis=0)])
    first, end = stretches[:, 0], stretches[:, 1]
    inside = (end - first).astype(np.float64)
    within = sums[end] - sums[first]
    apart = within / inside[:, None] - (sums[-1] - within) / (n - inside)[:, None]
    return np.asarray(inside * (n - inside) / n * (apart**2).mean(axis=1), dtype=np.float64)


def _noise(logs: Floats) -> Floats:
    """Each row's noise, which shifts of its level hardly move: the lower quartile of differences between runs.

    Of all pairs of runs (Rousseeuw & Croux 1993, J. Am. Stat. Assoc. 88:1273), so that their order has no part in it. Rows that repeat to the
    digit are given a tenth of the usual noise.
    """
    one, two = np.triu_indices(len(logs), 1)
    noise = np.quantile(np.abs(logs[one] - logs[two]), 0.25, axis=0)
    known = noise[noise > 0]
    least = float(np.median(known)) / 10 if known.size else 1.0
    return np.asarray(np.maximum(noise, least), dtype=np.float64)


def _series(ordered: Sequence[Run], quantity: Quantity) -> tuple[tuple[Record, ...], Floats, int]:
    """Rows measured in every run, and ln of their values."""
    first, *others = [readings(run, quantity) for run in ordered]
    rows = [row for row, _ in first]
    held: list[dict[int, float]] = [{i: log.mean for i, (_, log) in enumerate(first)}]
    seen = len(rows)
    for told in others:
        pairs = match(rows, [row for row, _ in told]).pairs
        held.append({p.a: told[p.b][1].mean for p in pairs})
        seen = max(seen, len(told))
    common = [i for i in range(len(rows)) if all(i in values for values in held)]
    logs = np.array([[values[i] for i in common] for values in held], dtype=np.float64)
    return tuple(rows[i] for i in common), logs, seen - len(common)


def _changes(
    runs: Sequence[Run],
    rows: Sequence[Record],
    logs: Floats,
    points: Sequence[tuple[int, float]],
    margin: float,
    quantity: Quantity,
) -> tuple[Change, ...]:
    """Each change point with the rows' shifts there, between the runs since the last change and those until the next."""
    edge = math.log1p(margin)
    ends = [0, *(at for at, _ in points), len(logs)]
    parts = [(logs[a:b], logs[b:c]) for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)]
    shifts = [
        [_shift(before[:, i].tolist(), after[:, i].tolist()) for i in range(len(rows))] for before, after in parts
    ]
    adjusted = iter(multiple_testing.benjamini_hochberg([beyond(log, edge) for part in shifts for log in part]))
    return tuple(
        Change(
            at,
            p,
            _shift(before.mean(axis=1).tolist(), after.mean(axis=1).tolist()),
            tuple(
                Shift(row, log, judge(log, edge, next(adjusted), quantity=quantity))
                for row, log in zip(rows, part, strict=True)
            ),
            tuple(differences(runs[at - 1], runs[at])),
        )
        for (at, p), part, (before, after) in zip(points, shifts, parts, strict=True)
    )


def _shift(before: Sequence[float], after: Sequence[float]) -> Interval:
    return estimators.difference(t_interval(before), t_interval(after))


def _started(run: Run) -> str:
    told = run.environment.get("started_utc")
    return told if isinstance(told, str) else ""
