"""The facts of a run: counts and means of each way to run a block, and how far to trust them. All views print these."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analyse.runs.row_quality import is_less_precise, is_noisy
from bench.analyse.runs.rows import Record, grouped, log_by_process, place_label, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import CONFIDENCE, log_interval
from bench.spec.columns import FAILED, MEASURED, PREDICTED, SPEEDUP, WITH_NUMBERS
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.interval import Interval

UNMEASURABLE = ("skipped", "unsupported")
FEWER_MACS = 1.01  # a MAC ratio above this leads one to expect a speed-up


@dataclass(frozen=True, slots=True)
class Tally:
    """How a block fared against its baseline in rows that were all measured, or all `predicted`.

    `cells` rows have a speedup; `faster`, `slower`, `same` and `undecided` count their verdicts, and `without_interval` those
    that one process measured, of which `read_faster` lie above 1x. `imprecise` rows are less precise than the config asks.
    `mean` is of ln(speedup) and `mac_ratio` the geometric mean of the MAC ratios, nan where none is known. `reasons`:
    why rows were skipped, each once. Of predicted rows `median_half_width` is the model's error.
    """

    way: str
    block: str
    baseline: str
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


@dataclass(frozen=True, slots=True)
class Forecast:
    """The rows of predicted devices: those with a time, those asked for, and whose they are."""

    rows: int
    asked: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A tally for each way to run each block and one for each device and block; trust; what was predicted, if anything."""

    ways: tuple[Tally, ...]
    devices: tuple[Tally, ...]
    trust: Trust
    forecast: Forecast | None


def facts_of(run: Run) -> RunFacts:
    """The facts of a run, from its pairs."""
    rows, sure = records_of(run.pairs), run.timing.confidence
    return RunFacts(
        tallies(rows, place_label, sure),
        tallies(rows, lambda r: str(r["device"]), sure),
        _trust(run, rows),
        _forecast(rows),
    )


def tallies(rows: Sequence[Record], way: Callable[[Record], str], confidence: float = CONFIDENCE) -> tuple[Tally, ...]:
    """A tally for each way to run each block, in the order of the rows; `way` puts a row's into words.

    `confidence` of the rows' intervals, and of the means.
    """
    groups = grouped(rows, lambda r: (way(r), str(r["block"]), str(r["baseline"])))
    return tuple(tally(some, words, confidence) for (words, *_), some in groups.items())


def tally(rows: Sequence[Record], way: str, confidence: float = CONFIDENCE) -> Tally:
    """Count one block's rows (at least one), all of them measured or all predicted."""
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
    )


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
