"""reproduction.md: the section on speed, sentence by sentence, with what this run and what others measured say to each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analyse.claims import published
from bench.analyse.claims.answers import Verdict, p_words
from bench.analyse.claims.bottleneck import seconds
from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import Verdicts
from bench.analyse.claims.published import Published
from bench.analyse.runs.row_quality import is_less_precise, is_noisy
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.crossover import crossovers, sentences
from bench.analyse.sweeps.designed import find
from bench.analyse.sweeps.layer_cost import implied
from bench.show.text.claims import cells, effect, place
from bench.show.text.run_facts import layers_of_host
from bench.spec.columns import MEASURED, PREDICTED
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.format import duration, times

MOST_PUBLISHED = 6  # rows under one sentence; docs/EVIDENCE.md has them all


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that the section says, in our words, the claims that put it to the test and the pictures that show it."""

    said: str
    claims: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    note: str = ""
    shows: Callable[[Run], Iterator[str]] | None = None  # more of what was measured
    device: str = ""  # cpu or gpu where it speaks of one alone: no picture of the other belongs there


def _accelerators(run: Run) -> Iterator[str]:
    """The designed sweeps on accelerators, and of predicted ones how much of it is the host's."""
    yield from _slopes(run, "gpu")
    if said := layers_of_host(run):
        yield ""
        yield f"{said}."


def _cpus(run: Run) -> Iterator[str]:
    """The designed sweeps on the CPU, and where both kinds of cost say that the separable block starts to win."""
    yield from _slopes(run, "cpu")
    yield from _crossings(run)


def _slopes(run: Run, kind: str) -> Iterator[str]:
    """The designed sweeps on one kind of device, as a table."""
    found = [sweep for sweep in find(records_of(run.measurements)) if sweep.place.kind == kind]
    if not found:
        return
    yield "| where | block | what grows | elasticity of time on it | time of one more |"
    yield "|---|---|---|---|---|"
    for sweep in found:
        slope, cost = sweep.elasticity(), implied(sweep).each
        ends = f" [{slope.low:+.2f}, {slope.high:+.2f}]" if math.isfinite(slope.half_width) else ""
        first, last = sweep.counts()[[0, -1]]
        word, unit, size = ("layers", "layer", 1.0) if sweep.grows == "layers" else ("MACs", "GMAC", 1e9)
        spread = f" [{seconds(cost.low * size)}, {seconds(cost.high * size)}]" if cost.low is not None and cost.high is not None else ""  # fmt: skip
        held = f"MACs within {sweep.drift:.2f}x" if sweep.grows == "layers" and sweep.drift > 1.01 else "MACs fixed" if sweep.grows == "layers" else "layers fixed"  # fmt: skip
        grew = f"{last / first:,.0f}x {word}, {held} ({sweep.experiment}, k = {sweep.kernel})"
        yield f"| {sweep.place.label} | {sweep.block} | {grew} | {slope.mean:+.2f}{ends} | {seconds(cost.value * size)}{spread} a {unit} |"


def _crossings(run: Run) -> Iterator[str]:
    """Where separable should start to win by what layers and MACs cost, and where it does."""
    said = crossovers(find(records_of(run.measurements)), records_of(run.pairs))
    if said:
        yield ""
        yield "If layers and MACs were all that costs, the depth sweep would tell at how many channels the separable block starts to win:"
        yield ""
        yield from (f"- {line}" for line in sentences(said))


