"""The words of the claims: an answer with its channels, its effect and place; and what `bench verdict` prints.

`bench verdict` has the answer of each claim first, by way and batch; with `every`, also each verdict with its reasons.
"""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby

from bench.analyse.claims.answers import ANSWERS, Effect, Side, Verdict
from bench.analyse.claims.claims import CLAIMS, TEXTS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.claims.rules_layers_or_macs import NO_SWEEP
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import grouped
from bench.analyse.sweeps.crossover import Channels
from bench.show.text.terminal import named, print_lines
from bench.spec.devices.device_names import in_words
from bench.spec.format import apart, capital, letters, listed, marked, p_words, plural, spanned, times

MOST_WAYS = 2  # of a claim, unless all are asked for; of the first claim one more
LIMITED = ("faster", "gpu_led_by_layers", "cpu_led_by_compute")  # claims that are told with what limits each way
PIPE = 100  # columns where there is no terminal
KEY = (
    "Of blocks, those with 3 x 3 kernels are judged on speed. Capitals: sure, corrected for the number of tests. Lower case: "
    "it reads so, by too little for an answer (fewer than 6 processes, one cell, or noisy rows alone). *: chosen beforehand. "
    "FRAGILE: another answer at half or twice the 5 %."
)
PREDICTED = "Predicted, not measured: answers by a model; intervals are its error, so there is no test"
EXACT = ("fewer_flops", "below_9x")  # told last
_wrap = partial(textwrap.wrap, break_on_hyphens=False)


def print_verdicts(judged: Verdicts, every: bool = False) -> None:
    """Print the answers, by claim, way and batch; of MOST_WAYS ways a claim, or all of them with their reasons."""
    width = shutil.get_terminal_size((PIPE, 24)).columns
    several = judged.runs if len(judged.runs) > 1 else ()
    by_run = {run.run_id: letter for letter, run in zip(letters(len(several)), several, strict=True)}
    lines = [f"{by_run[run.run_id]}  {named(run)}" for run in several]
    absent = [c for c in CLAIMS if [v.answer for v in judged.of(c.id)][:1] == ["NOT MEASURED"]]
    unmeasured = [f"{c.id} ({c.to_measure})" if every or len(absent) == 1 else c.id for c in absent]
    left = 0
    for heading, predicted in ((), False), (("", PREDICTED), True):
        told = [v for v in judged.verdicts if v.predicted is predicted and v.answer != "NOT MEASURED"]
        lines += [line for each in heading if told for line in _wrap(each, width) or [""]]
        for claim in sorted(CLAIMS, key=lambda c: c.id in EXACT):
            mine = [v for v in told if v.claim == claim.id and (v.on_claimed_device or every)]
            ways = sorted(_ways(mine, by_run), key=lambda way: _order(way[1]))
            shown = ways if every else ways[: MOST_WAYS + (claim.id == "faster")]
            left += len(ways) - len(shown)
            if shown:
                lines += _wrap(f"{claim.id}: {claim.statement}", width, subsequent_indent="    ")
            for label, some in shown:
                said = f"{label}: {_by_batch(some)}"
                lines += _wrap(said, width, initial_indent="  ", subsequent_indent="    ")
                lines += [line for v in some if every for line in _reasons(v, width)]
    lines += [*[""] * bool(lines), *_wrap(f"Not measured: {'; '.join(unmeasured)}", width)] if unmeasured else []
    lines += _wrap(KEY, width)
    lines += [line for name, url in TEXTS if every for line in _wrap(f"From {name}: {url}", width, subsequent_indent="    ")]  # fmt: skip
    lines += [f"{plural(left, 'more way')}, and the reasons: --all"] if left else []
    print_lines(lines)


