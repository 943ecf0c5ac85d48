"""The four pictures of a run: speedup, delivery, throughput, memory. Titles say what was found, footers how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.analyse.designs import sweep_of_shapes
from bench.analyse.regression import listed
from bench.analyse.results import Run
from bench.analyse.summary import Record, percent, records_of, times
from bench.show import style, titles
from bench.show.facets import Channels, Facets, lay_out
from bench.spec.columns import FAILED, MEASURED, PREDICTED, SPEEDUP, TOLD
from bench.spec.device_names import is_cpu, is_predicted

_MOST_NAMED = 4  # blocks in a title
MEASURING = ("process", "within rounds")  # words of a footer that no prediction can have


def draw(run: Run, folder: Path, but: Sequence[str] = ()) -> tuple[Path, ...]:
    """Write each picture that the run has data for into `folder`, as PNG and SVG, but not those; returns the paths."""
    makers: dict[str, Callable[[Run], Figure | None]] = {
        "speedup": speedup,
        "delivery": delivery,
        "throughput": throughput,
        "memory": memory,
    }
    written: list[Path] = []
    for name, make in makers.items():
        figure = None if name in but else make(run)
        if figure is not None:
            written += style.save(figure, folder, name)
    return tuple(written)


def speedup(run: Run) -> Figure | None:
    """Speedup against channels, a panel per kernel; None where no pair of blocks was measured."""
    every = sweep_of_shapes(records_of(run.pairs))
    rows = [r for r in every if measured(r)]
    if not rows:
        return None
    facets = lay_out(rows)
    failed = [r for r in every if r["status"] in FAILED and facets.group(r) in facets.groups]
    places = [(g, k) for g in facets.groups for k in kernels(rows, g, facets)]
    one_scale = len({r["block"] for r in rows}) == 1  # a depthwise layer alone would flatten everything else
    figure, axes = style.panels(len(places), columns(places), "all" if one_scale else "none")
    channels = Channels.of(rows + failed)
    for axis, (group, kernel) in zip(axes, places, strict=True):
        here = [r for r in [*rows, *failed] if facets.group(r) == group and r["kernel"] == kernel]
        blocks = {r["block"] for r in here}
        bounds = speedup_limits([r for r in rows if r["block"] in blocks], room=1.5 if failed else 1.25)
        present = [s for s in facets.series if any(facets.line(r) == s for r in here)]
        for i, line in enumerate(present):
            seen = style.look(facets.series.index(line), predicted(here))
            draw_line(axis, [r for r in here if facets.line(r) == line], channels, seen, i, len(present))
        crosses = [r for r in here if r["status"] in FAILED]
        axis.plot(
            [channels.at(r) for r in crosses], [0.04] * len(crosses), "x", color=style.FAINT, ms=6, mew=1.6,
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
        shade_band(axis, here)
        finish_speedup(axis, channels, bounds, panel_name(group, kernel))
        mark(axis, here)
    label_outer(axes, columns(places), "speedup (above 1x: faster)")
    handles = [*series_handles(facets, rows=rows), style.proxy("1x: equally fast", style.FAINT, line="-")]
    handles += band_handle(rows) + hollow_handle(rows)
    handles += [style.proxy("failed", style.FAINT, "x")] if failed else []
    style.frame(figure, titles.speedup(rows), footer(run, rows), handles, left_out(run, facets, rows))
    return figure


def delivery(run: Run) -> Figure | None:
    """The promised ratio of multiplications against the speedup that arrived; None where no pair was measured."""
    rows = [r for r in sweep_of_shapes(records_of(run.pairs)) if measured(r) and r["mac_ratio"] is not None]
    if not rows:
        return None
    facets = lay_out(rows)
    places = [(g, 0) for g in facets.groups]
    figure, axes = style.panels(len(places), columns(places), square=True)
    across = style.limits([r["mac_ratio"] for r in rows], room=1.2)
    upright = style.limits([r["speedup"] for r in rows], interval_ends(rows), always=[1.0])
    upright = upright[0], max(upright[1], 1.05 * across[1])
    for axis, (group, _) in zip(axes, places, strict=True):
        for part in (1.0, 0.5, 0.25, 0.125):
            axis.plot(across, [part * a for a in across], color=style.FAINT, lw=1.2 if part == 1 else 0.8, ls="-" if part == 1 else (0, (2, 2)), zorder=1)  # fmt: skip
            if upright[0] < part * across[1] < upright[1]:
                axis.annotate(f"{part * 100:g} %", (across[1], part * across[1]), (3, 0), textcoords="offset points", va="center", fontsize=7.5, color=style.FAINT)  # fmt: skip
        axis.axhline(1, color=style.INK, lw=1.0, zorder=1)
        mark(axis, [r for r in rows if facets.group(r) == group])
        for i, line in enumerate(facets.series):
            mine = [r for r in rows if facets.group(r) == group and facets.line(r) == line]
            seen = style.look(i, predicted(mine))
            for r in mine:
                bar(axis, r, r["mac_ratio"], seen, thin=True)
        style.ratio_axis(axis.xaxis, *across)
        style.ratio_axis(axis.yaxis, *upright)
        style.name_panel(axis, group)
        axis.set_xlabel("promised: multiplications of the baseline / of the block")
    label_outer(axes, columns(places), "arrived: speedup (above 1x: faster)")
    handles = series_handles(facets, lines=False, rows=rows)
    handles += [
        style.proxy("the whole promise; dashed: a part", style.FAINT, line="-"),
        style.proxy("1x: equally fast", style.INK, line="-"),
    ]
    handles += hollow_handle(rows)
    style.frame(figure, titles.delivery(rows), footer(run, rows), handles, left_out(run, facets, rows))
    return figure


def throughput(run: Run) -> Figure | None:
    """Achieved GFLOP/s of each block against channels, a panel per kernel; None where no block was measured."""
    every = sweep_of_shapes(records_of(run.measurements))
    rows = [r for r in every if r["status"] in TOLD and r["achieved_flop_per_s"]]
    if not rows:
        return None
    facets = lay_out(rows, ignore=("block",))
    blocks = list(dict.fromkeys(r["block"] for r in rows))
    places = [(g, k) for g in facets.groups for k in kernels(rows, g, facets)]
    figure, axes = style.panels(len(places), columns(places))
    channels = Channels.of(rows)
    bounds = style.limits([r["achieved_flop_per_s"] / 1e9 for r in rows])
    for axis, (group, kernel) in zip(axes, places, strict=True):
        here = sorted((r for r in rows if facets.group(r) == group and r["kernel"] == kernel), key=channels.at)
        present = [s for s in facets.series if any(facets.line(r) == s for r in here)]
        for i, line in enumerate(present):
            colour = style.look(facets.series.index(line), predicted(here)).colour
            for b, block in enumerate(blocks):
                mine = [r for r in here if facets.line(r) == line and r["block"] == block]
                axis.plot(
                    [channels.beside(r, i, len(present)) for r in mine],
                    [r["achieved_flop_per_s"] / 1e9 for r in mine],
                    color=colour, marker=style.MARKERS[b % len(style.MARKERS)], ls=style.LINES[b % len(style.LINES)],
                    ms=5, lw=1.4,
                )  # fmt: skip
        mark(axis, here)
        channel_axis(axis, channels)
        style.log_axis(axis.yaxis, *bounds, style.decade_ticks(*bounds), lambda v: f"{v:g}")
        style.name_panel(axis, panel_name(group, kernel))
    label_outer(axes, columns(places), "achieved GFLOP/s")
    handles: list[Artist] = [
        style.proxy(b, style.FAINT, style.MARKERS[i % len(style.MARKERS)], style.LINES[i % len(style.LINES)])
        for i, b in enumerate(blocks)
    ]
    if len(facets.series) > 1:
        handles += [style.proxy(s, style.look(i, p).colour, line="-") for i, s, p in _kinds(facets, rows)]
    handles += style.predicted_handle(any(is_predicted(r["device"]) for r in rows))
    style.frame(figure, titles.throughput(rows, blocks), footer(run, rows, "minimum time · FLOP = 2 x MAC, convolutions only"), handles, left_out(run, facets, rows))  # fmt: skip
    return figure


def memory(run: Run) -> Figure | None:
    """Peak memory of one evaluation, measured against theory; None where no memory was measured."""
    rows = [r for r in records_of(run.measurements) if r["memory_peak_bytes"] and r["memory_theory_bytes"]]
    if not rows:
        return None
    blocks = list(dict.fromkeys(r["block"] for r in rows))
    devices = list(dict.fromkeys(str(r["device"]) for r in rows))
    figure, axes = style.panels(len(devices), columns([(d, 0) for d in devices]), square=True)
    values = [float(r[c]) for r in rows for c in ("memory_peak_bytes", "memory_theory_bytes")]
    bounds = style.limits(values, room=1.6)
    ticks = _byte_ticks(*bounds)
    for axis, device in zip(axes, devices, strict=True):
        axis.plot(bounds, bounds, color=style.FAINT, lw=1.2, zorder=1)
        for i, block in enumerate(blocks):
            mine = [r for r in rows if r["block"] == block and r["device"] == device]
            axis.plot(
                [r["memory_theory_bytes"] for r in mine], [r["memory_peak_bytes"] for r in mine], ls="",
                marker=style.MARKERS[i % len(style.MARKERS)], ms=7.5 if i == 0 else 5.5, color=style.look(i).colour,
                mec="white", mew=0.7, alpha=0.9,
            )  # fmt: skip
        for which in (axis.xaxis, axis.yaxis):
            style.log_axis(which, *bounds, ticks, _bytes)
        axis.set_xlabel("theory: outputs that must live at once")
        style.name_panel(axis, device if len(devices) > 1 else "")
    label_outer(axes, columns([(d, 0) for d in devices]), "measured peak beyond input and weights")
    handles: list[Artist] = [style.proxy(b, style.look(i).colour, style.MARKERS[i % len(style.MARKERS)]) for i, b in enumerate(blocks)]  # fmt: skip
    handles.append(style.proxy("as the theory says", style.FAINT, line="-"))
    style.frame(
        figure, _memory_title(rows, blocks), footer(run, rows, "one evaluation, apart from the timing"), handles
    )
    return figure


def measured(row: Record) -> bool:
    """Whether a pair holds a speedup to show, be it predicted: a device's rows are all of one kind, and so is a panel."""
    return row["status"] in TOLD and row["speedup"] is not None


