"""Which experiments are sweeps of shapes, which vary channels or kernels: by their rows, not by their names."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analyse.runs.rows import Record, grouped

_VARY = ("c_in", "c_out", "kernel")
_HELD = (
    "height", "width", "stride", "padding", "dilation", "depth", "threads", "batch", "dtype", "layout", "allocator",
    "waiting", "mode", "cudnn_benchmark", "pass", "block",
)  # fmt: skip


def sweep_of_shapes(rows: Sequence[Record]) -> list[Record]:
    """The rows of blocks to draw against channels and kernels; of a run without such a sweep, all rows of blocks.

    All experiments that sweep shapes are kept, but stacks of several blocks only if no experiment has single blocks.
    """
    blocks = [r for r in rows if r["kernel"] is not None]
    by_experiment = grouped(blocks, lambda r: (r["device"], r["experiment"]))
    sweeping = {key for key, some in by_experiment.items() if _sweeps(some)}
    if not sweeping:
        return blocks
    kept = [r for r in blocks if (r["device"], r["experiment"]) in sweeping]
    return [r for r in kept if r["depth"] == 1] or kept


def _sweeps(rows: Sequence[Record]) -> bool:
    """Whether channels or kernel vary while the rest of a shape is held."""
    alike = grouped(rows, lambda r: tuple(r[name] for name in _HELD)).values()
    return any(len({r[name] for r in some}) > 1 for some in alike for name in _VARY)
