"""Explain the times of a table, group by group: elasticities of MACs, activations and layers, and the additive model.

Association, not cause: networks that differ in MACs mostly differ in layers and activations too. Sweeps that hold one
of them fixed separate their effects; in a table without such sweeps the collinearity shows that it can't
(docs/DRIVERS.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analyse.drivers import additive_model
from bench.analyse.drivers.additive_model import CONSTANT, HIGH_VIF, RESAMPLES, Additive, Share
from bench.analyse.drivers.limits import UNKNOWN, Limit, limit_of
from bench.analyse.drivers.observations import COUNTS, LABELS, PREDICTORS, Observation, Observations
from bench.analyse.runs.rows import grouped
from bench.analyse.stats.estimators import CONFIDENCE, Floats
from bench.analyse.stats.regression import Regression, redundant, regress
from bench.spec.format import listed, plural, times

GROUPED = ("source", "device", "dtype", "layout", "mode", "pass")
COUNT_WORDS = {
    "macs": "MACs",
    "activations": "activations",
    "conv_layers": "layers",
    "ops": "ops",
    CONSTANT: "a constant",
}
MOST_OUTLIERS = 3  # that are named
LEAST_KNOWN = 0.5  # of a group's rows: a count that fewer rows have is left out (unless it was asked for)


@dataclass(frozen=True, slots=True)
class Group:
    """The rows that share source, device, dtype, layout, mode and pass: `counts` and `time_s` of the `n` usable rows.

    `fewer` rows lack a count that the others have. `left_out`: by count, why the regression has it not. `not_fitted`:
    why a model is None. `outliers`: the first rows far from the additive model, by name. `batches`: the least and most images or items of a
    row, if rows differ in them.
    """

    labels: Mapping[str, str]
    n: int
    fewer: int
    counts: Mapping[str, Floats]
    time_s: Floats
    left_out: Mapping[str, str]
    regression: Regression | None
    spearman: Mapping[str, float]
    additive: Additive | None
    not_fitted: str
    limit: Limit
    outliers: tuple[str, ...]
    batches: tuple[float, ...]

    @property
    def predictors(self) -> tuple[str, ...]:
        """The counts that time was regressed on."""
        return tuple(self.regression.elasticities) if self.regression else ()

    def warnings(self) -> list[str]:
        """Limits of the fit: counts and rows left out, one row that decides alone, collinear counts, outliers."""
        fit = self.regression
        alone = fit is not None and any(not math.isfinite(e.half_width) for e in fit.elasticities.values())
        sentences = (
            *(f"{COUNT_WORDS[name]}: {why}" for name, why in self.left_out.items()),
            f"{self.fewer} rows lack a count that the others have, and are left out" if self.fewer else "",
            "rows differ in batch ({:g} to {:g}): times and counts are of whole batches".format(*self.batches)
            if self.batches
            else "",
            "one row alone decides an elasticity, so there are no intervals" if alone else "",
            collinear(fit.vif) if fit else "",
            f"outliers (time / model): {', '.join(self.outliers)}" if self.outliers else "",
        )
        return [s for s in sentences if s]

    def to_dict(self) -> dict[str, Any]:
        """For --json: null where there is no number."""
        fit = self.regression
        return {
            **{k: self.labels[k] for k in LABELS},
            "n": self.n,
            "rows_left_out": self.fewer,
            "batches": list(self.batches),
            "predictors": list(self.predictors),
            "left_out": dict(self.left_out),
            "not_fitted": self.not_fitted or None,
            "r2": _plain(fit.r2) if fit else None,
            "elasticity": {k: {"value": e.mean, "ci": [_plain(e.low), _plain(e.high)]} for k, e in fit.elasticities.items()} if fit else {},
            "shapley_r2": {k: _plain(v) for k, v in fit.shapley.items()} if fit else {},
            "r2_alone": {k: _plain(v) for k, v in fit.alone.items()} if fit else {},
            "spearman": {k: _plain(v) for k, v in self.spearman.items()},
            "collinearity": {"vif": dict(fit.vif), "condition_number": fit.condition, "words": collinear(fit.vif)} if fit else None,
            "additive": _additive(self.additive) if self.additive else None,
            "outliers": list(self.outliers),
            "regime": None if self.limit.word == UNKNOWN else self.limit.word,
            "regime_agreement": _plain(self.limit.agreement),
            "regime_why": self.limit.why,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drivers:
    """The explanations of a table's groups, in the order of their labels."""

    place: str
    rows: int
    not_measured: int
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "place": self.place,
            "rows": self.rows,
            "rows_not_measured": self.not_measured,
            "notes": list(self.notes),
            "confidence": CONFIDENCE,
            "groups": [g.to_dict() for g in self.groups],
        }


