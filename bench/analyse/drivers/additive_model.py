"""Time as a sum of what its counts cost: seconds per evaluation, operator call, MAC and activation element, none negative.

    time = constant + a x ops + b x MACs + c x activations

If all rows make equally many calls, the constant and a x ops are one term.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.analyse.stats.estimators import CONFIDENCE, Floats
from bench.spec.format import listed, percent, share

RESAMPLES = 500
HALF = 0.5  # of the time: what takes more is the limit
LEAST_ROWS = 20  # below any of these four the model names no limit
MOST_OFF = 0.25  # median of |model / time - 1|
LEAST_R2 = 0.5  # of ln(time)
HIGH_VIF = 10.0  # variance inflation factor from which on columns count as collinear
OUTLYING = 3.0  # robust standard deviations of ln(time / model) from its median
PROPORTIONAL = 1e-12  # 1 - cosine of two columns that are multiples of each other
CONSTANT = "constant"
OVERHEAD, BANDWIDTH, COMPUTE, MIXED = BOTTLENECKS = "overhead-bound", "bandwidth-bound", "compute-bound", "mixed"
_BOTTLENECK = {"ops": OVERHEAD, "conv_layers": OVERHEAD, "activations": BANDWIDTH, "macs": COMPUTE}


@dataclass(frozen=True, slots=True)
class Share:
    """A share of time, 0 to 1, with its bootstrap interval, NaN without resamples."""

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
        """What limits a row if this term takes most of its time; None for the constant or several counts."""
        return _BOTTLENECK.get(self.names[0]) if len(self.names) == 1 else None


@dataclass(frozen=True, slots=True)
class Additive:
    """The fitted model. `off_median` and `off_rms` are of |model / time - 1|, `r2` of ln(time), NaN where it is constant.

    `bottleneck` is one of BOTTLENECKS, None where the fit can't tell, with the reason in `why`; `agreement`: the share
    of resamples with the same leading term, NaN without resamples; `outliers`: ln(time / model) by the index of the row.
    """

    terms: tuple[Term, ...]
    off_median: float
    off_rms: float
    r2: float
    bottleneck: str | None
    agreement: float
    why: str
    outliers: Mapping[int, float]


def fit(counts: Mapping[str, Floats], time_s: Floats, words: Mapping[str, str], resamples: int) -> Additive | str:
    """Non-negative least squares of the relative error (model / time - 1): a short row counts as much as a long one.

    `counts` by name, all above 0. Solver: Lawson & Hanson (1974), by scipy. Intervals: percentiles over draws of rows
    with replacement, from a fixed seed. Least squares of relative errors are low by about exp(-1.5 s^2) where times
    scatter by s in ln, for all terms alike, so shares are unaffected. A text with the reason where columns are collinear.

    The bottleneck is the term that takes over half of a typical row's time (the median of the rows' shares): ops,
    overhead-bound; activations, bandwidth-bound; MACs, compute-bound; mixed if none does. It has no name where rows are
    few, the model is far off or explains little, where the leading term is collinear with another or is the constant.
    Outliers are off by over MOST_OFF and by over OUTLYING robust standard deviations (1.4826 x median absolute deviation).
    """
    from scipy.optimize import nnls  # only a fit waits for it to start

    counts = {**counts, CONSTANT: np.ones(len(time_s))}
    merged = _merged(counts)
    columns = np.column_stack([counts[names[0]] for names in merged]) / time_s[:, None]
    scale = np.linalg.norm(columns, axis=0)
    columns = columns / scale
    if np.linalg.matrix_rank(columns, tol=1e-7) < len(merged):
        return f"{listed([words[n] for n in counts])} are linearly dependent: the fit can't separate their costs"
    costs = nnls(columns, np.ones(len(time_s)))[0]
    median, total = _shares(columns, costs, time_s)
    medians, totals = np.full((2, max(1, resamples), len(merged)), math.nan)
    draws = np.random.default_rng(1)
    at_once = max(1, 500_000 // len(time_s))
    for i in range(0, resamples, at_once):
        rows = np.array([draws.integers(0, len(time_s), len(time_s)) for _ in range(min(at_once, resamples - i))])
        fitted = np.array([nnls(columns[some], np.ones(len(some)))[0] for some in rows])
        medians[i : i + at_once], totals[i : i + at_once] = _shares(columns[rows], fitted[:, None], time_s[rows])
    tails = (50 - 50 * CONFIDENCE, 50 + 50 * CONFIDENCE)
    terms = tuple(
        Term(names, float(costs[i] / scale[i]), _share(median[i], medians[:, i], tails), _share(total[i], totals[:, i], tails))
        for i, names in enumerate(merged)
    )  # fmt: skip
    model = columns @ costs  # relative to the measured time
    off, residuals, logs = np.abs(model - 1), -np.log(model), np.log(time_s)
    spread = float(np.sum((logs - logs.mean()) ** 2))
    r2 = 1 - float(np.sum(residuals**2)) / spread if time_s.min() < time_s.max() else math.nan
    bottleneck, why = _bottleneck_of(terms, words)
    doubt = _doubt(terms, columns, float(np.median(off)), r2, words) if bottleneck else ""
    leading = np.where(medians.max(axis=1) > HALF, medians.argmax(axis=1), -1)
    here = int(median.argmax()) if median.max() > HALF else -1
    return Additive(
        terms=terms,
        off_median=float(np.median(off)),
        off_rms=float(np.sqrt(np.mean(off**2))),
        r2=r2,
        bottleneck=None if doubt else bottleneck,
        agreement=float(np.mean(leading == here)) if resamples else math.nan,
        why=f"{why}, but {doubt}" if doubt else why,
        outliers=_outliers(residuals),
    )


def _doubt(terms: tuple[Term, ...], columns: Floats, off: float, r2: float, words: Mapping[str, str]) -> str:
    """Why no limit may be named; empty where one may. `columns` are the fit's, each of length 1."""
    first = max(range(len(terms)), key=lambda i: terms[i].median.value)
    gram = columns.T @ columns
    vif = float(np.linalg.inv(gram)[first, first])
    other = max((i for i in range(len(terms)) if i != first), key=lambda i: gram[i, first], default=first)
    both = listed([words[n] for i in (first, other) for n in terms[i].names])
    doubts = {
        f"{len(columns)} rows are too few to tell (fewer than {LEAST_ROWS})": len(columns) < LEAST_ROWS,
        f"the model is off by {percent(off)} (median)": off > MOST_OFF,
        "the counts explain little of how time varies" + (f" (R2 {r2:.2f})" if math.isfinite(r2) else ""): not r2 >= LEAST_R2,
        f"the costs of {both} can't be told apart (VIF {vif:.0f})": vif > HIGH_VIF,
    }  # fmt: skip
    return next((why for why, holds in doubts.items() if holds), "")


