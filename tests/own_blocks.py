"""Blocks and networks as a user would write them, for tests of what a config imports."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.measure.modules import build_module
from bench.spec.blocks.blocks import BlockChoice, Shape, build


def thin(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """A bare separable block, without a word on padding or dilation."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_in, kernel, stride, kernel // 2, groups=c_in, bias=False),
        nn.Conv2d(c_in, c_out, 1, bias=False),
    )


class Functional(nn.Module):
    """A standard convolution, batch norm left out, whose layers no module stands for."""

    def __init__(self, c_in: int, c_out: int, **how: object) -> None:
        super().__init__()
        self.stride = int(str(how["stride"]))
        self.weight = nn.Parameter(torch.randn(c_out, c_in, int(str(how["kernel"])), int(str(how["kernel"]))) / 10)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(
            nn.functional.conv2d(x, self.weight, stride=self.stride, padding=self.weight.shape[2] // 2)
        )


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.stem(x).relu().mean((2, 3)))
        return scores


def _named(name: str, c_in: int, c_out: int, kernel: int, stride: int) -> nn.Module:
    return build_module(build(BlockChoice(name), Shape(c_in, c_out, 9, 9, kernel, stride)))


def standard(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """The block of this name, as one of a user's own."""
    return _named("standard", c_in, c_out, kernel, stride)


def separable(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """The block of this name, as one of a user's own."""
    return _named("separable", c_in, c_out, kernel, stride)


class Asking(nn.Module):
    """A convolution whose output the host looks at."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y if y.sum().item() > 0 else -y


def nothing(c_in: int, c_out: int) -> int:
    return c_in + c_out


NUMBER = 3
