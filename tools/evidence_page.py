"""`python -m tools.evidence_page` prints the tables of docs/EVIDENCE.md from the rows of published.csv."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analyse.claims.published import CLAIMS, about
from bench.spec.format import digits

HEAD = ("what", "where", "MACs", "speedup", "reading", "from")


def markdown() -> str:
    """The tables of docs/EVIDENCE.md: for each claim a heading, its statement and its rows."""
    return "\n".join(line for claim in CLAIMS if about(claim) for line in _section(claim))


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


if __name__ == "__main__":
    print(markdown(), end="")
