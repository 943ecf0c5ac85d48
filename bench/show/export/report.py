"""What a run says in forms that other programs take: GitHub's Markdown, one JSON document, one CSV of all pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analyse.claims.answers import Verdict
from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import Verdicts, judge
from bench.analyse.runs import noise_floor
from bench.analyse.runs.facts import facts_of
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.show.text import run_facts, terminal
from bench.show.text.claims import cells, named_effect, of_several, p, where
from bench.spec.columns import SCHEMA_VERSION

FORMATS = ("md", "csv", "json", "html")
_MARKUP = re.compile(r"[\\`*<>|~#]|(?<!\w)_|_(?!\w)|(?<=\])\(")  # an underscore within a word is none
_ALL = 1_000_000  # rows and columns: a file has room for them


def text(runs: Sequence[Run], form: str) -> str:
    """The runs as md, csv or json."""
    return {"md": markdown, "csv": csv, "json": document}[form](runs)


def markdown(runs: Sequence[Run]) -> str:
    """Of each run its finding, its speedups and its summary; then the verdicts over all runs. Tables are GitHub's."""
    parts = [part for run in runs for part in _run(run)]
    if not all(noise_floor.is_aa(run) for run in runs):
        parts += ["## Verdicts" + (" over all runs" if len(runs) > 1 else ""), *_verdicts(judge(runs), runs)]
    return "\n\n".join(parts)


def csv(runs: Sequence[Run]) -> str:
    """The rows of pairs.csv of all runs under one header, with all their digits."""
    return str(pd.concat([run.pairs for run in runs], ignore_index=True).to_csv(index=False, lineterminator="\n"))


def document(runs: Sequence[Run]) -> str:
    """Everything that was read as one JSON object: null where a table is empty, and of each run verdicts by all of them."""
    told: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "runs": [_of(run) for run in runs]}
    told["verdicts"] = None if all(noise_floor.is_aa(run) for run in runs) else judge(runs).to_dict()
    return json.dumps(told, indent=1, allow_nan=False)


def _of(run: Run) -> dict[str, Any]:
    facts = facts_of(run)
    return {
        "run_id": run.run_id,
        "folder": run.folder.resolve().name,
        "complete": not terminal.incomplete(run),
        "finding": run_facts.finding(facts),
        "summary": run_facts.lines(facts),
        "environment": run.environment,
        "pairs": records_of(run.pairs),
        "measurements": records_of(run.measurements),
        "roofs": records_of(run.roofs) if run.roofs is not None else [],
    }


def _run(run: Run) -> list[str]:
    facts = facts_of(run)
    laid = terminal.grid(records_of(run.pairs), _ALL, _ALL)
    unfinished = terminal.incomplete(run)
    lines = "\n".join(f"- {_plain(line)}" for line in run_facts.lines(facts))
    return [
        f"## {_plain(run.run_id)}",
        *(f"**{_plain(alarm)}**" for alarm in (unfinished, run_facts.predicted(facts)) if alarm),
        _plain(run_facts.made_on(run)),
        f"**{_plain(run_facts.finding(facts))}**",
        "Speedup: time of standard / time of the block; above 1x the block is faster. "
        + "; ".join(f"`{sign}` {words}" for sign, words in terminal.MARKS.items()) + ".",
        _table(laid.header, laid.rows, laid.keys),
        *([lines] if lines else []),
    ]  # fmt: skip


def _verdicts(found: Verdicts, runs: Sequence[Run]) -> list[str]:
    letters = {r.run_id: r.run_id for r in runs} if len(runs) > 1 else None
    first = [v for v in found.verdicts if v.confirmatory]
    head = ("claim", "answer", "effect", "where", "p", "cells")
    notes = "What confirms, chosen by what was measured; p is Holm's over these tests. `bench verdict` has the reasons, and what else was looked at."
    would = [_line(v, letters) for v in found.verdicts if v.predicted]
    more = ["Predicted, not measured; the intervals are the model's error.", _table(head, would, len(head))]
    more_asked = [f"{_plain(line)}." for line in of_several(found)]
    return [_table(head, [_line(v, letters) for v in first], len(head)), notes, *more_asked, *(more if would else [])]


def _line(v: Verdict, letters: dict[str, str] | None) -> tuple[str, ...]:
    return (BY_ID[v.claim].statement, v.answer, named_effect(v), where(v, letters) or v.why, p(v), cells(v))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """A table of GitHub's; the first `left` columns are words, the others stand to the right."""
    rules = ["---" if i < left else "---:" for i in range(len(header))]
    lines = [header, rules, *rows]
    return "\n".join("| " + " | ".join(c if line is rules else _plain(c) for c in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, in one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split())).replace("&", "&amp;")
