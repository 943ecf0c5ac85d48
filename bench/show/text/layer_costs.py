"""What layers cost: by the sweeps of stacks, and in blocks that were walked layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analyse.claims.bottleneck import of_the_host
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.costs import LayerMacCosts, stacked
from bench.analyse.sweeps.designed import Estimate, find
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.text import titles
from bench.show.text.terminal import print_lines
from bench.show.text.ways import way_labels
from bench.spec.columns import MEASURED
from bench.spec.format import in_seconds


def layers_of_host(run: Run) -> str:
    """What is to be known of a layer's time on a predicted accelerator: how much of it is the host's, which is assumed."""
    arms = records_of(run.measurements)
    swept = {p.arm_id for s in find(arms) if s.grows == "layers" for p in s.points}
    said = of_the_host([a for a in arms if a["arm_id"] in swept])
    return f"Of what was predicted {said}. A layer with its norm and activation is three operators" if said else ""


def layer_costs(run: Run) -> list[dict[str, str]]:
    """What a layer and a billion MACs cost in each way of running each block that has sweeps of layers at fixed MACs.

    `where`, `block`, and the times of `layer` and `gmac`, with their intervals.
    """
    groups = grouped(stacked(find(records_of(run.measurements))), lambda s: (s.condition, s.kernel, s.block))
    fits = {key: LayerMacCosts.of(some) for key, some in groups.items() if any(s.grows == "layers" for s in some)}
    where = way_labels([condition for condition, *_ in fits])
    kernels = len({kernel for _, kernel, _ in fits}) > 1
    return [
        {"where": where[condition] + (f", kernel {kernel}" if kernels else ""), "block": block, "layer": _time(cost.layer_s, 1), "gmac": _time(cost.mac_s, 1e9)}
        for (condition, kernel, block), cost in fits.items()
    ]  # fmt: skip


def _time(each: Estimate, size: float) -> str:
    value, *ends = [in_seconds(v * size, 3) for v in (each.value, each.low, each.high) if v is not None]
    return value + (f" [{', '.join(ends)}]" if ends else "")


def print_time_breakdown(run: Run) -> None:
    """Print what the picture's title says, if blocks of the run were walked."""
    rows = walked(run)
    if rows:
        print_lines(["", titles.time_breakdown(rows)])


def walked(run: Run) -> list[Record]:
    """The walked rows of a sweep of shapes, with those of their baselines."""
    return _with_baselines(sweep_of_shapes(records_of(run.measurements)))


def walked_networks(run: Run) -> list[Record]:
    """The walked rows of networks, with those of their baselines."""
    return _with_baselines([r for r in records_of(run.measurements) if r["kernel"] is None])


def _with_baselines(every: Sequence[Record]) -> list[Record]:
    walks = [r for r in every if r["status"] in MEASURED and r["time_in_gaps_s"] is not None]
    rows = [r for r in walks if r["time_in_gaps_s"] >= 0]  # below 0 in older tables
    known = {r["trial_id"] for r in rows if r["block"] == r["baseline"]}
    return [r for r in rows if r["trial_id"] in known]
