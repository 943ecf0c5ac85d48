"""What a page says beside its pictures: how far to trust the run, what it ran on, and what layers cost in its sweeps."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analyse.claims.bottleneck import of_the_host
from bench.analyse.runs.facts import summarise
from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.designed import Sweep, find
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.analyse.sweeps.layer_cost import implied
from bench.show.text import titles
from bench.show.text.ways import describe, told_apart
from bench.spec.columns import FAILED, FILES, MEASURED, PREDICTED, STATUSES, TOLD
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted
from bench.spec.format import digits, duration, in_seconds, percent, share
from bench.spec.model.predictions import WORSE, disagreements

MOST_REASONS = 24
UNMEASURABLE = ("skipped", "unsupported")
_TABLES = ("p", "m", "r", "o")  # in the order in which they may travel with the page
_HOST = (
    ("cpu_model", "CPU"), ("physical_cores", "physical cores"), ("usable_cores", "usable cores"), ("cpu_quota", "CPU quota"),
    ("memory_bytes", "memory"), ("os", "system"), ("kernel", "system's kernel"), ("machine", "architecture"),
    ("hypervisor", "virtual machine"), ("governor", "clock governor"), ("transparent_hugepages", "huge pages"),
)  # fmt: skip
_VERSIONS = (("torch", "torch"), ("python", "Python"), ("bench_version", "bench"), ("git", "commit"))

Fact = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Quality:
    """How far a run can be trusted: sentences, rows by status, and reasons with their counts."""

    sentences: tuple[str, ...]
    statuses: tuple[tuple[str, int], ...]
    skips: tuple[tuple[str, int], ...]
    failures: tuple[tuple[str, int], ...]
    notes: tuple[tuple[str, int], ...]
    ambers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A designed sweep of layers at fixed MACs: what a layer costs of its own, and what part of time that makes from the shallowest to the deepest stack."""

    where: str
    block: str
    sweep: str
    each: str
    part: str


@dataclass(frozen=True, slots=True)
class Download:
    """A table as an address that holds it."""

    name: str
    size: str
    address: str


def finding(run: Run) -> str:
    """What the speedup picture says, or of a run without blocks what all its pairs do."""
    rows = records_of(run.pairs)
    return titles.finding(sweep_of_shapes(rows) or rows) + "."


def quality(run: Run) -> Quality:
    """The run's quality in words and counts."""
    rows = records_of(run.pairs)
    measured = [r for r in rows if r["status"] in MEASURED]
    counts = Counter(str(r["status"]) for r in rows)
    order = [*STATUSES, *sorted(set(counts) - set(STATUSES))]
    return Quality(
        sentences=(*_sentences(run, measured), *_foretold(run)),
        statuses=tuple((s, counts[s]) for s in order if counts[s]),
        skips=_reasons(r["status_detail"] for r in rows if r["status"] in UNMEASURABLE),
        failures=_reasons(r["status_detail"] for r in rows if r["status"] not in (*TOLD, *UNMEASURABLE)),
        notes=_reasons(n for r in measured for n in str(r["quality_notes"] or "").split("; ") if n),
        ambers=tuple(str(a) for a in run.environment.get("ambers") or ()),
    )


