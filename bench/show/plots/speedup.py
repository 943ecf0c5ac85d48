"""The speedups of blocks over channels, in each way to run them; of layers that are no sweep of channels a row for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import is_plain, way_grids, way_of
from bench.show.plots.shared import dots, panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import layer_words, way_labels
from bench.spec.columns import FAILED

MOST_LINES = 10  # in a panel
MOST_CHANNELS = 32  # of a line
LEAST_CHANNELS = 2  # of a line


@dataclass(frozen=True, slots=True)
class Line:
    """A block run in one way at one kernel: its cells by their number of channels, in rising order."""

    block: str
    way: Condition
    kernel: int
    cells: tuple[Record, ...]


def picture(run: Run) -> Figure | None:
    """A panel for each kernel, with a named line for each way and block; rows of dots without a sweep of channels."""
    blocks = [r for r in records_of(run.pairs) if r["kernel"] is not None]
    every = [r for r in blocks if panels.measured(r) or r["status"] in FAILED]
    found = _lines(every)
    if not found:
        rows = [r for r in every if panels.measured(r)]
        return dots.picture(run, _layers(rows), titles.speedup) if rows else None
    kept = _kept(found)
    lines = [line for line in found if (line.block, line.way) in kept]
    rows = [r for line in lines for r in line.cells if panels.measured(r)]
    by_kernel = grouped(sorted(lines, key=lambda line: line.kernel), lambda line: line.kernel)
    figure, axes = style.panels(len(by_kernel))
    wide, tall = figure.get_size_inches()
    figure.set_size_inches(wide + 0.9 * min(len(by_kernel), 3), tall)  # for the lines' names
    channels = panels.Channels.of([r for line in lines for r in line.cells])
    failed = [r for line in lines for r in line.cells if not panels.measured(r)]
    bounds = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), [1.0], 1.5 if failed else 1.25)
    looks, markers = panels.block_looks(run, rows), panels.device_markers(run)
    labels, several = way_labels([way for _, way in kept]), len({line.block for line in lines}) > 1
    ends = []
    for axis, (kernel, here) in zip(axes, by_kernel.items(), strict=True):
        tips = []
        for i, line in enumerate(here):
            alike = [way for block, way in kept if (block, way.device) == (line.block, line.way.device)]
            marker, place = markers[str(line.way.device)], alike.index(line.way)
            seen = style.of_way(looks[line.block], marker, place, line.way.predicted)
            tip = _draw(axis, line, [channels.beside(r, i, len(here)) for r in line.cells], seen)
            tips.append((tip, f"{line.block}, {labels[line.way]}" if several else labels[line.way], seen.colour))
        crosses = [channels.at(r) for line in here for r in line.cells if not panels.measured(r)]
        low = axis.get_xaxis_transform()
        axis.plot(crosses, [0.04] * len(crosses), "x", color=style.FAINT, ms=6, mew=1.6, transform=low)
        panels.shade_band(axis, rows)
        axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)
        panels.channel_axis(axis, channels)
        style.ratio_axis(axis.yaxis, *bounds)
        style.name_panel(axis, panels.panel_name("", kernel))
        ends.append(panels.name_ends(axis, tips))
    panels.label_outer(axes, "speedup (above 1x: faster)")
    handles = panels.band_handle(rows) + ([style.proxy("failed", style.FAINT, "x")] if failed else [])
    left = captions.not_drawn(len(_ways(found)) - len(kept), "way")
    panels.frame(figure, run, rows, titles.speedup(rows), handles, left)
    for axis, names in zip(axes, ends, strict=True):
        panels.spread_ends(axis, names)
    return figure


def _draw(axis: Axes, line: Line, xs: Sequence[float], seen: style.Look) -> tuple[float, float]:
    """A line with a marker and an interval at each cell, broken where a cell failed; returns its last point."""
    known = [(x, r) for x, r in zip(xs, line.cells, strict=True) if panels.measured(r)]
    ys = [r["speedup"] if panels.measured(r) else math.nan for r in line.cells]
    axis.plot(xs, ys, color=seen.colour, ls=seen.line, lw=1.4, zorder=2)
    if line.way.predicted:
        low, high = ([r[end] for _, r in known] for end in ("speedup_ci_low", "speedup_ci_high"))
        axis.fill_between([x for x, _ in known], low, high, facecolor="none", edgecolor=seen.colour, hatch="\\\\\\", alpha=0.18, lw=0, zorder=1)  # fmt: skip
    for x, r in known:
        panels.bar(axis, r, x, seen)
    return known[-1][0], float(known[-1][1]["speedup"])


def _lines(rows: Sequence[Record]) -> list[Line]:
    """The lines of all blocks, those of each in the order of its ways."""
    lines = []
    for block, some in grouped(rows, lambda r: (r["block"], r["baseline"])).items():
        for grid in way_grids(some):
            for way, held in grid.rows.items():
                cells = tuple(
                    held[at] for at in panels.few(grid.channels, MOST_CHANNELS) if at in held and at[0] == at[1]
                )
                if sum(map(panels.measured, cells)) >= LEAST_CHANNELS:
                    lines.append(Line(str(block[0]), way, grid.kernel, cells))
    return lines


def _ways(lines: Sequence[Line]) -> list[tuple[str, Condition]]:
    return list(dict.fromkeys((line.block, line.way) for line in lines))


def _kept(lines: Sequence[Line]) -> list[tuple[str, Condition]]:
    """The ways that find room: plain ones before others, then those with the most cells; in the lines' order."""
    cells = {pair: sum(len(line.cells) for line in lines if (line.block, line.way) == pair) for pair in _ways(lines)}
    first = sorted(cells, key=lambda pair: (not is_plain(pair[1]), -cells[pair]))[:MOST_LINES]
    return [pair for pair in cells if pair in first]


def _layers(rows: Sequence[Record]) -> dots.Cases[Record]:
    """Each block and way with its layers, named by what differs between them."""
    labels, held = way_labels([way_of(r) for r in rows]), dict[str, dict[str, Record]]()
    for r, words in zip(rows, layer_words(rows), strict=True):
        heading = ", ".join([str(r["block"])] * (len({r["block"] for r in rows}) > 1) + [labels[way_of(r)]])
        held.setdefault(heading, {}).setdefault(words, r)
    return {heading: list(some.items()) for heading, some in held.items()}
