"""What titles of pictures say of rows that differ in how they were run: each way by itself, or from the least to the most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.analyse.runs.facts import Tally, promises, tally
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


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of a block that were run alike."""

    words: str
    tally: Tally


def finding(rows: Sequence[Record]) -> str:
    """Where each block won on each device, and what share of a lone block's promise arrived, of rows of pairs.csv."""
    parts = {d: blocks for d, mine in _by(rows, "device").items() if (blocks := _blocks(mine))}
    if not parts:
        return "Nothing was measured"
    said: list[str] = []
    before: tuple[list[str], str] | None = None
    for d, blocks in parts.items():
        beginning = (list(blocks), _verb(next(iter(blocks.values())), is_predicted(d)))
        said.append(_at(d, len(parts)) + _finding(blocks, len(parts), is_predicted(d), beginning == before))
        before = beginning
    return capital("; ".join(said))


def _finding(blocks: dict[str, list[_Part]], devices: int, predicted: bool, again: bool) -> str:
    """`again`: the device before had the same blocks and verb, so that both go unsaid of a lone block."""
    words: list[str] = []
    again = again and len(blocks) == 1
    for block, parts in blocks.items():
        reads = _bare(parts)
        named = "" if again else f"{block} " if words else f"{block} {_verb(parts, predicted)} "
        words.append(f"{named}in {_counts(parts, reads, not words, devices > MOST_DELIVERING)}")
        words[-1] += "" if reads else _others(parts)
        if len(blocks) == 1 and reads:
            words[0] += ALONE
    commas = any(len(parts) > 1 for parts in blocks.values()) or any(", " in w for w in words)
    text = ("; " if commas else ", ").join(words)
    parts = next(iter(blocks.values()))
    if len(blocks) == 1 and devices <= MOST_DELIVERING and promises(_largest(parts)):
        arrived = _spread(_main(parts), lambda p: _delivered(p.tally), lambda p: p.tally.delivered, _alike(parts))
        alone = "; it would deliver" if predicted else "; it delivers"
        among = ", and would deliver" if predicted else ", delivering"
        text += f"{alone if devices == 1 else among} {arrived} of {'it' if again else 'the promised ratio'}"
    return text


def _verb(parts: Sequence[_Part], predicted: bool) -> str:
    return "would be faster" if predicted else "reads faster" if _bare(parts) else "is faster"


def _bare(parts: Sequence[_Part]) -> bool:
    """Whether one process each measured all cells, so that none has an interval."""
    return all(p.tally.unsure == p.tally.measured for p in parts)


def _others(parts: Sequence[_Part]) -> str:
    """In how many cells the block is slower, unless it is faster in all, and how many the model's error leaves undecided."""
    total = sum(p.tally.measured for p in parts)

    def counted(each: Sequence[int]) -> str:
        if len(parts) == 1 or _alike(parts) or not any(each):
            return str(sum(each) or "none")
        alike = len({(p.tally.measured, n) for p, n in zip(parts, each, strict=True)}) == 1
        return f"{each[0]} each" if alike else f"{sum(each)} of all {total}"

    lost, left = [p.tally.slower for p in parts], [p.tally.undecided * p.tally.predicted for p in parts]
    slower = f", slower in {counted(lost)}" if sum(p.tally.faster for p in parts) < total else ""
    return slower + (f", undecided within the model's error in {counted(left)}" if any(left) else "")


