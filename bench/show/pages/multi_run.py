"""Several runs on one page: their devices on the same axes, the verdicts over all of them, their machines side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.runs.facts import facts_of
from bench.analyse.runs.merged import Together
from bench.analyse.runs.run_folder import Run
from bench.show.pages import downloads, machine, report, rows_table
from bench.show.pages.frame import MOST_BYTES, inlined, render
from bench.show.pages.sections import SPARE, Topic, answer, firsts, sections, sources
from bench.show.pages.svg import Letters
from bench.show.text import claims as words
from bench.show.text import layer_costs, run_facts
from bench.show.text import multi_run as in_text

DEVICES = Topic("speedup", "Speedup", "Time of the standard block / time of the separable one, against channels, per kernel, all devices on the same axes: above 1x the separable one is faster.", ("devices", "speedup"))  # fmt: skip
ABOVE = (DEVICES, *(t for t in report.ABOVE if t.id not in ("speedup", "drivers")))
TITLE = "Where is separable faster?"
_TEMPLATE = "together.html.j2"


@dataclass(frozen=True, slots=True)
class Side:
    """A fact of all runs, in their order; `differs` where it is not the same in all that tell it."""

    name: str
    values: tuple[str, ...]
    differs: bool


def text(joined: Together, found: Verdicts, pictures: Iterable[Path]) -> str:
    """The page. `pictures` are files, of which the SVG ones are taken; verdicts are those over all the runs."""
    outlines, letters = Letters(), joined.letters()
    drawn = inlined(pictures, outlines)
    above, memory, forest = (
        sections(topics, drawn) for topics in (report.apt(ABOVE, drawn), (report.MEMORY,), (report.FOREST,))
    )
    runs = [m.run for m in joined.members]
    told: dict[str, Any] = {
        "title": TITLE,
        "heads": [in_text.head(m) for m in joined.members],
        "finding": run_facts.finding(facts_of(joined.whole)),
        "unswept": in_text.unswept(joined),
        "answers": [answer(v, letters) for v in found.verdicts],
        "first": firsts(found, letters),
        "claims": CLAIMS,
        "of_several": words.of_several(found, letters),
        "above": above,
        "memory": memory,
        "forest": forest,
        "layer_costs": layer_costs.layer_costs(joined.whole),
        "layers_of_host": layer_costs.layers_of_host(joined.whole),
        "evidence": sources(),
        "qualities": [(m.letter, run_facts.quality(m.run, facts_of(m.run))) for m in joined.members],
        "sides": side_by_side(runs),
        "details": [(m.letter, _command(m.run), machine.machine(m.run)[1], machine.config_of(m.run)) for m in joined.members],
        "table": rows_table.table(joined.whole),
        "downloads": (),
        "left_out": (),
    }  # fmt: skip
    room = MOST_BYTES - SPARE - len(render(_TEMPLATE, outlines, **told).encode())
    told["downloads"], told["left_out"] = downloads.downloads([(f"{m.letter}-", m.run) for m in joined.members], room)
    return render(_TEMPLATE, outlines, **told)


def side_by_side(runs: Sequence[Run]) -> tuple[Side, ...]:
    """Facts about machine and versions that at least one run tells, in the order of a page of one run."""
    told = machine.side_by_side(runs)
    return tuple(Side(name, values, len({v for v in values if v}) > 1) for name, values in told)


def _command(run: Run) -> str:
    return str(run.environment.get("command") or "bench run")
