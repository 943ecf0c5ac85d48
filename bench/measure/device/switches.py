"""Set torch's global switches: TF32, cuDNN and deterministic algorithms."""

from __future__ import annotations

import warnings
from typing import Any

import torch

BENCHMARK_LIMIT = 10  # algorithms that cuDNN's search tries; torch's default


def set_switches(dtype: str, cudnn_benchmark: bool) -> dict[str, str]:
    """Set all of torch's global switches, and return their values as torch then reports them, for the record.

    TF32 has an older and a newer interface. If only one is set, reading the other raises, as torch.compile does. Set in
    this order, both agree and neither overrides the other.
    """
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    tf32 = dtype == "fp32-tf32"
    precision = "tf32" if tf32 else "ieee"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older interface warns that it is deprecated
        cudnn.allow_tf32 = tf32
        matmul.allow_tf32 = tf32
        for op in (cudnn.conv, cudnn.rnn, matmul):
            op.fp32_precision = precision
        values = {
            "cudnn.allow_tf32": cudnn.allow_tf32,
            "cuda.matmul.allow_tf32": matmul.allow_tf32,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
        }
    cudnn.enabled = True
    cudnn.deterministic = False
    cudnn.benchmark = cudnn_benchmark
    if cudnn.is_available():
        cudnn.benchmark_limit = BENCHMARK_LIMIT
    if torch.are_deterministic_algorithms_enabled():  # other algorithms, with other times
        torch.use_deterministic_algorithms(False)  # only if needed: it imports inductor, for seconds
    if hasattr(cudnn, "depthwise_kernel"):
        cudnn.depthwise_kernel = "auto"
    values |= {
        "cudnn.conv.fp32_precision": cudnn.conv.fp32_precision,
        "cuda.matmul.fp32_precision": matmul.fp32_precision,
        "cudnn.enabled": cudnn.enabled,
        "cudnn.deterministic": cudnn.deterministic,
        "cudnn.benchmark": cudnn.benchmark,
        "cudnn.benchmark_limit": cudnn.benchmark_limit,
        "cudnn.depthwise_kernel": getattr(cudnn, "depthwise_kernel", "not in this torch"),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
    }
    return {name: str(value).lower() for name, value in values.items()}
