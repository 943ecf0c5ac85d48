"""The map of where separable would start to pay, on the terminal and as a picture. Predicted, and marked so throughout."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TextIO

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from bench.analyse.predict.crossover_map import Cell, Map
from bench.analyse.runs.summary import percent
from bench.show.plots import style
from bench.show.plots.speedup_map import EVEN, HATCHES, colour_of, luminance
from bench.show.text.terminal import console_on, print_table
from bench.spec.model.predictions import disagreements

_DARK = 0.21
MARKS = {"faster": "", "slower": "", "undecided": " ?"}
_HOST = "h: the host would decide, not the device"


def show(found: Map, file: TextIO | None = None) -> None:
    """Print a table for each mode: batches downwards, channels across."""
    console = console_on(file or sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(f"PREDICTED for {found.device.called}: nothing was measured. {where(found)}")
    say("Speedup of the separable block: time of standard / time of separable; above 1x separable would be faster.")
    for mode in found.modes():
        cells = found.of(mode)
        channels = sorted({c for _, c in cells})
        say("")
        say(f"{mode}: {summary(found, mode)}")
        lines = [
            (f"{batch}", *(_word(cells[batch, c]) for c in channels)) for batch in sorted({b for b, _ in cells})
        ]  # fmt: skip
        print_table(console, ("batch", *(f"{c} ch" for c in channels)), lines, 1)
    say("")
    hosts = f"; {_HOST}" if _of_host(found) else ""
    say(f"?: the model's error could turn it{_or_host(found)}{hosts}. {doubt(found)}")
    if found.device.kind == "gpu":
        say(host(found))
    for line in filter(None, [compiled(found), *disagreements(found.device.called, found.device.disagree)]):
        say(line)


def draw(found: Map, folder: Path) -> tuple[Path, ...]:
    """Write predicted-crossover-DEVICE.png and .svg into `folder`; DEVICE begins with its file's or run's name, and ends in a hash of its figures, where it is not of the table."""
    modes = found.modes()
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, axes = style.panels(len(modes), min(2, len(modes)))
        for axis, mode in zip(axes, modes, strict=True):
            _panel(axis, found.of(mode))
            style.name_panel(axis, f"predicted, {mode}")
        axes[0].set_ylabel("batch")
        how = " · ".join(filter(None, [
            where(found), "speedup: time of standard / time of separable", "heavy line: 1x", doubt(found), host(found), compiled(found)
        ]))  # fmt: skip
        style.frame(figure, title(found), f"Predicted by bench's kernel model, not measured · {how}", _handles(found))
        return style.save(figure, folder, f"predicted-crossover-{found.device.slug}")


def where(found: Map) -> str:
    """What the map holds for."""
    return f"{found.kernel} x {found.kernel} with batch norm and ReLU, as many channels out as in, {found.size} x {found.size} pixels, {found.dtype}, {found.layout}"


def doubt(found: Map) -> str:
    """How far off the model may be."""
    share = math.exp(found.error)
    return f"95 % of speedups left out of the fit lay within a factor of {share:.2g} of what was predicted"


def host(found: Map) -> str:
    """What is assumed of a GPU's host; nothing of a CPU, which is its own."""
    if found.device.kind != "gpu":
        return ""
    more = (
        f", and ? allows for up to {found.host * found.operator_us:.3g}: give yours by --host-us"
        if found.host > 1
        else ""
    )
    return f"host: {found.operator_us:.3g} us an operator{more}"


def _or_host(found: Map) -> str:
    return f", or a host {found.host:.3g} times slower" if found.host > 1 else ""


def compiled(found: Map) -> str:
    """What is known to be wrong of compiled calls on a GPU; nothing of a CPU's, whose compiled tables are fitted."""
    told = "compile: on a GPU small blocks are predicted three times too fast (docs/PREDICTION.md)"
    return told if found.device.kind == "gpu" and "compile" in found.modes() else ""


