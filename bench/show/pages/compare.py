"""compare.html and history.html: comparisons, or runs of one machine in time, on one page that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.analyse.compare.change_points import History
from bench.analyse.compare.ci_gate import Gate
from bench.analyse.compare.facts import JUDGED, VALUES, Comparison, Match, Quantity, QuantityComparison
from bench.analyse.runs.rows import Record, records_of
from bench.show.export import compare as compare_export
from bench.show.pages import machine, rows_table
from bench.show.pages.frame import DOWNLOADS, MOST_BYTES, download, inlined, render, with_downloads
from bench.show.pages.rows_table import Cell, Column, ratio_cell
from bench.show.plots.compare import NAMES
from bench.show.text import compare as words
from bench.show.text import history as history_words
from bench.show.text import run_facts
from bench.show.text.terminal import named
from bench.spec.format import in_seconds, p_words, percent, plural

MOST_ROWS, MOST_ALONE = 240, 40  # of a quantity in the table: of both runs, and of one run only
MOST_HISTORY = 1000  # rows of the table of a history
MOST_HELD = 10_000  # rows of a table that travels with the page
NAME, HISTORY_NAME = "compare.html", "history.html"
_TEMPLATE = "compare.html.j2"
_TOO_LARGE = '<p class="faint">As a file they would make this page too large: bench compare --csv writes them.</p>'
_HEADINGS: dict[Quantity, str] = {"speedup": "Speedups", "time": "Times"}
_TIPS = {
    "run": ("run B", "the run that is compared with A"),
    "quantity": ("quantity", "speedup (time of the baseline / time of the block), or the median time of one evaluation"),
    "answer": ("answer", "SLOWER and FASTER: beyond the margin; SAME: within it; AMBIGUOUS: neither; CONFOUNDED: another workload"),
    "a": ("A", "the speedup or the median time in A"),
    "b": ("B", "the speedup or the median time in B"),
    "ratio": ("B / A", f"speedups {words.ABOVE['speedup']}; times {words.ABOVE['time']}"),
    "low": ("low", "lower end of the"),
    "high": ("high", "upper end of the"),
    "why": ("why", "why the row is CONFOUNDED, NOT MEASURED or AMBIGUOUS"),
    "p": ("p", "of B / A lying within the margin, after the correction over all rows of the quantity"),
}  # fmt: skip
_NUMBERS = {"a", "b", "ratio", "low", "high", "p"}
_BEFORE, _AFTER, _LAST = ("run", "quantity"), ("answer", "a", "b", "ratio", "low", "high", "why"), ("p",)
_SHAPE = tuple(n for n in rows_table.SHAPE if n != "groups")  # rows are not matched by groups: the block sets them
_ALWAYS = ("block", "c_in", "kernel", "answer", "a", "b", "ratio", "low", "high")


def text(
    comparisons: Sequence[Comparison], pictures: Sequence[Iterable[Path]], command: str, gate: Gate | None = None
) -> str:
    """The page, with the SVG files among the `pictures` of each comparison, `command` as its maker, and a gate's answer."""
    several, paired = len(comparisons) > 1, all(c.speedups is None for c in comparisons)
    compared: list[dict[str, Any]] = []
    for i, (c, files) in enumerate(zip(comparisons, pictures, strict=True), 1):
        drawn = inlined(files, f"{i}-" if several else "")
        shown = {q: [drawn[name] for name in names if name in drawn] for q, names in NAMES.items()}
        compared.append({"name": f"B{i}" if several else "B", "comparison": c, "pictures": shown})
    runs = [("A", comparisons[0].a), *((one["name"], one["comparison"].b) for one in compared)]
    columns = [(one["name"], q) for one in compared for q in one["comparison"].quantities]
    content: dict[str, Any] = {
        "words": words,
        "several": several,
        "paired": paired,
        "slower": paired or (gate is not None and gate.quantity == "time"),
        "runs": runs,
        "named": named,
        "made_on": run_facts.made_on,
        "compared": compared,
        "gate": words.gate(gate)[::-1] if gate else (),
        "heads": [f"{name}: {_HEADINGS[q.quantity]}" if several else _HEADINGS[q.quantity] for name, q in columns],
        "answers": _answers([q for _, q in columns]),
        "means": [words.direction(q.mean, q.quantity) if q.number else ("", "no row to judge") for _, q in columns],
        "legends": dict.fromkeys(words.legend(c) for c in comparisons),
        "notes": dict.fromkeys(line for c in comparisons for line in (*words.notes(c), *words.unswept(c))),
        "table": table(comparisons),
        "left_out": _left_out(comparisons),
        "sides": machine.side_by_side([run for _, run in runs]),
        "command": command,
    }  # fmt: skip
    held = sum(len(q.rows.a) + len(q.only_a) + len(q.only_b) for c in comparisons for q in c.quantities)
    page = render(_TEMPLATE, **content, downloads=DOWNLOADS)
    if held <= MOST_HELD:
        rows = download("compare.csv", "".join(compare_export.as_csv(comparisons)).encode())
        if len(page) + len(rows.address) <= MOST_BYTES:
            return with_downloads(page, (rows,), (), "")
    return page.replace(DOWNLOADS, _TOO_LARGE)