def _ways(verdicts: Sequence[Verdict], by_run: Mapping[str, str]) -> list[tuple[str, list[Verdict]]]:
    """The verdicts by way and what they are about, each in the order of its batches; of several runs with whose they are."""
    ways = []
    for (condition, about), some in grouped(verdicts, lambda v: (replace(v.condition, batch=None), v.about)).items():
        whose = _whose(condition, [run for v in some for run in v.runs], by_run)
        eager = "eager" if condition.device and condition.kind == "gpu" and condition.mode == "eager" else ""
        label = ", ".join(filter(None, (condition.label if condition.device else "", eager, _short(about)))) + whose
        ways.append((label, sorted(some, key=lambda v: v.condition.batch or 0)))
    return ways


def _whose(condition: Condition, runs: Sequence[str], by_run: Mapping[str, str]) -> str:
    """` [A, B]`: the letters of those runs that have one."""
    named_ = sorted({by_run[run] for run in runs if run in by_run})
    return f" [{', '.join(named_)}]" if named_ and condition.device else ""


def _order(some: Sequence[Verdict]) -> tuple[bool, bool, int]:
    """Blocks before networks, then what confirms, then what most cells measured."""
    network = _short(some[0].about).startswith("mobilenet")
    return (network, not any(v.confirmatory for v in some), -sum(v.cells.n for v in some))


def _by_batch(some: Sequence[Verdict]) -> str:
    """`slower at batch 1* to 8 (0.55x), FASTER at batch 64; overhead-bound at batch 1 to 8`."""
    answers = _runs([(v, reading(v)) for v in some])
    limits = [(v, v.bottleneck) for v in some if v.claim in LIMITED and v.bottleneck != "unknown"]
    said = [f"{word}{_at(mine, some)}{_numbers(mine) or _lacking(mine)}" for word, mine in answers]
    bound = [f"{word}{_at(mine, some, mark='')}" for word, mine in _runs(limits)]
    return ", ".join(said) + (f"; {', '.join(bound)}" if bound else "")


def _runs(told: Sequence[tuple[Verdict, str]]) -> Iterator[tuple[str, list[Verdict]]]:
    """Neighbours that say the same."""
    for word, some in groupby(told, key=lambda pair: pair[1]):
        yield word, [v for v, _ in some]


def _at(mine: Sequence[Verdict], every: Sequence[Verdict], mark: str = "*") -> str:
    """` at batch 1* to 8`; of a way that has one batch, and that is 1, nothing but the mark."""
    names = [f"{v.condition.batch}{mark if v.confirmatory else ''}" for v in mine if v.condition.batch is not None]
    if not names or {v.condition.batch for v in every} == {1}:
        return mark if any(v.confirmatory for v in mine) and mine[0].condition.device else ""
    return f" at batch {listed(names)}" if len(names) < 3 else f" at batch {names[0]} to {names[-1]}"


def _numbers(mine: Sequence[Verdict]) -> str:
    """` (0.55x)`, ` (1.2x to 1.4x)`: the effects as they are, without intervals, which `every` has."""
    effects = [v.effect for v in mine if v.effect and not v.channels]
    values = sorted(e.value for e in effects if e.value and "elasticit" not in e.unit)
    ends = list(dict.fromkeys(times(x) for x in values[:1] + values[-1:]))
    mean = "mean " if any(v.cells.n > 1 for v in mine) and mine[0].condition.device else ""
    return f" ({mean}{' to '.join(ends)})" if ends else ""


def _lacking(mine: Sequence[Verdict]) -> str:
    """` (no sweep of this block grows layers alone)`, where that is why there is no answer."""
    why = dict.fromkeys(note for v in mine if v.answer == "UNDECIDED" for note in v.notes if note.startswith(NO_SWEEP))
    return f" (n{listed(list(why))[1:]})" if why else ""


