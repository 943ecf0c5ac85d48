"""What several pictures share: which rows go into which panel and series, bars, axes and legend entries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from bench.analyse.runs.row_quality import LESS_PRECISE, is_less_precise, is_noisy
from bench.analyse.runs.rows import Record, log_by_process
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import style
from bench.show.text import captions
from bench.show.text.ways import channels_word
from bench.spec.columns import SPEEDUP, WITH_NUMBERS
from bench.spec.devices.device_names import is_predicted
from bench.spec.format import percent
from bench.spec.interval import two_groups

MOST_PANELS = 12  # of pictures whose panels stand for themselves
MOST_POINTS = 400  # of a cloud in a panel, or a page of them grows with the run
MOST_GROUPS = 8  # of panels; what is beyond is named in the footer
T = TypeVar("T")
_PARTED = "_parted"  # the label of single processes' marks; it is in no legend


def few(items: Sequence[T], most: int = MOST_POINTS) -> Sequence[T]:
    """All of them, or of more than `most` those at even steps."""
    return items[:: max(1, math.ceil(len(items) / most))]


def measured(row: Record) -> bool:
    """Whether a pair holds a speedup to show, be it predicted: a device's rows are all of one kind, and so is a panel."""
    return row["status"] in WITH_NUMBERS and row["speedup"] is not None


def predicted(rows: Sequence[Record]) -> bool:
    """Whether these rows, of one panel or series, are a model's word."""
    return any(is_predicted(r["device"]) for r in rows)


def block_looks(run: Run, rows: Sequence[Record]) -> dict[str, style.Look]:
    """The looks of the rows' blocks, the same in all pictures of a run: standard is grey, separable green; violet if all are predicted."""
    every = dict.fromkeys(["standard", "separable", *run.measurements["block"].astype(str)])
    shown, foretold = {r["block"] for r in rows}, all(predicted([r]) for r in rows)
    return {block: style.look(i, foretold) for i, block in enumerate(every) if block in shown}


def device_markers(run: Run) -> dict[str, str]:
    """The marker of each of the run's devices, the same in all its pictures."""
    return dict(zip(dict.fromkeys(run.pairs["device"].astype(str)), itertools.cycle(style.DEVICES), strict=False))


def baselines(rows: Sequence[Record]) -> str:
    """The rows' baseline by its name, if they have one."""
    names = list(dict.fromkeys(str(r["baseline"]) for r in rows))
    return names[0] if len(names) == 1 else "the baseline"


def columns(places: Sequence[tuple[str, int]]) -> int:
    """Panels side by side: a group's kernels where those are as many in all groups; else 0, for style.panels to choose."""
    groups = [sum(g == name for g, _ in places) for name in dict.fromkeys(g for g, _ in places)]
    return groups[0] if len(groups) > 1 and len(set(groups)) == 1 and 1 < groups[0] <= 4 else 0


def panel_name(group: str, kernel: int) -> str:
    """`cpu, kernel 3 x 3`."""
    return ", ".join(filter(None, (group, f"kernel {kernel} x {kernel}")))


def bar(axis: Axes, row: Record, at: float, seen: style.Look, thin: bool = False, hollow: bool | None = None, of: tuple[str, str, str] = SPEEDUP, across: bool = False) -> None:  # fmt: skip
    """One cell: its marker, hollow where it is less precise than asked or noisy, and its interval; `of` are the row's columns."""
    value, low, high = (row[name] for name in of)
    fill = "white" if (doubtful(row) if hollow is None else hollow) else seen.colour
    if low is not None:
        style.interval(axis, at, (low, high), seen.colour, 0.7 if thin else 1.2, across=across)
    axis.plot(*style.turned([at], [value], across), marker=seen.marker, ms=5.5, color=seen.colour, mfc=fill, mew=1.3, zorder=4)  # fmt: skip
    if of == SPEEDUP and (each := parted(row)):
        axis.plot(*style.turned([at] * len(each), each, across), ls="", marker=".", ms=4, color=seen.colour, zorder=3, label=_PARTED)  # fmt: skip


