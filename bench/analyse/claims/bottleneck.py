"""What limits a condition, and the sentence about why fewer MACs gain what they gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import geometric_mean, median

from bench.analyse.claims.cells import Cell, Rows
from bench.analyse.drivers.explain import limit_at
from bench.analyse.drivers.limits import Limit
from bench.analyse.drivers.observations import of_records
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record
from bench.analyse.sweeps.costs import stacked, unit_costs
from bench.analyse.sweeps.designed import Sweep
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import cost_in_seconds, plural, share, times


def bottleneck_of(rows: Rows, condition: Condition) -> Limit:
    """What limits a condition, by all its rows: what bench drivers says of the same rows. Found once for each."""
    if condition not in rows.limits:
        rows.limits[condition] = limit_at(of_records(rows.arms.get(condition, ())))
    return rows.limits[condition]


def layer_cost(arm: Record, sweeps: Sequence[Sweep]) -> float | None:
    """Seconds that one more layer costs, by the stacks of the arm's block and kernel; None without sweeps of layers.

    The mean over all sweeps of layers where none is of that block and kernel.
    """
    growing = [s for s in sweeps if s.grows == "layers"]
    near = [s for s in stacked(sweeps) if (s.block, s.kernel) == (arm["block"], arm["kernel"])]
    fits = [near] if any(s in growing for s in near) else [[s] for s in growing]
    return math.fsum(float(unit_costs(some)[0]) for some in fits) / len(fits) if fits else None


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
