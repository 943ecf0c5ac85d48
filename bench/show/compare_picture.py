"""Two pictures of a comparison: both runs' speedups on the same axes, and their ratio with the margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.analyse.comparison import CHANGED, Comparison, Match
from bench.show import plots, style
from bench.show.compare import headline, overall
from bench.show.facets import Channels, Facets, lay_out

_RING = 12  # points


def draw(found: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write compare and ratio, each .png and .svg, into `folder`; nothing where no row was measured in both."""
    written: list[Path] = []
    for name, make in (("compare", picture), ("ratio", ratios)):
        figure = make(found)
        if figure is not None:
            written += style.save(figure, folder, name)
    return tuple(written)


def picture(found: Comparison) -> Figure | None:
    """Both runs' speedups on the same axes, A hollow and B filled, a panel per kernel; the cells that changed ringed where they are few."""
    matches = _drawn(found)
    if not matches:
        return None
    facets, places = _layout(found, matches)
    figure, axes = style.panels(len(places), plots.columns(places))
    channels = Channels.of([m.a for m in matches])
    bounds = plots.speedup_limits([r for m in matches for r in (m.a, m.b)])
    ring = _few(matches)
    for axis, (group, kernel) in zip(axes, places, strict=True):
        for mine, seen, i, count in _series(matches, facets, group, kernel):
            _draw_series(axis, sorted(mine, key=lambda m: channels.at(m.a)), channels, seen, i, count, ring)
        plots.finish_speedup(axis, channels, bounds, plots.panel_name(group, kernel))
    plots.label_outer(axes, plots.columns(places), "speedup (above 1x: faster)")
    handles: list[Artist] = list(plots.series_handles(facets)) if len(facets.series) > 1 else []
    handles += [
        style.proxy("A", style.FAINT, "o", hollow=True),
        style.proxy("B", style.FAINT, "o"),
        style.proxy("1x: equally fast", style.FAINT, line="-"),
    ]
    how = f"bars: {found.a.timing.confidence * 100:g} % interval over processes (Student's t)"
    _frame(figure, headline(found), found, how, handles + ([_ring(found)] if ring else []))
    return figure


def ratios(found: Comparison) -> Figure | None:
    """The ratio of speedups, B over A, against channels: where it lies, and how far that is from a change that matters."""
    matches = _drawn(found)
    if not matches:
        return None
    facets, places = _layout(found, matches)
    figure, axes = style.panels(len(places), plots.columns(places))
    channels = Channels.of([m.a for m in matches])
    edge = found.speedups.edge
    ends = [e for m in matches if m.ends for e in m.ends]
    always = [math.exp(-1.6 * edge), math.exp(1.6 * edge)]
    bounds = style.limits([m.ratio for m in matches if m.ratio], ends, always, room=1.05)
    ring = _few(matches)
    for axis, (group, kernel) in zip(axes, places, strict=True):
        axis.axhspan(math.exp(-edge), math.exp(edge), color=style.FAINT, alpha=0.2, lw=0, zorder=0)
        for mine, seen, i, count in _series(matches, facets, group, kernel):
            for m in mine:
                _draw_ratio(axis, m, channels.beside(m.a, i, count), seen, ring)
        plots.finish_speedup(axis, channels, bounds, plots.panel_name(group, kernel))
        style.log_axis(axis.yaxis, *bounds, round_ticks(*bounds), lambda v: f"{v:.3g}x")
    plots.label_outer(axes, plots.columns(places), "speedup in B / in A (above 1x: B's is higher)")
    handles: list[Artist] = list(plots.series_handles(facets, lines=False)) if len(facets.series) > 1 else []
    handles.append(Patch(color=style.FAINT, alpha=0.2, lw=0, label=f"no change that matters: within {_percent(edge)}"))
    handles.append(style.proxy("hollow: AMBIGUOUS", style.FAINT, "o", hollow=True))
    how = f"bars: {found.a.timing.confidence * 100:g} % interval of the ratio, widened by the runs' noise bands"
    _frame(figure, overall(found.speedups).partition(" (")[0], found, how, handles + ([_ring(found)] if ring else []))
    return figure


