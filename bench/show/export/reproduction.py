"""reproduction.md and reproduction.zh-CN.md: one template filled with a run's facts on each sentence of the section on speed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from bench.analyse.claims.answers import ANSWERS, Verdict
from bench.analyse.claims.cell_tests import LEAST_CELLS, LEAST_PROCESSES
from bench.analyse.claims.claims import TEXTS
from bench.analyse.claims.judge import Verdicts
from bench.analyse.facts import facts_of
from bench.analyse.runs.rows import USUAL, Record, grouped, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.designed import FEWEST_POINTS
from bench.show.export.report import template
from bench.show.text import claims, run_facts
from bench.spec.columns import MEASURED
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted
from bench.spec.format import interval, percent

NAMES = {"en": "reproduction.md", "zh": "reproduction.zh-CN.md"}
_KEYS = {"yes": "right", "no": "wrong", "same": "wrong", "partly": "depends", "open": "undecided"}
_DATA = yaml.safe_load((files("bench.show.export") / "templates" / "reproduction.yaml").read_text(encoding="utf-8"))
SENTENCES: list[dict[str, Any]] = _DATA["sentences"]
WORDS: Mapping[str, Mapping[str, Any]] = _DATA["words"]


def texts(run: Run, found: Verdicts, pictures: Iterable[Path]) -> dict[str, str]:
    """The documents by their files' names, with links to `plots/`; none for a run planned neither for layers nor the section."""
    if not _stacks(run) and (run.plan is None or run.plan.name != "speed_thinking"):
        return {}
    drawn, lost = {p.stem for p in pictures if p.suffix == ".png"}, untested(run, found)
    measured = {"CPU" if is_cpu(d) else "GPU" for d in run.pairs["device"].dropna() if not is_predicted(d)}
    sections = []
    for sentence in SENTENCES:
        rows = _rows(sentence["claims"], found)
        picture = next((name for name in sentence["pictures"] if rows and name in drawn), "")
        drawn.discard(picture)
        mine = [one for one in lost if one["claim"] in sentence["claims"]]
        sections.append(sentence | {"rows": rows, "picture": picture, "lost": mine, **_together(rows)})
    facts = {
        "run": run, "facts": facts_of(run), "made_on": run_facts.made_on(run), "sections": sections, "text": TEXTS[0][1],
        "missing": sorted({"GPU", "CPU"} - measured, reverse=True), "usual": USUAL, "key": _key, "interval": interval,
        "effect": claims.effect, "not_tested": not_tested, "in_words": in_words, "percent": percent,
    }  # fmt: skip
    page = template("reproduction.md.j2")
    filled = {name: page.render(facts, w=WORDS[language], language=language) for language, name in NAMES.items()}
    return {name: re.sub(r"\n{3,}", "\n\n", text) for name, text in filled.items()}


def untested(run: Run, found: Verdicts) -> list[dict[str, Any]]:
    """For each device that lost its sweeps of layers, or measured them in too few processes: the `claim`, `why` and the `command`."""
    lacking = []
    for device, rows in _stacks(run).items():
        claim = "cpu_led_by_compute" if is_cpu(device) else "gpu_led_by_layers"
        judged = [v for v in found.of(claim) if v.confirmatory and v.condition.device == device and len(v.doubled) > 1]
        processes = min((v.cells.processes or 1 for v in judged), default=LEAST_PROCESSES)
        lost, few = sum(r["status"] not in MEASURED for r in rows), processes < LEAST_PROCESSES
        if (lost or few) and not is_predicted(device) and all(v.p is None or v.weak for v in judged):
            one = {"device": device, "claim": claim, "why": "few" if few else "lost", "lost": lost, "rows": len(rows)}
            lacking.append(one | {"processes": processes, "least": LEAST_PROCESSES, "command": _command(run, device, processes if few else 0)})  # fmt: skip
    return lacking


def not_tested(one: Mapping[str, Any], words: Mapping[str, Any] = WORDS["en"]) -> str:
    """`The reason was not tested on cuda:0: ...`, with what to run."""
    return str(words["untested"].format(**{**one, "why": words[one["why"]].format(**one)}))


def _stacks(run: Run) -> dict[str, list[Record]]:
    """By device the rows of stacks of blocks, measured or not, if they have the depths for a sweep of layers."""
    stacks = grouped((r for r in records_of(run.pairs) if (r["depth"] or 1) > 1), lambda r: str(r["device"]))
    return {d: rows for d, rows in stacks.items() if len({r["depth"] for r in rows}) >= FEWEST_POINTS - 1}


def _command(run: Run, device: str, few: int) -> str:
    """The same run with the minutes that more than these few processes need, or if 0 with more patience for slow trials too."""
    if run.plan is not None and run.from_journal and not (run.folder / "DONE").exists():
        return run.plan.resume_command(run.folder)
    more = LEAST_PROCESSES * 1.1 / few if few else 3
    given = {"minutes": run.timing.minutes, "visit_seconds": None if few else run.timing.visit_seconds}
    options = [f" --set {name}={math.ceil(value * more)}" for name, value in given.items() if value]
    ours = run.plan is not None and run.plan.name == "speed_thinking"
    config = "configs/speed_thinking.yaml" if ours else f"{run.folder.name}/config.yaml"
    return f"bench run {config} --device {device}{''.join(options)}"


def _rows(names: Sequence[str], found: Verdicts) -> list[Verdict]:
    """The verdicts on a sentence's claims, those of usual settings and with enough to tell if any; what confirms comes first."""
    about = [v for name in names for v in found.of(name) if v.on_claimed_device and v.answer != "NOT MEASURED"]
    every = [v for v in about if len(v.doubled) != 1]  # one kind of sweep does not tell layers from MACs
    usual = [v for v in every if replace(v.condition, mode=USUAL["mode"]).usual] or every
    telling = [v for v in usual if v.confirmatory or v.cells.n >= LEAST_CELLS] or usual
    return sorted(telling, key=lambda v: (v.predicted, not v.confirmatory, v.about == "standard", v.condition.batch))


def _together(rows: Sequence[Verdict]) -> dict[str, Any]:
    """What measured rows say together: the `answer`, what each `reads`, and the reasons why none is an answer (`weak`)."""
    measured = [v for v in rows if not v.predicted]
    decided = {_key(v) for v in measured} - {"undecided"}
    chosen = {_key(v) for v in [v for v in measured if v.confirmatory] or measured} - {"undecided"}
    answer = "undecided" if not chosen else "depends" if len(decided) > 1 else chosen.pop()
    weak = [] if decided else list(dict.fromkeys(v.weak for v in measured if v.weak))
    return {"answer": answer if measured else "unmeasured", "weak": weak, "reads": [_key(v, bool(weak)) for v in measured]}  # fmt: skip


def _key(v: Verdict, reads: bool = False) -> str:
    """What an answer says, or how its rows read; counted bytes, which no test decides, depend on the shape if some save."""
    if v.weak:
        return _KEYS[ANSWERS[v.leaning or v.answer] if reads else v.side]
    return "depends" if v.p is None and 0 < (v.cells.surely or 0) < v.cells.n else _KEYS[v.side]
