"""The environment variables of a worker: which of the caller's it gets, which the run sets, which are recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench.spec.devices.device_names import is_predicted
from bench.spec.plan.plan import Surroundings

_RETAIN = {
    "MALLOC_TRIM_THRESHOLD_": "1000000000",
    "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TOP_PAD_": str(256 << 20),
}
_SET_BY_RUN = (  # beginnings of names; the run sets these variables, or leaves them at torch's defaults
    *("OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "MALLOC_"),
    *("CUDA_LAUNCH_BLOCKING", "CUDNN_", "CUBLAS_", "CUBLASLT_", "NVIDIA_TF32_OVERRIDE", "TORCH_CUDNN_"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "TORCH_BLAS_PREFER_", "PYTORCH_NO_CUDA_MEMORY_CACHING"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ENABLE_MPS_FALLBACK"),
    *("TORCHDYNAMO_", "TORCHINDUCTOR_", "TORCH_COMPILE_", "TRITON_CACHE_DIR"),
)
_PASSED_ON = ("ATEN_CPU_CAPABILITY", "GLIBC_TUNABLES", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONTRACEMALLOC")
_RECORDED = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_", "ONEDNN_", "DNNL_", "LD_PRELOAD"),
    *("CUDA_", "CUDNN_", "CUBLAS", "NVIDIA_TF32_", "HIP_", "ROCR_", "HSA_", "MIOPEN_", "ZE_", "SYCL_", "TORCH", "PYTORCH_", "TRITON_"),
)  # fmt: skip


def not_passed_on(base: Mapping[str, str] | None = None) -> list[str]:
    """The caller's variables that affect times and that no worker gets, as the run sets them."""
    return sorted(name for name in (os.environ if base is None else base) if name.startswith(_SET_BY_RUN))


def passed_on(base: Mapping[str, str]) -> list[str]:
    """The caller's variables that every worker gets and that change what is measured, such as the instruction set."""
    return [name for name in _PASSED_ON if base.get(name)]


def worker_environment(
    surroundings: Surroundings, base: Mapping[str, str] | None = None, compiled: Path | None = None
) -> dict[str, str]:
    """The environment variables of a worker: the caller's, with those that affect times set or removed.

    allocator retain: glibc keeps freed memory, so that an evaluation has no page faults for its buffers again. waiting:
    how OpenMP's idle threads wait. `compiled`: the folder for compiled code; torch.compile runs in the worker itself,
    as separate processes would take cores from the samples.
    """
    env = {k: v for k, v in (os.environ if base is None else base).items() if not k.startswith(_SET_BY_RUN)}
    threads = "1" if is_predicted(surroundings.device) else str(surroundings.threads)
    env |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    env |= {"PYTHONHASHSEED": "0", "OMP_DYNAMIC": "false", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if compiled is not None:
        env |= {"TORCHINDUCTOR_CACHE_DIR": str(compiled), "TRITON_CACHE_DIR": str(compiled / "triton")}
    if surroundings.allocator == "retain":
        env |= _RETAIN
    if surroundings.waiting != "default":
        env["OMP_WAIT_POLICY"] = surroundings.waiting
    root = str(Path(__file__).parents[2])
    env["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [env.get("PYTHONPATH")])])
    return env


def recorded(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of `env` that affect the measurement, for environment.json."""
    return {k: v for k, v in sorted(env.items()) if k.startswith(_RECORDED) or k in _PASSED_ON}
