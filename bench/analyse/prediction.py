"""`bench predict calibrate`: fit, leave out, hold against what was never fitted, and write all of it down as one file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.analyse import calibration, calibration_runs, calibration_tables, unfitted_roofline
from bench.analyse import calibration_scores as scoring
from bench.analyse.calibration_scores import FITTED, NO_SOURCE, ROOFLINE, WAYS, Score
from bench.analyse.calibration_tables import AMP, Observed
from bench.analyse.evidence import Published, published
from bench.analyse.records import Floats
from bench.analyse.results import Run
from bench.spec.errors import UserError
from bench.spec.model_parameters import PRIOR, prior
from bench.spec.predicted_devices import known

KINDS = ("gpu", "cpu")
VERSION = 1
DIGITS = 4  # of a fitted parameter: more would be the machine's own
NETWORKS = {
    "MobileNetV1": "mobilenetv1_100",
    "MobileNetV2": "mobilenetv2_100",
    "ResNet-18": "resnet18",
    "ResNet-50": "resnet50",
    "VGG-16": "vgg16",
}
"""Names of published.csv that were counted, by the names that they were counted under; at 224 x 224."""
CARDS = {
    "RTX 4090": "rtx4090",
    "RTX 3090": "rtx3090",
    "Core i7-12700H": "laptop_cpu",
    "Core i9-10940X": "desktop_cpu",
    "Jetson Xavier": "jetson_xavier",
}


def calibrate(folder: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that model_parameters.json holds. `runs`, and published speedups of other tables, only check the fit.

    UserError where the folder lacks tables for a kind of device.
    """
    every = calibration_tables.read(folder)
    rows = scoring.usable(every)
    parameters = {}
    for kind in KINDS:
        mine = [row for row in rows if row.device.kind == kind]
        if not mine:
            raise UserError(str(folder), f"no table in it is of a {kind}", "Name a folder that has both kinds (docs/PREDICTION.md).")  # fmt: skip
        found = calibration.fit(calibration.tabulate(mine))
        parameters[kind] = {**prior(), **{name: _rounded(found[name]) for name in _free(kind)}}
    scores = list(scoring.scores(rows, parameters))
    checks = [score for run in runs for score in of_run(run, parameters)]
    return {
        "version": VERSION,
        "parameters": {name: parameters[kind][name] for kind in KINDS for name in _free(kind)},
        "errors": {kind: errors_of([s for s in scores if s.kind == kind], [s for s in checks if s.kind == kind]) for kind in KINDS},
        "data": [_provenance(folder, path, every, rows) for path in sorted(folder.rglob("*.csv"))],
        "summary": {kind: _summary([s for s in scores if s.kind == kind]) for kind in KINDS},
        "scores": [score.to_dict() for score in scores],
        "checks": [score.to_dict() for score in checks],
        "published": list(of_published(parameters)),
    }  # fmt: skip


def write(found: Mapping[str, Any], path: Path) -> None:
    """The file, a value a line."""
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def errors_of(scores: Sequence[Score], checks: Sequence[Score]) -> dict[str, float]:
    """Half-widths in ln that hold 95 % of the errors of what a wall clock shows, on data left out.

    These are published tables whose whole source was left out, and runs of ours; each table and each run weighs alike.
    Where no speedup was left out, its error is taken for that of a time.
    """
    runs: dict[str, list[Score]] = {}
    for check in checks:
        if check.table.endswith("wall"):
            runs.setdefault(check.source, []).append(check)
    left = [
        *([(s.times.get(NO_SOURCE), s.speedups.get(NO_SOURCE))] for s in scores),
        *([(s.times.get(FITTED), s.speedups.get(FITTED)) for s in run] for run in runs.values()),
    ]
    times, speedups = (scoring.covering([_joined([pair[i] for pair in table]) for table in left]) for i in (0, 1))
    return {"time": round(times, 3), "speedup": round(times if math.isnan(speedups) else speedups, 3)}


def _joined(parts: Sequence[Floats | None]) -> Floats:
    return np.concatenate([np.empty(0), *(part for part in parts if part is not None)])