def _sentences(run: Run, measured: Sequence[Record]) -> Iterator[str]:
    if not measured:
        if not predicted(run):
            yield "Nothing was measured."
        return
    summary, many = summarise(run), len(measured)
    noisy, missed = (sum(r["status"] == "noisy" for r in measured), sum(not r["precision_reached"] for r in measured))
    processes = sorted({int(r["processes"]) for r in measured if r["processes"]})
    span = f"{processes[0]} to {processes[-1]}" if len(processes) > 1 else str(processes[0]) if processes else "no"
    narrow = f"half of their intervals are narrower than ±{percent(summary.median_half_width)}" if math.isfinite(summary.median_half_width) else "one process each gives no interval"  # fmt: skip
    yield f"{many} pairs were measured, each in {span} fresh process{'' if span == '1' else 'es'}; {narrow}."
    if not missed and not noisy:
        yield f"All of them are as precise as asked (±{percent(run.timing.precision)}), and none is noisy."
    else:
        yield f"{missed} of them ({share(missed / many)}) are less precise than the asked ±{percent(run.timing.precision)}, and {noisy} ({share(noisy / many)}) are noisy: their notes in the table say why."
    flagged = sorted(float(r["flagged_share"]) for r in measured if r["flagged_share"] is not None)
    if flagged:
        yield f"The kernel's counters flag {percent(flagged[len(flagged) // 2])} of a row's samples as disturbed (median), {percent(flagged[-1])} at the most."
    bands = sorted(float(r["noise_band"]) for r in measured if r["noise_band"] is not None)
    if bands:
        part = (
            f" It holds for {len(bands)} of the rows: the others have a number of threads that bench aa has not run with."
            if len(bands) < many
            else ""
        )
        yield f"Noise band of this machine, by blocks against themselves (bench aa): ±{percent(bands[-1])}. What reads within it is no difference.{part}"
    else:
        yield "This machine's noise band is not known: no bench aa stood beside this run, so faster and slower rest on the intervals alone."
    if summary.timed_share is not None:
        yield f"{share(summary.timed_share)} of {duration(run.wall_s)} went into samples, the rest into starting processes, warming up and looking at the machine."
    yield "The intervals cover what fresh processes of this one run differ by, minutes apart; another day may differ by more."


def _foretold(run: Run) -> Iterator[str]:
    """Of a run that holds predicted pairs: that, how far off the model was where it could be checked, where it is worse, and where sources disagree."""
    if told := predicted(run):
        yield told
    seen = _object(run.environment.get("devices"))
    kinds = {d: "cpu" if is_cpu(d) else "gpu" for d in seen if is_predicted(d)} if told else {}
    for kind in dict.fromkeys(kinds.values()):
        facts = next(_object(_object(seen[d]).get("prediction")) for d, k in kinds.items() if k == kind)
        if {"time", "speedup"} <= facts.keys():
            time, speedup = (f"x/÷ {math.exp(facts[name]):.2f}" for name in ("time", "speedup"))
            yield f"Of {kind.upper()}s 95 % of the model's times lay within {time} of what was measured, and of its speedups within {speedup}, in data that was left out of its fit."
        if (slower := float(facts.get("host", 1.0))) > 1:
            yield f"How fast a host submits operators is no figure of a card: it is assumed, and intervals allow for one {slower:.3g} times slower besides."
        yield f"It is known to be worse {WORSE[kind]}."
    if kinds:
        models = dict.fromkeys(str(_object(_object(seen[d]).get("prediction")).get("model") or "model") for d in kinds)
        yield f"docs/PREDICTION_FIT.md sets it beside what was measured, table by table. A name such as {' or '.join(models)} is a fit's, by the hash of its parameters."
    for d in kinds:
        yield from disagreements(in_words(d), _object(_object(seen[d]).get("disagree")))


def only_predicted(run: Run) -> bool:
    """Whether all that the run tells is a model's word."""
    return bool(predicted(run)) and not run.pairs["status"].isin(MEASURED).any()


def measured(run: Run) -> str:
    """`28 of 30, 3 of them noisy; 2 skipped`: pairs that were measured, and what became of the others."""
    counts = Counter(str(s) for s in run.pairs["status"])
    noisy = f", {counts['noisy']} of them noisy" if counts["noisy"] else ""
    others = [
        (sum(counts[s] for s in some), word)
        for word, some in (("skipped", UNMEASURABLE), ("failed", FAILED), ("predicted", [PREDICTED]))
    ]
    rest = "".join(f"; {n} {word}" for n, word in others if n)
    return f"{sum(counts[s] for s in MEASURED)} of {len(run.pairs)}{noisy}{rest}"


