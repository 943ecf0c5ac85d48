"""What layers cost: of their own, from the sweeps of layers at fixed MACs, and in blocks that were walked layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analyse.claims.bottleneck import of_the_host
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.designed import Sweep, find, unit_cost
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.text import titles
from bench.show.text.ways import describe, short_labels
from bench.spec.columns import MEASURED
from bench.spec.format import in_seconds, plural, share


def layers_of_host(run: Run) -> str:
    """What is to be known of a layer's time on a predicted accelerator: how much of it is the host's, which is assumed."""
    arms = records_of(run.measurements)
    swept = {p.arm_id for s in find(arms) if s.grows == "layers" for p in s.points}
    said = of_the_host([a for a in arms if a["arm_id"] in swept])
    return f"Of what was predicted {said}. A layer with its norm and activation is three operators" if said else ""


def layer_costs(run: Run) -> list[dict[str, str]]:
    """Of each sweep of layers at fixed MACs what a layer costs of its own.

    `where`, `block` and `sweep`; the time of `each` layer, and what `part` of all that makes, shallowest to deepest stack.
    """
    sweeps = [s for s in find(records_of(run.measurements)) if s.grows == "layers"]
    places = list(dict.fromkeys(s.condition for s in sweeps))
    where = short_labels(places) if len(places) > 1 else {p: p.label for p in places}
    kernels = len({s.kernel for s in sweeps}) > 1
    return [_cost(s, where[s.condition], f", kernel {s.kernel}" if kernels else "") for s in sweeps]


def _cost(sweep: Sweep, where: str, kernel: str) -> dict[str, str]:
    line = unit_cost(sweep)
    each, rest, counts = line.each, line.constant.value, sweep.counts()
    low_high = f" [{in_seconds(each.low, 3)}, {in_seconds(each.high, 3)}]" if each.low is not None and each.high is not None else ""  # fmt: skip

    def part(layers: float) -> str:
        own = each.value * layers
        return f"{share(own / (own + rest))} ({plural(round(layers), 'layer')})"

    known = all(each.value * c + rest > 0 for c in counts)
    words = f"{part(float(counts[0]))} to {part(float(counts[-1]))}" if known else ""
    own = f"{in_seconds(each.value, 3)}{low_high}"
    return {"where": where, "block": sweep.block, "sweep": describe(sweep) + kernel, "each": own, "part": words}


def print_time_breakdown(run: Run) -> None:
    """Print what the picture's title says, if blocks of the run were walked."""
    rows = walked(run)
    if rows:
        print(f"\n{titles.time_breakdown(rows)}")


def walked(run: Run) -> list[Record]:
    """The walked rows of a sweep of shapes, with those of their baselines."""
    return _with_baselines(sweep_of_shapes(records_of(run.measurements)))


def walked_networks(run: Run) -> list[Record]:
    """The walked rows of networks, with those of their baselines."""
    return _with_baselines([r for r in records_of(run.measurements) if r["kernel"] is None])


def _with_baselines(every: Sequence[Record]) -> list[Record]:
    rows = [r for r in every if r["status"] in MEASURED and r["time_in_gaps_s"] is not None]
    known = {r["trial_id"] for r in rows if r["block"] == r["baseline"]}
    return [r for r in rows if r["trial_id"] in known]
