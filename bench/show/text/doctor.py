"""The doctor's findings as a table: a line for each thing looked at, with what to do where it is not green."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

Finding = tuple[str, str, str, str]  # name, state, what was seen, what to do
COLOURS = {"green": "green", "amber": "yellow", "red": "bold red", "grey": "dim"}
WIDE = 400  # where no terminal folds lines, each finding is one line


def show(findings: Sequence[Finding], file: TextIO | None = None) -> None:
    """Print the table; plain text where `file` (standard output) is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = file or sys.stdout
    seen_by_a_person = out.isatty()
    console = Console(file=out) if seen_by_a_person else Console(file=out, width=WIDE, no_color=True)
    table = Table(box=SIMPLE_HEAD if seen_by_a_person else None, pad_edge=False, header_style="bold")
    for name in ("check", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("seen", "what to do"):
        table.add_column(name, overflow="fold")
    for name, state, seen, remedy in findings:
        colour = COLOURS.get(state, "")
        table.add_row(Text(name), Text(state, style=colour), Text(seen), Text(remedy))
    with console.capture() as laid:
        console.print(table)
    out.write(laid.get() if seen_by_a_person else "".join(f"{line.rstrip()}\n" for line in laid.get().splitlines()))
