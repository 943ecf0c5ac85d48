"""The facts of a run in sentences: the finding, a line for each way to run a block, and how far to trust the run.

Terminal, page, index, Markdown, JSON and reproduction.md print these lines as they are.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.analyse.drivers.additive_model import BANDWIDTH, COMPUTE, MIXED, OVERHEAD
from bench.analyse.drivers.limits import UNKNOWN
from bench.analyse.facts import UNMEASURABLE, RunFacts, Tally, Trust
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.merged import short
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.text.ways import device_words, way_labels
from bench.spec.columns import FAILED, MEASURED, PREDICTED, STATUSES, WITH_NUMBERS
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted
from bench.spec.format import capital, duration, interval, listed, percent, plural, share, size_word, times
from bench.spec.model.model_parameters import WORSE, disagreements

MOST_REASONS = 2  # why rows were skipped that a line gives; pairs.csv has them all
_LEANS = ("faster", "slower", "mixed", "undecided")
_HOST = "by the host's calls"
_LIMITS = {
    OVERHEAD: "by overhead of each layer",
    COMPUTE: "by compute",
    BANDWIDTH: "by bandwidth",
    MIXED: "by several costs",
}
MOST_CARDS = 4
MOST_SAID = 4  # places or blocks of one outcome that a sentence names
_MODES = {"eager": "in eager mode", "graph": "in a CUDA graph", "compile": "compiled"}
MOST_COUNTED = 24  # reasons in the page's table of them


def lines(facts: RunFacts) -> list[str]:
    """The run in sentences: how each way fared, then how far to trust it."""
    return [*way_lines(facts), *trust_lines(facts)]


def question(facts: RunFacts) -> list[str]:
    """`Is separable faster than standard? It does 4.2x to 8.8x fewer multiplications.`; nothing of several blocks."""
    told = [t for t in facts.places if t.cells and not t.network]
    if len({(t.block, t.baseline) for t in told}) != 1:
        return []
    logs = [math.log(t.mac_ratio) for t in told if t.achieved is not None]
    kernels = listed([f"{k} x {k}" for k in sorted({w.kernel for t in facts.ways for w in t.wins})])
    fewer = f" It does {times(math.exp(sum(logs) / len(logs)))} fewer multiplications (geometric mean{f', {kernels}' if kernels else ''})." if logs else ""  # fmt: skip
    verb = "Would {} be" if all(t.predicted for t in told) else "Is {}"
    return [f"{verb.format(told[0].block)} faster than {told[0].baseline}?{fewer}"]


def finding(facts: RunFacts) -> str:
    """Where blocks are faster and where slower, then networks; every row with a speedup is counted.

    `Separable is faster on the CPU with 1 thread (9 of 10 cells, 3.0x), slower on the GPU in eager mode (9 of 10, 0.64x).`
    """
    return " ".join(sentences(facts))


def sentences(facts: RunFacts) -> list[str]:
    """The finding, sentence by sentence; the first is a page's heading."""
    told = grouped((p for p in facts.places if p.cells), lambda p: (p.network, p.predicted))
    return [_sentence(told[kind]) for kind in sorted(told)] or ["Nothing was measured."]


def because(facts: RunFacts) -> str:
    """What limits the time of blocks at each place, as far as it is known: `Limited by overhead in eager mode.`."""
    devices = device_words([p.way for p in facts.places])
    one = len({p.way.device for p in facts.places}) == 1
    known = [p for p in facts.places if p.cells and p.limit.word != UNKNOWN and not p.predicted]
    pairs = {(_HOST if p.limit.of_host else _LIMITS[p.limit.word], _where(p.way, devices, one)): None for p in known}
    by_word = [f"{word} {listed([w for _, w in some])}" for word, some in grouped(pairs, lambda pair: pair[0]).items()]
    return f"Time is limited {'; '.join(by_word)}." if by_word else ""


