"""The parameters of the prediction model: the meaning of each, its value before a fit (PRIOR), its fitted value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

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
_NOTED = "operator calls more that one takes the host when autograd notes it"
_BACKWARD = "dispatches that a backward call takes the host, before any kernel"
_NODE = "operator calls that a kernel of the backward pass takes the host"

PRIOR: dict[str, Prior] = {
    "gpu.compute.dense.plain": Prior(0.7, 0.2, f"{_SHARE}k x k convolutions in fp32"),
    "gpu.compute.dense.tensor": Prior(0.6, 0.2, f"{_SHARE}k x k convolutions on matrix units"),
    "gpu.compute.pointwise.plain": Prior(0.7, 0.2, f"{_SHARE}1 x 1 convolutions in fp32"),
    "gpu.compute.pointwise.tensor": Prior(0.6, 0.2, f"{_SHARE}1 x 1 convolutions on matrix units"),
    "gpu.compute.grouped.plain": Prior(0.4, 0.4, f"{_SHARE}grouped convolutions in fp32"),
    "gpu.compute.grouped.tensor": Prior(0.3, 0.4, f"{_SHARE}grouped convolutions on matrix units"),
    "gpu.compute.linear.plain": Prior(0.6, 0.2, f"{_SHARE}linear layers in fp32"),
    "gpu.compute.linear.tensor": Prior(0.6, 0.2, f"{_SHARE}linear layers on matrix units"),
    "gpu.compute.depthwise": Prior(0.15, 0.4, "share of the fp32 peak, depthwise convolutions of any dtype"),
    "gpu.generic": Prior(0.7, 0.3, "times that for a depthwise filter that no kernel is unrolled for"),
    "gpu.winograd": Prior(1.5, 0.4, "times faster is a 3 x 3 of stride 1 in fp32 (2.25 fewer products at most)"),
    "gpu.move.contraction": Prior(0.8, 0.1, f"{_BANDWIDTH}convolutions and linear layers"),
    "gpu.move.depthwise": Prior(0.7, 0.15, f"{_BANDWIDTH}depthwise convolutions"),
    "gpu.move.elementwise": Prior(0.88, 0.06, f"{_BANDWIDTH}activations and additions"),
    "gpu.move.norm": Prior(0.8, 0.15, f"{_BANDWIDTH}batch norm"),
    "gpu.move.pool": Prior(0.7, 0.3, f"{_BANDWIDTH}pooling"),
    "gpu.cache.rate": Prior(0.6, 0.3, "share of the cache's bandwidth"),
    "gpu.cache.share": Prior(0.5, 0.4, "share of the cache in which a kernel finds its bytes"),
    "gpu.paper": Prior(1.0, 0.0, "of CPUs alone"),
    "gpu.paper.memory": Prior(1.0, 0.0, "of CPUs alone"),
    "gpu.reorder": Prior(0.5, 0.4, "times that the maps of a contiguous k x k on matrix units are moved once more"),
    "gpu.reorder.pointwise": Prior(0.5, 0.4, "the same of a 1 x 1"),
    "gpu.reorder.weights": Prior(0.0, 0.0, "of CPUs alone"),
    "gpu.wave_s": Prior(2e-6, 0.4, "seconds of a wave that computes nothing"),
    "gpu.setup_s": Prior(4e-6, 0.4, "seconds of a convolution that is no depthwise one, beyond its floor"),
    "gpu.sync_s": Prior(0.0, 0.0, "of CPUs alone"),
    "gpu.floor": Prior(1.0, 0.2, "times the device's floor"),
    "gpu.graph": Prior(0.8, 0.3, "times the floor of a kernel in a graph, which follows the one before it sooner"),
    "gpu.corner": Prior(4.0, 0.3, "the p of the p-norm that joins computing and moving"),
    "gpu.dispatch": Prior(1.0, 0.0, "times the host's dispatch of an operator"),
    "gpu.guards": Prior(3.5, 0.0, "dispatches that entering a compiled call takes the host"),
    "gpu.compiled": Prior(0.8, 0.0, "dispatches that a kernel of a compiled call takes the host"),
    "gpu.autograd.operator": Prior(0.3, 0.0, _NOTED),
    "gpu.autograd.call": Prior(2.7, 0.0, _BACKWARD),
    "gpu.autograd.kernel": Prior(1.8, 0.0, _NODE),
    "gpu.backward.contraction": Prior(2.5, 0.0, "backward over forward of dense, grouped and 1 x 1 convolutions"),
    "gpu.backward.depthwise.plain": Prior(16.6, 0.0, "backward over forward of depthwise convolutions in fp32"),
    "gpu.backward.depthwise.half": Prior(2.4, 0.0, "backward over forward of depthwise convolutions in fp16 and bf16"),
    "gpu.backward.moving": Prior(2.0, 0.0, "backward over forward of what only moves"),
    "cpu.compute.dense.plain": Prior(0.6, 0.4, f"{_SHARE}k x k convolutions"),
    "cpu.compute.pointwise.plain": Prior(0.5, 0.4, f"{_SHARE}1 x 1 convolutions"),
    "cpu.compute.grouped.plain": Prior(0.3, 0.4, f"{_SHARE}grouped convolutions"),
    "cpu.compute.linear.plain": Prior(0.5, 0.4, f"{_SHARE}linear layers"),
    "cpu.compute.depthwise": Prior(0.15, 0.4, "share of the peak, depthwise convolutions"),
    "cpu.generic": Prior(1.0, 0.0, "of GPUs alone"),
    "cpu.winograd": Prior(1.0, 0.0, "of GPUs alone"),
    "cpu.move.contraction": Prior(0.7, 0.3, f"{_BANDWIDTH}convolutions and linear layers"),
    "cpu.move.depthwise": Prior(0.7, 0.3, f"{_BANDWIDTH}depthwise convolutions"),
    "cpu.move.elementwise": Prior(0.7, 0.3, f"{_BANDWIDTH}activations and additions"),
    "cpu.move.norm": Prior(0.7, 0.3, f"{_BANDWIDTH}batch norm"),
    "cpu.move.pool": Prior(0.5, 0.3, f"{_BANDWIDTH}pooling"),
    "cpu.cache.rate": Prior(0.6, 0.4, "share of the cache's bandwidth"),
    "cpu.cache.share": Prior(0.5, 0.2, "share of the cache in which a kernel finds its bytes"),
    "cpu.paper": Prior(
        0.8, 0.3, "share of a data sheet's peak that the best kernel reaches (1 of a roof that was measured)"
    ),
    "cpu.paper.memory": Prior(0.8, 0.3, "the same of a data sheet's bandwidth"),
    "cpu.reorder": Prior(
        2.0, 0.4, "times the bytes of a contiguous convolution's maps that laying them out anew moves"
    ),
    "cpu.reorder.weights": Prior(2.0, 0.7, "the same of a convolution's weights"),
    "cpu.wave_s": Prior(0.02e-6, 1.0, "seconds of a wave that computes nothing"),
    "cpu.setup_s": Prior(2e-6, 0.7, "seconds of a convolution that is no depthwise one, beyond its floor"),
    "cpu.sync_s": Prior(2e-6, 1.0, "seconds of a kernel for each doubling of its threads"),
    "cpu.floor": Prior(1.0, 0.5, "times the device's floor"),
    "cpu.graph": Prior(1.0, 0.0, "of GPUs alone"),
    "cpu.corner": Prior(3.0, 0.4, "the p of the p-norm that joins computing and moving"),
    "cpu.dispatch": Prior(1.0, 0.5, "times the host's dispatch of an operator"),
    "cpu.guards": Prior(3.5, 0.0, "dispatches that entering a compiled call takes"),
    "cpu.compiled": Prior(0.8, 0.5, "dispatches that a kernel of a compiled call takes"),
    "cpu.autograd.operator": Prior(0.3, 0.0, _NOTED),
    "cpu.autograd.call": Prior(2.7, 0.0, _BACKWARD),
    "cpu.autograd.kernel": Prior(1.8, 0.0, _NODE),
    "cpu.backward.contraction": Prior(2.0, 0.0, "backward over forward of dense, grouped and 1 x 1 convolutions"),
    "cpu.backward.depthwise.plain": Prior(3.0, 0.0, "backward over forward of depthwise convolutions in fp32"),
    "cpu.backward.depthwise.half": Prior(3.0, 0.0, "backward over forward of depthwise convolutions in fp16 and bf16"),
    "cpu.backward.moving": Prior(2.0, 0.0, "backward over forward of what only moves"),
}
"""Every parameter. The values are what kernels of these kinds usually reach (0.6 to 0.9 of a peak or a bandwidth).

