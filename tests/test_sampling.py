"""The sampling loop against arms of known speed on a clock that only they move."""

from __future__ import annotations

import math
import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure import sampling
from bench.measure.disturbance import FAULTS, PREEMPTED, STEAL, THROTTLED, WAIT, Counters
from bench.spec.config.timing import Timing


class World:
    """A clock in nanoseconds, and arms that take time on it."""

    def __init__(self) -> None:
        self.now = 0
        self.calls: list[tuple[int, int]] = []

    def clock(self) -> int:
        return self.now

    def arm(self, index: int, ns: float, noise=lambda: 0.0, first_calls: list[float] | None = None):
        slow = list(first_calls or [])

        def timer(evaluations: int) -> int:
            self.calls.append((index, evaluations))
            each = ns * (1 + noise())
            wall = round(evaluations * each + (slow.pop(0) if slow else 0))
            self.now += wall
            return wall

        return timer


def timing(**changed) -> Timing:
    return Timing.model_validate(
        {"seconds": 1.0, "sample_seconds": 0.002, "rounds_min": 4, "precision": 0.05, **changed}
    )


def test_rounds_go_over_the_arms_and_back_by_a_recorded_seed():
    def orders(seed: int) -> list[str]:
        world = World()
        noise = random.Random(1)
        arms = [world.arm(i, 1e5 * (i + 1), lambda: noise.gauss(0, 0.3)) for i in range(2)]
        return sampling.sample(arms, timing(precision=1e-6), seed, world.clock, None).orders

    assert set(orders(7)) == {"ABBA", "BAAB"}
    assert orders(7) == orders(7)
    assert orders(7) != orders(8)
    assert 0.3 < orders(7).count("ABBA") / len(orders(7)) < 0.7


def test_three_arms_are_interleaved_too():
    world = World()
    visit = sampling.sample([world.arm(i, 1e5) for i in range(3)], timing(), 1, world.clock, None)
    assert all(sorted(o) == list("AABBCC") and o == o[::-1] for o in visit.orders)
    assert len(set(visit.orders)) > 2


def test_a_switch_of_arm_is_followed_by_one_unmeasured_evaluation():
    world = World()
    visit = sampling.sample([world.arm(0, 1e6), world.arm(1, 5e5)], timing(rounds_max=4), 3, world.clock, None)
    warm = sum(len(a.warm_up) for a in visit.arms)
    rest = world.calls[warm:]
    last, seen = None, []
    while rest:
        arm, evaluations = rest.pop(0)
        if arm != last:
            assert evaluations == 1
            arm_timed, evaluations = rest.pop(0)
            assert arm_timed == arm
        assert evaluations == visit.arms[arm].evaluations
        seen.append("AB"[arm])
        last = arm
    assert "".join(seen) == "".join(visit.orders)


def test_samples_are_as_long_as_asked_and_times_are_per_evaluation():
    world = World()
    visit = sampling.sample([world.arm(0, 3e5), world.arm(1, 7e6)], timing(), 1, world.clock, None)
    fast, slow = visit.arms
    assert (fast.evaluations, slow.evaluations) == (7, 2)
    assert fast.times == pytest.approx([3e5] * len(fast.times))
    assert len(fast.times) == len(slow.times) == len(fast.flags) == 2 * len(visit.orders)


def test_without_noise_it_stops_on_precision_at_half_the_time():
    world = World()
    visit = sampling.sample([world.arm(0, 1e6), world.arm(1, 5e5)], timing(seconds=1.0), 1, world.clock, None)
    assert visit.stop == "precision"
    assert visit.precision == pytest.approx(0, abs=1e-6)
    assert world.now / 1e9 - visit.warm_up_s == pytest.approx(0.5, abs=0.03)


def test_with_noise_it_stops_on_seconds_and_says_so():
    world, noise = World(), random.Random(3)
    arms = [world.arm(i, 1e6, lambda: abs(noise.gauss(0, 1))) for i in range(2)]
    visit = sampling.sample(arms, timing(seconds=0.5, precision=0.001), 1, world.clock, None)
    assert visit.stop == "seconds"
    assert visit.precision > 0.0005
    assert 0.5 <= world.now / 1e9 - visit.warm_up_s < 0.55


def test_it_never_stops_before_the_fewest_rounds_nor_after_the_most():
    world = World()
    visit = sampling.sample([world.arm(0, 5e8), world.arm(1, 5e8)], timing(seconds=0.1), 1, world.clock, None)
    assert (visit.stop, len(visit.orders)) == ("seconds", 4)
    world, noise = World(), random.Random(1)
    arms = [world.arm(i, 1e5, lambda: noise.random()) for i in range(2)]
    visit = sampling.sample(arms, timing(rounds_max=9, precision=1e-6), 1, world.clock, None)
    assert (visit.stop, len(visit.orders)) == ("rounds", 9)


def test_the_stopping_rule_looks_at_widths_only_when_it_may_stop():
    rule = partial(sampling.why_stop, timing(seconds=1.0, precision=0.04))

    def never() -> float:
        pytest.fail("too early to look")

    assert rule(3, 3, 9.0, never) is None
    assert rule(5, 5, 0.4, never) is None
    assert rule(5, 5, 0.6, lambda: 0.021) is None
    assert rule(5, 5, 0.6, lambda: 0.02) == "precision"
    assert rule(5, 5, 1.0, lambda: 9.9) == "seconds"


