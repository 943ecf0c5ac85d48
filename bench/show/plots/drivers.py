"""What explains time, in one picture: what it goes to in each group, and time against each count."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.drivers.additive_model import HALF, RESAMPLES, Additive, Term
from bench.analyse.drivers.explain import COUNT_WORDS, Drivers, Group
from bench.analyse.drivers.limits import UNKNOWN
from bench.analyse.drivers.observations import PREDICTORS
from bench.analyse.runs.merged import short
from bench.analyse.stats.estimators import CONFIDENCE
from bench.show.plots.shared import files, style
from bench.show.plots.shared.panels import MOST_GROUPS, few
from bench.show.text import captions, titles
from bench.show.text.drivers import label, scope, two
from bench.spec.format import in_seconds, listed, share, with_prefix

MOST_WORDED = 3  # groups whose shares are written out
SURE = 0.95  # of resamples that name the same limit, or the small print says how many do
MOST_LETTERS = 42  # of a group's name
OTHER = (style.FAINT, "o")  # colour and marker of the constant and of counts that can't be told apart
LOOKS = dict(zip((*PREDICTORS, "ops"), (style.MACS, style.ACTIVATIONS, style.LAYERS, style.LAYERS), strict=True))
HOW = (
    "time = constant + a x ops + b x MACs + c x activations, least squares of the relative error, none negative"
    f" · dots: median over rows · bars: {CONFIDENCE * 100:g} % interval over {RESAMPLES} resamples of rows · association, not cause"
)


def draw(drivers: Drivers, folder: Path) -> tuple[Path, ...]:
    """Write drivers.png and drivers.svg into `folder`; nothing where no group could be fitted."""
    return files.save_all([("drivers", picture(drivers))], folder)


def picture(drivers: Drivers) -> Figure | None:
    """Shares of time by the additive model, group by group, and time against each count that varies."""
    fitted = [(g, g.additive) for g in drivers.groups if g.additive]
    if not fitted:
        return None
    pairs = fitted[:MOST_GROUPS]
    shown, models = [g for g, _ in pairs], [m for _, m in pairs]
    names, same = _names(shown)
    counts = [c for c in PREDICTORS if any(c in g.predictors for g in shown)]
    figure, axes = style.panels(1 + len(counts), 2, "none")
    _shares(axes[0], shown, names)
    for axis, count in zip(axes[1:], counts, strict=True):
        _points(axis, count, shown)
    left = captions.not_drawn(len(fitted) - len(shown), "group", "bench drivers --json")
    sure = min([g.limit.agreement for g in shown if math.isfinite(g.limit.agreement)], default=1.0)
    doubt = f"as few as {share(sure)} of resamples agree on what limits a group" if sure < SURE else ""
    footer = " · ".join(filter(None, (scope(drivers), same, HOW, doubt)))
    style.frame(figure, titles.drivers(shown), footer, _handles(models, names), left)
    return figure


def _names(shown: Sequence[Group]) -> tuple[list[str], str]:
    """The words that distinguish each drawn group, and those that all share."""
    words = [label(g, shown).split(", ") for g in shown]
    shared = [w for w in words[0] if len(words) > 1 and all(w in some for some in words)]
    different = [[w for w in some if w not in shared] for some in words]
    names, brief = [", ".join(some) for some in different], [_brief([short(w) for w in some]) for some in different]
    return brief if len(set(brief)) == len(set(names)) else names, ", ".join(shared)


def _brief(words: Sequence[str]) -> str:
    """The words of one name in MOST_LETTERS, its longest word cut: the last ones distinguish ways to run one device."""
    name = ", ".join(words)
    longest = max(words, key=len, default="")
    room = max(8, len(longest) - len(name) + MOST_LETTERS)
    return ", ".join(w if w is not longest else textwrap.shorten(w, room, placeholder=" …") for w in words)


def _shares(axis: Axes, groups: Sequence[Group], names: Sequence[str]) -> None:
    """A band for each group: its terms' shares of a typical row's time with their intervals, and of all rows' time."""
    models = [g.additive for g in groups if g.additive]
    step = 0.115 + 0.065 / len(models)
    first = 0.48 - 0.08 / len(models)  # the more bands, the more of each its words take
    for top, group, model, name in zip(range(len(models), 0, -1), groups, models, names, strict=True):
        for i, term in enumerate(model.terms):
            _share(axis, term, top - first - i * step, len(models) <= MOST_WORDED)
        limit = "limit unknown" if group.limit.word == UNKNOWN else group.limit.word
        words = axis.annotate(f"{name}: {limit}" if len(models) > 1 else limit, (0, top - 0.06), fontsize=8, color=style.INK, va="top", zorder=5, bbox=style.BACKED)  # fmt: skip
        words.set_in_layout(False)
    axis.axvline(HALF, color=style.FAINT, lw=1.2, zorder=1)
    quarters = (0, 0.25, 0.5, 0.75, 1)
    axis.set_xticks(quarters, map(share, quarters))
    axis.set(xlim=(-0.02, 1.02), ylim=(0, len(models)), yticks=[], xlabel="share of time")
    axis.grid(False, axis="y")
    style.name_panel(axis, "what time goes to, by the additive model")


