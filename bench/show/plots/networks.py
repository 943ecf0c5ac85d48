"""Whole networks against their baseline: the ratio of multiplications that one promises, and the speedup that arrives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import log_interval
from bench.show.plots import panels, style
from bench.show.plots.facets import MOST_GROUPS
from bench.show.text import titles
from bench.show.text.ways import words_of
from bench.spec.columns import SPEEDUP
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import interval, times

APART = "experiment baseline device threads layout dtype mode cudnn_benchmark pass allocator waiting batch size".split()
_LINE = 10.5  # points from one label to the next
_BACKED = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8}


def draw(run: Run, folder: Path) -> tuple[Path, ...]:
    """Write networks.png and networks.svg into `folder`; nothing where no network was measured against another."""
    figure = picture(run)
    return () if figure is None else style.save(figure, folder, "networks")


def picture(run: Run) -> Figure | None:
    """Speedup over the baseline against the ratio of MACs, a panel for each place, batch and size of image."""
    rows = [r for r in records_of(run.pairs) if r["kernel"] is None and r["mac_ratio"] and panels.measured(r)]
    if not rows:
        return None
    words = words_of(rows, APART)
    groups = list(dict.fromkeys(words))
    shown = groups[:MOST_GROUPS]
    across = panels.columns([(g, 0) for g in shown])
    figure, axes = style.panels(len(shown), across, square=True)
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
        axis.set_xlabel("promised: MACs of the baseline / of the network")
    panels.label_outer(axes, across, "arrived: speedup (above 1x: faster)")
    more = f"{len(groups) - len(shown)} more groups of panels are not drawn; pairs.csv has them." if len(groups) > len(shown) else ""  # fmt: skip
    style.frame(figure, _title(rows), panels.footer(run, rows), _handles(rows), more)
    for axis, group in zip(axes, shown, strict=True):
        _labels(axis, here[group])
    return figure


def _labels(axis: Axes, rows: Sequence[Record]) -> None:
    """Each network's name beside its point, moved up or down where two would touch; the baseline's at 1x, 1x."""
    marks = [(1.0, 1.0, rows[0]["baseline"], style.INK)]
    marks += [(r["mac_ratio"], r["speedup"], _word(r), style.look(0, panels.predicted([r])).colour) for r in rows]
    figure = axis.figure
    placed: list[tuple[float, float, float]] = []  # left, right and height of a label, in points
    for x, y, text, colour in sorted(marks, key=lambda m: m[1]):
        base = colour == style.INK
        at = axis.transData.transform((x, y)) * 72 / figure.dpi
        first, last = axis.transAxes.transform([(0, 0), (1, 0)])[:, 0] * 72 / figure.dpi
        length = 4.3 * len(text)
        right = at[0] + 9 + length <= last and not (base and at[0] - 7 - length >= first)
        start = at[0] + 7 if right else at[0] - 7 - length
        height = at[1] + (_LINE if base else 0)  # clear of the line at 1x, where few networks lie
        while any(a < start + length and start < b and abs(height - h) < _LINE for a, b, h in placed):
            height += 1.0
        placed.append((start, start + length, height))
        axis.annotate(
            text, (x, y), (7 if right else -7, height - at[1]), textcoords="offset points", fontsize=7.5, color=colour,
            ha="left" if right else "right", va="center", zorder=2.5, bbox=_BACKED,
        )  # fmt: skip


def _word(row: Record) -> str:
    """`mobilenet_v1 6.2x`."""
    return f"{row['block']} {_times(row)}"


def _times(row: Record) -> str:
    return times(row["speedup"], log_interval(row, SPEEDUP).half_width)


def _handles(rows: Sequence[Record]) -> list[Artist]:
    handles: list[Artist] = [
        *(
            style.proxy(f"network, with its {'predicted ' if p else ''}speedup", style.look(0, p).colour, "o")
            for p in sorted({panels.predicted([r]) for r in rows})
        ),
        style.proxy("baseline", style.INK, "o"),
        style.proxy("speedup as promised by the MACs", style.FAINT, line="-"),
        style.proxy("1x: equally fast", style.INK, line="-"),
    ]
    return handles + panels.hollow_handle(rows) + style.predicted_handle(panels.predicted(rows))


def _title(rows: Sequence[Record]) -> str:
    """What the network that promises most delivers, over all panels of a device."""
    lead = max(rows, key=lambda r: (r["mac_ratio"], r["block"]))
    mine = [r for r in rows if (r["block"], r["baseline"]) == (lead["block"], lead["baseline"])]
    devices = list(dict.fromkeys(str(r["device"]) for r in mine))
    on = {d: sorted((r for r in mine if r["device"] == d), key=lambda r: float(r["speedup"])) for d in devices}
    words: list[str] = []
    before = ""
    for device, some in on.items():
        least, most = some[0], some[-1]
        said = interval(log_interval(least, SPEEDUP)) if len(some) == 1 else f"{_times(least)} to {_times(most)}"
        verb = titles.verb(some)
        named = f" on {in_words(device)}" if len(devices) > 1 or is_predicted(device) else ""
        again = "" if verb == before else f"it {verb} " if words else f"{verb} "
        words.append(again + said + ("" if words else " as fast") + named)
        before = verb
    between = "; " if len({titles.verb(some) for some in on.values()}) > 1 else ", "
    ratio = float(lead["mac_ratio"])
    macs = f"{times(ratio)} fewer MACs" if ratio > 1 else f"{times(1 / ratio)} the MACs"
    return f"Against {lead['baseline']}, {lead['block']} has {macs} and {titles.joined(words, list(on.values()), _doubt, between)}"


def _doubt(rows: Sequence[Record]) -> str:
    """A lone prediction has its error in brackets."""
    return titles.doubt(rows) if len(rows) > 1 or titles.verb(rows) == "reads" else ""
