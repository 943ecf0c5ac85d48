"""A history on the terminal: the runs in their order, their mean over rows, and where it changed."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TextIO

import numpy as np

from bench.analyse.compare.change_points import ENOUGH_RUNS, Change, History, Shift
from bench.analyse.compare.compare import BETTER, CHANGED, JUDGED, Quantity, Verdict
from bench.show.text.compare import WAYS
from bench.show.text.terminal import console_on, print_table
from bench.spec.format import interval, percent, times

QUANTITY: dict[Quantity, str] = {"speedup": "speedup", "time": "median time"}
MOST_SHIFTS = 8


def show(found: History, file: TextIO | None = None) -> None:
    """Print the runs, the mean of each against the first, and the changes."""
    console = console_on(file or sys.stdout)
    console.print(f"{QUANTITY[found.quantity]} / that of the first run, geometric mean of {len(found.rows)} rows; above 1x: {WAYS[found.quantity][0]}", markup=False, highlight=False)  # fmt: skip
    lines = [
        (date(found, i), run.run_id, str(run.environment.get("torch") or "unknown"), times(math.exp(mean), 0.01), _mark(found, i))
        for i, (run, mean) in enumerate(zip(found.runs, found.means, strict=True))
    ]  # fmt: skip
    print_table(console, ("started", "run", "torch", "mean", ""), lines, 3)
    for line in sentences(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def sentences(found: History) -> Iterator[str]:
    """What changed, when and in which rows."""
    for change in found.changes:
        yield _change(found, change)
        moved = sorted((s for s in change.shifts if s.verdict in CHANGED), key=lambda s: -abs(s.log.mean))
        if moved:
            more = f", and {len(moved) - MOST_SHIFTS} more" if len(moved) > MOST_SHIFTS else ""
            yield f"  rows beyond the margin: {'; '.join(_row(s) for s in moved[:MOST_SHIFTS])}{more}"
        for d in change.differences:
            yield f"  changed there too: {d.name}: {d.a} before, {d.b} after"
    if not found.changes:
        few = f"; from {ENOUGH_RUNS} runs on one can be told" if len(found.runs) < ENOUGH_RUNS else ""
        yield f"no change point in {len(found.runs)} runs{few}"
    if found.left_out:
        yield f"{found.left_out} row{'s are' if found.left_out != 1 else ' is'} left out, as some run did not measure {'them' if found.left_out != 1 else 'it'}"


def to_dict(found: History) -> dict[str, Any]:
    """Plain data for --json."""
    return {
        "quantity": found.quantity,
        "better": BETTER[found.quantity],
        "margin": found.margin,
        "rows": [{"trial_id": r["trial_id"], "block": r["block"], "ratios_to_first": np.exp(found.logs[:, i] - found.logs[0, i]).tolist()} for i, r in enumerate(found.rows)],
        "left_out": found.left_out,
        "runs": [{"run_id": run.run_id, "started_utc": date(found, i), "torch": run.environment.get("torch"), "mean_ratio_to_first": math.exp(mean)} for i, (run, mean) in enumerate(zip(found.runs, found.means, strict=True))],
        "changes": [
            {
                "run_id": found.runs[c.at].run_id,
                "p": c.p,
                "mean_after_over_before": math.exp(c.mean.mean),
                "rows": [{"trial_id": s.row["trial_id"], "block": s.row["block"], "after_over_before": math.exp(s.log.mean), "verdict": s.verdict} for s in c.shifts],
                "differences": [asdict(d) for d in c.differences],
            }
            for c in found.changes
        ],
    }  # fmt: skip


def title(found: History) -> str:
    """The largest change in a sentence, or that there is none."""
    if not found.changes:
        return f"No change point in {len(found.runs)} runs"
    largest = max(found.changes, key=lambda c: abs(c.mean.mean))
    more = f"; {len(found.changes)} change points" if len(found.changes) > 1 else ""
    what = "Speedups" if found.quantity == "speedup" else "Times"
    return f"{what} {moved(found, largest)} from {date(found, largest.at)[:16].replace('T', ' ')} on{more}"


def _change(found: History, change: Change) -> str:
    told = ", ".join(f"{n} {v.lower()}" for v, n in counted(change))
    return f"change at {found.runs[change.at].run_id} (p = {change.p:.3f}): {interval(change.mean)} of before, {moved(found, change)}; rows: {told}"


def counted(change: Change) -> list[tuple[Verdict, int]]:
    """How many rows got each verdict at a change point, those that none got left out."""
    counts = Counter(s.verdict for s in change.shifts)
    return [(v, counts[v]) for v in JUDGED if counts[v]]


def moved(found: History, change: Change) -> str:
    """By how much the mean over rows moved, and which way."""
    size = percent(abs(math.expm1(change.mean.mean)))
    return f"{size} {WAYS[found.quantity][0 if change.mean.mean > 0 else 1]}"


def _row(s: Shift) -> str:
    return f"{s.row['trial_id']} {s.row['block']} {times(math.exp(s.log.mean), 0.01)}"


def _mark(found: History, i: int) -> str:
    return "changed" if any(c.at == i for c in found.changes) else ""


def date(found: History, i: int) -> str:
    """When the run at this place was started, to the second; nothing for a place that no run has."""
    within = 0 <= i < len(found.runs)
    return str(found.runs[i].environment.get("started_utc"))[:19] if within else ""
