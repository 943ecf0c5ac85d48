"""What all pictures share: colours, scales, the frame of title, legend, panels and footer, and how they are saved."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path as Outline
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.spec.format import digits

HEADING = "heading"  # what a picture names its drawn title, followed by how many points that takes
FASTER, SLOWER = "#0072B2", "#D55E00"  # Okabe and Ito's blue and vermillion: no series is blue or orange
FASTER_SIDE, SLOWER_SIDE = "#E6F0F7", "#FBEBDD"  # of 1x, behind the data
WORDS = {FASTER: "#00609A", SLOWER: "#A84300"}  # the same for letters, which need more contrast
INK, FAINT, GRID = "#222222", "#5F5F5F", "#E4E4E4"
GREEN, MAGENTA, OLIVE, WINE, MOSS = "#00704F", "#A6347A", "#767000", "#7A1F3D", "#4A7A00"
COLOURS = (FAINT, GREEN, MAGENTA, OLIVE, WINE, MOSS, INK)  # of blocks: standard is grey and separable green
LAYERS, MACS, ACTIVATIONS = (WINE, "D"), (OLIVE, "p"), (MAGENTA, "h")  # what time is spent on; layers are the darkest
MARKERS = ("^", "v", "<", ">", "P", "d", "*", "X")  # of blocks
DEVICES = ("o", "s", "D", "p", "h", "8")  # markers, none of them a block's
LINES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
VIOLET = ("#5B2A86", "#9457B8", "#2E1A47")  # what was predicted, whatever its series
PREDICTED_LINE = (0, (4, 1, 1, 1, 1, 1))  # its line, which no measured one has: it is read without colours
BACKED: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.85}  # a word over lines
DPI = 150
FOOTER = "footer"  # the name of the words below the panels, in an SVG file too
CUT = "arrow: the interval goes on beyond the axis"
_INTERVAL = "_interval"  # the label of a line that `frame` is to mark where an axis cuts it; it is in no legend
_UP, _DOWN = (Outline([(0, -2 * s), (0, 0), (-0.6, -s), (0, 0), (0.6, -s)]) for s in (1, -1))  # the tip at its point
_RIGHT, _LEFT = (Outline(np.asarray(tip.vertices)[:, ::-1]) for tip in (_UP, _DOWN))
_MARGIN = 0.12  # inches
_TITLE = (13.0, 10.5)  # points, at most and at least
_BOUND = "\u00a0"
HATCHED: dict[str, Any] = {"facecolor": "white", "edgecolor": "#E3D6EE", "hatch": "///", "linewidth": 0}
mpl.rcdefaults()  # a matplotlibrc of the user's, or of the working folder, changes no picture
mpl.rcParams.update({
    "text.parse_math": False,  # a dollar in a name is one
    "svg.hashsalt": "bench",  # the same data make the same file
    "svg.fonttype": "none",
    "text.hinting": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so pictures look alike everywhere
    "font.size": 9,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn; the first 56 differ in colour, marker or line."""

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]]


def look(index: int, predicted: bool = False) -> Look:
    """The look of the series at this place; of a predicted one in a colour and with a line that no measured one has."""
    turn = index // len(COLOURS)
    colours = VIOLET if predicted else COLOURS
    line = PREDICTED_LINE if predicted else LINES[(index + turn) % len(LINES)]
    return Look(colours[index % len(colours)], MARKERS[index % len(MARKERS)], line)


def of_way(block: Look, marker: str, index: int, predicted: bool) -> Look:
    """The look of a block on a device, in the way of this place: in the block's colour, the fifth and further ones darker."""
    turn, place = divmod(index, len(LINES))
    if predicted:
        return Look(VIOLET[index % len(VIOLET)], marker, PREDICTED_LINE)
    red, green, blue = ((1 - 0.4 * turn / (turn + 1)) * c for c in mpl.colors.to_rgb(block.colour))
    return Look(str(mpl.colors.to_hex((red, green, blue))).upper(), marker, LINES[place])


