"""What pages are put together from: pictures under their headings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.show.pages.svg import Inlined


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


def sections(topics: Sequence[Topic], drawn: Mapping[str, Inlined]) -> list[Section]:
    """The topics that have pictures among those `drawn`, with them."""
    every = ((t, tuple(drawn[name] for name in t.pictures if name in drawn)) for t in topics)
    return [Section(topic, pictures) for topic, pictures in every if pictures]
