"""The verbs that read what was measured: report, verdict, compare, drivers."""

from __future__ import annotations

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.options import Json, argument, file_of, flag, named_folder, one_of, option, share_of, shares_of_gate
from bench.cli.output import as_typed, readers_may_leave, say, say_either, say_json
from bench.spec.errors import UserError
from bench.spec.files import RESULTS, runs_of

if TYPE_CHECKING:
    from bench.analyse.compare.facts import Comparison, Correction, Quantity
    from bench.analyse.runs.run_folder import Run
    from bench.show.write import ComparisonViews, Views


def report(
    folders: Annotated[
        list[Path] | None, argument("DIR...", "Results folders, such as results/latest; of several also one page.")
    ] = None,
    format_: Annotated[
        str | None, option("WORD", "Print md, csv or json and write nothing; html: the page's path.", "--format")
    ] = None,
    out: Annotated[Path | None, option("FILE", "The page of several runs; default: results/report-A-B.html.")] = None,
    wide: Annotated[bool, flag("--wide", "Print every way to run the blocks, with exact half-widths.")] = False,
    index_: Annotated[
        bool, flag("--index", "Write index.html of all runs below DIR (default: results), and no more.")
    ] = False,
) -> None:
    """Write a run's tables, plots and page from its journal, and print its summary; of several runs also one page."""
    from bench.analyse.runs.merged import together
    from bench.analyse.runs.run_folder import read
    from bench.show import write
    from bench.show.export import report as export
    from bench.show.pages import index

    if index_:
        if format_ is not None or out is not None or len(folders or ()) > 1:
            raise UserError("--index", "it takes one folder and nothing else", "Write bench report --index results.")
        say(f"written: {index.write((folders or [Path(index.ROOT)])[0])}")
        return
    if not folders:
        raise UserError("bench report", "no run is named", "Name a results folder, such as results/latest.")
    runs = [run for folder in folders for run in runs_of(folder)]
    if format_ in ("md", "csv", "json"):
        if out is not None:
            rule = f"--format {format_} prints and writes no page"
            raise UserError("--out", rule, "Send its output to a file with >.")
        say(export.text([read(run) for run in runs], format_).rstrip("\n"))
        return
    one_of("--format", format_, export.FORMATS)
    if out is None and len(folders) == 1 and len(runs) > 1:
        out = folders[0] / "report.html"
    page = write.page_of(runs, file_of("--out", out))
    written = _views(runs, quiet=format_ == "html", alone=page is None, wide=wide)
    if page is not None:
        joined = together(written)
        _, *pictures = write.write_together(joined, page)
        if format_ is None:
            from bench.show.text import multi_run as words

            with readers_may_leave():
                words.show(joined)
            both = f"{len(pictures)} pictures in {page.with_suffix('')} and the page of {len(written)} runs {page}"
            say(f"written: {both}")
    index.refresh([*runs, *([page] if page else [])])
    if format_ == "html":
        say(str(page or runs[0] / "report.html"))


def _views(folders: list[Path], quiet: bool, alone: bool, wide: bool) -> list[Run]:
    """Write all views of each run, and tell of them unless `quiet`; the runs without samples."""
    from bench.show import write

    written = []
    for folder in folders:
        views = write.write_views(folder)
        written.append(replace(views.run, samples=None))
        if not quiet:
            with readers_may_leave():
                _tell(views, alone, wide)
    return written


def _tell(views: Views, alone: bool, wide: bool) -> None:
    """Print a run's comparison of two sides, its advice, or, of one `alone`, its summary."""
    from bench.show.export import reproduction
    from bench.show.text import advice, layer_costs, second_opinion
    from bench.show.text import compare as compare_words
    from bench.show.text import report as run_words

    if views.sides is not None:
        compare_words.print_comparison(views.sides)
        say(f"page: {views.page}")
        if views.gated is not None:
            compare_words.print_gate(views.gated)
    elif views.advice:
        advice.show(views.run, views.advice)
        say(f"page: {views.page}")
    elif alone:
        run_words.show(views.run, views.page, wide=wide)
        if wide:
            second_opinion.print_second_opinions(views.run)
            layer_costs.print_time_breakdown(views.run)
        if views.noise is not None:
            say("\n".join(views.noise.sentences()))
        for one in reproduction.untested(views.run, views.verdicts):
            say(reproduction.not_tested(one))


