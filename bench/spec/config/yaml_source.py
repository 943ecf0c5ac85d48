"""Read a YAML file as plain data with the line of every key, by the core rules of YAML 1.2.

PyYAML by itself follows 1.1, which reads `on` as true, `010` as 8, `1:30` as 90 and `1e-3` as text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import yaml

from bench.spec.config.validation_errors import Loc, Place
from bench.spec.errors import UserError

_TAG = "tag:yaml.org,2002:"


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
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UserError(str(path), f"the {kind} can't be read: {why}", f"Name a YAML file, as {example}.") from None
    lines: dict[Loc, int] = {}
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
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
