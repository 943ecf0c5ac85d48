"""The table of all rows on the page of comparisons: both values, their ratio, the answer and its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.analyse.compare.facts import VALUES, Comparison, Match, Quantity, QuantityComparison
from bench.analyse.runs.rows import Record
from bench.show.pages import rows_table
from bench.show.pages.rows_table import Cell, Column, Line
from bench.show.text.compare import ABOVE, interval_words, reason
from bench.spec.format import in_seconds, p_words, times

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
_ANSWER = ("answer", "a", "b", "ratio", "low", "high")  # shown even if all rows have the same
_ALWAYS = ("block", "c_in", "kernel")


def kind_of(answer: str) -> str:
    """An answer's class in the style sheet."""
    return "only" if answer.startswith("ONLY") else answer.lower().replace(" ", "-")


def table(comparisons: Sequence[Comparison]) -> rows_table.Table:
    """All rows of all comparisons: of each quantity changed rows first, rows of one run only last."""
    rows = [row for c in comparisons for compared in c.quantities for row in _rows(c, compared)]
    workloads = [workload for workload, _ in rows]
    shape, way = (rows_table.made(workloads, names, _ALWAYS) for names in (_SHAPE, rows_table.WAY))
    kept = [[n for n in names if _tells(n, [cells for _, cells in rows])] for names in (_BEFORE, _AFTER, _LAST)]
    before, after, last = ([_column(n, comparisons) for n in names] for names in kept)
    columns = (*before, *shape.columns, *after, *way.columns, *last)
    lines = []
    for (_, cells), one, two in zip(rows, shape.lines, way.lines, strict=True):
        ours = [[cells[n] for n in names] for names in kept]
        lines.append(Line(cells["answer"].kind, (*ours[0], *one.cells, *ours[1], *two.cells, *ours[2])))
    wanted = ["run", "quantity", "answer", *(name for _, name, _ in (*shape.filters, *way.filters))]
    places = [(at, c.head) for at, c in enumerate(columns) if c.name in wanted]
    filters = [(at, head, tuple(dict.fromkeys(filter(None, (line.cells[at].text for line in lines))))) for at, head in places]  # fmt: skip
    return rows_table.Table(columns, tuple(lines), (*shape.same, *way.same), tuple(f for f in filters if len(f[2]) > 1))


def _tells(name: str, rows: Sequence[dict[str, Cell]]) -> bool:
    """Whether to show a column: one of the answer always, run and quantity if rows differ, others unless empty."""
    texts = {cells[name].text for cells in rows}
    return name in _ANSWER or (len(texts) > 1 if name in _BEFORE else bool(texts - {""}))


def _column(name: str, comparisons: Sequence[Comparison]) -> Column:
    head, tip = _TIPS[name]
    return Column(name, head, f"{tip} {interval_words(comparisons)}" if name in ("low", "high") else tip, name in _NUMBERS)  # fmt: skip


def _rows(c: Comparison, compared: QuantityComparison) -> Iterator[tuple[Record, dict[str, Cell]]]:
    """Each row: its workload and our cells by name."""
    for m in compared.ranked:
        yield m.a, _cells(c, compared, m.verdict, m.a, m.b, m)
    for row in compared.only_a:
        yield row, _cells(c, compared, "ONLY IN A", row, None)
    for row in compared.only_b:
        yield row, _cells(c, compared, "ONLY IN B", None, row)


def _cells(
    c: Comparison, compared: QuantityComparison, answer: str, a: Record | None, b: Record | None, m: Match | None = None
) -> dict[str, Cell]:
    low, high = (None, None) if m is None or m.ends is None else m.ends
    ratio, p = (None, None) if m is None else (m.ratio, m.p_adjusted)
    return {
        "run": Cell(c.b.run_id),
        "quantity": Cell(compared.quantity),
        "answer": Cell(answer, kind=kind_of(answer)),
        "a": _value(a, compared.quantity),
        "b": _value(b, compared.quantity),
        "ratio": _ratio(ratio),
        "low": _ratio(low),
        "high": _ratio(high),
        "why": Cell(reason(compared, m) if m else ""),
        "p": Cell("") if p is None else Cell(p_words(p), f"{p:.6g}"),
    }


def _value(row: Record | None, quantity: Quantity) -> Cell:
    if row is None:
        return Cell("")
    value = row[VALUES[quantity][0]]
    if value is None:
        return Cell(str(row["status"]))
    return Cell(times(value, 0.01) if quantity == "speedup" else in_seconds(value, 3), f"{value:.6g}")


def _ratio(value: float | None) -> Cell:
    return Cell("") if value is None else Cell(times(value, 0.01), f"{value:.6g}")
