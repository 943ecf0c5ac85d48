"""Judge rules and designs by the study's samples, and print the tables; --write puts them into docs/METHOD.md.

    python tools/study/judge.py [--write] results/study/samples.jsonl.gz [AA_RUN_FOLDER ...]

A reading is what a user would get: the mean over n processes of ln(speedup) by a rule. Its mean squared error is taken
as bias^2 + variance between processes / n, the bias against the best-known quiet value of the same cell.
"""

from __future__ import annotations

import gzip
import itertools
import json
import math
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.analyse.runs import row_quality
from bench.analyse.runs.journal import Samples, read_journal
from bench.analyse.runs.noise_floor import is_aa
from bench.analyse.runs.run_folder import read
from bench.analyse.stats import estimators
from bench.analyse.stats.estimators import Floats, Ints
from bench.measure.sampling import why_stop
from bench.spec.columns import SPOILED
from bench.spec.config.timing import Timing
from bench.spec.interval import clean_rounds, midmean, t_interval

PAGE = Path(__file__).resolve().parents[2] / "docs" / "METHOD.md"
SHORT, LONG = 0.0005, 0.004
OFF = math.log(1.1)
TIMING = Timing()

Pair = tuple[Floats, Floats, Ints, Ints]  # samples of both arms, then their flags
Rule = Callable[[Pair], float]
Key = tuple[int, bool, int]  # threads, competitor, cell


@dataclass(frozen=True)
class Build:
    """One build's samples in one process, and what each round took of the wall time in seconds."""

    pair: Pair
    sample_s: float
    round_s: Floats

    def rounds_in(self, seconds: float) -> int:
        """Rounds that a visit of so many seconds would have taken, by the sampler's own rule."""
        timing = TIMING.model_copy(update={"seconds": seconds, "precision": 1e-9})
        clean = set(clean_rounds(*(f.tolist() for f in self.pair[2:])))
        elapsed, sound = 0.0, 0
        for i, took in enumerate(self.round_s.tolist()):
            elapsed += took
            sound += i in clean
            if why_stop(timing, i + 1, sound, elapsed, lambda: math.inf) is not None:
                return i + 1
        return self.round_s.size

    def first(self, seconds: float) -> Pair:
        """The samples of these rounds."""
        a, b, fa, fb = (side[: 2 * self.rounds_in(seconds)] for side in self.pair)
        return a, b, fa, fb

    def spent(self, seconds: float) -> float:
        """The wall time of these rounds."""
        return float(self.round_s[: self.rounds_in(seconds)].sum())


def _round_seconds(told: dict) -> Floats:
    """The wall time of each round: its samples and unmeasured evaluations, scaled so that all add up to the visit's."""
    took = sum(
        np.array(ns).reshape(-1, 2).sum(axis=1) * (n + 0.75)
        for ns, n in zip(told["ns"], told["evaluations"], strict=True)
    )
    return np.asarray(took / took.sum() * told["wall_s"])


def _log_ratio(estimate: Callable[[Floats], float], pair: Pair) -> float:
    return math.log(estimate(pair[0]) / estimate(pair[1]))


def _unflagged(pair: Pair) -> float:
    a, b, fa, fb = pair
    return math.log(np.median(a[fa == 0] if (fa == 0).any() else a) / np.median(b[fb == 0] if (fb == 0).any() else b))


def _rounds(reduce: Callable[..., Floats], location: Callable[[Sequence[float]], float], pair: Pair) -> float:
    a, b = (reduce(side.reshape(-1, 2), axis=1) for side in pair[:2])
    return float(location(np.log(a / b).tolist()))


RULES: dict[str, Rule] = {
    "median": partial(_log_ratio, lambda s: float(np.median(s))),
    "median of unflagged samples": _unflagged,
    "10th percentile": partial(_log_ratio, lambda s: float(np.quantile(s, 0.1))),
    "minimum": partial(_log_ratio, lambda s: float(np.min(s))),
    "rounds: median of the ratios of means": partial(_rounds, np.mean, lambda v: float(np.median(v))),
    "rounds: median of the ratios of faster samples": partial(_rounds, np.min, lambda v: float(np.median(v))),
    "rounds: midmean of the ratios of faster samples": partial(_rounds, np.min, midmean),
    "rounds: midmean of the ratios of means": partial(_rounds, np.mean, midmean),
    "the same over clean rounds (ours)": lambda p: estimators.paired(p[0], p[1], (p[2], p[3])),
}
OURS = "the same over clean rounds (ours)"


