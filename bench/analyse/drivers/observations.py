"""Read a table of observations (counts and seconds): a CSV of anyone's, a timm benchmark, or one of our runs.

A row is one evaluation of a network or a block. Its counts are totals for the whole batch; a cell is empty where the
number is unknown. docs/DRIVERS.md lists the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse.drivers import csv_cells, timm_tables
from bench.analyse.runs import run_folder
from bench.analyse.runs.rows import USUAL, records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.columns import MEASURED, WITH_NUMBERS
from bench.spec.errors import UserError

LABELS = ("source", "device", "device_kind", "dtype", "layout", "mode", "pass")
PREDICTORS = ("macs", "activations", "conv_layers")
COUNTS = (*PREDICTORS, "ops")
OUR_TIMES = ("time_min_s", "time_median_s")
"""Time columns of our tables; the first that a table has is used. Disturbance moves the minimum least."""
SECONDS, COUNT = (1e-12, 1e9), (1e-6, 1e24)  # beyond them a cell holds a slip, not a measurement

_HELP = "Give a table of observations (docs/DRIVERS.md lists its columns), a results folder or its measurements.csv."


@dataclass(frozen=True, slots=True)
class Observation:
    """One row. `labels` by LABELS, empty where unknown; `counts` by COUNTS, None where unknown; seconds.

    Rows of ours may have a column `bound`, a `roof` and the share of it that they `attained`. `batch`: its images or items in words, or
    empty; not of ours, where it is part of the mode.
    """

    labels: Mapping[str, str]
    counts: Mapping[str, float | None]
    time_s: float
    name: str = ""
    bound: str = ""
    roof: str = ""
    attained: float | None = None
    batch: str = ""


@dataclass(frozen=True, slots=True)
class Observations:
    """A table, and how many of its rows were not measured (skipped or failed, or without a time).

    `asked`: counts that the user gave in a file of their own: rows without them are left out, not the counts. `notes`:
    sentences about the table.
    """

    place: str
    rows: tuple[Observation, ...]
    not_measured: int = 0
    asked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read(path: Path, layers: Path | None = None) -> Observations:
    """A table of observations, a benchmark of timm's as published, a results folder, or the measurements.csv of one.

    `layers` is a table of layers for a benchmark of timm's. UserError, with the line where there is one, for a file
    that can't be read, a missing column, a cell that is no number or out of range, and a table without a measured row.
    """
    table = of_run(run_folder.read(path)) if path.is_dir() else _table(path, layers)
    if path.is_dir() and layers is not None:
        raise _no_layers(layers, path)
    if not table.rows:
        why = f"none of its {table.not_measured} rows was measured" if table.not_measured else "it has no rows"
        raise UserError(str(path), why, _HELP)
    return table


def of_run(run: Run) -> Observations:
    """The measured rows of a run."""
    rows = [_from_ours(r, f"{run.folder}: {r['arm_id']}") for r in records_of(run.measurements)]
    return _without_unmeasured(str(run.folder), rows)


def of_records(records: Iterable[Mapping[str, Any]]) -> list[Observation]:
    """Rows of measurements.csv with numbers, predicted ones too."""
    return [_ours(r, str(r["arm_id"])) for r in records if r["status"] in WITH_NUMBERS]


def _table(path: Path, layers: Path | None) -> Observations:
    lines = csv_cells.lines(path, _HELP, {*COUNTS, "time_s", *OUR_TIMES, *_OUR_NAMES.values(), *timm_tables.NUMBERS})
    header = next(lines, (1, {}))[1]
    if "time_s" not in header and timm_tables.recognises(header):
        return _timm(path, header, lines, layers)
    if layers is not None:
        raise _no_layers(layers, path)
    if "time_s" in header:
        convert = _from_theirs
    elif any(name in header for name in OUR_TIMES) and "status" in header:
        convert = _from_ours
    else:
        raise UserError(f"{path}: time_s", f"there is no such column among {csv_cells.first_names(header)}", _HELP)
    known = [name for name in PREDICTORS if name in header or _OUR_NAMES.get(name) in header]
    if not known:
        rule = f"none of these is among the columns {csv_cells.first_names(header)}"
        raise UserError(f"{path}: {', '.join(PREDICTORS)}", rule, _HELP)
    return _without_unmeasured(str(path), [convert(row, f"{path}:{line}") for line, row in lines])


def _timm(path: Path, header: Mapping[str, str], lines: Iterable[tuple[int, dict[str, str]]], layers: Path | None) -> Observations:  # fmt: skip
    if layers is None and not timm_tables.knows_counts(header):
        raise UserError(f"{path}: infer_gmacs, infer_macts", f"neither is among the columns {csv_cells.first_names(header)}", "Give a table of its networks' layers by --layers.")  # fmt: skip
    known = timm_tables.read_layers(layers) if layers else {}
    labels = timm_tables.labels_of(path)
    by_row = [list(timm_tables.timed(row, f"{path}:{line}", labels, known)) for line, row in lines]
    timed = [r for several in by_row for r in several]
    return Observations(
        str(path),
        tuple(Observation(r.labels, r.counts, r.time_s, r.name, batch=r.batch) for r in timed),
        not_measured=sum(not several for several in by_row),
        asked=("conv_layers", "ops") if layers else (),
        notes=timm_tables.notes(timed, layers),
    )


def _no_layers(layers: Path, path: Path) -> UserError:
    return UserError(f"--layers {layers}", f"{path} is no benchmark of timm's", "Leave --layers out: any other table has its counts in its own columns.")  # fmt: skip


def _without_unmeasured(place: str, rows: list[Observation | None]) -> Observations:
    kept = tuple(r for r in rows if r is not None)
    return Observations(place, kept, len(rows) - len(kept))


def _from_theirs(row: Mapping[str, Any], at: str) -> Observation | None:
    labels = {k: str(row.get(k) or "") for k in LABELS}
    name, batch = (str(row.get(k) or "") for k in ("network", "batch"))
    return Observation(labels, _counts(row, {}, at), _time(row, "time_s", at), name, batch=batch)


_OUR_NAMES = {"conv_layers": "layers"}


def _from_ours(row: Mapping[str, Any], at: str) -> Observation | None:
    """A row of measurements.csv; None for one that was not measured."""
    return _ours(row, at) if row.get("status") in MEASURED else None


def _ours(row: Mapping[str, Any], at: str) -> Observation:
    device, name = str(row.get("device") or ""), str(row.get("device_name") or "")
    if device == "cpu":
        threads = str(row.get("threads") or "")
        words = [name or device, f"{threads} thread{'s' if threads != '1' else ''}" if threads else ""]
    else:
        words = [f"{name} ({device})" if name else device]
    usual = {"batch": 1, **{name: USUAL[name] for name in ("allocator", "waiting", "cudnn_benchmark")}}
    unusual = [f"{k} {row[k]}" for k, value in usual.items() if str(row.get(k) or value) != str(value)]
    labels = {
        "source": str(row.get("run_id") or ""),
        "device": ", ".join(filter(None, words)),
        "device_kind": "cpu" if device == "cpu" else "gpu" if device else "",
        **{name: str(row.get(name) or "") for name in ("dtype", "layout", "pass")},
        "mode": ", ".join([str(row.get("mode") or ""), *unusual]),
    }
    time = next((t for t in OUR_TIMES if row.get(t) not in (None, "")), OUR_TIMES[0])
    nonzero = {name: value for name, value in row.items() if value not in (0, "0")}  # 0 has no logarithm
    counts = _counts(nonzero, _OUR_NAMES, at)
    attained = csv_cells.number(nonzero, "attainable_share", at, *COUNT)
    arm, bound, roof = (str(row.get(k) or "") for k in ("arm_id", "bound", "roof"))
    return Observation(labels, counts, _time(row, time, at), arm.partition("/")[2], bound, roof, attained)


def _counts(row: Mapping[str, Any], names: Mapping[str, str], at: str) -> dict[str, float | None]:
    return {c: csv_cells.number(row, names.get(c, c), at, *COUNT) for c in COUNTS}


def _time(row: Mapping[str, Any], column: str, at: str) -> float:
    seconds = csv_cells.number(row, column, at, *SECONDS, "seconds", optional=False)
    if seconds is None:
        raise UserError(f"{at}: {column}", "it is empty", "Give the seconds of one evaluation, or leave the row out.")
    return seconds
