"""`bench merge`: the results folders of a plan's shards as one results folder, as if one run had measured the whole plan.

Shards of machines that differ become one results folder for each machine.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.run.runner import JOURNAL, begin_record, refuse_used, shard_words
from bench.run.session import utc
from bench.spec import files
from bench.spec.errors import UserError
from bench.spec.files import CONFIG, ENVIRONMENT, MACHINE, PLAN
from bench.spec.format import listed
from bench.spec.plan.plan import Plan, Trial
from bench.spec.plan.shards import of_machine, whole_of
from bench.spec.results_folder import INCOMPLETE, RESTORE, read_environment, read_plan, read_records, sources_of

_OF_PROGRAM = {"bench": "bench_version", "commit": "git"}
OF_MACHINE = {
    "python": "python", "torch": "torch", "CPU model": "host.cpu_model", "physical cores": "host.physical_cores",
    "usable cores": "host.usable_cores", "CPU quota": "host.cpu_quota", "governor": "host.governor",
    "huge pages": "host.transparent_hugepages",
}  # fmt: skip
_OF_DEVICE = {
    "name": "name", "torch": "torch", "CUDA of torch": "torch_cuda", "instructions": "cpu_capability",
    "threading": "threading", "model": "prediction.model",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard's folder, read and checked."""

    folder: Path
    number: int
    count: int
    plan: Plan
    environment: dict[str, Any]
    config: bytes
    begun: dict[str, Any]  # the journal's first record
    lines: tuple[tuple[str | None, bytes], ...]  # the others: a trial_id, or None, and the line
    unfinished: frozenset[str]  # trial_ids
    done: bool

    @property
    def name(self) -> str:
        return f"{self.folder} (shard {self.number}/{self.count})"


Seen = dict[str, tuple[object, Shard]]
"""Facts by name, each with the first shard that has it."""


def merge(
    folders: Sequence[Path], out: Path, command: Sequence[str], partial: bool = False, across: bool = False
) -> None:
    """Write the run that these shards are parts of to a new folder.

    UserError, with nothing written, for shards of different configs, versions of this program or, unless `across`, machines;
    for a shard that is named twice, and, unless `partial`, for missing and unfinished ones. `partial` leaves out their
    trials. `across`: if the machines differ, each one's shards become a run of their own below `out`.
    """
    refuse_used(out)
    known: dict[Trial, Trial] = {}  # each shard's plan has all trials
    shards = [_read(folder, known) for folder in folders]
    first, by_number = shards[0], dict[int, Shard]()
    for shard in shards:
        if shard.number in by_number:
            rule = f"this shard is named twice, also by {by_number[shard.number].folder}"
            raise UserError(shard.name, rule, "Name each shard once.")
        by_number[shard.number] = shard
        if shard.config != first.config:
            lines = files.changes(*(s.config.decode(errors="replace") for s in (first, shard)))
            rule = f"its config is not that of {first.folder}: {lines}"
            raise UserError(shard.name, rule, "Merge shards of one config")
    ordered = [by_number[n] for n in sorted(by_number)]
    machines, parts = _by_machine(ordered, across), {s.number: s.plan for s in ordered}
    plan = whole_of(parts, {s.number: s.unfinished for s in ordered})
    missing = [f"{n}/{first.count}" for n in range(1, first.count + 1) if n not in by_number]
    late = [s for s in ordered if s.unfinished or not s.done]
    lacks = [f"{s.name} is unfinished: {s.plan.resume_command(s.folder)}" for s in late]
    lacks += [f"shard{'s' if len(missing) > 1 else ''} {listed(missing)} not named"] if missing else []
    if lacks and not partial:
        raise UserError("bench merge", "; ".join(lacks), "Measure and name every shard, or add --partial.")
    run_id = ordered[0].begun["run_id"].removesuffix(shard_words(ordered[0].plan))
    if len(machines) == 1:
        _write(out, ordered, plan, _joined(ordered, run_id, command, lacks))
        return
    for i, alike in enumerate(machines, 1):
        name = f"{MACHINE}{i:0{len(str(len(machines)))}}"
        environment = _joined(alike, f"{run_id}-{name}", command, lacks) | {"machine": f"{run_id}-{name}"}
        _write(out / name, alike, of_machine(plan, parts, [s.number for s in alike]), environment)


def _write(out: Path, shards: Sequence[Shard], plan: Plan, environment: Mapping[str, Any]) -> None:
    """A results folder of these shards."""
    first = shards[0]
    with files.or_advise("repeat the command"):
        files.write_whole(out / CONFIG, lambda file: file.write(first.config))
        files.write_json(out / ENVIRONMENT, environment)
        files.write_json(out / PLAN, plan.to_dict())
        begun = begin_record(out, environment["run_id"]) | {"schema_version": first.begun["schema_version"]}
        files.write_whole(out / JOURNAL, lambda file: file.writelines(_lines(begun, shards)))
        files.write_text(out / "DONE", utc() + "\n")


