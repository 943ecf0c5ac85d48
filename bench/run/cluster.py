"""`bench run --cluster`: lease the shards of a run, one at a time to each worker of a Dask cluster, and merge them."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shlex
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

import bench
from bench.run import runner
from bench.run.journal import Journal
from bench.run.launch import passed_on
from bench.run.lease import FILES, facts, shard
from bench.run.merge import OF_MACHINE, merge
from bench.run.session import Interrupted, Outcome, Tell, utc
from bench.spec.config.config import load
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError, first_line, typed_line
from bench.spec.files import CONFIG, RESULTS, content_of, or_advise, refuse_links, write_text, write_whole
from bench.spec.format import duration
from bench.spec.plan.plan import Plan
from bench.spec.plan.shards import MOST_SHARDS
from bench.spec.results_folder import RESTORE, Count, checked, part

if TYPE_CHECKING:
    from distributed import Client, Future

LEASES = "leases.jsonl"  # what was leased to whom; it stays
SHARDS, WHOLE = "shards", "whole"  # folders in the run's own until it is merged
PER_WORKER = 4  # shards: each starts workers of its own, and one that is lost is measured again
CONNECT_S, PATIENCE_S, LOOK_S = 10.0, 60.0, 1.0
MOST_LOST = 3  # leases of one shard, after which a run gives up
REFUSED = 2  # the exit status of a shard that does not begin, such as on a red machine
ALIKE = (
    "git",
    *(path.removeprefix("host.") for path in OF_MACHINE.values() if path != "torch"),
)  # a worker imports no torch
_BEGUN = part({"devices": list[str], "shards": Count, "machine": part({"usable_cores": Count}, {})}, {})


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where shards are leased: a scheduler's address, and the resource of its workers, if not the devices' kinds."""

    address: str
    resource: str | None = None

    @property
    def place(self) -> str:
        """The option, for messages."""
        return f"--cluster {self.address}"

    @property
    def command(self) -> str:
        """What continues a run, before its folder."""
        resource = f" --resource {shlex.quote(self.resource)}" if self.resource else ""
        return f"bench run --cluster {shlex.quote(self.address)}{resource} --resume"

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the scheduler. UserError where Dask is missing or no scheduler answers."""
        address = re.fullmatch(r"(tcp|tls)://([^\s:/]+|\[[0-9a-f:]+\]):[0-9]{1,5}", self.address)
        if not address:
            raise UserError(self.place, "it is no address of a scheduler", "Write tcp://HOST:8786.")
        try:
            import distributed
        except ImportError:
            rule = "it needs the package distributed, which is not installed"
            raise UserError(self.place, rule, "Install it: pip install 'separable-bench[cluster]'") from None
        for name in [*logging.root.manager.loggerDict]:
            if name.startswith(("distributed", "tornado", "asyncio")):
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # what matters is told in a line of ours
        if address[1] == "tls" and not distributed.Security().get_connection_args("client").get("ssl_context"):
            raise UserError(self.place, "Dask's settings here name no certificate", "Set distributed.comm.tls in them.")
        try:
            client = distributed.Client(self.address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            rule = f"no scheduler answered within {CONNECT_S:g} s ({first_line(error, 120)})"
            raise UserError(self.place, rule, "Start one: dask scheduler") from None
        with contextlib.closing(client):
            yield client


def run(
    cluster: Cluster, config_path: Path, devices: Sequence[str], out: Path | None, overrides: Iterable[str],
    command: Sequence[str], tell: Tell, anyway: bool = False,
) -> Outcome:  # fmt: skip
    """Measure a config on a cluster, in a new folder. UserError, with nothing written, if a worker is not fit for it."""
    config, data = load(config_path, overrides)
    started = datetime.now(UTC)
    with cluster.client() as client:
        crew = Crew(cluster, client, devices, anyway)
        machine = crew.begin()
        plan = runner.planned(config, devices, machine["usable_cores"])
        folder = out or RESULTS / runner.stem(plan, devices, started)
        runner.refuse_used(folder)
        count = min(PER_WORKER * len(crew.fit), len(plan.active), MOST_SHARDS)
        with or_advise("repeat the command: nothing is measured yet"):
            write_text(folder / CONFIG, yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
            journal = Journal(folder / LEASES)
        with journal:
            begun = {"type": "cluster", "utc": utc(), "devices": [*devices], "shards": count, "machine": machine}
            journal.append(begun)
            outcome = Leases(crew, folder, plan, devices, count, journal, tell).to_the_end(command)
    runner.point_latest(folder)
    return outcome


def resume(
    cluster: Cluster, folder: Path, command: Sequence[str], tell: Tell, anyway: bool = False, trust: bool = False
) -> Outcome:
    """Measure what a run on a cluster lacks. UserError if the folder is none, is complete, or names code without `trust`."""
    place = f"--resume {folder}"
    if not (folder / LEASES).is_file():
        raise UserError(place, "this is not the folder of a run on a cluster", f"Name one with {LEASES}.")
    refuse_links(folder)
    with or_advise("repeat the command"), Journal(folder / LEASES) as journal:
        first = next((record for record in journal.records({}) if record["type"] == "cluster"), {})
        begun = checked(json.dumps(first), _BEGUN, str(folder / LEASES))
        plan = runner.planned(load(folder / CONFIG)[0], begun.devices, begun.machine.usable_cores)
        if not 1 <= begun.shards <= min(len(plan.active), MOST_SHARDS):
            raise UserError(str(folder / LEASES), "its shards are not those of the config beside it", RESTORE)
        runner.refuse_to_resume(place, folder, plan, trust)
        with cluster.client() as client:
            crew = Crew(cluster, client, begun.devices, anyway)
            crew.begin(first["machine"])
            return Leases(crew, folder, plan, begun.devices, begun.shards, journal, tell).to_the_end(command)


class Crew:
    """The workers of a cluster that have the devices and are alike."""

    def __init__(self, cluster: Cluster, client: Client, devices: Sequence[str], anyway: bool) -> None:
        self.cluster, self.client, self.anyway = cluster, client, anyway
        kinds = [name.partition(":")[0] for name in devices if not is_predicted(name)]
        if not kinds:
            raise UserError(cluster.place, "predicted devices need no cluster", "Leave the option out.")
        self.needs = dict.fromkeys([cluster.resource] if cluster.resource else kinds, 1)
        self.resources = " ".join(f"{name}=1" for name in self.needs)
        self.machine: Mapping[str, Any] = {}  # what all are like
        self.fit: dict[str, dict[str, Any]] = {}  # facts, by a worker's address
        self.unfit: dict[str, UserError] = {}

    def begin(self, machine: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The machine that all workers are like, and the one before. UserError if there is none, or one is not fit."""
        self.machine = machine or {}
        for error in self.look():
            raise error
        if not self.fit:
            rule = f"no worker of this scheduler has {self.resources}"
            example = f"dask worker {self.cluster.address} --resources {shlex.quote(self.resources)}"
            raise UserError(self.cluster.place, rule, f"Start one: {example} (docs/FLEET.md has the whole line)")
        return self.machine

    def look(self) -> list[UserError]:
        """Forget workers that left, admit those that came; why, of each that is not fit."""
        try:
            if self.client.status != "running":
                raise ConnectionError  # Dask would wait for it
            told = self.client.scheduler_info()["workers"]
            here = [at for at, worker in told.items() if all(worker["resources"].get(n, 0) >= 1 for n in self.needs)]
            self.fit = {at: self.fit[at] for at in here if at in self.fit}
            self.unfit = {at: self.unfit[at] for at in here if at in self.unfit}
            new = [at for at in here if at not in self.fit and at not in self.unfit]
            answers = self.client.run(facts, workers=new, on_error="return") if new else {}
        except (OSError, TimeoutError):
            raise UserError(self.cluster.place, "the scheduler is gone", "Start one") from None
        for at, answer in answers.items():
            if isinstance(answer, OSError):
                continue  # it left meanwhile
            try:
                self._admit(at, answer)
            except UserError as error:
                self.unfit[at] = error
        return [self.unfit[at] for at in answers if at in self.unfit]

    def _admit(self, at: str, answer: Any) -> None:
        if isinstance(answer, BaseException):
            rule = f"it does not say what it is: {typed_line(answer)}"
            raise UserError(f"worker {at}", rule, f"Install bench {bench.__version__} in its Python.")
        place = f"worker {answer['name']} ({at})"
        if answer["bench_version"] != bench.__version__:
            rule = f"it has bench {answer['bench_version']}, this is {bench.__version__}"
            raise UserError(place, rule, "Install the same version.")
        if answer["loud"]:
            rule = "its settings of Dask would disturb what it measures"
            raise UserError(place, rule, f"Start it with {' '.join(answer['loud'])} (docs/FLEET.md has the whole line)")
        for name, value in self.machine.items():
            if answer.get(name) != value:
                rule = f"{name}: {answer.get(name)!s:.200} here, {value!s:.200} of the first worker"
                raise UserError(place, rule, "Means would mix them: use workers of one kind.")
        if "cpu" in self.needs and not self.anyway and answer["boot"] in {f["boot"] for f in self.fit.values()}:
            rule = f"another worker with {self.resources} is on this machine, and they would disturb each other"
            raise UserError(place, rule, "Start one on each machine, or measure with --anyway.")
        self.machine = self.machine or {name: answer[name] for name in ALIKE}
        self.fit[at] = answer


