"""Parts that the verdicts of several claims share: about, runs, notes, cells counted once each, and what limits them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, geometric_mean, median
from typing import Any

from bench.analyse.claims.cells import TWINS, Cell, Rows
from bench.analyse.drivers.explain import Limit, limit_at
from bench.analyse.drivers.observations import of_records
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.noise_floor import RunEffect
from bench.analyse.runs.rows import Record, grouped
from bench.analyse.stats.estimators import joint_mean, widened
from bench.analyse.sweeps.designed import Sweep
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import cost_in_seconds, percent, plural, share, times

NO_INTERVAL = "one process measured each row, so there is no interval"


def about(contest: str) -> str:
    """`separable against standard`."""
    block, baseline = TWINS[contest]
    return f"{block} against {baseline}"


def runs_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """The runs that measured the cells."""
    return tuple(sorted({str(c.row["run_id"]) for c in cells}))


def once_each(cells: Sequence[Cell], between: Mapping[Any, RunEffect]) -> list[Cell]:
    """A cell for each workload: the mean where several experiments or runs measured it, of cells with an interval if any.

    What runs differ by is added to its interval, where it is known.
    """
    merged = []
    for alike in grouped(cells, lambda c: c.workload).values():
        known = [c for c in alike if c.known] or alike
        values = grouped(((process, log) for c in known for process, log in c.by_process.items()), lambda pair: pair[0])
        by_process = {process: fmean(log for _, log in pairs) for process, pairs in values.items()}
        log = joint_mean([c.by_process for c in known], [c.log for c in known])
        log = widened(log, between_runs(known, between))
        merged.append(replace(known[0], log=log, by_process=by_process, noisy=all(c.noisy for c in known)))
    return merged


def between_runs(cells: Sequence[Cell], between: Mapping[Any, RunEffect]) -> float:
    """The standard error of a mean over the cells' runs that comes of what runs differ by; 0 where that is not known."""
    effect = between.get(cells[0].condition.origin)
    return effect.sd / math.sqrt(len(runs_of(cells))) if effect else 0.0


def notes(cells: Sequence[Cell], between: Mapping[Any, RunEffect], *more: str) -> tuple[str, ...]:
    """How many cells are noisy or without an interval, that several runs measured them, and `more`."""
    noisy, alone = sum(c.noisy for c in cells), sum(not c.known for c in cells)
    effect = between.get(cells[0].condition.origin)
    several = len(runs_of(cells)) > 1 and len({c.condition for c in cells}) == 1
    differ = f"runs differ by {percent(math.expm1(effect.sd))} (sd of {plural(effect.rows, 'repeated row')}), which is in the interval" if effect else "what runs differ by is not in the interval"  # fmt: skip
    measured = plural(len(cells), "measurement")
    lines = (
        f"{noisy} of {measured} noisy" if noisy else "",
        f"{alone} of {measured} by one process, without a say" if alone else "",
        f"{taken_together(len(runs_of(cells)))}; {differ}" if several else "",
    )
    return tuple(filter(None, (*lines, *more)))


def taken_together(runs: int) -> str:
    """The note on rows of several runs."""
    return f"{runs} runs of one machine, or of machines alike, taken together"


def margin_note(margin: float) -> str:
    """`Margin ±3 %`."""
    return f"Margin ±{margin * 100:.2g} %"


def bottleneck_of(rows: Rows, condition: Condition) -> Limit:
    """What limits a condition, by all its rows: what bench drivers says of the same rows."""
    return limit_at(of_records(rows.arms.get(condition, ())))


def layer_cost(arm: Record, sweeps: Sequence[Sweep]) -> float | None:
    """Seconds that one more layer costs, from the sweeps of layers at fixed MACs; None where there is none.

    From sweeps of the arm's block and kernel if there are any, else from all.
    """
    growing = [s for s in sweeps if s.grows == "layers"]
    near = [s for s in growing if (s.block, s.kernel) == (arm["block"], arm["kernel"])]
    costs = [s.line()[0] for s in near or growing]
    return math.fsum(costs) / len(costs) if costs else None


def gain_explained(rows: Rows, condition: Condition, cells: Sequence[Cell], lines: Sequence[float]) -> str:
    """One sentence: which speedup (printed apart from `lines`) the fewer MACs give, and what keeps it down."""
    ratios = [c.row["mac_ratio"] for c in cells if c.row["mac_ratio"]]
    gained = times(geometric_mean([math.exp(c.log.mean) for c in cells]), lines=lines)
    fewer = f"{times(geometric_mean(ratios))} fewer MACs" if ratios else "fewer MACs"
    middle = sorted(cells, key=lambda c: (c.log.mean, repr(c.workload)))[len(cells) // 2]
    twins = rows.twins(middle.condition, middle.row)
    obstacle = _obstacle(twins, condition, rows.sweeps.get(condition, ())) if twins else ""
    return f"{obstacle}; {fewer} buy {gained}" if obstacle else f"{fewer} buy {gained}"


def _obstacle(twins: tuple[Record, Record], condition: Condition, sweeps: Sequence[Sweep]) -> str:
    """What the middle cell's arms spend their time on besides multiplying; empty where it is unknown."""
    base, thin = twins
    where = f"with {plural(condition.threads or 0, 'thread')}" if condition.kind == "cpu" else f"on {in_words(condition.device)}"  # fmt: skip
    stacked = f", {thin['depth']} deep," if (thin["depth"] or 1) > 1 else ""
    at = f" at {thin['c_in']} channels{stacked}" if thin["c_in"] else ""
    each = layer_cost(thin, sweeps)
    if each is not None and thin["layers"] and thin["time_median_s"]:
        part = min(1.0, each * thin["layers"] / thin["time_median_s"])
        return f"{where} a layer costs {cost_in_seconds(each)} of its own, {share(part)} of the time of {thin['block']}{at.rstrip(',')}"
    if thin["bound"] == "launch-bound" and thin["enqueue_time_median_s"] and thin["device_time_median_s"]:
        host, device = thin["enqueue_time_median_s"], thin["device_time_median_s"]
        return f"{where} {thin['block']}{at} takes the host {cost_in_seconds(host)} to submit and the device {cost_in_seconds(device)} to compute"  # fmt: skip
    if thin["attainable_share"] is not None and base["attainable_share"] is not None:
        mine, theirs = share(thin["attainable_share"]), share(base["attainable_share"])
        return f"{where} {thin['block']}{at} attains {mine} of what the measured roofs allow where {base['block']} attains {theirs}"  # fmt: skip
    return ""


def of_the_host(arms: Sequence[Record]) -> str:
    """How many predicted arms of accelerators last as long as the host is assumed to submit; empty if none does.

    The host's times are no property of the GPU: a device entry assumes them (docs/PREDICTION.md).
    """
    predicted = [a for a in arms if is_predicted(a["device"]) and a["bound"] is not None]
    waiting = [a for a in predicted if a["bound"] == "launch-bound"]
    plain = [a for a in waiting if (a["mode"], a["pass"]) == ("eager", "inference")]
    per_op = [a["enqueue_time_median_s"] / a["ops"] for a in plain]
    if not waiting:
        return ""
    each = f"an assumed {cost_in_seconds(median(per_op))} an operator" if per_op else "which is assumed"
    return f"{len(waiting)} of {len(predicted)} arms last as long as the host needs to submit them, {each}: another host moves them, whatever the card"
