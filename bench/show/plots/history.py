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
from bench.show.plots.compare import margin_axis
from bench.show.text.history import footer, heading, title

MOST_LABELS = 12


def draw(history: History, folder: Path) -> tuple[Path, ...]:
    """Write history.png and history.svg."""
    return style.save(picture(history), folder, "history")


def picture(history: History) -> Figure:
    """Every row as a faint line and their mean as a strong one, against the runs in their order; changes as upright lines."""
    figure, (axis,) = style.panels(1, 1)
    count, started = len(history.runs), history.started
    ratios = np.exp(history.logs - history.logs[0])
    axis.plot(range(count), ratios, color=style.FAINT, lw=0.7, alpha=min(1.0, 0.15 + 4 / len(history.rows)), zorder=2)
    axis.plot(range(count), np.exp(history.means), color=style.COLOURS[0], marker="o", ms=5, lw=1.8, zorder=4)
    for change in history.changes:
        axis.axvline(change.at - 0.5, color=style.COLOURS[1], lw=1.4, ls=(0, (4, 2)), zorder=3)
    margin_axis(axis, math.log1p(history.margin), ratios.ravel().tolist(), room=1.03)
    axis.set_xlim(-0.5, count - 0.5)
    axis.xaxis.set_major_locator(FixedLocator(list(range(0, count, math.ceil(count / MOST_LABELS)))))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: started[round(v)][5:16].replace("T", "\n") if 0 <= round(v) < count else "")
    )
    axis.set_ylabel(heading(history))
    handles: list[Artist] = [
        style.proxy("geometric mean", style.COLOURS[0], "o", "-"),
        style.proxy("a row", style.FAINT, line="-"),
        style.proxy("change point", style.COLOURS[1], line=(0, (4, 2))),
    ]
    style.frame(figure, title(history), footer(history), handles)
    return figure
