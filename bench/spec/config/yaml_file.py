"""Read a YAML file as plain data with the line of every key, and report a mistake in it in one line, by pydantic's errors.

Values follow the core rules of YAML 1.2. PyYAML by itself follows 1.1, which reads `on` as true, `010` as 8, `1:30` as 90
and `1e-3` as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bench.spec.errors import UserError, nearest
from bench.spec.files import content_of
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
    "json_invalid": "this is not JSON: {error}",
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
    kind, loc, context = first["type"], tuple(p for p in first["loc"] if not str(p).endswith("]")), first.get("ctx", {})
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


_TAG = "tag:yaml.org,2002:"
MOST_BYTES = 1 << 20
MOST_ENTRIES = 10_000  # of a mapping, with those that it merges
MOST_NESTED = 100  # lists and mappings in each other: PyYAML's composer, in C, overflows the stack where there are many


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way


for _kind, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def read_yaml(
    path: Path, kind: str = "config", keys: str = "name: and experiments:", example: str = "configs/default.yaml"
) -> tuple[dict[str, Any], Place]:
    """A file's mapping, and the lines of its keys. UserError where it can't be read or a key hides another's value.

    `kind`, `keys` and `example` name such a file, its keys and an example of it in the remedy.
    """
    try:
        text = content_of(path, MOST_BYTES, kind).decode()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(str(path), f"the {kind} can't be read: {why}", f"Name a YAML file, as {example}.") from None
    lines: dict[Loc, int] = {}
    try:
        _refuse_nested(text, str(path))
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if _entries(node, {}) > MOST_ENTRIES:
                raise UserError(
                    str(path), f"merge keys (<<) make over {MOST_ENTRIES:,} entries of it", "Write the keys out."
                )
            _walk(node, (), Place(str(path), lines), set())
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        rule = f"this is not YAML: {error.problem or error.context}"
        raise UserError(f"{path}{line}", rule, "Correct the line.") from None
    except yaml.YAMLError as error:
        raise UserError(str(path), f"this is not YAML: {error}", "Correct the file.") from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        # PyYAML's constructors raise these for `!!int x`, a number of 5,000 digits, lists 1,000 deep.
        rule, remedy = "a value in it can't be read", "Write plain words and numbers, without tags."
        raise UserError(str(path), rule, remedy) from None
    if not isinstance(data, dict):
        rule = "it is empty" if data is None else "it is not a mapping of keys"
        raise UserError(str(path), rule, f"A {kind} has {keys}, as {example}.", value=data)
    return cast("dict[str, Any]", data), Place(str(path), lines)


def _refuse_nested(text: str, name: str) -> None:
    """UserError for more than MOST_NESTED lists and mappings in each other, before anything is made of them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_NESTED:
            line = f":{event.start_mark.line + 1}" if event.start_mark else ""
            rule = f"over {MOST_NESTED} lists or mappings are nested in each other"
            raise UserError(name + line, rule, "Write it flatter.")


def _entries(node: yaml.Node | None, known: dict[int, int]) -> int:
    """The largest number of entries that merging gives a mapping in here, each node counted once."""
    if node is None or id(node) in known:
        return known.get(id(node), 0)
    known[id(node)] = 0
    if isinstance(node, yaml.SequenceNode):
        parts = [_entries(item, known) for item in node.value]
        known[id(node)] = sum(parts)
    elif isinstance(node, yaml.MappingNode):
        merged = [_entries(value, known) if key.tag == _TAG + "merge" else 1 for key, value in node.value]
        inner = [_entries(value, known) for key, value in node.value if key.tag != _TAG + "merge"]
        known[id(node)] = max([sum(merged), *inner])
    return known[id(node)]


def _walk(node: yaml.Node | None, loc: Loc, place: Place, seen: set[int]) -> None:
    """Note the line of every key and item. UserError for a key that is not text, or that occurs twice in a mapping."""
    if node is None or id(node) in seen:  # an alias leads back to a node that was walked
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, item in enumerate(node.value):
            place.lines[(*loc, i)] = item.start_mark.line + 1
            _walk(item, (*loc, i), place, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    keys: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.tag == _TAG + "merge":
            _walk(value, loc, place, seen)
            continue
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TAG + "str":
            written = key.value if isinstance(key, yaml.ScalarNode) else None
            at = ": ".join(part for part in (f"{place.name}:{line}", place.path(loc)) if part)
            raise UserError(at, "a key must be a word", "Put it in quotes if it is meant as one.", value=written)
        if key.value in keys:
            at = f"{place.name}:{line}: {place.path((*loc, key.value))}"
            raise UserError(at, "the key is there twice, so one would hide the other", "Remove one.", value=key.value)
        keys.add(key.value)
        place.lines[(*loc, key.value)] = line
        _walk(value, (*loc, key.value), place, seen)
