"""Faults of the machine: full disks, stepped clocks, suspension, memory, hang-ups. Nothing measured is lost, and a line says how to go on."""

from __future__ import annotations

import ast
import errno
import fcntl
import io
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.analyse.compare.change_points import history_of
from bench.analyse.runs.run_folder import read
from bench.cli import main
from bench.cli.measuring import _end
from bench.run import checks, environment, journal, launch, machine, runner, session
from bench.show import write
from bench.spec import files
from bench.spec.errors import UserError
from tests.synthetic import Story, write_run
from tests.tiny_run import ROOT, bench, ends_tidily, records, start, visits, wait_for

WHOLE = 18  # visits of an undisturbed run


def resumed(out: Path, said: list[str] | None = None) -> session.Outcome:
    return runner.resume(out, (said if said is not None else []).append)


def whole(out: Path) -> bool:
    """Whether the run is complete, with each visit once."""
    return (out / "DONE").exists() and len(visits(out)) == WHOLE and set(visits(out).values()) == {1}


def status_of(*words: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([*map(str, words)])
    return int(left.value.code or 0)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file of this process grows beyond so many bytes (EFBIG); Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# ---------------------------------------------------------------- disks


class Filling(io.FileIO):
    """A file whose disk is full after so many writes: the last one is cut, as the kernel does."""

    left = 0

    def write(self, data: bytes) -> int:
        if self.left == 0:
            type(self).left = -1
            return super().write(data[: len(data) // 2])
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        type(self).left -= 1
        return super().write(data)


@pytest.mark.fault(
    "disk", "the disk is full at a line of the journal",
    "the run ends with one line that names the journal and `--resume`; no visit is lost, none is measured twice",
)  # fmt: skip
@pytest.mark.parametrize("lines", [0, 1, 9, 20, 36])
def test_a_full_disk_ends_a_run_at_a_whole_line_and_resume_goes_on(config, tmp_path, fake, monkeypatch, lines: int):
    fake()
    out = tmp_path / "run"
    monkeypatch.setattr(journal, "open", lambda path, *_, **__: Filling(path, "a+"), raising=False)
    monkeypatch.setattr(Filling, "left", lines)
    with pytest.raises(UserError) as ended:
        start(config, out)
    assert str(ended.value) == (
        f"{out}/journal.jsonl: it can't be read or written: No space left on device. "
        f"Make room on its disk, then bench run --resume {out}."
    )
    written = (out / "journal.jsonl").read_bytes()
    assert written.count(b"\n") == lines
    assert not written or written.endswith(b"\n")
    before = visits(out)
    monkeypatch.setattr(Filling, "left", 1000)
    resumed(out)
    assert whole(out)
    assert before <= visits(out)


@pytest.mark.fault(
    "disk", "the disk is full while a run writes its config, plan, environment or DONE",
    "the file is there whole or not at all, the line names it, and the same command or `--resume` goes on",
)  # fmt: skip
@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "plan.json", "DONE"])
def test_a_full_disk_leaves_no_half_file_of_a_run(config, tmp_path, fake, monkeypatch, name: str):
    fake()
    out = tmp_path / "run"
    with monkeypatch.context() as full:
        no_room_for(name, full)
        with pytest.raises(UserError) as ended:
            start(config, out)
    assert str(ended.value).startswith(f"{out}/{name}: it can't be read or written: No space left on device. Make room")
    assert not (out / name).exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    if name == "DONE":
        assert str(ended.value).endswith(f"bench run --resume {out}.")
        resumed(out)
    else:
        assert str(ended.value).endswith("repeat the command: nothing is measured yet.")
        start(config, out)
    assert whole(out)


def no_room_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the file of this name finds room."""
    mkstemp, fdopen, chosen = files.tempfile.mkstemp, os.fdopen, []

    def noted(**named: str) -> tuple[int, str]:
        made = mkstemp(**named)
        chosen.extend([made[0]] if named["prefix"] == f".{name}." else [])
        return made

    class Half(io.FileIO):
        def write(self, data: bytes) -> int:
            super().write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.tempfile, "mkstemp", noted)
    monkeypatch.setattr(os, "fdopen", lambda fd, mode: Half(fd, mode) if fd in chosen else fdopen(fd, mode))


@pytest.fixture
def sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A measured run without its tables; pictures are not drawn."""
    monkeypatch.setattr(write, "draw", lambda *_: ())
    monkeypatch.setattr("bench.show.plots.shared.files.save", lambda *_: ())
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "results" / "sound", Story(processes=3, rounds=4))
    return Path("results/sound")


