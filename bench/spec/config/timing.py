"""When a trial ends and how its samples are taken: the `timing:` part of a config, with its limits and defaults."""

from __future__ import annotations

from pydantic import BaseModel, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.config.block_entries import STRICT, key

MOST_PROCESSES = 1000  # of a trial
_PROCESSES = f"a whole number from 1 to {MOST_PROCESSES}"


class Timing(BaseModel):
    """When to stop, and how to sample. Times in seconds; `seconds` is for one trial in one process."""

    model_config = STRICT

    precision: float = key("the half-width to reach of the interval of ln(speedup), as 0.05", default=0.05, gt=0, lt=1)
    confidence: float = key("a share above 0.5 and below 1, as 0.95", default=0.95, gt=0.5, lt=1)
    processes_min: int = key(_PROCESSES, default=6, ge=1, le=MOST_PROCESSES)
    processes_max: int = key(_PROCESSES, default=12, ge=1, le=MOST_PROCESSES)
    seconds: float = key("seconds above 0, at most 3600", default=0.6, gt=0, le=3600)
    rounds_min: int = key("a whole number from 1 to 100000", default=4, ge=1, le=100_000)
    rounds_max: int = key("a whole number from 1 to 100000", default=1000, ge=1, le=100_000)
    sample_seconds: float = key("seconds from 1e-5 to 60", default=0.002, ge=1e-5, le=60)
    warmup_seconds: float = key("seconds from 0 to 600", default=0.3, ge=0, le=600)
    timeout_seconds: float = key("seconds above 0, at most 86400", default=120, gt=0, le=86_400)
    seed: int = key("a whole number from 0 to 2^63 - 1", default=1, ge=0, lt=2**63)
    second_opinions: float = key("the share of trials that other tools time too, from 0 to 1", default=0.0, ge=0, le=1)
    minutes: float | None = key(
        "the minutes that a device may take, after which no process is begun", default=None, gt=0, le=100_000
    )
    visit_seconds: float | None = key(
        "the seconds that a trial's fewest rounds may take; slower ones are skipped", default=None, gt=0, le=86_400
    )
    brief: bool = key("true or false: workers that start at once, no roofs, no inspection", default=False)

    @model_validator(mode="after")
    def _in_order(self) -> Timing:
        for low, high in (("processes_min", "processes_max"), ("rounds_min", "rounds_max")):
            words = {"low": low, "least": getattr(self, low), "high": high, "most": getattr(self, high)}
            if words["least"] > words["most"]:
                words["remedy"] = f"Raise {high} or lower {low}"
                raise PydanticCustomError("order", "{low} {least} is above {high} {most}", words)
        return self
