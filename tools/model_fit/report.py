"""Print docs/PREDICTION_FIT.md: the fixed words of report_template.md, filled with tables from the file of the fit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from bench.spec.model.model_parameters import Prediction
from tools.model_fit import report_tables as tables
from tools.model_fit.cross_validation import FITTED, NO_DEVICE, NO_SOURCE, OTHER, ROOFLINE
from tools.model_fit.published_pairs import pairs
from tools.model_fit.report_tables import LEFT, WAYS, WORDS, Told, error, met, nearer, percent, table

TEMPLATE = "report_template.md"
GOAL_TIMES, GOAL_SPEEDUPS = 2.0, 0.25
OF = {
    "summary_with_ours": "published tables and our runs",
    "summary": "published tables alone",
    "summary_on_told_hosts": "never fitted: openbayes, its hosts read from its own rows",
    "summary_on_unknown_hosts": "never fitted: openbayes, all rows, its hosts unknown",
}


def brief(told: Told) -> Iterator[str]:
    """For the terminal: a line for each table, and whether the goals are met."""
    for score in told["scores"]:
        times = score["times"]
        medians = ", ".join(f"{way} {times[way]['median']:.3f}" for way in WAYS)
        yield f"{score['source']} {score['table']} ({score['device']}, {times[FITTED]['n']} rows): median |ln error| {medians}"
    yield from _goals(told).splitlines()


def markdown(told: Told) -> str:
    """The page."""
    template = (files("tools.model_fit") / TEMPLATE).read_text(encoding="utf-8")
    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False).from_string(template)
    first = first_look()
    return page.render(
        short=_short(told),
        goals=_goals(told),
        by_source=_by_source(told),
        own_runs=_own_runs(told),
        intervals=_intervals(told),
        where=tables.errors_by_kind_of_row(told),
        times=tables.errors_by_table(told, "times"),
        speedups=tables.errors_by_table(told, "speedups"),
        unseen=tables.errors_of_unseen_cards(told),
        gpu_runs=tables.errors_of_runs(tables.nearest(told, "gpu"), (ROOFLINE, NO_SOURCE)),
        cpu_runs=tables.errors_of_runs(tables.nearest(told, "cpu"), (ROOFLINE, NO_DEVICE, NO_SOURCE)),
        first_look=tables.errors_of_runs(first["checks"], (ROOFLINE, FITTED)),
        since=tables.since_first_look(told, first),
        pairs=tables.held_out_pairs(list(pairs(told))),
        published=tables.published_speedups(told["published"]),
        data=tables.data_files(told["data"]),
        parameters=tables.parameters(told["parameters"]),
        devices=tables.devices(),
        disagreements=tables.disagreements(),
    )


def first_look() -> Told:
    """What the model of then predicted for the first runs on a GPU, and its errors on the published tables."""
    found: dict[str, Any] = json.loads((files("tools.model_fit") / "first_look.json").read_text(encoding="utf-8"))
    return found


# ---------------------------------------------------------------- the goals


def _short(told: Told) -> str:
    """The few figures that docs/PREDICTION.md quotes, by kind of device."""
    columns = []
    for kind in WORDS:
        pairs, right = _right(told, kind)
        model = told["summary_with_ours"][kind]
        roofline = _rooflines(told, kind, "summary_with_ours")
        off = {what: [math.expm1(model[way][what]) for way in LEFT] for what in ("speedups", "times")}
        less = [roofline["times"] / model[way]["times"] for way in LEFT]
        time, speedup = (f"{math.exp(size):.2f}" for size in Prediction("", **told["errors"][kind]).of(training=False))
        columns.append([
            *(f"{right[way]} of {pairs} ({percent(right[way] / pairs)})" if pairs else "none" for way in (NO_DEVICE, ROOFLINE)),
            f"{', '.join(map(percent, off['speedups']))} ({met(max(off['speedups']) < GOAL_SPEEDUPS)})",
            ", ".join(map(percent, off["times"])),
            speedup, time,
            f"{', '.join(f'{times:.2f}' for times in less)} ({met(min(less) >= GOAL_TIMES)})",
        ])  # fmt: skip
    names = (
        "pairs of our runs on the right side of 1x",
        "the same by the unfitted roofline",
        f"typical error of a speedup: new device, new source (goal: under {percent(GOAL_SPEEDUPS)})",
        "typical error of a time: new device, new source",
        "95 % of speedups are within a factor of",
        "95 % of times are within a factor of, if the host is known",
        f"roofline's error of times / model's: new device, new source (goal: {GOAL_TIMES:.0f})",
    )
    return table(["predicted without having seen the device", *WORDS.values()], zip(names, *columns, strict=True))


def _goals(told: Told) -> str:
    """Both goals, each met or not: over all that was left out, and over what others published alone."""
    rows = []
    for kind, part in ((kind, part) for kind in WORDS for part in OF if told[part][kind]):
        stronger = _rooflines(told, kind, part)
        for way, what in LEFT.items():
            if (model := told[part][kind].get(way)) is None:
                continue
            less, pooled = (stronger[n] / model[n] for n in ("times", "times_pooled"))
            row = [
                f"{WORDS[kind]}, {OF[part]}", what, f"{model['times']:.2f}", f"{stronger['times']:.2f}",
                f"{less:.2f}, {met(less >= GOAL_TIMES)}", f"{pooled:.2f}", "", "", "",
            ]  # fmt: skip
            if "speedups" in model:
                off = math.expm1(model["speedups"])
                both = f"{error(model['speedups_pooled'])}, {error(stronger['speedups_pooled'])}"
                row[-3:] = f"{percent(off)}, {met(off < GOAL_SPEEDUPS)}", error(stronger["speedups"]), both
            rows.append(row)
    head = (
        "of", "left out whole", "times: model", "roofline", f"times less (goal: {GOAL_TIMES:.0f})", "all rows pooled",
        f"speedups: model (goal: under {percent(GOAL_SPEEDUPS)})", "roofline", "all rows pooled: model, roofline",
    )  # fmt: skip
    return table(head, rows)


def _rooflines(told: Told, kind: str, part: str) -> dict[str, float]:
    """The nearer roofline's errors, by times and speedups, averaged over tables and pooled."""
    summary = told[part][kind]
    return {what: summary[nearer(told, kind, what.removesuffix("_pooled"))][what] for what in summary[ROOFLINE]}


