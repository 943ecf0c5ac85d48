"""The words of a comparison, each sentence once: the terminal, the page and the pictures print these."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from bench.analyse.compare import facts
from bench.analyse.compare.ci_gate import LOCKSTEP, Gate
from bench.analyse.compare.facts import Comparison, Correction, Doubt, Match, MeanRatio, Quantity, QuantityComparison
from bench.analyse.runs.rows import Record
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.text import terminal
from bench.show.text.terminal import cell, named, print_lines, print_table
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import in_words
from bench.spec.format import in_seconds, listed, percent, plural, spanned, times

MOST_ROWS: dict[Quantity, int] = {"speedup": 30, "time": 12}
FEW_ROWS: dict[Quantity, int] = {"speedup": 6, "time": 4}  # unless all are asked for
MOST_DRAWN = 240  # rows of a picture
MOST_NAMED = 3
MOST_BLOCKS = 8
MOST_DIFFERENCES = 4  # below a picture
LONGEST_DIFFERENCE = 80  # letters, below a picture
ABOVE: dict[Quantity, str] = {"speedup": "above 1x: the block gains more in B", "time": "above 1x: B takes longer"}
"""How to read B / A, on every table and picture."""
HEADINGS: dict[Quantity, str] = {
    "speedup": f"Speedup: time of the baseline / time of the block. B / A {ABOVE['speedup']}.",
    "time": f"Time: median of one evaluation. B / A {ABOVE['time']}.",
}
WAYS: dict[Quantity, tuple[str, str]] = {"speedup": ("higher", "lower"), "time": ("longer", "shorter")}
"""A ratio above 1x in a word, and one below."""
SAME_RUN = "A and B are the same run: nothing can differ."
DRIFT = "Absolute times drift with machine load. On a shared machine speedups drift as well, by more than their intervals show. Trust a difference only if a third run repeats it."
QUANTITIES: dict[Quantity, str] = {"speedup": "speedup", "time": "median time"}
_CORRECTIONS: dict[Correction, str] = {"benjamini-hochberg": "Benjamini-Hochberg's", "holm": "Holm's"}
_DOUBTS: dict[Doubt, str] = {
    "no interval": "fewer than three processes, so no interval",
    "correction": "beyond the margin by itself, not after the correction",
    "fastest samples": "the medians moved, the fastest samples did not",
    "interval": "the interval reaches over the margin",
}


def print_comparison(c: Comparison, every: bool = False) -> None:
    """Print the answer, what differs between the runs, and the rows that changed most; with `every` all there is to say."""
    width = terminal.WIDTH if every else terminal.width()
    runs = [f"{name}  {run.environment.get('side') or (named(run) if every else run.called)}" for name, run in (("A", c.a), ("B", c.b))]  # fmt: skip
    told = [
        headline(c),
        *runs,
        *_order(c),
        *(f"{'. '.join(headlines(q))}." for q in c.quantities),
        *([] if c.times else [not_timed(c)]),
    ]
    unlike = [d for d in c.differences if d.name != "side"]  # which the lines above say
    differences = unlike if every else unlike[:MOST_DIFFERENCES]
    more = len(unlike) - len(differences)
    told += [f"differs: {d.name}: {d.a} in A, {d.b} in B" for d in differences]
    told += [f"{more} more differences: --all"] if more else []
    print_lines(terminal.wrapped(told, width))
    for compared in c.quantities:
        most = (MOST_ROWS if every or compared.paired else FEW_ROWS)[compared.quantity]
        many, more = compared.telling(max(most, MOST_DRAWN)), len(compared.rows.a) - most
        rows = many[:most]
        header, *lines = table(compared, rows) if every else _narrow(compared, rows, many, width)
        if rows:
            brief_head = f"{QUANTITIES[compared.quantity]}, B / A {ABOVE[compared.quantity]}"
            print_lines(["", HEADINGS[compared.quantity] if every else brief_head])
            print_table(header, lines, 2 if every else 1)
        left = f"{more} more rows, changed by less or not at all: {'--csv or --json' if every else '--all'}"
        rest = [d for d in details(compared) if every or not d.startswith("B / A")]
        print_lines(terminal.wrapped([*([left] if more > 0 else []), *rest], width))
    rule = f"Margin {_percent(c.margin)}, after {_CORRECTIONS[c.correction]} correction. AMBIGUOUS: neither surely beyond it nor surely within."
    brief = [SAME_RUN] if c.same_run else runs_differ(c)
    print_lines(["", *terminal.wrapped([legend(c), *notes(c)] if every else [*brief, rule], width)])


def _narrow(
    compared: QuantityComparison, matches: Sequence[Match], many: Sequence[Match], width: int
) -> list[tuple[str, ...]]:
    """The table of the first of `many` matches, without half-widths and what all trials' names share; without A and B, and the starts of long names, where those do not fit."""
    names = [str(m.a["trial_id"]).removesuffix(f"/{m.a['block']}").split("-") for m in many]
    shared = 0
    while len({tuple(n[-shared - 1 :]) for n in names}) == 1 and len(names) > 1 and min(map(len, names)) > shared + 1:
        shared += 1
    lines: list[tuple[str, ...]] = [("", "A", "B", "B / A", "verdict")]
    for m, name in zip(matches, names, strict=False):
        a, b = (terminal.brief_cell(r) if compared.quantity == "speedup" else _time(r) for r in (m.a, m.b))
        label = " ".join(["-".join(name[: len(name) - shared]), str(m.a["block"])])
        lines.append((label, a, b, "" if m.ratio is None else _span(m.ratio, m.ends), m.verdict))
    if terminal.wide_as(lines) <= width:
        return lines
    brief = [(line[0], *line[3:]) for line in lines]
    most = max(len(line[0]) for line in brief) - max(0, terminal.wide_as(brief) - width)  # letters of a label
    return [(label if len(label) <= most else f"…{label[1 - most :]}", *rest) for label, *rest in brief]


