"""An entry of predicted_devices.yaml or of a user's file of devices: its keys, their limits, its sources, `like`."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.blocks.costs import ITEM_BYTES
from bench.spec.config.block_entries import STRICT, key
from bench.spec.config.validation_errors import Loc, Place, first_mistake
from bench.spec.config.yaml_source import read_yaml
from bench.spec.errors import UserError, nearest

TABLE = "predicted_devices.yaml"
DtypeWord = Literal["fp64", "fp32", "fp32-tf32", "bf16", "fp16"]
NO_SOURCE_NEEDED = ("like", "title", "kind", "sources", "disagree")
DISPATCH_S, LAUNCH_S, FLOOR_S = 10e-6, 5e-6, 2e-6

# The lower limits are below any board that runs torch, as a Raspberry Pi Zero, and above a figure in GB, TFLOP/s or MHz.
_Bandwidth = Annotated[float, key("bytes/s, as 450e9 for 450 GB/s", ge=1e8, lt=1e18)]
_Peak = Annotated[float, Field(ge=1e8, lt=1e18)]
DTYPES_WORDS = f"; fp32 at least, of {', '.join(ITEM_BYTES)}"
_Time = Annotated[float, key("seconds, as 5e-6 for 5 us", ge=0, lt=2e-3)]
_UNITS = "Units are a GPU's multiprocessors (SMs), not its cores; of a CPU they are its cores"


class Entry(BaseModel):
    """A device as a file writes it."""

    model_config = STRICT

    like: Annotated[str, key("the name of one in the repository's table, as rtx5090")] = ""
    title: Annotated[str, key("the device's full name", min_length=1)]
    kind: Annotated[Literal["gpu", "cpu"], key("gpu or cpu")]
    units: Annotated[int, Field(ge=1, le=100_000, description=_UNITS)]
    clock_hz: Annotated[float, key("Hz, as 1.8e9 for 1,800 MHz", ge=1e7, lt=1e12)]
    peak: Annotated[dict[DtypeWord, _Peak], key(f"FLOP/s by dtype, as {{fp32: 20e12}} for 20 TFLOP/s{DTYPES_WORDS}")]
    memory_bytes_per_s: _Bandwidth
    memory_bytes: Annotated[float, key("bytes, as 12e9 for 12 GB", ge=1e8, lt=1e18)]
    cache_bytes: Annotated[float, key("bytes, as 4e6 for 4 MB", ge=1e5, lt=1e18)]
    cache_bytes_per_s: _Bandwidth = 0.0
    dispatch_s: _Time = DISPATCH_S
    launch_s: _Time = LAUNCH_S
    floor_s: _Time = FLOOR_S
    unit_bytes_per_s: Annotated[
        float, key("bytes/s that one core reads, as 14e9; of a GPU leave it out", ge=1e8, lt=1e18)
    ] = 0.0
    winograd: Annotated[bool, key("false if its library has no 3 x 3 by Winograd in one kernel")] = True
    sources: Annotated[dict[str, str], key("where each figure is from")]
    disagree: Annotated[dict[str, str], key("what other sources say")] = {}

    @model_validator(mode="after")
    def _has_sources(self) -> Entry:
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
            words = {"name": stray[0], "remedy": remedy}
            raise PydanticCustomError("stray", "{name} is no figure of this device", words)
        return self


class _Table(BaseModel):
    model_config = STRICT

    devices: Annotated[dict[str, Entry], key("devices: and the names of devices below it", min_length=1)]


@cache
def in_table() -> dict[str, Entry]:
    """The entries of the repository's own table, by name."""
    with as_file(files("bench.spec.devices") / TABLE) as path:
        return read_entries(path)[0]


def read_entries(path: Path) -> tuple[dict[str, Entry], Place]:
    """The entries of a file by name, and where they are. UserError, with the line, for a mistake in it."""
    data, place = read_yaml(path, "file of devices", "devices:", f"bench/spec/devices/{TABLE}")
    if isinstance(data.get("devices"), dict):
        whole = {name: _like(entry, place, ("devices", name)) for name, entry in data["devices"].items()}
        data = {**data, "devices": whole}
    try:
        return _Table.model_validate(data).devices, place
    except ValidationError as error:
        raise first_mistake(error, _Table, place) from None


def _like(entry: Any, place: Place, loc: Loc) -> Any:
    """An entry with `like`, completed by the figures and sources of that device of the table; others unchanged.

    UserError for a name that is not in the table, another kind, or a source of a figure that the entry does not give.
    """
    if not isinstance(entry, dict) or "like" not in entry:
        return entry
    name = entry["like"]
    if not isinstance(name, str) or name not in in_table():
        remedy = nearest(str(name), in_table(), "Known devices")
        raise UserError(place.of((*loc, "like")), "no such device", remedy, name)
    base = in_table()[name].model_dump(exclude_unset=True)
    if entry.get("kind", base["kind"]) != base["kind"]:
        raise UserError(place.of((*loc, "kind")), f"{name} is a {base['kind']}", "Remove kind", entry["kind"])
    whole = {**base, "title": f"{base['title']}, as {loc[-1]}", **entry}
    for word in ("sources", "disagree"):
        given = entry.get(word, {})
        if not isinstance(given, dict):
            continue
        stray = [key for key in given if key not in entry]
        if stray:
            remedy = nearest(stray[0], [key for key in entry if key not in NO_SOURCE_NEEDED], "Its figures")
            raise UserError(place.of((*loc, word, stray[0])), "this entry does not give that figure", remedy)
        whole[word] = {**{key: text for key, text in base.get(word, {}).items() if key not in entry}, **given}
    return whole
