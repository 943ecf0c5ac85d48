"""The table of all rows on the page of comparisons: both sides' values, their ratio, the answer and why it is no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analyse.claims.answers import p_words
from bench.analyse.compare.compare import VALUES, Comparison, Quantity, Table
from bench.analyse.compare.row_matching import Record
from bench.show.pages import rows_table
from bench.show.pages.rows_table import Cell, Column, Line
from bench.show.text.compare import ranked, reason, widened
from bench.spec.format import in_seconds, times

_TIPS = {
    "run": ("run B", "the run that is compared with A"),
    "quantity": ("quantity", "speedup (time of the baseline / time of the block), or the median time of one evaluation"),
    "answer": ("answer", "SLOWER and FASTER lie beyond the margin, SAME within it, AMBIGUOUS is neither; CONFOUNDED rows are of other workloads"),
    "a": ("A", "the speedup or the median time in A"),
    "b": ("B", "the speedup or the median time in B"),
    "ratio": ("B / A", "of speedups above 1x: the block gains more in B; of times above 1x: B takes longer"),
    "low": ("low", "lower end of the interval of B / A"),
    "high": ("high", "upper end of the interval of B / A"),
    "why": ("why", "what differs of the workload, or what keeps the row from a plainer answer"),
    "p": ("p", "of B / A lying within the margin, after the correction over all rows of the quantity"),
}  # fmt: skip
_NUMBERS = {"a", "b", "ratio", "low", "high", "p"}
_BEFORE, _AFTER, _LAST = ("run", "quantity"), ("answer", "a", "b", "ratio", "low", "high", "why"), ("p",)
_SHAPE = tuple(
    n for n in rows_table.SHAPE if n != "groups"
)  # which is the block's own, and no part of what rows are matched by
_ANSWER = ("answer", "a", "b", "ratio", "low", "high")  # shown even where all rows say the same
_ALWAYS = ("block", "c_in", "kernel")


def kind_of(answer: str) -> str:
    """An answer's class in the style sheet."""
    return "only" if answer.startswith("ONLY") else answer.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the table: the workload it stands under, and its own cells by name."""

    workload: Record
    cells: dict[str, Cell]


def table(found: Sequence[Comparison]) -> rows_table.Table:
    """All rows of all comparisons, what changed first in each table; those in one run only at its end."""
    rows = [row for c in found for t in c.tables for row in (*_matched(c, t), *_alone(c, t))]
    workloads = [r.workload for r in rows]
    shape, way = (rows_table.made(workloads, names, _ALWAYS) for names in (_SHAPE, rows_table.WAY))
    told = [[n for n in names if _tells(n, rows)] for names in (_BEFORE, _AFTER, _LAST)]
    before, after, last = (_own(names, widened(found)) for names in told)
    columns = (*before, *shape.columns, *after, *way.columns, *last)
    lines = []
    for row, one, two in zip(rows, shape.lines, way.lines, strict=True):
        own = [[row.cells[n] for n in names] for names in told]
        lines.append(Line(row.cells["answer"].kind, (*own[0], *one.cells, *own[1], *two.cells, *own[2])))
    wanted = ["run", "quantity", "answer", *(name for _, name, _ in (*shape.filters, *way.filters))]
    places = [(at, c) for at, c in enumerate(columns) if c.name in wanted]
    filters = [(at, c.head, tuple(dict.fromkeys(line.cells[at].text for line in lines if line.cells[at].text))) for at, c in places]  # fmt: skip
    return rows_table.Table(columns, tuple(lines), (*shape.same, *way.same), tuple(f for f in filters if len(f[2]) > 1))


def _tells(name: str, rows: Sequence[_Row]) -> bool:
    """Whether a column is worth its room: of the answer's always, of others where rows differ or have anything to say."""
    texts = {r.cells[name].text for r in rows}
    return name in _ANSWER or (len(texts) > 1 if name in _BEFORE else bool(texts - {""}))


def _own(names: Sequence[str], wider: str) -> tuple[Column, ...]:
    tips = {n: f"{_TIPS[n][1]}, {wider}" if wider and n in ("low", "high") else _TIPS[n][1] for n in names}
    return tuple(Column(n, _TIPS[n][0], tips[n], n in _NUMBERS) for n in names)


def _matched(found: Comparison, compared: Table) -> Iterator[_Row]:
    for m in ranked(compared):
        low, high = m.ends or (None, None)
        yield _Row(
            m.a,
            {
                **_place(found, compared.quantity, m.verdict),
                "a": _value(m.a, compared.quantity),
                "b": _value(m.b, compared.quantity),
                "ratio": _ratio(m.ratio),
                "low": _ratio(low),
                "high": _ratio(high),
                "p": Cell("") if m.p_adjusted is None else Cell(p_words(m.p_adjusted), f"{m.p_adjusted:.6g}"),
                "why": Cell(reason(compared, m)),
            },
        )


def _alone(found: Comparison, compared: Table) -> Iterator[_Row]:
    for side, missing in (("A", compared.only_a), ("B", compared.only_b)):
        for row in missing:
            empty = {n: Cell("") for n in (*_AFTER, *_LAST)}
            told = _place(found, compared.quantity, f"ONLY IN {side}")
            yield _Row(row, {**empty, **told, side.lower(): _value(row, compared.quantity)})


def _place(found: Comparison, quantity: Quantity, answer: str) -> dict[str, Cell]:
    return {"run": Cell(found.b.run_id), "quantity": Cell(quantity), "answer": Cell(answer, kind=kind_of(answer))}


def _value(row: Record, quantity: Quantity) -> Cell:
    value = row[VALUES[quantity][0]]
    if value is None:
        return Cell(str(row["status"]))
    return Cell(times(value, 0.01) if quantity == "speedup" else in_seconds(value, 3), f"{value:.6g}")


def _ratio(value: float | None) -> Cell:
    return Cell("") if value is None else Cell(times(value, 0.01), f"{value:.6g}")
