"""Errors on data that a fit has not seen: cards of no fitted table, our own runs, published speedups between networks.

`parameters`: the fit by kind of device. `apart`: of the fits without a machine or card of ours, and without any run of ours, what
differs, by the name of what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench.analyse.claims.published import Published, published
from bench.analyse.runs.run_folder import Run
from bench.spec.devices.predicted_devices import known
from bench.spec.model.model_parameters import Parameters
from tools.model_fit import cross_validation as scoring
from tools.model_fit import fitting, own_runs, published_times
from tools.model_fit.cross_validation import NO_DEVICE, NO_SOURCE, ROOFLINE, Score
from tools.model_fit.own_runs import OURS, Own
from tools.model_fit.published_times import AMP, Observed

KINDS = ("gpu", "cpu")
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


def by_the_fit(rows: Sequence[Observed], parameters: Mapping[str, Parameters]) -> Iterator[Score]:
    """Tables that were never fitted, by the fit, which has left out their source, and by the roofline."""
    for kind in KINDS:
        mine = [row for row in rows if row.device.kind == kind]
        if mine:
            fitted = {NO_SOURCE: fitting.errors(fitting.tabulate(mine), parameters[kind])}
            yield from scoring.by_table(mine, scoring.roofline_errors(mine) | fitted)


def of_run(own: Own, parameters: Mapping[str, Parameters], apart: Mapping[str, Parameters]) -> Iterator[Score]:
    """A run of ours: its wall times and, of an accelerator, the device's own.

    It is held against the fits of `apart`: without the run's machine or card, and without any run of ours. Where the fit has seen
    neither, both are the fit itself.
    """
    for clock, rows in own.rows.items():
        groups: dict[tuple[int, str, bool], list[Observed]] = {}
        for row in rows:
            key = KINDS.index(row.device.kind), str(row.extra["row"]["mode"]), row.training
            groups.setdefault(key, []).append(row)
        for (kind, mode, training), mine in sorted(groups.items(), key=lambda group: group[0]):
            fits = _unseen(mine, own.run, parameters[KINDS[kind]], apart)
            yield _check(mine, f"{mode}, {'training' if training else 'inference'}, {clock}", fits)


def sides(own: Own, parameters: Mapping[str, Parameters], apart: Mapping[str, Parameters]) -> Iterator[dict[str, Any]]:
    """By kind of device how many pairs of a run of ours were measured faster or slower, and how many of them each way has on that side of 1x."""
    verdicts = dict(zip(own.run.pairs["arm_id"], own.run.pairs["verdict"], strict=True))
    for kind in KINDS:
        mine = [row for row in own.rows["wall"] if row.device.kind == kind]
        if not mine:
            continue
        table = fitting.tabulate(mine)
        fits = _unseen(mine, own.run, parameters[kind], apart)
        seconds = scoring.rooflines(mine)
        seconds |= {way: fitting.seconds(table, p) for way, p in fits.items()}
        found = {way: scoring.ratios(mine, s) for way, s in seconds.items()}
        decided = [arm for arm in found[ROOFLINE] if verdicts.get(arm) in ("faster", "slower")]
        right = {way: sum((of[arm] > 1) == (verdicts[arm] == "faster") for arm in decided) for way, of in found.items()}
        yield {"source": own.run.folder.name, "kind": kind, "pairs": len(decided), "right": right}


def where(
    ours: Sequence[Own], parameters: Mapping[str, Parameters], apart: Mapping[str, Parameters]
) -> Iterator[dict[str, Any]]:
    """By kind of device and of row, how far the fit without any run of ours is off on all of them, by the wall."""
    groups: dict[tuple[str, str], list[Observed]] = {}
    for row in (row for own in ours for row in own.rows["wall"]):
        groups.setdefault((row.device.kind, own_runs.sort_of(row)), []).append(row)
    for (kind, sort), mine in sorted(groups.items()):
        p = {**parameters[kind], **apart.get(OURS, {})}
        times = fitting.errors(fitting.tabulate(mine), p)
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
    ways = {NO_DEVICE: own_runs.part(rows[0], run), NO_SOURCE: OURS}
    return {way: {**parameters, **apart.get(name, {})} for way, name in ways.items()}


def _check(rows: Sequence[Observed], table: str, ways: Mapping[str, Parameters]) -> Score:
    errors = scoring.roofline_errors(rows)
    errors |= {way: fitting.errors(fitting.tabulate(rows), p) for way, p in ways.items()}
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
        sides = fitting.seconds(fitting.tabulate(rows), parameters[kind])
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
        counted = published_times.network(NETWORKS.get(word, ""), 224, int(one.batch), dtype)
        if counted is None:
            return None
        found.append(
            Observed(
                one.source, one.id, device, dtype, one.mode, word, int(one.batch), counted, 1.0,
                training=one.pass_ == "training",
            )
        )  # fmt: skip
    return found[0], found[1]
