"""Several runs on the terminal: a line for each, what all of them say, and their speedups in one table."""

from __future__ import annotations

from bench.analyse.facts import facts_of
from bench.analyse.runs.merged import Member, Together
from bench.analyse.runs.rows import records_of
from bench.show.text import report, run_facts, terminal
from bench.spec.devices.device_names import in_words
from bench.spec.model.model_parameters import without_model

HEAD = ("run", "on", "torch", "date", "pairs measured", "folder")
MORE = "bench report of one folder tells that run in full; bench verdict of these the claims"


def show(joined: Together) -> None:
    """Print them."""
    heads = [head(m) for m in joined.members]
    lines = [[h[name] for name in ("letter", "devices", "torch", "when", "measured", "folder")] for h in heads]
    terminal.print_table(HEAD, lines, len(HEAD))
    alarms = [f"{h['letter']}: {h[name]}" for h in heads for name in ("unfinished", "predicted") if h[name]]
    facts = facts_of(joined.whole)
    told = [*run_facts.question(facts), *run_facts.answer(facts)]
    terminal.print_lines([*alarms, "", *terminal.wrapped(told)])
    report.tables(facts, records_of(joined.whole.pairs))
    terminal.print_lines(["", MORE])


def head(m: Member) -> dict[str, str]:
    """The run's line in the list of those on the page; `unfinished` and `predicted` are alarms."""
    told, facts = m.run.environment, facts_of(m.run)
    return {
        "letter": m.letter,
        "run_id": m.run.run_id,
        "folder": m.run.folder.resolve().name,
        "devices": in_words(", ".join(m.devices.values())),
        "torch": str(told.get("torch") or ""),
        "when": str(told.get("started_utc") or "")[:10],
        "measured": run_facts.measured(facts),
        "unfinished": terminal.incomplete(m.run),
        "predicted": without_model(run_facts.predicted(facts)),
    }
