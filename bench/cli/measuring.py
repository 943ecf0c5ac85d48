"""The verbs run, aa, plan, cost and doctor: measure, or show beforehand what would be measured."""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.options import Config, Device, Json, Out, Set, argument, devices, flag, one_of, option, pixels_of
from bench.cli.output import readers_may_leave, say, say_either, say_json
from bench.cli.reading import report
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError
from bench.spec.files import RESULTS, or_advise

if TYPE_CHECKING:
    from bench.run.session import Outcome
    from bench.spec.plan.plan import Plan

Shard = Annotated[str | None, option("I/N", "Only the I-th of N parts of the plan; bench merge joins them.")]
Anyway = Annotated[bool, flag("--anyway", "Measure despite red checks of bench doctor and mark each row.")]


def run(
    config: Annotated[
        Path | None, argument("[CONFIG]", "A YAML file or a name, such as default; none with --resume.")
    ] = None,
    device: Device = None,
    out: Out = None,
    set_: Set = None,
    resume: Annotated[Path | None, option("DIR", "Continue the run in this folder.")] = None,
    dry_run: Annotated[bool, flag("--dry-run", "Print the plan and measure nothing.")] = False,
    anyway: Anyway = False,
    trust: Annotated[bool, flag("--trust", "With --resume: run the own blocks that its folder names.")] = False,
    name: Annotated[str | None, option("NAME", "The folder results/NAME, which bench compare finds by NAME.")] = None,
    shard: Shard = None,
    cluster: Annotated[
        str | None, option("ADDRESS", "Measure on the workers of a Dask cluster: tcp://HOST:8786.")
    ] = None,
    resource: Annotated[
        str | None, option("NAME", "With --cluster: the workers' resource, as cuda:h100; default: the device's kind.")
    ] = None,
    views: Annotated[bool, typer.Option("--views/--no-views", hidden=True)] = True,
) -> None:
    """Measure a config: samples, tables, plots, verdicts and a page in a results folder."""
    from bench.run import cluster as leasing
    from bench.run import runner

    command, tell = ["bench", *sys.argv[1:]], runner.stderr_line
    out = out if name is None else _named(name, out)
    where = None if cluster is None else leasing.Cluster(cluster, resource)
    if where is None and resource is not None:
        raise UserError(f"--resource {resource}", "it names workers of a cluster", "Give --cluster too.")
    if where is not None and (shard is not None or dry_run):
        raise UserError(where.place, "it plans shards of its own", "Leave --shard and --dry-run out.")
    if resume is not None:
        if config is not None or out is not None or set_ or dry_run or device is not None or shard is not None:
            raise UserError(f"--resume {resume}", "a run continues as it was planned", "Give --resume alone.")
        measure = (
            partial(leasing.resume, where, resume, command, tell, anyway, trust)
            if where
            else partial(runner.resume, resume, tell, anyway, trust)
        )
    elif config is None:
        raise UserError("CONFIG", "it is missing", "Name a YAML file or a config, as bench run default.")
    elif dry_run:
        plan(config, device, set_, shard=shard)
        return
    else:
        asked = (config, devices(device), out, set_ or (), command, tell, anyway)
        measure = partial(leasing.run, where, *asked) if where else partial(runner.run, *asked, shard)
    shown = (lambda folder: report([folder])) if views and not where else (lambda _: None)
    outcome = measured(measure, shown, where.command if where else "")
    if views:
        tell("writing tables, plots and the page")
        with or_advise(f"bench report {shlex.quote(str(outcome.folder))}"):
            report([outcome.folder])
    if outcome.failed:
        raise typer.Exit(1)


def _named(name: str, out: Path | None) -> Path:
    """The folder results/NAME. UserError for a name that is taken or no plain word, and beside --out."""
    folder, place = RESULTS / name, f"--name {name}"
    if out is not None:
        raise UserError(place, "it names the folder, as --out does", "Give one of them.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}", name) or name == "latest":
        raise UserError(
            place, "it is no name of a run", "Write letters, digits, and _ . + - behind them, but not latest."
        )
    if folder.exists():
        raise UserError(place, f"{folder} exists", "Choose another name, or remove the folder.")
    return folder


