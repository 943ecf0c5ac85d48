"""compare.html: comparisons on one page that needs nothing else, in the frame of report.html."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse.compare.compare import CARDS, VERDICTS, Comparison, Quantity, Table
from bench.analyse.runs.run_folder import Run
from bench.show.export import compare as compare_export
from bench.show.pages import compare_rows, downloads, machine
from bench.show.pages.frame import MOST_BYTES, inlined, render
from bench.show.pages.svg import Inlined, Letters
from bench.show.plots.compare import NAMES
from bench.show.text import compare, run_facts
from bench.show.text.terminal import named
from bench.spec.format import percent

NAME = "compare.html"
_TEMPLATE = "compare.html.j2"
ANSWERS = tuple((a, compare_rows.kind_of(a)) for a in (*VERDICTS, "ONLY IN A", "ONLY IN B"))
"""All answers, each with its class in the style sheet."""
_ALWAYS = ("SLOWER", "FASTER", "AMBIGUOUS", "SAME")
_HEADINGS: dict[Quantity, str] = {"speedup": "Speedups", "time": "Times"}


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of one comparison in the table at the top: its rows by answer, in the order of `ANSWERS`, and its mean."""

    head: str
    counts: tuple[int, ...]
    mean: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """One quantity of one comparison in its section: sentences and pictures; no pictures where no block was measured in both."""

    run: str
    heading: str
    sentences: tuple[str, ...]
    pictures: tuple[Inlined, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """A run and what its environment tells."""

    name: str
    run_id: str
    named: str
    made_on: str
    command: str


def text(found: Sequence[Comparison], pictures: Sequence[Iterable[Path]], command: str) -> str:
    """The page. `pictures` are the files of each comparison, of which the SVG ones are taken; `command` made them all."""
    letters = Letters()
    several = len(found) > 1
    drawn = [inlined(files, letters, f"{i}-" if several else "") for i, files in enumerate(pictures, 1)]
    runs = [found[0].a, *(c.b for c in found)]
    names = ["A", *([f"B{i}" for i in range(1, len(runs))] if several else ["B"])]
    counts = [
        _column(f"{names[i]}: {_HEADINGS[t.quantity]}" if several else _HEADINGS[t.quantity], t)
        for i, c in enumerate(found, 1)
        for t in c.tables
    ]
    told: dict[str, Any] = {
        "several": several,
        "sides": [_side(n, run) for n, run in zip(names, runs, strict=True)],
        "ledes": [(names[i], _lede(c)) for i, c in enumerate(found, 1)],
        "answers": [
            (i, a, kind) for i, (a, kind) in enumerate(ANSWERS) if a in _ALWAYS or any(c.counts[i] for c in counts)
        ],
        "counts": counts,
        "differences": [(names[i], c.differences) for i, c in enumerate(found, 1)],
        "speedups": [_part(names[i], c.speedups, drawn[i - 1]) for i, c in enumerate(found, 1)],
        "times": [_part(names[i], c.times, drawn[i - 1]) for i, c in enumerate(found, 1) if c.times is not None],
        "apart": [(names[i], compare.not_timed(c)) for i, c in enumerate(found, 1) if c.times is None],
        "cautions": list(dict.fromkeys(line for c in found for line in compare.cautions(c))),
        "margins": _margins(found),
        "above": compare.ABOVE,
        "table": compare_rows.table(found),
        "downloads": (),
        "facts": _facts(runs),
        "command": command,
    }
    rows = downloads.download("compare.csv", compare_export.as_csv(found).encode())
    body = render(_TEMPLATE, letters, **told)
    if len(body) + len(rows.address) > MOST_BYTES:
        return body
    return render(_TEMPLATE, letters, **{**told, "downloads": (rows,)})


def _lede(found: Comparison) -> tuple[str, str]:
    return compare.headline(found), compare.SAME_RUN if found.same_run else compare.overall(found.speedups)


def _column(head: str, compared: Table) -> Column:
    counts: Counter[str] = Counter(m.verdict for m in compared.matches)
    counts.update({"ONLY IN A": len(compared.only_a), "ONLY IN B": len(compared.only_b)})
    mean = (
        compare.direction(compared.mean, compared.quantity, compared.edge, compared.confidence)
        if compared.judged
        else ("", "no row to judge")
    )
    return Column(head, tuple(counts[a] for a, _ in ANSWERS), mean)


def _margins(found: Sequence[Comparison]) -> str:
    """What rows were held against: `5 %`, and what widened that."""
    told = [percent(found[0].margin)]
    if any(c.cards for c in found):
        told.append(f"{percent(CARDS)} for times of two cards of one model")
    if any(b is not None and b > math.log1p(found[0].margin) for c in found for b in c.bands):
        told.append("a run's noise band where that is wider")
    return ", ".join(told)


def _part(run: str, compared: Table, drawn: dict[str, Inlined]) -> Part:
    names = NAMES[compared.quantity]
    return Part(run, _HEADINGS[compared.quantity], tuple(compare.details(compared)), tuple(drawn[n] for n in names if n in drawn))  # fmt: skip


def _side(name: str, run: Run) -> Side:
    return Side(name, run.run_id, named(run), run_facts.made_on(run), str(run.environment.get("command") or ""))


def _facts(runs: Sequence[Run]) -> list[tuple[str, tuple[str, ...], bool]]:
    """What the runs record of their machines, side by side, and whether they agree."""
    return [(name, values, len(set(values)) == 1) for name, values in machine.side_by_side(runs)]
