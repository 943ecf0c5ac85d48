"""The rules of the claims on arithmetic and speed: from rows to verdicts, site by site."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analyse.claims.answers import (
    BELOW,
    PROMISED,
    SPEEDUP,
    Count,
    Effect,
    Ruling,
    Verdict,
    above,
    below,
    margin_of,
    ruled,
    same,
    within,
)
from bench.analyse.claims.bottleneck import bought, regime_of
from bench.analyse.claims.conditions import (
    BLOCKS,
    NETWORKS,
    TWINS,
    WORKLOAD,
    Cell,
    Rows,
    Site,
    by_site,
    contest_of,
    primary,
)
from bench.analyse.runs.rows import Record
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import mean_of, slope
from bench.spec.format import times
from bench.spec.interval import Interval

MOST_NAMED = 4  # shapes in a sentence
MOST_LISTED = 12  # cells in a note
NO_INTERVAL = "one process measured each row, so there is no interval"


# ---------------------------------------------------------------- arithmetic


def fewer_flops(rows: Rows) -> list[Verdict]:
    """One verdict for each kernel: exact."""
    groups: dict[int, list[Record]] = {}
    for row in _separable(rows):
        groups.setdefault(int(row["kernel"]), []).append(row)
    return [_exact("fewer_flops", k, groups[k], "smallest", min, 1.0, lambda ratio: ratio > 1) for k in sorted(groups)]


def below_9x(rows: Rows) -> list[Verdict]:
    """One verdict over all rows with k = 3: exact."""
    own = [r for r in _separable(rows) if r["kernel"] == 3]
    return [_exact("below_9x", 3, own, "largest", max, BELOW, lambda ratio: ratio < BELOW)] if own else []


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
        claim=claim, site=Site(), runs=runs, about=f"k = {kernel}",
        answer="REFUTED" if fail else "SUPPORTED", why=why, regime="exact", confirmatory=True,
        effect=Effect(f"{word} MAC ratio", extreme(ratios), None, None, "ratio, exact", (line,)),
        cells=Count(len(rows), low, high, len(rows) - len(fail), len(fail), "shapes, measured or not"),
    )  # fmt: skip


# ---------------------------------------------------------------- speed


def cpu_3x(rows: Rows) -> list[Verdict]:
    """Per CPU site, for blocks of the promised size and for the network."""

    def rule(mean: Interval, _: float) -> Ruling:
        return ruled(above(mean, math.log(SPEEDUP)), below(mean, math.log(SPEEDUP)))

    return _speed("cpu_3x", rows, "cpu", SPEEDUP, rule)


def gpu_no_gain(rows: Rows) -> list[Verdict]:
    """The same on accelerators: no gain beyond the margin."""

    def rule(mean: Interval, margin: float) -> Ruling:
        return ruled(below(mean, margin), above(mean, margin), same(mean, margin))

    found = _speed("gpu_no_gain", rows, "gpu", None, rule)
    return [replace(v, why=f"{v.why}: the same within the margin, which is no speed-up either") if v.answer == "EQUIVALENT" else v for v in found]  # fmt: skip


def promised(cell: Cell) -> bool:
    """Whether a cell was promised 8 to 9 times: the network, or one 3 x 3 block with a MAC ratio of PROMISED or more.

    One block, as stacks of a sweep are made to be deep and narrow.
    """
    row = cell.row
    one = row["kernel"] == 3 and row["depth"] in (1, None)
    return cell.contest == NETWORKS or (one and (row["mac_ratio"] or 0) >= PROMISED)


def _speed(claim: str, rows: Rows, kind: str, threshold: float | None, rule: Callable[[Interval, float], Ruling]) -> list[Verdict]:  # fmt: skip
    found = []
    for contest in TWINS:
        cells = [c for c in rows.cells if c.contest == contest and c.site.kind == kind and promised(c)]
        groups = by_site(cells)
        confirmed = primary(groups)
        for site, own in groups.items():
            v = _at_site(claim, rows, site, own, threshold, rule)
            found.append(replace(v, confirmatory=site in confirmed))
    return found


def _at_site(claim: str, rows: Rows, site: Site, measured: Sequence[Cell], threshold: float | None, rule: Callable[[Interval, float], Ruling]) -> Verdict:  # fmt: skip
    cells = _once_each(measured)
    known = [c for c in cells if c.known]
    mean = mean_of([c.log for c in known or cells])
    margin = margin_of(measured)
    line = margin if threshold is None else math.log(threshold)
    lines = within(margin) if threshold is None else (threshold,)
    ruling = rule(mean, margin) if known else Ruling("UNDECIDED", None)
    surely, not_ = sum(c.log.low >= line for c in known), sum(c.log.high < line for c in known)
    if threshold is None:  # the claim holds below the line
        surely, not_ = sum(c.log.high <= line for c in known), sum(c.log.low > line for c in known)
    where = regime_of(rows, site, cells)
    return Verdict(
        claim=claim, site=site, runs=runs_of(measured), about=about(cells[0].contest), answer=ruling.answer,
        why=bought(rows, site, known, lines) if known else NO_INTERVAL, regime=where.word,
        effect=Effect.ratio("speedup, geometric mean", mean, lines), p=ruling.p, cells=counted(cells, surely, not_, _line(threshold, margin)),
        notes=notes(measured, _one_by_one(cells, lines), _margin(margin) if threshold is None else "", where.note),
    )  # fmt: skip


def device_by_block(rows: Rows) -> list[Verdict]:
    """Per pair of a CPU site and an accelerator's: the ratio of their speedups over the cells that both have."""
    found: list[tuple[tuple[Site, Site], Verdict]] = []
    for contest in TWINS:
        groups = by_site(c for c in rows.cells if c.contest == contest)
        both = [(a, b) for a in groups if a.kind == "cpu" for b in groups if b.kind == "gpu" and _alike(a, b) and _shared(groups[a], groups[b])]  # fmt: skip
        confirmed = (primary(a for a, _ in both), primary(b for _, b in both))
        for a, b in both:
            ours, theirs = _known(groups[a]), _known(groups[b])
            v = _between(rows, a, b, *((ours, theirs) if _shared(ours, theirs) else (groups[a], groups[b])))
            found.append(((a, b), replace(v, confirmatory=a in confirmed[0] and b in confirmed[1])))
    return [v for _, v in found]


