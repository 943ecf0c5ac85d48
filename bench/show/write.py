"""Write the tables, pictures and pages of a run, of several runs, of a comparison and of a history."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from bench.analyse.claims.judge import Verdicts, judge
from bench.analyse.compare.change_points import History
from bench.analyse.compare.ci_gate import Gate, gate
from bench.analyse.compare.compare import compare_sides
from bench.analyse.compare.facts import Comparison
from bench.analyse.drivers import observations
from bench.analyse.drivers.explain import Drivers, explain
from bench.analyse.runs import noise_floor
from bench.analyse.runs.advice import Advice, advice_of, is_advice
from bench.analyse.runs.merged import Together
from bench.analyse.runs.noise_floor import Noise
from bench.analyse.runs.rows import as_csv
from bench.analyse.runs.run_folder import Run, read, write_tables
from bench.show.export import reproduction
from bench.show.pages import compare as compare_page
from bench.show.pages import report
from bench.show.plots import (
    aa,
    claims_forest,
    costs,
    delivery,
    depth,
    memory,
    networks,
    plane,
    roofline,
    speedup,
    speedup_map,
    time_breakdown,
    ways,
)
from bench.show.plots import compare as compare_pictures
from bench.show.plots import drivers as drivers_picture
from bench.show.plots.shared import files
from bench.spec.errors import UserError
from bench.spec.files import PLAN, RESULTS, write_json, write_text
from bench.spec.plan.advise import MIX

PICTURES: dict[str, Callable[[Run], Figure | None]] = {
    "ways": ways.picture,
    "map": speedup_map.picture,
    "speedup": speedup.picture,
    "delivery": delivery.picture,
    "memory": memory.memory,
    "costs": costs.picture,
    "depth": depth.picture,
    "plane": plane.picture,
    "networks": networks.picture,
    "roofline": roofline.picture,
    "parts": time_breakdown.picture,
    "network_parts": time_breakdown.of_networks,
}
"""The pictures that are made of a run alone, by the names of their files; None of a run without the rows for one."""


@dataclass(frozen=True, slots=True)
class Views:
    """What was written. `tables` is empty where the folder keeps no journal: there the tables are the source."""

    run: Run
    noise: Noise | None  # of an A/A run
    drivers: Drivers | None
    verdicts: Verdicts
    tables: tuple[Path, ...]
    pictures: tuple[Path, ...]
    page: Path
    sides: Comparison | None = None  # of a run of bench ab
    gated: Gate | None = None  # of one with a row to judge
    advice: tuple[Advice, ...] = ()  # of a run of bench advise


@dataclass(frozen=True, slots=True)
class ComparisonViews:
    """The pictures of comparisons or of a history, .png and .svg, and the page over all of them."""

    pictures: tuple[Path, ...]
    page: Path


def write_views(folder: Path) -> Views:
    """Write the tables (measurements.csv and so on), verdict.json, plots/ and report.html of a results folder from its journal.

    A complete A/A run gets its aa.json too, and one that can tell layers from MACs its reproduction.md in two languages. UserError where the folder is no run. Pictures without data (nothing measured) are not made.
    """
    run = read(folder, samples=True)
    noise = noise_floor.judge(run) if noise_floor.is_aa(run) and (folder / "DONE").exists() else None
    if noise is not None:
        write_json(folder / "aa.json", noise.to_dict())
    tables, verdicts = write_numbers(run, folder)
    into = folder / "plots"
    if noise_floor.is_ab(run):
        sides = compare_sides(run)
        gated = gate([sides], quantity="time") if sides.times and sides.times.number else None
        made = write_comparisons([sides], f"bench report {folder}", into, folder / report.NAME, gated)
        return Views(run, None, None, verdicts, tables, made.pictures, made.page, sides, gated)
    if is_advice(run):
        advice = advice_of(run, read(folder / MIX) if (folder / MIX / PLAN).is_file() else None)
        pictures = draw(run, into, {"advice": lambda run: networks.of_layers(run, advice)})
        given = [one.to_dict() for one in advice]
        layers = [row | {"names": " ".join(row["names"])} for one in given for row in one["layers"]]
        write_text(folder / "advice.csv", as_csv(pd.DataFrame(layers)))
        write_json(folder / "advice.json", {"ways": given})
        write_text(folder / report.NAME, report.text_of_advice(run, advice, pictures))
        return Views(run, None, None, verdicts, tables, pictures, folder / report.NAME, advice=advice)
    drivers = explain(observations.of_run(run))
    more = {
        "claims": lambda run: claims_forest.picture(run, verdicts),
        "drivers": lambda _: drivers_picture.picture(drivers),
    }
    pictures = draw(run, into, {"aa": aa.picture} if noise_floor.is_aa(run) else PICTURES | more)
    for name, text in reproduction.texts(run, verdicts, pictures).items():
        write_text(folder / name, text)
    write_text(folder / report.NAME, report.text(run, verdicts, noise, pictures))
    return Views(run, noise, drivers, verdicts, tables, pictures, folder / report.NAME)


def draw(run: Run, folder: Path, makers: Mapping[str, Callable[[Run], Figure | None]]) -> tuple[Path, ...]:
    """Write each picture that the run has rows for into `folder`, as PNG and SVG; returns the paths."""
    return files.save_all(((name, make(run)) for name, make in makers.items()), folder)


def write_numbers(run: Run, folder: Path) -> tuple[tuple[Path, ...], Verdicts]:
    """Write a run's tables and its verdict.json into a folder, without pictures. Returns the tables and the verdicts.

    No tables where the run was read from its tables, and no verdict.json of blocks against themselves, which answer no claim.
    """
    tables = write_tables(run, folder) if run.from_journal else ()
    verdicts = judge([run])
    if not noise_floor.against_itself(run):
        write_json(folder / "verdict.json", verdicts.to_dict())
    return tables, verdicts


def page_of(folders: Sequence[Path], out: Path | None) -> Path | None:
    """Where the page of several runs goes; None for one run. UserError for a name that is no page's."""
    if len(folders) < 2:
        if out is not None:
            remedy = "Name another run, or leave it out."
            raise UserError("--out", "it names the page of several runs", remedy, str(out))
        return None
    whole = [Path(os.path.realpath(f)) for f in folders]  # resolve() raises RuntimeError for a circle of links
    for folder, real in zip(folders, whole, strict=True):
        if whole.count(real) > 1:
            raise UserError(str(folder), "this run was given twice", "Give each run once.")
    if out is not None and out.suffix != ".html":
        raise UserError("--out", "a page's name ends in .html", "Write it so.", str(out))
    if out is not None:
        return out
    names = [folder.name for folder in whole]
    more = [f"{len(names) - 2}-more"] if len(names) > 3 else names[2:]
    return RESULTS / f"report-{'-'.join([*names[:2], *more])}.html"


