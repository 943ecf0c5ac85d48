"""Print the exponents that the benchmarks of one name fit: ln(seconds) on ln(rows)."""

from __future__ import annotations

from typing import Any

import numpy as np


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """A line per group with two sizes or more: seconds of processor time at each, and the slope between the two largest."""
    groups: dict[str, list[tuple[int, float]]] = {}
    for one in config._benchmarksession.benchmarks:
        if hasattr(one, "stats") and not one.stats.data:
            continue  # it failed
        size = (one.params or {}).get("rows")
        groups.setdefault(one.name.partition("[")[0], []).append(
            (size or 0, one.stats.min if hasattr(one, "stats") else one["min"])
        )
    for name, seen in groups.items():
        points = sorted(p for p in seen if p[0])
        told = ", ".join(f"{seconds:.3g} s at {rows:,}" for rows, seconds in points)
        if len(points) > 1:
            (x, y), (u, v) = points[-2:]
            told += f": exponent {np.log(v / y) / np.log(u / x):.2f}"
        terminalreporter.write_line(f"{name.removeprefix('test_')}: {told or f'{min(s for _, s in seen):.3g} s'}")
