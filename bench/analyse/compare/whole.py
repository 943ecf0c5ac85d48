"""The mean of B / A over rows, with the interval over processes, and what two separate runs can differ by.

What a process adds to all of its rows is seen: in each run deviations are summed within a process before they are squared (a
cluster-robust variance, Liang and Zeger 1986, Biometrika 73:13). With the same processes in all rows this is Student's
interval of the processes' own means. Degrees of freedom are Satterthwaite's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from bench.analyse.compare.row_matching import CPU_ONLY, combined, numbers
from bench.analyse.runs.noise_floor import RunEffect
from bench.analyse.runs.rows import by_process
from bench.analyse.stats.estimators import Floats, Ints
from bench.spec.interval import LEAST_FOR_INTERVAL, Interval, t_quantile

ELSEWHERE: dict[str, tuple[float, float]] = {"cpu": (0.0137, 0.0), "accelerator": (0.0115, 0.0969)}
"""The run effect (sd of ln) on speedups and on times in the reference runs: the two-core Xeon's, the H100's."""
ENOUGH_RUNS, ENOUGH_ROWS = 4, 8  # fewer repeats can't say that this machine is quieter than the reference


def apart(effect: RunEffect | None) -> float:
    """ln: what 19 of 20 second runs are slower than the first by at most, by the `effect` of a run; 0 if none is known."""
    if effect is None:
        return 0.0
    few = len(effect.runs) < ENOUGH_RUNS
    factor = NormalDist().inv_cdf(0.95) if few else t_quantile(0.95, len(effect.runs) - 1)
    return factor * math.sqrt(2) * effect.sd


def apart_at_least(effect: RunEffect | None, cpu: bool, times: bool) -> float:
    """The same, and with fewer than ENOUGH_RUNS repeats, or ENOUGH_ROWS rows of them, at least that of the reference runs.

    Of their times, at least what speedups move by.
    """
    if effect is not None and len(effect.runs) >= ENOUGH_RUNS and effect.rows >= ENOUGH_ROWS:
        return apart(effect)
    speedup, time = ELSEWHERE["cpu" if cpu else "accelerator"]
    elsewhere = RunEffect(max(speedup, time) if times else speedup, 0, ())
    return max(apart(effect), apart(elsewhere))


@dataclass(frozen=True, slots=True, eq=False)
class Processes:
    """What processes measured in the rows of one side: ln of the value in each row (down) and process, nan where there is none.

    The rows of one `place` (device and threads) share processes.
    """

    logs: Floats
    place: Ints

    @classmethod
    def of(cls, rows: pd.DataFrame, name: str, at: Ints) -> Processes:
        """Of the rows `at` these places, from a column of texts such as `1:2.04 2:1.98`, from those that `by_process` makes, or none."""
        columns = {str(n): rows[n].to_numpy() for n in rows if str(n).startswith(f"{name} ")}
        columns = columns or (by_process(rows[name], name) if name in rows else {})
        logs = np.empty((len(at), len(columns)))
        for i, values in enumerate(columns.values()):
            logs[:, i] = values[at]
        return cls(np.log(logs, out=logs), combined([numbers(rows[n])[at] for n in ("device", *CPU_ONLY)]))

    @property
    def counts(self) -> Ints:
        """How many processes measured each row."""
        return np.asarray((~np.isnan(self.logs)).sum(axis=1), dtype=np.int64)

    def at(self, rows: Ints) -> Processes:
        """Those of some rows."""
        if len(rows) == len(self.logs):  # all, as rows are named once and in order
            return self
        return Processes(self.logs[rows], self.place[rows])


def mean_over_rows(logs: Floats, sides: Sequence[Processes], confidence: float) -> Interval:
    """The interval of the mean of `logs`, ln(B / A) of each row, over the processes of both runs, two or more in each row."""
    known, mean = [_errors(side) for side in sides], float(logs.mean())
    variances, freedom = (np.concatenate(both) for both in zip(*known, strict=True))
    total = float(variances.sum())
    df = max(1, math.floor(total**2 / float((variances**2 / freedom).sum()) + 1e-9)) if total else LEAST_FOR_INTERVAL
    return Interval(mean, t_quantile(0.5 + confidence / 2, df) * math.sqrt(total), df + 1)


def _errors(side: Processes) -> tuple[Floats, Ints]:
    """The variance of the mean over rows that each place adds, and its degrees of freedom."""
    counts, rows = side.counts, len(side.place)
    mean, scale = np.nansum(side.logs, axis=1) / counts, 1 / np.sqrt(counts * (counts - 1)) / rows
    places = int(side.place.max()) + 1
    variance, processes = np.zeros(places), np.zeros(places, dtype=np.int64)
    for logs in side.logs.T:
        known = np.flatnonzero(~np.isnan(logs))
        place = side.place[known]
        variance += np.bincount(place, (logs[known] - mean[known]) * scale[known], minlength=places) ** 2
        processes += np.bincount(place, minlength=places) > 0
    return variance[processes > 1], processes[processes > 1] - 1
