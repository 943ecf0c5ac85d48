"""`python -m tools.model_fit`: its verbs, and a user's mistake in one line."""

import pytest

from tests.model_fit.reference import model_fit


def test_calibrates_help_says_that_a_gpus_own_rows_are_fitted_too(capsys):
    _, said, _ = model_fit(capsys, "calibrate", "--help")
    assert "its rows are fitted, and scored without that machine or card" in " ".join(said.split())


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_the_verbs_are_listed_in_whole_sentences(capsys, words):
    status, out, err = model_fit(capsys, *words)
    assert (status, err) == (0, "")
    verbs = out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in verbs] == ["calibrate", "report", "check"]
    assert not [line for line in verbs if line.endswith("...")]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["calibrate", "nowhere"], "nowhere: there is no such folder. Name a folder with deepbench/"),
        (["calibrate", "data", "--out", "resluts/x.json"], "--out resluts/x.json: there is no folder resluts."),
        (["check", "none"], "none: there is no such results folder."),
        (["chek"], "No such command 'chek'. Did you mean 'check'? See python -m tools.model_fit --help."),
        (["check"], "Missing argument 'RUN'. See python -m tools.model_fit check --help."),
    ],
)
def test_a_mistake_is_one_line_and_status_2(capsys, words, line):
    status, said, error = model_fit(capsys, *words)
    assert (status, said) == (2, "")
    assert error.startswith(f"python -m tools.model_fit: {line}")
    assert error.count("\n") == 1
