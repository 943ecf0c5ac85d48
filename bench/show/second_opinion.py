"""Our timer and pytest-benchmark's side by side, where both timed the same arms: `make test-bench`.

    python -m bench.show.second_opinion RUN_FOLDER PYTEST_BENCHMARK_JSON

pytest-benchmark times one process, arm after arm, and its sample is mostly one evaluation; ours is a group of them,
interleaved with the other arm's, in several processes. So on a noisy machine its minimum is the lower one, and its
speedup the one that depends more on the process it got.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.spec.errors import UserError

APART = 0.10  # of ours: a difference beyond it is said


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one evaluation by one timer."""

    min_s: float
    median_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """One arm by both timers. Speedup: the baseline's minimum / the arm's, None for the baseline itself."""

    block: str
    channels: str
    ours: Times
    theirs: Times
    speedup: float | None
    their_speedup: float | None

    @property
    def parted(self) -> tuple[str, ...]:
        """What the timers differ in by more than APART, with theirs in terms of ours: `median +14 %`."""
        both = (
            ("min", self.ours.min_s, self.theirs.min_s),
            ("median", self.ours.median_s, self.theirs.median_s),
            ("speedup", self.speedup, self.their_speedup),
        )
        return tuple(
            f"{what} {100 * (theirs / ours - 1):+.0f} %"
            for what, ours, theirs in both
            if ours is not None and theirs is not None and abs(theirs / ours - 1) > APART
        )


def rows(run: Path, second: Path) -> list[Row]:
    """The arms that both timed, in the run's order. UserError where a file is missing or none match."""
    theirs = _pytest_benchmark(second)
    both = [m for m in _measurements(run) if m["time_min_s"] and m["arm_id"] in theirs]
    if not both:
        raise UserError(str(second), f"no arm in it was measured in {run}", "Give both the same config.")
    baselines = {m["trial_id"]: m for m in both if m["block"] == m["baseline"]}
    made = []
    for m in both:
        mine, yours = _times(m), theirs[m["arm_id"]]
        channels = m["c_in"] if m["c_in"] == m["c_out"] else f"{m['c_in']}->{m['c_out']}"
        base = baselines.get(m["trial_id"], m)
        speedups: tuple[float, float] | tuple[None, None] = (None, None)
        if base is not m:
            speedups = (_times(base).min_s / mine.min_s, theirs[base["arm_id"]].min_s / yours.min_s)
        made.append(Row(m["block"], channels, mine, yours, *speedups))
    return made


def table(made: Sequence[Row]) -> str:
    """The rows in microseconds, and a sentence that says where the timers part."""
    head = ("block", "channels", "our min", "median", "pytest-b. min", "median", "our speedup", "theirs", "apart")
    cells = [
        (
            r.block,
            r.channels,
            *(f"{1e6 * t:.1f}" for t in (r.ours.min_s, r.ours.median_s, r.theirs.min_s, r.theirs.median_s)),
            *("" if s is None else f"{s:.2f}" for s in (r.speedup, r.their_speedup)),
            ", ".join(r.parted),
        )
        for r in made
    ]
    widths = [max(len(row[i]) for row in (head, *cells)) for i in range(len(head))]
    left = (0, len(head) - 1)
    lines = [
        "  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in (head, *cells)
    ]
    return "\n".join([*(line.rstrip() for line in lines), "", *_sentences(made)])


def _sentences(made: Sequence[Row]) -> Iterable[str]:
    yield "Times in us per evaluation; speedup is the baseline's minimum / the block's, above 1 the block is faster."
    share = f"{100 * APART:.0f} %"
    counts = [
        f"{sum(not any(p.startswith(what) for p in r.parted) for r in some)} of {len(some)} {words}"
        for what, words in (("min", "minima"), ("median", "medians"), ("speedup", "speedups"))
        for some in [[r for r in made if what != "speedup" or r.speedup is not None]]
    ]
    yield f"Within {share} of each other: {', '.join(counts)}."
    yield "pytest-benchmark: one process, arm after arm, mostly one evaluation a sample. Ours: groups, interleaved, in several."
    apart = [f"{r.block} at {r.channels} channels ({', '.join(r.parted)})" for r in made if r.parted]
    if apart:
        yield f"They part by more, pytest-benchmark in terms of ours: {'; '.join(apart)}."


def _times(measured: dict[str, str]) -> Times:
    return Times(float(measured["time_min_s"]), float(measured["time_median_s"]))


def _measurements(run: Path) -> list[dict[str, str]]:
    try:
        with open(run / "measurements.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(
            f"{run}", f"no measurements.csv can be read: {error.strerror}", "Name a results folder."
        ) from None


def _pytest_benchmark(path: Path) -> dict[str, Times]:
    try:
        benchmarks = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    except (OSError, ValueError, KeyError):
        raise UserError(str(path), "this is no JSON of pytest-benchmark", "Make it with make test-bench.") from None
    return {
        b["extra_info"]["arm_id"]: Times(b["stats"]["min"], b["stats"]["median"])
        for b in benchmarks
        if "arm_id" in b["extra_info"]
    }


def main(arguments: Sequence[str]) -> int:
    """Print the table. Exit status 2, with one line, where there is nothing to compare."""
    try:
        if len(arguments) != 2:
            raise UserError("second opinion", "two arguments are needed", "RUN_FOLDER PYTEST_BENCHMARK_JSON.")
        print(table(rows(Path(arguments[0]), Path(arguments[1]))))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
