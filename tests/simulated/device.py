"""The simulated device as the worker's `Device`: the code that runs on CUDA, with the engine's clock."""

from __future__ import annotations

import torch

from bench.measure.device.accelerator import Accelerator
from bench.measure.device.device_list import open_device as open_any
from bench.measure.device.devices import Call, Device, Launches
from tests.simulated.machine import NAME
from tests.simulated.module import CUDAGraph, Module, install


class Simulated(Accelerator):
    """An accelerator that differs from a real one in who counts its kernels."""

    def __init__(self, module: Module) -> None:
        super().__init__(torch.device(NAME, 0), module.clock_ns)

    def launches(self, call: Call) -> Launches:
        """By the record of what ran, after a call that leaves nothing to be done once; and by a graph's nodes."""
        call()
        with self.module.record_kernels() as records:
            call()
        graph: CUDAGraph = self.module.CUDAGraph()
        with self.module.graph(graph):
            held = call()
        del held
        nodes = graph.nodes or []
        return Launches(
            sum(record.kind == "kernel" for record in records), sum(node.kind == "kernel" for node in nodes)
        )


def open_device(name: str) -> Device:
    """For a worker: the simulated device by the name `sim`, any other as always."""
    return open_simulated() if name == "sim" else open_any(name)


def open_simulated() -> Simulated:
    """The device as $BENCH_SIM describes it, started anew. UserError where this torch can't have one."""
    return Simulated(install())
