"""The config file: named experiments, each with blocks, axes and a timing policy. Every mistake is one line."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from bench.spec.blocks.blocks import BLOCKS, CLASSES, EVEN_KERNEL, IMAGE_CHANNELS, BlockChoice, Shape, build
from bench.spec.blocks.costs import ITEM_BYTES, conv_params, cost
from bench.spec.config.axes import BLOCK_AXES, SHAPE_AXES, Axes
from bench.spec.config.block_entries import STRICT, BlockEntry, named
from bench.spec.config.validation_errors import Place, first_mistake
from bench.spec.config.yaml_source import read
from bench.spec.errors import UserError, nearest

MOST_TRIALS = 50_000
MOST_BYTES = 1 << 38  # 256 GiB: beyond any machine this is meant for, so a slip of the pen
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"  # of a config or an experiment: it becomes part of a folder's and a trial's
_ELSEWHERE = {
    "name": "Write name: at the top of a config file; bench run --out DIR names a folder",
    "description": "Write description: in a config file, at its top or in an experiment",
    "experiments": "Write them in a config file: --set changes axes in all of them",
    "blocks": "Write blocks: [standard, separable] in a config file, in each experiment",
    "together": "Write together: [kernel, channels] in a config file, in an experiment",
    "axes": "Name the axis itself: --set kernel=3,5",
    "timing": "Name one of its keys: --set precision=0.1",
    "device": "Write --device cpu,cuda:0",
}
"""How to set what is neither an axis nor a timing key."""
_NUMBER = re.compile(r"^[-+]?[0-9]{1,18}$")


class _Model(BaseModel):
    model_config = STRICT


class Timing(_Model):
    """When to stop, and how samples are taken. Times in seconds; `seconds` is for one trial in one process."""

    precision: Annotated[
        float, Field(gt=0, lt=1, description="Write the half-width to reach of the interval of ln(speedup), as 0.05")
    ] = 0.05
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="Write a share above 0.5 and below 1, as 0.95")] = 0.95
    processes_min: Annotated[int, Field(ge=1, le=1000, description="Write a whole number from 1 to 1000")] = 6
    processes_max: Annotated[int, Field(ge=1, le=1000, description="Write a whole number from 1 to 1000")] = 12
    seconds: Annotated[float, Field(gt=0, le=3600, description="Write seconds above 0, at most 3600")] = 0.6
    rounds_min: Annotated[int, Field(ge=1, le=100_000, description="Write a whole number from 1 to 100000")] = 4
    rounds_max: Annotated[int, Field(ge=1, le=100_000, description="Write a whole number from 1 to 100000")] = 1000
    sample_seconds: Annotated[float, Field(ge=1e-5, le=60, description="Write seconds from 1e-5 to 60")] = 0.002
    warmup_seconds: Annotated[float, Field(ge=0, le=600, description="Write seconds from 0 to 600")] = 0.3
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400, description="Write seconds above 0, at most 86400")] = 120
    seed: Annotated[int, Field(ge=0, lt=2**63, description="Write a whole number from 0 to 2^63 - 1")] = 1
    second_opinions: Annotated[
        float, Field(ge=0, le=1, description="Write the share of trials that other tools time too, from 0 to 1")
    ] = 0.0
    minutes: Annotated[
        float | None,
        Field(
            gt=0, le=100_000, description="Write the minutes that a device may take, after which no process is begun"
        ),
    ] = None
    visit_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=86_400,
            description="Write the seconds that a trial's fewest rounds may take; slower ones are skipped",
        ),
    ] = None

    @model_validator(mode="after")
    def _in_order(self) -> Timing:
        for low, high in (("processes_min", "processes_max"), ("rounds_min", "rounds_max")):
            least, most = getattr(self, low), getattr(self, high)
            if least > most:
                remedy = f"Raise {high} or lower {low}"
                raise PydanticCustomError(
                    "order", "{low} {least} is above {high} {most}",
                    {"low": low, "least": least, "high": high, "most": most, "remedy": remedy},
                )  # fmt: skip
        return self


class Experiment(_Model):
    """Blocks, or networks, to compare (the first is the baseline) over the product of the axes."""

    description: Annotated[str, Field(description="Write a sentence, in quotes if it looks like a number")] = ""
    blocks: Annotated[
        list[Annotated[BlockEntry, BeforeValidator(named)]],
        Field(min_length=1, description=f"List the blocks, the baseline first: {', '.join(BLOCKS)}"),
    ]
    axes: Axes = Axes()
    together: Annotated[
        list[Literal["channels", "kernel", "size", "batch", "stride", "padding", "dilation", "depth"]],
        Field(description=f"List axes that walk in step, of {', '.join(SHAPE_AXES)}"),
    ] = []

    @model_validator(mode="after")
    def _steps_alike(self) -> Experiment:
        if len(set(self.together)) < len(self.together):
            raise PydanticCustomError("step", "an axis stands twice in together", {"remedy": "Take one out"})
        if len(self.together) == 1:
            out = {"remedy": "Name those that walk with it, or take together out"}
            raise PydanticCustomError("step", "one axis alone has none to walk with", out)
        sizes = {name: len(getattr(self.axes, name)) for name in self.together}
        if len(set(sizes.values())) > 1:
            words = ", ".join(f"{size} of {name}" for name, size in sizes.items())
            raise PydanticCustomError(
                "step", "axes that walk together differ in length: {words}",
                {"words": words, "remedy": "Give each as many values as the others"},
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Experiment:
        labels = [b.choice().label for b in self.blocks]
        for label in labels:
            if labels.count(label) > 1:
                raise PydanticCustomError(
                    "twice", "the block {label} stands twice in it", {"label": label, "remedy": "Take one out"}
                )
        whole = {b.choice().network: b.name for b in self.blocks}
        if len(whole) > 1:
            raise PydanticCustomError(
                "mixed", "{block} is a block and {network} a network, which take other inputs",
                {"block": whole[False], "network": whole[True], "remedy": "Give each kind an experiment of its own"},
            )  # fmt: skip
        return self

    def choices(self) -> tuple[BlockChoice, ...]:
        """The blocks, the baseline first."""
        return tuple(b.choice() for b in self.blocks)

    @property
    def network(self) -> bool:
        """Whether it compares networks."""
        return self.blocks[0].choice().network

    def swept(self) -> Axes:
        """The axes as they count. Of networks, those of blocks have one value, and images the first one's size if not told."""
        if not self.network:
            return self.axes
        size = next((BLOCKS[b.name].network for b in self.blocks if b.name in BLOCKS), 224)
        own: dict[str, object] = {name: Axes.model_fields[name].default for name in BLOCK_AXES}
        own |= {"channels": [(IMAGE_CHANNELS, CLASSES)], "kernel": [1]}
        own |= {} if "size" in self.axes.model_fields_set else {"size": [(size, size)]}
        return self.axes.model_copy(update=own)

    def shapes(self) -> Iterator[tuple[Any, ...]]:
        """The values of SHAPE_AXES, shape by shape: the product of all, save that those of `together` walk in step."""
        axes, step = self.swept(), self.in_step()
        walks: list[list[dict[str, Any]]] = []
        for name in SHAPE_AXES:
            if name not in step:
                walks.append([{name: value} for value in getattr(axes, name)])
            elif name == step[0]:
                columns = [getattr(axes, n) for n in step]
                walks.append([dict(zip(step, values, strict=True)) for values in zip(*columns, strict=True)])
        for parts in itertools.product(*walks):
            chosen = {name: value for part in parts for name, value in part.items()}
            yield tuple(chosen[name] for name in SHAPE_AXES)

    def count(self) -> int:
        """How many trials it makes on one device, before the skips."""
        axes, step = self.swept(), self.in_step()
        return math.prod(len(getattr(axes, axis)) for axis in Axes.model_fields if axis not in step[1:])

    def in_step(self) -> tuple[str, ...]:
        """The axes that walk in step, in the order of SHAPE_AXES; a network has fewer axes."""
        own = BLOCK_AXES if self.network else ()
        return tuple(name for name in SHAPE_AXES if name in self.together and name not in own)