@dataclass(slots=True)
class Leases:
    """The shards of a run in its folder, leased to a crew."""

    crew: Crew
    folder: Path
    plan: Plan
    devices: Sequence[str]
    count: int
    journal: Journal
    tell: Tell
    lost: Counter[int] = field(default_factory=Counter)  # leases of each shard
    walls: list[float] = field(default_factory=list)  # seconds of each shard that came back
    leases: dict[Future[Any], _Lease] = field(default_factory=dict)

    def to_the_end(self, command: Sequence[str]) -> Outcome:
        """Lease the shards that are not there, then merge all. Interrupted after Ctrl-C, with what came back."""
        again = f"{self.crew.cluster.command} {shlex.quote(str(self.folder))}"
        shards = {number: self.folder / SHARDS / str(number) for number in range(1, self.count + 1)}
        with or_advise(again):
            try:
                self._lease([number for number, at in shards.items() if not (at / "DONE").is_file()])
            except KeyboardInterrupt:
                raise Interrupted(self.folder, bool(self.plan.code)) from None
            except UserError as error:
                raise UserError(error.place, error.rule, f"{error.remedy}, then {again}") from None
            finally:
                for future in self.leases:
                    future.release()  # while the client is there: Dask would print a traceback later
            shutil.rmtree(self.folder / WHOLE, ignore_errors=True)
            try:
                merge([*shards.values()], self.folder / WHOLE, command)
            except UserError as error:
                joined = f"bench merge {shlex.quote(str(self.folder / SHARDS))}/* --out DIR"
                raise UserError(
                    error.place, error.rule, f"{error.remedy.rstrip('.')}. The shards stay: {joined}"
                ) from None
            for name in FILES:  # DONE last
                (self.folder / WHOLE / name).replace(self.folder / name)
            for name in (WHOLE, SHARDS):
                shutil.rmtree(self.folder / name)
            failed = sum(record.get("status") == 1 for record in self.journal.records({}) if record["type"] == "back")
        return Outcome(self.folder, failed)

    def _lease(self, todo: list[int]) -> None:
        """Lease each shard until it is back. UserError if one was lost MOST_LOST times, or no worker is left."""
        crew, config = self.crew, content_of(self.folder / CONFIG)
        passed = {name: os.environ[name] for name in passed_on(os.environ)}
        words = ["--device", ",".join(self.devices), "--no-views", *(["--anyway"] if crew.anyway else [])]
        leases = self.leases
        seen = time.monotonic()
        while True:
            for error in crew.look():
                self.tell(f"! left out: {error}")
            for future, lease in [*leases.items()]:
                if future.status not in ("pending", "lost") or lease.at not in crew.fit:
                    if not self._came_back(future, lease):
                        crew.fit.pop(lease.at, None)  # to be looked at again
                        todo.insert(0, lease.number)
                    future.release()
                    del leases[future]
            if not todo and not leases:
                return
            for at in [at for at in crew.fit if at not in {lease.at for lease in leases.values()}][: len(todo)]:
                lease = _Lease(todo.pop(0), at, crew.fit[at]["name"], time.monotonic())
                asked = [*words, "--shard", f"{lease.number}/{self.count}"]
                # Pinned to its worker, it is neither stolen nor given to another one behind our back.
                future = crew.client.submit(
                    shard, config, asked, self.folder.name, passed, crew.fit[at]["pid"], key=f"bench-{uuid.uuid4()}",
                    workers=[at], allow_other_workers=False, resources=crew.needs, retries=0, pure=False,
                )  # fmt: skip
                leases[future] = lease
                undone = len(todo) + len(leases)
                seconds = round(undone * fmean(self.walls) / len(crew.fit)) if self.walls else 0
                left = f", about {duration(seconds)} left" if seconds else ""
                self._say("lease", lease, f"begins on {lease.name} ({self.count - undone} of {self.count} back{left})")
            seen = time.monotonic() if leases else seen
            if not leases and (crew.unfit or time.monotonic() - seen > PATIENCE_S):
                why = next((f": {error}" for error in crew.unfit.values()), "")
                raise UserError(crew.cluster.place, f"no worker with {crew.resources} is left{why}", "Start one")
            time.sleep(LOOK_S)

    def _came_back(self, future: Future[Any], lease: _Lease) -> bool:
        """Whether a lease that ended brought its shard, which is then in the folder."""
        status, line, files = _answer(future)
        if status in (0, 1) and files.keys() == {*FILES}:
            for name in FILES:  # DONE last: a shard that has it is whole
                path, content = self.folder / SHARDS / str(lease.number) / name, files[name]
                write_whole(path, lambda file, content=content: file.write(content))  # type: ignore[misc]
            self.walls.append(time.monotonic() - lease.begun)
            self._say("back", lease, f"is back from {lease.name} after {duration(self.walls[-1])}", status=status)
            return True
        self._say("lost", lease, f"is lost on {lease.name}: {line}")
        if status == REFUSED:
            rule = f"it refuses: {line.rstrip('.')}"
            self.crew.unfit[lease.at] = UserError(f"worker {lease.name}", rule, "Mend that")
            return False
        self.lost[lease.number] += 1
        if self.lost[lease.number] == MOST_LOST:
            rule = f"it was lost {MOST_LOST} times, at last on {lease.name}: {line}"
            raise UserError(f"shard {lease.number}/{self.count}", rule, "See the logs of that worker")
        return False

    def _say(self, kind: str, lease: _Lease, what: str, **more: Any) -> None:
        record = {"type": kind, "utc": utc(), "shard": lease.number, "worker": lease.at, "machine": lease.name}
        self.journal.append({**record, **more, "what": what})
        self.tell(f"shard {lease.number}/{self.count} {what}")


class _Lease(NamedTuple):
    number: int
    at: str  # the worker's address
    name: str  # its machine's
    begun: float


def _answer(future: Future[Any]) -> tuple[int | None, str, Mapping[str, bytes]]:
    """A shard's exit status, last line and files; without a status where its lease was lost."""
    try:
        if future.status == "finished":
            answer: tuple[int, str, dict[str, bytes]] = future.result(timeout=PATIENCE_S)
            return answer
        if future.status == "error":
            return None, first_line(future.exception(timeout=PATIENCE_S)), {}
    except (OSError, TimeoutError):
        pass
    future.cancel()
    return None, "its worker is gone", {}
