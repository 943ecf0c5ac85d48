"""What the repository promises as a whole: its walls, its commands, its pins, and that it is at home anywhere."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import yaml
from importlinter.cli import lint_imports

import bench
from bench.spec.config import config
from bench.spec.plan import plan
from tools import python_fits

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
# A home, a work folder or a scratch folder of some machine, but not the tail of a URL or of a relative path.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|Users|root|work|workspace|builds|tmp)/[\w.]")


def make(*arguments: str, path: str | None = None, **options: object) -> subprocess.CompletedProcess[str]:
    """Make as a newcomer's shell would run it, with nothing inherited from the make that may run these tests."""
    env = {"PATH": path or os.environ["PATH"], "LC_ALL": "C"}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, **options)


# ---------------------------------------------------------------- rooms


def test_the_walls_between_the_rooms_stand(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


def test_spec_imports_nothing_but_the_standard_library_pydantic_and_yaml():
    allowed = sys.stdlib_module_names | {"pydantic", "pydantic_core", "yaml", "bench"}
    for file in (ROOT / "bench" / "spec").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file


def test_the_wheel_holds_the_package_and_its_configs_alone():
    """The tools, such as the fit of the prediction model, are for those who have the repository."""
    targets = PYPROJECT["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"] == {"packages": ["bench"], "force-include": {"configs": "bench/configs"}}
    assert "/tools" in targets["sdist"]["include"]


# ---------------------------------------------------------------- make


def test_help_lists_every_target_and_variable():
    told = make("help").stdout
    public = [t for t in TARGETS if not t.startswith("python-fits")]
    assert [t for t in public if not re.search(rf"^  {t} +\w", told, re.MULTILINE)] == []
    variables = re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE)
    listed = re.findall(r"^  ([A-Z_]+)(?:, ([A-Z_]+))? ", told, re.MULTILINE)
    assert sorted(variables) == sorted(v for pair in listed for v in pair if v)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_sound_and_prints_what_it_runs(target):
    dry = make("-n", target, "PYTHON=python3", "A=one", "B=two", "TORCH=2.6.0")
    assert dry.returncode == 0, dry.stderr
    verb = {
        "bench": "run",
        "smoke": "run",
        "test-bench": "run",
        "plots": "report",
        "report": "report",
        "doctor": "doctor",
        "compare": "compare",
    }.get(target)
    assert verb is None or f"\npython3 -m bench {verb} " in dry.stdout
    own = target in ("test-torch", "test-wheel")
    assert ("pip" in dry.stdout) == own, "they alone install, into environments of their own"


def test_documents_name_only_targets_that_exist():
    for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        named = re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)
        assert set(named) <= set(TARGETS), name


