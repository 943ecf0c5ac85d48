"""Sample the arms of one trial in one process: warm up until times are steady, calibrate, run rounds, stop by a rule.

A round runs over the arms and back, ABBA or BAAB at random, so that drift affects all arms alike; each arm has two
samples a round. After a switch of arm one evaluation is not measured. Arms and clock are injected, so that tests need
neither torch nor waiting.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.measure.disturbance import Counters, Watch, flags_of_machine
from bench.spec.config.timing import Timing
from bench.spec.interval import round_log_ratios, sound, t_interval

if TYPE_CHECKING:  # torch, which the driver of two workers does without
    from bench.measure.device.devices import Device, DeviceTimes

SUBMITTED_AT_ONCE = 4  # evaluations of a call shorter than SHORT_NS: a queue holds a thousand launches
SHORT_NS = 1e6
DEVICE_SIDE_NS = 2e7  # for the readings of an arm's other times, from LEAST_READINGS to READINGS
LEAST_READINGS = 4
READINGS = 10
PATIENCE = 4  # a visit may wait for clean rounds for this many times its seconds
WARM_WINDOW = 6  # samples of an arm in which a trend is looked for
STEADY_DROP = 0.98  # later half's minimum / earlier half's, below which times still fall
STEADY_TREND = 9  # of 15 pairs, falling ones in excess, above which times still fall (Mann-Kendall's S)

Timer = Callable[[int], int]
"""Nanoseconds by the host's clock of so many evaluations of an arm, until their work is done."""


@dataclass(slots=True)
class ArmSamples:
    """One arm's samples in time order, per evaluation, in nanoseconds; samples 2i and 2i + 1 belong to round i."""

    evaluations: int
    warm_up: list[float]
    times: list[float] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    counted: Counters = field(default_factory=Counters)


@dataclass(slots=True)
class Visit:
    """One trial in one process."""

    arms: list[ArmSamples]
    orders: list[str]
    settled: bool
    stop: str
    precision: float
    timed_s: float
    warm_up_s: float


def why_stop(t: Timing, rounds: int, clean: int, elapsed_s: float, widths: Callable[[], float]) -> str | None:
    """When a visit ends: precision, rounds or seconds, the limit that was reached, or None; never significance.

    A visit can't reduce the differences between processes, so its interval of the log ratio must be half as wide as
    the config asks for, and it runs for at least half of its seconds. A disturbed visit waits for `rounds_min` clean
    rounds, for up to PATIENCE times its seconds.
    """
    if rounds >= t.rounds_max:
        return "rounds"
    if rounds < t.rounds_min:
        return None
    if elapsed_s >= t.seconds and (clean >= t.rounds_min or elapsed_s >= PATIENCE * t.seconds):
        return "seconds"
    if elapsed_s < t.seconds / 2 or clean < t.rounds_min:
        return None
    return "precision" if widths() <= t.precision / 2 else None


def sample(timers: Sequence[Timer], timing: Timing, seed: int, clock: Callable[[], int], watch: Watch | None) -> Visit:
    """Measure the arms against the first one until the stopping rule is met."""
    coin = random.Random(seed)
    begun = clock()
    series, settled = warm_up(timers, timing, clock)
    arms = [ArmSamples(_evaluations(s, timing), s) for s in series]
    sampling = clock()
    if watch is not None:
        watch.refresh()
    orders: list[str] = []
    timed = clean = 0
    last = -1
    stop = None
    while stop is None:
        order = list(range(len(arms)))
        coin.shuffle(order)
        order += order[::-1]
        orders.append("".join(chr(ord("A") + i) for i in order))
        machine = watch.machine() if watch else (0, 0, 0)
        for i in order:
            if i != last:
                timers[i](1)
            last = i
            before = watch.read() if watch else Counters()
            wall = timers[i](arms[i].evaluations)
            seen = watch.read().minus(before) if watch else Counters()
            timed += wall
            arms[i].times.append(wall / arms[i].evaluations)
            arms[i].flags.append(seen.flags(wall))
            arms[i].counted = arms[i].counted.plus(seen)
        if watch:
            bits = flags_of_machine(machine, watch.machine())
            for arm in arms:
                arm.flags[-2:] = [flags | bits for flags in arm.flags[-2:]]
        clean += all(sound(arm.flags[-2], arm.flags[-1]) for arm in arms)
        elapsed_s = (clock() - sampling) / 1e9
        stop = why_stop(timing, len(orders), clean, elapsed_s, lambda: half_width(arms, timing.confidence))
    return Visit(
        arms=arms,
        orders=orders,
        settled=settled,
        stop=stop,
        precision=half_width(arms, timing.confidence),
        timed_s=timed / 1e9,
        warm_up_s=(sampling - begun) / 1e9,
    )


