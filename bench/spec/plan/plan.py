"""Plan, Trial, Arm, Surroundings, and make(), which makes a config's plan: the product of its axes on each device.

The reasons to skip a trial that are known without torch are here too; their text becomes its rows' status_detail.
"""

from __future__ import annotations

import itertools
import math
import random
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench.spec.blocks.blocks import BlockChoice, build
from bench.spec.blocks.costs import Cost, cost
from bench.spec.blocks.layers import FIXED_IN_NETWORKS, Block, Shape
from bench.spec.config.axes import BLOCK_AXES, Axes
from bench.spec.config.config import MOST_TRIALS, Experiment, SweepConfig
from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import in_words, is_cpu, is_predicted, slug
from bench.spec.devices.predicted_devices import PredictedDevice, find_device
from bench.spec.errors import UserError
from bench.spec.format import plural

PREDICTED_TIMING = {  # a prediction is not random, so one process and one round are enough
    "processes_min": 1, "processes_max": 1, "rounds_min": 1, "rounds_max": 1, "second_opinions": 0.0,
}  # fmt: skip
OURS = "bench.measure.user_models:"  # factories of this package, which import what their words name
CPU_AXES = ("threads", "allocator", "waiting")
CUDNN_AXES = ("cudnn_benchmark",)
COMPILES_NOTHING = "a simulated run compiles nothing (bench predict crossover --mode compile predicts single blocks)"
ELSEWHERE = "of shard "  # so begins the reason to skip a trial that another shard measures
_SHAPE = tuple(field.name for field in fields(Shape))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The settings that a worker process starts with; trials with the same ones share workers."""

    device: str
    threads: int
    allocator: str
    waiting: str

    @property
    def label(self) -> str:
        """The device, a CPU's threads and what is not the default: `cpu, 2 threads`."""
        return ", ".join(self._words(in_words(self.device), plural(self.threads, "thread"), "allocator ", "waiting "))

    @property
    def slug(self) -> str:
        """The same in a trial's name: `cpu-2t`."""
        return "-".join(self._words(slug(self.device), f"{self.threads}t", "malloc_", ""))

    def _words(self, device: str, threads: str, allocator: str, waiting: str) -> list[str]:
        words = [device, *([threads] if is_cpu(self.device) else [])]
        words += [allocator + self.allocator] if self.allocator != "retain" else []
        return words + ([waiting + self.waiting] if self.waiting != "default" else [])


@dataclass(frozen=True, slots=True)
class Arm:
    """One block of a trial."""

    arm_id: str
    choice: BlockChoice