def table(compared: QuantityComparison, matches: Sequence[Match]) -> list[tuple[str, ...]]:
    """Matches as text, the header first: the trial and block, both values, their ratio with its interval, the verdict."""
    value: Callable[[Record], str] = cell if compared.quantity == "speedup" else _time
    lines: list[tuple[str, ...]] = [("trial", "block", "A", "B", "B / A", "verdict")]
    for m in matches:
        name = f"{m.a['trial_id']} | {m.b['trial_id']}" if m.differs else str(m.a["trial_id"])
        verdict = f"{m.verdict}: {reason(compared, m)}" if m.differs else m.verdict
        ratio = "" if m.ratio is None else _span(m.ratio, m.ends)
        lines.append((name, str(m.a["block"]), value(m.a), value(m.b), ratio, verdict))
    return lines


def reason(compared: QuantityComparison, m: Match) -> str:
    """Why a row is CONFOUNDED, NOT MEASURED or AMBIGUOUS: `threads 8 in A, 2 in B`."""
    if m.differs:
        values = [(f, *(in_words(r[f]) if f == "device" else r[f] for r in (m.a, m.b))) for f in m.differs]
        return ", ".join(f"{f} {one} in A, {two} in B" for f, one, two in values)
    if m.verdict == "NOT MEASURED":
        return ", ".join(f"{r['status']} in {n}" for n, r in (("A", m.a), ("B", m.b)) if r["status"] not in MEASURED)
    doubt = compared.doubt(m)
    return _DOUBTS[doubt] if doubt else ""


def answer(compared: QuantityComparison) -> str:
    """`By speedup, 2 of 20 rows are slower in B, 0 faster, 18 the same and 0 ambiguous`."""
    if not compared.number:
        return "No row is measured in both runs"
    n = compared.counts
    return f"By {compared.quantity}, {n['SLOWER']} of {compared.number} rows are slower in B, {n['FASTER']} faster, {n['SAME']} the same and {n['AMBIGUOUS']} ambiguous"


def mean(compared: QuantityComparison) -> str:
    """`B's speedups are 0.97x [0.95, 0.99] of A's (geometric mean): 3 % lower`."""
    span, change = direction(compared.mean, compared.quantity)
    return f"B's {compared.quantity}s are {span} of A's (geometric mean): {change}"


