"""From one trial's visits to its rows: a row per arm, and a row per arm against the trial's baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from bench.analyse.runs import roofline
from bench.analyse.runs.cost_columns import Row, cost_of, promise_columns, theory_columns
from bench.analyse.runs.journal import History, Inspected, Taken
from bench.analyse.stats import estimators, multiple_testing
from bench.analyse.stats.arrays import Floats
from bench.spec.blocks.costs import mac_ratio
from bench.spec.columns import FLAGS, MEASURED, PARTS, SCHEMA_VERSION
from bench.spec.config.timing import Timing
from bench.spec.interval import LEAST_ROUNDS, Interval, clean_rounds, t_interval
from bench.spec.model.predictions import Prediction
from bench.spec.plan.plan import Arm, Trial

FAULTS = next(bit for bit, word in FLAGS.items() if word == "faults")
LED = 1.2  # one time leads another if it is longer by this factor


@dataclass(frozen=True, slots=True)
class Setting:
    """What all rows of a run share; `resume` is the command that measures what is still missing."""

    run_id: str
    timing: Timing
    device_names: Mapping[str, str]
    resume: str
    noise_bands: Mapping[tuple[str, int], float] = field(default_factory=dict)  # by device and threads, in ln
    roofs: Mapping[roofline.Key, roofline.Roof] = field(default_factory=dict)
    predictions: Mapping[str, Prediction] = field(default_factory=dict)  # by device


@dataclass(frozen=True, slots=True)
class Contrast:
    """An arm against the baseline, in ln(speedup): what decides, the other opinions, and what speaks against it."""

    decided: Interval
    opinions: Mapping[str, float]  # minima, medians
    doubts: tuple[str, ...]


def rows_of(trial: Trial, history: History, setting: Setting) -> tuple[list[Row], list[Row]]:
    """The trial's rows for measurements.csv (all arms) and pairs.csv (all but the baseline), measured or not."""
    taken = {a.arm_id: [v.arms[a.arm_id] for v in history.visits] for a in trial.arms}
    base, *others = trial.arms
    contrasts: dict[str, Contrast] = {}
    if history.visits:
        contrasts = {a.arm_id: contrast(taken[base.arm_id], taken[a.arm_id], setting.timing) for a in others}
    common = trial_columns(trial, history, setting)
    cards = [v.card[-1] for v in history.visits if v.card]
    rows = [_arm_row(trial, a, taken[a.arm_id], contrasts, history.inspected.get(a.arm_id), cards, setting.timing) for a in trial.arms]  # fmt: skip
    band = setting.noise_bands.get((trial.surroundings.device, trial.surroundings.threads))
    pairs = [
        _pair_row(trial, a, taken, contrasts.get(a.arm_id), history.inspected, setting.timing, band) for a in others
    ]
    roof = setting.roofs.get((trial.surroundings.device, trial.surroundings.threads, trial.dtype))
    for arm, row in zip(trial.arms, rows, strict=True):
        row.update(roofline.judged(row, trial, arm, roof))
    for row in rows + pairs:
        row.update(common)
        row.update(status_of(trial, history, setting, noisy=bool(row.pop("noisy"))))
        unsettled = sum(not v.settled for v in history.visits)
        if unsettled:
            note = f"warm-up ended on its bound in {unsettled} of {len(history.visits)} processes"
            row["quality_notes"] = "; ".join(str(n) for n in (row.get("quality_notes"), note) if n)
        if row["status"] in MEASURED and history.settled is None and len(history.visits) < setting.timing.processes_min:
            least = setting.timing.processes_min
            left = f"only {len(history.visits)} of at least {least} processes yet: {setting.resume}"
            row["quality_notes"] = "; ".join(str(n) for n in (row.get("quality_notes"), left) if n)
    return rows, pairs


