"""bench advise: a model's layers found and grouped, advice by their intervals, the mix as predicted and as measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cli
from bench.analyse.facts import facts_of
from bench.analyse.runs import run_folder
from bench.analyse.runs.advice import Advice, Layer, Measured, advice_of
from bench.analyse.runs.row_quality import row_verdict
from bench.measure import user_models
from bench.run import launch, session
from bench.show.text import advice as words
from bench.spec.blocks.blocks import BLOCKS
from bench.spec.config.axes import read_shape
from bench.spec.config.config import check
from bench.spec.errors import UserError
from bench.spec.interval import EQUIVALENCE_MARGIN, Interval
from bench.spec.plan import advise
from bench.spec.plan.plan import Plan, Surroundings, make
from tests.tiny_run import records

NET, SIZE = "tests.advised:net", (3, 32, 32)
PLACE = Surroundings("cpu", 1, "retain", "default")
NAMES = {
    "stem.0": ["stem.0"],
    "blocks.0.conv1": ["blocks.0.conv1", "blocks.1.conv1"],
    "blocks.0.conv2": ["blocks.0.conv2", "blocks.1.conv2"],
    "bare": ["bare"],
}


def found(model: str = NET, size: tuple[int, int, int] = SIZE) -> list[dict]:
    return user_models.walk(advise.model_trial(model, size))


def planned(model: str = NET, *candidates: str, device: str = "cpu") -> Plan:
    data = advise.layers_config(model, SIZE, 2, found(model), candidates or ("separable",))
    data["experiments"] = {name: {**e, "axes": {**e["axes"], "threads": 1}} for name, e in data["experiments"].items()}
    return make(check(yaml.safe_load(yaml.safe_dump(data, sort_keys=False)), "t"), [device], 2)


# ---------------------------------------------------------------- the walk


def test_the_walk_finds_each_dense_convolution_and_what_stands_behind_it():
    layers = {x["name"]: x for x in found()}
    assert [*layers] == ["stem.0", *(f"blocks.{i}.conv{j}" for i in (0, 1) for j in (1, 2)), "wide", "padded", "bare"]
    assert {name: (x["norm"], x["act"], x["bias"]) for name, x in layers.items() if not x["odd"]} == {
        "stem.0": (True, True, False),
        **dict.fromkeys(("blocks.0.conv1", "blocks.1.conv1"), (True, False, False)),  # a function is no module
        **dict.fromkeys(("blocks.0.conv2", "blocks.1.conv2"), (True, True, False)),  # the sum before is in place
        "bare": (False, False, True),
    }
    assert advise.shape_text(advise.Shape(**layers["stem.0"]["shape"])) == "3->8 32x32 k7 s2"
    assert advise.shape_text(advise.Shape(**layers["bare"]["shape"])) == "8->16 10x10 k3 s2 d2 valid"
    assert "not square" in layers["wide"]["odd"]
    assert "padding is (2, 2)" in layers["padded"]["odd"]


def test_equal_layers_are_one_kind_of_the_config_and_the_plan_knows_their_names():
    plan = planned(NET, "separable", "grouped:4", "tests.own_blocks:thin")
    assert advise.layer_names(plan.trials) == NAMES
    arms = {t.experiment: [a.choice.label for a in t.arms] for t in plan.trials}
    assert arms["stem.0"] == ["standard", "separable", "thin"]  # 3 channels are not four groups
    assert arms["blocks.0.conv1"] == ["standard(no relu)", "separable(no relu)", "grouped(no relu)", "thin"]
    assert arms["bare"][1] == "separable(no norm, no relu, bias)"
    assert {t.shape.batch for t in plan.trials} == {2}
    assert plan.code == ("tests.advised:net", "tests.own_blocks:thin")  # what a resumed run would import


@pytest.mark.parametrize("name", [n for n, kind in BLOCKS.items() if kind.network])
def test_each_network_of_ours_is_a_model_with_the_names_of_its_layers(name):
    layers = found(name, (3, 96, 96))
    assert all(not x["odd"] for x in layers)
    assert len(layers) == {"resnet18": 17, "resnet50": 17, "vgg16": 13}.get(name, len(layers))
    assert layers[0]["name"] in ("stem", "stem_1", "stage_1.conv_1")


@pytest.mark.parametrize("model", [NET, "tests.advised:READY", "tests.advised:Several"])
def test_whole_rest_and_mix_are_built_and_replace_what_they_name(model):
    x = torch.randn(2, *SIZE)
    trial = planned(model).trials[0]
    with torch.inference_mode():
        whole = user_models.whole(model, *SIZE).eval()
        assert whole(x).shape == (2, 10)
        rest = user_models.rest(trial.arms[1].choice.given, *SIZE).eval()
        assert rest(x).shape == rest(x.contiguous(memory_format=torch.channels_last)).shape == (2, 10)
        left = [type(m).__name__ for m in rest.modules() if not any(True for _ in m.children())]
        assert (left.count("Held"), left.count("BatchNorm2d"), left.count("Conv2d")) == (6, 0, 4)
        chosen = "blocks.0.conv2=separable bare=separable stem.0=tests.own_blocks:thin blocks.1.conv1=grouped:4"
        mix = user_models.mix(f"{model} {chosen}", *SIZE).eval()
        assert mix(x).shape == (2, 10)
    kinds = [type(m).__name__ for m in mix.model.blocks[0].conv2]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]  # the norm behind stays, so there is none at the end
    assert [type(m).__name__ for m in mix.model.bare] == ["Conv2d", "Conv2d"]
    assert isinstance(mix.model.stem[1], torch.nn.Identity)
    assert mix.model.blocks[1].conv1[0].groups == 4


# ---------------------------------------------------------------- advice

logs = st.floats(-1, 2)
widths = st.floats(0.001, 0.6)
world = st.lists(st.tuples(st.floats(1e-4, 1e-1), logs, widths, st.integers(1, 5)), min_size=1, max_size=6)


def layer(i: int, now_s: float, log: float, width: float, count: int) -> Layer:
    """A layer as rows of that speedup give it."""
    verdict = row_verdict(Interval(log, width, 6), 0.0)
    answer = {"faster": "replace", "slower": "keep", "same": "keep"}.get(verdict or "", "can't tell")
    ends = (now_s * math.exp(-log - width), now_s * math.exp(-log + width))
    return Layer(tuple(f"{i}.{j}" for j in range(count)), "8->8 9x9 k3", now_s, "separable", now_s * math.exp(-log), *ends, answer)  # type: ignore[arg-type]  # fmt: skip


@settings(max_examples=60)
@given(world, st.floats(1e-3, 1))
def test_the_predicted_gain_is_that_of_a_world_whose_parts_add_up(drawn, rest_s):
    layers = tuple(layer(i, *one) for i, one in enumerate(drawn))
    whole = rest_s + sum(now * count for now, _, _, count in drawn)
    advice = Advice("m", PLACE, whole, rest_s, layers)
    assert advice.layers_s + rest_s == pytest.approx(whole)
    assert sum(advice.share(x) or 0.0 for x in layers) == pytest.approx(1 - rest_s / whole)
    better = [(log - width > 0 and log + width >= EQUIVALENCE_MARGIN) for _, log, width, _ in drawn]
    assert [x.answer == "replace" for x in layers] == better
    mix = rest_s + sum(n * s * (math.exp(-log) if b else 1) for (s, log, _, n), b in zip(drawn, better, strict=True))
    assert advice.predicted == (pytest.approx(whole / mix) if any(better) else None)
    assert set(advice.chosen()) == {name for x in advice.replaced for name in x.names}
    told = replace(advice, mixed=Measured(whole / mix / 1.2, None, None, (whole, mix * 1.2), (2, 1), (2, None)))
    if any(better):
        assert told.off == pytest.approx(0.2)
        assert any("20 % too high" in line for line in words.sentences(told))
        assert any("Parameters: 2 -> 1" in line for line in words.sentences(told))
    json.dumps(told.to_dict(), allow_nan=False)


def test_a_module_that_runs_as_two_kinds_is_replaced_only_if_both_are_better():
    twice = [replace(layer(i, 1e-3, log, 0.01, 1), names=("shared",)) for i, log in enumerate((1.0, -1.0))]
    assert Advice("m", PLACE, 1.0, 0.9, tuple(twice)).chosen() == {}


# ---------------------------------------------------------------- the verb


@pytest.fixture
def bench(capsys, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(Path(__file__).parents[1])

    def run(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(["advise", *map(str, args)])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


@pytest.fixture
def walked(monkeypatch, fake) -> None:
    """Fake workers, and a walk in this process."""
    real = launch.probe

    def probe(*args, kind="probe", trials=(), **more):
        return {"walk": user_models.walk(trials[0])} if kind == "walk" else real(*args, kind=kind, **more)

    monkeypatch.setattr(launch, "probe", probe)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("tests.advised:nothing",), "import: tests.advised:nothing: there is no nothing in tests.advised."),
        (("no_such_file:net",), "import: no_such_file:net can't be imported: No module named 'no_such_file'."),
        (("tests.advised:number",), "tests.advised:number: tests.advised:number gives no torch.nn.Module but a int."),
        (("tests.advised:needy",), "tests.advised:needy: tests.advised:needy() fails: TypeError: needy() missing 1 required"),
        (("tests.advised:failing",), "tests.advised:failing: tests.advised:failing() fails: RuntimeError: no weights."),
        (("tests.advised:Wordy",), "the model can't run on 3x224x224: NotABlock: the model gives a str without a tensor in it."),
        (("tests.advised:flat",), "tests.advised:flat: it has no dense k x k convolution to replace. Name another model."),
        (("tests.advised:Keyword",), "it has no dense k x k convolution to replace. Name another model."),
        ((NET, "--size", "4x32x32"), f"{NET}: the model can't run on 4x32x32: RuntimeError: Given groups=1"),
        ((NET, "--size", "3x2x2"), f"{NET}: the model can't run on 3x2x2: RuntimeError: "),
        ((NET, "--candidates", "separable,tests.test_own_costs:unpadded"), "--candidates: unpadded at "),
        (("resnet19",), "resnet19: it is neither an import path nor a network: Did you mean resnet18."),
    ],
)  # fmt: skip
def test_a_model_that_can_not_be_walked_is_one_line(bench, warm, tmp_path, args, line):
    status, _, err = bench(*args, "--out", tmp_path / "run")
    assert (status, err.count("\n")) == (2, 1)
    assert line in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), "MODEL: it is missing. Name one, as bench advise resnet18."),
        (("a b",), "MODEL: 'a b': it is no import path."),
        ((NET, "--size", "224"), "--size: '224': it is no channels x height x width. Write --size 3x224x224."),
        ((NET, "--size", "0x8x8"), "--size: '0x8x8': it is no channels x height x width."),
        ((NET, "--candidates", "seperable"), "block: 'seperable': no such block. Did you mean separable?"),
        ((NET, "--candidates", "grouped:0"), "grouped: groups: 0: it is below 1."),
        ((NET, "--candidates", "vgg16"), "standard is a block and vgg16 a network"),
        ((NET, "--set", "pass=training"), "--set pass: 'training': a model is measured in inference"),
        ((NET, "--set", "dtype=fp32,bf16"), "--set dtype: 'fp32,bf16': a model is measured in inference"),
        ((NET, "--set", "kernel=5"), "shapes and kernel exclude each other"),
        ((NET, "--batch", "0"), "axes.batch[0]: 0: it is below 1."),
        ((NET, "--threads", "64"), "every trial is skipped: 64 threads"),
        (("--resume", "x", "--set", "kernel=3"), "--resume x: an advice continues as it was planned. Give --resume alone."),
        (("--resume", "no-such-folder"), "--resume no-such-folder: this is not the folder of a run"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line(bench, walked, args, line):
    status, _, err = bench(*args)
    assert (status, err.count("\n")) == (2, 1)
    assert line in err


@pytest.mark.parametrize("name", ["run", "mix"])
def test_an_advice_survives_ctrl_c_in_both_of_its_runs(bench, walked, monkeypatch, tmp_path, sketched, name):
    out, real, left = tmp_path / name, session.Session._replicate, {"layers": 1, "mix": 1}

    def interrupted(self, replicate):
        which = "layers" if self.folder == out else "mix"
        if replicate == 3 and left[which]:
            left[which] -= 1
            raise KeyboardInterrupt
        real(self, replicate)

    monkeypatch.setattr(session.Session, "_replicate", interrupted)
    again = f"interrupted; to continue: bench advise --resume {out} --trust"
    status, told, err = bench(NET, "--size", "3x32x32", "--threads", 1, "--out", out)
    assert (status, again in err, (out / "mix").exists()) == (130, True, False)
    assert "replace none of its 6 dense convolutions, 6 can't be told" in told
    assert "only 2 of" in (out / "pairs.csv").read_text()
    status, _, err = bench("--resume", out)
    assert (status, f"--resume {out}: its plan would import and run {NET}" in err) == (2, True)
    status, _, err = bench("--resume", out, "--trust")
    assert (status, again in err, (out / "DONE").exists(), (out / "mix/DONE").exists()) == (130, True, True, False)
    status, told, err = bench("--resume", out, "--trust")
    assert (status, (out / "mix/DONE").exists()) == (0, True)
    assert "replace 6 of its 6 dense convolutions: a gain of 3.0" in told
    assert all(len(records(folder, "interrupt")) == 1 for folder in (out, out / "mix"))
    status, again_told, _ = bench("--resume", out)  # all is measured: it says the same again
    assert (status, again_told) == (0, told)


def test_a_finished_advice_has_its_files_and_report_shows_it(bench, walked, tmp_path):
    out = tmp_path / "run"
    status, _, err = bench(NET, "--size", "3x32x32", "--threads", 1, "--out", out)
    assert "! wide is left as it is: its kernel, stride or dilation is not square" in err
    (way,) = json.loads((out / "advice.json").read_text())["ways"]
    assert status == 0
    assert [(x["answer"], x["count"]) for x in way["layers"]].count(("replace", 2)) == 2
    assert (out / "advice.csv").read_text().count("\n") == 1 + len(NAMES)
    assert "must be trained anew" in (out / "report.html").read_text()
    assert (out / "plots" / "advice.png").stat().st_size > 10_000
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert check(config, "kept").experiments["bare"].shapes_ == [read_shape("8->16 10x10 k3 s2 d2 valid")]
    advice = advice_of(run_folder.read(out), run_folder.read(out / "mix"))[0]
    assert advice.layers_s == pytest.approx(sum(len(x.names) * (x.now_s or 0) for x in advice.layers))
    assert advice.mixed is not None
    with pytest.raises(SystemExit):
        cli.main(["report", str(out)])
    told = facts_of(run_folder.read(out))
    assert told.ways
    assert all(t.block.startswith("separable") for t in (*told.ways, *told.places))  # the rest of a model is no block
    assert advice.chosen().keys() == {name for names in NAMES.values() for name in names}


def test_where_separable_is_slower_the_advice_is_to_keep(bench, warm, tmp_path):
    """A prediction is always the same: at batch 1 in eager mode this card waits for its host."""
    status, told, err = bench(NET, "--size", "3x32x32", "--device", "sim:h100", "--out", tmp_path / "run")
    assert (status, "Traceback" in err) == (0, False)
    assert "replace none of its 6 dense convolutions" in told
    assert not (tmp_path / "run" / "mix").exists()


def test_a_candidate_word_is_a_block_and_back():
    for word in ("separable", "grouped:8", "depthwise", "tests.own_blocks:thin"):
        assert advise.word_of(advise.candidate(word)) == word
    with pytest.raises(UserError):
        advise.candidate("separable:2")
