"""What a device's name means: measured or predicted, CPU or not, and how to write it in text and in file names.

`sim:NAME` is a device of predicted_devices.yaml, whose times come from a model.
"""

from __future__ import annotations

import re

PREDICTED_PREFIX = "sim:"
_CPUS = ("cpu", "xeon_phi")


def is_predicted(device: object) -> bool:
    """Whether the times of this device, or of a list with this device in it, come from a model."""
    return PREDICTED_PREFIX in str(device)


def is_cpu(device: object) -> bool:
    """Whether it is a processor, with threads and without a queue. The name of a predicted one ends in `cpu`.

    With several runs on a page, a device's name continues in brackets: `cpu (Xeon)`.
    """
    name = str(device).partition(" ")[0]
    return name == "cpu" or (name.startswith(PREDICTED_PREFIX) and name.endswith(_CPUS))


def in_words(device: object) -> str:
    """The device in tables and pictures: `cuda:0`, and `predicted h100` for sim:h100."""
    return re.sub(r"sim:(?:[^\s#]*#)?", "predicted ", str(device))


def slug(device: str) -> str:
    """The device in the name of a file or trial: `cuda0`, `sim-h100`."""
    return re.sub(r"[^\w.-]", "", re.sub(r"^sim:(?:[^\s#]*#)?", "sim-", device))