def _outliers(residuals: Floats) -> dict[int, float]:
    """By row, the residuals that are far from their median, the farthest first."""
    apart = np.abs(residuals - np.median(residuals))
    far = max(OUTLYING * 1.4826 * float(np.median(apart)), math.log1p(MOST_OFF))
    return {int(i): float(residuals[i]) for i in np.argsort(-apart, kind="stable") if apart[i] > far}


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
    """Medians over rows of each term's share of the modelled time, and its share of the modelled time of all rows.

    Rows by terms, or any number of such tables at once.
    """
    parts = columns * costs  # relative to the measured time
    seconds = (parts * time_s[..., None]).sum(axis=-2)
    return np.median(parts / parts.sum(axis=-1, keepdims=True), axis=-2), seconds / seconds.sum(axis=-1, keepdims=True)


def _share(value: float, drawn: Floats, tails: tuple[float, float]) -> Share:
    low, high = np.percentile(drawn, tails)
    return Share(float(value), float(low), float(high))


def _bottleneck_of(terms: tuple[Term, ...], words: Mapping[str, str]) -> tuple[str | None, str]:
    first = max(terms, key=lambda t: t.median.value)
    name = listed([words[n] for n in first.names])
    spent = f"{name} take{'s' * (first.names == (CONSTANT,))} {share(first.median.value)} of a typical row's time"
    if len(terms) == 1:
        return None, f"only the cost of {name} could be fitted, so there is no share to compare"
    if first.median.value <= HALF:
        return MIXED, f"{spent}, and nothing takes over half"
    if first.names == (CONSTANT,):
        return None, f"{spent}: it varies with none of the counts"
    if first.bottleneck is None:
        return None, f"{spent}, but are multiples of each other here: the fit can't separate them"
    return first.bottleneck, spent
