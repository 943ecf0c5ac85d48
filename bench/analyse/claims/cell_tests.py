"""Test each cell of a claim on ratios against the claim's line, and say from how many channels on the claim holds.

A mean over cells is a statement about the shapes that someone chose to sweep, so it decides nothing. Each cell is
tested by itself, with a correction for the number of cells (`in_families`), and the answer says where the claim surely
holds and surely fails. More or fewer cells make it wider or narrower, and never turn it over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bench.analyse.claims.answers import ALPHA, Answer, moved, sure_of
from bench.analyse.claims.cells import Cell
from bench.analyse.runs.rows import grouped
from bench.analyse.stats.estimators import benjamini_hochberg, holm, p_value
from bench.analyse.sweeps.crossover import Channels, crossing
from bench.spec.format import plural
from bench.spec.interval import Interval

LEAST_CELLS = 2  # that an answer in capitals rests on
LEAST_PROCESSES = 6  # likewise, in each of them
ONE_CELL, ALL_NOISY, TOO_FEW = "one cell", "noisy rows alone", f"fewer than {LEAST_PROCESSES} processes"
EDGE = 2.0  # an answer is fragile if it is another at this many times ALPHA, or at ALPHA over this
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Ratio:
    """ln of a ratio for one workload, and what it was measured by. `p` is that of the test against the line, corrected."""

    cell: Cell  # one of those measured, for its shape
    log: Interval
    processes: int
    noisy: bool
    above: bool = False  # the line
    p: float = 1.0

    @property
    def channels(self) -> float | None:
        """The geometric mean of the channels in and out; None of a network."""
        c_in, c_out = self.cell.row["c_in"], self.cell.row["c_out"]
        return None if c_in is None or c_out is None else math.sqrt(c_in * c_out)

    @property
    def series(self) -> Hashable:
        """The same for workloads that differ in their channels alone."""
        row = self.cell.row
        return tuple(row[name] for name in ("height", "width", "kernel", "stride", "padding", "dilation", "depth"))


@dataclass(frozen=True, slots=True)
class Found:
    """What the cells of one condition say about a claim.

    `leaning`: the answer by all cells, said in lower case where too little was measured for one in capitals (`weak`: why).
    `fragile`: at half or twice ALPHA it would be another. `without_noisy`: the answer without noisy rows, if another.
    """

    answer: Answer
    leaning: Answer
    weak: str
    fragile: bool
    without_noisy: Answer | None
    channels: Channels | None
    p: float | None
    holds: int
    fails: int


def tested(groups: Mapping[K, Sequence[Ratio]], families: Mapping[K, Hashable], confirming: Callable[[K], bool], line: Callable[[K], float]) -> dict[K, list[Ratio]]:  # fmt: skip
    """The ratios of each condition with p of their tests against `line`, corrected within the condition's family.

    A family is the cells of one claim on one installation: Holm's correction for conditions that confirm, Benjamini and
    Hochberg's for the others. What else is judged in the same call has no effect. A ratio without an interval has p = 1.
    """
    every = [(k, r) for k, ratios in groups.items() for r in ratios]
    raw = [p_value(moved(r.log, line(k))) for k, r in every]
    p = in_families(raw, [(confirming(k), families[k]) for k, _ in every])
    done: dict[K, list[Ratio]] = {k: [] for k in groups}
    for (k, r), adjusted in zip(every, p, strict=True):
        done[k].append(replace(r, above=r.log.mean > line(k), p=adjusted))
    return done


def in_families(p_values: Sequence[float], families: Sequence[tuple[bool, Hashable]]) -> list[float]:
    """Each p corrected within its family: by Holm's procedure where it confirms (True), else Benjamini and Hochberg's."""
    done = list(p_values)
    for (confirms, _), places in grouped(range(len(done)), lambda i: families[i]).items():
        adjusted = (holm if confirms else benjamini_hochberg)([p_values[i] for i in places])
        for i, p in zip(places, adjusted, strict=True):
            done[i] = p
    return done


def found(ratios: Sequence[Ratio], holds_above: bool, line: float) -> Found:
    """The answer of one condition from its tested ratios.

    In capitals only what rests on LEAST_CELLS cells of LEAST_PROCESSES processes that say the same, not all of them noisy.
    """
    strong = [r for r in ratios if r.processes >= LEAST_PROCESSES]
    leaning, answer = _first(ratios, holds_above, sure=False), _first(strong, holds_above)
    weak = _weak(ratios, strong) if answer == "UNDECIDED" != leaning else ""
    used, say = (ratios, leaning) if weak else (strong or ratios, answer)
    sides = _sides(used, holds_above)
    decisive = [r.p for r, side in zip(used, sides, strict=True) if side is not None]
    known = [r.p for r in used if math.isfinite(r.log.half_width)]
    quiet = _first([r for r in strong if not r.noisy], holds_above)
    return Found(
        answer=answer, leaning=leaning, weak=weak,
        fragile=not weak and any(_first(strong, holds_above, ALPHA * by) != answer for by in (1 / EDGE, EDGE)),
        without_noisy=quiet if not weak and quiet != answer else None,
        channels=_channels(used, say, holds_above, line),
        p=max(decisive) if decisive else min(known, default=None),
        holds=sides.count(True), fails=sides.count(False),
    )  # fmt: skip


def _weak(ratios: Sequence[Ratio], strong: Sequence[Ratio]) -> str:
    """Why the cells are too little for an answer in capitals."""
    if not strong:
        return TOO_FEW
    return ALL_NOISY if len(ratios) > 1 and all(r.noisy for r in strong) else ONE_CELL


def too_little(weak: str, leaning: Answer) -> str:
    """The note on an answer that rests on too little (`weak`), with how all cells read."""
    return f"Too little for an answer: {weak}; by all cells: {leaning.lower()}"


def _sides(ratios: Sequence[Ratio], holds_above: bool, alpha: float = ALPHA) -> list[bool | None]:
    """Whether the claim surely holds (True) or surely fails (False) in each cell; None where it is open."""
    return [(r.above == holds_above) if sure_of(r.p, alpha) else None for r in ratios]


def _first(ratios: Sequence[Ratio], holds_above: bool, alpha: float = ALPHA, sure: bool = True) -> Answer:
    """The first answer that the cells give; if `sure`, that enough of them support."""
    for answer, support in _answers(ratios, _sides(ratios, holds_above, alpha)):
        if not sure or (len(support) >= LEAST_CELLS and not all(r.noisy for r in support)):
            return answer
    return "UNDECIDED"


def _answers(ratios: Sequence[Ratio], sides: Sequence[bool | None]) -> Iterator[tuple[Answer, list[Ratio]]]:
    """What the cells say, and the cells that say so: by their channels upwards, else downwards, else that it depends."""
    decided = [r for r, side in zip(ratios, sides, strict=True) if side is not None]
    every = set(sides)
    if len(every) == 1 and decided:
        yield ("HOLDS EVERYWHERE" if True in every else "HOLDS NOWHERE"), decided
        return
    with_channels = [(r.channels, r, side) for r, side in zip(ratios, sides, strict=True)]
    ordered = False
    for sign, holds, fails in ((1, "HOLDS FROM", "FAILS BELOW"), (-1, "HOLDS BELOW", "FAILS FROM")):
        at = [(sign * c, r, side) for c, r, side in with_channels if c is not None]
        yes, no = ([c for c, _, side in at if side is wanted] for wanted in (True, False))
        if len(at) < len(ratios) or (yes and no and min(yes) <= max(no)):
            continue
        ordered = True
        for answer, wanted, up in ((holds, True, 1), (fails, False, -1)):
            others = max((up * c for c, _, side in at if side is not wanted), default=-math.inf)
            support = [r for c, r, side in at if side is wanted and up * c > others]
            if support:
                yield answer, support
    if {True, False} <= every and not ordered:
        yield "DEPENDS", decided


def _channels(ratios: Sequence[Ratio], answer: Answer, holds_above: bool, line: float) -> Channels | None:
    """Where the ratios cross the line, of the series of shapes with the most channels; else the measured channels."""
    if answer not in ("HOLDS FROM", "HOLDS BELOW", "FAILS FROM", "FAILS BELOW"):
        return None
    square = [r for r in ratios if r.cell.row["c_in"] == r.cell.row["c_out"]]
    series = max(grouped(square, lambda r: r.series).values(), key=len, default=[])
    at = crossing([(int(r.cell.row["c_in"]), r.log) for r in series], line) if len(series) > 1 else None
    if at is not None:
        return at
    support = next(some for said, some in _answers(ratios, _sides(ratios, holds_above)) if said == answer)
    pick = min if answer.endswith("FROM") else max
    return Channels(pick(r.channels or 0.0 for r in support), None, None)


def words(ratios: Sequence[Ratio]) -> str:
    """`5 cells, 16 to 256 channels`."""
    channels = sorted({round(r.channels) for r in ratios if r.channels is not None})
    ends = dict.fromkeys(map(str, channels[:1] + channels[-1:]))
    return plural(len(ratios), "cell") + (f", {' to '.join(ends)} channels" if ends else "")
