"""bench try: shapes in one notation, in a config and on the command line; a table at once, by fresh processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from bench import cli
from bench.run import session
from bench.spec.blocks.layers import Shape
from bench.spec.config.axes import read_shape
from bench.spec.config.config import check, with_overrides
from bench.spec.config.yaml_file import Place
from bench.spec.errors import UserError
from bench.spec.plan.advise import shape_text
from bench.spec.plan.durations import unlimited_seconds
from bench.spec.plan.plan import make
from tests.tiny_run import records, visits

SHAPES = ["32->64 56x56 k3", "64->128 28x28 k5 s2", "16 9x7 k2 d2 valid"]


def data(shapes: object = SHAPES, **more: object) -> dict:
    one = {"blocks": ["standard", "separable"], "shapes": shapes, "axes": {"threads": 1}, **more}
    return {"name": "t", "experiments": {"a": one}}


# ---------------------------------------------------------------- the notation


def test_shapes_are_one_trial_each_with_the_other_axes_around_them():
    config = check(data(axes={"threads": 1, "batch": [1, 4]}), "t")
    plan = make(config, ["cpu"], 2)
    assert config.experiments["a"].count() == len(plan.trials) == 6
    first, *_ = [t.shape for t in plan.trials]
    assert (first.c_in, first.c_out, first.height, first.kernel, first.stride) == (32, 64, 56, 3, 1)
    last = plan.trials[-1].shape
    assert (last.c_in, last.width, last.kernel, last.dilation, last.padding, last.batch) == (16, 7, 2, 2, "valid", 4)
    widened = with_overrides(data(), Place("t"), ["layout=contiguous,channels_last"])
    assert widened.experiments["a"].count() == 6


numbers = {"c_in": 512, "c_out": 512, "height": 99, "width": 99, "kernel": 9, "stride": 3, "dilation": 3}


@given(
    st.fixed_dictionaries({n: st.integers(1, most) for n, most in numbers.items()}), st.sampled_from(["same", "valid"])
)
def test_a_shape_is_written_and_read_back(drawn, padding):
    shape = Shape(**drawn, padding=padding)
    entry = {"blocks": [{"name": "standard"}, {"import": "x:y"}], "shapes": [shape_text(shape)]}
    if padding == "same" and shape.kernel % 2 == 0:
        return
    assert make(check({"name": "t", "experiments": {"a": entry}}, "t"), ["cpu"], 2).trials[0].shape == shape


@pytest.mark.parametrize("text", ["", "32-64 5 k3", "32->64 56x56", "64 56x56x3 k3", "64 56 3", "64 56 k3 s", "64 56 k3 same valid", "k3 64 56"])  # fmt: skip
def test_another_text_is_no_shape(text):
    with pytest.raises(PydanticCustomError, match="it is not a shape"):
        read_shape(text)


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ({"shapes": ["32-64 5 k3"]}, "experiments.a.shapes[0]: '32-64 5 k3': it is not a shape. Write \"32->64 56x56 k3 s2\""),
        ({"shapes": ["64 5 k3", "64 9999 k3"]}, "experiments.a.shapes[1]: '64 9999 k3': its size is out of bounds."),
        ({"shapes": ["64 5 k0"]}, "its kernel is out of bounds. Write a whole number from 1 to 255."),
        ({"shapes": ["64 9 k2 valid", "64 9 k4"]}, "experiments.a.shapes[1]: 4: padding same needs an odd kernel"),
        ({"shapes": "64 5 k3"}, "experiments.a.shapes: '64 5 k3': it is not a list."),
        ({"shapes": [64]}, "experiments.a.shapes[0]: 64: it is not a shape."),
        ({"axes": {"kernel": 3, "size": 5}}, "experiments.a: shapes and kernel, size exclude each other."),
        ({"together": ["batch", "depth"]}, "experiments.a: shapes and together exclude each other."),
        ({"blocks": ["vgg16"]}, "experiments.a: shapes and networks exclude each other."),
        ({"shapes": ["65536 8192x8192 k3"]}, "needs more than 256 GiB"),
    ],
)  # fmt: skip
def test_a_mistake_in_shapes_is_one_line(more, line):
    with pytest.raises(UserError) as told:
        check(data(**{"shapes": SHAPES, **more}), "t")
    assert line in str(told.value)


# ---------------------------------------------------------------- the verb


@pytest.fixture
def bench(capsys) -> Callable[..., tuple[int, str, str]]:
    def run(*args: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main(list(map(str, args)))
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def test_a_try_is_a_table_of_its_layers_with_sums(bench, fake, tmp_path):
    out = tmp_path / "run"
    status, told, _ = bench("try", *SHAPES, "--threads", 1, "--out", out)
    lines = [line.split() for line in told.splitlines()]
    assert status == 0
    rows = [line for line in lines if line[-1:] == ["separable"]]
    assert [" ".join(row[:3]) for row in rows] == ["32->64 56x56 k3", "64->128 28x28 k5", "16->16 9x7 k2"]
    (total,) = [line for line in lines if line[:1] == ["all"]]
    ms = [float(n) for row in rows for n in row[3:] if n.replace(".", "").isdigit()]
    assert float(total[2]) == pytest.approx(sum(n for n in ms if n > 0.9), abs=0.02)
    assert float(total[-2]) == pytest.approx(float(total[3]), abs=0.002)  # the best is separable everywhere
    assert (out / "pairs.csv").exists()
    assert "cpu, 1 thread, contiguous, batch 1" in told
    assert "over 3 fresh processes" in told


def test_a_try_takes_three_fresh_processes_that_start_at_once_and_neither_roofs_nor_inspects(bench, fake, tmp_path):
    out = tmp_path / "run"
    bench("try", *SHAPES, "--threads", 1, "--out", out)
    assert set(visits(out).values()) == {1}
    assert len(visits(out)) == 3 * len(SHAPES)
    starts = records(out, "start")
    assert len({start["pid"] for start in starts}) == len(starts) == 3
    assert not records(out, "roof")
    assert not records(out, "inspect")
    plans = [make(check(data() | {"timing": {"brief": brief}}, "t"), ["cpu"], 2) for brief in (True, False)]
    assert unlimited_seconds(plans[0], 3) < unlimited_seconds(plans[1], 3)


def test_ctrl_c_ends_the_workers_that_wait_and_the_try_resumes(bench, fake, monkeypatch, tmp_path):
    out, real, waiting = tmp_path / "run", session.Session._replicate, []

    def interrupted(self, replicate):
        if replicate == 2:
            waiting.extend(worker.process for worker in self.ahead.values())
            raise KeyboardInterrupt
        real(self, replicate)

    monkeypatch.setattr(session.Session, "_replicate", interrupted)
    status, _, err = bench("try", *SHAPES, "--threads", 1, "--out", out)
    assert (status, f"bench run --resume {out}" in err) == (130, True)
    assert len(waiting) == 2
    assert not any(psutil.pid_exists(process.pid) for process in waiting)
    monkeypatch.setattr(session.Session, "_replicate", real)
    assert session.Session._replicate is real
    status, _, _ = bench("run", "--resume", out)
    assert (status, (out / "DONE").exists(), len(visits(out))) == (0, True, 9)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("32-64",), "bench try: experiments.layers.shapes[0]: '32-64': it is not a shape."),
        (("64 5 k3", "--blocks", "standard"), "--blocks: 'standard': a table compares two blocks or more."),
        (("64 5 k3", "--blocks", "standard,seprable"), "bench try: experiments.layers.blocks[1].name: 'seprable': no such block."),
        (("64 5 k3", "--threads", "x"), "it is neither a whole number nor the word all"),
        (("64 5 k3", "--device", "gpux"), "--device gpux: 'gpux': no such device."),
    ],
)  # fmt: skip
def test_a_wrong_try_is_one_line(bench, fake, args, line):
    status, _, err = bench("try", *args)
    assert (status, err.count("\n")) == (2, 1)
    assert line in err


def test_a_real_worker_that_waits_for_its_job_measures(bench, tmp_path, warm):
    status, told, err = bench("try", "8 6x6 k3", "--threads", 1, "--set", "seconds=0.01", "--out", tmp_path / "run")
    assert (status, "Traceback" in err) == (0, False)
    assert "8->8 6x6 k3" in told
    assert Path(tmp_path / "run" / "samples.csv").exists()
