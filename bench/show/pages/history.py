"""history.html: runs of one machine in time on one page, in the frame of report.html, with change points marked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from bench.analyse.compare.change_points import History
from bench.show.pages import machine, rows_table
from bench.show.pages.frame import inlined, render
from bench.show.pages.rows_table import Cell, Column, ratio_cell
from bench.show.pages.svg import Letters
from bench.show.text import history as words
from bench.show.text import run_facts
from bench.spec.format import percent

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
    columns = {"last": Column("last", "last / first", words.heading(history), True)}
    last = np.exp(history.logs[-1] - history.logs[0]).tolist()
    rows = [{**row, "last": ratio_cell(ratio)} for row, ratio in zip(history.rows, last, strict=True)]
    for change in history.changes:
        when = history.started[change.at][:10]
        ratio, answer = f"after / before {when}", f"at {when}"
        columns[ratio] = Column(ratio, ratio, "mean after this change point / before it", True)
        columns[answer] = Column(answer, answer, "SLOWER, FASTER, SAME or AMBIGUOUS against the margin", False)
        for row, shift in zip(rows, change.shifts, strict=True):
            row[ratio] = ratio_cell(math.exp(shift.log.mean))
            row[answer] = Cell(shift.verdict, kind=shift.verdict.lower())
    wanted, answers = (*rows_table.SHAPE, *rows_table.WAY, *columns), (n for n in columns if n.startswith("at "))
    return rows_table.made(rows, wanted, (*_ALWAYS, *columns), columns, (*rows_table.FILTERS, *answers))
