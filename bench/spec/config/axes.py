"""The axes of a sweep: the values that each may have, how they are written, and the defaults."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError

from bench.spec.blocks.blocks import BOUNDS
from bench.spec.config.block_entries import STRICT

MOST_THREADS = 1024
_PAIR = re.compile(r"^\s*([0-9]{1,9})\s*(?:->|x)\s*([0-9]{1,9})\s*$")
BLOCK_AXES = ("channels", "kernel", "stride", "padding", "dilation", "depth")
"""Axes that every network fixes for itself."""
SHAPE_AXES = ("channels", "kernel", "size", "batch", "stride", "padding", "dilation", "depth")
"""Axes that make up the shape; only these may walk in step."""


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _pair(value: object) -> object:
    """64 -> (64, 64); "32->64" and "56x48" -> (32, 64), (56, 48)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    match = _PAIR.match(value) if isinstance(value, str) else None
    return tuple(int(n) for n in match.groups()) if match else value


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


def _axis(remedy: str, alias: str | None = None) -> Any:
    return Field(min_length=1, description=remedy, alias=alias)


def _span(name: str) -> str:
    low, high = BOUNDS[name]
    return f"a whole number from {low} to {high}"


_LISTED = BeforeValidator(_listed)  # one value stands for a list of one
_Channels = Annotated[int, _within("channels")]
_Pixels = Annotated[int, _within("size")]
_Pair = BeforeValidator(_pair)


class Axes(BaseModel):
    """The axes of a sweep; the plan is their product. An axis not given keeps the values below."""

    model_config = STRICT

    channels: Annotated[
        list[Annotated[tuple[_Channels, _Channels], _Pair]],
        _LISTED,
        _axis(f"Write 64, or 32->64 for 32 in and 64 out: {_span('channels')}"),
    ] = [(64, 64)]
    kernel: Annotated[list[Annotated[int, _within("kernel")]], _LISTED, _axis(f"Write {_span('kernel')}")] = [3]
    size: Annotated[
        list[Annotated[tuple[_Pixels, _Pixels], _Pair]],
        _LISTED,
        _axis(f"Write 28, or 56x48 for height x width: {_span('size')}"),
    ] = [(28, 28)]
    batch: Annotated[list[Annotated[int, _within("batch")]], _LISTED, _axis(f"Write {_span('batch')}")] = [1]
    stride: Annotated[list[Annotated[int, _within("stride")]], _LISTED, _axis(f"Write {_span('stride')}")] = [1]
    padding: Annotated[list[Literal["same", "valid"]], _LISTED, _axis("Write same or valid")] = ["same"]
    dilation: Annotated[list[Annotated[int, _within("dilation")]], _LISTED, _axis(f"Write {_span('dilation')}")] = [1]
    depth: Annotated[
        list[Annotated[int, _within("depth")]],
        _LISTED,
        _axis(f"Write {_span('depth')}: how many copies are stacked"),
    ] = [1]
    dtype: Annotated[
        list[Literal["fp32", "fp32-tf32", "bf16", "fp16", "fp64"]],
        _LISTED,
        _axis("Write fp32, fp32-tf32, bf16, fp16 or fp64"),
    ] = ["fp32"]
    layout: Annotated[
        list[Literal["contiguous", "channels_last"]], _LISTED, _axis("Write contiguous or channels_last")
    ] = ["contiguous"]
    threads: Annotated[
        list[Annotated[int | Literal["all"], PlainValidator(_threads)]],
        _LISTED,
        _axis(f"Write a whole number from 1 to {MOST_THREADS}, or all for the physical cores"),
    ] = ["all", 1]
    allocator: Annotated[list[Literal["retain", "default"]], _LISTED, _axis("Write retain or default")] = ["retain"]
    waiting: Annotated[
        list[Literal["default", "active", "passive"]], _LISTED, _axis("Write default, active or passive")
    ] = ["default"]
    mode: Annotated[
        list[Literal["eager", "compile", "graph"]], _LISTED, _axis("Write eager, compile or graph (CUDA graph replay)")
    ] = ["eager"]
    cudnn_benchmark: Annotated[list[Literal["on", "off"]], _LISTED, _axis("Write on or off")] = ["on"]
    pass_: Annotated[list[Literal["inference", "training"]], _LISTED, _axis("Write inference or training", "pass")] = [
        "inference"
    ]
