"""Comparisons on the terminal: what differs, the rows that changed, and what they come to in words."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from bench.analyse.compare.ci_gate import Gate
from bench.analyse.compare.compare import CARDS, Comparison, Match, Quantity, Table, Verdict, beyond
from bench.analyse.compare.row_matching import Record
from bench.analyse.stats.multiple_testing import equivalent
from bench.show.text.terminal import cell, console_on, named, print_table
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import in_words
from bench.spec.format import in_seconds, percent, spanned, times
from bench.spec.interval import Interval

MOST_ROWS = {"speedup": 30, "time": 12}
MOST_NAMED = 3
MOST_BLOCKS = 8
ORDER: tuple[Verdict, ...] = ("SLOWER", "FASTER", "AMBIGUOUS", "CONFOUNDED", "NOT MEASURED", "SAME")
ABOVE: dict[Quantity, str] = {
    "speedup": "above 1x: the block gains more in B",
    "time": "above 1x: B takes longer",
}
"""What B / A says, on every table and picture."""
WAYS: dict[Quantity, tuple[str, str]] = {"speedup": ("higher", "lower"), "time": ("longer", "shorter")}
"""A ratio above 1x in a word, and one below."""
SAME_RUN = "A and B are the same run: nothing can differ"
_CORRECTIONS = {
    "benjamini-hochberg": "Benjamini-Hochberg's, 5 % of what is called changed may not be",
    "holm": "Holm's",
}


def show(found: Comparison, file: TextIO | None = None) -> None:
    """Print what differs between the runs, the rows that changed (the largest change first), and what it comes to."""
    console = console_on(file or sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(f"A  {named(found.a)}\nB  {named(found.b)}")
    for d in found.differences:
        say(f"differs: {d.name}: {d.a} in A, {d.b} in B")
    for compared in found.tables:
        most = MOST_ROWS[compared.quantity]
        say(_heading(compared))
        rows = ranked(compared)
        if rows:
            header, *lines = table(compared, rows[:most])
            print_table(console, header, lines, 2)
        if len(rows) > most:
            say(f"{len(rows) - most} more rows, changed by less or not at all: see --csv or --json")
        for line in sentences(found, compared):
            say(line)
    for line in cautions(found):
        say(line)


def ranked(compared: Table) -> list[Match]:
    """The matches with what changed first, and within an answer the farthest from 1x."""
    return sorted(compared.matches, key=lambda m: (ORDER.index(m.verdict), -abs(math.log(m.ratio or 1))))


def table(compared: Table, matches: Sequence[Match]) -> list[tuple[str, ...]]:
    """Matches as text, the header first: the trial and block, both values, their ratio with its interval."""
    speedups = compared.quantity == "speedup"
    value: Callable[[Record], str] = cell if speedups else _time
    lines: list[tuple[str, ...]] = [("trial", "block", "A", "B", "B / A", "verdict")]
    for m in matches:
        name = str(m.a["trial_id"]) if not m.differs else f"{m.a['trial_id']} | {m.b['trial_id']}"
        verdict = f"{m.verdict}: {', '.join(differing(m))}" if m.differs else m.verdict
        lines.append((name, str(m.a["block"]), value(m.a), value(m.b), _ratio(m), verdict))
    return lines


def differing(m: Match) -> list[str]:
    """The fields that confound a row: `threads 8 in A, 2 in B`, `device cuda:0 in A, predicted h100 in B`."""
    said = [(f, *(in_words(r[f]) if f == "device" else r[f] for r in (m.a, m.b))) for f in m.differs]
    return [f"{f} {one} in A, {two} in B" for f, one, two in said]


def reason(compared: Table, m: Match) -> str:
    """Why a row got no plainer answer: what differs of the workload, what was not measured, what an interval lacks."""
    if m.differs:
        return ", ".join(differing(m))
    if m.verdict == "NOT MEASURED":
        return ", ".join(f"{r['status']} in {n}" for n, r in (("A", m.a), ("B", m.b)) if r["status"] not in MEASURED)
    if m.verdict != "AMBIGUOUS" or m.log is None or m.p is None:
        return ""
    alpha = 1 - compared.confidence + 1e-12
    if m.ends is None:
        return "one process, and so no interval"
    if m.p <= alpha:
        return f"beyond the margin by itself, and not after the correction over {_rows(compared.family)}"
    if beyond(m.log, m.edge, compared.confidence) <= alpha:
        return "the medians moved and the fastest samples did not"
    return "the interval reaches over the margin"


def headline(found: Comparison, compared: Table | None = None) -> str:
    """A table in a sentence: `Speedups in B against A: 57 same, 1 slower of 58 rows`."""
    compared = compared or found.speedups
    total = sum(m.verdict != "CONFOUNDED" for m in compared.matches)
    if not total:
        return "No row is in both runs"
    words = [f"{n} {v.lower()}" for v, n in compared.counts.items() if n and v != "CONFOUNDED"]
    what = "Speedups" if compared.quantity == "speedup" else "Times"
    return f"{what} in B against A: {', '.join(words)} of {_rows(total)}"


def overall(compared: Table) -> str:
    """The geometric mean in words: `B's speedups are 0.97x [0.95, 0.99] those of A: 3 % lower`; nothing without rows."""
    if not compared.judged:
        return ""
    what = "speedups" if compared.quantity == "speedup" else "times"
    span, change = direction(compared.mean, compared.quantity, compared.edge, compared.confidence)
    return f"B's {what} are {span} those of A: {change} (geometric mean of {_rows(len(compared.judged))})"


def direction(mean: Interval, quantity: Quantity, edge: float, confidence: float) -> tuple[str, str]:
    """The ratio of B's values to A's with its interval, and which way that goes: `0.97x [0.95, 0.99]`, `3 % lower`.

    `mean` is of ln(ratio) as in a Match: above 1x B's speedups are higher, its times longer. The same is what a row's SAME is.
    """
    log = mean.mean
    ratio = math.exp(log)
    if not math.isfinite(mean.half_width):
        return times(ratio, 0.01), "without an interval"
    span = spanned(ratio, math.exp(log - mean.half_width), math.exp(log + mean.half_width), 0.01)
    within = equivalent(mean, edge, confidence) <= 1 - confidence + 1e-12
    higher, lower = WAYS[quantity]
    if abs(log) > mean.half_width:
        change = f"{percent(abs(math.expm1(log)))} {higher if log > 0 else lower}"
        return span, f"{change}, within the margin" if within else change
    return span, f"the same within {percent(math.expm1(edge))}" if within else f"neither {higher} nor {lower} for sure"


def sentences(found: Comparison, compared: Table) -> Iterator[str]:
    """Count, mean and rows without a partner."""
    margin = f"the margin is {found.margin * 100:g} %"
    if math.expm1(compared.edge) > found.margin + 1e-9:
        between = compared.quantity == "time" and found.cards and abs(math.expm1(compared.edge) - CARDS) < 1e-9
        why = "between two cards of one model" if between else "where a run's noise band is wider"
        margin += f", and {percent(math.expm1(compared.edge))} {why}"
    yield f"{headline(found, compared)}; {margin}"
    if compared.judged:
        yield overall(compared)
    yield from details(compared)


def details(compared: Table) -> Iterator[str]:
    """What lies behind the count and the mean: times by block, confounded rows, rows without a partner."""
    if compared.judged:
        blocks = compared.by_block()
        if compared.quantity == "time" and len(blocks) > 1:
            told = [
                _of_block(block, *direction(mean, "time", compared.edge, compared.confidence))
                for block, mean in blocks.items()
            ]
            rest = f", and {len(told) - MOST_BLOCKS} more" if len(told) > MOST_BLOCKS else ""
            yield f"times in B / in A by block: {', '.join(told[:MOST_BLOCKS])}{rest}"
    confounded = [m for m in compared.matches if m.differs]
    if confounded:
        fields = ", ".join(dict.fromkeys(f for m in confounded for f in m.differs))
        yield f"confounded: {_rows(len(confounded))} can only be matched by letting {fields} differ: shown, and counted nowhere"  # fmt: skip
    for name, missing in (("A", compared.only_a), ("B", compared.only_b)):
        if missing:
            first = ", ".join(dict.fromkeys(str(r["trial_id"]) for r in missing[:MOST_NAMED]))
            more = ", ..." if len(missing) > MOST_NAMED else ""
            yield f"only in {name}: {_rows(len(missing))}: {first}{more}"


def gate(asked: Gate) -> str:
    """What --fail-on found and what it can have missed, as the last line of a log.

    `gate passed: 0 of 58 rows slower by more than 5 %; 9 AMBIGUOUS, of which 7 may hide a slow-down, of 6 % (median) to 11 % (most) by their
    95 % intervals`
    """
    counts, lost = asked.counts, len(asked.lost)
    rows = _rows(asked.judged) + (" of times" if asked.quantity == "time" else "")
    found = (
        f"{counts['SLOWER']} of {rows} slower"
        if asked.looked_for == "slower"
        else f"{counts['SLOWER']} slower and {counts['FASTER']} faster of {rows}"
    )
    low, high = (percent(math.expm1(edge)) for edge in asked.edges)
    told = [
        f"gate {'failed' if asked.failing else 'passed'}: {found} by more than {low if low == high else f'{low} to {high}'}"
        + (f", {_rows(lost)} failed in B" if lost else ""),
        f"{counts['AMBIGUOUS']} AMBIGUOUS{_hidden(asked)}",
        *([f"{counts['NOT MEASURED']} not measured"] if counts["NOT MEASURED"] else []),
    ]
    return "; ".join(told)


def _hidden(asked: Gate) -> str:
    """How much the AMBIGUOUS rows can hide."""
    hidden = asked.hidden
    what = "slow-down" if asked.looked_for == "slower" else "change"
    told = []
    if hidden.median is not None and hidden.most is not None:
        size = (
            percent(hidden.most)
            if len(hidden.bounded) == 1
            else f"{percent(hidden.median)} (median) to {percent(hidden.most)} (most)"
        )
        told.append(
            f"{len(hidden.bounded)} may hide a {what}, of {size} by their {asked.tables[0].confidence * 100:g} % intervals"
        )
    if hidden.unbounded:
        told.append(
            f"{hidden.unbounded} without an interval one of any size"
            if told
            else f"{hidden.unbounded} have no interval and may hide a {what} of any size"
        )
    return f", of which {', and '.join(told)}" if told else ""


def not_timed(found: Comparison) -> str:
    """Why there is no table of times."""
    if all(m.differs for m in found.speedups.matches):
        return "not compared, as no row is in both runs"
    why = f" ({found.apart})" if found.apart else ""
    return f"not compared, as one machine can't be shown to have made both runs{why}; a speedup has its machine on both sides"


def widened(found: Sequence[Comparison]) -> str:
    """What made the intervals of B / A wider: `widened by the runs' noise bands where they have one`; nothing where no band is recorded."""
    known = {n for c in found if not c.same_run for n, band in zip("AB", c.bands, strict=True) if band is not None}
    if not known:
        return ""
    whose = "the runs' noise bands where they have" if len(known) > 1 else f"{known.pop()}'s noise band where it has"
    return f"widened by {whose} one"


def cautions(found: Comparison) -> Iterator[str]:
    """What to think of when these numbers are read."""
    if found.same_run:
        yield SAME_RUN
        return
    if not found.speedups.judged:
        return
    over = f"{_rows(found.speedups.family)} of speedups" if found.times else _rows(found.speedups.family)
    if found.times:
        over += f", and over {_rows(found.times.family)} of times"
    yield (
        f"FASTER and SLOWER lie beyond the margin after a correction over {over} ({_CORRECTIONS[found.correction]});"
        " SAME within it by two one-sided tests; AMBIGUOUS is neither"
    )
    told = [f"±{percent(math.expm1(b))} in {n}" for n, b in zip("AB", found.bands, strict=True) if b is not None]
    floor = (
        f"Intervals of B / A are {widened([found])} ({', '.join(told)} at most)" if told
        else "Neither run records a noise band of what was compared (bench aa)"
    )  # fmt: skip
    yield f"{floor}; on a shared machine two runs of the same thing differ by more than either's intervals say: lean on a change that a third run repeats"  # fmt: skip
    if found.times is None:
        yield f"Times are {not_timed(found)}"
    else:
        mood = "Times of two runs hold the machine's mood, which speedups cancel: speedups first"
        if found.cards:
            mood += f"; these are two cards, and cards of one model differ by {percent(CARDS)} on average (Sinha et al. 2022), so no smaller change of a time is called one"  # fmt: skip
        yield mood


def _heading(compared: Table) -> str:
    if compared.quantity == "speedup":
        return f"Speedup: time of the baseline / time of the block. B / A {ABOVE['speedup']}."
    return f"Time of one evaluation, median. B / A {ABOVE['time']}."


def _of_block(block: str, span: str, change: str) -> str:
    return f"{block} {span}" if change.startswith("neither") else f"{block} {span} ({change})"


def _ratio(m: Match) -> str:
    if m.ratio is None:
        return ""
    return times(m.ratio, 0.01) if m.ends is None else spanned(m.ratio, *m.ends, 0.01)


def _time(row: Record) -> str:
    if row["status"] not in MEASURED or row["time_median_s"] is None:
        return str(row["status"])
    return in_seconds(row["time_median_s"], 3)


def _rows(count: int) -> str:
    return f"{count} row{'s' if count != 1 else ''}"
