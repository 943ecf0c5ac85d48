"""What leads time, layers or compute: the rules on the designed sweeps.

A sweep that grows layers at fixed MACs gives an elasticity of time on layers, E_L; one that grows MACs at fixed layers,
E_M. About 1 is in step, about 0 is flat. Each answer joins several tests, all of which must hold, so its p is their
largest (an intersection-union test, Berger 1982, Technometrics 24:295), which needs no correction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.analyse.claims.answers import DEEP, FLAT, STEEP, Count, Effect, Ruling, Verdict, above, below, ruled, sure_of
from bench.analyse.claims.bottleneck import regime_of, seconds
from bench.analyse.claims.conditions import Rows, Site, primary
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import mean_of
from bench.analyse.sweeps.designed import Sweep
from bench.spec.format import capital, digits
from bench.spec.interval import Interval

LAYERS, COMPUTE = "gpu_led_by_layers", "cpu_led_by_compute"
DIFFERENCE = "difference of elasticities"
SWAPPED = "asked of the other kind of device too, which the texts say the opposite of"


@dataclass(frozen=True, slots=True)
class Slopes:
    """A site's elasticities. `macs` are of the deepest stack alone, `all_macs` of every depth."""

    layers: tuple[Interval, ...]
    macs: tuple[Interval, ...]
    all_macs: tuple[Interval, ...]
    depth: int  # layers of the shallowest stack in `macs`; 0 without any

    @classmethod
    def of(cls, sweeps: Sequence[Sweep]) -> Slopes:
        """By block and kernel the deepest stacks that were swept; where some are DEEP, those alone."""
        grown = [s for s in sweeps if s.grows == "macs"]
        deepest: dict[tuple[str, int | None], int] = {}
        for s in grown:
            deepest[s.block, s.kernel] = max(deepest.get((s.block, s.kernel), 0), stack(s))
        far = [s for s in grown if stack(s) == deepest[s.block, s.kernel]]
        far = [s for s in far if stack(s) >= DEEP] or far
        return cls(
            tuple(s.elasticity() for s in sweeps if s.grows == "layers"), tuple(s.elasticity() for s in far),
            tuple(s.elasticity() for s in grown), min(map(stack, far), default=0),
        )  # fmt: skip


def stack(sweep: Sweep) -> int:
    """How many layers a sweep of growing MACs holds."""
    return sweep.points[0].layers


def workload(sweep: Sweep) -> tuple[Any, ...]:
    """What a sweep computes, whatever its experiment, mode and batch."""
    return (sweep.block, sweep.kernel, *((p.c_in, p.depth, p.height, p.layers) for p in sweep.points))


def led_by_layers(rows: Rows) -> list[Verdict]:
    """On accelerators, and out of curiosity on CPUs."""
    return _asked_of(rows, LAYERS, "gpu")


def led_by_compute(rows: Rows) -> list[Verdict]:
    """On CPUs, and out of curiosity on accelerators."""
    return _asked_of(rows, COMPUTE, "cpu")


def _asked_of(rows: Rows, claim: str, kind: str) -> list[Verdict]:
    own = [site for site in rows.sweeps if site.kind == kind]
    confirmed = primary(own)
    found = []
    for site, sweeps in rows.sweeps.items():
        v = _at_site(claim, rows, site, sweeps)
        swapped = site.kind != kind
        extra = (SWAPPED,) if swapped else ()
        found.append(replace(v, confirmatory=site in confirmed, own=not swapped, notes=v.notes + extra))
    return found


def _at_site(claim: str, rows: Rows, site: Site, sweeps: Sequence[Sweep]) -> Verdict:
    slopes = Slopes.of(sweeps)
    shrinks, words = _shrinking(rows.sweeps, site, sweeps)
    ruling = _layers(slopes, shrinks) if claim == LAYERS else _compute(slopes)
    lacking = _lacking(slopes, shrinks if claim == LAYERS else 0.0) if ruling.answer == "UNDECIDED" else []
    macs = slopes.macs if claim == LAYERS else slopes.all_macs
    means = [f"on {what} at fixed {held} {_told(own)}" for what, held, own in (("layers", "MACs", slopes.layers), ("MACs", "layers", macs)) if own]  # fmt: skip
    cost = [s.line()[0] for s in sweeps if s.grows == "layers"]
    each = f"a layer costs {seconds(sum(cost) / len(cost))} of its own; " if cost else ""
    shrunk = [words] if words and claim == LAYERS else []
    where, effect = regime_of(rows, site), _effect(slopes.layers, macs)
    return Verdict(
        claim=claim, site=site, runs=tuple(sorted({s.place.run_id for s in sweeps})), about="designed sweeps",
        answer=ruling.answer, why=f"{each}elasticity of time {', '.join([*means, *shrunk])}", regime=where.word,
        effect=effect, p=ruling.p, cells=_count(sweeps),
        notes=(*map(capital, lacking), *_by_block(sweeps), *_decided(claim, ruling.answer, slopes, effect), _conditions(claim, slopes, shrinks), *_notes(claim, slopes, sweeps), where.note),
    )  # fmt: skip


