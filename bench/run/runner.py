"""Start a run in a new folder, or resume one: probe devices, write config, plan and environment, run the session."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.run import environment, foresee, predict
from bench.run.checks import local, summary
from bench.run.journal import Journal
from bench.run.launch import START_TIMEOUT_S, probe, recorded, worker_environment
from bench.run.machine import usable_cores
from bench.run.session import Outcome, Session, Tell, utc
from bench.spec import files
from bench.spec.columns import SCHEMA_VERSION
from bench.spec.config.config import SweepConfig, load
from bench.spec.devices.device_names import is_predicted, slug
from bench.spec.errors import UserError
from bench.spec.files import CONFIG, ENVIRONMENT, PLAN, RESULTS, kept, or_advise, refuse_links, write_json, write_text
from bench.spec.format import listed
from bench.spec.plan import aa
from bench.spec.plan.durations import sized
from bench.spec.plan.plan import Plan, Side, make, not_all_skipped
from bench.spec.plan.shards import part_of
from bench.spec.results_folder import read_environment, read_plan, sources_of

JOURNAL, KEPT_MODULES = "journal.jsonl", "modules"
MOST_NAMED = 5  # of the imports that a folder names


def run(
    config_path: Path, devices: Sequence[str], out: Path | None, overrides: Iterable[str], command: Sequence[str],
    tell: Tell, anyway: bool = False, shard: str | None = None,
) -> Outcome:  # fmt: skip
    """Measure a config, or a `shard` of it, on the devices in a new folder (`out`, or one named by config, devices and time).

    UserError, with nothing written, for a wrong config, a device that can't be used, or a red check unless `anyway`.
    """
    config, data = load(config_path, overrides)
    plan = planned(config, devices)
    plan = plan if shard is None else part_of(plan, shard)
    return measure(plan, data, devices, out, command, tell, anyway)


def planned(config: SweepConfig, devices: Sequence[str], cores: int | None = None) -> Plan:
    """The plan of a config for `cores`, or those of this machine. UserError where it would measure nothing."""
    plan = make(config, devices, usable_cores() if cores is None else cores)
    not_all_skipped(plan)
    return plan


def stem(plan: Plan, devices: Sequence[str], started: datetime) -> str:
    """The name of a new run, and of its folder."""
    return f"{plan.name}-{'+'.join(slug(d) for d in devices)}-{started:%Y%m%dT%H%M%SZ}{shard_words(plan)}"


def measure(
    plan: Plan, data: dict[str, Any], devices: Sequence[str], out: Path | None, command: Sequence[str],
    tell: Tell, anyway: bool = False, pickles: Path | None = None,
) -> Outcome:  # fmt: skip
    """Measure a plan in a new folder; `data`: its config, which the folder keeps; `anyway`: in spite of red checks.

    `pickles`: a folder of modules from Python, which are kept too.
    """
    os.environ |= {} if pickles is None else {files.MODULES: str(pickles)}
    started = datetime.now(UTC)
    name = stem(plan, devices, started)
    folder = out or RESULTS / name
    refuse_used(folder)
    ambers, reds = _checked(devices, folder, tell, anyway)
    unlike = foresee.counts(plan, every=False)[-1]  # refuses what would be no row of any use
    sides = _probe(plan)
    facts = sides[0]["devices"]
    plan = sized(plan, facts)
    not_all_skipped(plan)
    told = [(d, line) for side in sides for d, seen in side["devices"].items() for line in seen.get("warnings", ())]
    warnings = [*(f"{d}: {line}" for d, line in told), *unlike]
    run_id = folder.name if out is None else name
    begun = started.isoformat(timespec="seconds")
    made: dict[str, Any] = {"run_id": run_id, "started_utc": begun, "command": shlex.join(command)}
    made |= _environment(plan, facts, [*ambers, *dict.fromkeys(warnings)], folder.parent)
    made |= {"sides": sides} if plan.sides else {}
    made |= {"node": platform.node()} if plan.shard else {}  # machines of a fleet have names
    with or_advise("repeat the command: nothing is measured yet"):
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder / JOURNAL)
    with journal:
        with or_advise("repeat the command: nothing is measured yet"):
            refuse_used(folder, JOURNAL)  # by a run that began while this one probed
            if pickles is not None:
                shutil.copytree(pickles, folder / KEPT_MODULES)
            write_text(folder / CONFIG, yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
            write_json(folder / ENVIRONMENT, made)
            write_json(folder / PLAN, plan.to_dict())  # last: a folder with a plan is a run
        if plan.name != aa.NAME and plan.shard is None:
            point_latest(folder)
        with or_advise(plan.resume_command(folder)):
            journal.append(begin_record(folder, run_id))
            for line in warnings:
                tell(f"! {line}")
            return Session(folder, plan, journal, tell, reds, sources=[*map(sources_of, sides)]).to_the_end()


def resume(folder: Path, tell: Tell, anyway: bool = False, trust: bool = False) -> Outcome:
    """Continue a run in its folder; `trust`: import and run the users' blocks that it names.

    UserError if it is no run, is complete, began elsewhere, names users' blocks without `trust`, or is refused as in `run`.
    """
    if folder.is_dir():
        refuse_links(folder)
    place, plan = f"--resume {folder}", read_plan(folder)
    if plan is None or not (folder / JOURNAL).is_file():
        raise UserError(
            place,
            "this is not the folder of a run",
            f"Name one with {PLAN} and {JOURNAL}; of a cluster's run, add --cluster.",
        )
    refuse_to_resume(place, folder, plan, trust)
    if (folder / KEPT_MODULES).is_dir():
        os.environ[files.MODULES] = str((folder / KEPT_MODULES).resolve())
    with or_advise(plan.resume_command(folder)), Journal(folder / JOURNAL) as journal:
        past, then = journal.records({trial.trial_id: trial for trial in plan.trials}), read_environment(folder)
        _, reds = _checked([s.device for s in plan.surroundings()], folder, tell, anyway)
        begun = then.get("sides") or [then]
        sides = _probe(plan, [*map(sources_of, begun)])
        model: Any = environment.cpu_model()
        pairs = [("measured with cpu_model", (then.get("host") or {}).get("cpu_model"), model)]
        for old, new in zip(begun, sides, strict=False):
            for d, f in (old.get("devices") or {}).items():
                how = "predicted by" if is_predicted(d) else f"measured with torch on {d}"
                pairs.append((how, _made_with(f), _made_with(new["devices"].get(d, {}))))
        for how, before, now in pairs:
            if now != before:
                rule = f"it was {how} {before}, here it is {now}"
                raise UserError(place, rule, "Continue it there, or start a new run here.")
        # A kill before the first record leaves files that were written whole.
        journal.append(
            {"type": "resume", "utc": utc()} if past else begin_record(folder, then.get("run_id") or folder.name)
        )
        return Session(folder, plan, journal, tell, reds, past, [*map(sources_of, sides)]).to_the_end()


def refuse_to_resume(place: str, folder: Path, plan: Plan, trust: bool) -> None:
    """UserError for a run that is complete, and without `trust` for one whose plan names code."""
    if (folder / "DONE").exists():
        raise UserError(place, "this run is complete", f"Read it with bench report {shlex.quote(str(folder))}.")
    if plan.code and not trust:
        named = [path[:80] for path in plan.code[:MOST_NAMED]]
        more = [f"{len(plan.code) - MOST_NAMED} more"] if len(plan.code) > MOST_NAMED else []
        rule = f"its plan would import and run {listed([*named, *more])}"
        raise UserError(place, rule, "If you trust that code, add --trust (make: TRUST=1)")


def refuse_used(folder: Path, *but: str) -> None:
    """UserError for a file, and for a folder that holds something `but` these names, or what a start that failed left."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    if JOURNAL in names and PLAN not in names and not (folder / JOURNAL).stat().st_size:
        begun = (CONFIG, ENVIRONMENT, PLAN)
        names = {name for name in names - {JOURNAL, *begun} if not name.startswith(tuple(f".{n}." for n in begun))}
    if names - {*but} or (folder.exists() and not folder.is_dir()):
        remedy = f"Name a new folder, or continue it: bench run --resume {shlex.quote(str(folder))}"
        raise UserError(f"--out {folder}", "it exists and is not empty", remedy)


