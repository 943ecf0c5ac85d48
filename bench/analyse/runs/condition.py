"""Condition: where and how a row was measured (device, threads, dtype, layout, mode, pass, batch, environment)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.analyse.runs.rows import USUAL, Record, place_label
from bench.analyse.runs.run_folder import Run
from bench.spec.devices.device_names import is_cpu, is_predicted

FIELDS = "device device_name threads dtype layout mode pass batch allocator waiting cudnn_benchmark".split()
"""The columns that make up a condition."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A machine and its torch. `run_id`: what tells apart runs that do not say where they were made, and the machines of one merge."""

    cpu_model: str
    physical_cores: int
    memory_bytes: int
    torch: str
    run_id: str = ""

    @classmethod
    def of(cls, run: Run) -> Installation:
        """Where a run was made."""
        return cls.told(run.environment, run.run_id)

    @classmethod
    def told(cls, environment: Mapping[str, Any], run_id: str) -> Installation:
        """The same by what environment.json says."""
        host = environment.get("host") or {}
        model, cores, memory = (
            host.get("cpu_model") or "",
            host.get("physical_cores") or 0,
            host.get("memory_bytes") or 0,
        )
        apart = environment.get("machine") or ("" if model else run_id)
        return cls(model, cores, memory, environment.get("torch") or "", apart)

    @property
    def machine(self) -> tuple[Any, ...]:
        """The same for two runs on one machine."""
        return (self.cpu_model, self.physical_cores, self.memory_bytes, self.run_id)


@dataclass(frozen=True, slots=True)
class Condition:
    """Where and how rows were measured; None in a field that a verdict spans.

    `origin`: an installation, whose runs share their conditions, or the id of one run.
    """

    origin: Installation | str | None = None
    device: str | None = None
    device_name: str | None = None
    threads: int | None = None
    dtype: str | None = None
    layout: str | None = None
    mode: str | None = None
    pass_: str | None = None
    batch: int | None = None
    allocator: str | None = None
    waiting: str | None = None
    cudnn_benchmark: str | None = None

    @classmethod
    def of(cls, row: Record, origin: Installation | str) -> Condition:
        """The condition of a row of measurements.csv or pairs.csv."""
        return cls(origin, *(row[name] for name in FIELDS))

    @property
    def kind(self) -> str:
        """cpu or gpu (any accelerator)."""
        return "cpu" if is_cpu(self.device) else "gpu"

    @property
    def predicted(self) -> bool:
        """Whether rows of it, or of one of its devices, were predicted and not measured."""
        return is_predicted(self.device)

    @property
    def usual(self) -> bool:
        """Whether nothing but threads and batch is chosen: fp32, contiguous, eager, inference and so on."""
        fields = self.fields()
        return all(fields[name] in (value, None) for name, value in USUAL.items())

    @property
    def label(self) -> str:
        """Such as `cpu, 1 thread, channels_last, batch 8`; usual values are left out."""
        if self.device is None:
            return "any device"
        fields = {name: USUAL.get(name) if value is None else value for name, value in self.fields().items()}
        words = place_label(fields, ("threads",) if self.threads is None else ())
        words += f", cudnn_benchmark {self.cudnn_benchmark}" if fields["cudnn_benchmark"] != "on" else ""
        return words + (f", batch {self.batch}" if self.batch not in (1, None) else "")

    def fields(self) -> dict[str, Any]:
        """By the columns' names, without the origin."""
        return {name: getattr(self, "pass_" if name == "pass" else name) for name in FIELDS}

    def order(self) -> tuple[Any, ...]:
        """A sort key that depends on the condition alone: usual conditions first."""
        fields = self.fields()
        odd = sum(fields[name] not in (value, None) for name, value in USUAL.items())
        return (self.kind, str(self.device), odd, str(self.layout), str(self.dtype), str(self.mode), self.batch or 0, self.threads or 0, repr(self))  # fmt: skip
