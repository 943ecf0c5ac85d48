"""Least squares of ln(time) on the logarithms of counts: elasticities, shares of R2 (Shapley), collinearity (VIF).

An elasticity of 0.7: a row with 10 % more of the count, the other counts being equal, takes about 7 % longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np

from bench.analyse.stats.estimators import Floats
from bench.spec.interval import Interval, t_quantile

EXACT = 1e-10  # 1 - R2 of a predictor on others, below which it is a combination of them


@dataclass(frozen=True, slots=True)
class Regression:
    """A fit. `elasticities` by predictor, half-widths infinite where one row alone decides. R2 of a constant y is NaN.

    `shapley`: shares of R2, which sum to it; `alone`: the R2 of each predictor by itself.
    """

    elasticities: Mapping[str, Interval]
    r2: float
    alone: Mapping[str, float]
    shapley: Mapping[str, float]
    vif: Mapping[str, float]
    condition: float


def regress(x: Mapping[str, Floats], y: Floats, confidence: float = 0.95) -> Regression:
    """Least squares of y on the predictors and a constant; needs more rows than predictors + 1, none redundant.

    The intervals are robust ones (HC3: MacKinnon & White 1985, J. Econometrics 29:305), with Student's t of n - k - 1
    degrees of freedom: short times scatter more than long ones in logarithms, and a power law is only near the truth,
    so residuals do not spread alike; and HC3 is the variant that holds in small tables (Long & Ervin 2000, Am. Stat.
    54:217).
    """
    r2 = subset_r2(x, y)
    return Regression(
        elasticities=_elasticities(x, y, confidence),
        r2=r2[frozenset(x)],
        alone={name: r2[frozenset([name])] for name in x},
        shapley=shapley(r2, list(x)),
        vif=inflation(x),
        condition=condition(x),
    )


def _elasticities(x: Mapping[str, Floats], y: Floats, confidence: float) -> dict[str, Interval]:
    n, k = y.size, len(x)
    q, r = np.linalg.qr(np.column_stack([np.ones(n), *(v - v.mean() for v in x.values())]))
    back = np.linalg.inv(r)
    centred = y - y.mean()
    slopes = back @ (q.T @ centred)
    leverage = np.sum(q**2, axis=1)
    if leverage.max() > 1 - 1e-9:
        half = np.full(k + 1, math.inf)
    else:
        residuals = (centred - q @ (q.T @ centred)) / (1 - leverage)
        spread = back @ (q.T * residuals**2) @ q @ back.T
        half = t_quantile(0.5 + confidence / 2, n - k - 1) * np.sqrt(np.diag(spread))
    return {name: Interval(float(slopes[i]), float(half[i]), n) for i, name in enumerate(x, 1)}


def subset_r2(x: Mapping[str, Floats], y: Floats) -> dict[frozenset[str], float]:
    """R2 of every subset of the predictors, the empty one among them; NaN where y does not vary."""
    centred = y - y.mean()
    total = float(centred @ centred)
    return {
        frozenset(names): _r2([x[name] for name in names], centred) if total > 0 else math.nan
        for size in range(len(x) + 1)
        for names in combinations(x, size)
    }


def _r2(columns: Sequence[Floats], centred: Floats) -> float:
    if not columns:
        return 0.0
    q, _ = np.linalg.qr(np.column_stack([_standard(c) for c in columns]))
    explained = q.T @ centred
    return min(1.0, float(explained @ explained / (centred @ centred)))


def shapley(worth: Mapping[frozenset[str], float], names: Sequence[str]) -> dict[str, float]:
    """Each name's share of the worth of all: what it adds, averaged over the orders of adding them.

    Exact; for R2 these are the shares of Lindeman, Merenda & Gold (1980), of which Owen & Prieur
    (2017, SIAM/ASA J. Uncertainty Quantification 5:986) show that they stay sound where predictors depend on each
    other.
    """
    orders = list(permutations(names))
    shares = dict.fromkeys(names, 0.0)
    for order in orders:
        for i, name in enumerate(order):
            shares[name] += (worth[frozenset(order[: i + 1])] - worth[frozenset(order[:i])]) / len(orders)
    return shares


def inflation(x: Mapping[str, Floats]) -> dict[str, float]:
    """Variance inflation factors: 1 / (1 - R2 of a predictor on the others), 1 for an uncorrelated one.

    The diagonal of the inverse of the correlation matrix (Marquardt 1970, Technometrics 12:591).
    """
    inverse = np.linalg.inv(_correlations(x))
    return {name: float(inverse[i, i]) for i, name in enumerate(x)}


def condition(x: Mapping[str, Floats]) -> float:
    """Condition number of the standardised predictors: 1 where they are uncorrelated, whatever their units."""
    values = np.linalg.eigvalsh(_correlations(x))
    return math.sqrt(values[-1] / max(values[0], 1e-300))


def redundant(x: Mapping[str, Floats]) -> dict[str, tuple[str, ...]]:
    """Predictors that are a linear combination of ones before them, and the names of those.

    In logarithms that is a product of powers: with copies stacked, activations are MACs times a constant.
    """
    kept: dict[str, Floats] = {}
    made_of: dict[str, tuple[str, ...]] = {}
    for name, values in x.items():
        column = _standard(values)
        subsets = (some for size in range(1, len(kept) + 1) for some in combinations(kept, size))
        parts = next((some for some in subsets if 1 - _r2([kept[s] for s in some], column) < EXACT), None)
        if parts is None:
            kept[name] = column
        else:
            made_of[name] = parts
    return made_of


def _standard(values: Floats) -> Floats:
    centred = values - values.mean()
    return np.asarray(centred / np.linalg.norm(centred), dtype=np.float64)


def _correlations(x: Mapping[str, Floats]) -> Floats:
    columns = np.column_stack([_standard(v) for v in x.values()])
    return np.asarray(columns.T @ columns, dtype=np.float64)


def two_costs(one: Floats, other: Floats, times: Floats) -> tuple[Floats, Floats]:
    """Seconds for each unit of two counts, neither below 0: time = a x one + b x other, by least squares of relative errors.

    `times` of the points, or a row of them for each resample; then the costs are those of each row. Of
    counts that are multiples of each other only the first has a cost.
    """
    x, y = one / times, other / times
    along = (x * y).sum(axis=-1) / (x * x).sum(axis=-1)
    beside = y - along[..., None] * x  # what of y is no multiple of x, so that no digits cancel
    apart = (beside * beside).sum(axis=-1)
    known = apart > 1e-24 * (y * y).sum(axis=-1)  # not so where one point is all that counts
    b = np.where(known, np.maximum(beside.sum(axis=-1), 0.0) / np.where(known, apart, 1.0), 0.0)
    a = x.sum(axis=-1) / (x * x).sum(axis=-1) - b * along
    return np.maximum(a, 0.0), np.where(a < 0, y.sum(axis=-1) / (y * y).sum(axis=-1), b)
