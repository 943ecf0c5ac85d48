"""Sample the arms of one trial in one process: warm up by evidence, calibrate, take rounds, stop by rule.

A round runs over the arms and back, ABBA or BAAB by coin, so that drift hits all arms alike; each arm gives two
samples a round. After a switch of arm one evaluation goes unmeasured. The arms are anything that can be timed, and
the clock is theirs, so that tests need neither torch nor waiting.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.measure.device.devices import Device, DeviceTimes
from bench.measure.disturbance import STEAL, THROTTLED, Counters, Watch
from bench.spec.config.timing import Timing
from bench.spec.interval import LEAST_ROUNDS, clean_rounds, sound, t_interval

SUBMITTED_AT_ONCE = 4  # evaluations of a short call: a queue holds a thousand launches
SHORT_NS = 1e6
DEVICE_SIDE_NS = 2e7  # that an arm's calls may take in one reading of its other times, if LEAST_READINGS take no longer
LEAST_READINGS = 4
READINGS = 10
PATIENCE = 4  # times a visit's seconds that it may wait for clean rounds
WARM_WINDOW = 6  # samples of an arm that are looked at for a trend


class Timer(Protocol):
    """Times `evaluations` of an arm: nanoseconds by the host's clock, with the work done."""

    def __call__(self, evaluations: int) -> int: ...


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


@dataclass(frozen=True, slots=True)
class StoppingRule:
    """When a visit has sampled enough: on the interval of the log ratio, or on a bound; never on a significance.

    What the processes differ by is beyond a visit's reach, so its own interval is to be half as wide as the one asked
    for, and no sooner than half of its time. A visit that others disturb waits for `rounds_min` clean rounds, for up to
    PATIENCE times its seconds.
    """

    timing: Timing

    def __call__(self, rounds: int, clean: int, elapsed_s: float, widths: Callable[[], float]) -> str | None:
        """precision, rounds or seconds once that has been reached, else None."""
        t = self.timing
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
    rule = StoppingRule(timing)
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
            arms[i].counted.add(seen)
        if watch:
            _flag_round(arms, machine, watch.machine())
        clean += all(sound(arm.flags[-2], arm.flags[-1]) for arm in arms)
        stop = rule(len(orders), clean, (clock() - sampling) / 1e9, lambda: half_width(arms, timing.confidence))
    return Visit(
        arms=arms,
        orders=orders,
        settled=settled,
        stop=stop,
        precision=half_width(arms, timing.confidence),
        timed_s=timed / 1e9,
        warm_up_s=(sampling - begun) / 1e9,
    )


@dataclass(frozen=True, slots=True)
class DeviceSide:
    """What a device with a queue says of one arm, in ns per evaluation: its own times, warm and cold, and submission."""

    own: DeviceTimes | None
    cold: DeviceTimes | None
    submit: list[float]


def device_side(device: Device, calls: Sequence[Callable[[], object]]) -> list[DeviceSide] | None:
    """The other two times of each arm, after the rounds and apart from them; None on a device without a queue.

    Of long calls there are fewer readings than READINGS: each process repeats them, and they hardly differ.
    """
    if device.submit(calls[0], 1) is None:
        return None
    walls = [device.time(call, 1) for call in calls]
    readings = [max(LEAST_READINGS, min(READINGS, round(DEVICE_SIDE_NS / wall))) for wall in walls]
    at_once = [SUBMITTED_AT_ONCE if wall < SHORT_NS else 1 for wall in walls]
    submits: list[list[float]] = [[] for _ in calls]
    for i in range(max(readings)):
        for call, number, n, told in zip(calls, readings, at_once, submits, strict=True):
            took = device.submit(call, n) if i < number else None
            if took is not None:
                told.append(took / n)
    return [
        DeviceSide(device.device_times(call, number), device.device_times(call, number, cold=True), submit)
        for call, number, submit in zip(calls, readings, submits, strict=True)
    ]


def half_width(arms: Sequence[ArmSamples], confidence: float) -> float:
    """Half-width of the interval of ln(speedup) within this process, the widest of the arms against the first.

    A round's speedup is that of the faster of its two samples of each arm; the rounds are the clean ones where there
    are LEAST_ROUNDS of them. One arm alone: of ln(time).
    """
    first, *others = arms
    if not others:
        return t_interval(_logs(first, range(len(first.times) // 2)), confidence).half_width
    widths = []
    for other in others:
        rounds: Sequence[int] = clean_rounds(first.flags, other.flags)
        rounds = rounds if len(rounds) >= LEAST_ROUNDS else range(len(first.times) // 2)
        ratios = [b - o for b, o in zip(_logs(first, rounds), _logs(other, rounds), strict=True)]
        widths.append(t_interval(ratios, confidence).half_width)
    return max(widths)


def _logs(arm: ArmSamples, rounds: Iterable[int]) -> list[float]:
    return [math.log(min(arm.times[2 * i], arm.times[2 * i + 1])) for i in rounds]


def warm_up(timers: Sequence[Timer], timing: Timing, clock: Callable[[], int]) -> tuple[list[list[float]], bool]:
    """Run the arms in turn until no arm's latest samples still fall, or the bound. Series in ns per evaluation.

    Each series begins with the arm's very first call, which loads libraries and searches algorithms: for as long as that
    takes, the bound does not run.
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
    """Whether the last samples no longer fall.

    Of the last WARM_WINDOW samples, the later half's minimum must not be over 2 % below the earlier half's, and
    their order must not be one of mostly falling pairs (Mann-Kendall's S at most 9 of 15 falling in excess).
    """
    if len(series) < WARM_WINDOW + 1:  # the very first call is never part of the evidence
        return False
    last = list(series[-WARM_WINDOW:])
    half = WARM_WINDOW // 2
    fallen = min(last[half:]) < 0.98 * min(last[:half])
    falling = sum((a > b) - (a < b) for i, a in enumerate(last) for b in last[i + 1 :])
    return not fallen and falling <= 9


def _evaluations(series: Sequence[float], timing: Timing) -> int:
    """Evaluations that fill a sample; at least two, or unmeasured ones would cost long arms most of their time."""
    return max(2, math.ceil(timing.sample_seconds * 1e9 / min(series)))


def _flag_round(arms: Sequence[ArmSamples], before: tuple[int, int, int], after: tuple[int, int, int]) -> None:
    """Steal and throttling are known for a round as a whole, so they mark all its samples."""
    slowed = after[1] > before[1] or before[2] | after[2]
    bits = (STEAL if after[0] > before[0] else 0) | (THROTTLED if slowed else 0)
    if bits:
        for arm in arms:
            arm.flags[-2] |= bits
            arm.flags[-1] |= bits