def shard_words(plan: Plan) -> str:
    """The end of a run_id that tells shards apart, as several may start in one second; empty of a whole plan."""
    return "-shard{}of{}".format(*plan.shard) if plan.shard else ""


def begin_record(folder: Path, run_id: str) -> dict[str, Any]:
    """The journal's first record, with what its folder's files are."""
    return {"type": "run", "run_id": run_id, "schema_version": SCHEMA_VERSION, "utc": utc(), **kept(folder)}


def _checked(devices: Sequence[str], folder: Path, tell: Tell, anyway: bool) -> tuple[list[str], list[str]]:
    """A line for each amber or red check, and the red ones in short. UserError for a red one, unless `anyway`."""
    machine = None if all(map(is_predicted, devices)) else environment.watched(folder)
    checks = [check for check in (local(machine) if machine else ()) if check.state in ("amber", "red")]
    reds = [check for check in checks if check.state == "red"]
    if reds and not anyway:
        for check in reds:
            tell(f"red: {check.line}")
        remedy = "Mend that, or measure with --anyway (make: ANYWAY=1), which marks every row"
        raise UserError("this machine", "it is not fit to measure now, so nothing was measured", remedy)
    if checks:
        tell(f"! {summary(checks)}")
    return [check.line for check in checks], [f"{c.name} ({c.seen.replace(';', ',')})" for c in reds]


