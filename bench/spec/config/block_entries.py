"""A block in a config file: its name alone, or a mapping with norm, act, bias and the block's options."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.blocks.blocks import BLOCKS, FACTORY_PATTERN, OPTIONS, BlockChoice
from bench.spec.errors import UserError, nearest

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""For every part of a config file: no unknown key, no value of another type."""


def key(remedy: str, **limits: Any) -> Any:
    """A key of a config file with its limits; `remedy`: what to write instead of a mistake."""
    return Field(description=f"Write {remedy}", **limits)


IMPORTED_NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$"  # of a user's block: it becomes part of an arm's name


def as_mapping(value: object) -> object:
    """`separable` as {name: separable}; an imported block without a name gets that of its factory."""
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and isinstance(value.get("import"), str) and "name" not in value:
        return {**value, "name": value["import"].rpartition(":")[2].rpartition(".")[2]}
    return value


def _option(name: str, meaning: str) -> Any:
    low, high = OPTIONS[name]
    return key(f"a number from {low:g} to {high:g}: {meaning}", default=None, ge=low, le=high)


class BlockEntry(BaseModel):
    """One block or network of an experiment: one of BLOCKS, or a user's by its import path."""

    model_config = STRICT

    import_: str | None = key("package.module:name, in quotes", default=None, alias="import", pattern=FACTORY_PATTERN)
    network: bool = key("true or false: whether what is imported is a network", default=False)
    name: str = key(f"a block's name: {', '.join(BLOCKS)}")
    norm: bool = key("true or false: batch norm after each convolution", default=True)
    act: bool = key("true or false: ReLU after each convolution", default=True)
    bias: bool = key("true or false: a bias in each convolution", default=False)
    again: bool = key("true or false: the same block once more, to see the noise", default=False)
    groups: int | None = _option("groups", "the groups of a grouped convolution")
    expansion: int | None = _option("expansion", "by what an inverted bottleneck widens")
    rate: int | None = _option("rate", "how far apart a dilated convolution's taps are")
    width: float | None = _option("width", "a MobileNet's width multiplier")
    given: str = key("words in quotes, which the imported factory gets as given", default="")

    @field_validator("name")
    @classmethod
    def _known_or_imported(cls, name: str, info: ValidationInfo) -> str:
        if info.data.get("import_") is None and name not in BLOCKS:
            raise PydanticCustomError("block", "no such block", {"remedy": nearest(name, BLOCKS, "Known blocks")})
        if info.data.get("import_") is not None and (name in BLOCKS or not re.match(IMPORTED_NAME_PATTERN, name)):
            remedy = f"Write another name, of at most 64 letters, digits, _ . - and none of {', '.join(BLOCKS)}"
            raise PydanticCustomError("imported", "an imported block can't have this name", {"remedy": remedy})
        return name

    @model_validator(mode="after")
    def _has_its_options(self) -> BlockEntry:
        given = ", ".join(n for n in (*OPTIONS, "norm", "act", "bias") if n in self.model_fields_set)
        if self.import_ is not None and given:
            rule = "an imported block has no such keys, as its factory decides them"
            raise PydanticCustomError("imported", rule, {"remedy": f"Remove {given}"})
        for name in ("network", "given"):
            if self.import_ is None and getattr(self, name):
                rule = f"only an imported block has the key {name}"
                raise PydanticCustomError("imported", rule, {"remedy": f"Remove {name}"})
        try:
            self.choice().options()
        except UserError as error:
            words = {"place": error.place, "rule": error.rule, "remedy": error.remedy}
            raise PydanticCustomError("option", "{place}: {rule}", words) from None
        return self

    def choice(self) -> BlockChoice:
        alike = self.model_dump(exclude={"import_", "network"})
        return BlockChoice(**alike, factory=self.import_, whole=self.network)
