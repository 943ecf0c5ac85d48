"""The axes of a sweep: the values that each may have, how they are written, and the defaults."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, ValidationError
from pydantic_core import PydanticCustomError

from bench.spec.blocks.blocks import BOUNDS
from bench.spec.config.block_entries import STRICT

MOST_THREADS = 1024
_PAIR = re.compile(r"^\s*([0-9]{1,9})\s*(?:->|x)\s*([0-9]{1,9})\s*$")
BLOCK_AXES = ("channels", "kernel", "stride", "padding", "dilation", "depth")
"""Axes that every network fixes for itself."""
SHAPE_AXES = ("channels", "kernel", "size", "batch", "stride", "padding", "dilation", "depth")
"""Axes that make up the shape; only these may walk in step."""


def _pair(value: object) -> object:
    """64 -> (64, 64); "32->64" and "56x48" -> (32, 64), (56, 48)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    match = _PAIR.match(value) if isinstance(value, str) else None
    return tuple(int(n) for n in match.groups()) if match else value


_SHAPE = re.compile(
    r"(?P<channels>\d{1,9}(?:->\d{1,9})?) +(?P<size>\d{1,9}(?:x\d{1,9})?) +k(?P<kernel>\d{1,9})"
    r"(?: +s(?P<stride>\d{1,9}))?(?: +d(?P<dilation>\d{1,9}))?(?: +(?P<padding>same|valid))?"
)
NOTATION = '"32->64 56x56 k3 s2": channels, size, kernel and, if not 1 and same, stride, dilation (d2), padding (valid)'


def read_shape(text: object) -> Axes:
    """The axes of a shape, as `32->64 56x56 k3 s2 d1 valid`, one value each. PydanticCustomError for anything else."""
    match = _SHAPE.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise PydanticCustomError("shape", "it is not a shape", {"remedy": f"Write {NOTATION}"})
    found = {name: value for name, value in match.groupdict().items() if value}
    try:
        return Axes.model_validate({name: int(value) if value.isdigit() else value for name, value in found.items()})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        remedy = Axes.model_fields[name].description
        raise PydanticCustomError("shape", "its {name} is out of bounds", {"name": name, "remedy": remedy}) from None


def _threads(value: object) -> int | Literal["all"]:
    if value == "all":
        return "all"
    if not isinstance(value, int) or isinstance(value, bool):
        raise PydanticCustomError("threads", "it is neither a whole number nor the word all")
    if not 1 <= value <= MOST_THREADS:
        raise PydanticCustomError("threads", "it is out of bounds")
    return value


def _within(name: str) -> Any:
    low, high = BOUNDS[name]
    return Field(ge=low, le=high)


def _axis(default: list[Any], remedy: str, **more: Any) -> Any:
    return Field(default=default, min_length=1, description=f"Write {remedy}", **more)


def _span(name: str) -> str:
    low, high = BOUNDS[name]
    return f"a whole number from {low} to {high}"


T = TypeVar("T")
_Values = Annotated[
    list[T], BeforeValidator(lambda value: value if isinstance(value, list) else [value])
]  # one value stands for a list of one
_Channels = Annotated[int, _within("channels")]
_Pixels = Annotated[int, _within("size")]
_Pair = BeforeValidator(_pair)


class Axes(BaseModel):
    """The axes of a sweep; the plan is their product. An axis not given keeps the values below."""

    model_config = STRICT

    channels: _Values[Annotated[tuple[_Channels, _Channels], _Pair]] = _axis(
        [(64, 64)], f"64, or 32->64 for 32 in and 64 out: {_span('channels')}"
    )
    kernel: _Values[Annotated[int, _within("kernel")]] = _axis([3], _span("kernel"))
    size: _Values[Annotated[tuple[_Pixels, _Pixels], _Pair]] = _axis(
        [(28, 28)], f"28, or 56x48 for height x width: {_span('size')}"
    )
    batch: _Values[Annotated[int, _within("batch")]] = _axis([1], _span("batch"))
    stride: _Values[Annotated[int, _within("stride")]] = _axis([1], _span("stride"))
    padding: _Values[Literal["same", "valid"]] = _axis(["same"], "same or valid")
    dilation: _Values[Annotated[int, _within("dilation")]] = _axis([1], _span("dilation"))
    depth: _Values[Annotated[int, _within("depth")]] = _axis([1], f"{_span('depth')}: how many copies are stacked")
    dtype: _Values[Literal["fp32", "fp32-tf32", "bf16", "fp16", "fp64"]] = _axis(
        ["fp32"], "fp32, fp32-tf32, bf16, fp16 or fp64"
    )
    layout: _Values[Literal["contiguous", "channels_last"]] = _axis(["contiguous"], "contiguous or channels_last")
    threads: _Values[Annotated[int | Literal["all"], PlainValidator(_threads)]] = _axis(
        ["all", 1], f"a whole number from 1 to {MOST_THREADS}, or all for the physical cores"
    )
    allocator: _Values[Literal["retain", "default"]] = _axis(["retain"], "retain or default")
    waiting: _Values[Literal["default", "active", "passive"]] = _axis(["default"], "default, active or passive")
    mode: _Values[Literal["eager", "compile", "graph"]] = _axis(
        ["eager"], "eager, compile or graph (CUDA graph replay)"
    )
    cudnn_benchmark: _Values[Literal["on", "off"]] = _axis(["on"], "on or off")
    pass_: _Values[Literal["inference", "training"]] = _axis(["inference"], "inference or training", alias="pass")
