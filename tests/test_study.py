"""docs/METHOD.md's tables are what the study's program says of the samples that the repository keeps."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "results" / "study" / "samples.jsonl.gz"


@pytest.fixture(scope="module")
def judge():
    spec = importlib.util.spec_from_file_location("judge", ROOT / "tools" / "study" / "judge.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # or its dataclasses can't be made
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def study(judge):
    return judge.load(SAMPLES)


@pytest.mark.parametrize("name", ["values", "rules", "designs", "budget", "ways", "marks", "aa"])
def test_the_pages_tables_are_the_programs(judge, study, name: str) -> None:
    page = (ROOT / "docs" / "METHOD.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- study: {name} -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert found is not None
    if name == "aa":
        said = judge.aa_table([ROOT / "results" / "study" / "aa"])
    else:
        said = getattr(judge, f"{name}_table")(study, judge.truths(study))
    assert found[1] == said


def test_the_rule_in_use_meets_its_target_on_these_samples(judge, study) -> None:
    """The target of the study: 0.04 quiet, 0.06 beside the competitor, a hundredth of torch's mean squared error."""
    truth = judge.truths(study)
    for busy, target in ((False, 0.04), (True, 0.06)):
        cells = [(k, truth[k[0], False, k[2]]) for k in study.cells(busy)]
        ours = judge.error(
            [(judge.values(study, judge.RULES[judge.OURS], k, 0.4, [judge.SHORT]), t) for k, t in cells], 5
        )[2]
        theirs = judge.error([(np.array(study.timer[k]), t) for k, t in cells], 1)[2]
        assert ours <= target
        assert ours**2 <= theirs**2 / 100


def test_an_error_is_bias_and_spread_of_known_populations(judge) -> None:
    rng = np.random.default_rng(1)
    populations = [(rng.normal(0.1, 0.2, 20_000), 0.0)] * 2
    spread, bias, error = judge.error(populations, 4)
    assert (spread, bias, error) == pytest.approx((0.2, 0.1, (0.1**2 + 0.2**2 / 4) ** 0.5), rel=0.03)
