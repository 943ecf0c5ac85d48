"""`bench plan`, as text and as JSON: what is measured, what is skipped and why, costs by shape, and the minutes."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.spec.blocks.costs import Cost, layer_ratio, mac_ratio
from bench.spec.columns import TOOLS
from bench.spec.config.axes import BLOCK_AXES, Axes
from bench.spec.config.config import Experiment, SweepConfig
from bench.spec.config.yaml_file import keys_of
from bench.spec.devices.device_names import in_words
from bench.spec.errors import UserError
from bench.spec.format import aligned, digits, listed, plural, with_prefix
from bench.spec.interval import fewest
from bench.spec.plan.durations import GUESSED, plan_seconds, unlimited_seconds
from bench.spec.plan.plan import Costed, Plan, Trial, idle_axes, meets, shape_words

SHAPES_SHOWN = 20
REASONS_SHOWN = 10
Counts = Mapping[Costed, Mapping[str, int]]
_NONE: Counts = {}
_OF_TRIAL = ("trial_id", "experiment", "skip", "layout", "mode", "cudnn_benchmark")
_LEGEND = "  mac_ratio: MACs of baseline / block, layer_ratio: layers of block / baseline"


def text(config: SweepConfig, plan: Plan, everything: bool = False, known: Counts = _NONE) -> str:
    """The plan for the terminal, with the costs of the first SHAPES_SHOWN shapes, or of all; `known`: of users' blocks."""
    active, skips = plan.active, _skips(plan)
    devices = dict.fromkeys(t.surroundings.device for t in plan.trials)
    predicted = sum(t.predicted for t in active)
    counts = ((len(active) - predicted, "measure"), (predicted, "predict"))
    todo = [f"{plural(n, 'trial')} to {verb}" for n, verb in counts if n] or ["0 trials to measure"]
    arms = plural(sum(len(t.arms) for t in active), "arm")
    skipped = f", {len(plan.trials) - len(active)} skipped" if skips else ""
    lines = [f"{plan.name} on {', '.join(map(in_words, devices))}: {listed(todo)}, {arms}{skipped}", ""]
    for name, experiment in config.experiments.items():
        met = [d for d in devices if meets(experiment, d)]
        blocks = [c.label for c in experiment.choices()]
        lines += [f"{name}: {blocks[0]} (baseline){''.join(f', {b}' for b in blocks[1:])}"] if met else []
        lines += [f"  {line}" for line in _products(experiment, met)]
    if skips:
        lines += ["", "skipped"]
        width = max(len(str(count)) for count in skips.values())
        lines += [f"  {count:>{width}}  {reason}" for reason, count in skips.most_common(REASONS_SHOWN)]
    if len(skips) > REASONS_SHOWN:
        lines.append(f"  and {len(skips) - REASONS_SHOWN} more reasons: --json lists them")
    lines += [f"note: {note}" for note in plan.notes]
    if active:
        lines += ["", *_theory(active, everything, known)]
        workers = Counter(t.surroundings for t in active)
        lines += ["", "worker processes, fresh for each replicate"]
        lines += [f"  {surroundings.label}: {plural(count, 'trial')}" for surroundings, count in workers.items()]
    if plan.chosen:
        lines += ["", f"second opinions on {plural(len(plan.chosen), 'trial')}, by {listed(TOOLS)}"]
    return "\n".join([*lines, "", _time(plan)])


