"""The claims on a ratio of times: faster, cpu_3x and gpu_no_gain on a speedup, device_by_block and parallelism on two.

Each takes the cells of one condition (or of two, that have the same cells) and tests them one by one: see `cell_tests`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.analyse.claims.answers import SPEEDUP, Count, Effect, Verdict, margin_of, within
from bench.analyse.claims.bottleneck import bottleneck_of, gain_explained
from bench.analyse.claims.cell_tests import Found, Ratio, found, tested, too_little, words
from bench.analyse.claims.cells import NETWORKS, TWINS, Cell, Rows, by_condition, primary
from bench.analyse.claims.verdict_words import (
    NO_INTERVAL,
    about,
    between_runs,
    margin_note,
    notes,
    once_each,
    runs_of,
)
from bench.analyse.runs.condition import Condition, Installation
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import joint_mean, widened
from bench.spec.format import plural, size_word, times
from bench.spec.interval import Interval

MOST_LISTED = 12  # cells in a note


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim's question at one condition. `line` is in ln, `holds` says it in words, `lines` are printed beside numbers."""

    condition: Condition
    family: Hashable  # of the correction
    confirmatory: bool
    measured: Sequence[Cell]
    ratios: Sequence[Ratio]
    line: float
    lines: tuple[float, ...]
    holds: str
    effect: Effect
    why: str
    bottleneck: str
    notes: tuple[str, ...]


def faster(rows: Rows) -> list[Verdict]:
    """For each condition: in which cells the separable block is faster at all."""
    return _gain("faster", rows, ("cpu", "gpu"), True, lambda _: 0.0, (1.0,), "faster")


def cpu_3x(rows: Rows) -> list[Verdict]:
    """For each condition on a CPU: in which cells it is SPEEDUP times faster or more."""
    return _gain("cpu_3x", rows, ("cpu",), True, lambda _: math.log(SPEEDUP), (SPEEDUP,), f"{SPEEDUP:g}x or more")


def gpu_no_gain(rows: Rows) -> list[Verdict]:
    """For each condition on an accelerator: in which cells it is not faster by more than the margin."""
    return _gain("gpu_no_gain", rows, ("gpu",), False, margin_of, (), "no gain")


def _gain(claim: str, rows: Rows, kinds: Sequence[str], holds_above: bool, line: Callable[[Sequence[Cell]], float], lines: tuple[float, ...], holds: str) -> list[Verdict]:  # fmt: skip
    verdicts = []
    for contest in TWINS:
        groups = _by_condition(rows, contest, *kinds)
        chosen = primary(groups)
        asked = []
        for at, measured in groups.items():
            merged = once_each(measured, rows.between)
            known = [c for c in merged if c.known]
            margin = line(measured)
            beside = lines or within(margin)
            limit = bottleneck_of(rows, at)
            more = () if lines else (margin_note(margin),)
            asked.append(_Asked(
                at, (at.origin, at.device), at in chosen, measured, [Ratio(c, c.log, c.processes, c.noisy) for c in merged], margin, beside,
                holds if lines else f"{holds} beyond {margin * 100:.2g} %",
                Effect.ratio("speedup, geometric mean", _mean(rows, known or merged), beside),
                gain_explained(rows, at, known, beside) if known else NO_INTERVAL, limit.word,
                (_one_by_one(merged, beside), *more, limit.note),
            ))  # fmt: skip
        verdicts += _judged(claim, rows, asked, holds_above)
    return verdicts


def _by_condition(rows: Rows, contest: str, *kinds: str) -> dict[Condition, list[Cell]]:
    """The cells that the texts speak of: one block of 3 x 3, as stacks are made to be deep and narrow, or the network."""
    cells = [c for c in rows.cells if c.contest == contest and c.condition.kind in kinds]
    return by_condition(c for c in cells if contest == NETWORKS or (c.row["kernel"], c.row["depth"]) in ((3, 1), (3, None)))  # fmt: skip