def new_run(
    plan: Plan, data: dict[str, Any], names: list[str], out: Path | None, anyway: bool
) -> Callable[[], Outcome]:
    """What measures a plan in a new folder, for `measured`."""
    from bench.run import runner

    command = ["bench", *sys.argv[1:]]
    return partial(runner.measure, plan, data, names, out, command, runner.stderr_line, anyway)


def measured(
    measure: Callable[[], Outcome], show: Callable[[Path], None], again: str = "", at: Path | None = None
) -> Outcome:
    """The result of `measure`. After Ctrl-C: print how to continue, show what was measured, exit with status 130.

    `again`: the command that continues, if it is not bench run --resume, and the folder `at` which it does, if not the run's.

    SIGTERM of a batch system and SIGHUP of a closed terminal do the same, unless the caller ignores them as nohup does.
    """
    from bench.run.runner import stderr_line
    from bench.run.session import Interrupted

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)
    try:
        return measure()
    except Interrupted as interrupted:
        here = shlex.quote(str(at or interrupted.folder))
        flag, variable = (" --trust", " TRUST=1") if interrupted.trust else ("", "")
        make = "" if again else f" (or make bench RESUME={here}{variable})"
        stderr_line(f"interrupted; to continue: {again or 'bench run --resume'} {here}{flag}{make}")
        with contextlib.suppress(typer.Exit):  # of an output that nobody reads any more
            show(interrupted.folder)
        raise typer.Exit(130) from None


