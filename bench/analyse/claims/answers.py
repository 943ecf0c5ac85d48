"""What a claim may answer, the thresholds it answers by (3x, 7x), and the way from an interval to an answer.

p-values are two-sided, so one is at most ALPHA just where the interval at 95 % leaves the threshold out; half of that
level is left for the other side, so an answer that may come about in two ways still errs in 5 % of cases at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bench.analyse.claims.cells import Cell
from bench.analyse.runs.condition import Condition
from bench.analyse.stats.estimators import CONFIDENCE, p_value
from bench.analyse.sweeps.crossover import Channels
from bench.spec.interval import EQUIVALENCE_MARGIN, Interval

Side = Literal["yes", "no", "same", "partly", "open", "unmeasured"]
Answer = str
ANSWERS: Mapping[Answer, Side] = {
    "SUPPORTED": "yes", "REFUTED": "no", "EQUIVALENT": "same",
    "HOLDS EVERYWHERE": "yes", "HOLDS FROM": "partly", "HOLDS BELOW": "partly",
    "FAILS FROM": "partly", "FAILS BELOW": "partly", "HOLDS NOWHERE": "no", "DEPENDS": "partly",
    "UNDECIDED": "open", "NOT MEASURED": "unmeasured",
}  # fmt: skip
"""What may be answered, and what that says. HOLDS FROM and the like: from so many channels on (`Verdict.channels`)."""


def would(answer: Answer) -> Answer:
    """The answer as a model's: WOULD BE SUPPORTED, WOULD HOLD FROM. Never confirmatory, and counted apart."""
    verb, _, rest = answer.partition(" ")
    known = {"HOLDS": "HOLD", "FAILS": "FAIL", "DEPENDS": "DEPEND"}
    return f"WOULD {known[verb]} {rest}".rstrip() if verb in known else f"WOULD BE {answer}"


PREDICTED_ANSWERS: Mapping[Answer, Side] = {would(a): side for a, side in ANSWERS.items() if side != "unmeasured"}

ALPHA = 1 - CONFIDENCE
SPEEDUP = 3.0  # the least gain on a CPU by the texts
BELOW = 9.0  # multiplications of a 3 x 3 kernel


@dataclass(frozen=True, slots=True)
class Effect:
    """A number with its interval, on the scale that people read; None where there is none. `unit` in words.

    `lines`: the thresholds that it is compared with, on the same scale.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str = "ratio"
    lines: tuple[float, ...] = ()

    @classmethod
    def ratio(cls, name: str, log: Interval, lines: tuple[float, ...]) -> Effect:
        """From an interval of a logarithm."""
        low, high = (math.exp(log.low), math.exp(log.high)) if math.isfinite(log.half_width) else (None, None)
        return cls(name, math.exp(log.mean), low, high, lines=lines)

    @classmethod
    def plain(cls, name: str, value: Interval, unit: str, lines: tuple[float, ...]) -> Effect:
        """From an interval of the value itself."""
        known = math.isfinite(value.half_width)
        return cls(name, value.mean, value.low if known else None, value.high if known else None, unit, lines)


@dataclass(frozen=True, slots=True)
class Count:
    """The cells behind a verdict: how many, their range, and in how many the claim surely holds and surely does not."""

    n: int
    low: float | None = None
    high: float | None = None
    surely: int | None = None
    surely_not: int | None = None
    words: str = ""
    processes: int | None = None  # the fewest that measured one; None where none is needed
    noisy: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim's answer at one condition.

    `p_adjusted`: Holm's over the confirmatory answers of the claim on one installation, Benjamini and Hochberg's over
    its others. `leaning`: what the rows say where they are too little for an answer (`weak`: why). `fragile`: at half or
    twice the level it would be another. `without_noisy`: the answer without noisy rows, where it is another.
    """

    claim: str
    condition: Condition
    runs: tuple[str, ...]
    about: str  # which rows, in a few words
    answer: Answer
    why: str
    bottleneck: str = "unknown"
    effect: Effect | None = None
    p: float | None = None
    p_adjusted: float | None = None
    confirmatory: bool = False
    on_claimed_device: bool = True  # False: the claim is about the other kind of device
    would_confirm: bool = False  # a predicted answer that would be confirmatory if its rows were measured
    cells: Count = field(default_factory=lambda: Count(0))
    doubled: Mapping[str, Interval] = field(default_factory=dict)  # ln of time, for twice the layers or macs
    channels: Channels | None = None
    leaning: Answer | None = None
    weak: str = ""
    fragile: bool = False
    without_noisy: Answer | None = None
    notes: tuple[str, ...] = ()

    @property
    def side(self) -> Side:
        """What the answer says, measured or predicted."""
        return ANSWERS[self.answer] if self.answer in ANSWERS else PREDICTED_ANSWERS[self.answer]

    @property
    def predicted(self) -> bool:
        """Whether the answer is a model's, on rows of which some or all were not measured."""
        return self.answer in PREDICTED_ANSWERS

    @property
    def p_reported(self) -> float | None:
        """p after the correction, or as it is where none was made."""
        return self.p if self.p_adjusted is None else self.p_adjusted

    def to_dict(self) -> dict[str, Any]:
        """For JSON: null where there is no number."""
        return {
            "answer": self.answer,
            **({"predicted": True} if self.predicted else {}),
            "about": self.about,
            "place": {**self.condition.fields(), "label": self.condition.label, "run_ids": list(self.runs)},
            "regime": self.bottleneck,
            "effect": {name: getattr(self.effect, name) for name in ("name", "value", "low", "high", "unit")} if self.effect else None,
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "confirmatory": self.confirmatory,
            "cells": asdict(self.cells),
            "channels": asdict(self.channels) if self.channels else None,
            "leaning": self.leaning if self.weak else None,
            "weak": self.weak or None,
            "fragile": self.fragile,
            "without_noisy": self.without_noisy,
            "why": self.why,
            "notes": list(self.notes),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ruling:
    """An answer and its p; of UNDECIDED the smallest p of the other answers."""

    answer: Answer
    p: float | None


def above(interval: Interval, threshold: float) -> float:
    """p of the mean lying above the threshold: at most ALPHA just where the whole interval does."""
    return p_value(moved(interval, threshold)) if interval.mean > threshold else 1.0


def below(interval: Interval, threshold: float) -> float:
    """p of the mean lying below the threshold."""
    return p_value(moved(interval, threshold)) if interval.mean < threshold else 1.0


def sure_of(p: float, alpha: float = ALPHA) -> bool:
    """Whether p is at most alpha, up to rounding."""
    return p <= alpha + 1e-12


def ruled(support: float, refute: float) -> Ruling:
    """The answer whose p is at most ALPHA."""
    for answer, p in (("SUPPORTED", support), ("REFUTED", refute)):
        if sure_of(p):
            return Ruling(answer, p)
    return Ruling("UNDECIDED", min(support, refute))


def margin_of(cells: Sequence[Cell]) -> float:
    """The margin of a claim, in ln: EQUIVALENCE_MARGIN, or the widest noise band of these cells if that is wider."""
    bands = [c.row["noise_band"] for c in cells if c.row["noise_band"] is not None]
    return float(max([EQUIVALENCE_MARGIN, *bands]))


def within(margin: float) -> tuple[float, float]:
    """The two ratios at the ends of a margin in ln."""
    return math.exp(-margin), math.exp(margin)


def moved(interval: Interval, threshold: float) -> Interval:
    """The interval of the mean less a threshold, for a test of their being equal."""
    return Interval(interval.mean - threshold, interval.half_width, interval.n)
