"""The rules of gpu_led_by_layers and cpu_led_by_compute: does time follow layers or MACs, by the designed sweeps?

A sweep of layers at fixed MACs gives an elasticity of time on layers, E_L; a sweep of MACs at fixed layers gives E_M.
About 1 is proportional, about 0 is flat. Each answer needs several tests to hold together, so its p is their largest
(an intersection-union test, Berger 1982, Technometrics 24:295), which needs no correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.analyse.claims.answers import (
    DEEP,
    FLAT,
    NO_RULING,
    STEEP,
    Count,
    Effect,
    Ruling,
    Verdict,
    above,
    below,
    ruled,
    sure_of,
)
from bench.analyse.claims.bottleneck import bottleneck_of
from bench.analyse.claims.cells import Rows, primary
from bench.analyse.runs.condition import Condition
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import mean_of
from bench.analyse.sweeps.designed import Sweep
from bench.spec.format import capital, cost_in_seconds, digits, plural, plus_minus
from bench.spec.interval import Interval

LAYERS, COMPUTE = "gpu_led_by_layers", "cpu_led_by_compute"
DIFFERENCE = "difference of elasticities"
COUNTS = {"layers": "layers", "macs": "MACs"}
SWAPPED = "asked of the other kind of device too, which the texts say the opposite of"


@dataclass(frozen=True, slots=True)
class Slopes:
    """A condition's elasticities that a claim asks for; of LAYERS those on MACs are of the deepest stacks alone."""

    claim: str
    layers: tuple[Interval, ...]
    macs: tuple[Interval, ...]
    depth: int  # layers of the shallowest stack in `macs`; 0 without any
    known: bool  # whether several processes measured any sweep, also one that the claim leaves out

    @classmethod
    def of(cls, claim: str, sweeps: Sequence[Sweep]) -> Slopes:
        """The deepest stacks are those of each block and kernel; if some of them are DEEP, only those."""
        grown = [s for s in sweeps if s.grows == "macs"]
        if claim == LAYERS:
            deepest: dict[tuple[str, int | None], int] = {}
            for s in grown:
                deepest[s.block, s.kernel] = max(deepest.get((s.block, s.kernel), 0), stack(s))
            grown = [s for s in grown if stack(s) == deepest[s.block, s.kernel]]
            grown = [s for s in grown if stack(s) >= DEEP] or grown
        layers = tuple(s.elasticity() for s in sweeps if s.grows == "layers")
        known = any(s.elasticity().n > 1 for s in sweeps)
        return cls(claim, layers, tuple(s.elasticity() for s in grown), min(map(stack, grown), default=0), known)

    @property
    def steep_and_flat(self) -> tuple[tuple[Interval, ...], tuple[Interval, ...]]:
        """Those that are STEEP and those that are FLAT if the claim holds."""
        return (self.layers, self.macs) if self.claim == LAYERS else (self.macs, self.layers)


def stack(sweep: Sweep) -> int:
    """How many layers a sweep of MACs holds fixed."""
    return sweep.points[0].layers


def workload(sweep: Sweep) -> tuple[Any, ...]:
    """What a sweep computes, apart from its experiment and condition."""
    return (sweep.block, sweep.kernel, *((p.c_in, p.depth, p.height, p.layers) for p in sweep.points))


def led_by_layers(rows: Rows) -> list[Verdict]:
    """On accelerators, which the claim is about, and on CPUs."""
    return _on_all(rows, LAYERS, "gpu")


def led_by_compute(rows: Rows) -> list[Verdict]:
    """On CPUs, which the claim is about, and on accelerators."""
    return _on_all(rows, COMPUTE, "cpu")


def _on_all(rows: Rows, claim: str, kind: str) -> list[Verdict]:
    chosen = primary(c for c in rows.sweeps if c.kind == kind)
    verdicts = []
    for condition, sweeps in rows.sweeps.items():
        v = replace(_at_condition(claim, rows, condition, sweeps), confirmatory=condition in chosen)
        other = replace(v, on_claimed_device=False, notes=(*v.notes, SWAPPED))
        verdicts.append(v if condition.kind == kind else other)
    return verdicts


