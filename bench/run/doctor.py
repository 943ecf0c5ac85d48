"""`bench doctor`: check the devices and torch through a worker, as in a run, and the machine by checks.py."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.run import predict
from bench.run.checks import Check, local, worst
from bench.run.environment import cpu_model, watched
from bench.run.launch import DOCTOR_TIMEOUT_S, probe
from bench.run.machine import Machine
from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.errors import UserError
from bench.spec.format import plural
from bench.spec.plan.plan import Surroundings

OLDEST_TESTED_TORCH = (2, 6)  # as in pyproject.toml; measure/device/device_list.py refuses what lacks a feature
ACCELERATORS = ("cuda", "xpu", "mps")
PRESENT = "present: "  # how measure/device/device_list.py begins the name of a device that can be used

Facts = Mapping[str, Any]
Ask = Callable[[str], Facts]  # a device's name -> the facts from a worker there, or from the model; UserError otherwise


def examine(devices: Sequence[str], results: Path) -> list[Check]:
    """Every check of this machine, for these devices; takes about a second and a worker's start.

    The machine is watched before a worker starts, so that the load is that of other programs.
    """
    machine = watched(results)

    def ask(device: str) -> Facts:
        if is_predicted(device):
            return predict.facts(device)
        return probe(Surroundings(device, machine.usable, "retain", "default"), Timing(), DOCTOR_TIMEOUT_S)

    return [*device_checks(devices, machine, ask), *local(machine)]


def to_dict(checks: Sequence[Check]) -> dict[str, Any]:
    """Plain data: `checks`, each with name, state, seen and remedy, and the `worst` state."""
    return {"checks": [asdict(c) for c in checks], "worst": worst(checks)}


def device_checks(devices: Sequence[str], machine: Machine, ask: Ask) -> list[Check]:
    """The devices, other programs on the cards, and torch, by workers. Only cards in `devices` start one."""
    try:
        facts = ask("cpu")
    except UserError as error:
        return [Check("cpu", "red", error.rule, error.remedy)]
    checks = [Check("cpu", "green", f"{cpu_model()}, {machine.cores} physical cores")]
    for kind in ACCELERATORS:
        wanted = [d for d in devices if d.partition(":")[0] == kind]
        answer = str(facts.get("devices", {}).get(kind, ""))
        if answer.startswith(PRESENT) and wanted:
            checks += [check for name in wanted for check in wanted_device(name, ask)]
        else:
            checks.append(device(kind, answer, wanted=bool(wanted)))
    checks += [predicted(name, ask) for name in devices if is_predicted(name)]
    checks += [check for name, reading in facts.get("cards", {}).items() for check in card(name, reading)]
    return [*checks, torch_build(facts)]


def device(kind: str, answer: str, wanted: bool) -> Check:
    """A kind of device from the worker's answer; a missing one is red only where it is wanted."""
    if answer.startswith(PRESENT):
        return Check(kind, "green", answer.removeprefix(PRESENT))
    rule, _, remedy = answer.partition(". ")
    return Check(kind, "red" if wanted else "grey", rule or "not reported by the worker", remedy)


def wanted_device(name: str, ask: Ask) -> list[Check]:
    """A device that a run is to measure, by a separate worker: whether it can be used and passes its self-checks."""
    try:
        facts = ask(name)
    except UserError as error:
        return [Check(name, "red", error.rule, error.remedy)]
    ready = Check(name, "green", str(facts.get("device_name") or "ready"))
    return [ready, *(Check(name, "amber", line, "its rows may be wrong") for line in facts.get("warnings", ()))]


def predicted(name: str, ask: Ask) -> Check:
    """A device that a run is to predict: the model and its errors. This machine does not matter to it."""
    try:
        facts = ask(name)
    except UserError as error:
        return Check(in_words(name), "red", error.rule, error.remedy)
    errors = facts["prediction"]
    within = ", ".join(f"{what}s within a factor of {math.exp(errors[what]):.2g}" for what in ("time", "speedup"))
    seen = f"{facts['device_name']}: nothing is measured; 95 % of {within} on data that the model was not fitted to"
    return Check(in_words(name), "grey", seen)


def card(name: str, reading: Facts) -> list[Check]:
    """A card by NVML: other programs on it, and what slows it down right now."""
    title = f"{name} now"
    if reading.get("why"):
        missing = "ModuleNotFound" in str(reading["why"])
        remedy = "pip install nvidia-ml-py" if missing else "see nvidia-smi"
        return [Check(title, "grey", f"no readings of clocks and other programs: {reading['why']}", remedy)]
    programs, slowed = reading.get("programs"), reading.get("throttle_reasons") or []
    degrees = f", {reading['temperature_c']} °C" if reading.get("temperature_c") is not None else ""
    if programs is None and not slowed:
        return [Check(title, "grey", "other programs not reported" + degrees)]
    other = f"{plural(programs or 0, 'other program')} on it", "end them (nvidia-smi lists them), or use another card"
    slow = f"slowed down: {', '.join(slowed)}", "let it cool, or see nvidia-smi -q -d PERFORMANCE"
    checks = [Check(title, "amber", *words) for words, there in ((other, programs), (slow, slowed)) if there]
    return checks or [Check(title, "green", "no other program" + degrees)]


def torch_build(facts: Facts) -> Check:
    """torch's release, its build and the library of its threads."""
    version = str(facts.get("torch") or "")
    onednn, capability, threads = facts.get("onednn"), facts.get("cpu_capability"), facts.get("threading")
    words = [version or "unknown release", f"CUDA {facts['torch_cuda']}" if facts.get("torch_cuda") else "no CUDA"]
    words += [str(capability)] if capability else []
    words += ["without oneDNN" if onednn is False else "oneDNN"] if onednn is not None else []
    words += [str(threads)] if threads else []
    release = re.match(r"(\d+)\.(\d+)", version)
    advice = []
    if release and (int(release[1]), int(release[2])) < OLDEST_TESTED_TORCH:
        advice.append(f"the oldest tested release is {'.'.join(map(str, OLDEST_TESTED_TORCH))}: update torch")
    if onednn is False:
        advice.append("convolutions use slow fallbacks: install a build with oneDNN")
    if capability in ("DEFAULT", "NO AVX"):
        advice.append("no vector instructions: unset ATEN_CPU_CAPABILITY, or install a build for this processor")
    if threads and threads != "OpenMP":
        advice.append("OMP_* variables don't affect its threads: use only waiting: default")
    return Check("torch", "amber" if advice else "green", ", ".join(words), "; ".join(advice))
