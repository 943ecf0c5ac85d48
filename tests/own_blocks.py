"""Blocks and networks as a user would write them, for tests of what a config imports."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

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


class Doubled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        once: Tensor = self.conv(x)
        return self.conv(once)


def wide(c_in: int, c_out: int, factor: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(c_in, factor * c_in, 1), nn.Conv2d(factor * c_in, c_out, 1))


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


def transposed(c_in: int, c_out: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    return _named("transposed", c_in, c_out, kernel, stride)


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


class _As(nn.Module):
    """A module made of a function and the modules that it uses."""

    def __init__(self, run: Callable[[nn.ModuleDict, Tensor], Any], **parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(parts)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self.parts, x)


def same_word(c_in: int, c_out: int, kernel: int, padding: str = "same") -> nn.Module:
    """The word that the factory gets is handed on."""
    depthwise = nn.Conv2d(c_in, c_in, kernel, 1, padding, groups=c_in, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(c_in, c_out, 1, bias=False))


def by_keyword(c_in: int, c_out: int, kernel: int) -> nn.Module:
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
    return _As(lambda parts, x: parts["conv"](input=x), conv=conv)


def unbatched(c_in: int, c_out: int, kernel: int) -> nn.Module:
    """A convolution that is called without the batch dimension."""
    conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=False)
    return _As(lambda parts, x: torch.stack([parts["conv"](item) for item in x]), conv=conv)


def lazy(c_out: int, kernel: int = 3) -> nn.Module:
    return nn.LazyConv2d(c_out, kernel, padding=kernel // 2)


def one_and_three(c_in: int, c_out: int) -> nn.Module:
    """Convolutions of one and of three dimensions."""
    return _As(
        lambda parts, x: parts["cube"](parts["line"](x.flatten(2)).reshape(x.shape).unsqueeze(2)).squeeze(2),
        line=nn.Conv1d(c_in, c_in, 5, padding=2, groups=c_in),
        cube=nn.Conv3d(c_in, c_out, (1, 3, 3), padding=(0, 1, 1)),
    )


def attention(c_in: int, c_out: int) -> nn.Module:
    """Attention over pixels, which torch runs as one operator."""

    def run(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        t = x.flatten(2).transpose(1, 2)
        y: Tensor = parts["mha"](t, t, t, need_weights=False)[0]
        return y.transpose(1, 2).reshape(x.shape)

    return _As(run, mha=nn.MultiheadAttention(c_in, 2, batch_first=True))


def recurrent(c_in: int, c_out: int) -> nn.Module:
    """An LSTM over pixels, which oneDNN runs as one operator."""
    return _As(
        lambda parts, x: parts["rnn"](x.flatten(2).transpose(1, 2))[0], rnn=nn.LSTM(c_in, c_out, batch_first=True)
    )


def fused_attention(c_in: int, c_out: int) -> nn.Module:
    def run(parts: nn.ModuleDict, x: Tensor) -> Tensor:
        t = x.flatten(2).unflatten(1, (2, -1)).transpose(2, 3).contiguous()
        y: Tensor = parts["out"](nn.functional.scaled_dot_product_attention(t, t, t).transpose(2, 3).reshape(x.shape))
        return y

    return _As(run, out=nn.Conv2d(c_in, c_out, 1, bias=False))


@torch.library.custom_op("own_blocks::depthwise", mutates_args=())
def depthwise(x: Tensor, w: Tensor) -> Tensor:
    return nn.functional.conv2d(x, w, padding=w.shape[-1] // 2, groups=x.shape[1])


class OwnOperator(nn.Module):
    def __init__(self, c_in: int, c_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_in, 1, kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        return depthwise(x, self.weight)


def gated(c_in: int, c_out: int) -> nn.Module:
    """A GRU over pixels."""
    return _As(
        lambda parts, x: parts["rnn"](x.flatten(2).transpose(1, 2))[0], rnn=nn.GRU(c_in, c_out, batch_first=True)
    )


class Bilinear(nn.Bilinear):
    """A form of two inputs, whose products are counted in more than one way."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        tokens = x.flatten(2).transpose(1, 2)
        return super().forward(tokens, tokens)


class Vector(nn.Module):
    """The product of a matrix and a vector, of which torch has no count."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_in))

    def forward(self, x: Tensor) -> Tensor:
        return x[0].flatten(1).T.mv(self.weight)


def pair(c_in: int, c_out: int) -> nn.Module:
    return _As(lambda parts, x: (x, x))


def mapping(c_in: int, c_out: int) -> nn.Module:
    return _As(lambda parts, x: {"out": x})


class Misbehaving(nn.Module):
    """A block that does something else as it is built."""

    def __init__(self, does: Callable[[], object]) -> None:
        super().__init__()
        does()

    def forward(self, x: Tensor) -> Tensor:
        return x


def _fail() -> None:
    raise ValueError("bad \ud800 \x1b[31m")


def _leave_children() -> None:
    """Two processes that sleep for five minutes, of which one is in a session of its own."""
    for new in (False, True):
        pid = os.fork()
        if pid == 0:
            if new:
                os.setsid()
            time.sleep(300)
            os._exit(0)
        with open(os.environ["OWN_BLOCKS_CHILDREN"], "a") as file:
            file.write(f"{pid}\n")
    print("words of its own")


def _unsettle() -> None:
    """Change settings of the whole process."""
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_default_dtype(torch.float64)
    torch.backends.mkldnn.enabled = False
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def unsettling(c_in: int, c_out: int) -> nn.Module:
    return Misbehaving(_unsettle)


class UnsettlingLater(nn.Conv2d):
    """Changes settings in each call, and leaves the grad mode changed."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        if torch.backends.mkldnn.enabled:
            _unsettle()
            torch.set_default_dtype(torch.float32)
        return super().forward(x)


def failing(c_in: int, c_out: int) -> nn.Module:
    return Misbehaving(_fail)


def forking(c_in: int, c_out: int) -> nn.Module:
    return Misbehaving(_leave_children)


def exiting(c_in: int, c_out: int) -> nn.Module:
    return Misbehaving(lambda: os._exit(3))


def killed(c_in: int, c_out: int) -> nn.Module:
    return Misbehaving(lambda: os.kill(os.getpid(), signal.SIGSEGV))


def normalising(c_in: int, c_out: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(c_in))
