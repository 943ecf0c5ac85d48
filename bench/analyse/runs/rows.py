"""Rows of a run's tables as plain dicts, and how each was run in words."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, Literal, TypeVar
from weakref import ref

import numpy as np
import pandas as pd

from bench.analyse.stats.estimators import Floats
from bench.spec.columns import cell_of
from bench.spec.config.timing import MOST_PROCESSES
from bench.spec.devices.device_names import in_words, is_cpu

Record = Mapping[str, Any]
T = TypeVar("T")
K = TypeVar("K")

USUAL: Mapping[str, Any] = {
    "dtype": "fp32",
    "layout": "contiguous",
    "mode": "eager",
    "pass": "inference",
    "allocator": "retain",
    "waiting": "default",
    "cudnn_benchmark": "on",
}
"""How a block is run by default; what an older table leaves empty counts as this."""

_LEFT_OUT_IF_USUAL = ("dtype", "mode", "pass", "allocator", "waiting")  # of a label


def as_csv(frame: pd.DataFrame, header: bool = True) -> str:
    """A frame as CSV, floats with all their digits, empty where a value is missing; its texts are no formulas (`cell_of`)."""
    quoting: Literal[0, 2] = csv.QUOTE_MINIMAL
    for name in frame.columns:
        column = frame[name]
        may = column.dtype in ("string", "object", "category")
        texts = [v for v in column.unique() if isinstance(v, str)] if may else []
        cells = {text: cell_of(text) for text in texts if cell_of(text) != text}
        if cells:
            frame = frame.assign(**{name: column.astype(object).replace(cells)})
        if any("\r" in text for text in texts):
            quoting = csv.QUOTE_NONNUMERIC  # the least would leave it bare, and readers would end the row there
    return str(frame.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting))


def records_of(frame: pd.DataFrame) -> list[Record]:
    """A frame's rows as plain dicts, with None for what is missing. They are kept as long as the frame, which nobody changes."""
    kept = _RECORDS.get(id(frame))
    if kept is not None and kept[0]() is frame:
        return list(kept[1])
    names = [str(name) for name in frame.columns]
    # Column by column: pandas' own to_dict takes five times as long for a frame of few rows.
    columns = [
        [None if missing else value for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True)]
        for column in (frame[name] for name in frame.columns)
    ]
    records: list[Record] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    at = id(frame)
    _RECORDS[at] = (ref(frame, lambda _: _RECORDS.pop(at, None)), records)
    return list(records)


_RECORDS: dict[int, tuple[ref[pd.DataFrame], list[Record]]] = {}


def log_by_process(row: Record) -> dict[Hashable, float]:
    """ln(speedup) of a row of pairs.csv in each process, by the process; empty where the row does not say.

    All trials of the same surroundings run in the same processes.
    """
    place = tuple(row[name] for name in ("run_id", "device", "threads", "allocator", "waiting"))
    pairs = (each.split(":") for each in (row.get("speedup_by_process") or "").split())
    return {(*place, replicate): math.log(float(speedup)) for replicate, speedup in pairs}


def by_process(texts: pd.Series, name: str) -> dict[str, Floats]:
    """Of texts such as `1:2.04 2:1.98`: the values in each process, as columns `NAME 1`, `NAME 2`; nan where there is none.

    ValueError for another text, for a value that is not above 0, and for processes that are not in order from 0 to MOST_PROCESSES.
    """
    known = texts.dropna()
    if known.empty:
        return {}
    counts = np.array([text.count(":") for text in known], dtype=np.int64)
    lines = BytesIO(" ".join(known.tolist()).replace(" ", "\n").encode())
    table = pd.read_csv(lines, sep=":", header=None, dtype=np.float64, names=["process", "value"], index_col=False)
    process, value = (table[column].to_numpy() for column in table)
    fits = (
        (value >= 1e-30)
        & (value <= 1e30)
        & (process >= 0)
        & (process <= MOST_PROCESSES)
        & (np.floor(process) == process)
    )
    if len(value) != counts.sum() or not fits.all():
        raise ValueError(name)
    falls = np.diff(process, prepend=-1) <= 0
    falls[(np.cumsum(counts) - counts)[counts > 0]] = False  # the first of a row
    if falls.any():
        raise ValueError(name)
    row, process = np.repeat(np.flatnonzero(texts.notna()), counts), process.astype(np.int64)
    found = {}
    for one in np.flatnonzero(np.bincount(process)).tolist():
        found[f"{name} {one}"] = column = np.full(len(texts), np.nan)
        column[row[process == one]] = value[process == one]
    return found


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by their key, in the order in which the keys first occur."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def place_label(row: Record, but: Sequence[str] = ()) -> str:
    """How a row was run, in words: `cpu, 1 thread, channels_last`; what is usual goes unsaid, and so do the fields `but`."""
    words = [] if "device" in but else [in_words(row["device"])]
    if "threads" not in but and is_cpu(row["device"]):
        words.append(f"{row['threads']} thread{'s' if row['threads'] != 1 else ''}")
    words += [] if "layout" in but else [str(row["layout"])]
    for name in _LEFT_OUT_IF_USUAL:
        if name not in but and row[name] != USUAL[name]:
            words.append(f"{name} {row[name]}" if name in ("allocator", "waiting") else str(row[name]))
    return ", ".join(words)
