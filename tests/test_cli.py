"""The command line: quick to start, light, and a user's mistake is one line on stderr and status 2."""

from __future__ import annotations

import cProfile
import doctest
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli
from bench.cli import options
from bench.spec.blocks.blocks import BLOCKS
from bench.spec.errors import UserError
from bench.spec.plan import plan_text

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "pandas", "scipy", "matplotlib", "numpy")
CONFIG = "name: t\nexperiments: {a: {blocks: [standard, separable], axes: {threads: 1}}}\n"
TEN_THOUSAND = """\
name: large
experiments:
  a:
    blocks: [standard, separable]
    axes:
      channels: [8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 136, 144, 152, 160, 168, 176, 184, 192, 200]
      kernel: [3, 5, 7, 9]
      size: [7, 14, 28, 56, 112]
      batch: [1, 2, 4, 8, 16]
      layout: [contiguous, channels_last]
      allocator: [retain, default]
      threads: 1
"""  # fmt: skip


@pytest.fixture
def bench(capsys):
    """Run a command line in this process: its status, what it printed and what it complained of."""

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            cli.main([str(a) for a in args])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out, told.err

    return run


def process(*args: object, code: str = "from bench.cli import main; main()") -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def light(*args: object) -> str:
    """What it prints, having imported nothing heavy."""
    code = f"""
import sys
try:
    from bench.cli import main; main()
finally:
    sys.stdout.flush()
    print(*(m for m in {(*HEAVY, "jinja2")!r} if m in sys.modules), file=sys.stderr)
"""
    done = process(*args, code=code)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "")
    return done.stdout


# ---------------------------------------------------------------- start-up


@pytest.mark.parametrize(("words", "least"), [([], 9), (["--help"], 9), (["predict"], 1), (["predict", "--help"], 1)])
def test_the_lists_of_verbs_are_whole_sentences(bench, words, least):
    status, out, err = bench(*words)
    assert (status, err) == (0, "")
    verbs = out.partition("Commands:\n")[2].splitlines()
    assert len(verbs) >= least
    assert not [line for line in verbs if line.endswith("...")]


def test_help_imports_nothing_heavy():
    assert "Usage: bench" in light("--help")


def test_help_reads_no_models_of_files():
    code = "import sys\ntry:\n    from bench.cli import main; main()\nfinally:\n    print('pydantic' in sys.modules, file=sys.stderr)"
    assert process("--help", code=code).stderr.split() == ["False"]


def _calls(bench, path: Path, *args: str) -> int:
    """The function calls that planning takes, which no other program on this machine changes."""
    with cProfile.Profile() as profile:
        assert bench("plan", path, *args)[0] == 0
    return sum(entry.callcount for entry in profile.getstats())


def test_ten_thousand_trials_are_planned_without_anything_heavy_and_at_a_cost_linear_in_them(tmp_path, bench):
    thousand = tmp_path / "thousand.yaml"
    thousand.write_text(
        TEN_THOUSAND.replace("[8, 16, 24, 32, 40, 48, 56, 64, 72, 80, ", "[").replace("[3, 5, 7, 9]", "3")
    )
    path = tmp_path / "large.yaml"
    path.write_text(TEN_THOUSAND)
    _calls(bench, thousand)  # what is done once
    of_a_thousand, whole = (json.loads(light("plan", each, "--json"))["counts"]["trials"] for each in (thousand, path))
    assert whole == 10_000
    for arguments in ([], ["--json"]):
        assert _calls(bench, path, *arguments) < 1.2 * 10_000 / of_a_thousand * _calls(bench, thousand, *arguments)


def test_cost_imports_nothing_heavy():
    assert "MACs" in light("cost", "separable")


def test_python_m_bench_is_the_console_script():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("bench 0.")


def test_without_a_verb_it_shows_the_verbs(bench):
    status, out, err = bench()
    assert (status, err) == (0, "")
    for verb in ("run", "doctor", "plan", "cost", "report", "compare"):
        assert re.search(rf"^  {verb} ", out, re.MULTILINE)
        assert bench(verb, "--help")[0] == 0


# ---------------------------------------------------------------- cost


def test_cost_prints_the_derivation_of_a_bare_convolution(bench):
    status, out, err = bench("cost", "standard", "--in", 3, "--out", 4, "--size", 5)
    assert (status, err) == (0, "")
    assert "  params = 3 x 3 x 3 x 4 = 108\n" in out


