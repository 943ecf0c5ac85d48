"""A block as a config file writes it: its name alone, or with how it is finished and what it is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.blocks import BLOCKS, OPTIONS, BlockChoice
from bench.spec.errors import UserError
from bench.spec.mistakes import nearest

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""Of every part of a config file: no key that isn't known, no value that would have to be converted."""


def named(value: object) -> object:
    """A name alone stands for a mapping that holds just that."""
    return {"name": value} if isinstance(value, str) else value


def _known_block(name: str) -> str:
    if name not in BLOCKS:
        raise PydanticCustomError("block", "no such block", {"remedy": nearest(name, BLOCKS, "Known blocks")})
    return name


def _option(name: str, meaning: str) -> object:
    low, high = OPTIONS[name]
    return Field(ge=low, le=high, description=f"Write a number from {low:g} to {high:g}: {meaning}")


class BlockEntry(BaseModel):
    """One block or network of an experiment."""

    model_config = STRICT

    name: Annotated[str, BeforeValidator(lambda v: _known_block(v) if isinstance(v, str) else v)] = Field(
        description=f"Write a block's name: {', '.join(BLOCKS)}"
    )
    norm: Annotated[bool, Field(description="Write true or false: batch norm after each convolution")] = True
    act: Annotated[bool, Field(description="Write true or false: ReLU after each convolution")] = True
    bias: Annotated[bool, Field(description="Write true or false: a bias in each convolution")] = False
    again: Annotated[bool, Field(description="Write true or false: the same block once more, to see the noise")] = False
    groups: Annotated[int | None, _option("groups", "the groups of a grouped convolution")] = None
    expansion: Annotated[int | None, _option("expansion", "by what an inverted bottleneck widens")] = None
    rate: Annotated[int | None, _option("rate", "how far apart a dilated convolution's taps are")] = None
    width: Annotated[float | None, _option("width", "a MobileNet's width multiplier")] = None

    @model_validator(mode="after")
    def _takes_its_options(self) -> BlockEntry:
        try:
            self.choice().options()
        except UserError as error:
            told = {"place": error.place, "rule": error.rule, "remedy": error.remedy}
            raise PydanticCustomError("option", "{place}: {rule}", told) from None
        return self

    def choice(self) -> BlockChoice:
        """The block as the spec knows it."""
        return BlockChoice(
            self.name, self.norm, self.act, self.bias, self.again, self.groups, self.expansion, self.rate, self.width
        )
