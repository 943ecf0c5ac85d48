"""What strangers may hand in: sound folders and tables, ways to damage them, and the command line without its process."""

from __future__ import annotations

import io
import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from bench.analyse.runs.run_folder import read, write_tables
from bench.cli import main
from bench.run import environment
from tests import fake_worker
from tests.synthetic import Story, config, write_run

HOST = {"cpu_model": environment.cpu_model(), "physical_cores": 2, "memory_bytes": 8 << 30}
FACTS = {"host": HOST, "devices": {"cpu": {"name": HOST["cpu_model"], "torch": "fake"}}, "ambers": ["it is warm"]}
BAND = {"cpu": [{"noise_band": 0.01, "threads": [1]}]}
ODD: list[Any] = [
    None, True, -1, 0, 1, 2, 1.5, 1e308, -1e308, 5e-324, 10**30, 1 << 62, "", "x", "ok", "../../../x", "sim:h100", "cuda:0", "\ud800", "\0",
    [], [[]], {}, {"a": 1}, [None], [1, "x"], "1e999", "NaN",
]  # fmt: skip
LINES = ["", "null", "[1,2]", "rubbish", "[" * 100_000, '{"a":' * 100_000, '{"type":"visit"}', '{"type":["visit"]}', "\0\xff", "9" * 5000,
         '{"type":"run","run_id":"x","schema_version":99}', '{"type":"end","wall_s":1,"timed_s":' + "9" * 5000 + "}"]  # fmt: skip


def sound_folders(folder: Path) -> Path:
    """A run of two trials with a journal, ready to be resumed, and beside it the same with tables only."""
    data = config(
        {"channels": [16, 32], "kernel": 3, "threads": 1}, timing={"processes_max": 6, "second_opinions": 1.0}
    )
    write_run(
        folder / "run",
        Story(rounds=4, processes=6, parts=lambda *_: {"conv": 0.9}),
        data,
        environment=FACTS | {"noise_bands": BAND},
    )
    write_tables(read(folder / "run", samples=True), folder / "tables")
    for name in ("plan.json", "environment.json"):
        shutil.copy(folder / "run" / name, folder / "tables")
    (folder / "run" / "DONE").unlink()
    return folder


def bench(*words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(words))
    return int(left.value.code or 0)


def spots(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in plain data: its container and its key there."""
    for key in list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield data, key
        yield from spots(data[key])


def damage_json(text: str, coin: random.Random) -> str:
    data = json.loads(text)
    container, key = coin.choice([*spots(data)])
    if coin.random() < 0.2:
        del container[key]
    else:
        container[key] = coin.choice(ODD)
    return json.dumps(data)


def damage_lines(text: str, coin: random.Random) -> str:
    lines = text.splitlines()
    at, how = coin.randrange(len(lines)), coin.random()
    if how < 0.7:
        lines[at] = damage_json(lines[at], coin)
    elif how < 0.9:
        lines.insert(at, coin.choice([*LINES, *lines]))
    else:
        lines[at] = lines[at][: coin.randrange(len(lines[at]))]
    return "\n".join(lines) + coin.choice(["\n", ""])


def damage_table(text: str, coin: random.Random) -> str:
    rows = [line.split(",") for line in text.splitlines()] or [[""]]
    row = coin.choice(rows[:1] + 9 * rows[1:])
    how = coin.random()
    if how < 0.8:
        row[coin.randrange(len(row))] = coin.choice(
            [*map(str, ODD[:15]), "x", "nan", "inf", "-inf", "1e999", "True", "skipped", '"', "1:2", "1:0 2:x"]
        )
    elif how < 0.9:
        rows.insert(coin.randrange(len(rows)), row)
    else:
        del row[coin.randrange(len(row))]
    return "\n".join(",".join(r) for r in rows) + "\n"


HOW = {"journal.jsonl": damage_lines, "plan.json": damage_json, "environment.json": damage_json}


def damaged(sound: Path, folder: Path, coin: random.Random) -> None:
    """A copy of a sound run, of which one file is changed in a few places."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    path = coin.choice(sorted(p for p in folder.iterdir() if p.is_file()))
    text = path.read_text()
    for _ in range(coin.choice([1, 1, 1, 3])):
        try:
            text = HOW.get(path.name, damage_table)(text, coin)
        except (ValueError, TypeError, IndexError, RecursionError):  # it is no JSON any more, or has no place left
            break
    path.write_text(text, errors="surrogatepass" if coin.random() < 0.5 else "replace")


class InProcess:
    """In the place of launch.Worker: tests.fake_worker's answers at once, without a process.

    After `left` workers the user presses Ctrl-C.
    """

    left = 1 << 30
    log_at = 0
    process = SimpleNamespace(pid=1)

    def __init__(
        self, _: object, job: dict[str, Any] | None, log: Path, compiled: Path | None = None, sides: object = ()
    ) -> None:
        InProcess.left -= 1
        if InProcess.left < 0:
            raise KeyboardInterrupt
        log.open("ab").close()
        self._job = None if job is None else json.dumps(job)

    def give(self, job: dict[str, Any]) -> None:
        self._job = json.dumps(job)

    def answers(self, *_: float) -> Iterator[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        if self._job is None:  # started ahead
            return iter([{"type": "awake"}])
        with (
            mock.patch.object(fake_worker, "say", told.append),
            mock.patch.object(sys, "stdin", io.StringIO(self._job)),
        ):
            fake_worker.main()
        return iter(told)

    def end(self) -> int:
        return 0
