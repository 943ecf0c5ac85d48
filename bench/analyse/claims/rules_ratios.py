"""The rules of device_by_block and parallelism: the speedup under one condition over the speedup under another.

device_by_block sets a CPU beside an accelerator, parallelism few threads beside many, over the cells that both have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analyse.claims.answers import (
    NO_RULING,
    Count,
    Effect,
    Verdict,
    above,
    at_each,
    below,
    margin_of,
    ruled,
    within,
)
from bench.analyse.claims.bottleneck import bottleneck_of
from bench.analyse.claims.cells import TWINS, Cell, Rows, by_condition, primary
from bench.analyse.claims.verdict_words import NO_INTERVAL, about, margin_note, notes, once_each, runs_of
from bench.analyse.runs.condition import Condition, Installation
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import mean_of, slope
from bench.analyse.stats.multiple_testing import equivalent
from bench.spec.format import plural, times
from bench.spec.interval import Interval


def device_by_block(rows: Rows) -> list[Verdict]:
    """For each condition on a CPU with each on an accelerator: the ratio of their speedups over the shared cells."""
    verdicts: list[Verdict] = []
    for contest in TWINS:
        groups = by_condition(c for c in rows.cells if c.contest == contest)
        both = [(a, b) for a in groups if a.kind == "cpu" for b in groups if b.kind == "gpu" and _alike(a, b) and _shared(groups[a], groups[b])]  # fmt: skip
        chosen = (primary(a for a, _ in both), primary(b for _, b in both))
        for a, b in both:
            ours, theirs = _known(groups[a]), _known(groups[b])
            v = _between(rows, a, b, *((ours, theirs) if _shared(ours, theirs) else (groups[a], groups[b])))
            verdicts.append(replace(v, confirmatory=a in chosen[0] and b in chosen[1]))
    return verdicts


def _between(rows: Rows, a: Condition, b: Condition, ours: Sequence[Cell], theirs: Sequence[Cell]) -> Verdict:
    shared = _shared(ours, theirs)
    cpu, gpu = _of(ours, shared), _of(theirs, shared)
    on_cpu, on_gpu = _level(cpu), _level(gpu)
    ratio, margin = estimators.difference(on_gpu, on_cpu), margin_of([*cpu, *gpu])
    sure = math.isfinite(ratio.half_width)
    ruling = ruled(above(ratio, margin), below(ratio, -margin), equivalent(ratio, margin)) if sure else NO_RULING
    machines = "Within one machine" if _one_machine(a, b) else "Across machines"
    where = f"{a.label} and {b.device}" + (f" ({b.device_name})" if b.device_name else "")
    names = " and ".join(filter(None, (a.device_name, b.device_name))) or None
    return Verdict(
        claim="device_by_block", condition=replace(a, device=f"{a.device} and {b.device}", device_name=names),
        runs=runs_of([*cpu, *gpu]), about=about(ours[0].contest), answer=ruling.answer,
        why=f"over the same {plural(len(shared), 'cell')} the block buys {_gain(on_cpu)} on {a.label} and {_gain(on_gpu)} on {b.label}" if sure else NO_INTERVAL,
        bottleneck=f"{bottleneck_of(rows, a).word} and {bottleneck_of(rows, b).word}",
        effect=Effect.ratio("speedup on the CPU / on the accelerator", ratio, within(margin)), p=ruling.p,
        cells=_range_of_ratios(shared, cpu, gpu, where), notes=notes([*cpu, *gpu], machines, margin_note(margin)),
    )  # fmt: skip


def parallelism(rows: Rows) -> list[Verdict]:
    """For each condition on a CPU, threads apart: how the speedup changes with the threads, over the shared cells."""
    verdicts: list[Verdict] = []
    for contest in TWINS:
        cells = [c for c in rows.cells if c.contest == contest and c.condition.kind == "cpu"]
        several = _by_threads(cells) | _by_threads(_known(cells))
        verdicts += at_each(several, lambda condition, by: _over_threads(rows, condition, by))
    return verdicts


def _by_threads(cells: Sequence[Cell]) -> dict[Condition, dict[int, list[Cell]]]:
    """By condition apart from its threads, then by threads, where two numbers of threads or more share cells."""
    groups: dict[Condition, dict[int, list[Cell]]] = {}
    for condition, alike in by_condition(cells).items():
        if condition.threads:
            groups.setdefault(replace(condition, threads=None), {})[condition.threads] = alike
    return {condition: by for condition, by in groups.items() if len(by) > 1 and _shared(*by.values())}


def _over_threads(rows: Rows, condition: Condition, by: Mapping[int, Sequence[Cell]]) -> Verdict:
    shared = _shared(*by.values())
    counts = sorted(by)
    cells = {t: _of(by[t], shared) for t in counts}
    levels = [_level(cells[t]) for t in counts]
    steepness = slope(np.log(np.array(counts, dtype=np.float64)), levels)
    every = [c for t in counts for c in cells[t]]
    ratio, margin = estimators.difference(levels[0], levels[-1]), margin_of(every)
    sure = math.isfinite(steepness.half_width)
    ruling = NO_RULING
    if sure:
        far = abs(ratio.mean) > margin
        ruling = ruled(
            below(steepness, 0) if far else 1.0, above(steepness, 0) if far else 1.0, equivalent(ratio, margin)
        )
    most, few = counts[-1], counts[0]
    gains = " and ".join(f"{_gain(level)} with {plural(t, 'thread')}" for t, level in zip(counts, levels, strict=True))
    return Verdict(
        claim="parallelism", condition=condition, runs=runs_of(every), about=about(every[0].contest), answer=ruling.answer,
        why=f"over the same {plural(len(shared), 'cell')} the block buys {gains}: {steepness.mean:+.2f} for each e-fold of threads" if sure else NO_INTERVAL,
        effect=Effect.ratio(f"speedup with {most} threads / with {few}", ratio, within(margin)), p=ruling.p,
        cells=_range_of_ratios(shared, cells[most], cells[few], f"at {', '.join(map(str, counts))} threads"),
        notes=notes(every, margin_note(margin), _other_kernels(rows, cells[few], cells[most], most, few)),
    )  # fmt: skip


def _other_kernels(rows: Rows, few: Sequence[Cell], most: Sequence[Cell], threads: int, fewest: int) -> str:
    """In how many workloads the library runs another kernel with more threads, which is no matter of parallelism."""
    one, other = ({c.workload: _kernels(rows, c) for c in cells} for cells in (few, most))
    changed = sum(one[key] != other[key] for key in one if None not in (one[key], other[key]))
    return f"In {changed} of {plural(len(one), 'cell')} the library runs another kernel with {threads} threads than with {fewest} (column backends)" if changed else ""  # fmt: skip


def _kernels(rows: Rows, cell: Cell) -> tuple[str, ...] | None:
    twins = rows.twins(cell.condition, cell.row)
    backends = [arm["backends"] for arm in twins or ()]
    return tuple(map(str, backends)) if backends and None not in backends else None


def _alike(a: Condition, b: Condition) -> bool:
    names = ("dtype", "layout", "mode", "pass_", "batch")
    return all(getattr(a, name) == getattr(b, name) for name in names)


def _one_machine(a: Condition, b: Condition) -> bool:
    one, other = a.origin, b.origin
    return isinstance(one, Installation) and isinstance(other, Installation) and one.machine == other.machine


def _shared(*groups: Sequence[Cell]) -> set[tuple[Any, ...]]:
    """The workloads that all groups have."""
    return set.intersection(*({c.workload for c in cells} for cells in groups))


def _of(cells: Sequence[Cell], workloads: set[tuple[Any, ...]]) -> list[Cell]:
    return [c for c in cells if c.workload in workloads]


def _known(cells: Sequence[Cell]) -> list[Cell]:
    return [c for c in cells if c.known]


def _level(cells: Sequence[Cell]) -> Interval:
    """Mean ln(speedup) over workloads, each counted once."""
    return mean_of([c.log for c in once_each(cells)])


def _gain(level: Interval) -> str:
    return times(math.exp(level.mean))


def _range_of_ratios(shared: set[tuple[Any, ...]], ours: Sequence[Cell], theirs: Sequence[Cell], words: str) -> Count:
    """How many workloads are shared, and from which to which ratio of speedups they range."""
    each = [x.log.mean - y.log.mean for x in ours for y in theirs if x.workload == y.workload]
    return Count(len(shared), math.exp(min(each)), math.exp(max(each)), words=words)