def test_cost_as_json(bench):
    status, out, _ = bench("cost", "separable", "--in", 3, "--out", 256, "--kernel", 5, "--size", 12, "--padding", "valid", "--json")  # fmt: skip
    data = json.loads(out)
    assert status == 0
    assert {
        "block",
        "params",
        "macs",
        "flops",
        "bytes_min",
        "layers",
        "ops",
        "detail",
        "mac_ratio_to_standard",
    } <= data.keys()
    assert (data["block"], data["macs"], data["flops"], data["layers"], data["ops"]) == (
        "separable",
        53_952,
        107_904,
        2,
        2,
    )
    assert [(d["name"], d["params"], d["macs"]) for d in data["detail"]] == [
        ("depthwise", 75, 4800),
        ("pointwise", 768, 49_152),
    ]
    assert data["mac_ratio_to_standard"] == 53_952 / 1_228_800
    assert data["mac_ratio_to_standard_exact"] == "281/6400"


def test_cost_takes_every_option(bench):
    words = "--in 4 --size 9x8 --stride 2 --batch 3 --depth 2 --dilation 2 --dtype bf16 --norm --act --bias --pass training --json"
    status, out, err = bench("cost", "depthwise", *words.split())
    assert (status, err) == (0, "")
    data = json.loads(out)
    assert (data["c_in"], data["c_out"], data["height"], data["width"]) == (4, 4, 9, 8)
    assert (data["stride"], data["batch"], data["depth"], data["dilation"], data["dtype"]) == (2, 3, 2, 2, "bf16")
    assert (data["norm"], data["act"], data["bias"], data["pass"], data["ops"]) == (True, True, True, "training", 6)