@pytest.mark.fault(
    "disk", "the disk is full while tables, verdicts or the page are written",
    "status 2 and one line that names the file; the old file stays, and repeating the command writes all",
)  # fmt: skip
@pytest.mark.parametrize("name", ["measurements.csv", "samples.csv", "verdict.json", "report.html"])
def test_a_full_disk_leaves_the_old_table_or_page(sound: Path, monkeypatch, capsys, name: str):
    (sound / name).write_text("old")
    with monkeypatch.context() as full:
        no_room_for(name, full)
        assert status_of("report", sound) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"bench: {sound}/{name}: it can't be read or written: No space left on device. Make room on its disk, then repeat the command."  # fmt: skip
    assert (sound / name).read_text() == "old"
    assert status_of("report", sound) == 0
    assert (sound / name).read_text() != "old"


@pytest.mark.fault(
    "disk", "files may not grow beyond a limit (`ulimit -f`), wherever a run meets it",
    "status 2 and one line that names the file, the limit and the command; without the limit the run goes on",
)  # fmt: skip
def test_a_limit_on_files_is_named_wherever_it_is_met_and_the_run_goes_on(config, tmp_path, fake):
    fake()
    undisturbed = start(config, tmp_path / "undisturbed").folder
    in_order = ("config.yaml", "environment.json", "plan.json", "journal.jsonl")
    sizes = {name: (undisturbed / name).stat().st_size for name in in_order}
    for name in in_order:
        out, limit = tmp_path / name, sizes[name] * 3 // 4
        first = next(other for other in in_order if sizes[other] > limit)
        with file_limit(limit), pytest.raises(UserError) as ended:
            start(config, out)
        said = f"{out}/{first}: it can't be read or written: File too large. Raise the limit on the size of files (ulimit -f), then "
        assert str(ended.value).startswith(said)
        before = visits(out)
        resumed(out) if "--resume" in str(ended.value) else start(config, out)
        assert whole(out)
        assert before <= visits(out)


@pytest.mark.fault(
    "disk", "files may not grow beyond a limit (`ulimit -f`), wherever a run meets it",
    "status 2 and one line that names the file, the limit and the command; without the limit the run goes on",
)  # fmt: skip
def test_the_command_line_says_it_in_one_line(config, tmp_path):
    out = tmp_path / "run"
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, -1));"
    process = bench("run", str(config), "--out", str(out), first=code)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.splitlines()[-1] == (
        f"bench: {out}/journal.jsonl: it can't be read or written: File too large. "
        f"Raise the limit on the size of files (ulimit -f), then bench run --resume {out}."
    )
    assert "Traceback" not in err


@pytest.mark.fault(
    "disk", "tables or the page can't be written at the end of a run",
    "the run is complete, status is 2, and the line says to repeat `bench report`, not the run",
)  # fmt: skip
def test_a_page_without_room_costs_no_run(config, tmp_path, fake, monkeypatch, capsys):
    fake()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(write, "draw", lambda *_: ())
    with monkeypatch.context() as full:
        no_room_for("report.html", full)
        monkeypatch.setattr(signal, "signal", lambda *_: None)
        assert status_of("run", config, "--out", "run") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == "bench: run/report.html: it can't be read or written: No space left on device. Make room on its disk, then bench report run."  # fmt: skip
    assert whole(Path("run"))


@pytest.mark.fault(
    "disk", "a folder of results is read-only",
    "reading and printing work; `run --resume` and `report` end with status 2 and one line that names the file",
)  # fmt: skip
@pytest.mark.parametrize(("verb", "name"), [("report", "measurements.csv"), ("run --resume", "journal.jsonl")])
def test_a_read_only_folder_is_named_and_can_be_read(sound: Path, monkeypatch, capsys, verb: str, name: str):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "there")

    (sound / "DONE").unlink()
    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    monkeypatch.setattr(journal, "open", lambda path, *_, **__: refuse_open(path), raising=False)
    assert status_of(*verb.split(), sound) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: {sound}/{name}: it can't be read or written: Read-only file system. Allow that, or use another folder, then ")  # fmt: skip
    assert status_of("report", "--format", "md", sound) == 0


