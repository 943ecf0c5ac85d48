"""`--set axis=v1,v2`: read the option, and write its values into a config's plain data."""

from __future__ import annotations

import re
from typing import Any

from bench.spec.config.axes import Axes
from bench.spec.config.timing import Timing
from bench.spec.config.validation_errors import keys_of
from bench.spec.errors import UserError, nearest

_ELSEWHERE = {
    "name": "Write name: at the top of a config file; bench run --out DIR names a folder",
    "description": "Write description: in a config file, at its top or in an experiment",
    "experiments": "Write them in a config file: --set changes axes in all of them",
    "blocks": "Write blocks: [standard, separable] in a config file, in each experiment",
    "together": "Write together: [kernel, channels] in a config file, in an experiment",
    "axes": "Name the axis itself: --set kernel=3,5",
    "timing": "Name one of its keys: --set precision=0.1",
    "device": "Write --device cpu,cuda:0",
}
"""Keys of a config that are neither an axis nor a timing key, and how to set them."""
Setting = tuple[str, str, list[object]]
"""The option's text, the name of an axis or timing key, and its values."""
_NUMBER = re.compile(r"^[-+]?[0-9]{1,18}$")


def parse(text: str) -> Setting:
    """`kernel=3,5` or `kernel=[3, 5]` as text, name and values. UserError for another key, or without values."""
    name, equals, values = (part.strip() for part in text.partition("="))
    place, example = f"--set {text}", f"Write --set {name}=value,value"
    known = [*keys_of(Axes), *Timing.model_fields]
    for key, remedy in _ELSEWHERE.items():
        if key.removesuffix("s") == name.removesuffix("s"):
            raise UserError(place, f"{name} is neither an axis nor a timing key", remedy)
    if name not in known:
        raise UserError(place, "no such axis or timing key", nearest(name.rpartition(".")[2], known, "Known"))
    if values.startswith("[") != values.endswith("]"):
        raise UserError(place, "a bracket is missing", f"{example}, or in quotes --set '{name}=[value, value]'")
    pieces = [piece.strip() for piece in values.removeprefix("[").removesuffix("]").split(",")]
    if not equals or not all(pieces):
        raise UserError(place, "a value is missing", example)
    return text, name, [_scalar(piece) for piece in pieces]


def _scalar(text: str) -> object:
    if _NUMBER.match(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def apply(data: dict[str, Any], settings: list[Setting]) -> None:
    """Write the settings into valid data, in place. UserError for a name that is set twice."""
    seen: set[str] = set()
    for text, name, values in settings:
        if name in seen:
            raise UserError(f"--set {text}", f"{name} is set twice", f"Write --set {name}=value,value once")
        seen.add(name)
        if name in Timing.model_fields:
            data.setdefault("timing", {})[name] = values[0] if len(values) == 1 else values
            continue
        for experiment in data["experiments"].values():
            experiment.setdefault("axes", {})[name] = list(values)
