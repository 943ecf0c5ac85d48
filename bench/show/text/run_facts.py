"""The facts of a run in sentences: the finding, a line for each way to run a block, and how far to trust the run.

Terminal, page, index, Markdown, JSON and reproduction.md print these lines as they are.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from bench.analyse.facts import UNMEASURABLE, RunFacts, Tally, Trust, facts_of
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.columns import FAILED, MEASURED, PREDICTED, STATUSES, WITH_NUMBERS
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted
from bench.spec.format import capital, duration, interval, listed, percent, plural, share, times
from bench.spec.model.model_parameters import WORSE, disagreements

MOST_REASONS = 2  # why rows were skipped that a line gives; pairs.csv has them all
MOST_COUNTED = 24  # reasons in the page's table of them


def lines(facts: RunFacts) -> list[str]:
    """The run in sentences: how each way fared, then how far to trust it."""
    return [*way_lines(facts), *trust_lines(facts)]


def finding(facts: RunFacts) -> str:
    """In how many cells each device's blocks are faster and slower.

    `On cpu separable is faster in 28 and slower in 2 of 30 cells.`
    """
    by_device: dict[str, list[Tally]] = {}
    for t in facts.devices:
        if t.cells:
            by_device.setdefault(t.way, []).append(t)
    return capital("; ".join(_finding(d, some) for d, some in by_device.items()) or "nothing was measured") + "."


def _finding(device: str, some: Sequence[Tally]) -> str:
    blocks = some[0].block if len(some) == 1 else f"{len(some)} blocks"
    cells, unsure = (sum(getattr(t, name) for t in some) for name in ("cells", "without_interval"))
    many = plural(cells, "cell")
    if unsure == cells:
        reads = "read" if len(some) > 1 else "reads"
        return f"on {in_words(device)} {blocks} {reads} faster in {sum(t.read_faster for t in some)} of {many}, by one process each"
    verb = "would be" if is_predicted(device) else "are" if len(some) > 1 else "is"
    faster, slower = (sum(getattr(t, name) for t in some) for name in ("faster", "slower"))
    return f"on {in_words(device)} {blocks} {verb} faster in {faster} and slower in {slower} of {many}"


def way_lines(facts: RunFacts) -> list[str]:
    """A line for each way to run each block, and one for all in which nothing was measured or predicted."""
    idle = [t for t in facts.ways if not t.cells and not t.failed]
    lines = [_way(t) for t in facts.ways if t not in idle]
    for verb in ("measured", "predicted"):
        some = [t for t in idle if t.predicted == (verb == "predicted")]
        if some:
            ways = f"{some[0].way}: {some[0].block}" if len(some) == 1 else f"{len(some)} other ways"
            reasons = list(dict.fromkeys(reason for t in some for reason in t.reasons))
            why = "; ".join(reasons) if len(reasons) <= MOST_REASONS else "pairs.csv says why"
            lines.append(f"{ways}: nothing {verb}; {plural(sum(t.skipped for t in some), 'row')} skipped: {why}")
    return lines


def _way(t: Tally) -> str:
    cells = f"of {plural(t.cells, 'cell')}"
    verdicts = ((t.faster, "faster"), (t.slower, "slower"), (t.same, "the same"), (t.undecided, "undecided"))
    counts = [f"{n} {word}" for n, word in verdicts if n]
    counts += [f"{t.without_interval} without an interval"] if counts and t.without_interval else []
    cells = f"{listed(counts)} {cells}" if counts else f"{t.read_faster} {cells} read faster, by one process each"
    achieved = f", {share(t.achieved)} of the MAC ratio {times(t.mac_ratio)}" if t.achieved is not None else ""
    mean = "predicted mean speedup" if t.predicted else "mean speedup"
    parts = [f"{cells}; {mean} {interval(t.mean)}{achieved}"] if t.cells else []
    parts += [f"{n} {status}" for status, n in (*t.failed.items(), *([("skipped", t.skipped)] if t.skipped else []))]
    return f"{t.way}: {t.block} {'; '.join(parts)}"


def trust_lines(facts: RunFacts) -> list[str]:
    """How many rows were measured and how precisely, what disturbed them, and what was predicted."""
    told = list(_measured_lines(facts.trust)) if facts.trust.measured else []
    f = facts.forecast
    if f is not None and f.rows:
        told.append(f"{plural(f.rows, 'row')} predicted, not measured: a model's times of {listed(f.names)}. Intervals are its error on data left out of its fit.")  # fmt: skip
    return told or ["Nothing was measured."]


def _measured_lines(t: Trust) -> Iterator[str]:
    fewest, most = t.processes
    spread = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    half = t.median_half_width
    width = f"median half-width ±{percent(half)}" if math.isfinite(half) else "no intervals"
    yield f"{plural(t.measured, 'row')} measured in {spread} process{'es' if most > 1 else ''} each: {width}."
    yield f"{t.undecided} undecided, {t.imprecise} less precise than the asked ±{percent(t.precision)}, {t.noisy} noisy."
    if unmeasured := _unmeasured(t):
        yield unmeasured
    if t.flagged is not None:
        yield f"Disturbed samples by the kernel's counters: {percent(t.flagged[0])} of a row's (median), {percent(t.flagged[1])} at most."
    if t.noise_band is not None:
        of = "" if t.banded == t.measured else f", known for {plural(t.banded, 'row')}"
        yield f"Noise band of this machine (bench aa): ±{percent(t.noise_band)}{of}."
    else:
        yield "Noise band of this machine: unknown until bench aa has run here."
    if t.timed_share is not None:
        over = f" over {t.sessions} sessions" if t.sessions > 1 else ""
        yield f"{share(t.timed_share)} of {duration(t.wall_s)}{over} went into samples."


def _unmeasured(t: Trust) -> str:
    kinds = (("skipped", UNMEASURABLE), ("failed", FAILED))
    counts = [f"{plural(n, 'row')} {word}" for word, some in kinds if (n := sum(t.statuses.get(s, 0) for s in some))]
    return f"{listed(counts)}: pairs.csv says why." if counts else ""


def quality(run: Run, facts: RunFacts) -> dict[str, Any]:
    """How far a run can be trusted: `sentences`, rows by status, reasons with their counts, and the machine's `ambers`."""
    rows = records_of(run.pairs)
    measured = [r for r in rows if r["status"] in MEASURED]
    counts = facts.trust.statuses
    order = [*STATUSES, *sorted(set(counts) - set(STATUSES))]
    return {
        "sentences": [*trust_lines(facts), *_model_lines(run, facts)],
        "statuses": [(s, counts[s]) for s in order if s in counts],
        "skips": _reasons(r["status_detail"] for r in rows if r["status"] in UNMEASURABLE),
        "failures": _reasons(r["status_detail"] for r in rows if r["status"] not in (*WITH_NUMBERS, *UNMEASURABLE)),
        "notes": _reasons(n for r in measured for n in str(r["quality_notes"] or "").split("; ") if n),
        "ambers": [str(a) for a in run.environment.get("ambers") or ()],
    }