def as_json(config: SweepConfig, plan: Plan, known: Counts = _NONE) -> str:
    """The plan as JSON, a line per trial with the exact costs of its arms, null where there are none; `known`: of users' blocks."""
    active, timing = plan.active, plan.timing
    bounds, workers = (timing.processes_min, timing.processes_max), Counter(t.surroundings for t in active)
    head = {
        "name": plan.name,
        "counts": {
            "trials": len(plan.trials),
            "to_measure": len(active),
            "skipped": len(plan.trials) - len(active),
            "second_opinions": len(plan.chosen),
            "arms": sum(len(t.arms) for t in active),
        },
        "experiments": {
            name: {
                "blocks": [c.label for c in experiment.choices()],
                "axes": _axes(experiment),
                "together": list(experiment.together),
                "on": experiment.on,
                "product": experiment.count(),
            }
            for name, experiment in config.experiments.items()
        },
        "skips": [{"reason": reason, "trials": count} for reason, count in _skips(plan).most_common()],
        "surroundings": [{"label": s.label, "trials": count} for s, count in workers.items()],
        "estimate": {
            **{f"minutes_{end}": plan_seconds(plan, n) / 60 for end, n in zip(("min", "max"), bounds, strict=True)},
            **{name: getattr(timing, name) for name in ("processes_min", "processes_max", "precision")},
            "processes_for_half": [processes_for_half(n, timing.confidence) for n in bounds] if bounds[0] > 1 else None,
        },
        "notes": list(plan.notes),
    }
    trials = ",\n".join(_rows(plan.trials, known))
    return f'{json.dumps(head)[:-1]},\n"trials": [\n{trials}\n]}}'


def _axes(experiment: Experiment) -> dict[str, Any]:
    axes, left_out = experiment.swept(), BLOCK_AXES if experiment.network else ()
    return {key: getattr(axes, name) for key, name in keys_of(Axes).items() if name not in left_out}


def _rows(trials: Sequence[Trial], known: Counts) -> Iterator[str]:
    """Each trial as a JSON object. The costs of the arms are looked up once for all trials that share them."""
    costs: dict[tuple[object, ...], list[dict[str, Any]]] = {}
    places = {s: asdict(s) for s in {t.surroundings for t in trials}}
    for t in trials:
        key = (t.experiment, id(t.shape), t.dtype, t.pass_)  # the costs depend on these
        if key not in costs:
            costs[key] = _arms(t, known)
        row = {name: getattr(t, name) for name in _OF_TRIAL}
        row |= places[t.surroundings] | t.shape_fields() | {"dtype": t.dtype, "pass": t.pass_}
        arms = [{"arm_id": arm.arm_id, **facts} for arm, facts in zip(t.arms, costs[key], strict=True)]
        yield json.dumps(row | {"arms": arms})


def _arms(trial: Trial, known: Counts) -> list[dict[str, Any]]:
    baseline = _cost(trial, 0, known)
    rows = []
    for i, arm in enumerate(trial.arms):
        c = _cost(trial, i, known)
        row: dict[str, Any] = {"block": arm.choice.label}
        for word in ("params", "macs", "flops", "bytes_min", "activations", "layers", "ops"):
            row[word] = None if c is None else getattr(c, word)
        row["mac_ratio"], row["layer_ratio"] = mac_ratio(baseline, c), layer_ratio(baseline, c)
        rows.append(row)
    return rows


def _cost(trial: Trial, arm: int, known: Counts) -> Cost | None:
    seen = known.get(trial.costed(trial.arms[arm])) if known else None
    if seen is not None:
        return Cost.counted(seen)
    try:
        return trial.cost(trial.arms[arm])
    except UserError:
        return None


def _skips(plan: Plan) -> Counter[str]:
    return Counter(t.skip for t in plan.trials if t.skip is not None)


def _products(experiment: Experiment, devices: Sequence[str]) -> list[str]:
    """The product of the axes on each device: `2 channels x 3 kernel = 6 trials`; one line if it is the same on all."""
    lines: dict[str, list[str]] = {}
    axes, step = experiment.swept(), experiment.in_step()
    in_step = " with ".join(step)
    for device in devices:
        idle = (*idle_axes(device), *step[1:])
        names = {n: in_step if n in step else key for key, n in keys_of(Axes).items() if n not in idle}
        sizes = [(name, len(getattr(axes, n))) for n, name in names.items()]
        factors = " x ".join(f"{size} {name}" for name, size in sizes if size > 1)
        total = math.prod(size for _, size in sizes)
        lines.setdefault(f"{factors} = {plural(total, 'trial')}" if factors else "one trial", []).append(device)
    if len(lines) == 1:
        return [f"{line} a device" for line in lines]
    return [f"{line} on {', '.join(same)}" for line, same in lines.items()]


