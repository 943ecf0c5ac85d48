"""A device whose times can be predicted (PredictedDevice), and where it comes from by its name.

`sim:h100` is in predicted_devices.yaml, `sim:FILE.yaml#name` in a user's file with the same keys, and
`sim:RESULTS_FOLDER#cpu` is the processor of a run, as measured in its roofs.csv.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from bench.spec.columns import text_of
from bench.spec.devices.device_entries import DISPATCH_S, FLOOR_S, LAUNCH_S, Entry, in_file, in_table
from bench.spec.devices.device_names import PREDICTED_PREFIX
from bench.spec.errors import UserError, nearest
from bench.spec.files import content_of, refuse_links
from bench.spec.format import plural

ROOFS, CPU = "roofs.csv", "cpu"
UNKNOWN_MEMORY = float(1 << 40)  # bytes of a processor that only roofs.csv describes: enough for every trial


@dataclass(frozen=True, slots=True)
class PredictedDevice:
    """The figures of a device for the model. SI units; `peak` in FLOP/s by dtype, dense and with fp32 accumulation.

    `units`: multiprocessors or cores. `dispatch_s`: host time of one operator; `launch_s`: host time of one launch;
    `floor_s`: least time of a kernel. `unit_bytes_per_s`: memory rate of one CPU core, 0 for a GPU. `winograd`: the
    library does a 3 x 3 in fp32 by Winograd's algorithm in one kernel. `measured`: peaks and bandwidths are the roofs
    of a run, not of a data sheet. `origin`: the user's file or run's folder; empty for the repository's table.
    """

    name: str
    title: str
    kind: Literal["gpu", "cpu"]
    units: int
    clock_hz: float
    peak: dict[str, float] = field(hash=False)
    memory_bytes_per_s: float
    memory_bytes: float
    cache_bytes: float
    cache_bytes_per_s: float
    dispatch_s: float = DISPATCH_S
    launch_s: float = LAUNCH_S
    floor_s: float = FLOOR_S
    unit_bytes_per_s: float = 0.0
    winograd: bool = True
    measured: bool = False
    sources: dict[str, str] = field(default_factory=dict, hash=False)
    disagree: dict[str, str] = field(default_factory=dict, hash=False)
    origin: str = ""

    @property
    def called(self) -> str:
        """Its title, for a device that is not in the table with name and origin: `My card (a100 of my.yaml)`."""
        return f"{self.title} ({self.name} of {self.origin})" if self.origin else self.title

    @property
    def slug(self) -> str:
        """Its name in file names; for a device that is not in the table with origin and a hash: `my-a100-3f9c2a`."""
        if not self.origin:
            return self.name
        figures = {key: value for key, value in asdict(self).items() if key not in ("sources", "disagree")}
        hashed = hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()[:6]
        return re.sub(r"[^\w.-]+", "_", f"{self.origin.removesuffix('.yaml')}-{self.name}-{hashed}")

    def on(self, threads: int) -> PredictedDevice:
        """The CPU with this many threads, at most one per core: peaks and cache in proportion. A GPU is unchanged."""
        used = min(max(1, threads), self.units)
        if self.kind == "gpu" or used == self.units:
            return self
        share = used / self.units
        return replace(
            self,
            units=used,
            peak={dtype: rate * share for dtype, rate in self.peak.items()},
            memory_bytes_per_s=min(self.memory_bytes_per_s, (self.unit_bytes_per_s or self.memory_bytes_per_s) * used),
            cache_bytes_per_s=self.cache_bytes_per_s * share,
        )

    def tensor(self, dtype: str) -> bool:
        """Whether a dense convolution of this dtype runs on matrix units, which are faster than the fp32 ones."""
        return self.kind == "gpu" and self.peak.get(dtype, 0.0) > 1.5 * self.peak["fp32"]

    def computes(self, dtype: str) -> bool:
        """Whether there is a peak for the dtype. Without one, TF32 is fp32, as torch then ignores the switch."""
        return dtype in self.peak or dtype == "fp32-tf32"

    def rate(self, dtype: str) -> float:
        """Peak FLOP/s. UserError for a dtype that has none."""
        if not self.computes(dtype):
            place, remedy = f"{PREDICTED_PREFIX}{self.name}", f"Use {', '.join(self.peak)}"
            raise UserError(place, f"no peak is known for {dtype}", remedy)
        return self.peak.get(dtype, self.peak["fp32"])


@cache
def known() -> dict[str, PredictedDevice]:
    """The devices of the repository's table, by name."""
    return _devices(in_table())


