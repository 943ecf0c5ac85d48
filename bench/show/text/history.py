"""The words of a history, each sentence once: the terminal, the page and the picture print these."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.analyse.compare.change_points import ENOUGH_RUNS, Change, History
from bench.show.text.compare import QUANTITIES, WAYS
from bench.show.text.terminal import print_lines, print_table
from bench.spec.format import interval, percent, times

MOST_SHIFTS = 8
TRUST = "A change point is an end of a stretch of runs whose mean over all rows differs by more than in 95 % of random orders of these runs. If runs drift, or are disturbed for days, it only shows that earlier and later runs differ. What else changed there need not be the cause."
HEAD = ("started (UTC)", "run", "torch", "mean", "")


def print_history(history: History) -> None:
    """Print the runs, the mean of each against the first, and the changes."""
    print_lines([f"{heading(history)}: geometric mean of {len(history.rows)} rows"])
    print_table(HEAD, steps(history), 3)
    print_lines(sentences(history))


def heading(history: History) -> str:
    """What is shown of each run."""
    return f"{QUANTITIES[history.quantity]} / that of the first run (above 1x: {WAYS[history.quantity][0]})"


def steps(history: History) -> list[tuple[str, ...]]:
    """Each run: when it was started, its name, its torch, its mean against the first run's, and whether it is a change point."""
    changed = {change.at for change in history.changes}
    return [
        (started, run.run_id, str(run.environment.get("torch") or "unknown"), times(math.exp(mean), 0.01), "changed" if i in changed else "")
        for i, (started, run, mean) in enumerate(zip(history.started, history.runs, history.means, strict=True))
    ]  # fmt: skip


def sentences(history: History) -> Iterator[str]:
    """What changed, when and in which rows, with what else changed there."""
    for change in history.changes:
        rows = ", ".join(f"{n} {verdict}" for verdict, n in change.counts.items())
        yield f"From {history.runs[change.at].run_id} on: {interval(change.mean)} of before, {_moved(history, change)} (p = {change.p:.3f}). Rows: {rows}."
        if change.moved:
            first = "; ".join(f"{s.row['trial_id']} {s.row['block']} {times(math.exp(s.log.mean), 0.01)}" for s in change.moved[:MOST_SHIFTS])  # fmt: skip
            more = len(change.moved) - MOST_SHIFTS
            yield f"Rows beyond the margin: {first}{f'; and {more} more' if more > 0 else ''}."
        for d in change.differences:
            yield f"Changed there too: {d.name}: {d.a} before, {d.b} after."
    if not history.changes:
        few = f" Fewer than {ENOUGH_RUNS} runs can't show one." if len(history.runs) < ENOUGH_RUNS else ""
        yield f"{title(history)}.{few}"
    if history.left_out:
        yield f"Rows left out, because a run did not measure them: {history.left_out}."


def title(history: History) -> str:
    """The largest change, or that there is none."""
    if not history.changes:
        return f"No change point in {len(history.runs)} runs"
    largest = max(history.changes, key=lambda c: abs(c.mean.mean))
    when = history.started[largest.at][:16].replace("T", " ")
    return f"{history.quantity.capitalize()}s are {_moved(history, largest)} from {when} on"


def _moved(history: History, change: Change) -> str:
    """How far the mean over rows moved: `11 % lower`."""
    return f"{percent(abs(math.expm1(change.mean.mean)))} {WAYS[history.quantity][change.mean.mean <= 0]}"


def footer(history: History) -> str:
    """The small print of the picture."""
    return f"{history.runs[0].run_id} to {history.runs[-1].run_id} · shaded: within {history.margin * 100:g} % · change points: {len(history.changes)}, by permutations of the runs at 5 %"
