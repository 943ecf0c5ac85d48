"""docs/PREDICTION.md: how far predicted times and speedups are from published and measured ones, out of the fit's own file."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from bench.analyse.calibration_scores import FITTED, NO_DEVICE, NO_SOURCE, OTHER, ROOFLINE
from bench.analyse.evidence import published
from bench.spec.model_parameters import PRIOR
from bench.spec.predicted_devices import PredictedDevice, known
from bench.spec.predictions import Prediction

Told = Mapping[str, Any]
GOAL_TIMES, GOAL_SPEEDUPS = 2.0, 0.25
WORDS = {"gpu": "GPUs", "cpu": "CPUs"}
OF = {"summary_with_ours": "published tables and our runs", "summary": "published tables alone"}
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
    yield _HEAD.strip().splitlines()
    yield [
        "",
        "## In short",
        "",
        *_SHORT.strip().splitlines(),
        "",
        *_goals(told),
        "",
        *(f"- {line}" for kind in WORDS for line in (*_own_runs(told, kind), *_sides(told, kind))),
        "",
    ]
    yield [*_ERRORS.strip().splitlines(), ""]
    yield _errors(told)
    yield ["", "## How far may I trust it?", "", *_WHERE.strip().splitlines(), ""]
    yield _where(told)
    yield ["", "## Times: predicted against published", "", *_TIMES.strip().splitlines(), ""]
    yield _table(told, "times")
    yield ["", "## Speedups: predicted against published", "", *_SPEEDUPS.strip().splitlines(), ""]
    yield _table(told, "speedups")
    yield ["", "## Runs of ours", "", *_CHECKS.strip().splitlines(), ""]
    yield _checks(_nearest(told, "gpu"), (ROOFLINE, NO_SOURCE))
    yield ["", *_CPUS.strip().splitlines(), ""]
    yield _checks(_nearest(told, "cpu"), (ROOFLINE, NO_DEVICE, NO_SOURCE))
    yield ["", "### As first predicted, before a GPU had run any of this", "", *_FIRST.strip().splitlines(), ""]
    yield _checks(first_look()["checks"], (ROOFLINE, FITTED))
    yield _since(told)
    yield ["", "## Single speedups of other tables", "", *_PUBLISHED.strip().splitlines(), ""]
    yield _published(told["published"])
    yield [
        "",
        *_FAILS.strip().splitlines(),
        "",
        *_OWN.strip().splitlines(),
        "",
        "## The data",
        "",
        *_DATA.strip().splitlines(),
        "",
    ]
    yield _data(told["data"])
    yield ["", "## The parameters", "", *_PARAMETERS.strip().splitlines(), ""]
    yield _parameters(told["parameters"])
    yield ["", "## The devices", "", *_DEVICES.strip().splitlines(), ""]
    yield _devices()


def _goals(told: Told) -> Iterator[str]:
    """Both goals, each met or not: over all that was left out, and over what others published alone."""
    yield f"| of | left out whole | times: model | roofline | times less (goal: {GOAL_TIMES:.0f}) | all rows pooled | speedups: model (goal: under {_percent(GOAL_SPEEDUPS)}) | roofline | all rows pooled: model, roofline |"
    yield f"|{'---|' * 9}"
    for kind, part in ((kind, part) for kind in WORDS for part in OF):
        summary = told[part][kind]
        stronger = {
            what: summary[_nearer(told, kind, what.removesuffix("_pooled"))][what] for what in summary[ROOFLINE]
        }
        for way, what in ((NO_DEVICE, "devices"), (NO_SOURCE, "sources")):
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
    found: dict[str, Any] = json.loads((files("bench.analyse") / "first_look.json").read_text(encoding="utf-8"))
    return found


def _since(told: Told) -> Iterator[str]:
    """What the changes since did to the published GPU tables that are left out."""
    then, now = first_look()["summary"]["gpu"], told["summary"]["gpu"]
    said = [
        f"from {then[way]['times']:.3f} to {now[way]['times']:.3f} with whole {what} left out"
        for way, what in ((NO_DEVICE, "devices"), (NO_SOURCE, "sources"))
    ]
    yield ""
    yield f"On the published GPU tables the changes since take the median |ln error|, averaged over the tables, {' and '.join(said)}."


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
            yield f"| {one['file']} | `{one['sha256']}` | {one['read']} | {one['fitted']} |"


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
        for figure, words in device.disagree.items():
            yield f"- `{device.name}`, {figure}: {words}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


_HEAD = """
# Predicted devices

