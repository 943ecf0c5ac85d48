"""Small shapes for property tests: every block, odd and even kernels, strides, both paddings, stacks, batches."""

from __future__ import annotations

from hypothesis import strategies as st

from bench.spec.blocks import BLOCKS, BlockChoice, Shape, build
from bench.spec.errors import UserError


def _fits(case: tuple[BlockChoice, Shape]) -> bool:
    choice, shape = case
    try:
        build(choice, shape).output(shape.height, shape.width)
    except UserError:
        return False
    return True


def buildable(names: tuple[str, ...] = tuple(BLOCKS)) -> st.SearchStrategy[tuple[BlockChoice, Shape]]:
    """Pairs of a choice and a shape that it can be built at."""
    choices = st.builds(BlockChoice, st.sampled_from(names), st.booleans(), st.booleans(), st.booleans())
    shapes = st.builds(
        Shape,
        c_in=st.integers(1, 4),
        c_out=st.integers(1, 4),
        height=st.integers(1, 7),
        width=st.integers(1, 7),
        kernel=st.integers(1, 5),
        stride=st.integers(1, 3),
        padding=st.sampled_from(["same", "valid"]),
        dilation=st.integers(1, 2),
        depth=st.integers(1, 2),
        batch=st.integers(1, 2),
    )
    return st.tuples(choices, shapes).filter(_fits)