def _end(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a closing terminal sends its signal more than once
    raise KeyboardInterrupt


def aa(
    device: Annotated[list[str] | None, option("NAME", "One device: cpu, cuda, cuda:1, xpu, mps.", "--device")] = None,
    pairs: Annotated[int, option("N", "Number of pairs to measure.")] = 60,
    out: Out = None,
    set_: Set = None,
    json_: Json = False,
    anyway: Anyway = False,
) -> None:
    """Measure blocks against themselves: this machine's false-positive rate, noise band and smallest effect."""
    from bench.run.machine import usable_cores
    from bench.show import write
    from bench.show.pages import index
    from bench.spec.plan.aa import drawn_plan

    (name, *others) = devices(device)
    if others:
        place = f"--device {','.join([name, *others])}"
        raise UserError(place, "an A/A test measures one device", "Name one, then run it for the next.")
    if is_predicted(name):
        raise UserError(f"--device {name}", "a prediction has no noise to test", "Name a device of this machine.")
    planned, data = drawn_plan(name, usable_cores(), pairs, set_ or ())
    views = write.write_views(measured(new_run(planned, data, [name], out, anyway), lambda _: None).folder)
    index.refresh([views.run.folder])
    if views.noise is None:
        raise typer.Exit(1)
    if json_:
        say_json(views.noise.to_dict())
        return
    say("\n".join(views.noise.sentences()))
    say(f"written: {views.run.folder}/aa.json; the next runs on this device use its noise band")


def config(
    name: Annotated[str | None, argument("[NAME]", "Such as default; without a name, all are listed.")] = None,
) -> None:
    """Print a config that comes with this program, to edit: bench config default > mine.yaml."""
    from bench.spec.config.config import load
    from bench.spec.config.shipped import shipped

    known = shipped()
    if name is None:
        say("\n".join(f"{each}: {load(path)[0].description}" for each, path in known.items()))
        return
    one_of("bench config", name, tuple(known))
    say(known[name].read_text(encoding="utf-8").rstrip("\n"))


def plan(
    config: Config,
    device: Device = None,
    set_: Set = None,
    json_: Json = False,
    all_: Annotated[bool, flag("--all", "Print the costs of every shape.")] = False,
    shard: Shard = None,
) -> None:
    """Print what a config would measure: the trials, the skips, the costs of each shape and the minutes."""
    import gc

    from bench.run import foresee
    from bench.run.machine import usable_cores
    from bench.spec.config.config import load
    from bench.spec.plan import plan_text
    from bench.spec.plan.durations import sized
    from bench.spec.plan.plan import make, not_all_skipped
    from bench.spec.plan.shards import part_of

    gc.disable()  # a large plan has many small objects, none in a cycle; collecting takes a tenth of the time
    try:
        names = devices(device)
        checked, _ = load(config, set_ or ())
        unsized = make(checked, names, usable_cores())
        unsized = unsized if shard is None else part_of(unsized, shard)
        planned = sized(unsized)
        counts, lines, unlike = foresee.counts(unsized)
        planned = replace(planned, notes=(*planned.notes, *lines, *unlike))
        as_text = plan_text.as_json if json_ else partial(plan_text.text, everything=all_)
        say(as_text(checked, planned, known=counts))
        not_all_skipped(unsized)  # a run may measure trials that are skipped by a guessed speed
    finally:
        gc.enable()


def cost(
    block: Annotated[str, argument("BLOCK", "A block or network: separable, mobilenet_v1, ...")],
    c_in: Annotated[int | None, option("N", "Channels in; default: 64.", "--in")] = None,
    c_out: Annotated[int | None, option("N", "Channels out; default: the same.", "--out")] = None,
    kernel: Annotated[int | None, option("N", "Kernel size; default: 3.")] = None,
    size: Annotated[
        str | None, option("N|HxW", "Pixels: 28 (default; a network has its own), or height x width.")
    ] = None,
    padding: Annotated[str | None, option("WORD", "same or valid; default: same.")] = None,
    stride: Annotated[int | None, option("N", "Stride of the block.")] = None,
    batch: Annotated[int, option("N", "Items in one evaluation.")] = 1,
    depth: Annotated[int | None, option("N", "Number of stacked copies.")] = None,
    dilation: Annotated[int | None, option("N", "Distance between kernel taps.")] = None,
    groups: Annotated[int | None, option("N", "Groups of a grouped convolution.")] = None,
    expansion: Annotated[int | None, option("N", "Factor of an inverted bottleneck.")] = None,
    rate: Annotated[int | None, option("N", "Distance of a dilated convolution's taps.")] = None,
    width: Annotated[float | None, option("X", "A MobileNet's width multiplier.")] = None,
    dtype: Annotated[str, option("WORD", "fp32, bf16, fp16 or fp64.")] = "fp32",
    norm: Annotated[bool, flag("--norm", "Add batch norm after each convolution.")] = False,
    act: Annotated[bool, flag("--act", "Add ReLU after each convolution.")] = False,
    bias: Annotated[bool, flag("--bias", "Add a bias in each convolution.")] = False,
    pass_: Annotated[str, option("WORD", "inference or training.", "--pass")] = "inference",
    json_: Json = False,
) -> None:
    """Derive a block's params, MACs, FLOP, bytes, layers and ops step by step, as the sources do by hand.

    A network has its batch norm and ReLU without --norm and --act, and a table in place of the steps.
    """
    from bench.spec.blocks.blocks import BlockChoice, kind_of
    from bench.spec.blocks.costs import ITEM_BYTES
    from bench.spec.blocks.derivation import derive, shape_of
    from bench.spec.blocks.layers import FIXED_IN_NETWORKS

    network = kind_of(block).network > 0
    one_of("--padding", padding, ("same", "valid"))
    one_of("--dtype", dtype, tuple(ITEM_BYTES))
    one_of("--pass", pass_, ("inference", "training"))
    choice = BlockChoice(
        block, norm or network, act or network, bias, groups=groups, expansion=expansion, rate=rate, width=width
    )
    given = (c_in, c_out, kernel, stride, padding, dilation, depth)
    options = dict(zip(FIXED_IN_NETWORKS, given, strict=True))
    shape = shape_of(choice, None if size is None else pixels_of(size), batch, options)
    derivation = derive(choice, shape, dtype, training=pass_ == "training")
    say_either(json_, derivation.to_dict, lambda: say(derivation.text()))


def doctor(device: Device = None, json_: Json = False) -> None:
    """Check whether this machine is fit to measure: its devices, what would spoil the numbers, what to do."""
    from bench.run import checks
    from bench.run import doctor as examination
    from bench.show.text import terminal

    results = examination.examine(devices(device), RESULTS)
    if json_:
        say_json(examination.to_dict(results))
    else:
        with readers_may_leave():
            terminal.print_findings([(c.name, c.state, c.seen, c.remedy) for c in results])
        say(checks.tally(results) or "nothing seen that would spoil the numbers")
    if checks.worst(results) == "red":
        raise typer.Exit(1)
