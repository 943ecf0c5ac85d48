"""Refuse figures of a user's device that no real device has together, and estimate the rate of its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bench.spec.config.validation_errors import Loc, Place
from bench.spec.devices.device_entries import DTYPES_WORDS, Entry, in_table, read_entries
from bench.spec.errors import UserError

A_CLOCK = {"gpu": (6, 4096), "cpu": (0.25, 1024)}
"""FLOP in fp32 a clock and unit that a device may have: a unit of a VideoCore VI does 8, a multiprocessor or compute unit up to 256. A
CUDA core does 2, a stream processor of RDNA 3 does 4. A CPU's core without vectors does 1 or 2, with all its share of AMX 120."""
CACHE_OVER_MEMORY = (1, 100)
CACHE_A_CLOCK = {"gpu": 16, "cpu": 12}
"""Bytes a clock and unit of a cache whose rate is not told, as data sheets do not tell it. Known GPUs have 15 to 40, half of them below
19 and those of Ada and Blackwell 15 or 16; known CPUs have 10 to 19, half of them below 12."""
NOT_ESTIMATED = 2.5  # times that estimate, a memory that the cache's rate has to be told beside: known ones have 1.15 at most, H20 1.9
OVER_FP32 = (1 / 128, 128)  # a dtype's peak: fp64 has 1/64 on a GeForce, bf16 32 times on a Xeon with AMX


def in_file(path: Path) -> dict[str, Entry]:
    """The entries of a file, by name. UserError, with the line, for a mistake or for figures that no device has together."""
    found, place = read_entries(path)
    return {name: _possible(entry, place, ("devices", name)) for name, entry in found.items()}


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
    return str(Entry.model_fields[key].description).removesuffix(DTYPES_WORDS)


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
