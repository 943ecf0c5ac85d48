"""The rule of the claim on memory: what an evaluation holds at its peak, counted in bytes and not timed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench.analyse.claims.answers import Answer, Count, Effect, Verdict, within
from bench.analyse.claims.bottleneck import regime_of
from bench.analyse.claims.conditions import BLOCKS, WORKLOAD, Rows, Site, contest_of, primary
from bench.analyse.claims.rules_speed import about, cell_count
from bench.analyse.runs.rows import Record
from bench.analyse.stats.row_verdict import EQUIVALENCE_MARGIN
from bench.spec.columns import MEASURED
from bench.spec.format import capital, times


def memory(rows: Rows) -> list[Verdict]:
    """Per site: the bytes that an evaluation holds at its peak, standard over separable."""
    groups: dict[Site, dict[tuple[Any, ...], list[tuple[Record, Record]]]] = {}
    for site, row in rows.pairs:
        twins = rows.twins(site, row) if contest_of(row) == BLOCKS and row["status"] in MEASURED else None
        if twins is not None and all(a["memory_peak_bytes"] for a in twins):
            groups.setdefault(site, {}).setdefault(tuple(row[name] for name in WORKLOAD), []).append(twins)
    confirmed = primary(groups)
    return [replace(_peaks(site, [*groups[site].values()], rows), confirmatory=site in confirmed) for site in sorted(groups, key=Site.order)]  # fmt: skip


def _peaks(site: Site, cells: Sequence[Sequence[tuple[Record, Record]]], rows: Rows) -> Verdict:
    """`cells` are the twins of each workload, of which several experiments or runs may have measured one."""
    each = [[math.log(base["memory_peak_bytes"] / thin["memory_peak_bytes"]) for base, thin in own] for own in cells]
    logs = [x for own in each for x in own]
    less, not_less = (sum(all((x > EQUIVALENCE_MARGIN) is over for x in own) for own in each) for over in (True, False))
    answer: Answer = "UNDECIDED"
    if all(abs(x) <= EQUIVALENCE_MARGIN for x in logs):
        answer = "EQUIVALENT"
    elif len(each) in (less, not_less):
        answer = "SUPPORTED" if less else "REFUTED"
    params = [math.log(b["params"] / t["params"]) for (b, t), *_ in cells if b["params"] and t["params"]]
    beside = f" beside {times(math.exp(math.fsum(params) / len(params)))} fewer params" if params else ""
    mean = math.fsum(math.fsum(own) / len(own) for own in each) / len(each)
    runs = tuple(sorted({a["run_id"] for own in cells for pair in own for a in pair}))
    return Verdict(
        claim="memory", site=site, runs=runs, about=about(BLOCKS), answer=answer, regime=regime_of(rows, site).word,
        why=f"standard holds {times(math.exp(mean))} as much at its peak{beside}, and {cell_count(less)} of {len(each)} hold less by over 3 %: the maps between layers count, weights and input don't",
        effect=Effect("peak of standard / peak of separable", math.exp(mean), math.exp(min(logs)), math.exp(max(logs)), "ratio; its range over cells", within(EQUIVALENCE_MARGIN)),
        cells=Count(len(each), math.exp(min(logs)), math.exp(max(logs)), less, not_less, "a count of bytes has no sampling interval"),
        notes=_again(each, len(runs)),
    )  # fmt: skip


def _again(each: Sequence[Sequence[float]], runs: int) -> tuple[str, ...]:
    """What is to be known of cells that several runs, or several experiments of one, measured; ln(ratio) by cell."""
    spreads = [max(own) - min(own) for own in each if len(own) > 1]
    differ = sum(spread > 1e-9 for spread in spreads)
    said = [f"{runs} runs of one machine, or of machines alike, taken together"] if runs > 1 else []
    again = f"{cell_count(len(spreads))} of {len(each)} measured again"
    if differ:
        said.append(
            f"{again}, and in {differ} the ratio differs, by up to {times(math.exp(max(spreads)), 0.01)}: the library may choose another algorithm, and such a cell counts as yes or no where all its measurements agree"
        )
    elif runs > 1 and spreads:
        said.append(f"{again}, with the same ratio")
    return (capital("; ".join(said)),) if said else ()
