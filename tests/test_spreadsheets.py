"""Tables as people have them: saved by a spreadsheet, in another country's numbers, with batches that differ by row."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from bench.analyse.drivers.explain import explain
from bench.analyse.drivers.observations import read
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import as_csv
from bench.cli import main
from bench.spec.columns import cell_of, text_of
from bench.spec.errors import UserError
from tests.synthetic import write_run

ROOT = Path(__file__).resolve().parents[1]
HEADER = ["device", "macs", "activations", "conv_layers", "time_s"]
ROWS = [
    ["rig", "100000000", "3000000", "10", "0.0005"],
    ["rig", "200000000", "1000000", "40", "0.0012"],
    ["rig", "300000000", "4000000", "20", "0.0014"],
    ["rig", "500000000", "1500000", "80", "0.0028"],
    ["rig", "800000000", "9000000", "16", "0.00336"],
    ["rig", "1300000000", "2600000", "32", "0.00552"],
    ["rig", "2100000000", "5000000", "64", "0.00904"],
    ["rig", "3400000000", "3500000", "12", "0.01372"],
    ["rig", "5500000000", "8000000", "24", "0.02224"],
    ["rig", "200000000", "9700000", "48", "0.00128"],
    ["rig", "900000000", "9300000", "96", "0.00456"],
    ["rig", "4000000000", "2300000", "20", "0.0162"],
]  # 4.0e-12 s a MAC and 1.0e-5 s a layer
CLEAN = "\n".join(",".join(row) for row in [HEADER, *ROWS]) + "\n"


def grouped(number: str, sign: str) -> str:
    return f"{int(number):,}".replace(",", sign) if number.isdigit() else number


def table(delimiter: str, decimal: str = ".", thousands: str = "", quote: str = "") -> str:
    def cell(text: str) -> str:
        made = grouped(text, thousands) if thousands else text
        made = made.replace(".", decimal) if "." in text else made
        return f"{quote}{made}{quote}" if text[0].isdigit() else made

    return "\n".join(delimiter.join(map(cell, row)) for row in [HEADER, *ROWS]) + "\n"


def written(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def mistake(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.fault(
    "tables", "a spreadsheet saved it: byte order mark, `;`, decimal commas, thousands, empty rows and columns",
    "the same numbers as of the clean table",
)  # fmt: skip
@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + CLEAN.replace("\n", ",,\r\n") + ",,,,,,\r\n",  # empty columns and an empty row, as LibreOffice saves
        "\n,,,,\n" + CLEAN,
        CLEAN.replace("\n", ",\n").replace("time_s,", "time_s", 1),  # a comma at the end of each row but the header
        ",".join(["", *HEADER]) + "\n" + "\n".join(f"{i}," + ",".join(row) for i, row in enumerate(ROWS)),  # pandas' index
        table(";", decimal=","),
        "sep=;\r\n" + table(";", decimal=","),
        table("\t"),
        table("\t", decimal=","),
        table(";", decimal=",", thousands="."),
        table(";", decimal=",", thousands=" "),
        table(",", thousands=",", quote='"'),
        table(",", decimal=",", quote='"'),
        table(",", thousands="'"),
        table(",", thousands="\u202f"),
    ],
    ids=range(14),
)  # fmt: skip
def test_a_spreadsheets_table_is_read_as_the_clean_one(tmp_path: Path, text: str):
    clean = read(written(tmp_path / "clean.csv", CLEAN)).rows
    assert len(clean) == 12
    assert clean[0].counts["macs"] == 1e8
    assert read(written(tmp_path / "other.csv", text)).rows == clean


def test_its_costs_are_those_it_was_made_of(tmp_path: Path):
    (group,) = explain(read(written(tmp_path / "t.csv", table(";", decimal=",", thousands=".")))).groups
    assert group.additive is not None
    each = {"+".join(term.names): term.seconds_each for term in group.additive.terms}
    assert each["macs"] == pytest.approx(4e-12)
    assert each["conv_layers"] == pytest.approx(1e-5)


@pytest.mark.fault(
    "tables", "a number could be read in two ways",
    "status 2 and one line that names column and value",
)  # fmt: skip
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macs;time_s\n1,234;2\n", ":2: '1,234': it may be 1.234 or 1234. Write 1234 or a decimal point."),
        ('macs,time_s\n"1,234",2\n', ":2: '1,234': it may be 1.234 or 1234."),
        ("macs;time_s\n1,5;0.25\n", ": in this table the decimal sign is . in 0.25 and , in 1,5. Write all numbers as 1234.5."),
        ('macs,time_s\n"1,23,456",0.2\n', ":2: macs: '1,23,456': it is not a number."),
        ('macs,time_s\n"12 34",0.2\n', ":2: macs: '12 34': it is not a number."),
        ("macs,time_s\n100,0,2\n", ":2: the row has 3 cells where the header has 2."),
        ("macs,time_s,,\n1,2,,x,3\n", ":2: the row has 5 cells where the header has 4."),
        ("macs,time_s\n1\n", ":2: the row has 1 cells where the header has 2."),
        ("macs,macs,,,time_s\n1,2,,,3\n", ":1: 'macs': two columns have the same name."),
        (",,\n,,\n", "there is no such column among none"),
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused_by_name(tmp_path: Path, text: str, said: str):
    path = written(tmp_path / "t.csv", text)
    line = mistake(path)
    assert line.startswith(str(path))
    assert said in line


def test_a_comma_in_a_column_that_holds_no_numbers_says_nothing(tmp_path: Path):
    found = read(written(tmp_path / "t.csv", "device;version;macs;time_s\nrig, 1,5 V;2.13;1e9;0,5\n"))
    assert (found.rows[0].labels["device"], found.rows[0].time_s) == ("rig, 1,5 V", 0.5)


def test_long_rows_and_long_cells_are_read_once(tmp_path: Path):
    names = [f"c{i}" for i in range(100_000)]
    text = ",".join(["macs", "time_s", *names]) + "\n1e9,1," + "," * (len(names) - 1) + "\n"
    assert len(read(written(tmp_path / "wide.csv", text)).rows) == 1
    for cell in ("1" * 120_000 + "x", "1," * 60_000 + "x", "1 111" * 20_000 + "x"):
        assert ":2: macs: " in mistake(written(tmp_path / "long.csv", f'macs,time_s\n"{cell}",1\n'))


def test_a_benchmark_of_timms_may_come_from_a_spreadsheet(tmp_path: Path):
    text = "model;samples_per_sec;step_time;batch_size;img_size;gmacs;macts\nnet;2000,25;1.279,9;2.560;224;0,5;4,25\n"
    (row,) = read(written(tmp_path / "t.csv", text)).rows
    assert row.time_s == pytest.approx(2560 / 2000.25)
    assert row.counts["macs"] == 0.5e9 * 2560


@pytest.mark.fault(
    "tables", "batches differ within a group",
    "a line says so",
)  # fmt: skip
def test_batches_that_differ_within_a_group_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    timm = ["model,infer_samples_per_sec,infer_batch_size,infer_img_size,infer_gmacs,infer_macts"]
    timm += [f"net{i},{3000 / (i + 1):.2f},{64 << i % 4},224,{0.5 * (i + 1)},{4 + i % 3}" for i in range(8)]
    path = written(tmp_path / "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv", "\n".join(timm))
    (group,) = explain(read(path)).groups
    assert group.batches == (64, 512)
    assert group.to_dict()["batches"] == [64, 512]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["drivers", path.name])
    assert "rows differ in batch (64 to 512): times and counts are of whole batches" in capsys.readouterr().out
    same = written(tmp_path / "t.csv", "batch,macs,time_s\n8,1e9,1\n8,2e9,2\n")
    other = written(tmp_path / "u.csv", "batch,macs,time_s\n8,1e9,1\n,3e9,1\nmany,2e9,2\n16,2e9,2\n")
    assert [explain(read(p)).groups[0].batches for p in (same, other)] == [(), (8, 16)]


@pytest.mark.fault(
    "tables", "a training table of timm's",
    "it is read with a table of layers (--layers); without one, status 2 and the missing columns",
)  # fmt: skip
def test_a_training_file_of_timms_needs_a_table_of_layers(tmp_path: Path):
    text = "model,train_samples_per_sec,train_step_time,train_batch_size,train_img_size,param_count\nnet,1000.5,500.1,512,224,2.04\n"
    path = written(tmp_path / "benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv", text)
    assert "infer_gmacs, infer_macts: neither is among the columns model, train_samples_per_sec" in mistake(path)
    layers = written(tmp_path / "layers.csv", "model,img_size,n_conv,n_aten\nnet,224,52,160\n")
    (row,) = read(path, layers).rows
    assert (row.labels["pass"], row.batch, row.counts["conv_layers"]) == ("training", "512", 52)
    assert row.time_s == pytest.approx(512 / 1000.5)


@pytest.mark.fault(
    "tables", "two tables have one name",
    "each keeps its picture",
)  # fmt: skip
def test_pictures_of_tables_of_one_name_are_kept_apart(
    tmp_path: Path, sketched, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("t.csv", "t.txt", "t", "a/t.csv", "b/t.csv", "a-b/t.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        written(path, CLEAN)
        with pytest.raises(SystemExit):
            main(["drivers", name])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("picture: ")]
    assert told[0] == "picture: results/drivers-t/drivers.png"
    assert len({*told}) == 6
    assert len([*(tmp_path / "results").iterdir()]) == 6


# ---------------------------------------------------------------- our own tables in a spreadsheet

ODD = [
    "=1+1",
    "+x",
    "-x",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\nx",
    "'=x",
    "''-x",
    "'x",
    "-5",
    "a\r\nb",
    "plain",
    "±3 %",
    'a "b", c',
    "",
]


@pytest.mark.fault(
    "tables", "a text begins like a spreadsheet's formula",
    "our CSV files defuse it, and our readers give the text back",
)  # fmt: skip
@pytest.mark.parametrize("text", ODD)
def test_a_text_is_no_formula_and_comes_back(text: str):
    assert cell_of(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    assert text_of(cell_of(text)) == text
    assert (cell_of(text) == text) == (not text.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r", "\n")))


def test_a_table_of_odd_texts_has_no_formula_and_its_numbers_are_numbers():
    texts = [*ODD[:-1], None]
    numbers = [-1.5, None, *(1e-300 * i for i in range(len(texts) - 2))]
    for dtype in ("string", "object"):
        frame = pd.DataFrame({"text": pd.array(texts, dtype=dtype), "number": pd.array(numbers, dtype="Float64")})
        back = pd.read_csv(io.StringIO(as_csv(frame), newline=""), keep_default_na=False, na_values=[""])
        assert back["number"].dropna().tolist() == [n for n in numbers if n is not None]
        assert [None if pd.isna(t) else text_of(t) for t in back["text"]] == texts
        assert not back["text"].dropna().str.match(r"[=+\-@\t\r\n]").any()


def test_a_runs_tables_hold_no_formula_and_are_read_back_as_they_were(tmp_path: Path, capsys):
    folder = tmp_path / "run"
    write_run(folder, environment={"run_id": "=run", "devices": {"cpu": {"name": '=HYPER\rLINK("http://x.invalid")'}}})
    run = run_folder.read(folder, samples=True)
    run_folder.write_tables(run, tmp_path / "tables")
    for path in (tmp_path / "tables").iterdir():
        cells = pd.read_csv(path, dtype="string", keep_default_na=False)
        for name in cells:
            kinds = run_folder.columns_of(path.name[0])  # type: ignore[arg-type]
            if next(c.dtype for c in kinds if c.name == name) == "string":
                assert not cells[name].str.match(r"[=+\-@\t\r\n]").any(), (path.name, name)
    back = run_folder.read(tmp_path / "tables", samples=True)
    pd.testing.assert_frame_equal(back.measurements, run.measurements)
    pd.testing.assert_frame_equal(back.pairs, run.pairs)
    assert [r.labels for r in read(tmp_path / "tables" / "measurements.csv").rows] == [
        r.labels for r in read(folder).rows
    ]
    for words in (
        ["report", str(folder), "--format", "csv"],
        ["compare", str(folder), str(tmp_path / "tables"), "--csv", str(tmp_path / "c.csv"), "--json"],
    ):
        with pytest.raises(SystemExit):
            main(words)
    for text in (capsys.readouterr().out.partition("{")[0], (tmp_path / "c.csv").read_text()):
        cells = [cell for line in text.splitlines() for cell in line.split(",")]
        assert not [c for c in cells if c.strip('"').startswith(("=", "@", "+"))]
