"""The parameters of the prediction model: the meaning of each, its value before a fit (PRIOR), its fitted value.

Also the model behind a predicted number: its name, and its errors on data that it was not fitted to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from bench.spec.devices.predicted_devices import PredictedDevice

Parameters = Mapping[str, float]
"""By kind of device and name, as `gpu.compute.dense.plain`; PRIOR lists them all."""
FILE = "model_parameters.json"
"""Written by `python -m tools.model_fit calibrate`: parameters, errors on held-out data, and the sources of both."""


class Prior(NamedTuple):
    """A value before any fit, and its uncertainty: the standard deviation of its logarithm; 0: it is not fitted."""

    value: float
    spread: float
    meaning: str


_SHARE = "share of the peak on whole waves of large tiles, "
_BANDWIDTH = "share of memory's bandwidth, "
_BY_KIND: tuple[tuple[str, tuple[float, float], tuple[float, float] | None, str], ...] = (
    # name, value and spread on a GPU, on a CPU, meaning
    ("compute.dense.plain", (0.7, 0.2), (0.6, 0.4), f"{_SHARE}k x k convolutions, on a GPU in fp32"),
    ("compute.dense.tensor", (0.6, 0.2), None, f"{_SHARE}k x k convolutions on matrix units"),
    ("compute.pointwise.plain", (0.7, 0.2), (0.5, 0.4), f"{_SHARE}1 x 1 convolutions, on a GPU in fp32"),
    ("compute.pointwise.tensor", (0.6, 0.2), None, f"{_SHARE}1 x 1 convolutions on matrix units"),
    ("compute.grouped.plain", (0.4, 0.4), (0.3, 0.4), f"{_SHARE}grouped convolutions, on a GPU in fp32"),
    ("compute.grouped.tensor", (0.3, 0.4), None, f"{_SHARE}grouped convolutions on matrix units"),
    ("compute.linear.plain", (0.6, 0.2), (0.5, 0.4), f"{_SHARE}linear layers, on a GPU in fp32"),
    ("compute.linear.tensor", (0.6, 0.2), None, f"{_SHARE}linear layers on matrix units"),
    ("compute.depthwise.plain", (0.05, 0.2), (0.15, 0.4), "share of the issue rate (GPUs) or the fp32 peak, depthwise"),
    ("compute.depthwise.half", (0.15, 0.4), None, "share of the fp32 peak, depthwise convolutions in fp16 and bf16"),
    ("winograd", (1.5, 0.4), (1.0, 0.0), "times faster is a 3 x 3 of stride 1 in fp32 (GPUs; 2.25 at most)"),
    ("move.contraction", (0.8, 0.1), (0.7, 0.3), f"{_BANDWIDTH}convolutions and linear layers"),
    ("move.depthwise", (0.7, 0.15), (0.7, 0.3), f"{_BANDWIDTH}depthwise convolutions"),
    ("move.elementwise", (0.88, 0.06), (0.7, 0.3), f"{_BANDWIDTH}activations and additions"),
    ("move.norm", (0.8, 0.15), (0.7, 0.3), f"{_BANDWIDTH}batch norm"),
    ("move.pool", (0.7, 0.3), (0.5, 0.3), f"{_BANDWIDTH}pooling"),
    ("cache.rate", (0.6, 0.3), (0.6, 0.4), "share of the cache's bandwidth"),
    ("cache.share", (0.5, 0.4), (0.5, 0.2), "share of the cache in which a kernel finds its bytes"),
    ("paper", (1.0, 0.0), (0.8, 0.3), "share of a data sheet's peak that is reached (CPUs; 1 of a measured roof)"),
    ("paper.memory", (1.0, 0.0), (0.8, 0.3), "the same of a data sheet's bandwidth"),
    ("reorder", (0.5, 0.4), (2.0, 0.4), "times a contiguous convolution moves its maps again (GPU: on matrix units)"),
    ("reorder.pointwise", (0.5, 0.4), None, "the same of a 1 x 1"),
    ("reorder.weights", (0.0, 0.0), (2.0, 0.7), "the same of a convolution's weights (CPUs)"),
    ("wave_s", (2e-6, 0.4), (0.02e-6, 1.0), "seconds of a wave that computes nothing"),
    ("setup_s", (4e-6, 0.4), (2e-6, 0.7), "seconds of a convolution that is no depthwise one, beyond its floor"),
    ("sync_s", (0.0, 0.0), (2e-6, 1.0), "seconds of a kernel for each doubling of its threads (CPUs)"),
    ("floor", (1.0, 0.2), (1.0, 0.5), "times the device's floor"),
    ("graph", (0.8, 0.3), (1.0, 0.0), "times the floor of a kernel in a graph, which starts sooner (GPUs)"),
    ("corner", (4.0, 0.3), (3.0, 0.4), "the p of the p-norm that joins computing and moving"),
    ("dispatch", (1.0, 0.0), (1.0, 0.5), "times the host's dispatch of an operator"),
    ("guards", (3.5, 0.0), (3.5, 0.0), "dispatches that entering a compiled call takes the host"),
    ("compiled", (0.8, 0.0), (0.8, 0.5), "dispatches that a kernel of a compiled call takes the host"),
    ("autograd.operator", (0.3, 0.0), (0.3, 0.0), "operator calls more that one takes the host when autograd notes it"),
    ("autograd.call", (2.7, 0.0), (2.7, 0.0), "dispatches that a backward call takes the host, before any kernel"),
    ("autograd.kernel", (1.8, 0.0), (1.8, 0.0), "operator calls that a kernel of the backward pass takes the host"),
    ("backward.contraction", (2.5, 0.0), (2.0, 0.0), "backward over forward of dense, grouped and 1 x 1 convolutions"),
    ("backward.depthwise.plain", (16.6, 0.0), (3.0, 0.0), "backward over forward of depthwise convolutions in fp32"),
    ("backward.depthwise.half", (2.4, 0.0), (3.0, 0.0), "the same in fp16 and bf16"),
    ("backward.moving", (2.0, 0.0), (2.0, 0.0), "backward over forward of what only moves"),
)
PRIOR = {f"gpu.{name}": Prior(*gpu, meaning) for name, gpu, _, meaning in _BY_KIND} | {
    f"cpu.{name}": Prior(*cpu, meaning) for name, _, cpu, meaning in _BY_KIND if cpu is not None
}
"""Every parameter. The values are what kernels of these kinds usually reach (0.6 to 0.9 of a peak or a bandwidth).

