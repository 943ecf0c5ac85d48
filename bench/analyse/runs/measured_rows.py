"""Make the rows of measurements.csv (one per arm) and pairs.csv (one per arm against its baseline) of one trial.

The columns that need no clock are a block's exact costs, and its MAC and layer ratios to the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from bench.analyse.runs import roofline
from bench.analyse.runs.journal import INSPECTED, Inspection, Samples, TrialResults
from bench.analyse.runs.row_quality import Contrast, contrast, is_precise, row_verdict
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import Floats
from bench.spec.blocks.costs import Cost, layer_ratio, mac_ratio
from bench.spec.blocks.layers import CONVOLUTIONS
from bench.spec.columns import FLAGS, MEASURED, NOT_YET, PARTS, SCHEMA_VERSION
from bench.spec.config.timing import Timing
from bench.spec.errors import UserError, printable
from bench.spec.interval import Interval
from bench.spec.model.model_parameters import Prediction
from bench.spec.plan.plan import Arm, Trial

LONGER = 1.2  # the factor from which on the host's or the device's time is the bound
_OF_COST = ("params", "macs", "flops", "bytes_min", "activations", "layers", "ops")
_OF_TRIAL = ("trial_id", "experiment", "dtype", "layout", "mode", "cudnn_benchmark")


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all rows of a run share; `resume` is the command that measures the missing rows."""

    run_id: str
    timing: Timing
    device_names: Mapping[str, str]
    resume: str
    noise_bands: Mapping[tuple[str, int], float] = field(default_factory=dict)  # by device and threads, in ln
    roofs: Mapping[roofline.Key, roofline.Roof] = field(default_factory=dict)
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # by device


def rows_of(trial: Trial, results: TrialResults, context: RunContext) -> tuple[list[Row], list[Row]]:
    """The trial's rows for measurements.csv (all arms) and pairs.csv (all but the baseline), measured or not."""
    base, *others = trial.arms
    contrasts: dict[str, Contrast] = {}
    if results.visits:
        before = results.samples(base.arm_id)
        contrasts = {a.arm_id: contrast(before, results.samples(a.arm_id), context.timing) for a in others}
    common = trial_columns(trial, results, context)
    rows = [_arm_row(trial, a, results, contrasts, context.timing) for a in trial.arms]
    pairs = [_pair_row(trial, a, results, contrasts.get(a.arm_id), context) for a in others]
    roof = context.roofs.get((trial.surroundings.device, trial.surroundings.threads, trial.dtype))
    for arm, row in zip(trial.arms, rows, strict=True):
        row.update(roofline.roof_columns(row, trial, arm, roof))
    for row in rows + pairs:
        row.update(common)
        row.update(status_of(trial, results, context, noisy=bool(row.pop("noisy"))))
        notes = row.get("quality_notes"), *_process_notes(results, context, row["status"] in MEASURED)
        row["quality_notes"] = "; ".join(str(n) for n in notes if n) or None
    return rows, pairs


def _process_notes(results: TrialResults, context: RunContext, measured: bool) -> list[str]:
    """In how many processes the machine was red or the warm-up was cut short, and whether processes are still missing."""
    done, least = len(results.visits), context.timing.processes_min
    unsettled = sum(not v.settled for v in results.visits)
    notes = [f"warm-up ended on its bound in {unsettled} of {done} processes"] if unsettled else []
    if red := [v.reds for v in results.visits if v.reds]:
        notes.append(f"run despite red in {len(red)} of {done} processes: {', '.join(dict.fromkeys(sum(red, ())))}")
    notes += [f"{what}: put back after it" for what in dict.fromkeys(w for v in results.visits for w in v.changed)]
    if left := sum(any(arm.shares == {} for arm in v.arms.values()) for v in results.visits):
        notes.append(f"layer times of {left} of {done} processes left out: longer than the call or below 0")
    if measured and results.settled is None and done < least:
        notes.append(f"only {done} of at least {least} processes yet: {context.resume}")
    return notes


def status_of(trial: Trial, results: TrialResults, context: RunContext, *, noisy: bool) -> Row:
    """The columns status and status_detail. A trial that failed in one process has failed, whatever others measured."""
    failure, done = results.failure, len(results.visits)
    if trial.skip is not None:
        return {"status": "skipped", "status_detail": trial.skip}
    if failure is not None:
        where = "in the inspection" if failure.replicate is None else f"in process {failure.replicate}"
        measured = f"{done} process{'es' if done != 1 else ''} measured"
        return {"status": failure.status, "status_detail": f"{failure.detail} {where}; {measured}"}
    if not done:
        return {"status": "skipped", "status_detail": f"{NOT_YET}: {context.resume}"}
    if noisy:
        return {"status": "noisy", "status_detail": "see quality_notes"}
    return {"status": "ok", "status_detail": None}