SENTENCES = (
    Sentence(
        "On a GPU with computing power to spare, MobileNet brings no speed-up, and at times a loss.",
        ("gpu_no_gain",),
        ("networks",),
        device="gpu",
    ),
    Sentence(
        "Where computing power is short, it more than triples the speed.",
        ("cpu_3x",),
        ("speedup", "networks"),
        device="cpu",
    ),
    Sentence(
        "The block splits one convolution into two, so its multiplications fall: for 3 x 3 kernels a little under nine times.",
        ("fewer_flops", "below_9x"),
        ("delivery",),
        "This is arithmetic. `bench cost separable --in 256 --out 256` derives it step by step; no clock is needed.",
    ),
    Sentence(
        "The total falls, but the layers grow in number.",
        ("memory",),
        (),
        "Two convolutions stand where one stood, each with its batch norm and activation, and a map between them that is "
        "written and read again. What becomes of the memory that this takes:",
    ),
    Sentence(
        "A GPU works on a great deal at once; a CPU does one thing after the other.",
        ("parallelism", "device_by_block"),
        ("doses",),
    ),
    Sentence(
        "So on a GPU with memory enough, where each layer is done in one go, time follows the number of layers.",
        ("gpu_led_by_layers",),
        ("depth",),
        "Layers may be said to lead only where three things hold: at fixed MACs time grows about as the layers do; at fixed "
        "layers it stays about flat as the MACs grow; and the effect shrinks in a graph or in larger batches.",
        _accelerators,
        device="gpu",
    ),
    Sentence(
        "And on a CPU, which lacks that parallelism, time follows the total compute.",
        ("cpu_led_by_compute",),
        ("depth", "crossover", "roofline"),
        shows=_cpus,
        device="cpu",
    ),
)


def text(run: Run, found: Verdicts, pictures: Iterable[Path]) -> str:
    """The document. Pictures are linked from `plots/` beside it, where they were drawn."""
    drawn = {p.stem for p in pictures if p.suffix == ".png"}
    lines = [*_head(run), *_table(found)]
    kinds = {"cpu" if is_cpu(device) else "gpu" for device in run.measurements["device"].dropna()}
    shown: set[str] = set()
    for number, one in enumerate(SENTENCES, 1):
        fitting = one.pictures if one.device in ("", *kinds) else ()
        here = [p for p in fitting if p in drawn and p not in shown]
        lines += _section(run, number, one, found, here)
        shown |= set(here)
    return "\n".join([*lines, *_foot(run)]) + "\n"


def _head(run: Run) -> Iterator[str]:
    facts = run.environment
    host = facts.get("host") or {}
    told = facts.get("devices") or {}
    devices = {key: d for key, d in told.items() if not is_predicted(key)}
    named = dict.fromkeys(str(d.get("name") or key) for key, d in devices.items())
    kinds = " and ".join(dict.fromkeys("a CPU" if key == "cpu" else "an accelerator" for key in devices)) or "a device"
    yield "# The section on speed, reproduced"
    yield ""
    yield (
        "A text on MobileNet says, in a section on speed: fewer multiplications but more layers, so faster on a CPU and not "
        "on a GPU. Below, its reasoning sentence by sentence, in our words, and what was measured to test each."
    )
    yield ""
    cores = host.get("usable_cores") or host.get("physical_cores")
    if devices or not told:
        yield (
            f"Measured on {kinds}: {', '.join(named) or 'unknown'}"
            + (f" ({cores} cores)" if cores else "")
            + f", torch {facts.get('torch') or 'unknown'}, {str(facts.get('started_utc') or '')[:10]}. "
            + "Speedup is time of standard / time of separable: above 1x the separable one is faster."
        )
        yield ""
        yield _trust(run)
    yield from _head_predicted(run, told)
    if not any(key != "cpu" for key in devices):
        yield ""
        yield (
            "**No GPU was measured in this run.** What is said of GPUs below is others' measurements, and named as such. "
            "`make reproduce DEVICE=cpu,cuda` measures both halves on a machine that has one."
        )
    elif "cpu" not in devices:
        yield ""
        yield "**No CPU was measured in this run**: `make reproduce DEVICE=cpu,cuda` measures both halves."
    yield ""


def _head_predicted(run: Run, devices: Mapping[str, Any]) -> Iterator[str]:
    """What no clock has seen, before anything else is said."""
    names = [str(d.get("name") or key) for key, d in devices.items() if is_predicted(key)]
    if names:
        count = int(run.pairs["status"].eq(PREDICTED).sum())
        yield ""
        yield (
            f"**Predicted, not measured: {', '.join(names)}.** {count} pairs are a model's word, violet and hatched in the "
            "pictures, with the model's error for an interval; its answers read WOULD BE and confirm nothing."
        )