def spread(compared: QuantityComparison) -> str:
    """`B / A of speedups is 0.94x to 1.01x in half of 131 rows`."""
    low, high = (times(ratio, 0.01) for ratio in compared.middle_half)
    rows = compared.number
    part = "half" if rows >= 4 else "all"
    return f"B / A of {compared.quantity}s is {low} to {high} in {part} of {plural(rows, 'row')}"


def headlines(compared: QuantityComparison) -> list[str]:
    """The counts, and the mean if a row was judged."""
    return [answer(compared), *([mean(compared)] if compared.number else [])]


def direction(mean: MeanRatio, quantity: Quantity) -> tuple[str, str]:
    """B / A with its interval, and what that means: `0.97x [0.95, 0.99]`, `3 % lower`."""
    span = _span(mean.ratio, mean.ends)
    if mean.ends is None:
        return span, "no interval"
    if mean.differs:
        change = f"{percent(abs(math.expm1(mean.log.mean)))} {WAYS[quantity][mean.log.mean < 0]}"
        return span, f"{change}, within {margins(mean.edge, mean.edge)}" if mean.within_margin else change
    return span, f"the same within {margins(mean.edge, mean.edge)}" if mean.within_margin else "no clear change"


def details(compared: QuantityComparison) -> Iterator[str]:
    """Means by block, and the rows that are not in the counts."""
    blocks = compared.by_block
    if compared.quantity == "time" and len(blocks) > 1:
        words = [f"{block} {_span(mean.ratio, mean.ends)}" for block, mean in blocks.items()]
        rest = f", and {len(words) - MOST_BLOCKS} more blocks" if len(words) > MOST_BLOCKS else ""
        yield f"B / A by block: {', '.join(words[:MOST_BLOCKS])}{rest}."
    if missing := compared.counts["NOT MEASURED"]:
        yield f"NOT MEASURED in A, B or both: {plural(missing, 'row')}."
    confounded, fields = compared.confounded
    if confounded:
        yield f"CONFOUNDED: {plural(confounded, 'row')} with different {', '.join(fields)}, shown but not counted."
    for name, alone in (("A", compared.only_a), ("B", compared.only_b)):
        if len(alone):
            first = ", ".join(dict.fromkeys(map(str, alone["trial_id"].iloc[:MOST_NAMED])))
            yield f"Only in {name}: {plural(len(alone), 'row')}: {first}{', ...' if len(alone) > MOST_NAMED else '.'}"


def legend(c: Comparison) -> str:
    """What the verdicts mean, and the margin."""
    rows = listed([f"{compared.family} {compared.quantity}s" for compared in c.quantities])
    verdicts = f"FASTER and SLOWER: beyond the margin after {_CORRECTIONS[c.correction]} correction over {rows}. SAME: the whole interval lies within it. AMBIGUOUS: neither is sure."
    cards = f" For times of two cards: {_percent(facts.CARD_MARGIN)}, by which cards of one model differ on average (Sinha et al. 2022)." if c.cards and c.times else ""  # fmt: skip
    return f"{verdicts} Margin: {_percent(c.margin)}.{cards}"


def notes(c: Comparison) -> list[str]:
    """How far to trust the verdicts: noise bands and drift."""
    if c.same_run:
        return [SAME_RUN]
    if c.speedups is None:
        return runs_differ(c)
    bands = [f"±{_percent(math.expm1(band))} in {n}" for n, band in zip("AB", c.bands, strict=True) if band is not None]
    effect = "They widen the intervals of B / A, and the margin where it is narrower."
    noise = f"at most {listed(bands)}. {effect}" if bands else "none for these rows."
    return [*_order(c), f"Noise bands (bench aa): {noise}", *runs_differ(c), DRIFT]


def _order(c: Comparison) -> list[str]:
    """That B is the older run, which a script that compares old folders would not see."""
    began = [str(run.environment.get("started_utc") or "") for run in (c.a, c.b)]
    return ["B was measured before A."] if all(began) and began[1] < began[0] else []


