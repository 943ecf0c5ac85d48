"""The speedups of blocks, against channels and against the ratio of MACs."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.plots.facets import Channels, lay_out
from bench.show.text import captions, titles
from bench.spec.columns import FAILED


def speedup(run: Run) -> Figure | None:
    """Speedup against channels, a panel per kernel; None where no pair of blocks was measured."""
    every = sweep_of_shapes(records_of(run.pairs))
    rows = [r for r in every if panels.measured(r)]
    if not rows:
        return None
    facets = lay_out(rows)
    rows = facets.shown(rows)
    failed = facets.shown([r for r in every if r["status"] in FAILED])
    places = facets.places(rows)
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
        low = axis.get_xaxis_transform()
        axis.plot([channels.at(r) for r in crosses], [0.04] * len(crosses), "x", color=style.FAINT, ms=6, mew=1.6, transform=low)  # fmt: skip
        panels.shade_band(axis, here)
        panels.finish_speedup(axis, channels, bounds, panels.panel_name(group, kernel))
        panels.mark(axis, here)
    panels.label_outer(axes, "speedup (above 1x: faster)")
    handles = [*panels.series_handles(facets, rows=rows), panels.even_handle(), *panels.band_handle(rows)]
    handles += [style.proxy("failed", style.FAINT, "x")] if failed else []
    left = captions.left_out(run, every, facets.left_out)
    return panels.frame(figure, run, rows, titles.speedup(rows), handles, left)


def delivery(run: Run) -> Figure | None:
    """The ratio of MACs, which is the speedup to expect, against the speedup; None where no pair was measured."""
    every = [r for r in sweep_of_shapes(records_of(run.pairs)) if panels.measured(r) and r["mac_ratio"] is not None]
    if not every:
        return None
    facets = lay_out(every)
    rows = facets.shown(every)
    figure, axes = style.panels(len(facets.groups), square=True)
    across = style.limits([r["mac_ratio"] for r in rows], room=1.2)
    upright = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), always=[1.0])
    upright = upright[0], max(upright[1], 1.05 * across[1])
    for axis, group in zip(axes, facets.groups, strict=True):
        for part in (1.0, 0.5, 0.25, 0.125):
            axis.plot(across, [part * a for a in across], color=style.FAINT, lw=1.2 if part == 1 else 0.8, ls="-" if part == 1 else (0, (2, 2)), zorder=1)  # fmt: skip
            if upright[0] < part * across[1] < upright[1]:
                style.note(
                    axis, f"{part * 100:g} %", (across[1], part * across[1]), (3, 0), style.FAINT, va="center", zorder=3
                )
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
        axis.set_xlabel("expected: MACs of the baseline / of the block")
    panels.label_outer(axes, "achieved: speedup (above 1x: faster)")
    whole = style.proxy("all of the MAC ratio; dashed: a part", style.FAINT, line="-")
    handles = [*panels.series_handles(facets, lines=False, rows=rows), whole, panels.even_handle(style.INK)]
    left = captions.left_out(run, every, facets.left_out)
    return panels.frame(figure, run, rows, titles.delivery(rows), handles, left)
