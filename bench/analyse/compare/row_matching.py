"""Match the rows of two runs by workload, exactly or with one or two fields that differ, column by column.

A workload is what was computed and how, not where. A device counts by its kind, not by its number. Threads, allocator and
waiting belong to a CPU's workload only. A predicted device has the kind of the device that is predicted; predicted against
measured is a difference as that of threads is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from bench.analyse.stats.estimators import Ints
from bench.spec.columns import KEYS
from bench.spec.devices.device_names import is_cpu, is_predicted

CPU_ONLY = ("threads", "allocator", "waiting")
LOOSE = tuple("threads allocator waiting batch mode layout dtype pass cudnn_benchmark experiment device".split())
"""Fields that may differ in the second pass, the likeliest first; of the device only predicted against measured.

The shape and the blocks always have to match.
"""
MOST_LOOSE = 2
_FIXED = tuple(k for k in KEYS if k not in LOOSE)


@dataclass(frozen=True, slots=True)
class Matching:
    """Places of matched rows: `a[i]` with `b[i]`, whose workloads differ in the fields `ways[way[i]]` (none in way 0).

    Rows of one workload come first, in A's order. `only_a` and `only_b` have no partner. `across`: the runs share no kind of
    device, so it need not match. A way then names the device if another field differs too, or if one row is predicted and
    the other measured.
    """

    a: Ints
    b: Ints
    way: Ints
    ways: tuple[tuple[str, ...], ...]
    only_a: Ints
    only_b: Ints
    across: bool


def kind(device: object) -> str:
    """`cuda:1` -> `cuda`."""
    return str(device).partition(":")[0]


def stands_for(device: object) -> str:
    """The kind of device, predicted or measured: `sim:server_cpu` -> `cpu`, `sim:h100` -> `cuda`."""
    if not is_predicted(device):
        return kind(device)
    return "cpu" if is_cpu(device) else "cuda"


def mapped(values: pd.Series, word: Callable[[object], object]) -> pd.Series:
    """`word` of each value, called once for each different one."""
    codes, different = pd.factorize(values)
    return pd.Series(np.array([*map(word, different), word(None)], dtype=object)[codes])


def numbers(*columns: pd.Series) -> Ints:
    """Equal numbers for equal values in all the columns, one after the other; -1 for a missing one."""
    known: dict[object, int] = {}
    found = []
    for column in columns:
        category = isinstance(column.dtype, pd.CategoricalDtype)
        codes, different = (column.cat.codes, column.cat.categories) if category else pd.factorize(column)
        found.append(
            np.array([*(known.setdefault(value, len(known)) for value in different), -1], dtype=np.int32)[codes]
        )
    return np.concatenate(found)


def combined(columns: Sequence[Ints]) -> Ints:
    """Equal numbers for rows that are equal in all columns."""
    ids, many = np.zeros(len(columns[0]), dtype=np.int64), 1  # ids lie below `many`
    for column in columns:
        wide = int(column.max(initial=0)) + 3
        if many > 2**62 // wide:
            ids, many = pd.factorize(ids)[0].astype(np.int64), len(ids)
        ids, many = ids * wide + column + 2, many * wide
    return pd.factorize(ids)[0].astype(np.int64)


def match(a: pd.DataFrame, b: pd.DataFrame) -> Matching:
    """Pair the rows of two runs: first by all KEYS, then by workload, then with one or two fields that differ.

    Each row is used once, except between runs without a common kind of device: there all rows of one workload are paired,
    such as each thread count of a CPU with the one row of a GPU.
    """
    sides = (np.arange(len(a)), np.arange(len(a), len(a) + len(b)))
    kinds = [mapped(rows["device"], stands_for) for rows in (a, b)]
    across = bool(len(a) and len(b)) and set(kinds[0].unique()).isdisjoint(kinds[1].unique())
    predicted = np.concatenate([mapped(rows["device"], is_predicted).to_numpy(dtype=bool) for rows in (a, b)])
    fields = {name: numbers(a[name], b[name]) for name in KEYS}
    whole = combined(list(fields.values()))
    of_cpu = np.concatenate([k.to_numpy() for k in kinds]) == "cpu" if not across else np.zeros(len(whole), dtype=bool)
    fields["device"] = np.zeros_like(whole) if across else predicted.astype(np.int64)
    for name in CPU_ONLY:
        fields[name] = np.where(of_cpu, fields[name], -2)
    fixed = combined([np.zeros_like(whole) if across else numbers(*kinds), *(fields[name] for name in _FIXED)])
    workload = combined([*(fields[name] for name in LOOSE), fixed])
    left, found = sides, []
    for ids in (workload,) if across else (whole, workload):
        found.append(_met(ids[left[0]], ids[left[1]], *left, every=across))
        left = _rest(left, found)
    pairs = np.concatenate(found)
    largest = [
        np.concatenate([rows[n].to_numpy(dtype=np.float64, na_value=0) for rows in (a, b)])
        for n in ("batch", "threads")
    ]
    largest[1] = np.where(of_cpu, largest[1], 0)
    loose, ways = _loosely(left, fields, fixed, largest)
    only_a, only_b = _rest(left, [part for part in loose if len(part)])
    way = np.concatenate([np.zeros(len(pairs), dtype=np.int64), *(np.full(len(p), i + 1) for i, p in enumerate(loose))])
    both = np.concatenate([pairs, *loose])
    if across:  # the device is named beside another field, or where one side is predicted
        ways = [("device",) if not w else (*w, "device") for w in [(), *ways]]
        unlike = predicted[both[:, 0]] != predicted[both[:, 1]]
        way, ways = np.where((way > 0) | unlike, way + 1, 0), ways
    order = np.lexsort((both[:, 1], both[:, 0], np.arange(len(both)) >= len(pairs)))
    a_at, b_at = both[order].T
    return Matching(a_at, b_at - len(a), way[order], ((), *ways), only_a, only_b - len(a), across)


def _met(ids_a: Ints, ids_b: Ints, of_a: Ints, of_b: Ints, every: bool = False) -> Ints:
    """The rows `of_a` and `of_b` with the same number, the first with the first and so on, or each with all."""
    left, right = (pd.DataFrame({"id": ids, "at": at}) for ids, at in ((ids_a, of_a), (ids_b, of_b)))
    on = ["id"]
    if not every:
        on = ["id", "nth"]
        for side in (left, right):
            side["nth"] = side.groupby("id", sort=False).cumcount()
    both = left.merge(right, on=on, suffixes=("_a", "_b"))
    return both[["at_a", "at_b"]].to_numpy(dtype=np.int64).reshape(-1, 2)


def _rest(sides: tuple[Ints, Ints], pairs: Sequence[Ints]) -> tuple[Ints, Ints]:
    """The rows of each side that are in no pair, in their order."""
    used = np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs])
    one, two = (side[~np.isin(side, used[:, i])] for i, side in enumerate(sides))
    return one, two


def _loosely(
    left: tuple[Ints, Ints], fields: dict[str, Ints], fixed: Ints, largest: Sequence[Ints]
) -> tuple[list[Ints], list[tuple[str, ...]]]:
    """Pair rows that differ in one field of LOOSE, then in two. Largest numbers first, so that `all` threads meet `all`."""
    shared = np.intersect1d(fixed[left[0]], fixed[left[1]])
    kept = (side[np.isin(fixed[side], shared)] for side in left)
    one, two = (side[np.lexsort([-values[side] for values in largest])] for side in kept)
    every = np.concatenate([one, two])
    varying = [name for name in LOOSE if len(every) and len(np.unique(fields[name][every])) > 1]
    pairs: list[Ints] = []
    ways: list[tuple[str, ...]] = []
    for differs in (names for count in range(1, MOST_LOOSE + 1) for names in combinations(varying, count)):
        if not (len(one) and len(two)):
            break
        near = np.concatenate([one, two])
        ids = combined([*(fields[name][near] for name in LOOSE if name not in differs), fixed[near]])
        pairs.append(_met(ids[: len(one)], ids[len(one) :], one, two))
        ways.append(differs)
        one, two = _rest((one, two), pairs[-1:])
    return pairs, ways
