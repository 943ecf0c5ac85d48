"""What a layer and a MAC cost in each way of running a block, and the speedup of one shape by these costs and as measured.

time = a x layers + b x MACs, for each condition and block, through all its sweeps of layers at fixed MACs and of MACs in
stacks of blocks. Sweeps of single blocks are not fitted: the speedups of their shapes test the costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.analyse.stats.estimators import Floats
from bench.analyse.stats.regression import two_costs
from bench.analyse.sweeps.designed import SEED, Estimate, Sweep, drawn
from bench.spec.columns import MEASURED

BASELINE, BLOCK = "standard", "separable"
Shape = tuple[int, int, int, int]  # channels, kernel, height, width


@dataclass(frozen=True, slots=True)
class LayerMacCosts:
    """Seconds for each layer and each MAC of one block, neither below 0; intervals show how well the times are known."""

    layer_s: Estimate
    mac_s: Estimate

    @classmethod
    def of(cls, sweeps: Sequence[Sweep], seed: int = SEED) -> LayerMacCosts:
        """The costs through the points of all these sweeps. The same sweeps and seed give the same draws."""
        times = [drawn(s, seed + i) for i, s in enumerate(sweeps)]
        known = [t for t in times if t is not None]
        draws = unit_costs(sweeps, np.hstack(known)) if len(known) == len(times) else (None, None)
        return cls(*(Estimate.of(float(v), d) for v, d in zip(unit_costs(sweeps), draws, strict=True)))


def unit_costs(sweeps: Sequence[Sweep], times: Floats | None = None) -> tuple[Floats, Floats]:
    """Seconds for each layer and for each MAC, through the points of all these sweeps, or other times in their place."""
    points = [p for s in sweeps for p in s.points]
    layers, macs = (np.array([getattr(p, name) for p in points], dtype=np.float64) for name in ("layers", "macs"))
    return two_costs(layers, macs, np.exp([p.log_time.mean for p in points]) if times is None else times)


@dataclass(frozen=True, slots=True)
class Way:
    """One condition: both blocks' costs, by them the times of one shape's parts over standard's, and what was measured.

    `measured`: the row of pairs.csv with this shape, from an experiment that was not fitted; the most precise of several.
    """

    condition: Condition
    standard: LayerMacCosts
    separable: LayerMacCosts
    standard_layers: Estimate
    separable_layers: Estimate
    separable_time: Estimate
    measured: Record | None

    @property
    def off(self) -> float | None:
        """The factor, 1 or more, between the measured speedup and that by the costs; None where nothing was measured."""
        row = self.measured
        return None if row is None else math.exp(abs(math.log(row["speedup"] * self.separable_time.value)))


def stacked(sweeps: Iterable[Sweep]) -> list[Sweep]:
    """The sweeps of layers, and those of MACs in stacks of several blocks."""
    return [s for s in sweeps if s.grows == "layers" or (s.points[0].depth or 1) > 1]


def fitted(sweeps: Iterable[Sweep]) -> dict[tuple[Condition, int | None], list[Sweep]]:
    """By measured condition and kernel what is fitted, where there are sweeps of layers of both blocks."""
    groups = grouped((s for s in stacked(sweeps) if not s.condition.predicted), lambda s: (s.condition, s.kernel))
    return {key: some for key, some in groups.items() if {BASELINE, BLOCK} <= {s.block for s in some if s.grows == "layers"}}  # fmt: skip


def ways(sweeps: Iterable[Sweep], pairs: Iterable[Record]) -> tuple[Shape, list[Way]] | None:
    """The shape that was measured in most conditions with sweeps of layers of both blocks, and each of these conditions.

    None where there is no such condition or shape.
    """
    fits = fitted(sweeps)
    shapes: dict[Shape, dict[Condition, list[Record]]] = {}
    for r in single_blocks(pairs):
        key = condition, kernel = Condition.of(r, r["run_id"]), r["kernel"]
        if key in fits and r["experiment"] not in {s.experiment for s in fits[key]}:
            shape = r["c_in"], kernel, r["height"], r["width"]
            shapes.setdefault(shape, {}).setdefault(condition, []).append(r)
    if not shapes:
        return None
    shape = max(shapes, key=lambda s: (len(shapes[s]), sum(map(len, shapes[s].values())), s))
    here = sorted((c for c, kernel in fits if kernel == shape[1]), key=Condition.order)
    return shape, [_way(c, fits[c, shape[1]], shape, shapes[shape].get(c, [])) for c in here]


def single_blocks(pairs: Iterable[Record]) -> list[Record]:
    """The measured pairs of one separable block against one standard one, as many channels out as in."""
    fixed = {"baseline": BASELINE, "block": BLOCK, "depth": 1, "stride": 1, "dilation": 1, "padding": "same"}
    rows = [r for r in pairs if r["status"] in MEASURED and r["speedup"] is not None]
    return [r for r in rows if r["c_in"] == r["c_out"] and all(r[name] == value for name, value in fixed.items())]


def _way(condition: Condition, sweeps: Sequence[Sweep], shape: Shape, rows: Sequence[Record]) -> Way:
    of_standard, of_separable = ([s for s in sweeps if s.block == name] for name in (BASELINE, BLOCK))
    one = LayerMacCosts.of(of_standard)
    other = LayerMacCosts.of(of_separable, SEED + len(of_standard))  # drawn independently
    channels, kernel, height, width = shape
    pixels = height * width * (condition.batch or 1)
    standard, separable = channels**2 * kernel**2 * pixels, channels * (kernel**2 + channels) * pixels  # MACs
    every = one.layer_s, one.mac_s, other.layer_s, other.mac_s
    return Way(
        condition,
        one,
        other,
        Estimate.by(lambda a, b, _, __: a / (a + b * standard), *every),
        Estimate.by(lambda a, b, c, _: 2 * c / (a + b * standard), *every),
        Estimate.by(lambda a, b, c, d: (2 * c + d * separable) / (a + b * standard), *every),
        min(rows, key=lambda r: math.inf if r["precision"] is None else r["precision"], default=None),
    )