def _made_with(facts: dict[str, Any]) -> Any:
    """What must not change on a device between the sessions of a run: torch, or the model that predicts."""
    return facts["prediction"]["model"] if facts.get("prediction") else facts.get("torch")


def _probe(plan: Plan, sources: Sequence[Mapping[str, str]] = ()) -> list[dict[str, Any]]:
    """For each side of the plan its `devices`: the facts of each, from a worker or the model.

    UserError for a device or import that can't be used, and for one whose source is not that in `sources`.
    """
    known = [*sources, *[{}] * max(1, len(plan.sides))]
    sides = [[side] for side in plan.sides] or [[]]
    return [{"devices": _probe_side(plan, side, of)} for side, of in zip(sides, known, strict=False)]


def _probe_side(plan: Plan, sides: Sequence[Side], sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    places = {s.device: s for s in plan.surroundings()}
    choices = [arm.choice for trial in plan.active if not trial.formula for arm in trial.arms]
    imports = {path: sources.get(path) for c in choices for path in c.sources}
    # accelerators first, as they fail more often than the CPU
    measured = sorted((d for d in places if not is_predicted(d)), key=lambda d: d == "cpu")
    probed = {d: probe(places[d], plan.timing, START_TIMEOUT_S, imports, sides=sides) for d in measured}
    facts = {device: predict.facts(device) if is_predicted(device) else probed[device] for device in places}
    if imports and not measured:
        first = next(iter(places))
        seen = probe(places[first], plan.timing, START_TIMEOUT_S, imports, kind="inspect")
        facts[first] = {**facts[first], "imports": seen["imports"]}
    return facts


def _environment(plan: Plan, facts: dict[str, dict[str, Any]], ambers: list[str], results: Path) -> dict[str, Any]:
    host = environment.host()
    measured = [s for s in plan.surroundings() if not is_predicted(s.device)]
    devices = {d: {"name": f["device_name"] or host["cpu_model"], **f} for d, f in facts.items()}
    names = [(s.device, str(devices[s.device]["name"]), devices[s.device]["torch"]) for s in measured]
    bands = {device: environment.noise_bands(results, device, *made) for device, *made in dict.fromkeys(names)}
    return {
        **environment.versions(),
        "torch": next((f["torch"] for f in facts.values() if "torch" in f), None),
        "host": host,
        "devices": devices,
        "worker_environment": {s.label: recorded(worker_environment(s)) for s in measured},
        "ambers": ambers,
        "noise_bands": {device: found for device, found in bands.items() if found},
    }


def point_latest(folder: Path) -> None:
    """Make results/latest a link to the newest run in results, where links are possible."""
    latest = RESULTS / "latest"
    if folder.parent != RESULTS:
        return
    with contextlib.suppress(OSError):
        latest.unlink(missing_ok=True)
        latest.symlink_to(folder.name, target_is_directory=True)


def stderr_line(text: str) -> None:
    """Print one line on stderr at once: the `tell` of the command line. A run goes on without a terminal to read it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
