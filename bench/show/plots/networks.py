"""Whole networks against their baseline: the ratio of multiplications that one promises, and the speedup that arrives."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import log_interval
from bench.show.plots import panels, style
from bench.show.text import captions, titles
from bench.show.text.ways import words_of
from bench.spec.columns import SPEEDUP
from bench.spec.format import times

APART = "experiment baseline device threads layout dtype mode cudnn_benchmark pass allocator waiting batch size".split()
_LINE = 10.5  # points from one label to the next

Box = tuple[float, float, float, float]  # left, right, bottom and top of a label or an interval, in points


def picture(run: Run) -> Figure | None:
    """Speedup over the baseline against the ratio of MACs, a panel for each place, batch and size of image."""
    rows = [r for r in records_of(run.pairs) if r["kernel"] is None and r["mac_ratio"] and panels.measured(r)]
    if not rows:
        return None
    words = words_of(rows, APART)
    groups = list(dict.fromkeys(words))
    shown = groups[: panels.MOST_GROUPS]
    figure, axes = style.panels(len(shown), square=True)
    wide = style.limits([r["mac_ratio"] for r in rows], always=[1.0], room=1.9)
    tall = style.limits([r["speedup"] for r in rows], panels.interval_ends(rows), always=[1.0], room=1.5)
    here = {g: [r for r, w in zip(rows, words, strict=True) if w == g] for g in shown}
    for axis, group in zip(axes, shown, strict=True):
        axis.plot(wide, wide, color=style.FAINT, lw=1.2, zorder=1)
        axis.axhline(1, color=style.INK, lw=1.0, zorder=1)
        for r in here[group]:
            panels.bar(axis, r, r["mac_ratio"], style.look(0, panels.predicted([r])))
        panels.mark(axis, here[group])
        axis.plot([1], [1], marker="o", ms=5.5, color=style.INK, zorder=3)
        style.ratio_axis(axis.xaxis, *wide)
        style.ratio_axis(axis.yaxis, *tall)
        style.name_panel(axis, group)
        axis.set_xlabel("expected: MACs of the baseline / of the network")
    panels.label_outer(axes, "achieved: speedup (above 1x: faster)")
    left = captions.not_drawn(len(groups) - len(shown), "panel")
    drawn = [r for g in shown for r in here[g]]
    panels.frame(figure, run, drawn, titles.networks(drawn), _handles(drawn), left)
    for axis, group in zip(axes, shown, strict=True):
        _labels(axis, here[group])
    return figure


def _labels(axis: Axes, rows: Sequence[Record]) -> None:
    """Each network's name beside its point, as near as it touches no other and no interval; the baseline's at 1x, 1x."""
    points = 72 / axis.figure.dpi
    marks = [(1.0, 1.0, rows[0]["baseline"], style.INK)]
    marks += [(r["mac_ratio"], r["speedup"], _word(r), style.look(0, panels.predicted([r])).colour) for r in rows]
    first, last = axis.transAxes.transform([(0, 0), (1, 0)])[:, 0] * points
    one = axis.transData.transform((1, 1)) * points
    occupied: list[Box] = [(first, last, one[1] - 1, one[1] + 1), (one[0] - 4, one[0] + 4, one[1] - 4, one[1] + 4)]
    for r in rows:
        ends = [e for e in (r["speedup_ci_low"], r["speedup"], r["speedup_ci_high"]) if e is not None]
        (x, low), (_, high) = axis.transData.transform([(r["mac_ratio"], ends[0]), (r["mac_ratio"], ends[-1])]) * points
        occupied.append((x - 4, x + 4, low - 4, high + 4))
    for x, y, text, colour in sorted(marks, key=lambda m: m[1]):
        base = colour == style.INK
        at, height = axis.transData.transform((x, y)) * points
        length = 4.3 * len(text)
        starts = [at - 7 - length, at + 7] if base else [at + 7, at - 7 - length]
        starts = [start for start in starts if first <= start and start + length + 2 <= last] or starts[:1]
        middles = [height + moved for moved in sorted(range(-80, 81), key=abs)]
        boxes = [(start, start + length, y - _LINE / 2, y + _LINE / 2) for y in middles for start in starts]
        box = next((b for b in boxes if not any(_touch(b, other) for other in occupied)), boxes[0])
        occupied.append(box)
        right = box[0] > at
        offset = 7 if right else -7, (box[2] + box[3]) / 2 - height
        look = {"ha": "left" if right else "right", "va": "center", "zorder": 2.5, "bbox": style.BACKED}
        style.note(axis, text, (x, y), offset, colour, **look)


def _touch(a: Box, b: Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


def _word(row: Record) -> str:
    return f"{row['block']} {times(row['speedup'], log_interval(row, SPEEDUP).half_width)}"


def _handles(rows: Sequence[Record]) -> list[Artist]:
    kinds = sorted({panels.predicted([r]) for r in rows})
    return [
        *(style.proxy(f"network, with its {'predicted ' * p}speedup", style.look(0, p).colour, "o") for p in kinds),
        style.proxy("baseline", style.INK, "o"),
        style.proxy("speedup as expected by the MACs", style.FAINT, line="-"),
        panels.even_handle(style.INK),
    ]
