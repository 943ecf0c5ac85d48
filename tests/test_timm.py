"""Benchmarks of timm as published: what a row, a name and a table of layers tell, and how their mistakes are told.

The files here are written by hand in the published form; no published row is among them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.analyse.drivers import timm_tables
from bench.analyse.drivers.explain import explain
from bench.analyse.drivers.observations import Observation, read
from bench.spec.errors import UserError

NAME = "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv"
HEADER = (
    "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count,infer_gmacs,infer_macts"
)
ROW = "wide_net,224,2000.0,128.0,256,3.5,0.5,4.0"
LAYERS = "model,img_size,n_conv,n_aten"


def written(folder: Path, *lines: str, name: str = NAME) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def mistake(path: Path, layers: Path | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read(path, layers)
    line = str(caught.value)
    assert "\n" not in line
    return line


# ---------------------------------------------------------------- rows and names


def test_a_row_is_the_evaluation_of_a_whole_batch(tmp_path: Path):
    found = read(written(tmp_path, HEADER, ROW))
    keys = {
        "source": "timm results, pt240 cu124", "device": "rtx4090", "device_kind": "gpu", "dtype": "amp", "layout": "nchw",
        "mode": "eager", "pass": "inference",
    }  # fmt: skip
    counts = {"macs": 0.5e9 * 256, "activations": 4e6 * 256, "conv_layers": None, "ops": None}
    assert found.rows == (Observation(keys, counts, 256 / 2000, "wide_net", batch="256"),)
    assert (found.not_measured, found.asked, found.notes) == (0, (), ())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("benchmark-infer-fp32-nchw-pt240-cpu-i7_12700h-dynamo", ("i7_12700h", "cpu", "fp32", "nchw", "compile", "inference")),
        ("benchmark-infer-amp_bf16-nhwc-pt291-cu130-pro6000maxq-dynamo", ("pro6000maxq", "gpu", "amp_bf16", "nhwc", "compile", "inference")),
        ("benchmark-train-amp-nhwc-pt112-cu113-rtx3090", ("rtx3090", "gpu", "amp", "nhwc", "eager", "training")),
        ("model_benchmark_amp_nchw_rtx3090", ("", "", "", "", "", "")),
        ("mine", ("", "", "", "", "", "")),
    ],
)  # fmt: skip
def test_the_name_of_a_file_says_where_it_was_measured(name: str, told: tuple[str, ...]):
    keys = timm_tables.labels_of(Path(f"{name}.csv"))
    assert tuple(keys[k] for k in ("device", "device_kind", "dtype", "layout", "mode", "pass")) == told
    assert bool(keys["source"]) == bool(told[0])


def test_without_a_telling_name_the_columns_still_tell_the_pass(tmp_path: Path):
    (row,) = read(written(tmp_path, HEADER, ROW, name="mine.csv")).rows
    assert {k: v for k, v in row.labels.items() if v} == {"pass": "inference"}
    plain = HEADER.replace("infer_", "")
    (row,) = read(written(tmp_path, plain, ROW, name="mine.csv")).rows
    assert (set(row.labels.values()), row.time_s, row.counts["macs"]) == ({""}, 0.128, 0.5e9 * 256)


def test_counts_that_were_rounded_to_zero_or_not_taken_are_unknown(tmp_path: Path):
    rows = read(
        written(tmp_path, HEADER, "a,160,9.0,,1,0.4,0.0,0.4", "b,160,9.0,,1,0.4,,", "c,160,9.0,,1,0.4,0.00,0")
    ).rows
    assert [r.counts["macs"] for r in rows] == [None, None, None]
    assert [r.counts["activations"] for r in rows] == [0.4e6, None, None]


def test_a_file_with_training_has_both_passes_and_training_the_counts_of_its_own_size(tmp_path: Path):
    header = f"{HEADER},train_samples_per_sec,train_step_time,train_batch_size,train_img_size"
    rows = read(written(tmp_path, header, f"{ROW},500,128,64,224", f"{ROW},500,128,64,192", f"{ROW},,,,")).rows
    assert [r.labels["pass"] for r in rows] == ["inference", "training"] * 2 + ["inference"]
    assert [r.time_s for r in rows if r.labels["pass"] == "training"] == [0.128, 0.128]
    assert [r.counts["macs"] for r in rows if r.labels["pass"] == "training"] == [0.5e9 * 64, None]


def test_a_network_that_failed_is_counted_and_not_read(tmp_path: Path):
    found = read(written(tmp_path, HEADER, ROW, "broken,224,,,,,,", "stuck,224,0.0,,256,1,1,1"))
    assert (len(found.rows), found.not_measured) == (1, 2)
    assert "none of its 1 rows was measured" in mistake(written(tmp_path, HEADER, "broken,224,,,,,,"))


def test_two_times_that_contradict_each_other_are_said(tmp_path: Path):
    seconds = ROW.replace("128.0", "0.128")  # a step time in seconds
    found = read(written(tmp_path, HEADER, ROW, seconds, ROW.replace("128.0", "131.0")))
    assert [r.time_s for r in found.rows] == [0.128] * 3
    assert found.notes == ("samples_per_sec and step_time differ by over 10% in 1 of 3 rows; the former is used",)


@pytest.mark.fault(
    "tables", "a table of observations, or of timm's, has odd text anywhere",
    "an answer, or one line with its place",
)  # fmt: skip
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a,224,fast,1,1,1,1,1", ":2: infer_samples_per_sec: 'fast': it is not a number."),
        ("a,224,-3,1,1,1,1,1", ":2: infer_samples_per_sec: '-3': it is not above 0."),
        ("a,224,3,1,1,1,1e30,1", ":2: infer_gmacs: '1e30': it is not between 1e-12 and 1e+15."),
        ("a,224,3,5e-324,1,1,1,1", "it is not between 1e-12 and 1e+15."),
        ("a,224,3", ":2: the row has 3 cells where the header has 8."),
    ],
)
def test_a_mistake_is_told_by_the_column_of_the_file(tmp_path: Path, row: str, said: str):
    assert said in mistake(written(tmp_path, HEADER, row))


# ---------------------------------------------------------------- layers


def test_layers_and_ops_are_joined_by_network_and_image_size(tmp_path: Path):
    layers = written(
        tmp_path, f"{LAYERS},n_bn", "wide_net,224,53,174,53", "wide_net,160,1,2,3", "other,224,9,,9", name="l.csv"
    )
    found = read(written(tmp_path, HEADER, ROW, ROW.replace("224", "288"), ROW.replace("wide_net", "other")), layers)
    assert [(r.counts["conv_layers"], r.counts["ops"]) for r in found.rows] == [(53, 174), (None, None), (9, None)]
    assert found.notes == ("1 of 3 rows have no layers and ops in l.csv (by model and image size)",)


def test_what_was_asked_for_is_not_left_out_because_few_rows_know_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A published file has over a thousand networks, and a table of layers a part of them."""
    rng = np.random.default_rng(3)
    rows, layers = [], []
    for i in range(60):
        gmacs, macts = (float(v) for v in np.exp(rng.normal(1, 0.8, 2)))
        ops = int(rng.integers(50, 400))
        time_s = 3e-10 * macts * 1e6 * 64 + 2e-5 * ops
        rows.append(f"net{i},224,{64 / time_s:.6f},{1e3 * time_s:.3f},64,1,{gmacs:.2f},{macts:.2f}")
        if i < 20:
            layers.append(f"net{i},224,{ops // 3},{ops}")
    path, beside = written(tmp_path, HEADER, *rows), written(tmp_path, LAYERS, *layers, name="layers.csv")
    (group,) = explain(read(path, beside)).groups
    assert (group.n, group.fewer, group.limit.word) == (20, 40, "bandwidth-bound")
    assert group.additive is not None
    assert {t.names[0]: t.seconds_each for t in group.additive.terms}["ops"] == pytest.approx(2e-5, rel=0.05)
    assert explain(read(path)).groups[0].left_out["conv_layers"] == "unknown"

    with pytest.raises(SystemExit) as left:
        cli.main(["drivers", str(path), "--layers", str(beside), "--out", str(tmp_path)])
    told = capsys.readouterr().out
    assert left.value.code == 0
    assert "40 of 60 rows have no layers and ops in layers.csv (by model and image size)" in told
    assert "40 rows lack a count that the others have, and are left out" in told
    with pytest.raises(SystemExit):
        cli.main(["drivers", str(path), "--layers", str(beside), "--json"])
    assert json.loads(capsys.readouterr().out)["notes"] == list(read(path, beside).notes)


