"""Time as a sum of what its counts cost: seconds per operator call, per MAC and per activation element, none negative.

    time = a x ops + b x MACs + c x activations

There is no constant: an evaluation without an operator takes no time, and a constant would take its share from the
operators, whose cost per call it is. Where all rows make equally many calls, a x ops *is* the constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from bench.analyse.stats.arrays import Floats
from bench.spec.format import listed

RESAMPLES = 500
HALF = 0.5  # of a row's time, above which a term names the regime
PROPORTIONAL = 1e-12  # 1 - cosine of two columns that are multiples of each other
BOUND = {
    "ops": "overhead-bound",
    "conv_layers": "overhead-bound",
    "activations": "bandwidth-bound",
    "macs": "compute-bound",
}


@dataclass(frozen=True, slots=True)
class Share:
    """A share of time, 0 to 1, with its bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Term:
    """One summand. `names` holds more than one count where they are multiples of each other, so that one cost stands for all.

    `seconds_each` is per unit of the first. `median`: the share of a typical row's time; `total`: of all rows' time.
    """

    names: tuple[str, ...]
    seconds_each: float
    median: Share
    total: Share

    @property
    def bound(self) -> str | None:
        """The regime of a row that this term dominates; None where the term is not one thing."""
        return BOUND[self.names[0]] if len(self.names) == 1 else None


@dataclass(frozen=True, slots=True)
class Additive:
    """The fitted model. `off_median` and `off_rms` are of |model / time - 1|.

    `regime` is None where nothing can be said, and `why` says it; `agreement` is the share of resamples with that regime.
    """

    terms: tuple[Term, ...]
    off_median: float
    off_rms: float
    regime: str | None
    agreement: float
    why: str


def fit(
    counts: Mapping[str, Floats], time_s: Floats, words: Mapping[str, str], confidence: float = 0.95, seed: int = 1
) -> Additive | str:
    """Non-negative least squares of the relative error (model / time - 1), so that a short row counts as much as a long one.

    `counts` by name, all above 0. Solver: Lawson & Hanson (1974), by scipy. Intervals: percentiles over RESAMPLES draws of
    rows with replacement, from this seed. Least squares of relative errors lean low, by about exp(-1.5 s^2) where times
    scatter by s in ln, for all terms alike, so the shares don't feel it. A text, saying why, where columns depend on each other.

    The regime is the term that takes over half of a typical row's time (the median of the rows' shares): ops,
    overhead-bound; activations, bandwidth-bound; MACs, compute-bound; mixed where none does.
    """
    merged = _merged(counts)
    columns = np.column_stack([counts[names[0]] for names in merged]) / time_s[:, None]
    scale = np.linalg.norm(columns, axis=0)
    columns = columns / scale
    if np.linalg.matrix_rank(columns, tol=1e-7) < len(merged):
        return f"{listed([words[n] for n in counts])} follow one linear rule: no seconds can be told apart"
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
    regime, why = _regime(terms, words)
    leading = np.where(medians.max(axis=1) > HALF, medians.argmax(axis=1), -1)
    mine = int(median.argmax()) if median.max() > HALF else -1
    return Additive(
        terms=terms,
        off_median=float(np.median(off)),
        off_rms=float(np.sqrt(np.mean(off**2))),
        regime=regime,
        agreement=float(np.mean(leading == mine)),
        why=why,
    )


def _merged(counts: Mapping[str, Floats]) -> list[tuple[str, ...]]:
    """The names, those of columns that are multiples of each other together (constant ones are)."""
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


def _shares(
    columns: Floats, costs: npt.NDArray[np.float64], time_s: Floats
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Medians over rows of each term's share of the modelled time, and its share of the modelled time of all rows."""
    parts = columns * costs  # relative to the measured time
    seconds = (parts * time_s[:, None]).sum(axis=0)
    return np.median(parts / parts.sum(axis=1, keepdims=True), axis=0), seconds / seconds.sum()


def _share(value: float, drawn: npt.NDArray[np.float64], tails: tuple[float, float]) -> Share:
    low, high = np.percentile(drawn, tails)
    return Share(float(value), float(low), float(high))


def _regime(terms: tuple[Term, ...], words: Mapping[str, str]) -> tuple[str | None, str]:
    """The regime and the sentence that it rests on."""
    first = max(terms, key=lambda t: t.median.value)
    name = listed([words[n] for n in first.names])
    said = f"{name} take {first.median.value * 100:.0f} % of a typical row's time"
    if len(terms) == 1:
        return None, f"only the cost of {name} could be fitted, so there is nothing to set it against"
    if first.median.value <= HALF:
        return "mixed", f"{said}, and nothing takes over half"
    if first.bound is None:
        return None, f"{said}, but are multiples of each other here: nothing tells which of them it is"
    return first.bound, said