def predicted(rows: Sequence[Record]) -> bool:
    """Whether these rows, of one panel or series, are a model's word."""
    return any(is_predicted(r["device"]) for r in rows)


def mark(axis: Axes, rows: Sequence[Record]) -> None:
    """Hatch a panel of predicted rows."""
    if predicted(rows):
        style.mark_predicted(axis)


def kernels(rows: Sequence[Record], group: str, facets: Facets) -> list[int]:
    """The kernel sizes of a group's rows."""
    return sorted({int(r["kernel"]) for r in rows if facets.group(r) == group})


def columns(places: Sequence[tuple[str, int]]) -> int:
    """Panels side by side: a group's kernels where those are as many in all groups, else up to three."""
    groups = [sum(g == name for g, _ in places) for name in dict.fromkeys(g for g, _ in places)]
    if len(groups) > 1 and len(set(groups)) == 1 and 1 < groups[0] <= 4:
        return groups[0]
    return 2 if len(places) in (2, 4) else min(3, len(places))


def panel_name(group: str, kernel: int) -> str:
    """`cpu, kernel 3 x 3`."""
    return ", ".join(filter(None, (group, f"kernel {kernel} x {kernel}")))


def draw_line(axis: Axes, rows: Sequence[Record], channels: Channels, seen: style.Look, index: int, count: int) -> None:
    """One series of speedups: a line with a marker and an interval at each cell, broken where a cell failed."""
    rows = sorted(rows, key=channels.at)
    xs = [channels.beside(r, index, count) for r in rows]
    ys = [r["speedup"] if measured(r) else math.nan for r in rows]
    axis.plot(xs, ys, color=seen.colour, ls=seen.line, lw=1.4, zorder=2)
    if predicted(rows):
        known = [(x, r) for x, r in zip(xs, rows, strict=True) if measured(r) and r["speedup_ci_low"] is not None]
        low, high = ([r[end] for _, r in known] for end in ("speedup_ci_low", "speedup_ci_high"))
        style.error_band(axis, [x for x, _ in known], low, high, seen.colour)
    for x, r in zip(xs, rows, strict=True):
        if measured(r):
            bar(axis, r, x, seen)


