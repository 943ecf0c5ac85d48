"""report.html: a run, or several, on one page that needs nothing else, no network and no scripts, to be read, mailed and printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.analyse.claims import published as evidence
from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.facts import facts_of
from bench.analyse.runs import noise_floor
from bench.analyse.runs.merged import Together
from bench.analyse.runs.noise_floor import Noise
from bench.analyse.runs.run_folder import Run
from bench.show.pages import machine, rows_table
from bench.show.pages.frame import MOST_BYTES, downloads, inlined, render
from bench.show.pages.svg import Inlined, Letters
from bench.show.text import claims, layer_costs, multi_run, published, run_facts, terminal
from bench.spec.model.model_parameters import without_model

NAME = "report.html"
TITLE_OF_SEVERAL = "Where is separable faster?"
SPARE = 20_000  # of a page's letters, for what is added once the size is known


class Topic(NamedTuple):
    """A section of pictures: its heading, how to read them, and their names."""

    id: str
    heading: str
    words: str
    pictures: tuple[str, ...]


ABOVE = (
    Topic("speedup", "Speedup", "Time of the standard block / time of the separable one, against channels, per kernel: above 1x the separable one is faster.", ("devices", "speedup")),
    Topic("map", "Where it wins", "The same cells as a map: blue is faster, orange slower, white even; hatched is not known.", ("map",)),
    Topic("delivery", "Promise against delivery", "The promise is the ratio of multiplications; what arrives is the speedup. On the upper line the whole promise would arrive.", ("delivery",)),
    Topic("depth", "Layers or MACs", "From standard to separable both change at once. Here one grows while the other is held, so that time shows which of them it follows.", ("depth", "crossover")),
    Topic("networks", "Networks", "Whole networks against the first of them: the ratio of multiplications, and the speedup that arrives.", ("networks",)),
    Topic("doses", "What else moves the answer", "The speedup at one shape as threads, batch, precision, layout and so on vary.", ("doses",)),
    Topic("drivers", "What explains time", "An additive model of time in operators, multiplications and activations, and time against each of them. Association, not cause. What limits a group is told by its rows' submission, then by their roofs, then by this model; verdicts on the same rows say the same.", ("drivers",)),
    Topic("roofline", "How near to what the device can do", "FLOP/s that blocks reach, under the roofs that were measured beside them; and against channels.", ("roofline", "throughput")),
    Topic("parts", "Where the time goes", "Each block or network walked layer by layer: depthwise and pointwise layers, norm and activation, and the gaps between, as shares of its baseline's time. On a card layers are timed by its own clock, and the gaps are mostly waiting for the host.", ("parts", "network_parts")),
)  # fmt: skip
THROUGHPUT = Topic("throughput", "What the blocks reach", "FLOP/s that blocks reach, against channels; no roof was measured beside them.", ("throughput",))  # fmt: skip
MEMORY = Topic("memory", "Memory", "The most that one evaluation held beyond input and weights, against what must live at once.", ("memory",))  # fmt: skip
FOREST = Topic("claims", "The claims", "Every verdict with its effect.", ("claims",))  # fmt: skip


def text(run: Run, found: Verdicts, noise: Noise | None, pictures: Iterable[Path]) -> str:
    """The page. The tables must be in the run's folder by now; `pictures` are files, of which the SVG ones are taken."""
    title = "Machine, versions, config"
    return _filled("report.html.j2", run, {"": run}, found, pictures, run=run, noise=noise, machines=title)


def text_of_several(joined: Together, found: Verdicts, pictures: Iterable[Path]) -> str:
    """The page. `pictures` are files, of which the SVG ones are taken; verdicts are those over all the runs."""
    letters = joined.letters()
    members = {m.letter: m.run for m in joined.members}
    return _filled(
        "together.html.j2",
        joined.whole,
        members,
        found,
        pictures,
        letters,
        title=TITLE_OF_SEVERAL,
        heads=[multi_run.head(m) for m in joined.members],
        machines="Machines side by side",
        sides=machine.side_by_side(list(members.values())),
    )


def _filled(
    template: str,
    whole: Run,
    members: Mapping[str, Run],
    found: Verdicts,
    pictures: Iterable[Path],
    letters: Mapping[str, str] | None = None,
    **more: Any,
) -> str:
    """A page of one run, or of several: `members` by letter, as one run `whole`, their `letters` by run_id; `more` is for the template."""
    outlines = Letters()
    drawn = inlined(pictures, outlines)
    content = more | {
        "facts": facts_of(whole),
        "run_facts": run_facts,
        "terminal": terminal,
        "machine": machine,
        "without_model": without_model,
        "is_aa": noise_floor.is_aa(whole),
        "found": found,
        "claims": CLAIMS,
        "words": claims,
        "names": letters,
        "published": published,
        "above": _sections((THROUGHPUT if t.id == "roofline" and "roofline" not in drawn else t for t in ABOVE), drawn),
        "memory": _sections((MEMORY,), drawn),
        "forest": _sections((FOREST,), drawn),
        "layer_costs": layer_costs.layer_costs(whole),
        "layers_of_host": layer_costs.layers_of_host(whole),
        "evidence": evidence,
        "qualities": [(letter, run_facts.quality(run, facts_of(run))) for letter, run in members.items()],
        "details": [
            (letter, str(run.environment.get("command") or "bench run"), machine.machine(run)[1], machine.config_of(run))
            for letter, run in members.items()
        ],
        "table": rows_table.table(whole),
    }  # fmt: skip
    body = render(template, outlines, **content, downloads=(), left_out=())
    fits, left = downloads(members, MOST_BYTES - SPARE - len(body.encode()))
    return render(template, outlines, **content, downloads=fits, left_out=left)


def _sections(topics: Iterable[Topic], drawn: Mapping[str, Inlined]) -> list[dict[str, Any]]:
    """The topics that have pictures among those `drawn`, with them."""
    every = [{"topic": t, "pictures": [drawn[name] for name in t.pictures if name in drawn]} for t in topics]
    return [section for section in every if section["pictures"]]
