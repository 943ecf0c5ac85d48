"""Print a verb's output at once, as text or JSON, also into a closed pipe; and write a call as it would be typed."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from bench.spec.errors import printable

_STAND_INS = {"±": "+-", "→": "->", "÷": "/", "×": "x", "≠": "!=", "…": "...", "–": "-", "“": '"', "”": '"'}


def speak_any_encoding() -> None:
    """Let a terminal that lacks a character print another one in its place: `+-` for ±, a question mark for the rest."""
    codecs.register_error("stand-ins", _stand_in)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (to the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="stand-ins")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_STAND_INS.get(c, "?") for c in error.object[error.start : error.end]), error.end


def say(text: str) -> None:
    """Print a text without delay."""
    with readers_may_leave():
        print("\n".join(map(printable, text.split("\n"))), flush=True)


def say_json(data: object) -> None:
    """Print plain data as JSON; ValueError for nan, which JSON has not."""
    say(json.dumps(data, indent=2, allow_nan=False))


def say_either(json_: bool, data: Callable[[], object], show: Callable[[], object]) -> None:
    """Print `data` as JSON if that was asked for; otherwise let `show` print it in words."""
    if json_:
        say_json(data())
    else:
        with readers_may_leave():
            show()


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Exit quietly, with status 141, if the reader of our output has left (`bench plan ... | head`, a closed terminal).

    OSError, which names standard output, where it can't be written, as on a full disk.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its exit
        if error.errno in (errno.EPIPE, errno.EIO):
            raise typer.Exit(141) from None  # as a shell reports SIGPIPE
        error.filename = "standard output"
        raise


def as_typed(folders: Sequence[Path], options: Mapping[str, object]) -> str:
    """A call of bench compare as it would be typed, with the options that are not None."""
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["bench", "compare", *map(str, folders), *given])