def test_the_documents_commands_print_what_the_documents_show(bench):
    """Each `$ bench cost ...` in docs/COSTS.md, with the lines under it; `...` stands for lines left out."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / "COSTS.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for block in blocks:
        command, *shown = block.splitlines()
        assert command.startswith("$ bench cost ")
        status, out, _ = bench(*command.split()[2:])
        assert status == 0
        for part in "\n".join(shown).split("...\n"):
            assert part.strip("\n") in out


def test_the_documents_python_prints_what_the_documents_show():
    failed, tried = doctest.testfile(str(ROOT / "docs" / "COSTS.md"), module_relative=False)
    assert (failed, tried > 5) == (0, True)


def test_the_documents_table_of_networks_is_what_cost_prints(bench):
    table = re.findall(
        r"^\| `(\w+)` \| (\d+) \| ([\d,]+) \| ([\d,]+) \|",
        (ROOT / "docs" / "COSTS.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [name for name, *_ in table] == [name for name, kind in BLOCKS.items() if kind.network]
    for name, size, params, macs in table:
        data = json.loads(bench("cost", name, "--json")[1])
        assert (data["params"], data["macs"]) == (int(params.replace(",", "")), int(macs.replace(",", "")))
        assert (data["height"], data["width"], data["c_in"], data["kernel"]) == (int(size), int(size), None, None)
        status, out, _ = bench("cost", name, "--size", size)
        assert (status, f" = {params}\n" in out, f" = {macs}\n" in out) == (0, True, True)


# ---------------------------------------------------------------- mistakes


@pytest.mark.fault(
    "configs", "an argument, a block, a device or a size is wrong",
    "status 2 and one line with place, value, rule and remedy",
)  # fmt: skip
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("cost seperable", "block: 'seperable': no such block. Did you mean separable?"),
        ("cost standard --kernel 4", "kernel: 4: padding same needs an odd kernel, or the output shifts by half a pixel. Use"),
        ("cost standard --kernel 0", "kernel: 0: it is below 1. Give a whole number from 1 to 255."),
        ("cost standard --kernel x", "Invalid value for '--kernel'"),
        ("cost standard --in 0", "channels in: 0: it is below 1."),
        ("cost standard --out 99999", "channels out: 99999: it is above 65536."),
        ("cost standard --size 0", "height: 0: it is below 1."),
        ("cost standard --size 9x0", "width: 0: it is below 1."),
        ("cost standard --size 9by9", "--size: '9by9': it is not a size. Write 28, or 56x48 for height x width."),
        ("cost standard --size 3 --kernel 5 --padding valid", "a kernel that reaches over 5 pixels does not fit in 3x3"),
        ("cost standard --padding full", "--padding: 'full': it is not one of the known words. Write same or valid."),
        ("cost standard --dtype fp8", "--dtype: 'fp8': it is not one of the known words. Write fp64, fp32, fp32-tf32, bf16 or fp16."),
        ("cost standard --pass both", "--pass: 'both': it is not one of the known words. Write inference or training."),
        ("cost resnet50 --kernel 3 --in 8", "resnet50: a network's channels, kernels and strides are fixed, so it takes no --in, --kernel."),
        ("cost vgg16 --size 16", "vgg16, stage_5.pool: a kernel that reaches over 2 pixels does not fit in 1x1"),
        ("cost separable --groups 2", "separable: groups: 2: this block has no such option. Only grouped may have it."),
        ("cost grouped --groups 3", "grouped: 64 channels in can't be divided into 3 groups."),
        ("cost mobilenet_v2 --width 0", "mobilenet_v2: width: 0.0: it is below 0.05."),
        ("cost depthwise --in 3 --out 4", "depthwise: it keeps the number of channels, so 3 in cannot become 4 out."),
        ("cost", "'BLOCK'. See bench cost --help."),
        ("cost standard --kernl 3", "--kernel"),
        ("cost standard --kernel", "'--kernel' requires an argument. See bench"),
        ("plan none.yaml", "none.yaml: the config can't be read: No such file or directory."),
        ("plan none.yaml --device gpu", "--device gpu: 'gpu': no such device. Did you mean cuda?"),
        ("plan none.yaml --device cup", "--device cup: 'cup': no such device. Did you mean cpu?"),
        ("plan none.yaml --device cuda1", "--device cuda1: 'cuda1': no such device. Did you mean cuda:1?"),
        ("plan none.yaml --device GPU:2", "Did you mean cuda:2?"),
        ("plan none.yaml --device hip", "Did you mean cuda?"),
        ("plan none.yaml --device rocm:1", "Did you mean cuda:1?"),
        ("plan none.yaml --device nvidia", "Did you mean cuda?"),
        ("plan none.yaml --device=", "bench: --device: it is empty. Write cpu, cuda, cuda:1, xpu, mps, sim:h100 (predicted) or several with commas."),
        ("plan none.yaml --device cpu --device gpu", "--device cpu,gpu: 'gpu': no such device. Did you mean cuda?"),
        ("run --resume results/x --device cuda", "Give --resume alone."),
        ("plan none.yaml --device cpu,", "no such device. Write cpu, cuda, cuda:1, xpu, mps, sim:h100 (predicted) or several with commas."),
        ("plan none.yaml --device sim:", "'sim:': it names no device. Known devices: sim:t4, "),
        ("plan one two", "Got unexpected extra argument"),
        ("pln", "No such command 'pln'. Did you mean 'plan'? See bench --help."),
        ("--frobnicate", "No such option"),
        ("run", "CONFIG: it is missing. Name a YAML file or a config, as bench run default."),
        ("run none.yaml", "none.yaml: the config can't be read"),
        ("run none.yaml --device cdua", "Did you mean cuda?"),
        ("run none.yaml --resume results/x", "--resume results/x: a run continues as it was planned. Give --resume alone."),
        ("report none", "none: there is no such results folder."),
        ("report one two --out resluts/x.html", "--out resluts/x.html: there is no folder resluts. Make it, or name another file."),
        ("predict calibrate data", "No such command 'calibrate'. See bench predict --help."),
        ("compare none nothing", "none: there is no such results folder."),
    ],
)  # fmt: skip
def test_a_users_mistake_is_one_line_and_status_2(bench, monkeypatch, tmp_path, command, line):
    monkeypatch.chdir(tmp_path)
    status, out, err = bench(*command.split())
    assert (status, out) == (2, "")
    assert err.startswith("bench: ")
    assert err.count("\n") == 1
    assert line in err


@pytest.mark.parametrize("words", ["cost seperable", "plan none.yaml", "pln", "run --resume none"])
def test_no_traceback_reaches_the_user(words):
    done = process(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"bench: .+\n", done.stderr)


def test_a_mistake_in_a_config_or_a_setting_names_the_file(bench, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(CONFIG.replace("threads", "thread"))
    assert bench("plan", path)[2] == f"bench: {path}:2: experiments.a.axes.thread: no such key. Did you mean threads?\n"
    path.write_text(CONFIG)
    assert bench("plan", path, "--set", "kernel=0")[0] == 2


# ---------------------------------------------------------------- plan and run


def test_devices_are_read_once_each_and_cuda_is_the_first():
    assert options.devices("cpu") == ["cpu"]
    assert options.devices("cuda, cpu,cuda:0,cuda:12") == ["cuda:0", "cpu", "cuda:12"]
    for wrong in ("", "cuda:", "cuda:x", "CPU", "cpu:0", "cuda:-1"):
        with pytest.raises(UserError):
            options.devices(wrong)


@pytest.mark.parametrize("verb", ["plan", "run --dry-run"])
def test_an_option_given_again_adds_devices_and_hides_none(bench, tmp_path, verb):
    (tmp_path / "x.yaml").write_text(CONFIG)
    given = [*verb.split(), str(tmp_path / "x.yaml")]
    together = bench(*given, "--device", "cuda:1,cpu")
    assert together[1].startswith("t on cuda:1, cpu: 2 trials")
    assert bench(*given, "--device", "cuda:1", "--device", "cpu") == together


def test_every_verb_with_devices_takes_them_again(bench, monkeypatch):
    from bench.run import doctor

    asked = []
    monkeypatch.setattr(doctor, "examine", lambda devices, *_: asked.extend(devices) or [])
    assert bench("doctor", "--device", "cuda", "--device", "cpu")[0] == 0
    assert asked == ["cuda:0", "cpu"]
    status, _, err = bench("aa", "--device", "cuda", "--device", "cpu")
    assert status == 2
    assert "--device cuda:0,cpu: an A/A test measures one device" in err


def test_plan_and_a_dry_run_print_the_same_and_measure_nothing(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(CONFIG)
    planned = bench("plan", "x.yaml", "--device", "cpu,cuda", "--set", "kernel=3,5")
    assert planned[0] == 0
    assert "t on cpu, cuda:0: 4 trials to measure, 8 arms" in planned[1]
    assert bench("run", "x.yaml", "--dry-run", "--device", "cpu,cuda", "--set", "kernel=3,5") == planned
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (("threads=900",), "t: every trial is skipped: 900 threads on "),
        (("mode=graph",), "t: every trial is skipped: cpu has no graphs to replay. Change the axes or the device; bench plan lists"),
        (("mode=graph,eager", "threads=900,901", "pass=training"), "t: every trial is skipped: cpu has no graphs to replay, and 2 more reasons. Change"),
        (("mode=graph", "visit_seconds=1e-9"), "t: every trial is skipped: cpu has no graphs to replay. Change"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("config", [CONFIG, CONFIG.replace("standard, separable", "resnet18")])
def test_a_plan_of_nothing_is_shown_and_ends_like_the_run(bench, tmp_path, monkeypatch, settings, line, config):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(config)
    given = ["x.yaml", *(word for text in settings for word in ("--set", text))]
    status, out, err = bench("run", *given)
    assert (status, out) == (2, "")
    assert line in err
    assert len(err.splitlines()) == 1
    status, out, told = bench("plan", *given)
    assert (status, told) == (2, err)
    assert "t on cpu: 0 trials to measure" in out
    assert bench("run", *given, "--dry-run") == (2, out, err)
    status, out, told = bench("plan", *given, "--json")
    assert (status, json.loads(out)["counts"]["to_measure"], told) == (2, 0, err)
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]


def test_a_plan_that_a_guess_leaves_empty_is_no_mistake_as_the_run_may_measure_it(bench, tmp_path):
    (tmp_path / "x.yaml").write_text(CONFIG)
    status, out, err = bench("plan", tmp_path / "x.yaml", "--set", "visit_seconds=1e-9")
    assert (status, err) == (0, "")
    assert out.endswith("time: none by the guessed speed; bench run measures the speed first and may skip less\n")


def test_an_aa_test_of_skipped_pairs_alone_says_why(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = bench("aa", "--set", "threads=900")
    assert (status, out, list(tmp_path.iterdir())) == (2, "", [])
    assert "aa: every trial is skipped: 900 threads on " in err


@pytest.mark.fault(
    "killed", "Ctrl-C in any command",
    "status 130 and no traceback",
)  # fmt: skip
def test_an_interrupt_ends_with_130(bench, tmp_path, monkeypatch):
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    (tmp_path / "x.yaml").write_text(CONFIG)
    monkeypatch.setattr(plan_text, "text", interrupted)
    status, _, err = bench("plan", tmp_path / "x.yaml")
    assert status == 130
    assert "Traceback" not in err


@pytest.mark.fault(
    "terminals", "standard output is closed, or its reader leaves (`bench plan | head`)",
    "no message; a reader that leaves makes status 141",
)  # fmt: skip
def test_a_reader_that_leaves_is_no_error(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text(TEN_THOUSAND)
    command = [sys.executable, "-m", "bench", "plan", str(path), "--all"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        os.read(writer.stdout.fileno(), 10)
        writer.stdout.close()
        assert writer.stderr.read() == b""
    assert writer.returncode == 141


@pytest.mark.fault(
    "terminals", "the terminal's encoding lacks a character",
    "a stand-in is printed",
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("verb", ["report {0}", "verdict {0}", "compare {0} {1} --out {2}", "drivers {0} --out {2}", "plan smoke --set channels=8->16"])  # fmt: skip
def test_a_terminal_that_lacks_a_character_gets_a_stand_in(verb: str, encoding: str, tmp_path: Path, sketched: None, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    runs = []
    for name in ("xeon-2-cores", "xeon-2-cores-threads"):
        runs.append(tmp_path / name)
        shutil.copytree(
            ROOT / "results" / "reference" / name, runs[-1], ignore=shutil.ignore_patterns("plots", "*.html", "*.csv")
        )
    monkeypatch.setattr("bench.show.write.draw", lambda *_: ())
    terminal = io.TextIOWrapper(io.BytesIO(), encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main([word.format(*runs, tmp_path / "out") for word in verb.split()])
    said = terminal.buffer.getvalue().decode(encoding)
    assert "\\x" not in said
    if encoding == "ascii" and verb.startswith("report"):
        assert "+-" in said


@pytest.mark.fault(
    "terminals", "standard output is closed, or its reader leaves (`bench plan | head`)",
    "no message; a reader that leaves makes status 141",
)  # fmt: skip
def test_a_closed_standard_output_is_no_failure(tmp_path: Path) -> None:
    command = f"{sys.executable} -m bench plan configs/smoke.yaml >&-"
    told = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.fault(
    "configs", "a config never ends: a pipe, or merge keys that multiply",
    "it is refused at once",
)  # fmt: skip
def test_a_pipe_that_may_never_end_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "c.yaml")
    told = subprocess.run([sys.executable, "-m", "bench", "plan", str(tmp_path / "c.yaml")], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "the config is a pipe" in told.stderr


@pytest.mark.fault(
    "configs", "a config never ends: a pipe, or merge keys that multiply",
    "it is refused at once",
)  # fmt: skip
def test_merge_keys_that_multiply_are_refused_before_they_do(tmp_path: Path) -> None:
    lines = ["name: x", "l0: &l0 {k0: 1}"]
    for i in range(1, 10):
        lines += [f"l{i}: &l{i}", f"  <<: [{', '.join([f'*l{i - 1}'] * 9)}]", f"  k{i}: 1"]
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    told = subprocess.run([sys.executable, "-m", "bench", "plan", str(tmp_path / "bomb.yaml")], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)  # fmt: skip
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "merge keys (<<) make over 10,000 entries of it" in told.stderr


@pytest.mark.fault(
    "terminals", "a library warns, such as of a letter that no font has",
    "nothing of it is printed",
)  # fmt: skip
def test_a_librarys_warnings_are_not_printed(tmp_path: Path) -> None:
    rows = [f"\u5904\u7406\u5668,{i + 1}e9,{i % 5 + 1}e6,{0.01 * (i + 1)}" for i in range(14)]
    (tmp_path / "t.csv").write_text("\n".join(["device,macs,activations,time_s", *rows]), encoding="utf-8")
    told = subprocess.run([sys.executable, "-m", "bench", "drivers", "t.csv"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    assert "picture: " in told.stdout
    assert told.stderr == ""


@pytest.mark.parametrize("words", [["doctor", "{}"], ["cost", "{}"], ["plan", "x.yaml", "--{}"], ["plan", "c.yaml"]])
def test_a_mistake_that_quotes_much_is_cut(bench, tmp_path: Path, monkeypatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(f"name: x\n{'k' * 900_000}: 1\n")
    status, out, err = bench(*(each.format("x" * 100_000) for each in words))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert len(err) < 4100


@pytest.mark.parametrize("word", ["\u202eabc", "a\x1b[2Jb", "a\rb", "\udcff"])
@pytest.mark.parametrize(
    "words", [["{}"], ["doctor", "{}"], ["plan", "x.yaml", "--{}"], ["plan", "{}/x.yaml"], ["cost", "{}"]]
)
def test_a_mistake_is_printed_without_what_moves_the_cursor(bench, words: list[str], word: str) -> None:
    status, out, err = bench(*(each.format(word) for each in words))
    assert (status, out) == (2, "")
    assert err.removesuffix("\n").isprintable()
