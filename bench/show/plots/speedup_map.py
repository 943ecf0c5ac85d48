"""The map of a run's speedups, ways down and channels across, and that of predicted ones: colour is the side of 1x."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from bench.analyse.predict.crossover_map import CrossoverMap
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import WayGrid, is_plain, sweeps_of_channels
from bench.show.plots.shared import files, panels, style
from bench.show.text import captions, titles
from bench.show.text import crossover_map as words
from bench.show.text.ways import channels_word, way_labels, window_words
from bench.spec.format import percent, plural, times
from bench.spec.interval import EQUIVALENCE_MARGIN

EVEN = "#ffffff"
FULL = 3.0  # log2 of the speedup that has the full colour: 8x and 1/8x
HATCHES = {"undecided": "////", "same": "..", "failed": "xx"}
PREDICTED = "\\\\\\"  # over whatever a cell has else, in the colour of what is predicted
MOST_WAYS = 12
MOST_CHANNELS = 16
_MARKS = "speedup: time of the baseline / time of the block"
_SIGNS = {"same": " =", "undecided": " ?"}
_DARK = 0.21  # luminance below which white letters are easier to read than ink


@dataclass(frozen=True, slots=True)
class Square:
    """A cell of a map: its speedup, None where it failed, the words in it and its hatching."""

    speedup: float | None
    words: str
    hatch: str | None = None
    predicted: bool = False  # hatched in violet over that


def picture(run: Run) -> Figure | None:
    """Ways to run the first block down, kernel by kernel, and channels across; None of a run without a sweep of channels."""
    grids = sweeps_of_channels(records_of(run.pairs))
    if not grids:
        return None
    shown, left = _shown(grids)
    labels = way_labels([w for ways in shown for w in ways])
    held = {at for g, ways in zip(grids, shown, strict=True) for w in ways for at in g.rows[w]}
    every = sorted(held, key=lambda c: (c[0] * c[1], c))
    channels = panels.few(every, MOST_CHANNELS)
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, (axis,) = style.panels(1)
        y, places, drawn, gaps = 0.0, {}, [], 0
        for grid, ways in zip(grids, shown, strict=True):
            shape = window_words(grid.first)
            axis.text(-0.62, y, shape, ha="right", va="center", fontsize=9, weight="bold", color=style.INK)
            for way in ways:
                y += 1
                places[y] = labels[way]
                cells = grid.rows[way]
                for x, at in enumerate(channels):
                    if at in cells:
                        _draw_square(axis, _square(cells[at]), x, y)
                        drawn.append(cells[at])
                    else:
                        gap: dict[str, Any] = {"fill": False, "lw": 0.8, "ls": ":", "edgecolor": style.FAINT}
                        axis.add_patch(Rectangle((x - 0.44, y - 0.4), 0.88, 0.8, **gap))
                        gaps += 1
            y += 1.25
        figure.set_size_inches(max(7.0, 2.6 + 0.85 * len(channels)), 0.32 * y + 0.7)
        axis.grid(False)
        axis.set(xlim=(-0.5, len(channels) - 0.5), ylim=(y - 0.75, -0.5), xlabel="channels in and out")
        axis.set_xticks(range(len(channels)), list(itertools.starmap(channels_word, channels)))
        axis.set_yticks(list(places), list(places.values()))
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        rows = [r for r in drawn if panels.measured(r)]
        marks = _MARKS + (" · dotted: not measured" if gaps else "")
        footer = captions.footer(run, rows, "paired within rounds", bars="", marks=marks)
        odd = f"{plural(left, 'more way')} of another dtype, layout, pass or setting: see pairs.csv." if left else ""
        narrow = captions.not_drawn(len(every) - len(channels), "channel count")
        style.frame(figure, titles.speedup_map(rows), footer, _handles(drawn), odd, narrow)
    return figure


def _shown(grids: Sequence[WayGrid]) -> tuple[list[list[Condition]], int]:
    """Of each grid the ways that find room, plain ones before others; and how many do not."""
    plain = [[w for w in g.rows if is_plain(w)] or list(g.rows) for g in grids]
    kept = [ways[:MOST_WAYS] for ways in plain]
    return kept, len({w for g in grids for w in g.rows} - {w for ways in kept for w in ways})


def _square(row: Record) -> Square:
    """The row's square, with its verdict where it is not faster or slower; a row without interval is undecided."""
    state = "failed" if not panels.measured(row) else str(row["verdict"] or "undecided")
    if state == "failed":
        return Square(None, str(row["status"]), HATCHES["failed"])
    text = times(row["speedup"], row["precision"] or 0.05) + _SIGNS.get(state, "")
    noisy = " ~" if is_noisy(row) else ""
    return Square(row["speedup"], text + noisy, HATCHES.get(state), panels.predicted([row]))


