"""docs/PREDICTION_FIT.md is what the command prints, and docs/PREDICTION.md quotes it."""

import math
import re

import pytest

from bench.spec.devices.device_entries import DISPATCH_S, LAUNCH_S
from bench.spec.model.model_parameters import SLOWER, fit_result
from tests.model_fit.reference import ROOT, model_fit
from tools.model_fit import report
from tools.model_fit.cross_validation import FITTED, NO_SOURCE

GUIDE, APPENDIX = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("PREDICTION", "PREDICTION_FIT")
)


def test_the_appendix_is_what_the_command_prints(capsys):
    assert model_fit(capsys, "report") == (0, APPENDIX, "")


def test_a_fit_without_runs_of_ours_is_reported_too():
    assert "None yet." in report.markdown({**fit_result(), "checks": [], "sides": [], "where": []})


def test_the_guide_is_short_and_its_tables_are_those_of_the_appendix():
    assert len(GUIDE.split()) < 900
    rows = [line for line in GUIDE.splitlines() if line.startswith("|")]
    assert len(rows) >= 12
    assert set(rows) <= set(APPENDIX.splitlines())


def test_the_figures_in_the_guides_words_are_those_of_the_fit():
    words = " ".join(GUIDE.split())
    (compiled,) = (row for row in fit_result()["where"] if (row["kind"], row["sort"]) == ("gpu", "torch.compile"))
    assert round(math.exp(-compiled["times"]["bias"])) == 3
    assert "torch.compile on a GPU is predicted three times too fast" in words
    unknown = fit_result()["summary_on_unknown_hosts"]["gpu"][NO_SOURCE]["speedups"]
    assert f"whose hosts are unknown, speedups of networks were off by {100 * math.expm1(unknown):.0f} %" in words
    assert f"a `sim:` GPU is given {1e6 * (DISPATCH_S + LAUNCH_S):.0f} us an operator" in words.replace("A `", "a `")
    assert SLOWER == 4
    assert "Intervals allow for one four times slower" in words


@pytest.mark.parametrize("page", [GUIDE, APPENDIX], ids=["guide", "appendix"])
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert links
    for target, _, anchor in (link.partition("#") for link in links):
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / target).read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_the_page_says_of_each_goal_whether_it_is_met():
    goals = [line.split("|") for line in report.brief(fit_result()) if line.startswith(("| GPUs", "| CPUs"))]
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
