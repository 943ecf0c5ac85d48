"""Whole networks against their baseline: the ratio of multiplications that one expects, and the speedup that arrives."""

from __future__ import annotations

from matplotlib.figure import Figure

from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import dots, panels
from bench.show.text import titles
from bench.show.text.ways import line_labels


def picture(run: Run) -> Figure | None:
    """A row for each network and way to run it, under the network with the highest ratio of MACs first; None without networks."""
    rows = [r for r in records_of(run.pairs) if r["kernel"] is None and r["mac_ratio"] and panels.measured(r)]
    if not rows:
        return None
    alike = grouped(
        zip(line_labels(rows), rows, strict=True), lambda c: (c[1]["block"], c[1]["baseline"], c[0])
    ).values()
    most = {r["block"]: -r["mac_ratio"] for r in sorted(rows, key=lambda r: r["mac_ratio"])}
    once = sorted((some[0] for some in alike), key=lambda case: most[case[1]["block"]])
    return dots.picture(run, grouped(once, lambda case: str(case[1]["block"])), titles.networks)
