"""Networks against their baseline, whole and layer by layer: the ratio of MACs that one expects, the speedup that arrives."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.analyse.runs.advice import Advice, by_arm
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import dots, panels
from bench.show.text import advice as words
from bench.show.text import titles
from bench.show.text.ways import line_labels
from bench.spec.format import digits


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


def of_layers(run: Run, every: Sequence[Advice]) -> Figure | None:
    """A row for each kind of a model's layers, those first that save most if replaced; None where no candidate was timed."""
    _, pairs = by_arm(run)
    cases = {
        a.place.label if len(every) > 1 else "": [
            (f"{words.names(x)}: {digits(x.saving_s * 1000, 3)} ms", pairs[x.arm_id]) for x in a.layers if x.arm_id
        ]
        for a in every
    }
    title, marks = words.heading(every[0]), "beside the names: what replacing these layers saves"
    return dots.picture(run, cases, lambda _: title, marks) if any(cases.values()) else None