class SweepConfig(_Model):
    """A whole config file."""

    name: Annotated[
        str, Field(pattern=NAME, description="Write at most 64 letters, digits, _ . - and begin with a letter or digit")
    ]
    description: Annotated[str, Field(description="Write a sentence, in quotes if it looks like a number")] = ""
    timing: Timing = Timing()
    experiments: Annotated[
        dict[Annotated[str, Field(pattern=NAME)], Experiment],
        Field(
            min_length=1,
            description="Name at least one experiment, by at most 64 letters, digits, _ . - and begin with a letter or digit",
        ),
    ]


def load(path: Path, overrides: Iterable[str] = ()) -> tuple[SweepConfig, dict[str, Any]]:
    """Read a config file, apply `axis=v1,v2` overrides to every experiment, check it.

    Returns the config and the plain data it was made from (what a results folder keeps). UserError for any mistake.
    """
    data, place = read(path)
    return _with(data, place, str(path), overrides), data


def overridden(data: dict[str, Any], place: str, overrides: Iterable[str]) -> tuple[SweepConfig, dict[str, Any]]:
    """The same for plain data, which the overrides are written into."""
    return _with(data, Place(place), place, overrides), data


def _with(data: dict[str, Any], place: Place, name: str, overrides: Iterable[str]) -> SweepConfig:
    settings = [_setting(text) for text in overrides]
    if settings:
        _validated(data, place)  # so that the file's own mistakes are told by their place in it
        _override(data, settings)
        place = Place(" ".join([name, *(f"--set {text}" for text, _, _ in settings)]))
    return _checked(data, place)


