"""Pictures of a comparison (both runs on the same axes, their ratio, all rows' ratios) and of a history of runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.analyse.compare.change_points import History
from bench.analyse.compare.facts import (
    CHANGED,
    VALUES,
    VERDICTS,
    Comparison,
    Match,
    Quantity,
    QuantityComparison,
    Verdict,
)
from bench.analyse.runs.rows import Record, grouped
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots.shared import files, panels, style
from bench.show.text import captions
from bench.show.text import compare as words
from bench.show.text import history as history_words
from bench.show.text.ways import line_labels
from bench.spec.format import digits, in_seconds

NAMES: dict[Quantity, tuple[str, str, str]] = {
    "speedup": ("compare", "ratio", "spread"),
    "time": ("compare-times", "ratio-times", "spread-times"),
}
"""The files of each quantity's pictures: side by side, as a ratio, and every row's ratio."""
_MARKS: dict[Verdict, tuple[str, str]] = {
    "SLOWER": ("v", style.SLOWER),
    "FASTER": ("^", style.FASTER),
    "SAME": ("D", style.INK),
    "AMBIGUOUS": ("o", style.FAINT),
}
_RING: dict[str, Any] = {"ls": "", "marker": "o", "ms": 12, "mfc": "none", "mec": style.INK, "mew": 1.2}
_MOST_LABELS = 12  # of runs below a history
MOST_LINES = 8  # in a panel
MOST_PANELS = 12


@dataclass(frozen=True, slots=True)
class _Series:
    """The matches of one line of a panel, with its look, its place beside the panel's others, and how many they are."""

    matches: list[Match]
    look: style.Look
    place: int
    count: int


@dataclass(frozen=True, slots=True)
class _Layout:
    """The judged sweeps of shapes of a comparison, by block and kernel: without networks, settings and confounded rows."""

    compared: QuantityComparison
    matches: list[Match]
    names: list[str]  # of the lines, in the order of their looks
    places: dict[tuple[str, int], list[_Series]]
    channels: panels.Channels
    left: str  # what finds no room

    @property
    def ring(self) -> bool:
        """Whether to ring changed cells: if most changed, rings would single out nothing."""
        return 0 < sum(m.verdict in CHANGED for m in self.matches) <= len(self.matches) / 3


