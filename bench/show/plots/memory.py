"""The peak memory of one evaluation against what must live at once."""

from __future__ import annotations

import math

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import panels, style
from bench.show.text import captions, titles


def memory(run: Run) -> Figure | None:
    """Peak memory of one evaluation, measured against theory; None where no memory was measured."""
    rows = [r for r in records_of(run.measurements) if r["memory_peak_bytes"] and r["memory_theory_bytes"]]
    if not rows:
        return None
    every, rows = rows, list(panels.few(rows))
    looks = panels.block_looks(run, rows)
    devices = list(dict.fromkeys(str(r["device"]) for r in rows))
    figure, axes = style.panels(len(devices), square=True)
    values = [float(r[c]) for r in rows for c in ("memory_peak_bytes", "memory_theory_bytes")]
    bounds = style.limits(values, room=1.6)
    powers = range(math.ceil(math.log2(bounds[0])), math.floor(math.log2(bounds[1])) + 1)
    ticks = [2.0**e for e in powers][:: max(1, math.ceil(len(powers) / 6))]
    for axis, device in zip(axes, devices, strict=True):
        axis.plot(bounds, bounds, color=style.FAINT, lw=1.2, zorder=1)
        for block, seen in looks.items():
            mine = [r for r in rows if r["block"] == block and r["device"] == device]
            axis.plot(
                [r["memory_theory_bytes"] for r in mine], [r["memory_peak_bytes"] for r in mine], ls="",
                marker=seen.marker, ms=7.5 if block == "standard" else 5.5, color=seen.colour, mec="white", mew=0.7,
            )  # fmt: skip
        for which in (axis.xaxis, axis.yaxis):
            style.log_axis(which, *bounds, ticks, _bytes)
        axis.set_xlabel("theory: outputs that must live at once")
        style.name_panel(axis, device if len(devices) > 1 else "")
    panels.label_outer(axes, "measured peak beyond input and weights")
    handles: list[Artist] = [style.proxy(block, seen.colour, seen.marker) for block, seen in looks.items()]
    handles.append(style.proxy("as in theory", style.FAINT, line="-"))
    how = "one evaluation, apart from the timing"
    left = captions.not_drawn(len(every) - len(rows), "row", "measurements.csv")
    return panels.frame(figure, run, rows, titles.memory(every), handles, left, hollow=False, how=how, bars="")


def _bytes(value: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