def _table(found: Verdicts) -> Iterator[str]:
    yield "| claim | here | where | effect | p | cells |"
    yield "|---|---|---|---|---|---|"
    for claim in BY_ID.values():
        for v in found.first(claim.id):
            noisy = next((note for note in v.notes if "noisy" in note), "")
            told = "; ".join(filter(None, (cells(v) if v.answer != "NOT MEASURED" else "", noisy)))
            p = "" if v.p_told is None else p_words(v.p_told)
            answer = v.answer if v.predicted else f"**{v.answer}**"
            yield f"| {claim.statement} | {answer} | {place(v)} | {_effect(v)} | {p} | {told} |"
    yield ""
    would = " WOULD BE is a model's prediction where nothing was measured: no test, and it confirms nothing." if any(v.predicted for v in found.verdicts) else ""  # fmt: skip
    yield (
        "SUPPORTED, REFUTED and EQUIVALENT are answers that survive Holm's correction over all tests in this table, at "
        f"5 % (p; exact and counted answers have none); UNDECIDED is no answer.{would} `docs/CLAIMS.md` has each claim's rule, `verdict.json` every figure."
    )
    yield ""
    foretold = all(is_predicted(d) for run in found.runs for d in run.pairs["device"].unique())
    words = WORDS | FORETOLD if foretold else WORDS
    yield from (f"- *{word}*: {meaning}" for word, meaning in words.items() if meaning)


def _section(run: Run, number: int, one: Sentence, found: Verdicts, pictures: Sequence[str]) -> Iterator[str]:
    yield ""
    yield f"## {number}. {one.said}"
    if one.note:
        yield ""
        yield one.note
    for name in one.claims:
        claim = BY_ID[name]
        yield ""
        yield f"**{claim.statement}** ({claim.cells}.)"
        yield ""
        yield from _answers(found.of(name))
    more = list(one.shows(run)) if one.shows else []
    if more:
        yield ""
        yield from more
    for name in pictures:
        yield ""
        yield f"![{name}](plots/{name}.png)"
    told = [row for name in one.claims for row in published.about(name)]
    if told:
        yield ""
        yield "*What others published* (not measured by us):"
        yield ""
        yield from _published(told)
    others = dict.fromkeys(a for name in one.claims for a in BY_ID[name].alternatives)
    if others:
        yield ""
        yield f"*What would change the answer:* {'; '.join(others)}."


