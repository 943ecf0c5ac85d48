"""reproduction.md: the section on speed, sentence by sentence, with what this run and what others measured of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from bench.analyse.claims import published
from bench.analyse.claims.claims import BY_ID
from bench.analyse.claims.judge import Verdicts
from bench.analyse.claims.published import Published
from bench.analyse.facts import facts_of
from bench.analyse.runs.rows import records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.costs import LayerMacCosts
from bench.analyse.sweeps.crossover import crossovers, sentences
from bench.analyse.sweeps.designed import Sweep, find
from bench.show.export.report import template
from bench.show.text import claims, run_facts
from bench.show.text.layer_costs import layers_of_host
from bench.show.text.published import circumstances, source
from bench.spec.devices.device_names import is_cpu, is_predicted
from bench.spec.format import cost_in_seconds, times

MOST_PUBLISHED = 6  # rows under one sentence; docs/EVIDENCE.md has them all
Row = tuple[str, ...]

_USUAL: dict[str, Any] = {"pictures": (), "note": "", "device": "", "sweeps": False}
_FILE = files("bench.show.export") / "templates" / "sentences.yaml"
SENTENCES = [_USUAL | sentence for sentence in yaml.safe_load(_FILE.read_text(encoding="utf-8"))]


def text(run: Run, found: Verdicts, pictures: Iterable[Path]) -> str:
    """The document. Pictures are linked from `plots/` beside it, where they were drawn."""
    drawn = {p.stem for p in pictures if p.suffix == ".png"}
    facts, sweeps = facts_of(run), find(records_of(run.measurements))
    kinds = {"cpu" if is_cpu(d) else "gpu" for d in run.measurements["device"].dropna()}
    measured = {"CPU" if is_cpu(d) else "GPU" for d in run.measurements["device"].dropna() if not is_predicted(d)}
    fitting = [one for one in SENTENCES if one["device"] in ("", *kinds)]
    missing = [kind for kind in ("GPU", "CPU") if kind not in measured]
    host = layers_of_host(run)
    return template("reproduction.md.j2").render(
        made_on=run_facts.made_on(run),
        trust=run_facts.trust_lines(facts),
        predicted=run_facts.predicted(facts),
        missing=missing[0] if missing else "",
        found=found,
        claims=BY_ID,
        words=claims,
        sentences=SENTENCES,
        sweeps={kind: [_sweep(s) for s in sweeps if s.condition.kind == kind] for kind in ("cpu", "gpu")},
        more={"cpu": [*_crossings(run)], "gpu": [f"{host}."] if host else []},
        above={name: one for one in reversed(fitting) for name in one["pictures"] if name in drawn},  # the first wins
        published=lambda one: [*_published([row for name in one["claims"] for row in published.about(name)])],
        alternatives=lambda one: dict.fromkeys(a for name in one["claims"] for a in BY_ID[name].alternatives),
        ambers=run.environment.get("ambers") or (),
        command=run.environment.get("command") or "bench run",
    )


def _sweep(sweep: Sweep) -> Row:
    """A designed sweep: where, what grew by how much, the elasticity of time on it, and the time of one more."""
    slope, costs = sweep.elasticity(), LayerMacCosts.of([sweep])
    ends = f" [{slope.low:+.2f}, {slope.high:+.2f}]" if math.isfinite(slope.half_width) else ""
    first, last = sweep.counts()[[0, -1]]
    of_layers = sweep.grows == "layers"
    word, unit, size = ("layers", "layer", 1.0) if of_layers else ("MACs", "GMAC", 1e9)
    cost = costs.layer_s if of_layers else costs.mac_s
    spread = f" [{cost_in_seconds(cost.low * size)}, {cost_in_seconds(cost.high * size)}]" if cost.low is not None and cost.high is not None else ""  # fmt: skip
    fixed = f"MACs within {sweep.drift:.2f}x" if of_layers and sweep.drift > 1.01 else "MACs fixed" if of_layers else "layers fixed"  # fmt: skip
    grew = f"{last / first:,.0f}x {word}, {fixed} ({sweep.experiment}, k = {sweep.kernel})"
    return (sweep.condition.label, sweep.block, grew, f"{slope.mean:+.2f}{ends}", f"{cost_in_seconds(cost.value * size)}{spread} a {unit}")  # fmt: skip


def _crossings(run: Run) -> Iterator[str]:
    """Where separable should start to win by what layers and MACs cost, and where it does."""
    lines = sentences(crossovers(find(records_of(run.measurements)), records_of(run.pairs)))
    if lines:
        yield "If layers and MACs were all that costs, the depth sweep would say at how many channels the separable block starts to win:"
        yield "\n".join(f"- {line}" for line in lines)


def _published(rows: Sequence[Published]) -> Iterator[str]:
    """The rows that differ most in device and comparison first, as far as there is room."""
    chosen = sorted(range(len(rows)), key=lambda i: (_seen(rows, i, "device"), _seen(rows, i, "comparison"), i))[:MOST_PUBLISHED]  # fmt: skip
    for row in (rows[i] for i in sorted(chosen)):
        where = circumstances(row)
        numbers = [f"speedup {times(row.speedup, 0.01)}" if row.speedup else "", f"MAC ratio {times(row.mac_ratio, 0.01)}" if row.mac_ratio else ""]  # fmt: skip
        figures = ", ".join(filter(None, numbers))
        words, addresses = source(row)
        cited = f"[{words}]({addresses[0]})" if addresses else words
        yield f"{row.comparison}{f' ({where})' if where else ''}{f': {figures}' if figures else ''}. {row.reading} ({cited})"  # fmt: skip
    if len(rows) > MOST_PUBLISHED:
        yield f"{len(rows) - MOST_PUBLISHED} more, with the arithmetic of each, in `docs/EVIDENCE.md`"


def _seen(rows: Sequence[Published], at: int, field: str) -> int:
    """How many rows before this one have the same value."""
    return sum(getattr(row, field) == getattr(rows[at], field) for row in rows[:at])
