"""The fit of the kernel model: columns agree with single kernels, parameters that made the data are found, and what is left out is left out."""

import csv
import math
import statistics
from dataclasses import replace
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.spec.blocks.kernels import convolution, elementwise, linear, norm, pool
from bench.spec.devices.predicted_devices import known
from bench.spec.errors import UserError
from bench.spec.model import kernel_model
from bench.spec.model.model_parameters import PRIOR, prior
from tools.model_fit import cross_validation, fitting, published_times, unfitted_roofline
from tools.model_fit.cross_validation import NO_DEVICE, NO_SOURCE
from tools.model_fit.published_times import Observed

GPUS = [d for d in known().values() if d.kind == "gpu"]
CPUS = [d for d in known().values() if d.kind == "cpu"]
CPUS += [replace(d, measured=True) for d in CPUS] + [d.on(1) for d in CPUS]


@st.composite
def kernels(draw, dtype):
    word = draw(st.sampled_from(["conv", "linear", "elementwise", "norm", "pool"]))
    n = draw(st.integers(1, 64))
    if word == "conv":
        c_in, taps = draw(st.integers(1, 256)), draw(st.sampled_from([(1, 1), (3, 3), (7, 7), (1, 7)]))
        groups = draw(st.sampled_from([1, c_in]))
        c_out = c_in if groups > 1 else draw(st.integers(1, 256))
        pixels, last = draw(st.integers(1, 4096)), draw(st.booleans())
        return convolution(
            "x", n, c_in, c_out, pixels, pixels, taps, draw(st.sampled_from([1, 2])), groups, dtype, last
        )
    if word == "linear":
        return linear("x", n, draw(st.integers(1, 4096)), draw(st.integers(1, 4096)), dtype)
    nbytes = draw(st.integers(1, 1 << 30))
    return (
        {"elementwise": elementwise, "pool": pool}[word]("x", nbytes, nbytes, dtype)
        if word != "norm"
        else norm("x", nbytes, dtype)
    )


@st.composite
def observed(draw, devices):
    device = draw(st.sampled_from(devices))
    dtype = draw(st.sampled_from([d for d in ("fp32", "fp16") if device.computes(d)]))
    run = tuple((kernel, draw(st.integers(1, 3))) for kernel in draw(st.lists(kernels(dtype), min_size=1, max_size=4)))
    mode, training = draw(st.sampled_from(["eager", "graph", "compile"])), draw(st.booleans())
    if mode == "compile":  # what is fused is told from the order in the one, from the counts in the other
        run = tuple((kernel, n) for kernel, n in run if kernel.family not in ("norm", "elementwise"))
        run = run or ((linear("x", 1, 8, 8, dtype), 1),)
    return Observed("s", "t", device, dtype, mode, "n", 1, run, 1.0, training=training)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.lists(observed(GPUS), min_size=1, max_size=4), st.lists(observed(CPUS), min_size=1, max_size=4)))
def test_columns_give_what_the_model_gives_row_by_row(rows):
    p = {name: value * 1.1 for name, value in prior().items()}
    expected = [
        kernel_model.call_seconds(
            row.device, [k for k, n in row.kernels for _ in range(n)], row.mode, p, training=row.training
        ).wall_s
        for row in rows
    ]
    assert fitting.seconds(fitting.tabulate(rows), p) == pytest.approx(expected, rel=1e-9)


def world(truth, devices=("v100", "rtx3090", "a100"), source="made"):
    """Rows whose times are the model's own, with the parameters `truth`."""
    rows = []
    for name in devices:
        for c in (32, 128, 512):
            for pixels in (196, 3136):
                for batch in (1, 16, 128):
                    dense = convolution("", batch, c, c, pixels, pixels, (3, 3))
                    deep = convolution("", batch, c, c, pixels, pixels, (3, 3), 1, c)
                    point = convolution("", batch, c, c, pixels, pixels)
                    group = f"{name} {c} {pixels} {batch}"
                    for run, base in (((dense,), True), ((deep, point), False)):
                        row = Observed(source, name, known()[name], "fp32", "graph", "", batch, tuple((k, 1) for k in run), 1.0, group, base)  # fmt: skip
                        rows.append(row)
    seconds = fitting.seconds(fitting.tabulate(rows), truth)
    return [replace(row, time_s=float(s)) for row, s in zip(rows, seconds, strict=True)]


def test_a_fit_finds_the_parameters_that_made_the_data():
    truth = {**prior(), "gpu.compute.dense.plain": 0.4, "gpu.move.depthwise": 0.5, "gpu.setup_s": 8e-6}
    rows = world(truth)
    table = fitting.tabulate(rows)
    found = fitting.fit(table)
    assert np.median(np.abs(fitting.errors(table, found))) < 0.02 < np.median(np.abs(fitting.errors(table, prior())))
    assert found["gpu.compute.dense.plain"] * found["gpu.winograd"] == pytest.approx(0.4 * 1.5, rel=0.1)


