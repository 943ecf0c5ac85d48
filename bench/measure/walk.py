"""Where a call's time goes: a block walked layer by layer, each step timed in its place.

The steps are the block's own modules in the order of its forward pass, so that each finds its input as the layer before
left it. The walk is the eager call without `nn.Sequential` round it; what the call takes beyond the sum of its steps is
the gaps between them: on a card mostly waiting for the host.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from torch import Tensor, nn

from bench.measure.modules import Evaluation, Sum

if TYPE_CHECKING:
    from bench.measure.devices import Device
    from bench.spec.columns import Part

SAMPLES = 5  # of whole calls, with walks after each, so that the machine's mood is in both
WALKS_NS = 10e6  # of walks after a sample, as far as these are
FEWEST, MOST = 1, 5  # walks
ENOUGH_NS = 0.3e9  # of one arm in one process: long calls get fewer samples, and hardly differ
MOST_STEPS = 256  # a card's queue holds about a thousand launches, and a deep stack would overrun it
Step = tuple["Part | None", Callable[[], object]]


class Walk:
    """The steps of a row of modules from `x` on; after all of them `output` is what the row makes of it."""

    def __init__(self, module: nn.Sequential, x: Tensor) -> None:
        self._input = x
        self._held: list[Tensor] = []
        self.steps: list[Step] = [(None, self._start)]
        self._row(module)

    @property
    def output(self) -> Tensor:
        """What the last step left."""
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


def part_of(module: nn.Module) -> Part:
    """The part of a block that a module belongs to."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        if module.groups == module.in_channels > 1:
            return "depthwise"
        plain = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        return "pointwise" if plain else "conv"
    return "norm_act" if isinstance(module, nn.BatchNorm2d | nn.ReLU | nn.ReLU6) else "other"


def parts_ns(device: Device, evaluation: Evaluation, evaluations: int) -> dict[str, float] | None:
    """Nanoseconds of one evaluation of a block of ours: `whole`, as a sample of so many `evaluations` has it, and in each Part.

    Medians; a card's parts by its own clock. None where a call is no plain row of modules (in training, of a graph's replay, of
    compiled code), where it has too many steps, and on a device that can't time steps.
    """
    if evaluation.call is not evaluation.module or evaluation.replay is not None or evaluation.training:
        return None
    walk = Walk(evaluation.module, evaluation.input)
    if len(walk.steps) > MOST_STEPS:
        return None
    calls = [call for _, call in walk.steps]
    whole: list[float] = []
    walks: list[list[float]] = []
    spent = 0.0
    while len(whole) < SAMPLES and spent < ENOUGH_NS:
        whole.append(device.time(evaluation, evaluations) / evaluations)
        taken = device.steps(calls, max(FEWEST, min(MOST, round(WALKS_NS / whole[-1]))))
        if taken is None:
            return None
        walks += taken
        spent += whole[-1] * (evaluations + len(taken))
    found: dict[str, float] = {"whole": median(whole)}
    for (part, _), *ns in zip(walk.steps, *walks, strict=True):
        if part is not None:
            found[part] = found.get(part, 0.0) + median(ns)
    return {part: round(ns, 1) for part, ns in found.items()}