def check(data: dict[str, Any], place: str) -> SweepConfig:
    """The config that plain data describe; UserError names the first mistake and how many more there are."""
    return _checked(data, Place(place))


def _checked(data: dict[str, Any], place: Place) -> SweepConfig:
    config = _validated(data, place)
    count = 0
    for name, experiment in config.experiments.items():
        at = ("experiments", name, "axes")
        axes = experiment.swept()
        if "same" in axes.padding and not all(c.any_kernel for c in experiment.choices()):
            for i, kernel in enumerate(axes.kernel):
                if kernel % 2 == 0:
                    raise UserError(place.of((*at, "kernel", i)), *EVEN_KERNEL, value=kernel)
        count += experiment.count()
        if count > MOST_TRIALS:
            rule = f"the axes make more than {MOST_TRIALS} trials"
            raise UserError(place.of(at), rule, "Take values out, or split the config.", value=count)
        _fits_a_machine(experiment, place, at)
    return config


def _fits_a_machine(experiment: Experiment, place: Place, at: tuple[str, ...]) -> None:
    """UserError where an arm is absurd. All its sizes grow with every axis, so the largest values alone are tried."""
    axes = experiment.swept()
    (height, width), batch = max(axes.size, key=math.prod), max(axes.batch)
    kernel, depth = max(axes.kernel), max(axes.depth)
    for c_in, c_out in dict.fromkeys(axes.channels):
        for choice in experiment.choices():
            shape = Shape(c_in, c_out, height, width, kernel, padding="valid", batch=batch)
            try:
                needed = _bytes(choice, shape, depth, max(axes.stride))
            except UserError:
                continue  # the plan says why it is skipped
            if needed > MOST_BYTES:
                size = (
                    f"{height}x{width} pixels, batch {batch}"
                    if choice.network
                    else f"{c_in}->{c_out} channels, {height}x{width} pixels, kernel {kernel}, batch {batch}, depth {depth}"
                )
                raise UserError(
                    place.of(at), f"{choice.label} with {size} needs more than {MOST_BYTES >> 30} GiB",
                    "Take the largest of them down.", value=needed,
                )  # fmt: skip


def _bytes(choice: BlockChoice, s: Shape, depth: int, stride: int) -> int:
    """About what an arm holds in fp32: of a network its values and weights, of a block its largest map and weights."""
    block, item = build(choice, s), ITEM_BYTES["fp32"]
    if choice.network:
        theory = cost(block, s.height, s.width, s.batch)
        return theory.memory_bytes + item * (theory.params + s.batch * s.height * s.width * s.c_in)
    layers = block.layers
    grown = stride**2 if layers[0].op == "transposed" else 1
    widest = max(max(layer.c_in, layer.c_out) for layer in layers)
    return item * (s.batch * s.height * s.width * widest * grown + depth * sum(conv_params(layer) for layer in layers))


def _validated(data: dict[str, Any], place: Place) -> SweepConfig:
    try:
        return SweepConfig.model_validate(data)
    except ValidationError as error:
        raise first_mistake(error, SweepConfig, place) from None


def _setting(text: str) -> tuple[str, str, list[object]]:
    """`kernel=3,5` or `kernel=[3, 5]` as text, name and values. UserError where it cannot be one."""
    name, equals, values = (part.strip() for part in text.partition("="))
    known = [f.alias or n for n, f in Axes.model_fields.items()] + list(Timing.model_fields)
    where = next(
        (remedy for key, remedy in _ELSEWHERE.items() if key.removesuffix("s") == name.removesuffix("s")), None
    )
    if where is not None:
        raise UserError(f"--set {text}", f"{name} is neither an axis nor a timing key", where)
    if name not in known:
        raise UserError(f"--set {text}", "no such axis or timing key", nearest(name.rpartition(".")[2], known, "Known"))
    if values.startswith("[") != values.endswith("]"):
        raise UserError(f"--set {text}", "one of its brackets is missing", f"Write --set {name}=value,value, or in quotes --set '{name}=[value, value]'.")  # fmt: skip
    pieces = [piece.strip() for piece in values.removeprefix("[").removesuffix("]").split(",")]
    if not equals or not all(pieces):
        raise UserError(f"--set {text}", "it is empty where a value is due", f"Write --set {name}=value,value.")
    return text, name, [_scalar(piece) for piece in pieces]


def _scalar(text: str) -> object:
    if _NUMBER.match(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _override(data: dict[str, Any], settings: list[tuple[str, str, list[object]]]) -> None:
    """Write the settings into data that a check has passed."""
    told: set[str] = set()
    for text, name, values in settings:
        if name in told:
            raise UserError(
                f"--set {text}", f"{name} is set twice", f"Write its values once: --set {name}=value,value."
            )
        told.add(name)
        if name in Timing.model_fields:
            data.setdefault("timing", {})[name] = values[0] if len(values) == 1 else values
            continue
        for experiment in data["experiments"].values():
            experiment.setdefault("axes", {})[name] = list(values)
