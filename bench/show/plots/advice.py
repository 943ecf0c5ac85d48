"""A model's layers, those first that save most if replaced: the speedup of each kind's best candidate."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.analyse.runs.advice import Advice, by_arm
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import dots
from bench.show.text import advice as words
from bench.spec.format import digits


def picture(run: Run, every: Sequence[Advice]) -> Figure | None:
    """A row for each kind of layer, ways below each other; None where no candidate was timed."""
    _, pairs = by_arm(run)
    cases = {
        a.place.label if len(every) > 1 else "": [
            (f"{words.names(x)}: {digits(x.saving_s * 1000, 3)} ms", pairs[x.arm_id]) for x in a.layers if x.arm_id
        ]
        for a in every
    }
    title, marks = words.heading(every[0]), "beside the names: what replacing these layers saves"
    return dots.picture(run, cases, lambda _: title, marks) if any(cases.values()) else None