def device_by_block(rows: Rows) -> list[Verdict]:
    """For each condition on a CPU with each on an accelerator: the ratio of their speedups in the shared cells."""
    verdicts: list[Verdict] = []
    for contest in TWINS:
        groups = {
            at: once_each(cells, rows.between) for at, cells in _by_condition(rows, contest, "cpu", "gpu").items()
        }
        both = [(a, b) for a in groups if a.kind == "cpu" for b in groups if b.kind == "gpu" and _alike(a, b) and _shared(groups[a], groups[b])]  # fmt: skip
        chosen = (primary(a for a, _ in both), primary(b for _, b in both))
        asked = []
        for a, b in both:
            cpu, gpu = _twice(groups[a], groups[b])
            machines = "Within one machine" if _one_machine(a, b) else "Across machines"
            names = " and ".join(filter(None, (a.device_name, b.device_name))) or None
            condition = replace(a, device=f"{a.device} and {b.device}", device_name=names)
            limits = f"{bottleneck_of(rows, a).word} and {bottleneck_of(rows, b).word}"
            labels = a.label, f"{b.label}{f' ({b.device_name})' if b.device_name else ''}"
            asked.append(_quotient(
                rows, condition, (a.origin, a.device, b.origin, b.device), a in chosen[0] and b in chosen[1], gpu, cpu,
                ("on the CPU", "on the accelerator"), labels, 1, limits, (machines,),
            ))  # fmt: skip
        verdicts += _judged("device_by_block", rows, asked, holds_above=True)
    return verdicts


def parallelism(rows: Rows) -> list[Verdict]:
    """For each condition on a CPU, threads apart: the speedup with most threads over that with fewest, in the shared cells."""
    verdicts: list[Verdict] = []
    for contest in TWINS:
        threads: dict[Condition, dict[int, list[Cell]]] = {}
        for at, measured in _by_condition(rows, contest, "cpu").items():
            threads.setdefault(replace(at, threads=None), {})[at.threads or 0] = once_each(measured, rows.between)
        by = {at: some for at, some in threads.items() if len(some) > 1 and _shared(some[min(some)], some[max(some)])}
        chosen = primary(by)
        asked = []
        for at, some in by.items():
            few, most = min(some), max(some)
            one, other = _twice(some[few], some[most])
            asked.append(_quotient(
                rows, at, (at.origin, at.device), at in chosen, one, other, (f"with {most} threads", f"with {few}"),
                (plural(most, "thread"), plural(few, "thread")), -1, "unknown", (_other_kernels(rows, one, other, most, few),),
            ))  # fmt: skip
        verdicts += _judged("parallelism", rows, asked, holds_above=False)
    return verdicts


def _quotient(rows: Rows, condition: Condition, family: Hashable, confirmatory: bool, below: Sequence[Cell], above: Sequence[Cell], names: tuple[str, str], labels: tuple[str, str], side: int, limits: str, more: tuple[str, ...]) -> _Asked:  # fmt: skip
    """The speedups of `above` over those of `below`, cell by cell; beyond the margin on the `side` the claim holds."""
    margin = margin_of([*above, *below])
    ratios = [
        Ratio(a, estimators.difference(b.log, a.log), min(a.processes, b.processes), a.noisy or b.noisy)
        for a, b in zip(above, below, strict=True)
    ]
    means = _mean(rows, above), _mean(rows, below)
    ratio = estimators.difference(means[1], means[0])
    gains = [f"{times(math.exp(mean.mean))} on {label}" for mean, label in zip(means, labels, strict=True)]
    return _Asked(
        condition, family, confirmatory, [*above, *below], ratios, side * margin, within(margin),
        f"{'above' if side > 0 else 'below'} the margin", Effect.ratio(f"speedup {names[0]} / {names[1]}", ratio, within(margin)),
        f"over the same {plural(len(ratios), 'cell')} the block buys {' and '.join(gains)}" if math.isfinite(ratio.half_width) else NO_INTERVAL,
        limits, (*more, margin_note(margin)),
    )  # fmt: skip


