"""Devices as a file writes them: what each figure must be, and which figures no device can have together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.blocks.costs import ITEM_BYTES
from bench.spec.config.block_entries import STRICT
from bench.spec.config.validation_errors import Loc, Place, first_mistake
from bench.spec.config.yaml_source import read_yaml
from bench.spec.errors import UserError, nearest

TABLE = "predicted_devices.yaml"
DtypeWord = Literal["fp64", "fp32", "fp32-tf32", "bf16", "fp16"]
NO_SOURCE_NEEDED = ("like", "title", "kind", "sources", "disagree")
DISPATCH_S, LAUNCH_S, FLOOR_S = 10e-6, 5e-6, 2e-6
A_CLOCK = {"gpu": (6, 4096), "cpu": (0.25, 1024)}
"""FLOP in fp32 a clock and unit that a device may have: a unit of a VideoCore VI does 8, a multiprocessor or compute unit up to 256. A
CUDA core does 2, a stream processor of RDNA 3 does 4. A CPU's core without vectors does 1 or 2, with all its share of AMX 120."""
CACHE_OVER_MEMORY = (1, 100)
CACHE_A_CLOCK = {"gpu": 16, "cpu": 12}
"""Bytes a clock and unit of a cache whose rate is not told, as data sheets do not tell it. Known GPUs have 15 to 40, half of them below
19 and those of Ada and Blackwell 15 or 16; known CPUs have 10 to 19, half of them below 12."""
NOT_ESTIMATED = 2.5  # times that estimate, a memory that the cache's rate has to be told beside: known ones have 1.15 at most, H20 1.9
OVER_FP32 = (1 / 128, 128)  # a dtype's peak: fp64 has 1/64 on a GeForce, bf16 32 times on a Xeon with AMX

# Least figures are below any board that runs torch, as a Raspberry Pi Zero, and above the same figure in GB, TFLOP/s or MHz.
_Bandwidth = Annotated[float, Field(ge=1e8, lt=1e18, description="Write bytes/s, as 450e9 for 450 GB/s")]
_Peak = Annotated[float, Field(ge=1e8, lt=1e18)]
_DTYPES = f"; fp32 at least, of {', '.join(ITEM_BYTES)}"
_Time = Annotated[float, Field(ge=0, lt=2e-3, description="Write seconds, as 5e-6 for 5 us")]


class Entry(BaseModel):
    """A device as the file writes it."""

    model_config = STRICT

    like: Annotated[str, Field(description="Write the name of one in the repository's table, as rtx5090")] = ""
    title: Annotated[str, Field(min_length=1, description="Write the device's full name")]
    kind: Annotated[Literal["gpu", "cpu"], Field(description="Write gpu or cpu")]
    units: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Units are a GPU's multiprocessors (SMs), not its cores; of a CPU they are its cores",
        ),
    ]
    clock_hz: Annotated[float, Field(ge=1e7, lt=1e12, description="Write Hz, as 1.8e9 for 1,800 MHz")]
    peak: Annotated[
        dict[DtypeWord, _Peak],
        Field(description=f"Write FLOP/s by dtype, as {{fp32: 20e12}} for 20 TFLOP/s{_DTYPES}"),
    ]
    memory_bytes_per_s: _Bandwidth
    memory_bytes: Annotated[float, Field(ge=1e8, lt=1e18, description="Write bytes, as 12e9 for 12 GB")]
    cache_bytes: Annotated[float, Field(ge=1e5, lt=1e18, description="Write bytes, as 4e6 for 4 MB")]
    cache_bytes_per_s: _Bandwidth = 0.0
    dispatch_s: _Time = DISPATCH_S
    launch_s: _Time = LAUNCH_S
    floor_s: _Time = FLOOR_S
    unit_bytes_per_s: Annotated[
        float, Field(ge=1e8, lt=1e18, description="Write bytes/s that one core reads, as 14e9; of a GPU leave it out")
    ] = 0.0
    winograd: Annotated[
        bool, Field(description="Write false if its library has no 3 x 3 by Winograd in one kernel")
    ] = True
    sources: Annotated[dict[str, str], Field(description="Write where each figure is from")]
    disagree: Annotated[dict[str, str], Field(description="Write what other sources say")] = {}

    @model_validator(mode="after")
    def _told(self) -> Entry:
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

    devices: Annotated[
        dict[str, Entry], Field(min_length=1, description="Write devices: and the names of devices below it")
    ]


