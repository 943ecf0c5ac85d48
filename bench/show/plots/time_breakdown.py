"""Where the time goes: each block's or network's time in its layers and in the gaps between, beside the time of its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analyse.runs.row_quality import is_noisy
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.plots.shared import panels, style
from bench.show.text import captions, titles
from bench.show.text.layer_costs import walked, walked_networks
from bench.show.text.titles import PARTS
from bench.show.text.ways import line_labels
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import in_words, is_cpu
from bench.spec.format import listed

_FILLS = ((style.FAINT, ""), (style.GREEN, ""), (style.MOSS, "////"), (style.MAGENTA, "...."), (style.OLIVE, "xxxx"), ("white", ""))  # fmt: skip
_LOOKS: dict[str, dict[str, Any]] = {
    p: {"facecolor": colour, "hatch": hatch, "edgecolor": style.FAINT if p == "gaps" else "white", "linewidth": 0.5}
    for p, (colour, hatch) in zip(PARTS, _FILLS, strict=True)
}
_WIDTH = 0.8  # of the step from channels to channels, that the bars of a shape take together


def picture(run: Run) -> Figure | None:
    """Time over the baseline's against channels, stacked by part, a panel per kernel and way to run; None without walks."""
    rows = walked(run)
    if not rows:
        return None
    base = {r["trial_id"]: float(r["time_median_s"]) for r in rows if r["block"] == r["baseline"]}
    alone = in_words(rows[0]["device"]) if run.members and len({r["device"] for r in rows}) == 1 else ""
    every = grouped(zip(line_labels(rows), rows, strict=True), lambda line: (line[0], int(line[1]["kernel"])))
    places = list(every)[: panels.MOST_PANELS]
    blocks = list(dict.fromkeys(str(r["block"]) for r in sorted(rows, key=lambda r: r["block"] != r["baseline"])))
    channels = panels.Channels.of(rows)
    figure, axes = style.panels(len(places), panels.columns(places))
    for axis, place in zip(axes, places, strict=True):
        here = [r for _, r in every[place]]
        width = _WIDTH * channels.step / len(blocks)
        for i, block in enumerate(blocks):
            mine = [r for r in here if r["block"] == block]
            _stack(axis, mine, [channels.at(r) + (i - (len(blocks) - 1) / 2) * width for r in mine], base, width)
        axis.axhline(1, color=style.FAINT, lw=1.0, zorder=1)
        panels.channel_axis(axis, channels)
        axis.grid(visible=False, axis="x")
        style.name_panel(axis, panels.panel_name(", ".join(filter(None, (alone, place[0]))), place[1]))
    panels.label_outer(axes, f"time / time of {panels.baselines(rows)}")
    drawn = [r for place in places for _, r in every[place]]
    left = captions.not_drawn(len(every) - len(places), "panel", "measurements.csv"), _unwalked(run, rows)
    return _framed(figure, run, drawn, [Patch(alpha=0, label=f"from left to right: {', '.join(blocks)}")], *left)


def of_networks(run: Run) -> Figure | None:
    """A bar for each network, its time over the baseline's, stacked by part; a panel per place, batch and size of image. None without walks."""
    rows = walked_networks(run)
    if not rows:
        return None
    base = {r["trial_id"]: float(r["time_median_s"]) for r in rows if r["block"] == r["baseline"]}
    every = grouped(zip(line_labels(rows), rows, strict=True), lambda line: line[0])
    shown = list(every)[: panels.MOST_GROUPS]
    networks = list(dict.fromkeys(str(r["block"]) for r in sorted(rows, key=lambda r: r["block"] != r["baseline"])))
    figure, axes = style.panels(len(shown))
    for axis, group in zip(axes, shown, strict=True):
        here = [r for _, r in every[group]]
        _stack(axis, here, [networks.index(r["block"]) for r in here], base, _WIDTH, upright=False)
        axis.axvline(1, color=style.FAINT, lw=1.0, zorder=1)
        axis.grid(visible=False, axis="y")
        axis.set_yticks(range(len(networks)), networks)
        axis.set_ylim(len(networks) - 0.5, -0.5)
        axis.set_xlabel(f"time / time of {panels.baselines(rows)}")
        style.name_panel(axis, group)
    longest = max(axis.dataLim.x1 for axis in axes)
    for axis in axes:
        axis.set_xlim(0, 1.03 * longest)
    panels.label_outer(axes, "")
    drawn = [r for group in shown for _, r in every[group]]
    return _framed(figure, run, drawn, [], captions.not_drawn(len(every) - len(shown), "panel", "measurements.csv"))


def _unwalked(run: Run, rows: Sequence[Record]) -> str:
    """Which of several runs have sweeps and no walks."""
    swept = {r["run_id"] for r in sweep_of_shapes(records_of(run.measurements)) if r["status"] in MEASURED} - {r["run_id"] for r in rows}  # fmt: skip
    letters = [letter for letter in run.members if letter in swept]
    return f"Not walked layer by layer: run{'s' if len(letters) > 1 else ''} {listed(letters)}." if letters else ""


def _stack(axis: Axes, rows: Sequence[Record], places: Sequence[float], base: dict[str, float], width: float, upright: bool = True) -> None:  # fmt: skip
    """A bar for each row, from 0 on in the order of PARTS, with a ~ at its end if the row is noisy."""
    feet = [0.0] * len(rows)
    for part, seen in _LOOKS.items():
        heights = [r[f"time_in_{part}_s"] / base[r["trial_id"]] for r in rows]
        (axis.bar if upright else axis.barh)(places, heights, width, feet, zorder=2, **seen)
        feet = [foot + height for foot, height in zip(feet, heights, strict=True)]
    for at, end in ((at, end) for at, end, r in zip(places, feet, rows, strict=True) if is_noisy(r)):
        style.note(axis, "~", (at, end) if upright else (end, at), (0, 1) if upright else (2, 0), style.INK, ha="center" if upright else "left", va="bottom" if upright else "center")  # fmt: skip


def _framed(figure: Figure, run: Run, rows: Sequence[Record], handles: Sequence[Artist], *left: str) -> Figure:
    every, noisy = {r["trial_id"] for r in rows}, {r["trial_id"] for r in rows if is_noisy(r)}
    clock = "" if all(is_cpu(r["device"]) for r in rows) else ", a card's layers by its own clock"
    how = f"the least of walks layer by layer and of calls beside them{clock}, medians over processes"
    calm = f", {len(noisy)} of {len(every)} left out as noisy" if 0 < len(noisy) < len(every) else ""
    marks = f"gaps: the rest of the call · title: medians over cells{calm}"
    parts = [Patch(**_LOOKS[p], label=PARTS[p]) for p in PARTS if any(r[f"time_in_{p}_s"] > 0 for r in rows)]
    sign = [Patch(alpha=0, label="~  noisy")] if noisy else []
    title = titles.time_breakdown(rows)
    return panels.frame(figure, run, rows, title, [*parts, *handles, *sign], *left, hollow=False, how=how, bars="", marks=marks)  # fmt: skip
