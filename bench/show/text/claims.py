"""The verdicts on the terminal: what is confirmed and why, then in short what else was looked at."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from bench.analyse.claims.answers import FLAT, STEEP, Effect, Verdict, p_words
from bench.analyse.claims.claims import CLAIMS
from bench.analyse.claims.judge import Verdicts, judge, weaker
from bench.analyse.claims.rules_layers_or_macs import refutes_alone
from bench.show.text.terminal import console_on, named, print_table
from bench.spec.format import apart, capital, marked, spanned, times

HEAD = ("claim", "answer", "about", "where", "regime", "effect", "p", "cells")
MOST_EXPLORED = 40
SHORT = {
    "elasticity on MACs less that on layers": "E_M - E_L",
    "elasticity on layers": "E_L",
    "elasticity on MACs": "E_M",
}
CONFIRMED = "p is Holm's over the tests in this table ({n}); exact and counted answers have none"
LARGER = "The family of questions is larger here ({n} tests) than in any of these runs alone ({most} at the most), so an answer may be weaker than on that run's own page"
PREDICTED = "Predicted, not measured: what a model says of devices that nothing was run on; intervals are its error, so there is no test"
NOT_TESTED = "E_M - E_L is shown and not tested: each elasticity is held against {flat:g} or {steep:g}, so REFUTED may stand beside any difference"
EXPLORED = "Explored: other ways to run them and other devices, p as it is; among so many some answers are luck"


def show(found: Verdicts, file: TextIO | None = None) -> None:
    """Print the tables, and under the first a sentence for each of its answers."""
    console = console_on(file or sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    def beside(told: Sequence[Verdict]) -> None:
        if any(v.answer.endswith("REFUTED") and not refutes_alone(v.claim, v.effect) for v in told):
            say(NOT_TESTED.format(flat=FLAT, steep=STEEP))

    several = len({v.runs for v in found.verdicts if v.runs}) > 1 and len(found.runs) > 1
    first = [v for v in found.verdicts if v.confirmatory]
    rest = [v for v in found.verdicts if not v.confirmatory and not v.predicted]
    would = [v for v in found.verdicts if v.predicted]
    for run in found.runs if several else ():
        say(f"run  {named(run)}")
    print_table(console, HEAD, [_line(v, several) for v in first], len(HEAD))
    if found.tests:
        say(CONFIRMED.format(n=found.tests))
    beside(first)
    for line in of_several(found):
        say(line)
    for claim in CLAIMS:
        own = [v for v in first if v.claim == claim.id]
        if own:
            say("")
            say(f"{claim.id}: {claim.statement}")
            for v in own:
                for line in _reasons(v):
                    say(f"  {line}")
    for heading, some in ((EXPLORED, rest), (PREDICTED, would)):
        if some:
            say("")
            say(heading)
            print_table(console, HEAD, [_line(v, several) for v in some[:MOST_EXPLORED]], len(HEAD))
            if len(some) > MOST_EXPLORED:
                say(f"{len(some) - MOST_EXPLORED} more with --json")
            beside(some[:MOST_EXPLORED])


def of_several(found: Verdicts, names: Mapping[str, str] | None = None) -> list[str]:
    """What is to be known of answers of several runs beside those of each alone; `names` by run_id are what to call them."""
    if len(found.runs) < 2:
        return []
    alone = found.alone or [judge([run]) for run in found.runs]
    changed = [
        f"{now.claim} ({place(now)}) is {was.answer} by {(names or {}).get(was.runs[0], was.runs[0])} alone{_p(was)} and {now.answer} here{_p(now)}"
        for was, now in weaker(found, alone)
    ]
    most = max(one.tests for one in alone)
    larger = LARGER.format(n=found.tests, most=most) + ("" if changed else "; none is")
    said = [larger] if found.tests > most else []
    return [*said, f"Weaker here: {'; '.join(changed)}"] if changed else said


def _p(v: Verdict) -> str:
    return "" if v.p_told is None else f" (p {p_words(v.p_told)})"


def place(v: Verdict) -> str:
    """Which rows a verdict is about, and where they were measured."""
    return ", ".join(filter(None, (v.about, v.site.label if v.site.device else "")))


def _reasons(v: Verdict) -> list[str]:
    if v.answer == "NOT MEASURED":
        return [f"NOT MEASURED: {v.why}"]
    where = place(v)
    measured = [f"{v.effect.name}: {effect(v.effect)}"] if v.effect is not None and v.p is not None else []
    counted = [v.cells.words] if v.cells.surely is not None and v.p is not None else []
    return [f"{v.answer} ({where}): {v.why}", *(f"  {capital(note)}" for note in (*measured, *counted, *v.notes))]


def _line(v: Verdict, several: bool) -> tuple[str, ...]:
    if v.answer == "NOT MEASURED":
        return (v.claim, v.answer, "", "", "", "", "", "")
    where = v.site.label + (f" [{', '.join(v.runs)}]" if several and v.site.device else "")
    named = f"{SHORT.get(v.effect.name, '')} " if v.effect and v.effect.name in SHORT else ""
    return (
        v.claim,
        v.answer,
        v.about,
        where,
        v.regime,
        named + effect(v.effect),
        "" if v.p_told is None else p_words(v.p_told),
        cells(v),
    )


def cells(v: Verdict) -> str:
    """How many rows, and in how many the claim surely holds and surely does not, with their range."""
    c = v.cells
    if c.low is None or c.high is None:
        return c.words or str(c.n)
    many = f"{c.n} cell{'s' if c.n != 1 else ''}"
    sure = "" if c.surely is None else f"{c.surely} of {many} yes, {c.surely_not} no"
    lines = v.effect.lines if v.effect else ()
    span = f", {times(c.low, lines=lines)} to {times(c.high, lines=lines)}" if c.n > 1 else ""
    return (sure or many) + span


def effect(e: Effect | None) -> str:
    """The effect with the digits that its interval justifies; what would read as the threshold says on which side it lies."""
    if e is None or e.value is None:
        return ""
    if "elasticit" in e.unit:
        d = apart([x for x in (e.value, e.low, e.high) if x is not None], e.lines, 2)
        value, *ends = (marked(x, e.lines, d, "+") for x in (e.value, e.low, e.high) if x is not None)
        return f"{value} [{', '.join(ends)}]" if len(ends) == 2 else value
    if e.low is None or e.high is None or not e.low > 0 or "range" in e.unit:
        return times(e.value, lines=e.lines)
    return spanned(e.value, e.low, e.high, max(math.log(e.high / e.low) / 2, 1e-6), e.lines)


def where(v: Verdict, letters: Mapping[str, str] | None = None) -> str:
    """Where and of what, as short as can be; of several runs with the letters of those that it rests on, as `[A, B]`."""
    about = v.about.removesuffix(" against standard").replace("mobilenet_v1 against mobilenet_v1_standard", "mobilenet_v1")  # fmt: skip
    whose = f" [{', '.join(sorted({letters[r] for r in v.runs if r in letters}))}]" if letters and v.site.device and v.runs else ""  # fmt: skip
    return ", ".join(filter(None, (v.site.label if v.site.device else "", about))) + whose
