"""Comparisons as data: for --json and for --csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.analyse.compare.ci_gate import Gate
from bench.analyse.compare.compare import BETTER, VALUES, Comparison, Match, Table
from bench.analyse.compare.row_matching import Record
from bench.analyse.runs.run_folder import write_text
from bench.spec.columns import KEYS
from bench.spec.interval import Interval

_SHARED = tuple(k for k in KEYS if k != "device")


def to_dict(found: Sequence[Comparison], gate: Gate | None = None) -> dict[str, Any]:
    """Plain data, the same shape for two runs and for more; null where there is no number.

    `gate` is null without --fail-on. Every ratio is B / A, and each table says by `better` on which side of 1 B is better.
    """
    first = found[0]
    return {
        "a": first.a.run_id,
        "margin": first.margin,
        "correction": first.correction,
        "confidence": first.a.timing.confidence,
        "gate": None if gate is None else gate.to_dict(),
        "comparisons": [_comparison(c) for c in found],
    }


def write_csv(found: Sequence[Comparison], path: Path) -> None:
    """Write as_csv() to a file."""
    write_text(path, as_csv(found))


def as_csv(found: Sequence[Comparison]) -> str:
    """A row per row of all comparisons, those in one run only at the end of each table; empty where there is no number."""
    rows = [row for c in found for t in c.tables for row in _lines(c, t)]
    text = io.StringIO()
    header = list(dict.fromkeys(name for row in rows for name in row)) or ["run_a", "run_b", "verdict"]
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _comparison(c: Comparison) -> dict[str, Any]:
    return {
        "b": c.b.run_id,
        "same_run": c.same_run,
        "keys": list(c.keys),
        "noise_bands": {"a": c.bands[0], "b": c.bands[1]},
        "differences": [asdict(d) for d in c.differences],
        "times_not_compared": c.apart or None,
        "speedups": _table(c.speedups),
        "times": None if c.times is None else _table(c.times),
    }


def _table(t: Table) -> dict[str, Any]:
    return {
        "better": BETTER[t.quantity],
        "counts": t.counts,
        "family": t.family,
        "geometric_mean": _interval(t.mean) if t.judged else None,
        "by_block": {block: _interval(mean) for block, mean in t.by_block().items()},
        "rows": [_row(t, m) for m in t.matches],
        "only_a": [{k: r[k] for k in KEYS} for r in t.only_a],
        "only_b": [{k: r[k] for k in KEYS} for r in t.only_b],
    }


def _interval(log: Interval) -> dict[str, float | None]:
    several = math.isfinite(log.half_width)
    ends = (math.exp(log.low), math.exp(log.high)) if several else (None, None)
    return _ratio(math.exp(log.mean), *ends)


def _ratio(value: float | None, low: float | None, high: float | None) -> dict[str, float | None]:
    return {"b_over_a": value, "b_over_a_ci_low": low, "b_over_a_ci_high": high}


def _row(t: Table, m: Match) -> dict[str, Any]:
    """A match: A's workload, both sides' values, their ratio, the verdict; what differs of the workload by name."""
    low, high = m.ends or (None, None)
    return {
        **{k: m.a[k] for k in _SHARED},
        **{f"{name}_{side}": r[name] for side, r in (("a", m.a), ("b", m.b)) for name in ("trial_id", "device", "status", "processes", *VALUES[t.quantity])},
        **_ratio(m.ratio, low, high),
        "edge": math.exp(m.edge),
        "p": m.p,
        "p_adjusted": m.p_adjusted,
        "verdict": m.verdict,
        "differs": {f: [m.a[f], m.b[f]] for f in m.differs},
    }  # fmt: skip


def _lines(c: Comparison, t: Table) -> Iterator[dict[str, Any]]:
    runs = {"run_a": c.a.run_id, "run_b": c.b.run_id, "quantity": t.quantity, "better": BETTER[t.quantity]}
    for m in t.matches:
        row = _row(t, m)
        values = {
            f"{side}{'' if i == 0 else ('_ci_low', '_ci_high')[i - 1]}": row.pop(f"{name}_{side}")
            for side in "ab"
            for i, name in enumerate(VALUES[t.quantity])
        }
        differs = "; ".join(f"{f}: {one} in A, {two} in B" for f, (one, two) in row.pop("differs").items())
        yield {**runs, "verdict": row.pop("verdict"), "differs": differs, **row, **values}
    for side, missing in (("a", t.only_a), ("b", t.only_b)):
        for r in missing:
            yield {**runs, "verdict": f"ONLY IN {side.upper()}", **_place(r, side)}


def _place(r: Record, side: str) -> dict[str, Any]:
    return {**{k: r[k] for k in _SHARED}, **{f"{n}_{side}": r[n] for n in ("trial_id", "device", "status")}}
