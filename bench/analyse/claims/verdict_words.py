"""Parts that the verdicts of several claims share: about, runs, notes, cells counted once each, and what limits them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from bench.analyse.claims.cells import TWINS, Cell
from bench.analyse.runs.noise_floor import RunEffect
from bench.analyse.runs.rows import grouped
from bench.analyse.stats.estimators import joint_mean, widened
from bench.spec.format import percent, plural

NO_INTERVAL = "fewer than three processes measured each row, so there is no interval"


def about(contest: str) -> str:
    """`separable against standard`."""
    block, baseline = TWINS[contest]
    return f"{block} against {baseline}"


def runs_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The runs that measured the cells."""
    return tuple(sorted({str(c.row["run_id"]) for c in cells}))


def once_each(cells: Sequence[Cell], between: Mapping[Any, RunEffect]) -> list[Cell]:
    """A cell for each workload: the mean where several experiments or runs measured it, of cells with an interval if any.

    What runs differ by is added to its interval, where it is known.
    """
    merged = []
    for alike in grouped(cells, lambda c: c.workload).values():
        known = [c for c in alike if c.known] or alike
        values = grouped(((process, log) for c in known for process, log in c.by_process.items()), lambda pair: pair[0])
        by_process = {process: fmean(log for _, log in pairs) for process, pairs in values.items()}
        log = joint_mean([c.by_process for c in known], [c.log for c in known])
        log = widened(log, between_runs(known, between))
        merged.append(replace(known[0], log=log, by_process=by_process, noisy=all(c.noisy for c in known)))
    return merged


def between_runs(cells: Sequence[Cell], between: Mapping[Any, RunEffect]) -> float:
    """The standard error of a mean over the cells' runs that comes of what runs differ by; 0 where that is not known."""
    effect = between.get(cells[0].condition.origin)
    return effect.sd / math.sqrt(len(runs_of(cells))) if effect else 0.0


def notes(cells: Sequence[Cell], between: Mapping[Any, RunEffect], *more: str) -> tuple[str, ...]:
    """How many cells are noisy or without an interval, that several runs measured them, and `more`."""
    noisy, alone = sum(c.noisy for c in cells), sum(not c.known for c in cells)
    effect = between.get(cells[0].condition.origin)
    several = len(runs_of(cells)) > 1 and len({c.condition for c in cells}) == 1
    differ = f"runs differ by {percent(math.expm1(effect.sd))} (sd of {plural(effect.rows, 'repeated row')}), which is in the interval" if effect else "what runs differ by is not in the interval"  # fmt: skip
    measured = plural(len(cells), "measurement")
    lines = (
        f"{noisy} of {measured} noisy" if noisy else "",
        f"{alone} of {measured} by fewer than three processes, without a say" if alone else "",
        f"{taken_together(len(runs_of(cells)))}; {differ}" if several else "",
    )
    return tuple(filter(None, (*lines, *more)))


def taken_together(runs: int) -> str:
    """The note on rows of several runs."""
    return f"{runs} runs of one machine, or of machines alike, taken together"


def margin_note(margin: float) -> str:
    """`Margin ±3 %`."""
    return f"Margin ±{margin * 100:.2g} %"
