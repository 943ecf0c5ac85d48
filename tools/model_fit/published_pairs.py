"""Published pairs on GPUs that no fit reads: the model's speedups are held against them.

published_pairs.csv has a pair a row, as its source gives it: images a second of a standard and of a depthwise or separable block,
or of two networks. Blocks are single 3 x 3 layers of `channels` in and out; a separable one has a 1 x 1 after it. They run
`layers` times, and batch norm is merged into the convolutions. Besides, the rows of docs/EVIDENCE.md on GPUs whose tables are not fitted.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from bench.analyse.claims.published import published
from bench.spec.blocks.kernels import convolution
from bench.spec.devices.predicted_devices import known
from bench.spec.model.model_parameters import Prediction, prior
from tools.model_fit import fitting
from tools.model_fit.published_times import Counted, Observed, network

FILE = "published_pairs.csv"


@dataclass(frozen=True, slots=True)
class Pair:
    """A speedup, measured and predicted, and ln of the half-width of the 95 % interval that a predicted row would have."""

    id: str
    where: str
    comparison: str
    dtype: str
    measured: float
    predicted: float
    half: float

    @property
    def factor(self) -> float:
        """Predicted over measured: above 1 the prediction is too high."""
        return self.predicted / self.measured

    @property
    def right(self) -> bool:
        """Whether both are on the same side of 1x."""
        return (self.predicted > 1) == (self.measured > 1)

    @property
    def within(self) -> bool:
        """Whether the interval holds the measured speedup."""
        return abs(math.log(self.factor)) <= self.half


@cache
def rows() -> tuple[dict[str, str], ...]:
    """The rows of FILE."""
    text = (files("tools.model_fit") / FILE).read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def pairs(told: Mapping[str, Any]) -> Iterator[Pair]:
    """Every pair by a fit as model_parameters.json has it: those of FILE, then those of docs/EVIDENCE.md."""
    parameters = {**prior(), **told["parameters"]}
    prediction = Prediction("", **told["errors"]["gpu"])
    for row in rows():
        base_s, block_s = fitting.seconds(fitting.tabulate(observed(row)), parameters).tolist()
        measured = float(row["block_per_s"]) / float(row["baseline_per_s"])
        what = f"{row['block']} against {row['baseline']}"
        if row["channels"]:
            what += f", {row['channels']} channels, {row['size']} x {row['size']}"
        where = f"{known()[row['device']].title}, {row['dtype']}, batch {row['batch']}"
        yield Pair(row["id"], where, what, row["dtype"], measured, base_s / block_s, prediction.of(training=False)[1])
    by_id = {one.id: one for one in published()}
    for row in told["published"]:
        one = by_id[row["id"]]
        if one.device_kind == "gpu" and not row["seen"]:
            where = f"{one.device}, {one.dtype}, {one.mode}, {one.pass_}, batch {one.batch}"
            half = prediction.of(one.pass_ == "training")[1]
            yield Pair(one.id, where, one.comparison, one.dtype, row["speedup"], row["predicted"], half)


def observed(row: Mapping[str, str]) -> tuple[Observed, Observed]:
    """Both sides of a row of FILE as evaluations, with their published seconds; the baseline first."""
    device, batch = known()[row["device"]], int(row["batch"])

    def side(of: str) -> Observed:
        time_s = batch / float(row[f"{of}_per_s"])
        return Observed(
            row["source"], row["id"], device, row["dtype"], "eager", row[of], batch, _kernels(row, row[of]), time_s,
            row["id"], of == "baseline",
        )  # fmt: skip

    return side("baseline"), side("block")


def _kernels(row: Mapping[str, str], name: str) -> Counted:
    batch, size, dtype, last = int(row["batch"]), int(row["size"]), row["dtype"], row["layout"] == "channels_last"
    if not row["channels"]:
        counted = network(name, size, batch, dtype, last)
        assert counted is not None, name
        return tuple((kernel, n) for kernel, n in counted if kernel.family != "norm")
    c, out = int(row["channels"]), size - 2 + 2 * int(row["padding"])
    groups = 1 if name == "standard" else c
    layers = [convolution(batch, c, c, size**2, out**2, (3, 3), 1, groups, dtype, last)]
    if name == "separable":
        layers.append(convolution(batch, c, c, out**2, out**2, dtype=dtype, channels_last=last))
    return tuple((layer, int(row["layers"])) for layer in layers)