Costed = tuple[BlockChoice, Shape, str, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """The arms that are compared: the same shape, settings and surroundings; the first is the baseline."""

    trial_id: str
    experiment: str
    shape: Shape
    dtype: str
    layout: str
    mode: str
    pass_: str
    surroundings: Surroundings
    arms: tuple[Arm, ...]
    skip: str | None = None
    cudnn_benchmark: str = "on"

    @property
    def network(self) -> bool:
        return self.arms[0].choice.network

    @property
    def formula(self) -> bool:
        """Whether the costs of all arms are known without running them: none is a user's block."""
        return all(arm.choice.factory is None for arm in self.arms)

    @property
    def predicted(self) -> bool:
        """Whether its times come from a model."""
        return is_predicted(self.surroundings.device)

    def shape_fields(self) -> dict[str, Any]:
        """The shape by column names; None for FIXED_IN_NETWORKS in a network."""
        shape = {name: getattr(self.shape, name) for name in _SHAPE}  # asdict is ten times slower, for thousands
        return {**shape, **dict.fromkeys(FIXED_IN_NETWORKS)} if self.network else shape

    def block(self, arm: Arm) -> Block:
        return build(arm.choice, self.shape)

    def cost(self, arm: Arm) -> Cost:
        """The arm's exact cost for one evaluation."""
        return _cost(arm.choice, self.shape, self.dtype, self.pass_ == "training")

    def costed(self, arm: Arm) -> Costed:
        """What the arm's cost depends on."""
        return arm.choice, self.shape, self.dtype, self.pass_

    def to_dict(self) -> dict[str, Any]:
        """Plain data for plan.json and for a worker; there `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trial:
        arms = tuple(Arm(a["arm_id"], BlockChoice(**a["choice"])) for a in data["arms"])
        rest = {"shape": Shape(**data["shape"]), "surroundings": Surroundings(**data["surroundings"]), "arms": arms}
        return cls(**{**data, **rest})


SIDES = ("a", "b")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of `bench ab` is: the Python of its workers, folders first on its import path, and variables."""

    python: str
    path: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """All of it in a line: `A=1 /usr/bin/python3 with src/old`."""
        return " ".join([*map("=".join, self.variables), self.python, *(f"with {folder}" for folder in self.path)])


@dataclass(frozen=True, slots=True)
class Plan:
    """All trials of a config on this machine, in the order of the config; skipped ones have a reason.

    `sides`: A and B of `bench ab`, where the arms of each trial are one block on both; else empty. `shard`: number and
    count of a part of the plan, in which the trials of other parts are skipped.
    """

    name: str
    trials: tuple[Trial, ...]
    timing: Timing
    notes: tuple[str, ...] = ()
    sides: tuple[Side, ...] = ()
    shard: tuple[int, int] | None = None

    @property
    def active(self) -> tuple[Trial, ...]:
        """The trials that will be measured."""
        return tuple(t for t in self.trials if t.skip is None)

    @property
    def code(self) -> tuple[str, ...]:
        """What a worker runs beside this package and Python: users' blocks by their paths, and sides."""
        paths = [path for trial in self.active for arm in trial.arms for path in arm.choice.sources]
        blocks = dict.fromkeys(path for path in paths if not path.startswith(OURS))
        return (*blocks, *dict.fromkeys(side.label for side in self.sides if side != Side(sys.executable)))

    def resume_command(self, folder: Path) -> str:
        """What continues this plan's run in its folder, with --trust where it would run code of the user's."""
        return f"bench run --resume {shlex.quote(str(folder))}{' --trust' if self.code else ''}"

    def surroundings(self) -> tuple[Surroundings, ...]:
        """The environments of workers, in order of first use."""
        return tuple(dict.fromkeys(t.surroundings for t in self.active))

    @property
    def chosen(self) -> tuple[Trial, ...]:
        """The active trials for second opinions: the config's share of them, drawn by the seed, at least one.

        In a shard, its own among those that are drawn from the whole plan.
        """
        every = [t for t in self.trials if t.skip is None or t.skip.startswith(ELSEWHERE)]
        share, active = self.timing.second_opinions, [t for t in every if not t.predicted]
        if not share or not active:
            return ()
        coin = random.Random(f"{self.timing.seed}/second opinions")
        drawn = coin.sample(range(len(active)), max(1, round(share * len(active))))
        return tuple(active[i] for i in sorted(drawn) if active[i].skip is None)

    @property
    def limit_s(self) -> float:
        """Seconds after which no process begins: `timing.minutes` for each measured device; inf without a limit."""
        minutes = self.timing.minutes
        measured = {s.device for s in self.surroundings() if not is_predicted(s.device)}
        return math.inf if minutes is None else 60 * minutes * max(1, len(measured))

    def timing_of(self, device: str) -> Timing:
        """The config's timing, or PREDICTED_TIMING for a predicted device."""
        return self.timing.model_copy(update=PREDICTED_TIMING) if is_predicted(device) else self.timing

    def to_dict(self) -> dict[str, Any]:
        """Plain data for plan.json."""
        return {
            "name": self.name,
            "notes": list(self.notes),
            "timing": self.timing.model_dump(),
            "trials": [t.to_dict() for t in self.trials],
            **({"sides": [asdict(side) for side in self.sides]} if self.sides else {}),
            **({"shard": list(self.shard)} if self.shard else {}),
        }


@lru_cache(maxsize=16384)
def _cost(choice: BlockChoice, shape: Shape, dtype: str, training: bool) -> Cost:
    return cost(build(choice, shape), shape.height, shape.width, shape.batch, dtype, training)


def make(config: SweepConfig, devices: Sequence[str], cores: int) -> Plan:
    """The plan of a config: the product of each experiment's axes on each device.

    `cores`: physical cores that this process may use, which `threads: all` means; more threads are skipped. A predicted
    CPU has its own cores. UserError for over MOST_TRIALS trials, and for an unknown predicted device.
    """
    each = [(d, name, e) for d in devices for name, e in config.experiments.items() if meets(e, d)]
    if not each:
        raise UserError(config.name, "no experiment is for this device (on)", "Name another device, or write on: any", ", ".join(devices))  # fmt: skip
    count = sum(experiment.count() for *_, experiment in each)
    if count > MOST_TRIALS:
        rule = f"on {plural(len(devices), 'device')} the axes make more than {MOST_TRIALS} trials"
        raise UserError(config.name, rule, "Remove devices or values.", value=count)
    trials: list[Trial] = []
    notes: list[str] = []
    for name, experiment in config.experiments.items():
        fixed = [axis for axis in BLOCK_AXES if experiment.network and axis in experiment.axes.model_fields_set]
        notes += [f"{name}: networks fix {', '.join(fixed)} themselves; the given values are not used"] if fixed else []
    for device, name, experiment in each:
        trials += _trials(name, experiment, device, cores)
        given = experiment.axes.model_fields_set & set(idle_axes(device))
        for whose, shaping in (("a CPU's", CPU_AXES), ("cuDNN's", CUDNN_AXES)):
            words = ", ".join(axis for axis in shaping if axis in given)
            why = "are not in the model" if is_predicted(device) and is_cpu(device) else f"affect only {whose} time"
            notes += [f"{name} on {in_words(device)}: {words} {why}; one value is used"] if words else []
    unique = {t.trial_id: t for t in trials}  # a value given twice on an axis is one trial
    return Plan(config.name, tuple(unique.values()), config.timing, tuple(notes))


def not_all_skipped(plan: Plan) -> None:
    """UserError, with the commonest reason, for a plan whose trials are all skipped."""
    if not plan.active:
        (reason, _), *others = Counter(t.skip for t in plan.trials).most_common()
        rule = f"every trial is skipped: {reason}" + (f", and {plural(len(others), 'more reason')}" if others else "")
        raise UserError(plan.name, rule, "Change the axes or the device; bench plan lists the reasons")


def meets(experiment: Experiment, device: str) -> bool:
    """Whether an experiment is for this device."""
    return experiment.on == "any" or (experiment.on == "cpu") == is_cpu(device)


def idle_axes(device: str) -> tuple[str, ...]:
    """Axes that have no effect on this device, so that only one of their values is used."""
    if is_predicted(device) and is_cpu(device):
        return ("allocator", "waiting", *CUDNN_AXES)
    if device == "cpu":
        return CUDNN_AXES
    return CPU_AXES if device.startswith("cuda") else CPU_AXES + CUDNN_AXES


def _surroundings(axes: Axes, device: str, cores: int) -> Iterator[Surroundings]:
    if not is_cpu(device):
        yield Surroundings(device, 1 if is_predicted(device) else cores, "retain", "default")
        return
    threads = dict.fromkeys(cores if t == "all" else t for t in axes.threads)
    fixed = is_predicted(device)  # the model has neither
    others = [(["retain"] if fixed else axes.allocator), (["default"] if fixed else axes.waiting)]
    for t, allocator, waiting in itertools.product(threads, *others):
        yield Surroundings(device, t, allocator, waiting)


def _trials(name: str, experiment: Experiment, device: str, cores: int) -> Iterator[Trial]:
    choices, axes = experiment.choices(), experiment.swept()
    model = find_device(device) if is_predicted(device) else None
    cores = model.units if model is not None and model.kind == "cpu" else cores
    places = [
        (place, place.slug, too_many_threads(place.device, place.threads, cores))
        for place in _surroundings(axes, device, cores)
    ]
    searches = axes.cudnn_benchmark if device.startswith("cuda") else axes.cudnn_benchmark[:1]
    settings = [
        (setting, _setting_words(*setting), unsupported(device, model, setting[0], setting[2], setting[3]))
        for setting in itertools.product(axes.dtype, axes.layout, axes.mode, axes.pass_, searches)
    ]
    labels = [(choice, choice.label) for choice in choices]
    for (c_in, c_out), kernel, (height, width), batch, stride, padding, dilation, depth in experiment.shapes():
        shape = Shape(c_in, c_out, height, width, kernel, stride, padding, dilation, depth, batch)
        why = unfit(choices, shape)
        alone = untrainable(choices, shape) if why is None and batch == 1 and "training" in axes.pass_ else None
        where = shape_words(shape, choices[0].network)
        for (dtype, layout, mode, pass_, search), how, lacking in settings:
            for place, label, crowded in places:
                trial_id = f"{name}/{where}-{how}-{label}"
                arms = tuple([Arm(f"{trial_id}/{word}", choice) for choice, word in labels])
                skip = why or (alone if pass_ == "training" else None) or lacking or crowded
                yield Trial(trial_id, name, shape, dtype, layout, mode, pass_, place, arms, skip, search)


def _setting_words(dtype: str, layout: str, mode: str, pass_: str, search: str) -> str:
    words = [w for w, usual in ((dtype, "fp32"), (mode, "eager"), (pass_, "inference")) if w != usual]
    words += ["nosearch"] if search == "off" else []
    return "-".join([*words, "nchw" if layout == "contiguous" else "nhwc"])


def shape_words(s: Shape, network: bool = False) -> str:
    """A shape in a trial's name: `c32to64-k3-56px-b8`, of a network `224px-b8`, with what is not the default."""
    channels = f"c{s.c_in}" if s.c_in == s.c_out else f"c{s.c_in}to{s.c_out}"
    size = f"{s.height}" if s.height == s.width else f"{s.height}x{s.width}"
    if network:
        return f"{size}px" + (f"-b{s.batch}" if s.batch != 1 else "")
    more = (("b", s.batch), ("stride", s.stride), ("dil", s.dilation), ("depth", s.depth))
    rest = "".join(f"-{letter}{value}" for letter, value in more if value != 1)
    return f"{channels}-k{s.kernel}-{size}px{rest}{'-valid' if s.padding == 'valid' else ''}"


def unfit(choices: Iterable[BlockChoice], shape: Shape) -> str | None:
    """Why one of the blocks can't be built at this shape, or None."""
    try:
        for choice in choices:
            if choice.factory is None:  # a user's block shows that only when it is built
                build(choice, shape).output(shape.height, shape.width)
    except UserError as error:
        return f"{error.place}: {error.rule}"
    return None


def untrainable(choices: Iterable[BlockChoice], shape: Shape) -> str | None:
    """Why batch norm can't be trained on a single item of this shape, or None."""
    for choice in choices:
        if choice.factory is not None:
            continue
        block = build(choice, shape)
        for layer, _, end in block.walk(shape.height, shape.width):
            if layer.norm and end == (1, 1):
                return f"{block.name}, {layer.name}: batch norm has no variance of one pixel of one item to train on"
    return None


def too_many_threads(device: str, threads: int, cores: int) -> str | None:
    """Why `threads` are not measured on `cores` physical cores, or None."""
    crowded = is_cpu(device) and threads > cores
    return f"{threads} threads on {cores} physical cores would measure the scheduler" if crowded else None


def unsupported(device: str, model: PredictedDevice | None, dtype: str, mode: str, pass_: str) -> str | None:
    """Why such a trial can't run on this device, by its kind or the model of a predicted one; None if it may."""
    name = device.partition(":")[0] if model is None else in_words(device)
    if mode == "compile" and model is not None:
        return COMPILES_NOTHING
    if mode == "graph" and (name in ("cpu", "mps", "xpu") if model is None else model.kind == "cpu"):
        return f"{name} has no graphs to replay"
    if mode == "graph" and pass_ == "training":
        return "graphs are captured of inference alone"
    if model is not None:
        return None if model.computes(dtype) else f"the model knows no peak of {name} in {dtype}"
    if dtype == "fp32-tf32" and name != "cuda":
        return f"TF32 is a format of CUDA devices, not of {name}"
    return "mps has no float64" if (name, dtype) == ("mps", "fp64") else None
