"""Count the kernels of published networks from their authors' code, and write the file that the fit reads.

    python tools/model_fit/network_kernels.py LAYER_COUNTS.csv tools/model_fit/network_kernels.json.gz

needs timm and torchvision, which nothing else here does. LAYER_COUNTS.csv lists timm's networks and image sizes (columns
model, img_size). A network is run on the meta device for one image; what its operators are told and give is counted, and
whatever only looks at a tensor anew is passed over. Networks with operators that amp computes in fp32 (layer norm,
softmax), that resize or that look beyond convolutions are left out: the harness has no such blocks.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch.utils._python_dispatch import TorchDispatchMode

TORCHVISION = (
    "mobilenet_v2", "resnet18", "vgg16", "shufflenet_v2_x1_0", "squeezenet1_1", "alexnet", "resnext50_32x4d",
    "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "resnet34", "resnet50", "densenet121", "densenet161", "densenet169",
    "densenet201", "squeezenet1_0", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16_bn", "vgg19", "vgg19_bn",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
)  # fmt: skip
BESIDES = (("regnety_016", 224),)  # of timm, in pytorch/benchmark and in no table of layers
POOLS = ("mean", "max_pool2d_with_indices", "avg_pool2d", "sum")
MATRICES = ("addmm", "mm", "bmm", "baddbmm")
NOTHING = ("empty", "empty_like", "new_empty", "new_zeros", "zeros", "ones", "arange", "full", "_unsafe_view")
APART = (
    "native_layer_norm", "native_group_norm", "_safe_softmax", "_softmax", "linalg_vector_norm", "upsample_nearest2d",
    "cumsum", "var", "reflection_pad2d", "bitwise_not", "stack", "sub",
)  # fmt: skip


class Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes each operator that runs within it: what it is, and the sizes that its time depends on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: Counter[tuple[Any, ...]] = Counter()
        self.apart = False

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        looks = any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)
        if not looks and name not in NOTHING:
            self.note(name, args, next(iter(tensors(found)), None))
        return found

    def note(self, name: str, args: Any, out: torch.Tensor | None) -> None:
        """conv: channels in and out, pixels in and out, filter, stride, groups. matmul: batch, rows, depth, columns."""
        if out is None:
            return
        self.apart |= name in APART
        taken = list(tensors(args))
        if name == "convolution" and taken[0].dim() == 4:
            x, w = taken[:2]
            pixels = (math.prod(x.shape[2:]), math.prod(out.shape[2:]))
            self.kernels["conv", x.shape[1], out.shape[1], *pixels, *w.shape[2:], args[3][0], args[8]] += 1
        elif name in MATRICES:
            a, b = [t for t in taken if t.dim() == out.dim()][-2:]
            self.kernels["matmul", math.prod(a.shape[:-2]), a.shape[-2], a.shape[-1], b.shape[-1]] += 1
        else:
            word = "norm" if name == "native_batch_norm" else "pool" if name in POOLS else "elementwise"
            given = taken[:1] if word == "norm" else taken
            self.kernels[word, sum(t.numel() for t in given), out.numel()] += 1


def tensors(given: Any) -> Any:
    """All tensors in arguments or results."""
    for one in given if isinstance(given, (tuple, list)) else (given,):
        if isinstance(one, torch.Tensor):
            yield one
        elif isinstance(one, (tuple, list)):
            yield from tensors(one)


def counted(network: torch.nn.Module, size: int) -> Counted:
    """The kernels of one image."""
    found = Counted()
    with torch.no_grad(), found:
        network.eval()(torch.empty(1, 3, size, size, device="meta"))
    return found


def main(layers: Path, out: Path) -> None:
    """Count them all and write the file."""
    with layers.open(encoding="utf-8") as file:
        listed = [(row["model"], int(row["img_size"])) for row in csv.DictReader(file)]
    networks = {}
    for name, size in (*listed, *BESIDES, *((f"torchvision/{name}", 224) for name in TORCHVISION)):
        family, _, word = name.rpartition("/")
        with torch.device("meta"):
            made = torchvision.models.get_model(word) if family else timm.create_model(word)
        found = counted(made, size)
        if not found.apart:
            networks[f"{name}@{size}"] = [[count, *kernel] for kernel, count in found.kernels.items()]
    told = {
        "made_by": f"tools/model_fit/network_kernels.py, timm {timm.__version__}, torchvision {torchvision.__version__}"
    }
    text = json.dumps({**told, "networks": networks}, separators=(",", ":"))
    out.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