def _read(folder: Path, known: dict[Trial, Trial]) -> Shard:
    """A shard's folder. UserError for one that is none or was changed, and for a record of a trial of another shard."""
    if folder.is_dir():
        files.refuse_links(folder)
    plan, path = read_plan(folder, known), folder / JOURNAL
    if plan is None or plan.shard is None or not path.is_file() or not (folder / CONFIG).is_file():
        remedy = "Name folders of bench run --shard; bench report A B shows whole runs side by side."
        raise UserError(str(folder), "this is not the folder of a shard", remedy)
    active, begun, settled = {t.trial_id for t in plan.active}, dict[str, Any](), set[str]()
    lines: list[tuple[str | None, bytes]] = []
    content, environment = files.content_of(path, files.MOST_OF_JOURNAL), read_environment(folder)
    records = read_records(path, content, {t.trial_id: t for t in plan.trials})
    for record, line in zip(records, content.split(b"\n"), strict=False):
        trial_id = str(record["trial_id"]) if "trial_id" in record else None
        if trial_id is not None and trial_id not in active:
            rule = f"it has results of {trial_id:.200}, which is not a trial of this shard"
            raise UserError(str(path), rule, RESTORE)
        if record["type"] == "settled":
            settled.add(record["trial_id"])
        if record["type"] == "run":
            begun = begun or record
        else:
            lines.append((trial_id, line + b"\n"))
    try:
        json.dumps(environment, allow_nan=False)
    except ValueError:
        raise UserError(str(folder / ENVIRONMENT), "it holds a number that is not finite", RESTORE) from None
    if not begun:
        raise UserError(str(path), "it does not hold how the run began", RESTORE)
    config, left = files.content_of(folder / CONFIG), frozenset(active - settled)
    done = (folder / "DONE").is_file()
    return Shard(folder, *plan.shard, plan, environment, config, begun, tuple(lines), left, done)


def _by_machine(shards: Sequence[Shard], across: bool) -> list[list[Shard]]:
    """The shards of alike machines together. UserError for another program and, unless `across`, for another machine."""
    program, machines = Seen(), list[tuple[Seen, list[Shard]]]()
    for shard in shards:
        if differs := _another(program, _of_program(shard), shard):
            raise UserError(shard.name, differs, "Measure all shards with one program")
        for seen, alike in machines:
            if not (differs := _another(seen, _of_machine(shard), shard)):
                alike.append(shard)
                break
            if not across:
                raise UserError(shard.name, differs, "Means would mix them: --across keeps these machines apart")
        else:
            machines.append((Seen(), [shard]))
            _another(machines[-1][0], _of_machine(shard), shard)
    return [alike for _, alike in machines]


def _another(seen: Seen, facts: Iterable[tuple[str, object]], shard: Shard) -> str:
    """The first of a shard's facts that is not as `seen`, with both; if all are, they join `seen`."""
    mine = {name: (fact, shard) for name, fact in facts}
    for name, (fact, _) in mine.items():
        then, other = seen.get(name, (fact, shard))
        if fact != then:
            return f"{name}: {fact!s:.200} here, {then!s:.200} in {other.folder}"
    seen |= mine | seen
    return ""


def _of_program(shard: Shard) -> Iterator[tuple[str, object]]:
    """What must be the same in all shards that have it, by name."""
    yield from (("number of shards", shard.count), ("schema", shard.begun["schema_version"]))
    yield from ((name, _dig(shard.environment, path)) for name, path in _OF_PROGRAM.items())
    yield from ((f"source of {path}", source) for path, source in sources_of(shard.environment).items())


def _of_machine(shard: Shard) -> Iterator[tuple[str, object]]:
    """What shapes times, by name; alike machines have the same, as far as both say it."""
    yield from ((name, _dig(shard.environment, path)) for name, path in OF_MACHINE.items())
    for device, facts in (shard.environment.get("devices") or {}).items():
        yield from ((f"{name} of {device}", _dig(facts, path)) for name, path in _OF_DEVICE.items())


def _dig(data: Any, path: str) -> Any:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _joined(shards: Sequence[Shard], run_id: str, command: Sequence[str], lacks: Sequence[str]) -> dict[str, Any]:
    """The environment of the whole: the first shard's, the devices and warnings of all, and each shard's own."""
    made = [shard.environment for shard in shards]
    mixed: dict[str, Any] = {name: {} for name in ("devices", "worker_environment", "noise_bands")}
    for environment in reversed(made):  # the first shard's stand
        for name, values in mixed.items():
            values |= environment.get(name) or {}
    ambers = dict.fromkeys(line for environment in made for line in environment.get("ambers") or ())
    return {
        **made[0], **mixed, "run_id": run_id, "command": shlex.join(command),
        "started_utc": min(str(environment.get("started_utc") or "") for environment in made),
        "ambers": [*(f"{INCOMPLETE}{line}" for line in lacks), *ambers],
        "shards": [{"shard": f"{s.number}/{s.count}", "environment": s.environment} for s in shards],
    }  # fmt: skip


def _lines(begun: Mapping[str, Any], shards: Sequence[Shard]) -> Iterator[bytes]:
    """The journal of the whole: each shard's records but those of trials that it did not finish; a shard is a session."""
    for i, shard in enumerate(shards):
        record = {"type": "resume", "utc": str(shard.begun.get("utc"))} if i else begun
        of = {"shard": f"{shard.number}/{shard.count}", "machine": str(shard.environment.get("node") or "")}
        yield json.dumps({**record, **of}).encode() + b"\n"
        yield from (line for trial_id, line in shard.lines if trial_id not in shard.unfinished)
