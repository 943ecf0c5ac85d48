"""history.html: runs of one machine in time on one page, in the frame of report.html, its change points marked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.analyse.compare.change_points import ENOUGH_RUNS, Change, History
from bench.show.pages import machine, rows_table
from bench.show.pages.frame import inlined, render
from bench.show.pages.rows_table import Cell, Column, Line
from bench.show.pages.svg import Letters
from bench.show.text import history, run_facts
from bench.show.text.compare import WAYS
from bench.spec.format import interval, percent, times

NAME = "history.html"
_ALWAYS = ("block", "c_in", "kernel")


@dataclass(frozen=True, slots=True)
class Step:
    """A run: when it was started, its mean against the first run's, and whether the numbers changed with it."""

    started: str
    run_id: str
    torch: str
    mean: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """A change point in words: where, how sure, how large, how many rows got which answer, and what else changed there."""

    run_id: str
    started: str
    p: str
    mean: str
    counts: tuple[tuple[str, int], ...]
    differences: tuple[tuple[str, str, str], ...]


def text(found: History, pictures: tuple[Path, ...], command: str) -> str:
    """The page; of `pictures` the SVG one is taken."""
    letters = Letters()
    drawn = inlined(pictures, letters)
    return render(
        "history.html.j2",
        letters,
        title=history.title(found),
        quantity=history.QUANTITY[found.quantity],
        above=WAYS[found.quantity][0],
        count=len(found.rows),
        left_out=found.left_out,
        enough=ENOUGH_RUNS,
        margin=percent(found.margin),
        machine=run_facts.made_on(found.runs[0]),
        steps=[_step(found, i) for i in range(len(found.runs))],
        turns=[_turn(found, c) for c in found.changes],
        pictures=list(drawn.values()),
        table=_table(found),
        facts=machine.machine(found.runs[-1])[0],
        command=command,
    )


def _step(found: History, i: int) -> Step:
    run = found.runs[i]
    mean = times(math.exp(found.means[i]), 0.01)
    changed = any(c.at == i for c in found.changes)
    return Step(history.date(found, i), run.run_id, str(run.environment.get("torch") or "unknown"), mean, changed)


def _turn(found: History, change: Change) -> Turn:
    told = tuple((v.lower(), n) for v, n in history.counted(change))
    differ = tuple((d.name, d.a, d.b) for d in change.differences)
    return Turn(found.runs[change.at].run_id, history.date(found, change.at), f"{change.p:.3f}", f"{interval(change.mean)} of before, {history.moved(found, change)}", told, differ)  # fmt: skip


def _table(found: History) -> rows_table.Table:
    """Every row that all runs hold: the last run against the first, and at each change point its shift with the answer."""
    names = (*rows_table.SHAPE, *rows_table.WAY)
    shape = rows_table.made(found.rows, names, _ALWAYS)
    own = [
        Column(
            "last",
            "last / first",
            f"{history.QUANTITY[found.quantity]} of the last run / of the first: above 1x it is {WAYS[found.quantity][0]}",
            True,
        )
    ]
    for c in found.changes:
        when = history.date(found, c.at)[:10]
        own.append(
            Column("ratio", f"after / before {when}", "mean of the runs after this change point / before it", True)
        )
        own.append(Column("answer", f"at {when}", "SLOWER, FASTER, SAME or AMBIGUOUS against the margin", False))
    last = np.exp(found.logs[-1] - found.logs[0])
    lines = []
    for i, line in enumerate(shape.lines):
        cells = [_ratio(float(last[i]))]
        for c in found.changes:
            shift = c.shifts[i]
            cells += [_ratio(math.exp(shift.log.mean)), Cell(shift.verdict, kind=shift.verdict.lower())]
        lines.append(Line(line.status, (*line.cells, *cells)))
    columns = (*shape.columns, *own)
    answers = [(at, c.head) for at, c in enumerate(columns) if c.name == "answer"]
    chosen = [(at, head, tuple(dict.fromkeys(line.cells[at].text for line in lines))) for at, head in answers]
    return rows_table.Table(columns, tuple(lines), shape.same, (*shape.filters, *(f for f in chosen if len(f[2]) > 1)))


def _ratio(value: float) -> Cell:
    return Cell(times(value, 0.01), f"{value:.6g}")
