"""`torch.simgpu`, as `torch.cuda` is: events, streams, graphs, memory, properties, and torch's hooks into them."""

from __future__ import annotations

import atexit
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch.utils import backend_registration

from bench.spec.errors import UserError
from tests.simulated.engines import Engine, Kernel, Mark, Record, accelerator_error
from tests.simulated.machine import MACHINE, NAME, Cost
from tests.simulated.settings import Settings, from_environment
from tests.simulated.tensor import SimTensor, Spec, allocate

OLDEST = (2, 13)  # the first torch that this was tried with
INVALID_DEVICE = 101
Place = torch.device | int | str | None


class Event:
    """As torch.cuda.Event; times are the engine's, so that those of the virtual one are exact."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        del blocking, interprocess
        self._timed = enable_timing
        self._mark: Mark | None = None
        self._engine: Engine = MACHINE.engine

    def record(self, stream: Stream | None = None) -> None:
        """Put the event at the end of the queue."""
        del stream
        self._engine = MACHINE.engine
        self._mark = self._engine.event()

    def query(self) -> bool:
        """Whether the device has got there; true where the event was never recorded."""
        return self._mark is None or self._engine.reached(self._mark)

    def synchronize(self) -> None:
        """Wait until the device has got there."""
        if self._mark is not None:
            self._engine.wait(self._mark)

    def wait(self, stream: Stream | None = None) -> None:
        """There is one stream, and it is in order."""

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to that one; raises as torch does where there is no such time."""
        if not (self._timed and end_event._timed):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._mark is None or end_event._mark is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (end_event._mark.time_ns - self._mark.time_ns) / 1e6


class Stream:
    """The one queue, whatever it is called."""

    def __init__(self, device: Place = None, **_: object) -> None:
        _check_index(device)

    def wait_stream(self, stream: Stream) -> None: ...

    def wait_event(self, event: Event) -> None: ...

    def query(self) -> bool:
        """Whether the queue is empty."""
        return MACHINE.engine.reached(MACHINE.engine.mark())

    def synchronize(self) -> None:
        """Wait until the queue is empty."""
        MACHINE.engine.synchronize()

    def record_event(self, event: Event | None = None) -> Event:
        """An event at the end of the queue."""
        event = event or Event()
        event.record()
        return event


class CUDAGraph:
    """Kernels captured once and replayed in one launch, from the same inputs into the same outputs."""

    def __init__(self, keep_graph: bool = False) -> None:
        del keep_graph
        self.nodes: list[Kernel] | None = None

    def capture_begin(self, *_: object, **__: object) -> None:
        """Note launches from here on."""
        MACHINE.engine.begin_capture()

    def capture_end(self) -> None:
        """Keep what was noted."""
        self.nodes = MACHINE.engine.end_capture()

    def replay(self) -> None:
        """One launch, which no other graph can note."""
        if self.nodes is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        MACHINE.engine.refuse_in_capture()
        MACHINE.engine.replay(self.nodes)

    def reset(self) -> None:
        """Let go of what was captured."""
        self.nodes = None


class Capture:
    """`graph` of the module: captures the launches of its body. Pool, stream and error mode make no difference."""

    def __init__(self, cuda_graph: CUDAGraph, **_: object) -> None:
        self.cuda_graph = cuda_graph

    def __enter__(self) -> None:
        MACHINE.engine.synchronize()
        MACHINE.memory.empty_cache()
        self.cuda_graph.capture_begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cuda_graph.capture_end()


@dataclass(frozen=True, slots=True)
class Properties:
    """As torch.cuda.get_device_properties. Clocks in kHz, the bus in bits."""

    name: str
    total_memory: int
    L2_cache_size: int
    multi_processor_count: int = 16
    major: int = 8
    minor: int = 0
    uuid: str = "00000000-0000-0000-0000-73696d677075"
    clock_rate: int = 1_000_000
    memory_clock_rate: int = 1_000_000
    memory_bus_width: int = 256