def round_ticks(low: float, high: float) -> list[float]:
    """Round ratios with 1 among them, as 0.9x, 1x, 1.1x; powers of two where the range is wide."""
    if high / low > 3:
        return style.ratio_ticks(low, high)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / s <= 9)
    return [1 + i * step for i in range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)]


def _drawn(found: Comparison) -> list[Match]:
    """The judged rows of blocks, as in the plots: no networks, and nothing that is confounded."""
    return [m for m in found.speedups.judged if m.ratio is not None and m.a["kernel"] is not None]


def _layout(found: Comparison, matches: Sequence[Match]) -> tuple[Facets, list[tuple[str, int]]]:
    rows = [m.a for m in matches]
    facets = lay_out(rows, ignore=("device",) if found.across else ())
    return facets, [(g, k) for g in facets.groups for k in plots.kernels(rows, g, facets)]


def _series(
    matches: Sequence[Match], facets: Facets, group: str, kernel: int
) -> list[tuple[list[Match], style.Look, int, int]]:
    """A panel's matches by series, each with its look, its place beside the others, and how many they are."""
    here = [m for m in matches if facets.group(m.a) == group and m.a["kernel"] == kernel]
    held: dict[str, list[Match]] = {}
    for m in here:
        held.setdefault(facets.line(m.a), []).append(m)
    present = [s for s in facets.series if s in held]
    return [(held[s], style.look(facets.series.index(s)), i, len(present)) for i, s in enumerate(present)]


def _few(matches: Sequence[Match]) -> bool:
    """Whether to ring what changed: where most did, rings would single out nothing."""
    return 0 < sum(m.verdict in CHANGED for m in matches) <= len(matches) / 3


def _draw_series(
    axis: Axes, mine: Sequence[Match], channels: Channels, seen: style.Look, i: int, count: int, ring: bool
) -> None:
    """One series: A's cells a little to the left of B's, B's joined by a line."""
    left = [channels.beside(m.a, 2 * i, 2 * count) for m in mine]
    right = [channels.beside(m.a, 2 * i + 1, 2 * count) for m in mine]
    axis.plot(right, [m.b["speedup"] for m in mine], color=seen.colour, ls=seen.line, lw=1.2, zorder=2)
    for m, x_a, x_b in zip(mine, left, right, strict=True):
        plots.bar(axis, m.a, x_a, seen, thin=True, hollow=True)
        plots.bar(axis, m.b, x_b, seen, hollow=False)
    changed = [(x, m.b["speedup"]) for x, m in zip(right, mine, strict=True) if ring and m.verdict in CHANGED]
    axis.plot([x for x, _ in changed], [y for _, y in changed], ls="", marker="o", ms=_RING, mfc="none", mec=style.INK, mew=1.2, zorder=5)  # fmt: skip


def _draw_ratio(axis: Axes, m: Match, x: float, seen: style.Look, ring: bool) -> None:
    if m.ends is not None:
        axis.plot([x, x], m.ends, color=seen.colour, lw=1.2, zorder=3, solid_capstyle="butt")
    fill = "white" if m.verdict == "AMBIGUOUS" else seen.colour
    axis.plot([x], [m.ratio or math.nan], marker=seen.marker, ms=5.5, color=seen.colour, mfc=fill, mew=1.3, zorder=4)
    if ring and m.verdict in CHANGED:
        axis.plot([x], [m.ratio or math.nan], ls="", marker="o", ms=_RING, mfc="none", mec=style.INK, mew=1.2, zorder=5)


def _frame(figure: Figure, title: str, found: Comparison, how: str, handles: Sequence[Artist]) -> None:
    differ = " · ".join(f"{d.name}: {d.a} in A, {d.b} in B" for d in found.differences[:4])
    style.frame(figure, title, f"A: {found.a.run_id} · B: {found.b.run_id} · {how}", handles, differ)


def _ring(found: Comparison) -> Line2D:
    """The mark around a changed cell."""
    words = f"changed by more than {_percent(found.speedups.edge)}"
    return Line2D([], [], ls="", marker="o", ms=_RING, mfc="none", mec=style.INK, mew=1.2, label=words)


def _percent(edge: float) -> str:
    return f"{math.expm1(edge) * 100:.3g} %"