`--device sim:a100` runs this harness for a device that is not here. Its times come from a model, `bench/spec/kernel_model.py`,
and this page says how far that model is from what others published and from what this harness has measured. **No number that a
`sim:` device gives is a measurement**, and no verdict counts it as one.

The page is printed by `bench predict report` from `bench/spec/model_parameters.json`, which `bench predict calibrate DATA_DIR --own RUN...`
writes: the fit, and the fits with whole devices and whole sources left out. DATA_DIR holds the published tables named below; they
stay outside of this repository, but for one excerpt. Runs of ours (`--own DIR`) are a source of the fit too, each machine's CPU and each model of
card a device of it; what is said of such a run is said by a fit that has not seen it. Of a card eager calls are fitted by its own clock and graphs by
the wall, as both tell of the card and not of its host.

**How it predicts.** A kernel takes its floor, and then the longer of computing and moving, with a rounded corner. Computing: output
tiles dealt out to the device's units in whole waves, at a share of the peak that is a parameter for each family (dense k x k, 1 x 1,
grouped, depthwise, linear) and arithmetic (plain fp32 or matrix units). Moving: the bytes that it must read and write, at a share
of the memory's bandwidth by family, or of the cache's as far as they fit into it. What a library lays out anew moves once more, in a pass of
its own. A call is the sum of its kernels; beside a GPU the host's dispatch of each operator runs at the same time, and the longer one
counts; a CPU is its own host; a graph is one launch, in which a kernel's floor is shorter. Two devices differ by the figures in the table at the end, and by
nothing else: no parameter belongs to one device.

**What a CPU does besides**, from the sources of PyTorch, not from times: oneDNN computes in a layout of its own, so eager PyTorch lays the maps of
a contiguous convolution out anew before and after it, each a parallel region with its own barrier, and its weights in every call. `torch.compile` lays maps out in
channels_last (`decide_layout_opt`) and, unless frozen, still the weights; it calls each kernel from Python. A 1 x 1 on one thread and a small image
go to ATen's own convolution (`use_mkldnn`), which lays nothing out. DeepBench's library was given everything in its own layout.
A data sheet's peak and bandwidth are taken at a share that is fitted; roofs that a run measured are not.

An error is ln(predicted / observed): 0.10 is 10 %, 0.69 a factor of 2. "(+0.10)" is its median with the sign, so + is
predicted too slow; the percentages are the shares of rows within a factor of 1.5 and of 2.
"""
_SHORT = """
The median |ln error| on what a fit has not seen, averaged over the tables, so that each weighs alike, as does each machine and card of ours ("pooled": over all rows, so that the largest
tables decide), beside the unfitted roofline's, with or without tiles, whichever is nearer on average; of speedups in percent. Of a card of ours, which is the H100
alone, eager calls count by its own clock and graphs by the wall; what its host takes, training and torch.compile are in the table after it.
"""
_ERRORS = """
Predicted rows carry these as their 95 % intervals: 95 % of the errors on data left out, whole sources and our own runs, each
table weighing alike, lay within:
"""
_WHERE = """
All rows of our own runs by what they ask of the model, by the wall (what a loop on the host sees, the median as in `time_median_s`), said by a fit without any run of
ours: a stranger's machine. A time too low was predicted too fast. Pairs of blocks or networks of one trial; a speedup too low favours the standard block.
"""
_TIMES = """
"Roofline" is the unfitted one of `bench/analyse/unfitted_roofline.py`, with the round shares that one would write down first. It deals out tiles of
128 x 128 on CPUs, where of times that is the nearer way and of speedups the other; on GPUs it deals out none. "Fitted" has seen
the row itself, so it only shows what the formulas can express; the last two columns are what to expect of a new device.
"""
_SPEEDUPS = """
Time of a network without depthwise convolutions over time of one with them: all such pairs of a table at the same batch. A
DeepBench table is of single dense and 1 x 1 convolutions, so it has none.
"""
_CHECKS = """
Standard and separable blocks and networks as this harness runs them. "wall" is what a loop on the host sees, "device" the device's own time
by its events, both medians. A GPU is described by its row in the table below. Rows are fitted, but what is said here is said by a fit without any run of ours, and so
without the card:
"""
_CPUS = """
CPUs, described by the run's own measured roofs. Their rows are fitted, but those of a line below are predicted by two fits that have not seen
them: one without any run of that machine (a processor's name and its number of cores), one without any run of ours.
"""
_PUBLISHED = """
Rows of [EVIDENCE.md](EVIDENCE.md) between networks whose layers are known, on devices of the table below.
"""
_FIRST = """
The model was fitted to the published tables before this harness had ever run on a GPU. Then came three runs on two H100s, and this is
what that first model said of them, kept in `bench/analyse/first_look.json` with the hash of its parameters. It had the eager speedups about
right, by walls, and those of the device's own time badly wrong: it let small convolutions share out their depth over the whole card, which
fp32 kernels do not, and it gave depthwise kernels the set-up time of cuDNN's. Since then a tile keeps its whole depth, no tile is smaller than
128 x 32 or 64 x 64, only convolutions that are not depthwise have a set-up time, what is laid out anew moves in a pass of its own, and the host takes what
others published for compiled calls and for autograd. In a second round, after the H100s again, a kernel's floor became shorter in a graph (by 1.0 us of each
kernel there), the H100 was denied Winograd's algorithm in one kernel, and the runs were fitted. So the table above leaves them out, and its rows are blind no longer.
The roofline here is that of then, with tiles.
"""
_FAILS = """
## Where it fails, and why

