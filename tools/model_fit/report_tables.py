"""The tables of the report: errors row by row and table by table, data, parameters, devices, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.analyse.claims.published import published
from bench.spec.devices.predicted_devices import known
from bench.spec.model.model_parameters import PRIOR
from tools.model_fit.cross_validation import FITTED, NO_DEVICE, NO_SOURCE, OTHER, ROOFLINE
from tools.model_fit.published_pairs import Pair
from tools.model_fit.published_times import TABLES

Told = Mapping[str, Any]
"""What model_parameters.json holds, or a part of it."""
WORDS = {"gpu": "GPUs", "cpu": "CPUs"}
LEFT = {NO_DEVICE: "devices", NO_SOURCE: "sources"}
WAYS = (ROOFLINE, FITTED, NO_DEVICE, NO_SOURCE)
FIRST_TABLES = (
    "gtx1080ti_fp32",
    "v100_fp16",
    "v100_fp32",
    "amp-nchw-pt240-cu124-rtx3090",
    "amp-nchw-pt240-cu124-rtx4090",
    "batch_sweep_eval_2021",
)
"""Of GPUs, those that were there when the first look was taken."""
_WITHOUT = {NO_DEVICE: "without its machine", NO_SOURCE: "without any of ours"}


# ---------------------------------------------------------------- errors row by row and table by table


def errors_by_kind_of_row(told: Told) -> str:
    """By kind of row, the error's typical size and side, and the shares within a factor of 1.5 and 2."""

    def cells(of: Told) -> list[str]:
        return [f"{of['n']}", _off(of), f"{percent(of['within_1_5'])}, {percent(of['within_2'])}"] if of else [""] * 3

    head = "of", "rows", "times are typically off by", "within 1.5x, 2x"
    return table(
        (*head, "pairs", "speedups are typically off by", "within 1.5x, 2x"),
        (
            [f"{WORDS[one['kind']]}, {one['sort']}", *cells(one["times"]), *cells(one["speedups"])]
            for one in told["where"]
        ),
    )


def _off(found: Told) -> str:
    """`1.25x, too low`: the median factor, with the side where most of the errors are on it."""
    size, bias = math.exp(found["median"]), found["bias"]
    side = "" if abs(bias) < found["median"] / 2 else ", too low" if bias < 0 else ", too high"
    return f"{size:.2f}x{side}"


def nearer(told: Told, kind: str, what: str) -> str:
    """The roofline with or without tiles, whichever is nearer on average to the times or the speedups of a kind of device."""
    summary = told["summary_with_ours"][kind]
    return min((ROOFLINE, OTHER), key=lambda way: float(summary[way][what]))


def errors_by_table(told: Told, what: str) -> str:
    """Of the `times` or `speedups` of each published table that is fitted, by WAYS."""
    rows = []
    for score in told["scores"]:
        if found := score[what]:
            cells = [cell(found[way]) for way in (nearer(told, score["kind"], what), *WAYS[1:])]
            rows.append([f"{score['source']}, {score['table']}", score["device"], f"{found[FITTED]['n']:,}", *cells])
    return table(("table", "device", "rows", *WAYS), rows)


def errors_of_unseen_cards(told: Told) -> str:
    """Tables that are never fitted, with what is told of their hosts and without."""
    rows = []
    for known_host, unknown in zip(told["on_told_hosts"], told["on_unknown_hosts"], strict=True):
        row = [f"{unknown['source']}, {unknown['table']}"]
        for score in (known_host, unknown):
            row.append(f"{score['times'][NO_SOURCE]['n']}")
            for what in ("times", "speedups"):
                ways = (nearer(told, score["kind"], what), NO_SOURCE)
                row += [cell(score[what][way]) if score[what] else "" for way in ways]
        rows.append(row)
    each = "times: roofline", "times: model", "speedups: roofline", "speedups: model"
    return table(("table", "rows that tell of the card", *each, "all rows, host unknown", *each), rows)


