"""A results folder is data: whatever its files hold, a verb gives its answer or one line on what is wrong."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analyse.runs.run_folder import read, write_tables
from bench.cli import main
from bench.run import environment, launch
from bench.spec.plan.plan import Surroundings
from tests.synthetic import Story, config, write_run

HOST = {"cpu_model": environment.cpu_model(), "physical_cores": 2, "memory_bytes": 8 << 30}
FACTS = {"host": HOST, "devices": {"cpu": {"name": HOST["cpu_model"], "torch": "fake"}}, "ambers": ["it is warm"]}
BAND = {"cpu": [{"noise_band": 0.01, "threads": [1]}]}
VERBS = [
    ["report"],
    ["report", "--format", "md"],
    ["verdict"],
    ["compare"],
    ["compare", "--history"],
    ["run", "--resume"],
]
ODD: list[Any] = [
    None, True, -1, 0, 1, 2, 1.5, 1e308, -1e308, 5e-324, 10**30, 1 << 62, "", "x", "ok", "../../../x", "sim:h100", "cuda:0", "\ud800", "\0",
    [], [[]], {}, {"a": 1}, [None], [1, "x"], "1e999", "NaN",
]  # fmt: skip
LINES = ["", "null", "[1,2]", "rubbish", "[" * 100_000, '{"a":' * 100_000, '{"type":"visit"}', '{"type":["visit"]}', "\0\xff", "9" * 5000,
         '{"type":"run","run_id":"x","schema_version":99}', '{"type":"end","wall_s":1,"timed_s":' + "9" * 5000 + "}"]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two trials with a journal, ready to be resumed, and beside it the same with tables only."""
    folder = tmp_path_factory.mktemp("sound")
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


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers are fake, and neither the pictures nor the tables of several files are looked at here."""
    from bench.show import write

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setattr(write, "draw", lambda *_: ())
    monkeypatch.setattr("bench.show.plots.shared.files.save", lambda *_: ())


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
    rows = [line.split(",") for line in text.splitlines()]
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


@pytest.mark.parametrize("verb", [["report"], ["run", "--resume"]])
@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_a_line_that_is_no_record_is_named_and_nothing_is_written(sound: Path, tmp_path: Path, capsys, line, verb):
    folder = tmp_path / "results" / "run"
    shutil.copytree(sound / "run", folder)
    journal = folder / "journal.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:2], line, *lines[2:]]) + "\n")
    before = journal.read_bytes()
    assert bench(*verb, str(folder)) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"bench: {journal}:3: ")
    assert len(said) < len(str(journal)) + 300
    assert journal.read_bytes() == before
    assert not (folder / "DONE").exists()


def test_a_sound_folder_is_resumed_and_read(sound: Path, tmp_path: Path):
    folder = tmp_path / "results" / "run"
    shutil.copytree(sound / "run", folder)
    for verb in (["run", "--resume"], ["report"], ["verdict"], ["compare", str(sound / "tables")]):
        assert bench(*verb, str(folder)) == 0
    assert (folder / "DONE").exists()


@pytest.mark.parametrize("verb", [["report"], ["run", "--resume"]])
@pytest.mark.parametrize("name", ["plots", "config.yaml", "logs", "journal.jsonl"])
def test_a_link_that_leaves_the_folder_is_refused(sound: Path, tmp_path: Path, capsys, name: str, verb: list[str]):
    folder, outside = tmp_path / "results" / "run", tmp_path / "outside"
    shutil.copytree(sound / "run", folder)
    outside.mkdir()
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside if name in ("plots", "logs") else sound / "run" / "journal.jsonl")
    assert bench(*verb, str(folder)) == 2
    assert f"{folder / name}: it is a link that leaves the folder" in capsys.readouterr().err
    assert not [*outside.iterdir()]


def test_a_link_within_the_folder_is_followed(sound: Path, tmp_path: Path):
    folder = tmp_path / "results" / "run"
    shutil.copytree(sound / "run", folder)
    (folder / "journal.jsonl").rename(folder / "kept.jsonl")
    (folder / "journal.jsonl").symlink_to("kept.jsonl")
    assert bench("report", str(folder)) == 0


@pytest.mark.parametrize("name", ["waiting", "device"])
def test_no_word_of_a_plan_places_a_file_outside(sound: Path, tmp_path: Path, name: str):
    folder = tmp_path / "results" / "run"
    shutil.copytree(sound / "run", folder)
    plan = json.loads((folder / "plan.json").read_text())
    for trial in plan["trials"]:
        trial["surroundings"][name] = "/../../../../X"
    (folder / "plan.json").write_text(json.dumps(plan))
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    assert bench("run", "--resume", str(folder)) in (1, 2)
    assert {path for path in tmp_path.rglob("*") if folder not in path.parents} == before
    assert "/" not in Surroundings("/../../../../X", 1, "retain", "default").slug


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("verdict.json", '{"claims": 3}'),
        ("aa.json", '{"pairs": "many"}'),
        ("plan.json", None),
        ("measurements.csv", None),
        ("environment.json", '{"devices": [1]}'),
        ("pairs.csv", "\0"),
    ],
)
def test_an_odd_neighbour_is_a_row_of_the_index_and_spoils_no_report(sound: Path, tmp_path: Path, name: str, text):
    odd, good = (tmp_path / "results" / word for word in ("odd", "good"))
    shutil.copytree(sound / "tables", odd)
    shutil.copytree(sound / "run", good)
    (odd / name).unlink(missing_ok=True)
    if text is None:
        (odd / name).symlink_to("/dev/zero")
    else:
        (odd / name).write_text(text)
    for verb in (["report"], ["run", "--resume"], ["compare", str(sound / "tables")]):
        assert bench(*verb, str(good)) == 0
    page = (tmp_path / "results" / "index.html").read_text()
    assert page.count('<th scope="row"') == 2
    assert ("can&#39;t be read" in page) == (name != "aa.json")  # which is read of an A/A test alone


@given(seed=st.integers(0, 1 << 32), verb=st.sampled_from(VERBS), kind=st.sampled_from(["run", "tables"]))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_damaged_folder_gives_an_answer_or_one_line(sound: Path, tmp_path: Path, capsys, seed, verb, kind):
    folder = tmp_path / "results" / "damaged"
    damaged(sound / ("run" if verb[0] == "run" else kind), folder, random.Random(seed))
    capsys.readouterr()
    status = bench(*verb, *([str(sound / "tables"), str(sound / "run")] if verb[0] == "compare" else []), str(folder))
    err = capsys.readouterr().err
    assert status in (0, 1, 2)
    assert "Traceback" not in err
    if status == 2:
        assert len([line for line in err.splitlines() if line.startswith("bench: ")]) == 1
        assert len(err.splitlines()[-1]) < 1000