def way(index: int) -> Look:
    """The look of a way to run a block, where colours are not the blocks'."""
    hues = (INK, *COLOURS[2:-1])
    turn, place = divmod(index, len(hues))
    return Look(hues[place], DEVICES[index % len(DEVICES)], LINES[(index + turn) % len(LINES)])


def panels(count: int, columns: int = 0, share_y: Literal["all", "none"] = "all", square: bool = False) -> tuple[Figure, list[Axes]]:  # fmt: skip
    """A figure with this many panels in so many columns, by default two or three, filled row by row; a place that is left over stays empty."""
    columns = columns or (2 if count in (2, 4) else min(3, count))
    rows = math.ceil(count / columns)
    width = {1: 7.0, 2: 9.4}.get(columns, 3.7 * columns + 0.8)
    height = (4.3 if square else 3.4 if rows == 1 else 2.9) * rows + 0.3
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=False, sharey=share_y == "all", squeeze=False)
    axes = [axis for row in grid for axis in row]
    for unused in axes[count:]:
        unused.set_axis_off()
    for i, axis in enumerate(axes[:count]):
        axis.set_axisbelow(True)
        axis.grid(True, color=GRID, linewidth=0.8)
        axis.tick_params(length=3, color=FAINT, labelcolor=INK, labelleft=share_y != "all" or i % columns == 0)
        for side, spine in axis.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(FAINT)
    return figure, axes[:count]


def mark_predicted(axis: Axes) -> None:
    """Hatch a panel whose numbers are a model's, so that none looks like a measurement."""
    axis.patch.set(**HATCHED)


def interval(axis: Axes, at: float, ends: Sequence[float], colour: str, width: float = 1.2, above: float = 3, across: bool = False) -> None:  # fmt: skip
    """The line of an interval, upright or across; `frame` puts an arrow where the axis ends before it does."""
    axis.plot(
        *turned([at] * 2, ends, across), color=colour, lw=width, zorder=above, solid_capstyle="butt", label=_INTERVAL
    )


def turned(at: Sequence[float], values: Sequence[float], across: bool) -> tuple[Sequence[float], Sequence[float]]:
    """x and y of values that stand upright, or lie across."""
    return (values, at) if across else (at, values)


def note(
    axis: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], colour: str, **more: Any
) -> Annotation:
    """Small words at a point of the axis, moved by `offset` in points."""
    look = {"textcoords": "offset points", "fontsize": 7.5, "color": WORDS.get(colour, colour), "zorder": 5}
    return axis.annotate(text, at, offset, **{**look, **more})


def predicted_handle(predicted: bool) -> list[Artist]:
    """The legend entry for that, where there is any."""
    words = "violet and hatched: predicted, nothing was measured"
    return [Patch(**HATCHED, label=words)] if predicted else []


def beside(axis: Axes) -> int:
    """How many panels stand side by side in the figure of this one."""
    return axis.get_subplotspec().get_gridspec().ncols  # type: ignore[union-attr]


def name_panel(axis: Axes, text: str) -> None:
    """A panel's own heading, left above it, in as many lines as the panel's share of the figure asks for."""
    inches = axis.get_figure(root=True).get_size_inches()[0] / beside(axis)  # type: ignore[union-attr]
    most = max(20, int((inches - 0.75) * 72 / (9.5 * 0.56)))
    whole = re.sub(r" (?=\d)|(?<=\d) (?=x |px|threads?)", _BOUND, text)  # a number keeps its word
    lines = [textwrap.fill(line, most, break_on_hyphens=False).replace(_BOUND, " ") for line in whole.split("\n")]
    axis.set_title("\n".join(lines), loc="left", fontsize=9.5, color=INK, y=1.0)


