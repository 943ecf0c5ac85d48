"""Measured roofs: the most FLOP/s and bytes/s that this device shows in this process, as bounds for what blocks reach.

Computing by a square matrix product and by a dense 3x3 convolution in both layouts; moving bytes by a copy, a triad
(c = a + s b; McCalpin 1995, STREAM) and a read of two streams (a dot product), in the last-level cache and beyond it.
Bytes are moved as fp32 whatever the dtype. The sampler is that of the trials; a roof is a bound, so that its fastest
sample counts. Whatever a device can't do has no roof, and `detail` says why.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor

from bench.measure.device.cache_size import ASSUMED_CACHE, last_level_cache, room
from bench.measure.device.devices import Device
from bench.measure.device.switches import set_switches
from bench.measure.modules import DTYPES, FORMATS
from bench.measure.sampling import sample
from bench.spec.config.timing import Timing
from bench.spec.errors import first_line
from bench.spec.format import digits

TIMING = Timing(seconds=0.3, sample_seconds=0.005, warmup_seconds=0.1, rounds_min=3, precision=1e-9)
CALL_NS = 2.5e6  # a call that takes as long is large enough, unless a larger one is faster by GAIN
LONG_CALL_NS = 2e7  # and this is too long
GAIN = 1.2
PROBE_NS = 1e6
LEAST_SET = 256 << 10  # bytes: below, an operator's own call takes a share of the time
BEYOND = 3  # times the last-level cache is beyond it: of less, a good part would still be found there
LEAST_POOL = 256 << 20
LEAST_POOL_OF_A_CARD = 4 << 30  # a card goes through the other in 0.1 ms, and would be timed by its launches
PARTS = 8  # of the memory beyond the cache, taken in turn, so that a call need not go through all of it
IN_A_GRAPH = 16


@dataclass(frozen=True, slots=True)
class Load:
    """A call and what it does: FLOP, or bytes read and written."""

    name: str
    call: Callable[[], object]
    amount: float


@dataclass(slots=True)
class Roofs:
    """Rates in 1/s, None where there is none; the last-level cache in bytes. `detail` has a word on each by its name."""

    matmul_flop_per_s: float | None = None
    conv_flop_per_s: float | None = None
    cache_bytes_per_s: float | None = None
    memory_bytes_per_s: float | None = None
    cache_bytes: int = 0
    detail: dict[str, str] = field(default_factory=dict)


def measure(device: Device, dtype: str) -> Roofs:
    """The device's roofs for one dtype, in about 1.5 s. Never an error: a roof that fails is None, with the reason."""
    set_switches(dtype, cudnn_benchmark=True)
    cache = last_level_cache(device)
    found = Roofs(cache_bytes=cache or ASSUMED_CACHE)
    if cache is None:
        found.detail["cache_bytes"] = "assumed, as the device does not tell"
    with torch.inference_mode():
        for part in (_computing, _moving):
            try:
                part(device, dtype, found)
                device.empty_cache()
            except (RuntimeError, MemoryError, OSError, TypeError) as error:
                found.detail[part.__name__.strip("_")] = first_line(error, 200)
    return found


def speed(device: Device) -> float | None:
    """FLOP/s of a dense fp32 convolution, in a fraction of a second: good enough to plan by. None where it can't be run."""
    set_switches("fp32", cudnn_benchmark=True)
    with torch.inference_mode():
        try:
            load = _large_enough(device, _convs(device.torch_device, torch.float32, "contiguous"))
            return load.amount / min(device.time(load.call, 1) for _ in range(3)) * 1e9
        except (RuntimeError, MemoryError, TypeError):
            return None


def record(device: Device, dtype: str) -> dict[str, Any]:
    """The same for the journal, with three digits more than it is good for."""
    return {k: round(v) if isinstance(v, float) else v for k, v in asdict(measure(device, dtype)).items()}


def _computing(device: Device, dtype: str, found: Roofs) -> None:
    place, kind = device.torch_device, DTYPES[dtype]
    ladders = {"matmul": _matmuls(place, kind)} | {f"conv {name}": _convs(place, kind, name) for name in FORMATS}
    loads: list[Load] = []
    for name, ladder in ladders.items():
        roof = f"{name.partition(' ')[0]}_flop_per_s"
        try:
            loads.append(_large_enough(device, ladder))
        except (RuntimeError, TypeError) as error:
            found.detail.setdefault(roof, first_line(error, 200))
    for load, rate in zip(loads, _rates(device, loads), strict=True):
        roof = f"{load.name.partition(' ')[0]}_flop_per_s"
        if rate > (getattr(found, roof) or 0.0):
            setattr(found, roof, rate)
            found.detail[roof] = load.name.partition(" ")[2]


