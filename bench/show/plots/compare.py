"""Pictures of a comparison: both runs on the same axes, their ratio with the margin, and all rows' ratios; speedups, then times."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from bench.analyse.compare.compare import CHANGED, VALUES, Comparison, Match, Quantity, Table, Verdict
from bench.analyse.compare.row_matching import Record
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots import panels, style
from bench.show.plots.facets import Channels, Facets, lay_out
from bench.show.text.compare import direction, headline, widened
from bench.spec.format import digits, in_seconds, listed, times

NAMES: dict[Quantity, tuple[str, str, str]] = {
    "speedup": ("compare", "ratio", "spread"),
    "time": ("compare-times", "ratio-times", "spread-times"),
}
"""The files of each quantity's pictures: side by side, as a ratio, and every row's ratio."""
_MARKS: dict[Verdict, tuple[str, str]] = {
    "SLOWER": ("v", style.COLOURS[1]),
    "FASTER": ("^", style.COLOURS[0]),
    "SAME": ("D", style.COLOURS[2]),
    "AMBIGUOUS": ("o", style.FAINT),
}
_RATIO: dict[Quantity, str] = {
    "speedup": "speedup in B / in A (above 1x: B's is higher)",
    "time": "time in B / in A (above 1x: B is slower)",
}
_RING = 12  # points
_LONGEST = 80  # letters of a difference that is named below a picture


@dataclass(frozen=True, slots=True)
class _Series:
    """The matches of one line of a panel, with its look, its place beside the panel's others, and how many they are."""

    matches: list[Match]
    look: style.Look
    place: int
    count: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """The judged sweeps of shapes of a table, laid out: no networks, no doses, and nothing that is confounded."""

    found: Comparison
    table: Table
    matches: tuple[Match, ...]
    facets: Facets
    places: tuple[tuple[str, int], ...]  # a panel's group and kernel
    channels: Channels
    others: tuple[str, ...]  # experiments that are no sweep of shapes

    @property
    def ring(self) -> bool:
        """Whether to ring what changed: where most did, rings would single out nothing."""
        return 0 < sum(m.verdict in CHANGED for m in self.matches) <= len(self.matches) / 3

    def group(self, m: Match) -> str:
        """The words of a match's panel. Of times that is the block first, as each has its own."""
        words = self.facets.group(m.a)
        return words if self.table.quantity == "speedup" else ", ".join(filter(None, (str(m.a["block"]), words)))

    def series(self, group: str, kernel: int) -> Iterator[_Series]:
        """A panel's lines."""
        held: dict[str, list[Match]] = {}
        for m in self.matches:
            if m.a["kernel"] == kernel and self.group(m) == group:
                held.setdefault(self.facets.line(m.a), []).append(m)
        present = [s for s in self.facets.series if s in held]
        for i, s in enumerate(present):
            mine = sorted(held[s], key=lambda m: self.channels.at(m.a))
            yield _Series(mine, style.look(self.facets.series.index(s)), i, len(present))