def noisy(run: Run) -> str:
    """`6 of 6 measured rows are noisy` where half of them or more are; nothing otherwise."""
    counts = Counter(str(s) for s in run.pairs["status"])
    many, n = sum(counts[s] for s in MEASURED), counts["noisy"]
    return f"{n} of {many} measured row{'s' if many > 1 else ''} {'are' if n > 1 else 'is'} noisy" if n and 2 * n >= many else ""  # fmt: skip


def predicted(run: Run) -> str:
    """What must be known of a run that holds pairs of predicted devices; nothing of any other."""
    pairs = run.pairs[[is_predicted(device) for device in run.pairs["device"]]]
    if not len(pairs):
        return ""
    told = pairs[pairs["status"] == PREDICTED]
    rows = told if len(told) else pairs
    names = ", ".join(dict.fromkeys(str(n) for n in rows["device_name"].fillna(rows["device"].map(in_words))))
    every = not run.pairs["status"].isin(MEASURED).any()
    if not len(told):
        many = "Nothing here was measured: " if every else ""
        if len(rows) == 1:
            return f"{many}1 pair of {names} was to be predicted and has no time. Its row says why."
        return f"{many}{len(rows)} pairs of {names} were to be predicted, and none has a time. Their rows say why."
    if len(rows) == 1:
        many = "Nothing here was measured: the only" if every else "1"
        return f"{many} pair of {names} is a model's word. Its interval is the model's error on data that it was not fitted to, and no verdict counts it as measured."
    many = "Nothing here was measured: all" if every else f"{len(rows)}"
    return f"{many} pairs of {names} are a model's word. Their intervals are its error on data that it was not fitted to, and no verdict counts them as measured."


def _reasons(texts: Any) -> tuple[tuple[str, int], ...]:
    """Texts that differ in their numbers alone, counted as one; what is most common first."""
    alike: dict[str, Counter[str]] = {}
    for text in texts:
        said = str(text or "no reason given")
        alike.setdefault(re.sub(r"(?<!\w)\d+(\.\d+)?", "…", said), Counter())[said] += 1
    told = [(next(iter(c)) if len(c) == 1 else words, c.total()) for words, c in alike.items()]
    told.sort(key=lambda one: -one[1])
    left = sum(n for _, n in told[MOST_REASONS:])
    return (*told[:MOST_REASONS], *([("other reasons", left)] if left else []))


def made_on(run: Run) -> str:
    """`Intel(R) Xeon(R) Processor (cpu), torch 2.13.0, 2026-11-22`; no torch where it ran nothing."""
    rows = records_of(run.pairs)
    names = dict.fromkeys((str(r["device_name"] or ""), str(r["device"])) for r in rows)
    words = [f"{name} ({device})" if name else device for name, device in names]
    torch = None if only_predicted(run) else run.environment.get("torch")
    return ", ".join(filter(None, [*words, f"torch {torch}" if torch else "", str(run.environment.get("started_utc") or "")[:10]]))  # fmt: skip


def machine(run: Run) -> tuple[tuple[Fact, ...], tuple[tuple[str, tuple[Fact, ...]], ...]]:
    """The facts about machine and versions; then, by device, what torch said of itself there."""
    told = run.environment
    host = _object(told.get("host"))
    facts = [(label, _plain(key, host.get(key))) for key, label in _HOST]
    facts += [(label, _plain(key, told.get(key))) for key, label in _VERSIONS]
    facts.append(("started (UTC)", str(told.get("started_utc") or "")))
    devices = []
    for name, seen in ((n, _object(v)) for n, v in _object(told.get("devices")).items()):
        facts.append((f"device {name}", str(seen.get("name") or "unknown")))
        if is_predicted(name):
            continue  # what torch said is of this host
        more = [(str(k), str(v)) for part in ("switches", "properties") for k, v in _object(seen.get(part)).items()]
        more += [("instructions", str(seen["cpu_capability"]))] if seen.get("cpu_capability") else []
        more += [("parallel", " ".join(str(line).split())) for line in seen.get("torch_parallel") or ()]
        devices.append((str(name), tuple(more)))
    for where, variables in (
        (n, _object(v)) for n, v in _object(told.get("worker_environment")).items() if not n.startswith("predicted ")
    ):
        devices.append((f"worker's environment: {where}", tuple((str(k), str(v)) for k, v in variables.items())))
    return tuple(f for f in facts if f[1]), tuple(d for d in devices if d[1])


