"""Read measured runs of this harness as observed times: the device, the kernels of each arm, and its time.

A CPU's device is made of the run's own measured roofs; an accelerator's is looked for in the table by the name that torch
gives it. Times are medians, as a predicted row's is. What of the runs tells of a device, and not of its
host, is a source of the fit too, each machine or card a device of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.spec.blocks.kernels import of_block
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import is_predicted
from bench.spec.devices.predicted_devices import PredictedDevice, known, of_roofs
from bench.spec.errors import UserError
from tools.model_fit.published_times import Observed

Clock = Literal["wall", "device"]
COLUMNS: dict[Clock, str] = {"wall": "time_median_s", "device": "device_time_median_s"}
OURS = "this harness"
"""The source that our own runs are."""
ANOTHER = r"ti|super|laptop|maxq|mobile|nvl|dv?\d*$"
"""What after a card's name makes it another card."""
MANY = 64  # images at once, from which on a card's own work decides
_PLAIN = {"allocator": "retain", "waiting": "default"}


@dataclass(frozen=True, slots=True)
class Own:
    """A run of ours and its rows by clock; by the device's own there are none where it has no clock."""

    run: Run
    rows: Mapping[Clock, tuple[Observed, ...]]


def read(run: Run) -> Own:
    """The run with its rows by every clock. UserError as of_run has it by the wall."""
    walls = of_run(run)
    try:
        own = of_run(run, "device")
    except UserError:  # a CPU has no clock of its own
        own = ()
    return Own(run, {"wall": walls, "device": own})


def of_run(run: Run, clock: Clock = "wall") -> tuple[Observed, ...]:
    """The run's measured rows of blocks that have layers, with the usual allocator and waiting.

    `clock`: what a loop on the host sees, or the device's own time. A predicted row is none. UserError for a run without
    a plan, or without any such row.
    """
    if run.plan is None:
        raise UserError(str(run.folder), "it has no plan.json, which has the blocks' layers", "Restore it from a copy.")
    arms = {(t.trial_id, a.arm_id): (t, a) for t in run.plan.trials for a in t.arms}
    devices: dict[tuple[str, int, str], PredictedDevice | None] = {}
    found = []
    for record in records_of(run.measurements):
        trial, arm = arms.get((record["trial_id"], record["arm_id"]), (None, None))
        if trial is None or arm is None or record["status"] not in MEASURED or arm.choice.factory is not None:
            continue
        if clock == "device" and trial.mode == "graph":
            continue  # of a graph's replay the wall shows the same
        if any(record[name] not in (usual, None) for name, usual in _PLAIN.items()) or not _number(
            record[COLUMNS[clock]]
        ):
            continue
        key = str(record["device"]), int(record["threads"] or 0), trial.dtype
        if key not in devices:
            devices[key] = device_of(run, *key, str(record["device_name"]))
        device = devices[key]
        if device is None or not device.computes(trial.dtype):
            continue
        s = trial.shape
        kernels = of_block(trial.block(arm), s.height, s.width, s.batch, trial.dtype, trial.layout == "channels_last")
        mode = (
            "library"
            if clock == "device"
            else trial.mode
            if device.kind == "gpu" or trial.mode == "compile"
            else "eager"
        )
        found.append(
            Observed(
                run.folder.name, run.folder.name, device, trial.dtype, mode, str(record["block"]), s.batch,
                tuple((kernel, 1) for kernel in kernels), float(record[COLUMNS[clock]]), str(record["trial_id"]),
                arm is trial.arms[0], trial.pass_ == "training", key[1], extra={"row": record},
            )
        )  # fmt: skip
    if not found:
        raise UserError(str(run.folder), "none of its rows can be predicted", "Name a run of standard and separable blocks on a device that is known.")  # fmt: skip
    return tuple(found)


def machine(run: Run) -> str:
    """The machine of a run, by which its CPU is left out: runs of one kind of machine and size are of the same."""
    host = run.environment.get("host") or {}
    return f"{host.get('cpu_model')}, {host.get('physical_cores')} cores"


def of_source(own: Own) -> tuple[Observed, ...]:
    """The run's rows as a source of the fit: all of a CPU; of a card in inference, graphs by the wall and eager calls by its own clock."""
    name = machine(own.run)
    walls = own.rows["wall"]
    cpu = [replace(row, device=replace(row.device, name=name)) for row in walls if row.device.kind == "cpu"]
    card = [row for row in walls if _of_card(row, "graph")]
    card += [row for row in own.rows["device"] if _of_card(row, "eager") and row.extra["row"]["device_time_proven"]]
    return tuple(replace(row, source=OURS) for row in (*cpu, *card))


def _of_card(row: Observed, mode: str) -> bool:
    return row.device.kind == "gpu" and row.extra["row"]["mode"] == mode and not row.training


def part(row: Observed, run: Run) -> str:
    """What of ours a row is left out with: the machine of its CPU, or its card."""
    return machine(run) if row.device.kind == "cpu" else row.device.name


def sort_of(row: Observed) -> str:
    """What a row of a run asks of the model, by what it is farthest from being a plain call of few images."""
    told = row.extra["row"]
    found = {
        "training": row.training,
        "torch.compile": told["mode"] == "compile",
        "bf16, fp16, TF32": row.dtype != "fp32",
        "channels_last": told["layout"] == "channels_last",
        f"eager, {MANY} images and more": told["mode"] == "eager" and row.batch >= MANY,
        f"CUDA graphs, {MANY} images and more": told["mode"] == "graph" and row.batch >= MANY,
        f"CUDA graphs, fewer than {MANY} images": told["mode"] == "graph",
    }
    return next((sort for sort, fits in found.items() if fits), f"eager, fewer than {MANY} images")


def device_of(run: Run, device: str, threads: int, dtype: str, title: str) -> PredictedDevice | None:
    """The device that rows were measured on, as the model knows it; None where it knows none."""
    if is_predicted(device):
        return None
    if device != "cpu":
        return like(title)
    found = None if run.roofs is None else of_roofs(records_of(run.roofs), threads)
    return found if found and found.computes(dtype) else None


def like(title: str) -> PredictedDevice | None:
    """The device of the table whose name stands in torch's word for a card: `NVIDIA H100 80GB HBM3` is h100.

    A card whose name goes on in a way that makes it another one is none: `RTX 3090 Ti`, `RTX 4090 Laptop GPU`, `H100 PCIe`.
    """
    plain = re.sub(r"[^a-z0-9]", "", title.lower())

    def fits(name: str) -> bool:
        _, found, rest = plain.partition(name.replace("_", ""))
        return bool(found) and not re.match(ANOTHER, rest) and not (name == "h100" and rest.startswith("pcie"))

    names = [name for name, device in known().items() if device.kind == "gpu" and fits(name)]
    return known()[max(names, key=len)] if names else None


def _number(cell: object) -> float:
    """A cell's number; 0 where it is empty."""
    return float(cell) if isinstance(cell, (int, float)) and math.isfinite(cell) else 0.0