def test_what_no_row_speaks_of_stays_what_it_was():
    found = fitting.fit(fitting.tabulate(world({**prior(), "gpu.setup_s": 8e-6})))
    assert found["gpu.compute.dense.tensor"] == PRIOR["gpu.compute.dense.tensor"].value
    assert {name: v for name, v in found.items() if name.startswith("cpu.")} == {
        name: one.value for name, one in PRIOR.items() if name.startswith("cpu.")
    }


def test_only_what_is_freed_moves_and_from_where_it_is_told_to_start():
    rows = world({**prior(), "gpu.setup_s": 9e-6})
    start = {**prior(), "gpu.wave_s": 1e-6}
    found = fitting.fit(fitting.tabulate(rows), free=["gpu.setup_s"], start=start)
    assert {name for name in found if found[name] != start[name]} == {"gpu.setup_s"}


def test_a_fit_is_the_same_twice():
    table = fitting.tabulate(world({**prior(), "gpu.setup_s": 8e-6}))
    assert fitting.fit(table) == fitting.fit(table)


def test_a_device_that_is_left_out_has_no_part_in_its_own_prediction():
    rows = world(prior())
    odd = [replace(r, time_s=r.time_s * 3) if r.device.name == "a100" else r for r in rows]
    fits = cross_validation.without(odd)
    errors = cross_validation.left_out(odd, lambda row: row.device.name, fits[NO_DEVICE])
    mine = np.array([r.device.name == "a100" for r in odd])
    assert errors[mine] == pytest.approx(np.full(mine.sum(), -math.log(3)), abs=0.02)


def test_no_fit_without_a_part_has_seen_it(monkeypatch):
    rows = [*world(prior(), ("v100", "a100"), "one"), *world(prior(), ("a100", "rtx3090"), "other")]
    monkeypatch.setattr(fitting, "fit", lambda table: {(row.source, row.device.name): 1.0 for row in table.rows})
    every = {(row.source, row.device.name) for row in rows}
    fits = cross_validation.without(rows)
    for left, seen in fits[NO_DEVICE].items():
        assert set(seen) == {pair for pair in every if pair[1] != left}
    for left, seen in fits[NO_SOURCE].items():
        assert set(seen) == {pair for pair in every if pair[0] != left}
    assert set(fits[NO_SOURCE]) == {"one", "other"}


def test_speedups_cancel_what_both_sides_are_off_by():
    rows = world(prior())
    table = fitting.tabulate(rows)
    slow = fitting.errors(table, prior()) + 0.5
    assert cross_validation.of_speedups(rows, slow) == pytest.approx(np.zeros(len(rows) // 2), abs=1e-9)
    separable_off = np.array([0.0 if row.baseline else -0.3 for row in rows])
    assert cross_validation.of_speedups(rows, separable_off) == pytest.approx(np.full(len(rows) // 2, 0.3))


def test_rows_that_tell_of_their_host_alone_are_not_used():
    row = world(prior())[0]
    bound, free = (replace(row, time_s=t, extra={"dispatch_s": 1e-3}) for t in (1.1e-3, 1.3e-3))
    assert cross_validation.usable([bound, free, row]) == (free, row)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=40), st.floats(0.05, 1))
def test_an_interval_covers_the_share_of_errors_that_it_says(errors, share):
    width = cross_validation.covering([np.array(errors)], share)
    assert np.mean(np.abs(errors) <= width) >= share - 1e-9
    assert width in np.abs(errors)


def test_each_table_weighs_alike_in_an_interval():
    small, large, none = np.full(2, 1.0), np.full(1000, 0.1), np.empty(0)
    assert cross_validation.covering([small, large, none]) == 1.0
    assert cross_validation.covering([large]) == 0.1
    assert math.isnan(cross_validation.covering([none]))


def test_the_unfitted_roofline_is_what_it_says():
    device = known()["a100"]
    big = convolution("", 64, 512, 512, 3136, 3136, (3, 3))
    row = Observed("s", "t", device, "fp32", "library", "", 1, ((big, 1),), 1.0)
    (seconds,) = unfitted_roofline.seconds([row])
    assert seconds == pytest.approx(2 * big.macs / (0.6 * 19.5e12))
    tiny = replace(row, kernels=((elementwise("", 4, 4), 1),))
    assert unfitted_roofline.seconds([tiny]) == pytest.approx([2.5e-6])
    cpu = known()["server_cpu"]
    rows = [replace(tiny, device=cpu, mode=mode) for mode in ("library", "eager")]
    assert unfitted_roofline.seconds(rows) == pytest.approx([2.5e-6, 8.5e-6])
    half_a_tile = replace(row, device=cpu, kernels=((convolution("", 1, 512, 64, 784, 784, (3, 3)), 1),))
    waves = [float(unfitted_roofline.seconds([half_a_tile], kind)[0]) for kind in ("cpu", "gpu")]
    assert waves[0] == pytest.approx(waves[1] * 40 * 128 * 128 / (784 * 64))


# ---------------------------------------------------------------- tables


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


def test_a_compiled_network_keeps_one_pass_over_each_map():
    counted = (
        (norm("", 400), 3),
        (elementwise("", 400, 400), 3),
        (elementwise("", 800, 400), 1),
        (pool("", 400, 4), 1),
    )
    assert fitting.fused(counted) == (counted[0], counted[2], counted[3])