def _object(value: Any) -> dict[str, Any]:
    """What should be an object of environment.json; nothing where someone's hand made it something else."""
    return value if isinstance(value, dict) else {}


def _plain(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "memory_bytes":
        return f"{digits(value / (1 << 30), 3)} GiB" if isinstance(value, int | float) else str(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def config_of(run: Run) -> str:
    """The config as it was run; nothing where it was not kept."""
    path = run.folder / "config.yaml"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def layers_of_host(run: Run) -> str:
    """What is to be known of a layer's time on a predicted accelerator: how much of it is the host's, which is assumed."""
    arms = records_of(run.measurements)
    swept = {p.arm_id for s in find(arms) if s.grows == "layers" for p in s.points}
    said = of_the_host([a for a in arms if a["arm_id"] in swept])
    return f"Of what was predicted {said}. A layer with its norm and activation is three operators" if said else ""


def layer_costs(run: Run) -> tuple[LayerCost, ...]:
    """What each sweep of layers at fixed MACs says of a layer's own cost."""
    sweeps = [s for s in find(records_of(run.measurements)) if s.grows == "layers"]
    places = list(dict.fromkeys(s.place for s in sweeps))
    where = told_apart(places) if len(places) > 1 else {p: p.label for p in places}
    kernels = len({s.kernel for s in sweeps}) > 1
    return tuple(_cost(s, where[s.place], f", kernel {s.kernel}" if kernels else "") for s in sweeps)


def _cost(sweep: Sweep, where: str, kernel: str) -> LayerCost:
    line = implied(sweep)
    each, rest, counts = line.each, line.constant.value, sweep.counts()
    low_high = f" [{in_seconds(each.low, 3)}, {in_seconds(each.high, 3)}]" if each.low is not None and each.high is not None else ""  # fmt: skip

    def part(layers: float) -> str:
        own = each.value * layers
        return f"{share(own / (own + rest))} ({layers:.0f} layer{'s' if layers != 1 else ''})"

    known = all(each.value * c + rest > 0 for c in counts)
    return LayerCost(
        where, sweep.block, describe(sweep) + kernel, f"{in_seconds(each.value, 3)}{low_high}",
        f"{part(float(counts[0]))} to {part(float(counts[-1]))}" if known else "",
    )  # fmt: skip


def side_by_side(runs: Sequence[Run]) -> list[tuple[str, tuple[str, ...]]]:
    """The facts about machine and versions that at least one run tells, with each run's word for it, or none."""
    told = [dict(machine(run)[0]) for run in runs]
    names = dict.fromkeys(name for facts in told for name in facts)
    return [(name, tuple(facts.get(name, "") for facts in told)) for name in names]


def download(name: str, held: bytes) -> Download:
    """A CSV file as an address that holds it."""
    address = "data:text/csv;charset=utf-8;base64," + base64.b64encode(held).decode()
    return Download(name, f"{max(1, round(len(held) / 1000))} kB", address)


def downloads(runs: Sequence[tuple[str, Run]], room: int) -> tuple[tuple[Download, ...], tuple[str, ...]]:
    """The tables as addresses of at most `room` letters together, and the names of those that are too large.

    Each run comes with what its files' names begin with. All runs' pairs.csv come first, and their samples are always too many;
    of a run that was only predicted there are none.
    """
    fits, left = [], []
    for name, begins, run in ((FILES[k], begins, run) for k in _TABLES for begins, run in runs):
        path = run.folder / name
        if not path.is_file():
            continue
        one = download(begins + name, path.read_bytes())
        if len(one.address) <= room:
            room -= len(one.address)
            fits.append(one)
        else:
            left.append(begins + name)
    left += [
        begins + FILES["s"] for begins, run in runs if (run.folder / FILES["s"]).is_file() and not only_predicted(run)
    ]
    return tuple(fits), tuple(left)
