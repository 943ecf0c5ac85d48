"""The worker process: reads one job on stdin, answers one JSON line per trial, and ends.

The runner starts it as `python -m bench.measure.worker` with its variables set. Stdout is for answers only: what
libraries print goes to stderr, which the runner writes to a log. A trial's failure is an answer. If the process dies,
the runner knows the current trial from its `begin` line.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from time import perf_counter, perf_counter_ns
from typing import Any, TextIO, cast

import torch

from bench.measure import modules, peaks, selfcheck, trial_records, user_kernels
from bench.measure.device import device_list
from bench.measure.device.device_list import too_old
from bench.measure.device.devices import CaptureFailed, Cpu, Device, is_fault, kept, put_back, set_switches
from bench.measure.device.telemetry import Nvml
from bench.measure.disturbance import Watch
from bench.measure.user_blocks import NotABlock, source_of
from bench.spec.devices.device_names import is_predicted
from bench.spec.errors import UserError, first_line
from bench.spec.plan.plan import Trial

NO_COMPILER = (  # inductor's and Triton's messages where torch.compile lacks a compiler
    "No working C++ compiler",
    "Failed to find C compiler",
    "Cannot find a working triton",
    "too old to be supported by the triton",
)
Answer = Callable[[dict[str, Any]], None]


def main(opened: Callable[[str], Device] = device_list.open_device) -> None:
    """Answer the job on stdin's first line: `probe` the device, `walk` a model, or `foresee`, `inspect`, `time` or get an `opinion` on each trial.

    As a `side` of a comparison in lockstep, answer the requests on the next lines.

    `opened`: from a device's name to the device.
    """
    answers = _keep_stdout()

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message, separators=(",", ":"), allow_nan=False) + "\n")
        answers.flush()

    if "BENCH_AHEAD" in os.environ:
        answer({"type": "awake"})
    job = json.loads(sys.stdin.readline())
    try:
        if (refused := too_old()) is not None:
            raise refused
        predicted = is_predicted(job["device"])  # only a user's blocks need a worker there, and no device
        device = Cpu() if predicted else opened(job["device"])
        sources, changed, before = dict[str, str](), list[str](), kept()
        for path, expected in job["imports"].items():
            sources[path] = source_of(path)
            changed += [f"importing {path} changed {what}: put back after it" for what in put_back(before)]
            if expected not in (None, sources[path]):
                rule, remedy = "its source is not that with which this run began", "Put it back, or start a new run"
                raise UserError(f"import {path}", rule, remedy)
        walked = _walked(job) if job["kind"] == "walk" else {}
    except UserError as error:
        answer({"type": "refused", "place": error.place, "rule": error.rule, "remedy": error.remedy})
        return
    except NotABlock as error:
        answer({"type": "refused", "place": "import", "rule": first_line(error), "remedy": error.remedy})
        return
    torch.set_num_threads(1 if predicted else job["threads"])
    facts = _facts(device) | {"imports": sources} | walked
    if job["kind"] == "probe":
        facts |= {"devices": device_list.devices(), "cards": device_list.cards(), "threading": device_list.threading()}
        card = _card(device)
        if job["timing"]["visit_seconds"] is not None:
            facts |= peaks.conv_speed(device, Watch(card.throttling if card else None))
        facts["warnings"] = [*changed, *selfcheck.warnings(device), *([card.lack] if card and card.lack else [])]
    answer({"type": "ready", "pid": os.getpid(), "facts": facts})
    if job["kind"] not in ("probe", "walk"):
        _serve(device, job, answer)


def _walked(job: dict[str, Any]) -> dict[str, Any]:
    from bench.measure.user_models import walk  # no other job needs it

    return {"walk": walk(Trial.from_dict(job["trials"][0]))}


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
        answer({"type": "begin", "trial_id": trial.trial_id, "log_at": os.fstat(2).st_size})
        if job["kind"] == "side" and sys.stdin.readline().strip() != "go":
            continue
        start = perf_counter()
        work, kind = {
            "inspect": (partial(trial_records.inspect, trial, device), "inspect"),
            "foresee": (partial(user_kernels.foresee, trial), "foresee"),
            "time": (partial(trial_records.visit, trial, device, job, watch, card), "visit"),
            "opinion": (partial(trial_records.opinions, trial, device, job["threads"]), "opinion"),
            "side": (partial(trial_records.side, trial, device, job, watch, card, sys.stdin, answer), "side"),
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
    except trial_records.NotFinite as error:
        failure = ("nonfinite", str(error))
    except (torch.OutOfMemoryError, MemoryError) as error:
        failure = ("oom", first_line(error))
    except CaptureFailed as error:
        failure = ("unsupported", first_line(error))
        traceback.print_exc()
    except Exception as error:  # noqa: BLE001 (anything that a trial raises becomes its status)
        whose = "".join(getattr(error, "__notes__", ()))
        told = (_status_of(error), f"{whose}{type(error).__name__}: {first_line(error)}")
        failure = ("crash", f"device fault: {first_line(error)}") if is_fault(error) else told
        traceback.print_exc()
    gc.collect()
    return {"status": failure[0], "status_detail": failure[1]}


def _status_of(error: Exception) -> str:
    text = str(error)
    if text.startswith("Expected more than 1 ") and "when training" in text:  # batch norm or instance norm
        return "unsupported"
    if "can't allocate memory" in text or "out of memory" in text or "ALLOC_FAILED" in text:
        return "oom"
    lacking = "not supported" in text.lower() or any(words in text for words in ("not implemented for", *NO_COMPILER))
    return "unsupported" if lacking or isinstance(error, NotImplementedError) else "crash"


def _card(device: Device) -> Nvml | None:
    return Nvml(torch.cuda.get_device_properties(device.torch_device)) if device.torch_device.type == "cuda" else None


def _load_compiler(device: Device) -> None:
    """Load the compiler; if that fails, each trial that needs it will report the error."""
    try:
        modules.start_over()
        modules.load_compiler(device.torch_device)
    except Exception:  # noqa: BLE001
        traceback.print_exc()


def _facts(device: Device) -> dict[str, Any]:
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
    cast(TextIOWrapper, sys.stdout).reconfigure(line_buffering=True)  # so that no line is written in a later trial
    return kept


if __name__ == "__main__":
    main()
