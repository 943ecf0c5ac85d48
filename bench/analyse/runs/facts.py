"""What a run says, first as data and then as sentences for the terminal and for titles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analyse.runs.rows import Record, place_label, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats import estimators
from bench.spec.columns import FAILED, TOLD
from bench.spec.devices.device_names import is_predicted
from bench.spec.format import duration, interval, percent, shapes, share, times
from bench.spec.interval import Interval

MOST_REASONS = 2  # why rows were skipped that a sentence gives; pairs.csv has them all


@dataclass(frozen=True, slots=True)
class Tally:
    """How a block fared against its baseline in a group of rows of one kind. `mean` and half-widths are of ln(speedup).

    faster, slower, same and undecided are the rows' verdicts; `unsure` rows have none, as one process measured them.
    `promised` is the geometric mean of the MAC ratios; `missed` counts rows less precise than asked. Of a `predicted`
    group `measured` counts predicted rows and half-widths are the model's error. `reasons` is why rows were skipped, each once.
    """

    place: str
    block: str
    baseline: str
    measured: int
    faster: int
    slower: int
    same: int
    undecided: int
    unsure: int
    read_faster: int
    missed: int
    noisy: int
    failed: Mapping[str, int]
    skipped: int
    mean: Interval
    promised: float
    median_half_width: float
    predicted: bool = False
    reasons: tuple[str, ...] = ()

    @property
    def delivered(self) -> float:
        """The share of the promised ratio that arrived, by geometric means."""
        return math.exp(self.mean.mean) / self.promised


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers: a tally for each place and block, one for each device and block, and the time spent.

    The half-width is of the rows that were measured.
    """

    places: tuple[Tally, ...]
    blocks: tuple[Tally, ...]
    median_half_width: float
    precision_target: float
    timed_s: float
    wall_s: float
    sessions: int

    @property
    def timed_share(self) -> float | None:
        """The share of the time from start to end that went into samples; None where the run doesn't say."""
        return self.timed_s / self.wall_s if self.wall_s > 0 else None


def summarise(run: Run) -> Summary:
    """The run's pairs, counted and averaged."""
    records = records_of(run.pairs)
    groups: dict[tuple[str, ...], list[Record]] = {}
    for r in records:
        groups.setdefault((place_label(r), r["block"], r["baseline"]), []).append(r)
    measured = [r for r in records if not is_predicted(r["device"])]
    return Summary(
        places=tuple(tally(rows, place) for (place, *_), rows in groups.items()),
        blocks=by_block(records),
        median_half_width=tally(measured, "").median_half_width if measured else math.inf,
        precision_target=run.timing.precision,
        timed_s=run.timed_s,
        wall_s=run.wall_s,
        sessions=run.sessions,
    )


def by_block(records: Sequence[Record]) -> tuple[Tally, ...]:
    """A tally of these rows of pairs.csv for each device and block."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for r in records:
        groups.setdefault((r["device"], r["block"], r["baseline"]), []).append(r)
    return tuple(tally(rows, device) for (device, *_), rows in groups.items())


def tally(rows: Sequence[Record], place: str) -> Tally:
    """Count one block's rows (at least one), all of them measured or all predicted."""
    measured = [r for r in rows if r["status"] in TOLD and r["speedup"] is not None]
    predicted = is_predicted(rows[0]["device"])
    sure = [r for r in measured if r["speedup_ci_low"] is not None]
    said = Counter(r["verdict"] for r in sure)
    logs = [math.log(r["speedup"]) for r in measured]
    widths = [math.inf if r["precision"] is None else r["precision"] for r in measured]
    ratios = [math.log(r["mac_ratio"]) for r in measured if r["mac_ratio"] is not None]
    known = [r["precision"] for r in sure]
    skipped = [r for r in rows if r["status"] in ("skipped", "unsupported")]
    return Tally(
        place=place,
        block=rows[0]["block"],
        baseline=rows[0]["baseline"],
        measured=len(measured),
        faster=said["faster"],
        slower=said["slower"],
        same=said["same"],
        undecided=said["undecided"],
        unsure=len(measured) - len(sure),
        read_faster=sum(x > 0 for x in logs),
        missed=0 if predicted else sum(not r["precision_reached"] for r in measured),
        noisy=sum(r["status"] == "noisy" for r in measured),
        failed=Counter(r["status"] for r in rows if r["status"] in FAILED),
        skipped=len(skipped),
        mean=estimators.geometric_mean(logs, widths),
        promised=math.exp(sum(ratios) / len(ratios)) if ratios else math.nan,
        median_half_width=estimators.median(np.asarray(known, dtype=np.float64)) if known else math.inf,
        predicted=predicted,
        reasons=tuple(dict.fromkeys(str(r["status_detail"]) for r in skipped)),
    )


