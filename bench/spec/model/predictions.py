"""The model behind a predicted number: its name, and its errors on data that it was not fitted to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.model.model_parameters import FILE, fit_result

UNFITTED = {"time": 1.5, "speedup": 1.0}
"""ln: the assumed errors of a model without a fit."""
WORSE = {
    "gpu": (
        "in training and under torch.compile (small blocks take longer than predicted), in channels_last at fp32 (the model "
        "treats it like contiguous, on an H100 it is slower) and in large batches of many channels at fp32 (the library "
        "changes its algorithm there, and the separable block gains less than predicted)"
    ),
    "cpu": (
        "in training and under torch.compile, for small blocks (no data sheet gives the host's time of a call) and for large "
        "contiguous maps (laying them out anew takes longer than predicted on few cores)"
    ),
}
"""Where the model is known to be less accurate, by kind of device; docs/PREDICTION_FIT.md has the figures."""
SLOWER = 4.0  # times: an unknown host may be slower than the 15 us for an operator that it is given; known ones took 23 to 92
OBSERVATIONS = 1000  # values behind an error that counts as known: with as many, a t-interval is a normal one


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's name, and the half-widths (ln) of the 95 % intervals of its times and speedups, also in training.

    `host`: how many times slower than assumed the host may be, for which intervals are widened.
    """

    model: str
    time: float
    speedup: float
    training_time: float = 0.0
    training_speedup: float = 0.0
    host: float = 1.0

    def of(self, training: bool) -> tuple[float, float]:
        """The half-widths of a time and of a speedup."""
        if not training:
            return self.time, self.speedup
        return max(self.time, self.training_time), max(self.speedup, self.training_speedup)


def prediction_of(device: PredictedDevice) -> Prediction:
    """The model and its errors for a device. The host of a GPU may be slower if the device gives no source for it."""
    host = SLOWER if device.kind == "gpu" and "dispatch_s" not in device.sources else 1.0
    return Prediction(model_name(), **fit_result().get("errors", {}).get(device.kind, UNFITTED), host=host)


def model_name() -> str:
    """`model 3f9c2a`, with a hash of the fitted parameters; `unfitted model` without them."""
    file = files("bench.spec.model") / FILE
    if not file.is_file():
        return "unfitted model"
    return f"model {hashlib.sha256(file.read_bytes()).hexdigest()[:6]}"


def device_name(device: PredictedDevice) -> str:
    """The device in rows: `predicted NVIDIA H100 SXM5 80 GB (model 3f9c2a)`."""
    return f"predicted {device.title} ({model_name()})"


def without_model(text: str) -> str:
    """A text with devices by `device_name`, without the model's name."""
    return re.sub(r" \((unfitted model|model [0-9a-f]{6})\)", "", text)


def disagreements(name: str, disagree: Mapping[str, str]) -> list[str]:
    """A line for each figure of a device on which sources disagree."""
    return [f"Sources disagree on the {figure} of {name}: {text.rstrip('.')}." for figure, text in disagree.items()]
