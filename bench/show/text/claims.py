"""The words and tables of `bench verdict`: confirmatory answers with reasons, then exploratory and predicted ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TextIO

from bench.analyse.claims.answers import Effect, Verdict
from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts, judge, weaker
from bench.show.text.terminal import console_on, named, print_lines, print_table
from bench.spec.format import apart, capital, marked, p_words, plural, spanned, times

HEAD = ("claim", "answer", "about", "where", "limited by", "effect", "p", "cells")
MOST_EXPLORED = 40
SHORT = {
    "elasticity on MACs less that on layers": "E_M - E_L",
    "elasticity on layers": "E_L",
    "elasticity on MACs": "E_M",
}
CONFIRMED = "p: after Holm's correction for the {n} tests in this table; exact and counted answers have none"
MORE_TESTS = "Judged together there are more tests to correct for ({n}) than in any run alone (at most {most}), so an answer may be weaker here"
PREDICTED = "Predicted, not measured: answers by a model; intervals are its error, so there is no test"
EXPLORED = "Exploratory: other conditions and devices, p not corrected; among so many answers some are due to chance"


def print_verdicts(judged: Verdicts, file: TextIO | None = None) -> None:
    """Print the table of confirmatory verdicts with their reasons, then those of exploratory and of predicted ones."""
    console = console_on(file)
    several = len({v.runs for v in judged.verdicts if v.runs}) > 1 and len(judged.runs) > 1
    first = [v for v in judged.verdicts if v.confirmatory]
    explored = [v for v in judged.verdicts if not v.confirmatory and not v.predicted]
    predicted = [v for v in judged.verdicts if v.predicted]
    print_lines(console, [f"run  {named(run)}" for run in judged.runs if several])
    print_table(console, HEAD, [_row(v, several) for v in first], len(HEAD))
    corrected = [CONFIRMED.format(n=judged.tests)] if judged.tests else []
    print_lines(console, [*corrected, *of_several(judged)])
    for claim in CLAIMS:
        verdicts = [v for v in first if v.claim == claim.id]
        if verdicts:
            reasons = [f"  {line}" for v in verdicts for line in _reasons(v)]
            print_lines(console, ["", f"{claim.id}: {claim.statement}", *reasons])
    for heading, verdicts in ((EXPLORED, explored), (PREDICTED, predicted)):
        if verdicts:
            shown = verdicts[:MOST_EXPLORED]
            print_lines(console, ["", heading])
            print_table(console, HEAD, [_row(v, several) for v in shown], len(HEAD))
            left = [f"{len(verdicts) - len(shown)} more with --json"] if len(verdicts) > len(shown) else []
            print_lines(console, left)


def of_several(judged: Verdicts, names: Mapping[str, str] | None = None) -> list[str]:
    """Of several runs, which answers are weaker than by a run alone, and why; `names` of the runs by run_id."""
    if len(judged.runs) < 2:
        return []
    alone = judged.alone or [judge([run]) for run in judged.runs]
    changed = [
        f"{now.claim} ({place(now)}) is {was.answer} by {(names or {}).get(was.runs[0], was.runs[0])} alone{_p(was)} and {now.answer} here{_p(now)}"
        for was, now in weaker(judged, alone)
    ]
    most = max(one.tests for one in alone)
    more = MORE_TESTS.format(n=judged.tests, most=most) + ("" if changed else "; none is")
    lines = [more] if judged.tests > most else []
    return [*lines, f"Weaker here: {'; '.join(changed)}"] if changed else lines


def p(v: Verdict) -> str:
    """p as it is reported; empty where there was no test."""
    return p_words(v.p_reported)


def _p(v: Verdict) -> str:
    return f" (p {p(v)})" if p(v) else ""


def _where(v: Verdict) -> str:
    return v.condition.label if v.condition.device else ""


def place(v: Verdict) -> str:
    """`separable against standard, cpu, 1 thread, contiguous`."""
    return ", ".join(filter(None, (v.about, _where(v))))


def _reasons(v: Verdict) -> list[str]:
    if v.answer == "NOT MEASURED":
        return [f"NOT MEASURED: {v.why}"]
    measured = [f"{v.effect.name}: {effect(v.effect)}"] if v.effect is not None and v.p is not None else []
    counted = [v.cells.words] if v.cells.surely is not None and v.p is not None else []
    return [f"{v.answer} ({place(v)}): {v.why}", *(f"  {capital(note)}" for note in (*measured, *counted, *v.notes))]


def _row(v: Verdict, several: bool) -> tuple[str, ...]:
    if v.answer == "NOT MEASURED":
        return (v.claim, v.answer, *[""] * 6)
    where = v.condition.label + (f" [{', '.join(v.runs)}]" if several and v.condition.device else "")
    name = f"{SHORT[v.effect.name]} " if v.effect and v.effect.name in SHORT else ""
    return (v.claim, v.answer, v.about, where, v.bottleneck, name + effect(v.effect), p(v), cells(v))


def cells(v: Verdict) -> str:
    """How many cells, in how many the claim surely holds and surely does not, and their range; empty if NOT MEASURED."""
    c = v.cells
    if v.answer == "NOT MEASURED":
        return ""
    if c.low is None or c.high is None:
        return c.words or str(c.n)
    many = plural(c.n, "cell")
    sure = "" if c.surely is None else f"{c.surely} of {many} yes, {c.surely_not} no"
    lines = v.effect.lines if v.effect else ()
    span = f", {times(c.low, lines=lines)} to {times(c.high, lines=lines)}" if c.n > 1 else ""
    return (sure or many) + span


def effect(e: Effect | None) -> str:
    """The effect with the digits that its interval justifies; a value beside a threshold shows its side."""
    if e is None or e.value is None:
        return ""
    if "elasticit" in e.unit:
        d = apart([x for x in (e.value, e.low, e.high) if x is not None], e.lines, 2)
        value, *ends = (marked(x, e.lines, d, "+") for x in (e.value, e.low, e.high) if x is not None)
        return f"{value} [{', '.join(ends)}]" if len(ends) == 2 else value
    if e.low is None or e.high is None or not e.low > 0 or "range" in e.unit:
        return times(e.value, lines=e.lines)
    return spanned(e.value, e.low, e.high, max(math.log(e.high / e.low) / 2, 1e-6), e.lines)


def named_effect(v: Verdict) -> str:
    """`speedup 2.8x [2.6, 3.0]`; empty without an effect."""
    return f"{v.effect.name} {effect(v.effect)}".rstrip() if v.effect else ""


def where(v: Verdict, letters: Mapping[str, str] | None = None) -> str:
    """The condition and the pair, in short; of several runs with the letters of those that measured it, as `[A, B]`."""
    about = v.about.removesuffix(" against standard").replace("mobilenet_v1 against mobilenet_v1_standard", "mobilenet_v1")  # fmt: skip
    whose = f" [{', '.join(sorted({letters[r] for r in v.runs if r in letters}))}]" if letters and v.condition.device and v.runs else ""  # fmt: skip
    return ", ".join(filter(None, (_where(v), about))) + whose
