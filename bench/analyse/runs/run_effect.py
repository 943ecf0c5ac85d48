"""By how much does the same row differ from run to run, beyond its interval? Known where a machine measured it twice.

A row's interval speaks of the processes of one run, minutes apart. Two runs differ by more: the hour, the machine's load,
what the memory looks like. That is estimated from rows that two runs or more of one installation measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analyse.runs.condition import Installation
from bench.analyse.runs.noise_floor import is_aa
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run, read_tables
from bench.analyse.stats.estimators import log_interval, standard_error
from bench.spec.columns import KEYS, SPEEDUP, TIME
from bench.spec.errors import UserError

MOST_BESIDE = 8  # earlier runs beside one that are asked
_KEYS = ("device_name", *(k for k in KEYS if k != "experiment"))


@dataclass(frozen=True, slots=True)
class RunEffect:
    """`sd` of ln(speedup), or of ln(time), between runs, beyond the rows' own errors, from `rows` rows of `runs`."""

    sd: float
    rows: int
    runs: tuple[str, ...]


def run_effect(runs: Sequence[Run], times: bool = False) -> RunEffect | None:
    """The effect on speedups, or on `times`, in runs of one installation; None where no row was measured in two of them.

    Of rows that are not noisy: the variance between runs less the mean of the rows' own squared errors, both means over
    rows (Cochran's unweighted estimator; weights by errors of so few processes would be biased).
    """
    columns = TIME if times else SPEEDUP
    once: dict[tuple[object, ...], dict[str, tuple[float, float]]] = {}
    for run in runs:
        for row in records_of(run.measurements if times else run.pairs):
            if row["status"] == "ok" and None not in [row[name] for name in columns] and (row["processes"] or 0) > 1:
                log = log_interval(row, columns)
                of_row = once.setdefault(tuple(row[k] for k in _KEYS), {})
                of_row.setdefault(run.run_id, (log.mean, standard_error(log, run.timing.confidence)))
    repeated = [of_row for of_row in once.values() if len(of_row) > 1]
    if not repeated:
        return None
    excess = [np.var([y for y, _ in of_row.values()], ddof=1) - np.mean([e**2 for _, e in of_row.values()]) for of_row in repeated]  # fmt: skip
    names = dict.fromkeys(name for of_row in repeated for name in of_row)
    return RunEffect(math.sqrt(max(0.0, float(np.mean(excess)))), len(repeated), tuple(names))


def effects(runs: Sequence[Run]) -> dict[Installation, RunEffect]:
    """The effect of each installation of which several runs are among these."""
    groups = grouped((run for run in runs if not is_aa(run)), Installation.of)
    found = {at: run_effect(some) for at, some in groups.items() if len(some) > 1}
    return {at: effect for at, effect in found.items() if effect is not None}


def earlier_beside(run: Run, but: Run) -> list[Run]:
    """Runs of the same installation in the same folder that began before it; none that can't be read, and not `but`."""
    beside = []
    tables = sorted(run.folder.resolve().parent.glob("*/pairs.csv"), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in [p.parent for p in tables if p.parent not in (run.folder.resolve(), but.folder.resolve())]:
        try:
            one = read_tables(folder)
        except UserError:
            continue
        if not is_aa(one) and Installation.of(one) == Installation.of(run) and _began(one) < _began(run):
            beside.append(one)
        if len(beside) == MOST_BESIDE:
            break
    return beside


def _began(run: Run) -> str:
    return str(run.environment.get("started_utc") or "")
