"""docs/COSTS.md decides which kernels are spatially separable: Sobel's exactly, a random one not; and torch agrees with both."""

from __future__ import annotations

import doctest
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.modules import build_module
from bench.spec.blocks.blocks import BlockChoice, Shape, build

COSTS = Path(__file__).resolve().parents[1] / "docs" / "COSTS.md"


def documented() -> dict[str, Any]:
    """The names that the document's Python lines define."""
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(COSTS.read_text(encoding="utf-8")):
        exec(example.source, names)
    return names


EXAMPLE = documented()
LAPLACE, SOBEL, factors, rank = (EXAMPLE[name] for name in ("LAPLACE", "SOBEL", "factors", "rank"))
fractions = st.fractions(-9, 9, max_denominator=9)
vectors = st.lists(fractions, min_size=1, max_size=5)


def test_sobel_is_exactly_a_column_times_a_row():
    assert factors(SOBEL) == ((1, 2, 1), (1, 0, -1))
    down = tuple(zip(*SOBEL, strict=True))
    assert factors(down) == ((1, 0, -1), (1, 2, 1))
    assert (rank(SOBEL), rank(down)) == (1, 1)


def test_a_random_kernel_is_not():
    for seed in range(20):
        draw = random.Random(seed)
        kernel = [[draw.gauss(0, 1) for _ in range(3)] for _ in range(3)]
        assert factors(kernel) is None
        assert rank(kernel) == 3


def test_a_kernel_may_be_the_sum_of_two_and_no_fewer():
    assert (factors(LAPLACE), rank(LAPLACE)) == (None, 2)


def test_sobel_almost_is_not_enough():
    """Decided exactly: a kernel that floating point would take for separable is not."""
    off = [[Fraction(value) for value in row] for row in SOBEL]
    off[0][0] += Fraction(1, 10**30)
    assert factors(off) is None
    assert rank(off) == 2


@given(vectors, vectors)
def test_every_column_times_a_row_is_found_again(column, row):
    kernel = [[c * x for x in row] for c in column]
    found = factors(kernel)
    assert found is not None
    assert [[c * x for x in found[1]] for c in found[0]] == kernel
    assert rank(kernel) == (any(column) and any(row))


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(fractions, min_size=n, max_size=n), min_size=1, max_size=4))
)
def test_separable_is_rank_1_or_nothing(kernel):
    assert (factors(kernel) is not None) == (rank(kernel) <= 1)
    assert rank(kernel) == rank(list(zip(*kernel, strict=True)))
    assert rank(kernel) == torch.linalg.matrix_rank(torch.tensor([[float(x) for x in r] for r in kernel], dtype=torch.float64))  # fmt: skip


@pytest.mark.parametrize("stride", [1, 2])
def test_the_spatially_separable_block_computes_sobel_with_6_multiplications_a_pixel_against_9(stride):
    shape = Shape(1, 1, 11, 8, 3, stride)
    column, row = factors(SOBEL) or ((), ())
    two, one = (
        build_module(build(BlockChoice(name, norm=False, act=False), shape)).double()
        for name in ("spatially_separable", "standard")
    )
    with torch.no_grad():
        two[0].weight.copy_(torch.tensor([float(c) for c in column]).reshape(1, 1, 3, 1))
        two[1].weight.copy_(torch.tensor([float(x) for x in row]).reshape(1, 1, 1, 3))
        one[0].weight.copy_(torch.tensor(SOBEL).reshape(1, 1, 3, 3))
        image = torch.randn(1, 1, 11, 8, dtype=torch.float64)
        torch.testing.assert_close(two(image), one(image), rtol=1e-12, atol=1e-12)
    assert [sum(p.numel() for p in module.parameters()) for module in (two, one)] == [6, 9]
