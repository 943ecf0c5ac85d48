"""What is read whole is bounded, and what is no file is neither waited for nor replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.spec import files
from bench.spec.errors import UserError
from bench.spec.files import content_of, write_text
from tests.hostile import bench, sound_folders

TABLE = "macs,time_s\n1e9,1\n2e9,2\n3e9,3\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a pipe that nobody writes to or reads from, and a file of a tebibyte."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with Path("huge").open("wb") as file:
        file.truncate(1 << 40)
    Path("timm.csv").write_text("model,samples_per_sec,batch_size,gmacs\nnet,10,1,1\n")
    return tmp_path


@pytest.mark.fault(
    "disk", "a file never ends or is huge (a device, a pipe)",
    "status 2 and one line that names it",
)  # fmt: skip
@pytest.mark.parametrize(("name", "said"), [("pipe", "is a pipe"), ("/dev/zero", "has over "), ("huge", "has over ")])
@pytest.mark.parametrize(
    "words",
    ["plan {}", "run {} --dry-run", "drivers {}", "drivers timm.csv --layers {}", "plan c.yaml --device sim:{}#x"],
)
def test_a_file_without_an_end_is_refused_by_name(place: Path, capsys, words: str, name: str, said: str):
    (place / "c.yaml").write_text("name: x\nexperiments: {e: {blocks: [standard]}}\n")
    assert bench(*words.format(name).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: {name}: ")
    assert said in line


@pytest.mark.fault(
    "folders of others", "a file of the folder is a pipe or a device",
    "refused by its name; a page or an index beside runs that is one is replaced",
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["pairs.csv", "journal.jsonl", "report.html", "plots/map.png", "logs/worker.log", "DONE"]
)
@pytest.mark.parametrize("words", ["report {}", "compare {} {}", "run --resume {}"])
def test_a_pipe_in_a_results_folder_hangs_nothing(place: Path, capsys, words: str, name: str):
    run = sound_folders(place) / "run"
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    assert bench(*words.format(run, run).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"bench: {run / name}: it is a pipe or a device, which is no part of a results folder. Remove it."


def test_a_pipe_at_a_place_of_ours_is_replaced_and_one_that_is_given_written_to(place: Path):
    write_text(Path("pipe"), "x")
    assert Path("pipe").read_text() == "x"
    write_text(Path("/dev/null"), "x", given=True)
    assert Path("/dev/null").is_char_device()


def test_a_table_of_a_results_folder_has_an_end_too(place: Path, capsys):
    folder = sound_folders(place)
    (folder / "tables" / "pairs.csv").unlink()
    (folder / "tables" / "pairs.csv").hardlink_to("huge")
    (folder / "run" / "roofs.csv").symlink_to("/dev/zero")
    assert bench("report", str(folder / "tables")) == 2
    assert bench("compare", str(folder / "tables"), str(folder / "tables")) == 2
    assert bench("predict", "crossover", "--device", f"sim:{folder}/run#cpu") == 2
    one, two, other = capsys.readouterr().err.splitlines()
    assert "pairs.csv: the file has over 256 MiB" in one
    assert "pairs.csv: the file has over 256 MiB" in two
    assert "roofs.csv: it is a link that leaves the folder" in other


@pytest.mark.parametrize("words", ["report {}", "run --resume {}"])
@pytest.mark.parametrize("name", ["config.yaml", "plan.json", "environment.json", "journal.jsonl", "opinions.csv"])
def test_no_file_of_a_results_folder_is_read_without_end(place: Path, capsys, words: str, name: str):
    folder = sound_folders(place) / ("tables" if name == "opinions.csv" else "run")
    (folder / name).unlink(missing_ok=True)
    (folder / name).hardlink_to("huge")
    if name == "config.yaml":
        first, *rest = (folder / "journal.jsonl").read_text().splitlines()
        begun = json.loads(first) | {"sha256": {"config.yaml": "0"}, "config": ""}
        (folder / "journal.jsonl").write_text("\n".join([json.dumps(begun), *rest]) + "\n")
    if name != "opinions.csv" or words.startswith("report"):
        assert bench(*words.format(folder).split()) == 2
        assert f"{name}: the file has over " in capsys.readouterr().err


def test_a_config_that_is_no_text_spoils_no_page(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bench.show.write.draw", lambda *_: ())
    monkeypatch.setattr("bench.show.plots.shared.files.save", lambda *_: ())
    folder = sound_folders(place) / "run"
    (folder / "config.yaml").write_bytes(b"\x89PNG\xff")
    assert bench("report", str(folder)) == 0
    assert "PNG" in (folder / "report.html").read_text()


@pytest.mark.parametrize(
    "column", ["threads", "matmul_flop_per_s", "memory_bytes_per_s", "cache_bytes", "cache_bytes_per_s"]
)
@pytest.mark.parametrize("cell", ["0", "-1", "5e-324", "1e308", "nan", "x", ""])
def test_an_odd_roof_predicts_or_is_refused(tmp_path: Path, capsys, column: str, cell: str):
    row = {
        "device": "cpu",
        "device_name": "Xeon",
        "dtype": "fp32",
        "threads": "1",
        "matmul_flop_per_s": "1e11",
        "conv_flop_per_s": "",
    }
    row |= {"cache_bytes_per_s": "1e11", "memory_bytes_per_s": "1e10", "cache_bytes": "1e8", column: cell}
    (tmp_path / "roofs.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    assert bench(
        "predict", "crossover", "--device", f"sim:{tmp_path}#cpu", "--json", "--channels", "8", "--batch", "1"
    ) in (0, 2)
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_as_many_bytes_as_may_be_are_read(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert content_of(path, 100) == b"x" * 100
    with pytest.raises(UserError, match="the file has over 0 MiB"):
        content_of(path, 99)
    path.write_bytes(b"")
    assert content_of(path, 99) == b""


def test_a_pipe_of_the_shell_is_read_and_written(tmp_path: Path):
    reads, writes = os.pipe()
    write_text(Path(f"/dev/fd/{writes}"), TABLE, given=True)
    os.close(writes)
    assert content_of(Path(f"/dev/fd/{reads}")).decode() == TABLE
    os.close(reads)


@pytest.mark.parametrize("words", ["--csv pipe", "--html pipe"])
def test_a_pipe_without_a_reader_is_not_waited_for(place: Path, capsys, words: str):
    folder = sound_folders(place)
    assert bench("compare", f"{folder}/run", f"{folder}/tables", *words.split()) == 2
    assert f"{words}: it is a pipe, which may have no reader" in capsys.readouterr().err


@pytest.mark.fault(
    "memory", "a file is too large for the memory",
    "status 2 and one line",
)  # fmt: skip
def test_memory_that_is_too_small_is_one_line(place: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("bench.analyse.drivers.csv_cells.content_of", full)
    assert bench("drivers", "timm.csv") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: memory: this program ran out of it")


@pytest.mark.fault(
    "disk", "links lead in a circle",
    "status 2 and one line",
)  # fmt: skip
def test_a_circle_of_links_is_no_run(place: Path, capsys):
    Path("loop").symlink_to("loop")
    for words in ("report loop pipe", "report --index loop", "compare loop loop", "drivers loop", "plan loop"):
        assert bench(*words.split()) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "deep" / "file"
    write_text(path, "one")

    def fails(file: object) -> None:
        file.write(b"tw")  # type: ignore[attr-defined]
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        files.write_whole(path, fails)
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "one"
