"""Numbers as people write them: so many significant digits, never an exponent, and times in the unit that suits them."""

from __future__ import annotations

import math
from decimal import Decimal

_UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("ps", 1e-12))
_NOTHING = 1e-15  # s: less is what rounding left


def digits(value: float, most: int) -> str:
    """`most` significant digits without zeros at the end: 730, 0.99, 1010, 0.000012; inf and nan by their names."""
    return format(Decimal(f"{value:.{most}g}"), "f") if math.isfinite(value) else str(value)


def unit_of(seconds: float, most: int) -> tuple[str, float]:
    """The unit in which a time rounded to so many digits is at least 1, with its seconds; of less than 1 ps that."""
    rounded = abs(float(f"{seconds:.{most}g}"))
    return next((unit for unit in _UNITS if rounded >= unit[1]), _UNITS[-1])


def in_seconds(value: float, most: int = 6) -> str:
    """0.0000673 -> '67.3 us'; a time below 1 fs is '0 s'."""
    if abs(value) < _NOTHING:
        return "0 s"
    unit, size = unit_of(value, most)
    return f"{digits(value / size, most)} {unit}"
