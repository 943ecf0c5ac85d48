"""The words and the table of `bench drivers`, and its short section in `bench report`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench.analyse.drivers.additive_model import CONSTANT, Share, Term
from bench.analyse.drivers.explain import COUNT_WORDS, GROUPED, Drivers, Group
from bench.analyse.drivers.limits import UNKNOWN
from bench.analyse.runs.rows import grouped
from bench.analyse.stats.regression import Regression
from bench.show.text.terminal import print_lines, print_table
from bench.spec.format import in_seconds, percent, plural, plus_minus, share
from bench.spec.interval import Interval

MOST_TABLED = 12  # groups in the table; --json has all
MOST_WIDE = 1.0  # half-width of an elasticity that is printed
HEAD = ("count", "elasticity", "of R2", "alone", "rank", "VIF", "cost", "of a row's time", "of all time")
NOTE = "elasticity: % more time for 1 % more of the count, the others equal (-: the interval is too wide to tell); of R2: Shapley shares; alone: R2 of that count by itself; rank: Spearman"
_PER = {
    "macs": ("GMAC", 1e9),
    "activations": ("M elements", 1e6),
    "conv_layers": ("layer", 1.0),
    "ops": ("op", 1.0),
    CONSTANT: ("evaluation", 1.0),
}
_NAMING = ("device", "dtype", "layout", "mode", "pass", "source")  # a group is named by the first of them that differ


def print_explanation(drivers: Drivers) -> None:
    """Print the table of the fitted groups, and for each group what limits it and the limits of the fit."""
    print_lines([scope(drivers), *drivers.notes])
    fitted = [g for g in drivers.groups if g.regression]
    several = len(drivers.groups) > 1
    rows = [row for g in fitted[:MOST_TABLED] for row in _rows(g, label(g, drivers.groups) if several else "")]
    if rows:
        print_table(("group", *HEAD) if several else HEAD, rows, 2 if several else 1)
        print_lines([NOTE])
    if len(fitted) > MOST_TABLED:
        print_lines([f"{len(fitted) - MOST_TABLED} more groups: see --json"])
    print_lines([""])
    for g in (g for g in drivers.groups if g.regression or not several):
        print_lines([_named(g, drivers), *(f"  {warning}" for warning in g.warnings())])
    print_lines(_not_fitted(drivers) if several else [])


def label(group: Group, groups: Sequence[Group]) -> str:
    """A group's name: the labels in which it differs from the others; empty for a single group."""
    needed: list[str] = []
    for key in _NAMING:
        if _different(groups, [*needed, key]) > _different(groups, needed):
            needed.append(key)
    return ", ".join(group.labels[k] or f"{k} unknown" for k in needed)


def scope(drivers: Drivers) -> str:
    """How many rows and groups, and the labels that all groups share."""
    same = [next(iter(values)) for k in GROUPED if len(values := {g.labels[k] for g in drivers.groups}) == 1]
    skipped = f", {drivers.not_measured} not measured" if drivers.not_measured else ""
    groups = f" in {len(drivers.groups)} groups" if len(drivers.groups) > 1 else ""
    return " · ".join([f"{drivers.rows} rows{groups}{skipped}", *filter(None, same)])


def two(value: float) -> str:
    """Two decimals, or a dash for no number."""
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _different(groups: Sequence[Group], keys: Sequence[str]) -> int:
    return len({tuple(g.labels[k] for k in keys) for g in groups})


def _rows(group: Group, name: str) -> Iterator[tuple[str, ...]]:
    """A group's rows of the table, the first one with its name, if it has one."""
    terms = {t.names[0]: t for t in group.additive.terms} if group.additive else {}
    merged = {n: t.names[0] for t in terms.values() for n in t.names[1:]}
    counts = [c for c in COUNT_WORDS if c in group.predictors or c in terms or c in merged]
    for i, count in enumerate(counts):
        fit = group.regression if count in group.predictors else None
        first = ("" if i else name,) if name else ()
        summed = (f"with {COUNT_WORDS[merged[count]]}", "", "") if count in merged else _summed(terms.get(count))
        yield (*first, COUNT_WORDS[count], *_regressed(count, fit, group.spearman.get(count, math.nan)), *summed)


def _regressed(count: str, fit: Regression | None, rank: float) -> tuple[str, str, str, str, str]:
    if fit is None:
        return "", "", "", "", ""
    alone, part = (share(v) if math.isfinite(v) else "-" for v in (fit.alone[count], fit.shapley[count]))
    slope = fit.elasticities[count]
    return plus_minus(slope) if _telling(slope) else "-", part, alone, two(rank), f"{fit.vif[count]:.1f}"


def _summed(term: Term | None) -> tuple[str, str, str]:
    if term is None:
        return "", "", ""
    unit, size = _PER[term.names[0]]
    return f"{in_seconds(term.seconds_each * size, 3)} per {unit}", _spread(term.median), _spread(term.total)


def _telling(slope: Interval) -> bool:
    """Whether an elasticity says anything: within ±MOST_WIDE, and its interval leaves out 0 (flat) or 1 (proportional)."""
    return slope.half_width <= MOST_WIDE and not slope.low < 0 <= 1 < slope.high


def _named(group: Group, drivers: Drivers) -> str:
    """What limits the group and why; after its name where there are several groups."""
    model, limit = group.additive, group.limit
    if not group.regression:
        text = f"not fitted: {group.not_fitted}"
    else:
        sure = f" (in {share(limit.agreement)} of resamples)" if math.isfinite(limit.agreement) else ""
        off = f", model error {percent(model.off_median)} (median)" if model else ""
        text = f"{'limit unknown' if limit.word == UNKNOWN else limit.word}{sure}: {limit.why}; {plural(group.n, 'row')}{off}"
    return f"{label(group, drivers.groups)}: {text}" if len(drivers.groups) > 1 else text


def _not_fitted(drivers: Drivers) -> list[str]:
    """The groups without a fit, by reason."""
    by_reason = grouped((g for g in drivers.groups if not g.regression), lambda g: g.not_fitted)
    named = {why: "; ".join(label(g, drivers.groups) for g in some) for why, some in by_reason.items()}
    return [f"not fitted ({why}): {names}" for why, names in named.items()]


def _spread(part: Share) -> str:
    return f"{share(part.value)} [{part.low * 100:.0f}, {part.high * 100:.0f}]"
