"""The small print under a picture: how its rows were measured or predicted, what its bars are, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import unswept as no_sweep
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.format import listed, plural
from bench.spec.interval import LEAST_FOR_INTERVAL

PAIRED = "speedup: paired within rounds"
BARS = "bars: {level:g} % interval over processes"
FLOP = "FLOP = 2 x MAC, convolutions only"
_ERROR = "bars: the model's error, 95 % of data that it was not fitted to lie within it"
_NO_SWEEP = "Not drawn here, as no sweep of channels or kernels over one block: {}."


def footer(run: Run, rows: Sequence[Record], how: str = PAIRED, bars: str = BARS, marks: str = "") -> str:
    """A line about the measured rows and one about the predicted ones; of several runs about those alone that `rows` are of.

    `how` rows were measured, what the `bars` of measured rows are (empty without any), and what other `marks` mean.
    """
    letters = {r["run_id"] for r in rows}
    runs = [member for letter, member in run.members.items() if letter in letters] or [run]
    predicted = [r for r in rows if is_predicted(r["device"])]
    measured = [r for r in rows if not is_predicted(r["device"])]
    lines: list[list[str]] = []
    if measured or not predicted:
        torch = _each(r.environment.get("torch") for r in runs)
        counts = sorted({int(r["processes"]) for r in measured if r["status"] in MEASURED})
        spent = " to ".join(dict.fromkeys(str(n) for n in (*counts[:1], *counts[-1:])))
        few = not counts or counts[-1] < LEAST_FOR_INTERVAL
        processes = (
            f"{spent} process{'es' * (spent != '1')} a cell" + ", so no interval" * (few and bool(bars))
            if counts
            else ""
        )
        level = "" if counts and few else bars.format(level=run.timing.confidence * 100)
        lines.append([*_of(measured), f"torch {torch}" if torch else "", processes, how, level])
    if predicted:
        lines.append(["Predicted by a model, not measured", *_of(predicted), _ERROR if bars else ""])
    unfinished = any(r.from_journal and not (r.folder / "DONE").exists() for r in runs)
    date = _each(str(r.environment.get("started_utc") or "")[:10] for r in runs)
    lines[0] = ["INCOMPLETE RUN" if unfinished else "", *lines[0], marks, date, f"run {_each(r.run_id for r in runs)}"]
    return "\n".join(" · ".join(filter(None, line)) for line in lines)


def not_drawn(count: int, noun: str, table: str = "pairs.csv", of: str = "") -> str:
    """What a picture has no room for, `2 more places are not drawn: see pairs.csv.`; nothing of none."""
    verb = "is" if count == 1 else "are"
    return f"{plural(count, f'more {noun}')}{of} {verb} not drawn: see {table}." if count else ""


def unswept(run: Run) -> str:
    """Whose rows a picture of sweeps leaves out; nothing where it is of one run, or they are all of sweeps."""
    left = no_sweep(records_of(run.pairs)) if run.members else {}
    return _NO_SWEEP.format(of_runs(left)) if left else ""


def left_out(run: Run, rows: Sequence[Record], groups: int, table: str = "pairs.csv") -> str:
    """How many `groups` a picture of sweeps has no room for, and the experiments, or of several runs the rows, that it leaves to others."""
    others = [e for e in dict.fromkeys(run.pairs["experiment"]) if e not in {r["experiment"] for r in rows}]
    elsewhere = unswept(run) if run.members else _NO_SWEEP.format(listed(others)) if others else ""
    return " ".join(filter(None, (not_drawn(groups, "group", table), elsewhere)))


def of_runs(counts: Mapping[str, int]) -> str:
    """`run A's 12 rows and run B's 1 row`, of how many of each run's rows are meant."""
    return listed([f"run {letter}'s {plural(n, 'row')}" for letter, n in counts.items()])


def _of(rows: Sequence[Record]) -> list[str]:
    """The devices, and the settings that all rows share."""
    words = {"threads": "{} threads", "batch": "batch {}", "height": "{} pixels", "dtype": "{}", "pass": "{}"}
    if not any(is_cpu(r["device"]) for r in rows):
        del words["threads"]  # the host's do not shape a card's time
    seen = {name: {r[name] for r in rows} for name in words}
    fixed = [word.format(*seen[name]) for name, word in words.items() if len(seen[name]) == 1]
    names = ", ".join(dict.fromkeys(str(r["device_name"] or r["device"]) for r in rows))
    return [names, *("1 thread" if word == "1 threads" else word for word in fixed)]


def _each(words: Iterable[str | None]) -> str:
    return " and ".join(dict.fromkeys(filter(None, words)))