def trial_columns(trial: Trial, results: TrialResults, context: RunContext) -> Row:
    """What all rows of a trial share."""
    place = trial.surroundings
    return {
        **trial.shape_fields(),
        "run_id": context.run_id,
        "schema_version": SCHEMA_VERSION,
        **{name: getattr(trial, name) for name in _OF_TRIAL},
        **{name: getattr(place, name) for name in ("threads", "allocator", "waiting", "device")},
        "baseline": trial.arms[0].choice.label,
        "pass": trial.pass_,
        "device_name": context.device_names.get(place.device) or None,
        "processes": len(results.visits),
        "machine": printable(results.machine or "") or None,
    }


def _arm_row(trial: Trial, arm: Arm, results: TrialResults, contrasts: Mapping[str, Contrast], timing: Timing) -> Row:
    inspection, samples = results.inspection(arm.arm_id), results.samples(arm.arm_id)
    cards = [v.card[-1] for v in results.visits if v.card]
    row: Row = {"arm_id": arm.arm_id, "block": arm.choice.label, "side": arm.choice.side or None, "noisy": False}
    row |= theory_columns(trial, arm, results)
    row |= {name: getattr(inspection, name) for name in INSPECTED} | {"backends": " ".join(inspection.backends) or None}
    if not samples:
        return row
    times = _time_columns(samples, timing)
    row |= _card_columns(cards) | times | device_columns(samples) | _counter_columns(samples)
    row |= {"time_by_process": _by_process(results, [math.log(estimators.median(t.time_s)) for t in samples])}
    row |= part_columns(samples, cast(float, times["time_median_s"]))
    if trial.mode == "compile":
        row |= {"compile_time_s": inspection.compile_s}
    row |= achieved_columns(row, cast(float, times["time_min_s"]))
    # An arm is judged by its own comparison, the baseline by the worst of its comparisons.
    compared = [contrasts[arm.arm_id]] if arm.arm_id in contrasts else list(contrasts.values())
    widths = [c.paired.half_width for c in compared]
    widths = widths or [estimators.log_time([t.time_s for t in samples], timing.confidence).half_width]
    doubts = dict.fromkeys(d for c in compared for d in c.doubts)
    said = dict.fromkeys(n for c in compared for n in c.notes)
    return row | {
        "precision_reached": is_precise(max(widths), timing),
        "noisy": bool(doubts),
        "quality_notes": _notes((*doubts, *said, *_accelerator_notes(inspection, cards)), samples),
    }


def _accelerator_notes(inspection: Inspection, cards: Sequence[Mapping[str, Any]]) -> list[str]:
    """Launch counts that differ between profiler and graph, and other programs on the accelerator."""
    notes = []
    counted, captured = inspection.launches, inspection.launches_graph
    if None not in (counted, captured) and counted != captured:
        notes.append(f"the profiler counts {counted} launches, the captured graph {captured}")
    if any((c.get("processes_on_card") or 0) > 1 for c in cards):
        notes.append("other programs ran on the card")
    return notes


def achieved_columns(row: Row, time_min_s: float) -> Row:
    """Rates by the shortest time, of an arm whose costs are known."""
    if "flops" not in row:
        return {}
    rates = {"achieved_flop_per_s": "flops", "achieved_bytes_per_s": "bytes_min"}
    return {column: cast(int, row[count]) / time_min_s for column, count in rates.items()}


def speedup_columns(log: Interval, band: float) -> Row:
    """The speedup with its interval, its half-width in ln and its verdict, from an interval of ln(speedup)."""
    known = math.isfinite(log.half_width)
    return {
        "speedup": math.exp(log.mean),
        "speedup_ci_low": math.exp(log.low) if known else None,
        "speedup_ci_high": math.exp(log.high) if known else None,
        "precision": log.half_width if known else None,
        "verdict": row_verdict(log, band),
    }


