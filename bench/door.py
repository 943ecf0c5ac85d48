"""The program from Python: read a run (`load`), or measure modules as a run (`measure`), and look at it (`Result`)."""

from __future__ import annotations

import copy
import hashlib
import html
import os
import pickle
import pickletools
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
from bench.run.machine import usable_cores
from bench.run.session import Interrupted
from bench.show import write
from bench.show.plots import claims_forest
from bench.show.plots import drivers as drivers_picture
from bench.show.text import report
from bench.spec.blocks.blocks import BLOCKS
from bench.spec.columns import BY_NAME, KEYS, Column
from bench.spec.config.axes import SHAPE_AXES
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.errors import UserError, first_line
from bench.spec.files import MODULES, or_advise
from bench.spec.format import listed
from bench.spec.plan.plan import make, not_all_skipped

__all__ = ["Result", "UserError", "load", "measure"]

PICKLED = "bench.measure.pickled"
_PAIRED = ("channels", "size")  # axes of two numbers, and what the config writes between them
_PLACE = "bench.measure"


@dataclass(frozen=True)
class Result:
    """A run: its tables, its claims and its pictures. In a notebook it shows its answer."""

    run: Run

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.run.folder

    @property
    def pairs(self) -> pd.DataFrame:
        """A row per block, shape and way to run: speedup over the baseline with its interval (pairs.csv)."""
        return self.run.pairs

    @property
    def measurements(self) -> pd.DataFrame:
        """A row per block, baselines too, shape and way to run: times in s, costs, memory in bytes (measurements.csv)."""
        return self.run.measurements

    @cached_property
    def samples(self) -> pd.DataFrame:
        """A row per timed sample, in s for one evaluation, with the shape and the settings of its arm.

        Read at the first use. Empty for a folder that keeps neither journal nor samples.csv.
        """
        every = read(self.folder, samples=True).samples
        if every is None:
            return pd.DataFrame(columns=["arm_id", *KEYS])
        more = [name for name in KEYS if name not in every]
        return every.merge(self.measurements[["arm_id", *more]], on="arm_id", how="left", validate="many_to_one")

    @property
    def machine(self) -> dict[str, Any]:
        """The host's facts, memory in bytes; `devices`: the name of each; versions of torch and Python."""
        seen = self.run.environment
        names = {device: facts.get("name") for device, facts in (seen.get("devices") or {}).items()}
        return {**(seen.get("host") or {}), "devices": names, "torch": seen.get("torch"), "python": seen.get("python")}

    @property
    def columns(self) -> Mapping[str, Column]:
        """What each column of the tables means: `unit` (SI, or empty for a ratio or a count), `meaning`, `empty`."""
        return BY_NAME

    @cached_property
    def claims(self) -> pd.DataFrame:
        """A row per claim of the texts and condition: the answer, the effect with its interval, p corrected, and why."""
        rows = [
            {"claim": claim["id"], "condition": v["place"]["label"]}
            | {name: v[name] for name in ("answer", "confirmatory", "p_adjusted", "why")}
            | {f"effect_{name}": (v["effect"] or {}).get(name) for name in ("name", "value", "low", "high", "unit")}
            for claim in judge([self.run]).to_dict()["claims"]
            for v in claim["verdicts"]
        ]
        return pd.DataFrame(rows)

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
        figure: Figure | None = makers[name](self.run)
        if figure is None:
            raise UserError("plot", "this run has no rows for it", "docs/GALLERY.md says what each needs", name)
        return figure

    def __repr__(self) -> str:
        return "\n".join([*report.heads(self.run), f"folder: {self.run.called}"])

    def _repr_html_(self) -> str:
        first, *more = map(html.escape, [*report.heads(self.run), f"folder: {self.run.called}"])
        return "".join([f"<p><b>{first}</b></p>", *(f"<p>{line}</p>" for line in more)])