def sentences(summary: Summary) -> list[str]:
    """The summary in words: a line for each place and block, then what to make of the rows, then the time spent."""
    idle = [t for t in summary.places if not t.measured and not t.failed]
    said = [_verdict(t) for t in summary.places if t not in idle or len(idle) == 1]
    if len(idle) > 1:
        count = sum(t.skipped for t in idle)
        why = dict.fromkeys(reason for t in idle for reason in t.reasons)
        reason = "; ".join(why) if len(why) <= MOST_REASONS else "pairs.csv says why"
        done = "predicted" if all(t.predicted for t in idle) else "measured"
        said.append(f"nothing {done} in {len(idle)} more settings, whose {count} rows were skipped: {reason}")
    return said + _rows(summary) + _time(summary)


def promises(t: Tally) -> bool:
    """Whether a block has fewer multiplications than its baseline, so that there is a promise to keep."""
    return math.isfinite(t.promised) and t.promised > 1.01


def _verdict(t: Tally) -> str:
    skipped = f"{t.skipped} skipped" if t.skipped else ""
    failed = ", ".join(f"{count} {status}" for status, count in t.failed.items())
    rest = ", ".join(w for w in (failed, skipped) if w)
    if not t.measured:
        why = f": {'; '.join(t.reasons)}" if 0 < len(t.reasons) <= MOST_REASONS else ""
        return f"{t.place}: {t.block}: nothing {'predicted' if t.predicted else 'measured'} ({rest}{why})"
    would = " would be" if t.predicted else ""
    if t.unsure == t.measured and not t.predicted:
        counted = f"{t.block} reads faster in {t.read_faster} of {shapes(t.measured)} (one process, so no interval)"
    else:
        others = [f"slower in {t.slower}" if t.slower else "", f"the same in {t.same}" if t.same else "", f"undecided in {t.undecided}" if t.undecided else "", f"without interval in {t.unsure}" if t.unsure else ""]  # fmt: skip
        counted = ", ".join([f"{t.block}{would} faster in {t.faster} of {shapes(t.measured)}", *filter(None, others)])
    arrived = f", {share(t.delivered)} of the promised {times(t.promised)}" if promises(t) else ""
    return f"{t.place}: {counted}, geometric mean {interval(t.mean)}{arrived}" + (f" ({rest})" if rest else "")


def _rows(summary: Summary) -> list[str]:
    b = [t for t in summary.blocks if not t.predicted]
    count = sum(t.measured for t in b)
    if not count:
        return _predicted_rows(summary)
    width = summary.median_half_width
    median = f"; median half-width ±{percent(width)}" if math.isfinite(width) else ""
    words = [
        f"{sum(t.undecided for t in b)} undecided (neither faster, slower nor the same)",
        f"{sum(t.missed for t in b)} missed the asked ±{percent(summary.precision_target)}",
        f"{sum(t.noisy for t in b)} noisy",
    ]
    return [f"{count} row{'s' if count != 1 else ''} measured: {', '.join(words)}{median}", *_predicted_rows(summary)]


def _predicted_rows(summary: Summary) -> list[str]:
    b = [t for t in summary.blocks if t.predicted and t.measured]
    count = sum(t.measured for t in b)
    if not count:
        return []
    error = max(t.median_half_width for t in b)
    within = f" within the model's error, a factor of {math.exp(error):.2g} either way" if math.isfinite(error) else ""
    undecided = sum(t.undecided for t in b)
    return [f"{count} row{'s' if count != 1 else ''} predicted, none of it measured: {undecided} undecided{within}"]


def _time(summary: Summary) -> list[str]:
    if summary.timed_share is None or not any(t.measured and not t.predicted for t in summary.blocks):
        return []
    over = f" over {summary.sessions} sessions" if summary.sessions > 1 else ""
    return [f"{summary.timed_share * 100:.0f} % of {duration(summary.wall_s)}{over} went into samples"]
