"""An A/A run: what blocks read against themselves, all intervals from the lowest to the highest, over the noise band."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analyse.runs.noise_floor import judge
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import panels, style
from bench.show.text import titles
from bench.spec.format import percent, plural

LEAST_PAIRS = 2


def picture(run: Run) -> Figure | None:
    """A dot and an interval for each pair, those whose interval leaves 1x out apart; None of fewer than LEAST_PAIRS."""
    known = [r for r in records_of(run.pairs) if panels.measured(r) and r["precision"] is not None]
    rows = sorted(known, key=lambda r: float(r["speedup"]))
    if len(rows) < LEAST_PAIRS:
        return None
    noise = judge(run)
    figure, (axis,) = style.panels(1, 1)
    for x, r in enumerate(rows):
        wrong = abs(math.log(r["speedup"])) > r["precision"]
        panels.bar(axis, r, x, style.Look(style.MAGENTA, "D", "-") if wrong else style.Look(style.FAINT, "o", "-"))
    axis.axhspan(math.exp(-noise.noise_band), math.exp(noise.noise_band), color=style.FAINT, alpha=0.2, lw=0, zorder=0)
    axis.axhline(1, color=style.INK, lw=1.0, zorder=1)
    style.ratio_axis(axis.yaxis, *style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), [1.0], 1.02))
    axis.set(xlim=(-1, len(rows)), xticks=[])
    axis.set(xlabel="pairs, from the lowest ratio to the highest", ylabel="time of a block / its time again")
    excluded = f"interval leaves 1x out: {plural(noise.false_positives, 'pair')} of {noise.pairs}, expected {percent(1 - noise.confidence)}"
    band = f"noise band: 95 % of the pairs, ±{percent(noise.noise_band)}"
    handles: list[Artist] = [
        style.proxy(excluded, style.MAGENTA, "D"),
        Patch(color=style.FAINT, alpha=0.2, lw=0, label=band),
    ]
    return panels.frame(figure, run, rows, titles.noise(noise), handles)