def _between(rows: Rows, a: Site, b: Site, ours: Sequence[Cell], theirs: Sequence[Cell]) -> Verdict:
    keys = _shared(ours, theirs)
    cpu, gpu = ([c for c in cells if c.workload in keys] for cells in (ours, theirs))
    means = _level(cpu), _level(gpu)
    ratio, margin = estimators.difference(means[1], means[0]), margin_of([*cpu, *gpu])
    sure = math.isfinite(ratio.half_width)
    ruling = (
        ruled(above(ratio, margin), below(ratio, -margin), same(ratio, margin)) if sure else Ruling("UNDECIDED", None)
    )
    machines = "Within one machine" if a.setup and b.setup and a.setup.machine == b.setup.machine else "Across machines"
    each = [(x.log.mean - y.log.mean) for x in cpu for y in gpu if x.workload == y.workload]
    where = f"{a.label} and {b.device}" + (f" ({b.device_name})" if b.device_name else "")
    site = replace(a, device=f"{a.device} and {b.device}", device_name=" and ".join(filter(None, (a.device_name, b.device_name))) or None)  # fmt: skip
    return Verdict(
        claim="device_by_block", site=site, runs=runs_of([*cpu, *gpu]), about=about(ours[0].contest), answer=ruling.answer,
        why=f"over the same {cell_count(len(keys))} the block buys {times(math.exp(means[0].mean))} on {a.label} and {times(math.exp(means[1].mean))} on {b.label}" if sure else NO_INTERVAL,
        regime=f"{regime_of(rows, a, cpu).word} and {regime_of(rows, b, gpu).word}",
        effect=Effect.ratio("speedup on the CPU / on the accelerator", ratio, within(margin)), p=ruling.p,
        cells=Count(len(keys), math.exp(min(each)), math.exp(max(each)), words=where),
        notes=notes([*cpu, *gpu], machines, _margin(margin)),
    )  # fmt: skip


