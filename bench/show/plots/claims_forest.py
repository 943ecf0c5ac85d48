"""The claims as a forest plot: a row for each verdict that confirms, its effect with the interval, and below it what is predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from bench.analyse.claims.answers import Effect, Side, Verdict
from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import Verdicts
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import dots, panels, style
from bench.show.text import captions, titles
from bench.show.text.claims import answer, effect, where

MOST_ROWS = 96
LOOKS: dict[Side, tuple[str, str, bool, str]] = {  # colour, marker, hollow, and in the legend
    "yes": (style.INK, "o", False, "holds"),
    "no": (style.WINE, "X", False, "fails"),
    "same": (style.INK, "D", False, "equivalent"),
    "partly": (style.INK, "^", False, "holds in part of the cells"),
    "open": (style.FAINT, "o", True, "undecided"),
}
_MARKS = (
    "lines: 95 % interval of the effect · dotted: its range over cells, which is no interval · upright ticks: what the claim is held against"
    " · the effect describes: cells are tested one by one, corrected for their number"
)


def picture(run: Run, judged: Verdicts, letters: Mapping[str, str] | None = None) -> Figure | None:
    """Ratios on the left, elasticities (if there are any) on the right, a row for each verdict under its claim; None without an effect.

    `run` is measured in the footer's words; `letters` by run_id where there are several. Claims that nothing measured
    have no row.
    """
    told = [v for v in judged.verdicts if v.confirmatory and v.answer != "NOT MEASURED"]
    shown = told + [v for v in judged.verdicts if v.predicted and v.effect is not None]
    effects = [v.effect for v in shown if v.effect is not None]
    if all(e.value is None for e in effects):
        return None
    cases = grouped(((where(v, letters), v) for v in shown), lambda case: _heading(case[1]))
    slopes = [e for e in effects if _is_slope(e)]
    across = 2 if slopes else 1
    figure, axes, places, left = dots.lay_out(cases, MOST_ROWS, across)
    axes[0].get_gridspec().set_width_ratios([1.9, 1][:across])  # type: ignore[union-attr]
    figure.set_figwidth((9.5 if slopes else 8.5) + 0.085 * max(len(_words(v)) for v in shown))
    _ratio_scale(axes[0], [e for e in effects if not _is_slope(e)])
    if slopes:
        _slope_scale(axes[1], slopes)
    for axis in axes:
        axis.hlines(
            [y for y, _ in places], 0, 1, transform=axis.get_yaxis_transform(), colors=style.GRID, lw=0.6, zorder=0
        )
        axis.grid(True, axis="x")
    for y, v in places:
        _verdict(axes, v, y)
    measured = [r for r in records_of(run.pairs) if panels.measured(r)]
    footer = captions.footer(run, measured, how="", bars="", marks=_MARKS)
    style.frame(figure, titles.claims(judged), footer, _handles(shown), left)
    return figure


def _heading(v: Verdict) -> str:
    return BY_ID[v.claim].statement + " Predicted, not measured:" * v.predicted


def _is_slope(e: Effect) -> bool:
    return "elasticit" in e.unit


def _values(effects: Sequence[Effect]) -> list[float]:
    return [float(x) for e in effects for x in (e.value, e.low, e.high) if x is not None and math.isfinite(x)]


def _ratio_scale(axis: Axes, effects: Sequence[Effect]) -> None:
    values = [v for v in _values(effects) if v > 0]
    held = [t for e in effects for t in e.lines]
    style.ratio_axis(axis.xaxis, *style.limits([*values, *held, 1.0], room=1.2))
    axis.axvline(1, color=style.FAINT, lw=1.2, zorder=1)
    axis.set_xlabel("effect as a ratio")


def _slope_scale(axis: Axes, effects: Sequence[Effect]) -> None:
    values = [*_values(effects), 0.0]
    width = max(values) - min(values)
    room = 0.08 * width + 0.05
    axis.set_xlim(min(values) - room, max(values) + room)
    axis.xaxis.set_major_locator(MultipleLocator(0.5 if width > 0.5 else 0.25))
    axis.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
    axis.axvline(0, color=style.FAINT, lw=1.2, zorder=1)
    axis.set_xlabel("as an elasticity")


def _verdict(axes: Sequence[Axes], v: Verdict, y: float) -> None:
    """Its marker and line on the panel of its unit, and its answer beyond the last panel."""
    colour, marker, hollow, _ = (style.VIOLET[0], "D", True, "") if v.predicted else LOOKS[v.side]
    e = v.effect
    if e is not None and e.value is not None:
        axis = axes[-1] if _is_slope(e) else axes[0]
        if e.low is not None and e.high is not None:
            ranged = "range" in e.unit
            if v.predicted:
                axis.barh([y], [e.high - e.low], 0.62, [e.low], color="none", edgecolor=colour, hatch="//////", lw=0.4, zorder=1.5)  # fmt: skip
            axis.plot([e.low, e.high], [y, y], color=colour, lw=1.2 if ranged else 1.9, ls=(0, (1, 1.5)) if ranged else "-", zorder=2, solid_capstyle="butt")  # fmt: skip
        if not _is_slope(e):
            axis.plot(e.lines, [y] * len(e.lines), ls="", marker="|", ms=11, mew=1.4, color=style.INK, zorder=2)
        axis.plot([e.value], [y], marker=marker, ms=6, color=colour, mfc="white" if hollow else colour, mew=1.3, zorder=4)  # fmt: skip
    sure = v.side in ("yes", "no", "same", "partly") and not v.predicted
    dots.write_beside(axes[-1], y, _words(v), colour, "bold" if sure else "normal")


def _words(v: Verdict) -> str:
    """The answer, and the effect of one that has no channels."""
    return answer(v) if v.channels else f"{answer(v)}  {effect(v.effect)}".rstrip()


def _handles(shown: Sequence[Verdict]) -> list[Artist]:
    sides = {v.side for v in shown if v.effect is not None and not v.predicted}
    handles: list[Artist] = [style.proxy(words, c, m, "-", hollow=h) for side, (c, m, h, words) in LOOKS.items() if side in sides]  # fmt: skip
    if any(v.predicted for v in shown if v.effect is not None):
        handles.append(Patch(facecolor="none", edgecolor=style.VIOLET[0], hatch="//////", lw=0.4, label="would be: predicted, within the model's error"))  # fmt: skip
    return handles
