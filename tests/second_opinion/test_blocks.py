"""The arms of one config, each timed by pytest-benchmark as it comes. Started by `make test-bench`."""

import os
from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.measure.devices import set_switches
from bench.measure.modules import Evaluation
from bench.run.environment import usable_cores
from bench.run.launch import recorded, worker_environment
from bench.spec import config, plan
from bench.spec.plan import Arm, Trial

PLAN = plan.make(config.load(Path(os.environ["SECOND_OPINION_CONFIG"]))[0], ["cpu"], usable_cores())
ARMS = [(trial, arm) for trial in PLAN.active for arm in trial.arms]


@pytest.fixture(autouse=True, scope="module")
def surroundings() -> None:
    """The same environment, switches and threads as a worker has."""
    (only,) = PLAN.surroundings()
    assert recorded(os.environ) == recorded(worker_environment(only)), "start it with `make test-bench`"
    set_switches("fp32", cudnn_benchmark=True)
    torch.set_num_threads(only.threads)


@pytest.mark.parametrize(("trial", "arm"), ARMS, ids=[arm.arm_id for _, arm in ARMS])
def test_block(benchmark: BenchmarkFixture, trial: Trial, arm: Arm) -> None:
    with torch.inference_mode(trial.pass_ == "inference"):
        output = benchmark(Evaluation(trial, arm, torch.device("cpu"), seed=1))
    benchmark.extra_info["arm_id"] = arm.arm_id
    assert tuple(output.shape) == trial.cost(arm).output