def trust(facts: RunFacts) -> str:
    """How sure that is: `Trust: fair (42 of 131 rows noisy, 3 processes a row, median ±4.8 %).`."""
    t = facts.trust
    if not t.measured:
        return ""
    width = f"median ±{percent(t.median_half_width)}" if math.isfinite(t.median_half_width) else "no intervals"
    try_ = ": read this as a try, not as a measurement" if t.grade == "poor" else ""
    return f"Trust: {t.grade} ({t.noisy} of {plural(t.measured, 'row')} noisy, {_processes(t)} a row, {width}){try_}."


def cards(facts: RunFacts) -> list[dict[str, str]]:
    """Up to MOST_CARDS places with their number, for the top of a page: blocks first, then the networks with most fewer MACs."""
    told = [p for p in facts.places if p.cells]
    devices = device_words([p.way for p in told])
    one = len({p.way.device for p in told}) == 1
    blocks = sorted((p for p in told if not p.network), key=lambda p: -p.cells)
    networks = sorted((p for p in told if p.network), key=lambda p: -(p.mac_ratio if p.achieved else 0))
    room = MOST_CARDS - min(len(networks), 1)
    several = len({p.block for p in blocks}) > 1
    cards = []
    for p in [t for t in told if t in blocks[:room] or t in networks[: MOST_CARDS - len(blocks[:room])]]:
        where = _where(p.way, devices, one and not p.network) or f"on {_the(devices[str(p.way.device)])}"
        ends = "" if not math.isfinite(p.mean.half_width) else f"[{interval(p.mean).partition(' [')[2]}"
        cards.append({
            "lean": p.lean,
            "head": capital(f"{p.block} {where}" if p.network or several else where.removeprefix("with ")),
            "value": times(math.exp(p.mean.mean), p.mean.half_width, (1.0,)),
            "words": ", ".join(filter(None, (ends, f"{'predicted ' if p.predicted else ''}{_votes(p)} of {plural(p.cells, 'cell')}", f"{times(p.mac_ratio)} fewer MACs" if p.achieved is not None else ""))),
        })  # fmt: skip
    return cards


def _votes(p: Tally) -> str:
    if p.without_interval == p.cells:
        return f"reads faster in {p.read_faster}"
    counts = ((p.faster, "faster"), (p.slower, "slower"), (p.undecided + p.same, "neither"))
    return listed([f"{word} in {n}" for n, word in counts if n])


def answer(facts: RunFacts) -> list[str]:
    """The first words of every view: the finding, what limits it, and how sure it is."""
    return [line for line in (finding(facts), because(facts), trust(facts)) if line]


def _sentence(places: Sequence[Tally]) -> str:
    """Places and blocks that lean one way together, the clearest first; what all share stands in front."""
    devices = device_words([p.way for p in places])
    blocks, ways = list(dict.fromkeys(p.block for p in places)), {p.way for p in places}
    one_device, bare = len({w.device for w in ways}) == 1, all(p.without_interval == p.cells for p in places)
    foretold = all(p.predicted for p in places)
    parts = []
    for lean, some in grouped(sorted(places, key=lambda p: _LEANS.index(p.lean)), lambda p: p.lean).items():
        names = [[p.block] * (len(blocks) > 1) + [_where(p.way, devices, one_device)] * (len(ways) > 1) for p in some]
        said = [" ".join(filter(None, [*words, f"({_count(p)})"])) for words, p in zip(names, some, strict=True)]
        left = sum(p.cells for p in some[MOST_SAID:])
        more = [f"{len(said) - MOST_SAID} more ({plural(left, 'cell')})"] if left else []
        parts.append(f"{lean} {listed([*said[:MOST_SAID], *more])}")
    shared = [f"on {_the(devices[str(places[0].way.device)])}"] if one_device else []
    shared += [_where(places[0].way, devices, True)] if len(ways) == 1 else []
    verb = "would be" if foretold else "reads" if bare else "is"
    many = f"{'networks against their baselines' if places[0].network else 'blocks'}{': would be' if foretold else ': read' if bare else ':'}"
    first = " ".join(filter(None, (*shared, f"{blocks[0]} {verb}" if len(blocks) == 1 else many)))
    once = ", by too few processes for an interval" if bare and not foretold else ""
    return f"{capital(first)} {'; '.join(parts)}{once}."


