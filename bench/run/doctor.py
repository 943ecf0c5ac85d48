"""Is this machine fit to measure? Its devices, its torch and everything in `checks`, with what to do about each.

torch is asked through a worker, which is what a run would start: what it can't use, a run can't either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.run import predict
from bench.run.checks import Check, local, worst
from bench.run.environment import cpu_model
from bench.run.launch import probe
from bench.run.machine import Machine, look
from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.errors import UserError
from bench.spec.plan.plan import Surroundings

OLDEST_TORCH = (2, 13)  # tested; pyproject.toml says the same
ACCELERATORS = ("cuda", "xpu", "mps")
START_S = 120.0

Facts = Mapping[str, Any]
Ask = Callable[[str], Facts]  # a device's name -> what a worker there tells, or a model; UserError where it can't


def examine(devices: Sequence[str], results: Path) -> list[Check]:
    """Every check of this machine, about a second and a worker's start; `devices` are those that are wanted.

    The machine is watched before a worker is started, so that load is what others make.
    """
    machine = look(results)

    def ask(device: str) -> Facts:
        if is_predicted(device):
            return predict.facts(device)
        return probe(Surroundings(device, machine.usable, "retain", "default"), Timing(), START_S)

    return [*asked(devices, machine, ask), *local(machine)]


def to_dict(checks: Sequence[Check]) -> dict[str, Any]:
    """Plain data: `checks`, each with name, state, seen and remedy, and the `worst` state."""
    rows = [{"name": c.name, "state": c.state, "seen": c.seen, "remedy": c.remedy} for c in checks]
    return {"checks": rows, "worst": worst(checks)}


def asked(devices: Sequence[str], machine: Machine, ask: Ask) -> list[Check]:
    """What workers tell: the devices, other programs on the cards, torch. A card's worker starts only if it is wanted."""
    try:
        facts = ask("cpu")
    except UserError as error:
        return [Check("cpu", "red", error.rule, error.remedy)]
    found = [Check("cpu", "green", f"{cpu_model()}, {machine.cores} physical cores")]
    for kind in ACCELERATORS:
        wanted = [d for d in devices if d.partition(":")[0] == kind]
        told = str(facts.get("devices", {}).get(kind, ""))
        if told.startswith("present: ") and wanted:
            found += [check for name in wanted for check in wanted_device(name, ask)]
        else:
            found.append(device(kind, told, wanted=bool(wanted)))
    found += [predicted(name, ask) for name in devices if is_predicted(name)]
    found += [check for name, reading in facts.get("cards", {}).items() for check in card(name, reading)]
    return [*found, torch_build(facts)]


def device(kind: str, told: str, wanted: bool) -> Check:
    """A kind of device from what the worker told of it: a missing one is red only where it is wanted."""
    if told.startswith("present: "):
        return Check(kind, "green", told.removeprefix("present: "))
    rule, _, remedy = told.partition(". ")
    return Check(kind, "red" if wanted else "grey", rule or "not told by the worker", remedy)


def wanted_device(name: str, ask: Ask) -> list[Check]:
    """A device that a run is to measure, by a worker of its own: can it be used, and does what a run takes for granted hold?"""
    try:
        facts = ask(name)
    except UserError as error:
        return [Check(name, "red", error.rule, error.remedy)]
    found = Check(name, "green", str(facts.get("device_name") or "ready"))
    warned = [Check(name, "amber", line, "read its rows with this in mind") for line in facts.get("warnings", ())]
    return [found, *warned]


def predicted(name: str, ask: Ask) -> Check:
    """A device that a run is to predict: which model speaks of it. Nothing of this machine matters to it."""
    try:
        facts = ask(name)
    except UserError as error:
        return Check(in_words(name), "red", error.rule, error.remedy)
    said = facts["prediction"]
    off = ", ".join(f"{what}s within a factor of {math.exp(said[what]):.2g}" for what in ("time", "speedup"))
    seen = f"{facts['device_name']}: nothing is measured; 95 % of {off} on data that the model was not fitted to"
    return Check(in_words(name), "grey", seen)


def card(name: str, reading: Facts) -> list[Check]:
    """What NVML tells of a card: other programs on it, and what slows it down right now."""
    title = f"{name} now"
    if reading.get("why"):
        missing = "ModuleNotFound" in str(reading["why"])
        remedy = "pip install nvidia-ml-py" if missing else "see nvidia-smi"
        return [Check(title, "grey", f"no readings of clocks and other programs: {reading['why']}", remedy)]
    programs, slowed = reading.get("programs"), reading.get("throttle_reasons") or []
    found = []
    if programs:
        found.append(Check(title, "amber", f"{programs} other program{'s' if programs > 1 else ''} on it", "end them (nvidia-smi lists them), or take another card"))  # fmt: skip
    if slowed:
        found.append(Check(title, "amber", f"slowed down: {', '.join(slowed)}", "let it cool, or see nvidia-smi -q -d PERFORMANCE"))  # fmt: skip
    if not found:
        unknown = programs is None
        warm = f", {reading['temperature_c']} °C" if reading.get("temperature_c") is not None else ""
        seen = "other programs not told" if unknown else "no other program"
        found.append(Check(title, "grey" if unknown else "green", seen + warm))
    return found


def torch_build(facts: Facts) -> Check:
    """torch's release, what it was built for and what runs its threads."""
    version = str(facts.get("torch") or "")
    onednn, capability, threads = facts.get("onednn"), facts.get("cpu_capability"), facts.get("threading")
    words = [version or "release not told", f"CUDA {facts['torch_cuda']}" if facts.get("torch_cuda") else "no CUDA"]
    words += [str(capability)] if capability else []
    words += ["without oneDNN" if onednn is False else "oneDNN"] if onednn is not None else []
    words += [str(threads)] if threads else []
    release = re.match(r"(\d+)\.(\d+)", version)
    amiss = []
    if release and (int(release[1]), int(release[2])) < OLDEST_TORCH:
        amiss.append(f"the oldest tested release is {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]}: update torch")
    if onednn is False:
        amiss.append("convolutions run on slow stand-ins: install a build with oneDNN")
    if capability in ("DEFAULT", "NO AVX"):
        amiss.append(
            "no vector instructions are used: unset ATEN_CPU_CAPABILITY, or install a build for this processor"
        )
    if threads and threads != "OpenMP":
        amiss.append("OMP_* does not steer its threads: take axis waiting for default alone")
    return Check("torch", "amber" if amiss else "green", ", ".join(words), "; ".join(amiss))
