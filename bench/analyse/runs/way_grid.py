"""One shape in every way to run it: ways down, channels across, for the map, the picture of ways and the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.analyse.runs.condition import Condition
from bench.analyse.runs.rows import Record, grouped
from bench.spec.columns import FAILED, WITH_NUMBERS

_FAMILY = ("block", "baseline", "kernel", "height", "width", "stride", "padding", "dilation", "depth")
Channels = tuple[int, int]  # in and out


@dataclass(frozen=True, slots=True)
class WayGrid:
    """The cells of one block at one kernel, size and depth, which differ in channels and in the way to run them.

    `rows`: by way, in the order of the conditions, the row at each number of channels; `channels` in rising order.
    """

    kernel: int
    first: Record  # one of its rows, for what they share
    channels: tuple[Channels, ...]
    rows: dict[Condition, dict[Channels, Record]]

    def column(self, at: Channels) -> dict[Condition, Record]:
        """The cells at these channels, by way."""
        return {way: cells[at] for way, cells in self.rows.items() if at in cells}

    @property
    def fullest(self) -> Channels:
        """The channels that were measured in most ways; the most channels among equals."""
        return max(self.channels, key=lambda at: (len(self.column(at)), at))


def way_of(row: Record) -> Condition:
    """How a row was run. The host's threads do not tell ways of an accelerator apart."""
    condition = Condition.of(row, str(row["run_id"]))
    return condition if condition.kind == "cpu" else replace(condition, threads=None)


def way_grids(pairs: Sequence[Record]) -> tuple[WayGrid, ...]:
    """A grid for each kernel of the first block that was measured, predicted or failed: at the size with most cells, of single blocks.

    Where two experiments measured the same cell, the one with the narrower interval stands.
    """
    rows = [r for r in pairs if r["kernel"] is not None and (r["status"] in FAILED or _known(r))]
    families = grouped(rows, lambda r: tuple(r[name] for name in _FAMILY))
    if not families:
        return ()
    lead = rows[0]["block"], rows[0]["baseline"]
    best: dict[int, WayGrid] = {}
    for (block, baseline, kernel, *_), some in families.items():
        laid = _grid(int(kernel), some)
        if (block, baseline) == lead and (kernel not in best or _rank(laid) > _rank(best[kernel])):
            best[int(kernel)] = laid
    return tuple(best[kernel] for kernel in sorted(best))


def sweeps_of_channels(pairs: Sequence[Record]) -> list[WayGrid]:
    """The grids over several numbers of channels, without which there is no line or map over them."""
    return [grid for grid in way_grids(pairs) if len(grid.channels) > 1]


def _grid(kernel: int, rows: Sequence[Record]) -> WayGrid:
    cells: dict[Condition, dict[Channels, Record]] = {}
    for r in rows:
        held, at = cells.setdefault(way_of(r), {}), (int(r["c_in"]), int(r["c_out"]))
        if at not in held or _width(r) < _width(held[at]):
            held[at] = r
    channels = sorted({at for held in cells.values() for at in held}, key=lambda c: (c[0] * c[1], c))
    return WayGrid(kernel, rows[0], tuple(channels), {way: cells[way] for way in sorted(cells, key=way_order)})


def is_plain(way: Condition) -> bool:
    """Whether nothing is chosen but device, threads, mode and batch."""
    return replace(way, mode=None).usual


def way_order(way: Condition) -> tuple[object, ...]:
    """A sort key: the CPU before accelerators, threads, eager before other modes; then plain ways, and the batch."""
    mode = "" if way.mode == "eager" else str(way.mode)
    return (way.kind, str(way.device), way.threads or 0, mode, not is_plain(way), way.batch or 0, way.order())


def _rank(grid: WayGrid) -> tuple[bool, int]:
    """Single blocks before stacks, then the most cells."""
    return grid.first["depth"] == 1, sum(map(len, grid.rows.values()))


def _known(row: Record) -> bool:
    return row["status"] in WITH_NUMBERS and row["speedup"] is not None


def _width(row: Record) -> float:
    return math.inf if row["precision"] is None else float(row["precision"])
