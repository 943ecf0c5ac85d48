"""Other tools in the worker: they run, they say when they can't, and on a queue they wait. Nothing about how fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from bench.measure import second_opinions
from bench.measure.device.devices import Cpu
from bench.run import launch
from bench.spec.columns import TOOLS
from bench.spec.config.config import check
from bench.spec.config.timing import Timing
from bench.spec.plan.plan import Trial, make
from tests import simulated

TORCH, PYTEST = TOOLS


def trials(device: str = "cpu", blocks=("standard", "separable"), **axes) -> list[Trial]:
    axes = {"channels": 8, "size": 7, "threads": 1} | axes
    experiment = {"blocks": list(blocks), "axes": axes}
    return list(make(check({"name": "t", "experiments": {"a": experiment}}, "t"), [device], 2).trials)


def serve(given: list[Trial], **env: str) -> list[dict]:
    place = given[0].surroundings
    done = subprocess.run(
        [sys.executable, "-m", launch.WORKER],
        input=json.dumps(launch.job("opinion", place, Timing(), given)),
        env=launch.worker_environment(place) | env, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    return [m for m in map(json.loads, done.stdout.splitlines()) if m["type"] == "opinion"]


def test_a_worker_hears_both_tools_and_goes_on_to_the_next_trial(warm):
    given = trials(blocks=["separable"], **{"pass": ["inference", "training"]})
    heard = serve(given, PYTEST_ADDOPTS="--benchmark-skip --no-such-option")
    assert [m["trial_id"] for m in heard] == [t.trial_id for t in given]
    for trial, message in zip(given, heard, strict=True):
        assert message["status"] == "ok", message
        assert [(a["arm_id"], a["tool"]) for a in message["arms"]] == [(a.arm_id, t) for a in trial.arms for t in TOOLS]
        for arm in message["arms"]:
            assert arm["detail"] is None
            assert arm["time_median_s"] > 0
            assert arm["time_iqr_s"] >= 0
            assert arm["time_min_s"] is None if arm["tool"] == TORCH else 0 < arm["time_min_s"] <= arm["time_median_s"]


@pytest.mark.fault(
    "torch and devices", "a tool of second opinions is not installed",
    "its rows say so, the other tool's stand",
)  # fmt: skip
@pytest.mark.parametrize("missing", ["pytest", "pytest_benchmark"])
def test_where_pytest_benchmark_is_not_installed_its_opinion_says_so_and_torchs_stands(monkeypatch, missing):
    real = second_opinions.find_spec
    monkeypatch.setattr(second_opinions, "find_spec", lambda name: None if name == missing else real(name))
    monkeypatch.setattr(second_opinions, "by_timer", lambda call, *_: second_opinions.Opinion(TORCH, None, 1.0))
    (both,) = second_opinions.ask(Cpu(), [lambda: None], 1)
    assert both == (
        second_opinions.Opinion(TORCH, None, 1.0),
        second_opinions.Opinion(PYTEST, detail="pytest-benchmark is not installed"),
    )


CODE = """
import os, sys
from bench.measure import second_opinions
def fails(): raise RuntimeError("no such kernel")
before = dict(os.environ)
try:
    second_opinions.by_pytest_benchmark([lambda: None, fails])
except RuntimeError as error:
    print(error, before == dict(os.environ), hasattr(sys, "last_value"), file=sys.stderr)
"""


def test_what_a_call_raises_comes_through_pytest_and_nothing_of_it_stays():
    """In a process of its own, as pytest within pytest would share this one's plugins."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTEST_ADDOPTS": "-v"}
    told = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, timeout=120)
    assert told.stderr.splitlines()[-1] == "no such kernel True False"


def test_torchs_timer_takes_the_workers_threads(monkeypatch):
    seen = []

    class Timer:
        def __init__(self, *_, num_threads: int, **__) -> None:
            seen.append(num_threads)

        def blocked_autorange(self, min_run_time: float):
            return type("Measurement", (), {"median": 1.0, "iqr": 0.5})

    monkeypatch.setattr("torch.utils.benchmark.Timer", Timer)
    told = second_opinions.by_timer(lambda: None, 3, lambda: 0, None)
    assert (seen, told) == ([3], second_opinions.Opinion(TORCH, None, 1.0, 0.5, None))


@pytest.mark.skipif(simulated.available() is not None, reason=str(simulated.available()))
def test_on_a_device_with_a_queue_the_wait_is_inside_the_timed_statement(warm):
    """3 and 6 kernels of 20 ms each that take 5 us to launch: without the wait a call would read 15 and 30 us."""
    given = trials("sim")
    (message,) = serve(given, **{simulated.ENVIRONMENT: "virtual,launch=5e-6,kernel=2e-2"})
    assert message["status"] == "ok", message
    told = {(a["arm_id"].rpartition("/")[2], a["tool"]): a for a in message["arms"]}
    for block, kernels in (("standard", 3), ("separable", 6)):
        ours = told[(block, TORCH)]
        assert ours["time_median_s"] == pytest.approx(kernels * 2e-2, rel=0.01)
        assert ours["detail"] == "each call was followed by a wait for the device"
        assert told[(block, PYTEST)]["time_median_s"] is None
        assert told[(block, PYTEST)]["detail"] == "it can't be given a simulated clock"
