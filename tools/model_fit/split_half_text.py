"""Print a split-half check for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.show.text.terminal import print_lines, print_table
from tools.model_fit.cross_validation import Spread
from tools.model_fit.split_half import HALF, RATE, WAYS, Check

HEAD = ("predicted by", "rows", "median |ln error|", "bias", "within 1.5x", "within 2x")
MOVED = 0.03  # of ln, from which on a parameter is told
CLOCKS = {"wall": "what a loop sees", "device": "the device's own time"}


def show(found: Sequence[Check], place: str) -> None:
    """Print a table of times and one of speedups for each check, and what was fitted."""

    def say(line: str) -> None:
        print_lines([line])

    say(f"{place}: cut in two by shape, and each half predicted without it; error: ln(predicted / measured)")
    for one in found:
        say("")
        rows = " and ".join(map(str, one.halves))
        say(f"{one.device}, {CLOCKS[one.clock]}: {rows} rows of {one.shapes} shapes")
        if one.seen:
            what = (
                "a processor of this name with as many cores" if one.kind == "cpu" else "runs on a card of this model"
            )
            say(f"The shipped fit has seen {what}: here it is the fit without it.")
        for what, told in (("times", one.times), ("speedups", one.speedups)):
            if told:
                say("")
                lines = [_line(way, told[way]) for way in WAYS if way in told]
                print_table((what, *HEAD[1:]), lines, 1)
        say("")
        say(_finding(one))
        say(_fitted(one))
        say(f"farthest off: {', '.join(f'{arm} {_factor(error)}' for arm, error in one.worst)}")


def _line(way: str, told: Spread) -> tuple[str, ...]:
    return (
        way, str(told.n), f"{told.median:.2f}", f"{told.bias:+.2f}", f"{100 * told.within_1_5:.0f} %",
        f"{100 * told.within_2:.0f} %",
    )  # fmt: skip


def _finding(one: Check) -> str:
    off = [f"{100 * math.expm1(told[HALF].median):.0f} %" for told in (one.times, one.speedups) if told]
    words = [f"{what} off by {size}" for what, size in zip(("times", "speedups"), off, strict=False)]
    plain = [what for what, told in (("times", one.times), ("speedups", one.speedups)) if told and told[RATE].median <= told[HALF].median]  # fmt: skip
    beaten = f"; the other half's mean rate guesses {' and '.join(plain)} no worse" if plain else ""
    return f"on the half that it was not fitted to, the model has {' and '.join(words)} at the median{beaten}"


def _fitted(one: Check) -> str:
    """The parameters that a half has moved."""
    moved = {n: v for n, v in one.parameters.items() if max(abs(math.log(x / v[0])) for x in v[1:]) > MOVED}
    changed = [f"{name} {a:.2g} and {b:.2g} (without this machine {was:.2g})" for name, (was, a, b) in moved.items()]
    still = len(one.parameters) - len(moved)
    words = [f"fitted to either half: {', '.join(changed)}"] if changed else []
    return "; ".join([*words, f"{still} more stay as they are"] if still else words)


def _factor(error: float) -> str:
    """0.5 -> '1.65x too slow'."""
    return f"{math.exp(abs(error)):.2f}x too {'slow' if error > 0 else 'fast'}"