def nearest(told: Told, kind: str) -> list[Told]:
    """Our own runs on a kind of device, as held against the nearer roofline."""
    roofline = {what: nearer(told, kind, what) for what in ("times", "speedups")}
    return [
        {
            **check,
            **{what: {**check[what], ROOFLINE: check[what][way]} for what, way in roofline.items() if check[what]},
        }
        for check in told["checks"]
        if check["kind"] == kind
    ]


def errors_of_runs(checks: Sequence[Told], ways: Sequence[str]) -> str:
    """Of our own runs, times and speedups, by the ways that are named."""
    if not checks:
        return "None yet."
    named = ["model" if way == FITTED else _WITHOUT.get(way, way) for way in ways]
    rows = []
    for score in checks:
        times, pairs = score["times"], score["speedups"]
        beside = [f"{pairs[ROOFLINE]['n']}", *(cell(pairs[way]) for way in ways)] if pairs else [""] * (1 + len(ways))
        told = [cell(times[way]) for way in ways]
        rows.append(
            [f"`{score['source']}`", score["device"], score["table"], f"{times[ROOFLINE]['n']}", *told, *beside]
        )
    each = [[f"{what}: {name}" for name in named] for what in ("times", "speedups")]
    return table(("run", "device", "rows of", "n", *each[0], "pairs", *each[1]), rows)


def since_first_look(told: Told, first: Told) -> str:
    """What the changes since did to the published GPU tables that are left out."""
    then = first["summary"]["gpu"]
    same = [score["times"] for score in told["scores"] if score["table"] in FIRST_TABLES]
    now = {way: sum(times[way]["median"] for times in same) / len(same) for way in LEFT}
    said = [f"from {then[way]['times']:.3f} to {now[way]:.3f} with whole {what} left out" for way, what in LEFT.items()]
    return f"On the {len(same)} GPU tables that were there then, the changes and the data since take the median |ln error|, averaged over them, {' and '.join(said)}."