def _by_source(told: Told) -> str:
    """Where the model is nearer than the roofline, and where it is not: by kind of device and source."""
    every = [*told["scores"], *told["own_scores"], *told["on_told_hosts"]]
    rows = []
    for kind, source in dict.fromkeys((score["kind"], score["source"]) for score in every):
        mine = [score["times"] for score in every if (score["kind"], score["source"]) == (kind, source)]
        mean = {way: sum(float(times[way]["median"]) for times in mine) / len(mine) for way in mine[0]}
        roofline = min(mean[ROOFLINE], mean[OTHER])
        models = [f"{mean[way]:.2f}" if way in mean else "" for way in LEFT]
        less = " and ".join(f"{roofline / mean[way]:.2f}" for way in LEFT if way in mean)
        rows.append([WORDS[kind], source, f"{len(mine)}", *models, f"{roofline:.2f}", less])
    return table(
        ("of", "source", "tables", "times: model, devices left out", "sources left out", "roofline", "times less"), rows
    )


def _own_runs(told: Told) -> str:
    """Of our runs by kind of device: errors of eager speedups run by run, and how often the side of 1x is right."""
    rows = []
    for kind in WORDS:
        eager = [s["speedups"] for s in told["checks"] if s["kind"] == kind and s["table"] == "eager, inference, wall"]
        ways = NO_DEVICE, NO_SOURCE, nearer(told, kind, "speedups")
        errors = [", ".join(error(speedups[way]["median"]) for speedups in eager if speedups) for way in ways]
        pairs, right = _right(told, kind)
        if not pairs:
            continue
        shares = [f"{right[way]} ({percent(right[way] / pairs)})" for way in (NO_DEVICE, NO_SOURCE, ROOFLINE)]
        mine = [side for side in told["sides"] if side["kind"] == kind and side["pairs"]]
        worst = min(mine, key=lambda side: side["right"][NO_DEVICE] / side["pairs"])
        worst_run = f"`{worst['source']}`, {worst['right'][NO_DEVICE]} of {worst['pairs']}"
        rows.append([WORDS[kind], *errors, f"{pairs}", *shares, worst_run])
    each = "without machine or card", "without any of ours", "roofline"
    errors_of, right_of = ([f"{what}: {way}" for way in each] for what in ("errors of eager speedups", "side right"))
    return table(("runs of ours on", *errors_of, "pairs", *right_of, "side right: worst run"), rows)


def _right(told: Told, kind: str) -> tuple[int, dict[str, int]]:
    """Pairs of our runs with a verdict, and how many each way has on the right side of 1x; of two rooflines the better."""
    mine = [side for side in told["sides"] if side["kind"] == kind]
    right = {way: sum(side["right"][way] for side in mine) for way in (NO_DEVICE, NO_SOURCE, ROOFLINE, OTHER)}
    right[ROOFLINE] = max(right[ROOFLINE], right.pop(OTHER))
    return sum(side["pairs"] for side in mine), right


def _intervals(told: Told) -> str:
    rows = []
    for kind, errors in told["errors"].items():
        sizes = (size for training in (False, True) for size in Prediction("", **errors).of(training))
        rows.append([WORDS[kind], *(f"x/÷ {math.exp(size):.2f}" for size in sizes)])
    return table(("of", "a time", "a speedup", "a time in training", "a speedup in training"), rows)