def _answers(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for v in verdicts:
        if not v.confirmatory:
            continue
        if v.answer == "NOT MEASURED":
            yield f"- **NOT MEASURED**: {v.why}"
            continue
        number = f" {_effect(v)}." if v.effect else ""
        sure = f" {v.cells.words}." if "surely" in v.cells.words else ""
        yield f"- **{v.answer}** ({place(v)}; {v.regime}):{number} {v.why[:1].upper()}{v.why[1:]}.{sure}"
        yield from (f"  - {note}" for note in v.notes)
    rest = [v for v in verdicts if not v.confirmatory and v.own and not v.predicted]
    would = [v for v in verdicts if v.predicted]
    for heading, some in (
        ("Other circumstances, explored and not corrected for their number:", rest),
        ("Predicted, not measured:", would),
    ):
        yield from _listed_answers(heading, some)


def _listed_answers(heading: str, rest: Sequence[Verdict]) -> Iterator[str]:
    if rest:
        yield ""
        yield heading
        yield ""
        yield "| where | answer | effect | regime | cells |"
        yield "|---|---|---|---|---|"
        for v in rest:
            where = v.site.label + (f" ({v.about})" if "mobilenet" in v.about else "")
            yield f"| {where} | {v.answer} | {_effect(v)} | {v.regime} | {v.cells.n} |"


def _effect(v: Verdict) -> str:
    return f"{v.effect.name} {effect(v.effect)}" if v.effect else ""


def _published(rows: Sequence[Published]) -> Iterator[str]:
    """The rows that differ most in device and comparison first, as far as there is room."""
    chosen = sorted(range(len(rows)), key=lambda i: (_seen(rows, i, "device"), _seen(rows, i, "comparison"), i))[
        :MOST_PUBLISHED
    ]
    for row in (rows[i] for i in sorted(chosen)):
        where = ", ".join(
            filter(None, (row.device, row.dtype, row.mode, row.pass_, row.batch and f"batch {row.batch}"))
        )
        numbers = [f"speedup {times(row.speedup, 0.01)}" if row.speedup else "", f"MAC ratio {times(row.mac_ratio, 0.01)}" if row.mac_ratio else ""]  # fmt: skip
        figures = ", ".join(filter(None, numbers))
        said = f"{row.comparison}{f' ({where})' if where else ''}{f': {figures}' if figures else ''}"
        yield f"- {said}. {row.reading} ({_cited(row.source)})"
    if len(rows) > MOST_PUBLISHED:
        yield f"- {len(rows) - MOST_PUBLISHED} more, with the arithmetic of each, in `docs/EVIDENCE.md`"


def _seen(rows: Sequence[Published], at: int, field: str) -> int:
    """How many rows before this one have the same value."""
    return sum(getattr(row, field) == getattr(rows[at], field) for row in rows[:at])


def _cited(source: str) -> str:
    """The source with its first address as a link."""
    words, *addresses = source.split(", http")
    address = addresses[0].split(",")[0] if addresses else ""
    return f"[{words}](http{address})" if address else words


def _trust(run: Run) -> str:
    """How many pairs were measured, how often, and how many of them are doubtful."""
    rows = [r for r in records_of(run.pairs) if not is_predicted(r["device"])]
    measured = [r for r in rows if r["status"] in MEASURED]
    noisy = sum(map(is_noisy, measured))
    missed = sum(map(is_less_precise, measured))
    skipped = sum(r["status"] in ("skipped", "unsupported") for r in rows)
    failed = len(rows) - len(measured) - skipped
    processes = sorted({int(r["processes"]) for r in measured if r["processes"]})
    span = f"{processes[0]} to {processes[-1]}" if len(processes) > 1 else str(processes[0]) if processes else "no"
    return (
        f"{len(measured)} pairs were measured, each in {span} fresh processes: {noisy} of them noisy, {missed} less precise than "
        f"the asked ±{run.timing.precision * 100:g} %; {skipped} were skipped (`pairs.csv` says why) and {failed} failed."
    )


WORDS = {
    "cell": "one shape of a block or network, measured beside its baseline",
    "surely": "the whole 95 % interval over processes lies there",
    "Holm's correction": "makes it harder to answer the more questions are asked, so that chance answers none of them",
    "elasticity": "by how many per cent time grows for 1 % more of something, in a sweep that holds the rest: E_L of layers, E_M of MACs; 1 is in step, 0 costs nothing",
    "a layer's own cost": "time that one layer more takes where the MACs stay the same: the slope of a straight line through such a sweep",
    "roof": "the least time that this machine's measured FLOP/s and bytes/s allow",
    "regime": "what most time goes to at a place: overhead (calls and layers), bandwidth, compute, or a mixture",
}  # fmt: skip
FORETOLD = {  # the words that only a measurement bears out, of what was but predicted
    "cell": "one shape of a block or network, predicted beside its baseline",
    "surely": "the whole interval lies there: the model's error, in which 95 % of the data lay that it was not fitted to",
    "roof": "",
    "regime": "what most of the predicted time goes to at a place: overhead (calls and layers), bandwidth, compute, or a mixture",
}


def _foot(run: Run) -> Iterator[str]:
    yield ""
    yield "## How it was measured" if run.pairs["status"].isin(MEASURED).any() else "## How it was made"
    yield ""
    if run.wall_s and run.timed_s:
        yield f"It took {duration(run.wall_s)}, of which {run.timed_s / run.wall_s * 100:.0f} % went into samples."
    ambers = run.environment.get("ambers") or []
    if ambers:
        yield ""
        yield "What the machine was doing at the start:"
        yield ""
        yield from (f"- {line}" for line in ambers)
    yield ""
    yield "Made by:"
    yield ""
    yield "```console"
    yield f"$ {run.environment.get('command') or 'bench run'}"
    yield "```"
