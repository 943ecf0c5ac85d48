"""Which rows go into which panel and series: whatever varies gets a word, and what does not is left unsaid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.analyse.runs.summary import Record
from bench.analyse.sweeps.designed import Place
from bench.spec.devices.device_names import in_words, is_cpu

MOST_SERIES = 6  # in one panel, before a field moves to panels of its own
MOST_GROUPS = 8  # of panels; what is beyond is named in the footer

_WORDS: dict[str, Callable[[Record], str]] = {
    "experiment": lambda r: str(r["experiment"]),
    "device": lambda r: in_words(r["device"]),
    "block": lambda r: f"{r['block']} against {r['baseline']}",
    "pass": lambda r: str(r["pass"]),
    "dtype": lambda r: str(r["dtype"]),
    "mode": lambda r: str(r["mode"]),
    "size": lambda r: f"{r['height']} px" if r["height"] == r["width"] else f"{r['height']} x {r['width']} px",
    "batch": lambda r: f"batch {r['batch']}",
    "stride": lambda r: f"stride {r['stride']}",
    "depth": lambda r: f"depth {r['depth']}",
    "dilation": lambda r: f"dilation {r['dilation']}",
    "padding": lambda r: f"padding {r['padding']}",
    "allocator": lambda r: f"allocator {r['allocator']}",
    "waiting": lambda r: f"waiting {r['waiting']}",
    "threads": lambda r: _threads(r),
    "layout": lambda r: str(r["layout"]),
}
_OF_PLACES = "device threads layout dtype mode pass allocator waiting batch".split()
_WAYS = [*_OF_PLACES[1:], "cudnn_benchmark"]
_USUAL = {"inference", "fp32", "eager", "batch 1", "stride 1", "depth 1", "dilation 1", "padding same", "allocator retain", "waiting default"}  # fmt: skip
_ALWAYS_APART = ("experiment", "device", "block")
_NEVER_APART = ("threads", "layout")


def _threads(row: Record) -> str:
    if not is_cpu(row["device"]):
        return in_words(row["device"]).split(":")[0]  # threads do not shape a GPU's time
    return f"{row['threads']} thread{'s' if row['threads'] != 1 else ''}"


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
        return _say(row, self.apart)

    def line(self, row: Record) -> str:
        """The words of the row's series; what is usual goes unsaid beside what is not."""
        words = (_word(row, f) for f in self.within)
        return ", ".join(w for w in words if w and w not in _USUAL) or _say(row, _NEVER_APART)


def lay_out(rows: Sequence[Record], ignore: Sequence[str] = ()) -> Facets:
    """Decide what varies between panels and what within one; fields in `ignore` are shown some other way.

    Experiment, device and block always get panels of their own. Further fields follow only while a panel would hold
    more than MOST_SERIES series; threads and layout never do.
    """
    varying = [f for f in _WORDS if f not in ignore and len({w for r in rows if (w := _word(r, f))}) > 1]
    apart = [f for f in varying if f in _ALWAYS_APART]
    within = [f for f in varying if f not in apart]
    for field in [f for f in within if f not in _NEVER_APART]:
        if _fullest(rows, apart, within) <= MOST_SERIES:
            break
        if len({_say(r, [*apart, field]) for r in rows}) <= MOST_GROUPS:
            apart.append(field)
            within.remove(field)
    within.sort(key=lambda f: f not in _NEVER_APART)
    every = list(dict.fromkeys(_say(r, apart) for r in rows))
    groups = every[:MOST_GROUPS]
    shown = [r for r in rows if _say(r, apart) in groups]
    laid = Facets(tuple(apart), tuple(within), tuple(groups), (), len(every) - len(groups))
    series = tuple(dict.fromkeys(laid.line(r) for r in shown))
    return Facets(laid.apart, laid.within, laid.groups, series, laid.left_out)


def told_apart(places: Sequence[Place]) -> dict[Place, str]:
    """Each place by what tells it from the others of its device, such as `cuda:0, graph, batch 16`."""
    rows = [{f: getattr(p, f"{f}_" if f == "pass" else f) for f in _OF_PLACES} for p in places]
    return dict(zip(places, words_of(rows, _OF_PLACES), strict=True))


def words_of(rows: Sequence[Record], fields: Sequence[str]) -> list[str]:
    """For each row its words for those of the fields that vary among the rows of its device; devices if there are several."""
    devices = {str(r["device"]) for r in rows}
    varying = {d: [f for f in fields if len({word_of(r, f) for r in rows if r["device"] == d}) > 1] for d in devices}
    first = ["device"] if len(devices) > 1 else []
    return [", ".join(word_of(r, f) for f in [*first, *varying[str(r["device"])]]) for r in rows]


def word_of(row: Record, field: str) -> str:
    """A field of a row in words, `2 threads`; one without words of its own as `cudnn_benchmark on`."""
    return _WORDS[field](row) if field in _WORDS else f"{field} {row[field]}"


def ways(rows: Sequence[Record]) -> list[str]:
    """How each of these rows, of one device, was run, as far as they differ; what is usual goes unsaid beside what is not."""
    varying = [f for f in _WAYS if len({word_of(r, f) for r in rows}) > 1]
    words = [[word_of(r, f) for f in varying] for r in rows]
    return [", ".join([w for w in some if w not in _USUAL] or some) for some in words]


def named_ways(rows: Sequence[Record]) -> list[tuple[str, str]]:
    """Each row's device, and how it ran as far as the rows of that device differ, or devices in their size and batch."""
    by_device: dict[str, list[int]] = {}
    for i, r in enumerate(rows):
        by_device.setdefault(str(r["device"]), []).append(i)
    said = [""] * len(rows)
    for mine in by_device.values():
        for i, words in zip(mine, ways([rows[i] for i in mine]), strict=True):
            said[i] = words
    wider = [f for f in ("batch", "size", "layout", "dtype") if len({word_of(r, f) for r in rows}) > 1]
    return [
        (
            str(r["device"]),
            ", ".join(dict.fromkeys([*filter(None, words.split(", ")), *(word_of(r, f) for f in wider)])),
        )
        for r, words in zip(rows, said, strict=True)
    ]


def _say(row: Record, fields: Sequence[str]) -> str:
    return ", ".join(w for f in fields if (w := _word(row, f)))


def _word(row: Record, field: str) -> str:
    """A field of a row in words; nothing where a network has no such thing."""
    return "" if field in row and row[field] is None else _WORDS[field](row)


def _fullest(rows: Sequence[Record], apart: Sequence[str], within: Sequence[str]) -> int:
    held: dict[str, set[str]] = {}
    for r in rows:
        held.setdefault(_say(r, apart), set()).add(_say(r, within))
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
