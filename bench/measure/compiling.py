"""torch.compile for a benchmark: each arm is compiled separately, for its shape only, and never runs eagerly unnoticed.

dynamo caches by code object, and all blocks share that of `nn.Sequential`. By default it would make an arm's second
shape dynamic and run everything after eight arms eagerly. So each arm has a separate cache, each trial starts with an
empty one, and each arm's first call must compile exactly one whole graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

BACKEND = "inductor"


class NotCompiled(Exception):
    """A call in mode compile that ran eagerly, or in several graphs."""


def load(device: torch.device) -> None:
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
