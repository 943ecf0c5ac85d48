"""Rows of opinions.csv: what other tools say of the arms of a trial that was chosen for second opinions."""

from __future__ import annotations

from bench.analyse.runs.cost_columns import Row
from bench.analyse.runs.journal import History, Opinion
from bench.analyse.runs.measured_rows import Setting
from bench.spec.columns import SCHEMA_VERSION, TOOLS
from bench.spec.plan.plan import Trial


def opinion_rows(trial: Trial, history: History, setting: Setting) -> list[Row]:
    """A row for each arm and tool, whether or not it came to something. A tool's speedup is the ratio of its medians."""
    told = {(o.arm_id, o.tool): o for o in history.opinions}
    base, *_ = trial.arms
    rows: list[Row] = []
    for arm in trial.arms:
        for tool in TOOLS:
            opinion, baseline = told.get((arm.arm_id, tool)), told.get((base.arm_id, tool))
            row: Row = {
                "run_id": setting.run_id,
                "trial_id": trial.trial_id,
                "arm_id": arm.arm_id,
                "tool": tool,
                "schema_version": SCHEMA_VERSION,
                "block": arm.choice.label,
                "baseline": base.choice.label,
                **_reading(opinion, history, setting),
            }
            if arm is not base and opinion and baseline and opinion.time_median_s and baseline.time_median_s:
                row["speedup"] = baseline.time_median_s / opinion.time_median_s
            rows.append(row)
    return rows


def _reading(opinion: Opinion | None, history: History, setting: Setting) -> Row:
    """Times, status and detail. A tool that was asked and gave no times is unsupported, one not asked is skipped."""
    if opinion is not None:
        return {
            "status": "unsupported" if opinion.time_median_s is None else "ok",
            "time_min_s": opinion.time_min_s,
            "time_median_s": opinion.time_median_s,
            "time_iqr_s": opinion.time_iqr_s,
            "detail": opinion.detail,
        }
    if history.unopined is not None:
        return {"status": history.unopined.status, "detail": history.unopined.detail}
    if history.failure is not None:
        return {"status": "skipped", "detail": f"the trial itself failed: {history.failure.status}"}
    return {"status": "skipped", "detail": f"not asked yet: {setting.resume}"}
