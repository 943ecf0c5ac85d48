"""The facts of a run: how each way to run a block fared, what limits it, and how far to trust that. All views print these.

A way is a condition: device, threads, mode, batch, dtype, layout, pass. A place is a device with its threads and mode, or
for networks the device alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bench.analyse.drivers.explain import limit_at
from bench.analyse.drivers.limits import UNKNOWN, Limit
from bench.analyse.drivers.observations import of_records
from bench.analyse.runs.advice import parts
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.row_quality import is_less_precise, is_noisy
from bench.analyse.runs.rows import Record, grouped, log_by_process, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import way_of, way_order
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import CONFIDENCE, log_interval
from bench.spec.columns import FAILED, MEASURED, PREDICTED, SPEEDUP, WITH_NUMBERS
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.interval import LEAST_FOR_INTERVAL, LEAST_PROCESSES, Interval

UNMEASURABLE = ("skipped", "unsupported")
FEWER_MACS = 1.01  # a MAC ratio above this leads one to expect a speed-up
FEWEST_CHANNELS = 3  # of a sweep that says from how many channels on a block wins
NO_LIMIT = Limit(UNKNOWN, "")
_SHAPE = ("kernel", "height", "width", "stride", "padding", "dilation", "block")


Lean = Literal["faster", "slower", "mixed", "undecided"]


@dataclass(frozen=True, slots=True)
class Wins:
    """From how many `channels` on every measured cell is faster, at one kernel and size; None where the widest is not.

    `least`: the fewest channels that were measured; `won`: at how many numbers of channels it is faster.
    """

    kernel: int
    height: int
    width: int
    channels: int | None
    least: int
    won: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How a block or network fared in rows that were all measured, or all `predicted`, in one way or at one place.

    `cells` rows have a speedup; `faster`, `slower`, `same` and `undecided` count their verdicts, and `without_interval` those
    that have no interval, of which `read_faster` lie above 1x. `imprecise` rows are less precise than the config asks.
    `mean` is of ln(speedup) and `mac_ratio` the geometric mean of the MAC ratios, nan where none is known. `reasons`:
    why rows were skipped, each once. `wins`: for each kernel and size that was swept over channels. `limit`: what limits
    the time, of a place what limits most of its cells. Of predicted rows `median_half_width` is the model's error.
    """

    way: Condition
    block: str
    baseline: str
    network: bool
    predicted: bool
    cells: int
    faster: int
    slower: int
    same: int
    undecided: int
    without_interval: int
    read_faster: int
    imprecise: int
    noisy: int
    failed: Mapping[str, int]
    skipped: int
    reasons: tuple[str, ...]
    mean: Interval
    median_half_width: float
    mac_ratio: float
    wins: tuple[Wins, ...]
    limit: Limit

    @property
    def lean(self) -> Lean:
        """How most cells came out; without any interval, how they read."""
        if self.without_interval == self.cells:
            faster, slower = self.read_faster, self.cells - self.read_faster
        else:
            faster, slower = self.faster, self.slower
        neither: Lean = "mixed" if faster and slower else "undecided"
        return "faster" if 2 * faster > self.cells else "slower" if 2 * slower > self.cells else neither

    @property
    def achieved(self) -> float | None:
        """The mean speedup as a share of the MAC ratio; None where the block has as many MACs as its baseline."""
        return math.exp(self.mean.mean) / self.mac_ratio if self.cells and self.mac_ratio > FEWER_MACS else None


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the measured rows of a run can be trusted. Widths and bands are of ln(speedup); seconds are wall time.

    `processes`: the fewest and the most of a row. `flagged`: the median and the largest share of a row's samples that the
    kernel's counters call disturbed. `noise_band` of the A/A test on this machine, known for `banded` rows.
    """

    planned: int
    statuses: Mapping[str, int]
    measured: int
    noisy: int
    imprecise: int
    undecided: int
    precision: float
    median_half_width: float
    processes: tuple[int, int]
    flagged: tuple[float, float] | None
    noise_band: float | None
    banded: int
    timed_s: float
    wall_s: float
    sessions: int

    @property
    def timed_share(self) -> float | None:
        """The share of the time from start to end that went into samples; None where the run doesn't say."""
        return self.timed_s / self.wall_s if self.wall_s > 0 else None

    @property
    def mostly_noisy(self) -> bool:
        """Whether half of the measured rows or more are noisy."""
        return 0 < self.measured <= 2 * self.noisy

    @property
    def grade(self) -> Literal["good", "fair", "poor"]:
        """poor: most rows noisy, or one process each; fair: a quarter noisy, half less precise than asked, or few processes."""
        if self.mostly_noisy or self.processes[1] < LEAST_FOR_INTERVAL:
            return "poor"
        doubtful = 4 * self.noisy > self.measured or 2 * self.imprecise > self.measured
        return "fair" if doubtful or self.processes[0] < LEAST_PROCESSES else "good"


