"""The program from Python: read a run (`load`), or measure modules as a run (`measure`), and look at it (`Result`)."""

from __future__ import annotations

import copy
import hashlib
import html
import pickle
import pickletools
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bench.analyse.claims.judge import judge
from bench.analyse.drivers import observations
from bench.analyse.drivers.explain import explain
from bench.analyse.runs.run_folder import Run, read
from bench.cli.options import devices, named_folder
from bench.run import runner
from bench.run.session import Interrupted
from bench.show import write
from bench.show.plots import claims_forest
from bench.show.plots import drivers as drivers_picture
from bench.show.text import report
from bench.spec.blocks.blocks import BLOCKS
from bench.spec.columns import BY_NAME, KEYS, Column
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.errors import UserError, first_line
from bench.spec.files import or_advise
from bench.spec.format import listed

__all__ = ["Result", "UserError", "load", "measure"]


class Result(Run):
    """A run: `pairs`, `measurements` and `samples` are DataFrames with the columns of docs/COLUMNS.md.

    Times are in seconds, memory in bytes. `samples` have the shape and settings of their arm, and are None where a
    folder keeps none. In a notebook a run shows its answer.
    """

    @property
    def machine(self) -> dict[str, Any]:
        """The host's facts, memory in bytes; `devices`: the name of each; versions of torch and Python."""
        seen = self.environment
        names = {device: facts.get("name") for device, facts in (seen.get("devices") or {}).items()}
        return {**(seen.get("host") or {}), "devices": names, "torch": seen.get("torch"), "python": seen.get("python")}

    @property
    def columns(self) -> Mapping[str, Column]:
        """What each column of the tables means: `unit` (SI, or empty for a ratio or a count), `meaning`, `empty`."""
        return BY_NAME

    @property
    def claims(self) -> pd.DataFrame:
        """A row per claim of the texts and condition, by the keys of verdict.json: `answer`, `effect.value`, `place.label`."""
        claims = judge([self]).to_dict()["claims"]
        return pd.json_normalize(
            [{"claim": claim["id"], **verdict} for claim in claims for verdict in claim["verdicts"]]
        )

    def plot(self, name: str) -> Figure:
        """A picture of the run by its name in docs/GALLERY.md: ways, map, speedup, costs, claims, ...

        UserError for no such picture, and for one that the run has no rows for.
        """
        makers: dict[str, Callable[[Run], Figure | None]] = write.PICTURES | {
            "claims": lambda run: claims_forest.picture(run, judge([run])),
            "drivers": lambda run: drivers_picture.picture(explain(observations.of_run(run))),
        }
        if name not in makers:
            raise UserError("plot", "no such picture", f"Write {listed(list(makers), 'or')}", name)
        if (figure := makers[name](self)) is None:
            raise UserError("plot", "this run has no rows for it", "docs/GALLERY.md says what each needs", name)
        return figure

    def __repr__(self) -> str:
        return "\n".join([*report.heads(self), f"folder: {self.called}"])

    def _repr_html_(self) -> str:
        first, *more = html.escape(repr(self)).splitlines()
        return f"<p><b>{first}</b></p>" + "".join(f"<p>{line}</p>" for line in more)


def load(folder: str | Path) -> Result:
    """The run in a results folder, as `results/latest`, or by its name below `results/`. UserError for no run."""
    run = read(named_folder(Path(folder)), samples=True)
    if run.samples is not None:
        arms = run.measurements[["arm_id", *(name for name in KEYS if name not in run.samples)]]
        run = replace(run, samples=run.samples.merge(arms, on="arm_id", how="left", validate="many_to_one"))
    return Result(**{field.name: getattr(run, field.name) for field in fields(run)})


