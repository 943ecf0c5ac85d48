"""Stands in for the worker: answers at once with samples of a known speedup, or misbehaves on request.

BENCH_FAKE is a JSON mapping from a part of a trial's name to crash, hang, oom, nonfinite, fault (answers, then dies
like a lost device context) or once (crashes the first time only, told by the file named there); `*` is any trial.
Under `probe` dies or aborts, with words; `speed` is the FLOP/s that a probe tells. Under `environ` a folder for its variables.
Under `opinion` stands what befalls second opinions, and those alone; under `roof` dies or slow, for the roofs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from string import ascii_uppercase

RATIO = 3.0


def main() -> None:
    if "BENCH_AHEAD" in os.environ:
        say({"type": "awake"})
    job = json.loads(sys.stdin.read())
    fake = json.loads(os.environ.get("BENCH_FAKE", "{}"))
    if fake.get("probe") == "dies" and job["kind"] == "probe":
        print("ImportError: libcudnn.so.9: cannot open shared object file", file=sys.stderr, flush=True)
        sys.exit(3)
    if fake.get("probe") == "aborts" and job["kind"] == "probe":
        print("terminate called after throwing an instance of 'c10::Error'", file=sys.stderr, flush=True)
        os.abort()
    if "environ" in fake:
        Path(fake["environ"], f"{job['kind']}-{os.getpid()}.json").write_text(json.dumps(dict(os.environ)))
    facts = {"device_name": "", "torch": fake.get("torch", "fake"), "threads": job["threads"]}
    of = job["imports"] if isinstance(job["imports"], dict) else {}  # of two sides a list
    facts |= {"imports": dict.fromkeys(of, "fake")} if of else {}
    facts |= {"conv_flop_per_s": fake["speed"], "conv_detail": "a convolution at so much"} if "speed" in fake else {}
    facts |= {"walk": []} if job["kind"] == "walk" else {}  # of a model without layers
    say({"type": "ready", "pid": os.getpid(), "facts": facts})
    if fake.get("start") == "dies" and job["kind"] != "probe":
        os.abort()
    if job["kind"] in ("probe", "walk"):
        return
    if job["roofs"]:
        if fake.get("roof") == "dies":
            os.abort()
        for dtype in sorted({t["dtype"] for t in job["trials"]}):
            time.sleep(1.5 if fake.get("roof") == "slow" else 0)
            say(roof(job, dtype))
    for trial in job["trials"]:
        say({"type": "begin", "trial_id": trial["trial_id"], "log_at": os.fstat(2).st_size})
        what = next((v for k, v in fake.items() if k in trial["trial_id"]), "ok") if job["kind"] == "time" else "ok"
        what = fake.get("opinion", "ok") if job["kind"] == "opinion" else what
        if what.startswith("once:"):
            marker = Path(what.removeprefix("once:"))
            what = "ok" if marker.exists() else "crash"
            marker.touch()
        if what == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            time.sleep(600)
        if what in ("slow", "slower"):
            time.sleep(0.3 if what == "slow" else 1.5)
        kind = {"time": "visit"}.get(job["kind"], job["kind"])
        told = {"type": kind, "trial_id": trial["trial_id"], "wall_s": 0.01}
        if what in ("oom", "nonfinite", "fault"):
            detail = "device fault: illegal address" if what == "fault" else f"planted {what}"
            say(told | {"status": "crash" if what == "fault" else what, "status_detail": detail})
            if what == "fault":
                return
        elif kind == "inspect":
            arms = [
                {
                    "arm_id": a["arm_id"],
                    "memory_peak_bytes": 1024,
                    "backends": ["Fake"],
                    "params": 1,
                    "output_shape": [1],
                }
                for a in trial["arms"]
            ]
            say(told | {"status": "ok", "arms": arms})
        elif kind == "foresee":
            say(told | {"failed": "a fake counts nothing"})
        elif kind == "opinion":
            say(told | {"status": "ok", "arms": opinions(trial)})
        else:
            say(told | visit(trial, job["replicate"]))


def roof(job: dict, dtype: str) -> dict:
    place = {key: job[key] for key in ("device", "threads", "replicate")}
    return {
        "type": "roof",
        **place,
        "dtype": dtype,
        "matmul_flop_per_s": job["replicate"] * 1e11,
        "conv_flop_per_s": None,
        "cache_bytes_per_s": 1e11 / job["replicate"],
        "memory_bytes_per_s": 1e10,
        "cache_bytes": 1 << 25,
        "detail": {"matmul_flop_per_s": f"{job['replicate']} wide", "conv_flop_per_s": "not implemented for 'Half'"},
    }


def opinions(trial: dict) -> list[dict]:
    return [
        {
            "arm_id": a["arm_id"],
            "tool": tool,
            "time_min_s": 1e-3,
            "time_median_s": 1e-3,
            "time_iqr_s": 0.0,
            "detail": None,
        }
        for a in trial["arms"]
        for tool in ("torch.utils.benchmark", "pytest-benchmark")
    ]


def visit(trial: dict, replicate: int) -> dict:
    coin = random.Random(f"{trial['trial_id']}{replicate}")
    arms = []
    letters = ascii_uppercase[: len(trial["arms"])]
    for i, arm in enumerate(trial["arms"]):
        base = 1e6 / RATIO**i
        samples = [round(base * (1.01 + coin.expovariate(200)), 1) for _ in range(8)]
        arms.append(
            {
                "arm_id": arm["arm_id"],
                "evaluations_per_sample": 2,
                "samples_ns": samples,
                "device_ns": None,
                "flags": [0] * 8,
            }
        )
    none = {"run_queue_wait_ns": 0, "involuntary_switches": 0, "minor_faults": 0}
    return {
        "status": "ok",
        "stop": "seconds",
        "precision": 0.02,
        "rounds": 4,
        "orders": [letters + letters[::-1], letters[::-1] + letters] * 2,
        "warm_up": {"settled": True, "samples_ns": {a["arm_id"]: [1e6] for a in arms}, "wall_s": 0.001},
        "arms": arms,
        "counters": {a["arm_id"]: none for a in arms},
        "timed_s": 0.01,
    }


def say(message: dict) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
