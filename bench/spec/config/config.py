"""The config file (named experiments, each with blocks and axes, and the timing), its reading, `--set` and its size limits."""

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
from bench.spec.config.axes import BLOCK_AXES, NOTATION, SHAPE_AXES, Axes, read_shape
from bench.spec.config.block_entries import STRICT, BlockEntry, as_mapping, key
from bench.spec.config.shipped import config_file
from bench.spec.config.timing import Timing
from bench.spec.config.yaml_file import Place, first_mistake, keys_of, read_yaml
from bench.spec.errors import UserError, nearest

MOST_TRIALS = 50_000
MOST_BYTES = 1 << 38  # 256 GiB for an arm: more than any machine that this is meant for
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"  # of a config or experiment: part of a folder's or trial's name

_ELSEWHERE = {
    "name": "Write name: at the top of a config file; bench run --out DIR names a folder",
    "description": "Write description: in a config file, at its top or in an experiment",
    "experiments": "Write them in a config file: --set changes axes in all of them",
    "blocks": "Write blocks: [standard, separable] in a config file, in each experiment",
    "shapes": "Write shapes: [32->64 56x56 k3] in a config file, in an experiment",
    "together": "Write together: [kernel, channels] in a config file, in an experiment",
    "on": "Write on: accelerator in a config file, in an experiment",
    "axes": "Name the axis itself: --set kernel=3,5",
    "timing": "Name one of its keys: --set precision=0.1",
    "device": "Write --device cpu,cuda:0",
}
"""Keys of a config that are neither an axis nor a timing key, and how to set them."""
Setting = tuple[str, str, list[object]]
"""The option's text, the name of an axis or timing key, and its values."""
_SHAPED = ("channels", "kernel", "size", "stride", "padding", "dilation")  # that a shape's text holds
_NUMBER = re.compile(r"^[-+]?[0-9]{1,18}$")
_NAME = "at most 64 letters, digits, _ . - and begin with a letter or digit"
_Sentence = Annotated[str, key("a sentence, in quotes if it looks like a number")]


class _Model(BaseModel):
    model_config = STRICT


