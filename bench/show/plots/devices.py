"""Several devices on the same axes: the speedup against channels, a panel per kernel, a colour per device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.plots.facets import Channels
from bench.show.text import captions, titles
from bench.show.text.ways import named_ways
from bench.spec.devices.device_names import in_words, is_predicted

MOST_LINES = 12  # in all panels; of each device those with the most cells come first

Line = tuple[str, str]  # device, and how it ran the block


def picture(run: Run) -> Figure | None:
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
    channels = Channels.of(drawn)
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
