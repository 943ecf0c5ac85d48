"""The page of errors is what the command prints."""

import pytest

from bench.spec.model.model_parameters import told
from tests.model_fit.reference import ROOT
from tools.model_fit import report
from tools.model_fit.cross_validation import FITTED


def test_the_page_is_what_the_command_prints():
    page = (ROOT / "docs" / "PREDICTION.md").read_text(encoding="utf-8")
    assert page == report.markdown(told())


def test_the_page_says_of_each_goal_whether_it_is_met():
    goals = [line.split("|") for line in report.brief(told()) if line.startswith(("| GPUs", "| CPUs"))]
    assert len(goals) == 10, "by kind, data and what is left out; and what is never fitted, its hosts told and not"
    for cells in goals:
        model, roofline, (less, times) = float(cells[3]), float(cells[4]), cells[5].split(",")
        assert float(less) == pytest.approx(roofline / model, rel=0.05)
        assert times.strip() == ("met" if float(less) >= 2 else "missed")
        off, speedups = cells[7].split(",")
        assert speedups.strip() == ("met" if float(off.removesuffix(" %")) < 25 else "missed")


def test_what_was_first_said_of_a_gpu_stays_as_it_was_said():
    first = {(s["source"], s["device"], s["table"]): s for s in report.first_look()["checks"]}
    wall = first["h100-16-cores", "NVIDIA H100 SXM5 80 GB", "eager, inference, wall"]
    assert (wall["times"][FITTED]["median"], wall["speedups"][FITTED]["median"]) == (0.1222, 0.248)
    device = first["h100-16-cores", "NVIDIA H100 SXM5 80 GB", "eager, inference, device"]
    assert device["speedups"][FITTED]["median"] == 0.7824
