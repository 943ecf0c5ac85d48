"""The verbs. Each is the table of contents of a call; whatever is heavy is imported inside it."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import bench
from bench import predict_cli
from bench.spec.device_names import PREDICTED, is_cpu
from bench.spec.errors import UserError

if TYPE_CHECKING:
    from bench.analyse.results import Run
    from bench.run.runner import Outcome
    from bench.spec.config import SweepConfig
    from bench.spec.plan import Plan

app = typer.Typer(
    help="Is a depthwise-separable block faster than the standard convolution it replaces, on this machine, and why?",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take longer to import than the help takes to print
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(predict_cli.app, name="predict")

# pydantic would look through every installed package for plugins of its own, at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file, such as configs/default.yaml.")]
Device = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        metavar="LIST",
        help="cpu, cuda, cuda:1, xpu, mps; sim:h100 is predicted, not measured; several: cpu,cuda:0, or repeated.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="AXIS=V1,V2", help="Override an axis or a timing key; may be repeated."),
]
_DEVICES = "Write cpu, cuda, cuda:1, xpu, mps, sim:h100 (predicted) or several with commas."
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
) -> None:
    if version:
        _say(f"bench {bench.__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[Path | None, typer.Argument(metavar="[CONFIG]", help="A YAML file; none with --resume.")] = None,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The results folder; default: a new one.")] = None,
    set_: Set = None,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Continue the run in this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and measure nothing.")] = False,
) -> None:
    """Measure a config: samples, tables, plots and a summary in a results folder."""
    from bench.run import runner

    command = ["bench", *sys.argv[1:]]
    if resume is not None:
        if config is not None or out is not None or set_ or dry_run or device is not None:
            raise UserError(f"--resume {resume}", "a run goes on as it was planned", "Give --resume alone.")
        measure = partial(runner.resume, resume, runner.stderr_line)
    elif config is None:
        raise UserError("CONFIG", "it is missing", "Name a YAML file, as bench run configs/default.yaml.")
    elif dry_run:
        plan(config, device, set_)
        return
    else:
        measure = partial(runner.run, config, devices(device), out, set_ or (), command, runner.stderr_line)
    outcome = _measured(measure, lambda folder: report([folder]))
    report([outcome.folder])
    if outcome.failed:
        raise typer.Exit(1)


def _measured(measure: Callable[[], Outcome], show: Callable[[Path], None]) -> Outcome:
    """What `measure` gives; after Ctrl-C how to go on is said, what there is is shown, and the status is 130."""
    from bench.run.runner import Interrupted

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's end is as tidy as Ctrl-C
    try:
        return measure()
    except Interrupted as interrupted:
        here = shlex.quote(str(interrupted.folder))
        print(
            f"interrupted; to go on: bench run --resume {here} (or make bench RESUME={here})",
            file=sys.stderr,
            flush=True,
        )
        show(interrupted.folder)
        raise typer.Exit(130) from None


@app.command()
def aa(
    device: Annotated[
        list[str] | None, typer.Option("--device", metavar="NAME", help="One device: cpu, cuda, cuda:1, xpu, mps.")
    ] = None,
    pairs: Annotated[int, typer.Option(metavar="N", help="How many pairs to draw.")] = 60,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="The results folder; default: a new one.")] = None,
    set_: Set = None,
    json_: Json = False,
) -> None:
    """Measure blocks against themselves: this machine's false-positive rate, noise band and smallest effect."""
    import json

    from bench.run import runner
    from bench.run.machine import usable_cores
    from bench.show import index, write
    from bench.spec.aa import draw

    (wanted, *others) = devices(device)
    if others:
        raise UserError(
            f"--device {','.join([wanted, *others])}",
            "an A/A test speaks of one device",
            "Name one, and the next one after it.",
        )
    if wanted.startswith(PREDICTED):
        raise UserError(f"--device {wanted}", "a prediction has no noise to test", "Name a device of this machine.")
    planned, data = draw(wanted, usable_cores(), pairs, set_ or ())
    command = ["bench", *sys.argv[1:]]
    measure = partial(runner.measure, planned, data, [wanted], out, command, runner.stderr_line)
    views = write.write_views(_measured(measure, lambda _: None).folder)
    index.refresh([views.run.folder])
    if views.noise is None:
        raise typer.Exit(1)
    _say(json.dumps(views.noise.to_dict(), indent=2) if json_ else "\n".join(views.noise.sentences()))
    if not json_:
        _say(f"written: {views.run.folder}/aa.json, whose band the next runs on this device will keep")


