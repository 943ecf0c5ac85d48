"""A fleet on paper: the planner's shards of a wide plan on up to 1,000 machines that fail, and what their merge takes.

`python -m tools.fleet.simulate` prints the tables of docs/FLEET.md. The merge is measured, of a committed run cut into shards.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.analyse.runs.rows import grouped
from bench.run.merge import merge
from bench.spec.config.config import check
from bench.spec.plan.durations import trial_seconds, unlimited_seconds
from bench.spec.plan.plan import Plan, make
from bench.spec.plan.shards import MOST_SHARDS, part_of, shards_of
from bench.spec.results_folder import read_plan

REFERENCE = Path(__file__).resolve().parents[2] / "results" / "reference" / "xeon-2-cores-speed-thinking"
FLEETS, RUNS = (1, 10, 100, 1000), 100  # machines; simulations with failures, whose means are printed
A_MACHINE = 4  # shards, as bench run --cluster leases them
HOURS_TO_FAILURE, LEASE_S = 24.0, 600.0  # of a machine on average; until its shard is leased again and it is replaced
WIDE = {
    "channels": [2 * i for i in range(1, 126)], "kernel": [3, 5], "size": [14, 28], "stride": [1, 2], "batch": [1, 16],
    "layout": ["contiguous", "channels_last"], "threads": [1, 8],
}  # fmt: skip
TIMING = {"processes_min": 6, "seconds": 0.3, "rounds_min": 3}  # of configs/speed_thinking.yaml


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds: from start to end, measured by all machines, and measured in vain; `failures` cost the latter."""

    span_s: float
    kept_s: float
    lost_s: float
    failures: int


def simulate(shards: Sequence[float], machines: int, mtbf_s: float = math.inf, lease_s: float = LEASE_S, seed: int = 1) -> Outcome:  # fmt: skip
    """Machines take shards from one queue, the longest first, until all are done.

    A machine fails after an exponential time with mean `mtbf_s`. What it has of its shard is lost. `lease_s` later the
    shard is in the queue again, at its head, and another machine in the failed one's place.
    """
    coin, queue, free = random.Random(seed), sorted(shards), machines
    now = kept = lost = 0.0
    failures, events = 0, list[tuple[float, int, float]]()  # when, +1 done or -1 back from a failure, the shard
    while queue or events:
        while queue and free:
            shard, free = queue.pop(), free - 1
            life = math.inf if math.isinf(mtbf_s) else coin.expovariate(1 / mtbf_s)
            dies = life < shard
            failures, lost = failures + dies, lost + (life if dies else 0.0)
            heapq.heappush(events, (now + (life + lease_s if dies else shard), -1 if dies else 1, shard))
        now, what, shard = heapq.heappop(events)
        free += 1
        kept += shard if what > 0 else 0.0
        queue += [shard] if what < 0 else []
    return Outcome(now, kept, lost, failures)


def wide_plan() -> Plan:
    """A sweep for eight cores, of 8,000 trials."""
    sweep = {"blocks": ["standard", "separable"], "axes": WIDE}
    return make(check({"name": "wide", "timing": TIMING, "experiments": {"sweep": sweep}}, "wide"), ["cpu"], 8)


def seconds_of(plan: Plan, count: int) -> list[float]:
    """The estimated seconds of each shard, with the starts of its workers."""
    owners = shards_of(plan, count)
    parts = grouped(plan.active, lambda t: owners[t.trial_id]).values()
    return [unlimited_seconds(replace(plan, trials=tuple(part)), plan.timing.processes_min) for part in parts]


