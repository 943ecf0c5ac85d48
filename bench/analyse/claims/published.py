"""Published results on separable against standard convolutions: the rows of published.csv.

A row is one comparison or one statement, in our words, with its source and the origin of its figure. A speedup is the
time of the standard network or block / the time of the separable one, so above 1 the separable one was faster. Most
rows compare different networks (MobileNetV1 against ResNet-18), few a block with its twin. None of it was measured by
us, and no verdict uses it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bench.analyse.claims import claims

CLAIMS = {claim.id: claim.statement for claim in claims.CLAIMS}
"""Statements by the claim's id."""


@dataclass(frozen=True, slots=True)
class Published:
    """A row. A word is empty and a number None where the source does not give it.

    `mac_ratio`: MACs of the standard side / of the separable one; `speedup`: time of the standard side / of the
    separable one, both as ratios; `batch`: a number or a range; `regime`: by bench drivers from the source's table;
    `how`: read off the source, or the arithmetic with the source's figures.
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

    @property
    def circumstances(self) -> str:
        """`V100, fp32, eager, inference, batch 32`, as far as they were published."""
        batch = self.batch and f"batch {self.batch}"
        return ", ".join(filter(None, (self.device, self.dtype, self.mode, self.pass_, batch)))

    @property
    def cited(self) -> tuple[str, list[str]]:
        """The source in words, and its addresses."""
        words, *rest = self.source.split(", http")
        return words, ["http" + part.split(",")[0].split(" ")[0].rstrip(";") for part in rest]


COLUMNS = tuple(name.rstrip("_") for name in Published.__slots__)


@cache
def published() -> tuple[Published, ...]:
    """All rows, claim by claim in the order of CLAIMS."""
    text = (files("bench.analyse.claims") / "published.csv").read_text(encoding="utf-8")
    return tuple(Published(*(_cell(name, word) for name, word in row.items())) for row in csv.DictReader(text.splitlines()))  # fmt: skip


def about(claim: str) -> tuple[Published, ...]:
    """The rows about one claim. KeyError for an id that is no claim's."""
    if claim not in CLAIMS:
        raise KeyError(claim)
    return tuple(row for row in published() if row.claim == claim)


def _cell(name: str, word: str) -> Any:
    """A word, or in the columns of ratios a number or None."""
    return word if name not in ("mac_ratio", "speedup") else float(word) if word else None