A copy reads and writes its bytes: 2.0. The host's values are published: 44.3 and 42.4 us of an empty compiled graph,
6.8 and 9.1 of its kernel (tritonbench pull request 1017, GB200); 5.0 and 6.8, 4.6 and 5.6 us of an operator without and
with requires_grad (pytorch issues 41383 and 122029); 23 and 31 us of the backward of one addition (issue 44484, CPU);
136 us of that of a small product, two products and two additions to gradients (issue 157407, A100). There a dispatch is
assumed to take 10 us, with its launch 15.

The GPU's backward values are those of one published card, not fitted: 4.8 - 0.272 ms over 0.272 ms, 0.684 - 0.201 over
0.201 and, in between, 1.34 - 0.387 over 0.387 (A100, P. Gavrikov, pytorch/pytorch issue 18631); the CPU's are
estimates.
"""


@cache
def fit_result() -> dict[str, Any]:
    """The content of FILE; empty before the first fit."""
    file = files("bench.spec.model") / FILE
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return result


def prior() -> Parameters:
    """All parameters before any fit."""
    return {name: one.value for name, one in PRIOR.items()}


def fitted_without(machine: str) -> Parameters:
    """All parameters by the fit that left out this machine of ours; by the shipped fit for an unknown machine."""
    return {**fitted(), **fit_result().get("without", {}).get(machine, {})}


def machines_seen() -> tuple[str, ...]:
    """The machines of ours in the shipped fit, each of which another fit left out."""
    return tuple(fit_result().get("without", ()))


@cache
def fitted() -> Parameters:
    """All parameters by the shipped fit; the prior's values for those that are not fitted."""
    return {**prior(), **fit_result().get("parameters", {})}
