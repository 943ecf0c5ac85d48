"""The modules and factories that `bench.measure` pickled for a run, as attributes named by the hash of their pickles.

Their folder is that of the variable MODULES, which the run sets.
"""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import nn

from bench.measure.user_blocks import FIND, NotABlock
from bench.spec.errors import typed_line
from bench.spec.files import MODULES


def __getattr__(name: str) -> Callable[..., object]:
    """A factory by its name. NotABlock for a pickle that was edited, or that can't be read."""
    path = Path(os.environ.get(MODULES, "")) / name
    if not name.startswith("m_") or not path.is_file():
        raise AttributeError(name)
    content = path.read_bytes()
    if name != f"m_{hashlib.sha256(content).hexdigest()[:16]}":
        raise NotABlock(f"{path} was edited", "Restore it from a copy, or start a new run.")
    try:
        value: Callable[..., object] = pickle.loads(content)
    except Exception as error:
        raise NotABlock(f"{path} can't be read: {typed_line(error)}", FIND) from error
    if not isinstance(value, nn.Module):
        return value
    copies: Any = partial(_copied, value)
    copies.sources = {type(part).__module__ for part in value.modules()}
    return cast("Callable[..., object]", copies)


def _copied(module: nn.Module, **_: object) -> nn.Module:
    """The module as it is, at any shape."""
    return copy.deepcopy(module)
