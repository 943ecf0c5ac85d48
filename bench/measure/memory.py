"""The most memory that one evaluation holds beyond what was there before it: a pass of its own, never while timing."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_on_cpu(call: Callable[[], object], clear: Callable[[], None]) -> int:
    """Peak bytes by torch's own record of allocations, workspaces of the libraries that use its allocator included.

    `clear` lets go of what the last call left behind (gradients), so that it counts in this one. It repeats to the byte. What a library maps behind torch's back (oneDNN's scratchpad among it) is not seen.
    """
    held = call()  # the first call allocates what stays: packed weights, primitives' caches
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
    return peak


def peak_on_accelerator(call: Callable[[], object], clear: Callable[[], None], device: torch.device) -> int:
    """Peak bytes by the device's caching allocator, after a call that has allocated handles and workspaces."""
    module = torch.get_device_module(device)
    held = call()
    del held
    clear()
    gc.collect()
    module.synchronize(device)
    module.reset_peak_memory_stats(device)
    before = module.memory_allocated(device)
    held = call()
    module.synchronize(device)
    del held
    return int(module.max_memory_allocated(device) - before)
