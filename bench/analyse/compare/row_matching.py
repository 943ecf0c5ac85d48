"""Match the rows of two runs by workload, exactly or with one or two fields that differ, in linear time.

A workload is what was computed and how, not where. A device counts by its kind, not by its number. Threads, allocator and
waiting belong to a CPU's workload only. A predicted device has the kind of the device that is predicted; predicted against
measured is a difference as that of threads is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from operator import itemgetter
from typing import Any

from bench.spec.columns import KEYS
from bench.spec.devices.device_names import is_cpu, is_predicted

Record = Mapping[str, Any]
Key = tuple[Hashable, ...]
Keys = Sequence[Key] | Mapping[int, Key]

CPU_ONLY = ("threads", "allocator", "waiting")
LOOSE = (
    "threads",
    "allocator",
    "waiting",
    "batch",
    "mode",
    "layout",
    "dtype",
    "pass",
    "cudnn_benchmark",
    "experiment",
    "device",
)
"""Fields that may differ in the second pass, the likeliest first; of the device only predicted against measured.

The shape and the blocks always have to match.
"""
MOST_LOOSE = 2
_FIXED = tuple(k for k in KEYS if k not in LOOSE)


@dataclass(frozen=True, slots=True)
class Pair:
    """The places of two matched rows, and the fields of the workload that differ."""

    a: int
    b: int
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Matching:
    """`pairs` are of one workload, `loose` differ in one or two fields of it, the other rows have no partner.

    `across`: the runs share no kind of device, so it need not match. `differs` of a pair then names the device if another
    field differs too, or if one row is predicted and the other measured.
    """

    pairs: tuple[Pair, ...]
    loose: tuple[Pair, ...]
    only_a: tuple[int, ...]
    only_b: tuple[int, ...]
    across: bool


def kind(device: object) -> str:
    """`cuda:1` -> `cuda`."""
    return str(device).partition(":")[0]


def stands_for(device: object) -> str:
    """The kind of device, predicted or measured: `sim:server_cpu` -> `cpu`, `sim:h100` -> `cuda`."""
    if not is_predicted(device):
        return kind(device)
    return "cpu" if is_cpu(device) else "cuda"


def match(a: Sequence[Record], b: Sequence[Record]) -> Matching:
    """Pair the rows of two runs: first by all KEYS, then by workload, then with one or two fields that differ.

    Each row is used once, except between runs without a common kind of device: there all rows of one workload are paired,
    such as each thread count of a CPU with the one row of a GPU.
    """
    across = bool(a and b) and {stands_for(r["device"]) for r in a}.isdisjoint(stands_for(r["device"]) for r in b)
    left, right = ([_workload(r, across) for r in rows] for rows in (a, b))
    if across:
        pairs, rest_a, rest_b = _all_pairs(left, right)
    else:
        whole = [[tuple(r[k] for k in KEYS) for r in rows] for rows in (a, b)]
        pairs, rest_a, rest_b = _paired(whole[0], whole[1], range(len(a)), range(len(b)))
        more, rest_a, rest_b = _paired(left, right, rest_a, rest_b)
        pairs += more
    loose, rest_a, rest_b = _loosely(left, right, rest_a, rest_b)
    if across:
        pairs, loose = ([_named(p, a, b) for p in some] for some in (pairs, loose))
    return Matching(
        tuple(sorted(pairs, key=lambda p: (p.a, p.b))),
        tuple(sorted(loose, key=lambda p: (p.a, p.b))),
        tuple(sorted(rest_a)),
        tuple(sorted(rest_b)),
        across,
    )


def _workload(row: Record, across: bool) -> Key:
    """What has to match: the fields of LOOSE, each in its place, then all others as one."""
    kind_ = stands_for(row["device"])
    blank = (*CPU_ONLY, "device") if across else () if kind_ == "cpu" else CPU_ONLY
    fields = {**row, "device": "predicted" if is_predicted(row["device"]) else "measured"}
    return (*(None if f in blank else fields[f] for f in LOOSE), (None if across else kind_, *(row[f] for f in _FIXED)))


def _named(pair: Pair, a: Sequence[Record], b: Sequence[Record]) -> Pair:
    """A pair across kinds of device with "device" in `differs` where Matching says so."""
    apart = pair.differs or is_predicted(a[pair.a]["device"]) != is_predicted(b[pair.b]["device"])
    return replace(pair, differs=(*pair.differs, "device")) if apart else pair


def _paired(
    left: Keys, right: Keys, of_a: Sequence[int], of_b: Sequence[int], differs: tuple[str, ...] = ()
) -> tuple[list[Pair], list[int], list[int]]:
    """Pair rows of one key in their order; returns the pairs and the rows of each side that are left, in their order."""
    held: dict[Key, list[int]] = {}
    for j in reversed(of_b):
        held.setdefault(right[j], []).append(j)
    pairs, rest = [], []
    for i in of_a:
        same = held.get(left[i])
        if same:
            pairs.append(Pair(i, same.pop(), differs))
        else:
            rest.append(i)
    left_over = {j for same in held.values() for j in same}
    return pairs, rest, [j for j in of_b if j in left_over]


def _all_pairs(left: Sequence[Key], right: Sequence[Key]) -> tuple[list[Pair], list[int], list[int]]:
    held: dict[Key, list[int]] = {}
    for j, key in enumerate(right):
        held.setdefault(key, []).append(j)
    known = set(left)
    return (
        [Pair(i, j) for i, key in enumerate(left) for j in held.get(key, ())],
        [i for i, key in enumerate(left) if key not in held],
        [j for j, key in enumerate(right) if key not in known],
    )


def _loosely(
    left: Sequence[Key], right: Sequence[Key], of_a: Sequence[int], of_b: Sequence[int]
) -> tuple[list[Pair], list[int], list[int]]:
    """Pair rows that differ in one field of LOOSE, then in two. Largest numbers first, so that `all` threads meet `all`."""
    shared = {left[i][-1] for i in of_a} & {right[j][-1] for j in of_b}
    near_a = sorted((i for i in of_a if left[i][-1] in shared), key=lambda i: _largest_first(left[i]))
    near_b = sorted((j for j in of_b if right[j][-1] in shared), key=lambda j: _largest_first(right[j]))
    held = {*near_a}, {*near_b}
    number = {key: i for i, key in enumerate(shared)}
    short = [
        {i: (*keys[i][:-1], number[keys[i][-1]]) for i in rows} for keys, rows in ((left, near_a), (right, near_b))
    ]
    pairs: list[Pair] = []
    for differs in _subsets(short[0], short[1]):
        if not (near_a and near_b):
            break
        others = itemgetter(*(p for p in range(len(LOOSE) + 1) if p not in differs))
        blank = [{i: others(keys[i]) for i in rows} for keys, rows in ((short[0], near_a), (short[1], near_b))]
        more, near_a, near_b = _paired(blank[0], blank[1], near_a, near_b, tuple(LOOSE[p] for p in differs))
        pairs += more
    still = {*near_a}, {*near_b}
    rest_a = [i for i in of_a if i not in held[0] or i in still[0]]
    return pairs, rest_a, [j for j in of_b if j not in held[1] or j in still[1]]


def _subsets(left: Mapping[int, Key], right: Mapping[int, Key]) -> Iterator[tuple[int, ...]]:
    """Places in LOOSE that may differ: one at a time, then two; only those that vary among these rows."""
    every = [*left.values(), *right.values()]
    varying = [place for place in range(len(LOOSE)) if len({key[place] for key in every}) > 1]
    for count in range(1, MOST_LOOSE + 1):
        yield from combinations(varying, count)


def _largest_first(key: Key) -> tuple[int, ...]:
    return tuple(-v if isinstance(v, int) else 0 for v in key[: len(LOOSE)])
