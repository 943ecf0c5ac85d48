"""Time as a sum of what its counts cost: seconds per operator call, per MAC and per activation element, none negative.

    time = a x ops + b x MACs + c x activations

There is no constant: an evaluation without an operator takes no time, and a constant would be fitted in place of the
cost per call. If all rows make equally many calls, a x ops *is* the constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from bench.analyse.stats.arrays import Floats
from bench.spec.format import listed, share

RESAMPLES = 500
HALF = 0.5  # of the time: what takes more is the bottleneck
PROPORTIONAL = 1e-12  # 1 - cosine of two columns that are multiples of each other
OVERHEAD, BANDWIDTH, COMPUTE, MIXED = BOTTLENECKS = "overhead-bound", "bandwidth-bound", "compute-bound", "mixed"
_BOTTLENECK = {"ops": OVERHEAD, "conv_layers": OVERHEAD, "activations": BANDWIDTH, "macs": COMPUTE}


@dataclass(frozen=True, slots=True)
class Share:
    """A share of time, 0 to 1, with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Term:
    """One summand. Counts that are multiples of each other share one cost, and `names` holds all of them.

    `seconds_each` is per unit of the first. `median`: the share of a typical row's time; `total`: of all rows' time.
    """

    names: tuple[str, ...]
    seconds_each: float
    median: Share
    total: Share

    @property
    def bottleneck(self) -> str | None:
        """What limits a row if this term takes most of its time; None where the term is of several counts."""
        return _BOTTLENECK[self.names[0]] if len(self.names) == 1 else None


@dataclass(frozen=True, slots=True)
class Additive:
    """The fitted model. `off_median` and `off_rms` are of |model / time - 1|.

    `bottleneck` is one of BOTTLENECKS, None where the fit can't tell, with the reason in `why`; `agreement`: the share
    of resamples with the same bottleneck.
    """

    terms: tuple[Term, ...]
    off_median: float
    off_rms: float
    bottleneck: str | None
    agreement: float
    why: str


def fit(
    counts: Mapping[str, Floats], time_s: Floats, words: Mapping[str, str], confidence: float = 0.95, seed: int = 1
) -> Additive | str:
    """Non-negative least squares of the relative error (model / time - 1): a short row counts as much as a long one.

    `counts` by name, all above 0. Solver: Lawson & Hanson (1974), by scipy. Intervals: percentiles over RESAMPLES draws
    of rows with replacement, from this seed. Least squares of relative errors are low by about exp(-1.5 s^2) where
    times scatter by s in ln, for all terms alike, so shares are unaffected. A text with the reason where columns are
    collinear.

    The bottleneck is the term that takes over half of a typical row's time (the median of the rows' shares): ops,
    overhead-bound; activations, bandwidth-bound; MACs, compute-bound; mixed if none does.
    """
    merged = _merged(counts)
    columns = np.column_stack([counts[names[0]] for names in merged]) / time_s[:, None]
    scale = np.linalg.norm(columns, axis=0)
    columns = columns / scale
    if np.linalg.matrix_rank(columns, tol=1e-7) < len(merged):
        return f"{listed([words[n] for n in counts])} are linearly dependent: the fit can't separate their costs"
    costs = nnls(columns, np.ones(len(time_s)))[0]
    median, total = _shares(columns, costs, time_s)
    medians, totals = np.empty((2, RESAMPLES, len(merged)))
    draws = np.random.default_rng(seed)
    for i in range(RESAMPLES):
        rows = draws.integers(0, len(time_s), len(time_s))
        drawn = columns[rows]
        medians[i], totals[i] = _shares(drawn, nnls(drawn, np.ones(len(rows)))[0], time_s[rows])
    tails = (50 - 50 * confidence, 50 + 50 * confidence)
    terms = tuple(
        Term(names, float(costs[i] / scale[i]), _share(median[i], medians[:, i], tails), _share(total[i], totals[:, i], tails))
        for i, names in enumerate(merged)
    )  # fmt: skip
    off = np.abs(columns @ costs - 1)
    bottleneck, why = _bottleneck_of(terms, words)
    leading = np.where(medians.max(axis=1) > HALF, medians.argmax(axis=1), -1)
    here = int(median.argmax()) if median.max() > HALF else -1
    return Additive(
        terms=terms,
        off_median=float(np.median(off)),
        off_rms=float(np.sqrt(np.mean(off**2))),
        bottleneck=bottleneck,
        agreement=float(np.mean(leading == here)),
        why=why,
    )


def _merged(counts: Mapping[str, Floats]) -> list[tuple[str, ...]]:
    """The names, with columns that are multiples of each other (constants are) grouped."""
    groups: list[tuple[str, ...]] = []
    for name, values in counts.items():
        for i, (first, *_) in enumerate(groups):
            cosine = (values / np.linalg.norm(values)) @ (counts[first] / np.linalg.norm(counts[first]))
            if 1 - cosine < PROPORTIONAL:
                groups[i] = (*groups[i], name)
                break
        else:
            groups.append((name,))
    return groups


def _shares(columns: Floats, costs: Floats, time_s: Floats) -> tuple[Floats, Floats]:
    """Medians over rows of each term's share of the modelled time, and its share of the modelled time of all rows."""
    parts = columns * costs  # relative to the measured time
    seconds = (parts * time_s[:, None]).sum(axis=0)
    return np.median(parts / parts.sum(axis=1, keepdims=True), axis=0), seconds / seconds.sum()


def _share(value: float, drawn: Floats, tails: tuple[float, float]) -> Share:
    low, high = np.percentile(drawn, tails)
    return Share(float(value), float(low), float(high))


def _bottleneck_of(terms: tuple[Term, ...], words: Mapping[str, str]) -> tuple[str | None, str]:
    """The bottleneck, and the sentence with its reason."""
    first = max(terms, key=lambda t: t.median.value)
    name = listed([words[n] for n in first.names])
    spent = f"{name} take {share(first.median.value)} of a typical row's time"
    if len(terms) == 1:
        return None, f"only the cost of {name} could be fitted, so there is no share to compare"
    if first.median.value <= HALF:
        return MIXED, f"{spent}, and nothing takes over half"
    if first.bottleneck is None:
        return None, f"{spent}, but are multiples of each other here: the fit can't separate them"
    return first.bottleneck, spent