def _time_columns(samples: Sequence[Samples], timing: Timing) -> Row:
    times = [t.time_s for t in samples]
    middle = estimators.log_time(times, timing.confidence, estimators.median)
    pooled = np.concatenate(times)
    several = math.isfinite(middle.half_width)
    low, high = np.quantile(pooled, (0.1, 0.9)).tolist()
    return {
        "time_median_s": math.exp(middle.mean),
        "time_ci_low_s": math.exp(middle.low) if several else None,
        "time_ci_high_s": math.exp(middle.high) if several else None,
        "time_min_s": math.exp(estimators.log_time(times).mean),
        "time_p10_s": low,
        "time_p90_s": high,
        "samples": int(pooled.size),
        "evaluations_per_sample": round(float(np.median([t.evaluations for t in samples]))),
    }


def device_columns(samples: Sequence[Samples]) -> Row:
    """The device's times and the host's times to submit, where every process has them; and which is longer."""

    def middle(series: Sequence[Floats | None]) -> float | None:
        known = [s for s in series if s is not None]
        if not known or len(known) < len(samples):
            return None
        return math.exp(estimators.log_time(known, estimator=estimators.median).mean)

    device, enqueue = middle([t.device_s for t in samples]), middle([t.enqueue_s for t in samples])
    proven = [t.device_proven for t in samples]
    return {
        "device_time_median_s": device,
        "device_time_cold_median_s": middle([t.device_cold_s for t in samples]),
        "device_time_proven": None if device is None else all(proven),
        "enqueue_time_median_s": enqueue,
        "bound": None if device is None or enqueue is None else bound(enqueue, device),
    }


def part_columns(samples: Sequence[Samples], time_s: float) -> Row:
    """Where `time_s` goes: the parts' median shares over sound walks, and the gaps. Empty unless at least half are sound."""
    shares = [t.shares for t in samples if t.shares]
    if any(t.shares is None for t in samples) or 2 * len(shares) < len(samples):
        return {}
    middle = {part: float(np.median([of[part] for of in shares])) for part in PARTS}
    whole = sum(middle.values())
    spent = {f"time_in_{part}_s": share * time_s / max(1.0, whole) for part, share in middle.items()}
    sound = [t.leaves for t in samples if t.shares]
    each = {name: float(np.median([of.get(name, 0.0) for of in sound])) * time_s / max(1.0, whole) for name in sound[0]}
    named = " ".join(f"{name}:{seconds:.4g}" for name, seconds in each.items()) or None
    gaps = max(0.0, time_s - sum(spent.values())) if whole < 1 else 0.0
    return {**spent, "time_in_gaps_s": gaps, "time_by_module": named}


def device_speedup(base: Sequence[Samples], other: Sequence[Samples]) -> float | None:
    """Time of the baseline / time of the block on the device's clock; None where either may include the host's time."""
    one, two = device_columns(base), device_columns(other)
    if not (one["device_time_proven"] and two["device_time_proven"]):
        return None
    return float(one["device_time_median_s"]) / float(two["device_time_median_s"])  # type: ignore[arg-type]


def _card_columns(cards: Sequence[Mapping[str, Any]]) -> Row:
    """The accelerator's clock, temperature and power after the rounds, medians over processes."""
    columns = {"card_clock_hz": "sm_clock_hz", "card_temperature_c": "temperature_c", "card_power_w": "power_w"}
    row: Row = {}
    for column, reading in columns.items():
        known = [float(c[reading]) for c in cards if c.get(reading) is not None]
        row[column] = float(np.median(known)) if known else None
    return row


def bound(enqueue_s: float, device_s: float) -> str:
    """launch-bound where submitting takes over LONGER times as long as the work, device-bound the other way round."""
    if enqueue_s > LONGER * device_s:
        return "launch-bound"
    return "device-bound" if device_s > LONGER * enqueue_s else "balanced"


def _counter_columns(samples: Sequence[Samples]) -> Row:
    def total(name: str) -> int | None:
        counts = [t.counters.get(name) for t in samples]
        return None if any(c is None for c in counts) else sum(int(c) for c in counts if c is not None)

    evaluations = sum(t.time_s.size * t.evaluations for t in samples)
    timed = sum(float(t.time_s.sum()) * t.evaluations for t in samples)
    wait, faults = total("run_queue_wait_ns"), total("minor_faults")
    return {
        "flagged_share": _flagged_share(samples),
        "run_queue_wait_share": None if wait is None else wait / 1e9 / timed,
        "involuntary_switches": total("involuntary_switches"),
        "minor_faults_per_evaluation": None if faults is None else faults / evaluations,
    }


