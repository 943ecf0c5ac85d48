"""Build a block as a torch module, compile it, and make one evaluation of it the call that is timed (Evaluation).

Each arm is compiled separately, for its shape only, and never runs eagerly unnoticed: dynamo caches by code object, and
all blocks share that of `nn.Sequential`. By default it would make an arm's second shape dynamic and run everything after
eight arms eagerly. So each arm has a separate cache, each trial starts with an empty one, and each arm's first call must
compile exactly one whole graph.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.measure.user_blocks import build_user_block, one_tensor
from bench.spec.blocks.layers import Block, Layer
from bench.spec.plan.plan import Arm, Trial

BACKEND = "inductor"


class NotCompiled(Exception):
    """A call in mode compile that ran eagerly, or in several graphs."""


def load_compiler(device: torch.device) -> None:
    """Compile a small module, so that no arm's time includes loading the compiler: seconds, or tens without a cache."""
    compiled(nn.Sequential(nn.ReLU()))(torch.zeros(8, device=device))


def start_over() -> None:
    """Drop what was compiled before, and make code that can't be compiled an error."""
    import torch._dynamo  # takes seconds, so only if something is compiled

    torch._dynamo.reset()
    config: Any = torch._dynamo.config
    config.disable = config.suppress_errors = False
    config.fail_on_recompile_limit_hit = True


