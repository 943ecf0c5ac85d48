"""What a page says of the machine: hardware, versions, what torch says of each device, and the config as it was run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.analyse.runs.run_folder import Run
from bench.spec.devices.device_names import is_predicted
from bench.spec.files import content_of
from bench.spec.format import in_bytes, plural

_HOST = (
    ("cpu_model", "CPU"), ("physical_cores", "physical cores"), ("usable_cores", "usable cores"), ("cpu_quota", "CPU quota"),
    ("memory_bytes", "memory"), ("os", "system"), ("kernel", "system's kernel"), ("machine", "architecture"),
    ("hypervisor", "virtual machine"), ("governor", "clock governor"), ("transparent_hugepages", "huge pages"),
)  # fmt: skip
_VERSIONS = (("torch", "torch"), ("python", "Python"), ("bench_version", "bench"), ("git", "commit"))

Fact = tuple[str, str]


def machine(run: Run) -> tuple[tuple[Fact, ...], tuple[tuple[str, tuple[Fact, ...]], ...]]:
    """The facts about machine and versions; then, by device, what torch said of itself there."""
    told = run.environment
    host = told.get("host") or {}
    facts = [(label, _plain(key, host.get(key))) for key, label in _HOST]
    facts += [(label, _plain(key, told.get(key))) for key, label in _VERSIONS]
    facts.append(("started (UTC)", str(told.get("started_utc") or "")))
    if "machine" in run.measurements:  # which a comparison does not read
        measured = run.measurements["machine"].dropna().value_counts(sort=False)  # of a merge
        facts += [(f"machine {name}", plural(int(rows), "row")) for name, rows in measured.items()]
    devices = []
    for name, seen in (told.get("devices") or {}).items():
        facts.append((f"device {name}", str(seen.get("name") or "unknown")))
        if is_predicted(name):
            continue  # what torch said is of this host
        more = [(str(k), str(v)) for part in ("switches", "properties") for k, v in (seen.get(part) or {}).items()]
        more += [("instructions", str(seen["cpu_capability"]))] if seen.get("cpu_capability") else []
        more += [("parallel", " ".join(str(line).split())) for line in seen.get("torch_parallel") or ()]
        devices.append((str(name), tuple(more)))
    for where, variables in (told.get("worker_environment") or {}).items():
        if not where.startswith("predicted "):
            devices.append((f"worker's environment: {where}", tuple(variables.items())))
    return tuple(f for f in facts if f[1]), tuple(d for d in devices if d[1])


def _plain(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "memory_bytes":
        return in_bytes(value, "GiB")
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def config_of(run: Run) -> str:
    """The config as it was run; nothing where it was not kept."""
    path = run.folder / "config.yaml"
    return content_of(path).decode(errors="replace") if path.is_file() else ""


def side_by_side(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The facts about machine and versions that at least one run has, in the order of a page of one run.

    Of each its `name`, its `values` in the runs, empty where a run has none, and whether it `differs` between the others.
    """
    facts = [dict(machine(run)[0]) for run in runs]
    sides = ((name, tuple(f.get(name, "") for f in facts)) for name in dict.fromkeys(name for f in facts for name in f))
    return [{"name": name, "values": v, "differs": len({*v} - {""}) > 1} for name, v in sides]