@dataclass
class Study:
    """The samples: by the way of measuring, then by cell and process; torch's Timer by cell."""

    head: dict
    builds: dict[str, dict[Key, dict[int, list[Build]]]]
    timer: dict[Key, list[float]]

    def cells(self, competitor: bool) -> list[Key]:
        """The cells of one condition."""
        return sorted(k for k in self.builds["ours"] if k[1] == competitor)


def load(path: Path) -> Study:
    """Read what collect.py wrote."""
    builds: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    timer: dict[Key, list[float]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head = json.loads(next(file))
        for line in file:
            told = json.loads(line)
            s = told["setting"]
            key = (s["threads"], s["competitor"], told["cell"])
            if "timer_s" in told:
                timer[key].append(math.log(told["timer_s"][0] / told["timer_s"][1]))
                continue
            pair = (*(np.array(n) for n in told["ns"]), *(np.array(f) for f in told["flags"]))
            builds[s["name"]][key][s["process"]].append(Build(pair, told["sample_s"], _round_seconds(told)))
    return Study(head, builds, timer)


def values(study: Study, rule: Rule, key: Key, seconds: float, lengths: Sequence[float], way: str = "ours") -> Floats:
    """ln(speedup) of each process: the mean over its builds of these sample lengths, `seconds` each."""
    found = []
    for built in study.builds[way][key].values():
        mine = [rule(b.first(seconds)) for b in built if b.sample_s in lengths]
        if mine:
            found.append(float(np.mean(mine)))
    return np.array(found)


def truths(study: Study) -> dict[Key, float]:
    """The best-known quiet value of each cell: the ratio of the medians of all unspoiled samples of a process, their median.

    A rule of none of the candidates', so that it favours none: typical times over all processes, builds and lengths.
    """
    found = {}
    for key in study.cells(competitor=False):
        per_process = []
        for built in study.builds["ours"][key].values():
            sound = [np.concatenate([b.pair[i][b.pair[i + 2] & SPOILED == 0] for b in built]) for i in (0, 1)]
            if all(s.size >= 4 for s in sound):
                per_process.append(math.log(np.median(sound[0]) / np.median(sound[1])))
        found[key] = float(np.median(per_process))
    return found


def fastest(study: Study) -> dict[Key, float]:
    """The other yardstick: minima over all that a quiet process measured, their median over processes."""
    found = {}
    for key in study.cells(competitor=False):
        ratios = []
        for built in study.builds["ours"][key].values():
            best = [min(float(b.pair[i].min()) for b in built) for i in (0, 1)]
            ratios.append(math.log(best[0] / best[1]))
        found[key] = float(np.median(ratios))
    return found


def error(samples: Iterable[tuple[Floats, float]], processes: int) -> tuple[float, float, float]:
    """Root mean square over cells of the spread between processes, the bias, and the error of a mean of `processes`."""
    spreads, biases, errors = [], [], []
    for v, truth in samples:
        s2 = float(np.var(v, ddof=1))
        b2 = max(0.0, float(np.mean(v) - truth) ** 2 - s2 / v.size)
        spreads.append(s2)
        biases.append(b2)
        errors.append(b2 + s2 / processes)
    return tuple(math.sqrt(float(np.mean(x))) for x in (spreads, biases, errors))  # type: ignore[return-value]


def off(samples: Iterable[tuple[Floats, float]], processes: int) -> float:
    """Share of readings off by over 10 %, by resampling the processes."""
    rng = np.random.default_rng(1)
    wrong = []
    for v, truth in samples:
        means = rng.choice(v, (400, processes)).mean(axis=1)
        wrong.append(float(np.mean(np.abs(means - truth) > OFF)))
    return float(np.mean(wrong))


def rules_table(study: Study, truth: dict[Key, float]) -> str:
    """Rules at the same budget: five processes of 0.4 s each."""
    lines = [
        "| rule | samples | spread quiet | bias quiet | error quiet | off by 10 % | spread busy | bias busy | error busy | off by 10 % |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for length, (name, rule) in itertools.product((SHORT, LONG), RULES.items()):
        cells = []
        for busy in (False, True):
            mine = [(values(study, rule, k, 0.4, [length]), truth[k[0], False, k[2]]) for k in study.cells(busy)]
            s, b, e = error(mine, 5)
            cells += [f"{s:.3f}", f"{b:.3f}", f"**{e:.3f}**" if name == OURS else f"{e:.3f}", f"{off(mine, 5):.0%}"]
        lines.append(f"| {name} | {length * 1e3:g} ms | {' | '.join(cells)} |".replace("%", " %"))
    return "\n".join(lines)


def designs_table(study: Study, truth: dict[Key, float]) -> str:
    """How the same 2 s are best spent: processes, builds of the tensors in each, seconds."""
    lines = ["| processes | builds in each | seconds a build | error quiet | error busy |", "|---|---|---|---|---|"]
    rule = RULES[OURS]
    for processes, lengths, seconds in (
        (3, [SHORT], 0.66), (5, [SHORT], 0.4), (10, [SHORT], 0.2), (20, [SHORT], 0.1),
        (2, [SHORT, LONG], 0.5), (3, [SHORT, LONG], 0.33), (5, [SHORT, LONG], 0.2), (10, [SHORT, LONG], 0.1),
    ):  # fmt: skip
        cells = []
        for busy in (False, True):
            mine = [(values(study, rule, k, seconds, lengths), truth[k[0], False, k[2]]) for k in study.cells(busy)]
            cells.append(f"{error(mine, processes)[2]:.3f}")
        lines.append(f"| {processes} | {len(lengths)} | {seconds:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def budget_table(study: Study, truth: dict[Key, float]) -> str:
    """Whether more time helps: processes of 0.4 s."""
    lines = [
        "| processes | asked | error quiet | off by 10 % | took | error busy | off by 10 % | took |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for processes in (1, 2, 3, 5, 10, 20):
        cells = []
        for busy in (False, True):
            mine = [(values(study, RULES[OURS], k, 0.4, [SHORT]), truth[k[0], False, k[2]]) for k in study.cells(busy)]
            took = [
                b.spent(0.4)
                for k in study.cells(busy)
                for bs in study.builds["ours"][k].values()
                for b in bs
                if b.sample_s == SHORT
            ]
            cells += [
                f"{error(mine, processes)[2]:.3f}",
                f"{off(mine, processes):.0%}".replace("%", " %"),
                f"{processes * float(np.mean(took)):.1f} s",
            ]
        lines.append(f"| {processes} | {processes * 0.4:g} s | {' | '.join(cells)} |")
    return "\n".join(lines)


def ways_table(study: Study, truth: dict[Key, float]) -> str:
    """The surroundings, and torch's Timer: one process of 2 s a pair, error against the retained allocator's value."""
    rows: list[tuple[str, Callable[[Key], Floats], int]] = [
        ("torch Timer.blocked_autorange, median, one process", lambda k: np.array(study.timer[k]), 1),
        ("allocator default, our rule, five processes", lambda k: values(study, RULES[OURS], k, 0.4, [SHORT], "default allocator"), 5),
        ("allocator default, minimum, five processes", lambda k: values(study, RULES["minimum"], k, 0.4, [SHORT], "default allocator"), 5),
        ("allocator retained, our rule, five processes", lambda k: values(study, RULES[OURS], k, 0.4, [SHORT]), 5),
        ("the same, waiting passive (2 threads)", lambda k: values(study, RULES[OURS], k, 0.4, [SHORT], "passive"), 5),
        ("the same, waiting active (2 threads)", lambda k: values(study, RULES[OURS], k, 0.4, [SHORT], "active"), 5),
    ]  # fmt: skip
    head = [
        f"{t} thread{'s' if t > 1 else ''}, {'busy' if busy else 'quiet'}"
        for t in _threads(study)
        for busy in (False, True)
    ]
    lines = [f"| way | {' | '.join(head)} | all quiet | all busy |", "|---" * (len(head) + 3) + "|"]
    for name, take, processes in rows:
        cells = []
        for only in (*((t,) for t in _threads(study)), _threads(study)):
            for busy in (False, True):
                keys = [k for k in study.cells(busy) if k[0] in only]
                mine = [(take(k), truth[k[0], False, k[2]]) for k in keys]
                known = [m for m in mine if m[0].size > 1]
                cells.append(f"{error(known, processes)[2]:.3f}" if len(known) == len(mine) else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _threads(study: Study) -> tuple[int, ...]:
    return tuple(dict.fromkeys(k[0] for k in study.cells(competitor=False)))


def values_table(study: Study, truth: dict[Key, float]) -> str:
    """The speedups themselves."""
    lines = [
        "| cell | threads | best known | by minima | ours quiet | ours busy | torch's Timer quiet | busy |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for threads, _, cell in study.cells(competitor=False):
        c = study.head["cells"][cell]
        said = [f"{math.exp(yardstick[threads, False, cell]):.2f}" for yardstick in (truth, fastest(study))]
        said += [_spread(values(study, RULES[OURS], (threads, busy, cell), 0.4, [SHORT])) for busy in (False, True)]
        said += [_spread(np.array(study.timer[threads, busy, cell])) for busy in (False, True)]
        lines.append(f"| {c['channels']} channels, k {c['kernel']}, {c['layout']} | {threads} | {' | '.join(said)} |")
    return "\n".join(lines)


def _spread(v: Floats) -> str:
    return f"{math.exp(float(np.mean(v))):.2f} ({math.exp(float(v.min())):.2f} to {math.exp(float(v.max())):.2f})"


def marks_table(study: Study, truth: dict[Key, float]) -> str:
    """Readings of six processes through the code that makes the rows: intervals, and who is marked noisy."""
    coin = random.Random(1)
    timing = Timing()
    lines = [
        "| condition | readings | interval holds the best-known value | off by over 10 % | of them not marked noisy | marked noisy |",
        "|---|---|---|---|---|---|",
    ]
    for busy in (False, True):
        readings = holds = wrong = unmarked = noisy = 0
        for key in study.cells(busy):
            built = [next(b for b in bs if b.sample_s == SHORT).first(0.4) for bs in study.builds["ours"][key].values()]
            quiet = truth[key[0], False, key[2]]
            for _ in range(40):
                drawn = coin.sample(built, min(6, len(built)))
                base, other = ([_samples(p[i] / 1e9, p[i + 2]) for p in drawn] for i in (0, 1))
                found = row_quality.contrast(base, other, timing)
                readings += 1
                holds += found.paired.low <= quiet <= found.paired.high
                bad = abs(found.paired.mean - quiet) > OFF
                wrong += bad
                unmarked += bad and not found.doubts
                noisy += bool(found.doubts)
        share = [f"{x / readings:.0%}".replace("%", " %") for x in (holds, wrong)]
        lines.append(
            f"| {'busy' if busy else 'quiet'} | {readings} | {share[0]} | {share[1]} | {unmarked} | {noisy / readings * 100:.0f} % |"
        )
    return "\n".join(lines)


def _samples(times: Floats, flags: Ints) -> Samples:
    return Samples(times, flags, 1, times[:0], {})


def aa_table(folders: Sequence[Path]) -> str:
    """False positives of each rule on the same A/A runs: Student's interval over processes, and over pooled samples."""
    lines = [
        "| rule | pairs | false positives | median half-width | 95 % of readings within |",
        "|---|---|---|---|---|",
    ]
    visits = []
    for folder in folders:
        run = read(folder)
        assert is_aa(run), f"{folder} is no A/A run"
        assert run.plan is not None
        journal = read_journal(folder / "journal.jsonl", {t.trial_id: t for t in run.plan.trials})
        visits += [(t, journal.of(t.trial_id).visits) for t in run.plan.active]
    for name, rule in RULES.items():
        intervals = []
        for trial, taken in visits:
            a, b = (arm.arm_id for arm in trial.arms)
            pairs = [(v.arms[a].time_s, v.arms[b].time_s, v.arms[a].flags, v.arms[b].flags) for v in taken]
            intervals.append(t_interval([rule(p) for p in pairs]))
        lines.append(_aa_row(f"{name}, one value a process", intervals))
    pooled = []
    for trial, taken in visits:
        a, b = (np.concatenate([v.arms[arm.arm_id].time_s for v in taken]) for arm in trial.arms)
        pooled.append(t_interval(np.log(a / b).tolist()))
    lines.append(_aa_row("all samples pooled, as if they were independent", pooled))
    return "\n".join(lines)


def _aa_row(name: str, intervals: Sequence) -> str:
    wrong = sum(abs(i.mean) > i.half_width for i in intervals)
    width = float(np.median([i.half_width for i in intervals]))
    band = float(np.quantile([abs(i.mean) for i in intervals], 0.95))
    return f"| {name} | {len(intervals)} | {wrong} ({wrong / len(intervals) * 100:.0f} %) | {width * 100:.1f} % | {band * 100:.1f} % |"


def main(samples: Path, aa_runs: Sequence[Path], write: bool) -> None:
    """Print every table, and put it into the page where `write`."""
    study = load(samples)
    truth = truths(study)
    tables = {
        "values": values_table(study, truth), "rules": rules_table(study, truth), "designs": designs_table(study, truth),
        "budget": budget_table(study, truth), "ways": ways_table(study, truth), "marks": marks_table(study, truth),
    }  # fmt: skip
    if aa_runs:
        tables["aa"] = aa_table(aa_runs)
    publish("study", tables, write)


def publish(kind: str, tables: Mapping[str, str], write: bool) -> None:
    """Print tables, and put them into the page at their marks `<!-- kind: name -->` where `write`."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in tables.items():
        print(f"\n{name}\n{table}")
        place = re.compile(rf"(<!-- {kind}: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page = place.sub(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", page)
    if write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    folders = [Path(a) for a in sys.argv[1:] if a != "--write"]
    main(folders[0], folders[1:], "--write" in sys.argv)