def frame(figure: Figure, title: str, footer: str, handles: Sequence[Artist], *more: str) -> None:
    """Put the title and the legend above the panels and the footer below, each as wide as the figure and no wider.

    The panels' share of the figure keeps its size: the figure grows by what the words need. `more` goes on a line above
    the footer, for what could not be drawn. The panels' scales are set by now: intervals that they cut get their arrows.
    """
    handles = [*handles, *_mark_cut(figure)]
    width, height = (float(v) for v in figure.get_size_inches())
    heading = _heading(figure, title, width - 2 * _MARGIN)
    heading.set_gid(f"{HEADING}{_inches(figure, heading)[1] * 72 + 72 * _MARGIN:.0f}")
    foot = figure.text(0, 0, "\n".join(_wrapped(t, width - 2 * _MARGIN, 7.5 * 0.56) for t in (" ".join(filter(None, more)), footer) if t), fontsize=7.5, color=FAINT, ha="left", va="bottom", linespacing=1.4)  # fmt: skip
    foot.set_in_layout(False)
    foot.set_gid(FOOTER)
    legend = _legend(figure, handles, width - 2 * _MARGIN)
    above = _inches(figure, heading)[1] + (_inches(figure, legend)[1] if legend else 0.0) + 2.2 * _MARGIN
    below = _inches(figure, foot)[1] + 1.6 * _MARGIN
    full = height + above + below
    figure.set_size_inches(width, full)
    left = _MARGIN / width
    heading.set_position((left, 1 - _MARGIN / full))
    foot.set_position((left, 0.7 * _MARGIN / full))
    if legend:
        top = 1 - (_inches(figure, heading)[1] + 1.7 * _MARGIN) / full
        legend.set_bbox_to_anchor((left, top))
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(
            rect=(0.3 * left, below / full, 1 - 1.3 * left, 1 - (above + below) / full), hspace=0.06, wspace=0.03
        )  # type: ignore[call-arg]
        engine.execute(figure)
        figure.set_layout_engine("none")  # laid out once, not again for each file


def _mark_cut(figure: Figure) -> list[Artist]:
    """An arrow at the edge of a panel for each interval that goes on beyond it; the legend entry, where there is one."""
    cut = False
    for axis in figure.axes:
        for line in [line for line in axis.lines if line.get_label() == _INTERVAL]:
            x, y = (np.asarray(data, dtype=float) for data in line.get_data())
            across = bool(y[0] == y[1] and x[0] != x[1])
            (at, _), ends = (y, x) if across else (x, y)
            low, high = axis.get_xlim() if across else axis.get_ylim()
            below, above = (_LEFT, _RIGHT) if across else (_DOWN, _UP)
            for edge, marker, beyond in ((low, below, ends.min() < low), (high, above, ends.max() > high)):
                if beyond:
                    axis.plot(*turned([at], [edge], across), marker=marker, ms=14, mew=1.3, mfc="none", mec=line.get_color(), ls="", clip_on=False, zorder=5)  # fmt: skip
                    cut = True
    return [proxy(CUT, FAINT, Outline(_UP.vertices + np.array([0, 1])))] if cut else []


def proxy(text: str, colour: str = INK, marker: str | Outline = "", line: object = "", hollow: bool = False) -> Line2D:
    """A legend entry."""
    return Line2D(
        [], [], color=colour, marker=marker, linestyle=line, markersize=5.5, linewidth=1.4, label=text,  # type: ignore[arg-type]
        markerfacecolor="white" if hollow else colour, markeredgecolor=colour,
    )  # fmt: skip


def ratio_axis(axis: Axis, low: float, high: float) -> None:
    """A log2 axis of ratios from low to high, its ticks written 0.5x, 1x, 2x."""
    log_axis(axis, low, high, ratio_ticks(low, high), lambda v: f"{digits(v, 3)}x")


def log_axis(axis: Axis, low: float, high: float, ticks: Sequence[float], word: Callable[[float], str]) -> None:
    """A log2 axis with these ticks and no others, each written by `word(value)`."""
    if isinstance(axis, XAxis):
        axis.axes.set(xscale="log", xlim=(low, high))
    else:
        axis.axes.set(yscale="log", ylim=(low, high))
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda v, _: word(v)))


