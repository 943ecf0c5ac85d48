"""The least time that the measured roofs allow an arm, and the note on a row that is faster: Winograd, or noisy.

The roofline of Williams, Waterman and Patterson (2009, Commun. ACM 52(4):65), applied to each convolution by itself: a
layer takes at least FLOP / peak and at least bytes / bandwidth, and layers follow each other. The bandwidth is the
cache's for all bytes, and the memory's for those that the cache can't keep from one evaluation to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.spec.blocks.blocks import Block
from bench.spec.blocks.costs import ITEM_BYTES, Cost
from bench.spec.columns import SCHEMA_VERSION
from bench.spec.plan.plan import Arm, Trial

Bound = Literal["compute", "cache", "memory"]
Key = tuple[str, int, str]  # device, threads, dtype
RATES = ("matmul_flop_per_s", "conv_flop_per_s", "cache_bytes_per_s", "memory_bytes_per_s")
TOLERANCE = 1.05  # how far a row may lie above its roof: both are measured
WINOGRAD = 4.0  # multiplications that F(4x4, 3x3) spares (Lavin & Gray 2016); F(2x2, 3x3) spares 2.25


@dataclass(frozen=True, slots=True)
class Roof:
    """A device's roofs for one number of threads and one dtype: the most that any of `processes` (by number) reached.

    Rates in FLOP/s and bytes/s, None where there is none. `words` by the roof's name: how it was reached, or why not.
    """

    matmul_flop_per_s: float | None = None
    conv_flop_per_s: float | None = None
    cache_bytes_per_s: float | None = None
    memory_bytes_per_s: float | None = None
    cache_bytes: int = 0
    words: Mapping[str, str] = field(default_factory=dict)
    processes: frozenset[int] = frozenset()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Roof:
        """The roofs of one process, from its record in the journal."""
        rates = {name: record.get(name) for name in RATES}
        return cls(**rates, cache_bytes=record["cache_bytes"], words=record.get("detail") or {}, processes=frozenset({record["replicate"]}))  # fmt: skip

    def highest(self, other: Roof) -> Roof:
        """Of each roof the higher one, with its word."""
        higher = {name: max((self, other), key=lambda roof: getattr(roof, name) or 0.0) for name in RATES}
        words = {**other.words, **self.words, **{n: r.words[n] for n, r in higher.items() if n in r.words}}
        rates = {name: getattr(roof, name) for name, roof in higher.items()}
        return Roof(**rates, cache_bytes=max(self.cache_bytes, other.cache_bytes), words=words, processes=self.processes | other.processes)  # fmt: skip

    @property
    def peak(self) -> float | None:
        """The higher of the two computing roofs, in FLOP/s; None where the device computes neither."""
        return max(filter(None, (self.matmul_flop_per_s, self.conv_flop_per_s)), default=None)


@dataclass(frozen=True, slots=True)
class Attainable:
    """The least time of one evaluation in seconds, and what takes most of it."""

    time_s: float
    bound: Bound


def attainable(cost: Cost, dtype: str, roof: Roof, multiplies: Iterable[float] | None = None) -> Attainable | None:
    """The least time that the roofs allow; None where the device has no peak for that dtype.

    The cost's bytes are those of all its layers, so training takes its three passes over each of them. A roof that was
    not measured limits nothing. `multiplies`: the share of each layer's multiplications that must be done; default all.
    """
    peak = roof.peak
    if peak is None:
        return None
    shares = list(multiplies) if multiplies is not None else [1.0] * len(cost.detail)
    passes = cost.bytes_min / sum(d.bytes_min for d in cost.detail)
    beyond = max(0, working_set(cost, dtype) - roof.cache_bytes) / cost.bytes_min
    spent: dict[Bound, float] = {"compute": 0.0, "cache": 0.0, "memory": 0.0}
    for layer, share in zip(cost.detail, shares, strict=True):
        least: dict[Bound, float] = {"compute": 2 * share * layer.macs * passes / peak}
        if roof.cache_bytes_per_s is not None:
            least["cache"] = layer.bytes_min * passes / roof.cache_bytes_per_s
        if roof.memory_bytes_per_s is not None:
            least["memory"] = beyond * layer.bytes_min * passes / roof.memory_bytes_per_s
        longest = max(least, key=lambda bound: least[bound])
        spent[longest] += least[longest]
    return Attainable(sum(spent.values()), max(spent, key=lambda bound: spent[bound]))


def working_set(cost: Cost, dtype: str) -> int:
    """Bytes that an evaluation reads again: input, weights and the maps between the layers, each once.

    Of a working set of W bytes, a cache of C keeps at most C until the next evaluation; at least W - C come from
    memory.
    """
    batch, first = cost.output[0], cost.detail[0].input
    held = cost.params + batch * first[0] * first[1] * first[2]
    return min(cost.bytes_min, cost.memory_bytes + held * ITEM_BYTES[dtype])


def roof_columns(row: Mapping[str, Any], trial: Trial, arm: Arm, roof: Roof | None) -> dict[str, object]:
    """The roof's columns of an arm's row of measurements.csv; for a row above its roof also the note and `noisy`.

    Empty where the row was not measured, or the device has no roof for its dtype.
    """
    time_min_s = row.get("time_min_s")
    if roof is None or time_min_s is None or arm.choice.factory is not None:
        return {}  # the layers of a user's own block are unknown
    cost = trial.cost(arm)
    least = attainable(cost, trial.dtype, roof)
    if least is None or least.time_s == 0:  # a block without multiplications, with roofs of computing alone
        return {}
    added: dict[str, object] = {
        "attainable_flop_per_s": cost.flops / least.time_s,
        "attainable_share": least.time_s / time_min_s,
        "roof": least.bound,
    }
    above = above_roof(trial.block(arm), cost, trial.dtype, time_min_s, roof)
    if above is not None:
        note, noisy = above
        added["quality_notes"] = "; ".join(filter(None, (row.get("quality_notes"), note)))
        added["noisy"] = row["noisy"] or noisy
    return added


def above_roof(block: Block, cost: Cost, dtype: str, time_min_s: float, roof: Roof) -> tuple[str, bool] | None:
    """The note on a row above its roof, and whether the row is noisy; None where it is not above.

    Not noisy if Winograd's algorithm explains it: with only that algorithm's multiplications counted it is not above.
    """
    least = attainable(cost, dtype, roof)
    if least is None or least.time_s <= TOLERANCE * time_min_s:
        return None
    spared = [1 / WINOGRAD if _dense_3x3(block, i) else 1.0 for i in range(len(cost.detail))]
    fewer = attainable(cost, dtype, roof, spared)
    if fewer is not None and fewer.time_s <= TOLERANCE * time_min_s:
        return "above the roof: Winograd does fewer multiplications than are counted", False
    by = (least.time_s / time_min_s - 1) * 100
    return f"above the measured roof by {by:.0f} %: the roof or this row is wrong", True


def _dense_3x3(block: Block, place: int) -> bool:
    layer = block.layers[place]
    alone = layer.groups == layer.dilation == 1 and layer.strides == (1, 1)
    return layer.op == "conv" and layer.kernels == (3, 3) and alone


def roof_rows(roofs: Mapping[Key, Roof], run_id: str, device_names: Mapping[str, str]) -> list[dict[str, object]]:
    """Rows of roofs.csv: one for each device, number of threads and dtype."""
    return [
        {
            "run_id": run_id,
            "schema_version": SCHEMA_VERSION,
            "device": device,
            "device_name": device_names.get(device) or None,
            "threads": threads,
            "dtype": dtype,
            "processes": len(roof.processes),
            "cache_bytes": roof.cache_bytes,
            "roof_detail": "; ".join(f"{name}: {word}" for name, word in roof.words.items()) or None,
            **{name: getattr(roof, name) for name in RATES},
        }
        for (device, threads, dtype), roof in sorted(roofs.items())
    ]