def measure(
    blocks: Mapping[str, object],
    shapes: Mapping[str, object] | Iterable[Mapping[str, object] | Sequence[int]],
    device: str | list[str] = "cpu",
    *,
    network: bool = False,
    out: str | Path | None = None,
    name: str = "python",
    anyway: bool = False,
    **settings: object,
) -> Result:
    """Measure blocks, the first as the baseline, as `bench run` measures a config: the run is kept in a results folder.

    `blocks`: by name an `nn.Module`, an importable factory or class (called with c_in, c_out, kernel, ... as far as it
    has parameters for them), an import path, or the name of one of our blocks. A module is measured as it is. Each
    must travel to fresh processes: by its import path or as a pickle, which the folder keeps.
    `shapes`: axes of a config, of which the product is measured: `{"channels": [32, "32->64"], "size": 28}`; or a list
    of shapes, as such mappings of one value each, or as (batch, channels, height, width).
    `network`: whether the blocks are whole networks. `settings`: more axes and timing keys of a config (`threads=1`,
    `mode="compile"`, `pass_="training"`, `seconds=0.3`). `out`: the folder; by default `results/NAME-DEVICE-TIME`.
    `anyway`: measure in spite of red checks. UserError, with nothing measured, for all that can't be.
    """
    timing = {key: value for key, value in settings.items() if key in Timing.model_fields}
    axes, step = _axes(shapes)
    axes |= {key.removesuffix("_"): value for key, value in settings.items() if key not in timing}
    with tempfile.TemporaryDirectory(prefix="bench-modules-") as kept:
        entries = [_entry(label, block, Path(kept), network) for label, block in blocks.items()]
        sweep = {"blocks": entries, "axes": axes, **({"together": step} if step else {})}
        data = {"name": name, **({"timing": timing} if timing else {}), "experiments": {"shapes": sweep}}
        names, into, command = devices(device), Path(out) if out else None, [f"bench.measure({listed(list(blocks))})"]
        plan = runner.planned(check(data, "bench.measure"), names)
        pickles = Path(kept) if any(Path(kept).iterdir()) else None
        try:
            with or_advise("repeat the call"):
                ended = runner.measure(plan, data, names, into, command, runner.stderr_line, anyway, pickles)
        except UserError as error:
            remedy = error.remedy.replace("--anyway (make: ANYWAY=1)", "anyway=True")
            raise UserError(error.place, error.rule, remedy, error.value) from None
        except Interrupted as interrupted:
            raise KeyboardInterrupt(f"to continue: {plan.resume_command(interrupted.folder)}") from None
    write.write_numbers(read(ended.folder, samples=True), ended.folder)
    return load(ended.folder)


def _axes(shapes: Any) -> tuple[dict[str, Any], list[str]]:
    """The axes of a config, and those that walk in step: of a list of shapes all that differ."""
    if isinstance(shapes, Mapping):
        return dict(shapes), []
    rows = [_row(shape) for shape in shapes]
    if any(row.keys() != rows[0].keys() for row in rows) or not rows:
        raise UserError("shapes", "they have not all the same axes", "Give at least one shape, each with the same axes")
    axes = {axis: [row[axis] for row in rows] for axis in rows[0]}
    axes = {axis: values if any(v != values[0] for v in values) else values[:1] for axis, values in axes.items()}
    step = [axis for axis, values in axes.items() if len(values) > 1]
    return axes, step if len(step) > 1 else []


def _row(shape: Any) -> Mapping[str, object]:
    if isinstance(shape, Mapping):
        return shape
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 4:
        rule = "it is neither a mapping of axes nor (batch, channels, height, width)"
        raise UserError("shapes", rule, "Write {'channels': 64, 'size': 28} or (1, 64, 28, 28)", shape)
    batch, channels, height, width = shape
    return {"batch": batch, "channels": channels, "size": f"{height}x{width}"}


def _entry(label: str, block: Any, kept: Path, network: bool) -> dict[str, Any]:
    """A block of a config. UserError for what can't travel to a fresh process."""
    place = f"blocks[{label!r}]"
    if isinstance(block, Mapping):
        return dict(block)
    if isinstance(block, str) and ":" not in block:
        if block != label and block in BLOCKS:
            raise UserError(place, "a block of ours keeps its name", f"Write {{{block!r}: {block!r}}}", block)
        return {"name": block}
    if not isinstance(block, str) and not callable(block):
        remedy = "Give an nn.Module, a factory, package.module:name or the name of a block"
        raise UserError(place, "it is no block", remedy, type(block).__name__)
    path = block if isinstance(block, str) else _path_of(block) or _pickled(place, block, kept)
    return {"import": path, "name": label, **({"network": True} if network else {})}


def _path_of(factory: Any) -> str | None:
    """The import path under which a fresh process finds the same function or class; None where there is none."""
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", "<")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is factory and module != "__main__" else None


def _pickled(place: str, block: Any, kept: Path) -> str:
    """The path of a pickle that is named by its hash; a module on the CPU. UserError where that can't be."""
    remedy = "Write its class or factory in a file, as blocks.py, and import it from there"
    try:
        content = pickle.dumps(copy.deepcopy(block).cpu() if hasattr(block, "state_dict") else block)
        if any(word in ("__main__", "__mp_main__") for _, word, _ in pickletools.genops(content)):
            raise TypeError("it is made in a script or a notebook")
    except Exception as error:  # noqa: BLE001 (whatever its parts raise)
        raise UserError(place, f"it can't travel to a fresh process: {first_line(error, 150)}", remedy) from None
    name = f"m_{hashlib.sha256(content).hexdigest()[:16]}"
    (kept / name).write_bytes(content)
    return f"bench.measure.pickled:{name}"
