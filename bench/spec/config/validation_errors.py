"""Mistakes in a YAML file as one line (file, line, key, value, rule, remedy), made of pydantic's errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bench.spec.errors import UserError, nearest
from bench.spec.format import plural

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
"""pydantic's types of error in words; {ge} and the like are the bound."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where data come from: a file's name or an option, and the line of every key in a file."""

    name: str
    lines: dict[Loc, int] = field(default_factory=dict)

    def of(self, loc: Loc) -> str:
        """`configs/x.yaml:12: experiments.a.axes.kernel[0]`, or the nearest key above it that the file has."""
        while self.lines and loc and loc not in self.lines:
            loc = loc[:-1]
        line = self.lines.get(loc)
        return ": ".join(part for part in (f"{self.name}:{line}" if line else self.name, self.path(loc)) if part)

    @staticmethod
    def path(loc: Loc) -> str:
        """`experiments.a.axes.kernel[0]`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")


def first_mistake(error: ValidationError, root: type[BaseModel], place: Place) -> UserError:
    """The first of pydantic's errors as one line, with the number of further ones at its end."""
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")  # `block:` explains why `blocks:` is missing
    kind, loc, context = first["type"], tuple(p for p in first["loc"] if p != "[key]"), first.get("ctx", {})
    context = {k: _bound(v) if isinstance(v, float) else v for k, v in context.items()}
    model, key = _field_at(root, loc)
    rule = RULES[kind].format(**context) if kind in RULES else first["msg"]
    remedy = context.get("remedy") or (key and key.description) or "See configs/default.yaml"
    value = first["input"]
    where = place.of(loc)
    if kind == "extra_forbidden":
        remedy, value = nearest(str(loc[-1]), keys_of(model), "Known keys"), None
    elif kind == "missing":
        where, value = f"{place.of(loc[:-1])}{'.' if loc[:-1] else ': '}{loc[-1]}", None
    elif kind == "model_type" and key is not None:
        remedy = f"Write its keys below it, one a line: {', '.join(keys_of(_model_in(key.annotation) or model))}"
    elif isinstance(value, dict) and context:
        value = None  # the rule names the wrong part of the mapping
    others = len({e["loc"] for e in errors}) - 1
    end = "" if remedy.endswith(("?", ".")) else "."
    more = f" ({plural(others, 'more mistake')} after it.)" if others else ""
    return UserError(where, rule, f"{remedy}{end}{more}", value)


def keys_of(model: type[BaseModel]) -> dict[str, str]:
    """The keys of a model as a file writes them, with the fields' names."""
    return {field.alias or name: name for name, field in model.model_fields.items()}


def _bound(value: float) -> str:
    """3600, 0.5, 1e8, 1e-5: without the zeros of an exponent."""
    short = f"{value:.0f}" if value.is_integer() and abs(value) < 1e6 else f"{value:g}"
    return short.replace("e+", "e").replace("e0", "e").replace("e-0", "e-")


def _field_at(model: type[BaseModel], loc: Loc) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model that a path leads into and the field that it names there."""
    key: FieldInfo | None = None
    rest = list(loc)
    while rest:
        name = keys_of(model).get(str(rest.pop(0)))
        if name is None:
            return model, None
        key = model.model_fields[name]
        inner = _model_in(key.annotation)
        if inner is None or not rest:
            return model, key
        if get_origin(key.annotation) in (dict, list):
            rest.pop(0)
            if not rest:
                return model, key
        model = inner
    return model, key


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model within list[X], dict[str, X] or Annotated[X, ...]."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((model for arg in get_args(annotation) if (model := _model_in(arg)) is not None), None)