def draw(c: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write the pictures of each quantity, .png and .svg, into `folder`; none if no row was measured in both runs."""
    makers = (picture, ratios, spread)
    made = ((q, *pair) for q in c.quantities for pair in zip(NAMES[q.quantity], makers, strict=True))
    return files.save_all(((name, make(c, q)) for q, name, make in made), folder)


def picture(c: Comparison, compared: QuantityComparison) -> Figure | None:
    """Both runs on the same axes, A hollow and B filled, a panel per kernel; changed cells are ringed if they are few."""
    laid = _lay_out(compared)
    if laid is None:
        return None
    speedups = laid.compared.quantity == "speedup"
    both = [r for m in laid.matches for r in (m.a, m.b)]
    value, *ends = VALUES[laid.compared.quantity]
    always = [1.0] if speedups else []
    bounds = style.limits([r[value] for r in both], [r[e] for r in both for e in ends if r[e] is not None], always)

    def scale(axis: Axes) -> None:
        if speedups:
            axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)
            style.ratio_axis(axis.yaxis, *bounds)
        else:
            style.log_axis(axis.yaxis, *bounds, style.decade_ticks(*bounds), lambda v: in_seconds(v, 3))

    label = "speedup (above 1x: faster)" if speedups else "time of one evaluation, median"
    handles: list[Artist] = [style.proxy("A", style.FAINT, "o", hollow=True), style.proxy("B", style.FAINT, "o")]
    handles += [style.proxy("1x: equally fast", style.FAINT, line="-")] if speedups else []
    figure, handles = _panels(laid, _draw_sides, scale, label, handles, lines=True)
    footer = words.footer(c, "interval over processes")
    style.frame(figure, words.answer(laid.compared), footer, handles, laid.left)
    return figure


def ratios(c: Comparison, compared: QuantityComparison) -> Figure | None:
    """B / A against channels, with its interval and the margin."""
    laid = _lay_out(compared)
    if laid is None:
        return None

    def scale(axis: Axes) -> None:
        _scale_ratios(axis, laid.matches, laid.compared.edge)

    handles: list[Artist] = [_margin(laid.compared), style.proxy("hollow: AMBIGUOUS", style.FAINT, "o", hollow=True)]
    figure, handles = _panels(laid, _draw_ratios, scale, _label(laid.compared), handles, lines=False)
    style.frame(figure, words.mean(laid.compared), words.footer(c, words.interval_words([c])), handles, laid.left)
    return figure


def spread(c: Comparison, compared: QuantityComparison) -> Figure | None:
    """Every judged row's ratio, networks and all, from the lowest to the highest."""
    matches = compared.spread(words.MOST_DRAWN)
    if not matches:
        return None
    figure, (axis,) = style.panels(1, 1)
    _scale_ratios(axis, matches, compared.edge)
    size = 5.5 if len(matches) <= 40 else 3.5
    for x, m in enumerate(matches):
        marker, colour = _MARKS[m.verdict]
        if m.ends is not None:
            style.interval(axis, x, m.ends, colour, 1.2 if size > 4 else 0.8, 2)
        fill = "white" if m.verdict == "AMBIGUOUS" else colour
        axis.plot([x], [m.ratio or math.nan], marker=marker, ms=size, color=colour, mfc=fill, mew=1.1, zorder=3)
    some = f" ({len(matches)} of {compared.number}, at even ranks)" if len(matches) < compared.number else ""
    axis.set(xlim=(-1, len(matches)), xticks=[])
    axis.set(xlabel=f"rows, from the lowest ratio to the highest{some}", ylabel=_label(compared))
    present = {m.verdict for m in matches}
    handles: list[Artist] = [style.proxy(v, *_MARKS[v][::-1], hollow=v == "AMBIGUOUS") for v in _MARKS if v in present]
    footer = words.footer(c, words.interval_words([c]))
    style.frame(figure, words.spread(compared), footer, [*handles, _margin(compared)])
    return figure


def of_history(history: History) -> Figure:
    """Every row as a faint line and their mean as a strong one, against the runs in their order; changes as upright lines."""
    figure, (axis,) = style.panels(1, 1)
    count, ratios = len(history.runs), np.exp(history.logs - history.logs[0])
    drawn = ratios[:, :: math.ceil(ratios.shape[1] / words.MOST_DRAWN)]
    axis.plot(range(count), drawn, color=style.FAINT, lw=0.4, zorder=2)
    axis.plot(range(count), np.exp(history.means), color=style.INK, marker="o", ms=5, lw=1.8, zorder=4)
    for change in history.changes:
        axis.axvline(change.at - 0.5, color=style.MAGENTA, lw=1.4, ls=(0, (4, 2)), zorder=3)
    _margin_axis(axis, math.log1p(history.margin), ratios.ravel().tolist(), room=1.03)
    labelled = range(0, count, math.ceil(count / _MOST_LABELS))
    axis.set_xticks(labelled, [history.started[i][5:16].replace("T", "\n") for i in labelled])
    axis.set(xlim=(-0.5, count - 0.5), ylabel=history_words.heading(history))
    handles: list[Artist] = [
        style.proxy("geometric mean", style.INK, "o", "-"),
        style.proxy("a row", style.FAINT, line="-"),
        style.proxy("change point", style.MAGENTA, line=(0, (4, 2))),
    ]
    style.frame(figure, history_words.title(history), history_words.footer(history), handles)
    return figure


def _margin_axis(
    axis: Axes, edge: float, values: Sequence[float], ends: Sequence[float] = (), room: float = 1.05
) -> None:
    """A logarithmic axis of ratios, with the margin `edge` (ln) round 1x shaded."""
    bounds = style.limits(values, ends, [math.exp(-1.6 * edge), math.exp(1.6 * edge)], room=room)
    axis.axhspan(math.exp(-edge), math.exp(edge), color=style.FAINT, alpha=0.2, lw=0, zorder=0)
    style.log_axis(axis.yaxis, *bounds, _round_ticks(*bounds), lambda v: f"{digits(v, 3)}x")


def _round_ticks(low: float, high: float) -> list[float]:
    """Round ratios with 1 among them, as 0.9x, 1x, 1.1x; powers of two where the range is wide."""
    if high / low > 3:
        return style.ratio_ticks(low, high)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 9)
    return [1 + i * step for i in range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)]


