"""A row's verdict, and when it is noisy or less precise than asked: the limits, and the notes of quality_notes.

A row is also noisy where it is faster than its roof allows: see `roofline`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bench.analyse.runs.journal import Samples
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import Ints
from bench.spec.columns import FLAGS, PREDICTED
from bench.spec.config.timing import Timing
from bench.spec.format import change, share
from bench.spec.interval import EQUIVALENCE_MARGIN, LEAST_ROUNDS, Interval, clean_rounds, process_interval, two_groups

DISTURBANCE = 0.05  # ln: most that the spoiled samples may move a speedup
DISAGREEMENT = 0.15  # ln: most that the ratios of minima and of medians may differ from the paired one
DISTURBED_SHARE = 0.25  # of the samples; beyond it a row is noisy
WIDEST = 2.0  # times the asked half-width
MOVED = 0.05  # ln: most that a speedup may move from the first half of a process's rounds to the second
LESS_PRECISE = "less precise than asked"

_FAULTS = next(bit for bit, word in FLAGS.items() if word == "faults")


def is_precise(half_width: float, timing: Timing) -> bool:
    """Whether an interval of ln(speedup) is as narrow as the config asks; infinite where there is none."""
    return half_width <= timing.precision


def is_noisy(row: Mapping[str, Any]) -> bool:
    """Whether a row of measurements.csv or pairs.csv is noisy: its quality_notes say why."""
    return bool(row["status"] == "noisy")


def is_less_precise(row: Mapping[str, Any]) -> bool:
    """Whether a measured row's interval is wider than the config asks, or there is none."""
    return row["status"] != PREDICTED and not row["precision_reached"]


@dataclass(frozen=True, slots=True)
class Contrast:
    """An arm against its baseline, in ln(speedup): round by round, by other estimators, why it is noisy, other notes."""

    paired: Interval
    by_process: tuple[float, ...]  # paired, in the order of the processes
    by_estimator: Mapping[str, float]  # minima, medians
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


def contrast(baseline: Sequence[Samples], other: Sequence[Samples], timing: Timing) -> Contrast:
    """Compare two arms that the same processes measured."""
    both = list(zip(baseline, other, strict=True))
    times = [b.time_s for b in baseline], [o.time_s for o in other]
    values = tuple(estimators.paired(b.time_s, o.time_s, (b.flags, o.flags)) for b, o in both)
    paired = process_interval(values, timing.confidence)
    by_estimator = {
        name: estimators.log_speedup(*times, timing.confidence, estimators.ratio_of(estimator)).mean
        for name, estimator in (("minima", estimators.minimum), ("medians", estimators.median))
    }
    with_spoiled = estimators.log_speedup(*times).mean
    clean = [len(clean_rounds(b.flags.tolist(), o.flags.tolist())) for b, o in both]
    unclean = sum(n < min(LEAST_ROUNDS, b.time_s.size // 2) for n, (b, _) in zip(clean, both, strict=True))
    flags = np.concatenate([arm.flags for arm in (*baseline, *other)])
    reasons = doubts(paired, by_estimator, with_spoiled, unclean, timing.precision)
    reasons += unsettled(estimators.movement(*times)) + disturbed(flags)
    notes = (*parted(paired, by_estimator), *grouped_apart(values))
    return Contrast(paired, values, by_estimator, reasons, notes)


def parted(paired: Interval, by_estimator: Mapping[str, float]) -> tuple[str, ...]:
    """Which estimators differ from the paired speedup by over its interval and EQUIVALENCE_MARGIN, but make no row noisy.

    They do where an arm has a rare fast mode, or jitters far more than the other. All in ln.
    """
    least = max(paired.half_width, EQUIVALENCE_MARGIN)
    differ = {name: other - paired.mean for name, other in by_estimator.items()}
    far = {name: by for name, by in differ.items() if least < abs(by) <= DISAGREEMENT}
    return tuple(f"by {name} the speedup reads {change(by)}" for name, by in far.items())


def grouped_apart(values: Sequence[float]) -> tuple[str, ...]:
    """The note on processes in two groups: `2 of 12 processes read 21 % lower, apart from the others`."""
    groups = two_groups(values)
    if groups is None:
        return ()
    read = "reads" if groups.few == 1 else "read"
    return (f"{groups.few} of {groups.n} processes {read} {change(groups.apart)}, apart from the others",)


def doubts(
    paired: Interval, by_estimator: Mapping[str, float], with_spoiled: float, unclean: int, target: float
) -> tuple[str, ...]:
    """Why a speedup is noisy, a reason each; empty where it is not.

    All in ln: the paired interval, the speedups by other estimators, the speedup with the spoiled samples, and the
    half-width asked for. In `unclean` of the processes too few clean rounds remain to leave the others out. To
    have no interval makes no row noisy.
    """
    notes = []
    if unclean:
        many = f"{unclean} of {paired.n} processes"
        notes.append(f"{many} had fewer than {LEAST_ROUNDS} rounds that nothing disturbed")
    if abs(with_spoiled - paired.mean) > DISTURBANCE:
        notes.append(f"with the disturbed samples the speedup reads {change(with_spoiled - paired.mean)}")
    for name, other in by_estimator.items():
        if abs(other - paired.mean) > DISAGREEMENT:
            notes.append(f"by {name} the speedup reads {change(other - paired.mean)}")
    if math.isfinite(paired.half_width) and paired.half_width > WIDEST * target:
        wide, asked = paired.half_width * 100, target * 100
        notes.append(f"the interval is ±{wide:.0f} %, over {WIDEST:g} times the ±{asked:g} % asked for")
    return tuple(notes)


def unsettled(moved: Interval) -> tuple[str, ...]:
    """The reason of a row whose speedup still moves within its processes: its warm-up was too short."""
    if abs(moved.mean) <= max(MOVED, moved.half_width) or not math.isfinite(moved.half_width):
        return ()
    return (f"it never settles: within a process the speedup reads {change(moved.mean)} in the second half",)


def disturbed(flags: Ints) -> tuple[str, ...]:
    """The reason of a row with too many disturbed samples; its own page faults are no disturbance."""
    part = float(np.mean(flags & ~_FAULTS != 0)) if flags.size else 0.0
    return (f"{share(part)} of its samples were disturbed",) if part > DISTURBED_SHARE else ()


RowVerdict = Literal["faster", "slower", "same", "undecided"]


def row_verdict(interval: Interval, band: float) -> RowVerdict | None:
    """The verdict on an interval of ln(speedup); None where there is none.

    same: the whole interval lies within ±EQUIVALENCE_MARGIN or, if that is wider, the noise band of `bench aa`. faster,
    slower: the interval excludes 0, and its mean lies beyond the band. undecided: none of them.
    """
    if not math.isfinite(interval.half_width):
        return None
    if interval.within(max(EQUIVALENCE_MARGIN, band)):
        return "same"
    if abs(interval.mean) <= max(interval.half_width, band):
        return "undecided"
    return "faster" if interval.mean > 0 else "slower"
