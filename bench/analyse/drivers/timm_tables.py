"""Read benchmark CSVs of timm (huggingface/pytorch-image-models, benchmark.py and results/) as rows of observations.

A file has a row for each network: images per second, milliseconds per step, images per step, and, per image, billions
of multiply-accumulates and millions of activations. No such file has the networks' layers: a second table, with the
columns of LAYERS, can give them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.analyse.drivers import csv_cells
from bench.spec.errors import UserError

PASSES = {"infer_": "inference", "train_": "training", "": ""}
"""The pass by the prefix of a column's name. benchmark.py writes infer_, train_ or both."""
LAYERS = ("model", "img_size", "n_conv", "n_aten")
"""A table of layers: convolutions and operator calls of one evaluation, by name of the network and image size."""
NUMBERS = frozenset(
    f"{prefix}{name}"
    for prefix in PASSES
    for name in ("samples_per_sec", "step_time", "batch_size", "img_size", "gmacs", "macts")
)
CONTRADICTION = 1.1  # two times of one row that differ by more than this factor contradict each other
SMALLEST_CELL, LARGEST_CELL = 1e-12, 1e15  # beyond them a cell holds a slip

_NAME = re.compile(
    r"benchmark-(?P<word>infer|train)-(?P<dtype>\w+)-(?P<layout>nchw|nhwc)-(?P<torch>pt\w+)-(?P<on>cpu|cu\d+|rocm\w*)"
    r"-(?P<device>\w+)(?P<dynamo>-dynamo)?"
)
_ZERO = re.compile(r"[+-]?0*\.?0*")
_LAYERS_HELP = f"Give a CSV with the columns {', '.join(LAYERS)} (docs/DRIVERS.md)."

Layers = Mapping[tuple[str, int], tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Timed:
    """One network's evaluation: `labels` and `counts` by observations.LABELS and COUNTS, seconds of the whole batch.

    `name` is the network's, `batch` the images of a step. `contradictory`: the row's two times contradict each other. `layered`: the table of layers has the network.
    """

    labels: Mapping[str, str]
    counts: Mapping[str, float | None]
    time_s: float
    name: str
    contradictory: bool
    layered: bool
    batch: str


def recognises(header: Iterable[str]) -> bool:
    """Whether these are the columns of a timm benchmark."""
    names = set(header)
    return "model" in names and any(f"{p}samples_per_sec" in names and f"{p}batch_size" in names for p in PASSES)


def knows_counts(header: Iterable[str]) -> bool:
    """Whether there are MACs or activations among the columns: a benchmark of training alone has neither."""
    return not {f"{p}{name}" for p in PASSES for name in ("gmacs", "macts")}.isdisjoint(header)


def labels_of(path: Path) -> dict[str, str]:
    """Labels from a file's name, as benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv; empty ones for any other name."""
    name = _NAME.fullmatch(path.stem)
    if name is None:
        return dict.fromkeys(("source", "device", "device_kind", "dtype", "layout", "mode", "pass"), "")
    on = "" if name["on"] == "cpu" else f" {name['on']}"
    return {
        "source": f"timm results, {name['torch']}{on}",
        **{key: name[key] for key in ("device", "dtype", "layout")},
        "device_kind": "cpu" if name["on"] == "cpu" else "gpu",
        "mode": "compile" if name["dynamo"] else "eager",
        "pass": PASSES[f"{name['word']}_"],
    }


def timed(row: Mapping[str, str], at: str, labels: Mapping[str, str], layers: Layers) -> Iterator[Timed]:
    """The evaluations in a row: one, two if it has inference and training, none if nothing was timed.

    time_s = batch_size / samples_per_sec, by which timm's tables rank networks. step_time is the milliseconds of a step
    (benchmark.py: round(1000 * total_step / num_bench_iter, 3)), in every file since 2021 at the latest. In three files
    of 2024 the two agree within 1 % in 99 of 100 rows and within 7 % in all; a row in which they differ by
    CONTRADICTION is marked. MACs are gmacs x 1e9 x batch, activations macts x 1e6 x batch; 0 is a number that was
    rounded away or never counted, so unknown. A training step has the counts of its forward pass, if they are of the
    same image size. UserError for a cell that is no number or below 0.
    """
    for prefix, word in PASSES.items():
        speed = _cell(row, f"{prefix}samples_per_sec", at)
        batch = _cell(row, f"{prefix}batch_size", at)
        if speed is None or batch is None:
            continue
        step_ms = _cell(row, f"{prefix}step_time", at)
        size = _cell(row, f"{prefix}img_size", at)
        counted = prefix if {f"{prefix}gmacs", f"{prefix}macts"} & row.keys() else "infer_"
        same = counted == prefix or (size is not None and _cell(row, f"{counted}img_size", at) == size)
        gmacs, macts = (_cell(row, f"{counted}{name}", at) if same else None for name in ("gmacs", "macts"))
        network = (row["model"], int(size) if size is not None else 0)
        conv_layers, ops = layers.get(network, (None, None))
        counts = {
            "macs": gmacs and gmacs * 1e9 * batch,
            "activations": macts and macts * 1e6 * batch,
            "conv_layers": conv_layers,
            "ops": ops,
        }
        time_s = batch / speed
        contradictory = step_ms is not None and abs(math.log(step_ms / 1e3 / time_s)) > math.log(CONTRADICTION)
        of_pass = {**labels, "pass": word or labels["pass"]}
        yield Timed(of_pass, counts, time_s, row["model"], contradictory, network in layers, f"{batch:g}")


def read_layers(path: Path) -> Layers:
    """Convolutions and operator calls by network and image size. UserError for a file that is no such table."""
    lines = csv_cells.lines(path, _LAYERS_HELP, LAYERS[1:])
    header = next(lines, (1, {}))[1]
    missing = [name for name in LAYERS if name not in header]
    if missing:
        rule = f"not among the columns {csv_cells.first_names(header)}"
        raise UserError(f"{path}: {', '.join(missing)}", rule, _LAYERS_HELP)
    layers: dict[tuple[str, int], tuple[float | None, float | None]] = {}
    for line, row in lines:
        size = csv_cells.number(row, "img_size", f"{path}:{line}", 1, LARGEST_CELL, optional=False)
        n_conv, n_aten = (_cell(row, name, f"{path}:{line}") for name in LAYERS[2:])
        layers[row["model"], int(size or 0)] = n_conv, n_aten
    return layers


def notes(rows: Iterable[Timed], layers: Path | None) -> tuple[str, ...]:
    """Sentences about a file: how many rows' times contradict each other, and how many networks have no layers."""
    timed = list(rows)
    contradictory, lacking = sum(r.contradictory for r in timed), sum(not r.layered for r in timed)
    differ = f"samples_per_sec and step_time differ by over {CONTRADICTION - 1:.0%}"
    without = f"{lacking} of {len(timed)} rows have no layers and ops"
    return (
        *([f"{differ} in {contradictory} of {len(timed)} rows; the former is used"] if contradictory else []),
        *([f"{without} in {layers.name} (by model and image size)"] if layers is not None and lacking else []),
    )


def _cell(row: Mapping[str, str], column: str, at: str) -> float | None:
    """A cell's number; None where it is empty or 0."""
    return (
        None if _ZERO.fullmatch(row.get(column, "")) else csv_cells.number(row, column, at, SMALLEST_CELL, LARGEST_CELL)
    )
