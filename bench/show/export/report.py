"""What a run says in forms that other programs take: GitHub's Markdown, one JSON document, one CSV of all pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from bench.analyse.claims.answers import Verdict
from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import Verdicts, judge
from bench.analyse.facts import facts_of
from bench.analyse.runs import noise_floor
from bench.analyse.runs.rows import as_csv, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.text import run_facts, terminal
from bench.show.text.claims import answer, cells, named_effect, p, where
from bench.spec.columns import SCHEMA_VERSION

FORMATS = ("md", "csv", "json", "html")
_MARKUP = re.compile(r"[\\`*<>|~#]|(?<!\w)_|_(?!\w)|(?<=\])\(")  # an underscore within a word is none


def text(runs: Sequence[Run], form: str) -> str:
    """The runs as md, csv or json."""
    return {"md": as_markdown, "csv": csv, "json": document}[form](runs)


def as_markdown(runs: Sequence[Run]) -> str:
    """Of each run its finding, its speedups and its summary; then the verdicts over all runs. Tables are GitHub's."""
    names = {r.run_id: r.run_id for r in runs} if len(runs) > 1 else None

    def verdicts(found: Verdicts, kind: str) -> list[tuple[str, ...]]:
        return [_line(v, names) for v in found.verdicts if getattr(v, kind)]

    return template("report.md.j2").render(
        runs=runs,
        found=None if all(noise_floor.against_itself(run) for run in runs) else judge(runs),
        facts_of=facts_of,
        pair_table=lambda run: terminal.pair_table(records_of(run.pairs)),
        run_facts=run_facts,
        terminal=terminal,
        verdicts=verdicts,
    ).rstrip("\n")  # fmt: skip


def csv(runs: Sequence[Run]) -> str:
    """The rows of pairs.csv of all runs under one header, with all their digits."""
    return as_csv(pd.concat([run.pairs for run in runs], ignore_index=True))


def document(runs: Sequence[Run]) -> str:
    """Everything that was read as one JSON object: null where a table is empty, and of each run verdicts by all of them."""
    told: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "runs": [_of(run) for run in runs]}
    told["verdicts"] = None if all(noise_floor.against_itself(run) for run in runs) else judge(runs).to_dict()
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


def _line(v: Verdict, letters: dict[str, str] | None) -> tuple[str, ...]:
    return (BY_ID[v.claim].statement, answer(v), named_effect(v), where(v, letters) or v.why, p(v), cells(v))


@cache
def template(name: str) -> Template:
    """A template of ours. Nothing is escaped but what goes through the filter `plain`."""
    loader = PackageLoader("bench.show.export")
    jinja = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip
    jinja.filters["plain"] = plain
    return jinja.get_template(name)


def plain(text: object) -> str:
    """Text that Markdown leaves as it is, in one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split())).replace("&", "&amp;")
