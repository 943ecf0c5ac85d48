"""What titles of pictures say of rows that differ in how they were run: each way by itself, or from the least to the most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bench.analyse.runs.facts import FEWER_MACS, tally
from bench.analyse.runs.rows import Record
from bench.show.text.ways import ways
from bench.spec.columns import TOLD
from bench.spec.devices.device_names import in_words, is_predicted
from bench.spec.format import capital, digits, listed, percent, share, times

MOST_NAMED = 3  # ways to run a block that a title names one by one
MOST_BLOCKS = 4
LEAST = 0.001  # a share that is written out
ALONE = ", with one process each and so no interval"
MOST_DELIVERING = 2  # devices of which a title says the share of the promise, and each way to run the block


def _give_or_take(rows: Sequence[Record]) -> str:
    """What a range of values leaves unsaid, all of which were predicted; nothing where some were measured."""
    if not rows or not all(is_predicted(r["device"]) for r in rows):
        return ""
    factors = sorted({f"{math.exp(r['precision']):.2g}" for r in rows if r.get("precision")}, key=float)
    ends = factors if len(factors) < 2 else [factors[0], factors[-1]]
    besides = " and what a slower host would change" if len(ends) > 1 else ""
    of = f", a factor of {' to '.join(ends)} either way" if ends else ""
    return f", within the model's error{besides}{of}"


def verb(rows: Sequence[Record]) -> str:
    """`would be` of one device's predicted rows, `reads` where one process measured each, so that none has an interval, else `is`."""
    return "would be" if is_predicted(rows[0]["device"]) else "reads" if _reads(rows) else "is"


def doubt(rows: Sequence[Record]) -> str:
    """What goes after a range of speedups: that one process measured each, or the model's error of what was predicted."""
    return ALONE if rows and _reads(rows) else _give_or_take(rows)


def _reads(rows: Sequence[Record]) -> bool:
    return all(r["speedup_ci_low"] is None for r in rows)


def joined(
    said: Sequence[str],
    rows: Sequence[Sequence[Record]],
    unsure: Callable[[Sequence[Record]], str] = doubt,
    between: str = "; ",
) -> str:
    """What was said of each group of rows, each with its doubt, or with that of all at once where all share it."""
    whole = unsure([r for some in rows for r in some])
    return between.join(text + ("" if whole else unsure(some)) for text, some in zip(said, rows, strict=True)) + whole


def of_runs(counts: Mapping[str, int]) -> str:
    """`run A's 12 rows and run B's 1 row`, of how many of each run's rows are meant."""
    return listed([f"run {letter}'s {n} row{'s' if n != 1 else ''}" for letter, n in counts.items()])


def speedup(rows: Sequence[Record]) -> str:
    """From which to which speedup the cells of each block range on each device, and at how many channels those are."""
    return _as_fast(rows, _ends)


def devices(rows: Sequence[Record]) -> str:
    """The geometric mean of each block's speedups on each device, from the least to the most of the ways to run it."""
    said = _as_fast(rows, lambda some: _range(_means(some), _against_1))
    cells = {
        d: {(r["c_in"], r["c_out"], r["kernel"], r["block"]) for r in mine} for d, mine in _by(rows, "device").items()
    }
    own = ", each over its own cells" if len({frozenset(c) for c in cells.values()}) > 1 else ""
    return f"By geometric mean {said[0].lower()}{said[1:]}{own}"


def _means(rows: Sequence[Record]) -> list[float]:
    """The geometric mean speedup of each way to run a block."""
    groups: dict[str, list[Record]] = {}
    for words, r in zip(ways(rows), rows, strict=True):
        groups.setdefault(words, []).append(r)
    return [math.exp(tally(some, words).mean.mean) for words, some in groups.items()]


def _as_fast(rows: Sequence[Record], word: Callable[[Sequence[Record]], str]) -> str:
    """`On cpu separable is 0.4x to 13x as fast as standard; on cuda:0 0.5x to 1.4x`, the numbers by `word` of a block's rows."""
    told = [r for r in rows if r["status"] in TOLD and r["speedup"] is not None]
    by_device, baselines = _by(told, "device"), {str(r["baseline"]) for r in told}
    rival = baselines.pop() if len(baselines) == 1 else "their baselines"
    words: list[str] = []
    before = ""
    for device, mine in by_device.items():
        blocks = list(_by(mine, "block").items())[:MOST_BLOCKS]
        named = [f"{block} {word(some)}" if i else f"{block} {verb(mine)} {word(some)}" for i, (block, some) in enumerate(blocks)]  # fmt: skip
        again = len(blocks) == 1 and verb(mine) == before == "is"
        before = verb(mine)
        said = word(blocks[0][1]) if again else ", ".join(named)
        words.append(f"{_at(device, len(by_device))}{said}{'' if words else f' as fast as {rival}'}")
    return capital(joined(words, list(by_device.values()))) if words else "Nothing was measured"


