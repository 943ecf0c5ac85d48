"""The A/A test: blocks compared with themselves give this machine's noise band and false-positive rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.columns import MEASURED
from bench.spec.errors import UserError
from bench.spec.format import percent
from bench.spec.plan.aa import LEAST_PAIRS

POWER = 0.8


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
    return bool(len(pairs)) and bool((pairs["block"] == pairs["baseline"] + "(again)").all())


def judge(run: Run) -> Noise:
    """The noise that an A/A run shows. UserError where it holds fewer than two pairs with an interval."""
    rows = [r for r in records_of(run.pairs) if r["status"] in MEASURED and r["precision"] is not None]
    if len(rows) < 2:
        raise UserError(str(run.folder), "an A/A test needs two measured pairs at least", "Let it run to its end: bench run --resume, then bench report.", len(rows))  # fmt: skip
    values = np.log([r["speedup"] for r in rows])
    widths = np.array([r["precision"] for r in rows])
    wrong = int((np.abs(values) > widths).sum())
    band = float(np.quantile(np.abs(values), 0.95))
    test = stats.binomtest(wrong, len(rows)).proportion_ci(0.95, method="exact")
    needed = np.maximum(widths, band)
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
        facts=_facts(run, rows),
    )


def _facts(run: Run, rows: Sequence[Record]) -> dict[str, Any]:
    """Where the test was made: later runs on the same device and torch use its band."""
    device = str(rows[0]["device"])
    facts = (run.environment.get("devices") or {}).get(device, {})
    return {
        "run_id": run.run_id,
        "started_utc": run.environment.get("started_utc"),
        "device": device,
        "device_name": facts.get("name"),
        "torch": facts.get("torch"),
        "threads": sorted({int(r["threads"]) for r in rows}),
    }