@pytest.mark.fault(
    "machine", "other programs take the core while samples are taken",
    "samples are flagged and kept, stalled rounds are left out, and a visit waits for clean ones, at most four times its seconds",
)  # fmt: skip
def test_a_disturbed_visit_waits_for_clean_rounds_but_not_for_ever():
    rule = partial(sampling.why_stop, timing(seconds=1.0, precision=0.04))
    assert rule(50, 3, 0.6, lambda: 0.001) is None
    assert rule(50, 3, 1.5, lambda: 0.001) is None
    assert rule(50, 4, 1.5, lambda: 9.9) == "seconds"
    assert rule(50, 0, sampling.PATIENCE * 1.0, lambda: 9.9) == "seconds"


def test_warm_up_lasts_as_long_as_calls_get_faster():
    world = World()
    falling = [1e9 * 0.6**i for i in range(25)]
    visit = sampling.sample(
        [world.arm(0, 1e6, first_calls=falling), world.arm(1, 1e6)], timing(warmup_seconds=60), 1, world.clock, None
    )
    assert visit.settled
    assert len(visit.arms[0].warm_up) > 20
    assert max(visit.arms[0].times) < 1.05e6


def test_warm_up_that_never_settles_ends_on_its_bound_and_says_so():
    world = World()
    visit = sampling.sample(
        [world.arm(0, 1e6, first_calls=[1e8 * 0.97**i for i in range(1000)]), world.arm(1, 1e6)],
        timing(warmup_seconds=2, seconds=0.2), 1, world.clock, None,
    )  # fmt: skip
    assert not visit.settled
    assert 2.1 <= visit.warm_up_s < 2.3  # the first call takes 0.1 s, and the bound does not run in it


def test_a_first_call_that_outlasts_the_bound_still_leaves_time_to_warm_up():
    """Loading cuDNN and its search take seconds, the bound is 0.3 s; calls then get faster for 0.1 s."""
    world = World()
    slow = [5e9, *(5e6 * 0.7**i for i in range(12))]
    arms = [world.arm(0, 1e6, first_calls=slow), world.arm(1, 1e6, first_calls=slow)]
    visit = sampling.sample(arms, timing(warmup_seconds=0.3, seconds=0.2), 1, world.clock, None)
    assert visit.settled
    assert [arm.warm_up[0] for arm in visit.arms] == [5e9 + 1e6] * 2
    assert max(max(arm.times) for arm in visit.arms) < 1.1e6


def test_the_first_calls_come_one_after_the_other_before_anything_else():
    world = World()
    series, _ = sampling.warm_up([world.arm(i, 1e6) for i in range(3)], timing(), world.clock)
    assert world.calls[:3] == [(0, 1), (1, 1), (2, 1)]
    assert len({len(s) for s in series}) == 1


@given(st.lists(st.floats(1, 1e9), max_size=30))
def test_steady_needs_evidence_and_never_trusts_a_falling_series(series: list[float]):
    if len(series) < 7:
        assert not sampling.steady(series)
    falling = sorted(set(series), reverse=True)
    if len(falling) >= 7:
        assert not sampling.steady(falling)
    assert sampling.steady([5.0] * 7)


class Watched:
    """Counters that a test moves: one reading before and one after each sample."""

    def __init__(self, deltas: list[Counters], machine: list[tuple[int, int, int]]) -> None:
        self.deltas, self.ticks, self.now, self.odd = deltas, machine, Counters(), False

    def refresh(self) -> None:
        pass

    def read(self) -> Counters:
        if self.odd and self.deltas:
            self.now = self.now.plus(self.deltas.pop(0))
        self.odd = not self.odd
        return self.now

    def machine(self) -> tuple[int, int, int]:
        return self.ticks.pop(0) if len(self.ticks) > 1 else self.ticks[0]


@pytest.mark.fault(
    "machine", "other programs take the core while samples are taken",
    "samples are flagged and kept, stalled rounds are left out, and a visit waits for clean ones, at most four times its seconds",
)  # fmt: skip
def test_disturbed_samples_are_flagged_and_kept():
    world = World()
    deltas = [Counters(), Counters(50_000, 0, 0), Counters(0, 1, 0), Counters(0, 0, 1000), Counters(1_000, 0, 3)]
    watch = Watched(deltas, [(0, 0, 0), (0, 0, 0), (0, 0, 0), (1, 0, 0), (1, 0, 0), (1, 2, 0), (1, 2, 0), (1, 2, 4)])
    arms = [world.arm(0, 1e6), world.arm(1, 1e6)]
    visit = sampling.sample(arms, timing(rounds_max=4), 5, world.clock, watch)  # type: ignore[arg-type]
    flags = {"A": list(visit.arms[0].flags), "B": list(visit.arms[1].flags)}
    in_order = [flags[letter].pop(0) for letter in "".join(visit.orders)]
    assert in_order[:5] == [0, WAIT, PREEMPTED, FAULTS, STEAL]
    assert set(in_order[4:8]) == {STEAL}
    assert set(in_order[8:12]) == {THROTTLED}, "the quota ran out"
    assert set(in_order[12:]) == {THROTTLED}, "the card slowed down"
    counted = visit.arms[0].counted.plus(visit.arms[1].counted)
    assert (counted.run_queue_wait_ns, counted.involuntary_switches, counted.minor_faults) == (51_000, 1, 1003)


def test_the_interval_within_a_process_is_that_of_the_paired_rounds():
    a = sampling.ArmSamples(1, [], [2.0, 3.0, 4.0, 4.5, 2.2, 2.1])
    b = sampling.ArmSamples(1, [], [1.0, 1.5, 2.0, 2.5, 1.0, 1.2])
    logs = [math.log(5 / 2.5), math.log(8.5 / 4.5), math.log(4.3 / 2.2)]
    mean = sum(logs) / 3
    sd = math.sqrt(sum((x - mean) ** 2 for x in logs) / 2)
    assert sampling.half_width([a, b], 0.95) == pytest.approx(4.302652729911275 * sd / math.sqrt(3))
