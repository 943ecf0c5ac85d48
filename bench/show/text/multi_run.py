"""Several runs on the terminal: a line for each, what all of them say, and their speedups in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

from bench.analyse.facts import facts_of
from bench.analyse.runs.merged import Member, Together
from bench.analyse.runs.rows import SERIES, Record, records_of
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.analyse.sweeps.kinds import unswept as no_sweep
from bench.show.text import run_facts, terminal
from bench.show.text.captions import of_runs
from bench.spec.columns import FAILED, WITH_NUMBERS
from bench.spec.devices.device_names import in_words
from bench.spec.format import plural
from bench.spec.model.model_parameters import without_model

MOST_COLUMNS = 10
HEAD = ("run", "on", "torch", "date", "pairs measured", "folder")
MORE = "bench report of one folder tells that run in full; bench verdict of these the claims"
_SHAPE = ("c_in", "c_out", "kernel", "height", "width", "batch", "stride", "padding", "dilation", "depth", "block")


def show(joined: Together, file: TextIO | None = None) -> None:
    """Print them."""
    console = terminal.console_on(file)
    heads = [head(m) for m in joined.members]
    lines = [[h[name] for name in ("letter", "devices", "torch", "when", "measured", "folder")] for h in heads]
    terminal.print_table(console, HEAD, lines, len(HEAD))
    alarms = [f"{h['letter']}: {h[name]}" for h in heads for name in ("unfinished", "predicted") if h[name]]
    finding = run_facts.finding(facts_of(joined.whole))
    terminal.print_lines(console, [*alarms, "", finding, *filter(None, [unswept(joined)])])
    rows = shared(records_of(joined.whole.pairs))
    if rows:
        terminal.print_lines(console, ["", *terminal.above(rows)])
        kept = shown(rows)
        laid = terminal.grid(kept, most_columns=len(kept))
        terminal.print_table(console, laid.header, laid.rows, laid.keys)
        more = len({_place(r) for r in rows} - {_place(r) for r in kept})
        left = [f"{plural(more, 'more way')} to run the blocks in the runs' pairs.csv"] if more else []
        terminal.print_lines(console, [*terminal.notes((laid,)), *left])
    terminal.print_lines(console, ["", MORE])


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


def unswept(joined: Together) -> str:
    """Whose rows neither the finding nor the table and the pictures of speedups hold, and why; nothing where they hold all."""
    counts = no_sweep(records_of(joined.whole.pairs))
    if not counts:
        return ""
    one = sum(counts.values()) == 1
    return f"Not in this, nor in tables and pictures of sweeps: {of_runs(counts)}, no sweep{'' if one else 's'} of channels or kernels over one block; the page's table of all rows has {'it' if one else 'them'}."


def shared(pairs: Sequence[Record]) -> list[Record]:
    """The rows for one table: those that sweep shapes, if any do, each once at a place, whatever its run calls the experiment.

    A device goes by its run's letter, as `cpu (A)`: what it is stands in the list of runs.
    """
    rows = [r for r in sweep_of_shapes(pairs) or pairs if r["status"] in (*WITH_NUMBERS, *FAILED)]
    once: dict[tuple[object, ...], Record] = {}
    for r in rows:
        device = f"{str(r['device']).partition(' (')[0]} ({r['run_id']})"
        once.setdefault((*_place(r), *(r[name] for name in _SHAPE)), {**r, "experiment": "", "device": device})
    return list(once.values())


def shown(rows: Sequence[Record]) -> list[Record]:
    """The rows of at most MOST_COLUMNS places, or one of each run's devices: in turn of each device its next with the most cells."""
    cells = Counter(_place(r) for r in rows)
    devices = list(dict.fromkeys(place[0] for place in cells))
    by_device = [sorted((p for p in cells if p[0] == d), key=lambda p: -cells[p]) for d in devices]
    in_turn = [p for turn in zip_longest(*by_device) for p in turn if p is not None]
    kept = in_turn[: max(MOST_COLUMNS, len(devices))]
    return [r for r in rows if _place(r) in kept]


def _place(row: Record) -> tuple[object, ...]:
    return tuple(row[name] for name in SERIES)  # the device first
