"""The tables that travel inside a page, as addresses that hold them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

from bench.analyse.runs.facts import facts_of
from bench.analyse.runs.run_folder import Run
from bench.show.text.run_facts import only_predicted
from bench.spec.columns import FILES

_TABLES = ("p", "m", "r", "o", "s")  # in the order in which they may travel with the page


@dataclass(frozen=True, slots=True)
class Download:
    """A table as an address that holds it."""

    name: str
    size: str
    address: str


def download(name: str, held: bytes) -> Download:
    """A CSV file as an address that holds it."""
    address = "data:text/csv;charset=utf-8;base64," + base64.b64encode(held).decode()
    return Download(name, f"{max(1, round(len(held) / 1000))} kB", address)


def downloads(runs: Mapping[str, Run], room: int) -> tuple[tuple[Download, ...], tuple[str, ...]]:
    """The tables as addresses of at most `room` letters together, and the names of those that are too large.

    A run's letter, if it has one, stands before its files' names: `A-pairs.csv`. All runs' pairs.csv come first, and their
    samples are always too many; of a run that was only predicted there are none.
    """
    fits, left = [], []
    for key, (letter, run) in product(_TABLES, runs.items()):
        path = run.folder / FILES[key]
        name = f"{letter}-{path.name}".removeprefix("-")
        if not path.is_file() or (key == "s" and only_predicted(facts_of(run))):
            continue
        one = download(name, path.read_bytes()) if key != "s" else None
        if one is not None and len(one.address) <= room:
            room -= len(one.address)
            fits.append(one)
        else:
            left.append(name)
    return tuple(fits), tuple(left)
