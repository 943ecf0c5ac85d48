"""Tables of observations: what is read from anyone's CSV and from our own runs, and how mistakes are told."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.analyse.drivers import observations
from bench.analyse.drivers.observations import Observation, read
from bench.analyse.runs import run_folder
from bench.spec.errors import UserError
from tests.synthetic import Story, config, write_run

ROOT = Path(__file__).resolve().parents[1]
HEADER = "source,device,device_kind,dtype,layout,mode,pass,batch,network,macs,activations,conv_layers,ops,params,time_s"
ROW = "a paper,A100,gpu,fp32,nchw,eager,forward,8,net,4e9,2000000,50,160,25000000,0.0125"


def written(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def mistake(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---------------------------------------------------------------- anyone's


def test_a_row_is_its_keys_its_counts_and_its_seconds(tmp_path: Path):
    (row,) = read(written(tmp_path, HEADER, ROW)).rows
    keys = {"source": "a paper", "device": "A100", "device_kind": "gpu", "dtype": "fp32", "layout": "nchw", "mode": "eager", "pass": "forward"}  # fmt: skip
    counts = {"macs": 4e9, "activations": 2e6, "conv_layers": 50.0, "ops": 160.0}
    assert row == Observation(keys, counts, 0.0125, "net", batch="8")


def test_what_is_empty_or_has_no_column_is_unknown(tmp_path: Path):
    found = read(written(tmp_path, "macs,activations,time_s", "1e9,,0.5", "", " 2e9 , 7 ,0.25")).rows
    assert [r.counts["activations"] for r in found] == [None, 7.0]
    assert {r.counts["ops"] for r in found} == {None}
    assert {r.labels["device"] for r in found} == {""}


def test_a_byte_order_mark_quotes_and_further_columns_are_no_matter(tmp_path: Path):
    path = tmp_path / "x.csv"
    path.write_bytes('\ufefftime_s,device,macs,note\r\n1,"Xeon, 2 cores",3,"two\r\nlines"\r\n'.encode())
    (row,) = read(path).rows
    assert (row.labels["device"], row.counts["macs"], row.time_s) == ("Xeon, 2 cores", 3.0, 1.0)


@pytest.mark.fault(
    "tables", "a table of observations, or of timm's, has odd text anywhere",
    "an answer, or one line with its place",
)  # fmt: skip
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "time_s: there is no such column among none. Give a table of observations"),
        (("macs,time_ms", "1,2"), "time_s: there is no such column among macs, time_ms."),
        (("network,time_s", "net,2"), "macs, activations, conv_layers: none of these is among the columns network, time_s."),
        ((HEADER,), ": it has no rows. Give a table"),
        (("macs,macs,time_s", "1,2,3"), ":1: 'macs': two columns have the same name. Rename or drop one of them."),
        (("macs,time_s", "1,2", "1,2,3"), ":3: the row has 3 cells where the header has 2. Mend the row"),
        (("macs,time_s", "1,2", "", "x,2"), ":4: macs: 'x': it is not a number. Write digits, such as 0.0125 or 1.2e9, or leave the cell empty"),
        (("macs,time_s", "1,12 ms"), ":2: time_s: '12 ms': it is not a number. Write digits, such as 0.0125 or 1.2e9."),
        (("macs,time_s", "1_000,2"), ":2: macs: '1_000': it is not a number"),
        (("macs,time_s", "1,2", "1,-2"), ":3: time_s: '-2': it is not above 0. Mend the cell or leave the row out."),
        (("macs,time_s", "1,0"), ":2: time_s: '0': it is not above 0."),
        (("macs,time_s", "0,1"), ":2: macs: '0': it is not above 0. Mend the cell or leave the row out, or leave the cell empty"),
        (("macs,time_s", "1,nan"), ":2: time_s: 'nan': it is not a number."),
        (("macs,time_s", "inf,1"), ":2: macs: 'inf': it is not between 1e-06 and 1e+24."),
        (("macs,time_s", "1,1e300"), ":2: time_s: '1e300': it is not between 1e-12 and 1e+09 seconds."),
        (("macs,time_s", "1,"), ":2: time_s: it is empty. Give the seconds of one evaluation, or leave the row out."),
        (("macs,time_s", '1,"2'), "this is no CSV ("),
        (("speedup,status,speedup_ci_low", "1,ok,1"), "time_s: there is no such column among speedup, status, speedup_ci_low."),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, lines: tuple[str, ...], said: str):
    path = written(tmp_path, *lines)
    line = mistake(path)
    assert line.startswith(str(path))
    assert said in line


def test_a_file_that_is_none_or_no_text_is_one_line_too(tmp_path: Path):
    assert "none.csv: the table can't be read: No such file or directory. Give a table" in mistake(
        tmp_path / "none.csv"
    )
    (tmp_path / "picture.csv").write_bytes(b"macs,time_s\n1,2\n\x89PNG\r\n")
    assert mistake(tmp_path / "picture.csv").startswith(f"{tmp_path}/picture.csv:3: this is no text in UTF-8.")
    (tmp_path / "empty").mkdir()
    assert "this is no results folder" in mistake(tmp_path / "empty")


@pytest.mark.fault(
    "tables", "a table of observations, or of timm's, has odd text anywhere",
    "an answer, or one line with its place",
)  # fmt: skip
@given(st.text(max_size=200), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_brings_it_down(tmp_path: Path, text: str, headed: bool):
    path = tmp_path / "fuzz.csv"
    path.write_text(f"macs,activations,time_s\n{text}" if headed else text, encoding="utf-8", newline="")
    try:
        assert read(path).rows
    except UserError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told


# ---------------------------------------------------------------- ours


def test_a_run_and_its_measurements_say_the_same(tmp_path: Path):
    write_run(tmp_path, data=config({"pass": ["inference", "training"], "layout": ["contiguous", "channels_last"]}))
    run = run_folder.read(tmp_path)
    run_folder.write_tables(run)
    by_folder, by_file = read(tmp_path), read(tmp_path / "measurements.csv")
    assert by_folder.rows == by_file.rows
    (first, *_) = by_folder.rows
    row = run.measurements.iloc[0]
    assert first.time_s == row["time_min_s"]
    assert first.counts == {"macs": row["macs"], "activations": row["activations"], "conv_layers": row["layers"], "ops": row["ops"]}  # fmt: skip
    assert {r.labels["device"] for r in by_folder.rows} == {"Imaginary CPU @ 2.00GHz, 1 thread", "Imaginary CPU @ 2.00GHz, 2 threads"}  # fmt: skip
    assert {r.labels["pass"] for r in by_folder.rows} == {"inference", "training"}
    assert {(r.labels["source"], r.labels["device_kind"], r.labels["mode"]) for r in by_folder.rows} == {(run.run_id, "cpu", "eager")}  # fmt: skip


def test_only_rows_that_were_measured_count(tmp_path: Path):
    write_run(tmp_path, Story(fails={0: (1, "oom", "no memory")}))
    found = read(tmp_path)
    assert (len(found.rows), found.not_measured) == (22, 2)
    write_run(tmp_path / "nothing", Story(fails=dict.fromkeys(range(12), (1, "oom", "no memory"))))
    assert "none of its 24 rows was measured" in mistake(tmp_path / "nothing")


def test_surroundings_that_are_not_usual_are_groups_of_their_own(tmp_path: Path):
    write_run(tmp_path, data=config({"allocator": ["retain", "default"], "threads": [1]}), devices=["cpu", "cuda:0"])
    found = {(r.labels["device"], r.labels["device_kind"], r.labels["mode"]) for r in read(tmp_path).rows}
    assert ("Imaginary CPU @ 2.00GHz, 1 thread", "cpu", "eager, allocator default") in found
    assert ("Imaginary GPU (cuda:0)", "gpu", "eager") in found


def test_a_table_of_ours_without_the_minimum_is_read_by_its_median(tmp_path: Path):
    reference = ROOT / "results" / "reference" / "xeon-2-cores"
    shutil.copy(reference / "measurements.csv", tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "measurements.csv").read_text())))
    with (tmp_path / "measurements.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name != "time_min_s"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert [r.time_s for r in observations.read(tmp_path / "measurements.csv").rows] == [float(r["time_median_s"]) for r in rows]  # fmt: skip
