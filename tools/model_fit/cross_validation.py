"""Cross-validate the fit: errors by table, of times and speedups, with each device and each source left out in turn.

A speedup compares two rows of one group, a network without depthwise convolutions and one with them, or the blocks of
one trial: its error is the difference of theirs. Whole devices and whole sources are left out in turn, and each is predicted
by a fit to all the others of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analyse.stats.estimators import Floats
from bench.spec.model.model_parameters import Parameters, prior
from tools.model_fit import fitting, unfitted_roofline
from tools.model_fit.published_times import Observed

HOST_BOUND = 1.2  # a time within this factor of what the host took for dispatch tells of the host alone
ROOFLINE, FITTED, NO_DEVICE, NO_SOURCE = "roofline", "fitted", "device left out", "source left out"
OTHER = "roofline, tiles the other way"
WAYS = (ROOFLINE, OTHER, FITTED, NO_DEVICE, NO_SOURCE)
COVERED = 0.95  # of errors that a predicted row's interval is to hold


@dataclass(frozen=True, slots=True)
class Spread:
    """Errors of a table in short, of ln(predicted / observed): median size, median, and shares within a factor."""

    n: int
    median: float
    bias: float
    within_1_5: float
    within_2: float
    covered: float

    def to_dict(self) -> dict[str, float]:
        """Rounded to what can be told from so many rows, and so the same on every machine."""
        return {
            name: round(value, 4) if isinstance(value := getattr(self, name), float) else value
            for name in self.__slots__
        }


@dataclass(frozen=True, slots=True)
class Score:
    """A table's errors, ln(predicted / observed), by WAYS: of its times and, where it has pairs, of its speedups."""

    source: str
    table: str
    device: str
    kind: str
    times: Mapping[str, Floats]
    speedups: Mapping[str, Floats]

    def to_dict(self) -> dict[str, object]:
        """In short."""
        return {
            **{name: getattr(self, name) for name in ("source", "table", "device", "kind")},
            "times": {way: spread(found).to_dict() for way, found in self.times.items()},
            "speedups": {way: spread(found).to_dict() for way, found in self.speedups.items()},
        }


def usable(rows: Sequence[Observed]) -> tuple[Observed, ...]:
    """The rows without those that tell of their host alone, by what their source tells of its dispatch."""
    return tuple(r for r in rows if r.time_s > HOST_BOUND * (float(r.extra.get("dispatch_s", 0.0)) + r.copied_s))


def spread(errors: Floats) -> Spread:
    """Of at least one error."""
    size = np.abs(errors)
    return Spread(
        len(errors), float(np.median(size)), float(np.median(errors)), float(np.mean(size <= math.log(1.5))),
        float(np.mean(size <= math.log(2.0))), float(np.quantile(size, COVERED)),
    )  # fmt: skip


def of_speedups(rows: Sequence[Observed], errors: Floats) -> Floats:
    """Errors of ln(speedup): of each baseline of a group less those of its others. Empty where no group has both."""
    found: list[float] = []
    groups: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for row, error in zip(rows, errors, strict=True):
        if row.group:
            sides = groups.setdefault((row.table, row.group), ([], []))
            sides[0 if row.baseline else 1].append(float(error))
    for base, others in groups.values():
        found += [b - o for b in base for o in others]
    return np.array(found)


def ratios(rows: Sequence[Observed], seconds: Floats) -> dict[str, float]:
    """The speedup of each arm of a run that has a baseline, by its arm_id."""
    base = {row.group: s for row, s in zip(rows, seconds.tolist(), strict=True) if row.baseline}
    return {
        str(row.extra["row"]["arm_id"]): base[row.group] / s
        for row, s in zip(rows, seconds.tolist(), strict=True)
        if not row.baseline and row.group in base
    }


PARTS: Mapping[str, Callable[[Observed], str]] = {
    NO_DEVICE: lambda row: row.device.name,
    NO_SOURCE: lambda row: row.source,
}
"""What is left out whole, by way."""
Without = Mapping[str, Mapping[str, Parameters]]
"""By way and part: the fit to all other rows of its kind of device."""


