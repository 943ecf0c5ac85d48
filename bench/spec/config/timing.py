"""When a trial ends and how its samples are taken: the `timing:` part of a config, with its limits and defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.config.block_entries import STRICT, key


class Timing(BaseModel):
    """When to stop, and how to sample. Times in seconds; `seconds` is for one trial in one process."""

    model_config = STRICT

    precision: Annotated[float, key("the half-width to reach of the interval of ln(speedup), as 0.05", gt=0, lt=1)] = (
        0.05
    )
    confidence: Annotated[float, key("a share above 0.5 and below 1, as 0.95", gt=0.5, lt=1)] = 0.95
    processes_min: Annotated[int, key("a whole number from 1 to 1000", ge=1, le=1000)] = 6
    processes_max: Annotated[int, key("a whole number from 1 to 1000", ge=1, le=1000)] = 12
    seconds: Annotated[float, key("seconds above 0, at most 3600", gt=0, le=3600)] = 0.6
    rounds_min: Annotated[int, key("a whole number from 1 to 100000", ge=1, le=100_000)] = 4
    rounds_max: Annotated[int, key("a whole number from 1 to 100000", ge=1, le=100_000)] = 1000
    sample_seconds: Annotated[float, key("seconds from 1e-5 to 60", ge=1e-5, le=60)] = 0.002
    warmup_seconds: Annotated[float, key("seconds from 0 to 600", ge=0, le=600)] = 0.3
    timeout_seconds: Annotated[float, key("seconds above 0, at most 86400", gt=0, le=86_400)] = 120
    seed: Annotated[int, key("a whole number from 0 to 2^63 - 1", ge=0, lt=2**63)] = 1
    second_opinions: Annotated[float, key("the share of trials that other tools time too, from 0 to 1", ge=0, le=1)] = (
        0.0
    )
    minutes: Annotated[
        float | None, key("the minutes that a device may take, after which no process is begun", gt=0, le=100_000)
    ] = None
    visit_seconds: Annotated[
        float | None, key("the seconds that a trial's fewest rounds may take; slower ones are skipped", gt=0, le=86_400)
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Timing:
        for low, high in (("processes_min", "processes_max"), ("rounds_min", "rounds_max")):
            words = {"low": low, "least": getattr(self, low), "high": high, "most": getattr(self, high)}
            if words["least"] > words["most"]:
                words["remedy"] = f"Raise {high} or lower {low}"
                raise PydanticCustomError("order", "{low} {least} is above {high} {most}", words)
        return self