def explain(observations: Observations) -> Drivers:
    """Group a table's rows and explain the times of each group. The order of the rows has no effect."""
    groups = grouped(observations.rows, lambda row: tuple(row.labels[k] for k in GROUPED))
    explained = tuple(_explain(groups[key], observations.asked) for key in sorted(groups))
    return Drivers(observations.place, len(observations.rows), observations.not_measured, explained, observations.notes)


def limit_at(rows: Sequence[Observation]) -> Limit:
    """What limits the rows, as explain() has it for a group of them, without resampling."""
    usable = _Usable.of(rows, ())
    return limit_of(rows, _additive_model(usable, 0))


@dataclass(frozen=True, slots=True)
class _Usable:
    """The rows with all counts that are used, their names, counts and times, and ln of the counts that vary."""

    names: tuple[str, ...]
    counts: Mapping[str, Floats]
    time_s: Floats
    logs: dict[str, Floats]
    left_out: dict[str, str]

    @classmethod
    def of(cls, rows: Sequence[Observation], asked: Sequence[str]) -> _Usable:
        """Counts that few rows know are left out, unless they are `asked` for; then rows that lack one of the others."""
        known = {c: [r for r in rows if r.counts[c] is not None] for c in COUNTS}
        used = [c for c in COUNTS if (c in asked or len(known[c]) >= LEAST_KNOWN * len(rows)) and known[c]]
        complete = [r for r in rows if all(r.counts[c] is not None for c in used)]
        table = np.array([[*(r.counts[c] for c in used), r.time_s] for r in complete], dtype=np.float64)
        table = table.reshape(len(complete), len(used) + 1)
        order = np.lexsort(table.T)  # so that the order of the rows has no effect
        counts = {c: np.array(table[order, i]) for i, c in enumerate(used)}
        left_out = {c: _unknown(c, len(known[c]), len(rows), used) for c in COUNTS if c not in used}
        logs = {c: np.asarray(np.log(v), dtype=np.float64) for c, v in counts.items() if c in PREDICTORS and _varies(v)}
        for c in PREDICTORS:
            if c in counts and c not in logs and complete:
                left_out[c] = f"constant, {counts[c][0]:,.12g} in every row"
        return cls(tuple(complete[i].name for i in order), counts, np.array(table[order, -1]), logs, left_out)

    @property
    def too_little(self) -> str:
        """Why nothing can be fitted; empty where it can: a fit needs two rows more than it has predictors."""
        n, logs = len(self.names), self.logs
        rows = plural(n, "row")
        if n < 3:
            return f"{rows}: too few for any fit"
        if not logs:
            return "none of MACs, activations and layers varies"
        if n < len(logs) + 2:
            return f"{rows} for {plural(len(logs), 'predictor')} ({listed([COUNT_WORDS[c] for c in logs])}): a fit needs {len(logs) + 2}"
        return ""


def _additive_model(usable: _Usable, resamples: int) -> Additive | str:
    if usable.too_little:
        return usable.too_little
    calls = "ops" if "ops" in usable.counts else "conv_layers"
    summed = {c: usable.counts[c] for c in (calls, "macs", "activations") if c in usable.counts}
    return additive_model.fit(summed, usable.time_s, COUNT_WORDS, resamples)


