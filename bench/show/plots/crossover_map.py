"""The map of where separable would start to pay, as a picture. Predicted, and marked so throughout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from bench.analyse.predict.crossover_map import CrossoverMap, MapPoint
from bench.show.plots import style
from bench.show.plots.speedup_map import EVEN, HATCHES, Square, colour_of, draw_squares
from bench.show.text.crossover_map import compiled, doubt, host, of_host, or_host, title, where, word


def draw(crossovers: CrossoverMap, folder: Path) -> tuple[Path, ...]:
    """Write predicted-crossover-DEVICE.png and .svg into `folder`; DEVICE begins with its file's or run's name, and ends in a hash of its figures, where it is not of the table."""
    modes = crossovers.modes()
    with mpl.rc_context({"hatch.linewidth": 0.6}):
        figure, axes = style.panels(len(modes), min(2, len(modes)))
        for axis, mode in zip(axes, modes, strict=True):
            _panel(axis, crossovers.of(mode))
            style.name_panel(axis, f"predicted, {mode}")
        axes[0].set_ylabel("batch")
        how = " · ".join(filter(None, [
            where(crossovers), "speedup: time of standard / time of separable", "heavy line: 1x", doubt(crossovers), host(crossovers), compiled(crossovers)
        ]))  # fmt: skip
        style.frame(
            figure, title(crossovers), f"Predicted by bench's kernel model, not measured · {how}", _handles(crossovers)
        )
        return style.save(figure, folder, f"predicted-crossover-{crossovers.device.slug}")


def _panel(axis: Axes, cells: dict[tuple[int, int], MapPoint]) -> None:
    batches, channels = sorted({b for b, _ in cells}), sorted({c for _, c in cells})
    squares = {
        (channels.index(c), batches.index(b)): Square(cell.speedup, word(cell), HATCHES.get(cell.state))
        for (b, c), cell in cells.items()
    }
    draw_squares(axis, squares, [str(c) for c in channels], [str(b) for b in batches])
    axis.set_xlabel("channels in and out")


def _handles(crossovers: CrossoverMap) -> Sequence[Artist]:
    shades = ((0.25, "0.25x: would be slower"), (1.0, "1x"), (4.0, "4x: would be faster"))
    return [
        *(Patch(facecolor=colour_of(v), edgecolor=style.FAINT, lw=0.6, label=words) for v, words in shades),
        Patch(facecolor=EVEN, edgecolor=style.FAINT, hatch=HATCHES["undecided"], lw=0.6, label=f"?  undecided: the model's error{or_host(crossovers)} could turn it"),
        *[Patch(facecolor="none", edgecolor="none", label="h  the host would decide")] * of_host(crossovers),
    ]  # fmt: skip
