"""A run on a Dask cluster: a scheduler and two workers on loopback, that measure by fake workers, and lose each other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import distributed
import psutil
import pytest

from bench import __version__ as bench_version
from bench import cli
from bench.analyse.runs.run_folder import read, write_tables
from bench.run import cluster
from bench.run.cluster import Cluster
from bench.spec.errors import UserError
from bench.spec.results_folder import read_plan
from tests.fleet import QUIET, ROOT, SHELL, Fleet
from tests.tiny_run import CONFIG, visits, wait_for

COMMAND = ["bench", "run"]
FEW = CONFIG.replace("processes_min: 3, processes_max: 3", "processes_min: 2, processes_max: 2")


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "LOOK_S", 0.1)
    monkeypatch.setattr(cluster, "PER_WORKER", 2)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two workers with `cpu=1`, the first with a nanny, which sets variables; one with `loud=1` and Dask's own settings."""
    at = tmp_path_factory.mktemp("fleet")
    (at / "tiny.yaml").write_text(FEW)
    (at / "environ").mkdir()
    fleet = Fleet(at)
    fleet.worker("--resources", "cpu=1", environ=str(at / "environ"))
    fleet.worker("--resources", "cpu=1", "--no-nanny", environ=str(at / "environ"))
    fleet.worker("--resources", "loud=1", "--no-nanny", env={})
    try:
        fleet.wait(3)
        yield fleet
    finally:
        fleet.close()


def bench(*words: str, **fake: object) -> subprocess.Popen[str]:
    """The command line in the same shell as the fleet's, with fake workers."""
    argv, env = [sys.executable, "-m", "tests.fleet", *words], {**SHELL, "BENCH_FAKE": json.dumps(fake)}
    return subprocess.Popen(argv, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def local(fleet: Fleet) -> Path:
    """The same run on one machine without a cluster, and the variables of its workers below `local-environ`."""
    out, environ = fleet.folder / "local", fleet.folder / "local-environ"
    environ.mkdir()
    process = bench("run", str(fleet.folder / "tiny.yaml"), "--out", str(out), "--no-views", environ=str(environ))
    assert process.wait(60) == 0, process.stderr.read()
    return out


def run(fleet: Fleet, out: Path, said: list[str] | None = None, **where: str) -> Path:
    tell, at = (said if said is not None else []).append, Cluster(fleet.address, **where)
    return cluster.run(at, fleet.folder / "tiny.yaml", ["cpu"], out, [], COMMAND, tell, anyway=True).folder


def resume(fleet: Fleet, out: Path, said: list[str] | None = None) -> Path:
    tell = (said if said is not None else []).append
    return cluster.resume(Cluster(fleet.address), out, COMMAND, tell, anyway=True).folder


def shards(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for p in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends meanwhile
            found += [p] if "--shard" in p.cmdline() else []
    return found


def is_the_whole(out: Path, local: Path, at: Path) -> None:
    """The tables are byte by byte those of the local run, and no process of a trial is there twice or lost."""
    tables = []
    for folder in (out, local):
        made = read(folder, samples=True)
        assert made.measurements["machine"].isna().all() == (folder == local)
        made.measurements["machine"] = made.pairs["machine"] = None
        written = write_tables(made, at / f"{folder.name}-tables")
        tables.append({path.name: path.read_bytes().replace(made.run_id.encode(), b"run") for path in written})
    assert tables[0] == tables[1]
    assert visits(out) == visits(local)
    assert set(visits(out).values()) == {1}
    assert read_plan(out) == read_plan(local)
    assert sorted(path.name for path in out.iterdir()) == sorted([*cluster.FILES, cluster.LEASES])


# ---------------------------------------------------------------- whole, and as on one machine


def test_two_workers_measure_what_one_machine_does_in_the_same_environment(fleet: Fleet, local: Path, tmp_path: Path):
    said: list[str] = []
    out = run(fleet, tmp_path / "out", said)
    is_the_whole(out, local, tmp_path)
    assert next(line for line in said if line.startswith("shard ") and "begins on" in line).endswith("(0 of 4 back)")
    assert sum("is back from" in line for line in said) == 4
    leases = [json.loads(line) for line in (out / cluster.LEASES).read_text().splitlines()]
    assert len({record["worker"] for record in leases if record["type"] == "back"}) == 2, "both workers measured"
    with distributed.Client(fleet.address, set_as_default=False) as client:
        set_by_dask = client.run(
            lambda: os.environ.get("OMP_NUM_THREADS"), workers=[*{r["worker"] for r in leases[1:]}]
        )
    assert set(set_by_dask.values()) == {"1", None}, "the nanny sets it for the worker of Dask, and only there"
    environs = []
    for folder in ("environ", "local-environ"):
        made = [json.loads(path.read_text()) for path in (fleet.folder / folder).glob("time-*.json")]
        assert len(made) >= 2
        alike = {
            json.dumps({k: v for k, v in m.items() if k not in ("BENCH_WORKER", "BENCH_FAKE")}, sort_keys=True)
            for m in made
        }
        environs.append(alike)
    assert environs[0] == environs[1]
    assert len(environs[0]) == 1
    assert read(out).environment["worker_environment"] == read(local).environment["worker_environment"]


# ---------------------------------------------------------------- what is refused


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line with which a command line is refused."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", *map(str, words)])
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1), told.err
    return told.err