def record(visit: Visit, arms: Sequence[str], others: Sequence[dict[str, Any]], changed: list[str]) -> dict[str, Any]:
    """The visit for the journal, with the `others` of each arm (by its arm_id) that were read beside its samples."""
    return {
        "status": "ok",
        "stop": visit.stop,
        "precision": visit.precision if visit.precision < 1e9 else None,
        "rounds": len(visit.orders),
        "orders": visit.orders,
        "warm_up": {
            "settled": visit.settled,
            "samples_ns": {arm: rounded(s.warm_up) for arm, s in zip(arms, visit.arms, strict=True)},
            "wall_s": round(visit.warm_up_s, 6),
        },
        "arms": [
            {
                "arm_id": arm,
                "evaluations_per_sample": s.evaluations,
                "samples_ns": rounded(s.times),
                "flags": s.flags,
                **other,
            }
            for arm, s, other in zip(arms, visit.arms, others, strict=True)
        ],
        "counters": {arm: s.counted._asdict() for arm, s in zip(arms, visit.arms, strict=True)},
        "timed_s": round(visit.timed_s, 6),
        "changed": changed,
    }


def rounded(times: Sequence[float]) -> list[float]:
    """Nanoseconds to a tenth: finer than the clock, and a third of the journal's size."""
    return [round(t, 1) for t in times]


@dataclass(frozen=True, slots=True)
class DeviceSide:
    """An arm's other times on a device with a queue, in ns per evaluation: device times, warm and cold; submission."""

    warm: DeviceTimes | None
    cold: DeviceTimes | None
    submit: list[float]


def device_side(device: Device, calls: Sequence[Callable[[], object]]) -> list[DeviceSide] | None:
    """The other times of each arm, measured after the rounds; None on a device without a queue.

    Long calls, which hardly differ, have fewer readings than READINGS.
    """
    if device.submit(calls[0], 1) is None:
        return None
    walls = [device.time(call, 1) for call in calls]
    readings = [max(LEAST_READINGS, min(READINGS, round(DEVICE_SIDE_NS / wall))) for wall in walls]
    at_once = [SUBMITTED_AT_ONCE if wall < SHORT_NS else 1 for wall in walls]
    submits: list[list[float]] = [[] for _ in calls]
    for i in range(max(readings)):
        for call, number, n, submit in zip(calls, readings, at_once, submits, strict=True):
            took = device.submit(call, n) if i < number else None
            if took is not None:
                submit.append(took / n)
    return [
        DeviceSide(device.device_times(call, number), device.device_times(call, number, cold=True), submit)
        for call, number, submit in zip(calls, readings, submits, strict=True)
    ]


def half_width(arms: Sequence[ArmSamples], confidence: float) -> float:
    """Half-width of the interval of ln(speedup) in this process, the widest of all arms; of ln(time) for a single arm.

    A round counts as in bench.spec.interval.round_log_ratios; of a single arm, by the mean of its two samples.
    """
    first, *others = arms
    if not others:
        logs = [math.log(b + c) for b, c in zip(first.times[0::2], first.times[1::2], strict=True)]
        return t_interval(logs, confidence).half_width
    ratios = [round_log_ratios(first.times, other.times, (first.flags, other.flags)) for other in others]
    return max(t_interval(values, confidence).half_width for values in ratios)


def warm_up(timers: Sequence[Timer], timing: Timing, clock: Callable[[], int]) -> tuple[list[list[float]], bool]:
    """Run the arms in turn until all are steady (True) or for `warmup_seconds` (False). Series in ns per evaluation.

    Each series begins with the arm's very first call, which loads libraries and searches algorithms and does not count
    against the limit.
    """
    series: list[list[float]] = [[float(timer(1))] for timer in timers]
    end = clock() + timing.warmup_seconds * 1e9
    while True:
        for i, timer in enumerate(timers):
            evaluations = max(1, math.ceil(timing.sample_seconds / 2 * 1e9 / min(series[i])))
            series[i].append(timer(evaluations) / evaluations)
        if all(steady(s) for s in series):
            return series, True
        if clock() >= end:
            return series, False


def steady(series: Sequence[float]) -> bool:
    """Whether the last WARM_WINDOW samples no longer fall, by STEADY_DROP and STEADY_TREND."""
    if len(series) < WARM_WINDOW + 1:  # the very first call never counts
        return False
    last = list(series[-WARM_WINDOW:])
    half = WARM_WINDOW // 2
    fallen = min(last[half:]) < STEADY_DROP * min(last[:half])
    falling = sum((a > b) - (a < b) for i, a in enumerate(last) for b in last[i + 1 :])
    return not fallen and falling <= STEADY_TREND


def _evaluations(series: Sequence[float], timing: Timing) -> int:
    """Evaluations that fill a sample; at least two, or half of a long arm's evaluations would be unmeasured ones."""
    return max(2, math.ceil(timing.sample_seconds * 1e9 / min(series)))
