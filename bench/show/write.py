"""Make, or make again, the views of a results folder: its tables and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.analyse.results import Run, read, write_tables
from bench.show import plots


@dataclass(frozen=True, slots=True)
class Views:
    """What was written. `tables` is empty where the folder keeps no journal: there the tables are the source."""

    run: Run
    tables: tuple[Path, ...]
    pictures: tuple[Path, ...]


def write_views(folder: Path) -> Views:
    """Write measurements.csv, pairs.csv, samples.csv and plots/ of a results folder from its journal.

    UserError where the folder is no run. Pictures without data (nothing measured) are not made.
    """
    run = read(folder, samples=True)
    tables = write_tables(run) if run.from_journal else ()
    return Views(run, tables, plots.draw(run, folder / "plots"))