def _explain(rows: Sequence[Observation], asked: Sequence[str]) -> Group:
    usable = _Usable.of(rows, asked)
    logs, left_out = dict(usable.logs), dict(usable.left_out)
    fit: Regression | None = None
    if not usable.too_little:
        for name, made_of in redundant(logs).items():
            others = listed([COUNT_WORDS[m] for m in made_of])
            left_out[name] = f"a product of powers of {others}: no elasticity of its own"
            del logs[name]
        fit = regress(logs, np.asarray(np.log(usable.time_s), dtype=np.float64), CONFIDENCE)
    ranked = fit is not None and _varies(usable.time_s)  # equal times have no ranks
    ranks = {c: _spearman(v, usable.time_s) if ranked else math.nan for c, v in logs.items()}
    model = _additive_model(usable, RESAMPLES)
    spent = None if isinstance(model, str) else model
    return Group(
        labels={k: " or ".join(sorted({r.labels[k] for r in rows} - {""})) for k in LABELS},  # device_kind may differ
        n=len(usable.names),
        fewer=len(rows) - len(usable.names),
        counts=usable.counts,
        time_s=usable.time_s,
        left_out=left_out,
        regression=fit,
        spearman=ranks if fit else {},
        additive=spent,
        not_fitted=model if isinstance(model, str) else "",
        limit=limit_of(rows, model),
        outliers=_named(usable.names, spent.outliers) if spent else (),
        batches=_span(r.batch for r in rows),
    )


def _span(batches: Iterable[str]) -> tuple[float, ...]:
    """The least and the most of the cells that are numbers, if they differ."""
    numbers = {float(text) for text in batches if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text)}
    return (min(numbers), max(numbers)) if len(numbers) > 1 else ()


def _named(names: Sequence[str], outliers: Mapping[int, float]) -> tuple[str, ...]:
    """The first outliers as `resnet50 2.3x`, and how many more there are."""
    first = [f"{names[i] or 'a row'} {times(math.exp(log))}" for i, log in list(outliers.items())[:MOST_OUTLIERS]]
    more = len(outliers) - len(first)
    return (*first, f"{more} more") if more else tuple(first)


def _unknown(count: str, known: int, rows: int, used: Sequence[str]) -> str:
    word = f"known in {known} of {rows} rows only" if known else "unknown"
    if count == "ops":
        return f"{word}, so layers are used in their place" if "conv_layers" in used else word
    return word if count == "conv_layers" else f"{word}, so their cost is counted with the others"


def _varies(values: Floats) -> bool:
    return bool(values.size and values.min() < values.max())


def collinear(vif: Mapping[str, float]) -> str:
    """The sentence about collinear predictors; empty where none has a variance inflation factor of HIGH_VIF or more."""
    names = [COUNT_WORDS[name] for name, value in vif.items() if value >= HIGH_VIF]
    if not names:
        return ""
    how = "grow together" if len(names) > 1 else "grow with the other counts"
    return f"{listed(names)} {how} (VIF {max(vif.values()):.0f}): their elasticities can't be told apart"


def _additive(model: Additive) -> dict[str, Any]:
    def shares(which: str) -> dict[str, Any]:
        by_term: dict[str, Share] = {"+".join(t.names): getattr(t, which) for t in model.terms}
        return {k: {"value": s.value, "ci": [s.low, s.high]} for k, s in by_term.items()}

    return {
        "seconds_each": {"+".join(t.names): t.seconds_each for t in model.terms},
        "share_median": shares("median"),
        "share_total": shares("total"),
        "r2": _plain(model.r2),
        "relative_error_median": model.off_median,
        "relative_error_rms": model.off_rms,
        "resamples": RESAMPLES,
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _spearman(one: Floats, other: Floats) -> float:
    """The rank correlation, by pandas, which starts faster than scipy.stats."""
    return float(pd.DataFrame({"one": one, "other": other}).corr(method="spearman").to_numpy()[0, 1])
