"""The table of all rows on the page of comparisons: both values, their ratio, the answer and its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analyse.compare.facts import VALUES, Comparison, Match, Quantity, QuantityComparison
from bench.analyse.runs.rows import Record
from bench.show.pages import rows_table
from bench.show.pages.rows_table import Cell, Column, ratio_cell
from bench.show.text.compare import ABOVE, interval_words, reason
from bench.spec.format import in_seconds, p_words

_TIPS = {
    "run": ("run B", "the run that is compared with A"),
    "quantity": ("quantity", "speedup (time of the baseline / time of the block), or the median time of one evaluation"),
    "answer": ("answer", "SLOWER and FASTER: beyond the margin; SAME: within it; AMBIGUOUS: neither; CONFOUNDED: another workload"),
    "a": ("A", "the speedup or the median time in A"),
    "b": ("B", "the speedup or the median time in B"),
    "ratio": ("B / A", f"speedups {ABOVE['speedup']}; times {ABOVE['time']}"),
    "low": ("low", "lower end of the"),
    "high": ("high", "upper end of the"),
    "why": ("why", "why the row is CONFOUNDED, NOT MEASURED or AMBIGUOUS"),
    "p": ("p", "of B / A lying within the margin, after the correction over all rows of the quantity"),
}  # fmt: skip
_NUMBERS = {"a", "b", "ratio", "low", "high", "p"}
_BEFORE, _AFTER, _LAST = ("run", "quantity"), ("answer", "a", "b", "ratio", "low", "high", "why"), ("p",)
_SHAPE = tuple(n for n in rows_table.SHAPE if n != "groups")  # rows are not matched by groups: the block sets them
_ALWAYS = ("block", "c_in", "kernel", "answer", "a", "b", "ratio", "low", "high")


def kind_of(answer: str) -> str:
    """An answer's class in the style sheet."""
    return "only" if answer.startswith("ONLY") else answer.lower().replace(" ", "-")


def table(comparisons: Sequence[Comparison]) -> rows_table.Table:
    """All rows of all comparisons: of each quantity changed rows first, rows of one run only last."""
    rows = [row for c in comparisons for compared in c.quantities for row in _rows(c, compared)]
    covers = f" {interval_words(comparisons)}"
    columns = {
        name: Column(name, head, tip + (covers if name in ("low", "high") else ""), name in _NUMBERS)
        for name, (head, tip) in _TIPS.items()
    }
    filled = [name for name in ("why", "p") if any(row[name].text for row in rows)]
    wanted = (*_BEFORE, *_SHAPE, *_AFTER, *rows_table.WAY, *_LAST)
    filters = (*rows_table.FILTERS, "run", "quantity", "answer")
    return rows_table.made(rows, wanted, (*_ALWAYS, *filled), columns, filters)


def _rows(c: Comparison, compared: QuantityComparison) -> Iterator[Record]:
    for m in compared.ranked:
        yield _row(c, compared, m.verdict, m.a, m.b, m)
    for row in compared.only_a:
        yield _row(c, compared, "ONLY IN A", row, None)
    for row in compared.only_b:
        yield _row(c, compared, "ONLY IN B", None, row)


def _row(
    c: Comparison, compared: QuantityComparison, answer: str, a: Record | None, b: Record | None, m: Match | None = None
) -> Record:
    """The workload, and our cells by name; the row is coloured by its answer."""
    low, high = (None, None) if m is None or m.ends is None else m.ends
    ratio, p = (None, None) if m is None else (m.ratio, m.p_adjusted)
    return {
        **(a or b or {}),
        "status": kind_of(answer),
        "run": Cell(c.b.run_id),
        "quantity": Cell(compared.quantity),
        "answer": Cell(answer, kind=kind_of(answer)),
        "a": _value(a, compared.quantity),
        "b": _value(b, compared.quantity),
        "ratio": ratio_cell(ratio),
        "low": ratio_cell(low),
        "high": ratio_cell(high),
        "why": Cell(reason(compared, m) if m else ""),
        "p": Cell("") if p is None else Cell(p_words(p), f"{p:.6g}"),
    }


def _value(row: Record | None, quantity: Quantity) -> Cell:
    if row is None:
        return Cell("")
    value = row[VALUES[quantity][0]]
    if value is None:
        return Cell(str(row["status"]))
    return ratio_cell(value) if quantity == "speedup" else Cell(in_seconds(value, 3), f"{value:.6g}")
