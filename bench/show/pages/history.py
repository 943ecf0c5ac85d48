"""history.html: runs of one machine in time on one page, in the frame of report.html, with change points marked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bench.analyse.compare.change_points import History
from bench.show.pages import machine, rows_table
from bench.show.pages.frame import inlined, render
from bench.show.pages.rows_table import Cell, Column, Line
from bench.show.pages.svg import Letters
from bench.show.text import history as words
from bench.show.text import run_facts
from bench.spec.format import percent, times

NAME = "history.html"
_ALWAYS = ("block", "c_in", "kernel")


def text(history: History, pictures: tuple[Path, ...], command: str) -> str:
    """The page, with the SVG file among the `pictures`, and `command` as its maker."""
    letters = Letters()
    drawn = inlined(pictures, letters)
    return render(
        "history.html.j2",
        letters,
        words=words,
        history=history,
        margin=percent(history.margin),
        machine=run_facts.made_on(history.runs[0]),
        pictures=list(drawn.values()),
        table=_table(history),
        facts=machine.machine(history.runs[-1])[0],
        command=command,
    )


def _table(history: History) -> rows_table.Table:
    """Every row that all runs have: the last run / the first, and at each change point the shift with its verdict."""
    shape = rows_table.made(history.rows, (*rows_table.SHAPE, *rows_table.WAY), _ALWAYS)
    columns = [*shape.columns, Column("last", "last / first", words.heading(history), True)]
    last = np.exp(history.logs[-1] - history.logs[0]).tolist()
    cells = [[*line.cells, _ratio(ratio)] for line, ratio in zip(shape.lines, last, strict=True)]
    filters = list(shape.filters)
    for change in history.changes:
        when = history.started[change.at][:10]
        columns.append(Column("ratio", f"after / before {when}", "mean after this change point / before it", True))
        columns.append(Column("answer", f"at {when}", "SLOWER, FASTER, SAME or AMBIGUOUS against the margin", False))
        if len(change.counts) > 1:
            filters.append((len(columns) - 1, f"at {when}", tuple(dict.fromkeys(s.verdict for s in change.shifts))))
        for row, shift in zip(cells, change.shifts, strict=True):
            row += [_ratio(math.exp(shift.log.mean)), Cell(shift.verdict, kind=shift.verdict.lower())]
    lines = tuple(Line(line.status, tuple(row)) for line, row in zip(shape.lines, cells, strict=True))
    return rows_table.Table(tuple(columns), lines, shape.same, tuple(filters))


def _ratio(value: float) -> Cell:
    return Cell(times(value, 0.01), f"{value:.6g}")
