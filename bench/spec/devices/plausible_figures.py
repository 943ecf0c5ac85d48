"""Refuse figures of a user's device that no real device has together, and estimate the rate of its cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bench.spec.config.validation_errors import Loc, Place
from bench.spec.devices.device_entries import DTYPES_WORDS, Entry, in_table, read_entries
from bench.spec.errors import UserError

A_CLOCK = {"gpu": (6, 4096), "cpu": (0.25, 1024)}
"""Limits of fp32 FLOP per clock and unit. A unit of a VideoCore VI does 8, a multiprocessor or compute unit up to 256
(a CUDA core 2, a stream processor of RDNA 3 4). A CPU's core without vectors does 1 or 2, with its share of AMX 120."""
CACHE_OVER_MEMORY = (1, 100)  # limits of the cache's rate / the memory's rate
CACHE_A_CLOCK = {"gpu": 16, "cpu": 12}
"""Bytes per clock and unit that a cache without a given rate is assumed to have. Known GPUs have 15 to 40, half of them
below 19, Ada and Blackwell 15 or 16. Known CPUs have 10 to 19, half of them below 12."""
NOT_ESTIMATED = (
    2.5  # memory's rate / that estimate from which the cache's rate must be given: known devices have 1.15, H20 1.9
)
OVER_FP32 = (1 / 128, 128)  # limits of a dtype's peak / fp32's: fp64 has 1/64 on a GeForce, bf16 32 on a Xeon with AMX


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
    """The least and the most in the repository's table."""
    values = [_FIGURES[what](entry) for entry in in_table().values() if entry.kind == kind]
    return min(values), max(values)


def _few(number: float) -> str:
    """Two significant digits, or all digits before the point: 0.26, 2.0, 128."""
    return f"{number:,.0f}" if number >= 10 else f"{number:#.2g}"
