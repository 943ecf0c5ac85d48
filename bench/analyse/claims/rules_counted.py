"""The rules of what is counted and not timed: fewer_flops and below_9x (exact arithmetic), and memory (peak bytes).

Measured peaks hold the library's work buffers, theoretical ones don't, so the two tell the block's part from the library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from bench.analyse.claims.answers import BELOW, Answer, Count, Effect, Verdict, within
from bench.analyse.claims.bottleneck import bottleneck_of
from bench.analyse.claims.cells import BLOCKS, WORKLOAD, Rows, contest_of, per_condition, primary
from bench.analyse.claims.verdict_words import about, taken_together
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.spec.columns import MEASURED
from bench.spec.format import capital, plural, times
from bench.spec.interval import EQUIVALENCE_MARGIN

Twins = tuple[Record, Record]
MOST_NAMED = 4  # shapes in a sentence


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
    each = [[math.log(b["memory_peak_bytes"] / t["memory_peak_bytes"]) for b, t in again] for again in cells]
    logs = [x for again in each for x in again]
    less, not_less = (
        sum({x > EQUIVALENCE_MARGIN for x in again} == {over} for again in each) for over in (True, False)
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
        most = times(math.exp(max(spreads)), 0.01)
        counted = "the library may choose another algorithm, and such a cell counts as yes or no where all its measurements agree"
        lines.append(f"{again}, and in {differ} the ratio differs, by up to {most}: {counted}")
    elif runs > 1 and spreads:
        lines.append(f"{again}, with the same ratio")
    return (capital("; ".join(lines)),) if lines else ()


def fewer_flops(rows: Rows) -> list[Verdict]:
    """One verdict for each kernel: exact."""
    groups = grouped(_separable(rows), lambda row: int(row["kernel"]))
    return [_exact("fewer_flops", k, groups[k], "smallest", min, 1.0, lambda ratio: ratio > 1) for k in sorted(groups)]


def below_9x(rows: Rows) -> list[Verdict]:
    """One verdict over all rows with k = 3: exact."""
    of_k3 = [r for r in _separable(rows) if r["kernel"] == 3]
    return [_exact("below_9x", 3, of_k3, "largest", max, BELOW, lambda ratio: ratio < BELOW)] if of_k3 else []


def _separable(rows: Rows) -> list[Record]:
    return [r for _, r in rows.pairs if contest_of(r) == BLOCKS and r["mac_ratio"] and r["kernel"] is not None]


def _exact(claim: str, kernel: int, rows: Sequence[Record], word: str, extreme: Callable[[list[float]], float], line: float, holds: Callable[[float], bool]) -> Verdict:  # fmt: skip
    runs = tuple(sorted({r["run_id"] for r in rows}))
    rows = list({tuple(r[name] for name in WORKLOAD): r for r in rows}.values())
    ratios = [float(r["mac_ratio"]) for r in rows]
    fail = [r for r in rows if not holds(r["mac_ratio"])]
    low, high = min(ratios), max(ratios)
    ends = [times(ratio, 0.001, (line,)) for ratio in (low, high)]
    what = ends[0] if low == high else " to ".join(ends)
    shapes = sorted({(r["c_in"], r["c_out"]) for r in fail})
    named = ", ".join(f"{c_in} to {c_out}" for c_in, c_out in shapes[:MOST_NAMED]) + (" and more" if len(shapes) > MOST_NAMED else "")  # fmt: skip
    why = f"the MAC ratio at k = {kernel} is {what}" + (f", and the claim fails from {named} channels" if fail else "")
    return Verdict(
        claim=claim, condition=Condition(), runs=runs, about=f"k = {kernel}",
        answer="REFUTED" if fail else "SUPPORTED", why=why, bottleneck="exact", confirmatory=True,
        effect=Effect(f"{word} MAC ratio", extreme(ratios), None, None, "ratio, exact", (line,)),
        cells=Count(len(rows), low, high, len(rows) - len(fail), len(fail), "shapes, measured or not"),
    )  # fmt: skip