def title(found: Map) -> str:
    """The finding: from how many channels on separable would be faster beyond all doubt that is allowed for, mode by mode."""
    said = "; ".join(f"{mode}: {_from(found.of(mode))}" for mode in found.modes())
    return f"Predicted for {found.device.called}, not measured. Separable would pay, {said}"


def _from(cells: dict[tuple[int, int], Cell]) -> str:
    """At the smallest and the largest batch."""
    batches = sorted({batch for batch, _ in cells})
    words = []
    for batch in dict.fromkeys((batches[0], batches[-1])):
        wide = sorted((c for b, c in cells if b == batch), reverse=True)
        sure = list(takewhile(lambda c, b=batch: cells[b, c].state == "faster", wide))  # type: ignore[misc]
        words.append(f"{f'from {sure[-1]} channels on' if sure else 'for sure at none of these'} at batch {batch}")
    return ", ".join(words)


def summary(found: Map, mode: str) -> str:
    """In how many cells separable would be faster or slower beyond the model's error."""
    cells = list(found.of(mode).values())
    states = [cell.state for cell in cells]
    many = f"{len(cells)} cell{'s' if len(cells) != 1 else ''}"
    open_ = states.count("undecided")
    return f"separable would be faster in {states.count('faster')} of {many}, slower in {states.count('slower')}, {open_} ({percent(open_ / len(cells))}) undecided"


def _of_host(found: Map) -> bool:
    return any(cell.bound == "host" for cell in found.cells)


def _word(cell: Cell) -> str:
    return f"{cell.speedup:.2f}x" + (" h" if cell.bound == "host" else "") + MARKS[cell.state]


def _panel(axis: Axes, cells: dict[tuple[int, int], Cell]) -> None:
    batches, channels = sorted({b for b, _ in cells}), sorted({c for _, c in cells})
    at = {key: (channels.index(key[1]), batches.index(key[0])) for key in cells}
    for key, (x, y) in at.items():
        cell = cells[key]
        colour = colour_of(cell.speedup)
        dark = luminance(colour) < _DARK
        unsure = cell.state == "undecided"
        edge = "#ffffff" if dark else style.FAINT
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=edge, hatch=HATCHES["undecided"] if unsure else None, lw=0, zorder=2))  # fmt: skip
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor="#ffffff", lw=1.6, zorder=3))
        backed = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if unsure else None
        axis.text(x, y, _word(cell), ha="center", va="center", fontsize=7.5, color="#ffffff" if dark else style.INK, bbox=backed, zorder=4)  # fmt: skip
    sides = {at[key]: cell.speedup > 1 for key, cell in cells.items()}
    for (x, y), wins in sides.items():
        for other, ends in (((x + 1, y), ((x + 0.5,) * 2, (y - 0.5, y + 0.5))), ((x, y + 1), ((x - 0.5, x + 0.5), (y + 0.5,) * 2))):  # fmt: skip
            if other in sides and sides[other] != wins:
                axis.plot(*ends, color=style.INK, lw=2.6, zorder=5, solid_capstyle="round")
    axis.grid(False)
    axis.set(xlim=(-0.5, len(channels) - 0.5), ylim=(-0.5, len(batches) - 0.5), xlabel="channels in and out")
    axis.set_xticks(range(len(channels)), [str(c) for c in channels])
    axis.set_yticks(range(len(batches)), [str(b) for b in batches])
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(length=0)


def _handles(found: Map) -> Sequence[Artist]:
    shades = ((0.25, "0.25x: would be slower"), (1.0, "1x"), (4.0, "4x: would be faster"))
    return [
        *(Patch(facecolor=colour_of(v), edgecolor=style.FAINT, lw=0.6, label=words) for v, words in shades),
        Patch(facecolor=EVEN, edgecolor=style.FAINT, hatch=HATCHES["undecided"], lw=0.6, label=f"?  undecided: the model's error{_or_host(found)} could turn it"),
        *[Patch(facecolor="none", edgecolor="none", label="h  the host would decide")] * _of_host(found),
    ]  # fmt: skip