- **The host is the machine's, not the card's.** An operator's dispatch and launch are taken to be 15 us. At small batches in eager mode they are all that counts,
  and the hosts of the two H100s took 23 and 24 us (medians of small blocks of one image), in bf16 and fp16 26 and 34. Speedups bear it, as both blocks do. Put your own
  host's figure into a device file.
- **torch.compile on a GPU** is predicted three times too fast for small blocks (3.4 at the median), although a compiled call's guards and wrapper are counted as published
  (35 us a call and 8 us a kernel on a GB200's host, tritonbench pull request 1017): of one image the H100s' hosts took 175 and 230 us a call.
- **Training**: the backward pass has one factor for each family, from one card's published figures. Autograd's part of the host is
  counted as published (pytorch issues 41383, 44484, 122029, 157407), and small blocks in eager mode take nearly three times as long as predicted. So a predicted row of
  training has an interval of its own.
- **CUDA graphs of small blocks** are predicted a little too slow by a fit without the H100, whose kernels follow each other 1.0 us sooner in a graph than alone.
  Before any fit stands the one published figure, 0.4 us of a V100's kernel (NVIDIA's blog, Getting Started with CUDA Graphs: 3.8 us one by one, 3.4 us in a graph).
- **channels_last in fp32** has the same kernels as contiguous in the model. On the H100 cuDNN's took a third to a half longer.
- **Winograd's algorithm in fp32.** On an H100 small 3 x 3 convolutions take what direct ones take; large batches run five kernels a convolution and reach twice the
  card's peak: in batches of 256 a separable block was 1.4 times as fast there with 256 channels and 1.05 times with 128, and is predicted at 2.6 and 1.7. Which card and which shape gets which is told of no other card here: `winograd` in a device's entry says whether a 3 x 3 is done so in one kernel. Passes of
  their own were tried for the large ones and are not in: no fit found them where the H100 had them and not where it did not.
- **The M60's dense convolutions** are predicted a quarter to a half too fast by all others: its table is of PyTorch in 2021, on a card that is guessed.
- **CPUs from data sheets, sources left out.** Three tables are published: a library's single layers on 68 slow cores, and two of the same publisher's compiled networks. Without
  the latter nothing tells what compiled code takes of its host, and their 408 rows are predicted up to a tenth too fast; without
  the former nothing tells what a library reaches alone on warm, packed data, and it is predicted a quarter too slow.
