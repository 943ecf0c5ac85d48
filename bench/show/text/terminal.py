"""Tables on the terminal: cells of speedups with their marks explained, any table, and the checks of bench doctor."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bench.analyse.runs.row_quality import LESS_PRECISE, is_less_precise, is_noisy
from bench.analyse.runs.rows import Record
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import way_of
from bench.show.text.ways import channels_word, way_labels
from bench.spec.columns import FAILED, PREDICTED, WITH_NUMBERS
from bench.spec.errors import printable
from bench.spec.format import digits, percent, times
from bench.spec.interval import EQUIVALENCE_MARGIN
from bench.spec.results_folder import INCOMPLETE, lacks_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MOST_ROWS = 30
WIDTH = 400  # characters of a line before a number would be cut
MARKS = {
    "~": "noisy: see quality_notes in pairs.csv",
    "?": "undecided: neither faster, slower nor the same",
    "=": f"the same, within {percent(EQUIVALENCE_MARGIN)} or this machine's noise band",
    "!": LESS_PRECISE,
}
STATES = {"green": "green", "amber": "yellow", "red": "bold red", "grey": "dim"}  # of checks, in colours
_SHAPE = ("experiment", "block", "kernel", "channels", "size", "stride", "padding", "dilation", "depth")
_ALWAYS = ("kernel", "channels")


def pair_table(pairs: Sequence[Record]) -> list[tuple[str, ...]]:
    """A line for each pair that was not skipped, the header first: what differs among their shapes, the way, the speedup."""
    rows = [r for r in pairs if r["status"] != "skipped"] or list(pairs)
    always = _ALWAYS if any(r["kernel"] is not None for r in rows) else ("block",)
    names = [f for f in _SHAPE if f in always or len({w for r in rows if (w := _shape(r, f))}) > 1]
    ways = [way_of(r) for r in rows]
    labels = way_labels(ways)
    lines = [(*(_shape(r, f) for f in names), labels[w], cell(r)) for r, w in zip(rows, ways, strict=True)]
    return [(*names, "way", "speedup"), *lines]


def named(run: Run) -> str:
    """A run by the folder that was given, and by its name where that is another one: `results/one (smoke-cpu-20261122T060221Z)`."""
    return run.called if run.folder.name == run.run_id else f"{run.called} ({run.run_id})"


def cell(row: Record) -> str:
    """A pair in one cell."""
    if row["status"] in FAILED or row["status"] == "unsupported":
        return str(row["status"])
    if row["status"] not in WITH_NUMBERS or row["speedup"] is None:
        return "-"
    if row["status"] == PREDICTED:
        mark = {"undecided": " ?", "same": " ="}.get(row["verdict"], "")
        return _ranged(row) + mark
    if row["precision"] is None:
        return times(row["speedup"]) + " !"
    marks = "~" * is_noisy(row) + {"undecided": "?", "same": "="}.get(row["verdict"], "") + "!" * is_less_precise(row)
    width = row["precision"] * 100
    text = f"{times(row['speedup'], row['precision'])} ±{width:.{0 if width >= 0.95 else 1}f} %"
    return f"{text} {marks}" if marks else text


def brief_cell(row: Record) -> str:
    """A pair in a narrow cell: `4.0x!`, without its half-width."""
    number, _, marks = cell(row).partition(" ±")
    return number.replace(" ", "") + marks.rpartition(" ")[2].removeprefix("%")


def _ranged(row: Record) -> str:
    """`0.5x [0.18, 1.4]`: the model's error is too wide for a half-width in per cent."""
    if row["speedup_ci_low"] is None:
        return times(row["speedup"])
    return f"{digits(row['speedup'], 2)}x [{digits(row['speedup_ci_low'], 2)}, {digits(row['speedup_ci_high'], 2)}]"


