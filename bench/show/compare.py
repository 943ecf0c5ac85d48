"""Two runs side by side: is the block's speedup another one in B than in A, and what else differs between them?"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analyse import statistics
from bench.analyse.results import Run
from bench.analyse.summary import Record, records_of, spanned, times
from bench.show import plots, style
from bench.show.facets import Channels, lay_out
from bench.show.terminal import cell, console_on, print_table
from bench.spec.columns import KEYS
from bench.spec.interval import Interval

MARGIN = 0.05  # a change of speedup that matters
MOST_ROWS = 30
FACTS = (
    ("torch", "torch"),
    ("CPU model", "host.cpu_model"),
    ("physical cores", "host.physical_cores"),
    ("memory", "host.memory_bytes"),
    ("system", "host.os"),
    ("system kernel", "host.kernel"),
    ("python", "python"),
    ("bench", "bench_version"),
    ("git", "git"),
)
"""What environment.json may say differently of two runs: a name for it, and where it stands."""
CPU_ONLY = ("threads", "allocator", "waiting")  # these shape a CPU's time and nothing else

Verdict = Literal["FASTER", "SLOWER", "SAME", "AMBIGUOUS", "NOT MEASURED"]
CHANGED = ("FASTER", "SLOWER")
VERDICTS: tuple[Verdict, ...] = ("SLOWER", "FASTER", "AMBIGUOUS", "NOT MEASURED", "SAME")


@dataclass(frozen=True, slots=True)
class Match:
    """One row of both runs. `ratio` is speedup in B / speedup in A; its interval is of two independent runs.

    FASTER and SLOWER: the whole interval of the ratio lies beyond the margin; SAME: within it; AMBIGUOUS: neither.
    """

    key: dict[str, Any]
    a: Record
    b: Record
    ratio: float | None
    ratio_ci_low: float | None
    ratio_ci_high: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in both runs."""

    name: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs, compared. `only_a` and `only_b` are rows that the other run does not have."""

    a: Run
    b: Run
    margin: float
    keys: tuple[str, ...]
    matches: tuple[Match, ...]
    only_a: tuple[Record, ...]
    only_b: tuple[Record, ...]
    differences: tuple[Difference, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many rows got each verdict."""
        found = Counter(m.verdict for m in self.matches)
        return {v: found[v] for v in VERDICTS}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        fields = ("speedup", "speedup_ci_low", "speedup_ci_high", "status", "processes")
        return {
            "a": self.a.run_id,
            "b": self.b.run_id,
            "margin": self.margin,
            "keys": list(self.keys),
            "counts": self.counts,
            "rows": [
                {
                    **m.key,
                    **{f"{f}_{side}": row[f] for side, row in (("a", m.a), ("b", m.b)) for f in fields},
                    "ratio": m.ratio,
                    "ratio_ci_low": m.ratio_ci_low,
                    "ratio_ci_high": m.ratio_ci_high,
                    "verdict": m.verdict,
                }
                for m in self.matches
            ],
            "only_a": [{k: r[k] for k in KEYS} for r in self.only_a],
            "only_b": [{k: r[k] for k in KEYS} for r in self.only_b],
            "differences": [asdict(d) for d in self.differences],
        }


def compare(a: Run, b: Run, margin: float = MARGIN) -> Comparison:
    """Match the rows of two runs, in time linear in their number, and judge the ratio of speedups, B over A.

    Rows match on columns.KEYS. Where the runs share no device, the device is not asked to match, nor is what shapes a
    CPU's time alone; then a row may match several.
    """
    left, right = _keyed(a), _keyed(b)
    keys = list(KEYS)
    if not set(left["device"]) & set(right["device"]):
        left["device"], right["device"] = (f["device"].str.split(":").str[0] for f in (left, right))
        if not set(left["device"]) & set(right["device"]):
            keys = [k for k in KEYS if k not in ("device", *CPU_ONLY)]
    merged = left[[*keys, "row_a"]].merge(right[[*keys, "row_b"]], on=keys, how="outer", indicator="side")
    rows_a, rows_b = records_of(a.pairs), records_of(b.pairs)
    both = merged[merged["side"] == "both"].sort_values(["row_a", "row_b"])
    same_run = a.run_id == b.run_id
    matches = [
        _match(rows_a[int(i)], rows_b[int(j)], keys, a.timing.confidence, margin, same_run)
        for i, j in zip(both["row_a"], both["row_b"], strict=True)
    ]
    only_a = sorted(int(i) for i in merged.loc[merged["side"] == "left_only", "row_a"])
    only_b = sorted(int(i) for i in merged.loc[merged["side"] == "right_only", "row_b"])
    return Comparison(
        a=a,
        b=b,
        margin=margin,
        keys=tuple(keys),
        matches=tuple(matches),
        only_a=tuple(rows_a[i] for i in only_a),
        only_b=tuple(rows_b[i] for i in only_b),
        differences=tuple(_differences(a, b)),
    )


