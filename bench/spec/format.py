"""How numbers, times, ratios, shares, counts, lists and columns of text are written, everywhere in the program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from bench.spec.interval import Interval

_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("ps", 1e-12))
_NOTHING = 1e-15  # s: less is what rounding left


def digits(value: float, most: int) -> str:
    """`most` significant digits without trailing zeros or exponent: 730, 0.99, 1010, 0.000012; also inf and nan."""
    return format(Decimal(f"{value:.{most}g}"), "f") if math.isfinite(value) else str(value)


def unit_of(seconds: float, most: int) -> tuple[str, float]:
    """The largest unit in which a time, rounded to `most` digits, is at least 1 (or ps), with its seconds."""
    rounded = abs(float(f"{seconds:.{most}g}"))
    return next((unit for unit in _UNITS if rounded >= unit[1]), _UNITS[-1])


def in_seconds(value: float, most: int = 6) -> str:
    """0.0000673 -> '67.3 us'; a time below 1 fs is '0 s'."""
    if abs(value) < _NOTHING:
        return "0 s"
    unit, size = unit_of(value, most)
    return f"{digits(value / size, most)} {unit}"


def with_prefix(value: float, most: int) -> str:
    """452160 -> '452 k', 3.66e6 -> '3.66 M', with at most `most` digits."""
    rounded = float(f"{value:.{most}g}")
    prefix, size = next((p for p in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)) if rounded >= p[1]), ("", 1.0))
    return f"{digits(value / size, most)} {prefix}".rstrip()


def in_bytes(size: int, unit: Literal["MiB", "GiB"]) -> str:
    """Bytes in binary units with three digits: '3.5 GiB'."""
    return f"{digits(size / {'MiB': 1 << 20, 'GiB': 1 << 30}[unit], 3)} {unit}"


def cost_in_seconds(value: float) -> str:
    """2.1e-05 -> '21 us', with two digits or three; a cost below 10 ps is 'nothing'."""
    if value < 1e-11:
        return "nothing"
    return in_seconds(value, 2 if value < 10 * unit_of(value, 2)[1] else 3)


def listed(names: Sequence[str], last: str = "and") -> str:
    """`MACs`, `MACs and layers`, `MACs, activations and layers`; with another word before the `last`."""
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Rows of cells as lines of equal columns, the first `left` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [
        [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        for row in rows
    ]
    return ["  ".join(row) for row in cells]


def capital(text: str) -> str:
    """The text with a capital at its start, unless it begins with a name as of mobilenet_v1."""
    return text if "_" in text.split(" ", 1)[0] else text[0].upper() + text[1:]


def times(ratio: float, half_width: float = 0.05, lines: Sequence[float] = ()) -> str:
    """A ratio with the digits that its half-width (ln) justifies: 4.1x, 0.85x, 12x; `lines`: see `apart`."""
    return f"{marked(ratio, lines, apart((ratio,), lines, _decimals(ratio, half_width)))}x"


def _decimals(ratio: float, half_width: float) -> int:
    """Enough decimals for the first digit of the interval's half-width, at most two, or three below 0.1."""
    spread = ratio * min(half_width, 0.3) if 0 < half_width < math.inf else ratio * 0.05
    return min(2 if ratio >= 0.1 else 3, max(0, -math.floor(math.log10(spread))))


def interval(log: Interval) -> str:
    """exp of a log interval: `4.1x [3.8, 4.4]`, or the value alone where there is no interval; 1x is its line."""
    if not math.isfinite(log.half_width):
        return times(math.exp(log.mean), lines=(1.0,))
    return spanned(math.exp(log.mean), math.exp(log.low), math.exp(log.high), log.half_width, (1.0,))


def spanned(ratio: float, low: float, high: float, half_width: float, lines: Sequence[float] = ()) -> str:
    """`4.1x [3.8, 4.4]`, or near a line of `lines` `2.8x [2.6, <3.0]`; all three have the same decimals."""
    d = apart((ratio, low, high), lines, _decimals(ratio, half_width))
    value, least, most = (marked(x, lines, d) for x in (ratio, low, high))
    return f"{value}x [{least}, {most}]"


