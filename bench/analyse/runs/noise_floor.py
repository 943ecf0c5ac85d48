"""How far one machine's numbers scatter: within a run by the A/A test, and from run to run, beyond the rows' intervals.

In an A/A test blocks are compared with themselves, for a noise band and the rate of false positives. A row's interval
speaks of the processes of one run, minutes apart. Two runs differ by more: the hour, the machine's load, what the memory
looks like. That is estimated from rows that two runs or more of one installation measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analyse.runs.condition import Installation
from bench.analyse.runs.rows import grouped, records_of
from bench.analyse.runs.run_folder import Run, read_tables
from bench.analyse.stats.interval_arrays import student
from bench.spec.columns import KEYS, MEASURED, SPEEDUP, TIME
from bench.spec.errors import UserError
from bench.spec.format import percent
from bench.spec.plan.aa import LEAST_PAIRS
from bench.spec.results_folder import read_environment, sources_of

POWER = 0.8
MOST_READ = 16  # earlier runs beside a run, the latest
_READ = (*KEYS, *SPEEDUP, *TIME, "run_id", "schema_version", "status", "processes", "side", "device_name")
_KEYS = ("device_name", *(k for k in KEYS if k != "experiment"))


@dataclass(frozen=True, slots=True)
class Noise:
    """An A/A test's findings; effects are in ln(ratio), so 0.02 is 2 %.

    `false_positive_ci` is the exact binomial interval (Clopper and Pearson 1934) of the rate at which the 95 % interval
    excludes equality. `noise_band`: 95 % of the pairs read within ± this. `smallest_detectable_effect`: 80 % of the
    pairs, had they this effect, would be decided, that is read beyond the band with an interval that excludes 1.
    """

    pairs: int
    false_positives: int
    false_positive_rate: float
    false_positive_ci: tuple[float, float]
    noise_band: float
    smallest_detectable_effect: float
    median_half_width: float
    noisy: int
    confidence: float
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for aa.json and --json."""
        values = asdict(self)
        facts = values.pop("facts")
        return {**values, "false_positive_ci": list(self.false_positive_ci), **facts}

    def sentences(self) -> list[str]:
        """The findings in words."""
        low, high = self.false_positive_ci
        nominal = 1 - self.confidence
        spread = f"[{percent(low)}, {percent(high)}]"
        agrees = "as it should be" if low <= nominal <= high else "NOT as it should be"
        if self.pairs < LEAST_PAIRS:
            agrees = f"too few pairs to say, and no band for later runs (from {LEAST_PAIRS} on)"
        return [
            f"A/A: {self.pairs} pairs of a block with itself, {self.noisy} noisy; median half-width ±{percent(self.median_half_width)}",
            f"false positives: {self.false_positives} of {self.pairs}, {percent(self.false_positive_rate)} {spread}, nominal {percent(nominal)}: {agrees}",
            f"noise band: 95 % of the pairs read within ±{percent(self.noise_band)} of equal",
            f"smallest detectable effect at {percent(POWER)} power: {percent(self.smallest_detectable_effect)}",
        ]


def is_aa(run: Run) -> bool:
    """Whether every pair of a run compares a block with itself."""
    pairs = run.pairs
    return bool(len(pairs)) and bool(
        (pairs["block"].astype("string") == pairs["baseline"].astype("string") + "(again)").all()
    )


def is_ab(run: Run) -> bool:
    """Whether a run is one of `bench ab`, whose pairs are one block on two sides."""
    return "side" in run.pairs and bool(run.pairs["side"].notna().any())


def against_itself(run: Run) -> bool:
    """Whether a run compares each block with itself, so that it bears on no claim."""
    return is_aa(run) or is_ab(run)


def judge(run: Run) -> Noise:
    """The noise that an A/A run shows. UserError where it holds fewer than two pairs with an interval."""
    rows = [r for r in records_of(run.pairs) if r["status"] in MEASURED and r["precision"] is not None]
    if len(rows) < 2:
        raise UserError(str(run.folder), "an A/A test needs two measured pairs at least", "Let it run to its end: bench run --resume, then bench report.", len(rows))  # fmt: skip
    values = np.log([r["speedup"] for r in rows])
    widths = np.array([r["precision"] for r in rows])
    wrong = int((np.abs(values) > widths).sum())
    band = float(np.quantile(np.abs(values), 0.95))
    from scipy import stats  # only an A/A run waits for it to start

    test = stats.binomtest(wrong, len(rows)).proportion_ci(0.95, method="exact")
    needed = np.maximum(widths, band)
    device = str(rows[0]["device"])
    facts = (run.environment.get("devices") or {}).get(device, {})
    made = {  # later runs on the same device and torch use its band
        "run_id": run.run_id,
        "started_utc": run.environment.get("started_utc"),
        "device": device,
        "device_name": facts.get("name"),
        "torch": facts.get("torch"),
        "threads": sorted({int(r["threads"]) for r in rows}),
    }
    return Noise(
        pairs=len(rows),
        false_positives=wrong,
        false_positive_rate=wrong / len(rows),
        false_positive_ci=(float(test.low), float(test.high)),
        noise_band=band,
        smallest_detectable_effect=float(np.quantile(np.concatenate([needed - values, needed + values]), POWER)),
        median_half_width=float(np.median(widths)),
        noisy=sum(r["status"] == "noisy" for r in rows),
        confidence=run.timing.confidence,
        facts=made,
    )