@cache
def in_table() -> dict[str, Entry]:
    """The entries of the repository's own table, by name."""
    with as_file(files("bench.spec.devices") / TABLE) as path:
        return _read(path)[0]


def in_file(path: Path) -> dict[str, Entry]:
    """The entries of a file, by name. UserError, with the line, for a mistake or for figures that no device has together."""
    found, place = _read(path)
    return {name: _possible(entry, place, ("devices", name)) for name, entry in found.items()}


def _read(path: Path) -> tuple[dict[str, Entry], Place]:
    data, place = read_yaml(path, "file of devices", "devices:", f"bench/spec/devices/{TABLE}")
    if isinstance(data.get("devices"), dict):
        likes = {name: _over(own, place, ("devices", name)) for name, own in data["devices"].items()}
        data = {**data, "devices": likes}
    try:
        return _Table.model_validate(data).devices, place
    except ValidationError as error:
        raise first_mistake(error, _Table, place) from None


def _over(own: Any, place: Place, loc: Loc) -> Any:
    """An entry's own keys over those of the table's device that it is `like`; `peak` is replaced as a whole. Others as they are.

    Each figure keeps the source of where it is from. UserError for a name that the table has not, another kind, or a source
    of a figure that is not the entry's own.
    """
    if not isinstance(own, dict) or "like" not in own:
        return own
    name = own["like"]
    if not isinstance(name, str) or name not in in_table():
        raise UserError(
            place.of((*loc, "like")), "no such device", nearest(str(name), in_table(), "Known devices"), name
        )
    found = in_table()[name].model_dump(exclude_unset=True)
    if own.get("kind", found["kind"]) != found["kind"]:
        raise UserError(place.of((*loc, "kind")), f"{name} is a {found['kind']}", "Take kind out", own["kind"])
    whole = {**found, "title": f"{found['title']}, as {loc[-1]}", **own}
    for word in ("sources", "disagree"):
        mine = own.get(word, {})
        if not isinstance(mine, dict):
            continue
        stray = [key for key in mine if key not in own]
        if stray:
            remedy = nearest(stray[0], [key for key in own if key not in NO_SOURCE_NEEDED], "Figures of its own")
            raise UserError(place.of((*loc, word, stray[0])), "it is no figure of this entry's own", remedy)
        whole[word] = {**{key: told for key, told in found.get(word, {}).items() if key not in own}, **mine}
    return whole


def _with_cache(entry: Entry, place: Place, loc: Loc) -> Entry:
    """With an estimate of the cache's rate, at least the memory's, where none is told. UserError for a memory far above it."""
    if entry.cache_bytes_per_s:
        return entry
    told = f"{CACHE_A_CLOCK[entry.kind]} bytes a clock and unit"
    estimate = CACHE_A_CLOCK[entry.kind] * entry.units * entry.clock_hz
    over = entry.memory_bytes_per_s / estimate
    if over > NOT_ESTIMATED:
        rule = f"it is {_few(over)} times what its cache is taken to have, {told}"
        remedy = f"{_remedy('memory_bytes_per_s')}, or tell cache_bytes_per_s, with its source"
        raise UserError(place.of((*loc, "memory_bytes_per_s")), rule, remedy, entry.memory_bytes_per_s)
    source = f"estimate, {told}" if over <= 1 else f"estimate, as its memory ({told} would be less)"
    rate = max(estimate, entry.memory_bytes_per_s)
    return entry.model_copy(
        update={"cache_bytes_per_s": rate, "sources": {**entry.sources, "cache_bytes_per_s": source}}
    )


