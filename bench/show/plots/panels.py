"""What several pictures share: panels, series, bars, axes, legend entries, and the small print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from bench.analyse.runs.row_quality import LESS_PRECISE, is_less_precise, is_noisy
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import unswept as no_sweep
from bench.show.plots import style
from bench.show.plots.facets import Channels, Facets
from bench.show.text.titles import of_runs
from bench.spec.columns import MEASURED, SPEEDUP, TOLD
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.format import listed, percent

MEASURING = ("process", "within rounds", "minimum time")  # words of a footer that no prediction can have


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
        style.interval(axis, x, (low, high), seen.colour, 0.9 if thin else 1.2, 0.5 if thin else 1)
    axis.plot(
        [x], [value], marker=seen.marker, ms=5.5, color=seen.colour, mfc="white" if empty else seen.colour, mew=1.3, zorder=4
    )  # fmt: skip


def doubtful(row: Record) -> bool:
    """Whether a cell is drawn hollow."""
    return is_noisy(row) or is_less_precise(row)


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
    for i, word, p in kinds(facets, rows):
        k = style.look(i, p)
        handles.append(style.proxy(word, k.colour, k.marker, k.line if lines else ""))
    return handles + style.predicted_handle(predicted(rows))


def kinds(facets: Facets, rows: Sequence[Record]) -> list[tuple[int, str, bool]]:
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
    return [style.proxy(f"hollow: noisy, or {LESS_PRECISE}", style.FAINT, "o", hollow=True)] if found else []


def left_out(run: Run, facets: Facets, rows: Sequence[Record]) -> str:
    """What the picture had no room for, and the experiments, or of several runs the rows, that other pictures are for."""
    words = []
    if facets.left_out:
        words.append(f"{facets.left_out} more groups of panels are not drawn; pairs.csv has them.")
    if run.members:
        return " ".join([*words, *filter(None, [unswept(run)])])
    others = [e for e in dict.fromkeys(run.pairs["experiment"]) if e not in {r["experiment"] for r in rows}]
    if others:
        words.append(f"Not drawn here, as no sweep of channels or kernels over one block: {listed(others)}.")
    return " ".join(words)


def unswept(run: Run) -> str:
    """Whose rows a picture of sweeps leaves out; nothing where it is of one run, or they are all of sweeps."""
    said = of_runs(no_sweep(records_of(run.pairs))) if run.members else ""
    return f"Not drawn here, as no sweep of channels or kernels over one block: {said}." if said else ""


def footer(run: Run, rows: Sequence[Record], how: str = "") -> str:
    """How and where the picture's numbers were measured; of several runs by those alone that `rows` are of."""
    letters = {r["run_id"] for r in rows}
    runs = [member for letter, member in run.members.items() if letter in letters] or [run]
    names = dict.fromkeys(str(r["device_name"] or r["device"]) for r in rows)
    counts = sorted({int(r["processes"]) for r in rows if r["status"] in MEASURED} or {0})
    processes = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    torch, date = (_said(str(r.environment.get(key) or "")[:most] for r in runs) for key, most in (("torch", None), ("started_utc", 10)))  # fmt: skip
    level = f"{run.timing.confidence * 100:g} %"
    told = {is_predicted(r["device"]) for r in rows}
    bars = "bars: the model's error, 95 % of data that it was not fitted to lie within it"
    if told == {True}:
        how = " · ".join(
            [*(part for part in how.split(" · ") if part and not any(word in part for word in MEASURING)), bars]
        )
    else:
        how = how or f"speedup: paired within rounds · bars: {level} interval over processes (Student's t)"
        how += f" · of predicted cells {bars}" if True in told else ""
    plural = "" if counts == [1] else "es"
    spent = f"{processes} process{plural} a cell" if counts[-1] else ""
    where = [", ".join(names), *_fixed(rows), f"torch {torch}" if torch and told != {True} else "", spent]
    unfinished = "INCOMPLETE RUN" if any(r.from_journal and not (r.folder / "DONE").exists() for r in runs) else ""
    return " · ".join(filter(None, [unfinished, *where, how, date, f"run {_said(r.run_id for r in runs)}"]))


def _said(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(filter(None, words)))


def _fixed(rows: Sequence[Record]) -> list[str]:
    """The settings that all rows share and that no axis of the picture shows."""
    words = {"threads": "{} threads", "batch": "batch {}", "height": "{} pixels", "dtype": "{}", "pass": "{}"}
    if not any(is_cpu(r["device"]) for r in rows):
        del words["threads"]  # the host's do not shape a card's time
    seen = {name: {r[name] for r in rows} for name in words}
    said = [word.format(*seen[name]) for name, word in words.items() if len(seen[name]) == 1]
    return ["1 thread" if word == "1 threads" else word for word in said]
