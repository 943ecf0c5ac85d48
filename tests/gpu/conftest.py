"""Without a CUDA GPU there is nothing to check: one line says why, and the status is 2."""

from __future__ import annotations

import pytest

from bench.measure.diagnosis import why_not


def pytest_sessionstart() -> None:
    refused = why_not("cuda:0")
    if refused is not None:
        pytest.exit(str(refused), returncode=2)
