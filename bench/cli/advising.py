"""The verbs advise and try: which of a model's convolutions to replace, and single layers without a config."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.measuring import Anyway, measured, new_run
from bench.cli.options import Device, Out, Set, argument, devices, flag, option
from bench.cli.output import readers_may_leave, say
from bench.cli.reading import report
from bench.spec.errors import UserError
from bench.spec.files import PLAN, or_advise

if TYPE_CHECKING:
    from bench.run.session import Outcome
    from bench.spec.plan.plan import Plan

Threads = Annotated[str | None, option("N", "Threads of a CPU, or all: the same as --set threads=N.")]
_TRY = {"processes_min": 3, "processes_max": 3, "seconds": 0.3, "warmup_seconds": 0.2, "brief": True}


def advise(
    model: Annotated[str | None, argument("[MODEL]", "mynet:base, torchvision.models:resnet50, or a network such as resnet18.")] = None,
    size: Annotated[str, option("CxHxW", "The model's input: channels, height, width.")] = "3x224x224",
    batch: Annotated[int, option("N", "Items in one evaluation.")] = 1,
    candidates: Annotated[str, option("LIST", "What may replace a convolution: separable, grouped:8, mine:block.")] = "separable",
    device: Device = None,
    threads: Threads = None,
    out: Out = None,
    set_: Set = None,
    resume: Annotated[Path | None, option("DIR", "Continue the advice in this folder.")] = None,
    anyway: Anyway = False,
    trust: Annotated[bool, flag("--trust", "With --resume: run the model that its folder names.")] = False,
) -> None:  # fmt: skip
    """Say which of a model's dense convolutions to replace: each layer measured alone, then the best mix against the whole.

    The layers' run is in the folder, the mix's in its subfolder mix. Weights are random, so accuracy is not asked.
    """
    from bench.run.runner import stderr_line
    from bench.spec.plan.advise import MIX

    again = "bench advise --resume"
    if resume is None:
        if model is None:
            raise UserError("MODEL", "it is missing", "Name one, as bench advise resnet18")
        names = devices(device)
        plan, data = _layers_plan(model, size, batch, candidates, names, threads, set_)
        first = new_run(plan, data, names, out, anyway)
    else:
        if any(given is not None for given in (model, out, device, threads)) or set_:
            raise UserError(f"--resume {resume}", "an advice continues as it was planned", "Give --resume alone.")
        first = partial(_resumed, resume, anyway, trust)
    outcomes = [measured(first, lambda folder: report([folder]), again)]
    folder = outcomes[0].folder
    second = _mix_plan(folder)
    if second is not None:
        stderr_line("the best mix, whole against whole")
        begun = (folder / MIX / PLAN).is_file()
        mixed = partial(_resumed, folder / MIX, anyway, trust) if begun else new_run(*second, folder / MIX, anyway)
        outcomes.append(measured(mixed, lambda _: report([folder]), again, folder))
    stderr_line("writing tables, picture and page")
    with or_advise(f"bench report {shlex.quote(str(folder))}"):
        report([folder])
    if any(outcome.failed for outcome in outcomes):
        raise typer.Exit(1)


def _planned(verb: str, data: dict[str, Any], names: list[str], threads: str | None, set_: list[str] | None) -> Plan:
    """The plan of a config's data, into which the settings are written."""
    from bench.run.runner import planned
    from bench.spec.config.config import with_overrides
    from bench.spec.config.yaml_file import Place

    config = with_overrides(data, Place(verb), [*(set_ or ()), *([f"threads={threads}"] if threads else [])])
    return planned(config, names)


