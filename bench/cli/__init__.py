"""The command line `bench`: its verbs, and what a mistake, an interrupt or a failed write becomes (line, exit status).

Each verb is a short list of steps; heavy modules are imported inside it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from typing import Annotated, NoReturn, cast

import typer

import bench
from bench.cli import ab, advising, measuring, merging, predicting, reading
from bench.cli.options import flag
from bench.cli.output import say, speak_any_encoding
from bench.spec.errors import UserError, printable
from bench.spec.files import or_advise

# pydantic would search every installed package for its plugins, at each start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

SHORT = {"smoke": ("run", "smoke"), "reproduce": ("run", "speed_thinking")}
MOST_PRINTED = 4000  # characters of a mistake

app = typer.Typer(
    help="Is a depthwise-separable block faster than the standard convolution it replaces, on this machine, and why?",
    epilog="; ".join(f"bench {word} is bench {' '.join(words)}" for word, words in SHORT.items()) + ".",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would take longer to import than the help takes to print
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb, short in (
    (measuring.run, "Measure a config: tables, plots and a page in a folder"),
    (measuring.aa, "Measure blocks against themselves: this machine's noise"),
    (measuring.plan, "Print what a config would measure, and in how many minutes"),
    (measuring.config, "Print a config that comes with bench, to edit"),
    (measuring.cost, "Derive a block's MACs, bytes and layers step by step"),
    (reading.report, "Write a run's tables, plots and page again; join several"),
    (reading.verdict, "Judge the claims of the sources by one run or several"),
    (reading.compare, "Compare two runs, row by row; a gate for CI"),
    (advising.advise, "Say which of a model's convolutions to replace"),
    (merging.merge, "Merge the shards of one run: bench run --shard 2/8"),
    (ab.ab, "Compare two Pythons or source trees in one run"),
    (reading.drivers, "Explain the times of a table by MACs, bytes or layers"),
    (measuring.doctor, "Check whether this machine is fit to measure"),
):
    app.command(short_help=short)(verb)
app.command("try", short_help="Time single layers, without a config")(advising.try_)
app.add_typer(predicting.app, name="predict", short_help="Predict a device that you don't have, by a model")


@app.callback(invoke_without_command=True)
def _top(version: Annotated[bool, flag("--version", "Print the version and leave.")] = False) -> None:
    if version:
        say(f"bench {bench.__version__}")
        raise typer.Exit


def main(args: list[str] | None = None) -> None:
    """Run the command line of `bench` and exit with its status."""
    given = sys.argv[1:] if args is None else args
    call(app, "bench", [*SHORT.get(given[0], given[:1]), *given[1:]] if given else given)


def call(app: typer.Typer, name: str, args: list[str] | None = None) -> NoReturn:
    """Run a command line and exit: status 2 with one line on stderr for a user's mistake, 130 for an interrupt.

    `name`: the program, with which that line begins. `args`: those of the shell, if None.
    """
    speak_any_encoding()
    gc.set_threshold(50_000, 20, 50)  # a report makes many objects that stay: Python's own pace costs 6 % of its time
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # a library's words to programmers, such as of a letter that no font has
    given = sys.argv[1:] if args is None else args
    # The base of all usage errors; some versions of typer have their own click, others use the installed one.
    click_error = cast("type[Exception]", next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"))
    try:
        with or_advise("repeat the command"):
            status = app(args=given or ["--help"], prog_name=name, standalone_mode=False)
    except UserError as error:
        status = _fail(name, str(error))
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    except click_error as error:
        status = _fail(name, _usage(name, error))
    sys.exit(status if isinstance(status, int) else 0)


def _fail(name: str, line: str) -> int:
    short = line if len(line) <= MOST_PRINTED else f"{line[: MOST_PRINTED // 2]} ... {line[-MOST_PRINTED // 2 :]}"
    with contextlib.suppress(OSError):
        print(f"{name}: {printable(short)}", file=sys.stderr, flush=True)
    return 2


def _usage(name: str, error: Exception) -> str:
    """A usage error of typer's in one line, with the command that prints the help."""
    message = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", name)
    return f"{message}{'' if message.endswith(('.', '?')) else '.'} See {command} --help."
