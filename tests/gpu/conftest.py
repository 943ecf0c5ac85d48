"""Which CUDA device is checked: `--device cuda:1`. Where it can't be used one line says why, and nothing else happens."""

from __future__ import annotations

import re

import pytest
import torch

from bench.measure.device import device_list, devices
from bench.measure.device.device_list import too_old, why_not


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cuda:0", help="the CUDA device to check: cuda, cuda:1")


def pytest_configure(config: pytest.Config) -> None:
    asked = str(config.getoption("--device"))
    name = ",".join(word for word in asked.split(",") if word != "cpu")
    if re.fullmatch(r"cuda(:[0-9]{1,3})?", name) is None:
        raise pytest.UsageError(f"DEVICE={asked}: the self-checks ask one CUDA device. Name cuda or cuda:1.")
    config.option.device = name if ":" in name else "cuda:0"
    refused = too_old() or why_not(config.option.device)
    if refused is not None:
        raise pytest.UsageError(str(refused))


@pytest.fixture(scope="session")
def place(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def device(place: torch.device) -> devices.Device:
    return device_list.open_device(str(place))