def write_together(joined: Together, path: Path) -> tuple[Path, ...]:
    """Write one page of several runs to `path`, and its pictures into the folder beside it that is named like it."""
    found = judge([m.run for m in joined.members])
    into, whole = path.with_suffix(""), joined.whole
    claims = {"claims": lambda run: claims_forest.picture(run, found, joined.letters())}
    drawn = draw(whole, into, PICTURES | claims)
    write_text(path, report.text_of_several(joined, found, drawn))
    return (path, *drawn)


def write_comparisons(
    comparisons: Sequence[Comparison], command: str, out: Path | None = None, html: Path | None = None,
    gated: Gate | None = None,
) -> ComparisonViews:  # fmt: skip
    """Draw all comparisons and write one page over them, which names `command` as its maker and has the gate's answer.

    Two runs have one folder: `out`, or results/compare-A-B by the names of their folders, or of the runs where folders share a name. Of more runs each
    comparison has a folder compare-A-B in `out` or results, and the page is written beside these folders. `html` is
    another path for the page.
    """
    several = len(comparisons) > 1
    a, *others = [run.folder.resolve().name for run in (comparisons[0].a, *(c.b for c in comparisons))]
    if len({a, *others}) <= len(others):
        a, others = comparisons[0].a.run_id, [c.b.run_id for c in comparisons]
    names = [f"compare-{a}-{b}" for b in others]
    folders = [out if out and not several else (out or RESULTS) / name for name in names]
    pictures = tuple(compare_pictures.draw(c, folder) for c, folder in zip(comparisons, folders, strict=True))
    page = html or (folders[0].parent if several else folders[0]) / compare_page.NAME
    write_text(page, compare_page.text(comparisons, pictures, command, gated), given=page is html)
    return ComparisonViews(tuple(chain.from_iterable(pictures)), page)


def write_history(history: History, command: str, folder: Path, html: Path | None = None) -> ComparisonViews:
    """Draw a history's picture into `folder` and write its page there, or to `html`."""
    pictures = files.save(compare_pictures.of_history(history), folder, "history")
    page = html or folder / compare_page.HISTORY_NAME
    write_text(page, compare_page.history_text(history, pictures, command), given=page is html)
    return ComparisonViews(pictures, page)
