"""A page's table of rows: which columns it needs, how a cell is written and by what it is sorted."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.columns import BY_NAME
from bench.spec.format import in_seconds, percent, share, times

MOST_ROWS = 240  # of a page's table: more are a file's
SHAPE = "experiment block c_in c_out kernel height width batch depth stride padding dilation groups".split()
WAY = "device threads dtype mode layout pass allocator waiting cudnn_benchmark baseline".split()
_ECHOES = {"c_out": "c_in", "width": "height", "groups": "c_in"}  # said already where all rows have the same in both
_WHOLE = {"c_in": ("c_out", "channels"), "height": ("width", "size")}  # what one is called without the other
_ANSWER = "verdict speedup speedup_ci_low speedup_ci_high".split()
_FOUND = "device_speedup mac_ratio delivered_share layer_ratio".split()
_TIMES = ("baseline_time_s", "block_time_s")
_TRUST = "status precision processes rounds flagged_share quality_notes status_detail".split()
_RAW = {*"device_speedup layer_ratio baseline experiment allocator waiting cudnn_benchmark".split(), *_TRUST[1:]}
_ALWAYS = {"block", "c_in", "kernel", "status", "verdict", "speedup", "speedup_ci_low", "speedup_ci_high", "mac_ratio", *_TIMES}  # fmt: skip
FILTERS = ("run_id", "experiment", "block", "device", "status", "verdict")  # where their values differ
_OWN = {  # columns that no file has
    "baseline_time_s": ("s", "time_median_s of the baseline, from measurements.csv"),
    "block_time_s": ("s", "time_median_s of the block, from measurements.csv"),
}
_HEADS = {
    "run_id": "run", "c_in": "in", "c_out": "out", "speedup_ci_low": "low", "speedup_ci_high": "high", "precision": "± (ln)",
    "device_speedup": "on the device", "mac_ratio": "MAC ratio", "delivered_share": "achieved", "layer_ratio": "layers", "flagged_share": "flagged",
    "baseline_time_s": "baseline", "block_time_s": "time", "quality_notes": "notes", "status_detail": "detail",
    "cudnn_benchmark": "cuDNN's search",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page's table. `tip` says what it means, in the words of the registry."""

    name: str
    head: str
    tip: str
    number: bool
    raw: bool = False  # shown on demand


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, the number that it is sorted by where the text is none, and of an answer its class in the style sheet."""

    text: str
    sort: str | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A row with its status, by which it is coloured."""

    status: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows. `same` are the columns that have one value in all of them, `filters` the columns (by place) to choose from."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    same: tuple[tuple[str, str], ...]
    filters: tuple[tuple[int, str, tuple[str, ...]], ...]
    left_out: int = 0


def table(run: Run) -> Table:
    """The pairs of a run in the order of its plan; of over MOST_ROWS, those whose speedup is farthest from 1x."""
    far = np.abs(np.log(run.pairs["speedup"].to_numpy(dtype=np.float64, na_value=1.0)))
    shown = run.pairs.iloc[np.sort(np.argsort(-far, kind="stable")[:MOST_ROWS])]
    measured = run.measurements[run.measurements["trial_id"].isin(shown["trial_id"])]
    arms = {(r["trial_id"], r["block"]): r["time_median_s"] for r in records_of(measured)}
    rows: list[dict[str, Any]] = []
    for r in records_of(shown):
        both = (arms.get((r["trial_id"], r[name])) for name in ("baseline", "block"))
        rows.append({**r, **dict(zip(_TIMES, both, strict=True))})
    whose = ("run_id",) if len({r["run_id"] for r in rows}) > 1 else ()
    wanted = [*whose, "block", *_ANSWER, *(n for n in SHAPE if n != "block"), *WAY, *_FOUND, *_TIMES, *_TRUST]
    return replace(made(rows, wanted, _ALWAYS), left_out=len(run.pairs) - len(rows))


def made(
    rows: Sequence[Record],
    wanted: Sequence[str],
    always: Collection[str],
    more: Mapping[str, Column] | None = None,
    filters: Collection[str] = FILTERS,
) -> Table:
    """These columns of the rows, save what is the same in all of them; those of `always` are kept all the same.

    `more` are columns that are in no file, whose values are Cells. `filters`: columns to choose from.
    """
    every = [n for n in wanted if not _echoes(rows, n)]
    names = [n for n in every if n in always or _varies(rows, n)]
    same = [(n, next(_text(n, r[n]) for r in rows if r[n] is not None)) for n in every if n in (*SHAPE, *WAY) and n not in names and any(r[n] is not None for r in rows)]  # fmt: skip
    heads = {n: _WHOLE[n][1] if n in _WHOLE and _WHOLE[n][0] not in names else "" for n in names}
    columns = tuple(more[n] if more and n in more else _column(n, head) for n, head in heads.items())
    lines = tuple(Line(str(r["status"]), tuple(_cell(n, r[n]) for n in names)) for r in rows)
    choices = [(i, columns[i].head, tuple(dict.fromkeys(filter(None, (line.cells[i].text for line in lines))))) for i, n in enumerate(names) if n in filters]  # fmt: skip
    return Table(columns, lines, tuple((n, t) for n, t in same if t), tuple(c for c in choices if len(c[2]) > 1))


def _varies(rows: Sequence[Record], name: str) -> bool:
    """Whether rows differ in it, or for what was found only some have it; a network lacks most of a shape."""
    values = {r[name] for r in rows}
    return len(values - {None} if name in (*SHAPE, *WAY) else values) > 1


def _echoes(rows: Sequence[Record], name: str) -> bool:
    return name in _ECHOES and all(r[name] == r[_ECHOES[name]] for r in rows)


def _column(name: str, head: str = "") -> Column:
    known = BY_NAME.get(name)
    unit, meaning = (known.unit, known.meaning) if known else _OWN[name]
    number = name in _OWN or (known is not None and known.dtype in ("Int64", "Float64"))
    shown = unit and name not in _WORDS
    return Column(name, head or _HEADS.get(name, name.replace("_", " ")), f"{name}: {meaning}{f' ({unit})' if shown else ''}", number, name in _RAW)  # fmt: skip


def ratio_cell(value: float | None) -> Cell:
    """A ratio, sorted by its digits; empty for None."""
    return Cell("") if value is None else Cell(times(value, 0.01), f"{value:.6g}")


def _cell(name: str, value: Any) -> Cell:
    if isinstance(value, Cell):
        return value
    text = _text(name, value)
    plain = value is None or isinstance(value, str) or text == str(value)
    return Cell(text, None if plain else f"{value:.6g}")


def _text(name: str, value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return _WORDS[name](value) if name in _WORDS else str(value)


_WORDS: Mapping[str, Callable[[Any], str]] = {
    **dict.fromkeys((*_ANSWER[1:], "device_speedup", "mac_ratio"), lambda v: times(v, 0.01)),
    **dict.fromkeys(_TIMES, lambda v: in_seconds(v, 3)),
    "layer_ratio": lambda v: f"{v:g}x",
    "delivered_share": share,
    "precision": percent,
    "flagged_share": percent,
}