def _moving(device: Device, _: str, found: Roofs) -> None:
    pool = _pool(device, found.cache_bytes)
    loads: dict[str, list[Load]] = {"cache_bytes_per_s": [], "memory_bytes_per_s": []}
    size = LEAST_SET
    best = 0.0
    while size <= found.cache_bytes // 2:
        inside = [_replayed(device, load) for load in _moves(pool[: size // 4], _mebibytes(size))]
        reached = max(_probed(device, load) for load in inside)
        if reached > best:
            best, loads["cache_bytes_per_s"] = reached, inside
        size *= 2
    if pool.numel() * 4 >= 2 * found.cache_bytes:
        loads["memory_bytes_per_s"] = _in_turn(pool)
    else:
        found.detail["memory_bytes_per_s"] = f"{_mebibytes(room(device))} are free, too few to get beyond the cache"
    every = [load for some in loads.values() for load in some]
    rates = dict(zip(map(id, every), _rates(device, every), strict=True))
    for roof, some in loads.items():
        if some:
            fastest = max(some, key=lambda load: rates[id(load)])
            setattr(found, roof, rates[id(fastest)])
            found.detail[roof] = fastest.name


def _rates(device: Device, loads: Sequence[Load]) -> list[float]:
    """Each load's amount per second in its fastest sample, of those of the warm-up too."""
    if not loads:
        return []
    visit = sample([partial(device.time, load.call) for load in loads], TIMING, 0, device.clock, None)
    return [load.amount / min(*arm.times, *arm.warm_up) * 1e9 for load, arm in zip(loads, visit.arms, strict=True)]


def _matmuls(place: torch.device, dtype: torch.dtype) -> Iterator[Load]:
    """Square matrix products, ever larger."""
    for size in (64, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384):
        a, b = (torch.randn(size, size, device=place).to(dtype) for _ in range(2))
        yield Load(f"matmul {size} x {size}", partial(torch.mm, a, b), 2.0 * size**3)


def _convs(place: torch.device, dtype: torch.dtype, layout: str) -> Iterator[Load]:
    """Dense 3x3 convolutions of 28 x 28 pixels, ever wider, then with ever more items."""
    for channels, batch in ((64, 1), (128, 1), (256, 1), (256, 8), (256, 64), (256, 512)):
        memory_format = FORMATS[layout]
        x = torch.randn(batch, channels, 28, 28, device=place).to(dtype).contiguous(memory_format=memory_format)
        w = torch.randn(channels, channels, 3, 3, device=place).to(dtype).contiguous(memory_format=memory_format)
        name = f"conv {channels}->{channels} 3x3 28x28 batch {batch} {layout}"
        flop = 2.0 * batch * channels**2 * 9 * 28**2
        yield Load(name, partial(torch.nn.functional.conv2d, x, w, padding=1), flop)


def _large_enough(device: Device, ladder: Iterator[Load]) -> Load:
    """The fastest load of a ladder, climbed until a call takes CALL_NS and was not much faster than the one before.

    A stalled thread can make any short call long, so length alone does not end the climb. Raises what the first load
    raises.
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
    """Memory well beyond the cache, as written fp32, as far as a quarter of what is free allows.

    A CPU's is not the C library's, whose heap would keep it, and so be another for the trials that follow.
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
    """A copy, a triad and a read over a stretch of fp32."""
    half, third = memory.numel() // 2, memory.numel() // 3
    a, b = memory[:half], memory[half : 2 * half]
    p, q, r = (memory[i * third : (i + 1) * third] for i in range(3))
    return [
        Load(f"copy, {where}", partial(b.copy_, a), 8.0 * half),
        Load(f"triad, {where}", partial(torch.add, p, q, alpha=0.5, out=r), 12.0 * third),
        Load(f"read, {where}", partial(torch.dot, a, b), 8.0 * half),
    ]


def _in_turn(pool: Tensor) -> list[Load]:
    """The same over a pool, a part of it a call, and each part only after all others."""
    size = pool.numel() // PARTS
    parts = [_moves(pool[i * size : (i + 1) * size], _mebibytes(4 * pool.numel())) for i in range(PARTS)]
    return [
        Load(some[0].name, _Turns([load.call for load in some]), some[0].amount) for some in zip(*parts, strict=True)
    ]


class _Turns:
    """One of several calls, and the next time the next one."""

    def __init__(self, calls: Sequence[Callable[[], object]]) -> None:
        self.calls = calls
        self.turn = count()

    def __call__(self) -> None:
        self.calls[next(self.turn) % len(self.calls)]()


def _replayed(device: Device, load: Load) -> Load:
    """The load several times over in a graph, where the device has graphs: else it would time launches."""

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
    """A load's rate at a glance."""
    calls = 1
    load.call()
    while (took := min(device.time(load.call, calls) for _ in range(2))) < PROBE_NS:
        calls *= 2
    return load.amount * calls / took * 1e9


def _mebibytes(size: int) -> str:
    return f"{digits(size / (1 << 20), 3)} MiB"
