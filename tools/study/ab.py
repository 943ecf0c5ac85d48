"""A/A runs of `bench ab`, quiet and beside other programs: how often its gate is wrong, and which changes it finds.

    python tools/study/ab.py collect results/study/ab RUN_FOLDER...
    python tools/study/ab.py judge results/study/ab

The name of a run's folder begins with quiet or busy. A planted change multiplies every time of side B.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
from scipy import stats

from bench.analyse.compare.ci_gate import gate
from bench.analyse.compare.compare import compare_sides
from bench.analyse.runs.run_folder import Run, read, read_tables, write_tables
from bench.spec.columns import SPEEDUP, TIME

CHANGES = (0.0, 0.03, 0.05, 0.1)
_TIMES = (*TIME, "time_min_s", "time_p10_s", "time_p90_s")


def collect(into: Path, folders: list[Path]) -> None:
    """Write the tables of all runs into one folder, beside those that it holds; a run's id becomes the name of its folder."""
    runs = [(folder.name, read(folder)) for folder in folders]
    held = [read_tables(into)] if (into / "pairs.csv").exists() else []
    frames = [pd.concat([*(getattr(run, table) for run in held), *(getattr(run, table).assign(run_id=name) for name, run in runs)]) for table in ("measurements", "pairs")]  # fmt: skip
    into.mkdir(parents=True, exist_ok=True)
    blank = {"samples": None, "opinions": None, "roofs": None}
    write_tables(replace(runs[0][1], measurements=frames[0], pairs=frames[1], **blank), into)


def planted(run: Run, slower: float) -> Run:
    """The run as if side B took longer by a share in every sample."""
    b = run.measurements["side"] == "b"
    times = run.measurements.assign(**{n: run.measurements[n].where(~b, run.measurements[n] * (1 + slower)) for n in _TIMES})  # fmt: skip
    pairs = run.pairs.assign(**{name: run.pairs[name] / (1 + slower) for name in SPEEDUP})
    texts = [" ".join(f"{i}:{float(v) / (1 + slower):.7g}" for i, v in (one.split(":") for one in text.split())) for text in pairs["speedup_by_process"]]  # fmt: skip
    return replace(run, measurements=times, pairs=pairs.assign(speedup_by_process=texts))


def judge(folder: Path) -> None:
    """Print, by neighbours and change, how many gates failed, passed and could not tell, with the exact 95 % interval."""
    every = read_tables(folder)
    runs = [
        replace(every, run_id=str(name), measurements=every.measurements[every.measurements["run_id"] == name].reset_index(drop=True), pairs=rows.reset_index(drop=True))
        for name, rows in every.pairs.groupby("run_id")
    ]  # fmt: skip
    print(
        f"{'B slower by':<12}{'neighbours':<12}{'runs':>5}{'failed':>8}{'passed':>8}{'untold':>8}   failed, 95 % interval"
    )
    for slower in CHANGES:
        for kind in ("quiet", "busy", ""):
            some = [run for run in runs if run.run_id.startswith(kind)]
            answers = Counter(gate([compare_sides(planted(run, slower))]).answer for run in some)
            if some:
                test = stats.binomtest(answers["failed"], len(some)).proportion_ci(0.95, method="exact")
                counts = "".join(f"{answers[word]:>8}" for word in ("failed", "passed", "can't tell"))
                print(f"{slower:<12.0%}{kind or 'all':<12}{len(some):>5}{counts}   {test.low:.0%} to {test.high:.0%}")


if __name__ == "__main__":
    what, where, *folders = sys.argv[1:]
    collect(Path(where), [Path(f) for f in folders]) if what == "collect" else judge(Path(where))
