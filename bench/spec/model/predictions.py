"""What stands behind a predicted number: which model, and how far off it was on data that it was not fitted to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.model.model_parameters import FILE, told

UNFITTED = {"time": 1.5, "speedup": 1.0}
"""ln: what is taken for the error of a model that no fit has been made of."""
WORSE = {
    "gpu": "in training and under torch.compile (small blocks take longer than predicted), in channels_last at fp32 (the same as contiguous to the model, slower on an H100) and in large batches of many channels at fp32 (where the library changes its algorithm, the separable block gains less than predicted)",
    "cpu": "in training and under torch.compile, of small blocks (how long the host takes for a call is told by no data sheet) and of large contiguous maps (laying them out anew takes longer than predicted on few cores)",
}
"""By kind of device where the model is known to be further off; docs/PREDICTION_FIT.md, "Where it fails, and why", has the figures."""
SLOWER = 4.0
"""A host of which nothing is told may be so many times slower than the 15 us that it is given for an operator; those that we know took 23 to 92."""
OBSERVATIONS = 1000
"""Behind an error that is taken as known: a t-interval with so many degrees of freedom is a normal one."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's name, and the half-widths in ln of the 95 % intervals of its times and speedups, in training if wider there.

    `host`: how many times slower than assumed the host may be, which an interval allows for besides.
    """

    model: str
    time: float
    speedup: float
    training_time: float = 0.0
    training_speedup: float = 0.0
    host: float = 1.0

    def of(self, training: bool) -> tuple[float, float]:
        """Of a time and of a speedup."""
        if not training:
            return self.time, self.speedup
        return max(self.time, self.training_time), max(self.speedup, self.training_speedup)

    def to_dict(self) -> dict[str, Any]:
        """For environment.json."""
        return asdict(self)


def prediction_of(device: PredictedDevice) -> Prediction:
    """The model and its errors for a device; a GPU's host may be slower where no source tells of it."""
    host = SLOWER if device.kind == "gpu" and "dispatch_s" not in device.sources else 1.0
    return Prediction(model_name(), **told().get("errors", {}).get(device.kind, UNFITTED), host=host)


def model_name() -> str:
    """Such as `model 3f9c2a`, by the file of the fitted parameters; `unfitted model` without one."""
    file = files("bench.spec.model") / FILE
    if not file.is_file():
        return "unfitted model"
    return f"model {hashlib.sha256(file.read_bytes()).hexdigest()[:6]}"


def device_name(device: PredictedDevice) -> str:
    """What rows call the device: `predicted NVIDIA H100 SXM5 80 GB (model 3f9c2a)`."""
    return f"predicted {device.title} ({model_name()})"


def without_model(text: str) -> str:
    """What was said of devices by `device_name`, but for the model's name, which is for those who look for details."""
    return re.sub(r" \((unfitted model|model [0-9a-f]{6})\)", "", text)


def disagreements(name: str, disagree: Mapping[str, str]) -> list[str]:
    """A line for each figure of a device of which other sources say other things: `disagree` of its entry."""
    return [f"Sources disagree on the {figure} of {name}: {said.rstrip('.')}." for figure, said in disagree.items()]
