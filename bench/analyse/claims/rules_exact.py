"""The rules of fewer_flops and below_9x: exact arithmetic on the MAC ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.analyse.claims.answers import BELOW, Count, Effect, Verdict
from bench.analyse.claims.cells import BLOCKS, WORKLOAD, Rows, contest_of
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.spec.format import times

MOST_NAMED = 4  # shapes in a sentence


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
