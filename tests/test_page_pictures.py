"""The two pictures that the page brought: the crossover map, and the claims with their intervals."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextToPath

from bench.analyse.claims.judge import judge
from bench.analyse.runs import run_folder
from bench.show.plots import claims_forest, speedup_map, ways
from bench.show.plots import speedup as plots
from bench.show.plots.shared import files, style
from bench.show.text.claims import answer, effect
from bench.spec.plan.plan import Arm, Trial
from tests.synthetic import Story, config, write_run
from tests.test_page import REFERENCE


def grid(trial: Trial, arm: Arm) -> float:
    """Slower below 64 channels at kernel 3, faster elsewhere."""
    return 0.5 if trial.shape.c_in < 64 and trial.shape.kernel == 3 else 2.0


def made(folder: Path, story: Story, channels: tuple[int, ...] = (16, 32, 64), kernels: tuple[int, ...] = (3, 5), threads: tuple[int, ...] = (1,), devices: tuple[str, ...] = ("cpu",)) -> run_folder.Run:  # fmt: skip
    axes = {"channels": list(channels), "kernel": list(kernels), "threads": list(threads)}
    write_run(folder, story, config(axes), devices)
    return run_folder.read(folder)


def title(figure: Figure | None) -> str:
    assert figure is not None
    return " ".join(figure.get_suptitle().split())


def words(figure: Figure) -> list[str]:
    return [t.get_text() for a in figure.axes for t in a.texts]


def test_the_map_says_in_how_many_cells_the_block_wins(tmp_path: Path) -> None:
    figure = speedup_map.picture(made(tmp_path, Story(speedup=grid)))
    assert title(figure) == "Separable is faster in 4 of 6 cells on cpu"
    assert figure is not None
    assert min(w for w in words(figure) if w.endswith("x")).startswith("0.5")


@pytest.mark.parametrize(("speedup", "said"), [(2.0, "Separable is faster in 6 of 6 cells on cpu"), (0.5, "Separable is faster in 0 of 6 cells on cpu")])  # fmt: skip
def test_a_map_of_one_side_says_so(tmp_path: Path, speedup: float, said: str) -> None:
    assert title(speedup_map.picture(made(tmp_path, Story(speedup=lambda t, a: speedup)))) == said


def test_a_predicted_map_counts_beyond_the_models_error(tmp_path: Path) -> None:
    truth = {16: 0.5, 32: 2.0, 64: 1.0}
    run = made(tmp_path, Story(speedup=lambda t, a: truth[t.shape.c_in]))
    verdicts = run.pairs["c_in"].map({c: "faster" if s > 1 else "slower" if s < 1 else "undecided" for c, s in truth.items()})  # fmt: skip
    foretold = run.pairs.assign(device="sim:t4", status="predicted", verdict=verdicts)
    assert title(speedup_map.picture(replace(run, pairs=foretold))) == "Separable would be faster in 2 of 6 cells on predicted t4"  # fmt: skip


def test_a_map_of_three_devices_counts_over_all_on_one_line(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        return grid(trial, arm) if trial.surroundings.device == "cpu" else 0.5

    figure = speedup_map.picture(made(tmp_path, Story(speedup=truth), devices=("cpu", "cuda:0", "cuda:1")))
    assert figure is not None
    assert figure.get_suptitle() == "Separable is faster in 4 of 18 cells on cpu, cuda:0 and cuda:1"


def test_what_is_not_known_is_hatched_and_what_failed_is_named(tmp_path: Path) -> None:
    story = Story(speedup=lambda t, a: 1.0 if t.shape.c_in == 16 else 1.06, wide={4: 0.2, 5: 0.2}, fails={2: (1, "oom", "no memory")}, process_sd=0.002)  # fmt: skip
    figure = speedup_map.picture(made(tmp_path, story))
    assert figure is not None
    hatches = [p.get_hatch() for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_hatch()]
    assert set(hatches) == set(speedup_map.HATCHES.values())
    assert "oom" in words(figure)
    legend = [t.get_text() for g in figure.legends for t in g.get_texts()]
    assert any("undecided" in t for t in legend)


def test_each_way_has_a_line_below_its_kernel_and_a_run_of_one_number_of_channels_has_no_map(tmp_path: Path) -> None:
    figure = speedup_map.picture(made(tmp_path / "a", Story(speedup=grid), threads=(1, 2)))
    assert figure is not None
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == 2 * ["1 thread", "2 threads"]
    assert [w for w in words(figure) if "px" in w] == ["3 x 3, 28 px", "5 x 5, 28 px"]
    assert speedup_map.picture(made(tmp_path / "c", Story(), channels=(16,))) is None


def test_a_cell_that_no_trial_measured_is_a_dotted_frame(tmp_path: Path) -> None:
    pair = ["standard", "separable"]
    few = {"blocks": pair, "axes": {"channels": [32], "kernel": 3, "threads": 1, "batch": 16}}
    many = {"blocks": pair, "axes": {"channels": [16, 32, 64], "kernel": 3, "threads": 1}}
    write_run(tmp_path, Story(speedup=grid), config(experiments={"many": many, "few": few}))
    figure = speedup_map.picture(run_folder.read(tmp_path))
    assert figure is not None
    dotted = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_linestyle() in (":", "dotted")]
    assert len(dotted) == 2
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["1 thread, batch 1", "1 thread, batch 16"]


def test_the_ways_are_bars_from_1x_on_the_side_of_their_verdict(tmp_path: Path) -> None:
    def truth(trial: Trial, arm: Arm) -> float:
        return {1: 3.0, 2: 0.5}[trial.surroundings.threads or 1]

    run = made(tmp_path, Story(speedup=truth), kernels=(3,), threads=(1, 2))
    figure = ways.picture(run)
    assert title(figure) == "64 channels, 3 x 3, 2 ways: separable is 0.50x to 3.0x as fast on cpu"
    assert figure is not None
    axis = figure.axes[0]
    bars = {round(p.get_y() + p.get_height() / 2): to_hex(p.get_facecolor()).upper() for p in axis.patches if isinstance(p, Rectangle) and p.get_height() < 0.5}  # fmt: skip
    named = {round(float(y)): t.get_text() for y, t in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)}
    assert {named[y]: colour for y, colour in bars.items()} == {"1 thread": style.FASTER, "2 threads": style.SLOWER}
    assert any("expected" in t.get_text() for legend in figure.legends for t in legend.get_texts())


def test_each_device_has_some_of_the_ways_that_find_room(tmp_path: Path) -> None:
    axes = {"channels": [16], "kernel": 3, "threads": 1, "batch": list(range(1, 16))}
    write_run(tmp_path, Story(speedup=grid), config(axes), ("cpu", "cuda:0"))
    figure = ways.picture(run_folder.read(tmp_path))
    assert figure is not None
    labels = figure.axes[0].get_yticklabels()
    assert [t.get_text() for t in labels if t.get_fontweight() == "bold"] == ["CPU", "GPU"]
    assert len(labels) == ways.MOST_WAYS + 2
    assert f"{30 - ways.MOST_WAYS} more rows are not drawn" in " ".join(t.get_text() for t in figure.texts)


def test_one_way_alone_has_no_picture_of_ways(tmp_path: Path) -> None:
    assert ways.picture(made(tmp_path, Story(speedup=grid))) is None


def test_colours_part_at_one_and_deepen_with_the_logarithm() -> None:
    assert speedup_map.colour_of(1.0) == "#ffffff"
    assert speedup_map.colour_of(8.0) == style.FASTER.lower()
    assert speedup_map.colour_of(0.1) == style.SLOWER.lower()
    assert speedup_map.colour_of(2.0) != speedup_map.colour_of(0.5)


def test_each_verdict_has_its_row_with_answer_and_effect(tmp_path: Path) -> None:
    run = made(tmp_path, Story(), channels=(32, 64, 256), threads=(1, 2))
    found = judge([run])
    figure = claims_forest.picture(run, found)
    assert figure is not None
    labels = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    first = [v for v in found.verdicts if v.confirmatory and v.answer != "NOT MEASURED"]
    assert not {"Confirmatory", "Exploratory"} & set(labels)
    told = [(w, v) for w, v in zip(words(figure), first, strict=True)]
    assert all(w.startswith(answer(v)) for w, v in told)
    assert all(effect(v.effect) in w for w, v in told if v.channels is None)
    assert title(figure).startswith(f"Of {len(first)} answers")
    assert sum(int(n) for n in re.findall(r"\d+", title(figure))[1:]) == len(first)


def test_an_svg_file_says_what_it_shows_and_brings_its_own_paper(tmp_path: Path) -> None:
    figure = plots.picture(run_folder.read(REFERENCE))
    assert figure is not None
    _, svg = files.save(figure, tmp_path, "speedup")
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{space}title", f"{space}desc"]
    assert (root.findtext(f"{space}title") or "").startswith("Separable is 0.")
    assert "paired within rounds" in (root.findtext(f"{space}desc") or "")
    assert root.find(f".//{space}script") is None
    words = {"".join(e.itertext()): float(e.get("textLength") or 0) for e in root.iter(f"{space}text")}
    letters = TextToPath()
    for text in ("1x", "2x"):  # as wide as the letters that the picture was laid out with, in any font
        wide = letters.get_text_width_height_descent(text, FontProperties(size=9), ismath=False)[0]
        assert words[text] == pytest.approx(wide, abs=0.01)
    assert all(not v.startswith(("http", "//")) for e in root.iter() for k, v in e.attrib.items() if k.endswith(("href", "src")))  # fmt: skip
    paper = next(e for e in root.iter(f"{space}path") if "fill" in (e.get("style") or ""))
    assert "fill: #ffffff" in (paper.get("style") or "")
    corners = {tuple(float(v) for v in pair) for pair in re.findall(r"([\d.]+) ([\d.]+)", paper.get("d") or "")}
    wide, tall = (float(v) for v in (root.get("viewBox") or "").split()[2:])
    assert corners == {(0.0, 0.0), (wide, 0.0), (0.0, tall), (wide, tall)}
