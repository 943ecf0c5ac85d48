"""What the simulated accelerator is told: its engine, its times, its memory and its faults, in one short string."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields

from bench.spec.errors import UserError, nearest

ENVIRONMENT = "BENCH_SIM"
ENGINES = ("virtual", "threads")
EXAMPLE = f"Write {ENVIRONMENT}=virtual,launch=5e-6,kernel=50e-6"

_OF_ONE_ENGINE = {"extra": "threads"} | dict.fromkeys(
    ("launch", "kernel", "conv", "gap", "event", "first_call", "depth"), "virtual"
)
_AT_LEAST = {"depth": 1, "memory": 1}


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, sizes in bytes, launches counted from 1; 0 means never where a fault is meant.

    `threads` computes on a thread of its own, each kernel `extra` seconds longer than it takes. `virtual` computes
    nothing and keeps two clocks: the host takes `launch` to submit a kernel, and `first_call` more for the first with
    its shapes, and waits where `depth` launches are queued; the device takes `conv` for a convolution and its backward
    and `kernel` for any other, with `gap` between two, and `event` for an event.

    The launch number `fail_at` faults, and so does a convolution that puts out `fail_channels` channels, which only
    some trials of a sweep have. `hang_at` and `hang_channels` likewise, and never end.
    """

    engine: str = "virtual"
    launch: float = 5e-6
    kernel: float = 50e-6
    conv: float | None = None
    gap: float = 0.0
    event: float = 0.0
    first_call: float = 0.0
    depth: int = 1024
    extra: float = 0.0
    memory: int = 16 << 30
    l2: int = 4 << 20
    fail_at: int = 0
    hang_at: int = 0
    fail_channels: int = 0
    hang_channels: int = 0

    def cost(self, name: str) -> float:
        """Seconds that the device takes for a kernel, by its kind."""
        if self.conv is not None and name in ("aten::convolution", "aten::convolution_backward"):
            return self.conv
        return self.kernel

    def fault(self, launch: int) -> str:
        """What befalls the launch of this number: nothing, `fail` or `hang`."""
        return _fault(launch, self.fail_at, self.hang_at)

    def fault_of_channels(self, channels: int) -> str:
        """What befalls a convolution that puts out so many channels."""
        return _fault(channels, self.fail_channels, self.hang_channels)


def _fault(number: int, fail: int, hang: int) -> str:
    if not number:
        return ""
    return "hang" if number == hang else "fail" if number == fail else ""


def parse(text: str) -> Settings:
    """Settings from `engine,key=value,...`, all of it optional. UserError where it is something else."""
    known = [f.name for f in fields(Settings) if f.name != "engine"]
    found: dict[str, float | int] = {}
    words = [word.strip() for word in text.split(",") if word.strip()]
    engine = words.pop(0) if words and "=" not in words[0] else "virtual"
    if engine not in ENGINES:
        raise UserError(ENVIRONMENT, "no such engine", nearest(engine, ENGINES, "Known engines"), engine)
    for word in words:
        key, given, value = (part.strip() for part in word.partition("="))
        if not given:
            raise UserError(ENVIRONMENT, "it is not of the form key=value", EXAMPLE, word)
        if key not in known:
            raise UserError(ENVIRONMENT, "no such key", nearest(key, known, "Known keys"), key)
        if key in found:
            raise UserError(ENVIRONMENT, "it is given twice", "Give it once", key)
        if _OF_ONE_ENGINE.get(key, engine) != engine:
            raise UserError(ENVIRONMENT, f"the engine {engine} does not use it", f"Leave {key} out", word)
        found[key] = _number(key, value)
    return Settings(engine, **found)  # type: ignore[arg-type]  # _number has seen to whole numbers


def from_environment() -> Settings:
    """The settings in $BENCH_SIM; the defaults where it is not set."""
    return parse(os.environ.get(ENVIRONMENT, ""))


def _number(key: str, value: str) -> float | int:
    place = f"{ENVIRONMENT}: {key}"
    try:
        number = float(value)
    except ValueError:
        raise UserError(place, "it is not a number", EXAMPLE, value) from None
    if not math.isfinite(number):
        raise UserError(place, "it is not finite", EXAMPLE, value)
    least = _AT_LEAST.get(key, 0)
    if number < least:
        raise UserError(place, f"it is below {least}", EXAMPLE, value)
    if not isinstance(getattr(Settings(), key), int):
        return number
    if not number.is_integer():
        raise UserError(place, "it is not a whole number", EXAMPLE, value)
    return int(number)