def _model_lines(run: Run, facts: RunFacts) -> Iterator[str]:
    """Of a run that holds predicted rows: how far off the model was, where it is worse, and where sources disagree."""
    if facts.forecast is None:
        return
    seen = as_object(run.environment.get("devices"))
    models = {d: as_object(as_object(seen[d]).get("prediction")) for d in seen if is_predicted(d)}
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
        yield from disagreements(in_words(d), as_object(as_object(seen[d]).get("disagree")))


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


def noisy(facts: RunFacts) -> str:
    """`6 of 6 measured rows are noisy` where half of them or more are; nothing otherwise."""
    t = facts.trust
    return f"{t.noisy} of {t.measured} measured rows noisy" if t.mostly_noisy else ""


def made_on(run: Run) -> str:
    """`Intel(R) Xeon(R) Processor (cpu), torch 2.13.0, 2026-11-22`; no torch where it ran nothing."""
    rows = records_of(run.pairs)
    names = dict.fromkeys((str(r["device_name"] or ""), str(r["device"])) for r in rows)
    words = [f"{name} ({device})" if name else device for name, device in names]
    torch = None if only_predicted(facts_of(run)) else run.environment.get("torch")
    return ", ".join(filter(None, [*words, f"torch {torch}" if torch else "", str(run.environment.get("started_utc") or "")[:10]]))  # fmt: skip


def as_object(value: Any) -> dict[str, Any]:
    """What should be an object of environment.json; an empty one where someone's hand made it something else."""
    return value if isinstance(value, dict) else {}


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