def _count(p: Tally) -> str:
    """`26 of 39 cells, 1.3x`; of a place that leans neither way both counts."""
    faster, slower = (p.read_faster, p.cells - p.read_faster) if p.without_interval == p.cells else (p.faster, p.slower)
    some = f"{faster} faster" if faster else f"{slower} slower" if slower else "none decided"
    counts = {"faster": f"{faster} of", "slower": f"{slower} of", "mixed": f"{faster} faster, {slower} slower of", "undecided": f"{some} of"}  # fmt: skip
    return f"{counts[p.lean]} {plural(p.cells, 'cell')}, {times(math.exp(p.mean.mean), lines=(1.0,))}"


def _the(name: str) -> str:
    return f"the {name}" if name in ("CPU", "GPU") else name


def _where(place: Condition, devices: Mapping[str, str], one_device: bool) -> str:
    """`on the CPU with 1 thread`, `on cuda:1 in a graph`; where all is of `one_device`, without it."""
    cpu = place.kind == "cpu"
    mode = "" if place.mode is None or (cpu and place.mode == "eager") else _MODES.get(place.mode, place.mode)
    threads = f"with {plural(place.threads, 'thread')}" if cpu and place.threads is not None else ""
    device = "" if one_device else f"on {_the(devices[str(place.device)])}"
    return " ".join(filter(None, (device, threads, mode)))


def way_lines(facts: RunFacts) -> list[str]:
    """A line for each way to run each block, and one for all in which nothing was measured or predicted."""
    labels = way_labels([t.way for t in facts.ways])
    return [*(_way(t, labels[t.way]) for t in facts.ways if t.cells or t.failed), *idle_lines(facts)]


def idle_lines(facts: RunFacts) -> list[str]:
    """A line for all ways in which nothing was measured, and one for those in which nothing was predicted, with the reasons."""
    labels, lines = way_labels([t.way for t in facts.ways]), []
    idle = [t for t in facts.ways if not t.cells and not t.failed]
    for verb in ("measured", "predicted"):
        some = [t for t in idle if t.predicted == (verb == "predicted")]
        if some:
            ways = f"{labels[some[0].way]}: {some[0].block}" if len(some) == 1 else f"{len(some)} other ways"
            reasons = list(dict.fromkeys(reason for t in some for reason in t.reasons))
            why = "; ".join(reasons) if len(reasons) <= MOST_REASONS else "pairs.csv says why"
            lines.append(f"{ways}: nothing {verb}; {plural(sum(t.skipped for t in some), 'row')} skipped: {why}")
    return lines


def _way(t: Tally, label: str) -> str:
    cells = f"of {plural(t.cells, 'cell')}"
    verdicts = ((t.faster, "faster"), (t.slower, "slower"), (t.same, "the same"), (t.undecided, "undecided"))
    counts = [f"{n} {word}" for n, word in verdicts if n]
    counts += [f"{t.without_interval} without an interval"] if counts and t.without_interval else []
    cells = f"{listed(counts)} {cells}" if counts else f"{t.read_faster} {cells} read faster, by too few processes for an interval"  # fmt: skip
    mean = "predicted mean speedup" if t.predicted else "mean speedup"
    parts = [f"{cells}; {mean} {interval(t.mean)}{achieved(t)}"] if t.cells else []
    parts += [wins(t)] if t.wins else []
    parts += [f"{n} {status}" for status, n in (*t.failed.items(), *([("skipped", t.skipped)] if t.skipped else []))]
    return f"{label}: {t.block} {'; '.join(parts)}"


def achieved(t: Tally) -> str:
    """`, 28 % of the MAC ratio 11.1x`; more than all of it is pointed out."""
    if t.achieved is None:
        return ""
    more = ", more than fewer MACs explain" if t.achieved > 1 else ""
    return f", {share(t.achieved)} of the MAC ratio {times(t.mac_ratio)}{more}"