def incomplete(run: Run) -> str:
    """What an unfinished run must say first, or a merge without some of its shards; nothing where all was measured."""
    if lacks := lacks_of(run.environment):
        return INCOMPLETE + "; ".join(lacks)
    if run.plan is None or not run.from_journal or (run.folder / "DONE").exists():
        return ""
    told = run.pairs[run.pairs["status"] != PREDICTED]
    goes_on = f"bench run --resume{' --trust' if run.plan.code else ''} goes on"
    missing = int(told["processes"].lt(run.timing.processes_min).sum())
    if not missing and run.opinions is not None:
        return f"{INCOMPLETE}second opinions are still due; {goes_on}"
    return f"{INCOMPLETE}{missing} of {len(run.pairs)} rows have fewer processes than asked; {goes_on}"


def explained(cells: Iterable[str]) -> list[str]:
    """What the marks of these cells mean, those that they have."""
    signs = {sign for text in cells for sign in text}
    return [f"{mark}  {meaning}" for mark, meaning in MARKS.items() if mark in signs]


def width() -> int:
    """The terminal's columns, at least 80; of a pipe 100."""
    return max(80, shutil.get_terminal_size((100, 24)).columns)


def wrapped(texts: Sequence[str], most: int | None = None) -> list[str]:
    """Sentences in lines of `most` letters, or as wide as the terminal; the second and later ones stand back."""
    fill = partial(textwrap.wrap, width=most or width(), subsequent_indent="  ", break_on_hyphens=False)
    return [line for text in texts for line in fill(text)]


def wide_as(rows: Sequence[Sequence[str]]) -> int:
    """The letters of a table's lines."""
    return sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True)) - 2


def fitting(rows: Sequence[Sequence[str]], most: int) -> list[int]:
    """The columns of a table, the first always, that fit into `most` letters: evenly spread ones where not all do."""
    every = list(range(1, len(rows[0])))
    thinned = ([0, *every[::-step][::-1]] for step in range(1, len(every) + 1))
    return next(
        (kept for kept in thinned if wide_as([[row[i] for i in kept] for row in rows]) <= most), [0, *every[-1:]]
    )


def _console(folds: bool = False) -> Console:
    """Standard output, with colours only in a terminal.

    The terminal wraps lines, so that no number is cut, or a table `folds` to its width.
    """
    from rich.console import Console

    terminal = sys.stdout.isatty()
    return Console(width=None if folds and terminal else WIDTH, no_color=None if terminal else True)


def print_lines(lines: Iterable[str]) -> None:
    """Print the lines without control characters, wrapped by the terminal."""
    for line in (part for text in lines for part in text.split("\n")):
        print(printable(line))


def print_findings(findings: Sequence[tuple[str, str, str, str]]) -> None:
    """The table of `bench doctor`: of each check its name, its state, what was seen and what to do."""
    from rich.text import Text

    console = _console(folds=True)
    table = _table(console)
    for head in ("check", "state", "seen", "what to do"):
        table.add_column(head, no_wrap=head in ("check", "state"), overflow="fold")
    for name, state, seen, remedy in findings:
        table.add_row(Text(name), Text(state, style=STATES.get(state, "")), Text(seen), Text(remedy))
    _print(console, table)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], keys: int) -> None:
    """A table with its first `keys` columns to the left and the rest to the right."""
    from rich.text import Text

    console = _console()
    table = _table(console)
    for i, name in enumerate(header):
        table.add_column(Text(printable(name)), justify="left" if i < keys else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(t), style=_style(t) if i >= keys else "") for i, t in enumerate(row)))
    _print(console, table)


def _print(console: Console, table: Table) -> None:
    """Without blanks at the ends of lines."""
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _table(console: Console) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")


def _style(text: str) -> str:
    """A failed cell stands out; one that is not to be leaned on steps back."""
    if text in FAILED:
        return "red"
    return "dim" if text == "-" or any(mark in text for mark in MARKS) else ""


def _shape(row: Record, field: str) -> str:
    """A field of a row's shape in words; nothing where a network has none."""
    if row["c_in" if field == "channels" else "height" if field == "size" else field] is None:
        return ""
    if field == "channels":
        return channels_word(row["c_in"], row["c_out"])
    if field == "size":
        return str(row["height"]) if row["height"] == row["width"] else f"{row['height']}x{row['width']}"
    return str(row[field])