def verdict(
    folders: Annotated[list[Path], argument("DIR...", "Results folders; several are judged together.")],
    every: Annotated[bool, flag("--all", "Every way to run the blocks, with the reasons of each verdict.")] = False,
    claim: Annotated[list[str] | None, option("ID", "Only this claim, such as cpu_3x; may be repeated.")] = None,
    batch: Annotated[int | None, option("N", "Only the answers at this batch.")] = None,
    json_: Json = False,
) -> None:
    """Judge the claims of the texts (docs/CLAIMS.md names them): where each holds, where it fails, what stays open."""
    from bench.analyse.claims.claims import BY_ID
    from bench.analyse.claims.judge import judge
    from bench.analyse.runs.noise_floor import against_itself
    from bench.analyse.runs.run_folder import read
    from bench.show.text import claims as words

    for name in claim or ():
        one_of("--claim", name, tuple(BY_ID))
    runs = [read(run) for folder in folders for run in runs_of(folder)]
    if all(against_itself(run) for run in runs):
        rule = "it compares blocks with themselves and bears on no claim"
        raise UserError(str(folders[0]), rule, "Give a run of make bench or make reproduce.")
    found = judge(runs).only(claim or (), batch)
    say_either(json_, found.to_dict, lambda: words.print_verdicts(found, every=every))


def compare(
    folders: Annotated[list[Path], argument("A B...", "Results folders; each is compared with the first.")],
    margin: Annotated[str, option("5%", "A change that matters: 5% or 0.05.")] = "5%",
    fail_on: Annotated[
        str | None, option("WORD", "slower or changed: status 1 if the mean or a row is, 3 if that can't be told.")
    ] = None,
    least: Annotated[
        str | None, option("10%", "A slow-down that --fail-on must have been able to see; default: 10%.")
    ] = None,
    untold: Annotated[
        str | None, option("WORD", "Where --fail-on can't tell: fail (status 3; default) or pass.")
    ] = None,
    by: Annotated[
        str | None,
        option("WORD", "speedups or times; default: times for --fail-on on one machine, else speedups."),
    ] = None,
    out: Annotated[Path | None, option("DIR", "For pictures and page; default: results/compare-A-B.")] = None,
    csv: Annotated[Path | None, option("FILE", "Write every row there too.")] = None,
    html: Annotated[Path | None, option("FILE", "For the page; default: beside the pictures.")] = None,
    history: Annotated[
        bool, flag("--history", "Treat the runs as a time series of one machine and report change points.")
    ] = False,
    every: Annotated[bool, flag("--all", "Print more rows, and every difference of the runs.")] = False,
    json_: Json = False,
) -> None:
    """Compare runs with the first one, row by row: slower, faster, the same or ambiguous.

    Exit status with --fail-on: 1 if all rows together or one of them are slower, or one failed only in B; 3 if a
    slow-down of --least could have been missed; 0 if not; 2 for a usage error or if no row could be compared.
    """
    # Numpy reads these when it is imported. Huge pages can take the system minutes to find; idle BLAS threads spin at first.
    for name, value in (("NUMPY_MADVISE_HUGEPAGE", "0"), ("OPENBLAS_NUM_THREADS", "1")):
        os.environ.setdefault(name, value)
    from bench.analyse.compare.ci_gate import gate
    from bench.analyse.compare.compare import compare_all, compare_sides
    from bench.analyse.compare.facts import COMPARED
    from bench.analyse.runs.noise_floor import is_ab
    from bench.analyse.runs.run_folder import read
    from bench.show.export import compare as compare_export
    from bench.show.text import compare as words
    from bench.spec.files import write_whole

    share, must_see = shares_of_gate(margin, least)
    one_of("--untold", untold, ("fail", "pass"))
    for name, given in (("--least", least), ("--untold", untold)):
        if given is not None and fail_on is None:
            raise UserError(name, "it is a rule of the gate", "Write --fail-on slower too.", given)
    one_of("--by", by, ("speedups", "times"))
    file_of("--csv", csv)
    file_of("--html", html)
    one_of("--fail-on", fail_on, ("slower", "changed"))
    if history:
        if fail_on is not None or csv is not None:
            remedy = "Leave them out; --json holds every row."
            raise UserError("--history", "it has neither --fail-on nor --csv", remedy)
        _history(folders, margin, by, out, html, json_)
        return
    correction: Correction = "benjamini-hochberg" if fail_on is None else "holm"
    with ThreadPoolExecutor(2) as readers:  # most of reading a large table holds no lock of Python's
        read_runs = readers.map(lambda folder: read(folder, only=COMPARED), map(named_folder, folders))
        runs = [replace(run, typed=str(folder)) for folder, run in zip(folders, read_runs, strict=True)]
    compared: tuple[Comparison, ...]
    if len(runs) == 1 and is_ab(runs[0]):
        compared = (compare_sides(runs[0], share),)
        if out is None:  # its own page
            out, html = runs[0].folder / "plots", html or runs[0].folder / "report.html"
    elif len(runs) < 2:
        remedy = "Name another run; one of bench ab may stand alone."
        raise UserError("bench compare", "it takes two results folders or more", remedy, str(*folders))
    else:
        compared = compare_all(runs, share, correction)
    gated = None
    if fail_on is not None:
        quantity: Quantity | None = None if by is None else "time" if by == "times" else "speedup"
        gated = gate(compared, "changed" if fail_on == "changed" else "slower", quantity, must_see)
    if csv is not None:
        write_whole(
            csv, lambda file: file.writelines(part.encode() for part in compare_export.as_csv(compared)), given=True
        )
    with readers_may_leave():
        if json_:
            sys.stdout.writelines(compare_export.as_json(compared, gated))
        else:
            for one in compared:
                words.print_comparison(one, every=every)
    if html is not None or not json_:
        from bench.show import write

        gates = {"fail-on": fail_on, "least": least, "untold": untold}
        options = {"margin": margin, **gates, "by": by, "csv": csv, "out": out, "html": html}
        views = write.write_comparisons(compared, as_typed(folders, options), out, html, gated)
        if not json_:
            _say_written(views)
            if csv is not None:
                say(f"rows: {csv}")
            if gated is not None:
                words.print_gate(gated)
    if status := {"failed": 1, "can't tell": 0 if untold == "pass" else 3}.get(gated.answer if gated else "", 0):
        raise typer.Exit(status)


