"""Does time follow layers or MACs? Each way's elasticity of time on both, for its smallest and its largest batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import mean_of
from bench.analyse.sweeps.designed import find, surest
from bench.show.plots.shared import panels, style
from bench.show.text import titles
from bench.show.text.ways import way_labels
from bench.spec.format import listed
from bench.spec.interval import Interval

_MARKS = "elasticity: slope of ln(time) on ln(count), mean of a block's sweeps: 1 is in proportion, 0 not at all"
_BARS = "lines: {level:g} % interval over processes"
_TEXTS = [("the texts: GPU", 0.06, 1.0, style.INK), ("the texts: CPU", 0.94, 0.0, style.INK)]  # beside circles at 0, 1


class Point(NamedTuple):
    """A condition, a block, and the elasticities of its time on MACs and on layers."""

    condition: Condition
    block: str
    macs: Interval
    layers: Interval

    @property
    def at(self) -> tuple[float, float]:
        """Where it stands."""
        return self.macs.mean, self.layers.mean

    @property
    def way(self) -> Condition:
        """The condition but for its batch."""
        return replace(self.condition, batch=None)


def picture(run: Run) -> Figure | None:
    """A panel for each device's smallest batch, and one for its largest if that differs; a marker for each way and block."""
    sweeps = [s for s in find(records_of(run.measurements)) if not s.condition.predicted]
    points = []
    for (condition, block), some in grouped(sweeps, lambda s: (s.condition, s.block)).items():
        kinds = [[s.elasticity() for s in surest(some, grows)] for grows in ("macs", "layers")]
        points += [Point(condition, block, *map(mean_of, kinds))] if all(kinds) else []
    if not points:
        return None
    sides: list[list[Point]] = []
    for end in (min, max):
        of = {d: end(p.condition.batch or 1 for p in some) for d, some in grouped(points, _device).items()}
        side = [p for p in points if p.condition.batch == of[_device(p)]]
        sides += [side] if side not in sides else []
    shown = [p for side in sides for p in side]
    ways, conditions = sorted({p.way for p in shown}, key=Condition.order), {p.condition for p in shown}
    rows = [r for r in records_of(run.measurements) if Condition.of(r, r["run_id"]) in conditions and r["kernel"] is not None]  # fmt: skip
    looks, words = panels.block_looks(run, rows), way_labels(ways)
    figure, axes = style.panels(len(sides), square=True)
    low, high = (pick(v for p in shown for v in p.at) for pick in (min, max))
    for axis, side, word in zip(axes, sides, ("smallest", "largest"), strict=False):
        _paper(axis, min(-0.2, low - 0.1), max(1.2, high + 0.1))
        batches = sorted({p.condition.batch or 1 for p in side})
        style.name_panel(axis, f"{word} batch: {listed([str(b) for b in batches], 'or')}")
    axes[0].set_ylabel("elasticity of time on layers at fixed MACs")
    first = next(iter(looks))
    handles: list[Artist] = [style.proxy(b, look.colour, "o", hollow=b != first) for b, look in looks.items()]
    handles.append(style.proxy("where the texts put GPUs and CPUs", style.INK, line=(0, (2, 1))))
    title = titles.plane([[p.at for p in side] for side in sides], [c.device for c in conditions])
    panels.frame(figure, run, rows, title, handles, hollow=False, how="", bars=_BARS, marks=_MARKS)
    for axis, side in zip(axes, sides, strict=True):  # once the panels have their sizes
        for way, alike in grouped(side, lambda p: p.way).items():
            axis.plot(*zip(*(p.at for p in alike), strict=True), color=style.FAINT, lw=0.8, ls=":", zorder=2)
            for p in alike:
                _point(axis, p, looks[p.block].colour, style.DEVICES[ways.index(way) % len(style.DEVICES)], p.block != first)  # fmt: skip
        named = {p.way: (words[p.way], *p.at, style.INK) for p in side}  # at its last block
        panels.place(axis, [*_TEXTS, *named.values()], [*(p.at for p in side), (0, 1), (1, 0)])
    return figure


def _device(point: Point) -> str:
    return str(point.condition.device)


def _paper(axis: Axes, low: float, high: float) -> None:
    """The halves in which layers and MACs lead, and where the texts put devices."""
    halves = (style.LAYERS[0], high, "layers lead", "bottom"), (style.MACS[0], low, "compute leads", "top")
    for colour, edge, words, side in halves:
        axis.fill_between([low, high], [low, high], edge, color=colour, alpha=0.09, lw=0, zorder=0)
        turned: dict[str, Any] = {"rotation": 45, "rotation_mode": "anchor", "transform_rotates_text": True}
        axis.text(
            high - 0.04, high - 0.04, words, color=colour, fontsize=10, weight="bold", ha="right", va=side, **turned
        )
    axis.plot([low, high], [low, high], color=style.FAINT, lw=1, zorder=1)
    axis.scatter([0, 1], [1, 0], s=480, facecolor="none", edgecolor=style.INK, ls="--")
    axis.set(xlim=(low, high), ylim=(low, high), xlabel="elasticity of time on MACs at fixed layers")


def _point(axis: Axes, point: Point, colour: str, marker: str, hollow: bool) -> None:
    """A marker, with the intervals of its slopes."""
    x, y = point.at
    if math.isfinite(point.macs.half_width + point.layers.half_width):
        axis.plot([point.macs.low, point.macs.high], [y, y], color=colour, lw=1, zorder=3)
        axis.plot([x, x], [point.layers.low, point.layers.high], color=colour, lw=1, zorder=3)
    axis.plot([x], [y], marker=marker, ms=7, color=colour, mfc="white" if hollow else colour, mew=1.5, zorder=4)
