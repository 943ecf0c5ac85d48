"""index.html of a folder of results: every run below it in a line, with its finding, its verdicts and its page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench.analyse.claims.answers import ANSWERS, PREDICTED_ANSWERS
from bench.analyse.compare.compare import compare_sides
from bench.analyse.facts import facts_of
from bench.analyse.runs import noise_floor
from bench.analyse.runs.run_folder import Run, read_tables
from bench.show.pages import report
from bench.show.pages.frame import render
from bench.show.text import compare as words
from bench.show.text import run_facts
from bench.spec.columns import FILES
from bench.spec.errors import UserError
from bench.spec.files import refuse_links, write_text
from bench.spec.results_folder import lacks_of, read_environment, read_noise, read_plan, read_verdicts

NAME = "index.html"
ROOT = "results"  # a folder of this name has an index that is kept up to date
_MARKS = ("journal.jsonl", FILES["m"])


def write(root: Path) -> Path:
    """Write index.html of all runs below `root`, from what bench report wrote of them. UserError where `root` is no folder."""
    if not root.is_dir():
        raise UserError(str(root), "there is no such folder", "Name one that holds runs, such as results.")
    entries = [entry(folder, root) for folder in runs_below(root)]
    entries.sort(key=lambda e: (e["when"], e["name"]), reverse=True)
    pages = [(p.stem, quote(p.name)) for p in sorted(root.glob("*.html")) if _is_of_several(p)]
    path = root / NAME
    write_text(path, render("index.html.j2", entries=entries, pages=pages))
    return path


def runs_below(root: Path) -> Iterator[Path]:
    """Folders of runs below `root`, which do not hold further ones; links to folders are not followed."""
    for at, folders, files in os.walk(root):
        folders.sort()
        if any(mark in files for mark in _MARKS):
            folders.clear()
            yield Path(at)


def entry(folder: Path, root: Path) -> dict[str, str]:
    """A run's row in the index, from what is known without its journal; `link` is empty where it has no page."""
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    told: dict[str, Any] = {}
    plan, run, answers, would_be = None, None, "", ""
    try:
        refuse_links(folder)
        told, plan = read_environment(folder), read_plan(folder)
        answers, would_be = _verdicts(read_verdicts(folder))
        run = read_tables(folder) if all((folder / FILES[file]).is_file() for file in ("m", "p")) else None
        finding = "no tables yet: bench report writes them" if run is None else _finding(run, folder)
    except (OSError, UserError) as error:
        finding = f"can't be read: {error}"
    whole = (folder / "DONE").exists() or not (folder / _MARKS[0]).exists()
    whole = whole and not lacks_of(told)
    return {
        "name": name,
        "link": quote((folder.relative_to(root) / report.NAME).as_posix()) if (folder / report.NAME).is_file() else "",
        "when": str(told.get("started_utc") or "")[:16].replace("T", " "),
        "machine": ", ".join(dict.fromkeys(str(d.get("name") or k) for k, d in (told.get("devices") or {}).items())),
        "torch": str(told.get("torch") or ""),
        "config": plan.name if plan else "",
        "state": "complete" if whole else "INCOMPLETE",
        "measured": "" if run is None else run_facts.measured(facts_of(run)),
        "finding": finding,
        "verdicts": answers,
        "would_be": would_be,
    }


def _is_of_several(path: Path) -> bool:
    """Whether a page is one of several runs, by its title."""
    if not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return report.TITLE_OF_SEVERAL in file.read(2000)
    except OSError:
        return False


def _finding(run: Run, folder: Path) -> str:
    if noise_floor.is_ab(run):
        sides = compare_sides(run)
        return f"{words.headline(sides)}. {'. '.join(words.headlines(sides.quantities[0]))}."
    if not noise_floor.is_aa(run):
        facts = facts_of(run)
        return f"{run_facts.sentences(facts)[0]} {run_facts.trust(facts)}".strip()
    band = read_noise(folder).get("noise_band")
    return f"Blocks against themselves{f': noise band ±{band * 100:.1f} %' if band is not None else ''}."


def _verdicts(told: dict[str, Any]) -> tuple[str, str]:
    """Of verdict.json, `3 holds from, 2 refuted; exact: 3 supported`: what confirms, exact answers apart; and `3 would be supported`.

    The second is what a model says of predicted devices; empty where it says nothing.
    """
    every = [v for c in told.get("claims") or () for v in c.get("verdicts") or ()]
    first = [v for v in every if v.get("confirmatory")]
    kinds = ([v for v in first if (v.get("regime") == "exact") is by] for by in (False, True))
    clocked, exact = (_counts(some, ANSWERS) for some in kinds)
    would_be = _counts([v for v in every if v.get("predicted")], PREDICTED_ANSWERS)
    answers = "; ".join(filter(None, (clocked, exact and f"exact: {exact}")))
    return answers, would_be


def _counts(verdicts: Sequence[dict[str, Any]], answers: Iterable[str]) -> str:
    counts = Counter(str(v.get("answer")) for v in verdicts)
    return ", ".join(f"{counts[a]} {a.lower()}" for a in answers if counts[a])


def refresh(folders: Sequence[Path]) -> None:
    """Write the index again of each folder called results that one of these runs lies in; what can't be written stays as it is."""
    roots = (next((above for above in f.resolve().parents if above.name == ROOT), None) for f in folders)
    for root in dict.fromkeys(filter(None, roots)):
        try:
            write(root)
        except OSError:  # a view of views: no run fails for it
            continue
