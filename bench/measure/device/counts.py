"""Count what one evaluation takes, and never while timing: its peak memory, and the kernels that it starts.

Memory is beyond what was allocated before. Kernels are counted by torch's profiler and by the nodes of a captured graph.
"""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Peak:
    """Bytes allocated in the allocator's blocks, requested by tensors, and reserved on the device by the allocator."""

    allocated: int | None
    requested: int | None = None
    reserved: int | None = None


def peak_on_cpu(call: Call, clear: Call) -> Peak:
    """Peak by torch's record of allocations, with workspaces of libraries that use its allocator.

    `clear` frees the gradients of the last call, so that they count in this one. The result repeats to the byte. Memory
    that a library maps itself (as oneDNN's scratchpad) is not seen.
    """
    held = call()  # the first call makes permanent allocations: packed weights, caches of primitives
    del held
    clear()
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        held = call()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    del held
    return Peak(peak)


def peak_on_accelerator(call: Call, clear: Call, module: Any, device: torch.device) -> Peak:
    """Peak by the device's caching allocator, after a first call that allocates handles and workspaces."""
    held = call()
    del held
    clear()
    gc.collect()
    module.synchronize(device)
    module.empty_cache()  # or memory reserved by other arms would count
    module.reset_peak_memory_stats(device)
    before = _stats(module, device)
    held = call()
    module.synchronize(device)
    after = _stats(module, device)
    del held
    asked, base = after.get("requested_bytes.all.peak"), before.get("requested_bytes.all.current")
    return Peak(
        allocated=int(module.max_memory_allocated(device)) - before.get("allocated_bytes.all.current", 0),
        requested=None if asked is None or base is None else asked - base,  # not every allocator records it
        reserved=after.get("reserved_bytes.all.peak"),
    )


def _stats(module: Any, device: torch.device) -> dict[str, int]:
    stats: dict[str, int] = dict(module.memory_stats(device)) if hasattr(module, "memory_stats") else {}
    return stats | {"allocated_bytes.all.current": int(module.memory_allocated(device))}


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