def parted(row: Record) -> list[float]:
    """The speedup in each process of a row whose processes fall into two groups; empty for any other."""
    each = list(log_by_process(row).values())
    return [math.exp(log) for log in each] if two_groups(each) else []


def doubtful(row: Record) -> bool:
    """Whether a cell is drawn hollow."""
    return is_noisy(row) or is_less_precise(row)


def interval_ends(rows: Sequence[Record]) -> list[float]:
    """Both ends of all intervals."""
    return [r[c] for r in rows for c in ("speedup_ci_low", "speedup_ci_high") if r[c] is not None]


def shade_band(axis: Axes, rows: Sequence[Record], across: bool = False) -> None:
    """The noise band of the A/A test round 1x, where the rows have one (the widest, if they have several)."""
    band = max((r["noise_band"] for r in rows if r["noise_band"] is not None), default=None)
    if band is not None:
        span = axis.axvspan if across else axis.axhspan
        span(math.exp(-band), math.exp(band), color=style.FAINT, alpha=0.25, lw=0, zorder=0)


def band_handle(rows: Sequence[Record]) -> list[Artist]:
    """The legend entry for the noise band, where there is one."""
    bands = [r["noise_band"] for r in rows if r["noise_band"] is not None]
    words = f"shaded: this machine's noise, ±{percent(max(bands))}" if bands else ""
    return [Patch(color=style.FAINT, alpha=0.25, lw=0, label=words)] if bands else []


def channel_axis(axis: Axes, channels: Channels) -> None:
    """Ticks at the channel numbers themselves; every other one where they are many."""
    places = list(channels.labels)
    long = max(len(w) for w in channels.labels.values()) > 5
    alone = style.beside(axis) == 1
    room = (12 if alone else 6) if long else (16 if alone else 9)
    kept = places[:: math.ceil(len(places) / room)]
    axis.set_xticks(kept, [channels.labels[at] for at in kept])
    axis.set_xlim(places[0] - 0.45 * channels.step, places[-1] + 0.45 * channels.step)
    axis.set_xlabel(channels.title)


def label_outer(axes: Sequence[Axes], text: str, alike: bool = True) -> None:
    """The y axis's words at the first panel of each row; the x axis's words, if all are `alike`, at the last panel of each column."""
    across = style.beside(axes[0])
    for i, axis in enumerate(axes):
        if i % across == 0:
            axis.set_ylabel(text)
        if alike and i + across < len(axes):
            axis.set_xlabel("")


def name_ends(axis: Axes, ends: Sequence[tuple[tuple[float, float], str, str]]) -> list[Annotation]:
    """Name lines right of the axis, by where each ends, its words and its colour; spread_ends moves the names apart."""
    line: dict[str, Any] = {"arrowstyle": "-", "lw": 0.6, "shrinkA": 1, "shrinkB": 4, "relpos": (0, 0.5)}
    beside: dict[str, Any] = {"va": "center", "fontsize": 8, "annotation_clip": False}
    return [
        axis.annotate(text, at, (1.02, at[1]), textcoords=axis.get_yaxis_transform(), color=colour, arrowprops={**line, "color": colour}, **beside)
        for at, text, colour in ends
    ]  # fmt: skip


def spread_ends(axis: Axes, names: Sequence[Annotation]) -> None:
    """Move the names as little up or down as it takes to part them; to be called once the panel has its size."""
    ordered = sorted(names, key=lambda name: name.xy[1])
    points = 72 / axis.figure.dpi
    heights = [float(axis.transData.transform(name.xy)[1]) * points for name in ordered]
    low, high = (float(y) * points for y in axis.bbox.intervaly)
    for name, y in zip(ordered, spread(heights, 11, low, high), strict=True):
        name.xyann = (1.02, float(axis.transData.inverted().transform((0, y / points))[1]))