def _delivered(t: Tally) -> str:
    """The share of the promise that arrived; of what was predicted with the model's error."""
    if not t.predicted or not math.isfinite(t.mean.half_width):
        return share(t.delivered)
    low, high = (math.exp(end) / t.promised for end in (t.mean.low, t.mean.high))
    return f"{share(t.delivered)} [{low * 100:.0f}, {high * 100:.0f}]"


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
    said = _as_fast(rows, lambda some: _range([math.exp(p.tally.mean.mean) for p in _main(_parts(some))], _against_1))
    cells = {
        d: {(r["c_in"], r["c_out"], r["kernel"], r["block"]) for r in mine} for d, mine in _by(rows, "device").items()
    }
    own = ", each over its own cells" if len({frozenset(c) for c in cells.values()}) > 1 else ""
    return f"By geometric mean {said[0].lower()}{said[1:]}{own}"


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
    """What share of each block's promise arrived on each device, and from which to which share single cells range."""
    devices = _by([r for r in rows if r["status"] in TOLD and r["speedup"] is not None], "device")
    words, of = [], []
    for device, mine in devices.items():
        for block, parts in _blocks(mine).items():
            if not promises(_largest(parts)):
                continue
            arrived = _spread(_main(parts), lambda p: _delivered(p.tally), lambda p: p.tally.delivered)
            promised = {times(p.tally.promised) for p in _main(parts)}
            what = f"the promised {promised.pop()}" if len(promised) == 1 else "what was promised"
            cells = [
                float(r["delivered_share"]) for r in mine if r["block"] == block and r["delivered_share"] is not None
            ]
            single = f" (single cells {_range(cells, share)})" if len(cells) > 1 else ""
            delivers = "would deliver" if is_predicted(device) else "delivers"
            words.append(f"{_at(device, len(devices))}{block} {delivers} {arrived} of {what}{single}")
            of.append([r for r in mine if r["block"] == block])
    return (
        capital(joined(words, of, lambda some: ALONE if _reads(some) else ""))
        if words
        else "No block promises fewer multiplications than its baseline"
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


def _blocks(rows: Sequence[Record]) -> dict[str, list[_Part]]:
    """Of each block with measured or predicted rows on this device, those that were run alike together."""
    measured = [r for r in rows if r["status"] in TOLD and r["speedup"] is not None]
    return {block: _parts(mine) for block, mine in _by(measured, "block").items()}


def _parts(rows: Sequence[Record]) -> list[_Part]:
    groups: dict[str, list[Record]] = {}
    for words, r in zip(ways(rows), rows, strict=True):
        groups.setdefault(words, []).append(r)
    return [_Part(words, tally(some, words)) for words, some in groups.items()]


def _largest(parts: Sequence[_Part]) -> Tally:
    return max((p.tally for p in parts), key=lambda t: t.measured)


def _main(parts: Sequence[_Part]) -> list[_Part]:
    """What a title speaks of: the parts with at least half as many cells as the largest."""
    return [p for p in parts if 2 * p.tally.measured >= _largest(parts).measured]


def _won(part: _Part, reads: bool = False) -> int:
    return part.tally.read_faster if reads else part.tally.faster


def _alike(parts: Sequence[_Part], reads: bool = False) -> bool:
    """Whether the block wins every cell or none, so that to count all parts as one hides nothing."""
    return sum(_won(p, reads) for p in parts) in (0, sum(p.tally.measured for p in parts))


def _counts(parts: Sequence[_Part], reads: bool, first: bool, brief: bool = False) -> str:
    """`9 of 12 cells (1 thread) and 7 of 12 (2 threads), and in 8 of 8 others`; `brief`, `7 of 12 to 9 of 12 cells`."""
    total, won = sum(p.tally.measured for p in parts), sum(_won(p, reads) for p in parts)
    cells = f" cell{'s' if total != 1 else ''}" if first else ""
    if len(parts) == 1 or _alike(parts, reads):
        return f"{won} of {total}{cells}"
    main = _main(parts)
    if brief:
        counted = [(_won(p, reads) / p.tally.measured, f"{_won(p, reads)} of {p.tally.measured}") for p in main]
        least, most = min(counted)[1], max(counted)[1]
        return f"{least}{'' if least == most else f' to {most}'}{cells}{' each' if least == most and len(main) > 1 else ''}"
    said = _spread(main, lambda p: f"{_won(p, reads)} of {p.tally.measured}", lambda p: _won(p, reads) / p.tally.measured, unit=cells)  # fmt: skip
    rest = [p for p in parts if p not in main]
    others = f", and in {sum(_won(p, reads) for p in rest)} of {sum(p.tally.measured for p in rest)} others"
    return said + (others if rest else "")


def _spread(parts: Sequence[_Part], word: Callable[[_Part], str], value: Callable[[_Part], float], named: bool = True, unit: str = "") -> str:  # fmt: skip
    """Each part's word and how it was run; of more than MOST_NAMED parts the least and the most; once where all are alike."""
    several = len(parts) > MOST_NAMED
    some = [min(parts, key=value), max(parts, key=value)] if several else list(parts)
    told = [word(p) for p in some]
    if len(set(told)) == 1 < len(parts):
        all_of = f"in each of {len(parts)} ways to run it" if several else f"each ({listed([p.words for p in parts])})"
        return f"{told[0]}{unit} {all_of}" if unit else told[0]
    told[0] += unit
    if named:
        told = [f"{text} ({p.words})" if p.words else text for text, p in zip(told, some, strict=True)]
    return " to ".join(told) if several else listed(told)


def _range(values: Sequence[float], word: Callable[[float], str]) -> str:
    low, high = word(min(values)), word(max(values))
    return low if low == high else f"{low} to {high}"


def _part(value: float) -> str:
    return percent(value) if value >= LEAST else f"under {percent(LEAST)}"


def _rough(ratio: float) -> str:
    """At two digits: an end of a range over many cells."""
    return f"{digits(ratio, 2)}x" if ratio < 10 else f"{ratio:.0f}x"