def judge(ratio: Interval, margin: float) -> Verdict:
    """The verdict on an interval of ln(ratio) at a margin such as 0.05, which means 1 / 1.05 to 1.05."""
    edge = math.log1p(margin)
    if ratio.low > edge:
        return "FASTER"
    if ratio.high < -edge:
        return "SLOWER"
    return "SAME" if -edge <= ratio.low and ratio.high <= edge else "AMBIGUOUS"


def _keyed(run: Run) -> pd.DataFrame:
    side = run.pairs[list(KEYS)].copy()
    side["row_a"] = side["row_b"] = range(len(side))
    return side


def _match(a: Record, b: Record, keys: Sequence[str], confidence: float, margin: float, same_run: bool) -> Match:
    key = {k: a[k] for k in keys}
    if not (plots.measured(a) and plots.measured(b)):
        return Match(key, a, b, None, None, None, "NOT MEASURED")
    ratio = statistics.difference(_interval(a), _interval(b), confidence)
    if same_run and ratio.mean == 0:  # not two samples but one, so nothing is left to chance
        ratio = Interval(ratio.mean, 0.0, ratio.n)
    several = math.isfinite(ratio.half_width)
    low, high = (math.exp(ratio.low), math.exp(ratio.high)) if several else (None, None)
    return Match(key, a, b, math.exp(ratio.mean), low, high, judge(ratio, margin))


def _interval(row: Record) -> Interval:
    width = math.inf if row["precision"] is None else float(row["precision"])
    return Interval(math.log(row["speedup"]), width, int(row["processes"]))


def _differences(a: Run, b: Run) -> Iterable[Difference]:
    """What differs in the surroundings, from the nearest cause of another time to the farthest."""
    for name, path in FACTS:
        one, two = (_dig(run.environment, path) for run in (a, b))
        if one != two:
            yield Difference(name, one, two)
    for name in ("device_name", "device", "threads", "experiment"):
        one, two = (", ".join(dict.fromkeys(str(v) for v in run.pairs[name].dropna())) for run in (a, b))
        if one != two:
            yield Difference(name.replace("_", " "), one, two)
    if a.plan is not None and b.plan is not None:
        mine, theirs = a.timing.model_dump(), b.timing.model_dump()
        for name in mine:
            if mine[name] != theirs[name] and name != "seed":
                yield Difference(f"timing {name}", str(mine[name]), str(theirs[name]))


def _dig(data: Any, path: str) -> str:
    for part in path.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return "unknown" if data is None else str(data)


def headline(found: Comparison) -> str:
    """The comparison in a sentence: `Speedups in B against A: 57 same, 1 slower of 58 rows`."""
    total = len(found.matches)
    if not total:
        return "No row is in both runs"
    words = [f"{n} {v.lower()}" for v, n in found.counts.items() if n]
    return f"Speedups in B against A: {', '.join(words)} of {total} row{'s' if total != 1 else ''}"


