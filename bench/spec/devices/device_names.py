"""What a device's name tells: measured or predicted, and whether it is a CPU.

`sim:NAME` is a device of predicted_devices.yaml: times there come from a model and are never called measured. A plain
`sim` is the simulated accelerator with times as its user sets them, for tests alone.
"""

from __future__ import annotations

import re

PREDICTED = "sim:"
_CPUS = ("cpu", "xeon_phi")


def is_predicted(device: object) -> bool:
    """Whether what is said of this device, or of several of which it is one, is a model's word."""
    return PREDICTED in str(device)


def is_cpu(device: object) -> bool:
    """Whether it is a processor, which has threads and no queue; a predicted one's name ends in `cpu`.

    Of several runs on one page a device's name goes on in brackets, `cpu (Xeon)`.
    """
    name = str(device).partition(" ")[0]
    return name == "cpu" or (name.startswith(PREDICTED) and name.endswith(_CPUS))


def in_words(device: object) -> str:
    """The device as every table and picture names it: `cuda:0`, and `predicted h100` for sim:h100."""
    return re.sub(r"sim:(?:[^\s#]*#)?", "predicted ", str(device))


def slug(device: str) -> str:
    """The device as part of a file's or a trial's name: `cuda0`, `sim-h100`."""
    return re.sub(r"^sim:(?:[^\s#]*#)?", "sim-", device).replace(":", "")