- **What was chosen after looking.** The rules for CPUs above stand in PyTorch's sources, but that they are here, and that a reorder is a pass of its own, came of
  looking at errors of rows that are called left out. So did, of GPUs, a graph's shorter floor, the H100's lack of Winograd, and that runs on cards are fitted and counted; about ten variants of
  the model and of weights were fitted and scored before this one. In the fit each run of ours weighs as a table, though in the scores each machine and card counts as one: with a machine as
  one table in the fit, too, sources left out gave 1.94 (GPUs) and 1.96 times (CPUs; 1.52 over published tables alone), by the fastest samples. That times are medians came of a reader who
  found that they were not; it also moved the CPUs' sources left out from 1.75 to the 2.00 that just meets the goal over the published tables alone. So did three values before the fit: a reorder reads and writes its bytes (2, where 1 stood), a
  compiled kernel takes 0.8 dispatches and a compiled call 3.5, as published (a guess of 0.5 and 1 stood first), and the spread of the cache's share was halved; with these the CPUs' error with
  sources left out fell from 0.29 to 0.23. Those rows are left out of each fit, and blind no longer.
  Two more sources of GPUs were fitted on trial and are not in, which is a choice after looking too: jcjohnson/cnn-benchmarks (commit 2ee75e2b), whose networks
  ran in training mode, where batch norm takes its statistics from the map; and u39kun/deep-learning-benchmark (commit 1e7459b4, cuDNN 7.0 and 7.4), of which only fourteen rows of VGG-16 and
  ResNet-152 are of networks known here. In four tables they would have weighed like 240 rows. With the latter errors fell in DeepBench's fp32 and grew in its fp16, in timm's and in the H100s' own times.
- **A CPU's own host.** An operator takes longer to dispatch on our two-core machine than on the sixteen-core one, and nothing in the roofs tells so: small blocks
  are predicted too fast on the former and too slow on the latter. Large contiguous maps on two cores are predicted at three quarters of their
  time: what laying them out anew takes is told by that machine's runs alone, and on more than sixteen cores by none.
- **In large batches the unfitted roofline is as good, and of speedups the better**: where activations decide, bytes over bandwidth is all there is to know, and the
  tables of the RTX cards and the M60 show it. The gain of the fit lies in single layers and small calls, as in our own runs.
- **fp16 with one or three channels** on a V100: its kernels for them are far slower than the channels that are filled up explain.
"""
_OWN = """
## A device of your own

`--device sim:my_devices.yaml#name` takes a file with the keys of `bench/spec/predicted_devices.yaml`, every figure with its source:

```yaml
devices:
  my_card:
    title: The card in our lab
    kind: gpu
    units: 46
    clock_hz: 1.8e9
    peak: {fp32: 20e12, fp16: 80e12}
    memory_bytes_per_s: 450e9
    memory_bytes: 12e9
    cache_bytes: 4e6
    cache_bytes_per_s: 1.6e12
    dispatch_s: 15e-6
    sources: {units: its data sheet, clock_hz: its data sheet, peak: its data sheet, memory_bytes_per_s: its data sheet, memory_bytes: its data sheet,
      cache_bytes: torch's device properties, cache_bytes_per_s: estimate, dispatch_s: measured on our host}
```

`sim:results/latest#cpu` is the processor of a run of yours, as the run's own roofs.csv measured it.

`bench predict crossover --device sim:my_devices.yaml#my_card` maps where separable would start to pay on it, over batch and channels, eager and in a graph:
what to measure first. Its hatched cells are those that the model's error could turn.
"""
_DATA = """
`bench predict calibrate DATA_DIR` with `--own` for each run in `results/reference`. The table in `bench/analyse/published_tables` is an excerpt of
R. Wightman, timm (huggingface/pytorch-image-models), results/benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv at commit 7479d451, Apache-2.0: the networks
whose kernels are counted, figures as published. A run's hash is that of its journal.
"""
_PARAMETERS = """
The spread that the fit allowed each, and what it was taken for before, stand in `bench/spec/model_parameters.py`.
"""
_DEVICES = """
Each figure's source stands beside it in `bench/spec/predicted_devices.yaml`. `xeon_phi`, `gtx1080ti` and `m60` are there because tables of them were
published; **the card of pytorch/benchmark is not named there, and is a Tesla M60 by our guess**: of the cards of its time only that one's
bandwidth and peak fit both its MobileNetV2 and its VGG-16.
"""
