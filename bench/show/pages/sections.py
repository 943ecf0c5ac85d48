"""What pages are put together from: pictures under their headings, verdicts in words, and published sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.analyse.claims import published
from bench.analyse.claims.answers import Verdict
from bench.analyse.claims.claims import CLAIMS, Claim
from bench.analyse.claims.judge import Verdicts
from bench.analyse.claims.published import Published
from bench.show.pages.svg import Inlined
from bench.show.text.claims import cells, effect, where
from bench.spec.format import p_words, times

SPARE = 20_000  # of a page's letters, for what is added once the size is known


@dataclass(frozen=True, slots=True)
class Topic:
    """A section of pictures: its heading, how to read them, and their names."""

    id: str
    heading: str
    words: str
    pictures: tuple[str, ...]


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
    predicted: bool

    @property
    def kind(self) -> str:
        """The answer as a class of the style sheet."""
        return "would-be" if self.predicted else self.answer.lower().replace(" ", "-")

    @property
    def count(self) -> str:
        """`0 of 1 cell yes`: how many cells, and in how many the claim surely holds; nothing of sweeps."""
        return self.cells.partition(",")[0] if "cell" in self.cells else ""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that others published, with the addresses of its source."""

    row: Published
    where: str
    macs: str
    speedup: str
    words: str
    addresses: tuple[str, ...]


def sections(topics: Sequence[Topic], drawn: Mapping[str, Inlined]) -> list[Section]:
    """The topics that have pictures among those `drawn`, with them."""
    every = ((t, tuple(drawn[name] for name in t.pictures if name in drawn)) for t in topics)
    return [Section(topic, pictures) for topic, pictures in every if pictures]


def answer(v: Verdict, letters: Mapping[str, str] | None = None) -> Answer:
    """A verdict in words; of several runs with the letters, by run_id, of those that it rests on."""
    claim = next(c for c in CLAIMS if c.id == v.claim)
    measured = v.answer != "NOT MEASURED"
    return Answer(
        claim=claim,
        answer=v.answer,
        where=where(v, letters),
        effect=effect(v.effect),
        effect_name=v.effect.name if v.effect else "",
        p=p_words(v.p_reported),
        regime=v.bottleneck if measured else "",
        cells=cells(v) if measured else "",
        why=v.why,
        notes=v.notes,
        confirmatory=v.confirmatory,
        predicted=v.predicted,
    )


def firsts(found: Verdicts, letters: Mapping[str, str] | None = None) -> dict[str, list[Answer]]:
    """By claim what the first screen says of it."""
    return {c.id: [answer(v, letters) for v in found.first(c.id)] for c in CLAIMS}


def sources() -> list[tuple[Claim, list[Source]]]:
    """Of each claim what others published."""
    return [(c, [_source(row) for row in published.about(c.id)]) for c in CLAIMS]


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
