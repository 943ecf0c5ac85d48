"""The worker process: reads one job on stdin, answers one JSON line per trial, and ends.

The runner starts it as `python -m bench.measure.worker` with its variables set. Stdout is for answers only: what libraries
print goes to stderr, which the runner writes to a log. A trial's failure is an answer. If the process dies, the runner
knows the current trial from its `begin` line.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import platform
import random
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from time import perf_counter, perf_counter_ns
from typing import Any, TextIO

import torch

from bench.measure import compiling, layer_timing, peaks, sampling, second_opinions, selfcheck, user_kernels
from bench.measure.device import device_list
from bench.measure.device.devices import CaptureFailed, Cpu, Device, Launches
from bench.measure.device.diagnosis import too_old
from bench.measure.device.memory import Peak
from bench.measure.device.open_device import open_device
from bench.measure.device.switches import set_switches
from bench.measure.device.telemetry import Nvml
from bench.measure.disturbance import Watch
from bench.measure.modules import Evaluation
from bench.measure.user_blocks import NotABlock, count, factory_of
from bench.spec.config.timing import Timing
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError, first_line
from bench.spec.plan.plan import Arm, Trial

NO_COMPILER = (  # inductor's and Triton's messages where torch.compile lacks a compiler
    "No working C++ compiler",
    "Failed to find C compiler",
    "Cannot find a working triton",
    "too old to be supported by the triton",
)
Answer = Callable[[dict[str, Any]], None]


def main(opened: Callable[[str], Device] = open_device) -> None:
    """Answer the job on stdin: `probe` the device, or `inspect`, `time` or get an `opinion` on each trial.

    `opened`: from a device's name to the device.
    """
    answers = _keep_stdout()

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n")
        answers.flush()

    job = json.loads(sys.stdin.read())
    try:
        if (refused := too_old()) is not None:
            raise refused
        predicted = is_predicted(job["device"])  # only a user's blocks need a worker there, and no device
        device = Cpu() if predicted else opened(job["device"])
        for path in job["imports"]:
            factory_of(path)
    except UserError as error:
        answer({"type": "refused", "place": error.place, "rule": error.rule, "remedy": error.remedy})
        return
    except NotABlock as error:
        remedy = "Name package.module:name as Python finds it in this folder, or set PYTHONPATH."
        answer({"type": "refused", "place": "import", "rule": first_line(error), "remedy": remedy})
        return
    torch.set_num_threads(1 if predicted else job["threads"])
    facts = _facts(device)
    if job["kind"] == "probe":
        facts |= {"devices": device_list.devices(), "cards": device_list.cards(), "threading": device_list.threading()}
        card = _card(device)
        if job["timing"]["visit_seconds"] is not None:
            facts["conv_flop_per_s"] = peaks.conv_speed(device)
        facts["warnings"] = [*selfcheck.warnings(device), *([card.lack] if card is not None and card.lack else [])]
    answer({"type": "ready", "pid": os.getpid(), "facts": facts})
    if job["kind"] != "probe":
        _serve(device, job, answer)


def _serve(device: Device, job: dict[str, Any], answer: Answer) -> None:
    """Answer for each trial of the job in turn, with a `begin` before it."""
    card = _card(device)
    # the kernel's counters are of real time, so they mean nothing with a simulated clock
    watch = Watch(card.throttling if card else None) if device.clock is perf_counter_ns else None
    if job.get("roofs") and device.clock is perf_counter_ns:
        for dtype in dict.fromkeys(trial["dtype"] for trial in job["trials"]):
            keys = {key: job[key] for key in ("device", "threads", "replicate")} | {"dtype": dtype}
            answer({"type": "roof", **keys, **peaks.record(device, dtype)})
            if device.spoilt:
                return
    if any(trial["mode"] == "compile" for trial in job["trials"]):
        _load_compiler(device)
    gc.collect()
    gc.freeze()  # torch's objects are permanent: without them a collection between trials takes no time
    for data in job["trials"]:
        trial = Trial.from_dict(data)
        answer({"type": "begin", "trial_id": trial.trial_id})
        start = perf_counter()
        work, kind = {
            "inspect": (partial(_inspect, trial, device), "inspect"),
            "time": (partial(_visit, trial, device, job, watch, card), "visit"),
            "opinion": (partial(_second_opinions, trial, device, job["threads"]), "opinion"),
        }[job["kind"]]
        result = _guarded(work)
        answer({"type": kind, "trial_id": trial.trial_id, **result, "wall_s": round(perf_counter() - start, 6)})
        if device.spoilt or result.get("status_detail", "").startswith("device fault"):
            return  # the device's context is dead, or may still be capturing: only a fresh process can continue
        gc.collect()
        device.empty_cache()
    if watch is not None:
        watch.close()


def _guarded(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of `work`, or the status of its failure.

    Memory is freed outside of the `except`, whose traceback would keep the tensors alive.
    """
    failure: tuple[str, str] | None = None
    try:
        return work()
    except NotFinite as error:
        failure = ("nonfinite", str(error))
    except (torch.OutOfMemoryError, MemoryError) as error:
        failure = ("oom", first_line(error))
    except torch.AcceleratorError as error:
        failure = ("crash", f"device fault: {first_line(error)}")
        traceback.print_exc()
    except CaptureFailed as error:
        failure = ("unsupported", first_line(error))
        traceback.print_exc()
    except Exception as error:  # noqa: BLE001 (anything that a trial raises becomes its status)
        failure = (_status_of(error), f"{type(error).__name__}: {first_line(error)}")
        traceback.print_exc()
    gc.collect()
    return {"status": failure[0], "status_detail": failure[1]}


