"""How many kernels a call starts: the claim's "number of layers", measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


def by_profiler(call: Call, kind: str, synchronize: Callable[[], None]) -> int | None:
    """Kernels that the profiler saw on the device during one call; None where it can't look into this device."""
    activity = {"cuda": ProfilerActivity.CUDA, "xpu": getattr(ProfilerActivity, "XPU", None)}.get(kind)
    if activity is None:
        return None
    call()
    synchronize()
    with profile(activities=[ProfilerActivity.CPU, activity]) as recorded:
        call()
        synchronize()
    return kernels(recorded.profiler.kineto_results.events(), kind)


def kernels(events: Iterable[Any], kind: str) -> int:
    """Kernels among raw events: copies, fills and the mirrored ranges of record_function are none."""
    return sum(1 for e in events if e.device_type().name.lower() == kind and e.activity_type() == "kernel")


def by_graph(call: Call, kind: str, module: Any) -> int | None:
    """Kernel nodes of the call captured as a CUDA graph; None without CUDA's Python bindings."""
    if kind != "cuda":
        return None
    try:
        runtime: Any = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return None
    graph = module.CUDAGraph(keep_graph=True)
    with module.graph(graph, capture_error_mode="thread_local"):
        held = call()
    raw = graph.raw_cuda_graph()
    _, _, count = runtime.cudaGraphGetNodes(raw, 0)
    _, nodes, _ = runtime.cudaGraphGetNodes(raw, count)
    wanted = runtime.cudaGraphNodeType.cudaGraphNodeTypeKernel
    found = sum(1 for node in nodes if runtime.cudaGraphNodeGetType(node)[1] == wanted)
    del held
    return found
