"""Calibrate the model: fit it, cross-validate it, score it on held-out data, and write model_parameters.json."""

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

from bench.analyse.runs.run_folder import Run
from bench.analyse.stats.estimators import Floats
from bench.spec.errors import UserError
from bench.spec.model.model_parameters import PRIOR, Parameters, prior
from tools.model_fit import cross_validation as scoring
from tools.model_fit import fitting, held_out, own_runs, published_times
from tools.model_fit.cross_validation import NO_DEVICE, NO_SOURCE, WAYS, Score
from tools.model_fit.held_out import KINDS
from tools.model_fit.own_runs import OURS
from tools.model_fit.published_times import CHECKED, Observed

VERSION = 1
JOURNAL = "journal.jsonl"
DIGITS = 4  # of a fitted parameter: more would be the machine's own


def calibrate(folder: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that model_parameters.json holds.

    `runs` are ours: fitted, and held against fits without their machine or card and without any run of ours. Tables of CHECKED and
    published speedups of others only check the fit. UserError where the folder lacks a kind of device.
    """
    every = published_times.read(folder)
    usable = scoring.usable(every)
    published_rows = tuple(row for row in usable if row.source not in CHECKED)
    ours = [own_runs.read(run) for run in runs]
    fitted = [own_runs.of_source(own) for own in ours]
    rows = (*published_rows, *(row for mine in fitted for row in mine))
    parameters: dict[str, Parameters] = {}
    left: dict[str, scoring.Without] = {}
    for kind in KINDS:
        mine = [row for row in rows if row.device.kind == kind]
        if not any(row.source != OURS for row in mine):
            raise UserError(str(folder), f"no table in it is of a {kind}", "Name a folder that has both kinds (docs/PREDICTION_FIT.md).")  # fmt: skip
        parameters[kind] = _rounded(kind, fitting.fit(fitting.tabulate(mine)))
        fits = scoring.without(mine)
        left[kind] = {way: {part: _rounded(kind, p) for part, p in made.items()} for way, made in fits.items()}
    tables = [
        replace(row, table=row.device.name) if row.source == OURS else row for row in rows
    ]  # all runs of a machine are one
    every_score: list[Score] = []
    for kind in KINDS:
        every_score += scoring.scores([r for r in tables if r.device.kind == kind], parameters[kind], left[kind])
    scores = [score for score in every_score if score.source != OURS]
    checked = list(held_out.by_the_fit([r for r in usable if r.source in CHECKED], parameters))
    unknown = [published_times.on_unknown_host(row) for row in every if row.source in CHECKED]
    strangers = list(held_out.by_the_fit(unknown, parameters))
    apart: dict[str, dict[str, float]] = {}
    for row in (row for mine in fitted for row in mine):
        for way, name in ((NO_DEVICE, row.device.name), (NO_SOURCE, OURS)):
            told, kind = apart.setdefault(name, {}), row.device.kind
            told.update((free, left[kind][way][name][free]) for free in _free(kind) if free not in told)
    sizes = [(own.run.folder, len(mine)) for own, mine in zip(ours, fitted, strict=True)]
    checks = [score for own in ours for score in held_out.of_run(own, parameters, apart)]
    return {
        "version": VERSION,
        "parameters": {name: parameters[kind][name] for kind in KINDS for name in _free(kind)},
        "without": apart,
        "errors": {kind: errors_of(_of(kind, (*scores, *checked)), _of(kind, checks)) for kind in KINDS},
        "data": list(_data(folder, every, published_rows, sizes)),
        "summary": {kind: _summary(_of(kind, scores)) for kind in KINDS},
        "summary_on_told_hosts": {kind: _summary(_of(kind, checked)) for kind in KINDS},
        "summary_on_unknown_hosts": {kind: _summary(_of(kind, strangers)) for kind in KINDS},
        "summary_with_ours": {kind: _summary(_of(kind, every_score)) for kind in KINDS},
        "scores": [score.to_dict() for score in scores],
        "own_scores": [score.to_dict() for score in every_score if score.source == OURS],
        "on_told_hosts": [score.to_dict() for score in checked],
        "on_unknown_hosts": [score.to_dict() for score in strangers],
        "checks": [score.to_dict() for score in checks],
        "where": list(held_out.where(ours, parameters, apart)),
        "sides": [side for own in ours for side in held_out.sides(own, parameters, apart)],
        "published": list(held_out.of_published(parameters)),
    }  # fmt: skip


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


def _free(kind: str) -> list[str]:
    return [name for name, one in PRIOR.items() if one.spread and name.startswith(f"{kind}.")]


def _rounded(kind: str, found: Parameters) -> Parameters:
    """What is told of a fit, and nothing finer."""
    return {**prior(), **{name: float(f"{found[name]:.{DIGITS}g}") for name in _free(kind)}}


def _data(
    folder: Path,
    every: Sequence[Observed],
    fitted: Sequence[Observed],
    ours: Sequence[tuple[Path, int]],
) -> Iterator[dict[str, Any]]:
    """Files of tables, what each holds by its hash, and how many of its rows were read and fitted; then runs of ours, by their rows."""
    found = {path.relative_to(folder): (path.relative_to(folder).as_posix(), path) for path in folder.rglob("*.csv")}
    with as_file(files("tools.model_fit") / published_times.TABLES) as package:
        for path in package.rglob("*.csv"):
            name = path.relative_to(package)
            found.setdefault(name, (f"{published_times.TABLES}/{name.as_posix()}", path))
        for name, (title, path) in sorted(found.items()):

            def of(row: Observed, source: str = name.parts[0], stem: str = name.stem) -> bool:
                return row.source == source and stem in row.extra.get(
                    "files", (row.table, f"benchmark-infer-{row.table}")
                )

            yield _file(title, path, sum(map(of, every)), sum(map(of, fitted)))
    for run, rows in ours:
        if (run / JOURNAL).is_file() and rows:
            yield _file(f"results/reference/{run.name}", run / JOURNAL, rows, rows)


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
