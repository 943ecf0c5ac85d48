"""Match the rows of two runs by workload, exactly or with one or two fields that differ, in linear time.

A workload is what was computed and how, not where. A device counts by its kind, not by its number. Threads, allocator and
waiting belong to a CPU's workload only. A predicted device has the kind of the device that is predicted; predicted against
measured is a difference as that of threads is.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from operator import itemgetter
from typing import Any

from bench.analyse.runs.rows import Record, grouped
from bench.spec.columns import KEYS
from bench.spec.devices.device_names import is_cpu, is_predicted

Key = tuple[Hashable, ...]
Keys = Sequence[Key] | Mapping[int, Key]
Places = Sequence[int]

CPU_ONLY = ("threads", "allocator", "waiting")
LOOSE = tuple("threads allocator waiting batch mode layout dtype pass cudnn_benchmark experiment device".split())
"""Fields that may differ in the second pass, the likeliest first; of the device only predicted against measured.

The shape and the blocks always have to match.
"""
MOST_LOOSE = 2
_FIXED = tuple(k for k in KEYS if k not in LOOSE)


@dataclass(frozen=True, slots=True, order=True)
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
        pairs = _paired(left, right, range(len(a)), range(len(b)), how=product)
    else:
        whole = [[tuple(r[k] for k in KEYS) for r in rows] for rows in (a, b)]
        pairs = _paired(whole[0], whole[1], range(len(a)), range(len(b)))
        pairs += _paired(left, right, *_rest(pairs, range(len(a)), range(len(b))))
    loose = _loosely(left, right, *_rest(pairs, range(len(a)), range(len(b))))
    only_a, only_b = _rest([*pairs, *loose], range(len(a)), range(len(b)))
    if across:
        pairs, loose = ([_named(p, a, b) for p in some] for some in (pairs, loose))
    return Matching(tuple(sorted(pairs)), tuple(sorted(loose)), tuple(only_a), tuple(only_b), across)


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
    left: Keys, right: Keys, of_a: Places, of_b: Places, differs: tuple[str, ...] = (), how: Any = zip
) -> list[Pair]:
    """Pair the rows of one key, the first with the first and so on, or each with all."""
    held_a, held_b = grouped(of_a, lambda i: left[i]), grouped(of_b, lambda j: right[j])
    return [Pair(i, j, differs) for key in held_a.keys() & held_b.keys() for i, j in how(held_a[key], held_b[key])]


def _rest(pairs: Sequence[Pair], of_a: Sequence[int], of_b: Sequence[int]) -> tuple[list[int], list[int]]:
    """The rows of each side that are in no pair, in their order."""
    used_a, used_b = {p.a for p in pairs}, {p.b for p in pairs}
    return [i for i in of_a if i not in used_a], [j for j in of_b if j not in used_b]


def _loosely(left: Sequence[Key], right: Sequence[Key], of_a: Sequence[int], of_b: Sequence[int]) -> list[Pair]:
    """Pair rows that differ in one field of LOOSE, then in two. Largest numbers first, so that `all` threads meet `all`."""
    shared = {left[i][-1] for i in of_a} & {right[j][-1] for j in of_b}
    near_a = sorted((i for i in of_a if left[i][-1] in shared), key=lambda i: _largest_first(left[i]))
    near_b = sorted((j for j in of_b if right[j][-1] in shared), key=lambda j: _largest_first(right[j]))
    every = [*(left[i] for i in near_a), *(right[j] for j in near_b)]
    varying = [place for place in range(len(LOOSE)) if len({key[place] for key in every}) > 1]
    pairs: list[Pair] = []
    for differs in (places for count in range(1, MOST_LOOSE + 1) for places in combinations(varying, count)):
        others = itemgetter(*(p for p in range(len(LOOSE) + 1) if p not in differs))
        alike = [{i: others(keys[i]) for i in rows} for keys, rows in ((left, near_a), (right, near_b))]
        pairs += _paired(alike[0], alike[1], near_a, near_b, tuple(LOOSE[p] for p in differs))
        near_a, near_b = _rest(pairs, near_a, near_b)
    return pairs


def _largest_first(key: Key) -> tuple[int, ...]:
    return tuple(-v if isinstance(v, int) else 0 for v in key[: len(LOOSE)])
