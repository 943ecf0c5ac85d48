"""FLOP/s that blocks reach, under the roofs of the device where they were measured beside them."""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.roofline import RATES, TOLERANCE, WINOGRAD, Key
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.show.plots.shared import panels, style
from bench.show.text import captions, titles
from bench.spec.columns import WITH_NUMBERS
from bench.spec.format import digits, plural

_GIGA = 1e9
_MOST_POINTS, _LEAST_POINTS = 9.0, 5.0  # the size of a marker
_CLOSE = 13.0  # points: two flat roofs less apart share their words
_FASTER = 1.1  # times the matrix product's: a convolution's roof that needs a word
_ROOM = 0.55  # of the panel's width may lie left of a word
_ROOFS = "roofs: the fastest matrix product, 3x3 convolution, copy, triad or read"


def picture(run: Run) -> Figure | None:
    """Achieved GFLOP/s against FLOP per byte, a panel for each device, number of threads and dtype; with roofs where they were measured."""
    every = records_of(run.roofs) if run.roofs is not None else []
    roofs = {_key(r): r for r in every if any(r[name] is not None for name in RATES[:2])}
    rows = [r for r in records_of(run.measurements) if r["status"] in WITH_NUMBERS and r["intensity_flop_per_byte"]]
    rows = [r for r in rows if r["achieved_flop_per_s"]]  # what multiplies nothing has no place on either axis
    if not rows:
        return None
    held = grouped(rows, _key)
    keys = sorted(held, key=lambda key: key not in roofs)
    shown = keys[: panels.MOST_GROUPS]
    every_shown = [r for key in shown for r in held[key]]
    few = {key: panels.few(held[key]) for key in shown}
    drawn = [r for some in few.values() for r in some]
    figure, axes = style.panels(len(shown), square=True)
    across, upright = _limits(drawn, [roofs[k] for k in shown if k in roofs])
    sizes = _sizes(drawn)
    for axis, key in zip(axes, shown, strict=True):
        style.log_axis(axis.xaxis, *across, style.decade_ticks(*across), _tick)
        style.log_axis(axis.yaxis, *upright, style.decade_ticks(*upright), _tick)
        _points(axis, few[key], panels.block_looks(run, few[key]), sizes)
        if panels.predicted(few[key]):
            style.mark_predicted(axis)
        axis.set_xlabel("FLOP per byte that must move")
        style.name_panel(axis, _words(key, keys))
    panels.label_outer(axes, "achieved GFLOP/s")
    bounded = [key for key in shown if key in roofs]
    marks = " · ".join(filter(None, (captions.FLOP, _ROOFS * bool(bounded), _counted(bounded, roofs))))
    left = captions.not_drawn(len(keys) - len(shown), "panel", "measurements.csv")
    left = left or captions.not_drawn(len(every_shown) - len(drawn), "row", "measurements.csv")
    handles, title = _handles(drawn, panels.block_looks(run, drawn), sizes), titles.roofline(every_shown)
    panels.frame(figure, run, drawn, title, handles, left, how="minimum time", bars="", marks=marks)
    # Panels with roofs come first. They have their sizes by now, which the words follow.
    for axis, key in zip(axes, bounded, strict=False):
        _roofs(axis, roofs[key], across)
    return figure


def _key(row: Record) -> Key:
    return str(row["device"]), int(row["threads"]), str(row["dtype"])


def _words(key: Key, keys: Sequence[Key]) -> str:
    """The words that distinguish a panel."""
    device, threads, dtype = key
    words = [device] if len({k[0] for k in keys}) > 1 else []
    if device.startswith("cpu") and len({k[1] for k in keys if k[0] == device}) > 1:
        words.append(plural(threads, "thread"))
    return ", ".join([*words, dtype] if len({k[2] for k in keys}) > 1 else words)


def _counted(keys: Sequence[Key], roofs: Mapping[Key, Record]) -> str:
    """What is to be known of convolutions' roofs above those of matrix products; nothing where there are none."""
    rates = [(_words(key, keys), roofs[key][RATES[0]], roofs[key][RATES[1]]) for key in keys]
    known = [(word, conv / matmul) for word, matmul, conv in rates if matmul and conv]
    above = [f"{word} {digits(ratio, 2)}x".strip() for word, ratio in known if ratio > _FASTER]
    if not above:
        return ""
    return (
        f"conv roof above matmul's: {'; '.join(above)} · FLOP are counted as the direct method's · a faster algorithm can exceed it "
        f"(Winograd's: 2.25 to {WINOGRAD:g} times fewer multiplications for 3x3) · which one ran was not recorded"
    )


