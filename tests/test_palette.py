"""Colours: blue and orange mean faster and slower alone, all can be read on their paper, and a block keeps its look."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from bench.analyse.claims.judge import judge
from bench.analyse.compare.compare import compare
from bench.analyse.drivers.explain import explain
from bench.analyse.drivers.observations import of_run
from bench.show.plots import claims_forest, drivers
from bench.show.plots import compare as compare_pictures
from bench.show.plots.shared import style
from bench.show.plots.speedup_map import luminance
from bench.show.write import PICTURES
from tests import designed

MEANT = {*style.WORDS, *style.WORDS.values()}
OWN_PAPER = {"map"}  # squares have colours of their own, and letters that suit them
CSS = (Path(style.__file__).parents[2] / "pages" / "templates" / "report.css").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    run = designed.run(tmp_path_factory.mktemp("run"), devices=("cpu", "cuda:0"))
    other = designed.run(tmp_path_factory.mktemp("other"), designed.story(seed=2), devices=("cpu", "cuda:0"))
    made = {name: make(run) for name, make in PICTURES.items()}
    made |= {"claims": claims_forest.picture(run, judge([run])), "drivers": drivers.picture(explain(of_run(run)))}
    compared = compare(run, other)
    made |= {make.__name__: make(compared, compared.quantities[0]) for make in (compare_pictures.picture, compare_pictures.ratios, compare_pictures.spread)}  # fmt: skip
    drawn = {name: figure for name, figure in made.items() if figure is not None}
    assert drawn.keys() >= {"speedup", "memory", "networks", "ways", "costs", "claims", "drivers", "ratios"}  # fmt: skip
    return drawn


def contrast(one: str, other: str) -> float:
    """As WCAG 2 has it: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def coloured(colour: str) -> bool:
    """Whether a colour is blue or orange."""
    hue, saturation, value = colorsys.rgb_to_hsv(*mpl.colors.to_rgb(colour))
    return saturation > 0.2 and value > 0.2 and (0.5 < hue < 0.7 or 0.03 < hue < 0.14)


def lines(figure: Figure) -> Iterator[Line2D]:
    legends = [handle for legend in figure.legends for handle in legend.legend_handles]
    for line in [*(line for axis in figure.axes for line in axis.lines), *legends]:
        if isinstance(line, Line2D) and (line.get_linestyle() != "None" or line.get_marker() not in ("", "None")):
            yield line


def on_white(line: Line2D) -> str:
    """The colour of a line, or of a marker, as it looks on paper."""
    alpha = line.get_alpha() if line.get_alpha() is not None else 1.0
    faces = [line.get_markeredgecolor(), line.get_markerfacecolor()]
    marker = next((c for c in faces if c != "none" and mpl.colors.to_hex(c) != "#ffffff"), "#ffffff")
    colour = marker if line.get_linestyle() == "None" else line.get_color()
    return str(mpl.colors.to_hex([alpha * c + 1 - alpha for c in mpl.colors.to_rgb(colour)]))


def test_letters_and_lines_of_all_pictures_can_be_read(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        if name in OWN_PAPER:
            continue
        words = [t for axis in figure.axes for t in axis.texts] + list(figure.texts)
        words += [t for legend in figure.legends for t in legend.get_texts()]
        for text in words:
            assert contrast(mpl.colors.to_hex(text.get_color()), "#ffffff") >= 4.5, (name, text.get_text())
        for line in lines(figure):
            assert contrast(on_white(line), "#ffffff") >= 3, (name, line.get_label())


def test_blue_and_orange_mean_faster_and_slower_alone(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        found = {on_white(line).upper() for line in lines(figure)}
        found |= {mpl.colors.to_hex(t.get_color()).upper() for axis in figure.axes for t in axis.texts}
        assert not {colour for colour in found if coloured(colour)} - MEANT, name
    assert all(map(coloured, MEANT))


def test_a_block_keeps_its_look_in_all_pictures_of_a_run(figures: dict[str, Figure]) -> None:
    seen: dict[str, set[tuple[object, ...]]] = {}
    for legend in [legend for name in ("memory", "roofline") for legend in figures[name].legends]:
        assert isinstance(legend, Legend)
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            if isinstance(handle, Line2D):
                seen.setdefault(text.get_text(), set()).add((handle.get_color(), handle.get_marker()))
    assert seen["standard"] == {(style.FAINT, "^")}
    assert seen["separable"] == {(style.GREEN, "v")}
    networks = [seen[name] for name in designed.NETWORKS]
    assert all(len(looks) == 1 for looks in networks)
    assert len({next(iter(looks)) for looks in networks}) == len(networks)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_the_pages_colours_can_be_read_and_mean_the_same(scheme: str) -> None:
    light, dark, printed = (dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL))  # fmt: skip
    colours = {"light": light, "dark": light | dark, "print": light | printed}[scheme]
    full = {name: mpl.colors.to_hex(c) for name, c in colours.items()}
    for name in ("ink", "faint", "faster", "slower", "alarm", "would"):
        assert contrast(full[name], full["paper"]) >= 4.5, name
        assert contrast(full[name], full["tint"]) >= 4.5, name
        assert coloured(full[name]) is (name in ("faster", "slower")), name
    used = {*re.findall(r"var\(--([a-z]+)\)", CSS)}
    assert used - {"heading", "least"} <= full.keys()
    assert not re.findall(r"(?<!-)\bcolor: #(?!222|fff)", CSS)
