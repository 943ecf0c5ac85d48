"""What explains time, in words: the table of `bench drivers`, and a short section for `bench report`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from bench.analyse.drivers.additive_model import Share, Term
from bench.analyse.drivers.explain import GROUPED, WORDS, Drivers, Group
from bench.analyse.stats.regression import Regression
from bench.show.text.terminal import console_on, print_table
from bench.spec.format import in_seconds, percent, share
from bench.spec.interval import Interval

MOST_TABLED = 12  # groups in the table; --json has all
MOST_BRIEF = 8  # groups in the report's section
HEAD = ("count", "elasticity", "of R2", "alone", "rank", "VIF", "cost", "of a row's time", "of all time")
NOTE = "elasticity: % more time for 1 % more of the count, the others equal; of R2: Shapley shares; alone: R2 of that count by itself; rank: Spearman"
BRIEF = "What time goes to by an additive model, and what goes with it (association, not cause; bench drivers has the tables):"
_PER = {"macs": ("GMAC", 1e9), "activations": ("M elements", 1e6), "conv_layers": ("layer", 1.0), "ops": ("op", 1.0)}
_TELLING = ("device", "dtype", "layout", "mode", "pass", "source")  # in the order in which they may tell groups apart


def show(found: Drivers, file: TextIO | None = None) -> None:
    """Print the table of all groups that could be fitted, and of each group its regime and what to beware of."""
    console = console_on(file or sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    for line in (scope(found), *found.notes):
        say(line)
    fitted = [g for g in found.groups if g.regression]
    several = len(found.groups) > 1
    lines = [line for g in fitted[:MOST_TABLED] for line in _lines(g, label(g, found.groups) if several else "")]
    if lines:
        print_table(console, ("group", *HEAD) if several else HEAD, lines, 2 if several else 1)
        say(NOTE)
    if len(fitted) > MOST_TABLED:
        say(f"{len(fitted) - MOST_TABLED} more groups: see --json")
    say("")
    for g in found.groups:
        say(f"{label(g, found.groups)}: {_verdict(g)}" if several else _verdict(g))
        for warning in g.warnings():
            say(f"  {warning}")


def brief(found: Drivers) -> Iterator[str]:
    """For the report: two lines for each group that could be fitted, and once what is to be said of all; else nothing."""
    fitted = [(g, g.regression) for g in found.groups if g.regression]
    if not fitted:
        return
    yield BRIEF
    common = [w for w in fitted[0][0].warnings() if all(w in g.warnings() for g, _ in fitted)]
    for g, fit in fitted[:MOST_BRIEF]:
        yield f"{label(g, found.groups)}: {_verdict(g)}" if len(found.groups) > 1 else _verdict(g)
        slopes = ", ".join(f"{WORDS[name]} {_plus_minus(e)}" for name, e in fit.elasticities.items())
        yield "; ".join([f"  elasticities: {slopes}, R2 {two(fit.r2)}", *(w for w in g.warnings() if w not in common)])
    yield from common
    if len(fitted) > MOST_BRIEF:
        yield f"{len(fitted) - MOST_BRIEF} more groups in bench drivers"


def show_brief(found: Drivers, file: TextIO | None = None) -> None:
    """Print the report's section after an empty line, if there is one."""
    console = console_on(file or sys.stdout)
    lines = list(brief(found))
    for line in [""] * bool(lines) + lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def label(group: Group, groups: Sequence[Group]) -> str:
    """What tells a group from the others, and no more; empty where it is alone."""
    needed: list[str] = []
    for key in _TELLING:
        if _kinds(groups, [*needed, key]) > _kinds(groups, needed):
            needed.append(key)
    return ", ".join(group.keys[k] or f"{k} unknown" for k in needed)


def scope(found: Drivers) -> str:
    """The rows, and what all groups share."""
    same = [next(iter(values)) for k in GROUPED if len(values := {g.keys[k] for g in found.groups}) == 1]
    skipped = f", {found.not_measured} not measured" if found.not_measured else ""
    groups = f" in {len(found.groups)} groups" if len(found.groups) > 1 else ""
    return " · ".join([f"{found.rows} rows{groups}{skipped}", *filter(None, same)])


def two(value: float) -> str:
    """Two decimals, or a dash for no number."""
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _kinds(groups: Sequence[Group], keys: Sequence[str]) -> int:
    return len({tuple(g.keys[k] for k in keys) for g in groups})


def _lines(group: Group, name: str) -> Iterator[tuple[str, ...]]:
    """A group's lines of the table, its name (if it has one) before the first."""
    terms = {t.names[0]: t for t in group.additive.terms} if group.additive else {}
    merged = {n: t.names[0] for t in terms.values() for n in t.names[1:]}
    counts = [c for c in WORDS if c in group.predictors or c in terms or c in merged]
    for i, count in enumerate(counts):
        fit = group.regression if count in group.predictors else None
        first = ("" if i else name,) if name else ()
        summed = (f"with {WORDS[merged[count]]}", "", "") if count in merged else _summed(terms.get(count))
        yield (*first, WORDS[count], *_regressed(count, fit, group.spearman.get(count, math.nan)), *summed)


def _regressed(count: str, fit: Regression | None, rank: float) -> tuple[str, str, str, str, str]:
    if fit is None:
        return "", "", "", "", ""
    alone, part = (share(v) if math.isfinite(v) else "-" for v in (fit.alone[count], fit.shapley[count]))
    return _plus_minus(fit.elasticities[count]), part, alone, two(rank), f"{fit.vif[count]:.1f}"


def _summed(term: Term | None) -> tuple[str, str, str]:
    if term is None:
        return "", "", ""
    unit, size = _PER[term.names[0]]
    return f"{in_seconds(term.seconds_each * size, 3)} per {unit}", _spread(term.median), _spread(term.total)


def _verdict(group: Group) -> str:
    """The group's regime with what it rests on, or why there is none."""
    model = group.additive
    if model is None:
        return f"not fitted: {group.not_fitted}"
    sure = f" (so say {share(model.agreement)} of resamples)" if model.regime else ""
    off = f"{group.n} rows, the sum is off by {percent(model.off_median)} (median)"
    return f"{model.regime or 'regime unknown'}{sure}: {model.why}; {off}"


def _spread(part: Share) -> str:
    return f"{share(part.value)} [{part.low * 100:.0f}, {part.high * 100:.0f}]"


def _plus_minus(value: Interval) -> str:
    width = f" ±{value.half_width:.2f}" if math.isfinite(value.half_width) else ""
    return f"{value.mean:.2f}{width}"