def _share(axis: Axes, term: Term, y: float, worded: bool) -> None:
    (colour, marker), middle = _term_look(term.names), term.median.value
    axis.plot([term.median.low, term.median.high], [y, y], color=colour, lw=1.6, solid_capstyle="butt", zorder=2)
    axis.plot([middle], [y], marker=marker, ms=6, color=colour, mec="white", mew=0.7, zorder=4)
    axis.plot([term.total.value], [y], marker="|", ms=10, color=colour, mew=2.0, zorder=3)
    if worded:
        side = "left" if middle < 0.12 else "right" if middle > 0.88 else "center"
        axis.annotate(
            f"{_name(term.names)} {share(middle)}", (middle, y), (0, 5), textcoords="offset points", fontsize=7.5,
            color=colour, ha=side, zorder=5, bbox={**style.BACKED, "pad": 0.1},
        ).set_in_layout(False)  # fmt: skip


def _points(axis: Axes, count: str, shown: Sequence[Group]) -> None:
    """Time against one count, on logarithmic axes, with a straight line for each group through it."""
    mine = [g for g in shown if count in g.predictors]
    across = style.limits([float(v) for g in mine for v in g.counts[count]], room=1.4)
    upright = style.limits([float(t) for g in mine for t in g.time_s], room=1.5)
    for g in mine:
        seen, colour = _look(shown.index(g)), LOOKS[count][0]
        x, y = g.counts[count], g.time_s
        axis.plot(
            few(x.tolist()), few(y.tolist()), ls="", marker=seen.marker, ms=4.5 if len(x) < 100 else 3.2, color=colour, zorder=3,
            mec="white", mew=0.4,
        )  # fmt: skip
        slope, start = np.polyfit(np.log(x), np.log(y), 1)
        ends = np.array([x.min(), x.max()])
        axis.plot(ends, np.exp(start) * ends**slope, color=style.INK, lw=1.0, ls=seen.line, zorder=4)
    style.log_axis(axis.xaxis, *across, style.few_ticks(*across), lambda v: with_prefix(v, 6))
    style.log_axis(axis.yaxis, *upright, style.few_ticks(*upright), in_seconds)
    axis.set(xlabel=f"{COUNT_WORDS[count]} of an evaluation", ylabel="time of an evaluation")
    alone = [two(g.regression.alone[count]) for g in mine if g.regression]
    style.name_panel(axis, f"{COUNT_WORDS[count]} alone: R2 {_span(alone)}")


def _look(index: int) -> style.Look:
    """A group's marker and line; its colour is that of the count."""
    return style.Look(style.FAINT, style.MARKERS[index % len(style.MARKERS)], style.LINES[index % len(style.LINES)])


def _handles(models: Sequence[Additive], names: Sequence[str]) -> list[Artist]:
    terms = dict.fromkeys(t.names for m in models for t in m.terms)
    handles: list[Artist] = [style.proxy(_name(t), *_term_look(t), "-") for t in terms]
    tick = style.proxy("upright tick: of all rows' time", style.FAINT, "|")
    tick.set(markersize=10, markeredgewidth=2.0)
    handles.append(tick)
    handles.append(style.proxy("half: what takes more is the limit", style.FAINT, line="-"))
    if len(models) == 1:
        handles.append(style.proxy("straight line through the logarithms", style.INK, line="-"))
        return handles
    looks = [_look(i) for i in range(len(names))]
    return handles + [style.proxy(n, k.colour, k.marker, k.line) for n, k in zip(names, looks, strict=True)]


def _span(values: Sequence[str]) -> str:
    """`58 %`, `56 % and 58 %`, or of more than three the least and the most."""
    several = list(dict.fromkeys(values))
    if len(several) < 4:
        return listed(several)
    several.sort(key=lambda text: math.inf if text == "-" else float(text.split()[0]))
    return f"{several[0]} to {several[-1]}"


def _name(names: Sequence[str]) -> str:
    return listed([COUNT_WORDS[n] for n in names])


def _term_look(names: Sequence[str]) -> tuple[str, str]:
    return LOOKS.get(names[0], OTHER) if len(names) == 1 else OTHER