def _layers(slopes: Slopes, shrinks: float | None) -> Ruling:
    """Layers lead: all E_L steep, all E_M of the deepest stacks flat, and the effect shrinks where calls weigh less."""
    support = 1.0
    if slopes.layers and slopes.macs and shrinks is not None:
        support = max(_all_above(slopes.layers, STEEP), _all_below(slopes.macs, FLAT), shrinks)
    refute = min(_all_below(slopes.layers, STEEP), _all_above(slopes.macs, FLAT))
    return _ruled(slopes, support, refute)


def _compute(slopes: Slopes) -> Ruling:
    """Compute leads: all E_M steep, all E_L flat."""
    support = 1.0
    if slopes.layers and slopes.all_macs:
        support = max(_all_above(slopes.all_macs, STEEP), _all_below(slopes.layers, FLAT))
    refute = min(_all_below(slopes.all_macs, STEEP), _all_above(slopes.layers, FLAT))
    return _ruled(slopes, support, refute)


def _ruled(slopes: Slopes, support: float, refute: float) -> Ruling:
    known = any(i.n > 1 for i in (*slopes.layers, *slopes.all_macs))
    return ruled(support, refute) if known else Ruling("UNDECIDED", None)


def _all_above(slopes: Sequence[Interval], threshold: float) -> float:
    return max((above(e, threshold) for e in slopes), default=1.0)


def _all_below(slopes: Sequence[Interval], threshold: float) -> float:
    return max((below(e, threshold) for e in slopes), default=1.0)


def _shrinking(found: Mapping[Site, Sequence[Sweep]], site: Site, sweeps: Sequence[Sweep]) -> tuple[float | None, str]:
    """p of E_L being smaller as a graph or at the largest batch than here, over the sweeps that both have, and its words.

    None where neither was measured. The smaller p of the two counts: above() and below() leave it half of the level each.
    """
    others = {"as a graph": replace(site, mode="graph"), "at batch {}": _largest(found, site)}
    ps, words = [], []
    for name, other in others.items():
        if other is None or other == site or other not in found:
            continue
        here, there = ({workload(s): s.elasticity() for s in group if s.grows == "layers"} for group in (sweeps, found[other]))  # fmt: skip
        both = sorted(here.keys() & there.keys(), key=str)
        if both:
            now, then = mean_of([here[k] for k in both]), mean_of([there[k] for k in both])
            ps.append(above(estimators.difference(then, now), 0))
            words.append(f"{name.format(other.batch)} {_plus_minus(then)}")
    return (min(ps) if ps else None), ", ".join(words)


def _largest(found: Mapping[Site, Sequence[Sweep]], site: Site) -> Site | None:
    """The same site at the largest batch that has a sweep of growing layers."""
    batches = [s.batch or 0 for s, own in found.items() if replace(s, batch=site.batch) == site and any(w.grows == "layers" for w in own)]  # fmt: skip
    return replace(site, batch=max(batches)) if batches and max(batches) > (site.batch or 0) else None


def _by_block(sweeps: Sequence[Sweep]) -> list[str]:
    """Each block's own elasticities, where there are several: they may follow different things."""
    blocks = list(dict.fromkeys(s.block for s in sweeps))
    if len(blocks) < 2:
        return []
    said = []
    for block in blocks:
        means = [(what, [s.elasticity() for s in sweeps if s.block == block and s.grows == grows]) for what, grows in (("layers", "layers"), ("MACs", "macs"))]  # fmt: skip
        said.append(f"{block} {' and '.join(f'{_plus_minus(mean_of(own))} on {what}' for what, own in means if own)}")
    return [f"By block: {'; '.join(said)}"]


def refutes_alone(claim: str, effect: Effect | None) -> bool:
    """Whether a refuted claim's effect says so too: a difference of elasticities surely on the other side.

    What is tested is each elasticity against its threshold, so it need not.
    """
    if effect is None or effect.unit != DIFFERENCE or effect.low is None or effect.high is None:
        return True
    return effect.low > 0 if claim == LAYERS else effect.high < 0


