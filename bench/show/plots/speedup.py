"""The four pictures of a run: speedup, delivery, throughput, memory. Titles say what was found, footers how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.plots.facets import Channels, lay_out
from bench.show.text import titles
from bench.spec.columns import FAILED, TOLD
from bench.spec.devices.device_names import is_predicted
from bench.spec.format import times

_MOST_NAMED = 4  # blocks in a title


def draw(run: Run, folder: Path, but: Sequence[str] = ()) -> tuple[Path, ...]:
    """Write each picture that the run has data for into `folder`, as PNG and SVG, but not those; returns the paths."""
    makers: dict[str, Callable[[Run], Figure | None]] = {
        "speedup": speedup,
        "delivery": delivery,
        "throughput": throughput,
        "memory": memory,
    }
    written: list[Path] = []
    for name, make in makers.items():
        figure = None if name in but else make(run)
        if figure is not None:
            written += style.save(figure, folder, name)
    return tuple(written)


def speedup(run: Run) -> Figure | None:
    """Speedup against channels, a panel per kernel; None where no pair of blocks was measured."""
    every = sweep_of_shapes(records_of(run.pairs))
    rows = [r for r in every if panels.measured(r)]
    if not rows:
        return None
    facets = lay_out(rows)
    failed = [r for r in every if r["status"] in FAILED and facets.group(r) in facets.groups]
    places = [(g, k) for g in facets.groups for k in panels.kernels(rows, g, facets)]
    one_scale = len({r["block"] for r in rows}) == 1  # a depthwise layer alone would flatten everything else
    figure, axes = style.panels(len(places), panels.columns(places), "all" if one_scale else "none")
    channels = Channels.of(rows + failed)
    for axis, (group, kernel) in zip(axes, places, strict=True):
        here = [r for r in [*rows, *failed] if facets.group(r) == group and r["kernel"] == kernel]
        blocks = {r["block"] for r in here}
        bounds = panels.speedup_limits([r for r in rows if r["block"] in blocks], room=1.5 if failed else 1.25)
        present = [s for s in facets.series if any(facets.line(r) == s for r in here)]
        for i, line in enumerate(present):
            seen = style.look(facets.series.index(line), panels.predicted(here))
            panels.draw_line(axis, [r for r in here if facets.line(r) == line], channels, seen, i, len(present))
        crosses = [r for r in here if r["status"] in FAILED]
        axis.plot(
            [channels.at(r) for r in crosses], [0.04] * len(crosses), "x", color=style.FAINT, ms=6, mew=1.6,
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
        panels.shade_band(axis, here)
        panels.finish_speedup(axis, channels, bounds, panels.panel_name(group, kernel))
        panels.mark(axis, here)
    panels.label_outer(axes, panels.columns(places), "speedup (above 1x: faster)")
    handles = [*panels.series_handles(facets, rows=rows), style.proxy("1x: equally fast", style.FAINT, line="-")]
    handles += panels.band_handle(rows) + panels.hollow_handle(rows)
    handles += [style.proxy("failed", style.FAINT, "x")] if failed else []
    style.frame(figure, titles.speedup(rows), panels.footer(run, rows), handles, panels.left_out(run, facets, rows))
    return figure


def delivery(run: Run) -> Figure | None:
    """The promised ratio of multiplications against the speedup that arrived; None where no pair was measured."""
    rows = [r for r in sweep_of_shapes(records_of(run.pairs)) if panels.measured(r) and r["mac_ratio"] is not None]
    if not rows:
        return None
    facets = lay_out(rows)
    places = [(g, 0) for g in facets.groups]
    figure, axes = style.panels(len(places), panels.columns(places), square=True)
    across = style.limits([r["mac_ratio"] for r in rows], room=1.2)
    upright = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), always=[1.0])
    upright = upright[0], max(upright[1], 1.05 * across[1])
    for axis, (group, _) in zip(axes, places, strict=True):
        for part in (1.0, 0.5, 0.25, 0.125):
            axis.plot(across, [part * a for a in across], color=style.FAINT, lw=1.2 if part == 1 else 0.8, ls="-" if part == 1 else (0, (2, 2)), zorder=1)  # fmt: skip
            if upright[0] < part * across[1] < upright[1]:
                axis.annotate(f"{part * 100:g} %", (across[1], part * across[1]), (3, 0), textcoords="offset points", va="center", fontsize=7.5, color=style.FAINT)  # fmt: skip
        axis.axhline(1, color=style.INK, lw=1.0, zorder=1)
        panels.mark(axis, [r for r in rows if facets.group(r) == group])
        for i, line in enumerate(facets.series):
            mine = [r for r in rows if facets.group(r) == group and facets.line(r) == line]
            seen = style.look(i, panels.predicted(mine))
            for r in mine:
                panels.bar(axis, r, r["mac_ratio"], seen, thin=True)
        style.ratio_axis(axis.xaxis, *across)
        style.ratio_axis(axis.yaxis, *upright)
        style.name_panel(axis, group)
        axis.set_xlabel("promised: multiplications of the baseline / of the block")
    panels.label_outer(axes, panels.columns(places), "arrived: speedup (above 1x: faster)")
    handles = panels.series_handles(facets, lines=False, rows=rows)
    handles += [
        style.proxy("the whole promise; dashed: a part", style.FAINT, line="-"),
        style.proxy("1x: equally fast", style.INK, line="-"),
    ]
    handles += panels.hollow_handle(rows)
    style.frame(figure, titles.delivery(rows), panels.footer(run, rows), handles, panels.left_out(run, facets, rows))
    return figure


def throughput(run: Run) -> Figure | None:
    """Achieved GFLOP/s of each block against channels, a panel per kernel; None where no block was measured."""
    every = sweep_of_shapes(records_of(run.measurements))
    rows = [r for r in every if r["status"] in TOLD and r["achieved_flop_per_s"]]
    if not rows:
        return None
    facets = lay_out(rows, ignore=("block",))
    blocks = list(dict.fromkeys(r["block"] for r in rows))
    places = [(g, k) for g in facets.groups for k in panels.kernels(rows, g, facets)]
    figure, axes = style.panels(len(places), panels.columns(places))
    channels = Channels.of(rows)
    bounds = style.limits([r["achieved_flop_per_s"] / 1e9 for r in rows])
    for axis, (group, kernel) in zip(axes, places, strict=True):
        here = sorted((r for r in rows if facets.group(r) == group and r["kernel"] == kernel), key=channels.at)
        present = [s for s in facets.series if any(facets.line(r) == s for r in here)]
        for i, line in enumerate(present):
            colour = style.look(facets.series.index(line), panels.predicted(here)).colour
            for b, block in enumerate(blocks):
                mine = [r for r in here if facets.line(r) == line and r["block"] == block]
                axis.plot(
                    [channels.beside(r, i, len(present)) for r in mine],
                    [r["achieved_flop_per_s"] / 1e9 for r in mine],
                    color=colour, marker=style.MARKERS[b % len(style.MARKERS)], ls=style.LINES[b % len(style.LINES)],
                    ms=5, lw=1.4,
                )  # fmt: skip
        panels.mark(axis, here)
        panels.channel_axis(axis, channels)
        style.log_axis(axis.yaxis, *bounds, style.decade_ticks(*bounds), lambda v: f"{v:g}")
        style.name_panel(axis, panels.panel_name(group, kernel))
    panels.label_outer(axes, panels.columns(places), "achieved GFLOP/s")
    handles: list[Artist] = [
        style.proxy(b, style.FAINT, style.MARKERS[i % len(style.MARKERS)], style.LINES[i % len(style.LINES)])
        for i, b in enumerate(blocks)
    ]
    if len(facets.series) > 1:
        handles += [style.proxy(s, style.look(i, p).colour, line="-") for i, s, p in panels.kinds(facets, rows)]
    handles += style.predicted_handle(any(is_predicted(r["device"]) for r in rows))
    style.frame(figure, titles.throughput(rows, blocks), panels.footer(run, rows, "minimum time · FLOP = 2 x MAC, convolutions only"), handles, panels.left_out(run, facets, rows))  # fmt: skip
    return figure


def memory(run: Run) -> Figure | None:
    """Peak memory of one evaluation, measured against theory; None where no memory was measured."""
    rows = [r for r in records_of(run.measurements) if r["memory_peak_bytes"] and r["memory_theory_bytes"]]
    if not rows:
        return None
    blocks = list(dict.fromkeys(r["block"] for r in rows))
    devices = list(dict.fromkeys(str(r["device"]) for r in rows))
    figure, axes = style.panels(len(devices), panels.columns([(d, 0) for d in devices]), square=True)
    values = [float(r[c]) for r in rows for c in ("memory_peak_bytes", "memory_theory_bytes")]
    bounds = style.limits(values, room=1.6)
    ticks = _byte_ticks(*bounds)
    for axis, device in zip(axes, devices, strict=True):
        axis.plot(bounds, bounds, color=style.FAINT, lw=1.2, zorder=1)
        for i, block in enumerate(blocks):
            mine = [r for r in rows if r["block"] == block and r["device"] == device]
            axis.plot(
                [r["memory_theory_bytes"] for r in mine], [r["memory_peak_bytes"] for r in mine], ls="",
                marker=style.MARKERS[i % len(style.MARKERS)], ms=7.5 if i == 0 else 5.5, color=style.look(i).colour,
                mec="white", mew=0.7, alpha=0.9,
            )  # fmt: skip
        for which in (axis.xaxis, axis.yaxis):
            style.log_axis(which, *bounds, ticks, _bytes)
        axis.set_xlabel("theory: outputs that must live at once")
        style.name_panel(axis, device if len(devices) > 1 else "")
    panels.label_outer(axes, panels.columns([(d, 0) for d in devices]), "measured peak beyond input and weights")
    handles: list[Artist] = [style.proxy(b, style.look(i).colour, style.MARKERS[i % len(style.MARKERS)]) for i, b in enumerate(blocks)]  # fmt: skip
    handles.append(style.proxy("as the theory says", style.FAINT, line="-"))
    style.frame(
        figure, _memory_title(rows, blocks), panels.footer(run, rows, "one evaluation, apart from the timing"), handles
    )
    return figure


def _memory_title(rows: Sequence[Record], blocks: Sequence[str]) -> str:
    medians = {}
    for b in blocks:
        ratios = sorted(r["memory_peak_bytes"] / r["memory_theory_bytes"] for r in rows if r["block"] == b)
        medians[b] = ratios[len(ratios) // 2]
    if len(blocks) <= _MOST_NAMED:
        words = ", ".join(f"{b} {times(m)}" for b, m in medians.items())
    else:
        least, most = (pick(medians, key=lambda b: medians[b]) for pick in (min, max))
        return f"Peak memory, measured over theory: medians from {times(medians[least])} ({least}) to {times(medians[most])} ({most})"
    return f"Peak memory, measured over theory: {words} (medians)"


def _byte_ticks(low: float, high: float) -> list[float]:
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    return [2.0**e for e in powers][:: max(1, math.ceil(len(powers) / 8))]


def _bytes(value: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
