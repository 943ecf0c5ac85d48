"""A run of many experiments: each row is found by what it asks, and is in the picture that answers that."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import delivery, memory, speedup, speedup_map
from bench.show.plots import networks as networks_picture
from bench.show.text import captions
from tests import designed
from tests.test_plots import row, texts, ticks, title


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    return designed.run(tmp_path_factory.mktemp("designed"))


@pytest.fixture(scope="module")
def networks(run: run_folder.Run) -> Figure:
    made = networks_picture.picture(run)
    assert made is not None
    return made


def names(figure: Figure | None) -> list[str]:
    assert figure is not None
    return [a.get_title(loc="left") for a in figure.axes if a.axison]


def markers(axis: Axes) -> list[tuple[float, float]]:
    lone = [line for line in axis.lines if np.size(line.get_xdata()) == 1]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lone]


def apart(figure: Figure) -> bool:
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    every = [[Text.get_window_extent(t, renderer) for t in a.texts if t.get_text()] for a in figure.axes]
    return not any(a.overlaps(b) for boxes in every for i, a in enumerate(boxes) for b in boxes[i + 1 :])


# ---------------------------------------------------------------- which row asks what


def pair(**fields: object) -> Record:
    return row(status="ok", speedup=2.0, mac_ratio=8.0, cudnn_benchmark="on", **fields)


def test_a_sweep_of_shapes_is_known_among_other_experiments():
    sweep = [pair(experiment="sweep", c_in=c, c_out=c) for c in (8, 16)]
    kernels = [pair(experiment="kernels", kernel=k) for k in (3, 5)]
    dose = [pair(experiment="dose", batch=b) for b in (1, 2)]
    deep = [pair(experiment="deep", depth=d, c_in=c, c_out=c) for d, c in ((1, 32), (4, 16))]
    wide = [pair(experiment="wide", depth=8, c_in=c, c_out=c) for c in (8, 16)]
    network = [pair(experiment="networks", kernel=None, c_in=None)]
    assert sweep_of_shapes([*dose, *sweep, *deep, *network, *kernels, *wide]) == [*sweep, *kernels]
    assert sweep_of_shapes([*dose, *wide, *network]) == wide
    assert sweep_of_shapes([*dose, *network]) == dose
    assert sweep_of_shapes(network) == []


# ---------------------------------------------------------------- pictures against channels and kernels


def test_pictures_against_channels_show_the_sweep_alone_and_the_page_tells_of_the_rest(run: run_folder.Run):
    figure = speedup.picture(run)
    assert names(figure) == ["kernel 3 x 3", "kernel 5 x 5", "kernel 7 x 7"]
    assert figure is not None
    assert ticks(figure.axes[0], "x") == ["8", "16", "32", "64", "128", "256"]
    left = captions.unswept(run)
    assert "neither channels nor kernels: depth_by_channels, depth_by_map," in left
    assert "dose_mode and passes." in left
    assert "neither" not in texts(figure)
    rows = [r for r in records_of(run.pairs) if r["experiment"] == "channels_by_kernel"]
    least, most = (f"{end(r['speedup'] for r in rows):.2g}x" for end in (min, max))
    assert title(figure) == f"Separable is {least} to {most} as fast as standard on cpu"
    drawn = {y for a in figure.axes for _, y in markers(a)}
    assert drawn <= {r["speedup"] for r in records_of(run.pairs)}
    assert len(drawn) >= len(rows)  # where another experiment measured a cell more precisely, its row stands


def test_memory_shows_every_block_with_a_peak(run: run_folder.Run):
    figure = memory.memory(run)
    assert re.fullmatch(r"Measured peak memory is 1x to [\d.]+x the theory's on cpu", title(figure))
    assert figure is not None
    rows = [r for r in records_of(run.measurements) if r["memory_peak_bytes"] and r["memory_theory_bytes"]]
    series = [line for line in figure.axes[0].lines if line.get_marker() not in ("", "None")]
    assert len(series) == len({r["block"] for r in rows})
    assert sum(np.size(line.get_xdata()) for line in series) == len(rows)


# ---------------------------------------------------------------- networks


def network_rows(run: run_folder.Run) -> list[Record]:
    return [r for r in records_of(run.pairs) if r["experiment"] == "networks"]


def test_each_network_has_a_row_for_each_way_with_its_speedup_and_what_to_expect(networks: Figure, run: run_folder.Run):
    (axis,) = networks.axes
    rows = {float(y): t for y, t in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)}
    told, heading = {}, ""
    for y, label in sorted(rows.items()):
        if label.get_fontweight() == "bold":
            heading = label.get_text()
            continue
        told[heading, label.get_text()] = {line.get_marker(): float(line.get_xdata()[0]) for line in axis.lines if list(line.get_ydata()) == [y]}  # fmt: skip
    wanted = {(r["block"], f"1 thread, channels_last, batch {r['batch']}"): {"o": r["speedup"], "|": r["mac_ratio"]} for r in network_rows(run)}  # fmt: skip
    assert {key: pytest.approx(marks) for key, marks in wanted.items()} == told
    ratios = {r["block"]: r["mac_ratio"] for r in network_rows(run)}
    assert list(dict.fromkeys(network for network, _ in told)) == sorted(ratios, key=lambda name: -ratios[name])


def test_the_title_of_networks_gives_the_twins_speedups(networks: Figure, run: run_folder.Run):
    mine = [r for r in network_rows(run) if r["block"] == "mobilenet_v1"]
    found = re.fullmatch(r"mobilenet_v1 is ([\d.]+)x to ([\d.]+)x as fast as mobilenet_v1_standard on cpu", title(networks))  # fmt: skip
    assert found is not None
    assert [float(v) for v in found.groups()] == pytest.approx(sorted(r["speedup"] for r in mine), rel=0.05)


def test_names_of_networks_stand_apart(networks: Figure):
    assert apart(networks)


def test_a_run_without_networks_has_no_such_picture(run: run_folder.Run):
    from dataclasses import replace

    alone = replace(run, pairs=run.pairs[run.pairs["experiment"] == "channels_by_kernel"])
    assert networks_picture.picture(alone) is None


# ---------------------------------------------------------------- one process, and a model, beside each other

Make = Callable[[run_folder.Run], Figure | None]
TITLED: list[Make] = [speedup.picture, delivery.picture, speedup_map.picture, networks_picture.picture]


def foretold(run: run_folder.Run) -> run_folder.Run:
    """The same rows as a model's word for a card."""
    pairs = run.pairs.assign(device="sim:a100", status="predicted", precision=math.log(1.8))
    pairs = pairs.assign(speedup_ci_low=pairs["speedup"] / 1.8, speedup_ci_high=pairs["speedup"] * 1.8)
    return replace(run, pairs=pairs, measurements=run.measurements.assign(device="sim:a100", status="predicted"))