def of_run(run: Run, parameters: Mapping[str, Mapping[str, float]]) -> Iterator[Score]:
    """A run of ours, which no parameter has seen: its wall times and, of an accelerator, the device's own."""
    for clock in calibration_runs.COLUMNS:
        try:
            rows = calibration_runs.of_run(run, clock)
        except UserError:
            if clock == "wall":
                raise
            continue
        for kind in KINDS:
            for mode, training in sorted({(str(r.extra["row"]["mode"]), r.training) for r in rows}):
                mine = [
                    r
                    for r in rows
                    if (r.device.kind, str(r.extra["row"]["mode"]), r.training) == (kind, mode, training)
                ]
                if mine:
                    yield _check(mine, f"{mode}, {'training' if training else 'inference'}, {clock}", parameters[kind])


def _check(rows: Sequence[Observed], table: str, parameters: Mapping[str, float]) -> Score:
    observed = np.array([row.time_s for row in rows])
    errors = {
        ROOFLINE: np.log(unfitted_roofline.seconds(rows) / observed),
        FITTED: calibration.errors(calibration.tabulate(rows), parameters),
    }
    paired = {way: scoring.of_speedups(rows, found) for way, found in errors.items()}
    device = rows[0].device
    title = device.title if device.kind == "gpu" else str(rows[0].extra["row"]["device_name"])
    speedups = {way: found for way, found in paired.items() if len(found)}
    return Score(rows[0].source, table, title, device.kind, errors, speedups)


def of_published(parameters: Mapping[str, Mapping[str, float]]) -> Iterator[dict[str, Any]]:
    """Speedups of published.csv between networks that were counted, on devices that are known, beside the model's."""
    for one in published():
        rows = _pair(one)
        if rows is None or one.speedup is None:
            continue
        kind = rows[0].device.kind
        sides = calibration.seconds(calibration.tabulate(rows), parameters[kind])
        roofs = unfitted_roofline.seconds(rows)
        yield {
            "id": one.id,
            "seen": one.id.startswith("timm-") and one.mode == ("compile" if kind == "cpu" else "eager")
            and one.pass_ == "inference" and rows[0].device.name != "desktop_cpu",
            "speedup": one.speedup,
            "predicted": round(float(sides[0] / sides[1]), 3),
            "roofline": round(float(roofs[0] / roofs[1]), 3),
        }  # fmt: skip


def _pair(one: Published) -> tuple[Observed, Observed] | None:
    """Both sides of a comparison, the standard one first; None where a network, the device or the batch is not known."""
    words = one.comparison.removesuffix(", CPU against GPU").split(" against ")
    device = known().get(CARDS.get(one.device, ""))
    if len(words) != 2 or device is None or not one.batch.isdigit() or one.mode not in ("eager", "compile"):
        return None
    dtype = AMP if one.dtype == "amp" else one.dtype
    found = []
    for word in reversed(words):
        counted = calibration_tables.network(NETWORKS.get(word, ""), 224, int(one.batch), dtype)
        if counted is None:
            return None
        found.append(
            Observed(
                one.source, one.id, device, dtype, one.mode, word, int(one.batch), counted, 1.0,
                training=one.pass_ == "training",
            )
        )  # fmt: skip
    return found[0], found[1]


def _free(kind: str) -> list[str]:
    return [name for name, one in PRIOR.items() if one.spread and name.startswith(f"{kind}.")]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _provenance(folder: Path, path: Path, every: Sequence[Observed], rows: Sequence[Observed]) -> dict[str, Any]:
    """A file of the folder, what it holds by its hash, and how many of its rows were read and fitted."""
    name = path.relative_to(folder)

    def of(row: Observed) -> bool:
        return row.source == name.parts[0] and path.stem.endswith(row.table)

    return {
        "file": name.as_posix(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "read": sum(map(of, every)),
        "fitted": sum(map(of, rows)),
    }


def _summary(scores: Sequence[Score]) -> dict[str, dict[str, float]]:
    """The mean over the tables of their median errors, and the median of all rows together, by way."""
    found = {}
    for way in WAYS:
        numbers = {
            "times": scoring.mean_of_medians(scores, way),
            "speedups": scoring.mean_of_medians(scores, way, speedups=True),
            "times_pooled": scoring.pooled_median(scores, way),
            "speedups_pooled": scoring.pooled_median(scores, way, speedups=True),
        }
        found[way] = {name: round(number, 4) for name, number in numbers.items() if not math.isnan(number)}
    return found
