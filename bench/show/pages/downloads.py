"""The tables that travel inside a page, as addresses that hold them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analyse.runs.facts import facts_of
from bench.analyse.runs.run_folder import Run
from bench.show.text.run_facts import only_predicted
from bench.spec.columns import FILES

_TABLES = ("p", "m", "r", "o")  # in the order in which they may travel with the page


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


def downloads(runs: Sequence[tuple[str, Run]], room: int) -> tuple[tuple[Download, ...], tuple[str, ...]]:
    """The tables as addresses of at most `room` letters together, and the names of those that are too large.

    Each run comes with what its files' names begin with. All runs' pairs.csv come first, and their samples are always too many;
    of a run that was only predicted there are none.
    """
    fits, left = [], []
    for name, begins, run in ((FILES[k], begins, run) for k in _TABLES for begins, run in runs):
        path = run.folder / name
        if not path.is_file():
            continue
        one = download(begins + name, path.read_bytes())
        if len(one.address) <= room:
            room -= len(one.address)
            fits.append(one)
        else:
            left.append(begins + name)
    left += [
        begins + FILES["s"]
        for begins, run in runs
        if (run.folder / FILES["s"]).is_file() and not only_predicted(facts_of(run))
    ]
    return tuple(fits), tuple(left)
