"""Parts that the verdicts of several claims share: about, runs, counts of cells, notes, and cells counted once each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bench.analyse.claims.answers import Count
from bench.analyse.claims.cells import TWINS, Cell
from bench.analyse.runs.rows import grouped
from bench.analyse.stats.estimators import mean_of
from bench.spec.format import plural

NO_INTERVAL = "one process measured each row, so there is no interval"


def about(contest: str) -> str:
    """`separable against standard`."""
    block, baseline = TWINS[contest]
    return f"{block} against {baseline}"


def runs_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The runs that measured the cells."""
    return tuple(sorted({str(c.row["run_id"]) for c in cells}))


def once_each(cells: Sequence[Cell]) -> list[Cell]:
    """A cell for each workload: the mean where several experiments measured it, of cells with an interval if any."""
    merged = []
    for alike in grouped(cells, lambda c: c.workload).values():
        known = [c for c in alike if c.known] or alike
        merged.append(replace(known[0], log=mean_of([c.log for c in known])))
    return merged


def counted(cells: Sequence[Cell], surely: int, surely_not: int, line: str) -> Count:
    """The cells with their range, and in how many the claim (`line` in words) holds; a mean hides both."""
    values = [math.exp(c.log.mean) for c in cells]
    words = f"{line} surely in {surely} of {plural(len(cells), 'cell')}, surely not in {surely_not}"
    return Count(len(cells), min(values), max(values), surely, surely_not, words)


def notes(cells: Sequence[Cell], *more: str) -> tuple[str, ...]:
    """How many cells are noisy or without an interval, that several runs measured them, and `more`."""
    noisy, alone = sum(c.row["status"] == "noisy" for c in cells), sum(not c.known for c in cells)
    several = len(runs_of(cells)) > 1 and len({c.condition for c in cells}) == 1
    measured = plural(len(cells), "measurement")
    lines = (
        f"{noisy} of {measured} noisy" if noisy else "",
        f"{alone} of {measured} by one process, without a say" if alone else "",
        f"{taken_together(len(runs_of(cells)))}; what runs differ by is not in the interval" if several else "",
    )
    return tuple(filter(None, (*lines, *more)))


def taken_together(runs: int) -> str:
    """The note on rows of several runs."""
    return f"{runs} runs of one machine, or of machines alike, taken together"


def margin_note(margin: float) -> str:
    """`Margin ±3 %`."""
    return f"Margin ±{margin * 100:.2g} %"
