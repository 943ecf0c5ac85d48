"""What the time of a site goes to, in one word, and the words for what a block gained there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analyse.claims.answers import STEEP
from bench.analyse.claims.conditions import Cell, Rows, Site
from bench.analyse.runs.rows import Record
from bench.analyse.sweeps.designed import Sweep
from bench.spec.columns import TOLD
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import in_seconds, share, times, unit_of

ATTAINED = 0.5  # share of the roof from which on the roof is what binds
HALF = 0.5  # share of the time that makes it what the time goes to


@dataclass(frozen=True, slots=True)
class Regime:
    """overhead-, bandwidth- or compute-bound, mixed or unknown, and what that was seen by."""

    word: str
    saw: str

    @property
    def note(self) -> str:
        """For a verdict's notes."""
        return f"Regime {self.word}: {self.saw}"


def regime(arms: Sequence[Record], sweeps: Sequence[Sweep]) -> Regime:
    """By the arms' own facts: an accelerator's submission first, then the roofs, then what a layer costs in the sweeps."""
    rows = [a for a in arms if a["status"] in TOLD]
    bounds = [r["bound"] for r in rows if r["bound"] is not None]
    if bounds and bounds.count("launch-bound") > HALF * len(bounds):
        return Regime("overhead-bound", f"{bounds.count('launch-bound')} of {len(bounds)} rows take longer to submit than to compute")  # fmt: skip
    roofed = [r for r in rows if r["attainable_share"] is not None and r["roof"] is not None]
    overhead = layer_share(rows, sweeps)
    if roofed:
        attained = _median([r["attainable_share"] for r in roofed])
        saw = f"rows attain {share(attained)} of their roof (median)"
        if attained >= ATTAINED:
            roof = Counter(r["roof"] for r in roofed).most_common(1)[0][0]
            return Regime("compute-bound" if roof == "compute" else "bandwidth-bound", f"{saw}, most of it {roof}")
        if overhead is None:
            return Regime("mixed", saw)
        return Regime("overhead-bound" if overhead > HALF else "mixed", f"{saw}, and layers' own cost is {share(overhead)} of the time")  # fmt: skip
    if overhead is None:
        return Regime("unknown", "neither roofs nor sweeps of layers were measured")
    if overhead > HALF:
        return Regime("overhead-bound", f"layers' own cost is {share(overhead)} of the time")
    slopes = [s.elasticity().mean for s in sweeps if s.grows == "macs"]
    steep = bool(slopes) and min(slopes) >= STEEP
    saw = f"layers' own cost is {share(overhead)} of the time"
    return Regime("compute-bound" if steep else "mixed", f"{saw}, and time is in step with MACs" if steep else saw)


def regime_of(rows: Rows, site: Site, cells: Sequence[Cell] = ()) -> Regime:
    """The regime of the cells' arms, or of all arms of a site."""
    pairs = [twins for c in cells if (twins := rows.twins(c.site, c.row)) is not None]
    arms = [arm for twins in pairs for arm in twins] or rows.arms.get(site, ())
    return regime(arms, rows.sweeps.get(site, ()))


def layer_cost(arm: Record, sweeps: Sequence[Sweep]) -> float | None:
    """Seconds that a layer costs of its own, from the sweeps of growing layers at fixed MACs; None where there is none.

    Of the arm's own block and kernel if there are such sweeps, else of any.
    """
    growing = [s for s in sweeps if s.grows == "layers"]
    near = [s for s in growing if (s.block, s.kernel) == (arm["block"], arm["kernel"])]
    costs = [s.line()[0] for s in near or growing]
    return math.fsum(costs) / len(costs) if costs else None


def layer_share(arms: Sequence[Record], sweeps: Sequence[Sweep]) -> float | None:
    """Median share of the arms' time that layers cost of their own; None where no sweep says what they cost."""
    costs: dict[tuple[Any, Any], float | None] = {}
    shares = []
    for arm in arms:
        if arm["layers"] and arm["time_median_s"]:
            kind = (arm["block"], arm["kernel"])
            if kind not in costs:
                costs[kind] = layer_cost(arm, sweeps)
            if (each := costs[kind]) is None:
                return None
            shares.append(min(1.0, each * arm["layers"] / arm["time_median_s"]))
    return _median(shares) if shares else None


