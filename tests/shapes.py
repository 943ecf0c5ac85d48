"""Small shapes for property tests: every block, odd and even kernels, strides, both paddings, stacks, batches."""

from __future__ import annotations

from hypothesis import strategies as st

from bench.spec.blocks.blocks import BLOCKS, BlockChoice, Shape, build
from bench.spec.errors import UserError

ZOO = tuple(name for name, kind in BLOCKS.items() if not kind.network)
NETWORKS = tuple(name for name, kind in BLOCKS.items() if kind.network)


def network_shape(height: int, width: int | None = None, batch: int = 1) -> Shape:
    """What a network is built for."""
    return Shape(3, 1000, height, width or height, 1, batch=batch)


def _fits(case: tuple[BlockChoice, Shape]) -> bool:
    choice, shape = case
    try:
        build(choice, shape).output(shape.height, shape.width)
    except UserError:
        return False
    return True


def _choices(name: str) -> st.SearchStrategy[BlockChoice]:
    told = {option: st.sampled_from([None, 1, 2, 3]) for option in BLOCKS[name].options}
    return st.builds(BlockChoice, st.just(name), st.booleans(), st.booleans(), st.booleans(), **told)


@st.composite
def _shapes(draw: st.DrawFn, name: str) -> Shape:
    c_in = draw(st.integers(1, 4))
    kind = BLOCKS[name]
    return Shape(
        c_in=c_in,
        c_out=c_in if kind.keeps_channels else draw(st.integers(1, 4)),
        height=draw(st.integers(1, 7)),
        width=draw(st.integers(1, 7)),
        kernel=draw(st.integers(1, 5)),
        stride=draw(st.integers(1, 3)),
        padding=draw(st.sampled_from(["same", "valid"])),
        dilation=draw(st.integers(1, 2)),
        depth=1 if kind.one_pixel else draw(st.integers(1, 2)),
        batch=draw(st.integers(1, 2)),
    )


def buildable(names: tuple[str, ...] = ZOO) -> st.SearchStrategy[tuple[BlockChoice, Shape]]:
    """Pairs of a choice and a shape that it can be built at."""
    return st.sampled_from(names).flatmap(lambda name: st.tuples(_choices(name), _shapes(name))).filter(_fits)