def compiled(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The module, to be compiled in its first call: as one graph, for that call's shape, separately from others."""
    compile_: Any = torch.compile
    options = {"dynamic": False, "fullgraph": True, "backend": BACKEND}
    if "isolate_recompiles" in inspect.signature(compile_).parameters:  # not in torch 2.9
        options["isolate_recompiles"] = True
    call: Callable[[Tensor], Tensor] = compile_(module, **options)
    return call


def first_call(call: Callable[[], int]) -> int:
    """The result of `call`. NotCompiled unless exactly one graph was compiled in it."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    result = call()
    graphs = counters["stats"]["unique_graphs"] - before
    if graphs != 1:
        raise NotCompiled(f"torch.compile made {graphs} graphs of it where it should be one: not a compiled block")
    return result


DTYPES = {
    "fp64": torch.float64,
    "fp32": torch.float32,
    "fp32-tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def build_module(block: Block) -> nn.Sequential:
    """The block or network as a row of torch's modules, input (batch, c_in, height, width).

    Weights are He-normal, so that activations keep their scale in a deep stack. With torch's default they shrink until
    they are subnormal numbers, which are many times slower to compute with.
    """
    parts: list[nn.Module] = []
    for item in block.items:
        if isinstance(item, Layer):
            parts += _parts(item)
        else:
            parts.append(Sum(_row(item.body), _row(item.shortcut)))
            parts += _activation(item.add)
    return nn.Sequential(*parts)


class Sum(nn.Module):
    """The sum of two rows of modules on one input; an empty row passes it on."""

    def __init__(self, body: nn.Sequential, shortcut: nn.Sequential) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Tensors (batch, channels, height, width)."""
        y: Tensor = self.body(x)
        beside: Tensor = self.shortcut(x)
        return y + beside


def _row(layers: Iterable[Layer]) -> nn.Sequential:
    return nn.Sequential(*[part for layer in layers for part in _parts(layer)])


def _parts(layer: Layer) -> list[nn.Module]:
    modules: list[nn.Module]
    match layer.op:
        case "conv" | "transposed":
            modules = [_convolution(layer)]
        case "linear":
            linear = nn.Linear(layer.c_in, layer.c_out, layer.bias)
            _he_normal(linear.weight, layer, layer.c_in)
            modules = [nn.Flatten(), linear]
        case "max_pool":
            modules = [nn.MaxPool2d(layer.kernels, layer.strides, layer.pads)]
        case "global_pool":
            modules = [nn.AdaptiveAvgPool2d(1)]
        case "relu":
            modules = [nn.ReLU()]
        case "add":
            raise ValueError(f"{layer.name}: an addition can only be in a residual")
    return [*modules, *([nn.BatchNorm2d(layer.c_out)] if layer.norm else []), *_activation(layer)]


def _activation(layer: Layer) -> list[nn.Module]:
    return [nn.ReLU6() if layer.act == "relu6" else nn.ReLU()] if layer.act else []


def _convolution(layer: Layer) -> nn.Module:
    transposed = layer.op == "transposed"
    make: Any = partial(nn.ConvTranspose2d, output_padding=layer.extra) if transposed else nn.Conv2d
    sizes = (layer.c_in, layer.c_out, layer.kernels, layer.strides, layer.pads)
    conv: nn.Module = make(*sizes, dilation=layer.dilation, groups=layer.groups, bias=layer.bias)
    fan_in = layer.c_in // layer.groups * layer.taps / (math.prod(layer.strides) if transposed else 1)
    _he_normal(cast(Tensor, conv.weight), layer, fan_in)
    return conv


def _he_normal(weight: Tensor, layer: Layer, fan_in: float) -> None:
    nn.init.normal_(weight, std=math.sqrt((2 if layer.act else 1) / fan_in))


class Evaluation:
    """One evaluation of an arm as a call without arguments: forward, in training also backward.

    The input is random and stays on the device. In inference the caller sets `torch.inference_mode()`. Call `compile`
    first in mode compile, and `capture` in mode graph, whose calls then replay.
    """

    def __init__(self, trial: Trial, arm: Arm, device: torch.device, seed: int) -> None:
        torch.manual_seed(seed)
        shape, dtype, layout = trial.shape, DTYPES[trial.dtype], FORMATS[trial.layout]
        self.training = trial.pass_ == "training"
        users = arm.choice.factory is not None
        sizes = (shape.batch, shape.c_in, shape.height, shape.width)
        # a card draws its own numbers: a host core is slower to draw 50 million than a card to use them
        with torch.device(str(device) if device.type == "cuda" else "cpu"):
            module = (build_user_block(arm.choice, shape) if users else build_module(trial.block(arm))).to(dtype)
            x = torch.randn(sizes)
        self.module = cast(nn.Sequential, placed(module, device, dtype, layout)).train(self.training)
        self.input = x.to(device, dtype).contiguous(memory_format=layout)
        self.call: Callable[[Tensor], Tensor] = self.module
        self.first_call_ns: int | None = None
        self.changed: list[str] = []  # settings of the process that a block of the trial changed
        self.replay: Callable[[], object] | None = None
        self.captured: Tensor | None = None
        self.gradient: Tensor | None = None
        if self.training or users:
            with torch.no_grad():
                y = one_tensor(arm.choice.label, self.module(self.input))
            if self.training:
                self.input.requires_grad_(True)
                self.gradient = torch.randn_like(y)

    def compile(self, time: Callable[[Callable[[], object], int], int]) -> None:
        """Make calls run compiled code; `time`, a device's, times the call that compiles.

        NotCompiled if torch runs it, or a part of it, eagerly.
        """
        self.call = compiled(self.module)
        self.first_call_ns = first_call(lambda: time(self, 1))

    def capture(self, capture: Callable[[Callable[[], Tensor]], tuple[Callable[[], object], Tensor]]) -> None:
        """Make calls replay the graph that `capture`, a device's, makes of one."""
        self.replay, self.captured = capture(lambda: self.call(self.input))

    def __call__(self) -> Tensor:
        if self.replay is not None and self.captured is not None:
            self.replay()
            return self.captured
        if self.gradient is None:
            return self.call(self.input)
        self.clear()
        y = self.call(self.input)
        y.backward(self.gradient)  # type: ignore[no-untyped-call]
        return y

    def launched(self) -> Tensor:
        """One evaluation with a launch per kernel, also if calls replay a graph."""
        return self.call(self.input) if self.replay is not None else self()

    def clear(self) -> None:
        self.module.zero_grad(set_to_none=True)
        self.input.grad = None

    def backends(self) -> list[str]:
        """The library that runs each convolution, by torch's names (Mkldnn, Slow2d, Cudnn, ...)."""
        with torch.inference_mode(False), torch.set_grad_enabled(self.training), _Libraries() as seen:
            self.module(self.input.detach().clone().requires_grad_(self.training))
        return list(seen.names)


class _Libraries(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the library that torch chooses for each convolution."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in ("convolution", "_convolution"):
            self.names.append(str(torch._C._select_conv_backend(*args[:9])).rpartition(".")[2])
        return func(*args, **(kwargs or {}))


def placed(module: nn.Module, device: torch.device | str, dtype: torch.dtype, layout: torch.memory_format) -> nn.Module:
    """The module on a device, in a dtype; `layout` is that of its tensors of four dimensions: no others have it."""
    module.to(device, dtype)._apply(lambda t: t.to(memory_format=layout) if t.dim() == 4 else t)  # type: ignore[no-untyped-call]
    return module
