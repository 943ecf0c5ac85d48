"""Templates of Markdown documents, and text that Markdown leaves as it is."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

_MARKUP = re.compile(r"[\\`*<>|~#]|(?<!\w)_|_(?!\w)|(?<=\])\(")  # an underscore within a word is none


@cache
def template(name: str) -> Template:
    """A template of ours. Nothing is escaped but what goes through the filter `plain`."""
    loader = PackageLoader("bench.show.export")
    jinja = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)  # fmt: skip
    jinja.filters["plain"] = plain
    return jinja.get_template(name)


def plain(text: object) -> str:
    """Text that Markdown leaves as it is, in one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split())).replace("&", "&amp;")