def _judged(claim: str, rows: Rows, asked: Sequence[_Asked], holds_above: bool) -> list[Verdict]:
    by = {a.condition: a for a in asked}
    ratios = tested({at: a.ratios for at, a in by.items()}, {at: a.family for at, a in by.items()}, lambda at: by[at].confirmatory, lambda at: by[at].line)  # fmt: skip
    return [_verdict(claim, rows, a, ratios[at], holds_above) for at, a in by.items()]


def _verdict(claim: str, rows: Rows, asked: _Asked, ratios: Sequence[Ratio], holds_above: bool) -> Verdict:
    f = found(ratios, holds_above, asked.line)
    values = [math.exp(r.log.mean) for r in ratios]
    counted = f"{asked.holds} surely in {f.holds} of {words(ratios)}, surely not in {f.fails}"
    return Verdict(
        claim=claim, condition=asked.condition, runs=runs_of(asked.measured), about=about(asked.measured[0].contest),
        answer=f.answer, why=asked.why, bottleneck=asked.bottleneck, effect=asked.effect, p=f.p, p_adjusted=f.p,
        confirmatory=asked.confirmatory, cells=Count(len(ratios), min(values), max(values), f.holds, f.fails, counted),
        channels=f.channels, leaning=f.leaning, weak=f.weak, fragile=f.fragile, without_noisy=f.without_noisy,
        notes=(*_cautions(f), *notes(asked.measured, rows.between, *asked.notes)),
    )  # fmt: skip


def _cautions(f: Found) -> tuple[str, ...]:
    """What the answer rests on, and how it would read otherwise."""
    weak = too_little(f.weak, f.leaning) if f.weak else ""
    quiet = f"Without its noisy rows: {f.without_noisy}" if f.without_noisy else ""
    return tuple(filter(None, (weak, quiet)))


def _mean(rows: Rows, cells: Sequence[Cell]) -> Interval:
    """Mean ln(speedup) over cells of one condition, each workload once, with what runs differ by."""
    return widened(joint_mean([c.by_process for c in cells], [c.log for c in cells]), between_runs(cells, rows.between))


def _one_by_one(cells: Sequence[Cell], lines: Sequence[float]) -> str:
    """Each cell's speedup with its shape, which a mean hides; empty for more than MOST_LISTED cells."""
    if len(cells) > MOST_LISTED:
        return ""
    each = []
    for c in sorted(cells, key=lambda c: (c.row["c_in"] or 0, c.row["height"])):
        channels = f"{c.row['c_in']} channels " if c.row["c_in"] else ""
        size = size_word(c.row["height"], c.row["width"])
        each.append(f"{channels}{size} {times(math.exp(c.log.mean), lines=lines)}")
    return f"By shape: {', '.join(each)}"


def _other_kernels(rows: Rows, few: Sequence[Cell], most: Sequence[Cell], threads: int, fewest: int) -> str:
    """In how many workloads the library runs another kernel with more threads, which is no matter of parallelism."""
    kernels = [(_kernels(rows, a), _kernels(rows, b)) for a, b in zip(few, most, strict=True)]
    changed = sum(one != other for one, other in kernels if None not in (one, other))
    return f"In {changed} of {plural(len(few), 'cell')} the library runs another kernel with {threads} threads than with {fewest} (column backends)" if changed else ""  # fmt: skip


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


def _twice(one: Sequence[Cell], other: Sequence[Cell]) -> tuple[list[Cell], list[Cell]]:
    """The cells of both groups that have the same workloads, in the same order; those with intervals if there are any."""
    known = [c for c in one if c.known], [c for c in other if c.known]
    one, other = known if _shared(*known) else (one, other)
    theirs: Mapping[tuple[Any, ...], Cell] = {c.workload: c for c in other}
    mine = [c for c in one if c.workload in theirs]
    return mine, [theirs[c.workload] for c in mine]
