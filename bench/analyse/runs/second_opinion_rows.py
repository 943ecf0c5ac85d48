"""Make the rows of opinions.csv: other tools' times of the arms of a trial that was chosen for second opinions."""

from __future__ import annotations

from bench.analyse.runs.journal import SecondOpinion, TrialResults
from bench.analyse.runs.measured_rows import Row, RunContext
from bench.spec.columns import SCHEMA_VERSION, TOOLS
from bench.spec.plan.plan import Trial


def opinion_rows(trial: Trial, results: TrialResults, context: RunContext) -> list[Row]:
    """A row for each arm and tool, with times or without. A tool's speedup is the ratio of its medians."""
    by_tool = {(o.arm_id, o.tool): o for o in results.opinions}
    base, *_ = trial.arms
    rows: list[Row] = []
    for arm in trial.arms:
        for tool in TOOLS:
            opinion, baseline = by_tool.get((arm.arm_id, tool)), by_tool.get((base.arm_id, tool))
            row: Row = {
                "run_id": context.run_id,
                "trial_id": trial.trial_id,
                "arm_id": arm.arm_id,
                "tool": tool,
                "schema_version": SCHEMA_VERSION,
                "block": arm.choice.label,
                "baseline": base.choice.label,
                **_reading(opinion, results, context),
            }
            if arm is not base and opinion and baseline and opinion.time_median_s and baseline.time_median_s:
                row["speedup"] = baseline.time_median_s / opinion.time_median_s
            rows.append(row)
    return rows


def _reading(opinion: SecondOpinion | None, results: TrialResults, context: RunContext) -> Row:
    """Times, status and detail. A tool that was asked and gave no times is unsupported, one not asked is skipped."""
    if opinion is not None:
        return {
            "status": "unsupported" if opinion.time_median_s is None else "ok",
            **{name: getattr(opinion, name) for name in ("time_min_s", "time_median_s", "time_iqr_s", "detail")},
        }
    if results.opinion_failure is not None:
        return {"status": results.opinion_failure.status, "detail": results.opinion_failure.detail}
    if results.failure is not None:
        return {"status": "skipped", "detail": f"the trial itself failed: {results.failure.status}"}
    return {"status": "skipped", "detail": f"not asked yet: {context.resume}"}