class Module:
    """What `torch.get_device_module` gives for this device."""

    def __init__(self) -> None:
        self.Event, self.Stream, self.CUDAGraph, self.graph = Event, Stream, CUDAGraph, Capture

    # ------------------------------------------------------------ what torch asks for

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed(self, seed: int) -> None:
        """Of the device's own random numbers."""
        MACHINE.generator.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        self.manual_seed(seed)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    # ------------------------------------------------------------ devices

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Place) -> None:
        _check_index(device)

    def get_device_name(self, device: Place = None) -> str:
        return self.get_device_properties(device).name

    def get_device_capability(self, device: Place = None) -> tuple[int, int]:
        told = self.get_device_properties(device)
        return told.major, told.minor

    def get_device_properties(self, device: Place = None) -> Properties:
        _check_index(device)
        settings = MACHINE.settings
        return Properties(f"Simulated GPU ({settings.engine})", settings.memory, settings.l2)

    # ------------------------------------------------------------ the queue

    def synchronize(self, device: Place = None) -> None:
        _check_index(device)
        MACHINE.engine.synchronize()

    def current_stream(self, device: Place = None) -> Stream:
        return Stream(device)

    @contextmanager
    def stream(self, stream: Stream | None) -> Iterator[None]:
        """There is one queue."""
        del stream
        yield

    def _sleep(self, cycles: int) -> None:
        MACHINE.engine.sleep(cycles)

    # ------------------------------------------------------------ memory

    def memory_allocated(self, device: Place = None) -> int:
        return self.memory_stats(device)["allocated_bytes.all.current"]

    def max_memory_allocated(self, device: Place = None) -> int:
        return self.memory_stats(device)["allocated_bytes.all.peak"]

    def memory_reserved(self, device: Place = None) -> int:
        return self.memory_stats(device)["reserved_bytes.all.current"]

    def max_memory_reserved(self, device: Place = None) -> int:
        return self.memory_stats(device)["reserved_bytes.all.peak"]

    def memory_stats(self, device: Place = None) -> dict[str, int]:
        _check_index(device)
        return MACHINE.memory.stats()

    def reset_peak_memory_stats(self, device: Place = None) -> None:
        _check_index(device)
        MACHINE.memory.reset_peaks()

    def mem_get_info(self, device: Place = None) -> tuple[int, int]:
        total = MACHINE.memory.total
        return total - self.memory_reserved(device), total

    def empty_cache(self) -> None:
        MACHINE.engine.check()
        MACHINE.memory.empty_cache()

    # ------------------------------------------------------------ what only a simulated device has

    def clock_ns(self) -> int:
        """The host's clock: virtual where the device's is."""
        return MACHINE.engine.clock_ns()

    @property
    def launches(self) -> int:
        """Launches since the engine was installed: a replayed graph is one."""
        return MACHINE.engine.launches

    @contextmanager
    def record_kernels(self) -> Iterator[list[Record]]:
        """What runs on the device meanwhile, complete once the body is left: the profiler of this device."""
        self.synchronize()
        records = MACHINE.engine.records = []
        try:
            yield records
            self.synchronize()
        finally:
            MACHINE.engine.records = None


MODULE = Module()


def available() -> str | None:
    """Why this torch cannot have a simulated device; None where it can. The interface that it takes is private."""
    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        return f"torch {torch.__version__} is older than {OLDEST[0]}.{OLDEST[1]}"
    wanted = {
        backend_registration: "_setup_privateuseone_for_python_backend",
        torch.Tensor: "_make_wrapper_subclass",
        torch._C: "_get_privateuse1_backend_name",
    }
    missing = [name for owner, name in wanted.items() if not hasattr(owner, name)]
    if missing:
        return f"torch {torch.__version__} no longer has {missing[0]}"
    taken = torch._C._get_privateuse1_backend_name()
    if taken not in ("privateuseone", NAME):
        return f"torch's only place for a device of one's own is taken by {taken}"
    return None


def register() -> str | None:
    """Make torch know the device: before the first backward of the process, or autograd fails. Why not, or None.

    It stays for the life of the process, with a virtual engine until `install` gives it another.
    """
    if getattr(torch, NAME, None) is MODULE:
        return None
    why = available()
    if why is not None:
        return why
    try:
        setup: Callable[..., None] = backend_registration._setup_privateuseone_for_python_backend
        setup(NAME, backend_module=MODULE)
        for name, made in (("empty.memory_format", _empty), ("empty_strided", _empty_strided)):
            _LIBRARY.impl(name, made, "PrivateUse1")
    except Exception as error:  # noqa: BLE001 (a later torch may refuse in any way)
        return f"torch {torch.__version__} refuses a device of one's own: {error}"
    atexit.register(lambda: MACHINE.engine.close())
    return None


def install(settings: Settings | None = None, cost: Cost | None = None) -> Module:
    """Start the device anew, by default with the settings in $BENCH_SIM.

    `cost` takes the place of their times. Tensors of before are lost to it. UserError where this torch cannot have such a device.
    """
    settings = settings or from_environment()
    why = register()
    if why is not None:
        raise UserError("DEVICE=sim", why, "Use the torch that constraints.txt names, or run with DEVICE=cpu")
    MACHINE.install(settings, cost)
    return MODULE


_LIBRARY: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]


def _empty(
    size: list[int],
    *,
    dtype: torch.dtype | None = None,
    memory_format: torch.memory_format | None = None,
    **_: Any,
) -> SimTensor:
    like = torch.empty(size, dtype=dtype, device="meta", memory_format=memory_format or torch.contiguous_format)
    return allocate(Spec(tuple(like.shape), like.stride(), like.dtype))


def _empty_strided(size: list[int], stride: list[int], *, dtype: torch.dtype | None = None, **_: Any) -> SimTensor:
    return allocate(Spec(tuple(size), tuple(stride), dtype or torch.get_default_dtype()))


def _check_index(device: Place) -> None:
    index = device if isinstance(device, int) else torch.device(device or NAME).index
    if index not in (None, 0):
        raise accelerator_error(INVALID_DEVICE, "invalid device ordinal")
