"""An entry of predicted_devices.yaml or of a user's file of devices: its keys, limits and sources, and what no device has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.blocks.costs import ITEM_BYTES
from bench.spec.config.block_entries import STRICT, key
from bench.spec.config.yaml_file import Loc, Place, first_mistake, read_yaml
from bench.spec.errors import UserError, nearest

TABLE = "predicted_devices.yaml"
DtypeWord = Literal["fp64", "fp32", "fp32-tf32", "bf16", "fp16"]
NO_SOURCE_NEEDED = ("like", "title", "kind", "sources", "disagree")
DISPATCH_S, LAUNCH_S, FLOOR_S = 10e-6, 5e-6, 2e-6
A_CLOCK = {"gpu": (6, 4096), "cpu": (0.25, 1024)}
"""Limits of fp32 FLOP per clock and unit. A unit of a VideoCore VI does 8, a multiprocessor or compute unit up to 256
(a CUDA core 2, a stream processor of RDNA 3 4). A CPU's core without vectors does 1 or 2, with its share of AMX 120."""
CACHE_OVER_MEMORY = (1, 100)  # limits of the cache's rate / the memory's rate
CACHE_A_CLOCK = {"gpu": 16, "cpu": 12}
"""Bytes per clock and unit that a cache without a given rate is assumed to have. Known GPUs have 15 to 40, half of them
below 19, Ada and Blackwell 15 or 16. Known CPUs have 10 to 19, half of them below 12."""
NOT_ESTIMATED = 2.5
"""Memory's rate / that estimate, from which the cache's rate must be given. Known devices have 1.15, an H20 1.9."""
OVER_FP32 = (1 / 128, 128)  # limits of a dtype's peak / fp32's: fp64 has 1/64 on a GeForce, bf16 32 on a Xeon with AMX

# The lower limits are below any board that runs torch, as a Raspberry Pi Zero, and above a figure in GB, TFLOP/s or MHz.
_Bandwidth = Annotated[float, key("bytes/s, as 450e9 for 450 GB/s", ge=1e8, lt=1e18)]
_Peak = Annotated[float, Field(ge=1e8, lt=1e18)]
DTYPES_WORDS = f"; fp32 at least, of {', '.join(ITEM_BYTES)}"
_Time = Annotated[float, key("seconds, as 5e-6 for 5 us", ge=0, lt=2e-3)]
_UNITS = "Units are a GPU's multiprocessors (SMs), not its cores; of a CPU they are its cores"


class Entry(BaseModel):
    """A device as a file writes it."""

    model_config = STRICT

    like: str = key("the name of one in the repository's table, as rtx5090", default="")
    title: str = key("the device's full name", min_length=1)
    kind: Literal["gpu", "cpu"] = key("gpu or cpu")
    units: Annotated[int, Field(ge=1, le=100_000, description=_UNITS)]
    clock_hz: float = key("Hz, as 1.8e9 for 1,800 MHz", ge=1e7, lt=1e12)
    peak: dict[DtypeWord, _Peak] = key(f"FLOP/s by dtype, as {{fp32: 20e12}} for 20 TFLOP/s{DTYPES_WORDS}")
    memory_bytes_per_s: _Bandwidth
    memory_bytes: float = key("bytes, as 12e9 for 12 GB", ge=1e8, lt=1e18)
    cache_bytes: float = key("bytes, as 4e6 for 4 MB", ge=1e5, lt=1e18)
    cache_bytes_per_s: _Bandwidth = 0.0
    dispatch_s: _Time = DISPATCH_S
    launch_s: _Time = LAUNCH_S
    floor_s: _Time = FLOOR_S
    unit_bytes_per_s: float = key(
        "bytes/s that one core reads, as 14e9; of a GPU leave it out", default=0.0, ge=1e8, lt=1e18
    )
    winograd: bool = key("false if its library has no 3 x 3 by Winograd in one kernel", default=True)
    sources: dict[str, str] = key("where each figure is from")
    disagree: dict[str, str] = key("what other sources say", default={})

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

    devices: dict[str, Entry] = key("devices: and the names of devices below it", min_length=1)


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


def in_file(path: Path) -> dict[str, Entry]:
    """The entries of a file, by name. UserError, with the line, for a mistake or for implausible figures."""
    entries, place = read_entries(path)
    return {name: _plausible(entry, place, ("devices", name)) for name, entry in entries.items()}


