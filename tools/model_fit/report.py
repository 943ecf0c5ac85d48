"""docs/PREDICTION.md: how far predicted times and speedups are from published and measured ones, out of the fit's own file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from bench.analyse.claims.published import published
from bench.spec.devices.predicted_devices import PredictedDevice, known
from bench.spec.model.model_parameters import PRIOR
from bench.spec.model.predictions import Prediction
from tools.model_fit import report_words as words
from tools.model_fit.cross_validation import FITTED, NO_DEVICE, NO_SOURCE, OTHER, ROOFLINE
from tools.model_fit.published_times import TABLES

Told = Mapping[str, Any]
GOAL_TIMES, GOAL_SPEEDUPS = 2.0, 0.25
WORDS = {"gpu": "GPUs", "cpu": "CPUs"}
OF = {
    "summary_with_ours": "published tables and our runs",
    "summary": "published tables alone",
    "summary_on_told_hosts": "never fitted: openbayes, its hosts read from its own rows",
    "summary_on_unknown_hosts": "never fitted: openbayes, all rows, its hosts unknown",
}
FIRST_TABLES = (
    "gtx1080ti_fp32",
    "v100_fp16",
    "v100_fp32",
    "amp-nchw-pt240-cu124-rtx3090",
    "amp-nchw-pt240-cu124-rtx4090",
    "batch_sweep_eval_2021",
)
"""Of GPUs, those that were there when the first look was taken."""
_WAYS = (ROOFLINE, FITTED, NO_DEVICE, NO_SOURCE)
_WITHOUT = {NO_DEVICE: "without its machine", NO_SOURCE: "without any of ours"}


def brief(told: Told) -> Iterator[str]:
    """For the terminal: a line for each table, and whether the goals are met."""
    for score in told["scores"]:
        times = score["times"]
        medians = ", ".join(f"{way} {times[way]['median']:.3f}" for way in _WAYS)
        yield f"{score['source']} {score['table']} ({score['device']}, {times[FITTED]['n']} rows): median |ln error| {medians}"
    yield from _goals(told)


def markdown(told: Told) -> str:
    """The page."""
    return "\n".join(line for part in _parts(told) for line in part) + "\n"


def _parts(told: Told) -> Iterator[Iterator[str] | Sequence[str]]:
    yield words.HEAD.strip().splitlines()
    yield [
        "",
        "## In short",
        "",
        *words.SHORT.strip().splitlines(),
        "",
        *_goals(told),
        "",
        *words.BY_SOURCE.strip().splitlines(),
        "",
        *_by_source(told),
        "",
        *(f"- {line}" for kind in WORDS for line in (*_own_runs(told, kind), *_sides(told, kind))),
        "",
    ]
    yield [*words.ERRORS.strip().splitlines(), ""]
    yield _errors(told)
    yield ["", "## How far may I trust it?", "", *words.WHERE.strip().splitlines(), ""]
    yield _where(told)
    yield ["", "## Times: predicted against published", "", *words.TIMES.strip().splitlines(), ""]
    yield _table(told, "times")
    yield ["", "## Speedups: predicted against published", "", *words.SPEEDUPS.strip().splitlines(), ""]
    yield _table(told, "speedups")
    yield ["", "## Cards that no fit has seen", "", *words.UNSEEN.strip().splitlines(), ""]
    yield _unseen(told)
    yield ["", "## Runs of ours", "", *words.CHECKS.strip().splitlines(), ""]
    yield _checks(_nearest(told, "gpu"), (ROOFLINE, NO_SOURCE))
    yield ["", *words.CPUS.strip().splitlines(), ""]
    yield _checks(_nearest(told, "cpu"), (ROOFLINE, NO_DEVICE, NO_SOURCE))
    yield ["", "### As first predicted, before a GPU had run any of this", "", *words.FIRST.strip().splitlines(), ""]
    yield _checks(first_look()["checks"], (ROOFLINE, FITTED))
    yield _since(told)
    yield ["", "## Single speedups of other tables", "", *words.PUBLISHED.strip().splitlines(), ""]
    yield _published(told["published"])
    yield [
        "",
        *words.FAILS.strip().splitlines(),
        "",
        *words.OWN.strip().splitlines(),
        "",
        "## The data",
        "",
        *words.DATA.strip().splitlines(),
        "",
    ]
    yield _data(told["data"])
    yield ["", "## The parameters", "", *words.PARAMETERS.strip().splitlines(), ""]
    yield _parameters(told["parameters"])
    yield ["", "## The devices", "", *words.DEVICES.strip().splitlines(), ""]
    yield _devices()


def _goals(told: Told) -> Iterator[str]:
    """Both goals, each met or not: over all that was left out, and over what others published alone."""
    yield f"| of | left out whole | times: model | roofline | times less (goal: {GOAL_TIMES:.0f}) | all rows pooled | speedups: model (goal: under {_percent(GOAL_SPEEDUPS)}) | roofline | all rows pooled: model, roofline |"
    yield f"|{'---|' * 9}"
    for kind, part in ((kind, part) for kind in WORDS for part in OF):
        summary = told[part][kind]
        if not summary:
            continue
        stronger = {
            what: summary[_nearer(told, kind, what.removesuffix("_pooled"))][what] for what in summary[ROOFLINE]
        }
        for way, what in ((NO_DEVICE, "devices"), (NO_SOURCE, "sources")):
            if way not in summary:
                continue
            model = summary[way]
            less, pooled = (stronger[n] / model[n] for n in ("times", "times_pooled"))
            off = math.expm1(model.get("speedups", math.nan))
            cells = (
                f"{WORDS[kind]}, {OF[part]}", what, f"{model['times']:.2f}", f"{stronger['times']:.2f}",
                f"{less:.2f}, {_met(less >= GOAL_TIMES)}", f"{pooled:.2f}",
                *((f"{_percent(off)}, {_met(off < GOAL_SPEEDUPS)}", _error(stronger["speedups"]), f"{_error(model['speedups_pooled'])}, {_error(stronger['speedups_pooled'])}") if "speedups" in model else ("", "", "")),
            )  # fmt: skip
            yield f"| {' | '.join(cells)} |"


def _own_runs(told: Told, kind: str) -> Iterator[str]:
    """The median errors of the speedups of our own runs in eager mode, by walls."""
    mine = [s for s in told["checks"] if s["kind"] == kind and s["table"] == "eager, inference, wall" and s["speedups"]]
    if not mine:
        return
    nearer = _nearer(told, kind, "speedups")
    ways = {
        way: ", ".join(_error(s["speedups"][way]["median"]) for s in mine) for way in (nearer, NO_DEVICE, NO_SOURCE)
    }
    runs = f"in {len(mine)} run{'s' if len(mine) > 1 else ''}"
    without = "" if ways[NO_SOURCE] == ways[NO_DEVICE] else f"; without any run of ours: {ways[NO_SOURCE]}"
    yield (
        f"{WORDS[kind]}, our own runs of blocks and networks, eager, by the wall, each predicted by a fit without its machine or card: the median "
        f"error of the speedup is {ways[NO_DEVICE]} {runs}{without}; the unfitted roofline's {ways[nearer]}."
    )


def _sides(told: Told, kind: str) -> Iterator[str]:
    """How often the question is answered right: is the block faster, or slower?"""
    mine = [side for side in told["sides"] if side["kind"] == kind and side["pairs"]]
    if mine:
        pairs = sum(side["pairs"] for side in mine)
        right = {way: sum(side["right"][way] for side in mine) for way in (NO_DEVICE, NO_SOURCE)}
        roofline = max(sum(side["right"][way] for side in mine) for way in (ROOFLINE, OTHER))
        worst = min(mine, key=lambda side: side["right"][NO_DEVICE] / side["pairs"])
        yield (
            f"{WORDS[kind]}, the side of 1x: of {pairs} pairs of our own runs that were measured faster or slower, in all modes, {right[NO_DEVICE]} ({_percent(right[NO_DEVICE] / pairs)}) "
            f"are predicted so by a fit without their machine or card, {right[NO_SOURCE]} ({_percent(right[NO_SOURCE] / pairs)}) without any run of ours, {roofline} "
            f"({_percent(roofline / pairs)}) by the unfitted roofline; worst is `{worst['source']}`, {worst['right'][NO_DEVICE]} of {worst['pairs']}."
        )


def _met(goal: bool) -> str:
    return "met" if goal else "missed"


def _errors(told: Told) -> Iterator[str]:
    yield "| of | a time | a speedup | a time in training | a speedup in training |"
    yield "|---|---|---|---|---|"
    for kind in told["errors"]:
        said = Prediction("", **told["errors"][kind])
        yield f"| {WORDS[kind]} | {' | '.join(f'x/÷ {math.exp(size):.2f}' for size in (*said.of(False), *said.of(True)))} |"


def _where(told: Told) -> Iterator[str]:
    """By kind of row, the error's typical size and side, and the shares within a factor of 1.5 and 2."""
    yield "| of | rows | times are typically off by | within 1.5x, 2x | pairs | speedups are typically off by | within 1.5x, 2x |"
    yield f"|{'---|' * 7}"
    for one in told["where"]:
        cells = [f"{WORDS[one['kind']]}, {one['sort']}"]
        for of in (one["times"], one["speedups"]):
            cells += (
                [f"{of['n']}", _off(of), f"{_percent(of['within_1_5'])}, {_percent(of['within_2'])}"]
                if of
                else ["", "", ""]
            )
        yield f"| {' | '.join(cells)} |"


