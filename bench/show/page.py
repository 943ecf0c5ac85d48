"""report.html: a run on one page that needs nothing else, no network and no scripts, to be read, mailed and printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse import aa, evidence
from bench.analyse.aa import Noise
from bench.analyse.claims import CLAIMS, Claim
from bench.analyse.designs import sweep_of_shapes
from bench.analyse.evidence import Published
from bench.analyse.judgement import Verdict
from bench.analyse.results import Run
from bench.analyse.summary import records_of, times
from bench.analyse.verdict import Verdicts
from bench.show import page_facts, page_rows, terminal, titles
from bench.show.claims_picture import where
from bench.show.html import MOST_BYTES, inlined, render
from bench.show.inline import Inlined, Letters
from bench.show.verdict import cells, effect, p_words
from bench.spec.columns import columns_of

NAME = "report.html"
_SPARE = 20_000
_TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True)
class Topic:
    """A section of pictures: its heading, how to read them, and their names."""

    id: str
    heading: str
    words: str
    pictures: tuple[str, ...]


ABOVE = (
    Topic("speedup", "Speedup", "Time of the standard block / time of the separable one, against channels, per kernel: above 1x the separable one is faster.", ("speedup",)),
    Topic("map", "Where it wins", "The same cells as a map: blue is faster, orange slower, white even; hatched is not known.", ("map",)),
    Topic("delivery", "Promise against delivery", "The promise is the ratio of multiplications; what arrives is the speedup. On the upper line the whole promise would arrive.", ("delivery",)),
    Topic("depth", "Layers or MACs", "From standard to separable both change at once. Here one grows while the other is held, so that time shows which of them it follows.", ("depth", "crossover")),
    Topic("networks", "Networks", "Whole networks against the first of them: the ratio of multiplications, and the speedup that arrives.", ("networks",)),
    Topic("doses", "What else moves the answer", "The speedup at one shape as threads, batch, precision, layout and so on vary.", ("doses",)),
    Topic("drivers", "What explains time", "An additive model of time in operators, multiplications and activations, and time against each of them. Association, not cause.", ("drivers",)),
    Topic("roofline", "How near to what the device can do", "FLOP/s that blocks reach, under the roofs that were measured beside them; and against channels.", ("roofline", "throughput")),
)  # fmt: skip
MEMORY = Topic("memory", "Memory", "The most that one evaluation held beyond input and weights, against what must live at once.", ("memory",))  # fmt: skip
FOREST = Topic("claims", "The claims", "Every verdict with its effect.", ("claims",))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """A topic whose pictures were drawn."""

    topic: Topic
    pictures: tuple[Inlined, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict in words."""

    claim: Claim
    answer: str
    where: str
    effect: str
    effect_name: str
    p: str
    regime: str
    cells: str
    why: str
    notes: tuple[str, ...]
    confirmatory: bool

    @property
    def kind(self) -> str:
        """The answer as a class of the style sheet."""
        return self.answer.lower().replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Source:
    """Something that others published, with the addresses of its source."""

    row: Published
    where: str
    macs: str
    speedup: str
    words: str
    addresses: tuple[str, ...]


def text(run: Run, found: Verdicts, noise: Noise | None, pictures: Iterable[Path]) -> str:
    """The page. The tables must be in the run's folder by now; `pictures` are files, of which the SVG ones are taken."""
    letters = Letters()
    drawn = inlined(pictures, letters)
    above, memory, forest = (_sections(topics, drawn) for topics in (ABOVE, (MEMORY,), (FOREST,)))
    own = aa.is_aa(run)
    told: dict[str, Any] = {
        "run": run,
        "devices": page_facts.made_on(run),
        "finding": _finding(run),
        "unfinished": terminal.incomplete(run),
        "noise": noise.sentences() if noise else [],
        "is_aa": own,
        "answers": [] if own else [_answer(v) for v in found.verdicts],
        "claims": () if own else CLAIMS,
        "above": above,
        "memory": memory,
        "forest": forest,
        "layer_costs": page_facts.layer_costs(run),
        "evidence": [] if own else [(c, [_source(row) for row in evidence.about(c.id)]) for c in CLAIMS],
        "quality": page_facts.quality(run),
        "machine": page_facts.machine(run),
        "command": str(run.environment.get("command") or "bench run"),
        "config": page_facts.config_of(run),
        "table": page_rows.table(run),
        "registry": columns_of("p"),
        "downloads": (),
        "left_out": (),
    }
    body = render(_TEMPLATE, letters, **told)
    told["downloads"], told["left_out"] = page_facts.downloads(run, MOST_BYTES - _SPARE - len(body.encode()))
    return render(_TEMPLATE, letters, **told)


def _sections(topics: Sequence[Topic], drawn: dict[str, Inlined]) -> list[Section]:
    every = ((t, tuple(drawn[name] for name in t.pictures if name in drawn)) for t in topics)
    return [Section(topic, pictures) for topic, pictures in every if pictures]


def _finding(run: Run) -> str:
    """What the speedup picture says, or of a run without blocks what all its pairs do."""
    rows = records_of(run.pairs)
    return titles.finding(sweep_of_shapes(rows) or rows) + "."


def _answer(v: Verdict) -> Answer:
    claim = next(c for c in CLAIMS if c.id == v.claim)
    measured = v.answer != "NOT MEASURED"
    p = v.p_adjusted if v.p_adjusted is not None else v.p
    return Answer(
        claim=claim,
        answer=v.answer,
        where=where(v),
        effect=effect(v.effect),
        effect_name=v.effect.name if v.effect else "",
        p="" if p is None else p_words(p),
        regime=v.regime if measured else "",
        cells=cells(v) if measured else "",
        why=v.why,
        notes=v.notes,
        confirmatory=v.confirmatory,
    )


def _source(row: Published) -> Source:
    words, *rest = row.source.split(", http")
    circumstances = (row.device, row.dtype, row.mode, row.pass_, row.batch and f"batch {row.batch}", row.regime)
    return Source(
        row=row,
        where=", ".join(filter(None, circumstances)),
        macs=times(row.mac_ratio, 0.01) if row.mac_ratio else "",
        speedup=times(row.speedup, 0.01) if row.speedup else "",
        words=words,
        addresses=tuple(_addresses(rest)),
    )


def _addresses(rest: Sequence[str]) -> Iterator[str]:
    for part in rest:
        yield "http" + part.split(",")[0].split(" ")[0].rstrip(";")
