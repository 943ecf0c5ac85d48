"""report.html: a run, or several, on one page that needs nothing else, no network and no scripts, to be read, mailed and printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.analyse.claims import published as evidence
from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.facts import facts_of
from bench.analyse.runs import noise_floor
from bench.analyse.runs.advice import Advice
from bench.analyse.runs.merged import Together
from bench.analyse.runs.noise_floor import Noise
from bench.analyse.runs.run_folder import Run
from bench.show.pages import machine, rows_table
from bench.show.pages.frame import DOWNLOADS, downloads, inlined, render, with_downloads
from bench.show.pages.svg import Inlined
from bench.show.text import advice, captions, claims, layer_costs, multi_run, run_facts, terminal
from bench.spec.model.model_parameters import without_model

NAME = "report.html"
TITLE_OF_SEVERAL = "Where is separable faster?"
MOST_BYTES = 1_150_000  # of a run's page
SPARE = 20_000  # of a page's letters, for what is added once the size is known


class Topic(NamedTuple):
    """A section of pictures: its heading, how to read them, their names, and those that are folded away."""

    id: str
    short: str  # in the navigation
    heading: str
    words: str
    pictures: tuple[str, ...]
    folded: tuple[str, ...] = ()


LEAD = "ways"  # the picture beside the claims
ABOVE = (
    Topic("noise", "Noise", "How much noise reads as a difference", "Every cell compares a block with itself: its interval should hold 1x.", ("aa",)),
    Topic("why", "Why", "Why: what a layer and a MAC cost", "A separable block has twice the layers and a fraction of the MACs. Each way to run it has a price for both.", ("costs",), ("depth", "plane")),
    Topic("where", "Where", "Where it wins", "Speedup: time of standard / time of separable. Blue: separable is faster; orange: slower; hatched: undecided.", ("map",), ("speedup", "delivery")),
    Topic("networks", "Networks", "Whole networks", "Each network against its baseline: the ratio of MACs, and the speedup that arrives.", ("networks",), ("network_parts",)),
    Topic("limits", "Limits", "What limits the time", "FLOP/s that the blocks reach, under the roofs of the device where those were measured. Below: models of time (association, not cause), time layer by layer, memory.", ("roofline",), ("drivers", "parts", "memory")),
)  # fmt: skip


def text(run: Run, found: Verdicts, noise: Noise | None, pictures: Iterable[Path]) -> str:
    """The page. The tables must be in the run's folder by now; `pictures` are files, of which the SVG ones are taken."""
    title = "Machine, versions, config"
    return _filled("report.html.j2", run, {"": run}, found, pictures, run=run, noise=noise, machines=title)


def text_of_advice(run: Run, every: Sequence[Advice], pictures: Iterable[Path]) -> str:
    """The page of advice on a model's layers, with the SVG file among the `pictures`."""
    return render(
        "advice.html.j2", words=advice, every=every, pictures=list(inlined(pictures).values()), incomplete=terminal.incomplete(run), trust=run_facts.brief_trust(facts_of(run)),
        command=str(run.environment.get("command") or "bench advise"), facts=machine.machine(run)[0], config=machine.config_of(run),
    )  # fmt: skip


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
    drawn, facts = inlined(pictures), facts_of(whole)
    content = more | {
        "facts": facts,
        "run_facts": run_facts,
        "terminal": terminal,
        "machine": machine,
        "without_model": without_model,
        "is_aa": noise_floor.is_aa(whole),
        "found": found,
        "claims": CLAIMS,
        "words": claims,
        "names": letters,
        "above": _sections(ABOVE, drawn),
        "lead": drawn.get(LEAD),
        "unswept": captions.unswept(whole),
        "unmeasured": [c.id for c in CLAIMS if found.of(c.id)[0].answer == "NOT MEASURED"],
        "forest": drawn.get("claims"),
        "layer_costs": layer_costs.layer_costs(whole),
        "layers_of_host": layer_costs.layers_of_host(whole),
        "evidence": evidence,
        "qualities": [(letter, run_facts.quality(run, facts if run is whole else facts_of(run))) for letter, run in members.items()],
        "details": [
            (letter, str(run.environment.get("command") or "bench run"), machine.machine(run)[1], machine.config_of(run))
            for letter, run in members.items()
        ],
        "table": rows_table.table(whole),
    }  # fmt: skip
    page = render(template, **content, downloads=DOWNLOADS)
    fits, left = downloads(members, MOST_BYTES - SPARE - len(page.encode()))
    return with_downloads(page, fits, left, "the run's folder has" if len(members) == 1 else "the runs' folders have")


def _sections(topics: Iterable[Topic], drawn: Mapping[str, Inlined]) -> list[dict[str, Any]]:
    """The topics that have pictures among those `drawn`, with them."""
    every: list[dict[str, Any]] = []
    for t in topics:
        shown, folded = ([drawn[name] for name in names if name in drawn] for names in (t.pictures, t.folded))
        every.append({"topic": t, "pictures": shown or folded[:1], "folded": folded if shown else folded[1:]})
    return [section for section in every if section["pictures"]]