def published_speedups(rows: Sequence[Told]) -> str:
    """Rows of docs/EVIDENCE.md, predicted, and how near those are whose tables were not fitted."""
    by_id = {one.id: one for one in published()}
    lines = []
    for row in rows:
        one = by_id[row["id"]]
        where = ", ".join(w for w in (one.device, one.dtype, one.mode, one.pass_, f"batch {one.batch}") if w)
        figures = [f"{row[name]:.2f}x" for name in ("speedup", "predicted", ROOFLINE)]
        lines.append([f"`{one.id}` {one.comparison}", where, *figures, "yes" if row["seen"] else "no"])
    left = [row for row in rows if not row["seen"]]
    off = {way: sorted(abs(math.log(row[way] / row["speedup"])) for row in left) for way in ("predicted", ROOFLINE)}
    middle = {way: error(sizes[len(sizes) // 2]) for way, sizes in off.items()}
    sides = {way: sum((row[way] > 1) == (row["speedup"] > 1) for row in left) for way in off}
    head = "row of docs/EVIDENCE.md", "where", "published", "predicted", "roofline", "its table was fitted"
    return table(head, lines) + (
        f"\n\nOf the {len(left)} rows whose tables were not fitted the median error is {middle['predicted']} (roofline, without tiles on GPUs: {middle[ROOFLINE]}), "
        f"and {sides['predicted']} are on the right side of 1x (roofline: {sides[ROOFLINE]})."
    )


def held_out_pairs(found: Sequence[Pair]) -> str:
    """How many pairs that no fit reads are on the right side of 1x and in their interval, by dtype; then each of them."""
    fp32, half = ([pair for pair in found if (pair.dtype == "fp32") == plain] for plain in (True, False))
    counts = []
    for dtype, some in (("all", found), ("fp32", fp32), ("fp16 and amp", half)):
        mean = math.exp(sum(math.log(pair.factor) for pair in some) / len(some))
        right, within = sum(pair.right for pair in some), sum(pair.within for pair in some)
        counts.append([dtype, f"{len(some)}", f"{right}", f"{within}", f"{mean:.2f}"])
    rows = []
    for pair in found:
        wide = math.exp(pair.half)
        predicted = f"{pair.predicted:.2f}x [{pair.predicted / wide:.2f}, {pair.predicted * wide:.2f}]"
        told = f"`{pair.id}` {pair.comparison}", pair.where, f"{pair.measured:.2f}x", predicted, f"{pair.factor:.2f}"
        rows.append([*told, *("yes" if so else "no" for so in (pair.right, pair.within))])
    judged = "right side of 1x", "in the interval"
    short = table(("dtype", "pairs", *judged, "predicted / published (geometric mean)"), counts)
    each = table(("pair", "where", "published", "predicted", "predicted / published", *judged), rows)
    return f"{short}\n\n{each}"


# ---------------------------------------------------------------- what the model is made of


def data_files(listed: Sequence[Told]) -> str:
    """The files of which rows were read, by their hashes."""
    rows = (
        [_from_excerpts(one["file"]), f"`{one['sha256']}`", f"{one['read']}", f"{one['fitted']}"]
        for one in listed
        if one["read"]
    )
    return table(("file", "SHA-256 begins", "rows read", "rows fitted"), rows)


def _from_excerpts(file: str) -> str:
    """An excerpt's path from the folder of excerpts on, wherever that stood when the fit was made; another path whole."""
    _, folder, name = file.partition(f"{TABLES}/")
    return f"{folder}{name}" if folder else file


def parameters(values: Mapping[str, float]) -> str:
    """Every parameter that counts, before and after the fit."""
    return table(
        ("parameter", "before", "fitted", "meaning"),
        (
            [
                f"`{name}`",
                f"{one.value:.3g}",
                f"{values[name]:.3g}" if name in values else "not fitted",
                one.meaning,
            ]
            for name, one in PRIOR.items()
            if one.value or one.spread
        ),
    )


def devices() -> str:
    """The devices that can be predicted, with the figures that the model takes."""
    rows = []
    for device in known().values():
        peaks = ", ".join(f"{dtype} {rate / 1e12:.3g}" for dtype, rate in device.peak.items())
        cache = f"{device.cache_bytes / 1e6:.3g}, {device.cache_bytes_per_s / 1e9:,.0f}"
        host = ", ".join(f"{s * 1e6:.3g}" for s in (device.dispatch_s, device.launch_s, device.floor_s))
        memory = f"{device.memory_bytes_per_s / 1e9:,.0f}"
        rows.append([f"`sim:{device.name}`", device.title, f"{device.units}", peaks, memory, cache, host])
    return table(
        ("name", "device", "units", "FLOP/s in 1e12", "GB/s", "cache, MB and GB/s", "dispatch, launch, floor in us"),
        rows,
    )


def disagreements() -> str:
    """A line for each figure of a device of which other sources say other things."""
    told = ((device.name, figure, said) for device in known().values() for figure, said in device.disagree.items())
    return "\n".join(f"- `{name}`, {figure}: {said}." for name, figure, said in told)


# ---------------------------------------------------------------- cells


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], f"|{'---|' * len(head)}", *lines[1:]])


def cell(found: Told) -> str:
    """Median size and bias of ln errors, then the shares within 1.5x and 2x."""
    shares = f"{percent(found['within_1_5'])}, {percent(found['within_2'])}"
    return f"{found['median']:.2f} ({found['bias']:+.2f}), {shares}"


def met(goal: bool) -> str:
    """A goal in a word."""
    return "met" if goal else "missed"


def error(log: float) -> str:
    """An error of a logarithm as a share: 0.10 as 11 %."""
    return percent(math.expm1(log))


def percent(share: float) -> str:
    """0.25 as 25 %."""
    return f"{100 * share:.0f} %"