def cut(run: Path, count: int, at: Path) -> list[Path]:
    """A whole run as so many shards, in folders below `at`."""
    plan, (first, *lines) = read_plan(run), (run / "journal.jsonl").read_text().splitlines()
    assert plan is not None
    begun = json.dumps({k: v for k, v in json.loads(first).items() if k != "sha256"})
    of = grouped(lines, lambda line: json.loads(line).get("trial_id"))
    folders = [at / str(n) for n in range(1, count + 1)]
    for n, folder in enumerate(folders, 1):
        part = part_of(plan, f"{n}/{count}")
        folder.mkdir(parents=True)
        for name in ("config.yaml", "environment.json"):
            shutil.copy(run / name, folder)
        (folder / "plan.json").write_text(json.dumps(part.to_dict()))
        mine = [line for t in part.active for line in of.get(t.trial_id, ())]
        (folder / "journal.jsonl").write_text("\n".join([begun, *mine]) + "\n")
        (folder / "DONE").touch()
    return folders


def merge_cost(few: int = 2, many: int = 64) -> tuple[float, float, float, float, float]:
    """Seconds and bytes of memory that a merge takes for a trial in a shard's plan, seconds for a byte of journals, and the bytes of both.

    By merging the reference run, cut into few shards and into many: only the plans are more.
    """
    took, peaks, trials = [], [], json.loads((REFERENCE / "plan.json").read_bytes())["trials"]
    with tempfile.TemporaryDirectory() as scratch:
        for count in (few, many):
            folders, each = cut(REFERENCE, count, Path(scratch) / str(count)), []
            for i in range(3):
                begun = time.process_time()
                merge(folders, Path(scratch) / f"out-{count}-{i}", ["bench", "merge"], partial=True)
                each.append(time.process_time() - begun)
            took.append(min(each))
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
        size, journals = (sum((f / name).stat().st_size for f in folders) for name in ("plan.json", "journal.jsonl"))
    more, measured = (many - few) * len(trials), sum(t["skip"] is None for t in trials)
    entry_s, memory = (took[1] - took[0]) / more, (peaks[1] - peaks[0]) / more
    byte_s = max(0.0, took[0] - few * len(trials) * entry_s) / journals
    return entry_s, memory, byte_s, size / many / len(trials), journals / measured


def main() -> None:
    """Print the tables."""
    plan, (entry_s, memory, byte_s, entry_size, trial_size) = wide_plan(), merge_cost()
    trials, each = len(plan.active), [trial_seconds(t, plan.timing) for t in plan.active]
    print(
        f"{trials:,} trials of {min(each):.0f} to {max(each):.0f} s; a machine fails every {HOURS_TO_FAILURE:.0f} hours"
    )
    print("machines  shards  of which starts   hours  with failures  failures  lost")
    for machines in FLEETS:
        count = min(A_MACHINE * machines, MOST_SHARDS)
        shards = seconds_of(plan, count)
        calm = simulate(shards, machines)
        rough = [simulate(shards, machines, HOURS_TO_FAILURE * 3600, seed=seed) for seed in range(RUNS)]
        hours, failures, lost = (sum(of) / RUNS for of in zip(*((o.span_s / 3600, o.failures, o.lost_s) for o in rough), strict=True))  # fmt: skip
        starts, in_vain = 1 - sum(each) / sum(shards), lost / (lost + calm.kept_s)
        told = f"{calm.span_s / 3600:6.3g}  {hours:13.3g}  {failures:8.2g}  {in_vain:4.1%}"
        print(f"{machines:8,}  {count:6,}  {starts:15.0%}  {told}")
    print(f"\nplans hold {entry_size / 1e3:.1f} KB a trial and shard, journals {trial_size / 1e3:.0f} KB a trial")
    print("shards  journals    plans  merge: seconds  memory")
    for count in (10, 100, MOST_SHARDS):
        entries, size = count * trials, trials * trial_size
        took = f"{entries * entry_s + size * byte_s:14,.0f}  {entries * memory / 1e9:3.1f} GB"
        print(f"{count:6,}  {size / 1e9:5.2f} GB  {entries * entry_size / 1e9:4.1f} GB  {took}")


if __name__ == "__main__":
    main()