def _lay_out(compared: QuantityComparison) -> _Layout | None:
    drawn = compared.drawn(words.MOST_DRAWN)
    swept = {id(r) for r in sweep_of_shapes([m.a for m in drawn])}
    matches = [m for m in drawn if id(m.a) in swept]
    if not matches:
        return None
    every = dict(zip(map(id, matches), line_labels([m.a for m in matches]), strict=True))
    names = list(dict.fromkeys(every.values()))
    kept = [m for m in matches if names.index(every[id(m)]) < MOST_LINES]
    every_panel = grouped(kept, _panel)
    shown = sorted(every_panel, key=lambda at: min(VERDICTS.index(m.verdict) for m in every_panel[at]))[:MOST_PANELS]
    kept = [m for m in kept if _panel(m) in shown]
    channels, blocks = panels.Channels.of([m.a for m in kept]), list(dict.fromkeys(m.a["block"] for m in kept))
    kept.sort(key=lambda m: (blocks.index(m.a["block"]), m.a["kernel"], channels.at(m.a)))
    places = {}
    for place, some in grouped(kept, _panel).items():
        lines = sorted(grouped(some, lambda m: names.index(every[id(m)])).items())
        places[place] = [_Series(mine, style.way(at), i, len(lines)) for i, (at, mine) in enumerate(lines)]
    gone = (
        (len(names) - MOST_LINES, "way", "the picture of all rows"),
        (len(every_panel) - MOST_PANELS, "panel", "the picture of all rows"),
        (compared.number - len(drawn), "row", "--csv"),
    )
    left = " ".join(filter(None, (captions.not_drawn(*one) for one in gone)))
    return _Layout(compared, kept, names[:MOST_LINES], places, channels, left)


def _panel(m: Match) -> tuple[str, int]:
    return str(m.a["block"]), int(m.a["kernel"])


def _panels(
    laid: _Layout, draw_one: Callable[[Axes, _Series, _Layout], None], scale: Callable[[Axes], None], label: str,
    handles: Sequence[Artist], lines: bool,
) -> tuple[Figure, list[Artist]]:  # fmt: skip
    several = len({block for block, _ in laid.places}) > 1
    figure, axes = style.panels(len(laid.places), panels.columns(list(laid.places)))
    for axis, ((block, kernel), lines_here) in zip(axes, laid.places.items(), strict=True):
        for one in lines_here:
            draw_one(axis, one, laid)
        panels.channel_axis(axis, laid.channels)
        scale(axis)
        style.name_panel(axis, panels.panel_name(block if several else "", kernel))
    panels.label_outer(axes, label)
    looks = [(words, style.way(i)) for i, words in enumerate(laid.names)]
    named = [style.proxy(w, k.colour, k.marker, k.line if lines else "") for w, k in looks] if len(looks) > 1 else []
    changed = f"changed by more than {words.margins(laid.compared.least_edge, laid.compared.edge)}"
    return figure, [*named, *handles, *([Line2D([], [], **_RING, label=changed)] if laid.ring else [])]


def _scale_ratios(axis: Axes, matches: Sequence[Match], edge: float) -> None:
    _margin_axis(axis, edge, [m.ratio for m in matches if m.ratio], [e for m in matches if m.ends for e in m.ends])
    axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)


def _label(compared: QuantityComparison) -> str:
    return f"{compared.quantity}, B / A (above 1x: {words.WAYS[compared.quantity][0]} in B)"


def _margin(compared: QuantityComparison) -> Patch:
    label = f"margin: {words.margins(compared.least_edge, compared.edge)}"
    return Patch(color=style.FAINT, alpha=0.2, lw=0, label=label)


def _draw_sides(axis: Axes, one: _Series, laid: _Layout) -> None:
    """One series: A's cells a little to the left of B's, B's joined by a line."""
    of = VALUES[laid.compared.quantity]
    sides = [[laid.channels.beside(m.a, 2 * one.place + side, 2 * one.count) for m in one.matches] for side in range(2)]
    axis.plot(sides[1], [m.b[of[0]] for m in one.matches], color=one.look.colour, ls=one.look.line, lw=1.2, zorder=2)
    for m, x_a, x_b in zip(one.matches, *sides, strict=True):
        panels.bar(axis, m.a, x_a, one.look, thin=True, hollow=True, of=of)
        panels.bar(axis, m.b, x_b, one.look, hollow=False, of=of)
    _rings(axis, laid, [(m, x, m.b) for m, x in zip(one.matches, sides[1], strict=True)], of[0])


def _draw_ratios(axis: Axes, one: _Series, laid: _Layout) -> None:
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
    axis.plot([x for x, _ in changed], [y for _, y in changed], **_RING, zorder=5)