def apart(values: Sequence[float], lines: Sequence[float], decimals: int) -> int:
    """The decimals for values near `lines`, the thresholds that an answer depends on: 2.96 must not read 3.0 beside 3.

    One more than `decimals` where fewer values then read like a line that they differ from, or where the line needs
    more; as many as keep a value from reading like two lines.
    """

    def hidden(d: int) -> list[float]:
        return [t for v in values for t in lines if _hidden(v, t, d)]

    while any(sum(_hidden(v, t, decimals) for t in lines) > 1 for v in values):
        decimals += 1
    now = hidden(decimals)
    more = len(hidden(decimals + 1)) < len(now) or not all(_round(t, decimals) for t in now)
    return decimals + more


def marked(value: float, lines: Sequence[float], decimals: int, sign: str = "") -> str:
    """A value at the decimals of `apart`, on its side of each line: `2.96`, or `<3.0` where it would read 3.0.

    Near a line that needs more decimals it is rounded away from it: 1.0305 beside 1.03045 to 1.031. `sign`: as in a
    format.
    """
    line = next((t for t in lines if _hidden(value, t, decimals)), None)
    if line is None:
        return f"{value:{sign}.{decimals}f}"
    if not _round(line, decimals):
        away = math.floor if value < line else math.ceil
        return f"{away(value * 10**decimals) / 10**decimals:{sign}.{decimals}f}"
    return f"{'<' if value < line else '>'}{line:{sign if line else ''}.{decimals}f}"


def _round(line: float, decimals: int) -> bool:
    """Whether `decimals` are enough to write a line."""
    return math.isclose(float(f"{line:.{decimals}f}"), line, rel_tol=1e-9, abs_tol=1e-9)


def _hidden(value: float, line: float, decimals: int) -> bool:
    """Whether a value reads like a line that it differs from, by more than 1e-9 of it."""
    if not math.isfinite(value) or math.isclose(value, line, rel_tol=1e-9, abs_tol=1e-9):
        return False
    return float(f"{value:.{decimals}f}") == float(f"{line:.{decimals}f}")


def plus_minus(value: Interval) -> str:
    """`0.95 ±0.16`, with three decimals where the half-width needs them; the value alone where there is no interval."""
    if not value.half_width <= 1e6:
        return f"{value.mean:.2f}"
    d = 2 if value.half_width >= 0.01 else 3
    return f"{value.mean:.{d}f} ±{value.half_width:.{d}f}"


def p_words(p: float | None) -> str:
    """0.0004 -> '<0.001'; two digits, or near 0.05 up to four, and '<0.050' or '>0.050' where those are not enough."""
    if p is None or p < 0.001:
        return "" if p is None else "<0.001"
    short = f"{p:.2g}" if p < 0.995 else "1"
    if float(short) != 0.05 or math.isclose(p, 0.05):
        return short
    return marked(p, (0.05,), apart((p,), (0.05,), 3))


def rough(ratio: float) -> str:
    """A ratio at two digits, as an end of a range: 0.4x, 13x, 120x; with more beside 1x, by `apart` and `marked`."""
    words = f"{digits(ratio, 2)}x" if ratio < 10 else f"{ratio:.0f}x"
    return times(ratio, lines=(1.0,)) if words == "1x" and ratio != 1 else words


def percent(value: float, lines: Sequence[float] = ()) -> str:
    """0.021 -> '2.1 %', 0.18 -> '18 %'; beside a line by `apart` and `marked`: 0.998 beside 1 -> '99.8 %'."""
    words = f"{value * 100:.1f} %" if value < 0.0995 and round(value * 100, 1) % 1 else f"{value * 100:.0f} %"
    if words not in [percent(line) for line in lines]:
        return words
    hundredths = [100 * line for line in lines]
    return f"{marked(100 * value, hundredths, apart((100 * value,), hundredths, 0))} %"


def change(log_difference: float) -> str:
    """0.07 -> '7 % higher'."""
    return f"{abs(math.expm1(log_difference)) * 100:.0f} % {'higher' if log_difference > 0 else 'lower'}"


def share(value: float) -> str:
    """0.473 -> '47 %'."""
    return f"{value * 100:.0f} %"


def letters(count: int) -> list[str]:
    """Names of several runs: A to Z, then R27 and so on."""
    return [chr(65 + i) if i < 26 else f"R{i + 1}" for i in range(count)]


def plural(count: int, noun: str, nouns: str = "") -> str:
    """1, 'shape' -> '1 shape'; 1500, 'shape' -> '1,500 shapes'; `nouns`: a plural that needs more than an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def size_word(height: int, width: int) -> str:
    """`56 px`, `56 x 48 px`."""
    return f"{height} px" if height == width else f"{height} x {width} px"


def duration(seconds: float) -> str:
    """95 -> '1 min 35 s'."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
