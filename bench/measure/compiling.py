"""torch.compile, as a benchmark needs it: each arm on its own and for its one shape, and never eager in silence.

dynamo keeps what it compiled by code object, and all blocks share one: that of `nn.Sequential`. Left to itself it takes
an arm's second shape for a sign of more to come, and after eight arms runs the rest eagerly. So every arm has entries of
its own, every trial starts from none, and each arm's first call must have compiled exactly one whole graph.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

BACKEND = "inductor"


class NotCompiled(Exception):
    """A call in mode compile that ran eagerly, or in pieces."""


def load(device: torch.device) -> None:
    """Compile a trifle, so that no arm pays for loading the compiler: seconds, and tens of them with an empty cache."""
    compiled(nn.Sequential(nn.ReLU()))(torch.zeros(8, device=device))


def start_over() -> None:
    """Forget what was compiled before, and let nothing that can't be compiled run eagerly instead."""
    import torch._dynamo  # takes seconds, so only where something is compiled

    torch._dynamo.reset()
    config: Any = torch._dynamo.config
    config.disable = config.suppress_errors = False
    config.fail_on_recompile_limit_hit = True


def compiled(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The module, to be compiled in its first call: whole, for that call's shape, apart from all others."""
    compile_: Any = torch.compile
    options = {"dynamic": False, "fullgraph": True, "backend": BACKEND}
    if "isolate_recompiles" in inspect.signature(compile_).parameters:  # not in torch 2.9
        options["isolate_recompiles"] = True
    call: Callable[[Tensor], Tensor] = compile_(module, **options)
    return call


def first_call(call: Callable[[], int]) -> int:
    """What `call` gives. NotCompiled unless exactly one graph was compiled in it."""
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    told = call()
    graphs = counters["stats"]["unique_graphs"] - before
    if graphs != 1:
        raise NotCompiled(f"torch.compile made {graphs} graphs of it where it should be one: not a compiled block")
    return told
