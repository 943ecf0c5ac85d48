"""The rules of fewer_flops and below_9x (exact), and of cpu_3x and gpu_no_gain: a block's MAC ratio and its speedup."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench.analyse.claims.answers import (
    BELOW,
    LARGE_RATIO,
    NO_RULING,
    SPEEDUP,
    Count,
    Effect,
    Ruling,
    Verdict,
    above,
    at_each,
    below,
    margin_of,
    ruled,
    within,
)
from bench.analyse.claims.bottleneck import bottleneck_of, gain_explained
from bench.analyse.claims.cells import BLOCKS, NETWORKS, TWINS, WORKLOAD, Cell, Rows, by_condition, contest_of
from bench.analyse.claims.verdict_words import NO_INTERVAL, about, counted, margin_note, notes, once_each, runs_of
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.analyse.stats.estimators import mean_of
from bench.analyse.stats.multiple_testing import equivalent
from bench.spec.format import times
from bench.spec.interval import Interval

MOST_NAMED = 4  # shapes in a sentence
MOST_LISTED = 12  # cells in a note


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


def cpu_3x(rows: Rows) -> list[Verdict]:
    """For each condition on a CPU, of blocks with a MAC ratio of LARGE_RATIO or more and of the network."""

    def rule(mean: Interval, _: float) -> Ruling:
        return ruled(above(mean, math.log(SPEEDUP)), below(mean, math.log(SPEEDUP)))

    return _speed("cpu_3x", rows, "cpu", SPEEDUP, rule)


def gpu_no_gain(rows: Rows) -> list[Verdict]:
    """The same on accelerators: no gain beyond the margin."""

    def rule(mean: Interval, margin: float) -> Ruling:
        return ruled(below(mean, margin), above(mean, margin), equivalent(mean, margin))

    verdicts = _speed("gpu_no_gain", rows, "gpu", None, rule)
    return [replace(v, why=f"{v.why}: the same within the margin, which is no speed-up either") if v.answer == "EQUIVALENT" else v for v in verdicts]  # fmt: skip


def has_large_ratio(cell: Cell) -> bool:
    """Whether a cell is the network, or one 3 x 3 block with a MAC ratio of LARGE_RATIO or more.

    One block, as stacks of a sweep are made to be deep and narrow.
    """
    row = cell.row
    one = row["kernel"] == 3 and row["depth"] in (1, None)
    return cell.contest == NETWORKS or (one and (row["mac_ratio"] or 0) >= LARGE_RATIO)


def _speed(claim: str, rows: Rows, kind: str, threshold: float | None, rule: Callable[[Interval, float], Ruling]) -> list[Verdict]:  # fmt: skip
    verdicts = []
    for contest in TWINS:
        cells = [c for c in rows.cells if c.contest == contest and c.condition.kind == kind and has_large_ratio(c)]
        verdicts += at_each(
            by_condition(cells), lambda at, measured: _at_condition(claim, rows, at, measured, threshold, rule)
        )
    return verdicts


def _at_condition(claim: str, rows: Rows, condition: Condition, measured: Sequence[Cell], threshold: float | None, rule: Callable[[Interval, float], Ruling]) -> Verdict:  # fmt: skip
    cells = once_each(measured)
    known = [c for c in cells if c.known]
    mean = mean_of([c.log for c in known or cells])
    margin = margin_of(measured)
    ruling = rule(mean, margin) if known else NO_RULING
    lines: tuple[float, ...]
    if threshold is None:  # the claim holds below the margin
        lines, line, more = within(margin), f"no gain beyond {margin * 100:.2g} %", margin_note(margin)
        surely, surely_not = sum(c.log.high <= margin for c in known), sum(c.log.low > margin for c in known)
    else:
        lines, line, more = (threshold,), f"{threshold:g}x or more", ""
        least = math.log(threshold)
        surely, surely_not = sum(c.log.low >= least for c in known), sum(c.log.high < least for c in known)
    limit = bottleneck_of(rows, condition)
    return Verdict(
        claim=claim, condition=condition, runs=runs_of(measured), about=about(cells[0].contest), answer=ruling.answer,
        why=gain_explained(rows, condition, known, lines) if known else NO_INTERVAL, bottleneck=limit.word,
        effect=Effect.ratio("speedup, geometric mean", mean, lines), p=ruling.p, cells=counted(cells, surely, surely_not, line),
        notes=notes(measured, _one_by_one(cells, lines), more, limit.note),
    )  # fmt: skip


def _one_by_one(cells: Sequence[Cell], lines: Sequence[float]) -> str:
    """Each cell's speedup with its shape, which a mean hides; empty for more than MOST_LISTED cells."""
    if len(cells) > MOST_LISTED:
        return ""
    each = []
    for c in sorted(cells, key=lambda c: (c.row["c_in"] or 0, c.row["height"])):
        channels = f"{c.row['c_in']} channels " if c.row["c_in"] else ""
        each.append(f"{channels}{c.row['height']} px {times(math.exp(c.log.mean), lines=lines)}")
    return f"By shape: {', '.join(each)}"
