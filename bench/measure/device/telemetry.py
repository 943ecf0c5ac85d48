"""Read an NVIDIA card through NVML: clocks, temperature, power, throttling, other programs.

Every reading may be missing (MIG, vGPU, GeForce and old drivers refuse many), and none may fail the benchmark. Nothing
is set. Energy is not read: the arms of a trial share its rounds, and many cards sample it a quarter of the time only.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import torch

BAD_REASONS = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "thermal limit by software",
    0x40: "thermal limit by hardware",
    0x80: "power brake",
}


class Nvml:
    """One card, identified by its UUID, as NVML counts in PCI order and ignores CUDA_VISIBLE_DEVICES."""

    def __init__(self, properties: Any, library: Any = None) -> None:
        """`properties`: torch's of the device; `library`: pynvml, or a fake."""
        self._handle: Any = None
        self.why: str | None = None
        try:
            self._nvml = library or importlib.import_module("pynvml")
            self._nvml.nvmlInit()
        except Exception as error:  # noqa: BLE001 (a missing or broken library is a missing reading)
            self.why = f"{type(error).__name__}: {error}"
            return
        uuid = str(getattr(properties, "uuid", "") or "")
        tries = [("nvmlDeviceGetHandleByUUID", prefix + uuid) for prefix in ("GPU-", "MIG-", "") if uuid]
        if hasattr(properties, "pci_bus_id"):
            p = properties
            address = f"{p.pci_domain_id:08X}:{p.pci_bus_id:02X}:{p.pci_device_id:02X}.0"
            tries.append(("nvmlDeviceGetHandleByPciBusId", address))
        for name, key in tries:
            try:
                self._handle = getattr(self._nvml, name)(key.encode())
                self.why = None
                return
            except Exception as error:  # noqa: BLE001
                self.why = f"{type(error).__name__}: {error}"

    def _ask(self, name: str, *more: Any) -> Any:
        if self._handle is None or not hasattr(self._nvml, name):
            return None
        try:
            return getattr(self._nvml, name)(self._handle, *more)
        except Exception:  # noqa: BLE001 (not supported here)
            return None

    @property
    def lack(self) -> str | None:
        """What stays empty if the card can't be read, why, and what to do; None if it can be read."""
        if self.why is None:
            return None
        remedy = "pip install nvidia-ml-py" if "ModuleNotFound" in self.why else "check whether nvidia-smi works"
        if torch.version.hip is not None:
            remedy = "NVML is for NVIDIA's cards only"
        return f"clocks, temperature, power and throttling stay empty, as NVML can't be read ({self.why}): {remedy}"

    def throttling(self) -> int:
        """Bits of the reasons that slow the card down right now; 0 for none or unknown."""
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")  # its name before driver 535
        return int(bits or 0) & sum(BAD_REASONS)

    def programs(self) -> int | None:
        """Other processes that compute on the card right now; None if unknown."""
        running = self._ask("nvmlDeviceGetComputeRunningProcesses")
        return None if running is None else sum(getattr(p, "pid", None) != os.getpid() for p in running)

    def read(self) -> dict[str, Any]:
        """All readings, in SI units; None for missing ones."""
        milliwatt = self._ask("nvmlDeviceGetPowerUsage")
        megahertz = self._ask("nvmlDeviceGetClockInfo", 1)  # NVML_CLOCK_SM
        others = self._ask("nvmlDeviceGetComputeRunningProcesses")
        bits = self.throttling()
        return {
            "sm_clock_hz": None if megahertz is None else megahertz * 1_000_000,
            "temperature_c": self._ask("nvmlDeviceGetTemperature", 0),
            "power_w": None if milliwatt is None else milliwatt / 1000,
            "throttle_reasons": [word for bit, word in BAD_REASONS.items() if bits & bit],
            "processes_on_card": None if others is None else len(others),
        }
