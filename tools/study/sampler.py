"""One process of the study: reads a job on stdin and prints a JSON line for each cell and build, samples included."""

from __future__ import annotations

import gc
import json
import random
import sys
from functools import partial
from time import perf_counter

import torch
from torch.utils.benchmark import Timer

from bench.measure import sampling
from bench.measure.device.devices import Cpu, set_switches
from bench.measure.disturbance import Watch
from bench.measure.modules import Evaluation
from bench.spec.config import config
from bench.spec.config.timing import Timing
from bench.spec.plan import plan


def main() -> None:
    """Sample every cell in a random order: each build with its own length of samples, then torch's Timer where asked."""
    job = json.loads(sys.stdin.read())
    setting, coin = job["setting"], random.Random(job["seed"])
    torch.set_num_threads(setting["threads"])
    set_switches("fp32", cudnn_benchmark=True)
    device, watch = Cpu(), Watch()
    cells = list(enumerate(job["cells"]))
    coin.shuffle(cells)
    gc.freeze()
    for number, cell in cells:
        trial = _trial(cell, setting["threads"])
        builds = list(setting["builds"])
        coin.shuffle(builds)
        with torch.inference_mode():
            for sample_s, seconds in builds:
                seed = coin.getrandbits(32)
                order = [0, 1]
                coin.shuffle(order)
                built = {i: Evaluation(trial, trial.arms[i], device.torch_device, seed + i) for i in order}
                arms = [built[0], built[1]]
                gc.collect()
                gc.disable()
                timing = Timing(precision=1e-9, seconds=seconds, rounds_min=4, rounds_max=100_000, sample_seconds=sample_s, warmup_seconds=0.2)  # fmt: skip
                begun = perf_counter()
                visit = sampling.sample([partial(device.time, e) for e in arms], timing, seed, device.clock, watch)
                wall = perf_counter() - begun - visit.warm_up_s
                gc.enable()
                _say(setting, number, sample_s, wall, visit)
            if setting["timer_s"]:
                medians = [_timer(e, setting["threads"], setting["timer_s"]) for e in arms]
                print(json.dumps({"setting": setting, "cell": number, "timer_s": medians}))


def _say(setting: dict, cell: int, sample_s: float, wall_s: float, visit: sampling.Visit) -> None:
    told = {
        "setting": setting,
        "cell": cell,
        "sample_s": sample_s,
        "wall_s": round(wall_s, 4),
        "settled": visit.settled,
        "ns": [[float(f"{t:.5g}") for t in a.times] for a in visit.arms],
        "flags": [a.flags for a in visit.arms],
        "evaluations": [a.evaluations for a in visit.arms],
    }
    print(json.dumps(told, separators=(",", ":")))


def _timer(evaluation: Evaluation, threads: int, seconds: float) -> float:
    """What torch's own timer says, as its users take it: one process, one arm after the other, the median."""
    timer = Timer("f()", globals={"f": evaluation}, num_threads=threads)
    return float(timer.blocked_autorange(min_run_time=seconds).median)


def _trial(cell: dict, threads: int) -> plan.Trial:
    axes = {"channels": cell["channels"], "kernel": cell["kernel"], "size": 56, "layout": cell["layout"], "threads": threads}  # fmt: skip
    data = {"name": "study", "experiments": {"study": {"blocks": ["standard", "separable"], "axes": axes}}}
    return plan.make(config.check(data, "study"), ["cpu"], threads).trials[0]


if __name__ == "__main__":
    main()