def _alike(a: Site, b: Site) -> bool:
    names = ("dtype", "layout", "mode", "pass_", "batch")
    return all(getattr(a, name) == getattr(b, name) for name in names)


def _shared(ours: Sequence[Cell], theirs: Sequence[Cell]) -> set[tuple[Any, ...]]:
    return {c.workload for c in ours} & {c.workload for c in theirs}


def _known(cells: Sequence[Cell]) -> list[Cell]:
    return [c for c in cells if c.known]


def _level(cells: Sequence[Cell]) -> Interval:
    """Mean ln(speedup) over workloads, each counted once."""
    return mean_of([c.log for c in _once_each(cells)])


def _once_each(cells: Sequence[Cell]) -> list[Cell]:
    """A cell for each workload: of one that several experiments measured, the mean, where possible of those with an interval."""
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.workload, []).append(cell)
    merged = []
    for alike in groups.values():
        known = [c for c in alike if c.known] or alike
        merged.append(replace(known[0], log=mean_of([c.log for c in known])))
    return merged


def parallelism(rows: Rows) -> list[Verdict]:
    """Per CPU site apart from its threads: how the speedup goes with the number of threads, over the cells that all have."""
    found: list[Verdict] = []
    for contest in TWINS:
        own = [c for c in rows.cells if c.contest == contest and c.site.kind == "cpu"]
        several = _by_threads(own) | _by_threads(_known(own))
        confirmed = primary(several)
        found += [
            replace(_over_threads(rows, site, by), confirmatory=site in confirmed) for site, by in several.items()
        ]
    return found


def _by_threads(cells: Sequence[Cell]) -> dict[Site, dict[int, list[Cell]]]:
    """By site apart from its threads, and then by them, where cells are the same at two numbers of threads or more."""
    groups: dict[Site, dict[int, list[Cell]]] = {}
    for site, own in by_site(cells).items():
        if site.threads:
            groups.setdefault(replace(site, threads=None), {})[site.threads] = own
    return {site: by for site, by in groups.items() if len(by) > 1 and _everywhere(by)}


def _everywhere(by: Mapping[int, Sequence[Cell]]) -> set[tuple[Any, ...]]:
    return set.intersection(*({c.workload for c in cells} for cells in by.values()))


def _over_threads(rows: Rows, site: Site, by: Mapping[int, Sequence[Cell]]) -> Verdict:
    keys = _everywhere(by)
    counts = sorted(by)
    cells = {t: [c for c in by[t] if c.workload in keys] for t in counts}
    means = [_level(cells[t]) for t in counts]
    steepness = slope(np.log(np.array(counts, dtype=np.float64)), means)
    ratio, margin = estimators.difference(means[0], means[-1]), margin_of([c for t in counts for c in cells[t]])
    far = abs(ratio.mean) > margin
    sure = math.isfinite(steepness.half_width)
    ruling = Ruling("UNDECIDED", None)
    if sure:
        ruling = ruled(below(steepness, 0) if far else 1.0, above(steepness, 0) if far else 1.0, same(ratio, margin))
    most, few = counts[-1], counts[0]
    each = [y.log.mean - x.log.mean for x in cells[few] for y in cells[most] if x.workload == y.workload]
    everything = [c for t in counts for c in cells[t]]
    told = " and ".join(f"{times(math.exp(m.mean))} with {t} thread{'s' if t != 1 else ''}" for t, m in zip(counts, means, strict=True))  # fmt: skip
    return Verdict(
        claim="parallelism", site=site, runs=runs_of(everything), about=about(everything[0].contest), answer=ruling.answer,
        why=f"over the same {cell_count(len(keys))} the block buys {told}: {steepness.mean:+.2f} for each e-fold of threads" if sure else NO_INTERVAL,
        effect=Effect.ratio(f"speedup with {most} threads / with {few}", ratio, within(margin)), p=ruling.p,
        cells=Count(len(keys), math.exp(min(each)), math.exp(max(each)), words=f"at {', '.join(map(str, counts))} threads"),
        notes=notes(everything, _margin(margin), _other_kernels(rows, cells[few], cells[most], most, few)),
    )  # fmt: skip


