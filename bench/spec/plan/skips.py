"""The reasons to skip a trial that are known without torch; the text becomes the status_detail of its row."""

from __future__ import annotations

from collections.abc import Iterable

from bench.spec.blocks.blocks import BlockChoice, Shape, build
from bench.spec.devices.device_names import in_words, is_cpu
from bench.spec.devices.predicted_devices import PredictedDevice
from bench.spec.errors import UserError

COMPILES_NOTHING = "a simulated run compiles nothing (bench predict crossover --mode compile predicts single blocks)"


def unfit(choices: Iterable[BlockChoice], shape: Shape) -> str | None:
    """Why one of the blocks can't be built at this shape, or None."""
    try:
        for choice in choices:
            if choice.factory is None:  # a user's block shows that only when it is built
                build(choice, shape).output(shape.height, shape.width)
    except UserError as error:
        return f"{error.place}: {error.rule}"
    return None


def untrainable(choices: Iterable[BlockChoice], shape: Shape) -> str | None:
    """Why batch norm can't be trained on a single item of this shape, or None."""
    for choice in choices:
        if choice.factory is not None:
            continue
        block = build(choice, shape)
        for layer, _, end in block.walk(shape.height, shape.width):
            if layer.norm and end == (1, 1):
                return f"{block.name}, {layer.name}: batch norm has no variance of one pixel of one item to train on"
    return None


def too_many_threads(device: str, threads: int, cores: int) -> str | None:
    """Why `threads` are not measured on `cores` physical cores, or None."""
    if is_cpu(device) and threads > cores:
        return f"{threads} threads on {cores} physical cores would measure the scheduler"
    return None


def unsupported(device: str, model: PredictedDevice | None, dtype: str, mode: str, pass_: str) -> str | None:
    """Why such a trial can't run on this device, by its kind or the model of a predicted one; None if it may."""
    name = device.partition(":")[0] if model is None else in_words(device)
    if mode == "compile" and model is not None:
        return COMPILES_NOTHING
    if mode == "graph" and (name in ("cpu", "mps", "xpu") if model is None else model.kind == "cpu"):
        return f"{name} has no graphs to replay"
    if mode == "graph" and pass_ == "training":
        return "graphs are captured of inference alone"
    if model is not None:
        return None if model.computes(dtype) else f"the model knows no peak of {name} in {dtype}"
    if dtype == "fp32-tf32" and name != "cuda":
        return f"TF32 is a format of CUDA devices, not of {name}"
    return "mps has no float64" if (name, dtype) == ("mps", "fp64") else None