_FIGURES: dict[str, Callable[[Entry], float]] = {
    "units": lambda entry: entry.units,
    "clock_hz": lambda entry: entry.clock_hz,
    "peak": lambda entry: entry.peak["fp32"],
    "FLOP a clock and unit in fp32": lambda entry: entry.peak["fp32"] / entry.units / entry.clock_hz,
    "memory_bytes_per_s": lambda entry: entry.memory_bytes_per_s / entry.units / entry.clock_hz,
    "cache_bytes_per_s": lambda entry: entry.cache_bytes_per_s / entry.units / entry.clock_hz,
    "times the memory's rate": lambda entry: entry.cache_bytes_per_s / entry.memory_bytes_per_s,
}
"""By a key or by what a message calls it; rates a clock and unit, as then devices of all sizes are alike."""


def _possible(entry: Entry, place: Place, loc: Loc) -> Entry:
    """The entry with its cache's rate. UserError for what no device does in a clock, or a cache slower than memory or far faster."""
    what = "FLOP a clock and unit in fp32"
    found, (low, high) = _FIGURES[what](entry), A_CLOCK[entry.kind]
    if not low <= found <= high:
        cores = entry.kind == "gpu" and 1 <= found < low
        suspects = ["units"] if cores else _farthest(entry, ["peak", "units", "clock_hz"])
        raise _impossible(entry, place, loc, suspects, f"that makes {_few(found)} {what}", what)
    entry, what = _with_cache(entry, place, loc), "times the memory's rate"
    found, (low, high) = _FIGURES[what](entry), CACHE_OVER_MEMORY
    if not low <= found <= high:
        suspects = _farthest(entry, ["cache_bytes_per_s", "memory_bytes_per_s"])
        raise _impossible(entry, place, loc, suspects, f"the cache's rate is {_few(found)} {what}", what)
    for dtype, peak in entry.peak.items():
        if not OVER_FP32[0] <= peak / entry.peak["fp32"] <= OVER_FP32[1]:
            rule = f"it is {_few(peak / entry.peak['fp32'])} times the peak of fp32"
            raise UserError(place.of((*loc, "peak", dtype)), rule, _remedy("peak"), peak)
    if entry.cache_bytes >= entry.memory_bytes:
        rule = "its cache is not smaller than its memory"
        raise UserError(place.of((*loc, "cache_bytes")), rule, _remedy("cache_bytes"), entry.cache_bytes)
    return entry


def _impossible(entry: Entry, place: Place, loc: Loc, suspects: list[str], rule: str, what: str) -> UserError:
    """Names the first suspect that the file itself has, its value, and what known devices of the kind have."""
    paths: dict[str, Loc] = {key: (*loc, key, "fp32") if key == "peak" else (*loc, key) for key in suspects}
    key = next((key for key in suspects if paths[key] in place.lines), suspects[0])
    value = entry.peak["fp32"] if key == "peak" else getattr(entry, key)
    low, high = _known(entry.kind, what)
    rule = f"{rule}, where known {entry.kind.upper()}s have {_few(low)} to {_few(high)}"
    return UserError(place.of(paths[key]), rule, _remedy(key), value)


def _remedy(key: str) -> str:
    """How the figure is written, as after any other mistake in it."""
    return str(Entry.model_fields[key].description).removesuffix(_DTYPES)


def _farthest(entry: Entry, keys: Iterable[str]) -> list[str]:
    """The keys, first the one whose figure is most times outside what known devices of the kind have."""

    def outside(key: str) -> float:
        found, (low, high) = _FIGURES[key](entry), _known(entry.kind, key)
        return max(low / found, found / high)

    return sorted(keys, key=outside, reverse=True)


def _known(kind: str, what: str) -> tuple[float, float]:
    """The least and the most in the repository's table."""
    found = [_FIGURES[what](entry) for entry in in_table().values() if entry.kind == kind]
    return min(found), max(found)


def _few(number: float) -> str:
    """Two digits, and all of those before the point: 0.26, 2.0, 128."""
    return f"{number:,.0f}" if number >= 10 else f"{number:#.2g}"
