"""Several runs on the terminal: a line for each, what all of them say, and their speedups in one table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from typing import TextIO

from bench.analyse.runs.merged import Together
from bench.analyse.runs.summary import SERIES, Record, records_of
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.pages import multi_run, report
from bench.show.text import terminal
from bench.spec.columns import FAILED, TOLD

MOST_COLUMNS = 10
HEAD = ("run", "on", "torch", "date", "pairs measured", "folder")
MORE = "bench report of one folder tells that run in full; bench verdict of these the claims"
_SHAPE = ("c_in", "c_out", "kernel", "height", "width", "batch", "stride", "padding", "dilation", "depth", "block")


def show(joined: Together, file: TextIO | None = None) -> None:
    """Print them; plain text where `file` (standard output) is no terminal."""
    console = terminal.console_on(file or sys.stdout)

    def say(line: str = "") -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    heads = [multi_run.head(m) for m in joined.members]
    lines = [(h.letter, h.devices, h.torch, h.when, h.measured, h.folder) for h in heads]
    terminal.print_table(console, HEAD, lines, len(HEAD))
    for h in heads:
        for word in filter(None, (h.unfinished, h.predicted)):
            say(f"{h.letter}: {word}")
    say()
    say(report.finding(joined.whole))
    if left := multi_run.unswept(joined):
        say(left)
    every = records_of(joined.whole.pairs)
    rows = shared(every)
    if rows:
        say()
        for line in terminal.above(rows, every):
            say(line)
        kept = shown(rows)
        laid = terminal.grid(kept, most_columns=len(kept))
        terminal.print_table(console, laid.header, laid.rows, laid.keys)
        for line in terminal.notes((laid,)):
            say(line)
        more = len({_place(r) for r in rows} - {_place(r) for r in kept})
        if more:
            say(f"{more} more way{'s' if more > 1 else ''} to run the blocks in the runs' pairs.csv")
    say()
    say(MORE)


def shared(pairs: Sequence[Record]) -> list[Record]:
    """The rows for one table: those that sweep shapes, if any do, each once at a place, whatever its run calls the experiment.

    A device goes by its run's letter, as `cpu (A)`: what it is stands in the list of runs.
    """
    rows = [r for r in sweep_of_shapes(pairs) or pairs if r["status"] in (*TOLD, *FAILED)]
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
