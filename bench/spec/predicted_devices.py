"""The devices whose times can be predicted: a table of figures with their sources, which users extend by their own file.

`sim:h100` names a device of predicted_devices.yaml, `sim:FILE.yaml#name` one of a user's file with the same keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.costs import ITEM_BYTES
from bench.spec.entries import STRICT
from bench.spec.errors import UserError
from bench.spec.mistakes import first_mistake, nearest
from bench.spec.source import read

PREFIX = "sim:"
TABLE = "predicted_devices.yaml"
DtypeWord = Literal["fp64", "fp32", "fp32-tf32", "bf16", "fp16"]
NO_SOURCE_NEEDED = ("title", "kind", "sources", "disagree")
DISPATCH_S, LAUNCH_S, FLOOR_S = 10e-6, 5e-6, 2e-6

_Rate = Annotated[float, Field(gt=0, lt=1e18, description="Write a number above 0 in SI units, as 936e9")]
_Time = Annotated[float, Field(ge=0, lt=1, description="Write seconds, as 5e-6")]


@dataclass(frozen=True, slots=True)
class PredictedDevice:
    """What the model knows of a device. SI units; `peak` in FLOP/s by dtype, dense and with fp32 accumulation.

    `units` are multiprocessors or cores. `dispatch_s`: host, for one operator; `launch_s`: host, for one launch;
    `floor_s`: the least that a kernel takes. `unit_bytes_per_s`: what one core of a CPU reads from memory, 0 of a GPU.
    """

    name: str
    title: str
    kind: Literal["gpu", "cpu"]
    units: int
    clock_hz: float
    peak: dict[str, float] = field(hash=False)
    memory_bytes_per_s: float
    memory_bytes: float
    cache_bytes: float
    cache_bytes_per_s: float
    dispatch_s: float = DISPATCH_S
    launch_s: float = LAUNCH_S
    floor_s: float = FLOOR_S
    unit_bytes_per_s: float = 0.0
    sources: dict[str, str] = field(default_factory=dict, hash=False)
    disagree: dict[str, str] = field(default_factory=dict, hash=False)

    def on(self, threads: int) -> PredictedDevice:
        """The same CPU with so many threads, at most one a core: peaks and caches by their share. A GPU as it is."""
        used = min(max(1, threads), self.units)
        if self.kind == "gpu" or used == self.units:
            return self
        share = used / self.units
        return replace(
            self,
            units=used,
            peak={dtype: rate * share for dtype, rate in self.peak.items()},
            memory_bytes_per_s=min(self.memory_bytes_per_s, (self.unit_bytes_per_s or self.memory_bytes_per_s) * used),
            cache_bytes_per_s=self.cache_bytes_per_s * share,
        )

    def tensor(self, dtype: str) -> bool:
        """Whether a dense convolution of this dtype runs on units for matrices, which are faster than the fp32 ones."""
        return self.kind == "gpu" and self.peak.get(dtype, 0.0) > 1.5 * self.peak["fp32"]

    def computes(self, dtype: str) -> bool:
        """Whether there is a peak for the dtype. TF32 is fp32 where there is none, as torch ignores the switch there."""
        return dtype in self.peak or dtype == "fp32-tf32"

    def rate(self, dtype: str) -> float:
        """Peak FLOP/s. UserError for a dtype that has none."""
        if not self.computes(dtype):
            raise UserError(f"{PREFIX}{self.name}", f"no peak is known for {dtype}", f"Take {', '.join(self.peak)}")
        return self.peak.get(dtype, self.peak["fp32"])


class _Entry(BaseModel):
    """A device as the file writes it."""

    model_config = STRICT

    title: Annotated[str, Field(min_length=1, description="Write the device's full name")]
    kind: Annotated[Literal["gpu", "cpu"], Field(description="Write gpu or cpu")]
    units: Annotated[int, Field(ge=1, le=100_000, description="Write how many multiprocessors or cores it has")]
    clock_hz: _Rate
    peak: Annotated[
        dict[DtypeWord, _Rate], Field(description=f"Write FLOP/s by dtype, fp32 at least: {', '.join(ITEM_BYTES)}")
    ]
    memory_bytes_per_s: _Rate
    memory_bytes: _Rate
    cache_bytes: _Rate
    cache_bytes_per_s: _Rate
    dispatch_s: _Time = DISPATCH_S
    launch_s: _Time = LAUNCH_S
    floor_s: _Time = FLOOR_S
    unit_bytes_per_s: Annotated[float, Field(ge=0, lt=1e18, description="Write bytes/s that one core reads")] = 0.0
    sources: Annotated[dict[str, str], Field(description="Write where each figure is from")]
    disagree: Annotated[dict[str, str], Field(description="Write what other sources say")] = {}

    @model_validator(mode="after")
    def _told(self) -> _Entry:
        if "fp32" not in self.peak:
            raise PydanticCustomError("fp32", "peak has no fp32", {"remedy": "Write peak: {fp32: 1e13}"})
        figures = [name for name in type(self).model_fields if name in self.model_fields_set - {*NO_SOURCE_NEEDED}]
        bare = [name for name in figures if not self.sources.get(name)]
        if bare:
            remedy = f"Write it under sources, or the word estimate: {', '.join(bare)}"
            raise PydanticCustomError("source", "a figure has no source", {"remedy": remedy})
        stray = [name for name in (*self.sources, *self.disagree) if name not in figures]
        if stray:
            remedy = nearest(stray[0], figures, "Figures here")
            raise PydanticCustomError(
                "stray", "{name} is no figure of this device", {"name": stray[0], "remedy": remedy}
            )
        return self


class _Table(BaseModel):
    model_config = STRICT

    devices: Annotated[dict[str, _Entry], Field(description="Write devices: and the names of devices below it")]


@cache
def known() -> dict[str, PredictedDevice]:
    """The devices of the repository's own table, by name."""
    with as_file(files("bench.spec") / TABLE) as path:
        return load(path)


def load(path: Path) -> dict[str, PredictedDevice]:
    """The devices of a file, by name. UserError, with the line, for a mistake in it."""
    data, place = read(path)
    try:
        table = _Table.model_validate(data)
    except ValidationError as error:
        raise first_mistake(error, _Table, place) from None
    return {
        name: PredictedDevice(name, **{**entry.model_dump(), "peak": {str(k): v for k, v in entry.peak.items()}})
        for name, entry in table.devices.items()
    }


def named(text: str) -> PredictedDevice:
    """The device that `sim:NAME` or `sim:FILE.yaml#NAME` names, with or without `sim:`. UserError where there is none."""
    word = text.removeprefix(PREFIX)
    file, hash_, name = word.rpartition("#")
    devices = load(Path(file)) if hash_ else known()
    found = devices.get(name)
    if found is None:
        raise UserError(f"{PREFIX}{word}", "no such device", nearest(name, devices, "Known devices"))
    return found