A copy reads and writes its bytes: 2.0. The share of depthwise convolutions in fp32 is published (INDEXED of
kernel_model.py). So are the host's values: 44.3 and 42.4 us of an empty compiled graph, 6.8 and 9.1 of its kernel
(tritonbench pull request 1017, GB200); 5.0 and 6.8, 4.6 and 5.6 us of an operator without and with requires_grad
(pytorch issues 41383 and 122029); 23 and 31 us of the backward of one addition (issue 44484, CPU); 136 us of that of a
small product, two products and two additions to gradients (issue 157407, A100). There a dispatch is assumed to take 10
us, with its launch 15.

The GPU's backward values are those of one published card, not fitted: 4.8 - 0.272 ms over 0.272 ms, 0.684 - 0.201 over
0.201 and, in between, 1.34 - 0.387 over 0.387 (A100, P. Gavrikov, pytorch/pytorch issue 18631); the CPU's are
estimates.
"""


def _file() -> bytes:
    return (files("bench.spec.model") / FILE).read_bytes()


@cache
def fit_result() -> dict[str, Any]:
    """The content of FILE."""
    result: dict[str, Any] = json.loads(_file())
    return result


def prior() -> Parameters:
    """All parameters before any fit."""
    return {name: one.value for name, one in PRIOR.items()}


@cache
def fitted() -> Parameters:
    """All parameters by the shipped fit; the prior's values for those that are not fitted."""
    return {**prior(), **fit_result()["parameters"]}


WORSE = {
    "gpu": (
        "in training and under torch.compile (small blocks take longer than predicted), in channels_last at fp32 (the model "
        "treats it like contiguous, on an H100 it is slower) and in large batches of many channels at fp32 (the library "
        "changes its algorithm there, and the separable block gains less than predicted)"
    ),
    "cpu": (
        "in training and under torch.compile, for small blocks (no data sheet gives the host's time of a call) and for large "
        "contiguous maps (laying them out anew takes longer than predicted on few cores)"
    ),
}
"""Where the model is known to be less accurate, by kind of device; docs/PREDICTION_FIT.md has the figures."""
SLOWER = 4.0  # times: an unknown host may be slower than the 15 us for an operator that it is given; known ones took 23 to 92
OBSERVATIONS = 1000  # values behind an error that counts as known: with as many, a t-interval is a normal one


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's name, and the half-widths (ln) of the 95 % intervals of its times and speedups, also in training.

    `host`: how many times slower than assumed the host may be, for which intervals are widened.
    """

    model: str
    time: float
    speedup: float
    training_time: float = 0.0
    training_speedup: float = 0.0
    host: float = 1.0

    def of(self, training: bool) -> tuple[float, float]:
        """The half-widths of a time and of a speedup."""
        if not training:
            return self.time, self.speedup
        return max(self.time, self.training_time), max(self.speedup, self.training_speedup)


def prediction_of(device: PredictedDevice) -> Prediction:
    """The model and its errors for a device. The host of a GPU may be slower if the device gives no source for it."""
    host = SLOWER if device.kind == "gpu" and "dispatch_s" not in device.sources else 1.0
    return Prediction(model_name(), **fit_result()["errors"][device.kind], host=host)


def model_name() -> str:
    """`model 3f9c2a`, with a hash of the fitted parameters."""
    return f"model {hashlib.sha256(_file()).hexdigest()[:6]}"


def device_name(device: PredictedDevice) -> str:
    """The device in rows: `predicted NVIDIA H100 SXM5 80 GB (model 3f9c2a)`."""
    return f"predicted {device.title} ({model_name()})"


def without_model(text: str) -> str:
    """A text with devices by `device_name`, without the model's name."""
    return re.sub(r" \(model [0-9a-f]{6}\)", "", text)


def disagreements(name: str, disagree: Mapping[str, str]) -> list[str]:
    """A line for each figure of a device on which sources disagree."""
    return [f"Sources disagree on the {figure} of {name}: {text.rstrip('.')}." for figure, text in disagree.items()]
