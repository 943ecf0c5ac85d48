"""From pydantic's errors to one line: file and line, path of the key, value, rule, remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bench.spec.errors import UserError

Loc = tuple[int | str, ...]

RULES = {
    "bool_type": "it is neither true nor false",
    "dict_type": "it is not a mapping of keys",
    "extra_forbidden": "no such key",
    "finite_number": "it is not a finite number",
    "float_type": "it is not a number",
    "greater_than": "it is not above {gt}",
    "greater_than_equal": "it is below {ge}",
    "int_type": "it is not a whole number",
    "less_than": "it is not below {lt}",
    "less_than_equal": "it is above {le}",
    "list_type": "it is not a list",
    "literal_error": "it is not one of the words known here",
    "missing": "it is missing",
    "model_type": "it is not a mapping of keys",
    "string_pattern_mismatch": "it cannot be a name",
    "string_type": "it is not text",
    "too_short": "it is empty",
    "tuple_type": "it is neither a whole number nor two of them",
}
"""pydantic's kinds of error in words; {ge} and the like are the bound."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where data come from: a name for an error's head, and the line of every key where they were read from a file."""

    name: str
    lines: dict[Loc, int] = field(default_factory=dict)

    def of(self, loc: Loc) -> str:
        """`configs/x.yaml:12: experiments.a.axes.kernel[0]`, as far as the file itself goes that deep."""
        while self.lines and loc and loc not in self.lines:
            loc = loc[:-1]
        line = self.lines.get(loc)
        return ": ".join(part for part in (f"{self.name}:{line}" if line else self.name, self.path(loc)) if part)

    @staticmethod
    def path(loc: Loc) -> str:
        """`experiments.a.axes.kernel[0]`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def nearest(word: str, known: Iterable[str], otherwise: str, before: str = "") -> str:
    """A remedy for a word that is not known: the nearest known one, whatever its case, or all of them after `otherwise`; `before` stands before each."""
    words = {w.casefold(): w for w in known}
    near = difflib.get_close_matches(word.casefold(), words, 1)
    return (
        f"Did you mean {before}{words[near[0]]}?"
        if near
        else f"{otherwise}: {', '.join(before + w for w in words.values())}."
    )


def first_mistake(error: ValidationError, root: type[BaseModel], place: Place) -> UserError:
    """The first of pydantic's errors as one line that ends in how many more there are."""
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")  # `block:` explains why `blocks:` is missing
    kind, loc, context = first["type"], tuple(p for p in first["loc"] if p != "[key]"), first.get("ctx", {})
    context = {k: _bound(v) if isinstance(v, float) else v for k, v in context.items()}
    model, found = _field_at(root, loc)
    rule = RULES[kind].format(**context) if kind in RULES else first["msg"]
    remedy = context.get("remedy") or (found and found.description) or "See configs/default.yaml"
    value = first["input"]
    where = place.of(loc)
    if kind == "extra_forbidden":
        remedy = nearest(str(loc[-1]), [f.alias or n for n, f in model.model_fields.items()], "Known keys")
        value = None
    elif kind == "missing":
        where = f"{place.of(loc[:-1])}{'.' if loc[:-1] else ': '}{loc[-1]}"
        value = None
    elif kind == "model_type" and found is not None:
        inner = _model_in(found.annotation) or model
        remedy = (
            f"Write its keys below it, one a line: {', '.join(f.alias or n for n, f in inner.model_fields.items())}"
        )
    elif isinstance(value, dict) and context:
        value = None  # the rule names what stands out in the mapping
    others = len({e["loc"] for e in errors}) - 1
    end = "" if remedy.endswith(("?", ".")) else "."
    more = f" ({others} more {'mistake' if others == 1 else 'mistakes'} after it.)" if others else ""
    return UserError(where, rule, f"{remedy}{end}{more}", value)


def _bound(value: float) -> str:
    """A bound as people write it: 3600, 0.5, 1e8, 1e-5."""
    short = f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:g}"
    return short.replace("e+", "e").replace("e0", "e").replace("e-0", "e-")


def _field_at(model: type[BaseModel], loc: Loc) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that a path leads into and the field that it names there."""
    found: FieldInfo | None = None
    rest = list(loc)
    while rest:
        part = rest.pop(0)
        found = next((f for n, f in model.model_fields.items() if (f.alias or n) == part), None)
        if found is None:
            return model, None
        inner = _model_in(found.annotation)
        if inner is None or not rest:
            return model, found
        if get_origin(found.annotation) in (dict, list):
            rest.pop(0)
            if not rest:
                return model, found
        model = inner
    return model, found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation holds: X of list[X], dict[str, X] and Annotated[X, ...]."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) is not None), None)