def refuse_open(path: Path) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


@pytest.mark.fault(
    "disk", "the folder of a run is renamed in mid-run",
    "the run ends with one line that names the folder; put back, or under its new name, `--resume` goes on",
)  # fmt: skip
def test_a_folder_renamed_in_mid_run_is_named_and_can_be_resumed(config, tmp_path, fake):
    fake()
    out, other = tmp_path / "run", tmp_path / "other"
    with pytest.raises(UserError, match=r"run/journal\.jsonl: .*it was removed or renamed\. Put it back where it was"):
        runner.run(
            config, ["cpu"], out, (), ["bench"], lambda line: out.rename(other) if line.startswith("[1/6]") else None
        )
    assert len(visits(other)) == 14  # the last one before it was noticed
    resumed(other)
    assert whole(other)
    assert not out.exists()


@pytest.mark.fault(
    "disk", "the folder of a run is removed in mid-run", "the run ends with its next record or worker, with one line, and makes no new folder",
)  # fmt: skip
def test_a_folder_removed_in_mid_run_ends_the_run(config, tmp_path, fake):
    fake()
    out = tmp_path / "run"
    with pytest.raises(UserError, match=r"run/logs/time-3-cpu-1t\.log: .*No such file"):
        runner.run(
            config, ["cpu"], out, (), ["bench"], lambda line: shutil.rmtree(out) if "process 3" in line else None
        )
    assert not out.exists()


