"""Rows with names under headings; and speedups as such rows: a dot with a bar from 1x, its interval, and what one expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.rows import Record
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import panels, style
from bench.show.text import captions
from bench.spec.format import times

MOST_ROWS = 48
_SIDES = (("slower", style.SLOWER, "right", -5), ("faster", style.FASTER, "left", 5))
_COLOURS = {word: colour for word, colour, *_ in _SIDES}
_INCHES = 0.26  # of a row

T = TypeVar("T")
Cases = Mapping[str, Sequence[tuple[str, T]]]  # by heading, each row's words and what it shows


def lay_out(cases: Cases[T], most: int = MOST_ROWS, across: int = 1) -> tuple[Figure, list[Axes], list[tuple[float, T]], str]:  # fmt: skip
    """Axes side by side with `most` rows, the first of each heading in turn; the heights of what they show, and what finds no room.

    An empty heading takes no room.
    """
    longest = max(map(len, cases.values()))
    kept = [(heading, i) for i in range(longest) for heading, some in cases.items() if i < len(some)][:most]
    figure, axes = style.panels(across, across)
    at, labels, places = 0.0, {}, []
    for heading, some in cases.items():
        if heading:
            labels[at] = heading
            at += 1
        for words, row in [case for i, case in enumerate(some) if (heading, i) in kept]:
            labels[at] = words
            places.append((at, row))
            at += 1
        at += 0.4
    for axis in axes:
        axis.set(ylim=(at - 0.8, -1.4))
        axis.grid(False)
        axis.set_yticks(list(labels), list(labels.values()), fontsize=8.5)
        axis.tick_params(axis="y", length=0)
    named = {y for y, _ in places}
    for y, label in zip(labels, axes[0].get_yticklabels(), strict=True):
        label.set_fontweight("normal" if y in named else "bold")
    figure.set_size_inches(7.6, _INCHES * at + 0.9)
    return figure, axes, places, captions.not_drawn(sum(map(len, cases.values())) - len(places), "row")


def picture(run: Run, cases: Cases[Record], title: Callable[[list[Record]], str], marks: str = "", most: int = MOST_ROWS) -> Figure:  # fmt: skip
    """The cases on one axis, under the `title` of those that find room. `marks` goes into the footer."""
    figure, (axis,), places, left = lay_out(cases, most)
    rows, markers = [row for _, row in places], panels.device_markers(run)
    for y, row in places:
        _dot(axis, row, y, markers[str(row["device"])])
    expected = [float(r["mac_ratio"]) for r in rows if r["mac_ratio"]]
    low, high = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), [1.0, *expected])
    style.ratio_axis(axis.xaxis, low, high)
    axis.axvspan(low, 1, color=style.SLOWER_SIDE, lw=0, zorder=0)
    axis.axvspan(1, high, color=style.FASTER_SIDE, lw=0, zorder=0)
    axis.axvline(1, color=style.INK, lw=1.2, zorder=1)
    panels.shade_band(axis, rows, across=True)
    for word, colour, side, x in _SIDES:
        style.note(axis, word, (1, -0.9), (x, 0), colour, ha=side, va="center", fontweight="bold", fontsize=9)
    kind = "block" if rows[0]["kernel"] else "network"
    axis.set_xlabel(f"speedup: time of {panels.baselines(rows)} / time of the {kind}")
    return panels.frame(figure, run, rows, title(rows), _handles(rows), left, marks=marks)


def _dot(axis: Axes, row: Record, y: float, marker: str) -> None:
    """The row's dot in the colour of its verdict, its interval, what one expects as a tick, and the speedup in words beside the axis."""
    predicted, value = panels.predicted([row]), float(row["speedup"])
    colour = style.VIOLET[0] if predicted else _COLOURS.get(row["verdict"], style.FAINT)
    axis.barh([y], [value - 1], 0.34, 1, color="white" if predicted else colour, edgecolor=colour, alpha=0.4, lw=0, hatch="////" * predicted, zorder=1)  # fmt: skip
    panels.bar(axis, row, y, style.Look(colour, marker, "-"), across=True)
    if row["mac_ratio"]:
        axis.plot([row["mac_ratio"]], [y], marker="|", ms=10, mew=1.4, color=style.INK, ls="", zorder=2)
    words = times(value, row["precision"] or 0.05)
    write_beside(axis, y, words, colour, "bold" if row["verdict"] in _COLOURS else "normal")


def write_beside(axis: Axes, y: float, words: str, colour: str, weight: str = "normal") -> None:
    """A row's words right of the axis."""
    where = {"xycoords": ("axes fraction", "data"), "va": "center", "annotation_clip": False}
    style.note(axis, words, (1, y), (6, 0), colour, fontsize=8.5, fontweight=weight, **where)


def _handles(rows: Sequence[Record]) -> list[Artist]:
    expected = style.proxy("expected by fewer MACs", style.INK, "|")
    expected.set(markersize=10, markeredgewidth=1.4)
    handles: list[Artist] = [expected] if any(r["mac_ratio"] for r in rows) else []
    if any(r["verdict"] not in _COLOURS for r in rows):
        handles.append(style.proxy("grey: undecided, or the same", style.FAINT, "o"))
    return handles + panels.band_handle(rows)