def bought(rows: Rows, site: Site, cells: Sequence[Cell], lines: Sequence[float]) -> str:
    """One sentence: what stands between the fewer MACs and the speedup (held against `lines`), as far as this site's rows show it."""
    ratios = [c.row["mac_ratio"] for c in cells if c.row["mac_ratio"]]
    gained = times(_geometric([math.exp(c.log.mean) for c in cells]), lines=lines)
    promise = f"{times(_geometric(ratios))} fewer MACs" if ratios else "fewer MACs"
    middle = sorted(cells, key=lambda c: (c.log.mean, repr(c.workload)))[len(cells) // 2]
    twins = rows.twins(middle.site, middle.row)
    held = _obstacle(twins, site, rows.sweeps.get(site, ())) if twins else ""
    return f"{held}; {promise} buy {gained}" if held else f"{promise} buy {gained}"


def _obstacle(twins: tuple[Record, Record], site: Site, sweeps: Sequence[Sweep]) -> str:
    """What the middle cell's arms spend their time on besides multiplying; empty where nothing tells."""
    base, thin = twins
    where = f"with {site.threads} thread{'s' if site.threads != 1 else ''}" if site.kind == "cpu" else f"on {in_words(site.device)}"  # fmt: skip
    stacked = f", {thin['depth']} deep," if (thin["depth"] or 1) > 1 else ""
    at = f" at {thin['c_in']} channels{stacked}" if thin["c_in"] else ""
    each = layer_cost(thin, sweeps)
    if each is not None and thin["layers"] and thin["time_median_s"]:
        part = min(1.0, each * thin["layers"] / thin["time_median_s"])
        return f"{where} a layer costs {seconds(each)} of its own, {share(part)} of the time of {thin['block']}{at.rstrip(',')}"
    if thin["bound"] == "launch-bound" and thin["enqueue_time_median_s"] and thin["device_time_median_s"]:
        host, device = thin["enqueue_time_median_s"], thin["device_time_median_s"]
        return f"{where} {thin['block']}{at} takes the host {seconds(host)} to submit and the device {seconds(device)} to compute"  # fmt: skip
    if thin["attainable_share"] is not None and base["attainable_share"] is not None:
        mine, theirs = share(thin["attainable_share"]), share(base["attainable_share"])
        return f"{where} {thin['block']}{at} attains {mine} of what the measured roofs allow where {base['block']} attains {theirs}"  # fmt: skip
    return ""


def of_the_host(arms: Sequence[Record]) -> str:
    """How many arms of predicted accelerators last as long as the host is assumed to need for submitting them; empty where none does.

    The host's share is no figure of the card: a device entry holds it (docs/PREDICTION.md).
    """
    asked = [a for a in arms if is_predicted(a["device"]) and a["bound"] is not None]
    waiting = [a for a in asked if a["bound"] == "launch-bound"]
    plain = [a["enqueue_time_median_s"] / a["ops"] for a in waiting if (a["mode"], a["pass"]) == ("eager", "inference")]
    if not waiting:
        return ""
    each = f"an assumed {seconds(_median(plain))} an operator" if plain else "which is assumed"
    return f"{len(waiting)} of {len(asked)} arms last as long as the host needs to submit them, {each}: another host moves them, whatever the card"


def seconds(value: float) -> str:
    """2.1e-05 -> '21 us'; a cost below 10 ps is none."""
    if value < 1e-11:
        return "nothing"
    return in_seconds(value, 2 if value < 10 * unit_of(value, 2)[1] else 3)


def _geometric(values: Sequence[float]) -> float:
    return math.exp(math.fsum(math.log(v) for v in values) / len(values))


def _median(values: Sequence[float]) -> float:
    return float(np.median(values))