@app.command()
def plan(
    config: Config,
    device: Device = None,
    set_: Set = None,
    json_: Json = False,
    all_: Annotated[bool, typer.Option("--all", help="Print the theory of every shape.")] = False,
) -> None:
    """Print what a config would measure: the trials, the skips, the theory and the minutes."""
    import gc

    from bench.spec import outline

    gc.disable()  # a large plan is many small objects, none in a cycle; to look for them takes a tenth of the time
    try:
        checked, planned = _planned(config, device, set_)
        _say(outline.as_json(checked, planned) if json_ else outline.text(checked, planned, everything=all_))
    finally:
        gc.enable()


@app.command()
def cost(
    block: Annotated[str, typer.Argument(metavar="BLOCK", help="A block or network: separable, mobilenet_v1, ...")],
    c_in: Annotated[int | None, typer.Option("--in", metavar="N", help="Channels in; default: 64.")] = None,
    c_out: Annotated[
        int | None, typer.Option("--out", metavar="N", help="Channels out; default: as many as in.")
    ] = None,
    kernel: Annotated[int | None, typer.Option(metavar="N", help="Kernel size; default: 3.")] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="N|HxW", help="Pixels: 28 (default; a network has its own), or height x width."),
    ] = None,
    padding: Annotated[str | None, typer.Option(metavar="WORD", help="same or valid; default: same.")] = None,
    stride: Annotated[int | None, typer.Option(metavar="N", help="Stride of the block.")] = None,
    batch: Annotated[int, typer.Option(metavar="N", help="Items in one evaluation.")] = 1,
    depth: Annotated[int | None, typer.Option(metavar="N", help="How many copies are stacked.")] = None,
    dilation: Annotated[int | None, typer.Option(metavar="N", help="Distance between kernel taps.")] = None,
    groups: Annotated[int | None, typer.Option(metavar="N", help="Groups of a grouped convolution.")] = None,
    expansion: Annotated[int | None, typer.Option(metavar="N", help="By what an inverted bottleneck widens.")] = None,
    rate: Annotated[int | None, typer.Option(metavar="N", help="How far apart dilated taps are.")] = None,
    width: Annotated[float | None, typer.Option(metavar="X", help="A MobileNet's width multiplier.")] = None,
    dtype: Annotated[str, typer.Option(metavar="WORD", help="fp32, bf16, fp16 or fp64.")] = "fp32",
    norm: Annotated[bool, typer.Option("--norm", help="Add batch norm after each convolution.")] = False,
    act: Annotated[bool, typer.Option("--act", help="Add ReLU after each convolution.")] = False,
    bias: Annotated[bool, typer.Option("--bias", help="Add a bias in each convolution.")] = False,
    pass_: Annotated[str, typer.Option("--pass", metavar="WORD", help="inference or training.")] = "inference",
    json_: Json = False,
) -> None:
    """Derive a block's params, MACs, FLOP, bytes, layers and ops step by step, as the sources do by hand.

    A network has its batch norm and ReLU without being asked, and a table in place of the steps.
    """
    import json

    from bench.spec.blocks import BlockChoice, kind_of
    from bench.spec.costs import ITEM_BYTES
    from bench.spec.derivation import asked_shape, derive

    whole = kind_of(block).network > 0
    if padding is not None:
        _word("--padding", padding, ("same", "valid"))
    _word("--dtype", dtype, tuple(ITEM_BYTES))
    _word("--pass", pass_, ("inference", "training"))
    choice = BlockChoice(
        block, norm or whole, act or whole, bias, groups=groups, expansion=expansion, rate=rate, width=width
    )
    told = {
        "c_in": c_in, "c_out": c_out, "kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation,
        "depth": depth,
    }  # fmt: skip
    shape = asked_shape(choice, None if size is None else _pixels(size), batch, told)
    derivation = derive(choice, shape, dtype, training=pass_ == "training")
    _say(json.dumps(derivation.to_dict(), indent=2) if json_ else derivation.text())


