"""Published pairs that no fit reads: their figures, their sides, and how the model does on them."""

import math
import statistics
import subprocess
import sys
from dataclasses import replace

import pytest

from bench.analyse.claims.published import published
from bench.spec.blocks.kernels import convolution
from bench.spec.devices.predicted_devices import known
from bench.spec.model.kernel_model import kernel_seconds
from bench.spec.model.model_parameters import fit_result, fitted
from tools.model_fit import fitting, published_times, report_tables
from tools.model_fit.published_pairs import observed, pairs, rows

ROW = pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])


def test_no_fit_can_read_the_pairs():
    asked = "import sys; import tools.model_fit.calibrate; sys.exit('tools.model_fit.published_pairs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_the_fit_has_seen_no_row_of_a_pairs_source_or_of_its_card_in_that_dtype(tmp_path):
    fitted_to = {(s["source"], s["device"]) for s in (*fit_result()["scores"], *fit_result()["own_scores"])}
    card = known()["rtx2080ti"].title
    assert not [device for _, device in fitted_to if device == card]
    assert {source for source, _ in fitted_to} == {"deepbench", "timm", "torchbench", "this harness"}
    for listed in fit_result()["data"]:
        assert not {"fasternet", "2080ti", "tlkh", "pairs"} & set(listed["file"].lower().replace("-", "/").split("/"))
    (tmp_path / "deepbench").mkdir()
    head = "W,H,C,N,K,S_w,R_h,macs,bytes_fp32,fwd_ms\n"
    (tmp_path / "deepbench" / "v100_fp32.csv").write_text(
        f"{head}28,28,128,8,256,3,3,{8 * 256 * 128 * 9 * 14 * 14},1,0.5\n"
    )
    read = {
        (row.device.name, row.dtype)
        for row in published_times.read(tmp_path)
        if row.source not in published_times.CHECKED
    }
    assert not read & {(row["device"], row["dtype"]) for row in rows()}


@ROW
def test_a_pair_has_its_source_and_sides_that_differ_in_depthwise_layers_only(row):
    assert "https://" in row["source"]
    base, block = observed(row)
    families = [{kernel.family for kernel, _ in side.kernels} for side in (base, block)]
    assert "depthwise" in families[1]
    assert "depthwise" not in families[0]
    assert "norm" not in families[0] | families[1]
    assert (base.baseline, block.baseline, base.group) == (True, False, block.group)
    assert block.time_s == pytest.approx(int(row["batch"]) / float(row["block_per_s"]))


def test_fasternets_layers_have_the_multiplications_that_its_table_prints():
    printed = {
        "fasternet-96": (2601, 27.09),
        "fasternet-192": (2601, 13.54),
        "fasternet-384": (2601, 6.77),
        "fasternet-768": (2601, 3.38),
    }
    for row in rows():
        if row["id"] in printed:
            macs = [sum(k.macs * n for k, n in side.kernels) / int(row["batch"]) / 1e6 for side in observed(row)]
            assert macs == pytest.approx(printed[row["id"]], rel=3e-3), "printed with two digits, not rounded"


def test_a_pair_is_predicted_with_the_interval_of_a_predicted_row_and_judged_by_it():
    found = {pair.id: pair for pair in pairs(fit_result())}
    first = found["fasternet-96"]
    assert first.measured == 11940 / 3010
    assert first.half == fit_result()["errors"]["gpu"]["speedup"]
    base, block = observed(rows()[0])
    slow, fast = fitting.seconds(fitting.tabulate([base, block]), fitted())
    assert first.predicted == pytest.approx(slow / fast)
    assert first.factor == pytest.approx(first.predicted * 3010 / 11940)
    half = first.half
    assert replace(first, measured=first.predicted * math.exp(0.99 * half)).within
    assert not replace(first, measured=first.predicted * math.exp(1.01 * half)).within
    assert not replace(first, measured=0.9).right
    unseen = {row["id"] for row in fit_result()["published"] if not row["seen"]}
    assert set(found) == {row["id"] for row in rows()} | {
        one.id for one in published() if one.id in unseen and one.device_kind == "gpu"
    }


def test_the_pages_count_is_what_the_shipped_fit_gives():
    found = list(pairs(fit_result()))
    fp32 = [pair for pair in found if pair.dtype == "fp32"]
    page = report_tables.held_out_pairs(found)
    for words, some in (("all", found), ("fp32", fp32)):
        right, within = sum(pair.right for pair in some), sum(pair.within for pair in some)
        assert f"| {words} | {len(some)} | {right} | {within} | " in page
    assert (len(found), sum(pair.right for pair in found), sum(pair.within for pair in found)) == (19, 15, 18)
    assert (len(fp32), sum(pair.within for pair in fp32)) == (9, 9)
    assert sum(math.log(pair.factor) for pair in fp32) / len(fp32) < math.log(1.2), "fp32 is no longer favoured by 1.7"


def test_depthwise_layers_of_all_filters_take_the_time_that_another_paper_found():
    """Zhang et al., arXiv:2410.08049, table 1: 24 layers of (64, 384, R, R) in fp32 by PyTorch on an RTX 2080 Ti."""
    published_ms = {16: (5.6, 11.0, 14.4, 17.6), 32: (21.9, 34.1, 54.8, 76.1), 64: (69.6, 141.2, 228.6, 319.8)}
    ratios = []
    for size, times in published_ms.items():
        for kernel, found_ms in zip((3, 5, 7, 9), times, strict=True):
            made = convolution(64, 384, 384, size**2, size**2, (kernel, kernel), groups=384)
            ratios.append(24e3 * kernel_seconds(known()["rtx2080ti"], made) / found_ms)
    assert 0.7 < statistics.median(ratios) < 1.3
    assert 0.5 < min(ratios) < max(ratios) < 1.5
