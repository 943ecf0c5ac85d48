"""What a device's name tells: measured or predicted, and whether it is a CPU.

`sim:NAME` is a device of predicted_devices.yaml: times there come from a model and are never called measured. A plain
`sim` is the simulated accelerator with times as its user sets them, for tests alone.
"""

from __future__ import annotations

PREDICTED = "sim:"
_CPUS = ("cpu", "xeon_phi")


def is_predicted(device: object) -> bool:
    """Whether what is said of this device is a model's word."""
    return str(device).startswith(PREDICTED)


def is_cpu(device: object) -> bool:
    """Whether it is a processor, which has threads and no queue; a predicted one's name ends in `cpu`."""
    return device == "cpu" or (is_predicted(device) and str(device).endswith(_CPUS))


def in_words(device: object) -> str:
    """The device as every table and picture names it: `cuda:0`, and `predicted h100` for sim:h100."""
    return f"predicted {short(device)}" if is_predicted(device) else str(device)


def short(device: object) -> str:
    """A predicted device's own name; any other's as it is."""
    return str(device).removeprefix(PREDICTED).rpartition("#")[2]


def slug(device: str) -> str:
    """The device as part of a file's or a trial's name: `cuda0`, `sim-h100`."""
    return f"sim-{short(device)}" if is_predicted(device) else device.replace(":", "")
