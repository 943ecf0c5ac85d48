"""Time against layers at fixed MACs, and against MACs at fixed layers: the two that a plain comparison can't tell apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby, zip_longest

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.designed import Estimate, Sweep, find, unit_cost
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import describe, short_labels
from bench.spec.format import digits, in_seconds, plural, unit_of, with_prefix

MOST_ACROSS = 2  # panels side by side: with more the words are too small on a page
MOST_PLACES = 8
MOST_TOGETHER = 4  # of several devices side by side
TALL = 2.3  # inches, of a row of panels
LABEL_INCHES = 1.4  # beside the lines, for their words
KNOWN = 0.25  # half-width of a slope that a title may lean on
_BARS = "bars: 95 % interval over processes"
_MARKS = (
    "at a line: slope of ln(time) on ln(count) with its interval, and the straight line's time for each layer or GMAC"
)
_LEAD = 8.6  # points from one line of words to the next
_RAYS = ((1.0, (0, (5, 2))), (0.0, (0, (1, 2))))  # slope and line of what the sweeps are held against

Row = tuple[list[Sweep], list[Condition]]  # sweeps of one kind, whose panels have the same scales, and the row's places


def picture(run: Run, devices_alike: bool = False) -> Figure | None:
    """A panel for each sweep and place: sweeps of layers above, those of MACs below, on logarithmic axes.

    Panels of a sweep share their scales on each device, or with `devices_alike` on all of them, which then stand side by side.
    """
    shown, left = _shown(find(records_of(run.measurements)), devices_alike)
    if not shown:
        return None
    places = list(dict.fromkeys(s.condition for s in shown))
    bands = _bands(places, devices_alike)
    across = max(map(len, bands))
    rows = _rows(shown, bands, devices_alike)
    figure, axes = style.panels(len(rows) * across, across, "none")
    figure.set_size_inches(figure.get_size_inches()[0], TALL * len(rows) + 0.3)
    blocks = list(dict.fromkeys(s.block for s in shown))
    words = short_labels(places)
    labelled: list[tuple[Axes, list[Sweep]]] = []
    for i, (whole, band) in enumerate(rows):
        upright = style.limits([t for s in whole for t in _times(s)], room=1.6)
        begun = False
        for j, axis in enumerate(axes[i * across : (i + 1) * across]):
            here = [s for s in whole if j < len(band) and s.condition == band[j]]
            if not here:
                axis.set_axis_off()
                continue
            for s in here:
                _line(axis, s, style.look(blocks.index(s.block), s.condition.predicted))
            if any(s.condition.predicted for s in here):
                style.mark_predicted(axis)
            _scales(axis, whole, upright, not begun)
            kernel = f", kernel {here[0].kernel}" if len({s.kernel for s in shown}) > 1 else ""
            style.name_panel(axis, "\n".join(filter(None, (words[here[0].condition], describe(here[0]) + kernel))))
            labelled.append((axis, here))
            begun = True
    arms = {p.arm_id for s in shown for p in s.points}
    drawn = [r for r in records_of(run.measurements) if r["arm_id"] in arms]
    known, doubt = _known(shown)
    footer = captions.footer(run, drawn, "median time, geometric mean over processes", _BARS, _MARKS)
    style.frame(figure, titles.depth(known), footer, _handles(shown), left, doubt)
    for axis, here in labelled:  # once the panels have their sizes, which the words follow
        _label(axis, here, blocks)
    return figure


def _shown(sweeps: Sequence[Sweep], devices_alike: bool) -> tuple[list[Sweep], str]:
    """The sweeps of layers, those of MACs with the deepest stacks at the same places, and what finds no room."""
    deep = [s for s in sweeps if s.grows == "layers"]
    every = list(dict.fromkeys(s.condition for s in deep))
    kernels = {s.kernel for s in deep}
    wide = [s for s in sweeps if s.grows == "macs" and s.condition in every and s.kernel in kernels]
    deepest = max((s.points[0].depth or 1 for s in wide), default=1)
    wide = [s for s in wide if (s.points[0].depth or 1) == deepest]
    places = [p for band in _bands(every, devices_alike) for p in band]
    shown = [s for s in (*deep, *wide) if s.condition in places]
    return shown, captions.not_drawn(len(every) - len(places), "place", "measurements.csv")


def _bands(places: Sequence[Condition], devices_alike: bool) -> list[list[Condition]]:
    """Places side by side, at most MOST_ACROSS, and MOST_PLACES or MOST_TOGETHER in all; never of two devices, or of each in turn."""
    by_device = [[p for p in places if p.device == d] for d in dict.fromkeys(p.device for p in places)]
    if devices_alike:
        by_device = [[p for turn in zip_longest(*by_device) for p in turn if p is not None]]
    bands = [mine[i : i + MOST_ACROSS] for mine in by_device for i in range(0, len(mine), MOST_ACROSS)]
    kept, room = [], MOST_TOGETHER if devices_alike else MOST_PLACES
    for band in bands:
        kept.append(band[:room])
        room -= len(kept[-1])
    return [band for band in kept if band]


def _rows(shown: Sequence[Sweep], bands: Sequence[list[Condition]], devices_alike: bool) -> list[Row]:
    """Device by device (or of all at once), all places' panels of a sweep below each other, then those of the next."""
    rows: list[Row] = []
    for _, near in groupby(bands, key=lambda band: "" if devices_alike else band[0].device):
        places = list(near)
        here = [s for s in shown if any(s.condition in band for band in places)]
        alike = grouped(here, lambda s: (s.grows, s.experiment, s.kernel))
        rows += [(some, band) for some in alike.values() for band in places if any(s.condition in band for s in some)]
    return rows


