"""Which rows go into which panel and series: whatever varies gets a word, and what does not is left unsaid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analyse.runs.rows import Record
from bench.show.text.ways import FIELDS, USUAL, word_or_nothing

MOST_SERIES = 6  # in one panel, before a field moves to panels of its own
MOST_GROUPS = 8  # of panels; what is beyond is named in the footer

_ALWAYS_APART = ("experiment", "device", "block")
_NEVER_APART = ("threads", "layout")


@dataclass(frozen=True, slots=True)
class Facets:
    """Rows laid out. `groups` are panels' words (one empty word where nothing varies), `series` are the lines' words."""

    apart: tuple[str, ...]
    within: tuple[str, ...]
    groups: tuple[str, ...]
    series: tuple[str, ...]
    left_out: int

    def group(self, row: Record) -> str:
        """The words of the panel that a row belongs to."""
        return _words(row, self.apart)

    def shown(self, rows: Sequence[Record]) -> list[Record]:
        """The rows of the groups that are drawn."""
        return [r for r in rows if self.group(r) in self.groups]

    def places(self, rows: Sequence[Record]) -> list[tuple[str, int]]:
        """Each group with each of its rows' kernels."""
        return [(g, k) for g in self.groups for k in sorted({int(r["kernel"]) for r in rows if self.group(r) == g})]

    def line(self, row: Record) -> str:
        """The words of the row's series; what is usual goes unsaid beside what is not."""
        words = (word_or_nothing(row, f) for f in self.within)
        return ", ".join(w for w in words if w and w not in USUAL) or _words(row, _NEVER_APART)


def lay_out(rows: Sequence[Record], ignore: Sequence[str] = ()) -> Facets:
    """Decide what varies between panels and what within one; fields in `ignore` are shown some other way.

    Experiment, device and block always get panels of their own. Further fields follow only while a panel would hold
    more than MOST_SERIES series; threads and layout never do.
    """
    varying = [f for f in FIELDS if f not in ignore and len({w for r in rows if (w := word_or_nothing(r, f))}) > 1]
    apart = [f for f in varying if f in _ALWAYS_APART]
    within = [f for f in varying if f not in apart]
    for field in [f for f in within if f not in _NEVER_APART]:
        if _fullest(rows, apart, within) <= MOST_SERIES:
            break
        if len({_words(r, [*apart, field]) for r in rows}) <= MOST_GROUPS:
            apart.append(field)
            within.remove(field)
    within.sort(key=lambda f: f not in _NEVER_APART)
    every = list(dict.fromkeys(_words(r, apart) for r in rows))
    groups = every[:MOST_GROUPS]
    laid = Facets(tuple(apart), tuple(within), tuple(groups), (), len(every) - len(groups))
    series = tuple(dict.fromkeys(laid.line(r) for r in laid.shown(rows)))
    return Facets(laid.apart, laid.within, laid.groups, series, laid.left_out)


def _words(row: Record, fields: Sequence[str]) -> str:
    return ", ".join(w for f in fields if (w := word_or_nothing(row, f)))


def _fullest(rows: Sequence[Record], apart: Sequence[str], within: Sequence[str]) -> int:
    held: dict[str, set[str]] = {}
    for r in rows:
        held.setdefault(_words(r, apart), set()).add(_words(r, within))
    return max((len(s) for s in held.values()), default=0)


@dataclass(frozen=True, slots=True)
class Channels:
    """Where channel numbers stand on an axis: by their log2, or one step each where a row changes their number."""

    places: dict[tuple[int, int], float]
    labels: dict[float, str]
    step: float

    @classmethod
    def of(cls, rows: Sequence[Record]) -> Channels:
        """The axis for these rows."""
        pairs = sorted({(int(r["c_in"]), int(r["c_out"])) for r in rows}, key=lambda p: (p[0] * p[1], p))
        if all(i == o for i, o in pairs):
            places = {p: math.log2(p[0]) for p in pairs}
        else:
            places = {p: float(n) for n, p in enumerate(pairs)}
        labels = {places[p]: str(p[0]) if p[0] == p[1] else f"{p[0]}→{p[1]}" for p in pairs}
        gaps = [b - a for a, b in zip(list(labels), list(labels)[1:], strict=False)]
        return cls(places, labels, min(gaps, default=1.0))

    def at(self, row: Record) -> float:
        """The row's place."""
        return self.places[int(row["c_in"]), int(row["c_out"])]

    def beside(self, row: Record, index: int, count: int) -> float:
        """The row's place, moved a little so that the series at `index` of `count` does not hide another."""
        return self.at(row) + (index - (count - 1) / 2) * min(0.07, 0.4 / count) * self.step

    @property
    def title(self) -> str:
        """The axis's own words."""
        return "channels in and out" if all("→" not in w for w in self.labels.values()) else "channels in → out"
