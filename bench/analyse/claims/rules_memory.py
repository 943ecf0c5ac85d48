"""The rule of the claim memory: the bytes that an evaluation holds at its peak, counted and not timed.

Measured peaks hold the library's work buffers, theoretical ones don't, so the two tell the block's part from the library's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from bench.analyse.claims.answers import Answer, Count, Effect, Verdict, within
from bench.analyse.claims.bottleneck import bottleneck_of
from bench.analyse.claims.cells import BLOCKS, WORKLOAD, Rows, contest_of, per_condition, primary
from bench.analyse.claims.verdict_words import about, taken_together
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.spec.columns import MEASURED
from bench.spec.format import capital, plural, times
from bench.spec.interval import EQUIVALENCE_MARGIN

Twins = tuple[Record, Record]


def memory(rows: Rows) -> list[Verdict]:
    """For each condition: peak of standard / peak of separable."""
    measured = []
    for condition, row in rows.pairs:
        twins = rows.twins(condition, row) if contest_of(row) == BLOCKS and row["status"] in MEASURED else None
        if twins is not None and all(arm["memory_peak_bytes"] for arm in twins):
            measured.append((condition, (tuple(row[name] for name in WORKLOAD), twins)))
    groups = per_condition(measured)
    chosen = primary(groups)
    return [replace(_peaks(at, group, rows), confirmatory=at in chosen) for at, group in groups.items()]


def _peaks(condition: Condition, group: Sequence[tuple[tuple[Any, ...], Twins]], rows: Rows) -> Verdict:
    """`group` has workloads with their twins; several experiments or runs may have measured one workload."""
    cells = [[twins for _, twins in alike] for alike in grouped(group, lambda pair: pair[0]).values()]
    each = [
        [math.log(base["memory_peak_bytes"] / thin["memory_peak_bytes"]) for base, thin in again] for again in cells
    ]
    logs = [x for again in each for x in again]
    less, not_less = (
        sum(all((x > EQUIVALENCE_MARGIN) is over for x in again) for again in each) for over in (True, False)
    )
    answer: Answer = "UNDECIDED"
    if all(abs(x) <= EQUIVALENCE_MARGIN for x in logs):
        answer = "EQUIVALENT"
    elif len(each) in (less, not_less):
        answer = "SUPPORTED" if less else "REFUTED"
    params = [math.log(b["params"] / t["params"]) for (b, t), *_ in cells if b["params"] and t["params"]]
    beside = f", beside {times(math.exp(fmean(params)))} fewer params" if params else ""
    mean = fmean(fmean(again) for again in each)
    runs = tuple(sorted({arm["run_id"] for _, twins in group for arm in twins}))
    return Verdict(
        claim="memory", condition=condition, runs=runs, about=about(BLOCKS), answer=answer, bottleneck=bottleneck_of(rows, condition).word,
        why=f"{_whose([again[0] for again in cells], mean)}{beside}",
        effect=Effect("peak of standard / peak of separable", math.exp(mean), math.exp(min(logs)), math.exp(max(logs)), "ratio; its range over cells", within(EQUIVALENCE_MARGIN)),
        cells=Count(len(each), math.exp(min(logs)), math.exp(max(logs)), less, not_less, "a count of bytes has no sampling interval"),
        notes=_again(each, len(runs)),
    )  # fmt: skip


def _whose(cells: Sequence[Twins], measured: float) -> str:
    """Whether the block or the library's work buffers make the difference, by the theoretical peaks (no buffers).

    `measured` is the mean ln of the measured ratio.
    """
    known = [twins for twins in cells if all(arm["memory_theory_bytes"] for arm in twins)]
    if len(known) < len(cells):
        return f"standard holds {times(math.exp(measured))} as much at its peak; by theory unknown"
    ratios = [math.log(base["memory_theory_bytes"] / thin["memory_theory_bytes"]) for base, thin in known]
    low, high = (times(math.exp(end(ratios))) for end in (min, max))
    theory = f"{low} in every cell" if low == high else f"{low} to {high}"
    base, thin = (times(math.exp(fmean(math.log(t[i]["memory_peak_bytes"] / t[i]["memory_theory_bytes"]) for t in known))) for i in (0, 1))  # fmt: skip
    parts = {"the block": fmean(ratios), "the library": measured - fmean(ratios)}
    acting = [f"{who} {'saves' if log > 0 else 'takes more'}" for who, log in parts.items() if abs(log) > EQUIVALENCE_MARGIN]  # fmt: skip
    idle = [who for who, log in parts.items() if abs(log) <= EQUIVALENCE_MARGIN]
    found = f"{' and '.join(acting)}{''.join(f', not {who}' for who in idle)}" if acting else "neither the block nor the library saves on average"  # fmt: skip
    buffers = f"; its work buffers make standard hold {base} its theoretical peak and separable {thin}"
    return f"{found}: by theory {theory}, measured {times(math.exp(measured))}{buffers if 'the library' not in idle else ''}"


def _again(each: Sequence[Sequence[float]], runs: int) -> tuple[str, ...]:
    """The note on cells that several runs, or several experiments of one, measured; `each` has ln(ratio) by cell."""
    spreads = [max(again) - min(again) for again in each if len(again) > 1]
    differ = sum(spread > 1e-9 for spread in spreads)
    lines = [taken_together(runs)] if runs > 1 else []
    again = f"{plural(len(spreads), 'cell')} of {len(each)} measured again"
    if differ:
        lines.append(
            f"{again}, and in {differ} the ratio differs, by up to {times(math.exp(max(spreads)), 0.01)}: the library may choose another algorithm, and such a cell counts as yes or no where all its measurements agree"
        )
    elif runs > 1 and spreads:
        lines.append(f"{again}, with the same ratio")
    return (capital("; ".join(lines)),) if lines else ()
