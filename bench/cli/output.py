"""What a verb prints, and the call that it was."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer


def say(text: str) -> None:
    """Print it at once."""
    with readers_may_leave():
        print(text, flush=True)


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """A reader of our output that has left (`bench plan ... | head`) is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it leaves
        raise typer.Exit(141) from None  # what a shell gives for SIGPIPE


def as_typed(verb: str, folders: Sequence[Path], options: Mapping[str, object]) -> str:
    """A call as it would be typed, with the options that were given."""
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["bench", verb, *map(str, folders), *given])
