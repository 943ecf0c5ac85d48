"""Comparisons and histories as data: --json and --csv."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from bench.analyse.compare.change_points import History
from bench.analyse.compare.ci_gate import Gate
from bench.analyse.compare.facts import BETTER, VALUES, Comparison, Match, MeanRatio, QuantityComparison
from bench.analyse.runs import rows
from bench.analyse.runs.rows import Record
from bench.spec.columns import KEYS

_SHARED = tuple(k for k in KEYS if k != "device")


def to_dict(comparisons: Sequence[Comparison], gate: Gate | None = None) -> dict[str, Any]:
    """Plain data, of the same shape for two runs and for more; null where there is no number.

    `gate` is null without --fail-on. Every ratio is B / A; `better` is the side of 1 on which B is better.
    """
    first = comparisons[0]
    return {
        "a": first.a.run_id,
        "margin": first.margin,
        "correction": first.correction,
        "confidence": first.a.timing.confidence,
        "gate": None if gate is None else gate.to_dict(),
        "comparisons": [_comparison(c) for c in comparisons],
    }


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


def as_csv(comparisons: Sequence[Comparison]) -> str:
    """A line per row of all comparisons, rows of one run only at the end of each quantity; empty where there is no number."""
    lines = [row for c in comparisons for compared in c.quantities for row in _lines(c, compared)]
    header = dict.fromkeys(name for row in lines for name in row) or ("run_a", "run_b", "verdict")
    # objects, so that an int beside nothing stays one
    return rows.as_csv(pd.DataFrame(lines, columns=[*header], dtype=object))


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "b": c.b.run_id,
        "same_run": c.same_run,
        "keys": list(c.keys),
        "noise_bands": {"a": c.bands[0], "b": c.bands[1]},
        "differences": [asdict(d) for d in c.differences],
        "times_not_compared": c.apart or None,
        "speedups": _quantity(c.speedups),
        "times": None if c.times is None else _quantity(c.times),
    }


def _quantity(compared: QuantityComparison) -> dict[str, Any]:
    return {
        "better": BETTER[compared.quantity],
        "counts": compared.counts,
        "family": compared.family,
        "geometric_mean": _ratio(compared.mean) if compared.judged else None,
        "by_block": {block: _ratio(mean) for block, mean in compared.by_block.items()},
        "rows": [_row(compared, m) for m in compared.matches],
        "only_a": [{k: r[k] for k in KEYS} for r in compared.only_a],
        "only_b": [{k: r[k] for k in KEYS} for r in compared.only_b],
    }


def _ratio(of: Match | MeanRatio) -> dict[str, float | None]:
    low, high = of.ends or (None, None)
    return {"b_over_a": of.ratio, "b_over_a_ci_low": low, "b_over_a_ci_high": high}


def _row(compared: QuantityComparison, m: Match) -> dict[str, Any]:
    """A match: A's workload, both sides' values, their ratio, the verdict; the fields of the workload that differ."""
    names = ("trial_id", "device", "status", "processes", *VALUES[compared.quantity])
    return {
        **{k: m.a[k] for k in _SHARED},
        **{f"{name}_{side}": r[name] for side, r in (("a", m.a), ("b", m.b)) for name in names},
        **_ratio(m),
        "edge": math.exp(m.edge),
        "p": m.p,
        "p_adjusted": m.p_adjusted,
        "verdict": m.verdict,
        "differs": {f: [m.a[f], m.b[f]] for f in m.differs},
    }


def _lines(c: Comparison, compared: QuantityComparison) -> Iterator[dict[str, Any]]:
    quantity = compared.quantity
    runs = {"run_a": c.a.run_id, "run_b": c.b.run_id, "quantity": quantity, "better": BETTER[quantity]}
    for m in compared.matches:
        row = _row(compared, m)
        values = {
            f"{side}{end}": row.pop(f"{name}_{side}")
            for side in "ab"
            for name, end in zip(VALUES[quantity], ("", "_ci_low", "_ci_high"), strict=True)
        }
        differs = "; ".join(f"{f}: {one} in A, {two} in B" for f, (one, two) in row.pop("differs").items())
        yield {**runs, "verdict": row.pop("verdict"), "differs": differs, **row, **values}
    for side, alone in (("a", compared.only_a), ("b", compared.only_b)):
        for r in alone:
            place = {f"{name}_{side}": r[name] for name in ("trial_id", "device", "status")}
            yield {**runs, "verdict": f"ONLY IN {side.upper()}", **{k: r[k] for k in _SHARED}, **place}


def _named(r: Record) -> dict[str, Any]:
    return {"trial_id": r["trial_id"], "block": r["block"]}