def _times(sweep: Sweep) -> list[float]:
    return [math.exp(p.log_time.mean) for p in sweep.points]


def _line(axis: Axes, sweep: Sweep, seen: style.Look) -> None:
    """A sweep's points with their intervals, between rays of the slopes that it is held against."""
    counts, values = [float(c) for c in sweep.counts()], _times(sweep)
    for slope, dashes in _RAYS:
        ends = [values[0] * (c / counts[0]) ** slope for c in (counts[0], counts[-1])]
        axis.plot([counts[0], counts[-1]], ends, color=seen.colour, lw=1.0, ls=dashes, alpha=0.55, zorder=1.5)
    axis.plot(counts, values, color=seen.colour, ls=seen.line if sweep.condition.predicted else "-", lw=1.6, zorder=3)
    for count, value, point in zip(counts, values, sweep.points, strict=True):
        if math.isfinite(point.log_time.half_width):
            ends = [math.exp(point.log_time.low), math.exp(point.log_time.high)]
            style.interval(axis, count, ends, seen.colour)
        axis.plot([count], [value], marker=seen.marker, ms=5.5, color=seen.colour, mfc="white" if point.noisy else seen.colour, mew=1.3, zorder=4)  # fmt: skip


def _scales(axis: Axes, row: Sequence[Sweep], upright: tuple[float, float], first: bool) -> None:
    """The same scales for all panels that show the same on a device; right of the data stays room for words."""
    every = sorted({float(c) for s in row for c in s.counts()})
    grows = row[0].grows
    low, high = every[0] / 1.35, every[-1] * 1.35
    if grows == "layers":
        ticks = [c for c in every if math.log2(c) % 2 == 0] or every
        style.log_axis(axis.xaxis, low, high, ticks[:: math.ceil(len(ticks) / 5)], lambda v: f"{v:g}")
    else:
        style.log_axis(axis.xaxis, low, high, style.few_ticks(low, high, 5), lambda v: with_prefix(v, 3))
    style.log_axis(axis.yaxis, *upright, style.few_ticks(*upright), in_seconds)
    axis.spines["bottom"].set_bounds(low, high)
    axis.set_xlabel("layers of an evaluation" if grows == "layers" else "MACs of an evaluation")
    axis.tick_params(labelleft=first)
    if first:
        axis.set_ylabel("time of an evaluation")