def beside(one: run_folder.Run, other: run_folder.Run) -> run_folder.Run:
    pairs, arms = (pd.concat([getattr(r, name) for r in (one, other)], ignore_index=True) for name in ("pairs", "measurements"))  # fmt: skip
    return replace(one, pairs=pairs, measurements=arms)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> run_folder.Run:
    """A CPU, each cell measured by one process."""
    only = ("channels_by_kernel", "depth", "networks", "dose_batch")
    return designed.run(tmp_path_factory.mktemp("once"), designed.story(processes=1), only=only, axes={"threads": 1})


@pytest.mark.parametrize("make", TITLED)
def test_a_title_of_one_process_beside_a_model_is_about_the_process(once: run_folder.Run, make: Make):
    said = title(make(beside(once, foretold(once))))
    assert "predicted" not in said
    assert " would " not in said
    assert " on cpu" in said
    assert not re.search(r"\bis\b", said), said


@pytest.mark.parametrize("make", TITLED)
def test_the_small_print_of_one_process_says_that_there_is_no_interval(once: run_folder.Run, make: Make):
    figure = make(once)
    assert not re.search(r"\b(is|are)\b", title(figure)), title(figure)
    assert "1 process a cell, so no interval" in texts(figure) or make in (speedup_map.picture, delivery.picture)
    assert "interval over processes" not in texts(figure)


@pytest.mark.parametrize("make", TITLED)
def test_a_title_of_a_model_alone_would(once: run_folder.Run, make: Make):
    figure = make(foretold(once))
    assert " would " in title(figure)
    assert title(figure).endswith(" on predicted a100")
    assert not re.search(r"\bis\b|\breads\b|achieves|moves", title(figure)), title(figure)
    assert "Predicted by a model, not measured" in texts(figure)
    assert "process" not in texts(figure)


@pytest.mark.parametrize("make", TITLED)
def test_the_small_print_of_both_has_a_line_each(once: run_folder.Run, make: Make):
    measured, predicted = texts(make(beside(once, foretold(once)))).split("Predicted by a model, not measured")
    assert "1 process a cell" in measured
    assert "the model's error" not in measured
    assert "process" not in predicted.split("\n")[0]