def _answers(columns: Sequence[QuantityComparison]) -> list[tuple[str, str, list[int]]]:
    """Each answer, its class in the style sheet and its rows per column; none that no row has, except verdicts of judged rows."""
    counts = [{str(v): n for v, n in q.counts.items()} | {"ONLY IN A": len(q.only_a), "ONLY IN B": len(q.only_b)} for q in columns]  # fmt: skip
    every = [(answer, [count[answer] for count in counts]) for answer in counts[0]]
    return [(answer, kind_of(answer), row) for answer, row in every if answer in JUDGED or any(row)]


def kind_of(answer: str) -> str:
    """An answer's class in the style sheet."""
    return "only" if answer.startswith("ONLY") else answer.lower().replace(" ", "-")


def table(comparisons: Sequence[Comparison]) -> rows_table.Table:
    """The MOST_ROWS most telling rows of each quantity of each comparison: changed rows first, rows of one run only last."""
    rows = [row for c in comparisons for compared in c.quantities for row in _rows(c, compared)]
    covers = f" {words.interval_words(comparisons)}"
    columns = {
        name: Column(name, head, tip + (covers if name in ("low", "high") else ""), name in _NUMBERS)
        for name, (head, tip) in _TIPS.items()
    }
    filled = [name for name in ("why", "p") if any(row[name].text for row in rows)]
    wanted = (*_BEFORE, *_SHAPE, *_AFTER, *rows_table.WAY, *_LAST)
    filters = (*rows_table.FILTERS, "run", "quantity", "answer")
    return rows_table.made(rows, wanted, (*_ALWAYS, *filled), columns, filters)


def _rows(c: Comparison, compared: QuantityComparison) -> Iterator[Record]:
    for m in compared.telling(MOST_ROWS):
        yield _row(c, compared, m.verdict, m.a, m.b, m)
    for row in records_of(compared.only_a.iloc[:MOST_ALONE]):
        yield _row(c, compared, "ONLY IN A", row, None)
    for row in records_of(compared.only_b.iloc[:MOST_ALONE]):
        yield _row(c, compared, "ONLY IN B", None, row)


def _left_out(comparisons: Sequence[Comparison]) -> str:
    """How many rows the table leaves out; empty for none."""
    every = [q for c in comparisons for q in c.quantities]
    left = sum(max(0, len(q.rows.a) - MOST_ROWS) + sum(max(0, len(o) - MOST_ALONE) for o in (q.only_a, q.only_b)) for q in every)  # fmt: skip
    return f"The table holds the rows that changed most, and leaves out {plural(left, 'row')}: --csv writes all." if left else ""  # fmt: skip


def _row(
    c: Comparison, compared: QuantityComparison, answer: str, a: Record | None, b: Record | None, m: Match | None = None
) -> Record:
    """The workload, and our cells by name; the row is coloured by its answer."""
    low, high = (m and m.ends) or (None, None)
    p = m.p_adjusted if m else None
    return {
        **(a or b or {}),
        "status": kind_of(answer),
        "run": Cell(c.b.run_id),
        "quantity": Cell(compared.quantity),
        "answer": Cell(answer, kind=kind_of(answer)),
        "a": _value(a, compared.quantity),
        "b": _value(b, compared.quantity),
        "ratio": ratio_cell(m.ratio if m else None),
        "low": ratio_cell(low),
        "high": ratio_cell(high),
        "why": Cell(words.reason(compared, m) if m else ""),
        "p": Cell(p_words(p), None if p is None else f"{p:.6g}"),
    }


def _value(row: Record | None, quantity: Quantity) -> Cell:
    if row is None:
        return Cell("")
    value = row[VALUES[quantity][0]]
    if value is None:
        return Cell(str(row["status"]))
    return ratio_cell(value) if quantity == "speedup" else Cell(in_seconds(value, 3), f"{value:.6g}")


def history_text(history: History, pictures: tuple[Path, ...], command: str) -> str:
    """The page, with the SVG file among the `pictures`, and `command` as its maker."""
    drawn = inlined(pictures)
    return render(
        "history.html.j2",
        words=history_words,
        history=history,
        margin=percent(history.margin),
        machine=run_facts.made_on(history.runs[0]),
        pictures=list(drawn.values()),
        table=_history_table(history),
        facts=machine.machine(history.runs[-1])[0],
        command=command,
    )


def _history_table(history: History) -> rows_table.Table:
    """Every row that all runs have: the last run / the first, and at each change point the shift with its verdict."""
    columns = {"last": Column("last", "last / first", history_words.heading(history), True)}
    last = np.exp(history.logs[-1] - history.logs[0]).tolist()[:MOST_HISTORY]
    rows = [{**row, "last": ratio_cell(ratio)} for row, ratio in zip(history.rows, last, strict=False)]
    for change in history.changes:
        when = history.started[change.at][:10]
        ratio, answer = f"after / before {when}", f"at {when}"
        columns[ratio] = Column(ratio, ratio, "mean after this change point / before it", True)
        columns[answer] = Column(answer, answer, "SLOWER, FASTER, SAME or AMBIGUOUS against the margin", False)
        for row, shift in zip(rows, change.shifts, strict=False):
            row[ratio] = ratio_cell(math.exp(shift.log.mean))
            row[answer] = Cell(shift.verdict, kind=shift.verdict.lower())
    wanted, answers = (*rows_table.SHAPE, *rows_table.WAY, *columns), (n for n in columns if n.startswith("at "))
    return rows_table.made(
        rows, wanted, ("block", "c_in", "kernel", *columns), columns, (*rows_table.FILTERS, *answers)
    )
