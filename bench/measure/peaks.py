"""Measure the roofs of a device: the peak FLOP/s and bytes/s in this process, as limits for blocks.

FLOP/s by a square matrix product and a dense 3x3 convolution in both layouts; bytes/s by a copy, a triad (c = a + s b;
McCalpin 1995, STREAM) and a read of two streams (a dot product), in the last-level cache and beyond it, always in fp32.
The sampler is that of the trials, and the fastest sample counts. A roof that can't be measured is None, and `detail`
has the reason.
"""

from __future__ import annotations

import mmap
import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from bench.measure.device.devices import Device, set_switches
from bench.measure.disturbance import CPUS, WAIT, Watch, flags_of_machine
from bench.measure.modules import DTYPES, FORMATS
from bench.measure.sampling import sample
from bench.spec.columns import FLAGS
from bench.spec.config.timing import Timing
from bench.spec.errors import first_line
from bench.spec.files import file_text
from bench.spec.format import in_bytes, with_prefix

TIMING = Timing(seconds=0.3, sample_seconds=0.005, warmup_seconds=0.1, rounds_min=3, precision=1e-9)
CALL_NS = 2.5e6  # a call of this length is large enough, unless a larger one is faster by GAIN
LONG_CALL_NS = 2e7  # a longer call is not tried
GAIN = 1.2
PROBE_NS = 1e6
LEAST_SET = 256 << 10  # bytes: with less, the operator's call takes a share of the time
BEYOND = 3  # times the last-level cache, so that little of it stays in the cache
LEAST_POOL = 256 << 20
LEAST_POOL_OF_A_CARD = 4 << 30  # a card moves LEAST_POOL in 0.1 ms, and launches would dominate
POOL_PARTS = 8  # of the memory beyond the cache, one for each call, so that a call does not move all of it
IN_A_GRAPH = 16
AGAIN_AFTER_S = 1.0  # a disturbed probe of the speed
ASSUMED_CACHE = 32 << 20  # bytes, for a device that does not report it
ASSUMED_ROOM = 1 << 30
_LIMITS = (  # of control groups, version 2 and version 1
    (Path("/sys/fs/cgroup"), "memory.max"),
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Load:
    """A call and its amount of work: FLOP, or bytes read and written."""

    name: str
    call: Callable[[], object]
    amount: float


@dataclass(slots=True)
class Roofs:
    """Rates in 1/s, or None; the last-level cache in bytes. `detail`: by name, the load or why there is no rate."""

    matmul_flop_per_s: float | None = None
    conv_flop_per_s: float | None = None
    cache_bytes_per_s: float | None = None
    memory_bytes_per_s: float | None = None
    cache_bytes: int = 0
    detail: dict[str, str] = field(default_factory=dict)


def measure(device: Device, dtype: str) -> Roofs:
    """The device's roofs for one dtype, in about 1.5 s. Errors become a roof of None with the reason."""
    set_switches(dtype, cudnn_benchmark=True)
    cache = last_level_cache(device)
    roofs = Roofs(cache_bytes=cache or ASSUMED_CACHE)
    if cache is None:
        roofs.detail["cache_bytes"] = "assumed, as the device does not report it"
    with torch.inference_mode():
        for part in (_computing, _moving):
            try:
                part(device, dtype, roofs)
                device.empty_cache()
            except (RuntimeError, MemoryError, OSError, TypeError) as error:
                roofs.detail[part.__name__.strip("_")] = first_line(error, 200)
    return roofs


def conv_speed(device: Device, watch: Watch, first: float = 0.0) -> dict[str, Any]:
    """`conv_flop_per_s` of a dense fp32 convolution, for the plan, in a fraction of a second; None if it can't be run.

    A disturbed probe is followed by a second one, given the speed of the `first`; the faster counts. `conv_detail`: words.
    """
    set_switches("fp32", cudnn_benchmark=True)
    counted, machine, begun = watch.read(), watch.machine(), time.perf_counter_ns()
    with torch.inference_mode():
        try:
            load = _large_enough(device, _convs(device.torch_device, torch.float32, "contiguous"))
            speed = load.amount / min(device.time(load.call, 1) for _ in range(3)) * 1e9
        except (RuntimeError, MemoryError, TypeError):
            return {"conv_flop_per_s": None}
    watch.refresh()  # with the operators' threads that have started
    flags = watch.read().minus(counted).flags(time.perf_counter_ns() - begun) & WAIT
    flags |= flags_of_machine(machine, watch.machine())
    if flags and not first:
        time.sleep(AGAIN_AFTER_S)
        return conv_speed(device, watch, speed)
    disturbed = f" (both probes disturbed: {', '.join(w for bit, w in FLAGS.items() if flags & bit)})" if flags else ""
    speed = max(first, speed)
    return {"conv_flop_per_s": speed, "conv_detail": f"a dense convolution at {with_prefix(speed, 3)}FLOP/s{disturbed}"}


def record(device: Device, dtype: str) -> dict[str, Any]:
    """The roofs for the journal, rates in whole numbers."""
    return {k: round(v) if isinstance(v, float) else v for k, v in asdict(measure(device, dtype)).items()}


def _computing(device: Device, dtype: str, roofs: Roofs) -> None:
    place, kind = device.torch_device, DTYPES[dtype]
    ladders = [("matmul_flop_per_s", _matmuls(place, kind))]
    ladders += [("conv_flop_per_s", _convs(place, kind, layout)) for layout in FORMATS]
    loads: list[tuple[str, Load]] = []
    for roof, ladder in ladders:
        try:
            loads.append((roof, _large_enough(device, ladder)))
        except (RuntimeError, TypeError) as error:
            roofs.detail.setdefault(roof, first_line(error, 200))
    _reach(device, loads, roofs)


def _moving(device: Device, _: str, roofs: Roofs) -> None:
    pool = _pool(device, roofs.cache_bytes)
    loads: list[tuple[str, Load]] = []
    size = LEAST_SET
    best = 0.0
    while size <= roofs.cache_bytes // 2:
        inside = [_replayed(device, load) for load in _moves(pool[: size // 4], in_bytes(size, "MiB"))]
        reached = max(_probed(device, load) for load in inside)
        if reached > best:
            best, loads = reached, [("cache_bytes_per_s", load) for load in inside]
        size *= 2
    if pool.numel() * 4 >= 2 * roofs.cache_bytes:
        loads += [("memory_bytes_per_s", load) for load in _in_turn(pool)]
    else:
        free = in_bytes(room(device), "MiB")
        roofs.detail["memory_bytes_per_s"] = f"{free} are free, too few to get beyond the cache"
    _reach(device, loads, roofs)


def _reach(device: Device, loads: Sequence[tuple[str, Load]], roofs: Roofs) -> None:
    """Sample loads of some roofs together, and set each roof to the rate of its fastest one."""
    rates = _rates(device, [load for _, load in loads]) if loads else []
    for (roof, load), rate in zip(loads, rates, strict=True):
        if rate > (getattr(roofs, roof) or 0.0):
            setattr(roofs, roof, rate)
            roofs.detail[roof] = load.name


def _rates(device: Device, loads: Sequence[Load]) -> list[float]:
    """Each load's amount per second in its fastest sample, warm-up included."""
    visit = sample([partial(device.time, load.call) for load in loads], TIMING, 0, device.clock, None)
    return [load.amount / min(*arm.times, *arm.warm_up) * 1e9 for load, arm in zip(loads, visit.arms, strict=True)]


def _matmuls(place: torch.device, dtype: torch.dtype) -> Iterator[Load]:
    for size in (64, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384):
        a, b = (torch.randn(size, size, device=place).to(dtype) for _ in range(2))
        yield Load(f"{size} x {size}", partial(torch.mm, a, b), 2.0 * size**3)


def _convs(place: torch.device, dtype: torch.dtype, layout: str) -> Iterator[Load]:
    """Dense 3x3 convolutions of 28 x 28 pixels, ever wider, then with ever more items."""
    for channels, batch in ((64, 1), (128, 1), (256, 1), (256, 8), (256, 64), (256, 512)):
        memory_format = FORMATS[layout]
        x = torch.randn(batch, channels, 28, 28, device=place).to(dtype).contiguous(memory_format=memory_format)
        w = torch.randn(channels, channels, 3, 3, device=place).to(dtype).contiguous(memory_format=memory_format)
        name = f"{channels}->{channels} 3x3 28x28 batch {batch} {layout}"
        flop = 2.0 * batch * channels**2 * 9 * 28**2
        yield Load(name, partial(torch.nn.functional.conv2d, x, w, padding=1), flop)


def _large_enough(device: Device, ladder: Iterator[Load]) -> Load:
    """The fastest load of a ladder, tried until a call takes CALL_NS and is hardly faster than the one before.

    The length alone is not enough, as a stalled thread can make any call long. Raises what the first load raises.
    """
    best, reached = None, 0.0
    for load in ladder:
        try:
            load.call()  # the first call chooses an algorithm
            took = min(device.time(load.call, 1) for _ in range(3))
        except (torch.OutOfMemoryError, MemoryError):
            if best is None:
                raise
            break
        if took >= LONG_CALL_NS and best is not None:
            break
        gain, reached = load.amount / took / (reached or 1e-9), max(reached, load.amount / took)
        best = load if gain > 1 else best
        if took >= CALL_NS and gain < GAIN:
            break
    assert best is not None
    return best


def _pool(device: Device, cache: int) -> Tensor:
    """Memory well beyond the cache, filled with fp32, of at most a quarter of the free memory.

    On a CPU it is mapped, as the C library's heap would keep it and so differ for the trials that follow.
    """
    on_host = device.torch_device.type == "cpu"
    least = LEAST_POOL if on_host else LEAST_POOL_OF_A_CARD
    size = min(max(BEYOND * cache, least), room(device) // 4) // 4096 * 4096
    if not on_host:
        return torch.ones(size // 4, device=device.torch_device)
    mapped = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(mapped, dtype=torch.float32).fill_(1.0)


def _moves(memory: Tensor, where: str) -> list[Load]:
    half, third = memory.numel() // 2, memory.numel() // 3
    a, b = memory[:half], memory[half : 2 * half]
    p, q, r = (memory[i * third : (i + 1) * third] for i in range(3))
    return [
        Load(f"copy, {where}", partial(b.copy_, a), 8.0 * half),
        Load(f"triad, {where}", partial(torch.add, p, q, alpha=0.5, out=r), 12.0 * third),
        Load(f"read, {where}", partial(torch.dot, a, b), 8.0 * half),
    ]


def _in_turn(pool: Tensor) -> list[Load]:
    """The same on a pool, each call on the next one of its parts."""
    size, where = pool.numel() // POOL_PARTS, in_bytes(4 * pool.numel(), "MiB")
    parts = [_moves(pool[i * size : (i + 1) * size], where) for i in range(POOL_PARTS)]
    return [replace(some[0], call=_turns([load.call for load in some])) for some in zip(*parts, strict=True)]


def _turns(calls: Sequence[Callable[[], object]]) -> Callable[[], object]:
    turns = cycle(calls)
    return lambda: next(turns)()


def _replayed(device: Device, load: Load) -> Load:
    """The load repeated in a graph, if the device has graphs, so that launches do not dominate."""

    def several() -> Tensor:
        for _ in range(IN_A_GRAPH - 1):
            load.call()
        done = load.call()
        assert isinstance(done, Tensor)
        return done

    try:
        replay, _ = device.capture(several)
    except (NotImplementedError, RuntimeError):
        return load
    return Load(load.name, replay, IN_A_GRAPH * load.amount)


def _probed(device: Device, load: Load) -> float:
    calls = 1
    load.call()
    while (took := min(device.time(load.call, calls) for _ in range(2))) < PROBE_NS:
        calls *= 2
    return load.amount * calls / took * 1e9


def last_level_cache(device: Device) -> int | None:
    """Bytes of the device's last-level cache (for a CPU: of all that its threads can reach); None if unknown."""
    if device.torch_device.type == "cpu":
        usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
        return cpu_cache(usable, torch.get_num_threads())
    return int(device.properties().get("L2_cache_size", 0)) or None


def cpu_cache(cpus: Collection[int], threads: int, root: Path = CPUS) -> int | None:
    """Bytes of the last-level data caches of these CPUs, of at most as many caches as `threads`."""
    caches: dict[tuple[int, str], int] = {}  # level and the CPUs that share it, to its size
    for cpu in cpus:
        for index in (root / f"cpu{cpu}" / "cache").glob("index*"):
            kind, level, shared, size = (file_text(index / w) for w in ("type", "level", "shared_cpu_list", "size"))
            match = re.fullmatch(r"(\d+)([KMG]?)", size)
            if kind != "Instruction" and level and match is not None:
                caches[int(level), shared] = int(match[1]) * _UNITS[match[2]]
    last = max((level for level, _ in caches), default=0)
    sizes = sorted((size for (level, _), size in caches.items() if level == last), reverse=True)
    return sum(sizes[: max(1, threads)]) or None


def room(device: Device) -> int:
    """Free bytes on the device; ASSUMED_ROOM if unknown."""
    if device.torch_device.type == "cpu":
        return _host_room()
    module = torch.get_device_module(device.torch_device)
    if hasattr(module, "mem_get_info"):
        return int(module.mem_get_info(device.torch_device)[0])
    if hasattr(module, "recommended_max_memory"):  # mps
        return int(module.recommended_max_memory()) - int(module.driver_allocated_memory())
    return ASSUMED_ROOM


def _host_room() -> int:
    """The kernel's estimate of available memory, or a control group's limit if that is less (Linux)."""
    try:
        available = psutil.virtual_memory().available
    except OSError:  # without /proc
        available = ASSUMED_ROOM
    paths = {line.rpartition(":")[2].lstrip("/") for line in file_text("/proc/self/cgroup").splitlines()} | {""}
    files = [group / path / name for path in paths for group, name in _LIMITS]
    return min([available, *(int(text) for text in map(file_text, files) if text.isdigit())])
