"""How much of what fewer multiplications lead one to expect arrives: the speedup as a share of the MAC ratio, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.analyse.facts import FEWER_MACS
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import way_of, way_order
from bench.show.plots.shared import dots, panels, style
from bench.show.text import titles
from bench.show.text.ways import way_labels
from bench.spec.format import share

MOST_DOTS = 60  # in a row; its mean and its counts are of all
_BEYOND = "above 100 %: more than fewer MACs explain, such as a slow kernel of the baseline"


def picture(run: Run) -> Figure | None:
    """A row for each block and way, a dot for each of its cells; None where no measured block has fewer MACs."""
    rows = [r for r in records_of(run.pairs) if panels.measured(r) and (r["mac_ratio"] or 0) > FEWER_MACS]
    if not rows:
        return None
    labels = way_labels([way_of(r) for r in rows])
    ordered = sorted(rows, key=lambda r: way_order(way_of(r)))
    blocks = grouped(ordered, lambda r: str(r["block"]))
    cases = {b if len(blocks) > 1 else "": [(labels[w], cells) for w, cells in grouped(some, way_of).items()] for b, some in blocks.items()}  # fmt: skip
    figure, (axis,), places, left = dots.lay_out(cases)
    drawn = [r for _, cells in places for r in cells]
    looks, markers = panels.block_looks(run, drawn), panels.device_markers(run)
    low, high = style.limits(_shares(drawn), always=[1.0])
    style.log_axis(axis.xaxis, low, high, style.few_ticks(low, high), share)
    axis.axvline(1, color=style.INK, lw=1.2, zorder=1)
    style.note(axis, "100 %", (1, -0.9), (-5, 0), style.INK, ha="right", va="center")
    axis.set_xlabel("achieved: speedup / MAC ratio")
    for y, cells in places:
        marker, shares = markers[str(cells[0]["device"])], _shares(cells)
        colour = style.VIOLET[0] if panels.predicted(cells) else looks[cells[0]["block"]].colour
        for r, value in panels.few(list(zip(cells, shares, strict=True)), MOST_DOTS):
            axis.plot([value], [y], marker=marker, ms=5.5, color=colour, mfc="white" if panels.doubtful(r) else colour, zorder=3)  # fmt: skip
        middle, above = math.exp(math.fsum(map(math.log, shares)) / len(shares)), sum(value > 1 for value in shares)
        if len(cells) > 1:
            axis.plot([middle], [y], marker="|", ms=14, mew=1.6, color=style.INK, ls="", zorder=4)
        words = f", {above} of {len(cells)} above 100 %" if above else ""
        dots.write_beside(axis, y, share(middle) + words, style.INK, "bold" if above else "normal")
    if all(panels.predicted([r]) for r in drawn):
        style.mark_predicted(axis)
    handles = [style.proxy("a cell", style.FAINT, "o"), style.proxy("geometric mean", style.INK, "|")]
    marks = _BEYOND if any(value > 1 for value in _shares(drawn)) else ""
    return panels.frame(figure, run, drawn, titles.delivery(drawn), handles, left, bars="", marks=marks)


def _shares(rows: Sequence[Record]) -> list[float]:
    return [r["speedup"] / r["mac_ratio"] for r in rows]
