"""What two runs do not have in common besides their numbers, and whether one machine can have made both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.analyse.compare.row_matching import kind
from bench.analyse.runs.run_folder import Run
from bench.spec.format import digits

FACTS = (
    ("torch", "torch"),
    ("CPU model", "host.cpu_model"),
    ("physical cores", "host.physical_cores"),
    ("usable cores", "host.usable_cores"),
    ("CPU quota", "host.cpu_quota"),
    ("memory", "host.memory_bytes"),
    ("system", "host.os"),
    ("system kernel", "host.kernel"),
    ("governor", "host.governor"),
    ("huge pages", "host.transparent_hugepages"),
    ("python", "python"),
    ("bench", "bench_version"),
    ("git", "git"),
)
"""What environment.json may say differently of two runs: a name for it, and where it stands."""
_OF_DEVICES = (
    ("card", "properties.uuid"),
    ("CUDA of torch", "torch_cuda"),
    ("instructions", "cpu_capability"),
    ("threading", "threading"),
)
_OF_ROWS = ("device_name", "device", "threads", "allocator", "waiting", "experiment")
_MEMORY = 0.05  # what one machine's memory may read differently after it was started anew


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in both runs."""

    name: str
    a: str
    b: str


def differences(a: Run, b: Run) -> Iterator[Difference]:
    """What differs in the surroundings, from the nearest cause of another time to the farthest."""
    for name, path in FACTS:
        one, two = (_word(_dig(run.environment, path), path) for run in (a, b))
        if one != two and (path in _ALWAYS or "unknown" not in (one, two)):
            yield Difference(name, one, two)
    for name, path in _OF_DEVICES:
        told = [_by_kind(run, path) for run in (a, b)]
        for device in sorted(told[0].keys() & told[1].keys()):
            if told[0][device] != told[1][device]:
                yield Difference(
                    f"{name} ({device})", *(_brief(t[device]) if name == "card" else t[device] for t in told)
                )
    for name in _OF_ROWS:
        one, two = (", ".join(dict.fromkeys(str(v) for v in run.pairs[name].dropna())) for run in (a, b))
        if one != two:
            yield Difference(name.replace("_", " "), one, two)
    if a.plan is not None and b.plan is not None:
        mine, theirs = a.timing.model_dump(), b.timing.model_dump()
        for name in mine:
            if mine[name] != theirs[name] and name != "seed":
                one, two = ("none" if told[name] is None else str(told[name]) for told in (mine, theirs))
                yield Difference(f"timing {name}", one, two)


def other_machine(a: Run, b: Run, device: str) -> str | None:
    """Why two runs can't be of one machine, for a kind of device; None where nothing speaks against it.

    For an accelerator that is its own name; for a CPU the processor, its cores and the memory. A fact that a run does not tell speaks
    for nothing, but the device's name has to be told.
    """
    names = [_names(run, device) for run in (a, b)]
    if not all(names):
        return "the device's name isn't recorded"
    if names[0] != names[1]:
        return f"{_said(names[0])} in A, {_said(names[1])} in B"
    if device != "cpu":
        return None
    for name, path in FACTS[1:4]:
        one, two = (_dig(run.environment, path) for run in (a, b))
        if None not in (one, two) and one != two:
            return f"{name}: {one} in A, {two} in B"
    sizes = [_dig(run.environment, "host.memory_bytes") for run in (a, b)]
    if all(isinstance(v, int | float) and v > 0 for v in sizes) and max(sizes) > (1 + _MEMORY) * min(sizes):
        return "memory: {} in A, {} in B".format(*(_word(v, "host.memory_bytes") for v in sizes))
    return None


def other_card(a: Run, b: Run, device: str) -> bool:
    """Whether two runs tell of a kind of device that they had other cards, by their UUIDs."""
    one, two = (_by_kind(run, "properties.uuid").get(device) for run in (a, b))
    return one is not None and two is not None and one != two


_ALWAYS = ("torch", "host.cpu_model", "host.physical_cores", "host.memory_bytes", "python", "bench_version")
"""Facts that every run should record: where one run does not, that is a difference too."""


def _dig(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _brief(uuids: str) -> str:
    """The first eight letters of each UUID, by which people tell cards apart."""
    return ", ".join(uuid.removeprefix("GPU-")[:8] for uuid in uuids.split(", "))


def _word(fact: Any, path: str = "") -> str:
    if path.endswith("_bytes") and isinstance(fact, int | float):
        return f"{digits(fact / (1 << 30), 3)} GiB"
    return "unknown" if fact is None else str(fact)


def _by_kind(run: Run, name: str) -> dict[str, str]:
    """A fact by kind of device, of those that tell it; of several such devices what each tells."""
    told = run.environment.get("devices")
    found: dict[str, list[str]] = {}
    for device, facts in told.items() if isinstance(told, dict) else ():
        fact = _dig(facts, name)
        if fact is not None:
            found.setdefault(kind(device), []).append(str(fact))
    return {device: ", ".join(dict.fromkeys(facts)) for device, facts in found.items()}


def _names(run: Run, device: str) -> set[str]:
    rows = run.measurements
    found = zip(rows["device"].tolist(), rows["device_name"].tolist(), strict=True)
    return {n for d, n in found if isinstance(d, str) and kind(d) == device and isinstance(n, str) and n}


def _said(names: set[str]) -> str:
    return ", ".join(sorted(names))