def bar(axis: Axes, row: Record, x: float, seen: style.Look, thin: bool = False, hollow: bool | None = None, of: tuple[str, str, str] = SPEEDUP) -> None:  # fmt: skip
    """One cell: its marker, hollow where it is less precise than asked or noisy, and its interval; `of` are the row's columns."""
    value, low, high = (row[name] for name in of)
    empty = doubtful(row) if hollow is None else hollow
    if low is not None:
        axis.plot([x, x], [low, high], color=seen.colour, lw=0.9 if thin else 1.2, alpha=0.5 if thin else 1, zorder=3, solid_capstyle="butt")  # fmt: skip
    axis.plot(
        [x], [value], marker=seen.marker, ms=5.5, color=seen.colour, mfc="white" if empty else seen.colour, mew=1.3, zorder=4
    )  # fmt: skip


def doubtful(row: Record) -> bool:
    """Whether a cell is drawn hollow."""
    return row["status"] == "noisy" or (row["status"] != PREDICTED and not row["precision_reached"])


def interval_ends(rows: Sequence[Record]) -> list[float]:
    """Both ends of all intervals."""
    return [r[c] for r in rows for c in ("speedup_ci_low", "speedup_ci_high") if r[c] is not None]


def speedup_limits(rows: Sequence[Record], room: float = 1.25) -> tuple[float, float]:
    """Limits of a speedup axis, 1 always among them."""
    return style.limits([r["speedup"] for r in rows], interval_ends(rows), always=[1.0], room=room)


