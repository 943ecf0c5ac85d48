"""A results folder is data: whatever its files hold, a verb gives its answer or one line on what is wrong."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.run import launch
from bench.spec.plan.plan import Surroundings
from tests.hostile import LINES, bench, damaged, sound_folders

VERBS = [
    ["report"],
    ["report", "--format", "md"],
    ["verdict"],
    ["compare"],
    ["compare", "--history"],
    ["run", "--resume"],
]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sound_folders(tmp_path_factory.mktemp("sound"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workers are fake, and neither the pictures nor the tables of several files are looked at here."""
    from bench.show import write

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(launch, "WORKER", "tests.fake_worker")
    monkeypatch.setattr(write, "draw", lambda *_: ())
    monkeypatch.setattr("bench.show.plots.shared.files.save", lambda *_: ())


@pytest.mark.fault(
    "folders of others", "a journal holds a line that is no record",
    "status 2, one line with the line's number, and nothing is written",
)  # fmt: skip
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


def test_a_config_of_many_lines_that_was_edited_is_refused_at_once(sound: Path, tmp_path: Path, capsys):
    folder = tmp_path / "results" / "run"
    shutil.copytree(sound / "run", folder)
    then, now = ("".join(f"{i % 7919 * step}\n" for i in range(40_000)) for step in (3, 5))
    (folder / "config.yaml").write_text(now)
    first, *rest = (folder / "journal.jsonl").read_text().splitlines()
    begun = json.loads(first) | {"sha256": {"config.yaml": "0"}, "config": then}
    (folder / "journal.jsonl").write_text("\n".join([json.dumps(begun), *rest]) + "\n")
    assert bench("report", str(folder)) == 2
    assert "config.yaml: it was edited since the run began" in capsys.readouterr().err


def test_a_sound_folder_is_resumed_and_read(sound: Path, tmp_path: Path):
    folder = tmp_path / "results" / "run"
    shutil.copytree(sound / "run", folder)
    for verb in (["run", "--resume"], ["report"], ["verdict"], ["compare", str(sound / "tables")]):
        assert bench(*verb, str(folder)) == 0
    assert (folder / "DONE").exists()


@pytest.mark.fault(
    "folders of others", "a link leads out of a results folder",
    "it is refused by name; nothing outside is read or written",
)  # fmt: skip
@pytest.mark.parametrize("verb", [["report"], ["run", "--resume"]])
@pytest.mark.parametrize(
    "name",
    ["plots", "config.yaml", "logs", "journal.jsonl", "plan.json", "logs/time-1-cpu-1t.log", "plots/speedup.png"],
)
def test_a_link_that_leaves_the_folder_is_refused(sound: Path, tmp_path: Path, capsys, name: str, verb: list[str]):
    folder, outside = tmp_path / "results" / "run", tmp_path / "outside"
    shutil.copytree(sound / "run", folder)
    outside.mkdir()
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
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


@pytest.mark.fault(
    "folders of others", "a plan.json holds names with slashes and dots",
    "no file is written outside the folder",
)  # fmt: skip
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


@pytest.mark.fault(
    "folders of others", "a folder beside the run can't be read",
    "it is a row of the index that says so; no other report suffers",
)  # fmt: skip
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


@pytest.mark.fault(
    "folders of others", "any file of a results folder is damaged at random",
    "an answer, or status 2 with one line below 1,000 characters",
)  # fmt: skip
@given(seed=st.integers(0, 1 << 32), verb=st.sampled_from(VERBS), kind=st.sampled_from(["run", "tables"]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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


@pytest.mark.fault(
    "folders of others", "a table is cut within a line, its header too, or a process is in a cell twice",
    "status 2, one line with the line's number",
)  # fmt: skip
@pytest.mark.parametrize("verb", [["report"], ["verdict"], ["compare", "{sound}"]])
@pytest.mark.parametrize("file", ["pairs.csv", "measurements.csv"])
@pytest.mark.parametrize("cut", [0.02, 0.5, 0.999, "twice"])
def test_a_cut_table_is_refused(sound: Path, tmp_path: Path, capsys, verb, file, cut):
    folder = Path(shutil.copytree(sound / "run", tmp_path / "cut"))
    bench("report", str(folder))
    (folder / "journal.jsonl").unlink()
    whole = (folder / file).read_text()
    if cut == "twice":
        part = re.sub(r" 2:(?=[0-9])", " 1:", whole, count=1)
        assert part != whole
    else:
        part = whole[: int(len(whole) * cut)]
        assert not part.endswith("\n")
    (folder / file).write_text(part)
    capsys.readouterr()
    assert bench(*(word.format(sound=sound / "run") for word in verb), str(folder)) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"bench: {folder / file}:{part.count(chr(10)) + 1 if cut != 'twice' else ''}")
