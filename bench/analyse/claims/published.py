"""Published results on separable against standard convolutions: the rows of published.csv, and the tables of docs/EVIDENCE.md.

A row is one comparison or one statement, in our words, with its source and the origin of its figure. A speedup is the time
of the standard network or block / the time of the separable one, so above 1 the separable one was faster. Most rows compare
different networks (MobileNetV1 against ResNet-18), few a block with its twin. None of it was measured by us, and no verdict
uses it.

`python -m bench.analyse.claims.published` prints the tables of docs/EVIDENCE.md.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from bench.analyse.claims import claims
from bench.spec.format import digits

CLAIMS = {claim.id: claim.statement for claim in claims.CLAIMS}
"""Statements by the claim's id."""
HEAD = ("what", "where", "MACs", "speedup", "reading", "from")


@dataclass(frozen=True, slots=True)
class Published:
    """A row. A word is empty and a number None where the source does not give it.

    `mac_ratio`: MACs of the standard side / of the separable one; `speedup`: time of the standard side / of the separable
    one, both as ratios; `batch`: a number or a range; `regime`: by bench drivers from the source's table; `how`: read off
    the source, or the arithmetic with the source's figures.
    """

    id: str
    claim: str
    device: str
    device_kind: str
    dtype: str
    mode: str
    pass_: str
    batch: str
    comparison: str
    mac_ratio: float | None
    speedup: float | None
    regime: str
    reading: str
    source: str
    how: str


COLUMNS = tuple(name.rstrip("_") for name in Published.__slots__)


@cache
def published() -> tuple[Published, ...]:
    """All rows, claim by claim in the order of CLAIMS."""
    text = (files("bench.analyse.claims") / "published.csv").read_text(encoding="utf-8")
    return tuple(_row(row) for row in csv.DictReader(text.splitlines()))


def about(claim: str) -> tuple[Published, ...]:
    """The rows about one claim. KeyError for an id that is no claim's."""
    if claim not in CLAIMS:
        raise KeyError(claim)
    return tuple(row for row in published() if row.claim == claim)


def markdown() -> str:
    """The tables of docs/EVIDENCE.md: for each claim a heading, its statement and its rows."""
    return "\n".join(line for claim in CLAIMS for line in _section(claim))


def _section(claim: str) -> Iterator[str]:
    yield f"## {claim}\n"
    yield f"{CLAIMS[claim]}\n"
    yield f"| {' | '.join(HEAD)} |"
    yield "|---|---|---|---|---|---|"
    for row in about(claim):
        where = [row.device, row.dtype, row.mode, row.pass_, row.batch and f"batch {row.batch}", row.regime]
        cells = (
            f"`{row.id}` {row.comparison}",
            ", ".join(filter(None, where)),
            _times(row.mac_ratio),
            _times(row.speedup),
            row.reading,
            f"{row.source}; {row.how}",
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{digits(ratio, 3)}x" if ratio >= 10 else f"{ratio:.2f}x"


def _row(cells: dict[str, str]) -> Published:
    words = {name: cells[name] for name in COLUMNS if name not in ("pass", "mac_ratio", "speedup")}
    return Published(
        **words, pass_=cells["pass"], mac_ratio=_number(cells["mac_ratio"]), speedup=_number(cells["speedup"])
    )


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


if __name__ == "__main__":
    print(markdown(), end="")