def _other_kernels(rows: Rows, few: Sequence[Cell], most: Sequence[Cell], threads: int, fewest: int) -> str:
    """In how many workloads the library runs a block by another kernel with more threads, which is no matter of parallelism."""
    one, other = ({c.workload: _kernels(rows, c) for c in cells} for cells in (few, most))
    changed = sum(one[key] != other[key] for key in one if None not in (one[key], other[key]))
    return f"In {changed} of {cell_count(len(one))} the library runs another kernel with {threads} threads than with {fewest} (column backends)" if changed else ""  # fmt: skip


def _kernels(rows: Rows, cell: Cell) -> tuple[str, ...] | None:
    twins = rows.twins(cell.site, cell.row)
    told = [arm["backends"] for arm in twins or ()]
    return tuple(map(str, told)) if told and None not in told else None


# ---------------------------------------------------------------- words


def about(contest: str) -> str:
    """Whom a contest is between."""
    block, baseline = TWINS[contest]
    return f"{block} against {baseline}"


def runs_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The runs that cells are from."""
    return tuple(sorted({str(c.row["run_id"]) for c in cells}))


def counted(cells: Sequence[Cell], surely: int, surely_not: int, line: str) -> Count:
    """Cells with their range and in how many the claim holds; a mean hides both."""
    values = [math.exp(c.log.mean) for c in cells]
    words = f"{line} surely in {surely} of {cell_count(len(cells))}, surely not in {surely_not}"
    return Count(len(cells), min(values), max(values), surely, surely_not, words)


def _one_by_one(cells: Sequence[Cell], lines: Sequence[float]) -> str:
    """Each cell's speedup beside its shape, which a mean hides; nothing of many."""
    if len(cells) > MOST_LISTED:
        return ""
    rows = sorted(cells, key=lambda c: (c.row["c_in"] or 0, c.row["height"]))
    told = [
        f"{c.row['c_in']} channels " * bool(c.row["c_in"])
        + f"{c.row['height']} px {times(math.exp(c.log.mean), lines=lines)}"
        for c in rows
    ]
    return f"By shape: {', '.join(told)}"


def _line(threshold: float | None, margin: float) -> str:
    return f"{threshold:g}x or more" if threshold is not None else f"no gain beyond {margin * 100:.2g} %"


def notes(cells: Sequence[Cell], *more: str) -> tuple[str, ...]:
    """What is to be known of the cells: noise, and what has no interval and so no say."""
    noisy, alone = sum(c.row["status"] == "noisy" for c in cells), sum(not c.known for c in cells)
    many = len(runs_of(cells)) > 1 and len({c.site for c in cells}) == 1
    said = [
        f"{noisy} of {_measured(len(cells))} noisy" if noisy else "",
        f"{alone} of {_measured(len(cells))} by one process, without a say" if alone else "",
        f"{len(runs_of(cells))} runs of one machine, or of machines alike, taken together; what runs differ by is not in the interval" if many else "",
    ]  # fmt: skip
    return tuple(filter(None, (*said, *more)))


def _measured(n: int) -> str:
    return f"{n} measurement{'s' if n != 1 else ''}"


def _margin(margin: float) -> str:
    return f"Margin ±{margin * 100:.2g} %"


def cell_count(count: int) -> str:
    """1 -> '1 cell', 3 -> '3 cells'."""
    return f"{count} cell{'s' if count != 1 else ''}"
