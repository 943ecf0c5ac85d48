"""Several runs on one page: their devices on the same axes, the verdicts over all of them, their machines side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.runs.merged import Member, Together
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.summary import records_of
from bench.analyse.sweeps.kinds import unswept as no_sweep
from bench.show.pages import report, rows_table
from bench.show.pages.frame import MOST_BYTES, inlined, render
from bench.show.pages.sections import SPARE, Topic, answer, firsts, sections, sources
from bench.show.pages.svg import Letters
from bench.show.text import claims as words
from bench.show.text import run_facts, terminal
from bench.show.text.titles import of_runs
from bench.spec.devices.device_names import in_words
from bench.spec.model.predictions import without_model

DEVICES = Topic("speedup", "Speedup", "Time of the standard block / time of the separable one, against channels, per kernel, all devices on the same axes: above 1x the separable one is faster.", ("devices", "speedup"))  # fmt: skip
ABOVE = (DEVICES, *(t for t in report.ABOVE if t.id not in ("speedup", "drivers")))
TITLE = "Where is separable faster?"
_TEMPLATE = "together.html.j2"


@dataclass(frozen=True, slots=True)
class Head:
    """A run in the list of those on the page."""

    letter: str
    run_id: str
    folder: str
    devices: str
    torch: str
    when: str
    measured: str
    unfinished: str
    predicted: str


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
        "heads": [head(m) for m in joined.members],
        "finding": report.finding(joined.whole),
        "unswept": unswept(joined),
        "answers": [answer(v, letters) for v in found.verdicts],
        "first": firsts(found, letters),
        "claims": CLAIMS,
        "of_several": words.of_several(found, letters),
        "above": above,
        "memory": memory,
        "forest": forest,
        "layer_costs": run_facts.layer_costs(joined.whole),
        "layers_of_host": run_facts.layers_of_host(joined.whole),
        "evidence": sources(),
        "qualities": [(m.letter, run_facts.quality(m.run)) for m in joined.members],
        "sides": side_by_side(runs),
        "details": [(m.letter, _command(m.run), run_facts.machine(m.run)[1], run_facts.config_of(m.run)) for m in joined.members],
        "table": rows_table.table(joined.whole),
        "downloads": (),
        "left_out": (),
    }  # fmt: skip
    room = MOST_BYTES - SPARE - len(render(_TEMPLATE, outlines, **told).encode())
    told["downloads"], told["left_out"] = run_facts.downloads([(f"{m.letter}-", m.run) for m in joined.members], room)
    return render(_TEMPLATE, outlines, **told)


def unswept(joined: Together) -> str:
    """Whose rows neither the finding nor the table and the pictures of speedups hold, and why; nothing where they hold all."""
    counts = no_sweep(records_of(joined.whole.pairs))
    if not counts:
        return ""
    one = sum(counts.values()) == 1
    return f"Not in this, nor in tables and pictures of sweeps: {of_runs(counts)}, no sweep{'' if one else 's'} of channels or kernels over one block; the page's table of all rows has {'it' if one else 'them'}."


def side_by_side(runs: Sequence[Run]) -> tuple[Side, ...]:
    """Facts about machine and versions that at least one run tells, in the order of a page of one run."""
    told = run_facts.side_by_side(runs)
    return tuple(Side(name, values, len({v for v in values if v}) > 1) for name, values in told)


def head(m: Member) -> Head:
    """The run's line in the list of those on the page."""
    told = m.run.environment
    return Head(
        letter=m.letter,
        run_id=m.run.run_id,
        folder=m.run.folder.resolve().name,
        devices=in_words(", ".join(m.devices.values())),
        torch=str(told.get("torch") or ""),
        when=str(told.get("started_utc") or "")[:10],
        measured=run_facts.measured(m.run),
        unfinished=terminal.incomplete(m.run),
        predicted=without_model(run_facts.predicted(m.run)),
    )


def _command(run: Run) -> str:
    return str(run.environment.get("command") or "bench run")
