"""`bench predict calibrate`: fit, leave out, hold against what was never fitted, and write all of it down as one file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from bench.analyse import calibration, calibration_runs, calibration_tables
from bench.analyse import calibration_scores as scoring
from bench.analyse.calibration_runs import OURS
from bench.analyse.calibration_scores import NO_DEVICE, NO_SOURCE, ROOFLINE, WAYS, Score
from bench.analyse.calibration_tables import AMP, CHECKED, Observed
from bench.analyse.evidence import Published, published
from bench.analyse.records import Floats
from bench.analyse.results import Run
from bench.spec.errors import UserError
from bench.spec.model_parameters import PRIOR, Parameters, prior
from bench.spec.predicted_devices import known

KINDS = ("gpu", "cpu")
VERSION = 1
JOURNAL = "journal.jsonl"
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
    """Everything that model_parameters.json holds.

    `runs` are ours: fitted, and held against fits without their machine or card and without any run of ours. Tables of CHECKED and
    published speedups of others only check the fit. UserError where the folder lacks a kind of device.
    """
    every = calibration_tables.read(folder)
    usable = scoring.usable(every)
    published_rows = tuple(row for row in usable if row.source not in CHECKED)
    checked = [row for row in usable if row.source in CHECKED]
    ours = {run.folder.name: calibration_runs.of_source(run) for run in runs}
    rows = (*published_rows, *(row for mine in ours.values() for row in mine))
    parameters: dict[str, Parameters] = {}
    left: dict[str, scoring.Without] = {}
    for kind in KINDS:
        mine = [row for row in rows if row.device.kind == kind]
        if not any(row.source != OURS for row in mine):
            raise UserError(str(folder), f"no table in it is of a {kind}", "Name a folder that has both kinds (docs/PREDICTION.md).")  # fmt: skip
        parameters[kind] = _rounded(kind, calibration.fit(calibration.tabulate(mine)))
        fits = scoring.without(mine)
        left[kind] = {way: {part: _rounded(kind, p) for part, p in made.items()} for way, made in fits.items()}
    tables = [
        replace(row, table=row.device.name) if row.source == OURS else row for row in rows
    ]  # all runs of a machine are one
    every_score: list[Score] = []
    for kind in KINDS:
        held = [row for row in (*tables, *checked) if row.device.kind == kind]
        every_score += scoring.scores(held, parameters[kind], scoring.unseen(left[kind], held, parameters[kind]))
    scores = [score for score in every_score if score.source != OURS]
    strangers = list(_on_unknown_hosts([row for row in every if row.source in CHECKED], parameters))
    apart: dict[str, dict[str, float]] = {}
    for row in (row for mine in ours.values() for row in mine):
        for way, name in ((NO_DEVICE, row.device.name), (NO_SOURCE, OURS)):
            told, kind = apart.setdefault(name, {}), row.device.kind
            told.update((free, left[kind][way][name][free]) for free in _free(kind) if free not in told)
    checks = [score for run in runs for score in of_run(run, parameters, apart)]
    return {
        "version": VERSION,
        "parameters": {name: parameters[kind][name] for kind in KINDS for name in _free(kind)},
        "without": apart,
        "errors": {kind: errors_of(_of(kind, scores), _of(kind, checks)) for kind in KINDS},
        "data": list(_data(folder, every, published_rows, runs, ours)),
        "summary": {kind: _summary(_of(kind, scores)) for kind in KINDS},
        "summary_on_unknown_hosts": {kind: _summary(_of(kind, strangers)) for kind in KINDS},
        "summary_with_ours": {kind: _summary(_of(kind, every_score)) for kind in KINDS},
        "scores": [{**score.to_dict(), "fitted": score.source not in CHECKED} for score in scores],
        "on_unknown_hosts": [score.to_dict() for score in strangers],
        "checks": [score.to_dict() for score in checks],
        "where": list(where(runs, parameters, apart)),
        "sides": [side for run in runs for side in sides(run, parameters, apart)],
        "published": list(of_published(parameters)),
    }  # fmt: skip


def _on_unknown_hosts(rows: Sequence[Observed], parameters: Mapping[str, Parameters]) -> Iterator[Score]:
    """Every row of tables that were never fitted, by the fit and the roofline, on the host that a card is given where none is known."""
    for kind in KINDS:
        mine = [calibration_tables.on_unknown_host(row) for row in rows if row.device.kind == kind]
        if mine:
            observed = np.array([row.time_s for row in mine])
            errors = {way: np.log(seconds / observed) for way, seconds in scoring.rooflines(mine).items()}
            errors[NO_SOURCE] = calibration.errors(calibration.tabulate(mine), parameters[kind])
            yield from scoring.by_table(mine, errors)


def _of(kind: str, scores: Sequence[Score]) -> list[Score]:
    return [score for score in scores if score.kind == kind]


def write(found: Mapping[str, Any], path: Path) -> None:
    """The file, a value a line."""
    path.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def errors_of(scores: Sequence[Score], checks: Sequence[Score]) -> dict[str, float]:
    """Half-widths in ln that hold 95 % of the errors of what a wall clock shows, on data left out.

    Of published tables whose whole source was left out, on hosts as far as they are told, and of runs of ours with all of ours left
    out, each table and each run weighing alike: the wider of the two. In training by itself, of which no table was published. Where no
    speedup was left out, its error is taken for that of a time.
    """
    runs: dict[str, list[Score]] = {}
    for check in checks:
        if check.table.endswith("wall"):
            runs.setdefault(check.source, []).append(check)

    def widest(what: str) -> float:
        sizes = [
            scoring.covering([_joined([getattr(score, what).get(NO_SOURCE) for score in one]) for one in group])
            for group in ([[score] for score in scores], list(runs.values()))
        ]
        return max((size for size in sizes if not math.isnan(size)), default=math.nan)

    times, speedups = widest("times"), widest("speedups")
    found = {"time": times, "speedup": times if math.isnan(speedups) else speedups}
    trained = [check for check in checks if check.table == "eager, training, wall"]
    if trained:  # few rows, and far off: all of them are to lie within
        found["training_time"] = scoring.covering([check.times[NO_SOURCE] for check in trained], 1.0)
        found["training_speedup"] = scoring.covering(
            [check.speedups.get(NO_SOURCE, np.empty(0)) for check in trained], 1.0
        )
    return {name: round(size, 3) for name, size in found.items() if not math.isnan(size)}


def _joined(parts: Sequence[Floats | None]) -> Floats:
    return np.concatenate([np.empty(0), *(part for part in parts if part is not None)])


def of_run(run: Run, parameters: Mapping[str, Parameters], apart: Mapping[str, Parameters]) -> Iterator[Score]:
    """A run of ours: its wall times and, of an accelerator, the device's own.

    It is held against the fits of `apart`: without the run's machine or card, and without any run of ours. Where the fit has seen
    neither, both are the fit itself.
    """
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
                    fits = _unseen(mine, run, parameters[kind], apart)
                    yield _check(mine, f"{mode}, {'training' if training else 'inference'}, {clock}", fits)


def sides(run: Run, parameters: Mapping[str, Parameters], apart: Mapping[str, Parameters]) -> Iterator[dict[str, Any]]:
    """By kind of device how many pairs of a run of ours were measured faster or slower, and how many of them each way has on that side of 1x."""
    verdicts = dict(zip(run.pairs["arm_id"], run.pairs["verdict"], strict=True))
    rows = calibration_runs.of_run(run)
    for kind in KINDS:
        mine = [row for row in rows if row.device.kind == kind]
        if not mine:
            continue
        table = calibration.tabulate(mine)
        fits = _unseen(mine, run, parameters[kind], apart)
        seconds = scoring.rooflines(mine)
        seconds |= {way: calibration.seconds(table, p) for way, p in fits.items()}
        found = {way: scoring.ratios(mine, s) for way, s in seconds.items()}
        decided = [arm for arm in found[ROOFLINE] if verdicts.get(arm) in ("faster", "slower")]
        right = {way: sum((of[arm] > 1) == (verdicts[arm] == "faster") for arm in decided) for way, of in found.items()}
        yield {"source": run.folder.name, "kind": kind, "pairs": len(decided), "right": right}


def where(
    runs: Sequence[Run], parameters: Mapping[str, Parameters], apart: Mapping[str, Parameters]
) -> Iterator[dict[str, Any]]:
    """By kind of device and of row, how far the fit without any run of ours is off on all of them, by the wall."""
    rows = [row for run in runs for row in calibration_runs.of_run(run)]
    groups: dict[tuple[str, str], list[Observed]] = {}
    for row in rows:
        groups.setdefault((row.device.kind, calibration_runs.sort_of(row)), []).append(row)
    for (kind, sort), mine in sorted(groups.items()):
        p = {**parameters[kind], **apart.get(OURS, {})}
        times = calibration.errors(calibration.tabulate(mine), p)
        speedups = scoring.of_speedups(mine, times)
        told = {
            "times": scoring.spread(times).to_dict(),
            "speedups": scoring.spread(speedups).to_dict() if len(speedups) else {},
        }
        yield {"kind": kind, "sort": sort, **told}


def _unseen(
    rows: Sequence[Observed], run: Run, parameters: Parameters, apart: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    """The fits without the machine or card of these rows, and without any run of ours."""
    ways = {NO_DEVICE: calibration_runs.part(rows[0], run), NO_SOURCE: OURS}
    return {way: {**parameters, **apart.get(name, {})} for way, name in ways.items()}


def _check(rows: Sequence[Observed], table: str, ways: Mapping[str, Parameters]) -> Score:
    observed = np.array([row.time_s for row in rows])
    errors = {way: np.log(seconds / observed) for way, seconds in scoring.rooflines(rows).items()}
    errors |= {way: calibration.errors(calibration.tabulate(rows), p) for way, p in ways.items()}
    paired = {way: scoring.of_speedups(rows, found) for way, found in errors.items()}
    device = rows[0].device
    title = device.title if device.kind == "gpu" else str(rows[0].extra["row"]["device_name"])
    speedups = {way: found for way, found in paired.items() if len(found)}
    return Score(rows[0].source, table, title, device.kind, errors, speedups)


def of_published(parameters: Mapping[str, Parameters]) -> Iterator[dict[str, Any]]:
    """Speedups of published.csv between networks that were counted, on devices that are known, beside the model's."""
    for one in published():
        rows = _pair(one)
        if rows is None or one.speedup is None:
            continue
        kind = rows[0].device.kind
        sides = calibration.seconds(calibration.tabulate(rows), parameters[kind])
        roofs = scoring.rooflines(rows)
        yield {
            "id": one.id,
            "seen": one.id.startswith("timm-") and one.mode == ("compile" if kind == "cpu" else "eager")
            and one.pass_ == "inference",
            "speedup": one.speedup,
            "predicted": round(float(sides[0] / sides[1]), 3),
            **{way: round(float(s[0] / s[1]), 3) for way, s in roofs.items()},
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


def _rounded(kind: str, found: Parameters) -> Parameters:
    """What is told of a fit, and nothing finer."""
    return {**prior(), **{name: float(f"{found[name]:.{DIGITS}g}") for name in _free(kind)}}


def _data(
    folder: Path,
    every: Sequence[Observed],
    fitted: Sequence[Observed],
    runs: Sequence[Run],
    ours: Mapping[str, Sequence[Observed]],
) -> Iterator[dict[str, Any]]:
    """Files of tables, what each holds by its hash, and how many of its rows were read and fitted; then runs of ours."""
    found = {path.relative_to(folder): (path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.csv")}
    with as_file(files("bench.analyse") / calibration_tables.TABLES) as package:
        for path in package.rglob("*.csv"):
            name = path.relative_to(package)
            found.setdefault(name, (f"bench/analyse/{calibration_tables.TABLES}/{name.as_posix()}", path))
        for name, (title, path) in sorted(found.items()):

            def of(row: Observed, source: str = name.parts[0], stem: str = name.stem) -> bool:
                return row.source == source and stem in row.extra.get(
                    "files", (row.table, f"benchmark-infer-{row.table}")
                )

            yield _file(title, path, sum(map(of, every)), sum(map(of, fitted)))
    for run in runs:
        path = run.folder / JOURNAL
        if path.is_file() and ours[run.folder.name]:
            yield _file(
                f"results/reference/{run.folder.name}", path, len(ours[run.folder.name]), len(ours[run.folder.name])
            )


def _file(title: str, path: Path, read: int, fitted: int) -> dict[str, Any]:
    return {"file": title, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16], "read": read, "fitted": fitted}


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
    return {way: told for way, told in found.items() if told}
