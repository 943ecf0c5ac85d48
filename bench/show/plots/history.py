"""The picture of a history: every row and their mean against the runs in their order, change points marked."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.analyse.compare.change_points import History
from bench.show.plots import style
from bench.show.plots.compare import round_ticks
from bench.show.text.compare import WAYS
from bench.show.text.history import QUANTITY, date, title
from bench.spec.format import digits

MOST_LABELS = 12


def draw(found: History, folder: Path) -> tuple[Path, ...]:
    """Write history.png and history.svg."""
    return style.save(picture(found), folder, "history")


def picture(found: History) -> Figure:
    """Every row as a faint line and their mean as a strong one, against the runs in their order; changes as upright lines."""
    figure, (axis,) = style.panels(1, 1)
    count = len(found.runs)
    ratios = np.exp(found.logs - found.logs[0])
    axis.plot(range(count), ratios, color=style.FAINT, lw=0.7, alpha=min(1.0, 0.15 + 4 / len(found.rows)), zorder=2)
    axis.plot(range(count), np.exp(found.means), color=style.COLOURS[0], marker="o", ms=5, lw=1.8, zorder=4)
    edge = math.log1p(found.margin)
    axis.axhspan(math.exp(-edge), math.exp(edge), color=style.FAINT, alpha=0.2, lw=0, zorder=0)
    for change in found.changes:
        axis.axvline(change.at - 0.5, color=style.COLOURS[1], lw=1.4, ls=(0, (4, 2)), zorder=3)
    low, high = style.limits(ratios.ravel().tolist(), always=[math.exp(-1.6 * edge), math.exp(1.6 * edge)], room=1.03)
    style.log_axis(axis.yaxis, low, high, round_ticks(low, high), lambda v: f"{digits(v, 3)}x")
    kept = list(range(0, count, math.ceil(count / MOST_LABELS)))
    axis.set_xlim(-0.5, count - 0.5)
    axis.xaxis.set_major_locator(FixedLocator(kept))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: date(found, round(v))[5:16].replace("T", "\n")))
    axis.set_ylabel(f"{QUANTITY[found.quantity]} / that of the first run (above 1x: {WAYS[found.quantity][0]})")
    handles: list[Artist] = [
        style.proxy("geometric mean", style.COLOURS[0], "o", "-"),
        style.proxy("a row", style.FAINT, line="-"),
        style.proxy("change point", style.COLOURS[1], line=(0, (4, 2))),
    ]
    footer = f"{found.runs[0].run_id} to {found.runs[-1].run_id} · shaded: within {found.margin * 100:g} % · change points: permutations of the runs, 5 %"
    style.frame(figure, title(found), footer, handles)
    return figure