@dataclass(frozen=True, slots=True)
class Forecast:
    """The rows of predicted devices: those with a time, those asked for, and whose they are."""

    rows: int
    asked: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A tally of each block for each way and for each place; trust; what was predicted, if anything.

    Each row of pairs.csv is in one of `ways` and in one of `places`.
    """

    ways: tuple[Tally, ...]
    places: tuple[Tally, ...]
    trust: Trust
    forecast: Forecast | None


def facts_of(run: Run) -> RunFacts:
    """The facts of a run, from its pairs and measurements."""
    model, sure = parts(run), run.timing.confidence
    rows = [r for r in records_of(run.pairs) if r["arm_id"] not in model]
    arms = grouped(records_of(run.measurements), way_of)
    limits = {way: limit_at(of_records(some)) for way, some in arms.items()}
    ways = grouped(rows, lambda r: (way_of(r), r["block"], r["baseline"]))
    places = grouped(rows, lambda r: (_place(r), r["block"], r["baseline"]))
    blocks = list(dict.fromkeys(block for _, block, _ in ways))
    by_way = [tally(some, way, limits.get(way, NO_LIMIT), sure) for (way, *_), some in ways.items()]
    return RunFacts(
        tuple(sorted(by_way, key=lambda t: (t.network, blocks.index(t.block), way_order(t.way)))),
        tuple(tally(some, place, _limit(some, limits), sure) for (place, *_), some in places.items()),
        _trust(run, rows),
        _forecast(rows),
    )


def _place(row: Record) -> Condition:
    way = way_of(row)
    place = Condition(way.origin, way.device, way.device_name)
    return place if row["kernel"] is None else replace(place, threads=way.threads, mode=way.mode)


def _limit(rows: Sequence[Record], limits: Mapping[Condition, Limit]) -> Limit:
    """What limits the ways of most rows, as the first of these ways has it."""
    every = [limits.get(way_of(r), NO_LIMIT) for r in rows]
    (word, of_host), most = Counter((limit.word, limit.of_host) for limit in every).most_common(1)[0]
    return next(m for m in every if (m.word, m.of_host) == (word, of_host)) if 2 * most > len(rows) else NO_LIMIT


def tally(rows: Sequence[Record], way: Condition, limit: Limit, confidence: float = CONFIDENCE) -> Tally:
    """Count rows (at least one), all of them measured or all predicted; `confidence` of their intervals and of the mean."""
    predicted = is_predicted(rows[0]["device"])
    told = [r for r in rows if r["status"] in WITH_NUMBERS and r["speedup"] is not None]
    sure = [r for r in told if r["speedup_ci_low"] is not None]
    verdicts = Counter(r["verdict"] for r in sure)
    intervals = [log_interval(r, SPEEDUP) for r in told]
    ratios = [math.log(r["mac_ratio"]) for r in told if r["mac_ratio"] is not None]
    skipped = [r for r in rows if r["status"] in UNMEASURABLE]
    return Tally(
        way=way,
        block=str(rows[0]["block"]),
        baseline=str(rows[0]["baseline"]),
        network=rows[0]["kernel"] is None,
        predicted=predicted,
        cells=len(told),
        faster=verdicts["faster"],
        slower=verdicts["slower"],
        same=verdicts["same"],
        undecided=verdicts["undecided"],
        without_interval=len(told) - len(sure),
        read_faster=sum(i.mean > 0 for i in intervals),
        imprecise=sum(map(is_less_precise, told)),
        noisy=sum(map(is_noisy, told)),
        failed=Counter(r["status"] for r in rows if r["status"] in FAILED),
        skipped=len(skipped),
        reasons=tuple(dict.fromkeys(str(r["status_detail"]) for r in skipped)),
        mean=estimators.joint_mean([log_by_process(r) for r in told], intervals, confidence),
        median_half_width=_median([r["precision"] for r in sure]),
        mac_ratio=math.exp(sum(ratios) / len(ratios)) if ratios else math.nan,
        wins=tuple(_wins(told)),
        limit=limit,
    )


def _wins(rows: Sequence[Record]) -> Iterator[Wins]:
    """Of single blocks whose channels alone differ, at FEWEST_CHANNELS numbers of them or more."""
    single = [r for r in rows if r["kernel"] is not None and r["c_in"] == r["c_out"] and r["depth"] == 1]
    for (kernel, height, width, *_), some in grouped(single, lambda r: tuple(r[name] for name in _SHAPE)).items():
        won: dict[int, bool] = {}
        for r in some:
            won[int(r["c_in"])] = r["verdict"] == "faster" and won.get(int(r["c_in"]), True)
        if len(won) < FEWEST_CHANNELS or len({r["block"] for r in some}) > 1:
            continue
        lost = [c for c, faster in won.items() if not faster]
        from_ = min((c for c in won if c > max(lost, default=0)), default=None)
        yield Wins(int(kernel), int(height), int(width), from_, min(won), sum(won.values()))


def _trust(run: Run, rows: Sequence[Record]) -> Trust:
    measured = [r for r in rows if r["status"] in MEASURED]
    processes = [int(r["processes"]) for r in measured if r["processes"]] or [0]
    flagged = sorted(float(r["flagged_share"]) for r in measured if r["flagged_share"] is not None)
    bands = [float(r["noise_band"]) for r in measured if r["noise_band"] is not None]
    sure = [r for r in measured if r["speedup_ci_low"] is not None]
    return Trust(
        planned=len(rows),
        statuses=Counter(str(r["status"]) for r in rows),
        measured=len(measured),
        noisy=sum(map(is_noisy, measured)),
        imprecise=sum(map(is_less_precise, measured)),
        undecided=sum(r["verdict"] == "undecided" for r in sure),
        precision=run.timing.precision,
        median_half_width=_median([r["precision"] for r in sure]),
        processes=(min(processes), max(processes)),
        flagged=(flagged[len(flagged) // 2], flagged[-1]) if flagged else None,
        noise_band=max(bands, default=None),
        banded=len(bands),
        timed_s=run.timed_s,
        wall_s=run.wall_s,
        sessions=run.sessions,
    )


def _forecast(rows: Sequence[Record]) -> Forecast | None:
    asked = [r for r in rows if is_predicted(r["device"])]
    told = [r for r in asked if r["status"] == PREDICTED]
    names = dict.fromkeys(str(r["device_name"] or in_words(r["device"])) for r in told or asked)
    return Forecast(len(told), len(asked), tuple(names)) if asked else None


def _median(values: Sequence[float]) -> float:
    return estimators.median(np.asarray(values, dtype=np.float64)) if values else math.inf