def test_the_map_of_the_code_names_every_room_and_only_what_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = [file.parent.relative_to(ROOT / "bench") for file in (ROOT / "bench").glob("*/**/__init__.py")]
    for room in rooms:
        assert f"`bench/{room}/`" in text or f"`{room}/`" in text, room
    named = re.findall(r"`((?:bench|tests|tools|results|spec|measure|analyse|show)/[\w/.*-]*)`", text)
    assert len(named) > 30
    for path in named:
        inside = "" if path.split("/")[0] in ("bench", "tests", "tools", "results") else "bench/"
        assert list(ROOT.glob(inside + path)), path
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:bench|tests|tools|docs|results)/[\w/.-]+)`", contributing):
        assert (ROOT / path).exists(), path


def test_the_index_of_the_documents_has_a_line_for_each_page():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "README.md"}:
        assert index.count(f"\n- [{page.name}]({page.name}): ") == 1, page.name
    for target in re.findall(r"\]\(([^)]+)\)", index):
        assert (ROOT / "docs" / target).is_file(), target


def test_variables_reach_the_bench_line():
    line = make("-n", "bench", "PYTHON=py", "DEVICE=cuda", "CONFIG=c.yaml", "OUT=o", "SET=channels=8->16 kernel=3,5")
    assert line.stdout.splitlines()[-1].split() == (
        "py -m bench run 'c.yaml' --device 'cuda' --out 'o' --set 'channels=8->16' --set 'kernel=3,5'".split()
    )
    lists = make("-n", "bench", "PYTHON=py", "SET=mode=[eager, graph]  kernel=[ 3, 5 ] size=7")
    assert lists.stdout.splitlines()[-1].split()[7:] == (
        "--set 'mode=[eager,graph]' --set 'kernel=[3,5]' --set 'size=7'".split()
    )
    resumed = make("-n", "bench", "PYTHON=py", "RESUME=results/x").stdout.splitlines()[-1]
    assert resumed == "py -m bench run --resume 'results/x'"
    assert make("-n", "bench", "PYTHON=py", "RESUME=x", "ANYWAY=1").stdout.endswith(" --resume 'x' --anyway\n")
    assert "--anyway" not in make("-n", "bench", "PYTHON=py", "ANYWAY=0").stdout
    assert make("-n", "bench", "PYTHON=py", "RESUME=x", "TRUST=1").stdout.endswith(" --resume 'x' --trust\n")
    assert "--trust" not in make("-n", "bench", "PYTHON=py", "RESUME=x", "TRUST=0").stdout


@pytest.mark.parametrize("target", ["bench", "smoke", "reproduce", "aa", "test-bench"])
def test_every_target_that_measures_can_do_so_on_a_red_machine(target):
    assert make("-n", target, "PYTHON=py", "ANYWAY=1").stdout.endswith(" --anyway\n")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("bench", "DEVCE=cuda"), "There is no variable DEVCE: see make help."),
        (("-n", "help", "CONFG=x.yaml"), "There is no variable CONFG: see make help."),
        (("bnech", "DEVICE=cuda"), "There is no target bnech: see make help."),
    ],
)
def test_a_mistyped_word_is_refused_in_one_line(given, line):
    told = make(*given, "PYTHON=py")
    assert (told.returncode, told.stdout) == (2, "")
    (said,) = told.stderr.splitlines()
    assert line in said


def test_variables_of_make_pip_and_other_targets_are_no_mistake():
    given = ("-j2", "SHELL=/bin/sh", "PIP_INDEX_URL=x", "A=one", "RESUME=", "SET=kernel=3  size=7")
    told = make("-n", "smoke", "PYTHON=py", *given)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1].split()[-4:] == "--set 'kernel=3' --set 'size=7'".split()


def test_what_is_asked_of_a_comparison_reaches_the_bench_line():
    given = (
        "A=one",
        "B=two",
        "MARGIN=3%",
        "FAIL_ON=slower",
        "LEAST=8%",
        "UNTOLD=pass",
        "BY=times",
        "PAGE=p.html",
        "OUT=o",
    )
    line = make("-n", "compare", "PYTHON=py", *given).stdout.splitlines()[-1]
    asked = "--margin '3%' --fail-on 'slower' --least '8%' --untold 'pass' --by 'times' --html 'p.html' --out 'o'"
    assert line == f"py -m bench compare 'one' 'two' {asked}"
    assert make("-n", "compare", "PYTHON=py", *given[:2]).stdout.splitlines()[-1] == "py -m bench compare 'one' 'two'"


@pytest.mark.parametrize(("given", "device"), [((), "cuda:0"), (("DEVICE=cuda:1",), "cuda:1")])
def test_the_self_checks_ask_the_device_that_is_named(given, device):
    assert make("-n", "test-gpu", "PYTHON=py", *given).stdout.splitlines()[-1].endswith(f"--device '{device}'")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda:1", "xpu"])
def test_the_self_checks_refuse_once_where_the_device_is_not_there(device):
    told = make("test-gpu", f"PYTHON={sys.executable}", f"DEVICE={device}")
    assert told.returncode == 2
    assert (told.stdout + told.stderr).count(f"DEVICE={device}: ") == 1
    assert "Traceback" not in told.stderr


def test_another_torch_is_named_and_has_an_environment_of_its_own():
    asked = make("test-torch", "PYTHON=py")
    assert asked.returncode == 2
    assert "Name a release: make test-torch TORCH=2.6.0" in asked.stderr
    made, installed, ran = make("-n", "test-torch", "PYTHON=py", "TORCH=2.6.0", "ANYWAY=1").stdout.splitlines()
    assert made == "py -m venv --clear 'build/torch-2.6.0'"
    assert installed.endswith(" 'torch==2.6.0' ."), "the wheel of this checkout"
    assert ran == "'build/torch-2.6.0/bin/bench' run smoke --device 'cpu' --anyway"


def test_compare_asks_for_both_runs():
    asked = make("compare", f"PYTHON={sys.executable}", "A=one")
    assert asked.returncode == 2
    assert "Name two runs" in asked.stderr


def test_an_interpreter_that_lacks_packages_is_told_so_in_one_line(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    told = make("bench", f"PYTHON={tmp_path}/bin/python")
    assert told.returncode == 2
    assert told.stdout == ""
    line, from_make = told.stderr.splitlines()
    assert line.startswith(f"bench: {tmp_path}/bin/python lacks torch, ")
    assert from_make.startswith("make: ***")


@pytest.mark.parametrize(("knows", "remedy"), [("nothing", "no Python 3.11 or newer"), ("venv", "python3-venv")])
def test_a_machine_that_cannot_make_a_venv_is_told_why_in_one_line(tmp_path, knows, remedy):
    for tool in ("make", "head"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    fake = tmp_path / "python3"
    new_enough = 'case "$2" in *version_info*) exit 0;; esac' if knows == "venv" else ""
    fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\n{new_enough}\nexit 1\n')
    fake.chmod(0o755)
    told = make("-f", str(ROOT / "Makefile"), "-C", str(tmp_path), ".venv/bin/python", path=str(tmp_path))
    assert told.returncode == 2
    (line,) = [line for line in told.stderr.splitlines() if not line.startswith("make: ")]
    assert remedy in line


# ---------------------------------------------------------------- PYTHON=


def test_this_interpreter_fits(capsys):
    assert python_fits.main("dev") == 0
    assert capsys.readouterr().err == ""


def test_what_is_missing_is_named_and_torch_left_alone(monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("pandas", "yaml") else real(name))
    assert python_fits.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"bench: {sys.executable} lacks pandas, pyyaml. Its torch can stay")
    assert line.endswith("-m pip install pandas pyyaml")


def test_an_interpreter_without_nvml_fits_too(monkeypatch, capsys):
    """Readings of a card are good to have; the run says itself where there are none."""
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "nvml" in name or "nvidia" in name else real(name)
    )
    assert python_fits.main() == 0
    assert capsys.readouterr().err == ""


def test_linux_gets_nvml_with_everything_else():
    (line,) = [r for r in PROJECT["dependencies"] if r.startswith("nvidia-ml-py")]
    assert line.endswith("; platform_system == 'Linux'")


def test_an_old_release_is_said_and_let_pass(monkeypatch, capsys):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.5.1+cu124" if name == "torch" else "9999.1")
    assert python_fits.main() == 0
    assert (
        capsys.readouterr().err
        == "bench: older than any tested release, so untried: torch 2.5.1+cu124 (tested from 2.6).\n"
    )


def test_an_old_python_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    assert python_fits.main() == 2
    assert capsys.readouterr().err == f"bench: needs Python 3.11 or newer; {sys.executable} is 3.9.\n"


# ---------------------------------------------------------------- pins, configs, paths


def test_constraints_pin_every_requirement_within_its_range():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().replace("_", "-").split("==") for line in lines if not line.startswith("#"))
    assert not [name for name, version in pins.items() if "+" in version]
    for requirement in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        name, least = re.fullmatch(r"([\w.-]+?)(?:>=([\d.]+))?(?:; .*)?", requirement).groups()
        pinned = pins[name.lower().replace("_", "-")]
        assert [int(n) for n in (least or "0").split(".")] <= [int(n) for n in pinned.split(".")], requirement


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_config_makes_a_plan(file):
    made = plan.make(config.load(file)[0], ["cpu"], 2)
    assert made.name == file.stem
    assert made.active


def test_the_hooks_and_the_workflow_call_what_is_here():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    for hook in hooks[0]["hooks"]:
        python, tool = re.fullmatch(r"(\S+) -m (\w+(?: check| format)?)(?: --force-exclude)?", hook["entry"]).groups()
        assert (hook["language"], python) == ("system", ".venv/bin/python")
        assert f"$(PY) -m {tool}" in MAKEFILE
    job = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["ci"]
    assert all(re.search(r"@v\d+$", step["uses"]) for step in job["steps"] if "uses" in step)
    (command,) = [step["run"] for step in job["steps"] if "run" in step]
    assert (command, (ROOT / ".ci" / "run").is_file()) == ("bash .ci/run", True)


def test_the_changelog_tells_what_is_unreleased_and_what_this_version_brought():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## [Unreleased]\n" in text
    assert re.search(rf"\n## {re.escape(bench.__version__)} - \d{{4}}-\d\d-\d\d\n", text)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a source archive does not say what git ignores")
def test_no_path_of_one_machine_stands_in_the_repository():
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    tracked = [ROOT / name for name in listed.split("\0") if name]
    found = []
    for file in tracked:
        if file.suffix in (".png", ".gz") or not file.is_file():
            continue
        text = file.read_text(encoding="utf-8")
        found += [f"{file.relative_to(ROOT)}: {hit[0]}" for hit in MACHINE_PATH.finditer(text)]
    assert found == []
