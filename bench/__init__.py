"""Is a depthwise-separable block faster than the standard convolution it replaces, on this machine, and why?

From Python: `bench.load`, `bench.measure`, `bench.Result` and `bench.UserError` (docs/PYTHON.md). What they need is
imported with the first of them.
"""

import importlib
from types import ModuleType
from typing import Any

__version__ = "0.2.0"
__all__ = ["Result", "UserError", "load", "measure"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("bench.door"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class _Measure(ModuleType):
    """The package of the worker, which has the name of the function: a call of it is a call of `bench.door.measure`."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        return importlib.import_module("bench.door").measure(*args, **keywords)


importlib.import_module("bench.measure").__class__ = _Measure