def _with_cache(entry: Entry, place: Place, loc: Loc) -> Entry:
    """The entry with its cache's rate, estimated if missing, at least memory's. UserError for a far faster memory."""
    if entry.cache_bytes_per_s:
        return entry
    assumed = f"{CACHE_A_CLOCK[entry.kind]} bytes a clock and unit"
    estimate = CACHE_A_CLOCK[entry.kind] * entry.units * entry.clock_hz
    over = entry.memory_bytes_per_s / estimate
    if over > NOT_ESTIMATED:
        rule = f"it is {_few(over)} times the estimated rate of its cache ({assumed})"
        remedy = f"{_remedy('memory_bytes_per_s')}, or add cache_bytes_per_s with its source"
        raise UserError(place.of((*loc, "memory_bytes_per_s")), rule, remedy, entry.memory_bytes_per_s)
    source = f"estimate, {assumed}" if over <= 1 else f"estimate, as its memory ({assumed} would be less)"
    rate = max(estimate, entry.memory_bytes_per_s)
    sources = {**entry.sources, "cache_bytes_per_s": source}
    return entry.model_copy(update={"cache_bytes_per_s": rate, "sources": sources})


_FIGURES: dict[str, Callable[[Entry], float]] = {
    "units": lambda entry: entry.units,
    "clock_hz": lambda entry: entry.clock_hz,
    "peak": lambda entry: entry.peak["fp32"],
    "FLOP a clock and unit in fp32": lambda entry: entry.peak["fp32"] / entry.units / entry.clock_hz,
    "memory_bytes_per_s": lambda entry: entry.memory_bytes_per_s / entry.units / entry.clock_hz,
    "cache_bytes_per_s": lambda entry: entry.cache_bytes_per_s / entry.units / entry.clock_hz,
    "times the memory's rate": lambda entry: entry.cache_bytes_per_s / entry.memory_bytes_per_s,
}
"""By key, or by its name in a message. Rates are per clock and unit, so that large and small devices are comparable."""


def _plausible(entry: Entry, place: Place, loc: Loc) -> Entry:
    """The entry with its cache's rate. UserError for figures outside of the limits above."""
    what = "FLOP a clock and unit in fp32"
    value, (low, high) = _FIGURES[what](entry), A_CLOCK[entry.kind]
    if not low <= value <= high:
        cores = entry.kind == "gpu" and 1 <= value < low
        suspects = ["units"] if cores else _farthest(entry, ["peak", "units", "clock_hz"])
        raise _impossible(entry, place, loc, suspects, f"that makes {_few(value)} {what}", what)
    entry, what = _with_cache(entry, place, loc), "times the memory's rate"
    value, (low, high) = _FIGURES[what](entry), CACHE_OVER_MEMORY
    if not low <= value <= high:
        suspects = _farthest(entry, ["cache_bytes_per_s", "memory_bytes_per_s"])
        raise _impossible(entry, place, loc, suspects, f"the cache's rate is {_few(value)} {what}", what)
    for dtype, peak in entry.peak.items():
        if not OVER_FP32[0] <= peak / entry.peak["fp32"] <= OVER_FP32[1]:
            rule = f"it is {_few(peak / entry.peak['fp32'])} times the peak of fp32"
            raise UserError(place.of((*loc, "peak", dtype)), rule, _remedy("peak"), peak)
    if entry.cache_bytes >= entry.memory_bytes:
        rule = "its cache is not smaller than its memory"
        raise UserError(place.of((*loc, "cache_bytes")), rule, _remedy("cache_bytes"), entry.cache_bytes)
    return entry


def _impossible(entry: Entry, place: Place, loc: Loc, suspects: list[str], rule: str, what: str) -> UserError:
    """An error at the first suspect that the file itself gives, with its value and the range of known devices."""
    paths: dict[str, Loc] = {key: (*loc, key, "fp32") if key == "peak" else (*loc, key) for key in suspects}
    key = next((key for key in suspects if paths[key] in place.lines), suspects[0])
    value = entry.peak["fp32"] if key == "peak" else getattr(entry, key)
    low, high = _known(entry.kind, what)
    rule = f"{rule}, where known {entry.kind.upper()}s have {_few(low)} to {_few(high)}"
    return UserError(place.of(paths[key]), rule, _remedy(key), value)


def _remedy(key: str) -> str:
    """How to write the figure, as after any other mistake in it."""
    return str(Entry.model_fields[key].description).removesuffix(DTYPES_WORDS)


def _farthest(entry: Entry, keys: Iterable[str]) -> list[str]:
    """The keys, first the one whose figure is farthest outside of the range of known devices."""

    def outside(key: str) -> float:
        value, (low, high) = _FIGURES[key](entry), _known(entry.kind, key)
        return max(low / value, value / high)

    return sorted(keys, key=outside, reverse=True)


def _known(kind: str, what: str) -> tuple[float, float]:
    values = [_FIGURES[what](entry) for entry in in_table().values() if entry.kind == kind]
    return min(values), max(values)


def _few(number: float) -> str:
    """Two significant digits, or all digits before the point: 0.26, 2.0, 128."""
    return f"{number:,.0f}" if number >= 10 else f"{number:#.2g}"