def load(folder: str | Path) -> Result:
    """The run in a results folder, as `results/latest`, or by its name below `results/`. UserError for no run."""
    return Result(read(named_folder(Path(folder))))


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
        names = devices(device)
        plan = make(check(data, _PLACE), names, usable_cores())
        not_all_skipped(plan)
        command = [f"{_PLACE}({listed(list(blocks))})"]
        before = os.environ.pop(MODULES, None)
        os.environ |= {MODULES: kept} if any(Path(kept).iterdir()) else {}
        try:
            with or_advise("repeat the call"):
                folder = runner.measure(
                    plan, data, names, Path(out) if out else None, command, runner.stderr_line, anyway
                ).folder
        except UserError as error:
            remedy = error.remedy.replace("--anyway (make: ANYWAY=1)", "anyway=True")
            raise UserError(error.place, error.rule, remedy, error.value) from None
        except Interrupted as interrupted:
            raise KeyboardInterrupt(f"to continue: {plan.resume_command(interrupted.folder)}") from None
        finally:
            os.environ.pop(MODULES, None)
            os.environ |= {} if before is None else {MODULES: before}
    result = load(folder)
    write.write_numbers(result.run, folder)
    return result


def _axes(shapes: Any) -> tuple[dict[str, Any], list[str]]:
    """The axes of a config, and those that walk in step: of a list of shapes all that differ."""
    if isinstance(shapes, Mapping):
        return dict(shapes), []
    rows = [_shape(shape, i) for i, shape in enumerate(shapes)]
    odd = next((i for i, row in enumerate(rows) if row.keys() != rows[0].keys()), None if rows else 0)
    if odd is not None:
        raise UserError(f"shapes[{odd}]", "it has not the axes of the first", "Give at least one shape, all with the same axes")  # fmt: skip
    axes = {axis: [row[axis] for row in rows] for axis in rows[0]}
    axes = {axis: values if any(v != values[0] for v in values) else values[:1] for axis, values in axes.items()}
    step = [axis for axis, values in axes.items() if len(values) > 1]
    return axes, step if len(step) > 1 else []


def _shape(shape: Any, i: int) -> dict[str, Any]:
    if not isinstance(shape, Mapping):
        if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 4:
            rule = "it is neither a mapping of axes nor (batch, channels, height, width)"
            raise UserError(f"shapes[{i}]", rule, "Write {'channels': 64, 'size': 28} or (1, 64, 28, 28)", shape)
        shape = {"batch": shape[0], "channels": shape[1], "size": tuple(shape[2:])}
    if unknown := [axis for axis in shape if axis not in SHAPE_AXES]:
        rule = "a shape has no such axis"
        raise UserError(f"shapes[{i}]", rule, f"Write {listed(SHAPE_AXES, 'or')}", unknown[0])
    signs = dict(zip(_PAIRED, ("->", "x"), strict=True))
    pairs = {a: signs[a].join(map(str, v)) for a, v in shape.items() if a in signs and isinstance(v, Sequence) and not isinstance(v, str)}  # fmt: skip
    return {**shape, **pairs}


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
    path = block if isinstance(block, str) else _path_of(block) or f"{PICKLED}:{_pickled(place, block, kept)}"
    return {"import": path, "name": label, **({"network": True} if network else {})}


def _path_of(factory: Any) -> str | None:
    """The import path under which a fresh process finds the same function or class; None where there is none."""
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", "<")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is factory and module != "__main__" else None


def _pickled(place: str, block: Any, kept: Path) -> str:
    """Write the block as a pickle that is named by its hash; a module on the CPU. UserError where that can't be."""
    remedy = "Write its class or factory in a file, as blocks.py, and import it from there"
    try:
        content = pickle.dumps(copy.deepcopy(block).cpu() if hasattr(block, "state_dict") else block)
    except Exception as error:  # noqa: BLE001 (whatever its parts raise)
        raise UserError(place, f"it can't travel to a fresh process: {first_line(error, 150)}", remedy) from None
    if any(word in ("__main__", "__mp_main__") for _, word, _ in pickletools.genops(content)):
        raise UserError(place, "it can't travel to a fresh process: it is made in a script or a notebook", remedy)
    name = f"m_{hashlib.sha256(content).hexdigest()[:16]}"
    (kept / name).write_bytes(content)
    return name