def test_a_cluster_that_can_not_measure_is_refused_in_one_line(
    fleet: Fleet, config: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    out, at = tmp_path / "out", f"--cluster {fleet.address}"

    def line(*words: str, address: str = fleet.address) -> str:
        return refused(capsys, config, "--out", out, "--cluster", address, *words)

    assert "--cluster tcp://127.0.0.1:1: no scheduler answered within 0.2 s (" in line(address="tcp://127.0.0.1:1")
    for odd in ("", "x", "tcp://host", "tcp://host:x", "http://host:1", "scheduler.json"):
        assert f"--cluster {odd}: it is no address of a scheduler. Write tcp://HOST:8786." in line(address=odd)
    assert "--cluster tls://host:1: Dask's settings here name no certificate." in line(address="tls://host:1")
    monkeypatch.setattr(cluster, "CONNECT_S", 10.0)
    assert f"{at}: no worker of this scheduler has cuda:h100=1. Start one: dask worker" in line(
        "--resource", "cuda:h100"
    )
    assert "another worker with cpu=1 is on this machine, and they would disturb each other" in line()
    loud = line("--resource", "loud")
    page = (ROOT / "docs" / "FLEET.md").read_text(encoding="utf-8")
    for setting in (f"{name}={value}" for name, value in QUIET.items()):
        assert (setting in loud, setting in page) == (True, True)
    assert f"{at}: predicted devices need no cluster." in line("--device", "sim:h100")
    assert f"{at}: it plans shards of its own." in line("--shard", "1/2")
    assert not out.exists()
    assert "--resource x: it names workers of a cluster. Give --cluster too." in refused(
        capsys, config, "--resource", "x"
    )
    assert "this is not the folder of a run on a cluster" in refused(capsys, "--resume", tmp_path, *at.split())
    (tmp_path / cluster.LEASES).write_text(
        '{"type":"cluster","devices":["cpu"],"shards":"many","machine":{"usable_cores":2}}\n'
    )
    assert "leases.jsonl: shards: " in refused(capsys, "--resume", tmp_path, *at.split())
    (tmp_path / "config.yaml").write_text(FEW)
    begun = (tmp_path / cluster.LEASES).read_text().replace('"many"', "7")
    (tmp_path / cluster.LEASES).write_text(begun)
    told = refused(capsys, "--resume", tmp_path, *at.split())
    assert "leases.jsonl: its shards are not those of the config beside it. Restore it from a copy." in told
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "Install it: pip install 'separable-bench[cluster]'" in line()


class Future(SimpleNamespace):
    def result(self, timeout: float) -> object:
        return self.told

    def exception(self, timeout: float) -> BaseException:
        return self.told

    def cancel(self) -> None: ...

    def release(self) -> None: ...

    __hash__ = object.__hash__


class Client:
    """Stands in for Dask's: workers by address with their facts, and what each answers to a lease."""

    status = "running"

    def __init__(self, answer: Future, **workers: dict[str, object]) -> None:
        alike = dict.fromkeys(cluster.ALIKE, 1) | {"bench_version": bench_version, "loud": [], "pid": 1}
        self.workers = {at: alike | {"name": at, "boot": at} | facts for at, facts in workers.items()}
        self.answer = answer

    def scheduler_info(self) -> dict:
        return {"workers": {at: {"resources": {"cpu": 1}} for at in self.workers}}

    def run(self, facts: object, workers: list[str], on_error: str) -> dict:
        return {at: self.workers[at] for at in workers}

    def submit(self, *job: object, **how: object) -> Future:
        return self.answer


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"bench_version": "0.0.1"}, "worker b (b): it has bench 0.0.1, this is "),
        (
            {"cpu_model": "Another"},
            "worker b (b): cpu_model: Another here, 1 of the first worker. Means would mix them",
        ),
        ({"git": "abc"}, "worker b (b): git: abc here, 1 of the first worker."),
        ({"loud": ["--memory-limit 0"]}, "Start it with --memory-limit 0 (docs/FLEET.md has the whole line)"),
    ],
)
def test_a_worker_that_is_not_alike_is_refused(facts: dict, line: str):
    with pytest.raises(UserError) as told:
        cluster.Crew(Cluster("x"), Client(Future(), a={}, b=facts), ["cpu"], False).begin()
    assert line in str(told.value)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Future(status="error", told=MemoryError("full")), "shard 1/1: it was lost 3 times, at last on a: full. See the logs"),
        (Future(status="cancelled"), "shard 1/1: it was lost 3 times, at last on a: its worker is gone."),
        (Future(status="finished", told=(-9, "", {})), "shard 1/1: it was lost 3 times, at last on a: "),
        (Future(status="finished", told=(2, "bench: it is red.", {})), "no worker with cpu=1 is left: worker a: it refuses: bench: it is red. Mend that"),
    ],
)  # fmt: skip
def test_a_shard_that_no_worker_measures_ends_the_run(
    answer: Future, line: str, config: Path, tmp_path: Path, monkeypatch
):
    told = without_dask(answer, config, tmp_path, monkeypatch)
    assert line in told
    assert f"then bench run --cluster x --resume {tmp_path / 'out'}." in told


