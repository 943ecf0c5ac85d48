"""The title of each picture of a run: one sentence of at most MOST letters about the rows that the picture shows.

Where measured and predicted rows stand side by side, it is about the measured ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from bench.analyse.claims.answers import Side
from bench.analyse.claims.judge import Verdicts
from bench.analyse.drivers.additive_model import HALF, MIXED
from bench.analyse.drivers.explain import COUNT_WORDS, Group
from bench.analyse.drivers.limits import UNKNOWN
from bench.analyse.facts import FEWER_MACS
from bench.analyse.runs.noise_floor import Noise
from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record
from bench.analyse.sweeps.costs import Way
from bench.analyse.sweeps.designed import Sweep
from bench.show.text.ways import way_labels
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import capital, digits, listed, percent, plural, rough, share, times

MOST = 90
PARTS = {
    "conv": "k x k convolution", "depthwise": "depthwise", "pointwise": "pointwise", "norm_act": "norm and activation",
    "other": "other", "gaps": "gaps",
}  # fmt: skip
"""What a block's time is spent in, by the column's name."""
_NAMED = {"device": 3, "baseline": 1, "block": 2}  # so many by their names, more by their number
SIDES: Mapping[Side, str] = {
    "yes": "yes",
    "no": "no",
    "partly": "partly yes",
    "same": "equivalent",
    "open": "undecided",
}
"""Answers to claims in words of a count."""


def measured(rows: Sequence[Record]) -> list[Record]:
    """The rows that a title is about: the measured ones, or all where nothing was measured."""
    return [r for r in rows if not is_predicted(r["device"])] or list(rows)


def verb(rows: Sequence[Record], plain: str = "be", subjects: int | None = None) -> str:
    """`would be` of predicted rows, `reads` where one process measured each and none has an interval, else `is`.

    The subjects are the rows' blocks unless they are counted here.
    """
    if all(is_predicted(r["device"]) for r in rows):
        return f"would {plain}"
    if plain == "be" and all(r["speedup_ci_low"] is None for r in rows):
        plain = "read"
    if (len({r["block"] for r in rows}) if subjects is None else subjects) > 1:
        return "are" if plain == "be" else plain
    return {"be": "is", "reach": "reaches"}.get(plain, f"{plain}s")


def sentence(rows: Sequence[Record], finding: str, plain: str = "be", first: str = "") -> str:
    """The template of most titles: the rows' blocks, the verb, what was found, and where."""
    return _titled(f"{first}{{block}} {verb(rows, plain)} {finding} on {{device}}", rows)


def speedup(rows: Sequence[Record]) -> str:
    """From which to which speedup the rows range."""
    rows = measured(rows)
    return sentence(rows, f"{_span([r['speedup'] for r in rows], rough)} as fast as {{baseline}}")


def delivery(rows: Sequence[Record]) -> str:
    """What share of the ratio of MACs those blocks achieve that have fewer MACs than their baseline."""
    fewer = [r for r in measured(rows) if r["mac_ratio"] > FEWER_MACS]
    fewer = [r for r in fewer if r["kernel"] is not None] or fewer  # blocks before networks
    if not fewer:
        return "No block has fewer MACs than its baseline"
    return sentence(
        fewer, f"{_span([r['speedup'] / r['mac_ratio'] for r in fewer], _small)} of the MAC ratio", "achieve"
    )


def memory(rows: Sequence[Record]) -> str:
    """How many times the theory's the measured peaks are."""
    span = _span([r["memory_peak_bytes"] / r["memory_theory_bytes"] for r in rows], rough)
    return _titled("measured peak memory is {span} the theory's on {device}", rows, span=span)


def speedup_map(rows: Sequence[Record]) -> str:
    """In how many cells the blocks are faster; where none has an interval, in how many they read faster."""
    if not rows:
        return "No cell was measured"
    rows = measured(rows)
    bare = all(r["speedup_ci_low"] is None for r in rows)
    won = sum(r["speedup"] > 1 if bare else r["verdict"] == "faster" for r in rows)
    return sentence(rows, f"faster in {won} of {plural(len(rows), 'cell')}")


