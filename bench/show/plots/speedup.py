"""The speedups of blocks, against channels and against the ratio of MACs, and of one block on several devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import named_ways
from bench.spec.columns import FAILED
from bench.spec.devices.device_names import in_words, is_predicted

MOST_LINES = 12  # in all panels; of each device those with the most cells come first

Line = tuple[str, str]  # device, and how it ran the block


def speedup(run: Run) -> Figure | None:
    """Speedup against channels, a panel per kernel; None where no pair of blocks was measured."""
    every = sweep_of_shapes(records_of(run.pairs))
    rows = [r for r in every if panels.measured(r)]
    if not rows:
        return None
    facets = panels.lay_out(rows)
    rows = facets.shown(rows)
    failed = facets.shown([r for r in every if r["status"] in FAILED])
    places = facets.places(rows)
    one_scale = len({r["block"] for r in rows}) == 1  # a depthwise layer alone would flatten everything else
    figure, axes = style.panels(len(places), panels.columns(places), "all" if one_scale else "none")
    channels = panels.Channels.of(rows + failed)
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
    facets = panels.lay_out(every)
    rows = facets.shown(every)
    figure, axes = style.panels(len(facets.groups), square=True)
    across = style.limits([r["mac_ratio"] for r in rows], room=1.2)
    upright = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), always=[1.0])
    upright = upright[0], max(upright[1], 1.05 * across[1])
    for axis, group in zip(axes, facets.groups, strict=True):
        for part in (1.0, 0.5, 0.25, 0.125):
            axis.plot(across, [part * a for a in across], color=style.FAINT, lw=1.2 if part == 1 else 0.8, ls="-" if part == 1 else (0, (2, 2)), zorder=1)  # fmt: skip
            end = across[1], part * across[1]
            if upright[0] < end[1] < upright[1]:
                style.note(axis, f"{part * 100:g} %", end, (3, 0), style.FAINT, va="center", zorder=3)
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


def devices(run: Run) -> Figure | None:
    """The first block's speedups over channels, of all devices in each panel; None for fewer than two devices."""
    every = [r for r in sweep_of_shapes(records_of(run.pairs)) if panels.measured(r)]
    block = every[0]["block"] if every else None
    rows = [r for r in every if r["block"] == block]
    devices = list(dict.fromkeys(str(r["device"]) for r in rows))
    if len(devices) < 2:
        return None
    lines = _lines(rows)
    shown = _shown(lines)
    drawn = [r for line in shown for r in lines[line]]
    left = captions.not_drawn(len(lines) - len(shown), "way", of=f" to run {block}, with fewer cells,")
    lines = _lines(drawn)  # named by how the drawn ones differ
    kernels = sorted({int(r["kernel"]) for r in drawn})
    figure, axes = style.panels(len(kernels))
    channels = panels.Channels.of(drawn)
    bounds = panels.speedup_limits(drawn)
    looks = _looks(list(lines), devices)
    for axis, kernel in zip(axes, kernels, strict=True):
        here = {line: mine for line, some in lines.items() if (mine := [r for r in some if r["kernel"] == kernel])}
        for i, (line, mine) in enumerate(here.items()):
            panels.draw_line(axis, mine, channels, looks[line], i, len(here))
        panels.finish_speedup(axis, channels, bounds, panels.panel_name("", kernel))
    panels.label_outer(axes, "speedup (above 1x: faster)")
    handles: list[Artist] = [style.proxy(in_words(", ".join(filter(None, line))), k.colour, k.marker, k.line) for line, k in looks.items()]  # fmt: skip
    handles.append(panels.even_handle())
    marks = "mean: geometric, over the cells drawn"
    return panels.frame(figure, run, drawn, titles.devices(drawn), handles, left, captions.unswept(run), marks=marks)


def _lines(rows: Sequence[Record]) -> dict[Line, list[Record]]:
    """The rows by device and how they were run, each shape once: of two experiments that hold the same the first."""
    cells_of: dict[Line, dict[tuple[object, ...], Record]] = {}
    for (device, way), r in zip(named_ways(rows), rows, strict=True):
        cells_of.setdefault((device, way), {}).setdefault((r["c_in"], r["c_out"], r["kernel"]), r)
    return {line: list(cells.values()) for line, cells in cells_of.items()}


def _shown(lines: Mapping[Line, Sequence[Record]]) -> list[Line]:
    """Of each device the lines with at least half as many cells as its fullest, as many as there is room for."""
    devices = list(dict.fromkeys(device for device, _ in lines))
    each = max(1, MOST_LINES // len(devices))
    kept: list[Line] = []
    for device in devices:
        mine = sorted((line for line in lines if line[0] == device), key=lambda line: -len(lines[line]))
        kept += [line for line in mine if 2 * len(lines[line]) >= len(lines[mine[0]])][:each]
    return [line for line in lines if line in kept]


def _looks(shown: Sequence[Line], devices: Sequence[str]) -> dict[Line, style.Look]:
    """A colour for each device; within it a marker and a line for each way."""
    looks = {}
    for line in shown:
        place = [other for other in shown if other[0] == line[0]].index(line)
        predicted = is_predicted(line[0])
        alike = [d for d in devices if is_predicted(d) == predicted]
        of_device, of_way = style.look(alike.index(line[0]), predicted), style.look(place, predicted)
        looks[line] = style.Look(of_device.colour, of_way.marker, of_way.line)
    return looks