@app.command()
def report(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR...", help="Results folders, such as results/latest; of several also one page."),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="WORD", help="Print md, csv or json and write nothing; html: the page's path."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page of several runs; default: results/report-A-B.html."),
    ] = None,
    index_: Annotated[
        bool, typer.Option("--index", help="Write index.html of all runs below DIR (default: results), and no more.")
    ] = False,
) -> None:
    """Write a run's tables, plots and page from its journal, and print its summary; of several runs also one page."""
    from bench.analyse.results import read
    from bench.show import export, index, write

    if index_:
        if format_ is not None or out is not None or len(folders or ()) > 1:
            raise UserError("--index", "it takes one folder and nothing else", "Write bench report --index results.")
        _say(f"written: {index.write((folders or [Path(index.ROOT)])[0])}")
        return
    if not folders:
        raise UserError("bench report", "no run is named", "Name a results folder, such as results/latest.")
    if format_ in ("md", "csv", "json"):
        if out is not None:
            raise UserError(
                "--out", f"--format {format_} prints and writes no page", "Send its output to a file with >."
            )
        _say(export.text([read(folder) for folder in folders], format_).rstrip("\n"))
        return
    if format_ is not None:
        _word("--format", format_, export.FORMATS)
    page = write.page_of(folders, out)
    written = _views(folders, quiet=format_ == "html")
    if page is not None:
        _, *pictures = write.write_together(written, page)
        if format_ is None:
            _say(
                f"written: {len(pictures)} pictures in {page.with_suffix('')} and the page of {len(written)} runs {page}"
            )
    index.refresh([*folders, *([page] if page else [])])
    if format_ == "html":
        _say(str(page or folders[0] / "report.html"))


def _views(folders: list[Path], quiet: bool) -> list[Run]:
    """Write all views of each run, and tell of them unless `quiet`; the runs without their samples."""
    from dataclasses import replace

    from bench.show import drivers as words
    from bench.show import second_opinion, terminal, write

    runs = []
    for folder in folders:
        views = write.write_views(folder)
        runs.append(replace(views.run, samples=None))
        if quiet:
            continue
        with _readers_may_leave():
            terminal.show(views.run)
            second_opinion.show(views.run)
            words.show_brief(views.drivers)
        if views.noise is not None:
            _say("\n".join(views.noise.sentences()))
        _say(f"written: {len(views.tables)} tables, {len(views.pictures)} pictures and {views.page.name} in {folder}")
    return runs


@app.command()
def verdict(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results folders; several are judged together.")
    ],
    json_: Json = False,
) -> None:
    """Judge the claims of the texts by one or several runs: supported, refuted, equivalent, undecided, not measured."""
    import json

    from bench.analyse.aa import is_aa
    from bench.analyse.results import read
    from bench.analyse.verdict import judge
    from bench.show import verdict as words

    runs = [read(folder) for folder in folders]
    if all(is_aa(run) for run in runs):
        raise UserError(
            str(folders[0]),
            "an A/A test compares blocks with themselves and bears on no claim",
            "Give a run of make bench or make reproduce.",
        )
    found = judge(runs)
    if json_:
        _say(json.dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    with _readers_may_leave():
        words.show(found)


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="A B...", help="Results folders; each is compared with the first.")
    ],
    margin: Annotated[str, typer.Option(metavar="5%", help="A change that matters: 5% or 0.05.")] = "5%",
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="slower or changed: status 1 if a row is, after Holm's correction, or failed in B alone.",
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(metavar="WORD", help="What --fail-on or --history looks at: speedups or times.")
    ] = "speedups",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For the pictures; default: results/compare-A-B.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write every row there.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="For the page; default: beside the pictures.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="The runs are of one machine in time: where did it change?")
    ] = False,
    json_: Json = False,
) -> None:
    """Set runs side by side, row by row and on the same axes: faster, slower, the same, or not to be told."""
    import json

    from bench.analyse import comparison
    from bench.analyse.results import read
    from bench.show import compare as words
    from bench.show import compare_export

    share = _share("--margin", margin)
    _word("--by", by, ("speedups", "times"))
    if fail_on is not None:
        _word("--fail-on", fail_on, ("slower", "changed"))
    if history:
        if fail_on is not None or csv is not None:
            raise UserError(
                "--history", "it has neither --fail-on nor --csv", "Leave them out; --json holds every row."
            )
        _history(folders, margin, by, out, html, json_)
        return
    if len(folders) < 2:
        raise UserError(
            "bench compare", "it takes two results folders or more", "Name another run.", value=str(*folders)
        )
    found = comparison.compare_all(
        [read(folder) for folder in folders], share, "benjamini-hochberg" if fail_on is None else "holm"
    )
    failing = [] if fail_on is None else comparison.failing(found, fail_on == "changed", by == "times")
    if csv is not None:
        compare_export.write_csv(found, csv)
    if json_:
        _say(json.dumps(compare_export.to_dict(found), indent=2, allow_nan=False))
    else:
        for compared in found:
            with _readers_may_leave():
                words.show(compared)
    if html is not None or not json_:
        from bench.show import compare_write

        told = {
            "margin": margin,
            "fail-on": fail_on,
            "by": by if by != "speedups" else None,
            "csv": csv,
            "out": out,
            "html": html,
        }
        written = compare_write.write(found, _line("compare", folders, told), out, html)
        if not json_:
            _say("\n".join(written.words()))
        if fail_on is not None and not json_:
            _say(words.gate(failing, fail_on))
    if failing:
        raise typer.Exit(1)


