"""The one exception that reaches a user (one line, exit status 2), and what to quote of any other."""

from __future__ import annotations

import reprlib


class UserError(Exception):
    """A mistake that its maker can mend: where it stands, what was found, the rule it breaks, what to do instead."""

    def __init__(self, place: str, rule: str, remedy: str, value: object = None) -> None:
        found = "" if value is None else f" {_short(value)}:"
        end = "" if remedy.endswith((".", "?", ")")) else "."
        line = " ".join(f"{place}:{found} {rule}. {remedy}{end}".split())
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))
        self.place, self.value, self.rule, self.remedy = place, value, rule, remedy


def first_line(error: BaseException, most: int = 300) -> str:
    """The first line of an error's text, at most so many letters of it; the error's name where it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def named(error: BaseException) -> str:
    """The same behind the error's name: `RuntimeError: out of luck`."""
    return f"{type(error).__name__}: {first_line(error, 200) if str(error).strip() else ''}"


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 60


def _short(value: object) -> str:
    try:
        return _REPR.repr(value)
    except ValueError:  # Python does not print a number of over 4,300 digits
        return "a very long number"