class Experiment(_Model):
    """Blocks, or networks, to compare (the first is the baseline) over the product of the axes."""

    description: _Sentence = ""
    blocks: Annotated[
        list[Annotated[BlockEntry, BeforeValidator(as_mapping)]],
        Field(min_length=1, description=f"List the blocks, the baseline first: {', '.join(BLOCKS)}"),
    ]
    axes: Axes = Axes()
    on: Annotated[
        Literal["any", "cpu", "accelerator"], Field(description="Write cpu, accelerator or any: the devices it is for")
    ] = "any"
    together: Annotated[
        list[Literal["channels", "kernel", "size", "batch", "stride", "padding", "dilation", "depth"]],
        Field(description=f"List axes that walk in step, of {', '.join(SHAPE_AXES)}"),
    ] = []
    shapes_: Annotated[
        list[Annotated[Axes, BeforeValidator(read_shape)]],
        Field(alias="shapes", description=f"List shapes in quotes, each as {NOTATION}"),
    ] = []

    @model_validator(mode="after")
    def _steps_alike(self) -> Experiment:
        if len(set(self.together)) < len(self.together):
            raise PydanticCustomError("step", "together names an axis twice", {"remedy": "Remove one"})
        if len(self.together) == 1:
            remedy = {"remedy": "Name the axes that walk in step with it, or remove together"}
            raise PydanticCustomError("step", "together names one axis only", remedy)
        sizes = {name: len(getattr(self.axes, name)) for name in self.together}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{size} of {name}" for name, size in sizes.items())
            words = {"words": counts, "remedy": "Give each as many values as the others"}
            raise PydanticCustomError("step", "axes that walk in step differ in their number of values: {words}", words)
        return self

    @model_validator(mode="after")
    def _shapes_or_axes(self) -> Experiment:
        both = [name for name in _SHAPED if name in self.axes.model_fields_set]
        both += ["together"] * bool(self.together) + ["networks"] * self.network
        if self.shapes_ and both:
            words = {"what": ", ".join(both), "remedy": "Remove shapes, or that"}
            raise PydanticCustomError("shapes", "shapes and {what} exclude each other", words)
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Experiment:
        labels = [c.label for c in self.choices()]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            words = {"label": twice, "remedy": "Remove one"}
            raise PydanticCustomError("twice", "the block {label} is listed twice", words)
        whole = {c.network: c.name for c in self.choices()}
        if len(whole) > 1:
            remedy = "Use separate experiments; write network: true beside an import of a network"
            words = {"block": whole[False], "network": whole[True], "remedy": remedy}
            raise PydanticCustomError("mixed", "{block} is a block and {network} a network, whose inputs differ", words)
        return self

    def choices(self) -> tuple[BlockChoice, ...]:
        """The blocks, the baseline first."""
        return tuple(b.choice() for b in self.blocks)

    @property
    def network(self) -> bool:
        return self.blocks[0].choice().network

    def swept(self) -> Axes:
        """The axes of the plan, with the columns of `shapes`. For networks, BLOCK_AXES have one value each; size defaults to the first one's."""
        if self.shapes_:
            columns = {n: [value for axes in self.shapes_ for value in getattr(axes, n)] for n in _SHAPED}
            return self.axes.model_copy(update=columns)
        if not self.network:
            return self.axes
        size = next((BLOCKS[b.name].network for b in self.blocks if b.name in BLOCKS), 224)
        fixed: dict[str, object] = {name: Axes.model_fields[name].default for name in BLOCK_AXES}
        fixed |= {"channels": [(IMAGE_CHANNELS, CLASSES)], "kernel": [1]}
        fixed |= {} if "size" in self.axes.model_fields_set else {"size": [(size, size)]}
        return self.axes.model_copy(update=fixed)

    def shapes(self) -> Iterator[tuple[Any, ...]]:
        """The values of SHAPE_AXES for each shape: the product of the axes; those in `together` walk in step."""
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
        """The number of trials on one device, skipped ones included."""
        axes, step = self.swept(), self.in_step()
        return math.prod(len(getattr(axes, axis)) for axis in Axes.model_fields if axis not in step[1:])

    def in_step(self) -> tuple[str, ...]:
        """The axes that walk in step, in the order of SHAPE_AXES, without BLOCK_AXES for networks."""
        if self.shapes_:
            return _SHAPED
        fixed = BLOCK_AXES if self.network else ()
        return tuple(name for name in SHAPE_AXES if name in self.together and name not in fixed)


class SweepConfig(_Model):
    """A whole config file."""

    name: str = key(_NAME, pattern=NAME_PATTERN)
    description: _Sentence = ""
    timing: Timing = Timing()
    experiments: Annotated[
        dict[Annotated[str, Field(pattern=NAME_PATTERN)], Experiment],
        Field(min_length=1, description=f"Name at least one experiment, by {_NAME}"),
    ]


def load(path: Path, overrides: Iterable[str] = ()) -> tuple[SweepConfig, dict[str, Any]]:
    """Read a config, by its file or its name, apply `axis=v1,v2` overrides to every experiment, check it.

    Returns the config and the plain data it was made from (what a results folder keeps). UserError for any mistake.
    """
    data, place = read_yaml(config_file(path))
    return with_overrides(data, place, overrides), data


def with_overrides(data: dict[str, Any], place: Place, overrides: Iterable[str]) -> SweepConfig:
    """The config of plain data, which the overrides are written into. UserError for any mistake."""
    settings = [parse_setting(text) for text in overrides]
    if settings:
        _validated(data, place)  # first, so that a mistake in the file is reported with its line there
        _apply(data, settings)
        place = Place(" ".join([place.name, *(f"--set {text}" for text, _, _ in settings)]))
    return check(data, place)