def _pair_row(trial: Trial, arm: Arm, results: TrialResults, compared: Contrast | None, context: RunContext) -> Row:
    timing, band = context.timing, context.noise_bands.get((trial.surroundings.device, trial.surroundings.threads))
    row: Row = {"arm_id": arm.arm_id, "block": arm.choice.label, "side": arm.choice.side or None, "noisy": False}
    row |= {"precision_target": timing.precision}
    mine, base = (cost_of(trial, a, results) for a in (arm, trial.arms[0]))
    row |= ratio_columns(trial, arm, results)
    if compared is None:
        return row
    base_samples, arm_samples = results.samples(trial.arms[0].arm_id), results.samples(arm.arm_id)
    both = [*base_samples, *arm_samples]
    speedup = math.exp(compared.paired.mean)
    return row | {
        **speedup_columns(compared.paired, band or 0.0),
        "noise_band": band,
        "speedup_of_minima": math.exp(compared.by_estimator["minima"]),
        "speedup_of_medians": math.exp(compared.by_estimator["medians"]),
        "speedup_by_process": _by_process(results, compared.by_process),
        "device_speedup": device_speedup(base_samples, arm_samples),
        "delivered_share": speedup * mine.macs / base.macs if mine and base and mac_ratio(base, mine) else None,
        "rounds": sum(t.time_s.size // 2 for t in arm_samples),
        "precision_reached": is_precise(compared.paired.half_width, timing),
        "flagged_share": _flagged_share(both),
        "noisy": bool(compared.doubts),
        "quality_notes": _notes(compared.doubts + compared.notes, both),
    }


def _by_process(results: TrialResults, logs: Sequence[float]) -> str:
    """A value in each process, of its logarithm: `1:2.04 2:1.98`."""
    return " ".join(f"{v.replicate}:{math.exp(log):.7g}" for v, log in zip(results.visits, logs, strict=True))


def _flagged_share(samples: Sequence[Samples]) -> float:
    return float(np.mean(np.concatenate([t.flags for t in samples]) != 0))


def _notes(doubts: tuple[str, ...], samples: Sequence[Samples]) -> str | None:
    """Why the row is noisy, then each disturbance of at least 1 % of the samples."""
    flags = np.concatenate([t.flags for t in samples])
    shares = {word: float(np.mean(flags & bit != 0)) for bit, word in FLAGS.items()} if flags.any() else {}
    disturbed = [f"{word} in {share * 100:.0f} % of samples" for word, share in shares.items() if share >= 0.01]
    return "; ".join([*doubts, *disturbed]) or None


Row = dict[str, object]


def cost_of(trial: Trial, arm: Arm, results: TrialResults) -> Cost | None:
    """The arm's cost by formula, or of a user's own block as the inspection counted it; None where there is neither."""
    if arm.choice.factory is not None:
        seen = results.inspection(arm.arm_id)
        return None if seen.counted is None or seen.unknown else Cost.counted(seen.counted)
    try:
        return trial.cost(arm)
    except UserError:
        return None


def _groups(trial: Trial, arm: Arm) -> int | None:
    """The groups of the block's first convolution; None for a network or a user's own, and where there is none."""
    if trial.network or arm.choice.factory is not None:
        return None
    return next((layer.groups for layer in trial.block(arm).layers if layer.op in CONVOLUTIONS), None)


def theory_columns(trial: Trial, arm: Arm, results: TrialResults) -> Row:
    """An arm's costs by the columns of measurements.csv; of a user's block those that an inspection counted."""
    theory, seen = cost_of(trial, arm, results), results.inspection(arm.arm_id)
    if theory is None:
        return {**(seen.counted or {}), "cost_source": seen.unknown and f"unknown: no formula for {seen.unknown}"}
    return {
        "groups": _groups(trial, arm),
        **{name: getattr(theory, name) for name in _OF_COST},
        "intensity_flop_per_byte": theory.intensity,
        "memory_theory_bytes": theory.memory_bytes if theory.detail else None,
        "cost_source": "counted by hooks" if arm.choice.factory is not None else "formula",
    }


def ratio_columns(trial: Trial, arm: Arm, results: TrialResults) -> Row:
    """Columns of pairs.csv: the baseline's MACs / the arm's, and the arm's layers / the baseline's."""
    mine, base = (cost_of(trial, a, results) for a in (arm, trial.arms[0]))
    if mine is None or base is None:
        return {}
    return {"groups": _groups(trial, arm), "mac_ratio": mac_ratio(base, mine), "layer_ratio": layer_ratio(base, mine)}
