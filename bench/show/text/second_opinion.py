"""Second opinions: our times beside torch.utils.benchmark's and pytest-benchmark's, and where they differ by over 10 %.

The other two time one process, arm after arm; our sample is a group of evaluations, interleaved with the other arm's,
in several processes. pytest-benchmark's sample is mostly one evaluation, so on a noisy machine its minimum is the
lowest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.text.terminal import MOST_ROWS, print_lines, print_table
from bench.spec.columns import TOOLS
from bench.spec.format import percent

CLOSE = 0.10  # of ours: a larger difference is listed
VALUES = {"min": "minima", "median": "medians", "speedup": "speedups"}
TITLE = "Second opinions: us per evaluation; speedup is the baseline's time / the block's, above 1 the block is faster."
HEAD = (
    "arm", "our min", "our median", "torch median", "pytest-b. min", "pytest-b. median",
    "our speedup", "torch speedup", "pytest-b. speedup",
)  # fmt: skip

Values = Mapping[str, float | None]  # by VALUES: seconds of one evaluation, and the baseline's time / the arm's


@dataclass(frozen=True, slots=True)
class Compared:
    """One arm by all timers: `theirs` by tool; `missing`, by tool, why it has no times."""

    arm_id: str
    device: str
    ours: Values
    theirs: Mapping[str, Values]
    missing: Mapping[str, str]

    def differences(self, tool: str) -> dict[str, float]:
        """A tool's value / ours - 1, of the values that both have."""
        pairs = {name: (self.theirs.get(tool, {}).get(name), self.ours[name]) for name in VALUES}
        return {name: a / b - 1 for name, (a, b) in pairs.items() if a is not None and b is not None}

    def far(self) -> str:
        """The values that are not CLOSE to ours: `pytest-benchmark min +14 %, speedup -12 %`."""
        by_tool = {t: [f"{n} {100 * d:+.0f} %" for n, d in self.differences(t).items() if abs(d) > CLOSE] for t in self.theirs}  # fmt: skip
        return "; ".join(f"{tool} {', '.join(values)}" for tool, values in by_tool.items() if values)


def compared(run: Run) -> list[Compared]:
    """The arms that second opinions were due on, in the plan's order; empty where the run was to have none."""
    if run.opinions is None:
        return []
    measured = {m["arm_id"]: m for m in records_of(run.measurements)}
    speedups = {p["arm_id"]: p["speedup"] for p in records_of(run.pairs)}
    by_arm = grouped(records_of(run.opinions), lambda row: str(row["arm_id"]))
    arms = []
    for arm_id, rows in by_arm.items():
        ours = measured.get(arm_id, {})
        theirs = {r["tool"]: _values(r, r["speedup"]) for r in rows if r["time_median_s"]}
        missing = {r["tool"]: str(r["detail"] or r["status"]) for r in rows if not r["time_median_s"]}
        values = _values(ours, speedups.get(arm_id))
        arms.append(Compared(arm_id, str(ours.get("device")), values, theirs, missing))
    return arms


def _values(row: Record, speedup: float | None) -> Values:
    return {"min": row.get("time_min_s"), "median": row.get("time_median_s"), "speedup": speedup}


def print_second_opinions(run: Run) -> None:
    """Print the arms that another tool timed too, and the sentences; nothing where the run was to have none."""
    arms = compared(run)
    if not arms:
        return
    timed = [a for a in arms if a.theirs]
    print_lines(["", TITLE] if timed else [""])
    if timed:
        print_table(HEAD, [_row(a) for a in timed[:MOST_ROWS]], 1)
    print_lines(sentences(arms))


def sentences(arms: Sequence[Compared]) -> Iterator[str]:
    """How many values are close to ours, how the tools measure, the arms that differ, and why a tool has no times."""
    timed = [a for a in arms if a.theirs]
    if len(timed) > MOST_ROWS:
        yield f"{len(timed) - MOST_ROWS} more arms in opinions.csv"
    for tool in TOOLS:
        values = [(name, abs(d) <= CLOSE) for a in timed for name, d in a.differences(tool).items()]
        every, close = (Counter(name for name, _ in values), Counter(name for name, near in values if near))
        counts = [f"{close[name]} of {every[name]} {plural}" for name, plural in VALUES.items() if every[name]]
        if counts:
            yield f"{tool}, within {percent(CLOSE)} of ours: {', '.join(counts)}"
    if timed:
        yield "theirs: one process, arm after arm, speedup by medians; ours: groups of evaluations, interleaved, in several"
    queued = sorted({a.device for a in timed} - {"cpu"})
    if queued:
        yield f"on {', '.join(queued)} theirs wait for the device after every call, ours after a group of calls"
    far = [f"  {a.arm_id}: {a.far()}" for a in timed if a.far()]
    if far:
        yield f"more than {percent(CLOSE)} from ours:"
        yield from far[:MOST_ROWS]
        yield from [f"  and {len(far) - MOST_ROWS} more arms"] if len(far) > MOST_ROWS else []
    for (tool, why), count in Counter(item for a in arms for item in a.missing.items()).items():
        yield f"{tool} has no times of {count} of {len(arms)} arms: {why}"


def _row(arm: Compared) -> tuple[str, ...]:
    torch, pytest = (arm.theirs.get(tool, {}) for tool in TOOLS)
    times = (arm.ours["min"], arm.ours["median"], torch.get("median"), pytest.get("min"), pytest.get("median"))
    speedups = (arm.ours["speedup"], torch.get("speedup"), pytest.get("speedup"))
    return (
        arm.arm_id,
        *("" if t is None else f"{1e6 * t:.1f}" for t in times),
        *("" if s is None else f"{s:.2f}" for s in speedups),
    )