def _devices(entries: Mapping[str, Entry]) -> dict[str, PredictedDevice]:
    return {name: PredictedDevice(name, **entry.model_dump(exclude={"like"})) for name, entry in entries.items()}


def of_roofs(rows: Iterable[Mapping[str, Any]], threads: int) -> PredictedDevice | None:
    """The CPU of rows of roofs.csv with this many threads; None where they have no fp32 roofs with them.

    A peak is the higher of the two computing roofs. The clock is unknown; the host's figures are the defaults.
    """
    on_cpu = [row for row in rows if row.get("device") == CPU]
    by_dtype = {str(row.get("dtype")): row for row in on_cpu if int(_rate(row, "threads")) == threads}
    rates = ("matmul_flop_per_s", "conv_flop_per_s")
    peaks = {dtype: max(_rate(row, rate) for rate in rates) for dtype, row in by_dtype.items()}
    fp32 = by_dtype.get("fp32", {})
    memory = _rate(fp32, "memory_bytes_per_s")
    if not (threads and peaks.get("fp32") and memory and _rate(fp32, "cache_bytes")):
        return None
    alone = max((_rate(row, "memory_bytes_per_s") for row in on_cpu if _rate(row, "threads") == 1), default=0.0)
    title = f"{fp32.get('device_name') or 'CPU'}, {plural(threads, 'thread')}"
    figures = ("units", "peak", "memory_bytes_per_s", "cache_bytes", "cache_bytes_per_s", "unit_bytes_per_s")
    return PredictedDevice(
        CPU, title, "cpu", threads, 0.0, {dtype: peak for dtype, peak in peaks.items() if peak}, memory, UNKNOWN_MEMORY,
        _rate(fp32, "cache_bytes"), _rate(fp32, "cache_bytes_per_s") or memory, unit_bytes_per_s=alone, measured=True,
        sources=dict.fromkeys(figures, "roofs.csv of the run"),
    )  # fmt: skip


def of_run(folder: Path) -> PredictedDevice:
    """The CPU of a results folder, with the most threads in its roofs.csv. UserError where it has no such roofs."""
    path = folder / ROOFS
    refuse_links(folder)
    try:
        read = csv.DictReader(io.StringIO(content_of(path).decode("utf-8-sig"), newline=""))
        rows = [{name: text_of(cell or "") for name, cell in row.items() if name} for row in read]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise UserError(str(path), "this file can't be read", "Name the folder of a run on a CPU.") from None
    threads = [int(_rate(row, "threads")) for row in rows if row.get("device") == CPU and row.get("dtype") == "fp32"]
    cpu = of_roofs(rows, max(threads, default=0))
    if cpu is None:
        raise UserError(str(path), "it has no roofs of a CPU in fp32", "Name the folder of a run on a CPU.")
    return cpu


def _rate(row: Mapping[str, Any], column: str) -> float:
    """A cell's number; 0 where it is empty, no number, or none that a roof can be."""
    try:
        value = float(row.get(column) or 0.0)
    except (TypeError, ValueError):
        return 0.0
    return value if 1 <= value <= 1e24 else 0.0


def find_device(text: str) -> PredictedDevice:
    """`sim:NAME`, `sim:FILE.yaml#NAME` or `sim:FOLDER#cpu`, with or without `sim:`. UserError for an unknown device."""
    word = text.removeprefix(PREDICTED_PREFIX)
    file, hash_, name = word.rpartition("#")
    devices = _of_place(Path(file)) if hash_ else known()
    if name in devices:
        return devices[name]
    path = Path(word)
    if name and not hash_ and (path.exists() or path.name != word or path.suffix in (".yaml", ".yml")):
        choices = " or ".join(f"{PREDICTED_PREFIX}{word}#{one}" for one in _of_place(path))
        raise UserError("predicted device", "it names a file or folder, but no device in it", f"Write {choices}", text)
    rule = "no such device" if name else "it names no device"
    remedy = nearest(name, devices, "Known devices", PREDICTED_PREFIX + file + hash_)
    raise UserError("predicted device", rule, remedy, PREDICTED_PREFIX + word)


def _of_place(place: Path) -> dict[str, PredictedDevice]:
    if not place.exists():
        remedy = "Write sim:FILE.yaml#NAME or sim:RESULTS_FOLDER#cpu, or a name, as sim:a100"
        raise UserError(str(place), "there is no such file of devices and no such results folder", remedy)
    devices = {CPU: of_run(place)} if place.is_dir() else _devices(in_file(place))
    return {name: replace(device, origin=place.resolve().name) for name, device in devices.items()}
