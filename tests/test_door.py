"""The door from Python: reading a run, measuring modules as a run, and the notebook that shows both."""

from __future__ import annotations

import ast
import json
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from torch import nn

import bench
from bench.analyse.runs.rows import records_of
from bench.measure import pickled
from bench.measure.user_blocks import NotABlock, source_of
from bench.run import runner
from bench.spec.columns import BY_NAME, KEYS
from bench.spec.files import MODULES
from tests.own_blocks import Doubled, Functional, thin, wide

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
QUICK = {"threads": 1, "processes_min": 1, "processes_max": 1, "seconds": 0.01, "warmup_seconds": 0.01}


def test_importing_it_imports_neither_torch_nor_pandas() -> None:
    code = (
        "import sys, bench; assert callable(bench.measure); import bench.measure.device; assert callable(bench.measure)\n"
        "print(sorted({'torch', 'pandas', 'numpy', 'matplotlib', 'pydantic', 'typer'} & {*sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_names_that_it_has_not_are_no_attributes() -> None:
    assert bench.load.__module__ == "bench.door"
    with pytest.raises(AttributeError, match="module 'bench' has no attribute 'lode'"):
        bench.lode  # noqa: B018


@pytest.fixture(scope="module")
def reference() -> Any:
    return bench.load(REFERENCE / "xeon-2-cores")


def test_a_run_has_its_tables_with_shapes_and_units(reference: Any) -> None:
    assert {"speedup", *KEYS} <= {*reference.pairs.columns}
    assert {"time_median_s", *KEYS} <= {*reference.measurements.columns}
    samples = reference.samples
    assert {"time_s", "replicate", *KEYS} <= {*samples.columns}
    assert samples["c_in"].notna().all()
    assert len(samples) > len(reference.measurements)
    assert (reference.columns["time_s"].unit, reference.columns["speedup"].unit) == ("s", "")
    assert {*samples.columns, *reference.pairs.columns} <= {*BY_NAME}
    assert reference.machine["physical_cores"] == 2
    assert reference.machine["devices"].keys() == {"cpu"}
    assert {"claim", "place.label", "answer", "effect.value", "p_adjusted", "why"} <= {*reference.claims.columns}
    assert "cpu_3x" in set(reference.claims["claim"])


def test_it_shows_what_the_terminal_shows_first(reference: Any) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"from pathlib import Path\nfrom bench.show.text import report\nfrom bench.analyse.runs.run_folder import read\nreport.show(read(Path({str(reference.folder)!r})), Path('page'))"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    first = " ".join(told.stdout.split("\n\n")[0].split())
    lines = repr(reference).splitlines()
    assert " ".join(" ".join(lines[:-1]).split()) == first
    page = reference._repr_html_()
    assert page.startswith(f"<p><b>{lines[0]}</b></p>")
    assert page.count("<p>") == len(lines)


@pytest.mark.parametrize("name", ["ways", "claims"])
def test_a_picture_by_its_name_is_a_figure(reference: Any, name: str) -> None:
    assert isinstance(reference.plot(name), Figure)


def test_a_picture_that_is_not_there_is_one_line(reference: Any) -> None:
    with pytest.raises(bench.UserError, match=r"plot: 'wais': no such picture. Write ways, map, .* or drivers\."):
        reference.plot("wais")
    with pytest.raises(bench.UserError, match="plot: 'networks': this run has no rows for it"):
        reference.plot("networks")
    with pytest.raises(bench.UserError, match="there is no such results folder"):
        bench.load("no/such")


# ---------------------------------------------------------------- measuring


def measured(tmp_path: Path, blocks: dict[str, Any], shapes: Any, **more: Any) -> Any:
    return bench.measure(blocks, shapes, out=tmp_path / "run", **QUICK, **more)


@pytest.mark.usefixtures("warm")
def test_modules_classes_factories_and_partials_are_measured_as_a_run(tmp_path: Path) -> None:
    module = Doubled(8)
    blocks = {"standard": "standard", "module": module, "factory": thin, "class": Functional, "partial": partial(wide, factor=2), "path": "tests.own_blocks:thin"}  # fmt: skip
    run = measured(tmp_path, blocks, [(1, 8, 4, 4), (2, 8, 4, 5)])
    rows = records_of(run.measurements)
    assert {(r["block"], r["batch"], r["width"]) for r in rows} == {(b, n, w) for b in blocks for n, w in ((1, 4), (2, 5))}  # fmt: skip
    assert all(r["status"] in ("ok", "noisy") for r in rows), [r["status_detail"] for r in rows]
    assert {r["block"]: r["macs"] for r in rows if r["batch"] == 1} == {
        "standard": 9_216, "module": 2_048, "factory": 2_176, "class": 9_216, "partial": 4_096, "path": 2_176,
    }  # fmt: skip
    assert module.conv.weight.device.type == "cpu"
    assert len({*(run.folder / "modules").iterdir()}) == 2, "the module and the partial; the others have a path"
    assert {"config.yaml", "plan.json", "journal.jsonl", "DONE", "pairs.csv", "verdict.json"} <= {
        path.name for path in run.folder.iterdir()
    }
    assert isinstance(run.samples, pd.DataFrame)
    (run.folder / "DONE").unlink()
    with pytest.raises(bench.UserError, match=r"its plan would import and run bench.measure.pickled:m_"):
        runner.resume(run.folder, lambda _: None)
    try:
        assert runner.resume(run.folder, lambda _: None, trust=True).failed == 0
    finally:
        os.environ.pop(MODULES, None)


@pytest.mark.usefixtures("warm")
def test_a_network_from_python_fixes_its_channels(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    run = measured(tmp_path, {"net": net}, {"size": [8, 16]}, network=True)
    assert [(r["height"], r["c_in"], r["layers"]) for r in records_of(run.measurements)] == [
        (8, None, 1),
        (16, None, 1),
    ]


def local() -> Any:
    class Inner(nn.Module):
        pass

    return Inner()


def in_main() -> Any:
    made = type("Here", (nn.Module,), {"__module__": "__main__"})
    sys.modules["__main__"].Here = made  # type: ignore[attr-defined]
    return made()


@pytest.mark.fault(
    "own blocks", "a lambda, or a class of a notebook, can't travel to a fresh process",
    "one line names it and the remedy, and nothing is measured",
)  # fmt: skip
@pytest.mark.parametrize(
    ("block", "words"),
    [
        (lambda c_in: nn.Conv2d(c_in, c_in, 1), "it can't travel to a fresh process: Can't"),
        (local(), "it can't travel to a fresh process: Can't"),
        (in_main(), "it can't travel to a fresh process: it is made in a script or a notebook"),
        (7, "'int': it is no block. Give an nn.Module, a factory"),
        ("standard", "'standard': a block of ours keeps its name. Write {'standard': 'standard'}"),
    ],
    ids=["lambda", "local", "main", "number", "name"],
)  # fmt: skip
def test_what_can_not_travel_is_one_line_with_a_remedy(tmp_path: Path, block: Any, words: str) -> None:
    with pytest.raises(bench.UserError) as told:
        measured(tmp_path, {"mine": block}, [(1, 8, 4, 4)])
    assert str(told.value).startswith("blocks['mine']:")
    assert words in str(told.value)
    assert "fresh process" not in words or "Write its class or factory in a file" in str(told.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([], "shapes: they have not all the same axes"),
        ([{"size": 4}, {"batch": 1}], "shapes: they have not all the same axes"),
        ([(1, 2, 3)], "shapes: (1, 2, 3): it is neither a mapping of axes nor (batch, channels, height, width)"),
        (["28"], "shapes: '28': it is neither a mapping"),
        ([{"sizes": 4}], "bench.measure: experiments.shapes.axes.sizes: no such key. Did you mean size?"),
        ({"size": [0]}, "bench.measure: experiments.shapes.axes.size[0]"),
        ([(1, 8, 4.5, 4)], "bench.measure: experiments.shapes.axes.size[0]"),
    ],
)
def test_a_wrong_shape_is_one_line(tmp_path: Path, shapes: Any, words: str) -> None:
    with pytest.raises(bench.UserError) as told:
        measured(tmp_path, {"standard": "standard"}, shapes)
    assert words in str(told.value)


@pytest.mark.usefixtures("warm")
def test_a_module_of_other_channels_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(bench.UserError, match="block mine: mine takes neither c_in nor c_out, and is no block of 8->8"):
        measured(tmp_path, {"mine": Doubled(4)}, [(1, 8, 4, 4)])
    assert not (tmp_path / "run").exists()


def test_a_red_machine_and_an_interrupt_say_what_to_write_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from bench.run.session import Interrupted

    def fail(error: Exception) -> Any:
        def measure(*_: object, **__: object) -> None:
            raise error

        return measure

    remedy = "Mend that, or measure with --anyway (make: ANYWAY=1), which marks every row"
    monkeypatch.setattr(runner, "measure", fail(bench.UserError("this machine", "it is not fit", remedy)))
    with pytest.raises(bench.UserError, match="measure with anyway=True, which marks every row"):
        measured(tmp_path, {"standard": "standard"}, [(1, 8, 4, 4)])
    monkeypatch.setattr(runner, "measure", fail(Interrupted(tmp_path, False)))
    with pytest.raises(KeyboardInterrupt, match="to continue: bench run --resume"):
        measured(tmp_path, {"standard": "standard"}, [(1, 8, 4, 4)])


def test_shapes_walk_in_step_or_as_a_product(tmp_path: Path, fake: Any) -> None:
    fake()
    run = measured(tmp_path, {"standard": "standard", "separable": "separable"}, [{"channels": "8->16", "size": 4}, {"channels": "16->32", "size": "4x6"}], mode="eager")  # fmt: skip
    assert [(r["c_in"], r["c_out"], r["height"], r["width"]) for r in records_of(run.pairs)] == [(8, 16, 4, 4), (16, 32, 4, 6)]  # fmt: skip
    product = bench.measure({"standard": "standard", "grouped": {"name": "grouped", "groups": 2}}, {"channels": [8, 16], "kernel": [3, 5]}, out=tmp_path / "product", **QUICK)  # fmt: skip
    assert len(product.pairs) == 4


def test_a_pickle_that_was_edited_is_no_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.door import _pickled

    monkeypatch.setenv(MODULES, str(tmp_path))
    name = _pickled("blocks", Doubled(4), tmp_path).rpartition(":")[2]
    made = getattr(pickled, name)()
    assert isinstance(made, Doubled)
    assert source_of(f"bench.measure.pickled:{name}") != source_of("tests.own_blocks:thin")
    assert getattr(pickled, name).sources == {"tests.own_blocks", "torch.nn.modules.conv"}
    (tmp_path / name).write_bytes(pickle.dumps(7))
    with pytest.raises(NotABlock, match="was edited"):
        getattr(pickled, name)
    with pytest.raises(AttributeError):
        pickled.m_0000  # noqa: B018


# ---------------------------------------------------------------- the notebook


@pytest.mark.usefixtures("warm")
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "docs")
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    space: dict[str, Any] = {}
    shown = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        assert cell["outputs"] == []
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop()
        exec(compile(tree, "notebook", "exec"), space)
        assert isinstance(last, ast.Expr), "each cell shows something"
        shown.append(eval(compile(ast.Expression(last.value), "notebook", "eval"), space))
    run, pairs, figure, claims, mine, (two, modules, unit) = shown
    assert "faster" in run._repr_html_()
    assert isinstance(figure, Figure)
    assert len(pairs) == 60
    assert len(claims) > 5
    assert "mine" in repr(mine)
    assert len(two) == 2
    assert len(modules) == 4
    assert unit == "s"
