"""How many kernels a call starts: the claim's "number of layers", measured."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


def by_profiler(call: Call, kind: str, synchronize: Callable[[], None]) -> int | None:
    """Kernels that the profiler saw on the device during one call; None where it can't look into this device.

    None of them is none seen: without CUPTI, or while another profiler holds it, no event comes.
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
    """Kernels among raw events: copies, fills and the mirrored ranges of record_function are none."""
    return sum(1 for e in events if e.device_type().name.lower() == kind and _is_kernel(e))


def _is_kernel(event: Any) -> bool:
    if hasattr(event, "activity_type"):
        return bool(event.activity_type() == "kernel")
    # torch up to 2.11 does not tell the kind: what is no range of record_function and no copy or fill by its name
    return not event.is_user_annotation() and not event.name().startswith(("Memcpy", "Memset"))


def by_graph(call: Call, kind: str, capture: Callable[[Any, Call], object]) -> int | None:
    """Kernel nodes of the call captured as a CUDA graph; None without CUDA's Python bindings.

    `call` must not itself replay a graph. `capture` runs it while the graph that it is given notes it, and raises where
    that fails.
    """
    if kind != "cuda":
        return None
    try:
        runtime: Any = importlib.import_module("cuda.bindings.runtime")
    except ImportError:
        return None
    graph = torch.cuda.CUDAGraph(keep_graph=True)
    held = capture(graph, call)
    found = kernel_nodes(graph.raw_cuda_graph(), runtime)
    del held
    return found


def kernel_nodes(graph: int, runtime: Any) -> int:
    """Kernels among a graph's nodes. RuntimeError where `runtime`, CUDA's bindings, answers with an error."""
    _, count = _answer(runtime, runtime.cudaGraphGetNodes(graph, 0))
    nodes, _ = _answer(runtime, runtime.cudaGraphGetNodes(graph, count))
    wanted = runtime.cudaGraphNodeType.cudaGraphNodeTypeKernel
    return sum(_answer(runtime, runtime.cudaGraphNodeGetType(node)) == [wanted] for node in nodes)


def _answer(runtime: Any, told: tuple[Any, ...]) -> list[Any]:
    """What stands behind the code of return, which comes first."""
    code, *answer = told
    if code != runtime.cudaError_t.cudaSuccess:
        raise RuntimeError(f"CUDA's graph could not be read: {code}")
    return answer