def shade_band(axis: Axes, rows: Sequence[Record]) -> None:
    """The noise band of the A/A test round 1x, where the rows have one (the widest, if they have several)."""
    band = max((r["noise_band"] for r in rows if r["noise_band"] is not None), default=None)
    if band is not None:
        axis.axhspan(math.exp(-band), math.exp(band), color=style.FAINT, alpha=0.25, lw=0, zorder=0)


def band_handle(rows: Sequence[Record]) -> list[Artist]:
    """The legend entry for the noise band, where there is one."""
    bands = [r["noise_band"] for r in rows if r["noise_band"] is not None]
    words = f"shaded: this machine's noise, ±{percent(max(bands))}" if bands else ""
    return [Patch(color=style.FAINT, alpha=0.25, lw=0, label=words)] if bands else []


def finish_speedup(axis: Axes, channels: Channels, bounds: tuple[float, float], name: str) -> None:
    """Scales, the line at 1 and the heading of a panel of speedups."""
    axis.axhline(1, color=style.FAINT, lw=1.2, zorder=1)
    channel_axis(axis, channels)
    style.ratio_axis(axis.yaxis, *bounds)
    style.name_panel(axis, name)


def channel_axis(axis: Axes, channels: Channels) -> None:
    """Ticks at the channel numbers themselves; every other one where they are many."""
    places = list(channels.labels)
    long = max(len(w) for w in channels.labels.values()) > 5
    spec = axis.get_subplotspec()
    alone = spec is not None and spec.get_gridspec().ncols == 1
    room = (12 if alone else 6) if long else (16 if alone else 9)
    kept = places[:: math.ceil(len(places) / room)]
    axis.set_xlim(places[0] - 0.45 * channels.step, places[-1] + 0.45 * channels.step)
    axis.xaxis.set_major_locator(FixedLocator(kept))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: channels.labels.get(v, "")))
    axis.set_xlabel(channels.title)


def label_outer(axes: Sequence[Axes], across: int, text: str) -> None:
    """The y axis's words at the first panel of each row; the x axis's words at the last panel of each column."""
    for i, axis in enumerate(axes):
        if i % across == 0:
            axis.set_ylabel(text)
        if i + across < len(axes):
            axis.set_xlabel("")


def series_handles(facets: Facets, lines: bool = True, rows: Sequence[Record] = ()) -> list[Artist]:
    """A legend entry for each series, apart where `rows` are measured and predicted ones; and what is hatched."""
    handles: list[Artist] = []
    for i, word, p in _kinds(facets, rows):
        k = style.look(i, p)
        handles.append(style.proxy(word, k.colour, k.marker, k.line if lines else ""))
    return handles + style.predicted_handle(predicted(rows))


