"""Time as layers grow at fixed MACs, and as MACs grow at fixed layers: the two that a plain comparison can't tell apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.costs import stacked
from bench.analyse.sweeps.designed import Sweep, find
from bench.show.plots.shared import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import way_labels
from bench.spec.format import digits

MOST_LINES = 12  # in a panel
WIDE = 1.5  # inches of words beside the lines, beyond which the panels stand below each other
_MARKS = "a line starts at 1x; of several sweeps of a way it is the one whose activations grow least · their slopes: picture plane · their costs: picture costs"  # fmt: skip
_RAYS = ((1.0, (0, (5, 2))), (0.0, (0, (1, 2))))  # slope and line of what the sweeps are held against
_NAMES = {"layers": ("layers", "layers grow at fixed MACs"), "macs": ("MACs", "MACs grow at fixed layers")}


def picture(run: Run) -> Figure | None:
    """A panel in which layers grow and, where such sweeps are, one in which MACs do; a line for each way and block."""
    sweeps = stacked(find(records_of(run.measurements)))
    ways = _shown([s.condition for s in sweeps if s.grows == "layers"], len({s.block for s in sweeps}))
    if not ways:
        return None
    here = grouped((s for s in sweeps if s.condition in ways), lambda s: (s.grows, s.condition, s.block))
    shown = [min(some, key=_growth) for some in here.values()]
    by_grows = grouped(shown, lambda s: s.grows)
    arms = {p.arm_id for s in shown for p in s.points}
    rows = [r for r in records_of(run.measurements) if r["arm_id"] in arms]
    looks, words = panels.block_looks(run, rows), way_labels(ways)
    wide = 0.2 + 0.058 * max(map(len, words.values()))
    figure, axes = style.panels(len(by_grows), columns=0 if wide < WIDE else 1)
    figure.set_size_inches(figure.get_size_inches()[0], 4.2 if wide < WIDE else 3.4 * len(axes))
    low, high = style.limits([y for s in shown for _, y in _points(s)])
    style.log_axis(axes[0].yaxis, low, high, style.few_ticks(low, high), _times)
    for axis, some in zip(axes, by_grows.values(), strict=True):
        _panel(axis, some, looks)
    panels.label_outer(axes, "time, times that of the first point", alike=False)
    seen = {s.block + ", predicted" * s.condition.predicted: _look(s, looks) for s in shown}
    handles: list[Artist] = [style.proxy(word, look.colour, look.marker, look.line) for word, look in seen.items()]
    handles += [style.proxy(f"slope {slope:g}", style.FAINT, line=dashes) for slope, dashes in _RAYS]
    if any(p.noisy for s in shown for p in s.points):
        handles.append(style.proxy("hollow: noisy", style.FAINT, "o", hollow=True))
    handles += style.predicted_handle(all(w.predicted for w in ways))
    left = captions.not_drawn(len(sweeps) - len(shown), "sweep", "measurements.csv")
    title = titles.depth([s for s in by_grows["layers"] if s.block == next(iter(looks))])
    footer = captions.footer(run, rows, "median time, geometric mean over processes", "", _MARKS)
    style.frame(figure, title, footer, handles, left)
    for axis, some in zip(axes, by_grows.values(), strict=True):  # once the panels have their sizes
        inches = axis.get_position().width * figure.get_size_inches()[0]
        start, end = axis.get_xlim()
        axis.set_xlim(start, end * (end / start) ** (wide / (inches - wide)))
        ends = sorted(((*_points(s)[-1], s) for s in some), key=lambda e: -e[1])
        panels.place(axis, [(words[s.condition], x, y, _look(s, looks).colour) for x, y, s in ends], [p for s in some for p in _points(s)], (1,))  # fmt: skip
    return figure


def _shown(ways: Sequence[Condition], blocks: int) -> list[Condition]:
    """All ways if there is room for them, else those of each device's smallest batch."""
    every, room = sorted(set(ways), key=Condition.order), MOST_LINES // max(1, blocks)
    least = {d: min(w.batch or 0 for w in some) for d, some in grouped(every, lambda w: w.device).items()}
    return every if len(every) <= room else [w for w in every if w.batch == least[w.device]][:room]


def _growth(sweep: Sweep) -> float:
    every = [p.activations for p in sweep.points]
    return max(every) / min(every)


def _points(sweep: Sweep) -> list[tuple[float, float]]:
    """The growing count and the time of each point, over those of the first."""
    counts, first = sweep.counts(), sweep.points[0].log_time.mean
    return [(c / counts[0], math.exp(p.log_time.mean - first)) for c, p in zip(counts, sweep.points, strict=True)]


def _look(sweep: Sweep, looks: Mapping[str, style.Look]) -> style.Look:
    if sweep.condition.predicted:
        return style.look([*looks].index(sweep.block), True)
    return replace(looks[sweep.block], line="-")


def _panel(axis: Axes, sweeps: Sequence[Sweep], looks: Mapping[str, style.Look]) -> None:
    most = max(_points(s)[-1][0] for s in sweeps)
    for slope, dashes in _RAYS:
        axis.plot([1, most], [1, most**slope], color=style.FAINT, lw=1.2, ls=dashes, zorder=1.5)
    for s in sweeps:
        look = _look(s, looks)
        axis.plot(*zip(*_points(s), strict=True), color=look.colour, ls=look.line, lw=1.3, zorder=3)
        for (x, y), p in zip(_points(s), s.points, strict=True):
            axis.plot([x], [y], marker=look.marker, ms=5, color=look.colour, mfc="white" if p.noisy else look.colour, mew=1.2, zorder=4)  # fmt: skip
    style.log_axis(axis.xaxis, 1 / 1.2, most * 1.2, [4.0**e for e in range(6) if 4**e <= most], _times)
    axis.spines["bottom"].set_bounds(1 / 1.2, most * 1.2)
    if all(s.condition.predicted for s in sweeps):
        style.mark_predicted(axis)
    noun, name = _NAMES[sweeps[0].grows]
    axis.set_xlabel(f"{noun}, times those of the first point")
    style.name_panel(axis, name)


def _times(value: float) -> str:
    return f"{digits(value, 3)}x"
