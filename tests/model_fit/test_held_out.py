"""Errors on data that a fit has not seen: as the runs and fits give them, each by a fit without its machine."""

import pytest

from bench.spec.model import model_parameters
from bench.spec.model.model_parameters import fit_result
from tests.model_fit.reference import own
from tools.model_fit import held_out, own_runs, report, split_half
from tools.model_fit.cross_validation import NO_DEVICE, NO_SOURCE, OTHER, ROOFLINE


@pytest.mark.parametrize("folder", list(dict.fromkeys(score["source"] for score in fit_result()["checks"])))
def test_our_own_runs_are_held_against_the_fit_as_the_file_says(folder):
    parameters = {kind: model_parameters.fitted() for kind in held_out.KINDS}
    apart = {left: split_half.fitted_without(left) for left in fit_result()["without"]}
    found = [score.to_dict() for score in held_out.of_run(own(folder), parameters, apart)]
    written = [score for score in fit_result()["checks"] if score["source"] == folder]
    for mine, theirs in zip(found, written, strict=True):
        for what in ("times", "speedups"):
            for way in mine[what]:
                assert mine[what][way] == pytest.approx(theirs[what][way], abs=2e-3)


def test_the_side_of_1x_is_told_as_the_runs_and_the_fits_have_it():
    parameters = {kind: model_parameters.fitted() for kind in held_out.KINDS}
    apart = {left: split_half.fitted_without(left) for left in fit_result()["without"]}
    sources = list(dict.fromkeys(score["source"] for score in fit_result()["checks"]))
    found = [side for name in sources for side in held_out.sides(own(name), parameters, apart)]
    assert found == fit_result()["sides"]
    said = report.markdown(fit_result())
    (row,) = (line for line in said.splitlines() if line.startswith("| pairs of our runs on the right side of 1x |"))
    cells = []
    for kind in ("gpu", "cpu"):
        mine = [side for side in found if side["kind"] == kind]
        pairs, right = sum(s["pairs"] for s in mine), sum(s["right"][NO_DEVICE] for s in mine)
        cells.append(f"{right} of {pairs} ({100 * right / pairs:.0f} %)")
        assert f" | {pairs} | {right} ({100 * right / pairs:.0f} %) | " in said
    assert row.endswith(f" | {' | '.join(cells)} |")


def test_a_speedup_on_the_wrong_side_of_1x_is_counted_as_wrong():
    mine = own("xeon-2-cores")
    decided = mine.run.pairs[mine.run.pairs["verdict"].isin(["faster", "slower"])]
    shipped = model_parameters.fitted()
    slow = {name: value / 1e6 if name == "cpu.compute.dense.plain" else value for name, value in shipped.items()}
    (side,) = held_out.sides(mine, dict.fromkeys(held_out.KINDS, slow), {})
    assert side["pairs"] == len(decided)
    assert side["right"][NO_DEVICE] == (decided["verdict"] == "faster").sum(), "by these, separable always wins"


def test_the_model_is_nearer_to_our_own_runs_than_the_unfitted_roofline():
    for score in fit_result()["checks"]:
        for what in ("times", "speedups"):
            if score[what] and score[what][ROOFLINE]["n"] >= 20:
                for way in (NO_DEVICE, NO_SOURCE):
                    assert score[what][way]["median"] < score[what][ROOFLINE]["median"], score["source"]


def test_no_run_of_ours_is_said_by_a_fit_that_has_seen_its_machine_or_card():
    runs = [own(folder) for folder in {score["source"] for score in fit_result()["checks"]}]
    parts = {own_runs.part(row, mine.run) for mine in runs for row in mine.rows["wall"]}
    assert set(fit_result()["without"]) == {*parts, own_runs.OURS}
    for score in fit_result()["checks"]:
        assert set(score["times"]) == {ROOFLINE, OTHER, NO_DEVICE, NO_SOURCE}


def test_a_run_on_a_cpu_is_held_against_the_fits_without_its_machine_and_without_ours():
    mine = own("xeon-2-cores")
    shipped = model_parameters.fitted()
    slow = {
        **shipped,
        **{f"cpu.compute.{f}.plain": shipped[f"cpu.compute.{f}.plain"] / 1e6 for f in ("dense", "pointwise")},
    }
    parameters = dict.fromkeys(held_out.KINDS, shipped)

    def bias(apart):
        (score,) = held_out.of_run(mine, parameters, apart)
        return {way: score.to_dict()["times"][way]["bias"] > 5 for way in (NO_DEVICE, NO_SOURCE)}

    assert bias({own_runs.machine(mine.run): slow}) == {NO_DEVICE: True, NO_SOURCE: False}
    assert bias({own_runs.OURS: slow}) == {NO_DEVICE: False, NO_SOURCE: True}
    assert bias({"another machine": slow}) == {NO_DEVICE: False, NO_SOURCE: False}


def test_published_speedups_are_predicted_as_the_file_says():
    parameters = {kind: {**model_parameters.prior(), **fit_result()["parameters"]} for kind in held_out.KINDS}
    found = list(held_out.of_published(parameters))
    assert [row["id"] for row in found] == [row["id"] for row in fit_result()["published"]]
    for mine, theirs in zip(found, fit_result()["published"], strict=True):
        assert mine["predicted"] == pytest.approx(theirs["predicted"], rel=2e-3)
