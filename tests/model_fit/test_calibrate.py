"""The file of the fit: what it is made of, and what must not move it."""

import json
import math
import shutil
from pathlib import Path

import pytest

from tests.model_fit.reference import REFERENCE, model_fit, own
from tools.model_fit import calibrate, own_runs, published_times
from tools.model_fit.cross_validation import FITTED, NO_DEVICE, NO_SOURCE


def convolutions(path, ms):
    """A table as DeepBench's, of three convolutions."""
    lines = "".join(f"28,28,{c},8,{c},3,3,{8 * c * c * 9 * 784},1,{ms * c / 64}\n" for c in (32, 64, 128))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"W,H,C,N,K,S_w,R_h,macs,bytes_fp32,fwd_ms\n{lines}")


def test_calibrate_writes_a_file_that_says_where_all_of_it_is_from(tmp_path, capsys, monkeypatch):
    data = tmp_path / "data"
    for word, ms in (("v100_fp32", 0.2), ("gtx1080ti_fp32", 0.5), ("knl7250_fp32", 0.6)):
        convolutions(data / "deepbench" / f"{word}.csv", ms)
    i9 = "timm/benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv"
    (data / "timm").mkdir()
    (data / i9).write_text("model,infer_img_size,infer_samples_per_sec,infer_batch_size\nresnet18,224,126.23,1\n")
    out = tmp_path / "found.json"
    monkeypatch.setattr(published_times, "TABLES", "no_excerpts")
    run = "xeon-2-cores-threads"
    status, said, progress = model_fit(capsys, "calibrate", str(data), "--own", str(REFERENCE / run), "--out", str(out))
    (line,) = progress.splitlines()
    assert line.endswith(
        f"fitting to tables in {data} and 1 own runs, with and without each source and device: minutes"
    )
    assert status == 0
    assert f"written: {out}" in said
    found = json.loads(out.read_text())
    assert [(one["file"], one["read"]) for one in found["data"]] == [
        ("deepbench/gtx1080ti_fp32.csv", 3), ("deepbench/knl7250_fp32.csv", 3), ("deepbench/v100_fp32.csv", 3),
        (i9, 1), (f"results/reference/{run}", len(own(run).rows["wall"])),
    ]  # fmt: skip
    assert set(found["without"]) == {own_runs.machine(own(run).run), own_runs.OURS}
    assert {score["source"] for score in found["checks"]} == {run}
    assert sum(row["times"]["n"] for row in found["where"]) == len(own(run).rows["wall"])


def test_what_is_held_against_moves_no_parameter_and_what_is_left_out_is_not_seen(tmp_path, monkeypatch):
    for word, ms in (("v100_fp32", 0.2), ("gtx1080ti_fp32", 0.9), ("knl7250_fp32", 0.6)):
        convolutions(tmp_path / "deepbench" / f"{word}.csv", ms)
    excerpts = Path(published_times.__file__).parent / published_times.TABLES / "openbayes"
    monkeypatch.setattr(published_times, "TABLES", "no_excerpts")
    alone = calibrate.calibrate(tmp_path, [])
    assert (alone["on_told_hosts"], alone["summary_on_unknown_hosts"]) == ([], {"gpu": {}, "cpu": {}})
    (tmp_path / "openbayes").mkdir()
    shutil.copy(excerpts / "openbayes-v100-fp32.csv", tmp_path / "openbayes")
    beside = calibrate.calibrate(tmp_path, [])
    for same in ("parameters", "scores", "summary", "summary_with_ours"):
        assert beside[same] == alone[same], same
    for part, rows in (("on_told_hosts", 11), ("on_unknown_hosts", 26)):
        (score,) = beside[part]
        assert (score["source"], score["times"][NO_SOURCE]["n"]) == ("openbayes", rows)
    convolutions(tmp_path / "deepbench" / "v100_fp32.csv", 2.0)
    slow = calibrate.calibrate(tmp_path, [])
    assert slow["parameters"] != alone["parameters"]
    before, after = (next(s["times"] for s in one["scores"] if s["device"] == "v100") for one in (alone, slow))
    assert after[NO_DEVICE]["bias"] == pytest.approx(before[NO_DEVICE]["bias"] - math.log(10), abs=2e-4)
    assert after[FITTED]["bias"] > after[NO_DEVICE]["bias"] + 0.1