def wins(t: Tally) -> str:
    """`faster from 32 channels on (3 x 3), at all measured (5 x 5)`."""
    sizes, words = {(w.height, w.width) for w in t.wins}, []
    for w in t.wins:
        part = "at some channels" if w.won else "at none"
        whole = "at all channels measured" if w.channels == w.least else f"from {w.channels} channels on"
        shape = f"{w.kernel} x {w.kernel}" + (f", {size_word(w.height, w.width)}" if len(sizes) > 1 else "")
        words.append(f"{part if w.channels is None else whole} ({shape})")
    return f"faster {', '.join(words)}"


def trust_lines(facts: RunFacts) -> list[str]:
    """How many rows were measured and how precisely, what disturbed them, and what was predicted."""
    told = list(_measured_lines(facts.trust)) if facts.trust.measured else []
    f = facts.forecast
    if f is not None and f.rows:
        told.append(f"{plural(f.rows, 'row')} predicted, not measured: a model's times of {listed(f.names)}. Intervals are its error on data left out of its fit.")  # fmt: skip
    return told or ["Nothing was measured."]


def brief_trust(facts: RunFacts) -> list[str]:
    """What the first words leave out: undecided and imprecise rows, those that were not measured, and the noise band."""
    return [" ".join(_doubts(facts.trust))] if facts.trust.measured else trust_lines(facts)


def _measured_lines(t: Trust) -> Iterator[str]:
    width = (
        f"median half-width ±{percent(t.median_half_width)}" if math.isfinite(t.median_half_width) else "no intervals"
    )
    yield f"{plural(t.measured, 'row')} measured in {_processes(t)} each: {width}."
    yield from _doubts(t)
    if t.flagged is not None:
        yield f"Disturbed samples by the kernel's counters: {percent(t.flagged[0])} of a row's (median), {percent(t.flagged[1])} at most."
    if t.timed_share is not None:
        over = f" over {t.sessions} sessions" if t.sessions > 1 else ""
        yield f"{share(t.timed_share)} of {duration(t.wall_s)}{over} went into samples."


def _processes(t: Trust) -> str:
    """`3 processes`, `3 to 5 processes`."""
    fewest, most = t.processes
    return f"{fewest} to {most} processes" if fewest != most else plural(most, "process", "processes")


def _doubts(t: Trust) -> Iterator[str]:
    """Rows that decide nothing, those that were not measured, and the noise of the machine."""
    yield f"{t.undecided} undecided, {t.imprecise} less precise than the asked ±{percent(t.precision)}, {t.noisy} noisy."
    kinds = (("skipped", UNMEASURABLE), ("failed", FAILED))
    counts = [f"{plural(n, 'row')} {word}" for word, some in kinds if (n := sum(t.statuses.get(s, 0) for s in some))]
    yield from [f"{listed(counts)}: pairs.csv says why."] if counts else []
    of = "" if t.banded == t.measured else f", known for {plural(t.banded, 'row')}"
    band = f"±{percent(t.noise_band)}{of}" if t.noise_band is not None else "unknown until bench aa has run here"
    yield f"Noise band of this machine: {band}."


def quality(run: Run, facts: RunFacts) -> dict[str, Any]:
    """How far a run can be trusted: `sentences`, rows by status, reasons with their counts, and the machine's `ambers`."""
    rows = records_of(run.pairs)
    measured = [r for r in rows if r["status"] in MEASURED]
    counts = facts.trust.statuses
    return {
        "sentences": [*trust_lines(facts), *_model_lines(run, facts)],
        "statuses": [(s, counts[s]) for s in STATUSES if s in counts],
        "skips": _reasons(r["status_detail"] for r in rows if r["status"] in UNMEASURABLE),
        "failures": _reasons(r["status_detail"] for r in rows if r["status"] not in (*WITH_NUMBERS, *UNMEASURABLE)),
        "notes": _reasons(n for r in measured for n in str(r["quality_notes"] or "").split("; ") if n),
        "ambers": [str(a) for a in run.environment.get("ambers") or ()],
    }


