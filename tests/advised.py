"""Models with known layers, for tests of bench advise."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Basic(nn.Module):
    """Two convolutions beside a shortcut, added in place; a function is the first activation, a module the second."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        y += x
        return self.relu(y)


class Net(nn.Module):
    """A stem, two equal blocks, a depthwise and a 1 x 1 convolution, two odd ones, a bare one with a bias, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        )
        self.blocks = nn.Sequential(Basic(), Basic())
        self.thin = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1))
        self.wide = nn.Conv2d(8, 8, (1, 7), padding=(0, 3))
        self.padded = nn.Conv2d(8, 8, 3, padding=2)
        self.bare = nn.Conv2d(8, 16, 3, 2, 0, dilation=2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bare(self.padded(self.wide(self.thin(self.blocks(self.stem(x))))))
        return self.head(y.mean((2, 3)))


def net() -> nn.Module:
    return Net()


READY = Net()


class Several(Net):
    """Its output is a tuple of a dictionary and a number."""

    def forward(self, x: Tensor) -> tuple[dict[str, Tensor], int]:
        return {"scores": super().forward(x)}, 1


class Wordy(nn.Module):
    def forward(self, x: Tensor) -> str:
        return "cat"


def flat() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())


def needy(channels: int) -> nn.Module:
    return nn.Conv2d(3, channels, 3)


def number() -> int:
    return 3


def failing() -> nn.Module:
    raise RuntimeError("no weights\nhere")


class Keyword(nn.Module):
    """A convolution that gets its input by name, and one that gets an item without its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.b(y) for y in self.a(input=x)])