def _decided(claim: str, answer: str, slopes: Slopes, effect: Effect | None) -> list[str]:
    """Which condition fails where the claim is refuted."""
    if answer != "REFUTED":
        return []
    macs = slopes.macs if claim == LAYERS else slopes.all_macs
    steep, flat, word, other = (
        (slopes.layers, macs, "layers", "MACs") if claim == LAYERS else (macs, slopes.layers, "MACs", "layers")
    )
    said = [f"no elasticity on {word} reaches {STEEP:g}"] if sure_of(_all_below(steep, STEEP)) else []
    said += [f"every elasticity on {other} exceeds {FLAT:g}"] if sure_of(_all_above(flat, FLAT)) else []
    beside = (
        ""
        if refutes_alone(claim, effect)
        else "; the difference of elasticities was not tested, and alone would refute nothing"
    )
    return [f"Refuted since {' and '.join(said)}{beside}"] if said else []


def _conditions(claim: str, slopes: Slopes, shrinks: float | None) -> str:
    """In how many sweeps each condition surely holds."""
    layers, macs = (above, below) if claim == LAYERS else (below, above)
    own = slopes.macs if claim == LAYERS else slopes.all_macs
    said = []
    for test, what, found in ((layers, "layers", slopes.layers), (macs, "MACs", own)):
        line, word = (STEEP, "more") if test is above else (FLAT, "less")
        if found:
            sure = sum(sure_of(test(e, line)) for e in found)
            said.append(f"{line:g} or {word} on {what} surely in {sure} of {len(found)}")
    if claim == LAYERS and shrinks is not None:
        said.append("shrinking surely" if sure_of(shrinks) else "shrinking not surely")
    return "Elasticity " + ", ".join(said)


def _lacking(slopes: Slopes, shrinks: float | None) -> list[str]:
    said = [] if slopes.layers else ["no sweep grows layers at fixed MACs here"]
    said += [] if slopes.all_macs else ["no sweep grows MACs at fixed layers here"]
    return [*said, "whether the effect shrinks as a graph or with batch was not measured"] if shrinks is None else said


def _notes(claim: str, slopes: Slopes, sweeps: Sequence[Sweep]) -> list[str]:
    said = []
    if claim == LAYERS and slopes.macs and slopes.depth < DEEP:
        said.append(f"MACs grow in a stack of {slopes.depth} layer{'s' if slopes.depth > 1 else ''} only, not of {DEEP}")  # fmt: skip
    for grows, held in (("layers", "MACs"), ("macs", "layers")):
        factors = [_growth(s) for s in sweeps if s.grows == grows]
        if factors and max(factors) > 1.05:
            what = "layers" if grows == "layers" else "MACs"
            said.append(f"Activations grow up to {digits(max(factors), 2)} fold as {what} grow at fixed {held}")
    noisy = sum(p.noisy for s in sweeps for p in s.points)
    return [*said, f"{noisy} points of the sweeps are noisy"] if noisy else said


def _growth(sweep: Sweep) -> float:
    sizes = [p.activations for p in sweep.points if p.activations]
    return sizes[-1] / sizes[0] if sizes else 1.0


def _effect(layers: Sequence[Interval], macs: Sequence[Interval]) -> Effect | None:
    if layers and macs:
        return Effect.plain("elasticity on MACs less that on layers", estimators.difference(mean_of(layers), mean_of(macs)), DIFFERENCE, (0.0,))  # fmt: skip
    if not layers and not macs:
        return None
    return Effect.plain(
        f"elasticity on {'layers' if layers else 'MACs'}", mean_of(layers or macs), "elasticity", (FLAT, STEEP)
    )


def _count(sweeps: Sequence[Sweep]) -> Count:
    grown = sum(s.grows == "layers" for s in sweeps)
    return Count(sum(len(s.points) for s in sweeps), words=f"{grown} sweeps of layers, {len(sweeps) - grown} of MACs")


def _told(slopes: Sequence[Interval]) -> str:
    return _plus_minus(slopes[0]) if len(slopes) == 1 else f"{_plus_minus(mean_of(slopes))} (mean of {len(slopes)})"


def _plus_minus(value: Interval) -> str:
    if value.half_width > 1e6:
        return f"{value.mean:.2f}"
    d = 2 if value.half_width >= 0.01 else 3
    return f"{value.mean:.{d}f} ±{value.half_width:.{d}f}"