def _status_of(error: Exception) -> str:
    text = str(error)
    if "can't allocate memory" in text or "out of memory" in text or "ALLOC_FAILED" in text:
        return "oom"
    if isinstance(error, NotImplementedError) or "not implemented for" in text or "not supported" in text.lower():
        return "unsupported"
    if any(words in text for words in NO_COMPILER):
        return "unsupported"
    return "crash"


class NotFinite(Exception):
    """An output with infinities or NaNs, or with another shape than planned."""


@contextlib.contextmanager
def _built(trial: Trial, device: Device, seed: int) -> Iterator[list[Evaluation]]:
    """The trial's evaluations in the plan's order, built in random order, with its switches and grad mode set."""
    set_switches(trial.dtype, trial.cudnn_benchmark == "on")
    if trial.mode == "compile":
        compiling.start_over()
    order: list[int] = list(range(len(trial.arms)))
    random.Random(seed).shuffle(order)
    with torch.inference_mode(trial.pass_ == "inference"):
        built: dict[int, Evaluation] = {}
        for i in order:
            built[i] = Evaluation(trial, trial.arms[i], device.torch_device, seed + i)
            if trial.mode == "graph":
                built[i].capture(device.capture)
            if trial.mode == "compile":
                built[i].compile(device.time)
        yield [built[i] for i in sorted(built)]


def _inspect(trial: Trial, device: Device) -> dict[str, Any]:
    """One evaluation of each arm: shape, finiteness, memory, backends; launches last, as they may spoil the device."""
    if trial.predicted:
        return user_kernels.inspect(trial)
    arms: list[dict[str, Any]] = []
    with _built(trial, device, 0) as evaluations:
        for arm, evaluation in zip(trial.arms, evaluations, strict=True):
            output = _check(trial, arm, evaluation)
            # a graph holds its memory from its capture on, so a replay allocates none
            held = trial.mode == "graph"
            peak = Peak(None) if held else device.memory_peak(evaluation, evaluation.clear)
            arms.append(
                {
                    "arm_id": arm.arm_id,
                    "memory_peak_bytes": peak.allocated,
                    "memory_requested_bytes": peak.requested,
                    "memory_reserved_bytes": peak.reserved,
                    "backends": evaluation.backends(),
                    "compile_ns": evaluation.first_call_ns,
                    "output_shape": list(output),
                    "params": sum(p.numel() for p in evaluation.module.parameters()),
                    **_counted(trial, arm, evaluation),
                }
            )
        for facts, evaluation in zip(arms, evaluations, strict=True):
            counts = Launches() if device.spoilt else device.launches(evaluation.launched)
            facts |= {"launches": counts.profiler, "launches_graph": counts.graph}
    return {"status": "ok", "arms": arms}


def _counted(trial: Trial, arm: Arm, evaluation: Evaluation) -> dict[str, Any]:
    """The costs of a user's block, counted as it runs."""
    if arm.choice.factory is None:
        return {}
    return {"counted": count(evaluation.module, evaluation.input, trial.pass_ == "training")}


def _check(trial: Trial, arm: Arm, evaluation: Evaluation) -> tuple[int, ...]:
    """The output's shape. NotFinite for another shape than planned, and for infinities or NaNs."""
    output = evaluation()
    if arm.choice.factory is None and tuple(output.shape) != trial.cost(arm).output:
        raise NotFinite(f"{arm.choice.label} put out {tuple(output.shape)}, planned was {trial.cost(arm).output}")
    tensors = [output]
    if evaluation.training:
        tensors += [p.grad for p in evaluation.module.parameters() if p.grad is not None]
    if not all(bool(torch.isfinite(t).all()) for t in tensors):
        raise NotFinite(f"{arm.choice.label} put out infinities or NaNs in {trial.dtype}")
    return tuple(output.shape)


