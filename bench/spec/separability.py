"""Which kernels are spatially separable, exactly: those that are one column times one row, and so of rank 1.

A spatially separable block (k x 1, then 1 x k) can learn these alone. Sobel's kernels are of them; a random kernel is not,
as k x k numbers seldom all lie in one line's multiples. In general a kernel is a sum of `rank` columns times rows, and as
many pairs of k x 1 and 1 x k convolutions compute it: 2 x k x rank multiplications a pixel against k x k.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Kernel = Sequence[Sequence[Fraction | int | float]]
Numbers = tuple[Fraction, ...]

SOBEL = ((1, 0, -1), (2, 0, -2), (1, 0, -1))
"""Sobel's operator across: a smoothing column (1, 2, 1) times a differentiating row (1, 0, -1)."""
LAPLACE = ((0, 1, 0), (1, -4, 1), (0, 1, 0))
"""The discrete Laplacian: no column times a row, but the sum of two."""


def separable(kernel: Kernel) -> bool:
    """Whether a kernel (height x width, exact numbers or floats taken at their exact values) is a column times a row."""
    return factors(kernel) is not None


def factors(kernel: Kernel) -> tuple[Numbers, Numbers] | None:
    """The column (height x 1) and the row (1 x width) whose product is the kernel; None where there are none.

    The row is the kernel's first one that is not zero. ValueError for what is no rectangle of finite numbers.
    """
    rows = _exact(kernel)
    row = next((r for r in rows if any(r)), None)
    if row is None:
        return (Fraction(0),) * len(rows), (Fraction(0),) * len(rows[0])
    pivot = next(j for j, value in enumerate(row) if value)
    column = tuple(r[pivot] / row[pivot] for r in rows)
    if any(value != c * x for r, c in zip(rows, column, strict=True) for value, x in zip(r, row, strict=True)):
        return None
    return column, row


def rank(kernel: Kernel) -> int:
    """How many columns times rows the kernel is the sum of, at the least: its rank, by elimination in whole fractions."""
    rows = [list(r) for r in _exact(kernel)]
    found = 0
    for j in range(len(rows[0])):
        pivot = next((i for i in range(found, len(rows)) if rows[i][j]), None)
        if pivot is None:
            continue
        rows[found], rows[pivot] = rows[pivot], rows[found]
        for i in range(found + 1, len(rows)):
            times = rows[i][j] / rows[found][j]
            rows[i] = [a - times * b for a, b in zip(rows[i], rows[found], strict=True)]
        found += 1
        if found == len(rows):
            break
    return found


def _exact(kernel: Kernel) -> list[Numbers]:
    rows = [tuple(map(_fraction, row)) for row in kernel]
    if not rows or not rows[0] or len({len(row) for row in rows}) > 1:
        raise ValueError("a kernel is a rectangle of numbers")
    return rows


def _fraction(value: Fraction | int | float) -> Fraction:
    try:
        return Fraction(value)
    except OverflowError:
        raise ValueError(f"{value} is not finite") from None
