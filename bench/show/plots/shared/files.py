"""How pictures are saved: as PNG, and as SVG that can stand in any page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import getp
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.show.plots.shared.style import DPI, FOOTER
from bench.spec.files import write_text, write_whole

_LOOK = "marker markersize color markerfacecolor markeredgecolor markeredgewidth zorder clip_on gid".split()  # of a dot


class _Svg(RendererSVG):
    """matplotlib's own, but for the words: text, as long as matplotlib lays it out, whatever font the reader has."""

    def _draw_text_as_text(self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *_: Any) -> None:  # fmt: skip
        length = self.get_text_width_height_descent(s, prop, False)[0]  # type: ignore[no-untyped-call]
        turned = f" rotate({-angle:.4g})" if angle else ""
        look = {"fill": to_hex(gc.get_rgb()), "font-size": f"{prop.get_size_in_points():.4g}"}
        look |= {"font-weight": "700"} if prop.get_weight() == "bold" else {}
        look |= {"opacity": f"{gc.get_alpha():.3g}"} if gc.get_alpha() < 1 else {}
        fitted = {"textLength": f"{length:.2f}", "lengthAdjust": "spacingAndGlyphs"}
        place = {"transform": f"translate({x:.2f} {y:.2f}){turned}"}
        if s.strip():
            self.writer.element("text", s, attrib={**place, **look, **fitted})  # type: ignore[no-untyped-call]


def save_all(figures: Iterable[tuple[str, Figure | None]], folder: Path) -> tuple[Path, ...]:
    """Write each picture that has a figure, by its name; returns the paths."""
    return tuple(path for name, figure in figures if figure is not None for path in save(figure, folder, name))


def save(figure: Figure, folder: Path, name: str) -> tuple[Path, Path]:
    """Write name.png and name.svg; each appears whole or not at all.

    The SVG file can stand in any page: on a white background, without scripts or anything to load, with the figure's
    title as its <title> and its footer as its <desc>.
    """
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    _join_dots(figure)
    # Each canvas prints by itself: savefig would draw every picture once more, to lay it out.
    png_options = {"metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
    canvas = figure.canvas  # it knows the sizes of the texts
    write_whole(png, lambda f: canvas.print_png(f, **png_options))  # type: ignore[attr-defined]
    drawn = StringIO()
    title = " ".join(figure.get_suptitle().split()) or None
    svg_options = {"Date": None, "Creator": None, "Title": title}
    figure.dpi = 72
    width, height = figure.get_size_inches() * 72
    renderer = _Svg(width, height, drawn, image_dpi=DPI, metadata=svg_options)  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    renderer.finalize()  # type: ignore[no-untyped-call]
    figure.dpi = DPI
    footer = " ".join(t.get_text() for t in figure.texts if t.get_gid() == FOOTER).replace("\u00a0", " ")
    text = _described(_numbered(drawn.getvalue()), " ".join(footer.split()))
    write_text(svg, text)
    return png, svg


def _join_dots(figure: Figure) -> None:
    """Draw dots of one look in one go: hundreds of lines of one point each take most of a picture's time and of its size."""
    for axis in figure.axes:
        alike: dict[tuple[object, ...], list[Line2D]] = {}
        for line in (one for one in axis.lines if np.size(one.get_xdata()) == 1):
            look = [str(getp(line, name)) for name in _LOOK]
            alike.setdefault((*look, id(line.get_transform())), []).append(line)
        for first, *others in (some for some in alike.values() if len(some) > 1):
            every = (first, *others)
            first.set(
                xdata=np.concatenate([one.get_xdata() for one in every]),
                ydata=np.concatenate([one.get_ydata() for one in every]),
                linestyle="",
            )
            for one in others:
                one.remove()


def _described(svg: str, words: str) -> str:
    """The picture with a description after its title, for those who hear it."""
    named = svg.replace("<svg ", """<svg role="img" font-family="'DejaVu Sans', Verdana, sans-serif" """, 1)
    return named.replace("</title>", f"</title>\n <desc>{escape(words, quote=False)}</desc>", 1)


def _numbered(svg: str) -> str:
    """The picture with its clip paths counted: matplotlib names them by addresses, which differ from run to run."""
    names = dict.fromkeys(re.findall(r'<clipPath id="(\w+)"', svg))
    numbers = {name: f"clip{i}" for i, name in enumerate(sorted(names, key=svg.index))}
    return re.sub(r"\b(" + "|".join(numbers) + r")\b", lambda m: numbers[m[0]], svg) if numbers else svg