def _at_condition(claim: str, rows: Rows, condition: Condition, sweeps: Sequence[Sweep]) -> Verdict:
    slopes = Slopes.of(claim, sweeps)
    shrinks, words = _shrinking(rows.sweeps, condition, sweeps) if claim == LAYERS else (0.0, "")
    ruling = _ruling(slopes, shrinks)
    lacking = _lacking(slopes, shrinks) if ruling.answer == "UNDECIDED" else []
    means = [f"on {what} at fixed {held} {_mean(slope)}" for what, held, slope in (("layers", "MACs", slopes.layers), ("MACs", "layers", slopes.macs)) if slope]  # fmt: skip
    cost = [s.line()[0] for s in sweeps if s.grows == "layers"]
    each = f"a layer costs {cost_in_seconds(sum(cost) / len(cost))} of its own; " if cost else ""
    limit, effect = bottleneck_of(rows, condition), _effect(slopes)
    return Verdict(
        claim=claim, condition=condition, runs=tuple(sorted({s.run_id for s in sweeps})), about="designed sweeps",
        answer=ruling.answer, why=f"{each}elasticity of time {', '.join(filter(None, [*means, words]))}", bottleneck=limit.word,
        effect=effect, p=ruling.p, cells=_count(sweeps),
        notes=(*map(capital, lacking), *_by_block(sweeps), *_refuted_since(ruling.answer, slopes, effect), _tests(slopes, shrinks), *_notes(slopes, sweeps), limit.note),
    )  # fmt: skip


def _ruling(slopes: Slopes, shrinks: float | None) -> Ruling:
    """Time follows what the claim says: those E all steep, the others all flat, and `shrinks` a p that is small."""
    if not slopes.known:
        return NO_RULING
    steep, flat = slopes.steep_and_flat
    support = 1.0
    if steep and flat and shrinks is not None:
        support = max(_all_above(steep, STEEP), _all_below(flat, FLAT), shrinks)
    return ruled(support, min(_all_below(steep, STEEP), _all_above(flat, FLAT)))


def _all_above(slopes: Sequence[Interval], threshold: float) -> float:
    return max((above(e, threshold) for e in slopes), default=1.0)


def _all_below(slopes: Sequence[Interval], threshold: float) -> float:
    return max((below(e, threshold) for e in slopes), default=1.0)


def _shrinking(every: Mapping[Condition, Sequence[Sweep]], condition: Condition, sweeps: Sequence[Sweep]) -> tuple[float | None, str]:  # fmt: skip
    """p of E_L being smaller as a graph or at the largest batch than here, over shared sweeps, and its words.

    None where neither was measured. The smaller of the two p counts: above() and below() leave it half of the level
    each.
    """
    others = {"as a graph": replace(condition, mode="graph"), "at batch {}": _largest(every, condition)}
    ps, words = [], []
    for name, other in others.items():
        if other is None or other == condition or other not in every:
            continue
        here, there = ({workload(s): s.elasticity() for s in group if s.grows == "layers"} for group in (sweeps, every[other]))  # fmt: skip
        both = sorted(here.keys() & there.keys(), key=str)
        if both:
            now, then = mean_of([here[k] for k in both]), mean_of([there[k] for k in both])
            ps.append(above(estimators.difference(then, now), 0))
            words.append(f"{name.format(other.batch)} {plus_minus(then)}")
    return (min(ps) if ps else None), ", ".join(words)


def _largest(every: Mapping[Condition, Sequence[Sweep]], condition: Condition) -> Condition | None:
    """The same condition at the largest batch with a sweep of layers; None where that is no larger."""
    batches = [c.batch or 0 for c, sweeps in every.items() if replace(c, batch=condition.batch) == condition and any(s.grows == "layers" for s in sweeps)]  # fmt: skip
    return replace(condition, batch=max(batches)) if batches and max(batches) > (condition.batch or 0) else None


def _by_block(sweeps: Sequence[Sweep]) -> list[str]:
    """The elasticities of each block, if there are several: they may follow different things."""
    blocks = list(dict.fromkeys(s.block for s in sweeps))
    if len(blocks) < 2:
        return []
    words = []
    for block in blocks:
        means = [(what, [s.elasticity() for s in sweeps if s.block == block and s.grows == grows]) for grows, what in COUNTS.items()]  # fmt: skip
        words.append(
            f"{block} {' and '.join(f'{plus_minus(mean_of(slopes))} on {what}' for what, slopes in means if slopes)}"
        )
    return [f"By block: {'; '.join(words)}"]