@pytest.mark.fault(
    "disk", "standard output is on a full disk", "status 2 and one line that names standard output"
)  # fmt: skip
def test_a_full_standard_output_is_named():
    with open("/dev/full", "w") as full:
        told = subprocess.run([sys.executable, "-m", "bench", "plan", "configs/smoke.yaml"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert (told.returncode, told.stderr) == (2, "bench: standard output: it can't be read or written: No space left on device. Make room on its disk, then repeat the command.\n")  # fmt: skip


# ---------------------------------------------------------------- clocks


@pytest.mark.fault(
    "clocks", "the wall clock is stepped back in mid-run",
    "durations and limits come from a monotonic clock; the run, its tables and its history are as without the step",
)  # fmt: skip
def test_a_wall_clock_that_steps_back_changes_dates_alone(config, tmp_path, fake, monkeypatch):
    fake()
    first = start(config, tmp_path / "first").folder
    now = [datetime.now(UTC)]

    class Backwards(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            now[0] -= timedelta(hours=1)
            return now[0]

    monkeypatch.setattr(session, "datetime", Backwards)
    monkeypatch.setattr(runner, "datetime", Backwards)
    out = start(config, tmp_path / "run", minutes=1).folder
    assert whole(out)
    dates = [json.loads(line).get("utc") for line in (out / "journal.jsonl").read_text().splitlines()]
    dates = [date for date in dates if date]
    assert dates == sorted(dates, reverse=True)
    (end,) = records(out, "end")
    assert 0 < end["wall_s"] < 60
    run = read(out)
    assert run.pairs["speedup"].tolist() == read(first).pairs["speedup"].tolist()
    runs = [read(first), run, read(start(config, tmp_path / "later").folder)]
    assert history_of(runs, "speedup", 0.05).runs == tuple(reversed(runs))  # by their dates


@pytest.mark.fault(
    "clocks", "the wall clock is stepped back in mid-run",
    "durations and limits come from a monotonic clock; the run, its tables and its history are as without the step",
)  # fmt: skip
def test_no_duration_is_read_from_the_wall_clock():
    for path in [*(ROOT / "bench").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in ("time.time", "time.time_ns"), path
                assert called != "datetime.now" or path.name in ("cluster.py", "runner.py", "session.py"), path  # dates


@pytest.mark.fault(
    "clocks", "the machine or the runner is suspended while a worker measures",
    "no trial is given up, the time counts neither as a time-out nor against `timing.minutes`, and the journal keeps it",
)  # fmt: skip
def test_time_in_suspension_ends_neither_a_trial_nor_the_run(config, tmp_path, fake, monkeypatch):
    fake(c="slow")
    clock, answers = SimpleNamespace(ahead=0.0, countdown=-1, visits=0), launch.Worker.answers

    def monotonic() -> float:
        clock.countdown -= 1
        clock.ahead += 3600.0 if clock.countdown == 0 else 0.0
        return time.monotonic() + clock.ahead

    def suspended_once(worker: launch.Worker, *given: float) -> Iterator[dict]:
        for message in answers(worker, *given):
            yield message
            clock.visits += message["type"] == "visit"
            if message["type"] == "begin" and clock.visits and not clock.ahead:
                clock.countdown = 2  # the next look but one is at the worker's silence

    monkeypatch.setattr(launch, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + clock.ahead))
    monkeypatch.setattr(launch.Worker, "answers", suspended_once)
    said: list[str] = []
    out = start(config, tmp_path / "run", said, minutes=5).folder
    assert whole(out)
    assert {r["status"] for r in records(out, "visit")} == {"ok"}
    (pause,) = records(out, "pause")
    assert pause["seconds"] == pytest.approx(3600, abs=2)
    assert "  suspended for 1 h 0 min, which counts nowhere" in said
    assert not [line for line in said if "are over" in line]
    assert records(out, "end")[0]["wall_s"] < 60


@pytest.mark.fault(
    "clocks", "one sample lasts a hundred thousand times too long, as across a suspension that a clock counts",
    "the sample stays in samples.csv, and the row's speedup, interval and median are as without it",
)  # fmt: skip
@pytest.mark.parametrize("arm", [0, 1])
def test_one_enormous_sample_moves_no_row(tmp_path, arm: int):
    write_run(tmp_path / "run", Story(processes=5, rounds=8))
    before = read(tmp_path / "run")
    path = tmp_path / "run" / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    visit = next(line for line in lines if line["type"] == "visit")
    visit["arms"][arm]["samples_ns"][5] *= 1e5
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    after = read(tmp_path / "run", samples=True)
    row = before.pairs["trial_id"] == visit["trial_id"]
    for name in ("speedup", "speedup_ci_low", "speedup_ci_high"):
        assert after.pairs.loc[row, name].tolist() == pytest.approx(before.pairs.loc[row, name].tolist(), rel=0.02), (
            name
        )
    medians = [run.measurements["time_median_s"].tolist() for run in (before, after)]
    assert medians[1] == pytest.approx(medians[0], rel=0.02)
    assert after.samples["time_s"].max() == pytest.approx(visit["arms"][arm]["samples_ns"][5] / 1e9)


# ---------------------------------------------------------------- killed


@pytest.mark.fault(
    "killed", "the runner is killed (SIGKILL) 50 times at random, also amidst a line of the journal, and resumed each time",
    "in the end the run has exactly the visits of an undisturbed one, with the same samples, none twice",
)  # fmt: skip
def test_fifty_kills_leave_the_rows_of_an_undisturbed_run(config, tmp_path, fake):
    fake()
    out = tmp_path / "run"
    told = subprocess.run([sys.executable, "-m", "tests.killed_runs", str(config), str(out), "50", "7"], cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    assert (told.returncode, told.stdout) == (0, "50\n"), told.stderr
    assert whole(out)
    assert len(records(out, "resume")) > 10
    undisturbed = read(start(config, tmp_path / "undisturbed").folder)
    names = [name for name in undisturbed.pairs if name != "run_id"]
    assert read(out).pairs[names].equals(undisturbed.pairs[names])


@pytest.mark.fault(
    "killed", "a closed terminal or a lost ssh session (SIGHUP), a batch system (SIGTERM)",
    "the run ends like after Ctrl-C: the journal is whole, tables are written, status 130, and `--resume` goes on",
)  # fmt: skip
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_hangup_ends_a_run_like_an_interrupt(config, tmp_path, fake, number: signal.Signals):
    out = tmp_path / "run"
    process = bench("run", str(config), "--out", str(out), BENCH_FAKE='{"c": "slow"}')
    wait_for(out / "journal.jsonl", "visit", 2)
    ends_tidily(process, out, number)
    fake()
    resumed(out)
    assert whole(out)


@pytest.mark.fault(
    "killed", "SIGHUP, where the caller ignores it as nohup does", "the run goes on to its end",
)  # fmt: skip
def test_a_hangup_that_the_caller_ignores_stays_ignored(config, tmp_path):
    out = tmp_path / "run"
    process = bench("run", str(config), "--out", str(out), hangup="SIG_IGN", BENCH_FAKE='{"c16": "slow"}')
    wait_for(out / "journal.jsonl", "visit", 1)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert whole(out)


@pytest.mark.fault(
    "killed", "a closed terminal or a lost ssh session (SIGHUP), a batch system (SIGTERM)",
    "the run ends like after Ctrl-C: the journal is whole, tables are written, status 130, and `--resume` goes on",
)  # fmt: skip
def test_a_closing_terminal_interrupts_once(monkeypatch):
    now = {}
    monkeypatch.setattr(signal, "signal", lambda number, what: now.update({number: what}))
    with pytest.raises(KeyboardInterrupt):
        _end(signal.SIGHUP, None)
    assert now == {signal.SIGHUP: signal.SIG_IGN}


@pytest.mark.fault(
    "terminals", "the terminal of a run is closed, so that nothing can be printed any more",
    "the journal is whole, the tables are written, status 130, and `--resume` goes on",
)  # fmt: skip
def test_a_terminal_that_is_gone_loses_nothing(config, tmp_path, fake):
    out = tmp_path / "run"
    ours, theirs = pty.openpty()

    def lead() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    process = bench("run", str(config), "--out", str(out), terminal=theirs, before=lead, BENCH_FAKE='{"c": "slow"}')
    os.close(theirs)
    wait_for(out / "journal.jsonl", "visit", 2)
    os.close(ours)  # the kernel hangs up, and each write fails with EIO
    assert process.wait(timeout=60) == 130
    assert records(out, "interrupt")
    assert (out / "measurements.csv").exists()
    fake()
    resumed(out)
    assert whole(out)


@pytest.mark.fault(
    "terminals", "whoever reads what a run says (`2>&1 | head`) leaves in mid-run", "the run goes on to its end",
)  # fmt: skip
def test_a_reader_of_progress_that_leaves_ends_no_run(monkeypatch):
    def broken(_: str) -> int:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=broken, flush=lambda: None))
    runner.stderr_line("process 1 of at most 6")


@pytest.mark.fault(
    "folders of others", "two runs, or two sessions of one, want the same folder at the same time", "the second is refused by name before it writes",
)  # fmt: skip
def test_the_second_of_two_resumes_is_refused(config, tmp_path, fake):
    fake()
    out = start(config, tmp_path / "run").folder
    (out / "DONE").unlink()
    (out / "journal.jsonl").write_text("".join((out / "journal.jsonl").read_text().splitlines(keepends=True)[:9]))
    seen = []

    def meanwhile(line: str) -> None:
        if "process 2" in line:
            before = (out / "journal.jsonl").read_bytes()
            with pytest.raises(UserError, match=r"another run is writing there\. Wait for it"):
                resumed(out)
            seen.append((out / "journal.jsonl").read_bytes() == before)

    runner.resume(out, meanwhile)
    assert seen == [True]
    assert whole(out)


@pytest.mark.fault(
    "killed", "a run is killed before its plan is written",
    "the same command begins it again; no other folder that holds something is ever taken",
)  # fmt: skip
def test_a_start_that_was_killed_is_begun_again_in_its_folder_and_in_no_other(config, tmp_path, fake):
    fake()
    out = tmp_path / "run"
    out.mkdir()
    for name in ("config.yaml", ".environment.json.a1b2c3", ".plan.json.d4e5f6"):
        (out / name).write_text("half")
    with pytest.raises(UserError, match="it exists and is not empty"):
        start(config, out)  # there is no journal
    (out / "journal.jsonl").touch()
    (out / "notes.txt").touch()
    with pytest.raises(UserError, match="it exists and is not empty"):
        start(config, out)
    (out / "notes.txt").unlink()
    start(config, out)
    assert whole(out)


# ---------------------------------------------------------------- memory and processes


@pytest.mark.fault(
    "memory", "the kernel kills a worker for want of memory (SIGKILL) in a visit",
    "one row has the status crash and says what killed it; all others are measured",
)  # fmt: skip
def test_a_worker_killed_by_the_kernel_costs_one_row_that_says_so(config, tmp_path, fake):
    fake(**{"c16-k3": "crash"})
    out = start(config, tmp_path / "run").folder
    pairs = read(out).pairs
    assert sorted(pairs["status"]) == ["crash"] + ["ok"] * 5
    (detail,) = pairs.loc[pairs["status"] == "crash", "status_detail"]
    assert detail.startswith("killed by signal 9 (SIGKILL: memory ran out, if nobody killed it)")


def out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.mark.fault(
    "memory", "the runner runs out of memory in mid-run",
    "one line says so and names `--resume`, which goes on without loss",
)  # fmt: skip
def test_a_runner_without_memory_says_how_to_go_on(config, tmp_path, fake, monkeypatch):
    fake()
    out = tmp_path / "run"
    with monkeypatch.context() as short:
        short.setattr(session.Session, "_reading", out_of_memory)
        with pytest.raises(UserError) as ended:
            start(config, out)
    assert (
        str(ended.value) == f"memory: this program ran out of it. Close other programs, then bench run --resume {out}."
    )
    assert visits(out)
    resumed(out)
    assert whole(out)


@pytest.mark.fault(
    "memory", "memory runs out while a run is read or its views are written", "status 2 and one line, no traceback",
)  # fmt: skip
@pytest.mark.parametrize("what", ["bench.analyse.runs.run_folder.read_journal", "bench.show.write.judge"])
def test_a_report_without_memory_is_one_line(sound: Path, monkeypatch, capsys, what: str):
    monkeypatch.setattr(what, out_of_memory)
    assert status_of("report", sound) == 2
    assert capsys.readouterr().err == "bench: memory: this program ran out of it. Close other programs, then repeat the command.\n"  # fmt: skip


@pytest.mark.fault(
    "machine", "no process can be started: too many, too many open files, no memory",
    "one line with the system's reason and `--resume`; what was measured stays",
)  # fmt: skip
@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM])
def test_a_worker_that_the_system_does_not_start_is_one_line(config, tmp_path, fake, monkeypatch, number: int):
    fake()
    out, started, popen = tmp_path / "run", [], subprocess.Popen

    def refused(*given: object, **named: object) -> subprocess.Popen[bytes]:
        started.extend([None] if given[0][2:3] == ["-m"] else [])
        if len(started) == 4:  # the probe, the inspection and the first process are done
            raise OSError(number, os.strerror(number))
        return popen(*given, **named)  # type: ignore[call-overload]

    with monkeypatch.context() as short:
        short.setattr(launch.subprocess, "Popen", refused)
        with pytest.raises(UserError) as ended:
            start(config, out)
    assert (
        str(ended.value) == f"this system: {os.strerror(number)}. Close other programs, then bench run --resume {out}."
    )
    assert len(visits(out)) == 6
    resumed(out)
    assert whole(out)