def ways(rows: Sequence[Record]) -> str:
    """How far the way of running one block at one shape moves its speedup."""
    rows = measured(rows)
    shape = f"{rows[0]['c_in']} channels, {rows[0]['kernel']} x {rows[0]['kernel']}, {plural(len(rows), 'way')}: "
    return sentence(rows, f"{_span([r['speedup'] for r in rows], _beside_1)} as fast", first=shape)


def networks(rows: Sequence[Record]) -> str:
    """The speedups of the network with the highest ratio of MACs."""
    lead = max(measured(rows), key=lambda r: (r["mac_ratio"], r["block"]))
    return speedup([r for r in measured(rows) if (r["block"], r["baseline"]) == (lead["block"], lead["baseline"])])


def noise(noise: Noise) -> str:
    """How far apart a block and itself read."""
    return f"Against itself a block reads within ±{percent(noise.noise_band)} in 95 % of {plural(noise.pairs, 'pair')}"


def roofline(rows: Sequence[Record]) -> str:
    """What share of their roofs the compared blocks reach; without any roof, how many GFLOP/s."""
    rows = [r for r in measured(rows) if r["block"] != r["baseline"]] or measured(rows)
    roofed = [r for r in rows if r["attainable_share"] is not None]
    if not roofed:
        return sentence(rows, f"{_span([r['achieved_flop_per_s'] / 1e9 for r in rows], lambda v: digits(v, 3))} GFLOP/s", "reach")  # fmt: skip
    return sentence(roofed, f"{_span([r['attainable_share'] for r in roofed], _small)} of the roof", "reach")


def time_breakdown(rows: Sequence[Record]) -> str:
    """The two parts that take most of a block's time, medians over its cells; noisy cells count where all are."""
    noisy = {r["trial_id"] for r in rows if is_noisy(r)}
    calm = [r for r in rows if r["trial_id"] not in noisy] or rows
    others = [r for r in calm if r["block"] != r["baseline"]] or calm
    block = next((r["block"] for r in others if r["time_in_depthwise_s"] > 0), others[0]["block"])
    mine = [r for r in others if r["block"] == block]
    shares = [(median(r[f"time_in_{p}_s"] / r["time_median_s"] for r in mine), word) for p, word in PARTS.items()]
    (most, one), (more, two) = sorted(shares, key=lambda pair: -pair[0])[:2]
    parts = f"{share(most)} of its time in {one} and {share(more)} in {two}"
    return _titled("{block} spends {parts} on {device}", mine, parts=parts)


def depth(sweeps: Sequence[Sweep]) -> str:
    """How many times longer a block takes for how many times the layers at the same MACs."""
    deep = [s for s in sweeps if s.grows == "layers"]
    some = [s for s in deep if not s.condition.predicted] or deep
    layers = _span([float(s.counts()[-1] / s.counts()[0]) for s in some], rough)
    longer = _span([math.exp(s.points[-1].log_time.mean - s.points[0].log_time.mean) for s in some], rough)
    rows = [{"device": s.condition.device, "block": s.block} for s in some]
    take = verb(rows, "take", 2)
    return _titled("{layers} the layers at fixed MACs {take} {block} {longer} the time on {device}", rows, layers=layers, take=take, longer=longer)  # fmt: skip


def plane(sides: Sequence[Sequence[tuple[float, float]]], devices: Iterable[str | None]) -> str:
    """At how many points of each panel, smallest batches first, time is more elastic on layers than on MACs."""
    of = [f"{sum(y > x for x, y in side)} of {len(side)}" for side in sides]
    where = f" with the smallest batch and {of[1]} with the largest" if len(of) > 1 else ""
    return _titled("layers lead at {of} points{where} on {device}", [{"device": d} for d in devices], of=of[0], where=where)  # fmt: skip