def test_training_alone_needs_a_table_of_layers(tmp_path: Path):
    name = "benchmark-train-amp-nchw-pt112-cu113-rtx3090.csv"
    header = "model,train_samples_per_sec,train_step_time,train_batch_size,train_img_size,param_count"
    path = written(tmp_path, header, "wide_net,1000.0,512.0,512,224,3.5", name=name)
    assert "Give a table of its networks' layers by --layers." in mistake(path)
    (row,) = read(path, written(tmp_path, LAYERS, "wide_net,224,53,174", name="l.csv")).rows
    assert (row.labels["pass"], row.time_s, row.counts["ops"]) == ("training", 0.512, 174)


def test_a_table_of_layers_that_is_none_is_one_line(tmp_path: Path):
    path = written(tmp_path, HEADER, ROW)
    assert "n_conv, n_aten: not among the columns model, img_size. Give a CSV with the columns" in mistake(
        path, written(tmp_path, "model,img_size", "a,224", name="l.csv")
    )
    assert "l.csv:2: n_conv: 'many': it is not a number." in mistake(
        path, written(tmp_path, LAYERS, "a,224,many,3", name="l.csv")
    )
    assert "none.csv: the table can't be read" in mistake(path, tmp_path / "none.csv")


def test_layers_beside_any_other_table_are_refused(tmp_path: Path):
    layers = written(tmp_path, LAYERS, "a,224,1,2", name="l.csv")
    line = mistake(written(tmp_path, "macs,time_s", "1e9,1", name="table.csv"), layers)
    assert line.startswith(f"--layers {layers}: {tmp_path}/table.csv is no benchmark of timm's. Leave --layers out")
