"""The table of `bench doctor`: a line for each check, with what to do where it is not green."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from bench.show.text.terminal import WIDTH

Finding = tuple[str, str, str, str]  # check, state, what was seen, what to do
COLOURS = {"green": "green", "amber": "yellow", "red": "bold red", "grey": "dim"}


def print_findings(findings: Sequence[Finding], file: TextIO | None = None) -> None:
    """Print the table; in plain text, a finding a line, where `file` (standard output) is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = file or sys.stdout
    interactive = out.isatty()
    console = Console(file=out) if interactive else Console(file=out, width=WIDTH, no_color=True)
    table = Table(box=SIMPLE_HEAD if interactive else None, pad_edge=False, header_style="bold")
    for name in ("check", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("seen", "what to do"):
        table.add_column(name, overflow="fold")
    for name, state, seen, remedy in findings:
        table.add_row(Text(name), Text(state, style=COLOURS.get(state, "")), Text(seen), Text(remedy))
    with console.capture() as captured:
        console.print(table)
    text = captured.get()
    out.write(text if interactive else "".join(f"{line.rstrip()}\n" for line in text.splitlines()))