def _off(found: Told) -> str:
    """`1.25x, too low`: the median factor, with the side where most of the errors are on it."""
    size, bias = math.exp(found["median"]), found["bias"]
    side = "" if abs(bias) < found["median"] / 2 else ", too low" if bias < 0 else ", too high"
    return f"{size:.2f}x{side}"


def _nearer(told: Told, kind: str, what: str) -> str:
    """The roofline with or without tiles, whichever is nearer on average to the times or the speedups of a kind of device."""
    summary = told["summary_with_ours"][kind]
    return min((ROOFLINE, OTHER), key=lambda way: float(summary[way][what]))


def _error(log: float) -> str:
    return _percent(math.expm1(log))


def _table(told: Told, what: str) -> Iterator[str]:
    yield "| table | device | rows | roofline | fitted | device left out | source left out |"
    yield "|---|---|---|---|---|---|---|"
    for score in told["scores"]:
        found = score[what]
        if found:
            ways = (_nearer(told, score["kind"], what), *_WAYS[1:])
            cells = [_cell(found[way]) for way in ways]
            yield f"| {score['source']}, {score['table']} | {score['device']} | {found[FITTED]['n']:,} | {' | '.join(cells)} |"


def _unseen(told: Told) -> Iterator[str]:
    """Tables that are never fitted, with what is told of their hosts and without."""
    yield "| table | rows that tell of the card | times: roofline | times: model | speedups: roofline | speedups: model | all rows, host unknown | times: roofline | times: model | speedups: roofline | speedups: model |"
    yield f"|{'---|' * 11}"
    for known_host, unknown in zip(told["on_told_hosts"], told["on_unknown_hosts"], strict=True):
        cells = [f"{unknown['source']}, {unknown['table']}"]
        for score in (known_host, unknown):
            cells.append(f"{score['times'][NO_SOURCE]['n']}")
            for what in ("times", "speedups"):
                ways = (_nearer(told, score["kind"], what), NO_SOURCE)
                cells += [_cell(score[what][way]) if score[what] else "" for way in ways]
        yield f"| {' | '.join(cells)} |"