def _kinds(facets: Facets, rows: Sequence[Record]) -> list[tuple[int, str, bool]]:
    """Each series with its place and whether it is predicted: twice where it is both."""
    here = {(facets.line(r), is_predicted(r["device"])) for r in rows} or {(s, False) for s in facets.series}
    return [
        (i, s if not p or "predicted" in s else f"{s}, predicted", p)
        for i, s in enumerate(facets.series)
        for p in (False, True)
        if (s, p) in here
    ]


def hollow_handle(rows: Sequence[Record]) -> list[Artist]:
    """The legend entry for hollow markers, where there are any."""
    found = any(doubtful(r) for r in rows)
    return [style.proxy("hollow: noisy, or less precise than asked", style.FAINT, "o", hollow=True)] if found else []


def left_out(run: Run, facets: Facets, rows: Sequence[Record]) -> str:
    """What the picture had no room for, and the experiments that other pictures are for."""
    words = []
    if facets.left_out:
        words.append(f"{facets.left_out} more groups of panels are not drawn; pairs.csv has them.")
    others = [e for e in dict.fromkeys(run.pairs["experiment"]) if e not in {r["experiment"] for r in rows}]
    if others:
        words.append(f"Not drawn here, as no sweep of channels or kernels over one block: {listed(others)}.")
    return " ".join(words)


def footer(run: Run, rows: Sequence[Record], how: str = "") -> str:
    """How and where the picture's numbers were measured."""
    names = dict.fromkeys(str(r["device_name"] or r["device"]) for r in rows)
    counts = sorted({int(r["processes"]) for r in rows if r["status"] in MEASURED} or {0})
    processes = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    torch = run.environment.get("torch")
    date = str(run.environment.get("started_utc") or "")[:10]
    level = f"{run.timing.confidence * 100:g} %"
    kinds = {is_predicted(r["device"]) for r in rows}
    bars = "bars: the model's error, 95 % of data that it was not fitted to lie within it"
    if kinds == {True}:
        how = " · ".join(
            [*(part for part in how.split(" · ") if part and not any(word in part for word in MEASURING)), bars]
        )
    else:
        how = how or f"speedup: paired within rounds · bars: {level} interval over processes (Student's t)"
        how += f" · of predicted cells {bars}" if True in kinds else ""
    plural = "" if counts == [1] else "es"
    spent = f"{processes} process{plural} a cell" if counts[-1] else ""
    where = [", ".join(names), *_fixed(rows), f"torch {torch}" if torch else "", spent]
    unfinished = "INCOMPLETE RUN" if run.from_journal and not (run.folder / "DONE").exists() else ""
    return " · ".join(filter(None, [unfinished, *where, how, date, f"run {run.run_id}"]))


def _fixed(rows: Sequence[Record]) -> list[str]:
    """The settings that all rows share and that no axis of the picture shows."""
    words = {"threads": "{} threads", "batch": "batch {}", "height": "{} pixels", "dtype": "{}", "pass": "{}"}
    if not any(is_cpu(r["device"]) for r in rows):
        del words["threads"]  # the host's do not shape a card's time
    seen = {name: {r[name] for r in rows} for name in words}
    said = [word.format(*seen[name]) for name, word in words.items() if len(seen[name]) == 1]
    return ["1 thread" if word == "1 threads" else word for word in said]


def _memory_title(rows: Sequence[Record], blocks: Sequence[str]) -> str:
    medians = {}
    for b in blocks:
        ratios = sorted(r["memory_peak_bytes"] / r["memory_theory_bytes"] for r in rows if r["block"] == b)
        medians[b] = ratios[len(ratios) // 2]
    if len(blocks) <= _MOST_NAMED:
        words = ", ".join(f"{b} {times(m)}" for b, m in medians.items())
    else:
        least, most = (pick(medians, key=lambda b: medians[b]) for pick in (min, max))
        return f"Peak memory, measured over theory: medians from {times(medians[least])} ({least}) to {times(medians[most])} ({most})"
    return f"Peak memory, measured over theory: {words} (medians)"


def _byte_ticks(low: float, high: float) -> list[float]:
    powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
    return [2.0**e for e in powers][:: max(1, math.ceil(len(powers) / 8))]


def _bytes(value: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
