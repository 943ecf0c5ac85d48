"""What limits rows: overhead, bandwidth or compute? By submission, then by roofs, then by the model of their times."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.analyse.drivers.additive_model import BANDWIDTH, COMPUTE, HALF, OVERHEAD, Additive
from bench.analyse.drivers.observations import Observation
from bench.spec.format import capital, share

UNKNOWN = "unknown"
_SUBMITS = "take longer to submit than to compute"
ATTAINED = 0.5  # share of the roof from which on the roof is the limit


@dataclass(frozen=True, slots=True)
class Limit:
    """One of BOTTLENECKS or UNKNOWN, and why. `agreement`: the share of resamples that agree, NaN if none were drawn."""

    word: str
    why: str
    agreement: float = math.nan

    @property
    def of_host(self) -> bool:
        """Whether submitting takes the time, as the rows' own times show."""
        return _SUBMITS in self.why

    @property
    def note(self) -> str:
        """For a verdict's notes."""
        return f"{'Limit unknown' if self.word == UNKNOWN else capital(self.word)}: {self.why}"


def limit_of(rows: Sequence[Observation], model: Additive | str) -> Limit:
    """What limits the rows: by their submission first, then by their roofs, then by the model (or why there is none)."""
    bounds = [r.bound for r in rows if r.bound]
    launches = bounds.count("launch-bound")
    if launches > HALF * len(bounds):
        return Limit(OVERHEAD, f"{launches} of {len(bounds)} rows {_SUBMITS}")
    shares = [r.attained for r in rows if r.attained is not None and r.roof]
    if shares and (attained := median(shares)) >= ATTAINED:
        roof = Counter(r.roof for r in rows if r.roof).most_common(1)[0][0]
        word = COMPUTE if roof == "compute" else BANDWIDTH
        return Limit(word, f"rows attain {share(attained)} of their roof (median), most of it {roof}")
    if isinstance(model, str):
        return Limit(UNKNOWN, model)
    return Limit(model.bottleneck or UNKNOWN, model.why, model.agreement if model.bottleneck else math.nan)
