"""Time a block layer by layer (a walk), to split a call's time into its parts.

The steps are the block's modules in the order of its forward pass, so that each has its input as the layer before left
it. A walk is the eager call without `nn.Sequential`. The time of a call beyond the sum of its steps are the gaps
between them, on a card mostly waiting for the host. The steps of a user's block are its innermost module calls; what its
forward does outside of them is in the gaps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from bench.measure.modules import Evaluation, Sum
from bench.spec.columns import LEAF

if TYPE_CHECKING:
    from bench.measure.device.devices import Device
    from bench.spec.columns import Part

ROUNDS, WALKS = 5, 5  # WALKS walks in each of ROUNDS rounds
LONG_NS = 50e6  # a round of longer walks has only one
ENOUGH_NS = 0.2e9  # for one arm in one process: long calls, which hardly differ, have fewer rounds
MOST_STEPS = 256  # a card's queue holds about a thousand launches, which deeper stacks could exceed
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm)
Step = tuple["Part | None", Callable[[], object]]


class Walk:
    """The steps of a row of modules on `x`, which end with `output`."""

    def __init__(self, module: nn.Sequential, x: Tensor) -> None:
        self._input = x
        self._held: list[Tensor] = []
        self.steps: list[Step] = [(None, self._start)]
        self._row(module)

    @property
    def output(self) -> Tensor:
        return self._held[-1]

    def _row(self, row: nn.Sequential) -> None:
        for module in row:
            if isinstance(module, Sum):
                self.steps.append((None, self._fork))
                self._row(module.body)
                self.steps.append((None, self._swap))
                self._row(module.shortcut)
                self.steps.append(("other", self._add))
            else:
                self.steps.append((part_of(module), partial(self._through, module)))

    def _start(self) -> None:
        self._held = [self._input]

    def _through(self, module: nn.Module) -> None:
        self._held[-1] = module(self._held[-1])

    def _fork(self) -> None:
        self._held.append(self._held[-1])

    def _swap(self) -> None:
        self._held[-2:] = reversed(self._held[-2:])

    def _add(self) -> None:
        beside = self._held.pop()
        self._held[-1] = self._held[-1] + beside


class LeafWalk:
    """The innermost module calls of one forward pass on `x`, as steps with the `names` of their modules.

    A step takes what its module was given then; a tensor that an earlier step gives, it takes anew.
    """

    def __init__(self, module: nn.Sequential, x: Tensor) -> None:
        calls = _innermost(module, x)
        within = {id(part): name for name, part in (module if len(module) > 1 else module[0]).named_modules()}
        self.names = [re.sub(r"[\s:]", "_", within.get(id(part)) or type(part).__name__) for part, *_ in calls]
        self.steps: list[Step] = []
        self._held: dict[tuple[int, int], Any] = {}  # by step and place among its outputs
        made: dict[int, tuple[int, int]] = {}
        last: dict[tuple[int, int], int] = {}  # the last step that takes it
        taken: list[dict[int, tuple[int, int]]] = []  # by place among a step's arguments
        for i, (_, args, _, output) in enumerate(calls):
            taken.append({at: made[id(arg)] for at, arg in enumerate(args) if id(arg) in made})
            last |= dict.fromkeys(taken[i].values(), i)
            made |= {id(one): (i, k) for k, one in enumerate(_each(output))}
        for i, (part, args, keywords, _) in enumerate(calls):
            over = [key for key, to in last.items() if to == i]
            self.steps.append((part_of(part), partial(self._call, i, part, args, keywords, taken[i], over, last)))
            args[:] = [None if at in taken[i] else arg for at, arg in enumerate(args)]

    def _call(
        self, i: int, module: nn.Module, args: list[Any], keywords: dict[str, Any], taken: dict[int, tuple[int, int]],
        over: list[tuple[int, int]], last: dict[tuple[int, int], int],
    ) -> None:  # fmt: skip
        for at, key in taken.items():
            args[at] = self._held[key]
        output = module(*args, **keywords)
        for at in taken:
            args[at] = None  # so that memory is freed as in a call
        for key in over:
            del self._held[key]
        self._held |= {(i, k): one for k, one in enumerate(_each(output)) if (i, k) in last}


def _each(output: Any) -> Sequence[Any]:
    return output if isinstance(output, tuple | list) else (output,)


def _innermost(module: nn.Module, x: Tensor) -> list[tuple[nn.Module, list[Any], dict[str, Any], Any]]:
    """The calls of modules in which no other module is called: module, arguments, keywords, output."""
    calls: list[tuple[nn.Module, list[Any], dict[str, Any], Any]] = []
    begun: list[int] = []

    def note(part: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        if begun.pop() == len(calls):
            calls.append((part, list(args), keywords, output))

    # hooks for all modules of the process, as torch takes other operators for a module with hooks of its own
    before = register_module_forward_pre_hook(lambda *_: begun.append(len(calls)))
    with before, register_module_forward_hook(note, with_kwargs=True):
        module(x)
    return calls


def part_of(module: nn.Module) -> Part:
    """The part of a block that a module belongs to."""
    if isinstance(module, nn.modules.conv._ConvNd):
        if module.groups == module.in_channels > 1:
            return "depthwise"
        plain = not module.transposed and {*module.kernel_size} == {1} and module.groups == 1
        return "pointwise" if plain else "conv"
    activation = type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, nn.MultiheadAttention)
    return "norm_act" if activation or isinstance(module, _NORMS) else "other"


def parts_ns(
    device: Device, evaluation: Evaluation, evaluations: int, own_ns: float | None = None, leaves: bool = False
) -> dict[str, float] | None:
    """Nanoseconds of one evaluation, `whole` and in each Part: the least over walks, as disturbances only add time.

    `leaves`: it is a user's block, whose modules have their times too, by LEAF and their names.

    On a CPU the whole call is timed beside each walk, so that other programs affect both alike. On a card it is the
    time per evaluation of a sample of `evaluations`, by the host's clock; the parts are the card's times. Events
    between steps take time too: the time of the steps beyond the call alone, `own_ns`, is subtracted from them in equal
    parts, which may leave a Part below 0.

    None for a call that is no plain row of modules (training, a graph's replay, compiled code), with too many steps, or
    on a device that can't time steps.
    """
    if evaluation.call is not evaluation.module or evaluation.replay is not None or evaluation.training:
        return None
    walk = (LeafWalk if leaves else Walk)(evaluation.module, evaluation.input)
    if len(walk.steps) > MOST_STEPS:
        return None
    queued = device.torch_device.type != "cpu"
    calls: list[Callable[[], object]] = [call for _, call in walk.steps]
    at_once = evaluations if queued else 1
    once = device.time(evaluation, at_once) / at_once
    each = WALKS if once * WALKS < LONG_NS else 1
    rounds = max(1, min(ROUNDS, round(ENOUGH_NS / (once * (evaluations + WALKS if queued else 2 * WALKS)))))
    whole = [once]
    walks: list[list[float]] = []
    for _ in range(rounds):
        if queued:
            whole.append(device.time(evaluation, at_once) / at_once)
        passes = device.steps(calls if queued else [evaluation, *calls], each)
        if passes is None:
            return None
        if not queued:
            whole += [first for first, *_ in passes]
            passes = [rest for _, *rest in passes]
        walks += passes
    parts: dict[str, float] = {"whole": min(whole)}
    timed = [(part, min(ns)) for (part, _), *ns in zip(walk.steps, *walks, strict=True) if part is not None]
    names = [f"{LEAF}{name}" for name in walk.names] if isinstance(walk, LeafWalk) else []
    beyond = 0.0 if own_ns is None else max(0.0, sum(ns for _, ns in timed) - own_ns) / len(timed)
    for part, ns in [*timed, *((name, ns) for name, (_, ns) in zip(names, timed, strict=False))]:
        parts[part] = parts.get(part, 0.0) + ns - beyond
    return {part: round(ns, 1) for part, ns in parts.items()}