def draw(found: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write the pictures of each quantity, .png and .svg, into `folder`; none where no row was measured in both."""
    written: list[Path] = []
    for compared in found.tables:
        for name, make in zip(NAMES[compared.quantity], (picture, ratios, spread), strict=True):
            figure = make(found, compared)
            if figure is not None:
                written += style.save(figure, folder, name)
    return tuple(written)


def picture(found: Comparison, compared: Table | None = None) -> Figure | None:
    """Both runs on the same axes, A hollow and B filled, a panel per kernel; what changed ringed where it is little."""
    laid = _lay_out(found, compared or found.speedups)
    if laid is None:
        return None
    quantity = laid.table.quantity
    both = [r for m in laid.matches for r in (m.a, m.b)]
    value, *ends = VALUES[quantity]
    always = [1.0] if quantity == "speedup" else []
    bounds = style.limits([r[value] for r in both], [r[e] for r in both for e in ends if r[e] is not None], always)

    def scale(axis: Axes) -> None:
        if quantity == "speedup":
            axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)
            style.ratio_axis(axis.yaxis, *bounds)
        else:
            style.log_axis(axis.yaxis, *bounds, style.decade_ticks(*bounds), lambda v: in_seconds(v, 3))

    words = "speedup (above 1x: faster)" if quantity == "speedup" else "time of one evaluation, median"
    handles: list[Artist] = [style.proxy("A", style.FAINT, "o", hollow=True), style.proxy("B", style.FAINT, "o")]
    if quantity == "speedup":
        handles.append(style.proxy("1x: equally fast", style.FAINT, line="-"))
    how = f"bars: {found.a.timing.confidence * 100:g} % interval over processes (Student's t)"
    return _figure(laid, _draw_sides, scale, words, headline(found, laid.table), how, handles, lines=True)


def ratios(found: Comparison, compared: Table | None = None) -> Figure | None:
    """The ratio of both runs against channels: where it lies, and how far that is from a change that matters."""
    laid = _lay_out(found, compared or found.speedups)
    if laid is None:
        return None
    edge = laid.table.edge

    def scale(axis: Axes) -> None:
        _scale_ratios(axis, laid.matches, edge)

    speedups = laid.table.quantity == "speedup"
    handles: list[Artist] = [_margin(laid.table), style.proxy("hollow: AMBIGUOUS", style.FAINT, "o", hollow=True)]
    span, change = direction(laid.table.mean, laid.table.quantity, edge, laid.table.confidence)
    title = f"On average B's {'speedups' if speedups else 'times'} are {span} those of A: {change}"
    return _figure(
        laid, _draw_ratios, scale, _RATIO[laid.table.quantity], title, _how_ratio(found), handles, lines=False
    )


def spread(found: Comparison, compared: Table | None = None) -> Figure | None:
    """Every judged row's ratio, networks and all, from the lowest to the highest."""
    table = compared or found.speedups
    matches = sorted((m for m in table.judged if m.log is not None), key=lambda m: m.log.mean if m.log else 0.0)
    if not matches:
        return None
    figure, (axis,) = style.panels(1, 1)
    _scale_ratios(axis, matches, table.edge)
    size = 5.5 if len(matches) <= 40 else 3.5
    for x, m in enumerate(matches):
        marker, colour = _MARKS[m.verdict]
        if m.ends is not None:
            style.interval(axis, x, m.ends, colour, 1.2 if size > 4 else 0.8, 0.6, 2)
        fill = "white" if m.verdict == "AMBIGUOUS" else colour
        axis.plot([x], [m.ratio or math.nan], marker=marker, ms=size, color=colour, mfc=fill, mew=1.1, zorder=3)
    axis.set_xlim(-1, len(matches))
    axis.xaxis.set_major_locator(NullLocator())
    axis.set_xlabel("rows, from the lowest ratio to the highest")
    axis.set_ylabel(_RATIO[table.quantity])
    present = {m.verdict for m in matches}
    handles: list[Artist] = [style.proxy(v, c, mark, hollow=v == "AMBIGUOUS") for v, (mark, c) in _MARKS.items() if v in present]  # fmt: skip
    _frame(found, figure, _spread_title(matches, table.quantity), _how_ratio(found), [*handles, _margin(table)], "")
    return figure


def _spread_title(matches: Sequence[Match], quantity: Quantity) -> str:
    logs = [m.log.mean for m in matches if m.log]
    what = "Speedups in B / in A" if quantity == "speedup" else "Times in B / in A"
    changed = sum(m.verdict in CHANGED for m in matches)
    surely = f"{changed} changed" if changed else "none changed for sure"
    if len(logs) < 4:
        return f"{what}: {', '.join(times(math.exp(v), 0.01) for v in logs)}; {surely}"
    low, high = (times(math.exp(v), 0.01) for v in (quantiles(logs, n=4)[i] for i in (0, 2)))
    return f"{what}: half of the {len(logs)} rows lie between {low} and {high}; {surely}"


def round_ticks(low: float, high: float) -> list[float]:
    """Round ratios with 1 among them, as 0.9x, 1x, 1.1x; powers of two where the range is wide."""
    if high / low > 3:
        return style.ratio_ticks(low, high)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 9)
    return [1 + i * step for i in range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)]


def _lay_out(found: Comparison, compared: Table) -> _Layout | None:
    rows = sweep_of_shapes([m.a for m in compared.judged if m.ratio is not None])
    if not rows:
        return None
    kept = {id(r) for r in rows}
    matches = tuple(m for m in compared.judged if id(m.a) in kept)
    every = dict.fromkeys(str(m.a["experiment"]) for m in compared.judged)
    others = tuple(e for e in every if e not in {r["experiment"] for r in rows})
    hidden = [*(["device"] if found.across else []), *(["block"] if compared.quantity == "time" else [])]
    laid = _Layout(found, compared, matches, lay_out(rows, ignore=hidden), (), Channels.of(rows), others)
    shown = [m for m in matches if laid.facets.group(m.a) in laid.facets.groups]
    groups = dict.fromkeys(laid.group(m) for m in shown)
    places = tuple((g, k) for g in groups for k in sorted({int(m.a["kernel"]) for m in shown if laid.group(m) == g}))
    return _Layout(found, compared, tuple(shown), laid.facets, places, laid.channels, others)


