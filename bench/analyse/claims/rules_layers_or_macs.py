"""The rules of gpu_led_by_layers and cpu_led_by_compute: does a block's time follow its layers or its MACs?

Two kinds of designed sweep tell, block by block: E_L, the elasticity of time on layers at fixed MACs, and E_M, that on
MACs at fixed layers. About 1 is proportional, about 0 is flat. MACs lead where every E_M is surely above every E_L,
layers where every one is surely below. An answer needs all these tests, so its p is their largest (an
intersection-union test, Berger 1982, Technometrics 24:295). A subset of the sweeps has fewer of the same tests, so it
can't turn an answer round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bench.analyse.claims.answers import Count, Effect, Ruling, Verdict, above, below, ruled, sure_of
from bench.analyse.claims.bottleneck import bottleneck_of
from bench.analyse.claims.cells import Rows, primary
from bench.analyse.drivers.limits import Limit
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import grouped
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import mean_of
from bench.analyse.sweeps.costs import stacked, unit_costs
from bench.analyse.sweeps.designed import Sweep, surest
from bench.spec.format import cost_in_seconds, digits, listed, plural, plus_minus
from bench.spec.interval import Interval

LAYERS, COMPUTE = "gpu_led_by_layers", "cpu_led_by_compute"
DIFFERENCE = "difference of elasticities"
COUNTS = {"layers": "layers", "macs": "MACs"}
CLOSELY = 0.5  # where both mean elasticities are below, time follows neither count closely: words, no test
NO_SWEEP = "No sweep of this block"
NEITHER = "time follows neither closely"
SWAPPED = "asked of the other kind of device too, which the texts say the opposite of"


def gpu_led_by_layers(rows: Rows) -> list[Verdict]:
    """On accelerators, which the claim is about, and on CPUs."""
    return _on_all(rows, LAYERS, "gpu")


def cpu_led_by_compute(rows: Rows) -> list[Verdict]:
    """On CPUs, which the claim is about, and on accelerators."""
    return _on_all(rows, COMPUTE, "cpu")


def _on_all(rows: Rows, claim: str, kind: str) -> list[Verdict]:
    """A verdict for each condition and block with sweeps."""
    chosen = primary(c for c in rows.sweeps if c.kind == kind)
    verdicts = []
    for condition, sweeps in rows.sweeps.items():
        by_block, limit = grouped(sweeps, lambda s: s.block), bottleneck_of(rows, condition)
        for block in sorted(by_block):
            v = replace(_of_block(claim, condition, by_block[block], limit), confirmatory=condition in chosen)
            other = replace(v, on_claimed_device=False, notes=(*v.notes, SWAPPED))
            verdicts.append(v if condition.kind == kind else other)
    return verdicts


def _of_block(claim: str, condition: Condition, sweeps: Sequence[Sweep], limit: Limit) -> Verdict:
    grown = {grows: [s for s in sweeps if s.grows == grows] for grows in COUNTS}
    known = {grows: surest(sweeps, grows) for grows in COUNTS}
    slopes = {grows: [s.elasticity() for s in some] for grows, some in known.items()}
    means = {grows: mean_of(some) for grows, some in slopes.items() if some}
    effect = _effect(means)
    doubled = {grows: replace(e, mean=e.mean * math.log(2), half_width=e.half_width * math.log(2)) for grows, e in means.items()}  # fmt: skip
    ruling, depends = Ruling("UNDECIDED", None), ""
    if all(slopes.values()) and any(e.n > 1 for some in slopes.values() for e in some):
        pairs = [(m, s, estimators.difference(s.elasticity(), m.elasticity())) for m in known["macs"] for s in known["layers"]]  # fmt: skip
        tests = [estimators.difference(means["layers"], means["macs"]), *(d for *_, d in pairs)]
        by_macs, by_layers = (max(side(d, 0) for d in tests) for side in (above, below))
        ruling = ruled(by_macs, by_layers) if claim == COMPUTE else ruled(by_layers, by_macs)
        depends = _depends(pairs) if ruling.answer == "UNDECIDED" else ""
    each = (
        f"a layer costs {cost_in_seconds(float(unit_costs(stacked(sweeps))[0]))} of its own; "
        if grown["layers"]
        else ""
    )
    told = [f"on {what} at fixed {held} {_mean(slopes[grows])}" for grows, what, held in (("layers", "layers", "MACs"), ("macs", "MACs", "layers")) if slopes[grows]]  # fmt: skip
    far = f"; {NEITHER}" if len(means) == len(COUNTS) and max(e.mean for e in means.values()) < CLOSELY else ""
    lacking = [f"{NO_SWEEP} grows {what} alone" for grows, what in COUNTS.items() if not slopes[grows]]
    return Verdict(
        claim=claim, condition=condition, runs=tuple(sorted({s.run_id for s in sweeps})), about=sweeps[0].block,
        answer=ruling.answer, why=f"{each}elasticity of time {', '.join(told)}{far}", bottleneck=limit.word,
        effect=effect, doubled=doubled, p=ruling.p, cells=_count(grown, min((e.n for some in slopes.values() for e in some), default=0)),
        notes=tuple(filter(None, (*lacking, depends, *_notes(sweeps), limit.note))),
    )  # fmt: skip


def _effect(means: dict[str, Interval]) -> Effect | None:
    """E_M - E_L where both are known, else the one that is."""
    if len(means) == len(COUNTS):
        return Effect.plain("elasticity on MACs less that on layers", estimators.difference(means["layers"], means["macs"]), DIFFERENCE, (0.0,))  # fmt: skip
    ((grows, mean),) = means.items()
    return Effect.plain(f"elasticity on {COUNTS[grows]}", mean, "elasticity", ())


def _depends(pairs: Sequence[tuple[Sweep, Sweep, Interval]]) -> str:
    """In how many pairs of sweeps MACs lead and in how many layers do, and on what it depends where both do."""
    by_macs, by_layers = ([(m, s) for m, s, d in pairs if sure_of(side(d, 0))] for side in (above, below))
    among = f"{plural(len(pairs), 'pair')} of sweeps"
    counted = f"MACs surely lead in {len(by_macs)} of {among}, layers in {len(by_layers)}"
    for which in (0, 1):
        macs, layers = ({pair[which].words for pair in some} for some in (by_macs, by_layers))
        if macs and layers and macs.isdisjoint(layers):
            return f"It depends: MACs lead {listed(sorted(macs))}, layers lead {listed(sorted(layers))}"
    return f"It depends: {counted}" if by_macs and by_layers else counted


def _notes(sweeps: Sequence[Sweep]) -> list[str]:
    lines = []
    for grows, held in (("layers", "MACs"), ("macs", "layers")):
        factors = [_growth(s) for s in sweeps if s.grows == grows]
        if factors and max(factors) > 1.05:
            most = digits(max(factors), 2)
            lines.append(f"Activations grow up to {most} fold as {COUNTS[grows]} grow at fixed {held}")
    noisy = sum(p.noisy for s in sweeps for p in s.points)
    return [*lines, f"{noisy} points of the sweeps are noisy"] if noisy else lines


def _growth(sweep: Sweep) -> float:
    sizes = [p.activations for p in sweep.points if p.activations]
    return sizes[-1] / sizes[0] if sizes else 1.0


def _count(grown: dict[str, list[Sweep]], processes: int) -> Count:
    points = [p for some in grown.values() for s in some for p in s.points]
    words = f"{plural(len(grown['layers']), 'sweep')} of layers, {len(grown['macs'])} of MACs"
    return Count(len(points), words=words, processes=processes, noisy=sum(p.noisy for p in points))


def _mean(slopes: Sequence[Interval]) -> str:
    return plus_minus(slopes[0]) if len(slopes) == 1 else f"{plus_minus(mean_of(slopes))} (mean of {len(slopes)})"