def reading(v: Verdict) -> str:
    """The answer, or in lower case what it reads where there was too little for one; of `faster` FASTER and SLOWER."""
    word = said(v.leaning or v.answer, v.channels) if v.weak else answer(v)
    if v.claim == "faster":
        for old, new in (("HOLDS NOWHERE", "SLOWER"), (" EVERYWHERE", ""), ("HOLDS", "FASTER"), ("FAILS", "SLOWER"), ("HOLD", "BE FASTER"), ("FAIL", "BE SLOWER")):  # fmt: skip
            word = word.replace(old, new)
    return word.lower() if v.weak or word == "UNDECIDED" else word


PLAIN: Mapping[Side, str] = {
    "yes": "true",
    "no": "not true",
    "partly": "depends",
    "same": "the same",
    "open": "undecided",
    "unmeasured": "not measured",
}


def plain(v: Verdict) -> str:
    """For a reader of the page: `True`, `Depends: holds from 87 channels [83, 91]`, `Reads true`; `Would be true` of a model's."""
    reads = v.leaning if v.weak else None
    side = ANSWERS[reads] if reads else v.side
    start = "would be " if v.predicted else "reads " if reads else ""
    where = f": {said(reads or v.answer, v.channels).lower()}" if side == "partly" and v.channels else ""
    return capital(start + PLAIN[side] + where)


def plain_where(v: Verdict, by_run: Mapping[str, str] | None = None) -> str:
    """`cuda:0, eager, batch 1, mobilenet_v1`: everything that a reader of the page needs beside a plain answer."""
    c = v.condition
    if not c.device:
        return _short(v.about)
    words = [
        in_words(c.device),
        plural(c.threads, "thread") if c.kind == "cpu" and c.threads else "",
        c.mode or "" if c.kind == "gpu" else "",
        f"batch {c.batch}" if c.batch else "",
        _short(v.about),
    ]
    return ", ".join(filter(None, words)) + _whose(c, v.runs, by_run or {})


def answer(v: Verdict) -> str:
    """`HOLDS FROM 87 channels [83, 91]`, `SUPPORTED, FRAGILE`."""
    return said(v.answer, v.channels) + (", FRAGILE" if v.fragile else "")


def said(word: str, channels: Channels | None) -> str:
    """An answer with the channels from which on, or below which, it holds."""
    if channels is None or not word.endswith(("FROM", "BELOW")):
        return word
    ends = ["?" if end is None else f"{end:.0f}" for end in (channels.low, channels.high)]
    span = "" if ends == ["?", "?"] else f" [{', '.join(ends)}]"
    return f"{word} {channels.value:.0f} channels{span}"


def _reasons(v: Verdict, width: int) -> list[str]:
    """Every verdict by itself, for those who ask for all."""
    where = f" ({place(v)})" if place(v) else ""
    told = ", ".join(filter(None, (named_effect(v), f"p {p(v)}" if p(v) else "", v.cells.words)))
    lines = [f"{answer(v)}{where}: {v.why}", *filter(None, [told]), *v.notes]
    return [
        line
        for i, each in enumerate(lines)
        for line in _wrap(capital(each), width, initial_indent="    " + "  " * (i > 0), subsequent_indent="        ")
    ]


def _short(about: str) -> str:
    """What a verdict is about, as far as it is not the block against its twin."""
    twins = {"separable against standard": "", "mobilenet_v1 against mobilenet_v1_standard": "mobilenet_v1"}
    return twins.get(about, about)


def p(v: Verdict) -> str:
    """p as it is reported; empty where there was no test."""
    return p_words(v.p_reported)


def _where(v: Verdict) -> str:
    return v.condition.label if v.condition.device else ""


def place(v: Verdict) -> str:
    """`separable against standard, cpu, 1 thread, contiguous`."""
    return ", ".join(filter(None, (v.about, _where(v))))


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


def where(v: Verdict, by_run: Mapping[str, str] | None = None) -> str:
    """The condition and the pair, in short; of several runs with the letters of those that measured it, as `[A, B]`."""
    whose = _whose(v.condition, v.runs, by_run or {})
    return ", ".join(filter(None, (_where(v), _short(v.about) or "separable"))) + whose