def spread(at: Sequence[float], least: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Rising heights moved apart to `least` between neighbours and into low to high, as little as it takes."""
    moved = list(at)
    for i, y in enumerate(moved):
        moved[i] = max(y, low if i == 0 else moved[i - 1] + least)
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], high if i == len(moved) - 1 else moved[i + 1] - least)
    return moved


def place(axis: Axes, words: Sequence[tuple[str, float, float, str]], points: Sequence[tuple[float, float]], sides: Sequence[int] = (1, -1)) -> None:  # fmt: skip
    """Words beside places (text, x, y, colour), as near as they stand free of all `points`; once the panels have their sizes."""
    figure = axis.get_figure(root=True)
    renderer, unit = figure.canvas.get_renderer(), figure.dpi / 72  # type: ignore[union-attr]
    taken = [Bbox.from_bounds(x - 4 * unit, y - 4 * unit, 8 * unit, 8 * unit) for x, y in axis.transData.transform(points)]  # fmt: skip
    tries = [(side * 8, up) for step in range(0, 150, 5) for up in dict.fromkeys((step, -step)) for side in sides]
    for text, x, y, colour in words:
        note = style.note(axis, text, (x, y), (0, 0), colour, va="center", zorder=6, bbox=style.BACKED)
        for by, up in tries:
            note.set(position=(by, up), ha="left" if by > 0 else "right")
            box = note.get_window_extent(renderer)
            inside = all(axis.bbox.contains(*corner) for corner in box.corners())
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        if note.get_position()[1]:
            style.note(axis, "", (x, y), note.get_position(), colour, arrowprops={"arrowstyle": "-", "lw": 0.6, "color": colour})  # fmt: skip


def frame(
    figure: Figure, run: Run, rows: Sequence[Record], title: str, handles: Sequence[Artist], *left: str, hollow: bool = True, **caption: str
) -> Figure:  # fmt: skip
    """The figure in its frame, with legend entries for what is `hollow` or predicted among the rows that it shows, and their footer.

    `left` tells what the picture leaves out, `caption` is what captions.footer takes.
    """
    doubts = [style.proxy(f"hollow: noisy, or {LESS_PRECISE}", style.FAINT, "o", hollow=True)]
    handles = [*handles, *(doubts if hollow and any(map(doubtful, rows)) else [])]
    if any(line.get_label() == _PARTED for axis in figure.axes for line in axis.lines):
        handles.append(style.proxy("single processes, in two groups", style.FAINT, "."))
    handles += style.predicted_handle(predicted(rows))
    style.frame(figure, title, captions.footer(run, rows, **caption), handles, *left)
    return figure


@dataclass(frozen=True, slots=True)
class Channels:
    """Where channel numbers stand on an axis: by their log2, or one step each where a row changes their number."""

    places: dict[tuple[int, int], float]
    labels: dict[float, str]
    step: float

    @classmethod
    def of(cls, rows: Sequence[Record]) -> Channels:
        pairs = sorted({(int(r["c_in"]), int(r["c_out"])) for r in rows}, key=lambda p: (p[0] * p[1], p))
        if all(i == o for i, o in pairs):
            places = {p: math.log2(p[0]) for p in pairs}
        else:
            places = {p: float(n) for n, p in enumerate(pairs)}
        labels = {places[p]: channels_word(*p) for p in pairs}
        gaps = [b - a for a, b in zip(list(labels), list(labels)[1:], strict=False)]
        return cls(places, labels, min(gaps, default=1.0))

    def at(self, row: Record) -> float:
        return self.places[int(row["c_in"]), int(row["c_out"])]

    def beside(self, row: Record, index: int, count: int) -> float:
        """The row's place, moved a little so that the series at `index` of `count` does not hide another."""
        return self.at(row) + (index - (count - 1) / 2) * min(0.07, 0.4 / count) * self.step

    @property
    def title(self) -> str:
        return "channels in and out" if all("→" not in w for w in self.labels.values()) else "channels in → out"