def _history(folders: list[Path], margin: str, by: str, out: Path | None, html: Path | None, json_: bool) -> None:
    """Runs of one machine in time, in words or as JSON, and as a picture and a page."""
    import json

    from bench.analyse import history as analysis
    from bench.analyse.results import read
    from bench.show import history as words

    share = _share("--margin", margin)
    found = analysis.read([read(folder) for folder in folders], "time" if by == "times" else "speedup", share)
    if json_:
        _say(json.dumps(words.to_dict(found), indent=2, allow_nan=False))
        if html is None:
            return
    else:
        with _readers_may_leave():
            words.show(found)
    from bench.show import history_page

    command = _line(
        "compare", folders, {"margin": margin, "by": by if by == "times" else None, "out": out, "html": html}
    )
    picture, page = history_page.write(found, command + " --history", out or Path("results") / "history", html)
    if not json_:
        _say(f"picture: {picture}\npage: {page}")


@app.command()
def drivers(
    table: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A CSV of observations, a benchmark CSV of timm's, or a results folder."),
    ],
    layers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For a benchmark of timm's: a CSV of model, img_size, n_conv, n_aten."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For the picture; default: results/drivers-FILE, a run's plots.")
    ] = None,
    json_: Json = False,
) -> None:
    """Say what explains time in any table of observations: MACs, activations or layers, and the regime."""
    import json

    from bench.analyse import drivers as analysis
    from bench.analyse import observations

    found = analysis.explain(observations.read(table, layers))
    if json_:
        _say(json.dumps(found.to_dict(), indent=2))
        return
    from bench.show import drivers as words
    from bench.show import drivers_picture

    with _readers_may_leave():
        words.show(found)
    usual = table / "plots" if table.is_dir() else Path("results") / f"drivers-{table.stem}"
    pictures = drivers_picture.draw(found, out or usual)
    _say("\n".join(f"picture: {path}" for path in pictures[:1]) or "no picture: no group could be fitted")


@app.command()
def doctor(device: Device = None, json_: Json = False) -> None:
    """Say whether this machine is fit to measure: its devices, what would spoil the numbers, what to do."""
    import json

    from bench.run import checks
    from bench.run import doctor as examination
    from bench.show import findings

    found = examination.examine(devices(device), Path("results"))
    if json_:
        _say(json.dumps(examination.to_dict(found), indent=2))
    else:
        with _readers_may_leave():
            findings.show([(c.name, c.state, c.seen, c.remedy) for c in found])
        _say(checks.tally(found) or "nothing seen that would spoil the numbers")
    if checks.worst(found) == "red":
        raise typer.Exit(1)


def devices(given: list[str] | str | None) -> list[str]:
    """`cpu,cuda` as [cpu, cuda:0], each once; of several such lists, all. UserError for a word that is no device."""
    text = given if isinstance(given, str) else ",".join(["cpu"] if given is None else given)
    if not text.strip():
        raise UserError("--device", "it is empty", _DEVICES)
    found = []
    for word in text.split(","):
        name = word.strip()
        if name.startswith(PREDICTED):
            found.append(_predicted(name))
            continue
        match = re.fullmatch(r"cpu|mps|(cuda|xpu)(?::([0-9]{1,3}))?", name)
        if match is None:
            near = _near(name)
            hint = f"Did you mean {near}?" if near else _DEVICES
            raise UserError(f"--device {text}", "no such device", hint, value=name)
        found.append(f"{match[1]}:{int(match[2] or 0)}" if match[1] else name)
    return list(dict.fromkeys(found))


