"""UserError, the exception that a user sees as one line (exit status 2), its usual parts, and how to quote others."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can correct: where it is, the value there, the rule it breaks, what to do instead."""

    def __init__(self, place: str, rule: str, remedy: str, value: object = None) -> None:
        quoted = "" if value is None else f" {_short(value)}:"
        end = "" if remedy.endswith((".", "?", ")")) else "."
        line = " ".join(f"{place}:{quoted} {rule}. {remedy}{end}".split())
        super().__init__(printable(line))
        self.place, self.value, self.rule, self.remedy = place, value, rule, remedy


def nearest(word: str, known: Iterable[str], otherwise: str, before: str = "") -> str:
    """A remedy for an unknown word: the most similar known one, or all of them after `otherwise`; `before` each one."""
    words = {w.casefold(): w for w in known}
    near = difflib.get_close_matches(word.casefold(), words, 1)
    if near:
        return f"Did you mean {before}{words[near[0]]}?"
    return f"{otherwise}: {', '.join(before + w for w in words.values())}."


def check_bounds(place: str, value: float, bounds: tuple[float, float], whole: bool = False) -> None:
    """UserError for a value outside of `bounds`, both included."""
    low, high = bounds
    if not low <= value <= high:
        rule = f"it is below {low:g}" if value < low else f"it is above {high:g}"
        raise UserError(place, rule, f"Give a {'whole ' if whole else ''}number from {low:g} to {high:g}.", value)


def printable(line: str) -> str:
    """The line with an escape for each character that moves a cursor, turns the direction or has no encoding."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error's text, printable, cut after `most` characters; the error's type where it has no text."""
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0][:most])


def typed_line(error: BaseException) -> str:
    """The error's type and its first line: `RuntimeError: out of luck`."""
    return f"{type(error).__name__}: {first_line(error, 200) if str(error).strip() else ''}"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


def _short(value: object) -> str:
    try:
        return _REPR.repr(value)
    except ValueError:  # Python does not print a number of over 4,300 digits
        return "a very long number"