def _theory(trials: Sequence[Trial], everything: bool, known: Counts) -> list[str]:
    """A table for each experiment, with a row for each of its shapes: the number of trials and the costs."""
    shapes: dict[tuple[object, ...], list[Trial]] = {}
    for t in trials:
        shapes.setdefault((t.experiment, t.shape, t.pass_), []).append(t)
    tables: dict[str, list[list[str]]] = {}
    for alike in list(shapes.values())[: None if everything else SHAPES_SHOWN]:
        name, (baseline, *others) = alike[0].experiment, [arm.choice.label for arm in alike[0].arms]
        head = [name, "trials", baseline, *(word for o in others for word in (o, "mac_ratio", "layer_ratio"))]
        tables.setdefault(name, [head]).append(_theory_row(alike[0], len(alike), known))
    pairs = max(len(t.arms) for t in trials) > 1
    lines = ["theory of one evaluation, in MACs", *[_LEGEND] * pairs]
    lines += [f"  {line}" for table in tables.values() for line in aligned(table)]
    hidden = len(shapes) - SHAPES_SHOWN
    return lines + ([f"  and {plural(hidden, 'more shape')}: --all"] if hidden > 0 and not everything else [])


def _theory_row(trial: Trial, count: int, known: Counts) -> list[str]:
    baseline, *others = [_cost(trial, i, known) for i in range(len(trial.arms))]
    words = shape_words(trial.shape, trial.network) + ("-training" if trial.pass_ == "training" else "")
    row = [words, str(count), "?" if baseline is None else with_prefix(baseline.macs, 3)]
    for c in others:
        macs, layers = mac_ratio(baseline, c), layer_ratio(baseline, c)
        row += ["?" if c is None else with_prefix(c.macs, 3), "-" if macs is None else f"{macs:.2f}"]
        row += ["-" if layers is None else digits(layers, 3)]
    return row


def _time(plan: Plan) -> str:
    timing = plan.timing
    low, high = (plan_seconds(plan, n) / 60 for n in (timing.processes_min, timing.processes_max))
    if not plan.active:
        guessed = any((t.skip or "").endswith(GUESSED) for t in plan.trials)
        return f"time: none{f' {GUESSED}; bench run measures the speed first and may skip less' if guessed else ', as nothing is to be measured'}"
    if all(t.predicted for t in plan.active):
        return f"time: about {_minutes(low)} minutes, as each trial is predicted once"
    limit = plan.limit_s / 60
    processes = " to ".join(dict.fromkeys(map(str, (timing.processes_min, timing.processes_max))))
    lines = [
        f"time: about {_between(low, high)} minutes, with {processes} processes a trial",
        f"  until the interval of ln(speedup) is within {timing.precision:g} on each side",
        *([f"  no process begins that would end after {_minutes(limit)} minutes"] if high >= limit else []),
    ]
    if timing.processes_min > 1:
        least, most = (processes_for_half(n, timing.confidence) for n in (timing.processes_min, timing.processes_max))
        short, long = (unlimited_seconds(plan, n) / 60 for n in (least, most))
        more = f" --set minutes={math.ceil(long)}" if long > limit else ""
        lines.append(
            f"  half that width: about {_between(short, long)} minutes,"
            f" --set precision={timing.precision / 2:g} --set processes_max={most}{more}"
        )
    return "\n".join(lines)


def processes_for_half(processes: int, confidence: float) -> int:
    """The processes (from 2 on) that halve the width of the interval that `processes` give, if all spread alike."""
    return fewest(1.0, processes, 0.5, confidence, processes)


def _between(low: float, high: float) -> str:
    least, most = _minutes(low), _minutes(high)
    return least if least == most else f"{least} to {most}"


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f}" if minutes < 10 else f"{minutes:,.0f}"