def unswept(c: Comparison) -> list[str]:
    """Which experiments the pictures over channels leave out, if any."""
    rows = [m.a for m in c.quantities[0].drawn(MOST_DRAWN)]
    swept = {r["experiment"] for r in sweep_of_shapes(rows)}
    others = list(dict.fromkeys(str(r["experiment"]) for r in rows if r["experiment"] not in swept))
    return [f"Pictures over channels leave out {listed(others)}: the picture of all rows has them."] if others else []


def runs_differ(c: Comparison) -> list[str]:
    """What runs of one machine differ by, or that it is not known, by quantity."""
    judged = [q for q in c.quantities if q.number]
    unknown = [f"{q.quantity}s" for q in judged if not q.paired and q.effect is None]
    none = f"How far {listed(unknown)} differ from run to run is not known and in no interval here: no earlier run beside A or B measured the same rows on the same machine."
    return [*(run_to_run(q) for q in judged if q.paired or q.effect), *([none] if unknown else [])]


def run_to_run(compared: QuantityComparison) -> str:
    """What runs of one machine differ by, where it is known; of the two sides of one run how they were measured."""
    e, what = compared.effect, f"{compared.quantity}s"
    if e is None:
        return "A and B took turns within each round of one run. B / A and its interval are over pairs of processes; A and B are medians of their own."
    if e.sd == 0:
        return f"Run to run {what} differ by no more than their intervals say ({plural(e.rows, 'row')} of {plural(len(e.runs), 'run')})."
    return f"Run to run {what} differ by {percent(math.expm1(e.sd))} (sd, {plural(e.rows, 'row')} of {plural(len(e.runs), 'run')}), which is in the intervals."


def interval_words(comparisons: Sequence[Comparison]) -> str:
    """What an interval of B / A covers."""
    widened = any(band is not None for c in comparisons if not c.same_run for band in c.bands)
    return "interval of B / A" + (", widened by noise bands" if widened else "")


def not_timed(c: Comparison) -> str:
    """Why times are not compared."""
    return f"No times are compared, because they need one machine ({c.apart})."


def footer(c: Comparison, bars: str) -> str:
    """The small print of a picture: what differs, both runs, and what its `bars` are."""
    differences = [f"{d.name}: {d.a} in A, {d.b} in B" for d in c.differences]
    short = [line for line in differences if len(line) <= LONGEST_DIFFERENCE][:MOST_DIFFERENCES]
    runs = f"A: {c.a.run_id} · B: {c.b.run_id} · bars: {c.a.timing.confidence * 100:g} % {bars}"
    return "\n".join([*([" · ".join(short)] if short else []), runs])


def margins(low: float, high: float) -> str:
    """Margins in ln: `5 %`, or `5 % to 13 %` where rows have different ones."""
    one, other = (_percent(math.expm1(edge)) for edge in (low, high))
    return one if one == other else f"{one} to {other}"


def print_gate(g: Gate) -> None:
    """Print the result of --fail-on; the last line, which logs are searched for, in one piece."""
    *more, last = gate(g)
    print_lines([*terminal.wrapped(more), last])


def gate(g: Gate) -> list[str]:
    """The result of --fail-on: what the rows say, what to do where it can't tell, and as the last line of a log the answer.

    `gate passed: B's times are 1.00x [0.99, 1.01] of A's (60 rows), so 10 % slower would have been seen`
    """
    n = g.counts
    changed = (
        f"{sum(n[v] for v in g.verdicts)} of {plural(g.judged, 'row')} {g.fail_on} by more than {margins(*g.edges)}"
    )
    doubt = f" ({g.doubtful} by no more than separate runs may differ)" if g.doubtful else ""
    rows = f"{changed}{doubt}, {g.failed_in_b} failed in B; {n['AMBIGUOUS']} AMBIGUOUS, {n['NOT MEASURED']} not measured{f', {g.only_in_a} only in A' if g.only_in_a else ''}{_hidden(g)}."
    whose = [w.name if len(g.wholes) > 1 else "B" for w in g.wholes]
    wholes = "; ".join(f"{b}'s {g.quantity}s are {_span(w.mean.ratio, w.mean.ends)} of A's ({plural(w.mean.rows, 'row')})" for b, w in zip(whose, g.wholes, strict=True))  # fmt: skip
    alone = g.answer == "failed" and not any(w.failed(g.fail_on) for w in g.wholes)
    by_rows = f"{plural(g.failing, 'row')} {g.fail_on if not g.failed_in_b else f'{g.fail_on} or failed in B'}; " if alone else ""  # fmt: skip
    return [rows, *_remedies(g), f"gate {g.answer}: {by_rows}{wholes}{_told(g)}"]