@pytest.mark.fault(
    "torch and devices", "torch is missing or can't be imported in a worker",
    "the run ends before it begins, with one line that has the worker's last words, and writes no folder",
)  # fmt: skip
def test_a_worker_without_torch_is_one_line(config, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    with pytest.raises(
        UserError, match="a worker can't start: exit status 1: ModuleNotFoundError: No module named 'torch'"
    ):
        start(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- a bare machine


@pytest.mark.fault(
    "machine", "there is no /proc, as in some sandboxes", "the doctor shows grey what it can't see, and a run measures",
)  # fmt: skip
def test_without_proc_the_doctor_greys_and_a_run_measures(config, tmp_path, fake, monkeypatch):
    fake()
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "none"))
    read_text = Path.read_text

    def hidden(path: Path, *given: object, **named: object) -> str:
        if str(path).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return read_text(path, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(machine, "memory_room", lambda _: None)
    states = {check.name: check.state for check in checks.local(machine.look(tmp_path, 0.0))}
    assert {states[name] for name in ("load", "steal", "memory", "swap", "pressure")} == {"grey"}
    monkeypatch.setattr(environment, "look", machine.look)
    out = start(config, tmp_path / "run").folder
    assert whole(out)
    assert json.loads((out / "environment.json").read_text())["host"]["memory_bytes"] is None
    assert len(read(out).pairs) == 6
