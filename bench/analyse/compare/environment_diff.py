"""What differs between two runs besides their numbers, and whether one machine can have made both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.analyse.compare.row_matching import kind
from bench.analyse.runs.run_folder import Run
from bench.spec.format import digits

_PROCESSOR = (
    ("CPU model", "host.cpu_model"),
    ("physical cores", "host.physical_cores"),
    ("usable cores", "host.usable_cores"),
)
FACTS = (
    ("torch", "torch"),
    *_PROCESSOR,
    ("CPU quota", "host.cpu_quota"),
    ("memory", "host.memory_bytes"),
    ("system", "host.os"),
    ("system kernel", "host.kernel"),
    ("governor", "host.governor"),
    ("huge pages", "host.transparent_hugepages"),
    ("python", "python"),
    ("bench", "bench_version"),
    ("git", "git"),
    ("side", "side"),
)
"""Facts of environment.json: a name, and the path to the value."""
_ALWAYS = ("torch", "host.cpu_model", "host.physical_cores", "host.memory_bytes", "python", "bench_version")
"""Facts that every run should record: missing in one run is a difference too."""
_OF_DEVICES = (
    ("card", "properties.uuid"),
    ("CUDA of torch", "torch_cuda"),
    ("instructions", "cpu_capability"),
    ("threading", "threading"),
)
_OF_ROWS = ("device_name", "device", "threads", "allocator", "waiting", "experiment")
_MEMORY = 0.05  # the memory that one machine reports may differ by so much from boot to boot


@dataclass(frozen=True, slots=True)
class Difference:
    """A fact with a different value in each run."""

    name: str
    a: str
    b: str


def differences(a: Run, b: Run) -> Iterator[Difference]:
    """What differs in the runs' environments and settings, the likeliest cause of another time first."""
    for name, path in FACTS:
        one, two = (_word(_dig(run.environment, path), path) for run in (a, b))
        if one != two and (path in _ALWAYS or "unknown" not in (one, two)):
            yield Difference(name, one, two)
    for name, path in _OF_DEVICES:
        ours, theirs = _by_kind(a, path), _by_kind(b, path)
        for device in sorted(ours.keys() & theirs.keys()):
            one, two = ours[device], theirs[device]
            if one != two:
                yield Difference(f"{name} ({device})", *((_brief(one), _brief(two)) if name == "card" else (one, two)))
    for name in _OF_ROWS:
        one, two = (", ".join(map(str, run.pairs[name].dropna().unique())) for run in (a, b))
        if one != two:
            yield Difference(name.replace("_", " "), one, two)
    if a.plan is not None and b.plan is not None:
        timings = a.timing.model_dump(), b.timing.model_dump()
        for name in timings[0]:
            if timings[0][name] != timings[1][name] and name != "seed":
                one, two = ("none" if timing[name] is None else str(timing[name]) for timing in timings)
                yield Difference(f"timing {name}", one, two)


def other_machine(a: Run, b: Run, device: str) -> str | None:
    """Why two runs can't be of one machine, for a kind of device; None if they can.

    An accelerator is compared by its name, a CPU by its name, cores and memory. A fact that one run does not record is skipped,
    except the device's name.
    """
    names = [_names(run, device) for run in (a, b)]
    if not all(names):
        return "the device's name isn't recorded"
    if names[0] != names[1]:
        one, two = (", ".join(sorted(n)) for n in names)
        return f"{one} in A, {two} in B"
    if device != "cpu":
        return None
    for name, path in _PROCESSOR:
        one, two = (_dig(run.environment, path) for run in (a, b))
        if None not in (one, two) and one != two:
            return f"{name}: {one} in A, {two} in B"
    sizes = [_dig(run.environment, "host.memory_bytes") for run in (a, b)]
    if all(isinstance(v, int | float) and v > 0 for v in sizes) and max(sizes) > (1 + _MEMORY) * min(sizes):
        return "memory: {} in A, {} in B".format(*(_word(v, "host.memory_bytes") for v in sizes))
    return None


def other_card(a: Run, b: Run, device: str) -> bool:
    """Whether the runs used different cards of a kind of device, by their UUIDs; False if one does not record them."""
    one, two = (_by_kind(run, "properties.uuid").get(device) for run in (a, b))
    return one is not None and two is not None and one != two


def _dig(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _brief(uuids: str) -> str:
    return ", ".join(uuid.removeprefix("GPU-")[:8] for uuid in uuids.split(", "))


def _word(fact: Any, path: str = "") -> str:
    if path.endswith("_bytes") and isinstance(fact, int | float):
        return f"{digits(fact / (1 << 30), 3)} GiB"
    return "unknown" if fact is None else str(fact)


def _by_kind(run: Run, name: str) -> dict[str, str]:
    """A fact of the devices by their kind, where it is recorded; the different values of several devices with commas."""
    values: dict[str, list[str]] = {}
    for device, facts in (run.environment.get("devices") or {}).items():
        fact = _dig(facts, name)
        if fact is not None:
            values.setdefault(kind(device), []).append(str(fact))
    return {device: ", ".join(dict.fromkeys(facts)) for device, facts in values.items()}


def _names(run: Run, device: str) -> set[str]:
    rows = run.measurements[["device", "device_name"]].drop_duplicates()
    pairs = zip(rows["device"].tolist(), rows["device_name"].tolist(), strict=True)
    return {n for d, n in pairs if isinstance(d, str) and kind(d) == device and isinstance(n, str) and n}