def contrast(baseline: Sequence[Taken], other: Sequence[Taken], timing: Timing) -> Contrast:
    """Compare two arms that the same processes measured."""
    arms = (baseline, other)
    both = list(zip(baseline, other, strict=True))
    decided = t_interval(
        [estimators.paired(b.time_s, o.time_s, (b.flags, o.flags)) for b, o in both], timing.confidence
    )
    opinions = {
        name: estimators.log_speedup(*_times(arms), timing.confidence, estimators.ratio_of(estimator)).mean
        for name, estimator in (("minima", estimators.minimum), ("medians", estimators.median))
    }
    with_spoiled = estimators.log_speedup(*_times(arms)).mean
    unclean = sum(
        len(clean_rounds(b.flags.tolist(), o.flags.tolist())) < min(LEAST_ROUNDS, b.time_s.size // 2) for b, o in both
    )
    doubts = estimators.doubts(decided, opinions, with_spoiled, unclean, timing.precision)
    flags = np.concatenate([t.flags for arm in arms for t in arm])
    doubts += estimators.restless(estimators.movement(*_times(arms)))
    return Contrast(decided, opinions, doubts + estimators.crowded(flags, FAULTS))


def _times(arms: tuple[Sequence[Taken], Sequence[Taken]]) -> tuple[list[Floats], list[Floats]]:
    return [t.time_s for t in arms[0]], [t.time_s for t in arms[1]]


def status_of(trial: Trial, history: History, setting: Setting, *, noisy: bool) -> Row:
    """Status and why: a failure stands above whatever was measured before it."""
    failure, done = history.failure, len(history.visits)
    if trial.skip is not None:
        return {"status": "skipped", "status_detail": trial.skip}
    if failure is not None:
        where = "in the inspection" if failure.replicate is None else f"in process {failure.replicate}"
        measured = f"{done} process{'es' if done != 1 else ''} measured"
        return {"status": failure.status, "status_detail": f"{failure.detail} {where}; {measured}"}
    if not done:
        return {"status": "skipped", "status_detail": f"not measured yet: {setting.resume}"}
    if noisy:
        return {"status": "noisy", "status_detail": "see quality_notes"}
    return {"status": "ok", "status_detail": None}


def trial_columns(trial: Trial, history: History, setting: Setting) -> Row:
    """What all rows of a trial share."""
    place = trial.surroundings
    return {
        **trial.shape_fields(),
        "run_id": setting.run_id,
        "trial_id": trial.trial_id,
        "experiment": trial.experiment,
        "schema_version": SCHEMA_VERSION,
        "baseline": trial.arms[0].choice.label,
        "dtype": trial.dtype,
        "layout": trial.layout,
        "mode": trial.mode,
        "cudnn_benchmark": trial.cudnn_benchmark,
        "pass": trial.pass_,
        "threads": place.threads,
        "allocator": place.allocator,
        "waiting": place.waiting,
        "device": place.device,
        "device_name": setting.device_names.get(place.device) or None,
        "processes": len(history.visits),
    }


def _arm_row(
    trial: Trial,
    arm: Arm,
    taken: Sequence[Taken],
    contrasts: Mapping[str, Contrast],
    inspected: Inspected | None,
    cards: Sequence[Mapping[str, Any]],
    timing: Timing,
) -> Row:
    row: Row = {"arm_id": arm.arm_id, "block": arm.choice.label, "noisy": False}
    theory = cost_of(trial, arm, inspected)
    row |= theory_columns(trial, arm, inspected)
    if inspected is not None:
        row |= {
            "memory_peak_bytes": inspected.memory_peak_bytes,
            "memory_requested_bytes": inspected.memory_requested_bytes,
            "memory_reserved_bytes": inspected.memory_reserved_bytes,
            "launches": inspected.launches,
            "launches_graph": inspected.launches_graph,
            "backends": " ".join(inspected.backends) or None,
        }
    if not taken:
        return row
    times = _time_columns(taken, timing)
    row |= _card_columns(cards) | times | device_columns(taken) | _counter_columns(taken)
    row |= part_columns(taken, cast(float, times["time_median_s"]))
    if trial.mode == "compile":
        row |= {"compile_time_s": None if inspected is None else inspected.compile_s}
    if theory is not None:
        fastest = math.exp(estimators.log_time([t.time_s for t in taken]).mean)
        row |= {"achieved_flop_per_s": theory.flops / fastest, "achieved_bytes_per_s": theory.bytes_min / fastest}
    # An arm is as good as its own comparison; the baseline, as the worst of those that lean on it.
    own = {arm.arm_id: contrasts[arm.arm_id]} if arm.arm_id in contrasts else contrasts
    if own:
        widths = [c.decided.half_width for c in own.values()]
    else:
        widths = [estimators.log_time([t.time_s for t in taken], timing.confidence).half_width]
    found = dict.fromkeys(d for c in own.values() for d in c.doubts)
    return row | {
        "precision_reached": max(widths) <= timing.precision,
        "noisy": bool(found),
        "quality_notes": _notes((*found, *_odd(inspected, cards)), taken),
    }


def _odd(inspected: Inspected | None, cards: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was seen of an accelerator that should not be."""
    notes = []
    seen, captured = (inspected.launches, inspected.launches_graph) if inspected is not None else (None, None)
    if None not in (seen, captured) and seen != captured:
        notes.append(f"the profiler counts {seen} launches, the captured graph {captured}")
    if any((c.get("processes_on_card") or 0) > 1 for c in cards):
        notes.append("other programs ran on the card")
    return notes


def _time_columns(taken: Sequence[Taken], timing: Timing) -> Row:
    times = [t.time_s for t in taken]
    middle = estimators.log_time(times, timing.confidence, estimators.median)
    pooled = np.concatenate(times)
    several = math.isfinite(middle.half_width)
    return {
        "time_median_s": math.exp(middle.mean),
        "time_ci_low_s": math.exp(middle.low) if several else None,
        "time_ci_high_s": math.exp(middle.high) if several else None,
        "time_min_s": math.exp(estimators.log_time(times).mean),
        "time_p10_s": float(np.quantile(pooled, 0.1)),
        "time_p90_s": float(np.quantile(pooled, 0.9)),
        "samples": int(pooled.size),
        "evaluations_per_sample": round(float(np.median([t.evaluations for t in taken]))),
    }


def device_columns(taken: Sequence[Taken]) -> Row:
    """The device's own times and the host's submission, where every process has them; and what the arm is bound by."""

    def middle(series: Sequence[Floats | None]) -> float | None:
        known = [s for s in series if s is not None]
        if not known or len(known) < len(taken):
            return None
        return math.exp(estimators.log_time(known, estimator=estimators.median).mean)

    own, enqueue = middle([t.device_s for t in taken]), middle([t.enqueue_s for t in taken])
    proven = [t.device_proven for t in taken]
    return {
        "device_time_median_s": own,
        "device_time_cold_median_s": middle([t.device_cold_s for t in taken]),
        "device_time_proven": None if own is None else all(proven),
        "enqueue_time_median_s": enqueue,
        "bound": None if own is None or enqueue is None else bound(enqueue, own),
    }


def part_columns(taken: Sequence[Taken], time_s: float) -> Row:
    """Where an evaluation's time goes: shares, medians over processes, of `time_s`; what they leave is the gaps'."""
    walks = [t.shares for t in taken if t.shares is not None]
    if len(walks) < len(taken):
        return {}
    found = {part: float(np.median([walk[part] for walk in walks])) * time_s for part in PARTS}
    return {**{f"time_in_{part}_s": s for part, s in found.items()}, "time_in_gaps_s": time_s - sum(found.values())}


def device_speedup(base: Sequence[Taken], other: Sequence[Taken]) -> float | None:
    """Time of the baseline / time of the block on the device's own clock; None where the host may be in either."""
    one, two = device_columns(base), device_columns(other)
    if not (one["device_time_proven"] and two["device_time_proven"]):
        return None
    return float(one["device_time_median_s"]) / float(two["device_time_median_s"])  # type: ignore[arg-type]


def _card_columns(cards: Sequence[Mapping[str, Any]]) -> Row:
    """Medians over processes of what the card said after its rounds."""
    columns = {"card_clock_hz": "sm_clock_hz", "card_temperature_c": "temperature_c", "card_power_w": "power_w"}
    row: Row = {}
    for column, reading in columns.items():
        known = [float(c[reading]) for c in cards if c.get(reading) is not None]
        row[column] = float(np.median(known)) if known else None
    return row


def bound(enqueue_s: float, device_s: float) -> str:
    """launch-bound where submitting takes over LED times as long as the work, device-bound the other way round."""
    if enqueue_s > LED * device_s:
        return "launch-bound"
    return "device-bound" if device_s > LED * enqueue_s else "balanced"


def _counter_columns(taken: Sequence[Taken]) -> Row:
    def total(name: str) -> int | None:
        counts = [t.counters.get(name) for t in taken]
        return None if any(c is None for c in counts) else sum(int(c) for c in counts if c is not None)

    evaluations = sum(t.time_s.size * t.evaluations for t in taken)
    timed = sum(float(t.time_s.sum()) * t.evaluations for t in taken)
    wait, faults = total("run_queue_wait_ns"), total("minor_faults")
    return {
        "flagged_share": _flagged_share(taken),
        "run_queue_wait_share": None if wait is None else wait / 1e9 / timed,
        "involuntary_switches": total("involuntary_switches"),
        "minor_faults_per_evaluation": None if faults is None else faults / evaluations,
    }


def _pair_row(
    trial: Trial,
    arm: Arm,
    taken: Mapping[str, Sequence[Taken]],
    found: Contrast | None,
    inspected: Mapping[str, Inspected],
    timing: Timing,
    band: float | None,
) -> Row:
    row: Row = {
        "arm_id": arm.arm_id,
        "block": arm.choice.label,
        "noisy": False,
        "precision_target": timing.precision,
    }
    mine, base = (cost_of(trial, a, inspected.get(a.arm_id)) for a in (arm, trial.arms[0]))
    promise = mac_ratio(base, mine)
    row |= promise_columns(trial, arm, inspected)
    if found is None:
        return row
    against, own = taken[trial.arms[0].arm_id], taken[arm.arm_id]
    both = [*against, *own]
    speedup = math.exp(found.decided.mean)
    several = math.isfinite(found.decided.half_width)
    return row | {
        "speedup": speedup,
        "speedup_ci_low": math.exp(found.decided.low) if several else None,
        "speedup_ci_high": math.exp(found.decided.high) if several else None,
        "verdict": multiple_testing.verdict(found.decided, band or 0.0, timing.confidence),
        "noise_band": band,
        "speedup_of_minima": math.exp(found.opinions["minima"]),
        "speedup_of_medians": math.exp(found.opinions["medians"]),
        "device_speedup": device_speedup(against, own),
        "delivered_share": speedup * mine.macs / base.macs if promise and mine and base else None,
        "rounds": sum(t.time_s.size // 2 for t in own),
        "precision": found.decided.half_width if several else None,
        "precision_reached": found.decided.half_width <= timing.precision,
        "flagged_share": _flagged_share(both),
        "noisy": bool(found.doubts),
        "quality_notes": _notes(found.doubts, both),
    }


def _flagged_share(taken: Sequence[Taken]) -> float:
    return float(np.mean(np.concatenate([t.flags for t in taken]) != 0))


def _notes(doubts: tuple[str, ...], taken: Sequence[Taken]) -> str | None:
    """The doubts, then what disturbed at least 1 % of the samples."""
    flags = np.concatenate([t.flags for t in taken])
    shares = {word: float(np.mean(flags & bit != 0)) for bit, word in FLAGS.items()}
    seen = [f"{word} in {share * 100:.0f} % of samples" for word, share in shares.items() if share >= 0.01]
    return "; ".join([*doubts, *seen]) or None
