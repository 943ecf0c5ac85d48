"""A simulated accelerator: a torch device of its own, `simgpu`, on torch's CPU wheel. No GPU, no compiler.

    install(parse("virtual,launch=5e-6,kernel=50e-6"))  # torch.simgpu, as torch.cuda
    module = build_module(block).to("simgpu")

A worker that opens its devices with `open_device` runs the same code on it as on CUDA, so that what a GPU needs (waiting before a clock is read, a warm-up, late
errors, memory that runs out) is tested where there is none. Not covered: several devices or streams, torch.compile,
torch's profiler, complex numbers, `tolist`. Its virtual times are a fiction; what it computes on threads is not.
"""

from tests.simulated.device import Simulated, open_device, open_simulated
from tests.simulated.engines import Record
from tests.simulated.machine import NAME
from tests.simulated.module import Module, available, install, register
from tests.simulated.settings import ENVIRONMENT, Settings, from_environment, parse

__all__ = [
    "ENVIRONMENT",
    "NAME",
    "Module",
    "Record",
    "Settings",
    "Simulated",
    "available",
    "from_environment",
    "install",
    "open_device",
    "open_simulated",
    "parse",
    "register",
]
