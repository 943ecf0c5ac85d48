"""The frame that all pages share: one base template, style sheet and script, and pictures inside them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.show.pages.svg import Inlined, Letters, inline
from bench.spec.format import times

MOST_BYTES = 3_000_000  # a page can be mailed


def render(template: str, letters: Letters, **told: Any) -> str:
    """A page: a template that extends base.html.j2, with the letters of its pictures."""
    templates = files("bench.show.pages") / "templates"
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    held = Markup(letters.svg()) if letters.outlines else ""
    return _environment().get_template(template).render(style=Markup(style), script=Markup(script), digest=digest, letters=held, **told)  # fmt: skip


def inlined(pictures: Iterable[Path], letters: Letters, prefix: str = "") -> dict[str, Inlined]:
    """The SVG files among `pictures`, each by its name; `prefix` tells pictures of one name apart within a page."""
    drawn = ((p.stem, inline(p.read_text(encoding="utf-8"), f"{prefix}{p.stem}", letters)) for p in pictures if p.suffix == ".svg")  # fmt: skip
    return {name: one for name, one in drawn if one}


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
