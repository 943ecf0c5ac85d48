"""What the host takes for one call: dispatching operators, entering compiled code, keeping autograd's books.

Beside the device's own figures (predicted_devices.py) stand parameters in units of its dispatch, so that a slow host is
slow in all of them. Those of autograd and of a compiled call are published, not fitted; each source stands in
model_parameters.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from bench.spec.blocks.kernels import CONTRACTIONS, Kernel
from bench.spec.model.model_parameters import Parameters

Mode = Literal["eager", "graph", "compile"]


class HostDemand(NamedTuple):
    """How often a call asks each thing of the host.

    `operators` that it dispatches and launches; `replays` of a graph; `entered`: compiled calls, of so many `compiled`
    kernels; `noted`: operators that autograd notes in the forward pass; `backwards`: backward calls, and their `nodes`
    of one kernel each. Numbers, or columns of them.
    """

    operators: Any = 0
    replays: Any = 0
    entered: Any = 0
    compiled: Any = 0
    noted: Any = 0
    backwards: Any = 0
    nodes: Any = 0


def host_demand(mode: str, run: Iterable[tuple[Kernel, int]], training: bool = False) -> HostDemand:
    """What a call of kernels, each so often, asks of the host in a mode; nothing where a library is called by itself."""
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
    )  # each counts its batches, in an operator of its own
    nodes = sum(backward_kernels(kernel) * n for kernel, n in counted)
    return HostDemand(calls + norms, noted=calls, backwards=1, nodes=nodes)


def backward_kernels(kernel: Kernel) -> int:
    """Kernels of an operator's backward: gradients of the input and of the weights are one each."""
    return kernel.calls * (2 if kernel.family in (*CONTRACTIONS, "depthwise") else 1)


def host_seconds(kind: str, dispatch_s: Any, launch_s: Any, asked: HostDemand, p: Parameters) -> Any:
    """Seconds of the host of a kind of device, by what it takes to dispatch and, beside a GPU, to launch: numbers or columns."""
    dispatch_s = dispatch_s * p[f"{kind}.dispatch"]
    each_s = dispatch_s + (launch_s if kind == "gpu" else 0.0)
    called = asked.operators + asked.replays + asked.noted * p[f"{kind}.autograd.operator"]
    called = called + asked.nodes * p[f"{kind}.autograd.kernel"]
    alone = asked.backwards * p[f"{kind}.autograd.call"] + asked.entered * p[f"{kind}.guards"]
    return called * each_s + (alone + asked.compiled * p[f"{kind}.compiled"]) * dispatch_s