def ratio_ticks(low: float, high: float) -> list[float]:
    """Powers of two between low and high; with steps between them where there would be fewer than three."""
    ticks: list[float] = []
    first, last = math.floor(math.log2(low)), math.ceil(math.log2(high))
    for parts in (1, 2, 4, 8, 20, 100, 400):
        ticks = [2.0**e * (1 + i / parts) for e in range(first, last + 1) for i in range(parts)]
        ticks = [t for t in ticks if low <= t <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: math.ceil(len(ticks) / 9)]


def decade_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10 and so on between low and high; only powers of ten where those are many."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 2000 else (1,)
    return [s * 10.0**e for e in exponents for s in steps if low <= s * 10.0**e <= high]


def few_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most so many for their words: powers of ten where 1, 2 and 5 of each are too many."""
    ticks = decade_ticks(low, high)
    powers = [t for t in ticks if round(math.log10(t), 6).is_integer()]
    ticks = powers if len(ticks) > most and len(powers) > 1 else ticks
    return ticks[:: max(1, math.ceil(len(ticks) / most))]


def limits(values: Sequence[float], ends: Sequence[float] = (), always: Sequence[float] = (), room: float = 1.25) -> tuple[float, float]:  # fmt: skip
    """Limits that show all values, and the ends of their intervals as far as a factor of 1.5 beyond all values."""
    low, high = min(values), max(values)
    near = [min(max(e, low / 1.5), high * 1.5) for e in ends]
    shown = [low, high, *near, *always]
    return min(shown) / room, max(shown) * room


def _heading(figure: Figure, title: str, room: float) -> Text:
    """The title on one line in its largest size that fits into `room` inches; in the smallest on several lines."""
    heading = figure.suptitle(title, fontsize=_TITLE[0], fontweight="bold", color=INK, ha="left", va="top", linespacing=1.25)  # fmt: skip
    heading.set_in_layout(False)
    heading.set_fontsize(min(_TITLE[0], max(_TITLE[1], 0.99 * _TITLE[0] * room / _inches(figure, heading)[0])))
    if _inches(figure, heading)[0] > room:
        heading.set_text(_wrapped(title, room, _TITLE[1] * 0.62))
    return heading


def _legend(figure: Figure, handles: Sequence[Artist], most: float) -> Legend | None:
    """The legend, row by row, with as few rows as `most` inches of width allow; None without handles."""
    for rows in range(1, len(handles) + 1):
        columns = math.ceil(len(handles) / rows)
        by_column = [handles[i] for c in range(columns) for i in range(c, len(handles), columns)]
        legend = figure.legend(
            handles=by_column, loc="upper left", ncols=columns, frameon=False, fontsize=8.5, handlelength=2.4,
            columnspacing=1.6, borderaxespad=0, borderpad=0, labelcolor=INK,
        )  # fmt: skip
        legend.set_in_layout(False)
        if columns == 1 or _inches(figure, legend)[0] <= most:
            return legend
        legend.remove()
    return None


def _inches(figure: Figure, artist: Artist) -> tuple[float, float]:
    box = artist.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    return box.width / figure.dpi, box.height / figure.dpi


def _wrapped(text: str, width: float, letter_points: float) -> str:
    """Text in lines that fit into `width` inches, at this mean width of a letter. Items between dots stay whole."""
    most = max(20, int(width * 72 / letter_points))
    if " · " in text:
        text = "\u00a0· ".join(
            item.replace(" ", "\u00a0") if len(item) < most - 2 else item for item in text.split(" · ")
        )
    whole = text.replace(" %", "\u00a0%")  # a number keeps its sign
    lines = [line for part in whole.split("\n") for line in textwrap.wrap(part, most, break_on_hyphens=False)]
    return "\n".join(lines).replace("\u00a0%", " %")
