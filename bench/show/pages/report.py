"""report.html: a run on one page that needs nothing else, no network and no scripts, to be read, mailed and printed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.runs import noise_floor
from bench.analyse.runs.facts import facts_of
from bench.analyse.runs.noise_floor import Noise
from bench.analyse.runs.run_folder import Run
from bench.show.pages import downloads, machine, rows_table
from bench.show.pages.frame import MOST_BYTES, inlined, render
from bench.show.pages.sections import SPARE, Topic, answer, firsts, sections, sources
from bench.show.pages.svg import Letters
from bench.show.text import layer_costs, run_facts, terminal
from bench.spec.model.predictions import without_model

NAME = "report.html"
_TEMPLATE = "report.html.j2"

ABOVE = (
    Topic("speedup", "Speedup", "Time of the standard block / time of the separable one, against channels, per kernel: above 1x the separable one is faster.", ("devices", "speedup")),
    Topic("map", "Where it wins", "The same cells as a map: blue is faster, orange slower, white even; hatched is not known.", ("map",)),
    Topic("delivery", "Promise against delivery", "The promise is the ratio of multiplications; what arrives is the speedup. On the upper line the whole promise would arrive.", ("delivery",)),
    Topic("depth", "Layers or MACs", "From standard to separable both change at once. Here one grows while the other is held, so that time shows which of them it follows.", ("depth", "crossover")),
    Topic("networks", "Networks", "Whole networks against the first of them: the ratio of multiplications, and the speedup that arrives.", ("networks",)),
    Topic("doses", "What else moves the answer", "The speedup at one shape as threads, batch, precision, layout and so on vary.", ("doses",)),
    Topic("drivers", "What explains time", "An additive model of time in operators, multiplications and activations, and time against each of them. Association, not cause. A claim's regime is told of its own cells by roofs and the layers' own cost (docs/CLAIMS.md), so it may have another name than the model of all rows here.", ("drivers",)),
    Topic("roofline", "How near to what the device can do", "FLOP/s that blocks reach, under the roofs that were measured beside them; and against channels.", ("roofline", "throughput")),
    Topic("parts", "Where the time goes", "Each block or network walked layer by layer: depthwise and pointwise layers, norm and activation, and the gaps between, as shares of its baseline's time. On a card layers are timed by its own clock, and the gaps are mostly waiting for the host.", ("parts", "network_parts")),
)  # fmt: skip
THROUGHPUT = Topic("throughput", "What the blocks reach", "FLOP/s that blocks reach, against channels; no roof was measured beside them.", ("throughput",))  # fmt: skip
MEMORY = Topic("memory", "Memory", "The most that one evaluation held beyond input and weights, against what must live at once.", ("memory",))  # fmt: skip
FOREST = Topic("claims", "The claims", "Every verdict with its effect.", ("claims",))  # fmt: skip


def text(run: Run, found: Verdicts, noise: Noise | None, pictures: Iterable[Path]) -> str:
    """The page. The tables must be in the run's folder by now; `pictures` are files, of which the SVG ones are taken."""
    letters = Letters()
    drawn = inlined(pictures, letters)
    above, memory, forest = (sections(topics, drawn) for topics in (apt(ABOVE, drawn), (MEMORY,), (FOREST,)))
    own, facts = noise_floor.is_aa(run), facts_of(run)
    told: dict[str, Any] = {
        "run": run,
        "devices": without_model(run_facts.made_on(run)),
        "finding": run_facts.finding(facts),
        "noisy": run_facts.noisy(facts),
        "unfinished": terminal.incomplete(run),
        "predicted": without_model(run_facts.predicted(facts)),
        "noise": noise.sentences() if noise else [],
        "is_aa": own,
        "answers": [] if own else [answer(v) for v in found.verdicts],
        "first": {} if own else firsts(found),
        "claims": () if own else CLAIMS,
        "above": above,
        "memory": memory,
        "forest": forest,
        "layer_costs": layer_costs.layer_costs(run),
        "layers_of_host": layer_costs.layers_of_host(run),
        "evidence": [] if own else sources(),
        "quality": run_facts.quality(run, facts),
        "machine": machine.machine(run),
        "only_predicted": run_facts.only_predicted(facts),
        "command": str(run.environment.get("command") or "bench run"),
        "config": machine.config_of(run),
        "table": rows_table.table(run),
        "downloads": (),
        "left_out": (),
    }
    body = render(_TEMPLATE, letters, **told)
    told["downloads"], told["left_out"] = downloads.downloads([("", run)], MOST_BYTES - SPARE - len(body.encode()))
    return render(_TEMPLATE, letters, **told)


def apt(topics: Sequence[Topic], drawn: Collection[str]) -> list[Topic]:
    """The topics, of roofs only where roofs were drawn."""
    return [THROUGHPUT if t.id == "roofline" and "roofline" not in drawn else t for t in topics]
