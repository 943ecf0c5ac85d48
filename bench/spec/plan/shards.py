"""`bench run --shard 2/8`: the trials of a plan that one of several machines or jobs measures, and the whole plan again."""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Mapping
from dataclasses import replace

from bench.spec.errors import UserError
from bench.spec.format import listed, plural
from bench.spec.plan.durations import trial_seconds
from bench.spec.plan.plan import ELSEWHERE, Plan

MOST_SHARDS = 1000
NOT_HERE, NOT_FINISHED = "which is not here", "which had not finished it"
ON_ANOTHER = "which another machine measured"


def part_of(plan: Plan, text: str) -> Plan:
    """The part of a whole plan that `--shard TEXT` names: the trials of other parts are skipped, with their shard.

    UserError for a text that is not from 1/n to n/n, and for more shards than active trials.
    """
    place, match = f"--shard {text}", re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None:
        raise UserError(place, "it is not a number and a count", "Write 2/8 for the second of eight shards.")
    number, count = int(match[1]), int(match[2])
    if not 1 <= number <= count <= MOST_SHARDS:
        rule = f"shards are numbered from 1/n to n/n, n up to {MOST_SHARDS}"
        raise UserError(place, rule, f"Write 1/{count or 1}; on a Slurm array: sbatch --array=1-{count or 1}.")
    if count > len(plan.active):
        rule = f"there are only {plural(len(plan.active), 'trial')} to measure"
        raise UserError(place, rule, f"Use at most {plural(len(plan.active), 'shard')}.")
    owners = shards_of(plan, count)
    trials = (
        t if owners.get(t.trial_id, number) == number else replace(t, skip=_elsewhere(owners[t.trial_id], count, NOT_HERE))
        for t in plan.trials
    )  # fmt: skip
    return replace(plan, trials=tuple(trials), shard=(number, count))


def shards_of(plan: Plan, count: int) -> dict[str, int]:
    """The number of the shard, from 1, of each active trial by its trial_id.

    The longest trial first, each goes to the shard with the fewest estimated seconds so far. So the shards' seconds differ
    by at most those of the longest trial.
    """
    loads, owners = [(0.0, number) for number in range(1, count + 1)], {}
    timed = [(-trial_seconds(t, plan.timing), t.trial_id) for t in plan.active]
    for seconds, trial_id in sorted(timed):
        load, number = loads[0]
        heapq.heapreplace(loads, (load - seconds, number))
        owners[trial_id] = number
    return owners


def whole_of(parts: Mapping[int, Plan], unfinished: Mapping[int, Collection[str]]) -> Plan:
    """The whole plan of its parts, by their numbers. Trials of parts that are not there stay skipped.

    `unfinished`: the trial_ids that a part had not finished, which are skipped too. UserError for parts of different
    plans, and for a trial that several parts hold.
    """
    first = next(iter(parts.values()))
    count = first.shard[1] if first.shard else 0
    for number, part in parts.items():
        if not _of_one_plan(part, first):
            rule = f"its plan has other trials than shard {next(iter(parts))}/{count}"
            remedy = "Merge shards of one config; write threads as numbers, not as all, if machines have other cores."
            raise UserError(f"shard {number}/{count}", rule, remedy)
    absent = {_elsewhere(number, count, NOT_HERE) for number in range(1, count + 1) if number not in parts}
    trials = []
    for same in zip(*(part.trials for part in parts.values()), strict=True):
        by_shard = dict(zip(parts, same, strict=True))
        owners = [n for n, t in by_shard.items() if not (t.skip or "").startswith(ELSEWHERE)]
        reasons = {by_shard[n].skip for n in by_shard.keys() - owners}
        expected = absent if not owners else {_elsewhere(owners[0], count, NOT_HERE)}
        by_none = not reasons and None not in {t.skip for t in same} and len({t.skip for t in same}) == 1
        if not by_none and (len(owners) > 1 or len(reasons) > 1 or not reasons <= expected):
            holders = listed([f"{n}/{count}" for n in owners]) or "no shard that is here"
            rule = f"it should be a trial of one shard, and is one of {holders}"
            raise UserError(same[0].trial_id, rule, "Measure the shards of one plan, and change none of their files.")
        trial = by_shard[owners[0]] if owners else same[0]
        lacking = owners and trial.skip is None and trial.trial_id in unfinished.get(owners[0], ())
        trials.append(replace(trial, skip=_elsewhere(owners[0], count, NOT_FINISHED)) if lacking else trial)
    return replace(first, trials=tuple(trials), shard=None)


def of_machine(whole: Plan, parts: Mapping[int, Plan], numbers: Collection[int]) -> Plan:
    """The whole plan of all `parts` for the machine that measured those of these numbers; it skips the others' trials."""
    owners = {t.trial_id: (n, part.shard[1]) for n, part in parts.items() if part.shard for t in part.active}
    others = {i: _elsewhere(*owner, ON_ANOTHER) for i, owner in owners.items() if owner[0] not in numbers}
    return replace(whole, trials=tuple(replace(t, skip=t.skip or others.get(t.trial_id)) for t in whole.trials))


def _elsewhere(number: int, count: int, why: str) -> str:
    return f"{ELSEWHERE}{number}/{count}, {why}"


def _of_one_plan(a: Plan, b: Plan) -> bool:
    """Whether nothing differs but what is skipped."""
    trials = len(a.trials) == len(b.trials) and all(
        s is t or replace(s, skip=t.skip) == t for s, t in zip(a.trials, b.trials, strict=True)
    )
    return trials and replace(a, trials=(), shard=None) == replace(b, trials=(), shard=None)