def _ends(rows: Sequence[Record]) -> str:
    """`0.4x (16 channels) to 13x (256)`; the channels go unsaid where both have the same."""
    ends = [pick(rows, key=lambda r: float(r["speedup"])) for pick in (min, max)]
    low, high = (_against_1(r["speedup"]) for r in ends)
    if low == high:
        return low
    at = [str(r["c_in"]) if r["c_in"] == r["c_out"] else f"{r['c_in']}→{r['c_out']}" for r in ends]
    return f"{low} to {high}" if at[0] == at[1] else f"{low} ({at[0]} channels) to {high} ({at[1]})"


def _against_1(ratio: float) -> str:
    """At two digits, and more where those would read as 1x."""
    return times(ratio, lines=(1.0,)) if _rough(ratio) == "1x" else _rough(ratio)


def delivery(rows: Sequence[Record]) -> str:
    """From which to which share of the MAC ratio each block achieves over its cells."""
    told = [r for r in rows if r["status"] in TOLD and r["delivered_share"] is not None and r["mac_ratio"] > FEWER_MACS]
    if not told:
        return "No block has fewer MACs than its baseline"
    blocks = _by(told, "block")
    what = next(iter(blocks)) if len(blocks) == 1 else f"{len(blocks)} blocks"
    would = "would achieve" if verb(told) == "would be" else "achieves" if len(blocks) == 1 else "achieve"
    devices = {str(r["device"]) for r in told}
    where = _at(next(iter(devices)), 1) if len(devices) == 1 else "predicted: " if verb(told) == "would be" else ""
    return capital(
        f"{where}{what} {would} {_range([float(r['delivered_share']) for r in told], share)} of the MAC ratio"
    )


def throughput(rows: Sequence[Record], blocks: Sequence[str]) -> str:
    """How much longer than the first block's a multiplication of each other block takes, cell by cell, on each device."""
    base, *others = blocks
    devices = _by(rows, "device")
    words, of = [], []
    if not others:
        for device, mine in devices.items():
            reached = [float(r["achieved_flop_per_s"]) / 1e9 for r in mine]
            reaches = "would reach" if is_predicted(device) else "reaches"
            words.append(
                f"{_at(device, len(devices))}{base} {reaches} {_range(reached, lambda v: digits(v, 3))} GFLOP/s"
            )
        return capital("; ".join(words))
    for device, mine in devices.items():
        rate = {(r["trial_id"], r["block"]): float(r["achieved_flop_per_s"]) for r in mine}
        slower = {b: [rate[t, base] / v for (t, c), v in rate.items() if c == b and (t, base) in rate] for b in others}
        told = [f"{b} {_range(ratios, _rough)}" for b, ratios in slower.items() if ratios]
        takes = "would take" if is_predicted(device) else "takes"
        if told:
            words.append(f"{_at(device, len(devices))}a multiplication {takes} {', '.join(told[:MOST_BLOCKS])} as long as {base}, cell by cell")  # fmt: skip
            of.append(mine)
    return capital(joined(words, of, _give_or_take)) if words else f"No cell of {base} stands beside another block's"


def roofline(rows: Sequence[Record]) -> str:
    """From which to which share of its roof each block comes on each device; networks are told as one."""
    devices = _by(rows, "device")
    words = []
    for device, mine in devices.items():
        named: dict[str, list[Record]] = {}
        for r in mine:
            named.setdefault(str(r["block"]) if r["kernel"] is not None else "networks", []).append(r)
        roofs = {name: Counter(str(r["roof"]) for r in some).most_common(1)[0][0] for name, some in named.items()}
        one = len(set(roofs.values())) == 1
        said: list[str] = []
        for name, some in list(named.items())[:MOST_BLOCKS]:
            verb = "" if said else " reach" if name == "networks" else " reaches"
            its = "their" if name == "networks" else "its"
            of = f" of {its} {roofs[name]} roof" if not one or not said else ""
            said.append(f"{name}{verb} {_range([float(r['attainable_share']) for r in some], _part)}{of}")
        words.append((f"on {device} " if len(devices) > 1 else "") + ", ".join(said))
    return capital("; ".join(words))


def _at(device: str, devices: int) -> str:
    """`on cuda:0 ` where there are several; a predicted device is always named."""
    return f"on {in_words(device)} " if devices > 1 or is_predicted(device) else ""


def _by(rows: Sequence[Record], name: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for r in rows:
        groups.setdefault(str(r[name]), []).append(r)
    return groups


def _range(values: Sequence[float], word: Callable[[float], str]) -> str:
    low, high = word(min(values)), word(max(values))
    return low if low == high else f"{low} to {high}"


def _part(value: float) -> str:
    return percent(value) if value >= LEAST else f"under {percent(LEAST)}"


def _rough(ratio: float) -> str:
    """At two digits: an end of a range over many cells."""
    return f"{digits(ratio, 2)}x" if ratio < 10 else f"{ratio:.0f}x"
