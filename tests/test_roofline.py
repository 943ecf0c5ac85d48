"""The least time that roofs allow: never below any single bound, told where it is beaten, and drawn."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bench.analyse.runs import run_folder
from bench.analyse.runs.roofline import RATES, TOLERANCE, Roof, above_roof, attainable, working_set
from bench.show import write
from bench.show.plots import roofline
from bench.show.write import write_views
from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.blocks.costs import cost
from bench.spec.columns import columns_of
from bench.spec.errors import UserError
from bench.spec.format import percent
from tests.shapes import buildable
from tests.synthetic import Story, config, half_the_promise, realistic, write_run

ROOF = Roof(2e11, 1.8e11, 8e10, 1e10, 1 << 25)
rates = st.floats(1e6, 1e15)
roofs = st.builds(Roof, rates, rates, rates, rates, st.integers(1, 1 << 30))
cases = st.tuples(buildable(), st.sampled_from(["fp64", "fp32", "bf16"]), st.booleans())
SLACK = 1 + 1e-9


def priced(case: Any) -> Any:
    (choice, shape), dtype, training = case
    return cost(build(choice, shape), shape.height, shape.width, shape.batch, dtype, training), dtype


@given(cases, roofs)
def test_no_evaluation_is_faster_than_any_single_bound(case: Any, roof: Roof):
    it, dtype = priced(case)
    found = attainable(it, dtype, roof)
    assert found is not None
    beyond = max(0, working_set(it, dtype) - roof.cache_bytes)
    least = {
        "compute": it.flops / roof.peak,
        "cache": it.bytes_min / roof.cache_bytes_per_s,
        "memory": beyond / roof.memory_bytes_per_s,
    }
    assert found.time_s * SLACK >= max(least.values())
    assert found.time_s <= sum(least.values()) * SLACK
    if it.layers == 1:
        assert found.time_s == pytest.approx(max(least.values()))
        assert least[found.bound] * SLACK >= max(least.values())


@given(cases, roofs, st.sampled_from([*RATES, "cache_bytes"]), st.floats(1, 100))
def test_a_higher_roof_never_makes_the_least_time_longer(case: Any, roof: Roof, name: str, factor: float):
    it, dtype = priced(case)
    value = getattr(roof, name) * factor
    higher = replace(roof, **{name: int(value) if name == "cache_bytes" else value})
    assert attainable(it, dtype, higher).time_s <= attainable(it, dtype, roof).time_s * SLACK


@given(cases, roofs, st.sampled_from(["cache_bytes_per_s", "memory_bytes_per_s"]))
def test_a_roof_that_was_not_measured_bounds_nothing(case: Any, roof: Roof, name: str):
    it, dtype = priced(case)
    without = attainable(it, dtype, replace(roof, **{name: None}))
    assert without is not None
    assert without.time_s <= attainable(it, dtype, roof).time_s * SLACK
    assert attainable(it, dtype, replace(roof, matmul_flop_per_s=None, conv_flop_per_s=None)) is None


@given(cases)
def test_a_working_set_is_no_more_than_all_traffic(case: Any):
    it, dtype = priced(case)
    assert 0 < working_set(it, dtype) <= it.bytes_min


def test_layers_take_their_own_bounds_one_after_the_other():
    """A depthwise layer that the cache bounds, then a pointwise one that computing bounds."""
    shape = Shape(256, 256, 28, 28)
    it = cost(build(BlockChoice("separable"), shape), 28, 28)
    roof = Roof(4e11, None, 1e11, 1e9, 1 << 30)
    thin, full = it.detail
    found = attainable(it, "fp32", roof)
    assert found is not None
    assert thin.bytes_min / 1e11 > 2 * thin.macs / 4e11
    assert found.time_s == pytest.approx(thin.bytes_min / 1e11 + 2 * full.macs / 4e11)
    assert found.bound == "compute"
    assert attainable(it, "fp32", replace(roof, matmul_flop_per_s=4e13)).bound == "cache"
    starved = attainable(it, "fp32", replace(roof, cache_bytes=1))
    assert starved.bound == "memory"
    assert starved.time_s == pytest.approx(working_set(it, "fp32") / 1e9, rel=1e-4)


def test_roofs_of_several_processes_are_the_highest_of_each_and_keep_its_word():
    told = {"cache_bytes": 7, "cache_bytes_per_s": 4, "memory_bytes_per_s": None, "conv_flop_per_s": None}
    one = Roof.of({**told, "replicate": 1, "matmul_flop_per_s": 3, "detail": {"matmul_flop_per_s": "a"}})
    two = Roof.of({**told, "replicate": 2, "matmul_flop_per_s": 5, "detail": {"matmul_flop_per_s": "b"}})
    for both in (one.highest(two), two.highest(one), two.highest(one).highest(one)):
        assert (both.matmul_flop_per_s, both.cache_bytes_per_s, both.memory_bytes_per_s) == (5, 4, None)
        assert both.words == {"matmul_flop_per_s": "b"}
        assert len(both.processes) == 2


# ---------------------------------------------------------------- above the roof


@pytest.mark.parametrize(
    ("block", "shape", "times", "said"),
    [
        ("standard", {"kernel": 3}, 1.04, None),
        ("standard", {"kernel": 3}, 2.0, "Winograd"),
        ("standard", {"kernel": 3}, 4.1, "Winograd"),
        ("standard", {"kernel": 3}, 5.0, "above the measured roof by 400 %"),
        ("standard", {"kernel": 5}, 1.2, "above the measured roof by 20 %"),
        ("standard", {"kernel": 3, "stride": 2}, 1.2, "by 20 %"),
        ("standard", {"kernel": 3, "dilation": 2}, 1.2, "by 20 %"),
        ("separable", {"kernel": 3}, 1.2, "by 20 %"),
        ("depthwise", {"kernel": 3}, 1.06, "by 6 %: the roof or this row is wrong"),
    ],
)
def test_a_row_above_its_roof_is_explained_or_doubted(block: str, shape: dict, times: float, said: str | None):
    form = Shape(64, 64, 28, 28, **shape)
    built = build(BlockChoice(block), form)
    it = cost(built, 28, 28)
    found = above_roof(built, it, "fp32", attainable(it, "fp32", ROOF).time_s / times, ROOF)
    if said is None:
        assert found is None
        return
    assert said in found[0]
    assert found[1] == (said != "Winograd")


def roofed(folder: Path, roof: Roof = ROOF, data: dict | None = None, story: Story | None = None, devices=("cpu",)):
    """A run whose first three processes told these roofs, the lower ones last."""
    plan = write_run(folder, story or Story(), data, devices)
    lines = (folder / "journal.jsonl").read_text().splitlines()
    for replicate, part in ((1, 1.0), (2, 0.9), (3, 0.5)):
        for place, dtype in dict.fromkeys((t.surroundings, t.dtype) for t in plan.active):
            told = {
                "type": "roof",
                "device": place.device,
                "threads": place.threads,
                "dtype": dtype,
                "replicate": replicate,
                "surroundings": place.label,
                "cache_bytes": roof.cache_bytes,
                "detail": {"matmul_flop_per_s": f"process {replicate}"},
                **{n: None if getattr(roof, n) is None else getattr(roof, n) * part for n in RATES},
            }
            lines.insert(replicate, json.dumps(told))
    (folder / "journal.jsonl").write_text("\n".join(lines) + "\n")
    return run_folder.read(folder)


def test_a_run_keeps_its_roofs_and_its_rows_their_share(tmp_path: Path):
    run = roofed(tmp_path / "run")
    assert list(run.roofs.columns) == [c.name for c in columns_of("r")]
    assert run.roofs["threads"].tolist() == [1, 2]
    assert (run.roofs["matmul_flop_per_s"] == 2e11).all()
    assert (run.roofs["processes"] == 3).all()
    assert run.roofs["device_name"].eq("Imaginary CPU @ 2.00GHz").all()
    m = run.measurements
    share = m["achieved_flop_per_s"] / m["attainable_flop_per_s"]
    assert (m["attainable_share"] / share).between(1 - 1e-12, 1 + 1e-12).all()
    assert (m["attainable_flop_per_s"] <= 2e11 * SLACK).all()
    assert m["roof"].isin(["compute", "cache", "memory"]).all()
    written = run_folder.write_tables(run, tmp_path / "tables")
    assert [p.name for p in written][-1] == "roofs.csv"
    again = run_folder.read(tmp_path / "tables")
    pd.testing.assert_frame_equal(again.roofs, run.roofs, check_exact=True)
    pd.testing.assert_frame_equal(again.measurements, m, check_exact=True)


def test_a_run_without_roofs_leaves_their_columns_empty(tmp_path: Path):
    write_run(tmp_path)
    run = run_folder.read(tmp_path)
    assert run.roofs is None
    assert run.measurements[["attainable_flop_per_s", "attainable_share", "roof"]].isna().all().all()
    assert "roofs.csv" not in [p.name for p in run_folder.write_tables(run)]
    figure = roofline.picture(run)
    assert figure is not None
    assert not [t for a in figure.axes for t in a.texts], "no roof has a word"
    assert re.fullmatch(r"Separable reaches \S+ to \S+ GFLOP/s on cpu", title(figure))


def test_a_dtype_that_the_device_cannot_do_has_no_share(tmp_path: Path):
    run = roofed(tmp_path, replace(ROOF, matmul_flop_per_s=None, conv_flop_per_s=None))
    assert run.measurements["attainable_share"].isna().all()
    assert (run.measurements["status"] == "ok").all()
    figure = roofline.picture(run)
    assert figure is not None
    assert not [t for a in figure.axes for t in a.texts], "no roof has a word"
    assert re.fullmatch(r"Separable reaches \S+ to \S+ GFLOP/s on cpu", title(figure))


def test_rows_above_their_roof_say_so_and_are_noisy_unless_winograd_explains_them(tmp_path: Path):
    low = replace(ROOF, matmul_flop_per_s=3e10, conv_flop_per_s=None)
    m = roofed(tmp_path, low, config({"channels": [256], "kernel": [3, 5], "threads": [1]})).measurements
    rows = m.set_index(["block", "kernel"])
    dense, wide = rows.loc[("standard", 3)], rows.loc[("standard", 5)]
    assert (dense["attainable_share"] > TOLERANCE, dense["status"]) == (True, "ok")
    assert dense["quality_notes"] == "above the roof: Winograd does fewer multiplications than are counted"
    by = round((wide["attainable_share"] - 1) * 100)
    assert wide["quality_notes"] == f"above the measured roof by {by} %: the roof or this row is wrong"
    assert (wide["status"], wide["status_detail"]) == ("noisy", "see quality_notes")


def test_a_roof_that_is_no_rate_names_the_line(tmp_path: Path):
    roofed(tmp_path)
    journal = tmp_path / "journal.jsonl"
    journal.write_text(journal.read_text().replace("200000000000.0", "-1"))
    with pytest.raises(UserError, match=r"journal\.jsonl:2: matmul_flop_per_s: -1: it is below"):
        run_folder.read(tmp_path)


# ---------------------------------------------------------------- the picture


def words(figure: Figure) -> list[str]:
    found = [t.get_text() for a in figure.axes for t in a.texts]
    return found + [t.get_text() for g in figure.legends for t in g.get_texts()]


def title(figure: Figure) -> str:
    suptitle = figure._suptitle  # type: ignore[attr-defined]
    return str(suptitle.get_text()).replace("\n", " ")


def test_the_picture_says_what_bounds_and_how_far_from_it_blocks_are(tmp_path: Path):
    run = roofed(tmp_path)
    figure = roofline.picture(run)
    assert figure is not None
    m = run.measurements
    least, most = (percent(end(m[m["block"] == "separable"]["attainable_share"])) for end in (min, max))
    assert title(figure) == f"Separable reaches {least} to {most} of the roof on cpu"
    assert [a.get_title(loc="left") for a in figure.axes] == ["1 thread", "2 threads"]
    assert {"matmul 200, conv 180 GFLOP/s", "cache 80 GB/s", "memory 10 GB/s"} <= set(words(figure))
    assert {"standard", "separable", "16 channels", "256 channels"} <= set(words(figure))
    assert "above its roof: see quality_notes" not in words(figure)


def test_no_point_lies_above_its_roof_but_those_that_are_marked(tmp_path: Path):
    run = roofed(tmp_path, replace(ROOF, matmul_flop_per_s=4e10, conv_flop_per_s=1e10), story=Story(speedup=realistic))
    figure = roofline.picture(run)
    assert figure is not None
    assert {"matmul 40 GFLOP/s", "conv 10 GFLOP/s", "above its roof: see quality_notes"} <= set(words(figure))
    marked = {tuple(line.get_xydata()[0]) for a in figure.axes for line in a.lines if line.get_marker() == "x"}
    points = {tuple(line.get_xydata()[0]) for a in figure.axes for line in a.lines if line.get_marker() in ("^", "v")}
    higher = {p for p in points if p[1] > TOLERANCE * min(40, 80 * p[0])}
    assert higher
    assert higher <= marked < points


@pytest.mark.parametrize(("faster", "told"), [(1.05, False), (1.11, True), (2.6, True)])
def test_a_convolution_above_the_matrix_product_is_told_with_what_may_explain_it(tmp_path: Path, faster: float, told: bool):  # fmt: skip
    figure = roofline.picture(roofed(tmp_path, replace(ROOF, conv_flop_per_s=faster * ROOF.matmul_flop_per_s)))
    assert figure is not None
    footer = " ".join(" ".join(t.get_text() for t in figure.texts).split())
    assert (f"conv roof above matmul's: 1 thread {faster:.2g}x; 2 threads {faster:.2g}x" in footer) == told
    assert ("FLOP are counted as the direct method's" in footer) == told
    assert ("which one ran was not recorded" in footer) == told


def test_several_devices_and_dtypes_get_panels_of_their_own(tmp_path: Path):
    data = config({"channels": [16, 64], "kernel": [3], "threads": [1], "dtype": ["fp32", "bf16"]})
    figure = roofline.picture(roofed(tmp_path, data=data, devices=("cpu", "cuda:0")))
    assert figure is not None
    names = [a.get_title(loc="left") for a in figure.axes if a.get_title(loc="left")]
    assert sorted(names) == ["cpu, bf16", "cpu, fp32", "cuda:0, bf16", "cuda:0, fp32"]
    assert re.fullmatch(r"Separable reaches \S+ % to \S+ % of the roof on cpu and cuda:0", title(figure))


def test_words_stay_inside_their_panels(tmp_path: Path):
    wide = replace(ROOF, matmul_flop_per_s=7e14, conv_flop_per_s=3e14, cache_bytes_per_s=5e12, memory_bytes_per_s=3e12)
    for roof in (ROOF, wide, replace(ROOF, cache_bytes_per_s=None), replace(ROOF, memory_bytes_per_s=None)):
        figure = roofline.picture(roofed(tmp_path / str(id(roof)), roof))
        assert figure is not None
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
        for axis in figure.axes:
            boxes = [t.get_window_extent(renderer) for t in axis.texts]
            assert all(axis.bbox.x0 <= b.x0 and b.x1 <= axis.bbox.x1 for b in boxes)
            assert all(axis.bbox.y0 <= b.y0 and b.y1 <= axis.bbox.y1 + 2 for b in boxes)


def test_it_is_written_with_the_other_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    roofed(tmp_path, data=config({"channels": [16, 64], "kernel": [3], "threads": [1]}, ["standard", "depthwise"]))
    monkeypatch.setattr(write, "PICTURES", {"roofline": roofline.picture})
    views = write_views(tmp_path)
    assert [p.name for p in views.pictures][:2] == ["roofline.png", "roofline.svg"]
    assert "roofs.csv" in [p.name for p in views.tables]
    first = views.pictures[1].read_bytes()
    assert write_views(tmp_path).pictures[1].read_bytes() == first


def test_the_truth_of_the_synthetic_run_is_below_its_roofs(tmp_path: Path):
    m = roofed(tmp_path, story=Story(speedup=half_the_promise)).measurements
    assert (m["attainable_share"] < 1).all()
