"""Make the rows of a predicted trial: the same columns as measured rows, with the model's error for an interval.

The host's speed is assumed, so an interval is widened by the effect of a host as many times slower as the model allows
for.
"""

from __future__ import annotations

import math

from bench.analyse.runs import measured_rows
from bench.analyse.runs.journal import Samples, TrialResults
from bench.analyse.runs.measured_rows import Row, ratio_columns, theory_columns
from bench.analyse.stats import estimators
from bench.spec.columns import PREDICTED
from bench.spec.interval import Interval
from bench.spec.model.model_parameters import OBSERVATIONS
from bench.spec.plan.plan import Trial


def rows_of(trial: Trial, results: TrialResults, context: measured_rows.RunContext) -> tuple[list[Row], list[Row]]:
    """The trial's rows for measurements.csv and pairs.csv: what the model says, within its error.

    Whatever only a measurement has (memory, launches, backends, samples, what disturbed them) is left empty.
    """
    model = context.predictions.get(trial.surroundings.device)
    common = measured_rows.trial_columns(trial, results, context) | {"processes": 0}
    status = measured_rows.status_of(trial, results, context, noisy=False)
    if status["status"] == "ok":
        by = model.model if model else "model"
        status = {"status": PREDICTED, "status_detail": f"by the {by}: nothing was measured"}
    elif status["status"] == "oom" and results.failure is not None:
        status["status_detail"] = results.failure.detail  # in no process, and none measured
    base, *others = trial.arms
    samples = {a.arm_id: v.arms[a.arm_id] for v in results.visits for a in trial.arms}
    error = model.of(trial.pass_ == "training") if model else None
    slower = {arm_id: _slower(one, model.host if model else 1.0) for arm_id, one in samples.items()}
    rows, pairs = [], []
    for arm in trial.arms:
        row: Row = {"arm_id": arm.arm_id, "block": arm.choice.label}
        row |= theory_columns(trial, arm, results)
        if samples:
            row |= _times(samples[arm.arm_id], row, math.exp(error[0] + slower[arm.arm_id]) if error else None)
        rows.append(row | common | status)
    for arm in others:
        row = {"arm_id": arm.arm_id, "block": arm.choice.label}
        row |= ratio_columns(trial, arm, results)
        if samples:
            moved = abs(slower[base.arm_id] - slower[arm.arm_id])
            row |= _speedup(samples[base.arm_id], samples[arm.arm_id], row, error[1] + moved if error else None)
        pairs.append(row | common | status)
    return rows, pairs


def _slower(samples: Samples, host: float) -> float:
    """ln of how many times longer the arm takes on a host `host` times slower; 0 on a CPU, which is its own host."""
    if samples.enqueue_s is None:
        return 0.0
    wall, submitting = (estimators.median(series) for series in (samples.time_s, samples.enqueue_s))
    return max(0.0, math.log(host * submitting / wall))


def _times(samples: Samples, costs: Row, error: float | None) -> Row:
    middle, least = estimators.median(samples.time_s), estimators.minimum(samples.time_s)
    return {
        "time_median_s": middle,
        "time_ci_low_s": middle / error if error else None,
        "time_ci_high_s": middle * error if error else None,
        "time_min_s": least,
        **measured_rows.device_columns([samples]),
        **measured_rows.achieved_columns(costs, least),
    }


def _speedup(base: Samples, other: Samples, ratios: Row, error: float | None) -> Row:
    log = estimators.paired(base.time_s, other.time_s)
    ratio = ratios.get("mac_ratio")
    return {
        **measured_rows.speedup_columns(Interval(log, error or math.inf, OBSERVATIONS if error else 1), 0.0),
        "device_speedup": measured_rows.device_speedup([base], [other]),
        "delivered_share": math.exp(log) / ratio if ratio else None,  # type: ignore[operator]
    }
