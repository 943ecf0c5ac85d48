"""Comparisons and histories as data: --json and --csv."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from json.encoder import encode_basestring_ascii as text_of
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd

from bench.analyse.compare.change_points import History
from bench.analyse.compare.ci_gate import Gate
from bench.analyse.compare.facts import BETTER, VALUES, VERDICTS, Comparison, MeanRatio, QuantityComparison
from bench.analyse.runs.rows import Record
from bench.analyse.runs.rows import as_csv as as_csv_text
from bench.spec.columns import KEYS

_SHARED = tuple(k for k in KEYS if k != "device")
_CHUNK = 20_000  # rows that are written at once


def as_json(comparisons: Sequence[Comparison], gate: Gate | None = None) -> Iterator[str]:
    """JSON in parts, of the same shape for two runs and for more; null where there is no number.

    `gate` is null without --fail-on. Every ratio is B / A; `better` is the side of 1 on which B is better.
    """
    first, rows, later = comparisons[0], list[Iterator[str]](), uuid4().hex  # a word that no run can hold
    data = {
        "a": first.a.run_id,
        "margin": first.margin,
        "correction": first.correction,
        "confidence": first.a.timing.confidence,
        "gate": None if gate is None else gate.to_dict(),
        "comparisons": [_comparison(c, rows, later) for c in comparisons],
    }
    head, *tails = json.dumps(data, indent=2, allow_nan=False).split(f'"{later}"')
    yield head
    for lines, tail in zip(rows, tails, strict=True):
        yield "["
        for i, line in enumerate(lines):
            yield (",\n" if i else "\n") + line
        yield f"]{tail}"
    yield "\n"


def history_to_dict(history: History) -> dict[str, Any]:
    """Plain data for --history --json."""
    runs = zip(history.runs, history.started, history.means, strict=True)
    return {
        "quantity": history.quantity,
        "better": BETTER[history.quantity],
        "margin": history.margin,
        "rows": [
            {**_named(r), "ratios_to_first": np.exp(history.logs[:, i] - history.logs[0, i]).tolist()}
            for i, r in enumerate(history.rows)
        ],
        "left_out": history.left_out,
        "runs": [
            {"run_id": run.run_id, "started_utc": started, "torch": run.environment.get("torch"), "mean_ratio_to_first": math.exp(mean)}
            for run, started, mean in runs
        ],
        "changes": [
            {
                "run_id": history.runs[c.at].run_id,
                "p": c.p,
                "mean_after_over_before": math.exp(c.mean.mean),
                "rows": [{**_named(s.row), "after_over_before": math.exp(s.log.mean), "verdict": s.verdict} for s in c.shifts],
                "differences": [asdict(d) for d in c.differences],
            }
            for c in history.changes
        ],
    }  # fmt: skip


def as_csv(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """In parts: a line per row of all comparisons, rows of one run only at the end of each quantity; empty where there is no number."""
    every = [(c, q) for c in comparisons for q in c.quantities]
    heads = [head for c, q in every for head in (_matched(c, q, slice(0)), _alone(c, q, "a", slice(0)))]
    names = list(dict.fromkeys(str(name) for head in heads for name in head))
    yield ",".join(names) + "\n"
    for c, q in every:
        matched = (_matched(c, q, part) for part in _parts(len(q.rows.a)))
        alone = (
            _alone(c, q, side, part) for side, rows in (("a", q.only_a), ("b", q.only_b)) for part in _parts(len(rows))
        )
        for part in chain(matched, alone):
            yield as_csv_text(part.reindex(columns=names), header=False)


def _comparison(c: Comparison, rows: list[Iterator[str]], later: str) -> dict[str, Any]:
    """Plain data, with the word `later` in the place of each list of rows, which is added to `rows`."""
    return {
        "b": c.b.run_id,
        "same_run": c.same_run,
        "keys": list(c.keys),
        "noise_bands": {"a": c.bands[0], "b": c.bands[1]},
        "differences": [asdict(d) for d in c.differences],
        "times_not_compared": c.apart or None,
        "speedups": None if c.speedups is None else _quantity(c.speedups, rows, later),
        "times": None if c.times is None else _quantity(c.times, rows, later),
    }


def _quantity(compared: QuantityComparison, rows: list[Iterator[str]], later: str) -> dict[str, Any]:
    rows.append(_objects(_rows(compared, part) for part in _parts(len(compared.rows.a))))
    alone = (compared.only_a, compared.only_b)
    rows.extend(_objects(map(only[KEYS].iloc.__getitem__, _parts(len(only)))) for only in alone)
    return {
        "better": BETTER[compared.quantity],
        "counts": compared.counts,
        "family": compared.family,
        "geometric_mean": _ratio(compared.mean) if compared.number else None,
        "by_block": {block: _ratio(mean) for block, mean in compared.by_block.items()},
        "rows": later,
        "only_a": later,
        "only_b": later,
    }


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, count, _CHUNK)]


def _objects(frames: Iterable[pd.DataFrame]) -> Iterator[str]:
    """The rows of frames as JSON objects, without the brackets of their list; numbers have twelve digits."""
    for frame in frames:
        columns = {str(name): _cells(frame[name]) for name in frame}
        line = "{" + ", ".join(f'"{name}": {form}' for name, (form, _) in columns.items()) + "}"
        varying = [values for _, values in columns.values() if values]
        yield from (line % row for row in zip(*varying, strict=True)) if varying else [line % ()] * len(frame)


def _cells(column: pd.Series) -> tuple[str, list[Any]]:
    """A column as JSON: how a value is written (`%.12g`), and the values; of equal ones the word itself and nothing."""
    if column.dtype in (np.float64, pd.Float64Dtype()):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if not np.isnan(values).any():
            first = f"{values[0]:.12g}"
            return (first, []) if (values == values[0]).all() else ("%.12g", values.tolist())
        words = ["null" if math.isnan(v) else f"{v:.12g}" for v in values.tolist()]
    elif column.name == "differs":
        words = [json.dumps(v, default=lambda one: one.item()) if v else "{}" for v in column]
    else:
        codes, different = pd.factorize(column)
        known = [
            text_of(v) if type(v) is str else json.dumps(v.item() if isinstance(v, np.generic) else v)
            for v in different
        ]
        known.append("null")
        words = np.array(known, dtype=object)[codes].tolist()
    return (words[0].replace("%", "%%"), []) if words.count(words[0]) == len(words) else ("%s", words)


def _ratio(of: MeanRatio) -> dict[str, float | None]:
    low, high = of.ends or (None, None)
    return {"b_over_a": of.ratio, "b_over_a_ci_low": low, "b_over_a_ci_high": high}


def _rows(compared: QuantityComparison, part: slice) -> pd.DataFrame:
    """Matches: A's workload, both sides' values, their ratio, the verdict; `differs` is a dict of both values by field."""
    r = compared.rows
    a, b = (rows.iloc[at[part]].reset_index(drop=True) for rows, at in ((compared.a, r.a), (compared.b, r.b)))
    names = ("trial_id", "device", "status", "processes", *VALUES[compared.quantity])
    mean, half = r.log.mean[part], np.where(np.isfinite(r.log.half_width[part]), r.log.half_width[part], np.nan)
    logs = {"b_over_a": mean, "b_over_a_ci_low": mean - half, "b_over_a_ci_high": mean + half, "edge": r.edge[part]}
    differs = [
        {f: [a[f][i], b[f][i]] for f in r.ways[way]} if way else {} for i, way in enumerate(r.way[part].tolist())
    ]
    return pd.DataFrame({
        **{k: a[k] for k in _SHARED},
        **{f"{name}_{side}": rows[name] for side, rows in (("a", a), ("b", b)) for name in names},
        **{name: np.exp(log) for name, log in logs.items()},
        "p": r.p[part],
        "p_adjusted": r.p_adjusted[part],
        "verdict": np.array(VERDICTS, dtype=object)[r.verdict[part]],
        "differs": pd.Series(differs, dtype=object),
    })  # fmt: skip


def _matched(c: Comparison, compared: QuantityComparison, part: slice) -> pd.DataFrame:
    rows, ends = _rows(compared, part), ("", "_ci_low", "_ci_high")
    values = {
        f"{name}_{s}": f"{s}{end}" for s in "ab" for name, end in zip(VALUES[compared.quantity], ends, strict=True)
    }
    differs = ["; ".join(f"{f}: {one} in A, {two} in B" for f, (one, two) in of.items()) for of in rows["differs"]]
    rows = rows.assign(**_named_runs(c, compared), differs=differs).rename(columns=values)
    first = [*_named_runs(c, compared), "verdict", "differs"]
    return rows[[*first, *(n for n in rows if n not in (*first, *values.values())), *values.values()]]


def _alone(c: Comparison, compared: QuantityComparison, side: str, part: slice) -> pd.DataFrame:
    some = (compared.only_a if side == "a" else compared.only_b).iloc[part]
    places = some[["trial_id", "device", "status"]].add_suffix(f"_{side}")
    return pd.concat([some[list(_SHARED)], places], axis=1).assign(**_named_runs(c, compared), verdict=f"ONLY IN {side.upper()}")  # fmt: skip


def _named_runs(c: Comparison, compared: QuantityComparison) -> dict[str, str]:
    return {
        "run_a": c.a.run_id,
        "run_b": c.b.run_id,
        "quantity": compared.quantity,
        "better": BETTER[compared.quantity],
    }


def _named(r: Record) -> dict[str, Any]:
    return {"trial_id": r["trial_id"], "block": r["block"]}