def _told(g: Gate) -> str:
    """What the wholes allow to say: that `least` would have been seen, or what B may still be."""
    least, what = _percent(g.least), "slower" if g.fail_on == "slower" else "slower or faster"
    if g.answer == "failed":
        return ""
    if all(w.same_run for w in g.wholes):
        return f". {SAME_RUN[:-1]}"
    if g.answer == "passed":
        return f", so {least} {what} would have been seen"
    if not all(w.told(g.least, g.fail_on) for w in g.wholes):
        most = max(w.most(g.fail_on) for w in g.wholes)
        return f", so B may be up to {percent(most)} {what}" if math.isfinite(most) else ": no interval, so nothing could have been seen"  # fmt: skip
    return (
        f", but {plural(g.unjudged, 'row')} can't be judged"
        if g.lacking
        else f", but {plural(g.doubtful, 'row')} may be {g.fail_on}"
    )


def _remedies(g: Gate) -> list[str]:
    """What to do where the gate can't tell, and which change such a gate finds."""
    if g.answer != "can't tell":
        return []
    what, widest = "slow-down" if g.fail_on == "slower" else "change", max(g.wholes, key=lambda w: w.seen)
    finds = [f"A gate on such runs finds a {what} of {percent(widest.seen)} in 8 of 10 cases."] if math.isfinite(widest.seen) else []  # fmt: skip
    apart = [f"Two separate runs may differ by {percent(math.expm1(widest.unknown))}, as reference runs do (docs/METHOD.md#run-to-run)."] if widest.unknown else []  # fmt: skip
    more = ["measure A four times in one folder", f"use {LOCKSTEP}"] if widest.unknown else []
    lost = ["measure B with A's config" if g.only_in_a else "see why rows have no verdict (--all)"] if g.lacking else []
    remedy = listed([*lost, "measure more processes (--set processes_min=20 --set processes_max=20)", *more], "or")
    return [" ".join([*finds, *apart, f"To tell: {remedy}."])]


def headline(c: Comparison) -> str:
    """Which installations are compared: `A torch 2.12.1 -> B torch 2.13.0, same machine`."""
    git = next((d for d in c.differences if d.name == "git"), None)
    sides = [f"{n} torch {run.environment.get('torch') or 'unknown'}" for n, run in (("A", c.a), ("B", c.b))]
    sides = [f"{side}, git {sha}" for side, sha in zip(sides, (git.a, git.b), strict=True)] if git else sides
    other = "another card" if c.cards and not c.apart else f"another machine{f' ({c.apart})' if c.apart else ''}"
    return f"{' -> '.join(sides)}, {'same machine' if c.same_machine else other}"


def _hidden(g: Gate) -> str:
    """How large a change the AMBIGUOUS rows can hide."""
    hidden, what = g.hidden, "slow-down" if g.fail_on == "slower" else "change"
    words = ""
    if hidden.most is not None and hidden.median is not None:
        words = f"; {plural(len(hidden.sizes), 'row')} may hide a {what} of up to {percent(hidden.most)} (median {percent(hidden.median)})"
    unbounded = f"; {plural(hidden.unbounded, 'row')} without an interval may hide any {what}"
    return words + (unbounded if hidden.unbounded else "")


def _span(ratio: float, ends: tuple[float, float] | None) -> str:
    return times(ratio, 0.01) if ends is None else spanned(ratio, *ends, 0.01)


def _time(row: Record) -> str:
    if row["status"] not in MEASURED or row["time_median_s"] is None:
        return str(row["status"])
    return in_seconds(row["time_median_s"], 3)


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"  # a margin may be far below 0.1 %