def _model_lines(run: Run, facts: RunFacts) -> Iterator[str]:
    """Of a run that holds predicted rows: how far off the model was, where it is worse, and where sources disagree."""
    if facts.forecast is None:
        return
    seen = {d: facts for d, facts in (run.environment.get("devices") or {}).items() if is_predicted(d)}
    models = {d: facts.get("prediction") or {} for d, facts in seen.items()}
    for kind in dict.fromkeys("cpu" if is_cpu(d) else "gpu" for d in models):
        model = next(m for d, m in models.items() if is_cpu(d) == (kind == "cpu"))
        if {"time", "speedup"} <= model.keys():
            time, speedup = (f"x/÷ {math.exp(model[name]):.2f}" for name in ("time", "speedup"))
            yield f"{kind.upper()}s: 95 % of the model's times lay within {time}, of its speedups within {speedup}, on data left out of its fit."
        if (slower := float(model.get("host", 1.0))) > 1:
            yield f"{kind.upper()}s: the host's speed is assumed; intervals allow for a host {slower:.3g} times slower."
        yield f"{kind.upper()}s: it is less accurate {WORSE[kind]}."
    names = dict.fromkeys(str(m.get("model") or "model") for m in models.values())
    if names:
        yield f"docs/PREDICTION_FIT.md has the errors of {listed(list(names))}, named by the hash of its parameters."
    for d in models:
        yield from disagreements(in_words(d), seen[d].get("disagree") or {})


def only_predicted(facts: RunFacts) -> bool:
    """Whether the run holds predicted rows and none that was measured."""
    return facts.forecast is not None and not facts.trust.measured


def predicted(facts: RunFacts) -> str:
    """How many rows a model predicted and for what; nothing of a run that was all measured."""
    f, whole = facts.forecast, "" if facts.trust.measured else "Nothing here was measured: "
    if f is None:
        return ""
    if not f.rows:
        return f"{whole}{plural(f.asked, 'row')} of {listed(f.names)} should be predicted, and none has a time: status_detail says why."
    return f"{whole}{plural(f.rows, 'row')} of {listed(f.names)} {'is' if f.rows == 1 else 'are'} predicted by a model. Intervals are the model's error; no verdict counts predicted rows as measured."  # fmt: skip


def measured(facts: RunFacts) -> str:
    """`28 of 30, 3 noisy, 2 skipped`: rows that were measured, and what became of the others."""
    counts = facts.trust.statuses
    kinds = (("noisy", ("noisy",)), ("skipped", UNMEASURABLE), ("failed", FAILED), ("predicted", (PREDICTED,)))
    rest = [f"{n} {word}" for word, some in kinds if (n := sum(counts.get(s, 0) for s in some))]
    return ", ".join([f"{sum(counts.get(s, 0) for s in MEASURED)} of {facts.trust.planned}", *rest])


def made_on(run: Run) -> str:
    """`Xeon (cpu), H100 80GB HBM3 (cuda:0), torch 2.13.0, 2026-11-22`; no torch where it ran nothing."""
    rows = records_of(run.pairs)
    names = dict.fromkeys((str(r["device_name"] or ""), str(r["device"])) for r in rows)
    words = [f"{short(name)} ({device})" if name else device for name, device in names]
    torch = None if all(is_predicted(device) for _, device in names) and rows else run.environment.get("torch")
    return ", ".join(filter(None, [*words, f"torch {torch}" if torch else "", str(run.environment.get("started_utc") or "")[:10]]))  # fmt: skip


def _reasons(texts: Any) -> tuple[tuple[str, int], ...]:
    """Texts that differ in their numbers alone, counted as one; what is most common first."""
    alike: dict[str, Counter[str]] = {}
    for text in texts:
        reason = str(text or "no reason given")
        alike.setdefault(re.sub(r"(?<!\w)\d+(\.\d+)?", "…", reason), Counter())[reason] += 1
    counted = [(next(iter(c)) if len(c) == 1 else words, c.total()) for words, c in alike.items()]
    counted.sort(key=lambda one: -one[1])
    left = sum(n for _, n in counted[MOST_COUNTED:])
    return (*counted[:MOST_COUNTED], *([("other reasons", left)] if left else []))
