"""`python -m tools.model_fit`: fit the prediction model, report its errors, check it on a measured run."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import call
from bench.cli.options import Json, file_of
from bench.cli.output import say

NAME = "python -m tools.model_fit"

app = typer.Typer(
    help="Fit the model behind predicted devices, print its errors, or check it on a run.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(short_help="Fit the model to published times and our own runs")
def calibrate(
    data: Annotated[Path, typer.Argument(metavar="DATA_DIR", help="Folders deepbench, timm and torchbench of tables.")],
    own: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="A measured run: its rows are fitted, and scored without that machine or card. May be repeated.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to write; default: the package's own file.")
    ] = None,
) -> None:
    """Fit the model to published times, leave sources and devices out in turn, write parameters and errors."""
    from bench.analyse.runs import run_folder
    from bench.run.runner import stderr_line
    from bench.spec.model import model_parameters
    from tools.model_fit import calibrate as calibrating
    from tools.model_fit import report as reporting

    target = file_of("--out", out) or Path(str(files("bench.spec.model") / model_parameters.FILE))
    if data.is_dir():
        stderr_line(
            f"fitting to tables in {data} and {len(own or ())} own runs, with and without each source and device: minutes"
        )
    found = calibrating.calibrate(data, [run_folder.read(folder) for folder in own or ()])
    calibrating.write(found, target)
    say("\n".join([*reporting.brief(found), f"written: {target}"]))


@app.command(short_help="Print docs/PREDICTION_FIT.md: how far the model is off")
def report() -> None:
    """Print docs/PREDICTION_FIT.md: predicted against published, fitted and left out apart."""
    from bench.spec.model import model_parameters
    from tools.model_fit import report as reporting

    say(reporting.markdown(model_parameters.fit_result()).removesuffix("\n"))


@app.command(short_help="Fit to one half of a measured run, predict the other")
def check(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A results folder, such as results/latest.")],
    json_: Json = False,
) -> None:
    """Fit the model to one half of a measured run, predict the other half, and print the errors."""
    from bench.analyse.runs import run_folder
    from tools.model_fit import split_half, split_half_text

    found = split_half.check(run_folder.read(folder))
    if json_:
        say(json.dumps({"run": folder.name, "checks": [one.to_dict() for one in found]}, indent=2, allow_nan=False))
        return
    split_half_text.show(found, str(folder))


def main(args: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    call(app, NAME, args)


if __name__ == "__main__":
    main()
