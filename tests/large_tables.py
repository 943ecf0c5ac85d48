"""Results folders of any size, with tables alone: `python -m tests.large_tables FOLDER PAIRS SEED [SLOWER]`.

Every column that a run fills on a CPU is filled, with values that a run could have; half of the columns are constant.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.spec.columns import FILES, columns_of
from bench.spec.interval import t_quantile

PROCESSES = 6
HOST = {"cpu_model": "Imaginary CPU @ 2.00GHz", "physical_cores": 2, "memory_bytes": 8 << 30}
SAME = {
    "experiment": "sweep", "schema_version": 2, "status": "ok", "baseline": "standard", "batch": 1, "stride": 1, "padding": "same",
    "dilation": 1, "groups": 1, "depth": 1, "dtype": "fp32", "layout": "contiguous", "mode": "eager", "cudnn_benchmark": "on",
    "pass": "inference", "threads": 1, "allocator": "retain", "waiting": "default", "device": "cpu", "device_name": HOST["cpu_model"],
    "processes": PROCESSES, "precision_target": 0.05, "precision_reached": True, "verdict": "faster", "rounds": 48, "flagged_share": 0.0,
    "samples": 96, "evaluations_per_sample": 8, "cost_source": "formula", "backends": "Mkldnn", "involuntary_switches": 1,
    "minor_faults_per_evaluation": 0.25, "run_queue_wait_share": 0.001,
}  # fmt: skip


MOST_AT_ONCE = 20_000


def write(folder: Path, pairs: int, seed: int, slower: float = 1.0) -> Path:
    """Write pairs.csv, measurements.csv (two rows a pair) and environment.json of so many pairs, `slower` by a factor.

    Of more than MOST_AT_ONCE the rest are copies, each in an experiment of its own.
    """
    copies = -(-pairs // MOST_AT_ONCE)
    _write(folder, -(-pairs // copies), seed, slower)
    for name in ("pairs.csv", "measurements.csv"):
        head, _, rows = (folder / name).read_text().partition("\n")
        with (folder / name).open("w") as file:
            file.write(head + "\n")
            file.writelines(rows.replace(",sweep,", f",sweep{i},") for i in range(copies))
    return folder


def _write(folder: Path, pairs: int, seed: int, slower: float) -> None:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    at = np.arange(pairs)
    shape = {"c_in": 8 * (at % 64 + 1), "c_out": 8 * (at // 64 % 64 + 1), "kernel": 2 * (at // 4096 % 8) + 1}
    shape |= {"height": at // 32768 + 7, "width": at // 32768 + 7}
    names = "sweep/" + pd.Series(at.astype(str)) + "-cpu-1t"
    truth = 1e-5 * shape["c_in"] * shape["c_out"] / 64 * slower
    logs = [np.log(truth / by)[:, None] + rng.normal(0, 0.02, (pairs, PROCESSES)) for by in (1.0, 2.0)]
    common = {**SAME, "run_id": f"large-{seed}", "trial_id": names, **shape}
    _save(
        folder,
        "p",
        [
            {
                **common,
                "block": "separable",
                "arm_id": names + "/separable",
                "mac_ratio": 8.0,
                "layer_ratio": 2.0,
                **_found(logs[0] - logs[1], "speedup"),
            }
        ],
    )
    arms = zip(("standard", "separable"), logs, strict=True)
    _save(
        folder,
        "m",
        [
            {**common, "block": b, "arm_id": names + "/" + b, **_found(of, "time"), **_costs(shape, of)}
            for b, of in arms
        ],
    )
    facts = {"run_id": f"large-{seed}", "started_utc": f"2026-01-0{seed % 9 + 1}T00:00:00Z", "torch": "2.13.0", "host": HOST, "devices": {"cpu": {"name": HOST["cpu_model"]}}}  # fmt: skip
    (folder / "environment.json").write_text(json.dumps(facts))


def _found(logs: np.ndarray[Any, Any], what: str) -> dict[str, Any]:
    mean, half = logs.mean(1), t_quantile(0.975, PROCESSES - 1) * logs.std(1, ddof=1) / np.sqrt(PROCESSES)
    value, ends = np.exp(mean), (np.exp(mean - half), np.exp(mean + half))
    words = [f"{i}:" + pd.Series(np.char.mod("%.7g", np.exp(of))) for i, of in enumerate(logs.T, 1)]
    each = words[0].str.cat(words[1:], sep=" ")
    if what == "speedup":
        return {"speedup": value, "speedup_ci_low": ends[0], "speedup_ci_high": ends[1], "precision": half, "speedup_by_process": each, "speedup_of_minima": value, "speedup_of_medians": value}  # fmt: skip
    return {"time_median_s": value, "time_ci_low_s": ends[0], "time_ci_high_s": ends[1], "time_by_process": each, "time_min_s": value * 0.98, "time_p10_s": value * 0.99, "time_p90_s": value * 1.1}  # fmt: skip


def _costs(shape: dict[str, np.ndarray[Any, Any]], logs: np.ndarray[Any, Any]) -> dict[str, Any]:
    macs = shape["c_in"] * shape["c_out"] * shape["kernel"] ** 2 * shape["height"] ** 2
    return {"macs": macs, "flops": 2 * macs, "params": macs // shape["height"] ** 2, "bytes_min": 4 * macs, "activations": macs // shape["c_in"], "achieved_flop_per_s": 2 * macs / np.exp(logs.mean(1))}  # fmt: skip


def _save(folder: Path, file: Any, parts: list[dict[str, Any]]) -> None:
    names = [c.name for c in columns_of(file)]
    for i, part in enumerate(parts):
        table = pd.DataFrame({name: part.get(name) for name in names}, index=range(len(part["trial_id"])))
        table.to_csv(folder / FILES[file], mode="a" if i else "w", header=not i, index=False)


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *map(float, sys.argv[4:]))