def _predicted(name: str) -> str:
    """`sim:NAME` as it is. UserError, with those that are known, where no such device can be predicted."""
    from bench.spec.predicted_devices import named

    model = named(name)
    if (model.kind == "cpu") != is_cpu(name):  # rows are read by names alone
        ending = "ends in cpu" if model.kind == "cpu" else "does not end in cpu"
        raise UserError(f"--device {name}", f"a {model.kind}'s name {ending}", "Rename it in its file.")
    return name


def _near(name: str) -> str | None:
    """The device that a word may have meant: torch calls AMD's cards cuda too."""
    import difflib

    from bench.spec.predicted_devices import known

    lower = name.lower()
    foretold = lower.removeprefix("sim").lstrip(":-_ ")
    if foretold in known():
        return f"{PREDICTED}{foretold}"
    match = re.fullmatch(r"([a-z]+?)s?[ _:.-]?([0-9]{1,3})?", lower)
    if match is not None:
        word, index = match[1], match[2]
        alias = {"hip": "cuda", "rocm": "cuda", "nvidia": "cuda", "amd": "cuda", "intel": "xpu", "metal": "mps"}
        word = alias.get(word, "cuda" if "gpu" in word else word)
        if word in ("cuda", "xpu"):
            return f"{word}:{int(index)}" if index else word
        lower = word
    return next(iter(difflib.get_close_matches(lower, ("cuda", "cpu", "xpu", "mps"), 1)), None)


def main(args: list[str] | None = None) -> None:
    """Run the command line. Status 2 and one line on stderr for a user's mistake, 130 for an interrupt."""
    given = sys.argv[1:] if args is None else args
    # The base of all usage errors; typer brings its own click in some versions, and takes the installed one in others.
    click_error = cast("type[Exception]", next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"))
    try:
        status = app(args=given or ["--help"], prog_name="bench", standalone_mode=False)
    except UserError as error:
        status = _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except OSError as error:
        where = error.filename if error.filename is not None else "a file"
        status = _fail(f"{where}: it can't be read or written: {error.strerror}. Name a place that can.")
    except click_error as error:
        status = _fail(_usage(error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(line: str) -> int:
    print(f"bench: {line}", file=sys.stderr)
    return 2


def _usage(error: Exception) -> str:
    """A usage error of typer's in one line, with where to read on."""
    message = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "bench")
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See {command} --help."


def _say(text: str) -> None:
    with _readers_may_leave():
        print(text, flush=True)


@contextmanager
def _readers_may_leave() -> Iterator[None]:
    """A reader of our output that has left (`bench plan ... | head`) is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it leaves
        raise typer.Exit(141) from None  # what a shell gives for SIGPIPE


def _planned(config: Path, device: list[str] | None, overrides: list[str] | None) -> tuple[SweepConfig, Plan]:
    from bench.run.machine import usable_cores
    from bench.spec.config import load
    from bench.spec.plan import make
    from bench.spec.sizing import sized

    wanted = devices(device)
    checked, _ = load(config, overrides or ())
    return checked, sized(make(checked, wanted, usable_cores()))


def _pixels(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:x\s*([0-9]{1,9})\s*)?", text)
    if match is None:
        raise UserError("--size", "it is no size", "Write 28, or 56x48 for height x width.", value=text)
    return int(match[1]), int(match[2] or match[1])


def _line(verb: str, folders: list[Path], options: Mapping[str, object]) -> str:
    """A call as it would be typed, with the options that were given."""
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["bench", verb, *map(str, folders), *given])


def _share(option: str, text: str) -> float:
    """`5%` or `0.05` as 0.05. UserError for what is no share above 0 and below 1."""
    match = re.fullmatch(r"\s*([0-9]{0,9}(?:\.[0-9]{0,9})?)\s*(%?)\s*", text)
    try:
        value = float(match[1]) / (100 if match[2] else 1) if match else math.nan
    except ValueError:  # no digit at all
        value = math.nan
    if not 0 < value < 1:
        raise UserError(option, "it should be a share above 0 and below 1", "Write 5% or 0.05", value=text)
    return value


def _word(option: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise UserError(option, "no such word here", f"Write {', '.join(known[:-1])} or {known[-1]}.", value=word)