def _history(
    folders: list[Path], margin: str, by: str | None, out: Path | None, html: Path | None, json_: bool
) -> None:
    """Print the runs of one machine in time in words or as JSON, and write their picture and page."""
    from bench.analyse.compare import change_points
    from bench.analyse.runs.run_folder import read
    from bench.show.export.compare import history_to_dict
    from bench.show.text import history as words

    share = share_of("--margin", margin)
    runs = [read(named_folder(folder)) for folder in folders]
    history = change_points.history_of(runs, "time" if by == "times" else "speedup", share)
    say_either(json_, lambda: history_to_dict(history), lambda: words.print_history(history))
    if html is not None or not json_:
        from bench.show import write

        options = {"margin": margin, "by": by if by == "times" else None, "out": out, "html": html}
        command = as_typed(folders, options) + " --history"
        views = write.write_history(history, command, out or RESULTS / "history", html)
        if not json_:
            _say_written(views)


def _say_written(views: ComparisonViews) -> None:
    say("\n".join([*([] if views.pictures else ["no picture: no row was measured in both"]), f"page: {views.page}"]))


def drivers(
    table: Annotated[Path, argument("FILE", "A CSV of observations, a benchmark CSV of timm's, or a results folder.")],
    layers: Annotated[
        Path | None, option("FILE", "For a benchmark of timm's: a CSV of model, img_size, n_conv, n_aten.")
    ] = None,
    out: Annotated[Path | None, option("DIR", "For the picture; default: results/drivers-FILE, a run's plots.")] = None,
    json_: Json = False,
) -> None:
    """Say what explains time in any table of observations: MACs, activations or layers, and what limits it."""
    from bench.analyse.drivers import explain as analysis
    from bench.analyse.drivers import observations

    found = analysis.explain(observations.read(table, layers))
    if json_:
        say_json(found.to_dict())
        return
    from bench.show.plots import drivers as drivers_picture
    from bench.show.text import drivers as words

    with readers_may_leave():
        words.print_explanation(found)
    pictures = drivers_picture.draw(found, out or _folder_of(table))
    say("\n".join(f"picture: {path}" for path in pictures[:1]) or "no picture: no group could be fitted")


def _folder_of(table: Path) -> Path:
    """Where the picture of a table goes: a run's plots, results/drivers-FILE, of a table elsewhere with a hash of its place."""
    if table.is_dir():
        return table / "plots"
    place = table.resolve()
    here = place.parent == Path.cwd().resolve() and place.suffix == ".csv"
    end = "" if here else f"-{hashlib.sha256(os.fsencode(place)).hexdigest()[:6]}"
    return RESULTS / f"drivers-{table.stem}{end}"