def show(found: Comparison, file: TextIO | None = None) -> None:
    """Print what differs between the runs, the rows that changed (the largest change first) and the count."""
    console = console_on(file or sys.stdout)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(f"A  {found.a.run_id}\nB  {found.b.run_id}")
    for d in found.differences:
        say(f"differs: {d.name}: {d.a} in A, {d.b} in B")
    rows = sorted(found.matches, key=lambda m: (VERDICTS.index(m.verdict), -abs(math.log(m.ratio or 1))))
    if rows:
        header, *lines = table(rows[:MOST_ROWS])
        print_table(console, header, lines, 2)
    if len(rows) > MOST_ROWS:
        say(f"{len(rows) - MOST_ROWS} more rows, changed by less or not at all: see --json")
    say(f"{headline(found)}; the margin is {found.margin * 100:g} %")
    for name, missing in (("A", found.only_a), ("B", found.only_b)):
        if missing:
            first = ", ".join(str(r["trial_id"]) for r in missing[:3])
            say(f"only in {name}: {len(missing)} row{'s' if len(missing) != 1 else ''}: {first}{', ...' if len(missing) > 3 else ''}")  # fmt: skip


def table(matches: Sequence[Match]) -> list[tuple[str, ...]]:
    """Matches as text, the header first: the trial and block, both speedups, their ratio with its interval."""
    lines: list[tuple[str, ...]] = [("trial", "block", "A", "B", "B / A", "verdict")]
    for m in matches:
        ratio = "" if m.ratio is None else times(m.ratio, 0.01)
        if m.ratio is not None and m.ratio_ci_low is not None and m.ratio_ci_high is not None:
            ratio = spanned(m.ratio, m.ratio_ci_low, m.ratio_ci_high, 0.01)
        lines.append((str(m.a["trial_id"]), str(m.a["block"]), cell(m.a), cell(m.b), ratio, m.verdict))
    return lines


def draw(found: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write compare.png and compare.svg into `folder`; nothing where no row was measured in both."""
    figure = picture(found)
    return () if figure is None else style.save(figure, folder, "compare")


def picture(found: Comparison) -> Figure | None:
    """Both runs' speedups on the same axes, A hollow and B filled, a panel per kernel; the cells that changed ringed where they are few."""
    matches = [m for m in found.matches if m.ratio is not None and m.a["kernel"] is not None]  # blocks, as in the plots
    if not matches:
        return None
    rows = [m.a for m in matches]
    facets = lay_out(rows, ignore=() if "device" in found.keys else ("device",))
    places = [(g, k) for g in facets.groups for k in plots.kernels(rows, g, facets)]
    figure, axes = style.panels(len(places), plots.columns(places))
    channels = Channels.of(rows)
    bounds = plots.speedup_limits([*rows, *(m.b for m in matches)])
    changed = sum(m.verdict in CHANGED for m in matches)
    ring = 0 < changed <= len(matches) / 3  # where most changed, rings would single out nothing
    for axis, (group, kernel) in zip(axes, places, strict=True):
        here = [m for m in matches if facets.group(m.a) == group and m.a["kernel"] == kernel]
        present = [s for s in facets.series if any(facets.line(m.a) == s for m in here)]
        for i, line in enumerate(present):
            mine = sorted((m for m in here if facets.line(m.a) == line), key=lambda m: channels.at(m.a))
            _draw_series(axis, mine, channels, style.look(facets.series.index(line)), i, len(present), ring)
        plots.finish_speedup(axis, channels, bounds, plots.panel_name(group, kernel))
    plots.label_outer(axes, plots.columns(places), "speedup (above 1x: faster)")
    handles: list[Artist] = list(plots.series_handles(facets)) if len(facets.series) > 1 else []
    handles += [
        style.proxy("A", style.FAINT, "o", hollow=True),
        style.proxy("B", style.FAINT, "o"),
        style.proxy("1x: equally fast", style.FAINT, line="-"),
    ]
    if ring:
        handles.append(_ring(f"changed by more than {found.margin * 100:g} %"))
    differ = " · ".join(f"{d.name}: {d.a} in A, {d.b} in B" for d in found.differences[:4])
    how = f"bars: {found.a.timing.confidence * 100:g} % interval over processes (Student's t)"
    style.frame(figure, headline(found), f"A: {found.a.run_id} · B: {found.b.run_id} · {how}", handles, differ)
    return figure


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
    axis.plot([x for x, _ in changed], [y for _, y in changed], ls="", marker="o", ms=12, mfc="none", mec=style.INK, mew=1.2, zorder=5)  # fmt: skip


def _ring(text: str) -> Line2D:
    """The mark around a changed cell."""
    return Line2D([], [], ls="", marker="o", ms=12, mfc="none", mec=style.INK, mew=1.2, label=text)
