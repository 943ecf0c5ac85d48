"""What torch itself counts of a block, on the meta device: FLOP, parameters, operators, and every module's tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.modules import Sum, build_module
from bench.spec.blocks.layers import Block

MOVERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
NO_WORK = ("view", "_unsafe_view", "t", "detach", "empty")  # another look at a tensor, or room for one


@dataclass(frozen=True)
class Counted:
    """`moved` are elements: inputs, weights and outputs of each layer, and of an addition its shortcut."""

    flops: int
    params: int
    layers: int
    ops: int
    activations: int
    moved: int
    output: tuple[int, ...]


class Operators(TorchDispatchMode):
    """Notes the operators that compute."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in NO_WORK:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def counted(block: Block, size: tuple[int, int, int, int]) -> Counted:
    """One forward pass in inference on an input of that size."""
    outs: list[tuple[nn.Module, int]] = []
    moved = 0

    def note(module: nn.Module, taken: tuple[Tensor, ...], put: Tensor) -> None:
        nonlocal moved
        if isinstance(module, Sum):
            moved += put.numel()
        else:
            outs.append((module, put.numel()))
            moved += taken[0].numel() + sum(p.numel() for p in module.parameters()) + put.numel()

    with torch.device("meta"):
        module = build_module(block).eval()
        x = torch.empty(size)
    for part in module.modules():
        if isinstance(part, (*MOVERS, Sum)):
            part.register_forward_hook(note)
    with torch.no_grad(), Operators() as operators:
        y = module(x)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(x)
    half = outs[: len(outs) // 2]  # the second pass was for torch's own counter
    convolutions = [count for part, count in half if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)]
    return Counted(
        flops=counter.get_total_flops(),
        params=sum(p.numel() for p in module.parameters()),
        layers=len(convolutions),
        ops=len(operators.seen),
        activations=sum(convolutions),
        moved=moved // 2,
        output=tuple(y.shape),
    )