def refutes_alone(claim: str, effect: Effect | None) -> bool:
    """Whether a refuted claim's effect alone would refute it: a difference of elasticities surely on the other side.

    It need not, as each elasticity is tested against its threshold.
    """
    if effect is None or effect.unit != DIFFERENCE or effect.low is None or effect.high is None:
        return True
    return effect.low > 0 if claim == LAYERS else effect.high < 0


def _refuted_since(answer: str, slopes: Slopes, effect: Effect | None) -> list[str]:
    """Which test fails where the claim is refuted."""
    if answer != "REFUTED":
        return []
    steep, flat = slopes.steep_and_flat
    word, other = ("layers", "MACs") if slopes.claim == LAYERS else ("MACs", "layers")
    since = [f"no elasticity on {word} reaches {STEEP:g}"] if sure_of(_all_below(steep, STEEP)) else []
    since += [f"every elasticity on {other} exceeds {FLAT:g}"] if sure_of(_all_above(flat, FLAT)) else []
    beside = "; the difference of elasticities was not tested, and alone would refute nothing"
    return [f"Refuted since {' and '.join(since)}{'' if refutes_alone(slopes.claim, effect) else beside}"] if since else []  # fmt: skip


def _tests(slopes: Slopes, shrinks: float | None) -> str:
    """In how many sweeps each test surely holds."""
    words = []
    for what, elasticities in (("layers", slopes.layers), ("MACs", slopes.macs)):
        led = (what == "layers") == (slopes.claim == LAYERS)
        test, line, word = (above, STEEP, "more") if led else (below, FLAT, "less")
        if elasticities:
            sure = sum(sure_of(test(e, line)) for e in elasticities)
            words.append(f"{line:g} or {word} on {what} surely in {sure} of {len(elasticities)}")
    if slopes.claim == LAYERS and shrinks is not None:
        words.append("shrinking surely" if sure_of(shrinks) else "shrinking not surely")
    return "Elasticity " + ", ".join(words)


def _lacking(slopes: Slopes, shrinks: float | None) -> list[str]:
    missing = {
        "no sweep grows layers at fixed MACs here": not slopes.layers,
        "no sweep grows MACs at fixed layers here": not slopes.macs,
        "whether the effect shrinks as a graph or with batch was not measured": shrinks is None,
    }
    return [words for words, lacks in missing.items() if lacks]


def _notes(slopes: Slopes, sweeps: Sequence[Sweep]) -> list[str]:
    lines = []
    if slopes.claim == LAYERS and slopes.macs and slopes.depth < DEEP:
        lines.append(f"MACs grow in a stack of {plural(slopes.depth, 'layer')} only, not of {DEEP}")
    for grows, held in (("layers", "MACs"), ("macs", "layers")):
        factors = [_growth(s) for s in sweeps if s.grows == grows]
        if factors and max(factors) > 1.05:
            lines.append(
                f"Activations grow up to {digits(max(factors), 2)} fold as {COUNTS[grows]} grow at fixed {held}"
            )
    noisy = sum(p.noisy for s in sweeps for p in s.points)
    return [*lines, f"{noisy} points of the sweeps are noisy"] if noisy else lines


def _growth(sweep: Sweep) -> float:
    sizes = [p.activations for p in sweep.points if p.activations]
    return sizes[-1] / sizes[0] if sizes else 1.0


def _effect(slopes: Slopes) -> Effect | None:
    layers, macs = slopes.layers, slopes.macs
    if layers and macs:
        return Effect.plain("elasticity on MACs less that on layers", estimators.difference(mean_of(layers), mean_of(macs)), DIFFERENCE, (0.0,))  # fmt: skip
    if not layers and not macs:
        return None
    word = "layers" if layers else "MACs"
    return Effect.plain(f"elasticity on {word}", mean_of(layers or macs), "elasticity", (FLAT, STEEP))


def _count(sweeps: Sequence[Sweep]) -> Count:
    grown = sum(s.grows == "layers" for s in sweeps)
    return Count(sum(len(s.points) for s in sweeps), words=f"{grown} sweeps of layers, {len(sweeps) - grown} of MACs")


def _mean(slopes: Sequence[Interval]) -> str:
    return plus_minus(slopes[0]) if len(slopes) == 1 else f"{plus_minus(mean_of(slopes))} (mean of {len(slopes)})"