def check(data: dict[str, Any], place: Place | str) -> SweepConfig:
    """The config of plain data. UserError names the first mistake and the number of others."""
    place = Place(place) if isinstance(place, str) else place
    config = _validated(data, place)
    count = 0
    for name, experiment in config.experiments.items():
        at = ("experiments", name, "axes")
        axes = experiment.swept()
        if "same" in axes.padding and not all(c.any_kernel for c in experiment.choices()):
            for i, kernel in enumerate(axes.kernel):
                if kernel % 2 == 0 and not (experiment.shapes_ and axes.padding[i] == "valid"):
                    where = (*at[:2], "shapes", i) if experiment.shapes_ else (*at, "kernel", i)
                    raise UserError(place.of(where), *EVEN_KERNEL, value=kernel)
        count += experiment.count()
        if count > MOST_TRIALS:
            rule = f"the axes make more than {MOST_TRIALS} trials"
            raise UserError(place.of(at), rule, "Remove values, or split the config.", value=count)
        _fits_a_machine(experiment, place, at)
    return config


def _fits_a_machine(experiment: Experiment, place: Place, at: tuple[str, ...]) -> None:
    """UserError if an arm needs over MOST_BYTES. Memory grows with every axis, so only the largest values are tried."""
    axes = experiment.swept()
    (height, width), batch = max(axes.size, key=math.prod), max(axes.batch)
    kernel, depth = max(axes.kernel), max(axes.depth)
    for c_in, c_out in dict.fromkeys(axes.channels):
        for choice in experiment.choices():
            shape = Shape(c_in, c_out, height, width, kernel, padding="valid", batch=batch)
            try:
                needed = _bytes(choice, shape, depth, max(axes.stride))
            except UserError:
                continue  # the plan skips it and gives the reason
            if needed > MOST_BYTES:
                size = f"{height}x{width} pixels, batch {batch}"
                if not choice.network:
                    size = f"{c_in}->{c_out} channels, {height}x{width} pixels, kernel {kernel}, batch {batch}, depth {depth}"
                rule = f"{choice.label} with {size} needs more than {MOST_BYTES >> 30} GiB"
                raise UserError(place.of(at), rule, "Reduce the largest of them.", value=needed)


def _bytes(choice: BlockChoice, s: Shape, depth: int, stride: int) -> int:
    """A rough lower bound of an arm's bytes in fp32: its weights, and a network's values or a block's largest map."""
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


def parse_setting(text: str) -> Setting:
    """`kernel=3,5` or `kernel=[3, 5]` as text, name and values. UserError for another key, or without values."""
    name, equals, values = (part.strip() for part in text.partition("="))
    place, example = f"--set {text}", f"Write --set {name}=value,value"
    known = [*keys_of(Axes), *Timing.model_fields]
    for word, remedy in _ELSEWHERE.items():
        if word.removesuffix("s") == name.removesuffix("s"):
            raise UserError(place, f"{name} is neither an axis nor a timing key", remedy)
    if name not in known:
        raise UserError(place, "no such axis or timing key", nearest(name.rpartition(".")[2], known, "Known"))
    if values.startswith("[") != values.endswith("]"):
        raise UserError(place, "a bracket is missing", f"{example}, or in quotes --set '{name}=[value, value]'")
    pieces = [piece.strip() for piece in values.removeprefix("[").removesuffix("]").split(",")]
    if not equals or not all(pieces):
        raise UserError(place, "a value is missing", example)
    return text, name, [_scalar(piece) for piece in pieces]


def _scalar(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.match(text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


def _apply(data: dict[str, Any], settings: list[Setting]) -> None:
    """Write the settings into valid data, in place. UserError for a name that is set twice."""
    seen: set[str] = set()
    for text, name, values in settings:
        if name in seen:
            raise UserError(f"--set {text}", f"{name} is set twice", f"Write --set {name}=value,value once")
        seen.add(name)
        if name in Timing.model_fields:
            data.setdefault("timing", {})[name] = values[0] if len(values) == 1 else values
            continue
        for experiment in data["experiments"].values():
            experiment.setdefault("axes", {})[name] = list(values)
