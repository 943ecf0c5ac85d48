"""Three timers on the same arms: ours, torch.utils.benchmark and pytest-benchmark, and in words where they part.

The other two time one process, arm after arm; our sample is a group of evaluations, interleaved with the other arm's,
in several processes. pytest-benchmark's sample is mostly one evaluation, so on a noisy machine its minimum is the lowest.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.text.terminal import MOST_ROWS, console_on, print_table
from bench.spec.columns import TOOLS

APART = 0.10  # of ours: a difference beyond it is said
_PLURALS = {"min": "minima", "median": "medians", "speedup": "speedups"}
HEAD = (
    "arm", "our min", "our median", "torch median", "pytest-b. min", "pytest-b. median",
    "our speedup", "torch speedup", "pytest-b. speedup",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What one timer says of an arm: seconds of one evaluation, and the baseline's time / the arm's. None: nothing."""

    min_s: float | None = None
    median_s: float | None = None
    speedup: float | None = None

    def beside(self, ours: Reading) -> Iterator[tuple[str, float]]:
        """What both timers say: its name, and this reading / ours - 1."""
        pairs = (
            ("min", self.min_s, ours.min_s),
            ("median", self.median_s, ours.median_s),
            ("speedup", self.speedup, ours.speedup),
        )
        for what, theirs, mine in pairs:
            if theirs is not None and mine is not None:
                yield what, theirs / mine - 1


@dataclass(frozen=True, slots=True)
class Compared:
    """One arm by all timers: `theirs` by tool, and `silent`, by tool, why one says nothing."""

    arm_id: str
    device: str
    ours: Reading
    theirs: Mapping[str, Reading]
    silent: Mapping[str, str]

    def parted(self) -> str:
        """Where a tool is more than APART away, in terms of ours: `pytest-benchmark min +14 %, speedup -12 %`."""
        found = []
        for tool, reading in self.theirs.items():
            beyond = [f"{what} {100 * by:+.0f} %" for what, by in reading.beside(self.ours) if abs(by) > APART]
            found += [f"{tool} {', '.join(beyond)}"] if beyond else []
        return "; ".join(found)


def compared(run: Run) -> list[Compared]:
    """The arms that second opinions were due on, in the plan's order; empty where the run was to have none."""
    if run.opinions is None:
        return []
    measured = {m["arm_id"]: m for m in records_of(run.measurements)}
    speedups = {p["arm_id"]: p["speedup"] for p in records_of(run.pairs)}
    told: dict[str, list[Record]] = {}
    for row in records_of(run.opinions):
        told.setdefault(row["arm_id"], []).append(row)
    return [_compared(arm_id, measured.get(arm_id, {}), speedups.get(arm_id), rows) for arm_id, rows in told.items()]


def _compared(arm_id: str, ours: Record, speedup: float | None, told: Sequence[Record]) -> Compared:
    return Compared(
        arm_id=arm_id,
        device=str(ours.get("device")),
        ours=Reading(ours.get("time_min_s"), ours.get("time_median_s"), speedup),
        theirs={
            r["tool"]: Reading(r["time_min_s"], r["time_median_s"], r["speedup"]) for r in told if r["time_median_s"]
        },
        silent={r["tool"]: str(r["detail"] or r["status"]) for r in told if not r["time_median_s"]},
    )


def show(run: Run, file: TextIO | None = None) -> None:
    """Print the arms that another tool timed too, and the sentences; nothing where the run was to have none."""
    arms = compared(run)
    if not arms:
        return
    console = console_on(file or sys.stdout)
    timed = [a for a in arms if a.theirs]
    console.print()
    if timed:
        console.print("Second opinions: us per evaluation; speedup is the baseline's time / the block's, above 1 the block is faster.", markup=False, highlight=False)  # fmt: skip
        print_table(console, HEAD, [_cells(a) for a in timed[:MOST_ROWS]], 1)
    for line in sentences(arms):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def sentences(arms: Sequence[Compared]) -> Iterator[str]:
    """How the tools agree with ours, what they do otherwise, where they part, and why one says nothing."""
    timed = [a for a in arms if a.theirs]
    if len(timed) > MOST_ROWS:
        yield f"{len(timed) - MOST_ROWS} more arms in opinions.csv"
    for tool in TOOLS:
        near, all_ = Counter[str](), Counter[str]()
        for arm in timed:
            for what, by in arm.theirs.get(tool, Reading()).beside(arm.ours):
                all_[what] += 1
                near[what] += abs(by) <= APART
        if all_:
            counts = [f"{near[what]} of {all_[what]} {_PLURALS[what]}" for what in _PLURALS if all_[what]]
            yield f"{tool}, within {100 * APART:.0f} % of ours: {', '.join(counts)}"
    if timed:
        yield "theirs: one process, arm after arm, speedup by medians; ours: groups of evaluations, interleaved, in several"
    queued = sorted({a.device for a in timed} - {"cpu"})
    if queued:
        yield f"on {', '.join(queued)} theirs wait for the device after every call, ours after a group of calls"
    apart = [f"  {a.arm_id}: {a.parted()}" for a in timed if a.parted()]
    if apart:
        yield f"they part by more than {100 * APART:.0f} %, in terms of ours:"
        yield from apart[:MOST_ROWS]
        yield from [f"  and {len(apart) - MOST_ROWS} more arms"] if len(apart) > MOST_ROWS else []
    for (tool, why), count in Counter((tool, why) for a in arms for tool, why in a.silent.items()).items():
        yield f"{tool} says nothing on {count} of {len(arms)} arms: {why}"


def _cells(arm: Compared) -> tuple[str, ...]:
    torch, pytest = (arm.theirs.get(tool, Reading()) for tool in TOOLS)
    times = (arm.ours.min_s, arm.ours.median_s, torch.median_s, pytest.min_s, pytest.median_s)
    speedups = (arm.ours.speedup, torch.speedup, pytest.speedup)
    return (
        arm.arm_id,
        *("" if t is None else f"{1e6 * t:.1f}" for t in times),
        *("" if s is None else f"{s:.2f}" for s in speedups),
    )