def _figure(
    laid: _Layout, draw_one: Callable[[Axes, _Series, _Layout], None], scale: Callable[[Axes], None], words: str, title: str,
    how: str, handles: Sequence[Artist], lines: bool,
) -> Figure:  # fmt: skip
    """The panels filled, series by series, and framed."""
    across = panels.columns(laid.places)
    figure, axes = style.panels(len(laid.places), across)
    for axis, (group, kernel) in zip(axes, laid.places, strict=True):
        for one in laid.series(group, kernel):
            draw_one(axis, one, laid)
        panels.channel_axis(axis, laid.channels)
        scale(axis)
        style.name_panel(axis, panels.panel_name(group, kernel))
    panels.label_outer(axes, across, words)
    named = panels.series_handles(laid.facets, lines) if len(laid.facets.series) > 1 else []
    rings = [_ring(laid.table)] if laid.ring else []
    left = [f"{laid.facets.left_out} more groups of panels are not drawn."] if laid.facets.left_out else []
    left += [f"Not drawn here, as no sweep of channels or kernels: {listed(list(laid.others))}."] if laid.others else []
    _frame(laid.found, figure, title, how, [*named, *handles, *rings], " ".join(left))
    return figure


def _frame(found: Comparison, figure: Figure, title: str, how: str, handles: Sequence[Artist], left: str) -> None:
    every = [f"{d.name}: {d.a} in A, {d.b} in B" for d in found.differences]
    differ = " · ".join([words for words in every if len(words) <= _LONGEST][:4])
    style.frame(figure, title, "\n".join(filter(None, (differ, f"A: {found.a.run_id} · B: {found.b.run_id} · {how}"))), handles, left)  # fmt: skip


def _scale_ratios(axis: Axes, matches: Sequence[Match], edge: float) -> None:
    """An axis of ratios, with the margin round 1x shaded."""
    ends = [e for m in matches if m.ends for e in m.ends]
    always = [math.exp(-1.6 * edge), math.exp(1.6 * edge)]
    bounds = style.limits([m.ratio for m in matches if m.ratio], ends, always, room=1.05)
    axis.axhspan(math.exp(-edge), math.exp(edge), color=style.FAINT, alpha=0.2, lw=0, zorder=0)
    axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)
    style.log_axis(axis.yaxis, *bounds, round_ticks(*bounds), lambda v: f"{digits(v, 3)}x")


def _margin(compared: Table) -> Patch:
    one = math.isclose(compared.least_edge, compared.edge)
    words = f"within {_percent(compared.edge)}" if one else f"within {_percent(compared.least_edge)}, of some rows {_percent(compared.edge)}"  # fmt: skip
    return Patch(color=style.FAINT, alpha=0.2, lw=0, label=f"no change that matters: {words}")


def _how_ratio(found: Comparison) -> str:
    told = [f"bars: {found.a.timing.confidence * 100:g} % interval of B / A", widened([found])]
    return ", ".join(filter(None, told))


def _draw_sides(axis: Axes, one: _Series, laid: _Layout) -> None:
    """One series: A's cells a little to the left of B's, B's joined by a line."""
    of = VALUES[laid.table.quantity]
    sides = [[laid.channels.beside(m.a, 2 * one.place + side, 2 * one.count) for m in one.matches] for side in range(2)]
    axis.plot(sides[1], [m.b[of[0]] for m in one.matches], color=one.look.colour, ls=one.look.line, lw=1.2, zorder=2)
    for m, x_a, x_b in zip(one.matches, *sides, strict=True):
        panels.bar(axis, m.a, x_a, one.look, thin=True, hollow=True, of=of)
        panels.bar(axis, m.b, x_b, one.look, hollow=False, of=of)
    _rings(axis, laid, [(m, x, m.b) for m, x in zip(one.matches, sides[1], strict=True)], of[0])


def _draw_ratios(axis: Axes, one: _Series, laid: _Layout) -> None:
    """One series: each ratio with its interval."""
    marked = []
    for m in one.matches:
        x = laid.channels.beside(m.a, one.place, one.count)
        if m.ends is not None:
            style.interval(axis, x, m.ends, one.look.colour)
        fill = "white" if m.verdict == "AMBIGUOUS" else one.look.colour
        axis.plot([x], [m.ratio or math.nan], marker=one.look.marker, ms=5.5, color=one.look.colour, mfc=fill, mew=1.3, zorder=4)  # fmt: skip
        marked.append((m, x, {"ratio": m.ratio}))
    _rings(axis, laid, marked, "ratio")


def _rings(axis: Axes, laid: _Layout, marks: Sequence[tuple[Match, float, Record]], name: str) -> None:
    changed = [(x, row[name]) for m, x, row in marks if laid.ring and m.verdict in CHANGED]
    axis.plot([x for x, _ in changed], [y for _, y in changed], ls="", marker="o", ms=_RING, mfc="none", mec=style.INK, mew=1.2, zorder=5)  # fmt: skip


def _ring(compared: Table) -> Line2D:
    """The mark around a changed cell."""
    words = f"changed by more than {_percent(compared.least_edge)}"
    return Line2D([], [], ls="", marker="o", ms=_RING, mfc="none", mec=style.INK, mew=1.2, label=words)


def _percent(edge: float) -> str:
    return f"{math.expm1(edge) * 100:.3g} %"