def draw_squares(axis: Axes, squares: Mapping[tuple[int, int], Square], across: Sequence[str], upwards: Sequence[str]) -> None:  # fmt: skip
    """A square for each cell by its column and row, with a heavy line between neighbours on both sides of 1x; the words of columns and rows."""
    for (x, y), square in squares.items():
        _draw_square(axis, square, x, y)
    wins = {at: s.speedup > 1 for at, s in squares.items() if s.speedup is not None}
    for (x, y), win in wins.items():
        right, above = ((x + 0.5,) * 2, (y - 0.5, y + 0.5)), ((x - 0.5, x + 0.5), (y + 0.5,) * 2)
        for other, ends in (((x + 1, y), right), ((x, y + 1), above)):
            if wins.get(other, win) != win:
                axis.plot(*ends, color=style.INK, lw=2.6, zorder=5, solid_capstyle="round")
    axis.grid(False)
    axis.set(xlim=(-0.5, len(across) - 0.5), ylim=(-0.5, len(upwards) - 0.5))
    axis.set_xticks(range(len(across)), across)
    axis.set_yticks(range(len(upwards)), upwards)
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)


def _draw_square(axis: Axes, square: Square, x: float, y: float) -> None:
    colour = EVEN if square.speedup is None else colour_of(square.speedup)
    dark = luminance(colour) < _DARK

    def outline(**look: Any) -> None:
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **{"fill": False, "lw": 0, **look}))

    outline(fill=True, facecolor=colour, edgecolor="#ffffff" if dark else style.FAINT, hatch=square.hatch, zorder=2)
    if square.predicted:
        outline(edgecolor=style.VIOLET[1], hatch=PREDICTED, zorder=2.5)
    outline(edgecolor="#ffffff", lw=1.6, zorder=3)
    backed = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if square.hatch or square.predicted else None
    axis.text(x, y, square.words, ha="center", va="center", fontsize=8, color="#ffffff" if dark else style.INK, bbox=backed, zorder=4)  # fmt: skip


def colour_of(speedup: float) -> str:
    """White at 1x, blue above and vermillion below, by the logarithm; full from FULL on."""
    share = min(1.0, abs(math.log2(speedup)) / FULL) ** 0.75
    red, green, blue = (1 - share * (1 - c) for c in mpl.colors.to_rgb(style.FASTER if speedup > 1 else style.SLOWER))
    return str(mpl.colors.to_hex((red, green, blue)))


def luminance(colour: str) -> float:
    """Relative, by sRGB's weights: 0 black, 1 white."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in mpl.colors.to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _handles(rows: Sequence[Record]) -> list[Artist]:
    hatches = {_square(r).hatch for r in rows}
    states = {
        "undecided": "?  undecided",
        "same": f"=  the same within {percent(EQUIVALENCE_MARGIN)} or the noise",
        "failed": "failed",
    }
    handles = _scale("slower", "faster")
    handles += [_hatched(s, label) for s, label in states.items() if HATCHES[s] in hatches]
    handles += [_mark("~  noisy")] if any(map(is_noisy, rows)) else []
    if panels.predicted(rows):
        handles.append(Patch(facecolor=EVEN, edgecolor=style.VIOLET[1], hatch=PREDICTED, lw=0, label="predicted, nothing was measured"))  # fmt: skip
    return handles


def _scale(below: str, above: str) -> list[Artist]:
    """The legend entries of the colours, with words for a speedup below 1x and one above."""
    shades = ((0.25, f"0.25x: {below}"), (1.0, "1x"), (4.0, f"4x: {above}"))
    return [Patch(facecolor=colour_of(v), edgecolor=style.FAINT, lw=0.6, label=label) for v, label in shades]


def _hatched(state: str, label: str) -> Patch:
    return Patch(facecolor=EVEN, edgecolor=style.FAINT, hatch=HATCHES[state], lw=0.6, label=label)


def _mark(label: str) -> Patch:
    """The legend entry of a letter or sign in a cell."""
    return Patch(facecolor="none", edgecolor="none", label=label)


def draw_predicted(crossovers: CrossoverMap, folder: Path) -> tuple[Path, ...]:
    """Write predicted-crossover-DEVICE.png and .svg into `folder`, a panel for each mode: channels across, batches upwards.

    DEVICE begins with its file's or run's name, and ends in a hash of its figures, where it is not of the table.
    """
    modes = crossovers.modes()
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, axes = style.panels(len(modes), min(2, len(modes)))
        for axis, mode in zip(axes, modes, strict=True):
            cells = crossovers.of(mode)
            batches, channels = sorted({b for b, _ in cells}), sorted({c for _, c in cells})
            squares = {
                (channels.index(c), batches.index(b)): Square(cell.speedup, words.word(cell), HATCHES.get(cell.state))
                for (b, c), cell in cells.items()
            }
            draw_squares(axis, squares, [str(c) for c in channels], [str(b) for b in batches])
            axis.set_xlabel("channels in and out")
            style.name_panel(axis, f"predicted, {mode}")
        axes[0].set_ylabel("batch")
        handles = [
            *_scale("would be slower", "would be faster"),
            _hatched("undecided", f"?  undecided: the model's error{words.or_host(crossovers)} could turn it"),
            *[_mark("h  the host would decide")] * words.of_host(crossovers),
        ]
        style.frame(figure, words.title(crossovers), words.footer(crossovers), handles)
        return files.save(figure, folder, f"predicted-crossover-{crossovers.device.slug}")
