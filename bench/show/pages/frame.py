"""The frame that all pages share: one base template, style sheet and script, with pictures and tables inside them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.analyse.runs.run_folder import Run
from bench.show.pages.svg import Inlined, inline
from bench.spec.columns import FILES
from bench.spec.devices.device_names import is_predicted
from bench.spec.format import times

MOST_BYTES = 3_000_000  # a page can be mailed
DOWNLOADS = Markup("<!-- downloads -->")  # where a page's tables will stand
_TABLES = ("p", "m", "r", "o", "s")  # in the order in which they may travel with the page


def render(template: str, **told: Any) -> str:
    """A page: a template that extends base.html.j2."""
    templates = files("bench.show.pages") / "templates"
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template(template).render(style=Markup(style), script=Markup(script), digest=digest, **told)  # fmt: skip


def inlined(pictures: Iterable[Path], prefix: str = "") -> dict[str, Inlined]:
    """The SVG files among `pictures`, each by its name; `prefix` tells pictures of one name apart within a page."""
    drawn = ((p.stem, inline(p.read_text(encoding="utf-8"), f"{prefix}{p.stem}")) for p in pictures if p.suffix == ".svg")  # fmt: skip
    return {name: one for name, one in drawn if one}


class Download(NamedTuple):
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
        if not path.is_file() or (key == "s" and all(map(is_predicted, run.pairs["device"].dropna()))):
            continue
        one = download(name, path.read_bytes()) if key != "s" else None
        if one is not None and len(one.address) <= room:
            room -= len(one.address)
            fits.append(one)
        else:
            left.append(name)
    return tuple(fits), tuple(left)


def with_downloads(page: str, fits: Iterable[Download], left_out: Sequence[str], whose: str) -> str:
    """The page with its tables in the place of DOWNLOADS: rendered once, since their room depends on its size."""
    written = _environment().get_template("parts.html.j2").make_module().download(fits, left_out, whose)  # type: ignore[attr-defined]
    return page.replace(DOWNLOADS, str(written).strip("\n"))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("bench.show.pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    made.globals["svg"] = lambda picture: Markup(picture.svg)  # our own drawing, whose words ElementTree has escaped
    made.filters["ratio"] = lambda value: times(value, 0.01) if value else ""
    made.filters["whole"] = lambda text: str(text).replace(" %", "\u00a0%")  # a number keeps its sign at a line's end
    return made
