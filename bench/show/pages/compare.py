"""compare.html: comparisons on one page that needs nothing else, in the frame of report.html."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse.compare.facts import JUDGED, Comparison, Quantity, QuantityComparison
from bench.show.export import compare as compare_export
from bench.show.pages import compare_rows, downloads, machine
from bench.show.pages.frame import MOST_BYTES, inlined, render
from bench.show.pages.svg import Inlined, Letters
from bench.show.plots.compare import NAMES
from bench.show.text import compare as words
from bench.show.text import run_facts
from bench.show.text.terminal import named

NAME = "compare.html"
_TEMPLATE = "compare.html.j2"
_HEADINGS: dict[Quantity, str] = {"speedup": "Speedups", "time": "Times"}


@dataclass(frozen=True, slots=True)
class NamedComparison:
    """A comparison, the name of its run B on the page, and its pictures by file name."""

    name: str
    comparison: Comparison
    drawn: dict[str, Inlined]

    def pictures(self, quantity: Quantity) -> list[Inlined]:
        """The pictures of a quantity; none if no block was measured in both runs."""
        return [self.drawn[name] for name in NAMES[quantity] if name in self.drawn]


def text(comparisons: Sequence[Comparison], pictures: Sequence[Iterable[Path]], command: str) -> str:
    """The page, with the SVG files among the `pictures` of each comparison, and `command` as its maker."""
    letters = Letters()
    several = len(comparisons) > 1
    compared = [
        NamedComparison(f"B{i}", c, inlined(files, letters, f"{i}-")) if several else NamedComparison("B", c, inlined(files, letters))
        for i, (c, files) in enumerate(zip(comparisons, pictures, strict=True), 1)
    ]  # fmt: skip
    runs = [("A", comparisons[0].a), *((one.name, one.comparison.b) for one in compared)]
    columns = [(one.name, q) for one in compared for q in one.comparison.quantities]
    content: dict[str, Any] = {
        "words": words,
        "several": several,
        "runs": runs,
        "named": named,
        "made_on": run_facts.made_on,
        "compared": compared,
        "heads": [f"{name}: {_HEADINGS[q.quantity]}" if several else _HEADINGS[q.quantity] for name, q in columns],
        "answers": _answers([q for _, q in columns]),
        "means": [words.direction(q.mean, q.quantity) if q.judged else ("", "no row to judge") for _, q in columns],
        "legends": dict.fromkeys(words.legend(c) for c in comparisons),
        "notes": dict.fromkeys(line for c in comparisons for line in words.notes(c)),
        "table": compare_rows.table(comparisons),
        "sides": machine.side_by_side([run for _, run in runs]),
        "command": command,
    }  # fmt: skip
    rows = downloads.download("compare.csv", compare_export.as_csv(comparisons).encode())
    page = render(_TEMPLATE, letters, **content, downloads=())
    if len(page) + len(rows.address) > MOST_BYTES:
        return page
    return render(_TEMPLATE, letters, **content, downloads=(rows,))


def _answers(columns: Sequence[QuantityComparison]) -> list[tuple[str, str, list[int]]]:
    """Each answer, its class in the style sheet and its rows per column; none that no row has, except verdicts of judged rows."""
    counts = [{str(v): n for v, n in q.counts.items()} | {"ONLY IN A": len(q.only_a), "ONLY IN B": len(q.only_b)} for q in columns]  # fmt: skip
    every = [(answer, [count[answer] for count in counts]) for answer in counts[0]]
    return [(answer, compare_rows.kind_of(answer), row) for answer, row in every if answer in JUDGED or any(row)]