def _by_source(told: Told) -> Iterator[str]:
    """Where the model is nearer than the roofline, and where it is not: by kind of device and source."""
    yield "| of | source | tables | times: model, devices left out | sources left out | roofline | times less |"
    yield f"|{'---|' * 7}"
    every = [*told["scores"], *told["own_scores"], *told["on_told_hosts"]]
    for kind, source in dict.fromkeys((score["kind"], score["source"]) for score in every):
        mine = [score["times"] for score in every if (score["kind"], score["source"]) == (kind, source)]

        def mean(way: str, of: Sequence[Told] = mine) -> float:
            return sum(float(times[way]["median"]) for times in of) / len(of)

        roofline = min(mean(ROOFLINE), mean(OTHER))
        ways = [way for way in (NO_DEVICE, NO_SOURCE) if way in mine[0]]
        models = [f"{mean(way):.2f}" if way in ways else "" for way in (NO_DEVICE, NO_SOURCE)]
        less = " and ".join(f"{roofline / mean(way):.2f}" for way in ways)
        yield f"| {WORDS[kind]} | {source} | {len(mine)} | {' | '.join(models)} | {roofline:.2f} | {less} |"


def _nearest(told: Told, kind: str) -> list[Told]:
    """Our own runs on a kind of device, as held against the nearer roofline."""
    nearer = {what: _nearer(told, kind, what) for what in ("times", "speedups")}
    return [
        {**check, **{what: {**check[what], ROOFLINE: check[what][way]} for what, way in nearer.items() if check[what]}}
        for check in told["checks"]
        if check["kind"] == kind
    ]


def _checks(checks: Sequence[Told], ways: Sequence[str]) -> Iterator[str]:
    if not checks:
        yield "None yet."
        return
    named = ["model" if way == FITTED else _WITHOUT.get(way, way) for way in ways]
    head = [
        "run",
        "device",
        "rows of",
        "n",
        *(f"times: {n}" for n in named),
        "pairs",
        *(f"speedups: {n}" for n in named),
    ]
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for score in checks:
        times, pairs = score["times"], score["speedups"]
        told = [_cell(times[way]) for way in ways]
        beside = [f"{pairs[ROOFLINE]['n']}", *(_cell(pairs[way]) for way in ways)] if pairs else [""] * (1 + len(ways))
        cells = [f"`{score['source']}`", score["device"], score["table"], f"{times[ROOFLINE]['n']}", *told, *beside]
        yield f"| {' | '.join(cells)} |"


