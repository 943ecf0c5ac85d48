"""The verb merge: one run from the shards that several machines or jobs measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from bench.cli.options import argument, flag, named_folder, option
from bench.cli.reading import report


def merge(
    folders: Annotated[
        list[Path], argument("DIR...", "The folders of a run's shards (bench run --shard), in any order.")
    ],
    out: Annotated[Path, option("DIR", "The results folder of the whole run: a new one.")],
    partial: Annotated[
        bool, flag("--partial", "Merge what there is: leave out what is missing or unfinished.")
    ] = False,
    across: Annotated[
        bool, flag("--across", "Merge machines that differ: each one's shards become a run below --out.")
    ] = False,
) -> None:
    """Merge the shards of one run, measured on alike machines, into one results folder, and write its views."""
    from bench.run import merge as merging

    merging.merge([*map(named_folder, folders)], out, ["bench", *sys.argv[1:]], partial, across)
    report([out])
