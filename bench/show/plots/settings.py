"""The speedup at one shape as one setting varies, or two, and everything else holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import NUMBERS, SettingSweep, setting_sweeps
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import SETTINGS, word_of
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import listed, times


def picture(run: Run) -> Figure | None:
    """A panel for each experiment that varies settings: speedup with its interval against the setting, the ratio of MACs dashed above."""
    every = setting_sweeps(records_of(run.pairs))
    if not every:
        return None
    shown = every[: panels.MOST_PANELS]
    figure, axes = style.panels(len(shown))
    rows = [r for d in shown for r in d.rows]
    expected = [r["mac_ratio"] for r in rows if r["mac_ratio"]]
    bounds = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), [1.0, *expected], room=1.3)
    for axis, sweep in zip(axes, shown, strict=True):
        _panel(axis, sweep, bounds)
        style.name_panel(axis, _heading(sweep, shown))
    panels.label_outer(axes, "speedup (above 1x: faster)", alike=False)
    left = captions.not_drawn(len(every) - len(shown), "setting")
    panels.frame(figure, run, rows, titles.settings(shown), _handles(rows), left)
    for axis, sweep in zip(axes, shown, strict=True):
        _name_lines(axis, sweep)
    return figure


def _panel(axis: Axes, sweep: SettingSweep, bounds: tuple[float, float]) -> None:
    """One panel: a line for each value of the second factor over the first, a point and an interval for each row."""
    at = _places(sweep)
    lines = _lines(sweep)
    for i, (_, rows) in enumerate(lines):
        seen = style.look(i, panels.predicted(rows))
        xs = [at[r[sweep.factors[0]]] + (i - (len(lines) - 1) / 2) * 0.05 for r in rows]
        ordered = sweep.factors[0] in NUMBERS  # between words a line only leads the eye
        width = 1.4 if ordered else 0.6
        axis.plot(xs, [r["speedup"] for r in rows], color=seen.colour, ls=seen.line, lw=width, zorder=2)
        for x, r in zip(xs, rows, strict=True):
            panels.bar(axis, r, x, seen)
    panels.mark(axis, sweep.rows)
    axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)
    for ratio in sorted({r["mac_ratio"] for r in sweep.rows if r["mac_ratio"]}):
        axis.axhline(ratio, color=style.INK, lw=1.0, ls=(0, (5, 3)), zorder=1)
    values, words = list(at.values()), {place: str(value) for value, place in at.items()}
    axis.set_xlim(min(values) - 0.45, max(values) + 0.45 + (0.9 if len(lines) > 1 else 0))
    axis.xaxis.set_major_locator(FixedLocator(values[:: math.ceil(len(values) / 8)]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: words.get(v, "")))
    axis.set_xlabel(SETTINGS.get(sweep.factors[0], sweep.factors[0]))
    style.ratio_axis(axis.yaxis, *bounds)


def _places(sweep: SettingSweep) -> dict[Any, float]:
    """Where the first factor's values stand: numbers by their log2, words one step each in the order of the plan."""
    name = sweep.factors[0]
    values = list(dict.fromkeys(r[name] for r in sweep.rows))
    if name not in NUMBERS:
        return {v: float(i) for i, v in enumerate(values)}
    return {v: math.log2(v) for v in sorted(values)}


def _lines(sweep: SettingSweep) -> list[tuple[Any, list[Record]]]:
    """The rows by the second factor's value (one line without one), each in the order of the first factor."""
    at, other = _places(sweep), sweep.factors[1] if len(sweep.factors) > 1 else None
    lines = grouped(sweep.rows, lambda r: other and r[other])
    return [(value, sorted(rows, key=lambda r: at[r[sweep.factors[0]]])) for value, rows in lines.items()]


def _name_lines(axis: Axes, sweep: SettingSweep) -> None:
    """The second factor's values beside the ends of their lines, none over another."""
    lines = _lines(sweep)
    if len(lines) < 2:
        return
    at = _places(sweep)
    ends = sorted(enumerate(lines), key=lambda line: float(line[1][1][-1]["speedup"]))
    tips = [(at[rows[-1][sweep.factors[0]]], float(rows[-1]["speedup"])) for _, (_, rows) in ends]
    heights = [float(axis.transData.transform(tip)[1]) * 72 / axis.figure.dpi for tip in tips]
    for (i, (value, rows)), tip, height, y in zip(ends, tips, heights, panels.spread(heights, 10), strict=True):
        text = word_of({**rows[-1], sweep.factors[1]: value}, sweep.factors[1])
        style.note(axis, text, tip, (10, y - height), style.look(i, panels.predicted(rows)).colour, va="center")


def _heading(sweep: SettingSweep, shown: Sequence[SettingSweep]) -> str:
    words = [in_words(sweep.device)] if len({d.device for d in shown}) > 1 or is_predicted(sweep.device) else []
    words += [f"{sweep.block} against {sweep.baseline}"] if len({(d.block, d.baseline) for d in shown}) > 1 else []
    factors = listed([SETTINGS.get(f, f) for f in sweep.factors])
    speeds = sorted(float(r["speedup"]) for r in sweep.rows)
    span = " to ".join(dict.fromkeys(times(speed, lines=(1.0,)) for speed in (speeds[0], speeds[-1])))
    return f"{', '.join([*words, factors])}: {span}"


def _handles(rows: Sequence[Record]) -> list[Artist]:
    expected = any(r["mac_ratio"] for r in rows)
    return [panels.even_handle(), *([style.proxy("expected: ratio of MACs", style.INK, line=(0, (5, 3)))] * expected)]
