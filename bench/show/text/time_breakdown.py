"""Where the time of blocks and networks goes, for the terminal: of the rows that were walked layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analyse.runs.rows import Record, records_of
from bench.analyse.runs.run_folder import Run
from bench.analyse.sweeps.kinds import sweep_of_shapes
from bench.show.text import titles
from bench.spec.columns import MEASURED


def show(run: Run) -> None:
    """Print what the picture's title says, if blocks of the run were walked."""
    rows = walked(run)
    if rows:
        print(f"\n{titles.time_breakdown(rows)}")


def walked(run: Run) -> list[Record]:
    """The walked rows of a sweep of shapes, with those of their baselines."""
    return _with_baselines(sweep_of_shapes(records_of(run.measurements)))


def walked_networks(run: Run) -> list[Record]:
    """The walked rows of networks, with those of their baselines."""
    return _with_baselines([r for r in records_of(run.measurements) if r["kernel"] is None])


def _with_baselines(every: Sequence[Record]) -> list[Record]:
    rows = [r for r in every if r["status"] in MEASURED and r["time_in_gaps_s"] is not None]
    known = {r["trial_id"] for r in rows if r["block"] == r["baseline"]}
    return [r for r in rows if r["trial_id"] in known]
