"""Published tables as observed times: layers and networks become kernels, excerpts agree with themselves, hosts are read off."""

import csv
import statistics
from dataclasses import replace
from functools import cache
from importlib.resources import as_file, files

import pytest

from bench.spec.devices.predicted_devices import known
from bench.spec.errors import UserError
from bench.spec.model.model_parameters import prior
from tools.model_fit import cross_validation, fitting, published_times, unfitted_roofline


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_layer_of_deepbench_becomes_its_kernel(tmp_path):
    macs = 8 * 256 * 128 * 9 * 14 * 14
    write(
        tmp_path / "deepbench" / "v100_fp32.csv",
        f"W,H,C,N,K,S_w,R_h,macs,bytes_fp32,fwd_ms\n28,28,128,8,256,3,3,{macs},1,0.5\n",
    )
    row, *_ = published_times.read(tmp_path)
    ((kernel, count),) = row.kernels
    assert (kernel.macs, kernel.stride, kernel.family, count) == (macs, 2, "dense", 1)
    assert (row.time_s, row.device.name, row.mode) == (5e-4, "v100", "library")


def test_a_network_of_timms_has_the_layers_that_its_code_has(tmp_path):
    head = "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size,param_count,infer_gmacs,infer_macts\n"
    rows = "mobilenetv1_100,224,1000,64,64,4.2,0.58,5.04\nresnet18,224,2000,32,64,11.7,1.82,2.48\nno_such_net,224,1,1,1,1,1,1\n"
    write(tmp_path / "timm" / "benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv", head + rows)
    v1, r18, *_ = published_times.read(tmp_path)
    for row, gmacs in ((v1, 0.569), (r18, 1.814)):
        assert sum(k.macs * n for k, n in row.kernels) / 64e9 == pytest.approx(gmacs, abs=0.001)
    assert (v1.time_s, v1.dtype, v1.baseline, r18.baseline, v1.group) == (0.064, "fp16", False, True, r18.group)


def test_an_excerpt_of_the_package_is_read_where_the_folder_has_no_such_table(tmp_path):
    head = "model,infer_img_size,infer_samples_per_sec,infer_step_time,infer_batch_size\n"
    name = "benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv"
    write(tmp_path / "timm" / name.replace("i9_10940x", "i7_12700h"), f"{head}resnet18,224,100,10,1\n")
    other, *excerpt = published_times.read(tmp_path)
    assert other.device.name == "laptop_cpu"
    assert {row.source for row in excerpt} == {"timm", "openbayes"}
    (r18,) = [row for row in excerpt if (row.name, row.device.name) == ("resnet18", "desktop_cpu")]
    assert r18.time_s == pytest.approx(1 / 126.23)
    write(tmp_path / "timm" / name, f"{head}resnet18,224,50,20,1\n")
    cpus = [row for row in published_times.read(tmp_path) if row.device.kind == "cpu"]
    assert [row.time_s for row in cpus] == [0.01, 0.02]


def excerpts(part):
    with as_file(files("tools.model_fit") / published_times.TABLES) as folder:
        return {
            file.stem: list(csv.DictReader(file.open(encoding="utf-8")))
            for file in sorted(folder.glob(f"{part}/*.csv"))
        }


def test_the_excerpts_two_figures_of_each_network_agree():
    found = excerpts("timm")
    assert [len(rows) for rows in found.values()] == [203, 203, 203, 204, 204]
    for name, rows in found.items():
        assert len({(row["model"], row["infer_img_size"]) for row in rows}) == len(rows), name
        for row in rows:
            batch = float(row["infer_samples_per_sec"]) * float(row["infer_step_time"]) / 1000
            assert batch == pytest.approx(float(row["infer_batch_size"]), rel=5e-3), (name, row)


@cache
def rows_of_excerpts():
    with as_file(files("tools.model_fit") / published_times.TABLES) as folder:
        return published_times.read(folder)


def of_checked(table=""):
    """The rows of the excerpts that are never fitted."""
    return [r for r in rows_of_excerpts() if r.source == "openbayes" and r.table.startswith(table)]


def test_a_site_whose_samples_a_busy_host_spoilt_is_left_out():
    sites = {file for row in of_checked() for file in row.extra["files"]}
    assert sites < set(excerpts("openbayes"))
    for name, samples in excerpts("openbayes").items():
        networks = [[float(row[network]) for row in samples] for network in samples[0]]
        spoilt = sum(max(times) / min(times) > 1.3 for times in networks) / len(networks)
        assert (name in sites) == (spoilt <= 0.25), (name, spoilt)


def test_the_four_shufflenets_take_one_time_on_every_card_and_so_tell_of_its_host():
    tables = {row.table for row in of_checked()}
    assert len(tables) == 8
    for table in tables:
        rows = {row.name: row for row in of_checked(table)}
        nets = [rows[f"shufflenet_v2_x{width}"] for width in ("0_5", "1_0", "1_5", "2_0")]
        times = [row.time_s for row in nets]
        assert max(times) < 4 / 3 * min(times), table  # of 3.6 times the MACs between the narrowest and the widest
        calls = sum(count for _, count in nets[0].kernels)
        operator_s = statistics.median((row.time_s - row.copied_s) / calls for row in nets)
        assert nets[0].device.dispatch_s + nets[0].device.launch_s == pytest.approx(operator_s)
        assert 40e-6 < operator_s < 65e-6
        assert not {row.name for row in cross_validation.usable(list(rows.values()))} & {row.name for row in nets}
        stranger = published_times.on_unknown_host(nets[0])
        assert (stranger.device, stranger.extra.get("dispatch_s")) == (known()[nets[0].device.name], None)


def test_the_roofline_is_told_of_a_host_where_the_model_is():
    row = next(r for r in of_checked("v100-fp32") if r.name == "densenet121")
    told_s = row.extra["dispatch_s"]
    assert told_s > 15e-3, "430 operators"
    assert float(unfitted_roofline.seconds([row])[0]) == pytest.approx(told_s + row.copied_s)
    assert float(unfitted_roofline.seconds([published_times.on_unknown_host(row)])[0]) < 0.8 * told_s


def test_the_copy_of_a_batch_is_counted_by_the_model_and_by_the_roofline():
    row = of_checked("t4")[0]
    bare = replace(row, copied_s=0.0)
    assert row.copied_s == pytest.approx(12 * 3 * 224 * 224 * 4 / 6e9)
    for seconds in (
        lambda r: fitting.seconds(fitting.tabulate([r]), prior()),
        lambda r: unfitted_roofline.seconds([r]),
    ):
        assert float(seconds(row)[0] - seconds(bare)[0]) == pytest.approx(row.copied_s)


def test_a_folder_without_tables_is_a_mistake_told_in_a_line(tmp_path):
    for folder, told in ((tmp_path / "none", "there is no such folder"), (tmp_path, "no table in it can be read")):
        with pytest.raises(UserError, match=told):
            published_times.read(folder)
    write(tmp_path / "torchbench" / "x.csv", "model,pr,batch,gpu_ms,cpu_dispatch_ms\nresnet18,1,4,fast,1\n")
    with pytest.raises(UserError, match=r"x\.csv:2: gpu_ms: 'fast': it is not a number"):
        published_times.read(tmp_path)
