"""Several runs on one page: their devices on the same axes, the verdicts over all of them, their machines side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.analyse.claims.judge import Verdicts
from bench.analyse.runs.merged import Together
from bench.show.pages import machine, report
from bench.show.text import claims as words
from bench.show.text import multi_run as in_text

TITLE = "Where is separable faster?"


def text(joined: Together, found: Verdicts, pictures: Iterable[Path]) -> str:
    """The page. `pictures` are files, of which the SVG ones are taken; verdicts are those over all the runs."""
    letters = joined.letters()
    members = {m.letter: m.run for m in joined.members}
    return report.filled(
        "together.html.j2",
        joined.whole,
        members,
        found,
        pictures,
        letters,
        title=TITLE,
        heads=[in_text.head(m) for m in joined.members],
        unswept=in_text.unswept(joined),
        of_several=words.of_several(found, letters),
        machines="Machines side by side",
        sides=machine.side_by_side(list(members.values())),
    )