def without(rows: Sequence[Observed]) -> Without:
    """Fits to rows of one kind of device with each part left out; the prior where there is nothing else."""

    def fit(part: Callable[[Observed], str], one: str) -> Parameters:
        others = [row for row in rows if part(row) != one]
        return fitting.fit(fitting.tabulate(others)) if others else prior()

    return {way: {one: fit(part, one) for one in dict.fromkeys(map(part, rows))} for way, part in PARTS.items()}


def rooflines(rows: Sequence[Observed]) -> dict[str, Floats]:
    """Seconds of each row by the unfitted roofline, with its tiles either way."""
    return {ROOFLINE: unfitted_roofline.seconds(rows), OTHER: unfitted_roofline.seconds(rows, "gpu")}


def roofline_errors(rows: Sequence[Observed]) -> dict[str, Floats]:
    """ln(predicted / observed) of each row by the unfitted roofline, either way."""
    observed = np.array([row.time_s for row in rows])
    return {way: np.log(seconds / observed) for way, seconds in rooflines(rows).items()}


def scores(rows: Sequence[Observed], fitted: Parameters, left: Without) -> Iterator[Score]:
    """Every table's score, of rows of one kind of device; `fitted` to all of them."""
    errors = roofline_errors(rows) | {FITTED: fitting.errors(fitting.tabulate(rows), fitted)}
    yield from by_table(rows, errors | {way: left_out(rows, part, left[way]) for way, part in PARTS.items()})


def by_table(rows: Sequence[Observed], errors: Mapping[str, Floats]) -> Iterator[Score]:
    """Scores of rows of one kind of device, one for each table and device in it."""
    labels = [(row.source, row.table, row.device.name, row.device.kind) for row in rows]
    for label in dict.fromkeys(labels):
        here = [i for i, one in enumerate(labels) if one == label]
        times = {way: found[here] for way, found in errors.items()}
        paired = {way: of_speedups([rows[i] for i in here], found[here]) for way, found in errors.items()}
        yield Score(*label, times, {way: found for way, found in paired.items() if len(found)})


def left_out(rows: Sequence[Observed], part: Callable[[Observed], str], fits: Mapping[str, Parameters]) -> Floats:
    """Errors where each part of the rows is predicted by the fit without it."""
    parts = np.array([part(row) for row in rows])
    found = np.zeros(len(rows))
    for one, p in fits.items():
        here = parts == one
        found[here] = fitting.errors(fitting.tabulate([r for r, out in zip(rows, here, strict=True) if out]), p)
    return found


def mean_of_medians(found: Sequence[Score], way: str, speedups: bool = False) -> float:
    """Each table alike: the mean over them of the median size of the errors. NaN where there is none."""
    medians = [float(np.median(np.abs(e))) for e in _errors(found, way, speedups)]
    return float(np.mean(medians)) if medians else math.nan


def pooled_median(found: Sequence[Score], way: str, speedups: bool = False) -> float:
    """The median size of all errors, each row alike; NaN where there is none."""
    errors = _errors(found, way, speedups)
    return float(np.median(np.abs(np.concatenate(errors)))) if errors else math.nan


def covering(tables: Sequence[Floats], share: float = COVERED) -> float:
    """The size that a share of the errors stays below, each table weighing alike; NaN where there is none."""
    full = [np.abs(errors) for errors in tables if len(errors)]
    if not full:
        return math.nan
    sizes, weights = np.concatenate(full), np.concatenate([np.full(len(e), 1 / len(e)) for e in full])
    order = np.argsort(sizes, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    return float(sizes[order][int(np.searchsorted(below, share - 1e-12))])


def _errors(found: Sequence[Score], way: str, speedups: bool) -> list[Floats]:
    return [e for score in found if (e := (score.speedups if speedups else score.times).get(way)) is not None]
