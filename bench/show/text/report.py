"""A run on the terminal: the answer first, then ways down and channels across, what limits each way, and where to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import starmap, zip_longest
from pathlib import Path

from bench.analyse.drivers.limits import UNKNOWN
from bench.analyse.facts import RunFacts, Tally, facts_of
from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.runs.way_grid import WayGrid, is_plain, sweeps_of_channels
from bench.show.text import run_facts, terminal
from bench.show.text.ways import channels_word, way_labels, window_words
from bench.spec.format import interval, listed, plural, share

MOST_WAYS = 12  # in a table, unless it is wide
_COUNTS = {"faster": "faster", "slower": "slower", "=": "same", "?": "undecided", "no interval": "without_interval"}
Labels = Mapping[Condition, str]


def show(run: Run, page: Path, wide: bool = False) -> None:
    """Print a run; `wide` has every way with exact half-widths, in lines of any length."""
    facts = facts_of(run)
    width = terminal.WIDTH if wide else terminal.width()
    terminal.print_lines(terminal.wrapped(heads(run, facts), width))
    tables(facts, records_of(run.pairs), wide)
    more = [*run_facts.idle_lines(facts), *run_facts.trust_lines(facts)] if wide else run_facts.brief_trust(facts)
    every = "" if wide else f"\n      bench report {run.folder} --wide"
    terminal.print_lines(["", *terminal.wrapped(more, width), f"page  {page}", f"next  bench verdict {run.folder}{every}"])  # fmt: skip


def heads(run: Run, facts: RunFacts | None = None) -> list[str]:
    """The answer: the question, where it was measured, what alarms, and which block is faster where."""
    facts = facts or facts_of(run)
    alarms = filter(None, [terminal.incomplete(run), run_facts.predicted(facts)])
    return [*run_facts.question(facts), run_facts.made_on(run), *alarms, *run_facts.answer(facts)]


def tables(facts: RunFacts, pairs: Sequence[Record], wide: bool = False) -> None:
    """How each way fared and what limits it; then the speedups, ways down and channels across."""
    told = [t for t in facts.ways if t.cells or t.failed]
    labels = way_labels([t.way for t in told])
    shown = told if wide else _fullest([t for t in told if not t.network and is_plain(t.way)] or told)
    networks = [] if wide else [t for t in facts.places if t.network and t.cells]
    rest = [t for t in told if t not in shown and not (t.network and networks)]
    marks = _print_ways(shown, networks, labels, wide)
    terminal.print_lines([_rest(rest)] if rest else [])
    grids = sweeps_of_channels(pairs)
    if grids:
        marks += _print_channels(grids, {t.way for t in shown}, labels, wide)
        terminal.print_lines(terminal.explained(marks))
    else:
        others = [r for r in pairs if r["kernel"] is not None] or pairs
        header, *lines = terminal.pair_table(others)
        most = len(lines) if wide else terminal.MOST_ROWS
        terminal.print_lines([""])
        terminal.print_table(header, lines[:most], len(header) - 1)
        more = [f"{len(lines) - most} more rows: --wide"] if len(lines) > most else []
        terminal.print_lines([*more, *terminal.explained([line[-1] for line in lines[:most]] + marks)])


def _fullest(ways: Sequence[Tally]) -> list[Tally]:
    """MOST_WAYS of them: of each device in turn the next one with the most cells."""
    by_device = grouped(sorted(ways, key=lambda t: -t.cells), lambda t: t.way.device).values()
    in_turn = [t for turn in zip_longest(*by_device) for t in turn if t is not None][:MOST_WAYS]
    return [t for t in ways if t in in_turn]


def _print_ways(shown: Sequence[Tally], networks: Sequence[Tally], labels: Labels, wide: bool) -> list[str]:  # fmt: skip
    """A line for each way with its counts; of networks one for each, over all batches and sizes. Returns the header."""
    every, places = (*shown, *networks), way_labels([t.way for t in networks])
    several = len({t.block for t in shown}) > 1
    counted = {head: name for head, name in _COUNTS.items() if any(getattr(t, name) for t in every)}
    failed = any(t.failed for t in every)
    lines = []
    for t in every:
        label = labels.get(t.way, "") if t in shown else places[t.way] if len(places) > 1 else ""
        name = ", ".join(filter(None, [t.block if several or t.network else "", label]))
        counts = [str(getattr(t, n) or "-") for n in counted.values()]
        counts += [str(sum(t.failed.values()) or "-")] if failed else []
        limit = "" if t.limit.word == UNKNOWN else t.limit.word.removesuffix("-bound")
        part = "" if t.achieved is None else share(t.achieved)
        lines.append((name, *counts, interval(t.mean) if t.cells else "", limit, part))
    header = ("", *counted, *["failed"] * failed, "mean speedup", "limited by", "of MAC ratio")
    fits = len(header) - (not wide and terminal.wide_as([header, *lines]) > terminal.width())
    terminal.print_lines([""])
    terminal.print_table(header[:fits], [line[:fits] for line in lines], 1)
    return list(counted)


def _rest(rest: Sequence[Tally]) -> str:
    """The ways that have no line, by their counts: every row is in the table or in here."""
    sums = {name.replace("_", " "): sum(getattr(t, name) for t in rest) for name in _COUNTS.values()}
    counts = [f"{n} {name}" for name, n in sums.items() if n]
    return f"{plural(len(rest), 'more way')}: {listed(counts)} of {plural(sum(t.cells for t in rest), 'cell')} (--wide)"


def _print_channels(grids: Sequence[WayGrid], ways: set[Condition], labels: Labels, wide: bool) -> list[str]:  # fmt: skip
    """The speedups: ways down, channels across, kernel by kernel; channels that do not fit are left out. Returns the cells."""
    cells: list[str] = []
    for grid in grids:
        rows = {w: cells for w, cells in grid.rows.items() if w in ways}
        channels = [at for at in grid.channels if any(at in cells for cells in rows.values())]
        word = terminal.cell if wide else terminal.brief_cell
        table = [("", *starmap(channels_word, channels))]
        table += [(labels[w], *(word(held[at]) if at in held else "" for at in channels)) for w, held in rows.items()]
        kept = terminal.fitting(table, terminal.WIDTH if wide else terminal.width())
        header, *lines = ([line[i] for i in kept] for line in table)
        lines = [line for line in lines if any(line[1:])]
        cells += [cell for line in lines for cell in line[1:]]
        left = len(channels) + 1 - len(kept)
        more = f"; {plural(left, 'more number')} of channels: --wide" if left else ""
        what = "Predicted speedup" if all(w.predicted for w in rows) else "Speedup"
        terminal.print_lines(["", f"{what} by channels ({window_words(grid.first)}{more})"])
        terminal.print_table(header, lines, 1)
    return cells