def costs(ways: Sequence[Way]) -> str:
    """In which way layers take the most of the standard block's time by their costs, and in which the least."""
    labels = way_labels([w.condition for w in ways])
    ordered = sorted(ways, key=lambda w: -w.standard_layers.value)
    most, *least = [(percent(w.standard_layers.value), labels[w.condition]) for w in (ordered[0], *ordered[1:][-1:])]
    other = f", or {least[0][0]} ({least[0][1]})" if least else ""
    title = f"Layers take {most[0]} of standard's time ({most[1]}){other}"
    return (
        title if len(title) <= MOST else f"Layers take {least[0][0] if least else ''} to {most[0]} of standard's time"
    )


def claims(judged: Verdicts) -> str:
    """How many of the confirmatory answers are which, where any rests on a measurement."""
    first = [v for v in judged.verdicts if v.confirmatory and v.answer != "NOT MEASURED"]
    if all(v.bottleneck == "exact" for v in first):  # by arithmetic alone
        would = sum(v.predicted for v in judged.verdicts)
        verb = "is" if would == 1 else "are"
        return f"{plural(would, 'answer')} {verb} predicted and none is measured" if would else "Nothing was measured"
    counts = Counter(v.side for v in first)
    return _shares("answer to a claim", {word: counts[side] for side, word in SIDES.items() if counts[side]})


def drivers(groups: Sequence[Group]) -> str:
    """What limits the groups and what share of a typical row's time that takes; where groups differ, how many are limited by what."""
    counts = Counter(g.limit.word for g in groups)
    limit = next(iter(counts))
    lead = [max(g.additive.terms, key=lambda t: t.median.value) for g in groups if g.additive]
    if len(counts) > 1 or limit in (MIXED, UNKNOWN) or any(t.bottleneck != limit for t in lead):
        return _shares("group", {w if w != UNKNOWN else "of unknown limit": n for w, n in counts.most_common()})
    span = _span([t.median.value for t in lead], lambda v: percent(v, (HALF,)))
    return capital(f"{limit}: {listed([COUNT_WORDS[n] for n in lead[0].names])} take {span} of a typical row's time")


def _shares(noun: str, counts: Mapping[str, int]) -> str:
    """`5 groups are mixed`, `Of 5 groups 3 are mixed and 2 unknown`."""
    (word, n), *others = counts.items()
    nouns = noun.replace("answer to a claim", "answers to the claims") if "claim" in noun else ""
    of = f"Of {plural(sum(counts.values()), noun, nouns)} {n}" if others else plural(n, noun, nouns)
    verb = "is" if n == 1 else "are"
    return f"{of} {listed([f'{verb} {word}', *(f'{m} {other}' for other, m in others)])}"


def _titled(template: str, rows: Sequence[Record], **words: str) -> str:
    """The template filled. The rows' blocks, baselines and devices go by their names; where those are many or do not fit, by their number."""
    names = {n: list(dict.fromkeys(in_words(r[n]) for r in rows if n in r)) for n in _NAMED}
    predicted = "predicted " if all(is_predicted(r["device"]) for r in rows) else ""
    number = {
        "device": plural(len(names["device"]), f"{predicted}device"),
        "baseline": "the baseline" if len(names["baseline"]) == 1 else "their baselines",
        "block": plural(len(names["block"]), "block"),
    }
    words |= {n: listed(some) if len(some) <= _NAMED[n] else number[n] for n, some in names.items()}
    for noun in _NAMED:
        if len(template.format(**words)) > MOST:
            words[noun] = number[noun]
    title = capital(template.format(**words))
    return title if len(title) <= MOST else title.removesuffix(f" on {words['device']}")


def _span(values: Iterable[float], word: Callable[[float], str]) -> str:
    """`0.4x to 13x`, or the one word of both ends."""
    every = sorted(values)
    return " to ".join(dict.fromkeys([word(every[0]), word(every[-1])]))


def _beside_1(ratio: float) -> str:
    return times(ratio, lines=(1.0,))


def _small(value: float) -> str:
    """A share that may be far below one in a thousand."""
    return "under 0.1 %" if 0 < value < 0.001 else percent(value, (1.0,))