def _limits(rows: Sequence[Record], roofs: Sequence[Record]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Limits of intensity and of GFLOP/s that show all points, and of the roofs a piece of each."""
    peaks = [_peak(r) for r in roofs]
    ridges = [_peak(r) / r["cache_bytes_per_s"] for r in roofs if r["cache_bytes_per_s"]]
    intensities = [r["intensity_flop_per_byte"] for r in rows]
    across = min([*intensities, *(ridge / 5 for ridge in ridges)]) / 1.4, max([*intensities, *ridges]) * 1.8
    reached = [r["achieved_flop_per_s"] for r in rows]
    return across, (min([*reached, *(p / 20 for p in peaks)]) / _GIGA / 1.5, max([*reached, *peaks]) / _GIGA * 1.8)


def _peak(roof: Record) -> float:
    return max(float(roof[name]) for name in RATES[:2] if roof[name] is not None)


def _sizes(rows: Sequence[Record]) -> Mapping[float, float]:
    """The size of a marker by its row's channels: from the fewest to the most, even steps of their logarithm."""
    every = sorted({_channels(r) for r in rows})
    steps = math.log(every[-1] / every[0]) or 1.0
    return {c: _LEAST_POINTS + (_MOST_POINTS - _LEAST_POINTS) * math.log(c / every[0]) / steps for c in every}


def _channels(row: Record) -> float:
    """The geometric mean of channels in and out; a network, which has no one number, is drawn as one of 64 is."""
    return 64.0 if row["c_in"] is None else math.sqrt(int(row["c_in"]) * int(row["c_out"]))


def _points(axis: Axes, rows: Sequence[Record], looks: Mapping[str, style.Look], sizes: Mapping[float, float]) -> None:
    for r in sorted(rows, key=_channels, reverse=True):
        seen = looks[r["block"]]
        at, reached = [r["intensity_flop_per_byte"]], [r["achieved_flop_per_s"] / _GIGA]
        axis.plot(
            at, reached, marker=seen.marker, ms=sizes[_channels(r)], color=seen.colour, mew=1.1 if panels.doubtful(r) else 0.4, ls="",
            mfc="white" if panels.doubtful(r) else seen.colour, mec=seen.colour if panels.doubtful(r) else "white", zorder=3,
        )  # fmt: skip
        if _above(r):
            axis.plot(at, reached, marker="x", ms=5, mew=1.4, color=style.INK, ls="", zorder=4)


def _roofs(axis: Axes, roof: Record, across: tuple[float, float]) -> None:
    """The flat roofs of computing and the slopes of moving bytes, each with its number."""
    peak = _peak(roof)
    flat = sorted(((float(roof[n]), n) for n in RATES[:2] if roof[n] is not None), reverse=True)
    starts = {name: rate for name in RATES[2:] if (rate := roof[name]) is not None}
    begins = [rate / starts["cache_bytes_per_s"] if "cache_bytes_per_s" in starts else across[0] for rate, _ in flat]
    words = [f"{name.partition('_')[0]} {_number(rate / _GIGA)}" for rate, name in flat]
    if len(flat) == 2 and _apart(axis, flat[0][0] / _GIGA, flat[1][0] / _GIGA) < _CLOSE:
        words = [", ".join(words), ""]
    inside = math.log(max(begins) / across[0]) < _ROOM * math.log(across[1] / across[0])
    aside = max(begins) if inside else across[1]  # the words stand right of the cache's slope if there is room
    for place, ((rate, _), begin, word) in enumerate(zip(flat, begins, words, strict=True)):
        axis.plot([begin, across[1]], [rate / _GIGA] * 2, color=style.INK, lw=1.3 if place == 0 else 0.9, zorder=2)
        if word:
            where: dict[str, Any] = {"ha": "left" if inside else "right", "va": "bottom", "bbox": style.BACKED}
            style.note(axis, f"{word} GFLOP/s", (aside, rate / _GIGA), (5 if inside else -5, 3), style.INK, **where)
    for name, rate in starts.items():
        kind = name.partition("_")[0]
        ends = across[0], peak / rate
        heights = [x * rate / _GIGA for x in ends]
        axis.plot(ends, heights, color=style.INK, lw=1.3, ls="-" if kind == "cache" else (0, (4, 2)), zorder=2)
        _along(axis, f"{kind} {_number(rate / _GIGA)} GB/s", ends, heights, under=kind == "memory" and len(starts) > 1)


def _apart(axis: Axes, one: float, other: float) -> float:
    (_, y0), (_, y1) = axis.transData.transform([(axis.get_xlim()[0], one), (axis.get_xlim()[0], other)])
    return abs(float(y1 - y0)) * 72 / float(axis.figure.dpi)


def _along(axis: Axes, word: str, xs: Sequence[float], ys: Sequence[float], under: bool) -> None:
    """A word just above or under a line, at its first point within the panel, and turned as the line is."""
    low = axis.get_ylim()[0] * 1.15
    begin = max(xs[0], low * xs[0] / ys[0])
    slope = ys[0] / xs[0]
    (x0, y0), (x1, y1) = axis.transData.transform([(begin, begin * slope), (2 * begin, 2 * begin * slope)])
    angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
    moved = cmath.rect(1, math.radians(angle)) * complex(20, -3 if under else 2)
    turned = {"rotation": angle, "rotation_mode": "anchor", "va": "top" if under else "bottom"}
    style.note(axis, word, (begin, begin * slope), (moved.real, moved.imag), style.INK, **turned)


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _number(value: float) -> str:
    """Three digits, and no exponent."""
    return f"{value:,.0f}" if value >= 100 else digits(value, 3)


def _above(row: Record) -> bool:
    return row["attainable_share"] is not None and row["attainable_share"] > TOLERANCE


def _handles(rows: Sequence[Record], looks: Mapping[str, style.Look], sizes: Mapping[float, float]) -> list[Artist]:
    handles: list[Artist] = [style.proxy(block, seen.colour, seen.marker) for block, seen in looks.items()]
    if len(sizes) > 1:
        for channels in (min(sizes), max(sizes)):
            mark = style.proxy(f"{channels:.0f} channels", style.FAINT, "o")
            mark.set_markersize(sizes[channels])
            handles.append(mark)
    if any(map(_above, rows)):
        handles.append(style.proxy("above its roof: see quality_notes", style.INK, "x"))
    return handles
