"""Predicted seconds of the host for one call: dispatch and launch of operators, compiled code, autograd.

The parameters are in units of the device's dispatch_s, so that a slow host is slow in all of them. Those of autograd
and of a compiled call are published, not fitted; model_parameters.py has the sources.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from bench.spec.blocks.kernels import CONTRACTIONS, Kernel
from bench.spec.model.model_parameters import Parameters

Mode = Literal["eager", "graph", "compile"]


class HostDemand(NamedTuple):
    """What the host does in a call, as counts. Numbers, or columns of them.

    `operators`: dispatched and launched; `replays` of a graph; `entered`: compiled calls, and `compiled`: their
    kernels; `noted`: operators that autograd records in the forward pass; `backwards`: backward calls, and `nodes`:
    their kernels.
    """

    operators: Any = 0
    replays: Any = 0
    entered: Any = 0
    compiled: Any = 0
    noted: Any = 0
    backwards: Any = 0
    nodes: Any = 0


def host_demand(mode: str, run: Iterable[tuple[Kernel, int]], training: bool = False) -> HostDemand:
    """The host's part of a call, from kernels and their numbers, in a mode; nothing in mode library."""
    counted = list(run)
    calls = sum(kernel.calls * n for kernel, n in counted)
    if mode == "library":
        return HostDemand()
    if mode == "graph":
        return HostDemand(replays=1)
    if mode == "compile":
        return HostDemand(entered=2 if training else 1, compiled=calls * (2 if training else 1))
    if not training:
        return HostDemand(operators=calls)
    norms = sum(
        n for kernel, n in counted if kernel.family == "norm"
    )  # each also counts its batches: one more operator
    nodes = sum(backward_kernels(kernel) * n for kernel, n in counted)
    return HostDemand(calls + norms, noted=calls, backwards=1, nodes=nodes)


def backward_kernels(kernel: Kernel) -> int:
    """Kernels of an operator's backward: one for the gradient of the input, one for that of the weights."""
    return kernel.calls * (2 if kernel.family in (*CONTRACTIONS, "depthwise") else 1)


def host_seconds(kind: str, dispatch_s: Any, launch_s: Any, asked: HostDemand, p: Parameters) -> Any:
    """The host's seconds, from its times of a dispatch and (for a GPU) of a launch. Numbers, or columns of them."""
    dispatch_s = dispatch_s * p[f"{kind}.dispatch"]
    each_s = dispatch_s + (launch_s if kind == "gpu" else 0.0)
    called = asked.operators + asked.replays + asked.noted * p[f"{kind}.autograd.operator"]
    called = called + asked.nodes * p[f"{kind}.autograd.kernel"]
    alone = asked.backwards * p[f"{kind}.autograd.call"] + asked.entered * p[f"{kind}.guards"]
    return called * each_s + (alone + asked.compiled * p[f"{kind}.compiled"]) * dispatch_s