@dataclass(frozen=True, slots=True)
class RunEffect:
    """`sd` of ln(speedup), or of ln(time), between runs, beyond the rows' own errors, from `rows` rows of `runs`."""

    sd: float
    rows: int
    runs: tuple[str, ...]


def run_effect(runs: Sequence[Run], times: bool = False) -> RunEffect | None:
    """The effect on speedups, or on `times`, in runs of one installation; None where no row was measured in two of them.

    Of rows that are not noisy: the variance between runs less the mean of the rows' own squared errors, both means over
    rows (Cochran's unweighted estimator; weights by errors of so few processes would be biased).
    """
    value, low, high = TIME if times else SPEEDUP
    parts = []
    for run in sorted(runs, key=lambda run: run.run_id):  # sums of floats depend on their order
        rows = run.measurements if times else run.pairs
        rows = rows[(rows["status"] == "ok") & rows[[value, low, high]].notna().all(axis=1) & (rows["processes"].fillna(0) > 1)]  # fmt: skip
        ends = [np.log(rows[name].to_numpy(dtype=np.float64)) for name in (value, low, high)]
        n = rows["processes"].to_numpy(dtype=np.int64)
        error = np.abs(ends[2] - ends[1]) / 2 / student(run.timing.confidence, n)
        keys = rows[list(_KEYS)].astype(object)
        once = keys.assign(y=ends[0], error=error**2, run=run.run_id).drop_duplicates([*_KEYS])
        parts.append(once)
    every = pd.concat(parts).drop_duplicates([*_KEYS, "run"])
    by_row = every.groupby([*_KEYS], dropna=False, sort=False)
    repeated = every[by_row["y"].transform("size") > 1]
    if not len(repeated):
        return None
    by_row = repeated.groupby([*_KEYS], dropna=False, sort=False)
    excess = by_row["y"].var(ddof=1) - by_row["error"].mean()
    return RunEffect(math.sqrt(max(0.0, float(excess.mean()))), len(excess), tuple(repeated["run"].unique()))


def effects(runs: Sequence[Run]) -> dict[Installation, RunEffect]:
    """The effect of each installation of which several runs are among these."""
    groups = grouped((run for run in runs if not against_itself(run)), Installation.of)
    found = {at: run_effect(some) for at, some in groups.items() if len(some) > 1}
    return {at: effect for at, effect in found.items() if effect is not None}


def repeats(a: Run, b: Run) -> list[list[Run]]:
    """The runs in the folders beside these two that tell what runs of A and of B differ by, each with the run that they repeat.

    They began before it, in the same installation, with the same source of own blocks. A change from A to B must not pass
    for what runs differ by: so where A and B are alike in that, the later of them and what lies between them is left out.
    """
    ends = sorted((a, b), key=lambda run: _began(run.environment))
    if _made_alike(a.environment, a.run_id) == _made_alike(b.environment, b.run_id):
        del ends[1:]
    beside = {run.folder.resolve().parent for run in (a, b)}
    tables = {path.parent.resolve() for folder in beside for path in folder.glob("*/pairs.csv") if path.is_file()}
    alike: list[list[tuple[str, Path]]] = [[] for _ in ends]
    for folder in sorted(tables - {run.folder.resolve() for run in (a, b)}):
        with suppress(OSError, UserError):
            told = read_environment(folder)  # tables take long, and most are of no use here
            mine = _made_alike(told, folder.name)
            for run, found in zip(ends, alike, strict=True):
                if mine == _made_alike(run.environment, run.run_id) and _began(told) < _began(run.environment):
                    found.append((_began(told), folder))
    groups = [[run] for run in ends]
    for group, found in zip(groups, alike, strict=True):
        for _, folder in sorted(found, reverse=True)[:MOST_READ]:
            with suppress(OSError, UserError):
                earlier = read_tables(folder, _READ)
                copied = earlier.run_id in (a.run_id, b.run_id)
                group += [] if copied or against_itself(earlier) else [earlier]
    return groups


def _made_alike(environment: Mapping[str, Any], run_id: str) -> tuple[Installation, dict[str, str]]:
    """The installation, and the hashes of own blocks' sources by import path."""
    return Installation.told(environment, run_id), sources_of(environment)


def _began(environment: Mapping[str, Any]) -> str:
    return str(environment.get("started_utc") or "")
