"""One block at one shape in every way that it was run: how far the way of running it moves the answer."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import way_grids, way_order
from bench.show.plots.shared import dots, panels
from bench.show.text import titles
from bench.show.text.ways import device_words, way_labels, window_words

MOST_WAYS = 18
LEAST_WAYS = 2


def picture(run: Run) -> Figure | None:
    """A row for each way to run the block at the shape that most ways have; None where fewer than LEAST_WAYS have one."""
    columns = [(g, g.column(g.fullest)) for g in way_grids(records_of(run.pairs))]
    grid, column = max(columns, key=lambda pair: len(pair[1]), default=(None, {}))
    known = {way: column[way] for way in sorted(column, key=way_order) if panels.measured(column[way])}
    if grid is None or len(known) < LEAST_WAYS:
        return None
    labels, devices = way_labels(list(known)), device_words(list(known))
    cases = [(devices[str(w.device)] if len(devices) > 1 else "", labels[w], r) for w, r in known.items()]
    by_device = {d: [(words.removeprefix(f"{d}, "), r) for _, words, r in some] for d, some in grouped(cases, lambda c: c[0]).items()}  # fmt: skip
    c_in, c_out = grid.fullest
    shape = f"{c_in if c_in == c_out else f'{c_in} to {c_out}'} channels, {window_words(grid.first)}"
    return dots.picture(run, by_device, titles.ways, f"one shape: {shape}", MOST_WAYS)
