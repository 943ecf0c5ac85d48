"""Parts that the verdicts of several claims share: about, runs, notes, and cells counted once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from bench.analyse.claims.cells import TWINS, Cell
from bench.analyse.runs.rows import grouped
from bench.analyse.stats.estimators import joint_mean
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
        values = grouped(((process, log) for c in known for process, log in c.by_process.items()), lambda pair: pair[0])
        merged.append(
            replace(
                known[0],
                log=joint_mean([c.by_process for c in known], [c.log for c in known]),
                by_process={process: fmean(log for _, log in pairs) for process, pairs in values.items()},
                noisy=all(c.noisy for c in known),
            )
        )
    return merged


def notes(cells: Sequence[Cell], *more: str) -> tuple[str, ...]:
    """How many cells are noisy or without an interval, that several runs measured them, and `more`."""
    noisy, alone = sum(c.noisy for c in cells), sum(not c.known for c in cells)
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
