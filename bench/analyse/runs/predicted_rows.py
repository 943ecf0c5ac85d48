"""Rows of what was predicted and not measured: the same columns, with the model's error for an interval.

An interval is as much wider as a host would move the value that is as slow as one of which nothing is told may be.
"""

from __future__ import annotations

import math

from bench.analyse.runs.cost_columns import Row, promise_columns, theory_columns
from bench.analyse.runs.journal import History, Taken
from bench.analyse.runs.measured_rows import Setting, device_columns, device_speedup, status_of, trial_columns
from bench.analyse.stats import estimators, multiple_testing
from bench.spec.columns import PREDICTED
from bench.spec.interval import Interval
from bench.spec.model.predictions import OBSERVATIONS
from bench.spec.plan.plan import Trial


def rows_of(trial: Trial, history: History, setting: Setting) -> tuple[list[Row], list[Row]]:
    """The trial's rows for measurements.csv and pairs.csv: what a worker read off its virtual clock, within the model's error.

    Whatever only a measurement has (memory, launches, backends, samples, what disturbed them) is left empty.
    """
    said = setting.predictions.get(trial.surroundings.device)
    common = trial_columns(trial, history, setting) | {"processes": 0}
    status = status_of(trial, history, setting, noisy=False)
    if status["status"] == "ok":
        status = {
            "status": PREDICTED,
            "status_detail": f"by the {said.model if said else 'model'}: nothing was measured",
        }
    elif status["status"] == "oom" and history.failure is not None:
        status["status_detail"] = history.failure.detail  # in no process, and none measured
    base, *others = trial.arms
    taken = {a.arm_id: v.arms[a.arm_id] for v in history.visits for a in trial.arms}
    error = said.of(trial.pass_ == "training") if said else None
    slower = {arm_id: _slower(one, said.host if said else 1.0) for arm_id, one in taken.items()}
    rows, pairs = [], []
    for arm in trial.arms:
        row: Row = {"arm_id": arm.arm_id, "block": arm.choice.label}
        row |= theory_columns(trial, arm, history.inspected.get(arm.arm_id))
        if taken:
            row |= _times(taken[arm.arm_id], row, math.exp(error[0] + slower[arm.arm_id]) if error else None)
        rows.append(row | common | status)
    for arm in others:
        row = {"arm_id": arm.arm_id, "block": arm.choice.label}
        row |= promise_columns(trial, arm, history.inspected)
        if taken:
            moved = abs(slower[base.arm_id] - slower[arm.arm_id])
            row |= _speedup(taken[base.arm_id], taken[arm.arm_id], row, error[1] + moved if error else None)
        pairs.append(row | common | status)
    return rows, pairs


def _slower(taken: Taken, host: float) -> float:
    """ln of how much longer the arm takes on a host so many times slower; 0 on a CPU, which is its own host."""
    if taken.enqueue_s is None:
        return 0.0
    wall, submitting = (estimators.median(series) for series in (taken.time_s, taken.enqueue_s))
    return max(0.0, math.log(host * submitting / wall))


def _times(taken: Taken, theory: Row, error: float | None) -> Row:
    middle, least = estimators.median(taken.time_s), estimators.minimum(taken.time_s)
    row: Row = {
        "time_median_s": middle,
        "time_ci_low_s": middle / error if error else None,
        "time_ci_high_s": middle * error if error else None,
        "time_min_s": least,
        **device_columns([taken]),
    }
    for column, count in (("achieved_flop_per_s", "flops"), ("achieved_bytes_per_s", "bytes_min")):
        row[column] = theory[count] / least if theory.get(count) is not None else None  # type: ignore[operator]
    return row


def _speedup(base: Taken, other: Taken, promise: Row, error: float | None) -> Row:
    log = estimators.paired(base.time_s, other.time_s)
    interval = Interval(log, error or math.inf, OBSERVATIONS if error else 1)
    ratio = promise.get("mac_ratio")
    return {
        "speedup": math.exp(log),
        "speedup_ci_low": math.exp(interval.low) if error else None,
        "speedup_ci_high": math.exp(interval.high) if error else None,
        "device_speedup": device_speedup([base], [other]),
        "verdict": multiple_testing.verdict(interval, 0.0),
        "delivered_share": math.exp(log) / ratio if ratio else None,  # type: ignore[operator]
        "precision": error,
    }
