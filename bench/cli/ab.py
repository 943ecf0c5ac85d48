"""The verb ab: two Pythons, source trees or sets of variables, measured against each other in one run."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from bench.cli.measuring import Anyway, measured, new_run
from bench.cli.options import Config, Device, Json, Out, Set, devices, one_of, option, shares_of_gate
from bench.cli.reading import compare, report
from bench.spec.errors import UserError

if TYPE_CHECKING:
    from bench.spec.plan.plan import Side

_PYTHON = "A Python, or the folder of its environment; default: this one."
_PATH = "Put this folder first on the side's import path; may be repeated."
_VARIABLE = "Set this variable for the side; may be repeated."
_OURS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONPATH", "PYTHONHASHSEED")


def ab(
    config: Config,
    a: Annotated[str | None, option("PYTHON", f"Side A. {_PYTHON}", "--a")] = None,
    b: Annotated[str | None, option("PYTHON", f"Side B. {_PYTHON}", "--b")] = None,
    a_path: Annotated[list[Path] | None, option("DIR", _PATH)] = None,
    b_path: Annotated[list[Path] | None, option("DIR", _PATH)] = None,
    a_env: Annotated[list[str] | None, option("NAME=VALUE", _VARIABLE)] = None,
    b_env: Annotated[list[str] | None, option("NAME=VALUE", _VARIABLE)] = None,
    device: Device = None,
    out: Out = None,
    set_: Set = None,
    margin: Annotated[str, option("5%", "A change that matters: 5% or 0.05.")] = "5%",
    least: Annotated[str | None, option("10%", "A slow-down that must have been visible; default: 10%.")] = None,
    untold: Annotated[str, option("WORD", "Where it can't tell: fail (status 3) or pass.")] = "fail",
    json_: Json = False,
    anyway: Anyway = False,
) -> None:
    """Compare two Pythons, source trees or sets of variables in one run, block by block: is B slower?

    The two sides take turns within each round, so that the machine's drift affects both alike. Exit status: 1 if all rows
    together or one of them are slower, or one failed only in B; 3 if a slow-down of --least could have been missed; 0 if not.
    """
    from bench.analyse.runs.run_folder import read
    from bench.run.runner import planned
    from bench.show import write
    from bench.show.pages import index
    from bench.spec.config.config import load
    from bench.spec.plan.ab import against
    from bench.spec.plan.plan import not_all_skipped

    shares_of_gate(margin, least)
    one_of("--untold", untold, ("fail", "pass"))
    sides = side("--a", a, a_path, a_env), side("--b", b, b_path, b_env)
    checked, data = load(config, set_ or ())
    names = devices(device)
    plan = against(planned(checked, names), sides)
    not_all_skipped(plan)
    folder = measured(new_run(plan, data, names, out, anyway), lambda folder: report([folder])).folder
    write.write_numbers(read(folder, samples=True), folder)
    try:
        compare([folder], margin, "slower", least, untold, json_=json_)
    finally:  # it ends with the gate's status
        index.refresh([folder])


def side(name: str, python: str | None, path: list[Path] | None, variables: list[str] | None) -> Side:
    """One side by its options, of which `name` is the first. UserError for what does not exist or can't be set."""
    from bench.spec.plan.plan import Side

    for folder in path or ():
        if not folder.is_dir():
            raise UserError(f"{name}-path {folder}", "there is no such folder", "Name one that holds modules.")
    given = [variable.partition("=") for variable in variables or ()]
    for variable, equals, _ in given:
        if not (equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable)):
            raise UserError(f"{name}-env", "it is no variable", "Write NAME=VALUE.", variable)
        if variable in _OURS:
            raise UserError(f"{name}-env {variable}", "the run sets it", f"Use --set threads=N, or {name}-path DIR.")
    where = sys.executable
    if python is not None:
        inside = Path(python) / "bin" / "python"
        found = str(inside) if inside.is_file() else shutil.which(python)
        if found is None:
            raise UserError(
                f"{name} {shlex.quote(python)}", "no Python is there", "Name a Python, or an environment's folder."
            )
        where = str(Path(found).absolute())  # unresolved: an environment's Python is a link to the one beneath
    return Side(where, tuple(str(p.absolute()) for p in path or ()), tuple((v, value) for v, _, value in given))