def _visit(trial: Trial, device: Device, job: dict[str, Any], watch: Watch | None, card: Nvml | None) -> dict[str, Any]:
    """Sample the trial's arms; the card is read before and after."""
    timing = Timing.model_validate(job["timing"])
    seed = random.Random(f"{timing.seed}/{job['replicate']}/{trial.trial_id}").getrandbits(32)
    with _built(trial, device, seed) as evaluations:
        gc.collect()
        gc.disable()
        before = card.read() if card else None
        try:
            visit = sampling.sample([partial(device.time, e) for e in evaluations], timing, seed, device.clock, watch)
            sides = sampling.device_side(device, evaluations)
            parts = [
                _parts(device, e, a, s.evaluations, sides[i] if sides else None)
                for i, (a, e, s) in enumerate(zip(trial.arms, evaluations, visit.arms, strict=True))
            ]
        finally:
            gc.enable()
        for arm, evaluation in zip(trial.arms, evaluations, strict=True):
            _check(trial, arm, evaluation)
    return {
        "status": "ok",
        "stop": visit.stop,
        "precision": visit.precision if visit.precision < 1e9 else None,
        "rounds": len(visit.orders),
        "orders": visit.orders,
        "warm_up": {
            "settled": visit.settled,
            "samples_ns": {a.arm_id: _rounded(s.warm_up) for a, s in zip(trial.arms, visit.arms, strict=True)},
            "wall_s": round(visit.warm_up_s, 6),
        },
        "arms": [
            {
                "arm_id": a.arm_id,
                "evaluations_per_sample": s.evaluations,
                "samples_ns": _rounded(s.times),
                "flags": s.flags,
                **({} if sides is None else _device_side(sides[i])),
                **({} if parts[i] is None else {"parts_ns": parts[i]}),
            }
            for i, (a, s) in enumerate(zip(trial.arms, visit.arms, strict=True))
        ],
        "counters": {
            a.arm_id: {
                "run_queue_wait_ns": s.counted.run_queue_wait_ns,
                "involuntary_switches": s.counted.involuntary_switches,
                "minor_faults": s.counted.minor_faults,
            }
            for a, s in zip(trial.arms, visit.arms, strict=True)
        },
        "timed_s": round(visit.timed_s, 6),
        **({"card": [before, card.read()]} if card else {}),
    }


def _parts(
    device: Device, evaluation: Evaluation, arm: Arm, evaluations: int, side: sampling.DeviceSide | None
) -> dict[str, float] | None:
    """The parts of an arm's time. A walk that fails leaves only its columns empty, unless the device is lost."""
    if arm.choice.factory is not None:
        return None
    try:
        warm = side.warm if side else None
        return layer_timing.parts_ns(device, evaluation, evaluations, min(warm.ns) if warm and warm.proven else None)
    except torch.AcceleratorError:
        raise
    except Exception:  # noqa: BLE001 (the arm's samples are there already)
        traceback.print_exc()
        return None


def _second_opinions(trial: Trial, device: Device, threads: int) -> dict[str, Any]:
    """Other tools' times of each arm, built as for our samples."""
    with _built(trial, device, 0) as evaluations:
        for arm, evaluation in zip(trial.arms, evaluations, strict=True):
            _check(trial, arm, evaluation)
        opinions = second_opinions.ask(device, evaluations, threads)
    pairs = zip(trial.arms, opinions, strict=True)
    return {"status": "ok", "arms": [{"arm_id": arm.arm_id, **asdict(o)} for arm, both in pairs for o in both]}


def _rounded(times: list[float]) -> list[float]:
    """Nanoseconds to a tenth: finer than the clock, and a third of the journal's size."""
    return [round(t, 1) for t in times]


def _device_side(side: sampling.DeviceSide) -> dict[str, Any]:
    """The device's times for the journal."""
    return {
        "device_ns": None if side.warm is None else _rounded(list(side.warm.ns)),
        "device_cold_ns": None if side.cold is None else _rounded(list(side.cold.ns)),
        "device_proven": None if side.warm is None else side.warm.proven,
        "enqueue_ns": _rounded(side.submit),
    }


def _card(device: Device) -> Nvml | None:
    return Nvml(torch.cuda.get_device_properties(device.torch_device)) if device.torch_device.type == "cuda" else None


def _load_compiler(device: Device) -> None:
    """Load the compiler; if that fails, each trial that needs it will report the error."""
    try:
        compiling.start_over()
        compiling.load(device.torch_device)
    except Exception:  # noqa: BLE001
        traceback.print_exc()


def _facts(device: Device) -> dict[str, Any]:
    """The facts of this process and its device, for environment.json."""
    return {
        "device_name": device.name if device.name != "cpu" else "",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "torch_parallel": torch.__config__.parallel_info().splitlines()[0:8],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "onednn": torch.backends.mkldnn.is_available(),  # type: ignore[no-untyped-call]
        "threads": torch.get_num_threads(),
        "switches": set_switches("fp32", cudnn_benchmark=True),
        "properties": device.properties(),
    }


def _keep_stdout() -> TextIO:
    """A private copy of stdout for the answers; file descriptor 1 becomes stderr, for what libraries print."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


if __name__ == "__main__":
    main()
