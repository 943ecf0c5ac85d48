"""The map of where separable would start to pay, as a picture. Predicted, and marked so throughout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle

from bench.analyse.predict.crossover_map import CrossoverMap, MapPoint
from bench.show.plots import style
from bench.show.plots.speedup_map import EVEN, HATCHES, colour_of, luminance
from bench.show.text.crossover_map import compiled, doubt, host, of_host, or_host, title, where, word

_DARK = 0.21


def draw(found: CrossoverMap, folder: Path) -> tuple[Path, ...]:
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


def _panel(axis: Axes, cells: dict[tuple[int, int], MapPoint]) -> None:
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
        axis.text(x, y, word(cell), ha="center", va="center", fontsize=7.5, color="#ffffff" if dark else style.INK, bbox=backed, zorder=4)  # fmt: skip
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


def _handles(found: CrossoverMap) -> Sequence[Artist]:
    shades = ((0.25, "0.25x: would be slower"), (1.0, "1x"), (4.0, "4x: would be faster"))
    return [
        *(Patch(facecolor=colour_of(v), edgecolor=style.FAINT, lw=0.6, label=words) for v, words in shades),
        Patch(facecolor=EVEN, edgecolor=style.FAINT, hatch=HATCHES["undecided"], lw=0.6, label=f"?  undecided: the model's error{or_host(found)} could turn it"),
        *[Patch(facecolor="none", edgecolor="none", label="h  the host would decide")] * of_host(found),
    ]  # fmt: skip