def first_look() -> Told:
    """What the model of then said of the first runs on a GPU, and its errors on the published tables."""
    found: dict[str, Any] = json.loads((files("tools.model_fit") / "first_look.json").read_text(encoding="utf-8"))
    return found


def _since(told: Told) -> Iterator[str]:
    """What the changes since did to the published GPU tables that are left out."""
    then = first_look()["summary"]["gpu"]
    same = [score["times"] for score in told["scores"] if score["table"] in FIRST_TABLES]
    said = [
        f"from {then[way]['times']:.3f} to {sum(times[way]['median'] for times in same) / len(same):.3f} with whole {what} left out"
        for way, what in ((NO_DEVICE, "devices"), (NO_SOURCE, "sources"))
    ]
    yield ""
    yield f"On the {len(same)} GPU tables that were there then, the changes and the data since take the median |ln error|, averaged over them, {' and '.join(said)}."


def _cell(found: Told) -> str:
    """Median size and bias of ln errors, then the shares within 1.5x and 2x."""
    return (
        f"{found['median']:.2f} ({found['bias']:+.2f}), {_percent(found['within_1_5'])}, {_percent(found['within_2'])}"
    )


def _published(rows: Sequence[Told]) -> Iterator[str]:
    by_id = {one.id: one for one in published()}
    yield "| row of docs/EVIDENCE.md | where | published | predicted | roofline | its table was fitted |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        one = by_id[row["id"]]
        where = ", ".join(w for w in (one.device, one.dtype, one.mode, one.pass_, f"batch {one.batch}") if w)
        said = (
            f"{row['speedup']:.2f}x | {row['predicted']:.2f}x | {row[ROOFLINE]:.2f}x | {'yes' if row['seen'] else 'no'}"
        )
        yield f"| `{one.id}` {one.comparison} | {where} | {said} |"
    left = [row for row in rows if not row["seen"]]
    off = {way: sorted(abs(math.log(row[way] / row["speedup"])) for row in left) for way in ("predicted", ROOFLINE)}
    middle = {way: _error(sizes[len(sizes) // 2]) for way, sizes in off.items()}
    sides = {way: sum((row[way] > 1) == (row["speedup"] > 1) for row in left) for way in off}
    yield ""
    yield (
        f"Of the {len(left)} rows whose tables were not fitted the median error is {middle['predicted']} (roofline, without tiles on GPUs: {middle[ROOFLINE]}), "
        f"and {sides['predicted']} are on the right side of 1x (roofline: {sides[ROOFLINE]})."
    )


def _data(files: Sequence[Told]) -> Iterator[str]:
    yield "| file | SHA-256 begins | rows read | rows fitted |"
    yield "|---|---|---|---|"
    for one in files:
        if one["read"]:
            yield f"| {_from_excerpts(one['file'])} | `{one['sha256']}` | {one['read']} | {one['fitted']} |"


def _from_excerpts(file: str) -> str:
    """An excerpt's path from the folder of excerpts on, wherever that stood when the fit was made; another path whole."""
    _, folder, name = file.partition(f"{TABLES}/")
    return f"{folder}{name}" if folder else file


def _parameters(values: Mapping[str, float]) -> Iterator[str]:
    yield "| parameter | before | fitted | meaning |"
    yield "|---|---|---|---|"
    for name, one in PRIOR.items():
        if one.value or one.spread:
            fitted = f"{values[name]:.3g}" if name in values else "not fitted"
            yield f"| `{name}` | {one.value:.3g} | {fitted} | {one.meaning} |"


def _devices() -> Iterator[str]:
    yield "| name | device | units | FLOP/s in 1e12 | GB/s | cache, MB and GB/s | dispatch, launch, floor in us |"
    yield "|---|---|---|---|---|---|---|"
    for device in known().values():
        peaks = ", ".join(f"{dtype} {rate / 1e12:.3g}" for dtype, rate in device.peak.items())
        cache = f"{device.cache_bytes / 1e6:.3g}, {device.cache_bytes_per_s / 1e9:,.0f}"
        host = f"{device.dispatch_s * 1e6:.3g}, {device.launch_s * 1e6:.3g}, {device.floor_s * 1e6:.3g}"
        memory = f"{device.memory_bytes_per_s / 1e9:,.0f}"
        yield f"| `sim:{device.name}` | {device.title} | {device.units} | {peaks} | {memory} | {cache} | {host} |"
    yield ""
    yield from _disagreements(known().values())


def _disagreements(devices: Any) -> Iterator[str]:
    yield "Where sources disagree:"
    yield ""
    device: PredictedDevice
    for device in devices:
        for figure, said in device.disagree.items():
            yield f"- `{device.name}`, {figure}: {said}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
