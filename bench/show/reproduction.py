"""reproduction.md: the section on speed, sentence by sentence, with what this run and what others measured say to each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analyse import evidence
from bench.analyse.claims import BY_ID
from bench.analyse.crossover import crossovers, sentence
from bench.analyse.evidence import Published
from bench.analyse.implied import implied
from bench.analyse.judgement import Verdict
from bench.analyse.regimes import seconds
from bench.analyse.results import Run
from bench.analyse.summary import duration, records_of, times
from bench.analyse.sweeps import Grows, find
from bench.analyse.verdict import Verdicts
from bench.show.verdict import effect
from bench.spec.columns import MEASURED

MOST_PUBLISHED = 6  # rows under one sentence; docs/EVIDENCE.md has them all


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing that the section says, in our words, the claims that put it to the test and the pictures that show it."""

    said: str
    claims: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    note: str = ""
    shows: Callable[[Run], Iterator[str]] | None = None  # more of what was measured


def _layers(run: Run) -> Iterator[str]:
    """The sweeps of layers at fixed MACs."""
    return _slopes(run, "layers")


def _compute(run: Run) -> Iterator[str]:
    """The sweeps of MACs at fixed layers, and where both kinds of cost say that the separable block starts to win."""
    yield from _slopes(run, "macs")
    yield from _crossings(run)


def _slopes(run: Run, grows: Grows) -> Iterator[str]:
    """The designed sweeps of one kind, as a table."""
    found = [sweep for sweep in find(records_of(run.measurements)) if sweep.grows == grows]
    if not found:
        return
    word, unit, size = ("layers", "layer", 1.0) if grows == "layers" else ("MACs", "GMAC", 1e9)
    yield f"| where | block | {word} at fixed {'MACs' if grows == 'layers' else 'layers'} | elasticity of time on {word} | time of a {unit} |"
    yield "|---|---|---|---|---|"
    for sweep in found:
        slope, cost = sweep.elasticity(), implied(sweep).each
        ends = f" [{slope.low:+.2f}, {slope.high:+.2f}]" if math.isfinite(slope.half_width) else ""
        first, last = sweep.counts()[[0, -1]]
        spread = f" [{seconds(cost.low * size)}, {seconds(cost.high * size)}]" if cost.low is not None and cost.high is not None else ""  # fmt: skip
        grew = f"{last / first:,.0f}x, {sweep.experiment}, k = {sweep.kernel}"
        yield f"| {sweep.place.label} | {sweep.block} | {grew} | {slope.mean:+.2f}{ends} | {seconds(cost.value * size)}{spread} |"


def _crossings(run: Run) -> Iterator[str]:
    """Where separable should start to win by what layers and MACs cost, and where it does."""
    said = crossovers(find(records_of(run.measurements)), records_of(run.pairs))
    if said:
        yield ""
        yield "If layers and MACs were all that costs, the depth sweep would tell at how many channels the separable block starts to win:"
        yield ""
        yield from (f"- {sentence(c, c.place.label)}" for c in said)


SENTENCES = (
    Sentence(
        "On a GPU with computing power to spare, MobileNet brings no speed-up, and at times a loss.",
        ("gpu_no_gain",),
        ("networks",),
    ),
    Sentence(
        "Where computing power is short, it more than triples the speed.",
        ("cpu_3x",),
        ("speedup", "networks"),
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
        _layers,
    ),
    Sentence(
        "And on a CPU, which lacks that parallelism, time follows the total compute.",
        ("cpu_led_by_compute",),
        ("depth", "crossover", "roofline"),
        shows=_compute,
    ),
)


def text(run: Run, found: Verdicts, pictures: Iterable[Path]) -> str:
    """The document. Pictures are linked from `plots/` beside it, where they were drawn."""
    drawn = {p.stem for p in pictures if p.suffix == ".png"}
    lines = [*_head(run), *_table(found)]
    shown: set[str] = set()
    for number, one in enumerate(SENTENCES, 1):
        lines += _section(run, number, one, found, [p for p in one.pictures if p in drawn and p not in shown])
        shown |= set(one.pictures)
    if "doses" in drawn and "doses" not in shown:
        lines += ["", "![What else moves the answer](plots/doses.png)"]
    return "\n".join([*lines, *_foot(run)]) + "\n"


def _head(run: Run) -> Iterator[str]:
    facts = run.environment
    host = facts.get("host") or {}
    devices = facts.get("devices") or {}
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
    yield (
        f"Measured on {kinds}: {', '.join(named) or 'unknown'}"
        + (f" ({cores} cores)" if cores else "")
        + f", torch {facts.get('torch') or 'unknown'}, {str(facts.get('started_utc') or '')[:10]}. "
        + "Speedup is time of standard / time of separable: above 1x the separable one is faster."
    )
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


def _table(found: Verdicts) -> Iterator[str]:
    yield "| claim | here | where | effect |"
    yield "|---|---|---|---|"
    for claim in BY_ID.values():
        for v in found.of(claim.id):
            if v.confirmatory:
                where = ", ".join(filter(None, (v.about, v.site.label if v.site.device else "")))
                yield f"| {claim.statement} | **{v.answer}** | {where} | {_effect(v)} |"
    yield ""
    yield (
        "SUPPORTED, REFUTED and EQUIVALENT are answers that survive Holm's correction over all tests in this table, at "
        "5 %; UNDECIDED is no answer. `docs/CLAIMS.md` has each claim's rule, `verdict.json` every figure."
    )


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
    told = [row for name in one.claims for row in evidence.about(name)]
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
        where = ", ".join(filter(None, (v.about, v.site.label if v.site.device else "")))
        if v.answer == "NOT MEASURED":
            yield f"- **NOT MEASURED**: {v.why}"
            continue
        number = f" {_effect(v)}." if v.effect else ""
        cells = f" Cells: {v.cells.words}." if v.cells.words else ""
        yield f"- **{v.answer}** ({where}; {v.regime}):{number} {v.why[:1].upper()}{v.why[1:]}.{cells}"
        yield from (f"  - {note}" for note in v.notes)
    rest = [v for v in verdicts if not v.confirmatory and v.own]
    if rest:
        yield ""
        yield "Other circumstances, explored and not corrected for their number:"
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


def _foot(run: Run) -> Iterator[str]:
    rows = records_of(run.pairs)
    measured = [r for r in rows if r["status"] in MEASURED]
    noisy = sum(r["status"] == "noisy" for r in measured)
    missed = sum(not r["precision_reached"] for r in measured)
    skipped = sum(r["status"] in ("skipped", "unsupported") for r in rows)
    failed = len(rows) - len(measured) - skipped
    yield ""
    yield "## How far to trust this"
    yield ""
    processes = sorted({int(r["processes"]) for r in measured if r["processes"]})
    span = f"{processes[0]} to {processes[-1]}" if len(processes) > 1 else str(processes[0]) if processes else "no"
    yield (
        f"{len(measured)} pairs were measured, each in {span} fresh processes: {noisy} of them noisy, {missed} less precise than "
        f"the asked ±{run.timing.precision * 100:g} %; {skipped} were skipped (`pairs.csv` says why) and {failed} failed."
    )
    if run.wall_s:
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