def test_shards_that_can_not_be_merged_stay_with_the_command(config: Path, tmp_path: Path, monkeypatch):
    answer = Future(status="finished", told=(0, "", dict.fromkeys(cluster.FILES, b"{}")))
    shards = tmp_path / "out" / cluster.SHARDS
    assert f". The shards stay: bench merge {shards}/* --out DIR." in without_dask(
        answer, config, tmp_path, monkeypatch
    )
    assert (shards / "1" / "DONE").read_bytes() == b"{}"


def without_dask(answer: Future, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line with which a run ends whose one worker answers so to each lease."""
    monkeypatch.setattr(cluster, "LOOK_S", 0.0)
    monkeypatch.setattr(cluster, "PER_WORKER", 1)

    @contextlib.contextmanager
    def client(self: Cluster) -> Iterator[Client]:
        yield Client(answer, a={"usable_cores": 2})

    monkeypatch.setattr(Cluster, "client", client)
    with pytest.raises(UserError) as told:
        cluster.run(Cluster("x"), config, ["cpu"], tmp_path / "out", [], COMMAND, [].append)
    return str(told.value)


# ---------------------------------------------------------------- what is lost


@pytest.mark.fault(
    "killed",
    "a worker of a Dask cluster is killed (SIGKILL) while it measures a shard",
    "its processes end with it, the shard is leased again and a line says so; no trial is lost or there twice",
)
def test_a_worker_that_is_killed_loses_its_shard_at_hand_which_is_leased_again(
    fleet: Fleet, local: Path, tmp_path: Path
):
    ended: list[psutil.Process] = []
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        if not ended and len(said) == 2:
            nanny = psutil.Process(fleet.processes[1].pid)
            while not (found := shards(nanny)):
                time.sleep(0.02)
            worker = found[0].parent()
            ended.extend([worker, *worker.children(recursive=True)])
            worker.kill()

    at = Cluster(fleet.address)
    out = cluster.run(at, fleet.folder / "tiny.yaml", ["cpu"], tmp_path / "out", [], COMMAND, tell, anyway=True).folder
    is_the_whole(out, local, tmp_path)
    assert sum("is lost on" in line for line in said) == 1
    assert sum("begins on" in line for line in said) == 5
    assert not [p for p in ended if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.fault(
    "killed",
    "Ctrl-C in `bench run --cluster`",
    "status 130, a line that continues, the shards that came back stay, and the processes on all workers end",
)
def test_an_interrupt_ends_the_workers_processes_and_keeps_what_came_back(fleet: Fleet, local: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = ("run", str(fleet.folder / "tiny.yaml"), "--out", str(out), "--cluster", fleet.address, "--anyway")
    process = bench(*words)
    wait_for(out / cluster.LEASES, "back", 2)
    wait_for(out / cluster.LEASES, "lease", 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert f"interrupted; to continue: bench run --cluster {fleet.address} --resume {out}" in err
    assert "Traceback" not in err
    until = time.monotonic() + 20
    while any(shards(psutil.Process(p.pid)) for p in fleet.processes) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(shards(psutil.Process(p.pid)) for p in fleet.processes)
    back = sorted(path.name for path in (out / cluster.SHARDS).iterdir())
    with pytest.raises(UserError, match="of a cluster's run, add --cluster"):
        cli.app(["run", "--resume", str(out)], standalone_mode=False)
    said: list[str] = []
    resume(fleet, out, said)
    again = {line.split("/")[0].removeprefix("shard ") for line in said if "begins on" in line}
    assert again.isdisjoint(back), "what came back is not measured again"
    is_the_whole(out, local, tmp_path)
    with pytest.raises(UserError, match="this run is complete"):
        resume(fleet, out)


@pytest.mark.fault(
    "killed",
    "the scheduler of a Dask cluster is killed in mid-run",
    "one line that continues, status 2; the shards that came back stay, and a new scheduler measures the others",
)
def test_a_scheduler_that_is_killed_loses_nothing_that_came_back(fleet: Fleet, local: Path, tmp_path: Path):
    (tmp_path / "tiny.yaml").write_text(FEW)
    second, out = Fleet(tmp_path), tmp_path / "out"
    second.worker("--resources", "cpu=1", "--no-nanny")

    def tell(line: str) -> None:
        if "begins on" in line and "(0 of 4 back" not in line:
            fleet.scheduler.kill()

    try:
        with pytest.raises(UserError) as told:
            cluster.run(
                Cluster(fleet.address), fleet.folder / "tiny.yaml", ["cpu"], out, [], COMMAND, tell, anyway=True
            )
        again = f"the scheduler is gone. Start one, then bench run --cluster {fleet.address} --resume {out}."
        assert again in str(told.value)
        back = len([*(out / cluster.SHARDS).iterdir()])
        assert back in (1, 2)
        second.wait(1)
        said: list[str] = []
        resume(second, out, said)
        assert sum("begins on" in line for line in said) == 4 - back
        is_the_whole(out, local, tmp_path)
        assert fleet.processes[2].wait(30) is not None
        assert not shards(psutil.Process(fleet.processes[1].pid))
    finally:
        second.close()
