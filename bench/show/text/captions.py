"""The small print under a picture: how its rows were measured or predicted, what its bars are, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.spec.columns import MEASURED, WITH_NUMBERS
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.format import listed, plural
from bench.spec.interval import LEAST_FOR_INTERVAL

PAIRED = "speedup: paired within rounds"
BARS = "bars: {level:g} % interval over processes"
FLOP = "FLOP = 2 x MAC, convolutions only"
_ERROR = "bars: the model's error, 95 % of data that it was not fitted to lie within it"


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
        few = bool(counts) and counts[-1] < LEAST_FOR_INTERVAL
        processes = f"{spent} process{'es' * (spent != '1')} a cell" if counts else ""
        processes += ", so no interval" if few and bars else ""
        level = "" if few else bars.format(level=run.timing.confidence * 100)
        lines.append([*_of(measured), f"torch {torch}" if torch else "", processes, how, level])
    if predicted:
        lines.append(["Predicted by a model, not measured", *_of(predicted), _ERROR if bars else ""])
    unfinished = any(r.from_journal and not (r.folder / "DONE").exists() for r in runs)
    date = _each(str(r.environment.get("started_utc") or "")[:10] for r in runs)
    lines[0] = ["INCOMPLETE RUN" if unfinished else "", *lines[0], marks, date, f"run {_each(r.run_id for r in runs)}"]
    return "\n".join(" · ".join(filter(None, line)) for line in lines)


def not_drawn(count: int, noun: str, table: str = "pairs.csv") -> str:
    """What a picture has no room for, `2 more places are not drawn: see pairs.csv.`; nothing of none."""
    verb = "is" if count == 1 else "are"
    return f"{plural(count, f'more {noun}')} {verb} not drawn: see {table}." if count > 0 else ""


def unswept(run: Run) -> str:
    """Whose rows no picture over channels holds, once for a page; nothing where all are swept over channels or kernels."""
    known = [r for r in records_of(run.pairs) if r["status"] in WITH_NUMBERS]
    swept, every = ({(r["run_id"], r["experiment"]): None for r in rows} for rows in (sweep_of_shapes(known), known))
    others = [
        f"{name} (run {letter})" if run.members else name for letter, name in every if (letter, name) not in swept
    ]
    return (
        f"Pictures over channels leave out what sweeps neither channels nor kernels: {listed(others)}. Other pictures and the table of all rows have it."
        if others
        else ""
    )


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