def _label(axis: Axes, here: Sequence[Sweep], blocks: Sequence[str]) -> None:
    """Widen the panel's scale to the right of all data, and name each line there at the height where it ends."""
    inches = axis.get_position().width * axis.figure.get_size_inches()[0]  # type: ignore[union-attr]
    low, high = axis.get_xlim()
    axis.set_xlim(low, high * (high / low) ** (LABEL_INCHES / (inches - LABEL_INCHES)))
    x = (inches - LABEL_INCHES) * 72
    bottom, top = axis.get_ylim()
    tall = axis.get_position().height * axis.figure.get_size_inches()[1] * 72  # type: ignore[union-attr]
    each = 3 * _LEAD + 2
    ends = sorted(here, key=lambda s: _times(s)[-1])
    at = [tall * math.log(_times(s)[-1] / bottom) / math.log(top / bottom) for s in ends]
    for s, y in zip(ends, panels.spread(at, each, each / 2, tall - each / 2), strict=True):
        colour = style.look(blocks.index(s.block), s.condition.predicted).colour
        where = {"xycoords": "axes fraction", "va": "center", "ha": "left", "linespacing": 1.15}
        style.note(axis, "\n".join(line_words(s)), (0, 0), (x + 2, y), colour, **where)


def line_words(sweep: Sweep) -> tuple[str, str, str]:
    """A line's words: its block, its slope with the interval, and the time of each layer or GMAC."""
    slope, each = sweep.elasticity(), unit_cost(sweep).each
    known = f" ±{math.ceil(slope.half_width * 100) / 100:.2f}" if math.isfinite(slope.half_width) else ""
    unit, size = ("layer", 1.0) if sweep.grows == "layers" else ("GMAC", 1e9)
    return sweep.block, f"slope {slope.mean:.2f}{known}", f"{_cost(each, size)} a {unit}"


def _cost(each: Estimate, size: float) -> str:
    """`12 us [10, 14]`: a cost of so many units at two digits; its interval in the same unit of time, where they show it."""
    values = [v * size for v in (each.value, each.low, each.high) if v is not None]
    unit, second = unit_of(values[0] if values[0] > 0 else max(values), 2)
    first, *ends = [digits(v / second, 2) for v in values]
    return f"{first} {unit}" + (f" [{', '.join(ends)}]" if {first} != {first, *ends} else "")


def _handles(shown: Sequence[Sweep]) -> list[Artist]:
    counted = "layers or MACs" if len({s.grows for s in shown}) > 1 else "layers"
    handles: list[Artist] = [
        style.proxy(f"in step with the {counted}: slope 1", style.FAINT, line=_RAYS[0][1]),
        style.proxy(f"{counted} cost nothing: slope 0", style.FAINT, line=_RAYS[1][1]),
    ]
    if any(p.noisy for s in shown for p in s.points):
        handles.append(style.proxy("hollow: noisy", style.FAINT, "o", hollow=True))
    return handles + style.predicted_handle(any(s.condition.predicted for s in shown))


def _known(shown: Sequence[Sweep]) -> tuple[list[Sweep], str]:
    """The baseline's sweeps of layers for the title, those with known slopes if there are any; and what it leaves out."""
    mine = [s for s in shown if s.block == shown[0].block and s.grows == "layers"]
    known = [s for s in mine if s.elasticity().half_width <= KNOWN]
    if not known:
        return mine, f"No slope is known to ±{KNOWN}, so the title's factors may be chance."
    left = f"The title leaves out {len(mine) - len(known)} of {plural(len(mine), 'sweep')}: slopes less precise than ±{KNOWN}."
    return known, left if len(known) < len(mine) else ""
