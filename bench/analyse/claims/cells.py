"""The rows that claims are judged on: one or several runs, made alike, grouped by condition; which conditions confirm.

A cell is a pair of a separable block or network and its standard twin. Claims are judged condition by condition. Runs
of one machine and torch share their conditions.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bench.analyse.drivers.limits import Limit
from bench.analyse.runs import noise_floor
from bench.analyse.runs.condition import Condition, Installation
from bench.analyse.runs.noise_floor import RunEffect, effects
from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import USUAL, Record, grouped, log_by_process, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import CONFIDENCE
from bench.analyse.sweeps import designed
from bench.analyse.sweeps.designed import Sweep
from bench.spec.columns import PREDICTED, SPEEDUP, TIME, WITH_NUMBERS
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError
from bench.spec.interval import LEAST_FOR_INTERVAL, Interval

T = TypeVar("T")

BLOCKS, NETWORKS = "blocks", "networks"
TWINS = {BLOCKS: ("separable", "standard"), NETWORKS: ("mobilenet_v1", "mobilenet_v1_standard")}
"""The pairs that claims are about, with the same finish: separable(no norm) has its twin in standard(no norm)."""

WORKLOAD = "block baseline c_in c_out height width kernel stride padding dilation depth".split()


@dataclass(frozen=True, slots=True)
class Cell:
    """A pair: ln(speedup) with its interval at CONFIDENCE over processes, infinite of fewer than three.

    Of a predicted pair the interval is the model's error.
    """

    condition: Condition
    contest: str  # of TWINS
    row: Record
    log: Interval
    by_process: Mapping[Hashable, float]  # ln(speedup) in each; empty where the row does not say
    noisy: bool

    @property
    def processes(self) -> int:
        return len(self.by_process) or self.log.n

    @property
    def workload(self) -> tuple[Any, ...]:
        """What is computed, apart from the condition."""
        return tuple(self.row[name] for name in WORKLOAD)

    @property
    def known(self) -> bool:
        """Whether it has an interval, of several processes or of the model's error. Only such cells decide."""
        return math.isfinite(self.log.half_width)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of all runs. `arms` and `sweeps` by condition; `index`: an arm by condition, run, trial and block."""

    pairs: Sequence[tuple[Condition, Record]]
    cells: Sequence[Cell]
    arms: Mapping[Condition, Sequence[Record]]
    sweeps: Mapping[Condition, Sequence[Sweep]]
    index: Mapping[tuple[Any, ...], Record]
    between: Mapping[Any, RunEffect] = field(default_factory=dict)  # by origin: what its runs differ by
    limits: dict[Condition, Limit] = field(default_factory=dict)  # by condition, as far as they were asked for

    def twins(self, condition: Condition, row: Record) -> tuple[Record, Record] | None:
        """The two arms of a pair, the baseline first; None where measurements.csv lacks one."""
        base, thin = (self.index.get((condition, row["run_id"], row["trial_id"], row[name])) for name in ("baseline", "block"))  # fmt: skip
        return None if base is None or thin is None else (base, thin)


def gather(runs: Sequence[Run], predicted: bool = False) -> Rows:
    """The measured rows of the runs, sorted; with `predicted` also predicted rows. UserError for a run given twice."""
    _distinct(runs)
    pairs: list[tuple[Condition, Record]] = []
    arms: list[tuple[Condition, Record]] = []
    sweeps: list[tuple[Condition, Sweep]] = []
    for run in (r for r in runs if not noise_floor.against_itself(r)):  # blocks against themselves bear on no claim
        origin, confidence = Installation.of(run), run.timing.confidence
        compared, timed = (_ordered(_kept(frame, predicted)) for frame in (run.pairs, run.measurements))
        pairs += [(Condition.of(row, origin), _rescaled(row, SPEEDUP, confidence)) for row in compared]
        timed = [_rescaled(row, TIME, confidence) for row in timed]
        arms += [(Condition.of(row, origin), row) for row in timed]
        sweeps += [(replace(sweep.condition, origin=origin), sweep) for sweep in designed.find(timed)]
    pairs.sort(key=lambda pair: (pair[0].order(), _id(pair[1])))
    cells = [cell for condition, row in pairs if (cell := _cell(condition, row)) is not None]
    index = {(condition, r["run_id"], r["trial_id"], r["block"]): r for condition, r in arms}
    return Rows(pairs, cells, per_condition(arms), per_condition(sweeps), index, effects(runs))


def per_condition(items: Iterable[tuple[Condition, T]]) -> dict[Condition, list[T]]:
    """The items of each condition, sorted by condition."""
    groups = grouped(items, lambda pair: pair[0])
    return {condition: [item for _, item in groups[condition]] for condition in sorted(groups, key=Condition.order)}


def by_condition(cells: Iterable[Cell]) -> dict[Condition, list[Cell]]:
    """The cells of each condition, sorted by condition."""
    return per_condition((cell.condition, cell) for cell in cells)


def primary(conditions: Iterable[Condition]) -> set[Condition]:
    """The conditions that answers are confirmed on: usual ones with one thread or the most, and the smallest batch.

    Chosen by what was measured, never by the results.
    """
    chosen: set[Condition] = set()
    for group in grouped((c for c in conditions if c.usual), lambda c: (c.origin, c.device, c.device_name)).values():
        most = max(c.threads or 0 for c in group)
        for threads in {c.threads for c in group} & {1, most, None}:
            alike = [c for c in group if c.threads == threads]
            least = min(c.batch or 0 for c in alike)
            chosen |= {c for c in alike if (c.batch or 0) == least}
    return chosen


def contest_of(row: Record) -> str | None:
    """Which of TWINS a pair is; None for any other pair."""
    (block, made), (baseline, base) = (str(row[name]).partition("(")[::2] for name in ("block", "baseline"))
    return next((c for c, twins in TWINS.items() if (block, baseline) == twins and made == base), None)


def _distinct(runs: Sequence[Run]) -> None:
    seen: dict[Any, Run] = {}
    for run in runs:
        for key in (run.folder.resolve(), (run.run_id, Installation.of(run))):
            if seen.setdefault(key, run) is not run:
                raise UserError(str(run.folder), "this run was given already", "Give each run once.", run.run_id)


def _kept(frame: Any, predicted: bool) -> Any:
    return frame if predicted else frame[[not is_predicted(d) for d in frame["device"]]]


def _ordered(frame: Any) -> list[dict[str, Any]]:
    rows = [{**row, **{name: row[name] if row[name] is not None else usual for name, usual in USUAL.items()}} for row in records_of(frame)]  # fmt: skip
    return sorted(rows, key=_id)


def _id(row: Record) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("run_id", "trial_id", "arm_id"))


def _rescaled(row: dict[str, Any], columns: tuple[str, str, str], confidence: float) -> dict[str, Any]:
    """The row with its interval at CONFIDENCE; without one where it has none or fewer than three measured it."""
    if row["status"] == PREDICTED:
        return row
    mean, low, high = columns
    value, ends, n = row[mean], (row[low], row[high]), row["processes"]
    if value is None or None in ends or n is None or n < LEAST_FOR_INTERVAL or not min(value, *ends) > 0:
        return {**row, low: None, high: None}
    if confidence == CONFIDENCE:
        return row
    log = estimators.at_confidence(estimators.log_interval(row, columns), confidence, CONFIDENCE)
    return {**row, low: math.exp(log.low), high: math.exp(log.high)}


def _cell(condition: Condition, row: Record) -> Cell | None:
    contest = contest_of(row)
    if contest is None or row["status"] not in WITH_NUMBERS or not row["speedup"]:
        return None
    return Cell(condition, contest, row, estimators.log_interval(row, SPEEDUP), log_by_process(row), is_noisy(row))
