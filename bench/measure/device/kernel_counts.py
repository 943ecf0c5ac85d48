"""Count the kernels that a call starts, by torch's profiler and by the nodes of a captured CUDA graph."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


def by_profiler(call: Call, kind: str, synchronize: Callable[[], None]) -> int | None:
    """Kernels that the profiler saw on the device during one call; None if it saw none or can't trace this device.

    There are no events without CUPTI, or while another profiler uses it.
    """
    activity = {"cuda": ProfilerActivity.CUDA, "xpu": getattr(ProfilerActivity, "XPU", None)}.get(kind)
    if activity is None:
        return None
    call()
    synchronize()
    with profile(activities=[ProfilerActivity.CPU, activity]) as recorded:
        call()
        synchronize()
    return kernels(recorded.profiler.kineto_results.events(), kind) or None


def kernels(events: Iterable[Any], kind: str) -> int:
    """Kernels among raw events, without copies, fills and the mirrored ranges of record_function."""
    return sum(1 for e in events if e.device_type().name.lower() == kind and _is_kernel(e))


def _is_kernel(event: Any) -> bool:
    if hasattr(event, "activity_type"):
        return bool(event.activity_type() == "kernel")
    # torch up to 2.11 has no types of events: exclude ranges of record_function, and copies and fills by their names
    return not event.is_user_annotation() and not event.name().startswith(("Memcpy", "Memset"))


def by_graph(call: Call, kind: str, capture: Callable[[Any, Call], object]) -> int | None:
    """Kernel nodes of the call captured as a CUDA graph; None without CUDA's Python bindings.

    `call` must not replay a graph itself. `capture(graph, call)` captures it and raises if that fails.
    """
    if kind != "cuda":
        return None
    try:
        runtime: Any = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return None
    graph = torch.cuda.CUDAGraph(keep_graph=True)
    held = capture(graph, call)
    nodes = kernel_nodes(graph.raw_cuda_graph(), runtime)
    del held
    return nodes


def kernel_nodes(graph: int, runtime: Any) -> int:
    """Kernels among a graph's nodes. RuntimeError for an error of `runtime`, CUDA's bindings."""
    _, count = _answer(runtime, runtime.cudaGraphGetNodes(graph, 0))
    nodes, _ = _answer(runtime, runtime.cudaGraphGetNodes(graph, count))
    wanted = runtime.cudaGraphNodeType.cudaGraphNodeTypeKernel
    return sum(_answer(runtime, runtime.cudaGraphNodeGetType(node)) == [wanted] for node in nodes)


def _answer(runtime: Any, result: tuple[Any, ...]) -> list[Any]:
    """A result without its first item, the return code."""
    code, *answer = result
    if code != runtime.cudaError_t.cudaSuccess:
        raise RuntimeError(f"CUDA's graph could not be read: {code}")
    return answer
