"""Measure the peak memory of one evaluation, beyond what was allocated before it; never while timing."""

from __future__ import annotations

import gc
from collections.abc import Callable
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