def _layers_plan(
    model: str, size: str, batch: int, candidates: str, names: list[str], threads: str | None, set_: list[str] | None
) -> tuple[Plan, dict[str, Any]]:
    """The plan of a model's layers, and its config's data. The model is walked once, in a worker."""
    from bench.run import foresee
    from bench.run.launch import START_TIMEOUT_S, probe
    from bench.run.runner import stderr_line
    from bench.spec.config.timing import Timing
    from bench.spec.plan import advise as planning

    sizes = re.fullmatch(r"\s*([1-9]\d{0,4})x([1-9]\d{0,3})x([1-9]\d{0,3})\s*", size)
    if sizes is None:
        raise UserError("--size", "it is no channels x height x width", "Write --size 3x224x224", size)
    if re.search(r"[\s=]", model):
        raise UserError("MODEL", "it is no import path", "Write package.module:name", model)
    words, pixels = [word.strip() for word in candidates.split(",")], [int(n) for n in sizes.groups()]
    trial = planning.model_trial(model, pixels)
    choices = [*map(planning.candidate, words), trial.arms[0].choice]
    imports = {path: None for choice in choices for path in choice.sources}
    found = probe(trial.surroundings, Timing(), START_TIMEOUT_S, imports, kind="walk", trials=[trial])["walk"]
    data = planning.layers_config(model, pixels, batch, found, words)
    plan = _planned("bench advise", data, names, threads, set_)
    planning.refuse_several(plan)
    if any(choice.factory for choice in choices[:-1]):
        for line in foresee.counts(plan)[-1]:
            raise UserError("--candidates", line, "Name blocks with the layer's output.")
    for layer in (layer for layer in found if layer["odd"]):
        stderr_line(f"! {layer['name']} is left as it is: {layer['odd']}")
    return plan, data


def _mix_plan(folder: Path) -> tuple[Plan, dict[str, Any], list[str]] | None:
    """The plan of the mixes that the layers in the folder speak for, with its config's data and devices; None without any."""
    from bench.analyse.runs.advice import advice_of
    from bench.analyse.runs.run_folder import read
    from bench.spec.config.config import load
    from bench.spec.files import CONFIG
    from bench.spec.plan import advise as planning

    run = read(folder)
    chosen = {one.place: one.chosen() for one in advice_of(run) if one.chosen()}
    if run.plan is None or not chosen:
        return None
    data = planning.mix_config(run.plan, load(folder / CONFIG)[1], chosen)
    names = list(dict.fromkeys(place.device for place in chosen))
    return planning.of_its_way(_planned("bench advise", data, names, None, None)), data, names


def _resumed(folder: Path, anyway: bool, trust: bool) -> Outcome:
    """The run in the folder, continued unless it is complete."""
    from bench.run import runner
    from bench.run.session import Outcome

    if (folder / "DONE").exists() and (folder / PLAN).is_file():
        return Outcome(folder, 0)
    return runner.resume(folder, runner.stderr_line, anyway, trust)


def try_(
    shapes: Annotated[list[str], argument("SHAPE...", '"32->64 56x56 k3 s2": channels, size, kernel, stride; then d2, valid.')],
    blocks: Annotated[str, option("LIST", "The blocks, the baseline first; or package.module:name.")] = "standard,separable",
    batch: Annotated[int, option("N", "Items in one evaluation.")] = 1,
    device: Device = None,
    threads: Threads = None,
    out: Out = None,
    set_: Set = None,
    anyway: Anyway = False,
) -> None:  # fmt: skip
    """Time single layers at once, without a config: a table of milliseconds, a layer a row, with the best block and the sums.

    Three fresh processes, 0.3 s of samples a layer in each. bench report gives its page, bench run measures longer.
    """
    from bench.analyse.runs.run_folder import read, write_tables
    from bench.show.text import advice as words

    named = [{"import": word} if ":" in word else word for word in blocks.split(",")]
    one = {"blocks": named, "shapes": list(shapes), "axes": {"batch": batch, "threads": "all"}}
    data: dict[str, Any] = {"name": "try", "timing": dict(_TRY), "experiments": {"layers": one}}
    names = devices(device)
    plan = _planned("bench try", data, names, threads, set_)
    if any(len(trial.arms) < 2 for trial in plan.trials):
        raise UserError("--blocks", "a table compares two blocks or more", "Name another", blocks)
    outcome = measured(new_run(plan, data, names, out, anyway), lambda folder: words.show_tried(read(folder)))
    run = read(outcome.folder, samples=True)
    with readers_may_leave():
        words.show_tried(run)
    write_tables(run)
    say(f"tables: {outcome.folder}; its page: bench report {shlex.quote(str(outcome.folder))}")
    if outcome.failed:
        raise typer.Exit(1)
