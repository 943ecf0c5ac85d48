"""When a trial ends and how its samples are taken: the `timing:` part of a config, with its limits and defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.config.block_entries import STRICT


class Timing(BaseModel):
    """When to stop, and how to sample. Times in seconds; `seconds` is for one trial in one process."""

    model_config = STRICT

    precision: Annotated[
        float, Field(gt=0, lt=1, description="Write the half-width to reach of the interval of ln(speedup), as 0.05")
    ] = 0.05
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="Write a share above 0.5 and below 1, as 0.95")] = 0.95
    processes_min: Annotated[int, Field(ge=1, le=1000, description="Write a whole number from 1 to 1000")] = 6
    processes_max: Annotated[int, Field(ge=1, le=1000, description="Write a whole number from 1 to 1000")] = 12
    seconds: Annotated[float, Field(gt=0, le=3600, description="Write seconds above 0, at most 3600")] = 0.6
    rounds_min: Annotated[int, Field(ge=1, le=100_000, description="Write a whole number from 1 to 100000")] = 4
    rounds_max: Annotated[int, Field(ge=1, le=100_000, description="Write a whole number from 1 to 100000")] = 1000
    sample_seconds: Annotated[float, Field(ge=1e-5, le=60, description="Write seconds from 1e-5 to 60")] = 0.002
    warmup_seconds: Annotated[float, Field(ge=0, le=600, description="Write seconds from 0 to 600")] = 0.3
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400, description="Write seconds above 0, at most 86400")] = 120
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Write a whole number from 0 to 2^63 - 1")] = 1
    second_opinions: Annotated[
        float, Field(ge=0, le=1, description="Write the share of trials that other tools time too, from 0 to 1")
    ] = 0.0
    minutes: Annotated[
        float | None,
        Field(
            gt=0, le=100_000, description="Write the minutes that a device may take, after which no process is begun"
        ),
    ] = None
    visit_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=86_400,
            description="Write the seconds that a trial's fewest rounds may take; slower ones are skipped",
        ),
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Timing:
        for low, high in (("processes_min", "processes_max"), ("rounds_min", "rounds_max")):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                remedy = f"Raise {high} or lower {low}"
                raise PydanticCustomError(
                    "order", "{low} {least} is above {high} {most}",
                    {"low": low, "least": least, "high": high, "most": most, "remedy": remedy},
                )  # fmt: skip
        return self
